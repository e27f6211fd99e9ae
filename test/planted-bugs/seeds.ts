// Plays seeds of the simulation until one fails: `node seeds.mjs COUNT`, bundled from a copy with a bug in it. Each
// seed is told before it is played, so that one that never ends is known, too.
import { simulate } from '../../src/testing/simulation.ts'

/** What the parent is told. */
export interface SeedMessage {
  readonly seed: number
  /** Why the seed failed; undefined: it is about to be played. */
  readonly violation?: string
}

const tell = (message: SeedMessage): unknown => process.send?.(message)

for (let seed = 0; seed < Number(process.argv[2]); seed += 1) {
  tell({ seed })
  const [violation] = (await simulate(seed)).violations
  if (violation === undefined) continue
  tell({ seed, violation })
  break
}
process.disconnect()

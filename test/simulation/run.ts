// `npm run simulate -- --seeds 10000 --from 0`: plays seeds over the cores, prints those that fail with how to repeat
// them and how often each kind of fault came up. Exits with 1 when a seed failed or a kind never came up.
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { simulate, type SimulationResult } from '../../src/testing/simulation.ts'

const { values } = parseArgs({
  options: { seeds: { type: 'string', default: '1000' }, from: { type: 'string', default: '0' } },
})
const from = Number(values.from)
const to = from + Number(values.seeds)
if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to <= from) {
  console.error('usage: npm run simulate -- --seeds COUNT --from FIRST')
  process.exit(2)
}

/** The part of a worker: every `workers`-th seed, one result after the other. */
async function work(part: number, workers: number): Promise<void> {
  for (let seed = from + part; seed < to; seed += workers) process.send?.(await simulate(seed))
  process.disconnect()
}

class Report {
  failed = 0
  #seeds = 0
  #operations = 0
  readonly #totals = new Map<string, number>()
  #withCrash = 0
  #withStoreFault = 0

  add({ seed, operations, violations, totals }: SimulationResult): void {
    this.#seeds += 1
    this.#operations += operations
    for (const [kind, count] of Object.entries(totals)) {
      this.#totals.set(kind, (this.#totals.get(kind) ?? 0) + count)
    }
    const { processCrash = 0, powerLoss = 0, storeSlow = 0, storeFailed = 0, storeFull = 0 } = totals
    if (processCrash + powerLoss > 0) this.#withCrash += 1
    if (storeSlow + storeFailed + storeFull > 0) this.#withStoreFault += 1
    if (violations.length === 0) return
    this.failed += 1
    console.log(`seed ${seed} failed; to repeat it: npm run simulate -- --seeds 1 --from ${seed}`)
    for (const violation of violations.slice(0, 10)) console.log(`  ${violation}`)
  }

  /** Whether every kind came up. A single seed need not have them all. */
  print(): boolean {
    const share = (count: number): string => `${Math.round((100 * count) / this.#seeds)} %`
    console.log(`${this.#seeds} seeds, ${this.failed} failed`)
    console.log(`operations  ${this.#operations} (${Math.round(this.#operations / this.#seeds)} a seed)`)
    console.log(
      `store faults in ${share(this.#withStoreFault)} of the seeds, crashes in ${share(this.#withCrash)}`,
    )
    for (const [kind, count] of this.#totals) console.log(`  ${kind.padEnd(14)} ${count}`)
    const missing = [...this.#totals].filter(([, count]) => count === 0).map(([kind]) => kind)
    if (this.#seeds < 100 || missing.length === 0) return true
    console.log(`never came up: ${missing.join(', ')}`)
    return false
  }
}

async function lead(): Promise<void> {
  const report = new Report()
  const workers = Math.min(availableParallelism(), to - from)
  const ends = Array.from({ length: workers }, (_, part) => {
    const worker = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
      env: { ...process.env, PETREL_SIMULATION_PART: `${part}/${workers}` },
    })
    worker.on('message', (result) => report.add(result as SimulationResult))
    return new Promise<number>((resolve) => worker.on('exit', (code) => resolve(code ?? 1)))
  })
  const codes = await Promise.all(ends)
  const isComplete = report.print()
  if (codes.some((code) => code !== 0)) console.log('a worker ended early')
  if (report.failed > 0 || !isComplete || codes.some((code) => code !== 0)) process.exitCode = 1
}

const part = process.env['PETREL_SIMULATION_PART']
if (part === undefined) await lead()
else await work(Number(part.split('/')[0]), Number(part.split('/')[1]))

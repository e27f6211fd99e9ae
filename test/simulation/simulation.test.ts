// A small number of seeds of the simulation; `npm run simulate` plays as many as you like.
import { describe, expect, it } from 'vitest'
import { simulate, type SimulationResult } from '../../src/testing/simulation.ts'

const SEEDS = 100
const NONE: readonly string[] = []

describe('the simulation', () => {
  it(`finds nothing in ${SEEDS} seeds, and plays enough of each`, async () => {
    const results: SimulationResult[] = []
    for (let seed = 0; seed < SEEDS; seed += 1) results.push(await simulate(seed))
    for (const { seed, violations } of results) expect(violations, `seed ${seed}`).toEqual(NONE)
    const sum = (count: (result: SimulationResult) => number): number =>
      results.reduce((total, result) => total + count(result), 0)
    const seedsWith = (...kinds: readonly string[]): number =>
      results.filter(({ totals }) => kinds.some((kind) => (totals[kind] ?? 0) > 0)).length
    expect(sum(({ operations }) => operations) / SEEDS).toBeGreaterThanOrEqual(200)
    expect(sum(({ totals }) => totals['cut'] ?? 0) / SEEDS).toBeGreaterThanOrEqual(5)
    expect(seedsWith('storeSlow', 'storeFailed', 'storeFull')).toBeGreaterThanOrEqual(SEEDS / 3)
    expect(seedsWith('processCrash', 'powerLoss')).toBeGreaterThanOrEqual(SEEDS / 5)
  })

  it.each([3, 14, 42])('gives equal bytes for the equal seed %i', async (seed) => {
    expect(await simulate(seed)).toEqual(await simulate(seed))
  })

  it('holds when the power fails, and notices when nothing was synced', async () => {
    const found = { synced: 0, unsynced: 0 }
    for (let seed = 0; seed < 10; seed += 1) {
      const scenario = { crashes: ['power'], storeFaults: false } as const
      found.synced += (await simulate(seed, scenario)).violations.length
      found.unsynced += (await simulate(seed, { ...scenario, sync: false })).violations.length
    }
    expect(found.synced).toBe(0)
    expect(found.unsynced).toBeGreaterThan(0)
  })
})

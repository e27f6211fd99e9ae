// The file store over a disk that fails, tears and forgets: whatever happens, what was promised is there, in order,
// each batch whole or absent, and nothing else. A run is a list of calls over several lives of a process, on a disk
// whose fates come from a seed; a model next to it knows which logs may be found after each crash.
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { MqttError } from '../core/errors.ts'
import { type DiskFate, type DiskStep, SimulatedDisk } from '../testing/disk.ts'
import type { Disk } from './disk.ts'
import { type FileStore, fileStoreOn } from './file.ts'

vi.setConfig({ testTimeout: 60_000 }) // for busy machines

type Log = readonly number[]
type Call = { readonly kind: 'append' | 'replace' | 'reopen'; readonly size: number }
type CrashKind = 'process' | 'power'

const SEGMENT_BYTES = 160
/** More for a long night. */
const RUNS = Number(process.env.PETREL_STORE_RUNS ?? 250)

/** What may be found: `kept`, or one of `others`; after a loss of power under 'process' also less of `kept`. */
class Model {
  kept: Log = []
  others: Log[] = []
  /** So many of `kept` survive a loss of power even under 'process'. */
  floor = 0

  settle(kept: Log): void {
    this.kept = kept
    this.others = []
  }

  allows(found: Log, mayBeShort: boolean): boolean {
    const isKept = found.length === this.kept.length || (mayBeShort && found.length >= this.floor)
    return (isKept && isPrefix(found, this.kept)) || this.others.some((other) => isEqual(found, other))
  }
}

interface Run {
  readonly seed: number
  readonly durability: CrashKind
  readonly calls: readonly Call[]
  readonly decide: (step: DiskStep, random: () => number) => DiskFate | undefined
  /** How it ends. */
  readonly crash: CrashKind
  readonly sync?: boolean
}

/** Plays a run and rejects when something is found that may not be. */
class Player {
  readonly machine: SimulatedDisk
  readonly #run: Run
  readonly #model = new Model()
  #disk: Disk
  #store: FileStore
  #isPeaceful = false
  #mayBeShort = false
  #batches = 0
  counts: { crashes: number; failures: number; dropped: number } = { crashes: 0, failures: 0, dropped: 0 }

  constructor(run: Run) {
    const random = randomOf(run.seed)
    const decide = (step: DiskStep): DiskFate | undefined =>
      this.#isPeaceful ? undefined : run.decide(step, random)
    this.machine = new SimulatedDisk({ random, decide, sync: run.sync ?? true })
    this.#run = run
    this.#disk = this.machine.start()
    this.#store = this.#createStore()
  }

  async play(): Promise<void> {
    await this.#open()
    for (const call of this.#run.calls) {
      if (call.kind === 'reopen') await this.#reopen()
      else await this.#change(call.kind, call.size)
    }
    this.#isPeaceful = true
    await this.#change('append', 5)
    if (this.#run.crash === 'power') this.machine.losePower()
    else this.machine.kill(this.#disk)
    this.#handleCrash(this.#run.crash)
    await this.#open()
    await this.#change('replace', 5)
    await this.#change('append', 5)
    await this.#reopen()
    if (this.#model.kept.length !== 2) throw new Error('the disk works again, and the store does not')
  }

  async #change(kind: 'append' | 'replace', size: number): Promise<void> {
    const id = this.#batches++
    const log: Log = kind === 'append' ? [...this.#model.kept, id] : [id]
    const outcome = await this.#attempt(() => this.#store[kind](batchOf(id, size)))
    if (outcome === 'done') {
      this.#model.settle(log)
      if (kind === 'replace') this.#model.floor = 1
    } else {
      this.#model.others.push(log)
      if (outcome === 'crashed') await this.#open()
    }
  }

  async #reopen(): Promise<void> {
    await this.#attempt(() => this.#store.close())
    await this.#open()
  }

  /** Until it works: after the fortieth failure the disk is left in peace. */
  async #open(): Promise<void> {
    for (let count = 0; ; count++) {
      if (count === 40) this.#isPeaceful = true
      let found: Log = []
      const outcome = await this.#attempt(async () => {
        found = Array.from(await this.#store.open(), idOf)
      })
      if (outcome !== 'done') continue
      if (!this.#model.allows(found, this.#mayBeShort)) {
        const { kept, others } = this.#model
        throw new Error(
          `found ${show(found)}; may be ${show(kept)} (from ${this.#model.floor}) or ${others.map(show).join()}`,
        )
      }
      if (this.#store.dropped !== undefined) this.counts.dropped += 1
      this.#model.settle(found)
      this.#model.floor = found.length
      this.#mayBeShort = false
      return
    }
  }

  async #attempt(call: () => Promise<void>): Promise<'done' | 'failed' | 'crashed'> {
    const crash = this.machine.whenCrashed()
    try {
      const outcome = await Promise.race([crash, call().then(() => 'done' as const)])
      if (outcome === 'done') return outcome
      this.#handleCrash(outcome)
      return 'crashed'
    } catch (error) {
      if (!(error instanceof MqttError) || error.code !== 'store-failed') throw error
      if (error.cause === undefined) throw error
      this.counts.failures += 1
      return 'failed'
    }
  }

  #handleCrash(kind: CrashKind): void {
    this.counts.crashes += 1
    this.#mayBeShort ||= this.#run.durability === 'process' && kind === 'power'
    this.#disk = this.machine.start(100 + (this.counts.crashes % 2)) // numbers come again
    this.#store = this.#createStore()
  }

  #createStore(): FileStore {
    const { durability } = this.#run
    return fileStoreOn(this.#disk, '/store', { durability, segmentBytes: SEGMENT_BYTES })
  }
}

/** Faults and crashes at random. */
function atRandom(faults: number, crashes: number, kinds: readonly CrashKind[]): Run['decide'] {
  return (_step, random) => {
    const [fault, crash] = [random(), random()]
    if (crash < crashes) {
      const kind = kinds[Math.floor(random() * kinds.length)] ?? 'power'
      return { crash: { kind, when: random() < 0.5 ? 'before' : 'after' } }
    }
    if (fault < faults) return { fail: random() < 0.5 ? 'EIO' : 'ENOSPC' }
    return undefined
  }
}

const calls: fc.Arbitrary<Call[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('append', 'append', 'append', 'append', 'replace', 'reopen'),
    size: fc.oneof(fc.nat(60), fc.constantFrom(0, 1, 150, 400)),
  }),
  { minLength: 1, maxLength: 30 },
)

interface Weather {
  readonly durability: CrashKind
  readonly crashes: readonly CrashKind[]
  readonly faultRate: number
  readonly crashRate: number
}

const BOTH: readonly CrashKind[] = ['process', 'power']

const WEATHERS: readonly Weather[] = [
  { durability: 'power', crashes: ['power'], faultRate: 0, crashRate: 0.03 },
  { durability: 'power', crashes: ['power'], faultRate: 0.1, crashRate: 0.03 },
  { durability: 'power', crashes: BOTH, faultRate: 0.1, crashRate: 0.06 },
  { durability: 'power', crashes: BOTH, faultRate: 0.4, crashRate: 0.01 },
  { durability: 'process', crashes: ['process'], faultRate: 0.1, crashRate: 0.03 },
  { durability: 'process', crashes: ['process'], faultRate: 0.4, crashRate: 0.01 },
  { durability: 'process', crashes: BOTH, faultRate: 0, crashRate: 0.03 },
  { durability: 'process', crashes: BOTH, faultRate: 0.1, crashRate: 0.03 },
]

describe('on a disk that fails and forgets', () => {
  it.each(WEATHERS)(
    'what was promised is there: $durability, crashes of $crashes ($crashRate), faults ($faultRate)',
    async ({ durability, crashes, faultRate, crashRate }) => {
      const totals = { crashes: 0, failures: 0, dropped: 0 }
      const decide = atRandom(faultRate, crashRate, crashes)
      const property = fc.asyncProperty(fc.nat(), calls, async (seed, list) => {
        const player = new Player({ seed, durability, calls: list, decide, crash: crashes.at(-1) ?? 'power' })
        await player.play()
        for (const kind of ['crashes', 'failures', 'dropped'] as const) totals[kind] += player.counts[kind]
      })
      await fc.assert(property, { numRuns: RUNS })
      expect(totals.crashes).toBeGreaterThan(RUNS)
      if (crashRate > 0.02) expect(totals.dropped).toBeGreaterThan(0)
      if (faultRate > 0) expect(totals.failures).toBeGreaterThan(RUNS)
    },
  )

  it('a run without syncs loses what was promised, so these tests would notice', async () => {
    let broken = 0
    for (let seed = 0; seed < 100; seed++) {
      const decide = atRandom(0, 0.03, ['power'])
      const list = fc.sample(calls, { seed, numRuns: 1 })[0] ?? []
      const run: Run = { seed, durability: 'power', crash: 'power', calls: list, decide }
      await new Player(run).play()
      await new Player({ ...run, sync: false }).play().catch(() => (broken += 1))
    }
    expect(broken).toBeGreaterThan(80)
  })

  it('equal seeds give equal bytes', async () => {
    const play = async (): Promise<readonly (readonly number[])[]> => {
      const list = fc.sample(calls, { seed: 7, numRuns: 1 })[0] ?? []
      const decide = atRandom(0.1, 0.03, BOTH)
      const player = new Player({ seed: 7, durability: 'power', crash: 'power', calls: list, decide })
      await player.play()
      return player.machine.paths().map((path) => [...(player.machine.contentOf(path) ?? [])])
    }
    expect(await play()).toEqual(await play())
  })
})

describe('at each step in turn', () => {
  const list: readonly Call[] = (
    [
      ['append', 20],
      ['append', 60],
      ['append', 70], // begins a segment
      ['append', 10],
      ['replace', 30],
      ['append', 200], // begins another
      ['reopen', 0],
      ['append', 5],
      ['replace', 5],
    ] as const
  ).map(([kind, size]) => ({ kind, size }))

  async function countSteps(run: Omit<Run, 'decide'>): Promise<number> {
    const player = new Player({ ...run, decide: () => undefined })
    await player.play()
    return player.machine.steps
  }

  it.each(BOTH)("a crash leaves the old or the new, with '%s'", async (durability) => {
    for (const crash of BOTH) {
      const run = { seed: 1, durability, crash, calls: list }
      const steps = await countSteps(run)
      expect(steps).toBeGreaterThan(60)
      for (let at = 1; at <= steps; at++) {
        for (const when of ['before', 'after'] as const) {
          const fate: DiskFate = { crash: { kind: crash, when } }
          for (let seed = 0; seed < 4; seed++) {
            // Half of them crash again while the first crash is recovered from.
            const second = seed % 2 === 0 ? 0 : at + 1 + ((seed * 5) % 17)
            const decide = ({ number }: DiskStep): DiskFate | undefined =>
              number === at || number === second ? fate : undefined
            await new Player({ ...run, seed, decide }).play()
          }
        }
      }
    }
  })

  it('what is found after the process has died survives a loss of power at any step from then on', async () => {
    const run = { seed: 1, durability: 'power', crash: 'power', calls: list } as const
    const steps = await countSteps(run)
    for (let at = 1; at <= steps; at++) {
      for (let later = 1; later <= 25; later++) {
        const decide = ({ number }: DiskStep): DiskFate | undefined => {
          if (number === at) return { crash: { kind: 'process', when: 'after' } }
          return number === at + later ? { crash: { kind: 'power', when: 'before' } } : undefined
        }
        await new Player({ ...run, seed: later, decide }).play()
      }
    }
  })

  it('also when a sync had failed, and the next one succeeds without having written anything', async () => {
    let fate: (step: DiskStep) => DiskFate | undefined = () => undefined
    const machine = new SimulatedDisk({ random: () => 0.99, decide: (step) => fate(step) })
    const start = (): FileStore => fileStoreOn(machine.start(), '/store', { durability: 'power' })
    const first = start()
    await first.open()
    const crash = machine.whenCrashed()
    fate = ({ operation }) =>
      operation === 'datasync' ? { crash: { kind: 'process', when: 'before' } } : undefined
    expect(await Promise.race([first.append(batchOf(0, 20)), crash])).toBe('process')

    const second = start()
    fate = ({ operation }) => (operation === 'datasync' ? { fail: 'EIO' } : undefined)
    await expect(second.open()).rejects.toMatchObject({ code: 'store-failed' })
    fate = () => undefined
    expect(Array.from(await second.open(), idOf)).toEqual([0])
    machine.losePower()
    expect(Array.from(await start().open(), idOf)).toEqual([0])
  })

  // What a failed sync did not write may count as written: the numbers decide how much of it.
  it.each([0.2, 0.5, 0.8, 0.99])(
    "a sync that failed before a loss of power costs the tail, not the store, with 'process' (%d)",
    async (number) => {
      let fate: (step: DiskStep) => DiskFate | undefined = () => undefined
      const machine = new SimulatedDisk({ random: () => number, decide: (step) => fate(step) })
      const start = (): FileStore => fileStoreOn(machine.start(), '/store', { segmentBytes: SEGMENT_BYTES })
      const store = start()
      await store.open()
      await store.append(batchOf(0, 60))
      fate = ({ operation }) => (operation === 'datasync' ? { fail: 'EIO' } : undefined)
      await expect(store.append(batchOf(1, 90))).rejects.toMatchObject({ code: 'store-failed' })
      fate = () => undefined
      await store.append(batchOf(2, 90)) // begins a segment, for which the first has to be whole
      machine.losePower()
      expect(isPrefix(Array.from(await start().open(), idOf), [0, 2])).toBe(true)
    },
  )

  it('nothing is built on a segment that the system has lost after a sync that failed', async () => {
    let fate: DiskFate | undefined
    const machine = new SimulatedDisk({ random: () => 0.5, decide: () => fate })
    const disk = machine.start()
    const store = fileStoreOn(disk, '/store', { segmentBytes: SEGMENT_BYTES })
    await store.open()
    await store.append(batchOf(0, 60))
    fate = { fail: 'EIO' }
    await expect(store.append(batchOf(1, 90))).rejects.toMatchObject({ code: 'store-failed' })
    fate = undefined
    // As some file systems do it: what could not be written is as it was before.
    Object.assign(disk, { read: async () => new Uint8Array(100) })
    await expect(store.append(batchOf(2, 90))).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringMatching(/segment-00000001\.log has lost what was written to it: the checksum/),
    })
    expect(machine.paths().filter((path) => path.endsWith('.log'))).toHaveLength(1)
    await store.replace(batchOf(3, 5))
    await store.close()
    expect(Array.from(await fileStoreOn(machine.start(), '/store').open(), idOf)).toEqual([3])
  })

  it.each(BOTH)("a failure is an error and leaves nothing, with '%s'", async (durability) => {
    const run = { seed: 1, durability, crash: 'process' as const, calls: list }
    const steps = await countSteps(run)
    for (const fail of ['EIO', 'ENOSPC']) {
      for (let at = 1; at <= steps; at++) {
        for (const failures of [1, 2, 5]) {
          for (let seed = 0; seed < 2; seed++) {
            const decide = ({ number }: DiskStep): DiskFate | undefined =>
              number >= at && number < at + failures ? { fail } : undefined
            await new Player({ ...run, seed, decide }).play()
          }
        }
      }
    }
  })
})

function batchOf(id: number, size: number): Uint8Array {
  return Uint8Array.from({ length: 4 + size }, (_, index) =>
    index < 4 ? (id >>> (8 * index)) & 0xff : (id * 31 + size + index) & 0xff,
  )
}

/** Throws when the batch is not one that `batchOf` has made. */
function idOf(batch: Uint8Array): number {
  const id = (batch[0] ?? 0) | ((batch[1] ?? 0) << 8)
  if (batch.length < 4 || Buffer.compare(batch, batchOf(id, batch.length - 4)) !== 0) {
    throw new Error(`a batch that nobody has appended: ${batch.join()}`)
  }
  return id
}

function show(log: Log): string {
  return `[${log.join()}]`
}

function isPrefix(short: Log, long: Log): boolean {
  return short.length <= long.length && short.every((id, index) => id === long[index])
}

function isEqual(one: Log, other: Log): boolean {
  return one.length === other.length && isPrefix(one, other)
}

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}

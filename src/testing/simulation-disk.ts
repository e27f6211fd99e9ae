/** The disk of a simulation: slow, failing, full, and the place where processes die between two steps. */

import { type FileStore, fileStoreOn } from '../store/file.ts'
import type { Disk } from '../store/disk.ts'
import { type DiskFate, SimulatedDisk } from './disk.ts'
import type { Runtime } from '../client/runtime.ts'

export type CrashKind = 'process' | 'power'

export interface SimulationDiskOptions {
  readonly runtime: Runtime
  /** Writes may be slow, fail, and find no room. */
  readonly isFaulty: boolean
  readonly crashes: readonly CrashKind[]
  readonly sync: boolean
  /** Whether faults may happen now. */
  readonly mayHarm: () => boolean
  /** The process has died. */
  readonly died: (kind: CrashKind) => void
}

export class SimulationDisk {
  readonly counts: { storeSlow: number; storeFailed: number; storeFull: number; storeTorn: number } = {
    storeSlow: 0,
    storeFailed: 0,
    storeFull: 0,
    storeTorn: 0,
  }
  readonly #options: SimulationDiskOptions
  readonly #machine: SimulatedDisk
  #process: Disk | undefined = undefined
  #store: FileStore | undefined = undefined
  #lastKind: CrashKind = 'process'

  constructor(options: SimulationDiskOptions) {
    this.#options = options
    const { runtime } = options
    this.#machine = new SimulatedDisk({
      random: () => runtime.random(),
      decide: ({ operation }) => this.#fateOf(operation),
      schedule: (run, milliseconds) => {
        runtime.setTimer(() => this.#step(run), milliseconds)
      },
      sync: options.sync,
    })
  }

  /** The store as the next process finds it. */
  start(): FileStore {
    this.#process = this.#machine.start()
    // Only a store that survives a loss of power promises anything about one.
    const durability = this.#options.crashes.includes('power') ? 'power' : 'process'
    this.#store = fileStoreOn(this.#process, '/session', { durability, segmentBytes: 20_000 })
    return this.#store
  }

  crash(kind: CrashKind): void {
    const process = this.#process
    if (process === undefined) return
    if (kind === 'power') this.#machine.losePower()
    else this.#machine.kill(process)
    this.#look(kind)
  }

  setFull(isFull: boolean): void {
    this.#machine.capacity = isFull ? 0 : Number.POSITIVE_INFINITY
    if (isFull) this.counts.storeFull += 1
  }

  /** There is room for good. */
  setPeace(): void {
    this.#machine.capacity = Number.POSITIVE_INFINITY
  }

  #step(run: () => void): void {
    run()
    this.#look(this.#lastKind)
  }

  #look(kind: CrashKind): void {
    const process = this.#process
    if (process === undefined || this.#machine.isRunning(process)) return
    if (this.#store?.dropped !== undefined) this.counts.storeTorn += 1
    this.#process = undefined
    this.#options.died(kind)
  }

  #fateOf(operation: string): DiskFate {
    const { runtime, isFaulty, crashes, mayHarm } = this.#options
    const delay = runtime.random() * 2
    if (!mayHarm()) return { delay }
    const crash = crashes[Math.floor(runtime.random() * crashes.length)]
    if (crash !== undefined && runtime.random() < 0.004) {
      this.#lastKind = crash
      return { delay, crash: { when: runtime.random() < 0.5 ? 'before' : 'after', kind: crash } }
    }
    if (!isFaulty) return { delay }
    const chance = runtime.random()
    if (chance < 0.01 && (operation === 'write' || operation === 'datasync' || operation === 'rename')) {
      this.counts.storeFailed += 1
      return { delay, fail: 'EIO' }
    }
    if (chance > 0.02) return { delay }
    this.counts.storeSlow += 1
    return { delay: 100 + runtime.random() * 500 }
  }
}

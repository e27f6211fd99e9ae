/**
 * One life of the simulated program: its clock and timers stop with it, nothing of it runs afterwards, and the
 * system ends its connections.
 */

import type { Runtime, Timer } from '../client/runtime.ts'
import type { WireTransport } from './wire.ts'

export class SimulatedProcess implements Runtime {
  /** Errors that nobody listened for. */
  readonly reported: unknown[] = []
  readonly #world: Runtime
  readonly #timers = new Set<Timer>()
  readonly #streams: WireTransport[] = []
  #isAlive = true

  constructor(world: Runtime) {
    this.#world = world
  }

  get isAlive(): boolean {
    return this.#isAlive
  }

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.size
  }

  now(): number {
    return this.#world.now()
  }

  wallTime(): number {
    return this.#world.wallTime()
  }

  random(): number {
    return this.#world.random()
  }

  setTimer(callback: () => void, delay: number): Timer {
    if (!this.#isAlive || delay === Infinity) return { cancel: () => undefined }
    const inner = this.#world.setTimer(() => {
      this.#timers.delete(timer)
      callback()
    }, delay)
    const timer: Timer = {
      cancel: () => {
        this.#timers.delete(timer)
        inner.cancel()
      },
      setKeepsAlive: (keepsAlive) => inner.setKeepsAlive?.(keepsAlive),
    }
    this.#timers.add(timer)
    return timer
  }

  defer(callback: () => void): void {
    this.#world.defer(() => {
      if (this.#isAlive) callback()
    })
  }

  report(error: unknown): void {
    if (this.#isAlive) this.reported.push(error)
  }

  adopt(stream: WireTransport): void {
    if (this.#isAlive) this.#streams.push(stream)
    else stream.abandon()
  }

  die(): void {
    this.#isAlive = false
    for (const timer of this.#timers) timer.cancel()
    for (const stream of this.#streams) stream.abandon()
  }
}

/**
 * A `Runtime` whose time is the test's: an hour of reconnecting takes milliseconds, and the same seed gives the
 * same run.
 *
 *     const runtime = new VirtualRuntime({ seed: 7 })
 *     const client = createClient(url, { runtime, dial })
 *     await client.connect()                 // what takes no time needs no advance
 *     await runtime.advance(60_000)          // timers in order; promises settle in between
 *
 * No real time passes, but real turns of the event loop do: a deferred callback runs alone in a turn of its own, so
 * that all microtasks are over before it. A queue of its own for microtasks was rejected: promises know only the
 * platform's.
 */

import type { Runtime, Timer } from '../client/runtime.ts'

export interface VirtualRuntimeOptions {
  /** Of the random numbers. Default 1. */
  readonly seed?: number
  /** Monotonic ms at the beginning. Default 1,000. */
  readonly now?: number
  /** ms since 1970 at the beginning. Default 1,700,000,000,000. */
  readonly wallTime?: number
}

/** A longer delay is cut to this, as by the platforms. */
const MAXIMUM_DELAY = 2_147_483_647
/** Turns of the event loop after which a program that never comes to rest is given up. */
const MOST_TURNS = 1_000_000

export class VirtualRuntime implements Runtime {
  /** Errors that nobody listened for. */
  readonly reported: unknown[] = []

  #now: number
  #wallTime: number
  #random: number
  /** In the order in which they are due, and were set. */
  readonly #timers: VirtualTimer[] = []
  readonly #deferred: (() => void)[] = []
  #isAdvancing = false

  constructor({ seed = 1, now = 1_000, wallTime = 1_700_000_000_000 }: VirtualRuntimeOptions = {}) {
    this.#random = seed >>> 0
    this.#now = now
    this.#wallTime = wallTime - now
  }

  // What a client asks of it.

  now(): number {
    return this.#now
  }

  wallTime(): number {
    return this.#wallTime + this.#now
  }

  /** mulberry32 */
  random(): number {
    this.#random = (this.#random + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#random ^ (this.#random >>> 15), this.#random | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  setTimer(callback: () => void, delay: number): Timer {
    const at = delay === Infinity ? Infinity : this.#now + Math.min(Math.max(delay, 0), MAXIMUM_DELAY)
    const timer = new VirtualTimer(at, callback, (cancelled) => this.#remove(cancelled))
    if (at === Infinity) return timer
    const later = this.#timers.findIndex((other) => other.at > at)
    this.#timers.splice(later < 0 ? this.#timers.length : later, 0, timer)
    return timer
  }

  defer(callback: () => void): void {
    this.#deferred.push(callback)
    if (this.#deferred.length === 1) setImmediate(() => this.#runDeferred())
  }

  report(error: unknown): void {
    this.reported.push(error)
  }

  // What a test does with it.

  /** Timers that wait. */
  get timers(): number {
    return this.#timers.length
  }

  /** Whether one of them would keep the process alive. */
  get keepsAlive(): boolean {
    return this.#timers.some(({ keepsAlive }) => keepsAlive)
  }

  /** Lets time pass, timer by timer; before each, and at the end, everything that is due without one has happened. */
  async advance(ms: number): Promise<void> {
    if (this.#isAdvancing) throw new Error('advance: the time is being advanced already, await that first')
    this.#isAdvancing = true
    try {
      const end = this.#now + ms
      for (;;) {
        await this.settle()
        const timer = this.#timers[0]
        if (timer === undefined || timer.at > end) break
        this.#timers.shift()
        this.#now = Math.max(this.#now, timer.at)
        timer.ring()
      }
      this.#now = end
    } finally {
      this.#isAdvancing = false
    }
  }

  /** Resolves when nothing more happens without a timer. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < MOST_TURNS; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#deferred.length === 0) return
    }
    throw new Error('settle: something is deferred again and again')
  }

  /** Sets the wall clock, as a user may; monotonic time goes on. */
  setWallTime(wallTime: number): void {
    this.#wallTime = wallTime - this.#now
  }

  #runDeferred(): void {
    const callback = this.#deferred[0]
    // The next turn is asked for first: a callback that throws ends itself alone.
    setImmediate(() => {
      this.#deferred.shift()
      if (this.#deferred.length > 0) this.#runDeferred()
    })
    callback?.()
  }

  #remove(timer: VirtualTimer): void {
    const index = this.#timers.indexOf(timer)
    if (index >= 0) this.#timers.splice(index, 1)
  }
}

class VirtualTimer implements Timer {
  readonly at: number
  keepsAlive = true
  readonly #callback: () => void
  readonly #cancelled: (timer: VirtualTimer) => void

  constructor(at: number, callback: () => void, cancelled: (timer: VirtualTimer) => void) {
    this.at = at
    this.#callback = callback
    this.#cancelled = cancelled
  }

  ring(): void {
    this.#callback()
  }

  cancel(): void {
    this.#cancelled(this)
  }

  setKeepsAlive(keepsAlive: boolean): void {
    this.keepsAlive = keepsAlive
  }
}

/**
 * How many connection attempts a pool may have under way, and begin per second: after a broker's restart a thousand
 * clients must not come at once. Those beyond wait in order.
 */

import { whenAborted } from './abortable.ts'
import { Alarm, type AlarmOwner, type Alarms } from './alarms.ts'
import type { Runtime } from './runtime.ts'

interface Waiter {
  begin: () => void
}

export class AttemptBudget implements AlarmOwner {
  readonly #runtime: Runtime
  readonly #alarm: Alarm
  readonly #atOnce: number
  readonly #perSecond: number
  #underWay = 0
  /** Attempts that may begin at once; grows with time up to one second's worth. */
  #tokens: number
  #countedAt: number
  #waiters: Waiter[] = []

  constructor(runtime: Runtime, alarms: Alarms, atOnce: number, perSecond: number) {
    this.#runtime = runtime
    this.#alarm = new Alarm(alarms, this)
    this.#atOnce = atOnce
    this.#perSecond = perSecond
    this.#tokens = perSecond
    this.#countedAt = runtime.now()
  }

  /** Resolves when an attempt may begin; `release` must be called when it is over. Rejects when aborted. */
  acquire(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const waiter: Waiter = { begin: resolve }
      this.#waiters.push(waiter)
      this.handleAlarm()
      if (this.#waiters.at(-1) !== waiter) return
      const stop = whenAborted(signal, (reason) => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        reject(reason)
      })
      waiter.begin = () => {
        stop()
        resolve()
      }
    })
  }

  release(): void {
    this.#underWay -= 1
    this.handleAlarm()
  }

  handleAlarm(): void {
    const now = this.#runtime.now()
    const seconds = (now - this.#countedAt) / 1_000
    if (seconds > 0) this.#tokens = Math.min(this.#perSecond, this.#tokens + seconds * this.#perSecond)
    this.#countedAt = now
    while (this.#waiters.length > 0 && this.#underWay < this.#atOnce && this.#tokens >= 1) {
      this.#tokens -= 1
      this.#underWay += 1
      this.#waiters.shift()?.begin()
    }
    if (this.#waiters.length > 0 && this.#tokens < 1) {
      this.#alarm.set(now + ((1 - this.#tokens) / this.#perSecond) * 1_000)
    }
  }
}

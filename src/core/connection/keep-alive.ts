/**
 * Keep-alive and pings, 3.1.2.10 and 3.12; rules 9 to 11.
 *
 * PINGREQ is due some time before the keep-alive ends, counted from the last packet sent *and* from the last byte
 * received: traffic of our own cannot hide a dead peer. While one is out, silence is measured anew from every sign
 * of life: a byte received, or bytes of a large write that the network takes.
 */

import type { Deadlines } from './deadlines.ts'
import type { Operation } from './operations.ts'

export class KeepAlive {
  readonly #deadlines: Deadlines
  readonly #interval: number
  readonly #timeout: number
  #lastSent: number
  #lastReceived: number
  /** PINGREQs without an answer, oldest first: a `ping()` of the user's, or our own. */
  #waiting: (Operation | undefined)[] = []
  /** Our own PINGREQ is out, and nothing has proved life since. */
  #asking = false

  /**
   * @param keepAlive seconds, 0: none
   * @param pingTimeout ms
   */
  constructor(deadlines: Deadlines, keepAlive: number, pingTimeout: number, now: number) {
    const period = 1_000 * keepAlive
    this.#deadlines = deadlines
    this.#interval = period === 0 ? Infinity : period - Math.min(period / 4, 5_000)
    this.#timeout = period === 0 ? pingTimeout : Math.min(pingTimeout, period / 2)
    this.#lastSent = this.#lastReceived = now
    this.#schedule()
  }

  /** Whether a `ping()` of the user's waits for its answer. */
  get awaitsAnswer(): boolean {
    return this.#waiting.some((operation) => operation !== undefined && !operation.abandoned)
  }

  /** ms until a `ping()` has waited too long. */
  get timeout(): number {
    return this.#timeout
  }

  handleReceived(now: number): void {
    this.#lastReceived = now
    this.#asking = false
    this.#deadlines.silence = Infinity
    // A deadline that moves later is not touched: the timer fires early and asks again.
  }

  handleSent(now: number): void {
    this.#lastSent = now
  }

  /** The network takes bytes of ours again. */
  handleProgress(now: number): void {
    if (this.#asking && this.#deadlines.silence !== Infinity) this.#deadlines.silence = now + this.#timeout
  }

  /** We stopped or began reading; while we do not, silence is our own doing. */
  handleReading(reading: boolean, now: number): void {
    this.#deadlines.silence = reading && this.#asking ? now + this.#timeout : Infinity
    if (reading) this.#lastReceived = now
  }

  /** Whether PINGREQ is due now. */
  isDue(now: number): boolean {
    if (this.#deadlines.ping > now) return false
    this.#schedule()
    return this.#deadlines.ping <= now
  }

  /** PINGREQ was written: for a `ping()` of the user's, or our own when `operation` is undefined. */
  sent(operation: Operation | undefined, reading: boolean, now: number): void {
    this.#waiting.push(operation)
    this.#lastSent = now
    if (operation === undefined) {
      this.#asking = true
      if (reading) this.#deadlines.silence = now + this.#timeout
    }
    this.#schedule()
  }

  /** PINGRESP came: the `ping()` that it answers, if it is one. An unsolicited one is ignored. */
  answered(): Operation | undefined {
    return this.#waiting.shift()
  }

  /** The `ping()`s that have waited too long; their answers may still come. */
  overdue(now: number): Operation[] {
    const overdue: Operation[] = []
    for (const operation of this.#waiting) {
      if (operation === undefined) continue
      if (operation.deadline <= now) {
        operation.abandoned = true
        overdue.push(operation)
      }
      this.#deadlines.operation = Math.min(this.#deadlines.operation, operation.deadline)
    }
    return overdue
  }

  /** The `ping()`s without an answer, for when the connection ends. */
  drain(): Operation[] {
    const operations = this.#waiting.filter((operation) => operation !== undefined)
    this.#waiting = []
    return operations
  }

  #schedule(): void {
    const since = this.#asking ? this.#lastSent : Math.min(this.#lastSent, this.#lastReceived)
    this.#deadlines.ping = since + this.#interval
  }
}

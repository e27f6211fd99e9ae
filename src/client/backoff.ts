/**
 * When to try again.
 *
 *     delay = min + random() × (min(max, min × 2ⁿ) − min)        n = 1 for the first retry
 *
 * Random over the whole range, and not by a few per cent: after an outage every client of a fleet comes back at
 * once, and only a wide spread keeps them apart. Never below `min`: a broker that accepts and closes at once would
 * be dialed in a loop. What time alone does not heal begins at the wide end: a wrong password is no reason to ask
 * every second.
 */

import { MqttError, ProtocolError, RefusedError } from '../core/errors.ts'
import {
  checkReconnectTimeout,
  DEFAULT_RECONNECT,
  type ReconnectFunction,
  type ResolvedReconnect,
} from './connect-options.ts'
import { invalid } from './option-checks.ts'
import type { ResolvedOptions } from './options.ts'
import type { Runtime } from './runtime.ts'

/** Refusals and disconnects that time alone does not heal; 3.1.1 has 0x84 to 0x87, as its codes 1, 2, 4 and 5. */
const LASTING: ReadonlySet<number> = new Set([
  0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x8e, 0x95, 0x99, 0x9a, 0x9b, 0x9d,
])

/** Healed by other credentials: 3.1.1 codes 4 and 5. */
const OF_CREDENTIALS: ReadonlySet<number> = new Set([0x86, 0x87])

/** Whether credentials, or what stands for them, are asked for anew before each attempt. */
export function asksAnew({
  credentials,
  authentication,
  websocket,
}: Pick<ResolvedOptions, 'credentials' | 'authentication' | 'websocket'>): boolean {
  return (credentials ?? authentication ?? websocket?.transform) !== undefined
}

type BackoffRuntime = Pick<Runtime, 'random' | 'report'>

export class Backoff {
  #decide: ReconnectFunction | false | undefined
  readonly #runtime: BackoffRuntime
  /** Credentials are asked for anew before each attempt: the next ones may be right. */
  freshCredentials: boolean
  #schedule: ResolvedReconnect

  /** The n of the last delay; Infinity once something came that time alone does not heal. */
  #retry = 0

  /**
   * @param reconnect as resolved
   * @param runtime is told of a `reconnect` function that throws or returns no delay; the schedule then stands in
   * @param freshCredentials whether a function of the user's is asked for them
   */
  constructor(
    reconnect: ResolvedReconnect | ReconnectFunction | false,
    runtime: BackoffRuntime,
    freshCredentials = false,
  ) {
    const isSchedule = typeof reconnect === 'object'
    this.#decide = isSchedule ? undefined : reconnect
    this.#schedule = isSchedule ? reconnect : DEFAULT_RECONNECT
    this.#runtime = runtime
    this.freshCredentials = freshCredentials
  }

  /** ms of being connected after which `reset` is due. */
  get resetAfter(): number {
    return this.#schedule.resetAfter
  }

  /** New limits, as AWS C MQTT's `set_reconnect_timeout`; the count of retries stays. @throws UsageError */
  setLimits(min: number, max: number): void {
    checkReconnectTimeout(min, max)
    // A function gives way to them; never remains never.
    this.#decide &&= undefined
    this.#schedule = { ...this.#schedule, min, max }
  }

  /** The connection has stood for `resetAfter`, or the user begins again: the next delay is a first one. */
  reset(): void {
    this.#retry = 0
  }

  /**
   * The delay in ms before the next attempt, or the next round of all URLs.
   *
   * @param error what ended the last attempt or connection
   * @param attempt the number of that retry, from 1
   */
  next(error: unknown, attempt: number): number | 'stop' {
    if (this.#decide === false) return 'stop'
    this.#retry = this.#isLasting(error) ? Infinity : this.#retry + 1
    return this.#asked(error, attempt) ?? this.#scheduled()
  }

  #scheduled(): number {
    const { min, max, jitter } = this.#schedule
    const upper = Math.min(max, min * 2 ** this.#retry)
    return jitter ? min + this.#runtime.random() * (upper - min) : upper
  }

  #isLasting(error: unknown): boolean {
    if (!(error instanceof MqttError)) return false
    // Our own Receive Maximum was overstepped: the same messages wait for the next connection.
    if (error.code === 'receive-maximum-exceeded') return true
    if (!(error instanceof RefusedError || error instanceof ProtocolError)) return false
    if (this.freshCredentials && OF_CREDENTIALS.has(error.reasonCode)) return false
    return LASTING.has(error.reasonCode)
  }

  /** What the user's function says; undefined when there is none, or none that can be used. */
  #asked(error: unknown, attempt: number): number | 'stop' | undefined {
    if (!this.#decide) return undefined
    try {
      const answer: unknown = this.#decide(error, attempt)
      if (answer === 'stop') return 'stop'
      if (typeof answer === 'number' && answer >= 0) return answer
      throw invalid('reconnect', "a function that returns milliseconds or 'stop'", answer)
    } catch (fault) {
      this.#runtime.report(fault)
      return undefined
    }
  }
}

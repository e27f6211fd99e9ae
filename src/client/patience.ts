/**
 * How long the application may take: handlers whose promises do not settle, and streams that nobody reads.
 *
 * Whoever is slow is reported once (rules 20, 30); with `handlerTimeout` a handler's time ends at last.
 */

import { ConnectionError, MqttError } from '../core/errors.ts'
import { Alarm, type AlarmOwner, type Alarms } from './alarms.ts'
import type { Events } from './events.ts'
import type { Handling, Route } from './handling.ts'
import type { ResolvedOptions } from './options.ts'

/** What has not gone on after this many ms is reported. */
const SLOW = 60_000

/** A handler that has returned a promise. */
export interface Run {
  readonly handling: Handling
  readonly route: Route
  readonly startedAt: number
  /** The application was told that it is slow. */
  isSlow: boolean
}

export class Patience implements AlarmOwner {
  readonly #alarm: Alarm
  readonly #events: Events
  /** ms; 0: none. */
  readonly #timeout: number
  readonly #expired: (error: MqttError, handling: Handling, route: Route) => void
  readonly #running = new Set<Run>()
  /** Streams whose buffers are full, and since when; Infinity once the application was told. */
  readonly #full = new Map<Route, number>()

  /** @param expired told of a handler whose time is over */
  constructor(
    alarms: Alarms,
    events: Events,
    timeout: number,
    expired: (error: MqttError, handling: Handling, route: Route) => void,
  ) {
    this.#alarm = new Alarm(alarms, this)
    this.#events = events
    this.#timeout = timeout
    this.#expired = expired
  }

  get hasFullStreams(): boolean {
    return this.#full.size > 0
  }

  begin(handling: Handling, route: Route): Run {
    const run: Run = { handling, route, startedAt: handling.driver.now, isSlow: false }
    this.#running.add(run)
    this.#alarm.set(run.startedAt + (this.#timeout > 0 ? Math.min(this.#timeout, SLOW) : SLOW))
    return run
  }

  /** The handler has settled. False: its time was over before. */
  end(run: Run): boolean {
    return this.#running.delete(run)
  }

  handleFull(route: Route, now: number): void {
    if (this.#full.has(route)) return
    this.#full.set(route, now)
    this.#alarm.set(now + SLOW)
  }

  /** The stream has room again, or is no more. */
  handleRead(route: Route): void {
    this.#full.delete(route)
  }

  cancel(): void {
    this.#alarm.cancel()
  }

  /** After `cancel`: what still runs is watched again. */
  resume(now: number): void {
    if (this.#running.size > 0) this.#alarm.set(now)
  }

  handleAlarm(now: number): void {
    for (const run of this.#running) this.#checkHandler(run, now)
    for (const [route, since] of this.#full) this.#checkStream(route, since + SLOW, now)
  }

  #checkHandler(run: Run, now: number): void {
    const { handling, route, startedAt } = run
    const end = this.#timeout > 0 ? startedAt + this.#timeout : Infinity
    if (now >= end) {
      this.#running.delete(run)
      const text = `it had not finished after ${this.#timeout} ms (option handlerTimeout)`
      return this.#expired(new MqttError('handler-slow', text), handling, route)
    }
    if (!run.isSlow && now >= startedAt + SLOW) this.#reportHandler(run)
    this.#alarm.set(Math.min(end, run.isSlow ? Infinity : startedAt + SLOW))
  }

  #reportHandler(run: Run): void {
    run.isSlow = true
    const { message } = run.handling
    const text = `a handler of a message to "${message.topic}" has not finished after ${SLOW / 1_000} s`
    this.#events.emit('error', { error: new MqttError('handler-slow', text), message })
  }

  #checkStream(route: Route, due: number, now: number): void {
    if (now < due) return this.#alarm.set(due)
    this.#full.set(route, Infinity)
    const text = `nobody reads the messages of "${route.filter}"`
    this.#events.emit('error', { error: new MqttError('unread-messages', text) })
  }
}

/** Messages wait for handlers, and the answers that these may wait for lie behind more of them, rule 31. */
export function deadlockError({
  maxPendingBytes,
  operationTimeout,
}: Pick<ResolvedOptions, 'maxPendingBytes' | 'operationTimeout'>): ConnectionError {
  const message =
    `more than ${maxPendingBytes} bytes of messages have waited for handlers for ${operationTimeout} ms, ` +
    'answers of the server behind them (options maxPending, maxPendingBytes)'
  return new ConnectionError('backpressure-deadlock', message, { phase: 'established' })
}

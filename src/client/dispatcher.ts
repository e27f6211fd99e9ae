/**
 * Hands received messages to the application, acknowledges them, and stops reading when it cannot keep up.
 *
 *     message ─► matching routes ─► handler … ─► acknowledgement
 *                     │   busy: waits for its turn (concurrency)
 *                     └── maxPending reached: held in order, then reading stops (rules 30, 31)
 *
 * A message that meets one simple handler which returns nothing takes the short way: no object, no queue.
 */

import { MqttError, textOf } from '../core/errors.ts'
import { Fifo } from '../core/fifo.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import { Alarm, type AlarmOwner, type Alarms } from './alarms.ts'
import type { DispatcherHost } from './dispatcher-host.ts'
import type { Driver } from './driver.ts'
import { type Events, isThenable } from './events.ts'
import {
  Handling,
  type HandlingOwner,
  NOT_HANDLED,
  type Route,
  type Unrecorded,
  weightOf,
} from './handling.ts'
import type { ResolvedOptions } from './options.ts'
import { deadlockError, Patience } from './patience.ts'
import type { Statistics } from './statistics.ts'
import type { Subscriptions } from './subscriptions.ts'

export class Dispatcher implements HandlingOwner, AlarmOwner {
  readonly #subscriptions: Subscriptions
  readonly #events: Events
  readonly #options: ResolvedOptions
  readonly #statistics: Statistics
  /** Made when it is first needed. */
  #alarm: Alarm | undefined = undefined
  readonly #alarms: Alarms
  readonly #host: DispatcherHost

  #driver: Driver | undefined = undefined
  /** Handlers that run, and messages that wait for them; oldest first. */
  #pending: Set<Handling> | undefined = undefined
  /** Messages that came while `maxPending` was reached, in order. */
  readonly #held = new Fifo<IncomingMessage>()
  #heldBytes = 0
  #draining = false
  /** Nothing was pending when there was room last, and nothing has been since: the question is a twentieth of a message. */
  #isQuiet = false
  /** QoS 2 messages whose ids must be recorded before a handler is called. */
  readonly #unrecorded = new Fifo<Unrecorded>()
  /** Messages of a resumed session that nobody wants yet, rule 29. */
  #unmatched: { message: IncomingMessage; driver: Driver }[] = []
  #unmatchedUntil = -Infinity
  #stoppedAt = Infinity
  /** Made for the first handler that takes its time: an idle client has none. */
  #patience: Patience | undefined = undefined

  constructor(
    parts: { subscriptions: Subscriptions; events: Events; statistics: Statistics; alarms: Alarms },
    options: ResolvedOptions,
    host: DispatcherHost,
  ) {
    this.#subscriptions = parts.subscriptions
    this.#events = parts.events
    this.#statistics = parts.statistics
    this.#options = options
    this.#host = host
    this.#alarms = parts.alarms
  }

  /** Handlers that have not finished, and messages that wait. */
  get pending(): number {
    return (this.#pending?.size ?? 0) + this.#held.length + this.#unmatched.length + this.#unrecorded.length
  }

  handleConnected(driver: Driver, sessionPresent: boolean): void {
    this.#driver = driver
    this.#patience?.resume(driver.now)
    this.#unmatchedUntil = sessionPresent ? driver.now + this.#options.unmatchedTimeout : -Infinity
  }

  /** The connection is gone: what was held will be sent again by the server. */
  handleGone(driver: Driver): void {
    if (driver !== this.#driver) return
    for (const message of this.#held.drain()) this.#giveBack(message)
    for (const { message } of this.#unmatched) this.#giveBack(message)
    this.#driver = undefined
    this.#heldBytes = 0
    this.#unmatched = []
    this.#stoppedAt = Infinity
  }

  handleAlarm(now: number): void {
    this.#endUnmatched(now)
    this.#checkDeadlock(now)
  }

  handleMessage(message: IncomingMessage, driver: Driver): void {
    if (!this.#isQuiet && this.#isFull()) return this.#hold(message, driver)
    this.#isQuiet ||= this.pending === 0
    this.#dispatch(message, driver)
  }

  /** A route was added: messages that nobody wanted may be wanted now. */
  handleRoute(): void {
    if (this.#unmatched.length === 0) return
    const unmatched = this.#unmatched
    this.#unmatched = []
    // Those that are held came later.
    const isDraining = this.#draining
    this.#draining = true
    for (const { message, driver } of unmatched) {
      if (driver === this.#driver) this.#dispatch(message, driver)
      else this.#giveBack(message)
    }
    this.#draining = isDraining
    this.#drain()
    this.#driver?.touched()
  }

  /** A route was removed: what waits for it counts as handled. */
  handleRemoved(route: Route, reasonCode = 0): void {
    const waiting = route.waiting
    route.waiting = []
    this.#patience?.handleRead(route)
    for (const handling of waiting) {
      if (reasonCode > 0) this.handleDropped()
      handling.finish(route, reasonCode, false)
    }
    this.#drain()
  }

  /** A turn is over: an answer may be awaited that was not before, and reading has to go on then (rule 31). */
  handleTurn(): void {
    if (this.#driver?.reading === false) this.#updateReading()
  }

  /** At QoS 2 it belongs to the session: the present connection gives it, or the next one (rules 18, 20). */
  acknowledge(message: IncomingMessage, driver: Driver, reasonCode: number): void {
    if (message.qos === 1) return driver.connection.acknowledge(message, reasonCode)
    const present = this.#driver
    const { connection } = present ?? driver
    // Without one the session notes it, for the time when the server repeats the message.
    connection.acknowledge(message, reasonCode, this.#host.session)
    if (present === undefined) this.#host.handleRecords()
    else if (present !== driver) present.touched()
  }

  handleFinished(handling: Handling): void {
    this.#pending?.delete(handling)
    this.#drain()
    handling.driver.touched()
  }

  /** A message was given up. */
  handleDropped(): void {
    this.#statistics.messagesDropped += 1
  }

  /** A stream is done with a message. */
  release(handling: Handling, route: Route, reasonCode = 0): void {
    route.running -= 1
    if (route.running < route.highWaterMark) this.#patience?.handleRead(route)
    handling.finish(route, reasonCode)
    this.#next(route)
    if (handling.routes.size > 0) this.#drain()
  }

  /** The message stays unacknowledged: the connection ends, and the server sends it again. */
  abandon(handling: Handling, route: Route): void {
    this.#giveBack(handling.message)
    route.running -= 1
    this.#pending?.delete(handling)
    this.#next(route)
    // A later connection may have waited for it, or the end of this one.
    const goesOn = this.#options.onHandlerError === 'acknowledge'
    if (handling.driver !== this.#driver || goesOn) this.#drain()
    this.#driver?.touched()
  }

  cancel(): void {
    this.#alarm?.cancel()
    this.#patience?.cancel()
  }

  #dispatch(message: IncomingMessage, driver: Driver): void {
    const routes = this.#subscriptions.match(message.name)
    const listened = this.#events.has('message')
    if (routes.length === 1 && !listened) {
      const route = routes[0] as Route
      const isIdle = route.running === 0 && route.waiting.length === 0
      if (isIdle && route.ack !== 'manual' && route.take === undefined)
        return this.#callAlone(message, route, driver)
    }
    if (routes.length === 0 && !listened) return this.#handleUnmatched(message, driver)
    this.#handle(message, routes, driver)
  }

  /** The short way. */
  #callAlone(message: IncomingMessage, route: Route, driver: Driver): void {
    if (route.ack === 'received' && message.qos > 0) {
      driver.connection.acknowledge(message)
      if (message.qos === 2 && driver.connection.session.journal !== undefined) {
        return this.#handleWhenStored(message, [route], driver)
      }
    }
    if (!route.borrowed) driver.connection.keep(message)
    let result: unknown
    try {
      result = route.handler(message)
    } catch (error) {
      this.#fail(error, message, driver)
      if (!this.#acknowledgesFailed()) return this.#giveBack(message)
      if (message.qos > 0 && route.ack === 'handled') driver.connection.acknowledge(message, NOT_HANDLED)
      return
    }
    if (isThenable(result)) {
      const handling = new Handling(message, driver, this)
      handling.expect(route)
      this.#track(handling)
      route.running += 1
      return this.#await(result, handling, route)
    }
    if (message.qos > 0 && route.ack === 'handled') driver.connection.acknowledge(message)
  }

  /** Several handlers, listeners, streams, acknowledgement by hand. */
  #handle(message: IncomingMessage, routes: readonly Route[], driver: Driver): void {
    const isRecorded = message.qos === 2 && driver.connection.session.journal !== undefined
    if (isRecorded && routes.length > 0 && routes.every(({ ack }) => ack === 'received')) {
      driver.connection.acknowledge(message)
      return this.#handleWhenStored(message, routes, driver)
    }
    this.#handleNow(message, routes, driver)
  }

  /** `ack: 'received'` at QoS 2 with a store: the id is recorded before a handler is called, rule 18. */
  #handleWhenStored(message: IncomingMessage, routes: readonly Route[], driver: Driver): void {
    driver.connection.keep(message)
    const recordedAt = driver.connection.session.receivedAt
    this.#isQuiet = false
    this.#unrecorded.push({ message, routes, driver, recordedAt })
  }

  /** Records are durable: messages that waited for that are handed over. */
  handleStored(upTo: number): void {
    for (let next = this.#unrecorded.first; next !== undefined; next = this.#unrecorded.first) {
      if (next.recordedAt > upTo) break
      this.#unrecorded.shift()
      this.#handleNow(next.message, next.routes, next.driver)
    }
    this.#drain()
  }

  #handleNow(message: IncomingMessage, routes: readonly Route[], driver: Driver): void {
    driver.connection.keep(message)
    const handling = new Handling(message, driver, this)
    this.#track(handling)
    for (const route of routes) handling.expect(route)
    for (const route of routes) {
      if (route.active && route.running < route.concurrency && route.waiting.length === 0) {
        this.#call(handling, route)
      } else if (route.active) {
        message.detach()
        route.waiting.push(handling)
      } else handling.finish(route, 0, false)
    }
    this.#events.emit('message', message)
    handling.begin()
    if (this.#isFull()) this.#updateReading()
  }

  #call(handling: Handling, route: Route): void {
    const { message, driver } = handling
    route.running += 1
    if (route.take !== undefined) {
      message.detach()
      if (route.running >= route.highWaterMark) this.#patient().handleFull(route, driver.now)
      return route.take(handling)
    }
    let result: unknown
    try {
      result = route.handler(message)
    } catch (error) {
      return this.#handleRejected(error, handling, route)
    }
    if (isThenable(result)) this.#await(result, handling, route)
    else this.release(handling, route)
  }

  #await(result: PromiseLike<unknown>, handling: Handling, route: Route): void {
    const patience = this.#patient()
    const run = patience.begin(handling, route)
    // By a promise of ours: what is thenable may throw, or call back twice. What comes after its time is of no account.
    Promise.resolve(result).then(
      () => {
        if (patience.end(run)) this.release(handling, route)
      },
      (error: unknown) => {
        if (patience.end(run)) this.#handleRejected(error, handling, route)
      },
    )
  }

  #handleRejected(error: unknown, handling: Handling, route: Route): void {
    this.#fail(error, handling.message, handling.driver)
    if (this.#acknowledgesFailed()) this.release(handling, route, NOT_HANDLED)
    else this.abandon(handling, route)
  }

  /** Whether what a handler failed on counts as handled; not when it may have failed of the client's end, rule 6. */
  #acknowledgesFailed(): boolean {
    return this.#options.onHandlerError === 'acknowledge' && this.#host.closedError === undefined
  }

  /** One after the other: a handler that returns at once asks for the next one itself. */
  #next(route: Route): void {
    if (route.advancing) return
    route.advancing = true
    while (route.running < route.concurrency) {
      const handling = route.waiting.shift()
      if (handling === undefined) break
      this.#call(handling, route)
    }
    route.advancing = false
  }

  #fail(cause: unknown, message: IncomingMessage, driver: Driver): void {
    const policy = this.#options.onHandlerError
    const text = `a handler failed on a message to "${message.topic}": ${textOf(cause)}`
    const error = new MqttError('handler-failed', text, cause)
    this.#events.emit('error', { error, message })
    // An exchange of QoS 2 may have gone over to a later connection.
    if (policy === 'reconnect') (message.qos === 2 ? this.#driver : driver)?.abort(error, NOT_HANDLED)
    else if (policy === 'stop') this.#host.destroy(error)
  }

  #handleUnmatched(message: IncomingMessage, driver: Driver): void {
    if (message.qos > 0 && this.#unmatchedUntil > driver.now) {
      driver.connection.keep(message)
      message.detach()
      this.#isQuiet = false
      this.#unmatched.push({ message, driver })
      this.#wakeAt(this.#unmatchedUntil)
      if (this.#isFull()) this.#updateReading()
      return
    }
    this.#statistics.messagesUnmatched += 1
    if (this.#events.has('unmatched')) {
      driver.connection.keep(message)
      this.#events.emit('unmatched', { message })
    }
    if (message.qos > 0) driver.connection.acknowledge(message)
  }

  #track(handling: Handling): void {
    this.#isQuiet = false
    this.#pending ??= new Set()
    this.#pending.add(handling)
  }

  #patient(): Patience {
    return (this.#patience ??= new Patience(
      this.#alarms,
      this.#events,
      this.#options.handlerTimeout,
      (error, handling, route) => this.#handleRejected(error, handling, route),
    ))
  }

  #hasNoRoom(): boolean {
    const { maxPending } = this.#options
    return this.pending - this.#held.length >= maxPending || this.#patience?.hasFullStreams === true
  }

  #isFull(): boolean {
    return this.#held.length > 0 || this.#hasNoRoom()
  }

  /** There is no room: the message waits in order. */
  #hold(message: IncomingMessage, driver: Driver): void {
    driver.connection.keep(message)
    message.detach()
    this.#held.push(message)
    this.#heldBytes += weightOf(message)
    this.#updateReading()
  }

  /** Hands over what was held, as far as there is room: one after the other, though each may make room itself. */
  #drain(): void {
    if (this.#draining || (this.#held.length === 0 && this.#driver?.reading !== false)) return
    this.#draining = true
    for (let driver = this.#driver; driver !== undefined && !this.#hasNoRoom(); driver = this.#driver) {
      const message = this.#held.shift()
      if (message === undefined) break
      this.#heldBytes -= weightOf(message)
      this.#dispatch(message, driver)
    }
    this.#draining = false
    this.#updateReading()
    this.#driver?.touched()
  }

  /** Reading goes on while there is room, or while an answer of the server is awaited, which lies behind. */
  #updateReading(): void {
    const driver = this.#driver
    if (driver === undefined) return
    const { maxPendingBytes, operationTimeout } = this.#options
    const full = this.#isFull()
    const awaits = driver.connection.awaitsAnswer
    const reading = !full || (awaits && this.#heldBytes < maxPendingBytes)
    driver.setReading(reading)
    if (reading || !awaits) this.#stoppedAt = Infinity
    else if (this.#stoppedAt === Infinity && operationTimeout > 0) {
      this.#stoppedAt = driver.now
      this.#wakeAt(this.#stoppedAt + operationTimeout)
    }
  }

  #endUnmatched(now: number): void {
    if (this.#unmatched.length === 0) return
    if (now < this.#unmatchedUntil) return this.#wakeAt(this.#unmatchedUntil)
    this.#unmatchedUntil = -Infinity
    this.handleRoute()
    this.#driver?.touched()
  }

  #wakeAt(at: number): void {
    this.#alarm ??= new Alarm(this.#alarms, this)
    this.#alarm.set(at)
  }

  #checkDeadlock(now: number): void {
    const driver = this.#driver
    if (this.#stoppedAt === Infinity || driver === undefined) return
    const due = this.#stoppedAt + this.#options.operationTimeout
    if (now < due) return this.#wakeAt(due)
    this.#stoppedAt = Infinity
    const error = deadlockError(this.#options)
    this.#events.emit('error', { error })
    driver.abort(error, 0x97)
  }

  /** The server will send the message again: at QoS 2 it must be new to the session then, or it would be a repetition. */
  #giveBack({ qos, packetId, place }: IncomingMessage): void {
    if (qos === 2) this.#host.session.received.giveBack(packetId, place)
  }
}

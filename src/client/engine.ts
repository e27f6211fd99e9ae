/**
 * What keeps a client connected: wanted or not, the next attempt, the connection that stands, and its end.
 *
 *     connect() ─► attempt ─► connected ─► lost ─► back-off ─► attempt …
 *                     │            └─ disconnect(), destroy() ─► stopped
 *                     └─ fails ─► back-off, or stopped when it was the first
 *
 * It owns the session, which outlives connections, and hands events of the connection to those whose they are.
 */

import { type Closed, type Connected, isAwaited, type OtherEvent } from '../core/connection/events.ts'
import { ClosedError, disconnected, type MqttError, UsageError } from '../core/errors.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import type { DisconnectPacket } from '../core/packets/types.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import { abortable, whenAborted } from './abortable.ts'
import { Appointment } from './appointment.ts'
import { Attempt } from './attempt.ts'
import { asksAnew, Backoff } from './backoff.ts'
import { createDeferred, type Deferred } from './deferred.ts'
import { CLOSE_TIMEOUT, type Driver } from './driver.ts'
import type { ClientState, ConnectResult, Events } from './events.ts'
import type { EngineClient } from './engine-client.ts'
import { Leaving } from './leaving.ts'
import { Opener, type OpenerHost } from './opener.ts'
import type { ResolvedOptions } from './options.ts'
import type { PoolResources } from './pool-resources.ts'
import { ProcessHold } from './process-hold.ts'
import { type KeeperHost, SessionKeeper } from './session-keeper.ts'
import type { Statistics } from './statistics.ts'

export class Engine implements OpenerHost, KeeperHost {
  readonly options: ResolvedOptions
  readonly resources: PoolResources
  readonly opener: Opener
  readonly backoff: Backoff
  readonly #client: EngineClient
  readonly #events: Events
  readonly #statistics: Statistics
  readonly #keeper: SessionKeeper
  /** Back-off, attempt time-out and drain: never two at once. */
  readonly #appointment: Appointment
  /** Whether the process is kept alive. */
  readonly hold: ProcessHold

  state: ClientState = 'stopped'
  /** The driver of the connection that stands. */
  driver: Driver | undefined = undefined
  /** The same while the state is `connected`: what is published goes there. */
  connected: Driver | undefined = undefined
  /** Why nothing is taken any more. */
  closedError: MqttError | undefined = undefined

  #attempt: Attempt | undefined = undefined
  /** The number of the present attempt. */
  attempts = 0
  #connecting: Deferred<ConnectResult> | undefined = undefined
  #result: ConnectResult | undefined = undefined
  /** A connection stood since `connect()`. */
  #everConnected = false
  #connectedAt = 0
  /** Set while `disconnect()` is under way. */
  #leaving: Leaving | undefined = undefined
  #wasConnected = false
  /** How often the user has ended it, which listeners and functions of his may do at any time. */
  #ends = 0

  constructor(
    client: EngineClient,
    parts: { events: Events; statistics: Statistics; resources: PoolResources },
    options: ResolvedOptions,
    givenClientId: boolean,
  ) {
    const { runtime, alarms } = parts.resources
    this.#client = client
    this.#events = parts.events
    this.#statistics = parts.statistics
    this.options = options
    this.resources = parts.resources
    this.opener = new Opener(options, parts.resources, parts.events, this)
    this.backoff = new Backoff(options.reconnect, runtime, asksAnew(options))
    this.#appointment = new Appointment(alarms)
    this.hold = new ProcessHold(alarms)
    this.#keeper = new SessionKeeper(options, givenClientId, runtime, this)
  }

  get session(): Session {
    return this.#keeper.session
  }

  get clientId(): string {
    return this.#result?.settings.clientId ?? this.#keeper.clientId
  }

  #isStopped(): boolean {
    return this.state === 'stopped' && this.#attempt === undefined
  }

  get now(): number {
    return this.driver?.now ?? this.resources.runtime.now()
  }

  // What the user wants.

  connect(signal: AbortSignal | undefined): ConnectResult | Promise<ConnectResult> {
    signal?.throwIfAborted()
    if (this.connected !== undefined && this.#result !== undefined) return this.#result
    if (this.#leaving !== undefined) {
      const ends = this.#ends
      const ended = this.#leaving.ended.promise.then(() => {
        if (ends !== this.#ends) throw disconnected()
        return this.connect(signal)
      })
      return abortable(ended, signal)
    }
    const connecting = (this.#connecting ??= createDeferred())
    if (!this.#isStopped()) {
      this.reconnectNow()
      return abortable(connecting.promise, signal)
    }
    this.#begin()
    const stop = whenAborted(signal, (reason) => this.#abortConnecting(connecting, reason))
    if (signal?.aborted) this.#abortConnecting(connecting, signal.reason) // By a listener.
    return connecting.promise.finally(stop)
  }

  /** The attempt that waits is made at once. */
  reconnectNow(): void {
    const isClosing = this.closedError !== undefined
    if (this.state === 'waiting' && this.#attempt === undefined && !isClosing) this.#startAttempt()
  }

  /** Rule 6. */
  disconnect(drain: number, packet: DisconnectPacket): Promise<void> {
    this.#ends += 1
    if (this.#leaving !== undefined) return this.#leaving.ended.promise
    if (this.#isStopped()) {
      const isFirst = this.closedError === undefined
      const closed = (this.closedError ??= disconnected())
      return this.#settle(closed).then(() => {
        if (isFirst && this.closedError === closed) this.#events.emit('closed', { error: undefined })
      })
    }
    const leaving = new Leaving(packet, this.#client)
    this.#leaving = leaving
    this.closedError = disconnected()
    this.#wasConnected ||= this.state === 'connected'
    this.#move('disconnecting')
    this.#attempt?.abort(this.closedError)
    if (this.driver === undefined) this.#finish()
    else if (drain > 0 && !leaving.isReady(this.driver))
      this.#appointment.set(this.now + drain, () => this.#leave())
    else this.#leave()
    return leaving.ended.promise
  }

  /** No DISCONNECT: the server publishes the will. */
  destroy(cause: unknown): void {
    this.#ends += 1
    if (this.#isStopped() && this.closedError !== undefined) return
    const error = new ClosedError('destroyed', 'the client was destroyed', false, cause)
    this.#wasConnected = this.state === 'connected' || this.#wasConnected
    this.#stop(error, cause)
  }

  setKeepsAlive(keepsAlive: boolean): void {
    this.hold.wanted = keepsAlive
    for (const driver of [this.driver, this.#attempt?.driver]) driver?.setKeepsAlive(keepsAlive)
    this.hold.update(this.state)
  }

  watchPackets(watched: boolean): void {
    for (const driver of [this.driver, this.#attempt?.driver]) driver?.connection.watch(watched)
  }

  /** Records may be waiting. */
  handleRecords(): void {
    this.#keeper.flush()
  }

  // What the driver tells.

  handleMessage(message: IncomingMessage, driver: Driver): void {
    const isWanted = driver === this.driver && this.#leaving?.isLast !== true
    if (isWanted) this.#client.handleMessage(message, driver)
    else if (message.qos === 2) driver.connection.session.received.giveBack(message.packetId, message.place)
  }

  handleEvent(event: OtherEvent, driver: Driver): void {
    const attempt = this.#attempt?.driver === driver ? this.#attempt : undefined
    // What a connection says after it was given up concerns only those who wait for it.
    const isCurrent = driver === this.driver || attempt !== undefined
    if (!isCurrent && !isAwaited(event)) return
    // Before a listener is called: what it publishes belongs to the session that goes on.
    const isLost = event.type === 'sessionLost' && this.#isStopped()
    if (isCurrent || isLost) this.#keeper.session = driver.connection.session
    if (event.type === 'connected') this.#handleConnected(event, driver)
    else if (event.type !== 'closed') this.#client.handleEvent(event, driver)
    else if (attempt === undefined) this.#handleClosed(event, driver)
    else attempt.handleFailed(event.error ?? disconnected())
  }

  handleTurn(): void {
    this.#client.handleTurn()
    if (this.#isReadyToLeave()) this.#appointment.keep()
  }

  handleFlushed(driver: Driver): void {
    if (driver !== this.driver) return
    this.#client.handleFlushed(driver)
    if (this.#isReadyToLeave()) driver.touched()
  }

  handleGone(driver: Driver): void {
    if (this.#attempt?.driver === driver) this.#attempt.handleFailed(disconnected())
    if (this.#leaving !== undefined && this.driver === undefined) this.#finish()
  }

  // What the opener asks and tells.

  handleDialing(attempt: Attempt): void {
    this.#move('dialing')
    this.#appointment.set(this.now + this.options.connectTimeout, () => attempt.handleTimeout())
  }

  handleHandshaking(): void {
    this.#move('handshaking')
  }

  // What the keeper of the session tells.

  handleFailed(deliveries: readonly Delivery[]): void {
    this.#client.handleFailed(deliveries)
  }

  handleStored(upTo: number): void {
    this.driver?.connection.handleStored(upTo, this.now)
    this.#client.handleStored(upTo)
    this.driver?.touched()
  }

  handleStoreFailed(error: MqttError): void {
    this.#events.emit('error', { error })
    const { driver } = this
    if (driver === undefined) return this.#client.handleFailed(this.session.failUnstored(error))
    driver.connection.handleStoreFailed(error, this.now)
    driver.touched()
  }

  // In the order in which they are called.

  #move(to: ClientState): void {
    const from = this.state
    if (from === to) return
    this.state = to
    this.connected = to === 'connected' ? this.driver : undefined
    this.hold.update(to)
    this.#events.emit('state', { from, to })
  }

  #begin(): void {
    this.closedError = undefined
    this.opener.begin()
    this.backoff.reset()
    this.attempts = 0
    this.#everConnected = this.#wasConnected = false
    this.#keeper.begin()
    this.#startAttempt()
  }

  #startAttempt(): void {
    this.#appointment.clear()
    const attempt = new Attempt(this.opener)
    this.#attempt = attempt
    this.attempts += 1
    this.#move('dialing')
    if (this.#attempt !== attempt) return
    this.#keeper
      .open()
      .then(() => (this.#attempt === attempt ? attempt.run() : undefined))
      .catch((error: unknown) => this.#handleAttemptFailed(attempt, error))
  }

  #handleConnected(event: Connected, driver: Driver): void {
    const reconnected = this.#everConnected
    const { sessionPresent, reasonCode, settings, adopted } = event
    const { protocolVersion } = settings
    const attempt = this.#attempt
    this.#attempt = undefined
    this.#appointment.clear()
    this.driver = driver
    this.#connectedAt = driver.now
    this.#everConnected = true
    this.opener.maker.handleConnected(settings)
    this.#result = { sessionPresent, reasonCode, settings, protocolVersion, adopted }
    attempt?.handleOpened()
    this.#move('connected')
    // Listeners may have ended it.
    if (this.connected === undefined) return
    this.#client.handleConnected(event, driver)
    driver.hold()
    this.#connecting?.resolve(this.#result)
    this.#connecting = undefined
    if (reconnected) this.#statistics.reconnects += 1
    this.#events.emit('connected', { ...this.#result, reconnected })
    if (reconnected) this.#events.emit('resumed', { ...this.#result, reconnected })
  }

  #handleAttemptFailed(attempt: Attempt, error: unknown): void {
    if (this.#attempt !== attempt) return
    this.#attempt = undefined
    this.#appointment.clear()
    if (this.#leaving !== undefined) return
    const retry = this.#everConnected || (this.options.retryInitialConnect && !(error instanceof UsageError))
    // Retries are counted: the user's own attempt is none, the first behind a connection is one.
    const next = this.#everConnected ? this.attempts + 1 : this.attempts
    const ends = this.#ends
    const asked = retry ? this.backoff.next(error, next) : 'stop'
    const delay = ends === this.#ends ? asked : 'stop'
    const wait = delay === 'stop' ? undefined : delay
    this.#events.emit('connectFailed', { error, attempt: this.attempts, delay: wait })
    if (ends !== this.#ends) return
    if (delay !== 'stop') return this.#wait(delay)
    if (this.#everConnected) return this.#giveUp(error)
    void this.#keeper.close()
    this.#rejectConnecting(error)
    this.#move('stopped')
  }

  #handleClosed(event: Closed, driver: Driver): void {
    const { error, packet } = event
    const ends = this.#ends
    this.driver = this.connected = undefined
    const cause = error ?? this.closedError ?? disconnected()
    this.#client.handleLost(driver, cause)
    if (ends !== this.#ends || this.#leaving !== undefined) return
    this.attempts = 0
    if (driver.now - this.#connectedAt >= this.backoff.resetAfter) this.backoff.reset()
    const next = this.backoff.next(cause, 1)
    if (ends !== this.#ends) return
    if (next === 'stop') this.#move('stopped')
    else this.#wait(next)
    // Listeners may have ended it.
    const delay = next === 'stop' || ends !== this.#ends ? undefined : next
    this.#events.emit('disconnected', { error, reason: packet, willReconnect: delay !== undefined, delay })
    this.#events.emit('interrupted', { error: cause })
    if (next === 'stop' && this.#isStopped() && this.closedError === undefined) this.#giveUp(cause)
  }

  #wait(delay: number): void {
    this.#appointment.set(this.now + delay, () => this.#startAttempt())
    this.#move('waiting')
  }

  #giveUp(error: unknown): void {
    this.#stop(new ClosedError('disconnected', 'reconnecting was given up', false, error), error)
  }

  #abortConnecting(connecting: Deferred<ConnectResult>, reason: unknown): void {
    if (connecting !== this.#connecting || this.driver !== undefined) return
    this.#ends += 1
    this.#rejectConnecting(reason)
    const attempt = this.#attempt
    this.#attempt = undefined
    attempt?.abort(reason)
    this.#appointment.clear()
    void this.#keeper.close()
    this.#move('stopped')
  }

  #isReadyToLeave(): boolean {
    const { driver } = this
    return driver !== undefined && this.#appointment.isSet && this.#leaving?.isReady(driver) === true
  }

  #leave(): void {
    const { driver } = this
    this.#appointment.clear()
    if (driver === undefined || this.#leaving?.leave(driver) !== false) return
    this.#appointment.set(this.now + CLOSE_TIMEOUT, () => this.#leave())
  }

  /** The stream is gone after `disconnect()`. */
  #finish(): void {
    const leaving = this.#leaving
    if (leaving === undefined) return
    this.#attempt = undefined
    this.#appointment.clear()
    const error = disconnected()
    this.closedError = error
    this.#rejectConnecting(error)
    const ended = (): void => {
      if (this.#leaving !== leaving) return
      this.#leaving = undefined
      this.#move('stopped')
      const wasConnected = this.#wasConnected
      this.#wasConnected = false
      if (wasConnected) this.#tellDisconnected(undefined)
      this.#events.emit('closed', { error: undefined })
      leaving.ended.resolve()
    }
    void this.#settle(error).then(ended)
  }

  /** At once: no DISCONNECT, nobody waits. */
  #stop(closed: ClosedError, cause: unknown): void {
    const { driver } = this
    const attempt = this.#attempt
    const leaving = this.#leaving
    const ends = this.#ends
    this.closedError = closed
    this.driver = this.connected = undefined
    this.#attempt = undefined
    this.#leaving = undefined
    this.#appointment.clear()
    attempt?.abort(closed)
    driver?.destroy()
    if (driver !== undefined) this.#client.handleLost(driver, closed)
    if (ends !== this.#ends) return leaving?.ended.resolve()
    void this.#settle(closed)
    // A listener that was told of a message has begun anew.
    if (this.closedError !== closed) return leaving?.ended.resolve()
    this.#rejectConnecting(closed)
    this.#move('stopped')
    const wasConnected = this.#wasConnected
    this.#wasConnected = false
    if (wasConnected) this.#tellDisconnected(closed)
    this.#events.emit('closed', { error: cause })
    leaving?.ended.resolve()
  }

  /** All that waits is settled, the store closed, and what it keeps told when it has the last records; then it resolves. */
  async #settle(error: MqttError): Promise<void> {
    if (!this.#keeper.isKept) this.#keeper.discard(error)
    if (this.closedError !== error) return
    const closed = this.#keeper.close()
    this.#client.handleClosed(error, this.options.store === undefined ? undefined : closed)
    await closed
  }

  #tellDisconnected(error: MqttError | undefined): void {
    this.#events.emit('disconnected', { error, reason: undefined, willReconnect: false, delay: undefined })
  }

  #rejectConnecting(error: unknown): void {
    this.#connecting?.reject(error)
    this.#connecting = undefined
  }
}

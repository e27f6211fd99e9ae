/**
 * `Client`: what users hold. It survives reconnects, and it is a door: each room behind it has a file of its own.
 *
 *     publish, send, publishAll ─► Publisher ─┐
 *     subscribe, messages, route ─► Subscriber ├─► Engine ─► Driver ─► Connection
 *     connect, disconnect, destroy ───────────┘      │
 *     handlers ◄─ Dispatcher ◄───────────────────────┘
 */

import type { Closed, Connected, ConnectionEvent } from '../core/connection/events.ts'
import type { NegotiatedSettings } from '../core/connection/negotiated.ts'
import { Operation } from '../core/connection/operations.ts'
import { ConnectionError, type MqttError, ClosedError, UsageError } from '../core/errors.ts'
import type { Properties } from '../core/packets/types.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import { topicFilterFault } from '../core/topics/topic.ts'
import { Batch, publishAll, type PublishAllOptions, type PublishAllResult } from './batch.ts'
import type { ClientOptions } from './client-options.ts'
import type { Credentials, Will } from './connect-options.ts'
import { asBytes } from './connect-packet.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Driver } from './driver.ts'
import { Engine, type EngineClient } from './engine.ts'
import {
  type ClientEvents,
  type ClientState,
  type ConnectResult,
  Events,
  type PendingDelivery,
} from './events.ts'
import type { Handler } from './message.ts'
import type { MessageStream } from './message-stream.ts'
import { checkFunction, needsVersion5, type Payload } from './option-checks.ts'
import { type ResolvedOptions, resolveOptions } from './options.ts'
import { owedBy, pendingOf } from './pending.ts'
import type { PoolResources } from './pool-resources.ts'
import {
  type DisconnectOptions,
  type OutgoingMessage,
  type PublishOptions,
  resolveDisconnect,
  type SendOptions,
} from './publish-options.ts'
import { abortable, Publisher, type PublishResult } from './publisher.ts'
import type { SubscribeResult, Subscription, UnsubscribeResult } from './requests.ts'
import { type StatisticsSnapshot, snapshot, Statistics } from './statistics.ts'
import {
  checkFilterNames,
  checkFilters,
  checkRouteOptions,
  checkSubscribeOptions,
  checkUnsubscribeOptions,
  type FilterInput,
  type RouteOptions,
  type SubscribeOptions,
  type UnsubscribeOptions,
} from './subscribe-options.ts'
import { Subscriber } from './subscriber.ts'
import { Subscriptions } from './subscriptions.ts'

/** What the server said at the end of a re-authentication. */
export interface AuthResult {
  readonly properties: Properties | undefined
}

export class Client {
  readonly #options: ResolvedOptions
  readonly #events: Events
  readonly #statistics = new Statistics()
  readonly #engine: Engine
  readonly #publisher: Publisher
  readonly #subscriber: Subscriber
  readonly #dispatcher: Dispatcher
  readonly #batches = new Set<Batch>()
  readonly #closed: (client: Client) => void

  /** Use `createClient`, `connect` or a `ClientPool`. @internal */
  constructor(
    urls: string | URL | readonly (string | URL)[],
    options: ClientOptions | undefined,
    resources: PoolResources,
    closed: (client: Client) => void,
  ) {
    const { runtime } = resources
    this.#closed = closed
    this.#options = resolveOptions(urls, options, () => runtime.random())
    const own =
      this.#options.runtime === undefined ? resources : { ...resources, runtime: this.#options.runtime }
    this.#events = new Events((error) => own.runtime.report(error))
    const parts = { events: this.#events, statistics: this.#statistics, resources: own }
    this.#engine = new Engine(this.#engineClient(), parts, this.#options, options?.clientId !== undefined)
    const subscriptions = new Subscriptions()
    this.#dispatcher = new Dispatcher(
      { subscriptions, events: this.#events, statistics: this.#statistics, alarms: own.alarms },
      this.#options,
      (error) => this.destroy(error),
    )
    const engine = this.#engine
    const dispatcher = this.#dispatcher
    this.#publisher = new Publisher(
      {
        host: {
          get driver() {
            return engine.state === 'connected' ? engine.driver : undefined
          },
          get session() {
            return engine.session
          },
          get closedError() {
            return engine.closedError
          },
          get now() {
            return engine.now
          },
          handleQueued: () => {
            if (engine.options.store !== undefined) engine.handleRecords()
            dispatcher.reconsider()
          },
          describe: (delivery) => this.#describe(delivery),
        },
        names: own.names,
        events: this.#events,
        statistics: this.#statistics,
      },
      this.#options,
    )
    this.#subscriber = new Subscriber(
      { subscriptions, dispatcher, events: this.#events, host: engine },
      this.#options,
    )
  }

  /** Where the client is in its life. */
  get state(): ClientState {
    return this.#engine.state
  }

  /** As used on the wire; the server's, when it assigned one. */
  get clientId(): string {
    return this.#engine.clientId
  }

  /** What the present connection has negotiated; undefined without one. */
  get settings(): NegotiatedSettings | undefined {
    return this.#engine.driver?.connection.settings
  }

  /** A snapshot of what was done and is owed. */
  get statistics(): StatisticsSnapshot {
    const { session, traffic } = this.#engine
    const requests = this.#subscriber.requests
    return snapshot(
      traffic,
      this.#statistics,
      owedBy(session, this.#publisher.waiting, requests.size, requests.unanswered),
    )
  }

  /** Messages of QoS 1 and 2 that are owed; from `connect()` on those of the store, too. */
  get pending(): readonly PendingDelivery[] {
    return pendingOf(this.#engine.session, (delivery) => this.#describe(delivery))
  }

  /**
   * Connects, and stays connected until `disconnect()` or `destroy()`. Joins an attempt that is under way.
   *
   * @throws RefusedError, ConnectionError, ProtocolError when the first attempt fails (option `retryInitialConnect`)
   */
  connect(options: { signal?: AbortSignal } = {}): Promise<ConnectResult> {
    return this.#engine.connect(options.signal)
  }

  /**
   * Sends DISCONNECT and stops, 3.14. Waits up to `drain` ms for what is owed; the rest rejects with `ClosedError`.
   * In any state, and as often as wanted.
   *
   * @throws UsageError
   */
  async disconnect(options?: DisconnectOptions): Promise<void> {
    const expiry = this.settings?.sessionExpiryInterval ?? this.#options.sessionExpiryInterval
    const { drain, reasonCode, properties } = resolveDisconnect(options, this.#options.version5, expiry)
    await this.#engine.disconnect(drain, { type: 'disconnect', reasonCode, properties })
    this.#closed(this)
  }

  /** Ends the connection without DISCONNECT, so that the server publishes the will, and stops. */
  destroy(error?: Error): void {
    this.#engine.destroy(error)
    this.#closed(this)
  }

  /** Makes the attempt that waits at once. */
  reconnectNow(): void {
    this.#engine.reconnectNow()
  }

  /**
   * Publishes a message. The promise settles exactly once: at QoS 0 when the packet was handed to the network, at 1
   * with PUBACK, at 2 with PUBCOMP. The payload is copied, unless it is lent by `payload: 'borrowed'`.
   *
   * @throws UsageError, RefusedError, ConnectionError, ClosedError: the promise rejects, the call never throws
   */
  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    return this.#publisher.publish(topic, payload, options)
  }

  /**
   * Publishes at QoS 0 without a promise. False: the network takes less than is written, wait for `drained()`;
   * without a connection the message is dropped and counted.
   *
   * @throws UsageError
   */
  send(topic: string, payload: Payload, options?: SendOptions): boolean {
    return this.#publisher.send(topic, payload, options)
  }

  /** Resolves when the network has taken what was sent. */
  drained(): Promise<void> {
    return this.#publisher.drained()
  }

  /**
   * Publishes many messages, windowed; resolves when all have settled. Single failures are in the result.
   *
   * @throws what the iterable throws, ClosedError, the signal's reason
   */
  publishAll(
    messages: Iterable<OutgoingMessage> | AsyncIterable<OutgoingMessage>,
    options: PublishAllOptions = {},
  ): Promise<PublishAllResult> {
    const { signal } = options
    const batch = this.#batch(options)
    const wake = (): void => batch.wake()
    signal?.addEventListener('abort', wake, { once: true })
    const done = publishAll(batch, messages, signal).finally(() => {
      signal?.removeEventListener('abort', wake)
      this.#batches.delete(batch)
    })
    return signal === undefined ? done : abortable(done, signal)
  }

  /** The same as a WHATWG stream: writing waits for the window, closing for all acknowledgements. */
  writable(options: PublishAllOptions = {}): WritableStream<OutgoingMessage> {
    const batch = this.#batch(options)
    return new WritableStream<OutgoingMessage>({
      write: async (message) => {
        while (batch.full) await batch.room()
        batch.add(message)
      },
      close: async () => {
        const { failures } = await batch.finish()
        this.#batches.delete(batch)
        if (failures[0] !== undefined) throw failures[0].error
      },
      abort: () => void this.#batches.delete(batch),
    })
  }

  /**
   * Subscribes, 3.8. The handler is attached at once, as messages may precede the answer.
   *
   * @throws UsageError, RefusedError when all filters were refused, ConnectionError, ClosedError
   */
  async subscribe(filter: FilterInput, handler: Handler): Promise<Subscription>
  async subscribe(filter: FilterInput, options?: SubscribeOptions, handler?: Handler): Promise<Subscription>
  async subscribe(
    filter: FilterInput,
    options?: SubscribeOptions | Handler,
    handler?: Handler,
  ): Promise<Subscription> {
    const isHandler = typeof options === 'function'
    const called = isHandler ? options : handler
    const given = isHandler ? undefined : options
    if (called !== undefined) checkFunction('handler', called)
    const { version5 } = this.#options
    const call = checkSubscribeOptions(given, version5)
    return this.#subscriber.subscribe(checkFilters(filter, given, version5), call, called)
  }

  /**
   * The messages of a subscription as an async iterable; subscribes when it is first read. Leaving the loop
   * unsubscribes.
   *
   * @throws UsageError
   */
  messages(filter: string | readonly string[], options?: SubscribeOptions): MessageStream {
    const { version5 } = this.#options
    const call = checkSubscribeOptions(options, version5)
    return this.#subscriber.messages(checkFilters(filter, options, version5), call)
  }

  /**
   * Attaches a handler without SUBSCRIBE, also before `connect()`: for a resumed session. Returns how to detach it.
   *
   * @throws UsageError
   */
  route(filter: string, handler: Handler, options?: RouteOptions): () => void {
    const fault = topicFilterFault(filter)
    if (fault !== undefined) throw new UsageError('invalid-filter', 'filter', fault)
    checkFunction('handler', handler)
    return this.#subscriber.route(filter, handler, checkRouteOptions(options))
  }

  /** Removes every handler of the filters and unsubscribes, 3.10. @throws UsageError, RefusedError, ConnectionError */
  async unsubscribe(
    filter: string | readonly string[],
    options?: UnsubscribeOptions,
  ): Promise<UnsubscribeResult> {
    const call = checkUnsubscribeOptions(options, this.#options.version5)
    return this.#subscriber.unsubscribe(checkFilterNames(filter), call)
  }

  /** Subscribes to all filters again. @throws UsageError, ConnectionError, ClosedError */
  async resubscribe(options?: UnsubscribeOptions): Promise<readonly SubscribeResult[]> {
    const { signal } = checkUnsubscribeOptions(options, this.#options.version5)
    const done = this.#subscriber.resubscribe()
    return signal === undefined ? done : abortable(done, signal)
  }

  /** Sends PINGREQ; resolves with the round-trip time in ms. @throws ConnectionError `not-connected`, `ping-timeout` */
  async ping(options: { signal?: AbortSignal } = {}): Promise<number> {
    options.signal?.throwIfAborted()
    const driver = this.#connected('ping()')
    const operation = new Operation('ping', { timeout: driver.connection.pingTimeout })
    const done = ask(operation).then(() => operation.roundTrip)
    driver.connection.ping(operation, driver.now)
    driver.touched()
    return options.signal === undefined ? done : abortable(done, options.signal)
  }

  /** Authenticates anew on the present connection, version 5 (4.12.1). @throws UsageError, RefusedError, ConnectionError */
  async reauthenticate(data?: Payload): Promise<AuthResult> {
    const { authentication } = this.#options
    if (authentication === undefined) throw needsVersion5('authentication')
    const driver = this.#connected('reauthenticate()')
    const given = data ?? (await authentication.start())
    const operation = new Operation('reauthenticate')
    const done = ask(operation).then(() => ({ properties: operation.result }))
    driver.connection.reauthenticate(operation, {
      authenticationMethod: authentication.method,
      authenticationData: given === undefined ? undefined : asBytes(given),
    })
    driver.touched()
    return done
  }

  /** The will of the next CONNECT. @throws UsageError */
  setWill(will: Will | undefined): void {
    this.#engine.maker.setWill(will)
  }

  /** The login of the next CONNECT. @throws UsageError */
  setLogin(login: Credentials | undefined): void {
    this.#engine.maker.setLogin(login)
  }

  /** The delay before a reconnect doubles from `min` to `max` ms. @throws UsageError */
  setReconnectTimeout(min: number, max: number): void {
    this.#engine.backoff.setLimits(min, max)
  }

  /** Listens to an event; returns how to stop. */
  on<Name extends keyof ClientEvents>(
    event: Name,
    listener: (event: ClientEvents[Name]) => void,
    options: { signal?: AbortSignal; once?: boolean } = {},
  ): () => void {
    const off = this.#events.on(event, listener, options.once ?? false)
    const stop = (): void => {
      off()
      if (event === 'packet') this.#engine.watchPackets(this.#events.has('packet'))
    }
    if (event === 'packet') this.#engine.watchPackets(true)
    if (options.signal?.aborted) stop()
    options.signal?.addEventListener('abort', stop, { once: true })
    return stop
  }

  /** The client keeps the process alive, which it does by default. */
  ref(): this {
    this.#engine.setKeepsAlive(true)
    return this
  }

  /** The client does not keep the process alive. */
  unref(): this {
    this.#engine.setKeepsAlive(false)
    return this
  }

  /** `disconnect({ drain: 5_000 })` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect({ drain: 5_000 })
  }

  #batch(options: PublishAllOptions): Batch {
    const batch = new Batch(this.#publisher, options, this.#options.maxInflight)
    this.#batches.add(batch)
    return batch
  }

  #connected(what: string): Driver {
    const { driver, closedError, state } = this.#engine
    if (closedError !== undefined) throw closedError
    if (driver !== undefined && state === 'connected') return driver
    throw new ConnectionError('not-connected', `${what} needs a connection, the client is ${state}`, {
      phase: 'established',
    })
  }

  #describe(delivery: Delivery): PendingDelivery {
    const { runtime } = this.#engine.resources
    const { name, qos, state, createdAt, attempts, packetId } = delivery
    const since = runtime.wallTime() - (runtime.now() - createdAt)
    return {
      topic: name.text,
      qos,
      stage: state,
      since,
      attempts,
      packetId: packetId === 0 ? undefined : packetId,
    }
  }

  /** What the engine tells, passed on to those whose it is. */
  #engineClient(): EngineClient {
    const client = this
    return {
      handleEvent: (event, driver) => this.#handleEvent(event, driver),
      handleConnected: (event: Connected, driver) => {
        this.#dispatcher.handleConnected(driver, event.sessionPresent)
        this.#subscriber.handleConnected(driver, event.sessionPresent)
      },
      handleGone: (driver, error) => {
        this.#publisher.handleGone(error)
        this.#dispatcher.handleGone(driver)
        this.#subscriber.requests.handleGone()
      },
      handleTurn: () => {
        for (const batch of this.#batches) batch.handleTurn()
      },
      handleFlushed: (driver) => this.#publisher.handleFlushed(driver),
      handleStored: (upTo) => {
        this.#publisher.handleStored(upTo)
        this.#dispatcher.handleStored(upTo)
      },
      handleFailedDeliveries: (deliveries) => {
        for (const delivery of deliveries) this.#publisher.handleSettled(delivery)
      },
      handleClosed: (error, kept) => this.#handleClosed(error, kept),
      get isIdle() {
        return client.#isIdle
      },
    }
  }

  #handleEvent(event: Exclude<ConnectionEvent, Closed | Connected>, driver: Driver): void {
    switch (event.type) {
      case 'publish':
        return this.#dispatcher.handleMessage(event, driver)
      case 'delivery':
        return this.#publisher.handleSettled(event)
      case 'overdue':
        return this.#publisher.handleOverdue(event.delivery)
      case 'operation':
        return this.#handleOperation(event)
      case 'sessionLost':
        for (const delivery of event.failed) this.#publisher.handleSettled(delivery)
        return
      case 'authentication':
        return this.#authenticate(event.properties?.authenticationData, driver)
      case 'packet':
        return this.#events.emit('packet', { direction: event.direction, packet: event.packet })
    }
  }

  #handleOperation(operation: Operation): void {
    if (operation.kind === 'subscribe' || operation.kind === 'unsubscribe')
      this.#subscriber.handleOperation(operation)
    else (operation.owner as (() => void) | undefined)?.()
  }

  /** The server asks for the next step, 5: 4.12. */
  #authenticate(data: Uint8Array | undefined, driver: Driver): void {
    const { authentication } = this.#options
    if (authentication === undefined) return
    const answer = async (): Promise<Payload | undefined> => authentication.continue(data)
    answer().then(
      (given) => {
        driver.connection.continueAuthentication({
          authenticationMethod: authentication.method,
          authenticationData: given === undefined ? undefined : asBytes(given),
        })
        driver.touched()
      },
      (error: unknown) => {
        const text = error instanceof Error ? error.message : String(error)
        driver.abort(
          new UsageError('invalid-option', 'authentication.continue', `it failed: ${text}`, error),
          0x80,
        )
      },
    )
  }

  #handleClosed(error: MqttError, kept: boolean): void {
    const keptError = new ClosedError(error.code, error.message, true, error.cause)
    this.#publisher.handleClosed(() => (kept ? keptError : error))
    this.#subscriber.handleClosed(error)
    for (const batch of this.#batches) batch.wake()
    this.#dispatcher.cancel()
  }

  get #isIdle(): boolean {
    const { queued, published, released } = this.#engine.session
    const deliveries = queued.size + published.size + released.size + this.#publisher.waiting
    return deliveries === 0 && this.#subscriber.requests.size === 0 && this.#dispatcher.pending === 0
  }
}

/** Resolves when the operation was answered. */
function ask(operation: Operation): Promise<void> {
  return new Promise((resolve, reject) => {
    operation.owner = (): void => {
      if (operation.interrupted || operation.error !== undefined) {
        reject(operation.error ?? new ClosedError('disconnected', 'the client was disconnected', false))
      } else resolve()
    }
  })
}

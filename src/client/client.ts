/**
 * `Client`: what users hold. It survives reconnects, and it is a door: each room behind it has a file of its own.
 *
 *     publish, send, publishAll ─► Publisher ─┐
 *     subscribe, messages, route ─► Subscriber ├─► Engine ─► Driver ─► Connection
 *     connect, disconnect, destroy ───────────┘      │
 *     handlers ◄─ Dispatcher ◄───────────────────────┘
 */

import type { NegotiatedSettings } from '../core/connection/negotiated.ts'
import { Operation } from '../core/connection/operations.ts'
import { ConnectionError, disconnected, UsageError } from '../core/errors.ts'
import type { Properties } from '../core/packets/types.ts'
import { topicFilterFault } from '../core/topics/topic.ts'
import { Assembly } from './assembly.ts'
import { asksAnew } from './backoff.ts'
import { Batch, publishAll, type PublishAllOptions, type PublishAllResult } from './batch.ts'
import type { ClientOptions } from './client-options.ts'
import type { Credentials, Will } from './connect-options.ts'
import { asBytes } from './connect-packet.ts'
import type { Driver } from './driver.ts'
import { type ClientEvents, type ClientState, type ConnectResult, type PendingDelivery } from './events.ts'
import type { Handler } from './message.ts'
import type { MessageStream } from './message-stream.ts'
import {
  checkBoolean,
  checkFunction,
  checkSignal,
  invalid,
  needsVersion5,
  type Payload,
  withDefaults,
} from './option-checks.ts'
import { resolveOptions } from './options.ts'
import type { PoolResources } from './pool-resources.ts'
import {
  type DisconnectOptions,
  type OutgoingMessage,
  type PublishOptions,
  type PublishResult,
  resolveDisconnect,
  type SendOptions,
} from './publish-options.ts'
import { abortable, whenAborted } from './abortable.ts'
import type { SubscribeResult, Subscription, UnsubscribeResult } from './requests.ts'
import { owedBy, type StatisticsSnapshot, snapshot } from './statistics.ts'
import {
  checkFilterNames,
  checkFilters,
  checkNoHandling,
  checkRouteOptions,
  checkSubscribeOptions,
  checkUnsubscribeOptions,
  type FilterInput,
  type RouteOptions,
  type SubscribeOptions,
  type UnsubscribeOptions,
} from './subscribe-options.ts'

/** What the server said at the end of a re-authentication. */
export interface AuthResult {
  readonly properties: Properties | undefined
}

export class Client {
  readonly #parts: Assembly

  /** Use `createClient`, `connect` or a `ClientPool`. @internal */
  constructor(
    urls: string | URL | readonly (string | URL)[],
    options: ClientOptions | undefined,
    resources: PoolResources,
  ) {
    const resolved = resolveOptions(urls, options, () => resources.runtime.random())
    const dial = resolved.dial ?? resources.dial
    for (const url of resolved.urls) dial.check?.({ url, options: resolved })
    this.#parts = new Assembly(resolved, resources, Boolean(options?.clientId))
  }

  /** Where the client is in its life. */
  get state(): ClientState {
    return this.#parts.engine.state
  }

  /** As used on the wire; the server's, when it assigned one. */
  get clientId(): string {
    return this.#parts.engine.clientId
  }

  /** What the present connection has negotiated; undefined without one. */
  get settings(): NegotiatedSettings | undefined {
    return this.#parts.engine.driver?.connection.settings
  }

  /** A snapshot of what was done and is owed. */
  get statistics(): StatisticsSnapshot {
    const { session, opener } = this.#parts.engine
    const requests = this.#parts.subscriber.requests
    return snapshot(
      opener.traffic,
      this.#parts.statistics,
      owedBy(session, this.#parts.publisher.waiting, requests.size, requests.unanswered),
    )
  }

  /**
   * Messages of QoS 1 and 2 that are owed, and those of QoS 0 that `queue.qos0` has queued, in the order in which they
   * would be sent; from `connect()` on those of the store, too.
   */
  get pending(): readonly PendingDelivery[] {
    return Array.from(this.#parts.session.deliveries(), (delivery) => this.#parts.describe(delivery))
  }

  /**
   * Connects, and stays connected until `disconnect()` or `destroy()`. Joins an attempt that is under way.
   *
   * @param options `signal` gives up what has not connected yet; of a call that joins, only the waiting for it
   * @throws UsageError, the signal's reason, what `credentials` throws; ClosedError when it is closed meanwhile;
   * RefusedError, ConnectionError, ProtocolError, or the MqttError of a store, when the first attempt fails (option
   * `retryInitialConnect`)
   */
  async connect(options?: { signal?: AbortSignal | undefined }): Promise<ConnectResult> {
    return this.#parts.engine.connect(signalOf(options))
  }

  /**
   * Sends DISCONNECT and stops, 3.14. Waits up to `drain` ms for what is owed; the rest rejects with `ClosedError`.
   * In any state, and as often as wanted. Besides, the network has 2 s to take what was written, and the server 2 s to
   * end the stream.
   *
   * @throws UsageError
   */
  async disconnect(options?: DisconnectOptions): Promise<void> {
    const { version5, sessionExpiryInterval } = this.#parts.options
    const { drain, reasonCode, properties } = resolveDisconnect(options, version5, sessionExpiryInterval)
    await this.#parts.engine.disconnect(drain, { type: 'disconnect', reasonCode, properties })
  }

  /** Ends the connection without DISCONNECT, so that the server publishes the will, and stops. */
  destroy(error?: Error): void {
    this.#parts.engine.destroy(error)
  }

  /** Makes the attempt that waits at once. A connection that stands is left alone. */
  reconnectNow(): void {
    this.#parts.engine.reconnectNow()
  }

  /**
   * Publishes a message. The promise settles exactly once: at QoS 0 when the packet was handed to the network, at 1
   * with PUBACK, at 2 with PUBCOMP. The payload is copied, unless it is lent by `payload: 'borrowed'`.
   *
   * @throws UsageError, RefusedError, ConnectionError, ClosedError: the promise rejects, the call never throws
   */
  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    return this.#parts.publisher.publish(topic, payload, options)
  }

  /**
   * Publishes at QoS 0 without a promise. False: do not repeat it, but wait for `drained()`; either it was taken and the
   * network is behind, or it was dropped and counted (`messagesDropped`): without a connection, or with more than
   * `queue.maxBytes` unsent. What the server's limits forbid is told by `publishFailed`.
   *
   * @throws UsageError
   */
  send(topic: string, payload: Payload, options?: SendOptions): boolean {
    return this.#parts.publisher.send(topic, payload, options)
  }

  /** Resolves when the network has taken what was sent; without a connection, when the program has had a turn. */
  drained(): Promise<void> {
    return this.#parts.publisher.drained()
  }

  /**
   * Publishes many messages, windowed; resolves when all have settled. Single failures are in the result. An iterable that
   * is not async is asked as long as there is room, at QoS 0 without a turn for the program: an endless one should be.
   *
   * @throws UsageError, what the iterable throws, ClosedError, the signal's reason
   */
  async publishAll(
    messages: Iterable<OutgoingMessage> | AsyncIterable<OutgoingMessage>,
    options?: PublishAllOptions,
  ): Promise<PublishAllResult> {
    const batch = this.#batch(options)
    const done = publishAll(batch, messages).finally(() => this.#forget(batch))
    return abortable(done, batch.signal)
  }

  /**
   * The same as a WHATWG stream: writing waits for the window, closing for all acknowledgements. A signal that aborts
   * errors the stream with its reason, at the latest with the next write.
   *
   * @throws UsageError
   */
  writable(options?: PublishAllOptions): WritableStream<OutgoingMessage> {
    const batch = this.#batch(options)
    const forget = (): void => this.#forget(batch)
    return new WritableStream<OutgoingMessage>({
      write: (message) =>
        batch.put(message).catch((error: unknown) => {
          forget()
          throw error
        }),
      close: async () => {
        const { failures } = await abortable(batch.finish(), batch.signal).finally(forget)
        if (failures[0] !== undefined) throw failures[0].error
      },
      abort: forget,
    })
  }

  /**
   * Subscribes, 3.8. The handler is attached at once, as messages may precede the answer. Waits for a connection, also
   * before the first `connect()`.
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
    if (isHandler && handler !== undefined) throw invalid('handler', 'options before the handler', handler)
    const called = isHandler ? options : handler
    const given = isHandler ? undefined : options
    if (called !== undefined) checkFunction('handler', called)
    const { version5 } = this.#parts.options
    const call = checkSubscribeOptions(given, version5)
    if (called === undefined) checkNoHandling(filter, given)
    return this.#parts.subscriber.subscribe(checkFilters(filter, call, version5), call, called)
  }

  /**
   * The messages of a subscription as an async iterable; subscribes when it is first read. Leaving the loop
   * unsubscribes, and gives up what it holds; unsubscribing from its filters ends it. Its messages are kept, and come one
   * after the other. Reading it rejects with the signal's reason, or with what `subscribe` would.
   *
   * @throws UsageError
   */
  messages(filter: string | readonly string[], options?: SubscribeOptions): MessageStream {
    const { version5 } = this.#parts.options
    const call = checkSubscribeOptions(options, version5)
    return this.#parts.subscriber.messages(checkFilters(filter, call, version5), call)
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
    return this.#parts.subscriber.route(filter, handler, checkRouteOptions(options))
  }

  /** Removes every handler of the filters and unsubscribes, 3.10. @throws UsageError, RefusedError, ConnectionError */
  async unsubscribe(
    filter: string | readonly string[],
    options?: UnsubscribeOptions,
  ): Promise<UnsubscribeResult> {
    const call = checkUnsubscribeOptions(options, this.#parts.options.version5)
    return this.#parts.subscriber.unsubscribe(checkFilterNames(filter), call)
  }

  /** Subscribes to all filters again. @throws UsageError, ConnectionError, ClosedError, the signal's reason */
  async resubscribe(options?: UnsubscribeOptions): Promise<readonly SubscribeResult[]> {
    return this.#parts.subscriber.resubscribe(checkUnsubscribeOptions(options, this.#parts.options.version5))
  }

  /**
   * Sends PINGREQ; resolves with the round-trip time in ms.
   *
   * @throws UsageError, ConnectionError `not-connected`, `ping-timeout`, the signal's reason
   */
  async ping(options?: { signal?: AbortSignal | undefined }): Promise<number> {
    const signal = signalOf(options)
    signal?.throwIfAborted()
    const driver = this.#connected('ping()')
    const operation = new Operation('ping', { timeout: driver.connection.pingTimeout })
    const done = ask(operation).then(() => operation.roundTrip)
    driver.connection.ping(operation, driver.now)
    driver.touched()
    return abortable(done, signal)
  }

  /** Authenticates anew on the present connection, version 5 (4.12.1). @throws UsageError, RefusedError, ConnectionError */
  async reauthenticate(data?: Payload): Promise<AuthResult> {
    const { authentication } = this.#parts.options
    if (authentication === undefined) throw needsVersion5('authentication')
    this.#connected('reauthenticate()')
    const given = data ?? (await authentication.start())
    const driver = this.#connected('reauthenticate()')
    if (driver.connection.reauthenticates) {
      const message = 'expected one at a time'
      throw new UsageError('invalid-argument', 'reauthenticate', message)
    }
    const operation = new Operation('reauthenticate', { timeout: this.#parts.options.operationTimeout })
    const done = ask(operation).then(() => ({ properties: operation.result }))
    driver.connection.reauthenticate(
      operation,
      {
        authenticationMethod: authentication.method,
        authenticationData: given === undefined ? undefined : asBytes(given),
      },
      driver.now,
    )
    driver.touched()
    return done
  }

  /** The will of the next CONNECT. @throws UsageError */
  setWill(will: Will | undefined): void {
    this.#parts.engine.opener.maker.setWill(will)
  }

  /** The login of the next CONNECT, in place of the options' and of `credentials`; undefined: none. @throws UsageError */
  setLogin(login: Credentials | undefined): void {
    const { opener, backoff, options } = this.#parts.engine
    opener.maker.setLogin(login)
    backoff.freshCredentials = asksAnew({ ...options, credentials: undefined })
  }

  /** The delay before a reconnect doubles from `min` to `max` ms, in place of a `reconnect` function. @throws UsageError */
  setReconnectTimeout(min: number, max: number): void {
    this.#parts.engine.backoff.setLimits(min, max)
  }

  /** Listens to an event; returns how to stop. @throws UsageError */
  on<Name extends keyof ClientEvents>(
    event: Name,
    listener: (event: ClientEvents[Name]) => void,
    options?: { signal?: AbortSignal | undefined; once?: boolean | undefined },
  ): () => void {
    const given = withDefaults('', options, LISTENING)
    const signal = checkSignal(given.signal)
    const { engine, events } = this.#parts
    checkFunction('listener', listener)
    let isTold = false
    const told = (what: ClientEvents[Name]): unknown => {
      // One that is raised by a listener before comes before.
      if (isTold) return undefined
      isTold = true
      stop()
      return listener(what)
    }
    const off = events.on(event, checkBoolean('once', given.once) ? told : listener)
    const stop = (): void => {
      off()
      unlisten()
      engine.watchPackets(events.has('packet'))
    }
    const unlisten = whenAborted(signal, stop)
    engine.watchPackets(events.has('packet'))
    if (event === 'message') this.#parts.dispatcher.handleRoute()
    if (signal?.aborted) stop()
    return stop
  }

  /** The client keeps the process alive, which it does by default. */
  ref(): this {
    this.#parts.engine.setKeepsAlive(true)
    return this
  }

  /** The client does not keep the process alive; an attempt to connect that is under way does. */
  unref(): this {
    this.#parts.engine.setKeepsAlive(false)
    return this
  }

  /** `disconnect({ drain: 5_000 })` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect({ drain: 5_000 })
  }

  #batch(options: PublishAllOptions | undefined): Batch {
    const parts = this.#parts
    const { maxInflight } = parts.options
    const batch = new Batch(parts.publisher, options, maxInflight, parts.engine.resources.runtime)
    parts.batches = [...parts.batches, batch]
    return batch
  }

  #forget(batch: Batch): void {
    this.#parts.batches = this.#parts.batches.filter((other) => other !== batch)
  }

  #connected(what: string): Driver {
    const { connected, closedError, state } = this.#parts.engine
    if (closedError !== undefined) throw closedError
    if (connected !== undefined) return connected
    throw new ConnectionError('not-connected', `${what} needs a connection, the client is ${state}`, {
      phase: 'established',
    })
  }
}

/** The only option of a call. @throws UsageError */
function signalOf(options: { signal?: AbortSignal | undefined } | undefined): AbortSignal | undefined {
  return checkSignal(withDefaults('', options, { signal: undefined }).signal)
}

/** What `on` does unless told otherwise. */
const LISTENING = { once: false, signal: undefined }

/** Resolves when the operation was answered. */
function ask(operation: Operation): Promise<void> {
  return new Promise((resolve, reject) => {
    operation.owner = (): void => {
      if (operation.interrupted || operation.error !== undefined) {
        reject(operation.error ?? disconnected())
      } else resolve()
    }
  })
}

/**
 * `publish`, `send` and what becomes of their messages.
 *
 *     QoS 0     checks ─► bytes of the connection ─► one promise per flush
 *     QoS 1, 2  checks ─► Delivery ─► session's queue ─► (machine) ─► settled ─► promise
 *
 * Every promise settles exactly once. Before one rejects it is marked as handled and `publishFailed` is raised, so
 * that a forgotten `await` cannot end the process.
 */

import { utf8Length } from '../core/bytes/utf8.ts'
import { ConnectionError, type MqttError, RefusedError } from '../core/errors.ts'
import { Delivery } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import type { TopicNames } from '../core/topics/topic-names.ts'
import type { Driver } from './driver.ts'
import type { Events, PendingDelivery } from './events.ts'
import { HandedOver } from './handed-over.ts'
import { payloadBytes, type Payload } from './option-checks.ts'
import type { ResolvedOptions } from './options.ts'
import { Outbox } from './outbox.ts'
import { PayloadArena } from './payload-arena.ts'
import {
  checkPublishOptions,
  checkSendOptions,
  type DeliveryOptions,
  type PublishOptions,
  type PublishResult,
  type SendOptions,
} from './publish-options.ts'
import type { Statistics } from './statistics.ts'

/** Who waits for a delivery. */
export interface DeliveryOwner {
  /** It is over; or nobody needs to wait any more, then `error` says why. */
  settle(delivery: Delivery, error: unknown): void
}

/** What the publisher needs to know of its client. */
export interface PublisherHost {
  /** The driver of the connection that stands. */
  readonly driver: Driver | undefined
  readonly session: Session
  /** Why nothing is taken any more: the client was closed. */
  readonly closedError: MqttError | undefined
  readonly now: number
  /** Records may be waiting, and reading may have to go on. */
  handleQueued(): void
  describe(delivery: Delivery): PendingDelivery
}

export class Publisher {
  readonly #host: PublisherHost
  readonly #names: TopicNames
  readonly #events: Events
  readonly #statistics: Statistics
  readonly #options: ResolvedOptions
  readonly #outbox: Outbox
  readonly #handedOver = new HandedOver()
  readonly #arena = new PayloadArena()
  /** Those who asked for room, or for the output to be drained. */
  #draining: (() => void)[] = []
  /** `until: 'stored'`, in the order of their records. */
  #untilStored: Delivery[] = []

  constructor(
    parts: { host: PublisherHost; names: TopicNames; events: Events; statistics: Statistics },
    options: ResolvedOptions,
  ) {
    this.#host = parts.host
    this.#names = parts.names
    this.#events = parts.events
    this.#statistics = parts.statistics
    this.#options = options
    this.#outbox = new Outbox(options.queue)
  }

  /** Publishes that wait for room in the queue. */
  get waiting(): number {
    return this.#outbox.waiting
  }

  publish(topic: string, payload: Payload, options?: PublishOptions): Promise<PublishResult> {
    try {
      if (options === undefined || !options.qos) return this.#publishQos0(topic, payload, options)
      return this.#publishDelivery(topic, payload, options)
    } catch (error) {
      return this.#rejected(topic, error)
    }
  }

  /** QoS 0 without a promise. False: the network takes less than is written, wait for `drained()`. */
  send(topic: string, payload: Payload, options?: SendOptions): boolean {
    const driver = this.#host.driver
    if (options === undefined && driver !== undefined && driver.connection.canSend) {
      const name = this.#names.encode(topic)
      const bytes = payloadBytes(payload)
      driver.connection.send(name.bytes, bytes, typeof bytes === 'string' ? utf8Length(bytes) : bytes.length)
      driver.wrote()
      return !driver.saturated
    }
    return this.#sendSlowly(topic, payload, options)
  }

  /** Resolves when the network has taken what was written. */
  drained(): Promise<void> {
    const { driver } = this.#host
    if (driver === undefined || !driver.saturated) return Promise.resolve()
    return new Promise((resolve) => this.#draining.push(resolve))
  }

  /** Takes a message for an owner of its own: `publishAll`. @throws UsageError, ConnectionError, ClosedError */
  take(topic: string, payload: Payload, options: DeliveryOptions, owner: DeliveryOwner): void {
    if (!options.qos) {
      this.#writeQos0(topic, payload, options)
      return
    }
    this.#offer(this.#delivery(topic, payload, options, false), owner)
  }

  /** The promise of all QoS 0 publishes written so far. */
  handedOver(): Promise<PublishResult> {
    const { driver } = this.#host
    if (driver === undefined) return Promise.reject(notConnected())
    return this.#handedOver.promise(driver.connection.writtenOutput)
  }

  /** Whether one more message can be taken without being turned away. */
  get hasRoom(): boolean {
    const { driver, session } = this.#host
    return this.#outbox.hasRoom(session) && (driver === undefined || !driver.saturated)
  }

  // What happens.

  /** A delivery is over. */
  handleSettled(delivery: Delivery): void {
    const owner = delivery.owner as DeliveryOwner | undefined
    delivery.owner = undefined
    const { error } = delivery
    if (owner !== undefined) owner.settle(delivery, error)
    else if (this.#events.has('deliverySettled') && delivery.qos > 0) {
      this.#events.emit('deliverySettled', { delivery: this.#host.describe(delivery), error })
    }
    if (this.#outbox.waiting > 0) this.#outbox.handleRoom(this.#host.session)
  }

  /** The caller has waited too long; the exchange goes on. */
  handleOverdue(delivery: Delivery): void {
    const owner = delivery.owner as DeliveryOwner | undefined
    delivery.owner = undefined
    owner?.settle(
      delivery,
      new ConnectionError(
        'operation-timeout',
        `no acknowledgement of the message to "${delivery.name.text}" came within ${delivery.timeout} ms; ` +
          'it may still be delivered (option operationTimeout)',
        { phase: 'established', outcome: 'pending' },
      ),
    )
  }

  handleFlushed(driver: Driver): void {
    this.#handedOver.handleFlushed(driver.connection.takenOutput)
    if (!driver.saturated) for (const resolve of this.#draining.splice(0)) resolve()
    if (this.#outbox.waiting > 0) this.#outbox.handleRoom(this.#host.session)
  }

  /** The connection is gone. QoS 0 that it had not taken is lost. */
  handleGone(error: unknown): void {
    const lost = this.#handedOver.fail(error)
    if (lost) this.#events.emit('publishFailed', { topic: '', error })
    for (const resolve of this.#draining.splice(0)) resolve()
  }

  /** Records up to `upTo` are durable. */
  handleStored(upTo: number): void {
    while (this.#untilStored.length > 0 && (this.#untilStored[0] as Delivery).queuedAt <= upTo) {
      const delivery = this.#untilStored.shift() as Delivery
      const owner = delivery.owner as Caller | undefined
      if (!(owner instanceof Caller)) continue
      delivery.owner = undefined
      owner.resolve({ packetId: undefined, reasonCode: 0 })
    }
  }

  /** The client is closed: nobody waits any more. What the session keeps is sent after the next `connect()`. */
  handleClosed(errorFor: (delivery: Delivery) => MqttError): void {
    const { session } = this.#host
    for (const delivery of this.#outbox.drain()) this.#reject(delivery, errorFor(delivery))
    for (const list of [session.released, session.published, session.queued]) {
      for (const delivery of list) {
        if (delivery.owner === undefined) continue
        const error = errorFor(delivery)
        this.#reject(delivery, error)
      }
    }
    this.#untilStored = []
  }

  /** Drops what waits, and what was sent if nobody keeps the session. */
  discard(): void {
    const { session } = this.#host
    for (const list of [session.released, session.published, session.queued]) {
      for (const delivery of list) session.settle(delivery)
    }
  }

  #publishQos0(topic: string, payload: Payload, options: PublishOptions | undefined): Promise<PublishResult> {
    const driver = this.#host.driver
    if (options === undefined && driver !== undefined && driver.connection.canSend) {
      const name = this.#names.encode(topic)
      const bytes = payloadBytes(payload)
      driver.connection.send(name.bytes, bytes, typeof bytes === 'string' ? utf8Length(bytes) : bytes.length)
      driver.wrote()
      return this.#handedOver.promise(driver.connection.writtenOutput)
    }
    if (driver === undefined && this.#options.queue.qos0 && this.#host.closedError === undefined) {
      return this.#publishDelivery(topic, payload, options ?? {})
    }
    options?.signal?.throwIfAborted()
    this.#writeQos0(topic, payload, options, options?.payload === 'borrowed')
    const promise = this.handedOver()
    return options?.signal === undefined ? promise : abortable(promise, options.signal)
  }

  #writeQos0(topic: string, payload: Payload, options: DeliveryOptions | undefined, lent = false): void {
    const message = this.#outgoing(topic, payload, options ?? NO_OPTIONS, lent, false)
    const { driver, closedError } = this.#host
    if (driver === undefined) throw closedError ?? notConnected()
    if (driver.connection.pendingOutput > this.#options.queue.maxBytes)
      throw this.#outbox.fullError(topic, false)
    driver.connection.publishQos0(message)
    driver.wrote()
  }

  #sendSlowly(topic: string, payload: Payload, options: SendOptions | undefined): boolean {
    this.#names.encode(topic)
    payloadBytes(payload)
    if (options !== undefined) checkSendOptions(options, this.#options.version5)
    const { driver } = this.#host
    if (driver === undefined || driver.connection.pendingOutput > this.#options.queue.maxBytes) {
      this.#statistics.messagesDropped += 1
      return false
    }
    try {
      this.#writeQos0(topic, payload, options)
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error
      this.#statistics.messagesDropped += 1
      this.#events.emit('publishFailed', { topic, error })
    }
    return !driver.saturated
  }

  #publishDelivery(topic: string, payload: Payload, options: PublishOptions): Promise<PublishResult> {
    const { signal } = options
    signal?.throwIfAborted()
    const delivery = this.#delivery(topic, payload, options, options.payload === 'borrowed')
    const caller = new Caller(this.#events)
    this.#offer(delivery, caller)
    if (signal !== undefined) caller.listen(signal, () => this.#abort(delivery, signal.reason))
    if (options.until === 'stored' && this.#host.session.journal !== undefined)
      this.#untilStored.push(delivery)
    return caller.promise
  }

  #delivery(topic: string, payload: Payload, options: DeliveryOptions, lent: boolean): Delivery {
    const delivery = new Delivery(this.#outgoing(topic, payload, options, lent, true), this.#host.now)
    delivery.timeout = options.timeout ?? this.#options.operationTimeout
    const { closedError } = this.#host
    if (closedError !== undefined) throw closedError
    return delivery
  }

  #outgoing(topic: string, payload: Payload, options: DeliveryOptions, lent: boolean, outlives: boolean) {
    const name = this.#names.encode(topic)
    const properties = checkPublishOptions(options, this.#options.version5)
    const bytes = payloadBytes(payload)
    return {
      name,
      payload: typeof bytes === 'string' || lent || !outlives ? bytes : this.#arena.copy(bytes),
      payloadSize: typeof bytes === 'string' ? utf8Length(bytes) : bytes.length,
      qos: options.qos ?? 0,
      retain: options.retain ?? false,
      properties,
      lent,
    } as const
  }

  #offer(delivery: Delivery, owner: DeliveryOwner): void {
    const { session } = this.#host
    const topic = delivery.name.text
    delivery.owner = owner
    const answer = this.#outbox.offer(
      delivery,
      session,
      () => this.#admit(delivery),
      (oldest) => this.#drop(oldest),
    )
    if (answer === 'admitted') return this.#admit(delivery)
    if (answer === 'waiting') return
    delivery.owner = undefined
    if (answer === 'dropped') this.#statistics.messagesDropped += 1
    throw this.#outbox.fullError(topic, answer === 'dropped')
  }

  #admit(delivery: Delivery): void {
    const { driver, session, now } = this.#host
    if (driver === undefined) session.queue(delivery)
    else {
      driver.connection.publish(delivery, now)
      driver.touched()
    }
    this.#host.handleQueued()
  }

  #drop(delivery: Delivery): void {
    this.#host.session.settle(delivery)
    this.#statistics.messagesDropped += 1
    this.#reject(delivery, this.#outbox.fullError(delivery.name.text, true))
  }

  /** The caller lost interest: unsent the message is forgotten, sent it goes on, rule 17. */
  #abort(delivery: Delivery, reason: unknown): void {
    if (delivery.owner === undefined) return
    const { driver, session } = this.#host
    if (!this.#outbox.withdraw(delivery)) {
      if (driver !== undefined) driver.connection.abandon(delivery)
      else if (delivery.attempts === 0) session.settle(delivery)
      else {
        delivery.own()
        delivery.abandoned = true
      }
    }
    this.#reject(delivery, reason)
    driver?.touched()
  }

  #reject(delivery: Delivery, error: unknown): void {
    const owner = delivery.owner as DeliveryOwner | undefined
    delivery.owner = undefined
    owner?.settle(delivery, error)
  }

  #rejected(topic: string, error: unknown): Promise<PublishResult> {
    const promise = Promise.reject(error)
    promise.catch(() => {})
    this.#events.emit('publishFailed', { topic: String(topic), error })
    return promise
  }
}

const NO_OPTIONS: DeliveryOptions = {}

/** A `publish()` that waits for its delivery. */
class Caller implements DeliveryOwner {
  readonly promise: Promise<PublishResult>
  readonly #events: Events
  #resolve!: (result: PublishResult) => void
  #reject!: (error: unknown) => void
  #unlisten: (() => void) | undefined = undefined

  constructor(events: Events) {
    this.#events = events
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  listen(signal: AbortSignal, aborted: () => void): void {
    signal.addEventListener('abort', aborted, { once: true })
    this.#unlisten = () => signal.removeEventListener('abort', aborted)
  }

  resolve(result: PublishResult): void {
    this.#unlisten?.()
    this.#resolve(result)
  }

  settle(delivery: Delivery, error: unknown): void {
    if (error === undefined) {
      const { packetId, reasonCode, result } = delivery
      this.resolve({ packetId: packetId === 0 ? undefined : packetId, reasonCode, properties: result })
      return
    }
    this.#unlisten?.()
    this.promise.catch(() => {})
    this.#events.emit('publishFailed', { topic: delivery.name.text, error })
    this.#reject(error)
  }
}

function notConnected(): ConnectionError {
  return new ConnectionError(
    'not-connected',
    'there is no connection now, and QoS 0 messages are not queued (option queue.qos0)',
    { phase: 'established' },
  )
}

/** The same promise, rejected early when the signal aborts. */
export function abortable<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => reject(signal.reason)
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', aborted))
  })
}

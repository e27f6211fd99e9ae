/**
 * `publish`, `send` and what becomes of their messages.
 *
 *     QoS 0     checks ─► bytes of the connection ─► one promise per flush
 *     QoS 1, 2  checks ─► Delivery ─┬─► bytes, when nothing holds it up ─────┬─► settled ─► promise
 *                                   └─► session's queue ─► (machine) ─► bytes ┘
 *
 * Every promise settles exactly once. Before one rejects it is marked as handled and `publishFailed` is raised, so
 * that a forgotten `await` cannot end the process.
 */

import { utf8Length } from '../core/bytes/utf8.ts'
import { notConnectedError } from '../core/connection/endings.ts'
import { ConnectionError, type MqttError, RefusedError, UsageError } from '../core/errors.ts'
import { Fifo } from '../core/fifo.ts'
import { ALWAYS_FITS, publishLength, publishPropertiesSize } from '../core/packets/publish.ts'
import { Delivery } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import type { TopicNames } from '../core/topics/topic-names.ts'
import { abortable, whenAborted } from './abortable.ts'
import { Caller, type DeliveryOwner, lender } from './caller.ts'
import type { Driver } from './driver.ts'
import type { Events, PendingDelivery } from './events.ts'
import { HANDED_OVER, HandedOver } from './handed-over.ts'
import { checkObject, payloadBytes, type Payload } from './option-checks.ts'
import type { ResolvedOptions } from './options.ts'
import { Outbox } from './outbox.ts'
import { PayloadArena } from './payload-arena.ts'
import {
  checkPublishOptions,
  checkSendOptions,
  NO_OPTIONS,
  type DeliveryOptions,
  type PublishOptions,
  type PublishResult,
  type SendOptions,
} from './publish-options.ts'
import type { Runtime } from './runtime.ts'
import type { Statistics } from './statistics.ts'

/** What the publisher needs to know of its client. */
export interface PublisherHost {
  /** The driver of the connection that stands, also while it is being closed. */
  readonly driver: Driver | undefined
  /** The same while messages are taken. */
  readonly connected: Driver | undefined
  readonly session: Session
  /** Why nothing is taken any more: the client was closed. */
  readonly closedError: MqttError | undefined
  readonly now: number
  readonly runtime: Runtime
  /** Records may be waiting. */
  handleRecords(): void
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
  /** For payloads that are lent, whose memory the network must have let go. */
  readonly #written = new HandedOver()
  readonly #arena = new PayloadArena(16_384)
  /** Those who asked for room, or for the output to be drained. */
  #draining: (() => void)[] = []
  /** `until: 'stored'`, in the order of their records. */
  readonly #untilStored = new Fifo<Delivery>()

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

  publish(topic: string, payload: Payload, options: PublishOptions = NO_OPTIONS): Promise<PublishResult> {
    try {
      const { qos } = options === NO_OPTIONS ? options : checkObject('', options)
      return qos ? this.#publishDelivery(topic, payload, options) : this.#publishQos0(topic, payload, options)
    } catch (error) {
      const caller = new Caller(this.#events)
      caller.fail(typeof topic === 'string' ? topic : '', error)
      return caller.promise
    }
  }

  /** QoS 0 without a promise. False: the network takes less than is written, wait for `drained()`. */
  send(topic: string, payload: Payload, options?: SendOptions): boolean {
    const { connected: driver } = this.#host
    if (options === undefined && this.#sendPlain(driver, topic, payload)) return !driver.saturated
    return this.#sendSlowly(topic, payload, options)
  }

  /** Resolves when the network has taken what was written. */
  drained(): Promise<void> {
    const { connected: driver, runtime } = this.#host
    // Not at once: a loop of `send` and this would keep the program from connecting again.
    if (driver === undefined) return new Promise((resolve) => void runtime.setTimer(resolve, 0))
    return driver.saturated ? new Promise((resolve) => this.#draining.push(resolve)) : Promise.resolve()
  }

  /**
   * Takes a message of `publishAll`.
   *
   * @param owner is told of the delivery by its place; of what is `'written'`, at QoS 0, see `handedOver`
   * @returns undefined: there is no room for it
   * @throws UsageError, ConnectionError, ClosedError
   */
  take(
    topic: string,
    payload: Payload,
    options: DeliveryOptions,
    owner: DeliveryOwner,
    place: number,
  ): Delivery | 'written' | undefined {
    const { connected: driver } = this.#host
    if (options.qos || (driver === undefined && this.#options.queue.qos0))
      return this.#deliver(topic, payload, options, owner, false, true, place)
    // It takes no room in the queue.
    if (driver?.saturated) return undefined
    if (options !== NO_OPTIONS || !this.#sendPlain(driver, topic, payload))
      this.#writeQos0(topic, payload, options)
    return 'written'
  }

  /** The promise of all QoS 0 publishes written so far. @param topic for `publishFailed` */
  handedOver(topic?: string): Promise<PublishResult> {
    const { connected: driver } = this.#host
    if (driver === undefined) return Promise.reject(notConnectedError(NOT_QUEUED))
    return this.#handedOver.promise(driver.connection.output.encoded, topic)
  }

  /** Whether one more message can be taken without waiting; a closed client turns it away at once. */
  get hasRoom(): boolean {
    const { connected: driver, session, closedError } = this.#host
    return closedError !== undefined || !(driver?.saturated || this.#outbox.mustWait(session, 0))
  }

  // What happens.

  /** A delivery is over. */
  handleSettled(delivery: Delivery): void {
    const { owner, error } = delivery
    if (owner !== undefined) this.#tell(delivery, error)
    else if (this.#events.has('deliverySettled') && delivery.qos > 0)
      this.#events.emit('deliverySettled', { delivery: this.#host.describe(delivery), error })
    if (this.#outbox.waiting > 0 && this.#host.closedError === undefined)
      this.#outbox.handleRoom(this.#host.session)
  }

  /** Deliveries are over: this one, and those behind it by `next`. */
  handleRun(first: Delivery): void {
    for (let delivery: Delivery | undefined = first; delivery !== undefined; ) {
      const { next }: Delivery = delivery
      delivery.next = undefined
      this.handleSettled(delivery)
      // Those who wait for a store's records may know it still.
      if (this.#options.store === undefined) delivery.recycle()
      delivery = next
    }
  }

  /** The caller has waited too long; the exchange goes on. */
  handleOverdue(delivery: Delivery): void {
    this.#tell(
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
    this.#handedOver.handleFlushed(driver.connection.output.taken)
    this.#written.handleFlushed(driver.written)
    if (!driver.saturated && this.#draining.length > 0)
      for (const resolve of this.#draining.splice(0)) resolve()
    this.#outbox.handleRoom(this.#host.session)
  }

  /** The connection is gone. QoS 0 that it had not taken is lost. */
  handleGone(error: unknown): void {
    for (const topic of [...this.#handedOver.fail(error), ...this.#written.fail(error)])
      this.#events.emit('publishFailed', { topic, error })
    for (const resolve of this.#draining.splice(0)) resolve()
  }

  /** Records up to `upTo` are durable. */
  handleStored(upTo: number): void {
    for (let next = this.#untilStored.first; next !== undefined; next = this.#untilStored.first) {
      const owner = next.owner as DeliveryOwner | undefined
      // Recorded at 0 was what waits for room in the queue.
      if (owner !== undefined && (next.queuedAt === 0 || next.queuedAt > upTo)) return
      this.#untilStored.shift()
      if (owner === undefined) continue
      next.owner = undefined
      // The store keeps its word: no time-out gives the message up.
      next.timeout = 0
      owner.settle(STORED, undefined)
    }
  }

  /**
   * The client is closed: nobody waits any more.
   *
   * @param ofSession for what the session has, which it keeps for the next `connect()`
   * @param stored settles when that is sure; those that the store did not take have got its error then
   */
  handleClosed(error: MqttError, ofSession: MqttError, stored: Promise<void> | undefined): void {
    const deliveries = [...this.#host.session.deliveries()]
    const tell = (): void => {
      for (const delivery of deliveries) this.#tell(delivery, ofSession)
      this.#untilStored.filter(({ owner }) => owner !== undefined)
    }
    for (const delivery of this.#outbox.drain()) this.#tell(delivery, error)
    if (stored === undefined) tell()
    else void stored.then(tell)
  }

  #publishQos0(topic: string, payload: Payload, options: PublishOptions): Promise<PublishResult> {
    const { connected: driver } = this.#host
    if (options === NO_OPTIONS && this.#sendPlain(driver, topic, payload)) return this.handedOver(topic)
    if (driver === undefined && this.#options.queue.qos0)
      return this.#publishDelivery(topic, payload, options)
    const { signal } = options
    const lent = options.payload === 'borrowed'
    this.#writeQos0(topic, payload, options, lent)
    // Memory that is lent comes back no sooner for a signal.
    if (lent) return this.#untilWritten(topic)
    const given = abortable(this.handedOver(topic), signal)
    if (signal === undefined) return given
    given.catch((error: unknown) => {
      if (error === signal.reason) this.#events.emit('publishFailed', { topic, error })
    })
    return given
  }

  /** QoS 0 and nothing else said of it, on a connection that has no limits: nothing but bytes is made. */
  #sendPlain(driver: Driver | undefined, topic: string, payload: Payload): driver is Driver {
    if (!driver?.connection.canSend || this.#isPiledUp(driver)) return false
    const name = this.#names.encode(topic)
    const bytes = payloadBytes(payload)
    driver.connection.send(name.bytes, bytes, typeof bytes === 'string' ? utf8Length(bytes) : bytes.length)
    driver.touched()
    return true
  }

  /** The network takes so little that QoS 0, too, reaches the queue's limit. */
  #isPiledUp({ connection }: Driver): boolean {
    return connection.output.pending > this.#options.queue.maxBytes
  }

  #writeQos0(topic: string, payload: Payload, options: DeliveryOptions = NO_OPTIONS, lent = false): void {
    const name = this.#names.encode(topic)
    const properties = checkPublishOptions(options, this.#options.version5)
    const bytes = payloadBytes(payload)
    const payloadSize = typeof bytes === 'string' ? utf8Length(bytes) : bytes.length
    const { retain = false, signal } = options
    signal?.throwIfAborted()
    const { connected: driver, closedError } = this.#host
    if (driver === undefined) throw closedError ?? notConnectedError(NOT_QUEUED)
    if (this.#isPiledUp(driver)) throw this.#outbox.fullError(topic, false)
    const message = { name, payload: bytes, payloadSize, qos: 0, retain, properties, lent } as const
    driver.connection.publishQos0(message)
    driver.touched()
  }

  /** Resolves when the network has let go of all that was written so far, or the connection is gone. */
  #untilWritten(topic?: string): Promise<PublishResult> {
    const { driver } = this.#host
    if (driver === undefined) return this.handedOver(topic)
    const { encoded } = driver.connection.output
    if (driver.written >= encoded) return Promise.resolve(HANDED_OVER)
    driver.lentUpTo = encoded
    return this.#written.promise(encoded, topic)
  }

  #sendSlowly(topic: string, payload: Payload, options: SendOptions | undefined): boolean {
    this.#names.encode(topic)
    payloadBytes(payload)
    if (options !== undefined) checkSendOptions(options, this.#options.version5)
    const { connected: driver } = this.#host
    if (driver === undefined || this.#isPiledUp(driver)) {
      this.#statistics.messagesDropped += 1
      return false
    }
    try {
      this.#writeQos0(topic, payload, options)
    } catch (error) {
      if (error instanceof UsageError) throw error
      this.#statistics.messagesDropped += 1
      if (!(error instanceof RefusedError)) return false // The connection is ending.
      this.#events.emit('publishFailed', { topic, error })
    }
    return !driver.saturated
  }

  #publishDelivery(topic: string, payload: Payload, options: PublishOptions): Promise<PublishResult> {
    const { signal } = options
    // What only waits, at QoS 0 or in a store, is copied.
    const lent = options.payload === 'borrowed' && options.until !== 'stored' && Boolean(options.qos)
    const caller = new Caller(this.#events)
    const owner = lent ? lender(caller, () => this.#untilWritten()) : caller
    // It is taken, unless it may wait.
    const delivery = this.#deliver(topic, payload, options, owner, lent, false) as Delivery
    if (signal !== undefined) {
      const stop = whenAborted(signal, (reason) => {
        if (delivery.owner === owner) this.#abort(delivery, reason)
      })
      caller.promise.then(stop, stop)
    }
    return caller.promise
  }

  /**
   * Takes a message: sends it at once when nothing holds it up, else queues it.
   * @param mayWait a message for which there is no room is left where it is: undefined
   * @throws UsageError, ConnectionError, ClosedError, the signal's reason
   */
  #deliver(
    topic: string,
    payload: Payload,
    options: DeliveryOptions,
    owner: DeliveryOwner,
    lent: boolean,
    mayWait: boolean,
    place = 0,
  ): Delivery | undefined {
    const name = this.#names.encode(topic)
    const { version5, operationTimeout } = this.#options
    const properties = checkPublishOptions(options, version5)
    const { qos = 0, retain = false, timeout = operationTimeout, signal } = options
    const bytes = payloadBytes(payload)
    const payloadSize = typeof bytes === 'string' ? utf8Length(bytes) : bytes.length
    // What no packet can carry is refused here: when its turn came, nobody could be told.
    if (payloadSize > ALWAYS_FITS || properties !== undefined)
      publishLength(name.bytes.length, qos, publishPropertiesSize(properties, version5 !== 'no'), payloadSize)
    signal?.throwIfAborted()
    // Not before: what is read above may be a user's code.
    const { connected: driver } = this.#host
    const publishing = this.#outbox.waiting === 0 ? driver?.connection.publishing : undefined
    if (driver !== undefined && publishing !== undefined && qos !== 0 && !lent) {
      const sent = publishing.sendAtOnce(
        name,
        bytes,
        payloadSize,
        qos,
        retain,
        properties,
        timeout,
        owner,
        driver.now,
      )
      if (sent !== undefined) {
        sent.place = place
        driver.touched()
        return sent
      }
    }
    const { session, closedError } = this.#host
    if (closedError !== undefined) throw closedError
    const isOpen = publishing?.isOpen(qos)
    const size = name.bytes.length + payloadSize
    if (mayWait && !isOpen && (driver?.saturated || this.#outbox.mustWait(session, size))) return undefined
    const message = { name, payload: bytes, payloadSize, qos, retain, properties, lent }
    const delivery = Delivery.of(message, this.#host.now, !lent && typeof bytes !== 'string')
    delivery.timeout = timeout
    delivery.owner = owner
    delivery.place = place
    // What is sent at once takes no room.
    if (isOpen) this.#admit(delivery, delivery.createdAt)
    else this.#offer(delivery, session)
    if (delivery.passing) delivery.move(this.#arena.copy(bytes as Uint8Array))
    if (options.until !== 'stored' || this.#options.store === undefined || qos === 0) return delivery
    // What a store has failed to take is settled, and lies before it.
    this.handleStored(0)
    this.#untilStored.push(delivery)
    return delivery
  }

  #offer(delivery: Delivery, session: Session): void {
    const answer = this.#outbox.offer(
      delivery,
      session,
      () => this.#admit(delivery, this.#host.now),
      (oldest) => this.#drop(oldest),
    )
    // Who was told of what gave way may have closed the client.
    if (this.#host.closedError !== undefined) throw this.#host.closedError
    if (answer === 'admitted') return this.#admit(delivery, delivery.createdAt)
    if (answer === 'waiting') return
    if (answer === 'dropped') this.#statistics.messagesDropped += 1
    throw this.#outbox.fullError(delivery.name.text, answer === 'dropped')
  }

  #admit(delivery: Delivery, now: number): void {
    const { connected: driver } = this.#host
    if (driver === undefined) this.#host.session.queue(delivery)
    else {
      driver.connection.publish(delivery, now)
      driver.touched()
    }
    this.#host.handleRecords()
  }

  #drop(delivery: Delivery): void {
    this.#host.session.settle(delivery)
    this.#statistics.messagesDropped += 1
    delivery.error = this.#outbox.fullError(delivery.name.text, true)
    this.handleSettled(delivery)
  }

  /** The caller lost interest: unsent the message is forgotten, sent it goes on, rule 17. */
  #abort(delivery: Delivery, reason: unknown): void {
    const { connected: driver, session } = this.#host
    if (!this.#outbox.withdraw(delivery)) (driver?.connection ?? session).abandon(delivery)
    this.#tell(delivery, reason)
    this.#outbox.handleRoom(session)
    this.#host.handleRecords()
    driver?.touched()
  }

  /** Whoever waits, once. @param error undefined: it went well */
  #tell(delivery: Delivery, error: unknown): void {
    const owner = delivery.owner as DeliveryOwner | undefined
    delivery.owner = undefined
    owner?.settle(delivery, error)
  }
}

/** What is told of a message that the store has: nothing came of it yet. */
const STORED = new Delivery()
const NOT_QUEUED = ', and QoS 0 is not queued (option queue.qos0)'

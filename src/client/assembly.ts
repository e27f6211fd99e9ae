/**
 * The parts of a client and how they hang together: who is told what.
 *
 *     Engine ── events ──► Dispatcher, Publisher, Subscriber
 *        ▲                      │
 *        └── driver, session ◄──┘   (asked for, never kept)
 */

import type { Closed, Connected, OtherEvent } from '../core/connection/events.ts'
import type { Operation } from '../core/connection/operations.ts'
import { ClosedError, ConnectionError, type MqttError, textOf, UsageError } from '../core/errors.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import type { Batch } from './batch.ts'
import { Alarms } from './alarms.ts'
import { asBytes } from './connect-packet.ts'
import { Dispatcher } from './dispatcher.ts'
import type { Driver } from './driver.ts'
import { Engine } from './engine.ts'
import type { EngineClient } from './engine-client.ts'
import { Events, type PendingDelivery } from './events.ts'
import type { ResolvedOptions } from './options.ts'
import type { PoolResources } from './pool-resources.ts'
import { Publisher, type PublisherHost } from './publisher.ts'
import type { Runtime } from './runtime.ts'
import { Statistics } from './statistics.ts'
import { Subscriber } from './subscriber.ts'
import { Subscriptions } from './subscriptions.ts'

const NO_BATCHES: readonly Batch[] = []

export class Assembly implements EngineClient, PublisherHost {
  readonly options: ResolvedOptions
  readonly events: Events
  readonly statistics: Statistics = new Statistics()
  readonly engine: Engine
  readonly publisher: Publisher
  readonly subscriber: Subscriber
  readonly dispatcher: Dispatcher
  /** `publishAll`s under way. */
  batches: readonly Batch[] = NO_BATCHES

  constructor(options: ResolvedOptions, pool: PoolResources, givenClientId: boolean) {
    const { runtime } = options
    const resources = runtime === undefined ? pool : { ...pool, runtime, alarms: new Alarms(runtime) }
    const { statistics } = this
    const events = new Events(resources.runtime)
    const subscriptions = new Subscriptions()
    const { alarms, names } = resources
    this.options = options
    this.events = events
    this.engine = new Engine(this, { events, statistics, resources }, options, givenClientId)
    this.dispatcher = new Dispatcher({ subscriptions, events, statistics, alarms }, options, this.engine)
    this.publisher = new Publisher({ host: this, names, events, statistics }, options)
    const { dispatcher, engine } = this
    this.subscriber = new Subscriber({ subscriptions, dispatcher, events, host: engine }, options)
  }

  // What the publisher asks.

  get driver(): Driver | undefined {
    return this.engine.driver
  }

  get connected(): Driver | undefined {
    return this.engine.connected
  }

  get session(): Session {
    return this.engine.session
  }

  get closedError(): MqttError | undefined {
    return this.engine.closedError
  }

  get now(): number {
    return this.engine.now
  }

  get runtime(): Runtime {
    return this.engine.resources.runtime
  }

  handleRecords(): void {
    if (this.options.store !== undefined) this.engine.handleRecords()
  }

  describe({ name, qos, state, createdAt, attempts, packetId }: Delivery): PendingDelivery {
    const { runtime } = this
    return {
      topic: name.text,
      qos,
      stage: state,
      since: runtime.wallTime() - (runtime.now() - createdAt),
      attempts,
      packetId: packetId || undefined,
    }
  }

  // What the engine tells.

  handleConnected(event: Connected, driver: Driver): void {
    this.dispatcher.handleConnected(driver, event.sessionPresent)
    this.subscriber.handleConnected(driver, event)
  }

  handleLost(driver: Driver, error: MqttError): void {
    this.publisher.handleGone(error)
    this.dispatcher.handleGone(driver)
    this.subscriber.requests.handleGone(error)
  }

  handleTurn(): void {
    this.dispatcher.handleTurn()
    for (const batch of this.batches) batch.handleTurn()
  }

  handleFlushed(driver: Driver): void {
    this.publisher.handleFlushed(driver)
    // What waited may have been sent, and its answer is awaited.
    this.dispatcher.handleTurn()
  }

  handleStored(upTo: number): void {
    this.publisher.handleStored(upTo)
    this.dispatcher.handleStored(upTo)
    for (const batch of this.batches) batch.handleTurn()
  }

  handleFailed(deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) this.publisher.handleSettled(delivery)
  }

  handleClosed(error: MqttError, stored: Promise<void> | undefined): void {
    const text = `${error.message}; the session keeps the message, which is sent after the next connect()`
    this.publisher.handleClosed(error, new ClosedError(error.code, text, true, error.cause), stored)
    this.subscriber.handleClosed(error)
    const wake = (): void => {
      for (const batch of this.batches) batch.wake()
    }
    wake()
    void stored?.then(wake)
    this.dispatcher.cancel()
  }

  get isIdle(): boolean {
    const { queued, published, released } = this.session
    const deliveries = queued.size + published.size + released.size + this.publisher.waiting
    return deliveries === 0 && this.subscriber.requests.size === 0 && this.dispatcher.pending === 0
  }

  handleMessage(message: IncomingMessage, driver: Driver): void {
    this.dispatcher.handleMessage(message, driver)
  }

  handleEvent(event: Exclude<OtherEvent, Closed | Connected>, driver: Driver): void {
    switch (event.type) {
      case 'delivery':
        return this.publisher.handleRun(event)
      case 'overdue':
        return this.publisher.handleOverdue(event.delivery)
      case 'operation':
        return this.#handleOperation(event)
      case 'sessionLost':
        this.subscriber.handleSessionLost()
        for (const delivery of event.failed) this.publisher.handleSettled(delivery)
        return
      case 'authentication':
        return this.#authenticate(event.properties?.authenticationData, driver)
      case 'packet':
        return this.events.emit('packet', { direction: event.direction, packet: event.packet })
    }
  }

  #handleOperation(operation: Operation): void {
    if (operation.kind === 'subscribe' || operation.kind === 'unsubscribe')
      this.subscriber.handleOperation(operation)
    else (operation.owner as (() => void) | undefined)?.()
  }

  /** The server asks for the next step, 5: 4.12. */
  #authenticate(data: Uint8Array | undefined, driver: Driver): void {
    const { authentication } = this.options
    if (authentication === undefined) return
    const answer = async (): Promise<Uint8Array | undefined> => {
      const given = await authentication.continue(data)
      return given === undefined ? undefined : asBytes(given)
    }
    answer().then(
      (authenticationData) => {
        driver.connection.authenticate({ authenticationMethod: authentication.method, authenticationData })
        driver.touched()
      },
      (error: unknown) => {
        const field = 'authentication.continue'
        const failed =
          error instanceof UsageError
            ? new UsageError('invalid-option', field, `it failed: ${textOf(error)}`, error)
            : new ConnectionError('connect-failed', `${field} failed: ${textOf(error)}`, {
                phase: driver.connection.settings === undefined ? 'connack' : 'established',
                cause: error,
              })
        driver.abort(failed, 0x80)
      },
    )
  }
}

/**
 * Session State, 4.1: what client and server agree to remember beyond one network connection.
 *
 * Outbound deliveries in three lists, the QoS 2 ids received, and who holds which packet id. It knows nothing of
 * connections, promises or subscriptions. When the server has lost its half, `succeed()` makes the next session
 * and says what could not be carried over.
 */

import { ClosedError, type MqttError } from '../errors.ts'
import { AcknowledgementLine } from './acknowledgements.ts'
import { type Delivery, DeliveryList } from './deliveries.ts'
import type { Journal } from './journal.ts'
import { PacketIds } from './packet-ids.ts'
import { Receptions } from './receptions.ts'

/** A packet id that no delivery holds: a SUBSCRIBE or UNSUBSCRIBE does, or nobody may. */
export interface IdClaim {
  readonly type: 'operation' | 'reserved'
}

/** Of `queuedAt`: the store has it, whatever becomes of the records that follow. */
export const STORED = -1

/** Keeps an id from being used while the server may still believe in the old exchange. */
const RESERVED: IdClaim = { type: 'reserved' }

/** What the application wants done with deliveries whose session the server has lost, rule 16. */
export type OnSessionLost = 'resend' | 'fail'

export class Session {
  /** The server has accepted a CONNECT for this session: it should have it, too. */
  established = false
  /** A CONNECT was sent for this session that had no answer yet, or never had one. */
  asked = false
  /** The server may have begun another session without our knowing, see `doubt`. */
  doubtful = false
  /** Exchanges of QoS 2 with no PUBLISH behind this number may be another session's, see `doubt`. */
  doubted = 0
  readonly ids: PacketIds<Delivery | IdClaim> = new PacketIds()
  readonly queued: DeliveryList
  readonly published: DeliveryList = new DeliveryList()
  readonly released: DeliveryList = new DeliveryList()
  readonly received: Receptions = new Receptions()
  /** What the server waits for on the present connection. */
  pubacks: AcknowledgementLine = new AcknowledgementLine()
  readonly pubrecs: AcknowledgementLine
  /** Where this session is recorded, if it is. */
  journal: Journal | undefined = undefined
  /** Names the opening of the store that last wrote this session's records; 0: none did. */
  writer = 0
  clientId = ''
  /** The journal's position after its latest record of a received id, on which PUBREC depends; Infinity: none has it. */
  receivedAt = 0

  /** QoS 2 deliveries that hold an id. */
  openQos2 = 0
  #connections = 0
  #reserved = 0
  #nextKey = 1
  #suspect: Delivery | undefined = undefined
  #strikes = 0

  /** @param pubrecs of the session before, whose messages may still be handled: their numbers are not given again */
  constructor(
    queued: DeliveryList = new DeliveryList(true),
    pubrecs: AcknowledgementLine = new AcknowledgementLine(),
  ) {
    this.queued = queued
    this.pubrecs = pubrecs
    // Keys name deliveries in the journal: those that wait have theirs, the last one's is the highest.
    this.#nextKey = (queued.tail?.key ?? 0) + 1
  }

  /** Whether there is anything that the server should remember, too. */
  get empty(): boolean {
    return this.published.size === 0 && this.released.size === 0 && this.received.size === 0
  }

  /** Ids that deliveries hold, or that are kept from use because one has held them. */
  get deliveryIds(): number {
    return this.published.size + this.released.size + this.#reserved
  }

  /** Numbers the connections of this session, beginning with 1. */
  nextConnectionNumber(): number {
    return ++this.#connections
  }

  handleConnectSent(): void {
    if (this.asked) this.doubt()
    this.asked = true
  }

  /**
   * The server may have lost this session, begun another one, and told so in a CONNACK that never came, or told another
   * client with our id: the Session Present of the next CONNACK does not prove that this session is meant.
   */
  doubt(): void {
    this.doubtful = true
    this.doubted = this.pubrecs.arrived
  }

  /** Takes a message that is sent at once, with an id that was given to it. */
  begin(delivery: Delivery, packetId: number): void {
    delivery.key = this.#nextKey++
    this.#publish(delivery, packetId)
  }

  /** Takes a message that is to be sent. */
  queue(delivery: Delivery): void {
    delivery.key = this.#nextKey++
    this.queued.push(delivery)
    // What is restored is sent again, which QoS 0 never is.
    if (this.journal === undefined || delivery.qos === 0) return
    this.journal.queued(delivery)
    delivery.queuedAt = delivery.recordedAt = this.journal.position
  }

  /** Gives the first waiting delivery its id; false when there is none to give. */
  bind(delivery: Delivery): boolean {
    const packetId = this.ids.allocate(delivery)
    if (packetId === 0) return false
    this.queued.remove(delivery)
    this.#publish(delivery, packetId)
    if (this.journal !== undefined) {
      this.journal.bound(delivery)
      delivery.recordedAt = this.journal.position
    }
    return true
  }

  /** PUBREC came: the message is the server's, only its release is owed. */
  release(delivery: Delivery): void {
    this.published.remove(delivery)
    delivery.state = 'released'
    this.released.push(delivery)
    if (this.journal === undefined) return
    this.journal.released(delivery)
    delivery.recordedAt = this.journal.position
  }

  /** The exchange is over. */
  settle(delivery: Delivery): void {
    if (delivery.state === 'settled') return
    this.#listOf(delivery).remove(delivery)
    if (delivery.packetId !== 0) {
      this.ids.delete(delivery.packetId)
      if (delivery.qos === 2) this.openQos2 -= 1
    }
    delivery.state = 'settled'
    delivery.release()
    if (delivery.qos > 0) this.journal?.settled(delivery)
    if (delivery === this.#suspect) this.#suspect = undefined
  }

  /** Nobody waits for it any more: unsent it is forgotten, sent it goes on, rule 17. */
  abandon(delivery: Delivery): void {
    if (delivery.attempts === 0) return this.settle(delivery)
    delivery.own()
    delivery.abandoned = true
  }

  /** The delivery is given up. The server may know of it, if it was sent: its id stays taken until the session ends. */
  giveUp(delivery: Delivery): void {
    const { packetId } = delivery
    this.settle(delivery)
    if (packetId === 0 || delivery.attempts === 0) return
    this.reserve(packetId)
    this.journal?.reserved(packetId)
  }

  /** Nobody may use the id until the session ends. */
  reserve(packetId: number): void {
    this.ids.set(packetId, RESERVED)
    this.#reserved += 1
  }

  /**
   * The application is done with an inbound QoS 2 message, connected or not. The number of the PUBLISH whose PUBREC is
   * due; 0: it was done before, or the exchange is gone.
   */
  handle(packetId: number, message: number, reasonCode: number): number {
    const number = this.received.handle(packetId, message, reasonCode)
    if (number > 0 && reasonCode < 0x80) {
      this.journal?.received(packetId, true)
      this.receivedAt = this.journal?.position ?? Infinity
    }
    return number
  }

  /** The server released an inbound QoS 2 message, see `Receptions.release`. */
  complete(packetId: number): number {
    const number = this.received.release(packetId)
    if (number > 0) this.journal?.received(packetId, false)
    return number
  }

  /**
   * A connection ended before any acknowledgement. When that was the `limit`th time with the same first
   * delivery, it is the likely cause and returned, rule 8.
   */
  strike(limit: number): Delivery | undefined {
    const first = this.published.head
    if (first === undefined || limit === 0) return undefined
    this.#strikes = first === this.#suspect ? this.#strikes + 1 : 1
    this.#suspect = first
    return this.#strikes >= limit ? first : undefined
  }

  /** An acknowledgement came: nothing is poisoned. */
  acquit(): void {
    this.#suspect = undefined
  }

  /**
   * The session that follows when the server has no session for this one, rule 16. Deliveries that would be
   * sent twice, or that the policy gives up, are settled with their error and returned.
   */
  succeed(policy: OnSessionLost): { session: Session; failed: Delivery[] } {
    const again = new DeliveryList(true)
    const failed: Delivery[] = []
    for (const list of [this.released, this.published]) {
      for (const delivery of list) {
        list.remove(delivery)
        const error = lossError(delivery, policy)
        delivery.packetId = 0
        if (error === undefined) {
          delivery.state = 'queued'
          delivery.attempts = 0
          again.push(delivery)
        } else {
          delivery.state = 'settled'
          delivery.release()
          delivery.error = error
          failed.push(delivery)
        }
      }
    }
    this.queued.prepend(again)
    const session = new Session(this.queued, this.pubrecs)
    session.pubacks = this.pubacks
    session.clientId = this.clientId
    session.writer = this.writer
    session.#nextKey = this.#nextKey
    session.#connections = this.#connections
    session.#suspect = this.#suspect
    session.#strikes = this.#strikes
    session.journal = this.journal
    this.journal?.replace()
    return { session, failed }
  }

  /** Records all that there is; packets that depend on what was not recorded yet wait for that. */
  attach(journal: Journal): void {
    this.journal = journal
    this.record(journal)
    const { position } = journal
    for (const delivery of this.deliveries()) {
      if (delivery.queuedAt === 0 && delivery.qos > 0) delivery.queuedAt = delivery.recordedAt = position
    }
    if (this.receivedAt === Infinity) this.receivedAt = position
  }

  /** In the order in which they would be sent. */
  *deliveries(): Generator<Delivery> {
    yield* this.released
    yield* this.published
    yield* this.queued
  }

  /** Writes records for all that there is, in an order from which it can be restored. */
  record(journal: Journal): void {
    journal.session(this.clientId, this.established, this.writer)
    for (const id of this.received.handled()) journal.received(id, true)
    for (const [id, holder] of this.ids.entries()) {
      if (holder === RESERVED) journal.reserved(id)
    }
    for (const delivery of this.deliveries()) {
      if (delivery.qos === 0) continue
      journal.queued(delivery)
      if (delivery.packetId !== 0) journal.bound(delivery)
      if (delivery.state === 'released') journal.released(delivery)
    }
  }

  /**
   * The store failed: messages that it never took are settled with the error and returned. What it has taken
   * goes on.
   *
   * @param knower settles one in its place, if more than the session knows of it
   */
  failUnstored(error: MqttError, knower?: { forget(delivery: Delivery): void }): Delivery[] {
    const { journal } = this
    const failed: Delivery[] = []
    if (journal === undefined) return failed
    for (const delivery of this.deliveries()) {
      if (delivery.attempts > 0 || delivery.queuedAt <= journal.storedUpTo) continue
      if (knower === undefined) this.settle(delivery)
      else knower.forget(delivery)
      delivery.error = error
      failed.push(delivery)
    }
    return failed
  }

  /** Puts back a delivery that was restored from a store. */
  restore(delivery: Delivery): void {
    this.#nextKey = Math.max(this.#nextKey, delivery.key + 1)
    this.#listOf(delivery).push(delivery)
    if (delivery.packetId === 0) return
    this.ids.set(delivery.packetId, delivery)
    if (delivery.qos === 2) this.openQos2 += 1
  }

  #publish(delivery: Delivery, packetId: number): void {
    delivery.packetId = packetId
    delivery.state = 'published'
    this.published.push(delivery)
    if (delivery.qos === 2) this.openQos2 += 1
  }

  #listOf({ state }: Delivery): DeliveryList {
    return state === 'queued' ? this.queued : state === 'released' ? this.released : this.published
  }
}

function lossError(delivery: Delivery, policy: OnSessionLost): MqttError | undefined {
  const { qos, attempts, state, abandoned, name } = delivery
  const isUnknown = qos === 2 && (attempts > 0 || state === 'released')
  // Nobody waits for what was abandoned: there is no reason to send it twice.
  if (!isUnknown && policy === 'resend' && !(abandoned && attempts > 0)) return undefined
  const lost = `the server lost the session of a message to "${name.text}"`
  return isUnknown
    ? new ClosedError('outcome-unknown', `${lost} of QoS 2: sent again, it could come twice`, false)
    : new ClosedError('session-lost', `${lost}, which is not sent again`, false)
}

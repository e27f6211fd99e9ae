/**
 * Messages of QoS 1 and 2 on their way out, 4.3, and of QoS 0 while they are queued (option `queue.qos0`).
 *
 *     queued ──id bound──► published ──PUBREC──► released ──PUBCOMP──► settled
 *                              └────────────────PUBACK───────────────────▲
 *
 * A delivery stands in the list that its state names. The lists keep the order in which things must be sent
 * again: first sendings [3.1.1 MQTT-4.6.0-1] [5 MQTT-4.6.0-1] and PUBRECs [3.1.1 MQTT-4.6.0-4] [5 MQTT-4.6.0-4].
 * They are linked through the deliveries themselves, so settling one costs the same wherever it stands.
 */

import type { MqttError } from '../errors.ts'
import type { Slab } from '../bytes/slabs.ts'
import type { Properties } from '../packets/types.ts'
import type { QoS } from '../packets/types.ts'
import type { TopicName } from '../topics/topic-names.ts'

export type DeliveryState = 'queued' | 'published' | 'released' | 'settled'

/** What the user wants sent, checked. */
export interface OutgoingPublish {
  readonly name: TopicName
  readonly payload: Uint8Array | string
  readonly payloadSize: number
  readonly qos: QoS
  readonly retain: boolean
  readonly properties: Properties | undefined
  /** The payload must not change until the delivery settles; then it is sent without a copy. */
  readonly lent: boolean
}

export class Delivery implements OutgoingPublish {
  // First what an acknowledgement needs: it comes when the processor's cache has long forgotten the object, and fetches
  // it line by line.

  /** Deliveries are pulled as events when they have settled. */
  readonly type = 'delivery' as const
  state: DeliveryState = 'queued'
  qos: QoS = 0
  /** 0 until one is bound. */
  packetId = 0
  /** The number of the connection that it was last sent on. */
  connection = 0
  previous: Delivery | undefined = undefined
  next: Delivery | undefined = undefined
  /** The slab that the payload lies in, which is held. */
  #slab: Slab | undefined = undefined
  /** Whatever the owner of the machine needs to tell the caller, and the number by which that knows the message. */
  owner: unknown = undefined
  place = 0
  /** Set when settled: how it ended. */
  error: MqttError | undefined = undefined
  reasonCode = 0
  result: Properties | undefined = undefined
  /** The journal's position after the latest record about it. */
  recordedAt = 0

  name!: TopicName
  payloadSize = 0
  retain = false
  properties: Properties | undefined = undefined
  lent = false
  /** The payload is its caller's until `publish` returns: it is in the output by then, or is copied. */
  passing = false
  /** The payload, unless it lies in a slab; then at which byte. */
  #memory: Uint8Array | string = ''
  #start = 0
  /** Names the delivery in the journal. */
  key = 0
  /** The journal's position after the record that took it in. */
  queuedAt = 0
  /** Monotonic ms: taken from the user, and last sent. */
  createdAt = 0
  sentAt = 0
  attempts = 0
  /** ms from the last sending until nobody waits any more; 0: no limit. */
  timeout = 0
  /** Nobody waits for the outcome any more; the exchange goes on. */
  abandoned = false

  /**
   * In the memory of one that is over, if there is one: of many, new memory is most of what they cost.
   *
   * @param now monotonic ms
   */
  static of(message: OutgoingPublish, now: number, passing = false): Delivery {
    const delivery = SPARE.pop() ?? new Delivery()
    delivery.name = message.name
    delivery.#memory = message.payload
    delivery.passing = passing
    delivery.payloadSize = message.payloadSize
    delivery.qos = message.qos
    delivery.retain = message.retain
    delivery.properties = message.properties
    delivery.lent = message.lent
    delivery.createdAt = now
    return delivery
  }

  /** Nobody knows it any more: if it ended as it should, the next message may have its memory. */
  recycle(): void {
    if (this.state !== 'settled' || this.error !== undefined || this.abandoned) return
    this.state = 'queued'
    this.#memory = ''
    this.properties = this.result = undefined
    this.attempts = this.connection = this.packetId = this.timeout = this.reasonCode = 0
    if (SPARE.length < MOST_SPARE) SPARE.push(this)
  }

  get payload(): Uint8Array | string {
    if (this.#slab === undefined) return this.#memory
    return this.#slab.bytes.subarray(this.#start, this.#start + this.payloadSize)
  }

  /** The payload has been written there, and needs no copy of its own. */
  stay(slab: Slab, start: number): void {
    slab.hold()
    this.#slab = slab
    this.#memory = ''
    this.#start = start
    this.passing = this.lent = false
  }

  /** The payload lies there now, which is nobody else's. */
  move(memory: Uint8Array): void {
    this.release()
    this.#memory = memory
    this.passing = this.lent = false
  }

  /** The payload is not needed any more. */
  release(): void {
    if (this.#slab === undefined) return
    this.#slab.release()
    this.#slab = undefined
  }

  /** Copies a payload that is not in memory of its own: a long wait is not to pin, or trust, that of others. */
  own(): void {
    const { payload } = this
    // Not by `slice`: that of a Buffer is a view.
    if (typeof payload !== 'string' && (this.lent || this.#slab !== undefined)) {
      this.move(new Uint8Array(payload))
    }
    this.lent = false
  }
}

/** Of all sessions, of which few have many messages under way at once: some 1.2 MB. Whoever counts deliveries leaves it out. */
export const SPARE: Delivery[] = []
const MOST_SPARE = 4_096

/** A doubly linked list; a delivery stands in at most one. */
export class DeliveryList {
  head: Delivery | undefined = undefined
  tail: Delivery | undefined = undefined
  size = 0
  /** Of topics and payloads, if it weighs them. */
  bytes = 0
  readonly #weighs: boolean

  /** @param weighs its bytes are counted: there is a limit to them */
  constructor(weighs = false) {
    this.#weighs = weighs
  }

  push(delivery: Delivery): void {
    delivery.previous = this.tail
    delivery.next = undefined
    if (this.tail === undefined) this.head = delivery
    else this.tail.next = delivery
    this.tail = delivery
    this.size += 1
    if (this.#weighs) this.bytes += sizeOf(delivery)
  }

  remove(delivery: Delivery): void {
    const { previous, next } = delivery
    if (previous === undefined) this.head = next
    else previous.next = next
    if (next === undefined) this.tail = previous
    else next.previous = previous
    delivery.previous = delivery.next = undefined
    this.size -= 1
    if (this.#weighs) this.bytes -= sizeOf(delivery)
  }

  /** Puts all of `other` before what is here. */
  prepend(other: DeliveryList): void {
    if (other.head === undefined || other.tail === undefined) return
    other.tail.next = this.head
    if (this.head === undefined) this.tail = other.tail
    else this.head.previous = other.tail
    this.head = other.head
    this.size += other.size
    this.bytes += other.bytes
    other.head = other.tail = undefined
    other.size = other.bytes = 0
  }

  *[Symbol.iterator](): Generator<Delivery> {
    let delivery = this.head
    while (delivery !== undefined) {
      const { next }: Delivery = delivery
      yield delivery
      delivery = next
    }
  }
}

/** Bytes of topic and payload. */
export function sizeOf({ name, payloadSize }: Delivery): number {
  return name.bytes.length + payloadSize
}

/** The same of all deliveries in a list. */
export function bytesOf(list: DeliveryList): number {
  let bytes = 0
  for (const delivery of list) bytes += sizeOf(delivery)
  return bytes
}

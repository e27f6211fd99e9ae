/** What the broker keeps for one client between its connections, 4.1: subscriptions, messages, packet ids. */

import type {
  Properties,
  PublishPacket,
  QoS,
  SubscriptionRequest,
  WillMessage,
} from '../../core/packets/types.ts'
import { SessionConduct } from './conduct.ts'

/** A message on its way through the broker. */
export interface BrokerMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: QoS
  readonly retain: boolean
  /** Those that are handed on. */
  readonly properties: Properties | undefined
  /** When it expires, in ms; Infinity: never. */
  readonly expiresAt: number
  /** The client that published it; empty: the test did. */
  readonly publisher: string
}

/** A message on its way to one client: what its subscriptions made of it. */
export interface OutgoingMessage {
  readonly message: BrokerMessage
  readonly qos: QoS
  readonly retain: boolean
  readonly identifiers: readonly number[]
}

export interface Subscription {
  readonly session: BrokerSession
  /** As it was sent, `$share/…` included. */
  readonly filter: string
  /** `group/filter` of a shared subscription. */
  readonly group: string | undefined
  request: SubscriptionRequest
  grantedQoS: QoS
  identifier: number | undefined
}

/** The connection as its session sees it. */
export interface Outlet {
  readonly receiveMaximum: number
  /** False: it is larger than the client accepts, and dropped [5 MQTT-3.1.2-25]. */
  deliver(packet: PublishPacket): boolean
  release(packetId: number): void
}

/** A QoS 1 or 2 message in flight to the client. */
interface Delivery {
  readonly packetId: number
  readonly outgoing: OutgoingMessage
  released: boolean
  /** Whether its PUBLISH went out on the present connection and so takes a place in the window. */
  counted: boolean
}

export interface SessionLimits {
  readonly maxQueued: number
  readonly maxInflight: number
  readonly queueQos0: boolean
  readonly packetIds: 'ascending' | 'lowest'
}

export class BrokerSession {
  readonly clientId: string
  readonly subscriptions: Map<string, Subscription> = new Map()
  /** QoS 2 messages of the client by id, from PUBLISH to PUBREL; the value waits to be handed on. */
  readonly received: Map<number, BrokerMessage | undefined> = new Map()
  /** What the client did with its packet ids. */
  readonly conduct: SessionConduct = new SessionConduct()

  /** Seconds after the connection; Infinity: for good. */
  expiryInterval = 0
  /** When the session ends, while the client is away. */
  expiresAt: number = Infinity
  /** As it came: it is a message only when it is published, and its expiry begins then. */
  will: WillMessage | undefined = undefined
  /** When the will is published, while the client is away. */
  willAt: number = Infinity

  readonly #limits: SessionLimits
  readonly #inflight = new Map<number, Delivery>()
  #outlet: Outlet | undefined = undefined
  #queue: OutgoingMessage[] = []
  #resend: Delivery[] = []
  #used = 0
  #lastId = 0

  constructor(clientId: string, limits: SessionLimits) {
    this.clientId = clientId
    this.#limits = limits
  }

  get isConnected(): boolean {
    return this.#outlet !== undefined
  }

  /** Its client is there, and leaves nothing behind when it goes. */
  get endsWithConnection(): boolean {
    return this.isConnected && this.expiryInterval === 0
  }

  /** Messages that have no packet id yet. */
  get queued(): number {
    return this.#queue.length
  }

  /** Messages sent and not acknowledged to the end: their ids and whether they wait for PUBCOMP. */
  get inflight(): readonly {
    readonly packetId: number
    readonly topic: string
    readonly released: boolean
  }[] {
    return Array.from(this.#inflight.values(), ({ packetId, outgoing, released }) => ({
      packetId,
      topic: outgoing.message.topic,
      released,
    }))
  }

  /** Sends what is unacknowledged again, then what waits [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]. */
  attach(outlet: Outlet, now: number): void {
    this.#outlet = outlet
    this.#used = 0
    this.#resend = []
    for (const delivery of this.#inflight.values()) {
      delivery.counted = false
      if (delivery.released) outlet.release(delivery.packetId)
      else this.#resend.push(delivery)
    }
    this.#pump(now)
    this.#sendWaitingQos0(now)
  }

  detach(): void {
    this.#outlet = undefined
  }

  deliver(outgoing: OutgoingMessage, now: number): void {
    const outlet = this.#outlet
    if (outgoing.qos === 0 && outlet !== undefined) {
      outlet.deliver(this.#packet(outgoing, 0, false, now))
      return
    }
    if (outlet === undefined && outgoing.qos === 0 && !this.#limits.queueQos0) return
    this.#queue.push(outgoing)
    this.#pump(now)
    if (this.#queue.length > this.#limits.maxQueued) this.#queue.pop()
  }

  /** PUBACK, PUBCOMP, or a PUBREC that refuses. False: the id is not in flight. */
  settle(packetId: number, now: number): boolean {
    const delivery = this.#inflight.get(packetId)
    if (delivery === undefined) return false
    this.#inflight.delete(packetId)
    if (delivery.counted) this.#used -= 1
    this.#pump(now)
    return true
  }

  /** PUBREC: PUBREL is the answer. False: the id is not in flight. */
  release(packetId: number): boolean {
    const delivery = this.#inflight.get(packetId)
    if (delivery === undefined) return false
    // The order of PUBRELs is that of PUBRECs [3.1.1 MQTT-4.6.0-4] [5 MQTT-4.6.0-4].
    if (!delivery.released) {
      this.#inflight.delete(packetId)
      this.#inflight.set(packetId, delivery)
    }
    delivery.released = true
    this.#outlet?.release(packetId)
    return true
  }

  #pump(now: number): void {
    const outlet = this.#outlet
    if (outlet === undefined) return
    const window = Math.min(outlet.receiveMaximum, this.#limits.maxInflight)
    // What is sent may end the connection: the rest is for the next one.
    const mayGoOn = (): boolean => this.#outlet === outlet
    while (mayGoOn() && this.#resend.length > 0 && this.#used < window) {
      const delivery = this.#resend.shift() as Delivery
      if (this.#inflight.get(delivery.packetId) !== delivery || delivery.released) continue
      this.#send(outlet, delivery, true, now)
    }
    while (mayGoOn() && this.#queue.length > 0) {
      const outgoing = this.#queue[0] as OutgoingMessage
      if (outgoing.qos > 0 && this.#used >= window) return
      this.#queue.shift()
      if (outgoing.message.expiresAt <= now) continue
      if (outgoing.qos === 0) {
        outlet.deliver(this.#packet(outgoing, 0, false, now))
        continue
      }
      const packetId = this.#freeId()
      const delivery: Delivery = { packetId, outgoing, released: false, counted: false }
      this.#inflight.set(packetId, delivery)
      this.#send(outlet, delivery, false, now)
    }
  }

  /** QoS 0 does not wait for a place in the window [5 MQTT-3.3.4-10]. */
  #sendWaitingQos0(now: number): void {
    while (this.#outlet !== undefined) {
      const index = this.#queue.findIndex(({ qos }) => qos === 0)
      if (index < 0) return
      const [outgoing] = this.#queue.splice(index, 1) as [OutgoingMessage]
      if (outgoing.message.expiresAt > now) this.#outlet.deliver(this.#packet(outgoing, 0, false, now))
    }
  }

  #send(outlet: Outlet, delivery: Delivery, dup: boolean, now: number): void {
    const { packetId, outgoing } = delivery
    if (outlet.deliver(this.#packet(outgoing, packetId, dup, now))) {
      delivery.counted = true
      this.#used += 1
    } else this.#inflight.delete(packetId)
  }

  #freeId(): number {
    if (this.#limits.packetIds === 'lowest') this.#lastId = 0
    do this.#lastId = this.#lastId === 65_535 ? 1 : this.#lastId + 1
    while (this.#inflight.has(this.#lastId))
    return this.#lastId
  }

  #packet(outgoing: OutgoingMessage, packetId: number, dup: boolean, now: number): PublishPacket {
    const { message, qos, retain, identifiers } = outgoing
    const more: Properties = {
      ...(message.expiresAt === Infinity
        ? undefined
        : { messageExpiryInterval: Math.max(0, Math.ceil((message.expiresAt - now) / 1_000)) }),
      ...(identifiers.length > 0 ? { subscriptionIdentifiers: identifiers } : undefined),
    }
    const properties = { ...message.properties, ...more }
    const { topic, payload } = message
    return {
      type: 'publish',
      topic,
      payload,
      qos,
      retain,
      dup,
      packetId,
      properties: Object.keys(properties).length > 0 ? properties : undefined,
    }
  }
}

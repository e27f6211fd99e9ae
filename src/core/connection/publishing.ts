/**
 * The outbound half of a connection: PUBLISH and the exchanges that follow it, 4.3 and 4.4.
 *
 * A message that nothing holds up is sent at once. One pump serves what waited and re-sends: PUBRELs of the session
 * first, then its unacknowledged PUBLISHes with DUP, then what waits, each as the send quota (5: 4.9) and the output's
 * high-water mark allow. Nothing is ever sent again on a living connection.
 */

import { ConnectionError, type MqttError, violation } from '../errors.ts'
import type { Codec } from '../packets/codec.ts'
import { DUP_FLAG, RETAIN_FLAG } from '../packets/publish.ts'
import type { Properties, QoS } from '../packets/types.ts'
import { Delivery, type OutgoingPublish } from '../session/deliveries.ts'
import { DELIVERY_IDS } from '../session/packet-ids.ts'
import type { Session } from '../session/session.ts'
import type { TopicName } from '../topics/topic-names.ts'
import type { Deadlines } from './deadlines.ts'
import type { DurableOutput } from './durable-output.ts'
import { isServersDoing } from './endings.ts'
import { datedProperties, expiry } from './expiry.ts'
import type { NegotiatedSettings } from './negotiated.ts'
import type { PacketWriter } from './packet-writer.ts'
import { PublishLimits, serverRefusal } from './publish-limits.ts'
import { OutboundAliases } from './topic-aliases.ts'
import type { Traffic } from './traffic.ts'

/** The pump stops binding ids while this many bytes have not been taken by the network. */
export const HIGH_WATER = 262_144

export interface PublishingOptions {
  readonly maxInflight: number
  readonly maxInflightQos2: number
  readonly topicAliases: 'off' | 'auto' | 'manual'
  readonly operationTimeout: number
}

/** A delivery whose caller has waited too long; the exchange goes on. */
export interface OverdueDelivery {
  readonly type: 'overdue'
  readonly delivery: Delivery
}

/** Where events wait until they are pulled. */
interface EventQueue {
  push(event: Delivery | OverdueDelivery): void
}

export class Publishing {
  readonly #writer: PacketWriter
  readonly #session: Session
  readonly #deadlines: Deadlines
  readonly #durable: DurableOutput
  readonly #traffic: Traffic
  readonly #options: PublishingOptions
  readonly #events: EventQueue
  /** Its number in the session. */
  readonly #connection: number
  readonly #limits: PublishLimits
  readonly #aliases: OutboundAliases | undefined
  readonly #choosesAliases: boolean
  /** Nothing is recorded, refused or rewritten. */
  readonly #isDirect: boolean

  #quota = 0
  #acknowledged = false
  /** As many of QoS 2 as may be open are late: what is acknowledged of QoS 1 does not help. */
  #isQos2Full = false
  /** The first of `published` that this connection has not sent yet; nothing new gets an id before those behind it were. */
  #resend: Delivery | undefined
  #now = 0

  /** @param events for deliveries that end outside of an acknowledgement, or are overdue */
  constructor(
    parts: {
      codec: Codec
      writer: PacketWriter
      session: Session
      settings: NegotiatedSettings
      deadlines: Deadlines
      durable: DurableOutput
      traffic: Traffic
      connection: number
    },
    options: PublishingOptions,
    events: EventQueue,
  ) {
    this.#writer = parts.writer
    this.#session = parts.session
    this.#deadlines = parts.deadlines
    this.#durable = parts.durable
    this.#traffic = parts.traffic
    this.#connection = parts.connection
    this.#options = options
    this.#events = events
    const { settings } = parts
    this.#quota = Math.min(settings.receiveMaximum, options.maxInflight)
    const aliases = options.topicAliases !== 'off' && settings.topicAliasMaximum > 0
    this.#limits = new PublishLimits(parts.codec, settings, aliases || options.topicAliases === 'manual')
    this.#aliases = aliases ? new OutboundAliases(settings.topicAliasMaximum) : undefined
    this.#choosesAliases = options.topicAliases === 'auto'
    this.#isDirect = this.isPlain && parts.durable.isIdle
    this.#resend = this.#session.published.head
  }

  /** Sends what the session owes: PUBRELs, then as the pump does. */
  resume(now: number): void {
    this.#now = now
    for (const delivery of this.#session.released) {
      this.#expect(delivery)
      this.#transmit(delivery)
    }
    this.pump(now)
  }

  /** Writes a QoS 0 PUBLISH. @throws RefusedError when the server's limits forbid it, rule 23 */
  publish(message: OutgoingPublish): void {
    const refusal = this.#limits.refusal(message)
    if (refusal !== undefined) throw refusal
    this.#write(message, 0, message.properties, false)
  }

  /** Whether nothing limits or rewrites messages without properties. */
  get isPlain(): boolean {
    return !this.#limits.exist && this.#aliases === undefined
  }

  /**
   * Sends a message of QoS 1 or 2 past the queue, if nothing stands before it, limits, records, rewrites or watches it.
   *
   * In one piece, what the pump does by many functions: longer than what V8 puts into a caller, so that the object of
   * each message is made by this very code (decision 12).
   */
  sendAtOnce(
    name: TopicName,
    payload: Uint8Array | string,
    payloadSize: number,
    qos: 1 | 2,
    retain: boolean,
    properties: Properties | undefined,
    timeout: number,
    owner: unknown,
    now: number,
  ): Delivery | undefined {
    const session = this.#session
    const writer = this.#writer
    const { buffer } = writer
    if (!this.#isDirect || this.#quota <= 0 || writer.watcher !== undefined) return undefined
    if (session.queued.head !== undefined || this.#resend !== undefined) return undefined
    // Requests are counted, too: it may say no where the pump says yes, which then sends.
    if (buffer.pending >= HIGH_WATER || session.ids.size >= DELIVERY_IDS) return undefined
    if (qos === 2 && session.openQos2 >= this.#options.maxInflightQos2) return undefined
    if (properties?.topicAlias !== undefined) return undefined
    const delivery = Delivery.of({ name, payload, payloadSize, qos, retain, properties, lent: false }, now)
    const packetId = session.ids.allocate(delivery)
    session.begin(delivery, packetId)
    this.#now = now
    this.#quota -= 1
    delivery.connection = this.#connection
    delivery.attempts = 1
    delivery.owner = owner
    delivery.timeout = timeout
    const sentAt = this.#deadlines.expected(now)
    delivery.sentAt = sentAt
    if (timeout > 0) this.#deadlines.delivery = Math.min(this.#deadlines.delivery, sentAt + timeout)
    const flags = (qos << 1) | (retain ? RETAIN_FLAG : 0)
    if (properties === undefined) writer.plainPublish(flags, name.bytes, packetId, payload, payloadSize)
    else writer.publish(delivery, flags, name.bytes, packetId, properties)
    if (typeof payload !== 'string') delivery.stay(buffer.slab, buffer.position - payloadSize)
    return delivery
  }

  /** Whether a message of this QoS would be the next to be sent, and the window has a place for it. */
  isOpen(qos: QoS): boolean {
    return this.#session.queued.head === undefined && this.#hasPlace(qos)
  }

  /** Sends as much as the window and the high-water mark allow. */
  pump(now: number): void {
    this.#now = now
    const { queued } = this.#session
    while (this.#writer.buffer.pending < HIGH_WATER) {
      const delivery = this.#resend ?? queued.head
      if (delivery === undefined || (this.#quota <= 0 && delivery.qos > 0)) return
      if (!(this.#resend === undefined ? this.#bindAndSend(delivery) : this.#sendAgain(delivery))) return
    }
  }

  /** PUBACK, 3.4. Undefined for an unknown id, which is ignored. @throws ProtocolError for one of another kind */
  handlePuback(
    packetId: number,
    reasonCode: number,
    properties: Properties | undefined,
  ): Delivery | undefined {
    const delivery = this.#holder(packetId, 'PUBACK', 1)
    return delivery && this.finish(delivery, reasonCode, properties)
  }

  /** PUBREC, 3.5. */
  handlePubrec(
    packetId: number,
    reasonCode: number,
    properties: Properties | undefined,
  ): Delivery | undefined {
    const delivery = this.#holder(packetId, 'PUBREC', 2)
    if (delivery === undefined) {
      if (reasonCode < 0x80 && this.#session.ids.get(packetId)?.type !== 'delivery')
        this.#writer.acknowledge('pubrel', packetId, 0x92)
      return undefined
    }
    if (delivery.state === 'published' && reasonCode >= 0x80)
      return this.finish(delivery, reasonCode, properties)
    this.release(delivery)
    return undefined
  }

  /** The server has the message: PUBREL is due, also if it was sent before. */
  release(delivery: Delivery): void {
    if (delivery.state === 'published') {
      this.#progress(delivery)
      if (delivery === this.#resend) this.#resend = delivery.next
      this.#session.release(delivery)
    }
    this.#transmit(delivery)
  }

  /** PUBCOMP, 3.7. */
  handlePubcomp(
    packetId: number,
    reasonCode: number,
    properties: Properties | undefined,
  ): Delivery | undefined {
    const delivery = this.#holder(packetId, 'PUBCOMP', 2)
    if (delivery?.state === 'published')
      throw violation(`PUBCOMP came for the packet identifier ${packetId} before PUBREL`)
    return delivery && this.finish(delivery, reasonCode === 0x92 ? 0 : reasonCode, properties)
  }

  /** The exchange is over. */
  finish(delivery: Delivery, reasonCode: number, properties: Properties | undefined): Delivery {
    this.#progress(delivery)
    this.#leave(delivery)
    this.#session.settle(delivery)
    delivery.reasonCode = reasonCode
    delivery.result = properties
    if (reasonCode >= 0x80) delivery.error = serverRefusal(delivery)
    return delivery
  }

  /** A record was stored: what depends on it is encoded. */
  encodeStored(delivery: Delivery): void {
    if (delivery.state === 'released') return this.#writer.acknowledge('pubrel', delivery.packetId, 0)
    if (delivery.state !== 'published') return
    delivery.attempts += 1
    this.#expect(delivery)
    this.#write(delivery, delivery.packetId, datedProperties(delivery, this.#now), delivery.attempts > 1)
    const { slab, position } = this.#writer.buffer
    if (delivery.passing) delivery.stay(slab, position - delivery.payloadSize)
  }

  /** Nobody waits for it any more, rule 17. */
  abandon(delivery: Delivery): void {
    if (delivery.state === 'settled') return
    if (delivery.attempts === 0) this.#leave(delivery)
    this.#session.abandon(delivery)
  }

  /** A delivery that was never sent is dropped, and its place in the window given back. */
  forget(delivery: Delivery): void {
    this.#leave(delivery)
    this.#session.settle(delivery)
  }

  /**
   * Callers that have waited too long get their answer; their deliveries go on, rule 17.
   *
   * @returns why the connection has to end, if nothing moves any more
   */
  handleTimeout(now: number): MqttError | undefined {
    if (this.#deadlines.delivery <= now) this.#expire(now)
    if (this.#deadlines.stuck > now) return undefined
    return new ConnectionError(
      'operation-timeout',
      'all messages that may be open at once wait, and nothing moves',
      { phase: 'established', outcome: 'pending' },
    )
  }

  /** The connection ended, and no request may be the cause: a strike against the first delivery, rule 8. */
  handleEnd(error: MqttError | undefined, poisonLimit: number): void {
    if (!isServersDoing(error)) return
    const first = this.#session.published.head
    if (this.#acknowledged || !first?.attempts || first.connection !== this.#connection) return
    const poison = this.#session.strike(poisonLimit)
    if (poison === undefined) return
    this.#session.giveUp(poison)
    poison.error = new ConnectionError(
      'poison-delivery',
      `the connection ended ${poisonLimit} times right after the message to "${poison.name.text}" was sent; ` +
        'it is not sent again (option poisonLimit)',
      { phase: 'established', outcome: 'pending' },
    )
    this.#events.push(poison)
  }

  #holder(packetId: number, type: string, qos: number): Delivery | undefined {
    const holder = this.#session.ids.get(packetId)
    const isUnsent = holder?.type === 'delivery' && holder.attempts === 0
    if (holder === undefined || holder.type === 'reserved' || isUnsent) {
      this.#traffic.unknownAcknowledgements += 1
      return undefined
    }
    if (holder.type !== 'delivery' || holder.qos !== qos) {
      throw violation(`${type} came for the packet identifier ${packetId}, of no PUBLISH of QoS ${qos}`)
    }
    return holder
  }

  #progress({ qos }: Delivery): void {
    if (!this.#acknowledged) {
      this.#acknowledged = true
      this.#session.acquit()
    }
    if (this.#deadlines.stuck === Infinity || (qos === 1 && this.#isQos2Full)) return
    // Something moves; whether it was enough is seen when those that are late are looked through again.
    this.#deadlines.stuck = Infinity
    this.#deadlines.delivery = 0
  }

  #bindAndSend(delivery: Delivery): boolean {
    const session = this.#session
    const refusal = expiry(delivery, this.#now) ?? this.#limits.refusal(delivery)
    if (refusal !== undefined || delivery.qos === 0) {
      // Refused or written, it is over.
      if (refusal === undefined) this.#write(delivery, 0, datedProperties(delivery, this.#now), false)
      session.settle(delivery)
      delivery.error = refusal
      this.#events.push(delivery)
      return true
    }
    if (!this.#hasPlace(delivery.qos) || !session.bind(delivery)) return false
    this.#enter(delivery)
    this.#transmit(delivery)
    return true
  }

  #sendAgain(delivery: Delivery): boolean {
    this.#resend = delivery.next
    const refusal = expiry(delivery, this.#now) ?? this.#limits.refusal(delivery, delivery.attempts > 0)
    if (refusal !== undefined) {
      this.#session.giveUp(delivery)
      delivery.error = refusal
      this.#events.push(delivery)
      return true
    }
    this.#enter(delivery)
    this.#transmit(delivery)
    return true
  }

  /** Whether the window has a place for a new message of this QoS. */
  #hasPlace(qos: QoS): boolean {
    const session = this.#session
    if (qos === 2 && session.openQos2 >= this.#options.maxInflightQos2) return false
    return this.#quota > 0 && session.deliveryIds < DELIVERY_IDS
  }

  /** Takes a place in the window of this connection. */
  #enter(delivery: Delivery): void {
    this.#quota -= 1
    delivery.connection = this.#connection
    // It may wait for its record: the time for the answer begins when it is written.
    delivery.sentAt = Infinity
  }

  /** Gives the place back, if it has one; or is not sent again, if that was due. */
  #leave(delivery: Delivery): void {
    if (delivery === this.#resend) this.#resend = delivery.next
    if (delivery.connection === this.#connection) this.#quota += 1
  }

  #transmit(delivery: Delivery): void {
    this.#durable.send(delivery, delivery.recordedAt, this)
  }

  /** @param again with DUP, and by its topic: an alias is of the connection before */
  #write(
    message: OutgoingPublish,
    packetId: number,
    properties: Properties | undefined,
    again: boolean,
  ): void {
    let topic = message.name.bytes
    let sent = properties
    const aliases = again ? undefined : this.#aliases
    if (aliases === undefined) {
      if (sent?.topicAlias !== undefined) sent = { ...sent, topicAlias: undefined }
    } else if (this.#choosesAliases || sent?.topicAlias !== undefined) {
      const use = this.#alias(aliases, message)
      if (use !== undefined) sent = { ...sent, topicAlias: use.alias }
      if (use?.known) topic = NO_TOPIC
    }
    const flags = (message.qos << 1) | (message.retain ? RETAIN_FLAG : 0) | (again ? DUP_FLAG : 0)
    this.#writer.publish(message, flags, topic, packetId, sent)
  }

  /** The user's alias, or one that we choose, unless the packet became too large by it [5 MQTT-3.2.2-15]. */
  #alias(aliases: OutboundAliases, message: OutgoingPublish): { alias: number; known: boolean } | undefined {
    const { name, properties } = message
    if (properties?.topicAlias !== undefined) return aliases.use(name, properties.topicAlias)
    return this.#limits.allow(message, ALIAS_SIZE) ? aliases.choose(name) : undefined
  }

  /** The time for the answer begins. */
  #expect(delivery: Delivery): void {
    delivery.sentAt = this.#deadlines.expected(this.#now)
    if (delivery.timeout === 0) return
    this.#deadlines.delivery = Math.min(this.#deadlines.delivery, delivery.sentAt + delivery.timeout)
  }

  #expire(now: number): void {
    this.#deadlines.delivery = Infinity
    let [open, openQos2] = [0, 0]
    for (const list of [this.#session.published, this.#session.released]) {
      for (const delivery of list) {
        if (delivery.abandoned) continue
        const waiting = delivery.state === 'published' && delivery.connection !== this.#connection
        const deadline = delivery.timeout === 0 || waiting ? Infinity : delivery.sentAt + delivery.timeout
        if (deadline > now) {
          this.#deadlines.delivery = Math.min(this.#deadlines.delivery, deadline)
          if (!waiting) open += 1
          if (delivery.qos === 2) openQos2 += 1
        } else {
          this.abandon(delivery)
          this.#events.push({ type: 'overdue', delivery })
        }
      }
    }
    this.#isQos2Full = openQos2 === 0 && this.#session.openQos2 >= this.#options.maxInflightQos2
    const { operationTimeout } = this.#options
    if ((this.#isQos2Full || (open === 0 && this.#quota === 0)) && operationTimeout > 0)
      this.#deadlines.stuck = Math.min(this.#deadlines.stuck, now + operationTimeout)
  }
}

const NO_TOPIC = new Uint8Array(2)

/** What an alias adds to a packet at most: its property, and a byte each in the two lengths before it. */
const ALIAS_SIZE = 5

/**
 * The inbound half of a connection: PUBLISHes of the server and our answers, 4.3.
 *
 *     QoS 1   PUBLISH ─► handler ─► PUBACK                       in order of arrival
 *     QoS 2   PUBLISH ─► handler ─► PUBREC ─► PUBREL ─► PUBCOMP    the id stays open until PUBREL
 *
 * An id of QoS 2 that is open is not handed over again, whatever the DUP flag says, also on later connections
 * of the session (rule 18), unless the session is in doubt. An acknowledgement belongs to its connection: one that
 * comes late is dropped, or at QoS 2 given when the server repeats the PUBLISH (rule 20).
 */

import { ProtocolError, violation } from '../errors.ts'
import type { IncomingMessage } from '../packets/publish.ts'
import type { Properties, QoS } from '../packets/types.ts'
import type { AcknowledgementLine } from '../session/acknowledgements.ts'
import type { Session } from '../session/session.ts'
import type { DueAcknowledgement, DurableOutput } from './durable-output.ts'
import type { PacketWriter } from './packet-writer.ts'
import { InboundAliases } from './topic-aliases.ts'
import type { Traffic } from './traffic.ts'

export class Receiving {
  readonly #writer: PacketWriter
  readonly #session: Session
  readonly #durable: DurableOutput
  readonly #traffic: Traffic
  readonly #receiveMaximum: number
  readonly #aliases: InboundAliases
  readonly #pubacks: AcknowledgementLine
  readonly #pubrecs: AcknowledgementLine
  /** The number of the last PUBLISH of QoS 2 that came by another connection. */
  readonly #earlier: number
  /** QoS 2 exchanges that the server holds open on this connection. */
  #openQos2 = 0

  /** @param connect the properties of CONNECT */
  constructor(
    parts: {
      writer: PacketWriter
      session: Session
      durable: DurableOutput
      traffic: Traffic
    },
    connect: Properties | undefined,
  ) {
    this.#writer = parts.writer
    this.#session = parts.session
    this.#durable = parts.durable
    this.#traffic = parts.traffic
    this.#receiveMaximum = connect?.receiveMaximum ?? 65_535
    this.#aliases = new InboundAliases(connect?.topicAliasMaximum ?? 0)
    this.#pubacks = this.#session.pubacks.restart()
    this.#pubrecs = this.#session.pubrecs.restart()
    this.#earlier = this.#pubrecs.arrived
  }

  /** The message if it is to be handed over, undefined for a repeated one. @throws ProtocolError */
  handlePublish(message: IncomingMessage): IncomingMessage | undefined {
    const alias = message.properties?.topicAlias
    if (alias !== undefined) this.#aliases.resolve(message, alias)
    const { qos } = message
    this.#traffic.messagesIn[qos] += 1
    if (qos === 0) return message
    if (qos === 2) return this.#handleQos2(message)
    this.#checkReceiveMaximum()
    message.place = this.#pubacks.arrive()
    return message
  }

  /** PUBREL, 3.6: the exchange ends, answered whether or not the id is known. */
  handlePubrel(packetId: number): void {
    const isEarly = this.#pubrecs.isWaiting(-this.#session.received.latest(packetId))
    const number = isEarly ? -1 : this.#session.complete(packetId)
    if (number < 0) throw violation(`PUBREL came for the packet identifier ${packetId} before PUBREC`)
    if (number > this.#earlier) this.#openQos2 -= 1
    if (number === 0) this.#traffic.unknownAcknowledgements += 1
    this.#pubcomp(packetId, number === 0 ? 0x92 : 0)
  }

  /** The record of the id's removal comes first; an unknown id may be one whose removal has not been stored yet. */
  #pubcomp(packetId: number, reasonCode: number): void {
    if (this.#durable.isIdle) return this.#writer.acknowledge('pubcomp', packetId, reasonCode)
    const position = this.#session.journal?.position ?? 0
    this.#durable.send({ type: 'pubcomp', packetId, reasonCode }, position, this)
  }

  /** The application is done with a message of QoS 1 or 2. Harmless when repeated, or late. */
  acknowledge(message: IncomingMessage, reasonCode: number, isConnected: boolean, session: Session): void {
    const { qos, packetId } = message
    const place = qos === 1 ? message.place : session.handle(packetId, message.place, reasonCode)
    if (isConnected) this.#finish(qos, place, packetId, reasonCode)
  }

  /** A record was stored: what depends on it is encoded. */
  encodeStored({ type, packetId, reasonCode }: DueAcknowledgement): void {
    this.#writer.acknowledge(type, packetId, reasonCode)
  }

  #handleQos2(message: IncomingMessage): IncomingMessage | undefined {
    const { packetId } = message
    const { received } = this.#session
    const latest = received.latest(packetId)
    if (latest !== 0) {
      // When the session is in doubt, DUP tells: a server sets it on what it sends again, so without it the identifier is
      // used anew, by a session that does not know the old exchange.
      if (message.dup || Math.abs(latest) > this.#session.doubted) return this.#repeat(packetId, latest)
      this.#session.complete(packetId)
    }
    this.#checkReceiveMaximum()
    this.#openQos2 += 1
    message.place = this.#pubrecs.arrive()
    received.begin(packetId, message.place)
    return message
  }

  /** A PUBLISH of an exchange that is open: the application has had its message. */
  #repeat(packetId: number, latest: number): undefined {
    const { received } = this.#session
    const handled = latest < 0
    if (Math.abs(latest) > this.#earlier) {
      // PUBREC that is owed leaves in its place; one that has left, once more.
      if (handled && !this.#pubrecs.isWaiting(-latest))
        this.#answer(2, packetId, received.reasonCodeOf(packetId))
      return
    }
    this.#checkReceiveMaximum()
    this.#openQos2 += 1
    const place = this.#pubrecs.arrive()
    received.repeat(packetId, place)
    if (handled) this.#finish(2, place, packetId, received.reasonCodeOf(packetId))
  }

  /** The message at this place in its line is done. */
  #finish(qos: QoS, place: number, packetId: number, reasonCode: number): void {
    const line = qos === 1 ? this.#pubacks : this.#pubrecs
    if (!line.finish(place, packetId, reasonCode)) return
    this.#answer(qos, packetId, reasonCode)
    for (let due = line.shift(); due !== undefined; due = line.shift())
      this.#answer(qos, due.packetId, due.reasonCode)
  }

  #answer(qos: QoS, packetId: number, reasonCode: number): void {
    if (qos === 1) this.#writer.acknowledge('puback', packetId, reasonCode)
    else this.#pubrec(packetId, reasonCode)
  }

  #pubrec(packetId: number, reasonCode: number): void {
    const isRefused = reasonCode >= 0x80
    if (isRefused) {
      this.#session.received.end(packetId)
      this.#openQos2 -= 1
    }
    if (this.#durable.isIdle) return this.#writer.acknowledge('pubrec', packetId, reasonCode)
    // What is refused is not recorded.
    const position = isRefused ? 0 : this.#session.receivedAt
    this.#durable.send({ type: 'pubrec', packetId, reasonCode }, position, this)
  }

  /** [5 MQTT-3.3.4-9]: rule 24. */
  #checkReceiveMaximum(): void {
    if (this.#pubacks.waiting + this.#openQos2 < this.#receiveMaximum) return
    throw new ProtocolError(
      'receive-maximum-exceeded',
      0x93,
      `more than ${this.#receiveMaximum} unacknowledged messages came (option receiveMaximum)`,
    )
  }
}

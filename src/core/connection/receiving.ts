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
import type { Properties } from '../packets/types.ts'
import type { Reception, Session } from '../session/session.ts'
import { AcknowledgementLine } from './acknowledgements.ts'
import type { DueAcknowledgement, DurableOutput } from './durable-output.ts'
import type { PacketWriter } from './packet-writer.ts'
import { InboundAliases } from './topic-aliases.ts'
import type { Traffic } from './traffic.ts'

export class Receiving {
  readonly #writer: PacketWriter
  readonly #session: Session
  readonly #durable: DurableOutput
  readonly #traffic: Traffic
  readonly #connection: number
  readonly #receiveMaximum: number
  readonly #aliases: InboundAliases
  readonly #pubacks: AcknowledgementLine<number>
  readonly #pubrecs: AcknowledgementLine<Reception>
  /** QoS 2 exchanges that the server holds open on this connection. */
  #openQos2 = 0

  /** @param connect the properties of CONNECT */
  constructor(
    parts: {
      writer: PacketWriter
      session: Session
      durable: DurableOutput
      traffic: Traffic
      connection: number
    },
    connect: Properties | undefined,
  ) {
    this.#writer = parts.writer
    this.#session = parts.session
    this.#durable = parts.durable
    this.#traffic = parts.traffic
    this.#connection = parts.connection
    this.#receiveMaximum = connect?.receiveMaximum ?? 65_535
    this.#aliases = new InboundAliases(connect?.topicAliasMaximum ?? 0)
    this.#pubacks = new AcknowledgementLine((packetId, reasonCode) => this.#puback(packetId, reasonCode))
    this.#pubrecs = new AcknowledgementLine((reception, reasonCode) => this.#pubrec(reception, reasonCode))
  }

  /** The message if it is to be handed over, undefined for a repeated one. @throws ProtocolError */
  handlePublish(message: IncomingMessage): IncomingMessage | undefined {
    const alias = message.properties?.topicAlias
    if (alias !== undefined) this.#aliases.resolve(message, alias)
    const { qos } = message
    this.#traffic.messagesIn[qos] += 1
    if (qos === 0) return message
    message.connection = this.#connection
    if (qos === 2) return this.#handleQos2(message)
    this.#checkReceiveMaximum()
    message.place = this.#pubacks.arrive()
    return message
  }

  /** PUBREL, 3.6: the exchange ends, answered whether or not the id is known. */
  handlePubrel(packetId: number): void {
    const reception = this.#session.received.get(packetId)
    if (reception === undefined) {
      this.#traffic.unknownAcknowledgements += 1
      return this.#pubcomp(packetId, 0x92)
    }
    if (!reception.handled) throw violation(`PUBREL came for the packet identifier ${packetId} before PUBREC`)
    this.#session.complete(packetId)
    this.#openQos2 = Math.max(0, this.#openQos2 - 1)
    this.#pubcomp(packetId, 0)
  }

  /** The record of the id's removal comes first; an unknown id may be one whose removal has not been stored yet. */
  #pubcomp(packetId: number, reasonCode: number): void {
    if (this.#durable.isIdle) this.#writer.acknowledge('pubcomp', packetId, reasonCode)
    else this.#durable.send({ type: 'pubcomp', packetId, reasonCode }, this.#session.journal?.position ?? 0)
  }

  /** The application is done with a message of QoS 1 or 2. Harmless when repeated, or late. */
  acknowledge(message: IncomingMessage, reasonCode: number, isConnected: boolean, session: Session): void {
    if (message.qos === 1) {
      if (isConnected && message.connection === this.#connection) {
        this.#pubacks.finish(message.place, message.packetId, reasonCode)
      }
      return
    }
    const reception = session.handle(message.packetId, message.place, reasonCode)
    if (reception === undefined) return
    if (isConnected && reception.connection === this.#connection) {
      this.#pubrecs.finish(reception.sequence, reception, reasonCode)
    }
  }

  /** A record was stored: what depends on it is encoded. */
  encodeStored({ type, packetId, reasonCode }: DueAcknowledgement): void {
    this.#writer.acknowledge(type, packetId, reasonCode)
  }

  #handleQos2(message: IncomingMessage): IncomingMessage | undefined {
    const open = this.#openExchange(message)
    const repeated = open !== undefined && open.connection === this.#connection
    if (!repeated) {
      this.#checkReceiveMaximum()
      this.#openQos2 += 1
    }
    const reception = open ?? this.#session.receive(message.packetId)
    if (open === undefined) message.place = reception.message
    // A handler that runs still owes PUBREC in its first place; a repeat that was answered takes a new one.
    if (repeated && !reception.handled) return undefined
    reception.connection = this.#connection
    reception.sequence = this.#pubrecs.arrive()
    if (open === undefined) return message
    if (reception.handled) this.#pubrecs.finish(reception.sequence, reception, reception.reasonCode)
    return undefined
  }

  /**
   * The exchange that a PUBLISH repeats, if it does. When the session is in doubt, DUP tells: a server sets it on
   * what it sends again, so without it the identifier is used anew, by a session that does not know the old exchange.
   */
  #openExchange({ packetId, dup }: IncomingMessage): Reception | undefined {
    const open = this.#session.received.get(packetId)
    if (open?.doubtful !== true) return open
    open.doubtful = false
    if (dup) return open
    this.#session.complete(packetId)
    return undefined
  }

  #puback(packetId: number, reasonCode: number): void {
    this.#writer.acknowledge('puback', packetId, reasonCode)
  }

  #pubrec(reception: Reception, reasonCode: number): void {
    const { packetId } = reception
    if (reasonCode >= 0x80) {
      this.#session.received.delete(packetId)
      this.#openQos2 -= 1
    }
    if (this.#durable.isIdle) this.#writer.acknowledge('pubrec', packetId, reasonCode)
    else this.#durable.send({ type: 'pubrec', packetId, reasonCode }, reception.recordedAt)
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

/**
 * Every packet that leaves a connection is written here, counted, and told to those who watch.
 *
 * Without a watcher no packet object exists: a QoS 0 publish goes from its arguments to its bytes.
 */

import { OutputBuffer } from '../bytes/output-buffer.ts'
import type { Slabs } from '../bytes/slabs.ts'
import { encodeUtf8 } from '../bytes/utf8.ts'
import { encodeAck, headerOf } from '../packets/acks.ts'
import type { Codec } from '../packets/codec.ts'
import { PINGREQ } from '../packets/ping.ts'
import { encodePublish, NO_PROPERTIES, publishPropertiesSize } from '../packets/publish.ts'
import {
  type AckType,
  type AuthPacket,
  type ConnectPacket,
  type ControlPacket,
  type DisconnectPacket,
  PACKET_TYPES,
  type Properties,
  type QoS,
  type SubscribePacket,
  type UnsubscribePacket,
} from '../packets/types.ts'
import type { OutgoingPublish } from '../session/deliveries.ts'
import type { Traffic } from './traffic.ts'

export class PacketWriter {
  readonly buffer: OutputBuffer
  /** Told of every packet, when somebody watches. */
  watcher: ((packet: ControlPacket) => void) | undefined = undefined

  readonly #codec: Codec
  readonly #traffic: Traffic

  constructor(codec: Codec, slabs: Slabs, traffic: Traffic) {
    this.#codec = codec
    this.#traffic = traffic
    this.buffer = new OutputBuffer(slabs)
  }

  connect(packet: ConnectPacket): void {
    this.#codec.encodeConnect(this.buffer, packet)
    this.#written(packet)
  }

  /** A PUBLISH without properties that nobody watches, from its parts. `flags`: the low four bits of the first byte. */
  plainPublish(
    flags: number,
    topic: Uint8Array,
    packetId: number,
    payload: Uint8Array | string,
    payloadSize: number,
  ): void {
    const size = this.#codec.hasProperties ? 0 : NO_PROPERTIES
    encodePublish(this.buffer, flags, topic, packetId, size, undefined, payload, payloadSize, false)
    this.#count(((flags >> 1) & 3) as QoS)
  }

  /**
   * @param flags the low four bits of the first byte
   * @param topic the topic's bytes behind their length; empty when an alias stands for them
   */
  publish(
    message: OutgoingPublish,
    flags: number,
    topic: Uint8Array,
    packetId: number,
    properties: Properties | undefined,
  ): void {
    const { payload, payloadSize, qos, lent } = message
    const size = publishPropertiesSize(properties, this.#codec.hasProperties)
    if (properties !== undefined && size === NO_PROPERTIES) this.#traffic.propertiesLeftOut += 1
    encodePublish(this.buffer, flags, topic, packetId, size, properties, payload, payloadSize, lent)
    this.#count(qos)
    if (this.watcher === undefined) return
    this.watcher({
      type: 'publish',
      topic: topic.length > 2 ? message.name.text : '',
      // The caller may change the bytes before the event is handed out. Not by `slice`: that of a Buffer is a view.
      payload: typeof payload === 'string' ? encodeUtf8(payload) : new Uint8Array(payload),
      qos,
      retain: message.retain,
      dup: (flags & 8) !== 0,
      packetId,
      properties: this.#codec.hasProperties ? properties : undefined,
    })
  }

  acknowledge(type: AckType, packetId: number, reasonCode: number): void {
    // Success has one form in both versions, and no look-up of a version's function.
    if (reasonCode === 0) encodeAck(this.buffer, type, packetId)
    else this.#codec.encodeAck(this.buffer, type, packetId, reasonCode)
    const number = headerOf(type) >> 4
    this.#traffic.packetsOut[number] = (this.#traffic.packetsOut[number] as number) + 1
    this.watcher?.({ type, packetId, reasonCode: this.#codec.hasProperties ? reasonCode : 0 })
  }

  subscribe(packet: SubscribePacket): void {
    this.#codec.encodeSubscribe(this.buffer, packet)
    this.#written(packet)
  }

  unsubscribe(packet: UnsubscribePacket): void {
    this.#codec.encodeUnsubscribe(this.buffer, packet)
    this.#written(packet)
  }

  /** PINGREQ goes ahead of what has not been taken, rule 10. */
  ping(): void {
    this.buffer.putFirst(PINGREQ)
    this.#written({ type: 'pingreq' })
  }

  authenticate(packet: AuthPacket): void {
    this.#codec.encodeAuth?.(this.buffer, packet)
    this.#written(packet)
  }

  /** Words are left out when they do not fit [5 MQTT-3.14.2-3, -4]. */
  disconnect(packet: DisconnectPacket, maximumPacketSize: number): void {
    const { sessionExpiryInterval } = packet.properties ?? {}
    const fits = this.#codec.disconnectSize(packet) <= maximumPacketSize
    const properties = sessionExpiryInterval === undefined ? undefined : { sessionExpiryInterval }
    const sent = fits ? packet : { ...packet, properties }
    this.#codec.encodeDisconnect(this.buffer, sent)
    this.#written(sent)
  }

  #count(qos: QoS): void {
    const { packetsOut, messagesOut } = this.#traffic
    packetsOut[PACKET_TYPES.publish] = (packetsOut[PACKET_TYPES.publish] as number) + 1
    messagesOut[qos] += 1
  }

  #written(packet: ControlPacket): void {
    const number = PACKET_TYPES[packet.type]
    this.#traffic.packetsOut[number] = (this.#traffic.packetsOut[number] as number) + 1
    this.watcher?.(packet)
  }
}

/** What a server writes and what a client may send: the other half of the client's two tables. */

import { OutputBuffer } from '../../core/bytes/output-buffer.ts'
import { Slabs } from '../../core/bytes/slabs.ts'
import { writeString } from '../../core/bytes/data-types.ts'
import { PacketReader } from '../../core/bytes/packet-reader.ts'
import { utf8Length } from '../../core/bytes/utf8.ts'
import { decodeAck311, decodeAck5, encodeAck, encodeAck5 } from '../../core/packets/acks.ts'
import { decodeAuth, encodeAuth } from '../../core/packets/auth.ts'
import { type Decode, headerFault } from '../../core/packets/codec.ts'
import { decodeConnack311, decodeConnack5 } from '../../core/packets/connack.ts'
import { encodeConnack311, encodeConnack5 } from '../../core/packets/connack.ts'
import { decodeConnect, encodeConnect } from '../../core/packets/connect.ts'
import { decodeDisconnect311, decodeDisconnect5 } from '../../core/packets/disconnect.ts'
import { encodeDisconnect311, encodeDisconnect5 } from '../../core/packets/disconnect.ts'
import { decodePingreq, decodePingresp, encodePingresp, PINGREQ } from '../../core/packets/ping.ts'
import { decodePublish, encodePublish } from '../../core/packets/publish.ts'
import { publishPropertiesSize } from '../../core/packets/publish.ts'
import { ReceivedTopics } from '../../core/packets/received-topics.ts'
import { decodeSuback311, decodeSuback5, decodeSubscribe } from '../../core/packets/subscribe.ts'
import { encodeSuback311, encodeSuback5 } from '../../core/packets/subscribe.ts'
import { encodeSubscribe311, encodeSubscribe5 } from '../../core/packets/subscribe.ts'
import { decodeUnsuback311, decodeUnsuback5 } from '../../core/packets/unsubscribe.ts'
import { decodeUnsubscribe, encodeUnsuback, encodeUnsubscribe } from '../../core/packets/unsubscribe.ts'
import type { ControlPacket, ProtocolVersion, PublishPacket } from '../../core/packets/types.ts'
import type { SplitPacket } from './packet-splitter.ts'

const shared = new OutputBuffer(new Slabs())

/** Any packet of either side as bytes. Nothing is checked: tests send what no one may send. */
export function encodePacket(packet: ControlPacket, version: ProtocolVersion): Uint8Array {
  write(shared, packet, version === '5')
  return shared.takeAll()
}

/** The chunks one behind the other; a single one is returned as it is. */
export function concatenate(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks
  if (first !== undefined && chunks.length === 1) return first
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    whole.set(chunk, at)
    at += chunk.length
  }
  return whole
}

function write(out: OutputBuffer, packet: ControlPacket, version5: boolean): void {
  switch (packet.type) {
    case 'connect':
      return encodeConnect(out, packet, version5)
    case 'connack':
      return version5 ? encodeConnack5(out, packet) : encodeConnack311(out, packet)
    case 'publish':
      return writePublish(out, packet, version5)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp': {
      const { type, packetId, reasonCode, properties } = packet
      return version5
        ? encodeAck5(out, type, packetId, reasonCode, properties)
        : encodeAck(out, type, packetId)
    }
    case 'subscribe':
      return version5 ? encodeSubscribe5(out, packet) : encodeSubscribe311(out, packet)
    case 'suback':
      return version5 ? encodeSuback5(out, packet) : encodeSuback311(out, packet)
    case 'unsubscribe':
      return encodeUnsubscribe(out, packet, version5)
    case 'unsuback':
      return encodeUnsuback(out, packet, version5)
    case 'pingreq':
      return out.append(PINGREQ)
    case 'pingresp':
      return encodePingresp(out)
    case 'disconnect':
      return version5 ? encodeDisconnect5(out, packet) : encodeDisconnect311(out)
    case 'auth':
      return encodeAuth(out, packet)
  }
}

function writePublish(out: OutputBuffer, packet: PublishPacket, version5: boolean): void {
  const { topic, payload, qos, properties } = packet
  const name = new Uint8Array(2 + utf8Length(topic))
  writeString(name, 0, topic)
  const flags = (packet.dup ? 8 : 0) | (qos << 1) | (packet.retain ? 1 : 0)
  const size = publishPropertiesSize(properties, version5)
  encodePublish(out, flags, name, packet.packetId, size, properties, payload, payload.length, false)
}

type Decoders = readonly (Decode | undefined)[]

/** By packet type number; a type without a decoder may not be sent by a client. */
const OF_CLIENT_311: Decoders = [
  undefined,
  decodeConnect,
  undefined,
  (reader) => decodeAnyPublish(reader, false),
  (reader) => decodeAck311(reader, 'puback'),
  (reader) => decodeAck311(reader, 'pubrec'),
  (reader) => decodeAck311(reader, 'pubrel'),
  (reader) => decodeAck311(reader, 'pubcomp'),
  (reader) => decodeSubscribe(reader, false),
  undefined,
  (reader) => decodeUnsubscribe(reader, false),
  undefined,
  decodePingreq,
  undefined,
  decodeDisconnect311,
  undefined,
]

const OF_CLIENT_5: Decoders = [
  undefined,
  decodeConnect,
  undefined,
  (reader) => decodeAnyPublish(reader, true),
  (reader) => decodeAck5(reader, 'puback'),
  (reader) => decodeAck5(reader, 'pubrec'),
  (reader) => decodeAck5(reader, 'pubrel'),
  (reader) => decodeAck5(reader, 'pubcomp'),
  (reader) => decodeSubscribe(reader, true),
  undefined,
  (reader) => decodeUnsubscribe(reader, true),
  undefined,
  decodePingreq,
  undefined,
  decodeDisconnect5,
  decodeAuth,
]

const OF_SERVER_311: Decoders = OF_CLIENT_311.map((decode, type) => {
  if (type === 2) return decodeConnack311
  if (type === 9) return decodeSuback311
  if (type === 11) return decodeUnsuback311
  if (type === 13) return decodePingresp
  return type >= 3 && type <= 7 ? decode : undefined
})

const OF_SERVER_5: Decoders = OF_CLIENT_5.map((decode, type) => {
  if (type === 2) return decodeConnack5
  if (type === 9) return decodeSuback5
  if (type === 11) return decodeUnsuback5
  if (type === 13) return decodePingresp
  return (type >= 3 && type <= 7) || type >= 14 ? decode : undefined
})

/** A client's packet. @throws ProtocolError */
export function decodeOfClient(packet: SplitPacket, version: ProtocolVersion): ControlPacket {
  return decode(packet, version === '5' ? OF_CLIENT_5 : OF_CLIENT_311)
}

/** A server's packet. @throws ProtocolError */
export function decodeOfServer(packet: SplitPacket, version: ProtocolVersion): ControlPacket {
  return decode(packet, version === '5' ? OF_SERVER_5 : OF_SERVER_311)
}

const PUBLISH = 3

function decode({ header, body }: SplitPacket, decoders: Decoders): ControlPacket {
  const type = header >> 4
  if (type !== PUBLISH) {
    const fault = headerFault(header, decoders)
    if (fault !== undefined) throw fault
  }
  const reader = new FlaggedReader(header & 0x0f)
  const read = decoders[type] as Decode
  return read(reader.open(body, 0, body.length))
}

/** Carries the flags of PUBLISH to its decoder. */
class FlaggedReader extends PacketReader {
  readonly flags: number

  constructor(flags: number) {
    super()
    this.flags = flags
  }
}

/** As a plain object; the payload is a view of the packet's bytes, which nobody writes to. */
function decodeAnyPublish(reader: PacketReader, version5: boolean): PublishPacket {
  const flags = (reader as FlaggedReader).flags
  const message = decodePublish(reader, flags, version5, new ReceivedTopics())
  const { topic, payload, qos, retain, dup, packetId, properties } = message
  return { type: 'publish', topic, payload, qos, retain, dup, packetId, properties }
}

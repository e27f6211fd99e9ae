// A whole codec for tests: any packet of either version and side to bytes, and a stream of bytes to packets. Made of
// the same functions that a client and a broker use; what a client does not need is listed here.

import { Framer } from '../../../src/core/bytes/framer.ts'
import { OutputBuffer } from '../../../src/core/bytes/output-buffer.ts'
import { Slabs } from '../../../src/core/bytes/slabs.ts'
import { PacketReader } from '../../../src/core/bytes/packet-reader.ts'
import { decodeAck311, decodeAck5 } from '../../../src/core/packets/acks.ts'
import { decodeAuth } from '../../../src/core/packets/auth.ts'
import { type Codec, type Decode, headerFault, mqtt311, mqtt5 } from '../../../src/core/packets/codec.ts'
import { encodeConnack311, encodeConnack5 } from '../../../src/core/packets/connack.ts'
import { decodeConnect } from '../../../src/core/packets/connect.ts'
import { decodeDisconnect311, decodeDisconnect5 } from '../../../src/core/packets/disconnect.ts'
import { decodePingreq, encodePingresp, PINGREQ } from '../../../src/core/packets/ping.ts'
import {
  decodePublish,
  DUP_FLAG,
  encodePublish,
  IncomingMessage,
  publishPropertiesSize,
  RETAIN_FLAG,
} from '../../../src/core/packets/publish.ts'
import { ReceivedTopics } from '../../../src/core/packets/received-topics.ts'
import { decodeSubscribe, encodeSuback311, encodeSuback5 } from '../../../src/core/packets/subscribe.ts'
import type { ControlPacket, ProtocolVersion, PublishPacket } from '../../../src/core/packets/types.ts'
import { decodeUnsubscribe, encodeUnsuback } from '../../../src/core/packets/unsubscribe.ts'
import { utf8String } from './hex.ts'
import type { Sender } from './specification.ts'

/** More than any packet can have: a fixed header of five bytes and the largest Remaining Length. */
export const NO_LIMIT = 268_435_460

const PUBLISH = 3

export function codecOf(version: ProtocolVersion): Codec {
  return version === '5' ? mqtt5 : mqtt311
}

/** The bytes of one packet. */
export function encode(packet: ControlPacket, version: ProtocolVersion): Uint8Array {
  const out = new OutputBuffer(new Slabs())
  write(out, packet, version)
  return out.takeAll()
}

export function write(out: OutputBuffer, packet: ControlPacket, version: ProtocolVersion): void {
  const codec = codecOf(version)
  const version5 = version === '5'
  switch (packet.type) {
    case 'connect':
      return codec.encodeConnect(out, packet)
    case 'connack':
      return (version5 ? encodeConnack5 : encodeConnack311)(out, packet)
    case 'publish':
      return writePublish(out, packet, version5)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return codec.encodeAck(out, packet.type, packet.packetId, packet.reasonCode, packet.properties)
    case 'subscribe':
      return codec.encodeSubscribe(out, packet)
    case 'suback':
      return (version5 ? encodeSuback5 : encodeSuback311)(out, packet)
    case 'unsubscribe':
      return codec.encodeUnsubscribe(out, packet)
    case 'unsuback':
      return encodeUnsuback(out, packet, version5)
    case 'pingreq':
      return writeWhole(out, PINGREQ)
    case 'pingresp':
      return encodePingresp(out)
    case 'disconnect':
      return codec.encodeDisconnect(out, packet)
    case 'auth':
      if (codec.encodeAuth === undefined) throw new Error(`there is no AUTH in ${version}`)
      return codec.encodeAuth(out, packet)
  }
}

function writeWhole(out: OutputBuffer, bytes: Uint8Array): void {
  const at = out.reserve(bytes.length)
  out.bytes.set(bytes, at)
  out.position = at + bytes.length
}

function writePublish(out: OutputBuffer, packet: PublishPacket, version5: boolean): void {
  const { qos, dup, retain, packetId, properties, payload } = packet
  const topic = utf8String(packet.topic)
  const propertiesSize = publishPropertiesSize(properties, version5)
  const flags = (qos << 1) | (dup ? DUP_FLAG : 0) | (retain ? RETAIN_FLAG : 0)
  encodePublish(out, flags, topic, packetId, propertiesSize, properties, payload, payload.length, true)
}

/** What a server reads, by packet type number; what a client reads is in its codec. */
const FROM_CLIENT: Readonly<Record<ProtocolVersion, readonly (Decode | undefined)[]>> = {
  '3.1.1': fromClient(false),
  '5': fromClient(true),
}

function fromClient(version5: boolean): readonly (Decode | undefined)[] {
  const ack = version5 ? decodeAck5 : decodeAck311
  const table = new Array<Decode | undefined>(16).fill(undefined)
  table[1] = decodeConnect
  table[4] = (reader) => ack(reader, 'puback')
  table[5] = (reader) => ack(reader, 'pubrec')
  table[6] = (reader) => ack(reader, 'pubrel')
  table[7] = (reader) => ack(reader, 'pubcomp')
  table[8] = (reader) => decodeSubscribe(reader, version5)
  table[10] = (reader) => decodeUnsubscribe(reader, version5)
  table[12] = decodePingreq
  table[14] = version5 ? decodeDisconnect5 : decodeDisconnect311
  if (version5) table[15] = decodeAuth
  return table
}

export function decodersFor(version: ProtocolVersion, sender: Sender): readonly (Decode | undefined)[] {
  return sender === 'client' ? FROM_CLIENT[version] : codecOf(version).decode
}

/** Reads the body of one packet between `start` and `end`. */
export function decodeBody(
  header: number,
  reader: PacketReader,
  version: ProtocolVersion,
  sender: Sender,
  topics: ReceivedTopics = new ReceivedTopics(),
): ControlPacket {
  if (header >> 4 === PUBLISH) return decodePublish(reader, header & 0x0f, version === '5', topics)
  const decoders = decodersFor(version, sender)
  const fault = headerFault(header, decoders)
  if (fault !== undefined) throw fault
  return (decoders[header >> 4] as Decode)(reader)
}

/** A stream from one side, decoded packet by packet as a connection does it. */
export class StreamDecoder {
  readonly framer: Framer
  readonly #version: ProtocolVersion
  readonly #sender: Sender
  readonly #reader = new PacketReader()
  readonly #topics = new ReceivedTopics()

  constructor(version: ProtocolVersion, sender: Sender, maximumPacketSize: number = NO_LIMIT) {
    this.#version = version
    this.#sender = sender
    this.framer = new Framer(maximumPacketSize, codecOf(version).hasProperties)
  }

  push(chunk: Uint8Array, kept = true): void {
    this.framer.push(chunk, kept)
  }

  /** The next packet as it was decoded: the payload of a PUBLISH is a view. */
  next(): ControlPacket | undefined {
    const { framer } = this
    if (!framer.next()) return undefined
    const reader = this.#reader.open(framer.bytes, framer.start, framer.end)
    return decodeBody(framer.header, reader, this.#version, this.#sender, this.#topics)
  }

  /** All packets that have come whole, as plain objects that share no memory with what was pushed. */
  all(): ControlPacket[] {
    const packets: ControlPacket[] = []
    for (let packet = this.next(); packet !== undefined; packet = this.next()) packets.push(plain(packet))
    return packets
  }
}

/** A decoded packet without what the machine keeps in a PUBLISH, its payload copied. */
export function plain(packet: ControlPacket): ControlPacket {
  if (!(packet instanceof IncomingMessage)) return packet
  const { type, topic, qos, retain, dup, packetId, properties } = packet
  return { type, topic, payload: packet.payload.slice(), qos, retain, dup, packetId, properties }
}

/** Decodes chunks of one stream. */
export function decode(
  chunks: readonly Uint8Array[],
  version: ProtocolVersion,
  sender: Sender,
): ControlPacket[] {
  const decoder = new StreamDecoder(version, sender)
  return chunks.flatMap((chunk) => {
    decoder.push(chunk)
    return decoder.all()
  })
}

export function byteByByte(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte))
}

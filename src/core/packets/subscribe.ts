/** SUBSCRIBE and SUBACK, 3.8 and 3.9. */

import {
  variableByteIntegerLength,
  writeString,
  writeTwoBytes,
  writeVariableByteInteger,
} from '../bytes/data-types.ts'
import { malformed, violation } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { utf8Length } from '../bytes/utf8.ts'
import { readPacketId, readReasonCodes } from './acks.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import type { QoS, SubackPacket, SubscribePacket, SubscriptionRequest } from './types.ts'

/** The size of the whole packet, for splitting and for the server's Maximum Packet Size. */
export function subscribeSize(packet: SubscribePacket, version5: boolean): number {
  const length = subscribeLength(packet, version5)
  return 1 + variableByteIntegerLength(length) + length
}

function subscribeLength(packet: SubscribePacket, version5: boolean): number {
  let length = 2
  if (version5) {
    const properties = propertiesLength(packet.properties)
    length += variableByteIntegerLength(properties) + properties
  }
  for (const { filter } of packet.subscriptions) length += 3 + utf8Length(filter)
  return length
}

export function encodeSubscribe311(out: OutputBuffer, packet: SubscribePacket): void {
  let at = begin(out, packet, subscribeLength(packet, false))
  for (const { filter, qos } of packet.subscriptions) {
    at = writeString(out.bytes, at, filter)
    out.bytes[at++] = qos
  }
  out.position = at
}

export function encodeSubscribe5(out: OutputBuffer, packet: SubscribePacket): void {
  let at = begin(out, packet, subscribeLength(packet, true))
  at = writeProperties(out.bytes, at, packet.properties, propertiesLength(packet.properties))
  for (const subscription of packet.subscriptions) {
    at = writeString(out.bytes, at, subscription.filter)
    out.bytes[at++] = subscriptionOptions(subscription)
  }
  out.position = at
}

function begin(out: OutputBuffer, packet: SubscribePacket, length: number): number {
  const at = out.reserve(5 + length)
  out.bytes[at] = 0x82
  return writeTwoBytes(out.bytes, writeVariableByteInteger(out.bytes, at + 1, length), packet.packetId)
}

/** 5: 3.8.3.1; the reserved bits 6 and 7 are 0 [5 MQTT-3.8.3-5]. */
function subscriptionOptions({
  qos,
  noLocal,
  retainAsPublished,
  retainHandling,
}: SubscriptionRequest): number {
  return qos | (noLocal ? 4 : 0) | (retainAsPublished ? 8 : 0) | (retainHandling << 4)
}

export function decodeSubscribe(reader: PacketReader, version5: boolean): SubscribePacket {
  const packetId = readPacketId(reader, 'subscribe')
  const properties = version5 ? readProperties(reader, 'subscribe') : undefined
  const subscriptions: SubscriptionRequest[] = []
  while (reader.remaining > 0) {
    const filter = reader.string()
    const options = reader.byte()
    const qos = options & 3
    const retainHandling = (options >> 4) & 3
    if (qos === 3 || (version5 ? options > 0x3f : options > 2)) {
      throw malformed(`the subscription options of "${filter}" are ${options}`)
    }
    if (retainHandling === 3) throw violation(`the Retain Handling of "${filter}" is 3`)
    subscriptions.push({
      filter,
      qos: qos as QoS,
      noLocal: (options & 4) !== 0,
      retainAsPublished: (options & 8) !== 0,
      retainHandling: retainHandling as 0 | 1 | 2,
    })
  }
  if (subscriptions.length === 0) throw violation('SUBSCRIBE has no topic filter')
  return { type: 'subscribe', packetId, subscriptions, properties }
}

export function encodeSuback311(out: OutputBuffer, packet: SubackPacket): void {
  const length = 2 + packet.reasonCodes.length
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0x90
  at = writeVariableByteInteger(out.bytes, at, length)
  at = writeTwoBytes(out.bytes, at, packet.packetId)
  for (const code of packet.reasonCodes) out.bytes[at++] = code > 2 ? 0x80 : code
  out.position = at
}

export function encodeSuback5(out: OutputBuffer, packet: SubackPacket): void {
  const properties = propertiesLength(packet.properties)
  const length = 2 + variableByteIntegerLength(properties) + properties + packet.reasonCodes.length
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0x90
  at = writeVariableByteInteger(out.bytes, at, length)
  at = writeTwoBytes(out.bytes, at, packet.packetId)
  at = writeProperties(out.bytes, at, packet.properties, properties)
  for (const code of packet.reasonCodes) out.bytes[at++] = code
  out.position = at
}

/** Only 0, 1, 2 and 0x80 are return codes [3.1.1 MQTT-3.9.3-2]. */
export function decodeSuback311(reader: PacketReader): SubackPacket {
  return decodeSuback(reader, undefined, (code) => code <= 2 || code === 0x80)
}

export function decodeSuback5(reader: PacketReader): SubackPacket {
  return decodeSuback(reader, 'suback')
}

function decodeSuback(
  reader: PacketReader,
  place: 'suback' | undefined,
  isLegal?: (code: number) => boolean,
): SubackPacket {
  const packetId = readPacketId(reader, 'suback')
  const properties = place === undefined ? undefined : readProperties(reader, place)
  return { type: 'suback', packetId, reasonCodes: readReasonCodes(reader, 'suback', isLegal), properties }
}

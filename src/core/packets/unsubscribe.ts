/** UNSUBSCRIBE and UNSUBACK, 3.10 and 3.11. */

import {
  variableByteIntegerLength,
  writeString,
  writeTwoBytes,
  writeVariableByteInteger,
} from '../bytes/data-types.ts'
import { violation } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { utf8Length } from '../bytes/utf8.ts'
import { readPacketId, readReasonCodes } from './acks.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import type { UnsubackPacket, UnsubscribePacket } from './types.ts'

/** The size of the whole packet, for splitting and for the server's Maximum Packet Size. */
export function unsubscribeSize(packet: UnsubscribePacket, version5: boolean): number {
  const length = unsubscribeLength(packet, version5)
  return 1 + variableByteIntegerLength(length) + length
}

function unsubscribeLength(packet: UnsubscribePacket, version5: boolean): number {
  let length = 2
  if (version5) {
    const properties = propertiesLength(packet.properties)
    length += variableByteIntegerLength(properties) + properties
  }
  for (const filter of packet.filters) length += 2 + utf8Length(filter)
  return length
}

export function encodeUnsubscribe(out: OutputBuffer, packet: UnsubscribePacket, version5: boolean): void {
  const length = unsubscribeLength(packet, version5)
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0xa2
  at = writeVariableByteInteger(out.bytes, at, length)
  at = writeTwoBytes(out.bytes, at, packet.packetId)
  if (version5) at = writeProperties(out.bytes, at, packet.properties, propertiesLength(packet.properties))
  for (const filter of packet.filters) at = writeString(out.bytes, at, filter)
  out.position = at
}

export function decodeUnsubscribe(reader: PacketReader, version5: boolean): UnsubscribePacket {
  const packetId = readPacketId(reader, 'unsubscribe')
  const properties = version5 ? readProperties(reader, 'unsubscribe') : undefined
  const filters: string[] = []
  while (reader.remaining > 0) filters.push(reader.string())
  if (filters.length === 0) throw violation('UNSUBSCRIBE has no topic filter')
  return { type: 'unsubscribe', packetId, filters, properties }
}

export function encodeUnsuback(out: OutputBuffer, packet: UnsubackPacket, version5: boolean): void {
  const properties = propertiesLength(packet.properties)
  const length = version5
    ? 2 + variableByteIntegerLength(properties) + properties + packet.reasonCodes.length
    : 2
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0xb0
  at = writeVariableByteInteger(out.bytes, at, length)
  at = writeTwoBytes(out.bytes, at, packet.packetId)
  if (version5) {
    at = writeProperties(out.bytes, at, packet.properties, properties)
    for (const code of packet.reasonCodes) out.bytes[at++] = code
  }
  out.position = at
}

export function decodeUnsuback311(reader: PacketReader): UnsubackPacket {
  const packetId = readPacketId(reader, 'unsuback')
  reader.finish()
  return { type: 'unsuback', packetId, reasonCodes: [], properties: undefined }
}

export function decodeUnsuback5(reader: PacketReader): UnsubackPacket {
  const packetId = readPacketId(reader, 'unsuback')
  const properties = readProperties(reader, 'unsuback')
  return { type: 'unsuback', packetId, reasonCodes: readReasonCodes(reader, 'unsuback'), properties }
}

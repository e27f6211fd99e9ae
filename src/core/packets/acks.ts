/** PUBACK, PUBREC, PUBREL, PUBCOMP, 3.4 to 3.7: one shape, four types. */

import { variableByteIntegerLength, writeTwoBytes, writeVariableByteInteger } from '../bytes/data-types.ts'
import { malformed } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import type { Properties } from './types.ts'
import { checkReasonCode } from './reason-codes.ts'
import type { AckPacket, AckType, PacketType } from './types.ts'

/** The first byte of each; PUBREL's flags are 0010 [3.1.1 MQTT-3.6.1-1] [5 MQTT-3.6.1-1]. */
export const PUBACK = 0x40
export const PUBREC = 0x50
export const PUBREL = 0x62
export const PUBCOMP = 0x70

/** By comparisons: a look-up by a name that changes is the slowest of all. */
export function headerOf(type: AckType): number {
  if (type === 'puback') return PUBACK
  if (type === 'pubrec') return PUBREC
  return type === 'pubrel' ? PUBREL : PUBCOMP
}

/** The form without reason code and properties: all there is in 3.1.1, and success in 5. Four bytes. */
export function encodeAck(out: OutputBuffer, type: AckType, packetId: number): void {
  const at = out.reserve(4)
  const bytes = out.bytes
  bytes[at] = headerOf(type)
  bytes[at + 1] = 2
  bytes[at + 2] = packetId >>> 8
  bytes[at + 3] = packetId & 0xff
  out.position = at + 4
}

export function encodeAck5(
  out: OutputBuffer,
  type: AckType,
  packetId: number,
  reasonCode: number,
  properties?: Properties,
): void {
  const size = propertiesLength(properties)
  if (reasonCode === 0 && size === 0) return encodeAck(out, type, packetId)
  const length = size === 0 ? 3 : 3 + variableByteIntegerLength(size) + size
  let at = out.reserve(5 + length)
  out.bytes[at++] = headerOf(type)
  at = writeVariableByteInteger(out.bytes, at, length)
  at = writeTwoBytes(out.bytes, at, packetId)
  out.bytes[at++] = reasonCode
  out.position = size === 0 ? at : writeProperties(out.bytes, at, properties, size)
}

export function decodeAck311(reader: PacketReader, type: AckType): AckPacket {
  const packetId = readPacketId(reader, type)
  reader.finish()
  return { type, packetId, reasonCode: 0, properties: undefined }
}

export function decodeAck5(reader: PacketReader, type: AckType): AckPacket {
  const packetId = readPacketId(reader, type)
  const reasonCode = checkReasonCode(type, reader.remaining > 0 ? reader.byte() : 0)
  const properties = reader.remaining > 0 ? readProperties(reader, type) : undefined
  reader.finish()
  return { type, packetId, reasonCode, properties }
}

/** The reason codes that end SUBACK and UNSUBACK. */
export function readReasonCodes(
  reader: PacketReader,
  type: PacketType,
  isLegal?: (code: number) => boolean,
): number[] {
  const codes = Array.from(reader.rest())
  if (codes.length === 0) throw malformed(`${type.toUpperCase()} has no reason code`)
  return codes.map((code) => checkReasonCode(type, code, isLegal?.(code)))
}

/** A packet identifier, which is never 0, 2.3.1 (5: 2.2.1). */
export function readPacketId(reader: PacketReader, type: PacketType): number {
  const packetId = reader.twoBytes()
  if (packetId === 0) throw malformed(`${type.toUpperCase()} has the packet identifier 0`)
  return packetId
}

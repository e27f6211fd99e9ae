/** DISCONNECT, 3.14: the last packet of a connection; in 5 the server sends it too. */

import { variableByteIntegerLength, writeVariableByteInteger } from '../bytes/data-types.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import { checkReasonCode } from './reason-codes.ts'
import type { DisconnectPacket } from './types.ts'

export function disconnectSize(packet: DisconnectPacket): number {
  const length = disconnectLength(packet)
  return 1 + variableByteIntegerLength(length) + length
}

/** The shortest legal form: reason code 0x00 without properties has length 0. */
function disconnectLength({ reasonCode, properties }: DisconnectPacket): number {
  const size = propertiesLength(properties)
  if (size > 0) return 1 + variableByteIntegerLength(size) + size
  return reasonCode === 0 ? 0 : 1
}

export function encodeDisconnect311(out: OutputBuffer): void {
  const at = out.reserve(2)
  out.bytes[at] = 0xe0
  out.bytes[at + 1] = 0
  out.position = at + 2
}

export function encodeDisconnect5(out: OutputBuffer, packet: DisconnectPacket): void {
  const length = disconnectLength(packet)
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0xe0
  at = writeVariableByteInteger(out.bytes, at, length)
  if (length > 0) out.bytes[at++] = packet.reasonCode
  if (length > 1) {
    at = writeProperties(out.bytes, at, packet.properties, propertiesLength(packet.properties))
  }
  out.position = at
}

export function decodeDisconnect311(reader: PacketReader): DisconnectPacket {
  reader.finish()
  return { type: 'disconnect', reasonCode: 0, properties: undefined }
}

export function decodeDisconnect5(reader: PacketReader): DisconnectPacket {
  const reasonCode = checkReasonCode('disconnect', reader.remaining > 0 ? reader.byte() : 0)
  const properties = reader.remaining > 0 ? readProperties(reader, 'disconnect') : undefined
  reader.finish()
  return { type: 'disconnect', reasonCode, properties }
}

/** AUTH, 3.15, version 5 only: enhanced authentication in several steps. */

import { variableByteIntegerLength, writeVariableByteInteger } from '../bytes/data-types.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import { checkReasonCode } from './reason-codes.ts'
import type { AuthPacket } from './types.ts'

/** The whole packet, fixed header included. */
export function authSize(packet: AuthPacket): number {
  const length = authLength(packet, propertiesLength(packet.properties))
  return 1 + variableByteIntegerLength(length) + length
}

/** The shortest legal form: reason code 0x00 without properties has length 0. */
function authLength({ reasonCode }: AuthPacket, properties: number): number {
  return reasonCode === 0 && properties === 0 ? 0 : 1 + variableByteIntegerLength(properties) + properties
}

export function encodeAuth(out: OutputBuffer, packet: AuthPacket): void {
  const properties = propertiesLength(packet.properties)
  const length = authLength(packet, properties)
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0xf0
  at = writeVariableByteInteger(out.bytes, at, length)
  if (length > 0) {
    out.bytes[at++] = packet.reasonCode
    at = writeProperties(out.bytes, at, packet.properties, properties)
  }
  out.position = at
}

export function decodeAuth(reader: PacketReader): AuthPacket {
  if (reader.remaining === 0) return { type: 'auth', reasonCode: 0, properties: undefined }
  const reasonCode = checkReasonCode('auth', reader.byte())
  const properties = readProperties(reader, 'auth')
  reader.finish()
  return { type: 'auth', reasonCode, properties }
}

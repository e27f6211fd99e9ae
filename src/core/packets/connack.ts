/** CONNACK, 3.2: the server's first answer. The return codes of 3.1.1 are read as their version 5 counterparts. */

import { variableByteIntegerLength, writeVariableByteInteger } from '../bytes/data-types.ts'
import { malformed, violation } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import { checkReasonCode, CONNECT_RETURN_CODES } from './reason-codes.ts'
import type { ConnackPacket } from './types.ts'

export function encodeConnack311(out: OutputBuffer, packet: ConnackPacket): void {
  const code = CONNECT_RETURN_CODES.indexOf(packet.reasonCode)
  const at = out.reserve(4)
  out.bytes[at] = 0x20
  out.bytes[at + 1] = 2
  out.bytes[at + 2] = packet.sessionPresent ? 1 : 0
  out.bytes[at + 3] = code === -1 ? 3 : code
  out.position = at + 4
}

export function encodeConnack5(out: OutputBuffer, packet: ConnackPacket): void {
  const properties = propertiesLength(packet.properties)
  const length = 2 + variableByteIntegerLength(properties) + properties
  let at = out.reserve(5 + length)
  out.bytes[at++] = 0x20
  at = writeVariableByteInteger(out.bytes, at, length)
  out.bytes[at++] = packet.sessionPresent ? 1 : 0
  out.bytes[at++] = packet.reasonCode
  out.position = writeProperties(out.bytes, at, packet.properties, properties)
}

export function decodeConnack311(reader: PacketReader): ConnackPacket {
  const sessionPresent = readSessionPresent(reader)
  const code = reader.byte()
  reader.finish()
  const reasonCode = CONNECT_RETURN_CODES[code]
  if (reasonCode === undefined) throw malformed(`the connect return code ${code} is reserved`)
  return connack(sessionPresent, reasonCode, undefined)
}

export function decodeConnack5(reader: PacketReader): ConnackPacket {
  const sessionPresent = readSessionPresent(reader)
  const reasonCode = reader.byte()
  // A server that speaks 3.1.1 only answers in its own form: 20 02 00 01, "unacceptable protocol version".
  if (reasonCode === 0x01 && !sessionPresent && reader.remaining === 0) return connack(false, 0x84, undefined)
  checkReasonCode('connack', reasonCode)
  const properties = readProperties(reader, 'connack')
  reader.finish()
  return connack(sessionPresent, reasonCode, properties)
}

/** [3.1.1 MQTT-2.2.2-2] [5 MQTT-3.2.2-1] */
function readSessionPresent(reader: PacketReader): boolean {
  const flags = reader.byte()
  if (flags > 1) throw malformed(`the connect acknowledge flags are ${flags}, expected 0 or 1`)
  return flags === 1
}

function connack(
  sessionPresent: boolean,
  reasonCode: number,
  properties: ConnackPacket['properties'],
): ConnackPacket {
  if (sessionPresent && reasonCode !== 0) {
    // [3.1.1 MQTT-3.2.2-4] [5 MQTT-3.2.2-6]
    throw violation('a CONNACK that refuses has Session Present 1')
  }
  return { type: 'connack', sessionPresent, reasonCode, properties }
}

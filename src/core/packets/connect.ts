/** CONNECT, 3.1: the first packet of a client, with who it is, how it logs in, and its will. */

import {
  variableByteIntegerLength,
  writeBinary,
  writeString,
  writeTwoBytes,
  writeVariableByteInteger,
} from '../bytes/data-types.ts'
import { malformed, ProtocolError, violation } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { utf8Length } from '../bytes/utf8.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import type { ConnectPacket, QoS, WillMessage } from './types.ts'

const CLEAN_START = 0x02
const WILL = 0x04
const WILL_RETAIN = 0x20
const PASSWORD = 0x40
const USERNAME = 0x80

export function encodeConnect(out: OutputBuffer, packet: ConnectPacket, version5: boolean): void {
  const { will, username, password } = packet
  const properties = propertiesLength(packet.properties)
  const willProperties = propertiesLength(will?.properties)
  let length = 10 + 2 + utf8Length(packet.clientId)
  if (version5) length += variableByteIntegerLength(properties) + properties
  if (will !== undefined) {
    if (version5) length += variableByteIntegerLength(willProperties) + willProperties
    length += 2 + utf8Length(will.topic) + 2 + will.payload.length
  }
  if (username !== undefined) length += 2 + utf8Length(username)
  if (password !== undefined) length += 2 + password.length

  let at = out.reserve(5 + length)
  const bytes = out.bytes
  bytes[at++] = 0x10
  at = writeVariableByteInteger(bytes, at, length)
  at = writeString(bytes, at, 'MQTT')
  bytes[at++] = version5 ? 5 : 4
  bytes[at++] = connectFlags(packet)
  at = writeTwoBytes(bytes, at, packet.keepAlive)
  if (version5) at = writeProperties(bytes, at, packet.properties, properties)
  at = writeString(bytes, at, packet.clientId)
  if (will !== undefined) {
    if (version5) at = writeProperties(bytes, at, will.properties, willProperties)
    at = writeString(bytes, at, will.topic)
    at = writeBinary(bytes, at, will.payload)
  }
  if (username !== undefined) at = writeString(bytes, at, username)
  if (password !== undefined) at = writeBinary(bytes, at, password)
  out.position = at
}

function connectFlags({ cleanStart, will, username, password }: ConnectPacket): number {
  let flags = cleanStart ? CLEAN_START : 0
  if (will !== undefined) flags |= WILL | (will.qos << 3) | (will.retain ? WILL_RETAIN : 0)
  if (username !== undefined) flags |= USERNAME
  if (password !== undefined) flags |= PASSWORD
  return flags
}

/** @throws ProtocolError 0x84 for a protocol version other than 3.1.1 and 5 */
export function decodeConnect(reader: PacketReader): ConnectPacket {
  const name = reader.string()
  const level = reader.byte()
  if (name !== 'MQTT' || (level !== 4 && level !== 5)) {
    throw new ProtocolError(
      'protocol-error',
      0x84,
      `the protocol is "${name}" level ${level}, expected "MQTT" level 4 or 5`,
    )
  }
  const version5 = level === 5
  const flags = reader.byte()
  checkFlags(flags, version5)
  const keepAlive = reader.twoBytes()
  const properties = version5 ? readProperties(reader, 'connect') : undefined
  if (properties?.authenticationData !== undefined && properties.authenticationMethod === undefined) {
    throw violation('CONNECT has Authentication Data without an Authentication Method')
  }
  const clientId = reader.string()
  const will = flags & WILL ? readWill(reader, flags, version5) : undefined
  const username = flags & USERNAME ? reader.string() : undefined
  const password = flags & PASSWORD ? reader.binary().slice() : undefined
  reader.finish()
  return {
    type: 'connect',
    protocolVersion: version5 ? '5' : '3.1.1',
    clientId,
    cleanStart: (flags & CLEAN_START) !== 0,
    keepAlive,
    will,
    username,
    password,
    properties,
  }
}

function checkFlags(flags: number, version5: boolean): void {
  if (flags & 1) throw malformed('the reserved connect flag is 1 [3.1.1 MQTT-3.1.2-3] [5 MQTT-3.1.2-3]')
  const willQoS = (flags >> 3) & 3
  if (willQoS === 3) throw malformed('the will has QoS 3')
  if (!(flags & WILL) && flags & (WILL_RETAIN | 0x18)) {
    throw malformed('there is no will, but a will QoS or will retain flag')
  }
  if (!version5 && flags & PASSWORD && !(flags & USERNAME)) {
    throw malformed('there is a password without a user name [3.1.1 MQTT-3.1.2-22]')
  }
}

function readWill(reader: PacketReader, flags: number, version5: boolean): WillMessage {
  const properties = version5 ? readProperties(reader, 'will') : undefined
  const topic = reader.string()
  const payload = reader.binary().slice()
  return { topic, payload, qos: ((flags >> 3) & 3) as QoS, retain: (flags & WILL_RETAIN) !== 0, properties }
}

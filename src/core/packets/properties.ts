/**
 * The 27 properties of version 5 (section 2.2.2.2) in one table: identifier, type, the packets that may carry
 * it. Encoding, decoding and every check come from this table.
 */

import { malformed, violation } from '../errors.ts'
import {
  variableByteIntegerLength,
  writeBinary,
  writeString,
  writeTwoBytes,
  writeVariableByteInteger,
} from '../bytes/data-types.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { utf8Length } from '../bytes/utf8.ts'
import type { PacketType, Properties, UserProperties } from './types.ts'

export type PropertyName = keyof Properties

/** Where properties stand: in a packet, or in the will of a CONNECT. */
export type PropertyPlace = PacketType | 'will'

type PropertyKind =
  | 'bit' // a byte, 0 or 1, as a number
  | 'boolean' // a byte, 0 or 1
  | 'twoBytes'
  | 'fourBytes'
  | 'identifiers' // a variable byte integer, may be repeated
  | 'string'
  | 'binary'
  | 'pairs' // a string pair, may be repeated

export interface PropertyRow {
  readonly id: number
  readonly name: PropertyName
  readonly kind: PropertyKind
  readonly places: readonly PropertyPlace[]
  /** Smallest value that is no protocol error. */
  readonly minimum: number
}

function row(id: number, name: PropertyName, kind: PropertyKind, places: string, minimum = 0): PropertyRow {
  return { id, name, kind, places: places.split(' ') as PropertyPlace[], minimum }
}

const ACKS = 'connack puback pubrec pubrel pubcomp suback unsuback disconnect auth'

/** Section 2.2.2.2, table 2-4. */
export const PROPERTIES: readonly PropertyRow[] = [
  row(0x01, 'payloadFormatIndicator', 'bit', 'publish will'),
  row(0x02, 'messageExpiryInterval', 'fourBytes', 'publish will'),
  row(0x03, 'contentType', 'string', 'publish will'),
  row(0x08, 'responseTopic', 'string', 'publish will'),
  row(0x09, 'correlationData', 'binary', 'publish will'),
  row(0x0b, 'subscriptionIdentifiers', 'identifiers', 'publish subscribe', 1),
  row(0x11, 'sessionExpiryInterval', 'fourBytes', 'connect connack disconnect'),
  row(0x12, 'assignedClientIdentifier', 'string', 'connack'),
  row(0x13, 'serverKeepAlive', 'twoBytes', 'connack'),
  row(0x15, 'authenticationMethod', 'string', 'connect connack auth'),
  row(0x16, 'authenticationData', 'binary', 'connect connack auth'),
  row(0x17, 'requestProblemInformation', 'boolean', 'connect'),
  row(0x18, 'willDelayInterval', 'fourBytes', 'will'),
  row(0x19, 'requestResponseInformation', 'boolean', 'connect'),
  row(0x1a, 'responseInformation', 'string', 'connack'),
  row(0x1c, 'serverReference', 'string', 'connack disconnect'),
  row(0x1f, 'reasonString', 'string', ACKS),
  row(0x21, 'receiveMaximum', 'twoBytes', 'connect connack', 1),
  row(0x22, 'topicAliasMaximum', 'twoBytes', 'connect connack'),
  row(0x23, 'topicAlias', 'twoBytes', 'publish'),
  row(0x24, 'maximumQoS', 'bit', 'connack'),
  row(0x25, 'retainAvailable', 'boolean', 'connack'),
  row(0x26, 'userProperties', 'pairs', `connect publish will subscribe unsubscribe ${ACKS}`),
  row(0x27, 'maximumPacketSize', 'fourBytes', 'connect connack', 1),
  row(0x28, 'wildcardSubscriptionAvailable', 'boolean', 'connack'),
  row(0x29, 'subscriptionIdentifiersAvailable', 'boolean', 'connack'),
  row(0x2a, 'sharedSubscriptionAvailable', 'boolean', 'connack'),
]

const BY_ID: readonly (PropertyRow | undefined)[] = Array.from({ length: 0x2b }, (_, id) =>
  PROPERTIES.find((property) => property.id === id),
)

/** The bytes that the properties take, without the property length before them. */
export function propertiesLength(properties: Properties | undefined): number {
  if (properties === undefined) return 0
  let length = 0
  for (const { name, kind } of PROPERTIES) {
    const value = properties[name]
    if (value !== undefined) length += valueLength(kind, value)
  }
  return length
}

function valueLength(kind: PropertyKind, value: unknown): number {
  switch (kind) {
    case 'bit':
    case 'boolean':
      return 2
    case 'twoBytes':
      return 3
    case 'fourBytes':
      return 5
    case 'identifiers':
      return (value as readonly number[]).reduce((sum, id) => sum + 1 + variableByteIntegerLength(id), 0)
    case 'string':
      return 3 + utf8Length(value as string)
    case 'binary':
      return 3 + (value as Uint8Array).length
    case 'pairs':
      return (value as UserProperties).reduce((sum, [a, b]) => sum + 5 + utf8Length(a) + utf8Length(b), 0)
  }
}

/** Writes the property length and the properties; returns the position behind them. */
export function writeProperties(
  bytes: Uint8Array,
  position: number,
  properties: Properties | undefined,
  length: number,
): number {
  let at = writeVariableByteInteger(bytes, position, length)
  if (properties === undefined) return at
  for (const { id, name, kind } of PROPERTIES) {
    const value = properties[name]
    if (value !== undefined) at = writeValue(bytes, at, id, kind, value)
  }
  return at
}

function writeValue(
  bytes: Uint8Array,
  position: number,
  id: number,
  kind: PropertyKind,
  value: unknown,
): number {
  let at = position
  switch (kind) {
    case 'bit':
    case 'boolean':
      bytes[at++] = id
      bytes[at++] = Number(value)
      return at
    case 'twoBytes':
      bytes[at++] = id
      return writeTwoBytes(bytes, at, value as number)
    case 'fourBytes':
      bytes[at++] = id
      at = writeTwoBytes(bytes, at, (value as number) >>> 16)
      return writeTwoBytes(bytes, at, (value as number) & 0xffff)
    case 'identifiers':
      for (const identifier of value as readonly number[]) {
        bytes[at++] = id
        at = writeVariableByteInteger(bytes, at, identifier)
      }
      return at
    case 'string':
      bytes[at++] = id
      return writeString(bytes, at, value as string)
    case 'binary':
      bytes[at++] = id
      return writeBinary(bytes, at, value as Uint8Array)
    case 'pairs':
      for (const [name, text] of value as UserProperties) {
        bytes[at++] = id
        at = writeString(bytes, at, name)
        at = writeString(bytes, at, text)
      }
      return at
  }
}

/**
 * Reads the property length and the properties, undefined when there are none. Binary values are copies.
 *
 * @throws ProtocolError 0x81 for what is unknown or not allowed at `place`, 0x82 for what is repeated or out of
 * range, 2.2.2.2
 */
export function readProperties(reader: PacketReader, place: PropertyPlace): Properties | undefined {
  const length = reader.variableByteInteger()
  if (length === 0) return undefined
  if (length > reader.remaining) {
    throw malformed(`the property length is ${length}, ${reader.remaining} bytes are left`)
  }
  const packetEnd = reader.end
  reader.end = reader.position + length
  const properties: Record<string, unknown> = {}
  while (reader.remaining > 0) readProperty(reader, place, properties)
  reader.end = packetEnd
  return properties
}

function readProperty(reader: PacketReader, place: PropertyPlace, properties: Record<string, unknown>): void {
  const id = reader.variableByteInteger()
  const property = BY_ID[id]
  if (property === undefined) throw malformed(`the property identifier ${id} does not exist`)
  const { name, kind, minimum } = property
  if (!property.places.includes(place)) throw malformed(`the property ${name} is not allowed in ${place}`)
  if (kind === 'pairs') {
    const pairs = (properties[name] ??= []) as [string, string][]
    pairs.push([reader.string(), reader.string()])
    return
  }
  if (properties[name] !== undefined && !(kind === 'identifiers' && place === 'publish')) {
    throw violation(`the property ${name} stands twice in ${place}`)
  }
  if (kind === 'identifiers') {
    const identifiers = (properties[name] ??= []) as number[]
    identifiers.push(inRange(reader.variableByteInteger(), minimum, name))
    return
  }
  properties[name] = readValue(reader, kind, minimum, name)
}

function readValue(reader: PacketReader, kind: PropertyKind, minimum: number, name: string): unknown {
  switch (kind) {
    case 'bit':
    case 'boolean': {
      const value = reader.byte()
      if (value > 1) throw violation(`the property ${name} is ${value}, expected 0 or 1`)
      return kind === 'bit' ? value : value === 1
    }
    case 'twoBytes':
      return inRange(reader.twoBytes(), minimum, name)
    case 'fourBytes':
      return inRange(reader.fourBytes(), minimum, name)
    case 'string':
      return reader.string()
    case 'binary':
      // Not by `slice`: that of a Buffer is a view.
      return new Uint8Array(reader.binary())
    default:
      throw new TypeError(`${kind} is read elsewhere`)
  }
}

function inRange(value: number, minimum: number, name: string): number {
  if (value < minimum) throw violation(`the property ${name} is ${value}, expected at least ${minimum}`)
  return value
}

// Valid packets by chance: every type, every property, values that lean towards the edges of their data types. The
// generators of the property tests would do, but take seconds to load, which each worker would spend.

import type {
  ConnectPacket,
  ControlPacket,
  PacketType,
  Properties,
  ProtocolVersion,
  PublishPacket,
  QoS,
  SubscriptionRequest,
} from '../../src/core/packets/types.ts'
import {
  type Place,
  SPECIFIED_PROPERTIES,
  SPECIFIED_REASON_CODES,
  SPECIFIED_RETURN_CODES,
  type SpecifiedProperty,
} from '../support/codec/specification.ts'
import type { Random } from './random.ts'

const TEXTS = ['', 'a', 'a/b', 'é€', '😀', '\ufeffa', '__proto__', '\u007f', 'x'.repeat(60), 'ü'.repeat(40)]
const TOPICS = [
  'a',
  'a/b',
  '$SYS/é',
  '/',
  'sensors/1/temperature',
  'long/'.repeat(54),
  '\ufeff',
  'constructor',
]
const NUMBERS = [0, 1, 2, 127, 128, 255, 256, 16_383, 16_384, 65_534, 65_535, 65_536, 2_097_152] as const

/** A packet that a client or a server of this version may send. */
export function samplePacket(random: Random, type: PacketType, version: ProtocolVersion): ControlPacket {
  const version5 = version === '5'
  const properties = version5 ? sampleProperties(random, type) : undefined
  const packetId = whole(random, 1, 65_535)
  const list = <Item>(make: () => Item): Item[] => Array.from({ length: random.between(1, 4) }, make)
  switch (type) {
    case 'connect':
      return connect(random, version, properties)
    case 'connack':
      return connack(random, version5, properties)
    case 'publish':
      return publish(random, packetId, properties)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return { type, packetId, reasonCode: version5 ? reasonCode(random, type) : 0, properties }
    case 'subscribe':
      return { type, packetId, subscriptions: list(() => subscription(random, version5)), properties }
    case 'suback': {
      const code = (): number => (version5 ? reasonCode(random, type) : random.pick([0, 1, 2, 0x80]))
      return { type, packetId, reasonCodes: list(code), properties }
    }
    case 'unsubscribe':
      return { type, packetId, filters: list(() => random.pick(TOPICS)), properties }
    case 'unsuback':
      return { type, packetId, reasonCodes: version5 ? list(() => reasonCode(random, type)) : [], properties }
    case 'disconnect':
    case 'auth':
      return { type, reasonCode: version5 ? reasonCode(random, type) : 0, properties }
    default:
      return { type }
  }
}

/** A CONNACK that accepts, with limits that a client can live with. */
export function sampleConnack(
  random: Random,
  version: ProtocolVersion,
  sessionPresent: boolean,
  authenticationMethod?: string,
): ControlPacket {
  const limits: Properties = {
    receiveMaximum: random.pick([undefined, 1, 3, 20]),
    maximumQoS: random.chance(0.1) ? random.pick([0, 1]) : undefined,
    maximumPacketSize: random.pick([undefined, undefined, 60, 200]),
    topicAliasMaximum: random.pick([undefined, 1, 3]),
    retainAvailable: random.chance(0.1) ? false : undefined,
    serverKeepAlive: random.pick([undefined, undefined, 0, 5, 60]),
    sessionExpiryInterval: random.pick([undefined, 0, 60]),
    reasonString: random.pick([undefined, 'welcome']),
    authenticationMethod,
  }
  const set = Object.entries(limits).filter(([, value]) => value !== undefined)
  const properties = version === '5' && set.length > 0 ? Object.fromEntries(set) : undefined
  return { type: 'connack', sessionPresent, reasonCode: 0, properties }
}

/** What a packet of version 5 may carry at this place; nothing now and then. */
export function sampleProperties(random: Random, place: Place): Properties | undefined {
  const share = random.pick([0, 0.2, 0.5, 1])
  const chosen = SPECIFIED_PROPERTIES.filter(({ places }) => places.includes(place) && random.chance(share))
  if (chosen.length === 0) return undefined
  return Object.fromEntries(chosen.map((property) => [property.name, valueOf(random, property, place)]))
}

function valueOf(random: Random, { name, dataType }: SpecifiedProperty, place: Place): unknown {
  switch (dataType) {
    case 'byte':
      return name === 'payloadFormatIndicator' || name === 'maximumQoS' ? random.below(2) : random.chance(0.5)
    case 'two byte integer':
      return whole(random, name === 'receiveMaximum' || name === 'topicAlias' ? 1 : 0, 65_535)
    case 'four byte integer':
      return whole(random, name === 'maximumPacketSize' ? 1 : 0, 0xffffffff)
    case 'variable byte integer': {
      const length = place === 'publish' ? random.between(1, 3) : 1
      return Array.from({ length }, () => whole(random, 1, 268_435_455))
    }
    case 'UTF-8 encoded string':
      return name === 'responseTopic' ? random.pick(TOPICS) : text(random)
    case 'binary data':
      return payload(random)
    case 'UTF-8 string pair':
      return Array.from({ length: random.between(1, 3) }, () => [text(random), text(random)])
  }
}

function connect(
  random: Random,
  protocolVersion: ProtocolVersion,
  properties: Properties | undefined,
): ConnectPacket {
  const version5 = protocolVersion === '5'
  const needsMethod = properties?.authenticationData !== undefined
  const username = random.chance(0.5) ? text(random) : undefined
  const will = {
    topic: random.pick(TOPICS),
    payload: payload(random),
    qos: qos(random),
    retain: random.chance(0.5),
    properties: version5 ? sampleProperties(random, 'will') : undefined,
  }
  return {
    type: 'connect',
    protocolVersion,
    clientId: text(random),
    cleanStart: random.chance(0.5),
    keepAlive: whole(random, 0, 65_535),
    will: random.chance(0.5) ? will : undefined,
    username,
    // In 3.1.1 a password needs a user name; in 5 authentication data need a method.
    password: random.chance(0.5) && (version5 || username !== undefined) ? payload(random) : undefined,
    properties: needsMethod ? { authenticationMethod: 'm', ...properties } : properties,
  }
}

function connack(random: Random, version5: boolean, properties: Properties | undefined): ControlPacket {
  const code = version5 ? reasonCode(random, 'connack') : random.pick(SPECIFIED_RETURN_CODES)
  const code0 = random.chance(0.6) ? 0 : code
  return { type: 'connack', sessionPresent: code0 === 0 && random.chance(0.5), reasonCode: code0, properties }
}

function publish(random: Random, packetId: number, properties: Properties | undefined): PublishPacket {
  const chosen = qos(random)
  const isAliased = properties?.topicAlias !== undefined && random.chance(0.5)
  return {
    type: 'publish',
    topic: isAliased ? '' : random.pick(TOPICS),
    payload: payload(random),
    qos: chosen,
    retain: random.chance(0.5),
    dup: chosen > 0 && random.chance(0.3),
    packetId: chosen > 0 ? packetId : 0,
    properties,
  }
}

function subscription(random: Random, version5: boolean): SubscriptionRequest {
  return {
    filter: random.pick(TOPICS),
    qos: qos(random),
    noLocal: version5 && random.chance(0.3),
    retainAsPublished: version5 && random.chance(0.3),
    retainHandling: version5 ? random.pick([0, 1, 2] as const) : 0,
  }
}

function reasonCode(random: Random, type: PacketType): number {
  return random.pick(SPECIFIED_REASON_CODES[type] ?? [0])
}

function qos(random: Random): QoS {
  return random.pick([0, 1, 2] as const)
}

function text(random: Random): string {
  if (random.chance(0.5)) return random.pick(TEXTS)
  const point = (): number => random.pick([97 + random.below(26), 0xe9, 0x20ac, 0x1f600])
  return String.fromCodePoint(...Array.from({ length: random.below(12) }, point))
}

function payload(random: Random): Uint8Array {
  return random.bytes(random.pick([0, 1, 2, 7, 30, 127, 300]))
}

function whole(random: Random, low: number, high: number): number {
  const edges = [low, high, ...NUMBERS].filter((edge) => edge >= low && edge <= high)
  return random.chance(0.7) ? random.pick(edges) : random.between(low, high)
}

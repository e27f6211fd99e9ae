// Generators of valid packets: every type, every property, both versions, both sides. Values lean towards the edges
// of their data types. What may stand where is taken from the tables of the specification, not from the code's.

import fc from 'fast-check'
import type {
  AckType,
  ConnectPacket,
  ControlPacket,
  PacketType,
  Properties,
  ProtocolVersion,
  PublishPacket,
  QoS,
  UserProperties,
  WillMessage,
} from '../../../src/core/packets/types.ts'
import {
  mayBeSentBy,
  type Place,
  type Sender,
  SPECIFIED_PACKETS,
  SPECIFIED_PROPERTIES,
  SPECIFIED_REASON_CODES,
  SPECIFIED_RETURN_CODES,
} from './specification.ts'

/** An object as programs write it, with a prototype. */
function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true })
}

/** Any string that MQTT allows; the long ASCII ones take another way through the codec. */
export const text: fc.Arbitrary<string> = fc
  .oneof(
    { weight: 4, arbitrary: fc.string({ unit: 'grapheme-ascii', maxLength: 12 }) },
    { weight: 3, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
    {
      weight: 1,
      arbitrary: fc.string({ unit: 'grapheme-ascii', minLength: 45, maxLength: 140, size: 'max' }),
    },
    { weight: 1, arbitrary: fc.constantFrom('', '\ufeff', '\ufeffa', '__proto__', 'constructor', 'é', '€') },
  )
  .map((string) => string.replaceAll('\0', 'x'))

const nonEmptyText = text.map((string) => (string === '' ? 'x' : string))

/** A topic name; some are longer than those that a reader remembers. */
export const topicName: fc.Arbitrary<string> = fc.oneof(
  { weight: 8, arbitrary: nonEmptyText.map((string) => string.replace(/[+#]/g, '/')) },
  { weight: 3, arbitrary: fc.constantFrom('a', 'a/b', 'sensors/1/temperature', '$SYS/é', '/') },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 250, max: 300 }).map((length) => 'long/'.repeat(60).slice(0, length)),
  },
)

/** Bytes; now and then more than are copied into a slab. */
export const payload: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 12, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  {
    weight: 2,
    arbitrary: record({ size: fc.integer({ min: 100, max: 700 }), value: fc.nat({ max: 255 }) }).map(
      ({ size, value }) => Uint8Array.from({ length: size }, (_, index) => (value + index) & 0xff),
    ),
  },
  {
    weight: 1,
    arbitrary: record({ size: fc.integer({ min: 8_000, max: 17_000 }), value: fc.nat({ max: 255 }) }).map(
      ({ size, value }) => new Uint8Array(size).fill(value),
    ),
  },
)

function integer(minimum: number, maximum: number): fc.Arbitrary<number> {
  const edges = [minimum, minimum + 1, 127, 128, 255, 256, 16_383, 16_384, maximum - 1, maximum]
  const inside = edges.filter((edge) => edge >= minimum && edge <= maximum)
  return fc.oneof(fc.constantFrom(...inside), fc.integer({ min: minimum, max: maximum }))
}

export const packetId: fc.Arbitrary<number> = integer(1, 65_535)
const qos = fc.constantFrom<QoS>(0, 1, 2)

const userProperties: fc.Arbitrary<UserProperties> = fc.array(
  fc.tuple(fc.oneof(text, fc.constantFrom('k', '__proto__')), text),
  { minLength: 1, maxLength: 4 },
)

/** Properties whose values are narrower than their data type. */
function narrowed(name: keyof Properties, place: Place): fc.Arbitrary<unknown> | undefined {
  switch (name) {
    case 'payloadFormatIndicator':
    case 'maximumQoS':
      return fc.constantFrom(0, 1)
    case 'receiveMaximum':
    case 'topicAlias':
      return integer(1, 65_535)
    case 'maximumPacketSize':
      return integer(1, 0xffffffff)
    case 'responseTopic':
      return topicName
    case 'subscriptionIdentifiers':
      return fc.array(integer(1, 268_435_455), { minLength: 1, maxLength: place === 'publish' ? 4 : 1 })
    default:
      return undefined
  }
}

function valueOf(dataType: string): fc.Arbitrary<unknown> {
  switch (dataType) {
    case 'byte':
      return fc.boolean()
    case 'two byte integer':
      return integer(0, 65_535)
    case 'four byte integer':
      return integer(0, 0xffffffff)
    case 'UTF-8 encoded string':
      return text
    case 'binary data':
      return fc.uint8Array({ maxLength: 20 })
    case 'UTF-8 string pair':
      return userProperties
    default:
      throw new Error(`no values of the type ${dataType}`)
  }
}

/** Any of the properties that may stand at a place; undefined rather than an empty object. */
function propertiesAt(place: Place): fc.Arbitrary<Properties | undefined> {
  const rows = SPECIFIED_PROPERTIES.filter(({ places }) => places.includes(place))
  const fields = Object.fromEntries(
    rows.map(({ name, dataType }) => [name, narrowed(name, place) ?? valueOf(dataType)]),
  )
  const some = fc.record(fields, { requiredKeys: [], noNullPrototype: true })
  return fc
    .oneof({ weight: 1, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: some })
    .map((properties) => (Object.keys(properties).length === 0 ? undefined : (properties as Properties)))
}

function maybe<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined })
}

function will(version5: boolean): fc.Arbitrary<WillMessage> {
  return record({
    topic: topicName,
    payload: fc.uint8Array({ maxLength: 20 }),
    qos,
    retain: fc.boolean(),
    properties: version5 ? propertiesAt('will') : fc.constant(undefined),
  })
}

function connect(version: ProtocolVersion): fc.Arbitrary<ControlPacket> {
  const version5 = version === '5'
  return record({
    clientId: text,
    cleanStart: fc.boolean(),
    keepAlive: integer(0, 65_535),
    will: maybe(will(version5)),
    username: maybe(text),
    password: maybe(fc.uint8Array({ maxLength: 20 })),
    properties: version5 ? propertiesAt('connect') : fc.constant(undefined),
  }).map(
    ({ username, password, properties, ...fields }): ConnectPacket => ({
      type: 'connect',
      protocolVersion: version,
      ...fields,
      username,
      // In 3.1.1 a password needs a user name; in 5 authentication data need a method.
      password: version5 || username !== undefined ? password : undefined,
      properties:
        properties?.authenticationData === undefined
          ? properties
          : { ...properties, authenticationMethod: properties.authenticationMethod ?? 'm' },
    }),
  )
}

function publish(version5: boolean): fc.Arbitrary<ControlPacket> {
  return record({
    topic: topicName,
    payload,
    qos,
    retain: fc.boolean(),
    dup: fc.boolean(),
    packetId,
    properties: version5 ? propertiesAt('publish') : fc.constant(undefined),
    aliased: fc.boolean(),
  }).map(({ aliased, ...fields }): PublishPacket => {
    const repeated = fields.qos > 0 && fields.dup
    return {
      type: 'publish',
      ...fields,
      topic: aliased && fields.properties?.topicAlias !== undefined ? '' : fields.topic,
      dup: repeated,
      packetId: fields.qos > 0 ? fields.packetId : 0,
    }
  })
}

function reasonCode(type: PacketType, version5: boolean): fc.Arbitrary<number> {
  if (!version5) return fc.constant(0)
  return fc.constantFrom(...(SPECIFIED_REASON_CODES[type] ?? []))
}

function properties(place: Place, version5: boolean): fc.Arbitrary<Properties | undefined> {
  return version5 ? propertiesAt(place) : fc.constant(undefined)
}

function ack(type: AckType, version5: boolean): fc.Arbitrary<ControlPacket> {
  return record({
    type: fc.constant(type),
    packetId,
    reasonCode: reasonCode(type, version5),
    properties: properties(type, version5),
  })
}

function connack(version5: boolean): fc.Arbitrary<ControlPacket> {
  const code = version5 ? reasonCode('connack', true) : fc.constantFrom(...SPECIFIED_RETURN_CODES)
  return record({
    type: fc.constant('connack' as const),
    sessionPresent: fc.boolean(),
    reasonCode: fc.oneof(fc.constant(0), code),
    properties: properties('connack', version5),
  }).map((packet) => ({ ...packet, sessionPresent: packet.sessionPresent && packet.reasonCode === 0 }))
}

function subscribe(version5: boolean): fc.Arbitrary<ControlPacket> {
  const flag = version5 ? fc.boolean() : fc.constant(false)
  const subscription = record({
    filter: nonEmptyText,
    qos,
    noLocal: flag,
    retainAsPublished: flag,
    retainHandling: version5 ? fc.constantFrom<0 | 1 | 2>(0, 1, 2) : fc.constant(0 as const),
  })
  return record({
    type: fc.constant('subscribe' as const),
    packetId,
    subscriptions: fc.array(subscription, { minLength: 1, maxLength: 4 }),
    properties: properties('subscribe', version5),
  })
}

function suback(version5: boolean): fc.Arbitrary<ControlPacket> {
  const code = version5 ? reasonCode('suback', true) : fc.constantFrom(0, 1, 2, 0x80)
  return record({
    type: fc.constant('suback' as const),
    packetId,
    reasonCodes: fc.array(code, { minLength: 1, maxLength: 5 }),
    properties: properties('suback', version5),
  })
}

function unsubscribe(version5: boolean): fc.Arbitrary<ControlPacket> {
  return record({
    type: fc.constant('unsubscribe' as const),
    packetId,
    filters: fc.array(nonEmptyText, { minLength: 1, maxLength: 4 }),
    properties: properties('unsubscribe', version5),
  })
}

function unsuback(version5: boolean): fc.Arbitrary<ControlPacket> {
  const codes = fc.array(reasonCode('unsuback', true), { minLength: 1, maxLength: 5 })
  return record({
    type: fc.constant('unsuback' as const),
    packetId,
    reasonCodes: version5 ? codes : fc.constant([]),
    properties: properties('unsuback', version5),
  })
}

function coded(type: 'disconnect' | 'auth', version5: boolean): fc.Arbitrary<ControlPacket> {
  return record({
    type: fc.constant(type),
    reasonCode: reasonCode(type, version5),
    properties: properties(type, version5),
  })
}

/** Packets of one type. */
export function packetOf(type: PacketType, version: ProtocolVersion): fc.Arbitrary<ControlPacket> {
  const version5 = version === '5'
  switch (type) {
    case 'connect':
      return connect(version)
    case 'connack':
      return connack(version5)
    case 'publish':
      return publish(version5)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return ack(type, version5)
    case 'subscribe':
      return subscribe(version5)
    case 'suback':
      return suback(version5)
    case 'unsubscribe':
      return unsubscribe(version5)
    case 'unsuback':
      return unsuback(version5)
    case 'pingreq':
      return fc.constant({ type: 'pingreq' })
    case 'pingresp':
      return fc.constant({ type: 'pingresp' })
    case 'disconnect':
      return coded('disconnect', version5)
    case 'auth':
      return coded('auth', version5)
  }
}

/** Any packet that this side may send, many of them PUBLISHes, as in life. */
export function packetFrom(sender: Sender, version: ProtocolVersion): fc.Arbitrary<ControlPacket> {
  const types = SPECIFIED_PACKETS.filter(({ name }) => mayBeSentBy(name, version, sender))
  return fc.oneof(
    ...types.map(({ name }) => ({ weight: name === 'publish' ? 5 : 1, arbitrary: packetOf(name, version) })),
  )
}

/** Some packets in a row. */
export function streamFrom(
  sender: Sender,
  version: ProtocolVersion,
  maxLength = 8,
): fc.Arbitrary<readonly ControlPacket[]> {
  return fc.array(packetFrom(sender, version), { minLength: 1, maxLength, size: 'max' })
}

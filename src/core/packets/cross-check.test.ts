// A second opinion: mqtt-packet, the codec of MQTT.js, reads what we write and writes what we read, over generated
// packets of every type and with every property. A codec and a broker made of the same files could share a
// misreading of the specification.
//
// What that library cannot do is left out, and counted. It keeps User Properties in an object, which loses the
// order of different names, and a value that follows an empty one of the same name; it reads neither an AUTH of
// length 0 nor a DISCONNECT with 0x8C; it writes neither a password without a user name nor an empty client
// identifier with Clean Start 0.

import fc from 'fast-check'
import { generate, type Packet, parser } from 'mqtt-packet'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { packetOf } from '../../../test/support/codec/arbitraries.ts'
import { Census } from '../../../test/support/codec/census.ts'
import { decode, encode } from '../../../test/support/codec/codec.ts'
import { expectSame } from '../../../test/support/codec/expect-same.ts'
import {
  mayBeSentBy,
  type Sender,
  SPECIFIED_RETURN_CODES,
} from '../../../test/support/codec/specification.ts'
import {
  type ControlPacket,
  PACKET_TYPES,
  type PacketType,
  type Properties,
  type ProtocolVersion,
  type UserProperties,
} from './types.ts'

type Fields = Record<string, unknown>

const LEVELS = { '3.1.1': 4, '5': 5 } as const

const KINDS = (Object.keys(PACKET_TYPES) as PacketType[]).flatMap((type) =>
  (['3.1.1', '5'] as const)
    .map((version) => [type, version, senderOf(type, version)] as const)
    .filter((kind): kind is readonly [PacketType, ProtocolVersion, Sender] => kind[2] !== undefined),
)

function senderOf(type: PacketType, version: ProtocolVersion): Sender | undefined {
  return (['client', 'server'] as const).find((sender) => mayBeSentBy(type, version, sender))
}

// Seconds in all; on a busy machine one test may take some.
vi.setConfig({ testTimeout: 60_000 })

const read = new Census()
const written = new Census()
const leftOut = { read: 0, written: 0 }

afterAll(() => {
  console.log(`read by mqtt-packet: ${read.toString()}`)
  console.log(`written by mqtt-packet: ${written.toString()}`)
  console.log(`left out: ${JSON.stringify(leftOut)}`)
})

/** User properties as mqtt-packet has them: an object of values, a list where a name is repeated. */
function grouped(pairs: UserProperties): Fields {
  const object = Object.create(null) as Record<string, string | string[]>
  for (const [name, value] of pairs) {
    const known = object[name]
    if (known === undefined) object[name] = value
    else object[name] = [...(Array.isArray(known) ? known : [known]), value]
  }
  return object
}

/** The pairs in the order that is left in such an object. */
function regrouped(pairs: UserProperties): UserProperties {
  return Object.entries(grouped(pairs)).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one: string) => [name, one] as const),
  )
}

function theirProperties(properties: Properties | undefined): Fields {
  if (properties === undefined) return {}
  const { subscriptionIdentifiers, userProperties, payloadFormatIndicator, ...same } = properties
  const theirs: Fields = { ...same }
  if (payloadFormatIndicator !== undefined) theirs.payloadFormatIndicator = payloadFormatIndicator === 1
  if (userProperties !== undefined) theirs.userProperties = grouped(userProperties)
  if (subscriptionIdentifiers !== undefined) {
    theirs.subscriptionIdentifier =
      subscriptionIdentifiers.length === 1 ? subscriptionIdentifiers[0] : subscriptionIdentifiers
  }
  return { properties: mapBytes(theirs, (bytes) => Buffer.from(bytes)) }
}

function mapBytes(fields: Fields, change: (bytes: Uint8Array) => Uint8Array): Fields {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      value instanceof Uint8Array ? change(value) : value,
    ]),
  )
}

/** Our packet as mqtt-packet's, by the names of its documentation. */
function toTheirs(packet: ControlPacket, version: ProtocolVersion): Fields {
  const version5 = version === '5'
  switch (packet.type) {
    case 'connect': {
      const { will, username, password } = packet
      return {
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: LEVELS[version],
        clientId: packet.clientId,
        clean: packet.cleanStart,
        keepalive: packet.keepAlive,
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password: Buffer.from(password) }),
        ...(will === undefined
          ? {}
          : {
              will: {
                topic: will.topic,
                payload: Buffer.from(will.payload),
                qos: will.qos,
                retain: will.retain,
                ...theirProperties(will.properties),
              },
            }),
        ...theirProperties(packet.properties),
      }
    }
    case 'connack':
      return {
        cmd: 'connack',
        sessionPresent: packet.sessionPresent,
        ...(version5
          ? { reasonCode: packet.reasonCode }
          : { returnCode: SPECIFIED_RETURN_CODES.indexOf(packet.reasonCode) }),
        ...theirProperties(packet.properties),
      }
    case 'publish':
      return {
        cmd: 'publish',
        topic: packet.topic,
        payload: Buffer.from(packet.payload),
        qos: packet.qos,
        retain: packet.retain,
        dup: packet.dup,
        ...(packet.qos > 0 ? { messageId: packet.packetId } : {}),
        ...theirProperties(packet.properties),
      }
    case 'subscribe':
      return {
        cmd: 'subscribe',
        messageId: packet.packetId,
        subscriptions: packet.subscriptions.map(
          ({ filter, qos, noLocal, retainAsPublished, retainHandling }) =>
            version5
              ? { topic: filter, qos, nl: noLocal, rap: retainAsPublished, rh: retainHandling }
              : { topic: filter, qos },
        ),
        ...theirProperties(packet.properties),
      }
    case 'unsubscribe':
      return {
        cmd: 'unsubscribe',
        messageId: packet.packetId,
        unsubscriptions: packet.filters,
        ...theirProperties(packet.properties),
      }
    case 'suback':
    case 'unsuback':
      return {
        cmd: packet.type,
        messageId: packet.packetId,
        ...(packet.type === 'suback' || version5 ? { granted: packet.reasonCodes } : {}),
        ...theirProperties(packet.properties),
      }
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return {
        cmd: packet.type,
        messageId: packet.packetId,
        ...(version5 ? { reasonCode: packet.reasonCode } : {}),
        ...theirProperties(packet.properties),
      }
    case 'disconnect':
    case 'auth':
      return {
        cmd: packet.type,
        ...(version5 ? { reasonCode: packet.reasonCode } : {}),
        ...theirProperties(packet.properties),
      }
    case 'pingreq':
    case 'pingresp':
      return { cmd: packet.type }
  }
}

/** What mqtt-packet makes of these bytes. */
function readByThem(bytes: Uint8Array, version: ProtocolVersion): Fields {
  const packets: Fields[] = []
  const theirs = parser({ protocolVersion: LEVELS[version] })
  theirs.on('packet', (packet) => packets.push({ ...packet }))
  theirs.on('error', (error) => {
    throw error
  })
  theirs.parse(Buffer.from(bytes))
  expect(packets).toHaveLength(1)
  return packets[0] as Fields
}

function withRegrouped(packet: ControlPacket): ControlPacket {
  const again = (properties: Properties | undefined): Properties | undefined =>
    properties?.userProperties === undefined
      ? properties
      : { ...properties, userProperties: regrouped(properties.userProperties) }
  if (!('properties' in packet)) return packet
  const changed = { ...packet, properties: again(packet.properties) }
  if (changed.type !== 'connect' || changed.will === undefined) return changed
  return { ...changed, will: { ...changed.will, properties: again(changed.will.properties) } }
}

function userPropertiesOf(packet: ControlPacket): UserProperties {
  if (!('properties' in packet)) return []
  const will = packet.type === 'connect' ? (packet.will?.properties?.userProperties ?? []) : []
  return [...(packet.properties?.userProperties ?? []), ...will]
}

function theyCanRead(packet: ControlPacket): boolean {
  if (packet.type === 'auth' && packet.reasonCode === 0 && packet.properties === undefined) return false
  if (packet.type === 'disconnect' && packet.reasonCode === 0x8c) return false
  const pairs = userPropertiesOf(packet)
  const names = new Set(pairs.map(([name]) => name))
  return names.size === pairs.length || pairs.every(([, value]) => value !== '')
}

function theyCanWrite(packet: ControlPacket): boolean {
  if (packet.type !== 'connect') return true
  if (packet.clientId === '' && !packet.cleanStart) return false
  return packet.password === undefined || packet.username !== undefined
}

describe('mqtt-packet', () => {
  test.each(KINDS)('reads what we write: %s in %s', (type, version) => {
    fc.assert(
      fc.property(packetOf(type, version), (packet) => {
        if (!theyCanRead(packet)) return void (leftOut.read += 1)
        read.count(packet)
        const theirs = readByThem(encode(packet, version), version)
        const expected = toTheirs(packet, version)
        for (const [name, value] of Object.entries(expected)) {
          const got = theirs[name]
          expectSame(got instanceof Uint8Array ? Buffer.from(got) : got, value)
        }
        // It has no field, or an empty one, for what we did not set.
        for (const name of Object.keys(theirs)) {
          if (name in expected || ['length', 'retain', 'qos', 'dup', 'topic', 'payload'].includes(name))
            continue
          expect(theirs[name], name).toBeUndefined()
        }
      }),
      { numRuns: 80 },
    )
  })

  test.each(KINDS)('writes what we read: %s in %s', (type, version, sender) => {
    fc.assert(
      fc.property(packetOf(type, version), (packet) => {
        if (!theyCanWrite(packet)) return void (leftOut.written += 1)
        written.count(packet)
        const theirs = toTheirs(packet, version) as unknown as Packet
        const bytes = generate(theirs, { protocolVersion: LEVELS[version] })
        expectSame(decode([new Uint8Array(bytes)], version, sender), [withRegrouped(packet)])
      }),
      { numRuns: 80 },
    )
  })

  test('had packets of every type and with every property to read and to write', () => {
    expect(read.missing(['3.1.1', '5'])).toEqual([])
    expect(written.missing(['3.1.1', '5'])).toEqual([])
  })
})

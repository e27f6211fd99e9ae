// Packets of MQTT 3.1.1, typed in hex from chapter 3, its figures where it has any. PINGREQ, PINGRESP and DISCONNECT
// have one form in two bytes; the others differ in the length of their Remaining Length, of which 2.2.3 does not
// demand the shortest.

import type { AckType, ControlPacket, SubscriptionRequest } from '../../../src/core/packets/types.ts'
import { BOTH, CLIENT, type Fixture, type FixtureRow, fixtures, SERVER } from './fixture.ts'
import { hex } from './hex.ts'

const LONGER = 'legal, but not what we write'
const EMPTY = new Uint8Array(0)
const NOTHING = { properties: undefined } as const

function ack(type: AckType, packetId: number): ControlPacket {
  return { type, packetId, reasonCode: 0, ...NOTHING }
}

function connack(sessionPresent: boolean, reasonCode: number): ControlPacket {
  return { type: 'connack', sessionPresent, reasonCode, ...NOTHING }
}

function filter(text: string, qos: 0 | 1 | 2): SubscriptionRequest {
  return { filter: text, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }
}

const CONNECT: readonly FixtureRow[] = [
  [
    'a CONNECT with Clean Session 1, 60 seconds of Keep Alive and an empty client identifier',
    CLIENT,
    '10 0c 0004 "MQTT" 04 02 003c 0000',
    {
      type: 'connect',
      protocolVersion: '3.1.1',
      clientId: '',
      cleanStart: true,
      keepAlive: 60,
      will: undefined,
      username: undefined,
      password: undefined,
      ...NOTHING,
    },
  ],
  [
    'a CONNECT with a retained QoS 2 will, a user name and a binary password',
    CLIENT,
    '10 23 0004 "MQTT" 04 f4 000a 0006 "petrel" 0003 "a/b" 0003 "bye" 0001 "u" 0002 dead',
    {
      type: 'connect',
      protocolVersion: '3.1.1',
      clientId: 'petrel',
      cleanStart: false,
      keepAlive: 10,
      will: { topic: 'a/b', payload: hex('"bye"'), qos: 2, retain: true, ...NOTHING },
      username: 'u',
      password: hex('dead'),
      ...NOTHING,
    },
  ],
  [
    'a CONNECT with the flags of figure 3.6 and nothing in its will payload, user name and password',
    CLIENT,
    '10 16 0004 "MQTT" 04 ce 000a 0001 "c" 0001 "w" 0000 0000 0000',
    {
      type: 'connect',
      protocolVersion: '3.1.1',
      clientId: 'c',
      cleanStart: true,
      keepAlive: 10,
      will: { topic: 'w', payload: EMPTY, qos: 1, retain: false, ...NOTHING },
      username: '',
      password: EMPTY,
      ...NOTHING,
    },
  ],
  [
    'a CONNECT with Clean Session 0, the longest Keep Alive and 23 characters of client identifier',
    CLIENT,
    '10 23 0004 "MQTT" 04 00 ffff 0017 "0123456789abcdefghijABC"',
    {
      type: 'connect',
      protocolVersion: '3.1.1',
      clientId: '0123456789abcdefghijABC',
      cleanStart: false,
      keepAlive: 65_535,
      will: undefined,
      username: undefined,
      password: undefined,
      ...NOTHING,
    },
  ],
]

/** Table 3.1. */
const CONNACK: readonly FixtureRow[] = [
  ['a CONNACK that accepts a new session', SERVER, '20 02 00 00', connack(false, 0x00)],
  ['a CONNACK with Session Present 1', SERVER, '20 02 01 00', connack(true, 0x00)],
  ['a CONNACK that refuses the protocol version (1)', SERVER, '20 02 00 01', connack(false, 0x84)],
  ['a CONNACK that rejects the identifier (2)', SERVER, '20 02 00 02', connack(false, 0x85)],
  ['a CONNACK of an unavailable server (3)', SERVER, '20 02 00 03', connack(false, 0x88)],
  ['a CONNACK for a bad user name or password (4)', SERVER, '20 02 00 04', connack(false, 0x86)],
  ['a CONNACK for a client that is not authorized (5)', SERVER, '20 02 00 05', connack(false, 0x87)],
]

const PUBLISH: readonly FixtureRow[] = [
  [
    'a PUBLISH with QoS 1, the topic and the packet identifier of figure 3.11 and no payload',
    BOTH,
    '32 07 0003 "a/b" 000a',
    {
      type: 'publish',
      topic: 'a/b',
      payload: EMPTY,
      qos: 1,
      retain: false,
      dup: false,
      packetId: 10,
      ...NOTHING,
    },
  ],
  [
    'a PUBLISH with QoS 0, which has no packet identifier',
    BOTH,
    '30 09 0001 "a" "hello!"',
    {
      type: 'publish',
      topic: 'a',
      payload: hex('"hello!"'),
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
      ...NOTHING,
    },
  ],
  [
    'a PUBLISH with QoS 2, DUP 1, RETAIN 1 and the largest packet identifier',
    BOTH,
    '3d 09 0003 "a/b" ffff 00ff',
    {
      type: 'publish',
      topic: 'a/b',
      payload: hex('00ff'),
      qos: 2,
      retain: true,
      dup: true,
      packetId: 65_535,
      ...NOTHING,
    },
  ],
  [
    'a PUBLISH with a Remaining Length of two bytes',
    BOTH,
    `30 cb01 0001 "t" ${'41'.repeat(200)}`,
    {
      type: 'publish',
      topic: 't',
      payload: new Uint8Array(200).fill(0x41),
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
      ...NOTHING,
    },
  ],
  [
    'a PUBLISH with a Remaining Length of three bytes, the smallest of that size (table 2.4)',
    BOTH,
    `31 808001 0001 "t" ${'2e'.repeat(16_381)}`,
    {
      type: 'publish',
      topic: 't',
      payload: new Uint8Array(16_381).fill(0x2e),
      qos: 0,
      retain: true,
      dup: false,
      packetId: 0,
      ...NOTHING,
    },
  ],
  [
    'a PUBLISH whose topic begins with U+FEFF and ends with U+2A6D4 (figure 1.2)',
    BOTH,
    '30 0a 0008 efbbbf "A" f0aa9b94',
    {
      type: 'publish',
      topic: '\ufeffA\u{2a6d4}',
      payload: EMPTY,
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
      ...NOTHING,
    },
  ],
  [
    'a PUBLISH with a longer Remaining Length than needed',
    BOTH,
    '30 8300 0001 "t"',
    {
      type: 'publish',
      topic: 't',
      payload: EMPTY,
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
      ...NOTHING,
    },
    LONGER,
  ],
]

const ACKS: readonly FixtureRow[] = [
  ['a PUBACK for the packet identifier 1', BOTH, '40 02 0001', ack('puback', 1)],
  ['a PUBACK for the packet identifier 256', BOTH, '40 02 0100', ack('puback', 256)],
  ['a PUBACK for the packet identifier 65535', BOTH, '40 02 ffff', ack('puback', 65_535)],
  ['a PUBREC for the packet identifier 1', BOTH, '50 02 0001', ack('pubrec', 1)],
  ['a PUBREC for the packet identifier 256', BOTH, '50 02 0100', ack('pubrec', 256)],
  ['a PUBREC for the packet identifier 65535', BOTH, '50 02 ffff', ack('pubrec', 65_535)],
  ['a PUBREL for the packet identifier 1', BOTH, '62 02 0001', ack('pubrel', 1)],
  ['a PUBREL for the packet identifier 256', BOTH, '62 02 0100', ack('pubrel', 256)],
  ['a PUBREL for the packet identifier 65535', BOTH, '62 02 ffff', ack('pubrel', 65_535)],
  ['a PUBCOMP for the packet identifier 1', BOTH, '70 02 0001', ack('pubcomp', 1)],
  ['a PUBCOMP for the packet identifier 256', BOTH, '70 02 0100', ack('pubcomp', 256)],
  ['a PUBCOMP for the packet identifier 65535', BOTH, '70 02 ffff', ack('pubcomp', 65_535)],
]

const SUBSCRIPTIONS: readonly FixtureRow[] = [
  [
    'a SUBSCRIBE with the two filters of figure 3.23',
    CLIENT,
    '82 0e 000a 0003 "a/b" 01 0003 "c/d" 02',
    { type: 'subscribe', packetId: 10, subscriptions: [filter('a/b', 1), filter('c/d', 2)], ...NOTHING },
  ],
  [
    'a SUBSCRIBE to everything with QoS 0',
    CLIENT,
    '82 06 0001 0001 "#" 00',
    { type: 'subscribe', packetId: 1, subscriptions: [filter('#', 0)], ...NOTHING },
  ],
  [
    'a SUBSCRIBE with the largest packet identifier',
    CLIENT,
    '82 0b ffff 0006 "$SYS/#" 02',
    { type: 'subscribe', packetId: 65_535, subscriptions: [filter('$SYS/#', 2)], ...NOTHING },
  ],
  [
    'a SUBACK with the return codes of figure 3.26',
    SERVER,
    '90 05 000a 00 02 80',
    { type: 'suback', packetId: 10, reasonCodes: [0, 2, 0x80], ...NOTHING },
  ],
  [
    'a SUBACK that grants QoS 1',
    SERVER,
    '90 03 0001 01',
    { type: 'suback', packetId: 1, reasonCodes: [1], ...NOTHING },
  ],
  [
    'a SUBACK that refuses the only filter',
    SERVER,
    '90 03 ffff 80',
    { type: 'suback', packetId: 65_535, reasonCodes: [0x80], ...NOTHING },
  ],
  [
    'an UNSUBSCRIBE with the two filters of figure 3.30',
    CLIENT,
    'a2 0c 000a 0003 "a/b" 0003 "c/d"',
    { type: 'unsubscribe', packetId: 10, filters: ['a/b', 'c/d'], ...NOTHING },
  ],
  [
    'an UNSUBSCRIBE with one filter',
    CLIENT,
    'a2 05 0001 0001 "#"',
    { type: 'unsubscribe', packetId: 1, filters: ['#'], ...NOTHING },
  ],
  [
    'an UNSUBSCRIBE whose filter is longer in bytes than in characters',
    CLIENT,
    'a2 0a ffff 0006 "+/a/" c3a9',
    { type: 'unsubscribe', packetId: 65_535, filters: ['+/a/é'], ...NOTHING },
  ],
  [
    'an UNSUBACK for the packet identifier 1',
    SERVER,
    'b0 02 0001',
    { type: 'unsuback', packetId: 1, reasonCodes: [], ...NOTHING },
  ],
  [
    'an UNSUBACK for the packet identifier 256',
    SERVER,
    'b0 02 0100',
    { type: 'unsuback', packetId: 256, reasonCodes: [], ...NOTHING },
  ],
  [
    'an UNSUBACK for the packet identifier 65535',
    SERVER,
    'b0 02 ffff',
    { type: 'unsuback', packetId: 65_535, reasonCodes: [], ...NOTHING },
  ],
]

const DISCONNECTED: ControlPacket = { type: 'disconnect', reasonCode: 0, ...NOTHING }

const EMPTY_PACKETS: readonly FixtureRow[] = [
  ['a PINGREQ of two bytes', CLIENT, 'c0 00', { type: 'pingreq' }],
  ['a PINGREQ of three bytes', CLIENT, 'c0 8000', { type: 'pingreq' }, LONGER],
  ['a PINGREQ of five bytes', CLIENT, 'c0 80808000', { type: 'pingreq' }, LONGER],
  ['a PINGRESP of two bytes', SERVER, 'd0 00', { type: 'pingresp' }],
  ['a PINGRESP of four bytes', SERVER, 'd0 808000', { type: 'pingresp' }, LONGER],
  ['a PINGRESP of five bytes', SERVER, 'd0 80808000', { type: 'pingresp' }, LONGER],
  ['a DISCONNECT of two bytes', CLIENT, 'e0 00', DISCONNECTED],
  ['a DISCONNECT of three bytes', CLIENT, 'e0 8000', DISCONNECTED, LONGER],
  ['a DISCONNECT of four bytes', CLIENT, 'e0 808000', DISCONNECTED, LONGER],
]

export const FIXTURES_311: readonly Fixture[] = fixtures('3.1.1', [
  ...CONNECT,
  ...CONNACK,
  ...PUBLISH,
  ...ACKS,
  ...SUBSCRIPTIONS,
  ...EMPTY_PACKETS,
])

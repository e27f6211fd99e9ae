// Packets of MQTT 5, typed in hex from chapter 3, its figures where it has any. Where all properties of a packet
// stand in one, they stand by ascending identifier, as we write them; the specification leaves the order free, and
// some fixtures use that. A PINGREQ and a PINGRESP have one legal form each.

import type { AckType, ControlPacket, Properties, UserProperties } from '../../../src/core/packets/types.ts'
import { BOTH, CLIENT, type Fixture, type FixtureRow, fixtures, SERVER } from './fixture.ts'
import { hex } from './hex.ts'

const OTHER = 'legal, but not what we write'
const EMPTY = new Uint8Array(0)
const NOTHING = { properties: undefined } as const
const KV: UserProperties = [['k', 'v']]

function ack(type: AckType, packetId: number, reasonCode: number, properties?: Properties): ControlPacket {
  return { type, packetId, reasonCode, properties }
}

const CONNECT: readonly FixtureRow[] = [
  [
    'a CONNECT with Clean Start 1, no properties and an empty client identifier',
    CLIENT,
    '10 0d 0004 "MQTT" 05 02 003c 00 0000',
    {
      type: 'connect',
      protocolVersion: '5',
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
    'a CONNECT with the variable header of figure 3-6 and nothing in its will payload, user name and password',
    CLIENT,
    '10 1d 0004 "MQTT" 05 ce 000a 05 11 0000000a 0001 "c" 00 0001 "w" 0000 0000 0000',
    {
      type: 'connect',
      protocolVersion: '5',
      clientId: 'c',
      cleanStart: true,
      keepAlive: 10,
      will: { topic: 'w', payload: EMPTY, qos: 1, retain: false, ...NOTHING },
      username: '',
      password: EMPTY,
      properties: { sessionExpiryInterval: 10 },
    },
  ],
  [
    'a CONNECT with all its properties, all of its will, and a password without a user name',
    CLIENT,
    `10 6b 0004 "MQTT" 05 74 000a
     28 11 ffffffff 15 0005 "SCRAM" 16 0002 0102 17 00 19 01 21 ffff 22 000a 26 0001 "k" 0001 "v" 27 00000100
     0002 "id"
     25 01 01 02 0000003c 03 0004 "text" 08 0003 "r/t" 09 0002 beef 18 00000005 26 0001 "a" 0001 "b"
     0003 "w/t" 0003 "bye" 0002 "pw"`,
    {
      type: 'connect',
      protocolVersion: '5',
      clientId: 'id',
      cleanStart: false,
      keepAlive: 10,
      will: {
        topic: 'w/t',
        payload: hex('"bye"'),
        qos: 2,
        retain: true,
        properties: {
          payloadFormatIndicator: 1,
          messageExpiryInterval: 60,
          contentType: 'text',
          responseTopic: 'r/t',
          correlationData: hex('beef'),
          willDelayInterval: 5,
          userProperties: [['a', 'b']],
        },
      },
      username: undefined,
      password: hex('"pw"'),
      properties: {
        sessionExpiryInterval: 0xffffffff,
        authenticationMethod: 'SCRAM',
        authenticationData: hex('0102'),
        requestProblemInformation: false,
        requestResponseInformation: true,
        receiveMaximum: 65_535,
        topicAliasMaximum: 10,
        userProperties: KV,
        maximumPacketSize: 256,
      },
    },
  ],
  [
    'a CONNECT whose properties come in no order',
    CLIENT,
    '10 15 0004 "MQTT" 05 00 0000 08 21 0014 11 00000001 0000',
    {
      type: 'connect',
      protocolVersion: '5',
      clientId: '',
      cleanStart: false,
      keepAlive: 0,
      will: undefined,
      username: undefined,
      password: undefined,
      properties: { receiveMaximum: 20, sessionExpiryInterval: 1 },
    },
    OTHER,
  ],
]

const CONNACK: readonly FixtureRow[] = [
  [
    'a CONNACK that accepts a new session',
    SERVER,
    '20 03 00 00 00',
    { type: 'connack', sessionPresent: false, reasonCode: 0x00, ...NOTHING },
  ],
  [
    'a CONNACK with Session Present 1',
    SERVER,
    '20 03 01 00 00',
    { type: 'connack', sessionPresent: true, reasonCode: 0x00, ...NOTHING },
  ],
  [
    'a CONNACK that refuses, says why and names another server',
    SERVER,
    '20 11 00 9c 0e 1c 0004 "host" 1f 0004 "full"',
    {
      type: 'connack',
      sessionPresent: false,
      reasonCode: 0x9c,
      properties: { serverReference: 'host', reasonString: 'full' },
    },
  ],
  [
    'a CONNACK with all its properties',
    SERVER,
    `20 41 00 00 3e
     11 00000000 12 0002 "id" 13 003c 15 0001 "m" 16 0001 ff 1a 0001 "r" 1c 0001 "s" 1f 0002 "ok" 21 0014
     22 ffff 24 01 25 00 26 0001 "k" 0001 "v" 27 ffffffff 28 01 29 00 2a 01`,
    {
      type: 'connack',
      sessionPresent: false,
      reasonCode: 0x00,
      properties: {
        sessionExpiryInterval: 0,
        assignedClientIdentifier: 'id',
        serverKeepAlive: 60,
        authenticationMethod: 'm',
        authenticationData: hex('ff'),
        responseInformation: 'r',
        serverReference: 's',
        reasonString: 'ok',
        receiveMaximum: 20,
        topicAliasMaximum: 65_535,
        maximumQoS: 1,
        retainAvailable: false,
        userProperties: KV,
        maximumPacketSize: 0xffffffff,
        wildcardSubscriptionAvailable: true,
        subscriptionIdentifiersAvailable: false,
        sharedSubscriptionAvailable: true,
      },
    },
  ],
]

function publish(fields: Partial<Extract<ControlPacket, { type: 'publish' }>>): ControlPacket {
  return {
    type: 'publish',
    topic: 'a',
    payload: EMPTY,
    qos: 0,
    retain: false,
    dup: false,
    packetId: 0,
    ...NOTHING,
    ...fields,
  }
}

const PUBLISH: readonly FixtureRow[] = [
  ['a PUBLISH with QoS 0', BOTH, '30 06 0001 "a" 00 "hi"', publish({ payload: hex('"hi"') })],
  [
    'a PUBLISH with QoS 1 and the variable header of figure 3-9',
    BOTH,
    '32 08 0003 "a/b" 000a 00',
    publish({ topic: 'a/b', qos: 1, packetId: 10 }),
  ],
  [
    'a PUBLISH with QoS 2, DUP 1, RETAIN 1 and all its properties, some of them twice',
    BOTH,
    `3d 3b 0001 "t" ffff 34
     01 01 02 0000000a 03 000a "text/plain" 08 0001 "r" 09 0003 00ff00 0b 01 0b ff7f 23 0005
     26 0001 "k" 0001 "1" 26 0001 "k" 0001 "2" 00`,
    publish({
      topic: 't',
      payload: hex('00'),
      qos: 2,
      retain: true,
      dup: true,
      packetId: 65_535,
      properties: {
        payloadFormatIndicator: 1,
        messageExpiryInterval: 10,
        contentType: 'text/plain',
        responseTopic: 'r',
        correlationData: hex('00ff00'),
        subscriptionIdentifiers: [1, 16_383],
        topicAlias: 5,
        userProperties: [
          ['k', '1'],
          ['k', '2'],
        ],
      },
    }),
  ],
  [
    'a PUBLISH with a Topic Alias in place of its topic',
    BOTH,
    '30 06 0000 03 23 0001',
    publish({ topic: '', properties: { topicAlias: 1 } }),
  ],
  [
    'a PUBLISH with a Property Length of two bytes',
    BOTH,
    `30 8d01 0001 "a" 8801 26 0001 "k" 0082 ${'76'.repeat(130)}`,
    publish({ properties: { userProperties: [['k', 'v'.repeat(130)]] } }),
  ],
  [
    'a PUBLISH with the largest Subscription Identifier',
    BOTH,
    '30 09 0001 "a" 05 0b ffffff7f',
    publish({ properties: { subscriptionIdentifiers: [268_435_455] } }),
  ],
  [
    'a PUBLISH whose User Properties stand on both sides of another property, their order kept [5 MQTT-3.3.2-18]',
    BOTH,
    '30 17 0001 "a" 13 26 0001 "z" 0001 "1" 02 00000002 26 0001 "b" 0001 "2"',
    publish({
      properties: {
        userProperties: [
          ['z', '1'],
          ['b', '2'],
        ],
        messageExpiryInterval: 2,
      },
    }),
    OTHER,
  ],
  [
    'a PUBLISH whose topic and User Property begin with U+FEFF',
    BOTH,
    '30 12 0004 efbbbf "A" 0b 26 0004 efbbbf "k" 0002 c3a9',
    publish({ topic: '\ufeffA', properties: { userProperties: [['\ufeffk', 'é']] } }),
  ],
]

const ACKS: readonly FixtureRow[] = [
  ['a PUBACK without a reason code, which is success', BOTH, '40 02 0001', ack('puback', 1, 0)],
  ['a PUBACK without properties', BOTH, '40 03 000a 10', ack('puback', 10, 0x10)],
  [
    'a PUBACK with a Reason String',
    BOTH,
    '40 0d 0001 97 09 1f 0006 "quota!"',
    ack('puback', 1, 0x97, { reasonString: 'quota!' }),
  ],
  ['a PUBACK that spells success out', BOTH, '40 04 ffff 00 00', ack('puback', 65_535, 0), OTHER],
  ['a PUBREC without a reason code, which is success', BOTH, '50 02 0100', ack('pubrec', 256, 0)],
  ['a PUBREC without properties', BOTH, '50 03 000a 91', ack('pubrec', 10, 0x91)],
  [
    'a PUBREC with a User Property',
    BOTH,
    '50 0b ffff 00 07 26 0001 "k" 0001 "v"',
    ack('pubrec', 65_535, 0, { userProperties: KV }),
  ],
  ['a PUBREC that spells success out', BOTH, '50 03 0001 00', ack('pubrec', 1, 0), OTHER],
  ['a PUBREL without a reason code, which is success', BOTH, '62 02 0001', ack('pubrel', 1, 0)],
  ['a PUBREL for a packet identifier that was not found', BOTH, '62 03 000a 92', ack('pubrel', 10, 0x92)],
  [
    'a PUBREL with a Reason String and a User Property',
    BOTH,
    '62 10 ffff 92 0c 1f 0002 "no" 26 0001 "k" 0001 "v"',
    ack('pubrel', 65_535, 0x92, { reasonString: 'no', userProperties: KV }),
  ],
  ['a PUBREL with an empty list of properties', BOTH, '62 04 0001 92 00', ack('pubrel', 1, 0x92), OTHER],
  ['a PUBCOMP without a reason code, which is success', BOTH, '70 02 0001', ack('pubcomp', 1, 0)],
  ['a PUBCOMP for a packet identifier that was not found', BOTH, '70 03 000a 92', ack('pubcomp', 10, 0x92)],
  [
    'a PUBCOMP with an empty Reason String',
    BOTH,
    '70 07 ffff 00 03 1f 0000',
    ack('pubcomp', 65_535, 0, { reasonString: '' }),
  ],
]

const SUBSCRIPTIONS: readonly FixtureRow[] = [
  [
    'a SUBSCRIBE with the two filters of figure 3-21',
    CLIENT,
    '82 0f 000a 00 0003 "a/b" 01 0003 "c/d" 02',
    {
      type: 'subscribe',
      packetId: 10,
      subscriptions: [
        { filter: 'a/b', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 },
        { filter: 'c/d', qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 },
      ],
      ...NOTHING,
    },
  ],
  [
    'a SUBSCRIBE with a Subscription Identifier, a User Property and every subscription option',
    CLIENT,
    '82 17 0001 0a 0b 8001 26 0001 "k" 0001 "v" 0001 "#" 2e 0003 "a/+" 10',
    {
      type: 'subscribe',
      packetId: 1,
      subscriptions: [
        { filter: '#', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 },
        { filter: 'a/+', qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 1 },
      ],
      properties: { subscriptionIdentifiers: [128], userProperties: KV },
    },
  ],
  [
    'a SUBSCRIBE with a shared subscription',
    CLIENT,
    '82 10 ffff 00 000a "$share/g/a" 09',
    {
      type: 'subscribe',
      packetId: 65_535,
      subscriptions: [
        { filter: '$share/g/a', qos: 1, noLocal: false, retainAsPublished: true, retainHandling: 0 },
      ],
      ...NOTHING,
    },
  ],
  [
    'a SUBACK that grants QoS 0',
    SERVER,
    '90 04 0001 00 00',
    { type: 'suback', packetId: 1, reasonCodes: [0], ...NOTHING },
  ],
  [
    'a SUBACK that grants two filters and refuses one',
    SERVER,
    '90 06 000a 00 01 02 80',
    { type: 'suback', packetId: 10, reasonCodes: [1, 2, 0x80], ...NOTHING },
  ],
  [
    'a SUBACK with all its properties and all reason codes of refusal',
    SERVER,
    '90 17 ffff 0c 1f 0002 "no" 26 0001 "k" 0001 "v" 83 87 8f 91 97 9e a1 a2',
    {
      type: 'suback',
      packetId: 65_535,
      reasonCodes: [0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
      properties: { reasonString: 'no', userProperties: KV },
    },
  ],
  [
    'an UNSUBSCRIBE with the two filters of figure 3-28',
    CLIENT,
    'a2 0d 000a 00 0003 "a/b" 0003 "c/d"',
    { type: 'unsubscribe', packetId: 10, filters: ['a/b', 'c/d'], ...NOTHING },
  ],
  [
    'an UNSUBSCRIBE with a User Property',
    CLIENT,
    'a2 0d 0001 07 26 0001 "k" 0001 "v" 0001 "#"',
    { type: 'unsubscribe', packetId: 1, filters: ['#'], properties: { userProperties: KV } },
  ],
  [
    'an UNSUBSCRIBE whose filter is longer in bytes than in characters',
    CLIENT,
    'a2 0b ffff 00 0006 "+/a/" c3a9',
    { type: 'unsubscribe', packetId: 65_535, filters: ['+/a/é'], ...NOTHING },
  ],
  [
    'an UNSUBACK for one filter',
    SERVER,
    'b0 04 000a 00 00',
    { type: 'unsuback', packetId: 10, reasonCodes: [0], ...NOTHING },
  ],
  [
    'an UNSUBACK for two filters, of which one was not subscribed to',
    SERVER,
    'b0 05 0001 00 00 11',
    { type: 'unsuback', packetId: 1, reasonCodes: [0, 0x11], ...NOTHING },
  ],
  [
    'an UNSUBACK with a Reason String and all reason codes of refusal',
    SERVER,
    'b0 0d ffff 05 1f 0002 "no" 80 83 87 8f 91',
    {
      type: 'unsuback',
      packetId: 65_535,
      reasonCodes: [0x80, 0x83, 0x87, 0x8f, 0x91],
      properties: { reasonString: 'no' },
    },
  ],
]

const THE_REST: readonly FixtureRow[] = [
  ['a PINGREQ', CLIENT, 'c0 00', { type: 'pingreq' }],
  ['a PINGRESP', SERVER, 'd0 00', { type: 'pingresp' }],
  [
    'a DISCONNECT without a reason code, which is a normal disconnection',
    BOTH,
    'e0 00',
    { type: 'disconnect', reasonCode: 0, ...NOTHING },
  ],
  [
    'a DISCONNECT that asks for the will',
    CLIENT,
    'e0 01 04',
    { type: 'disconnect', reasonCode: 0x04, ...NOTHING },
  ],
  [
    'a DISCONNECT that changes the Session Expiry Interval',
    CLIENT,
    'e0 07 00 05 11 00000e10',
    { type: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 3_600 } },
  ],
  [
    'a DISCONNECT of a server that moved',
    SERVER,
    'e0 13 9d 11 1c 0001 "s" 1f 0003 "bye" 26 0001 "k" 0001 "v"',
    {
      type: 'disconnect',
      reasonCode: 0x9d,
      properties: { serverReference: 's', reasonString: 'bye', userProperties: KV },
    },
  ],
  [
    'a DISCONNECT that spells the normal disconnection out',
    BOTH,
    'e0 02 00 00',
    { type: 'disconnect', reasonCode: 0, ...NOTHING },
    OTHER,
  ],
  [
    'an AUTH without a reason code, which is success',
    BOTH,
    'f0 00',
    { type: 'auth', reasonCode: 0, ...NOTHING },
  ],
  [
    'an AUTH that begins a re-authentication',
    BOTH,
    'f0 09 19 07 15 0004 "KRB5"',
    { type: 'auth', reasonCode: 0x19, properties: { authenticationMethod: 'KRB5' } },
  ],
  [
    'an AUTH with all its properties',
    BOTH,
    'f0 17 18 15 15 0001 "m" 16 0002 0102 1f 0002 "hi" 26 0001 "k" 0001 "v"',
    {
      type: 'auth',
      reasonCode: 0x18,
      properties: {
        authenticationMethod: 'm',
        authenticationData: hex('0102'),
        reasonString: 'hi',
        userProperties: KV,
      },
    },
  ],
  [
    'an AUTH that spells success out',
    BOTH,
    'f0 02 00 00',
    { type: 'auth', reasonCode: 0, ...NOTHING },
    OTHER,
  ],
]

export const FIXTURES_5: readonly Fixture[] = fixtures('5', [
  ...CONNECT,
  ...CONNACK,
  ...PUBLISH,
  ...ACKS,
  ...SUBSCRIPTIONS,
  ...THE_REST,
])

// Every rule is broken once at least, in each version that has it, and the broker complains of exactly that.
import { describe, expect, it } from 'vitest'
import type { ProtocolVersion, Properties } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import { RULES, type RuleName } from './complaints.ts'
import type { BrokerOptions } from './options.ts'
import { publishOf, RawClient } from './raw-client.ts'

const provoked = new Set<RuleName>()

interface Case {
  readonly rule: RuleName
  readonly does: string
  readonly versions?: readonly ProtocolVersion[]
  readonly options?: BrokerOptions
  /** The client is connected already, unless `raw`. */
  readonly raw?: boolean
  readonly act: (client: RawClient, broker: Broker, again: () => RawClient) => void
  /** Code of DISCONNECT or CONNACK in 5; undefined: the connection goes on. */
  readonly closes?: number
  /** The stream is ended without a packet, in 5 too. */
  readonly silently?: boolean
}

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)
const text = (value: string): number[] => [0, value.length, ...new TextEncoder().encode(value)]
/** A body with its fixed header. */
const packet = (header: number, ...body: readonly number[]): Uint8Array => bytes(header, body.length, ...body)
const qos1 = { qos: 1, packetId: 1 } as const
const qos2 = { qos: 2, packetId: 1 } as const
const auth = (reasonCode: number, properties?: Properties) =>
  ({ type: 'auth', reasonCode, properties }) as const
const authenticated = { authenticationMethod: 'M' }
const authentication = { method: 'M', challenges: [bytes(1)] }
const only5 = ['5'] as const
const only311 = ['3.1.1'] as const

const withoutPuback = (broker: Broker): unknown => broker.faults.onSend('puback').withhold()
const withoutPubrec = (broker: Broker): unknown => broker.faults.onSend('pubrec').withhold()

const CASES: readonly Case[] = [
  {
    rule: 'connect-first',
    does: 'PINGREQ first',
    raw: true,
    closes: 0,
    silently: true,
    act: (c) => c.send({ type: 'pingreq' }),
  },
  { rule: 'connect-once', does: 'CONNECT twice', closes: 0x82, act: (c) => c.connect() },
  {
    rule: 'protocol-version',
    does: 'level 3',
    raw: true,
    closes: 0,
    silently: true,
    act: (c) => c.send(packet(0x10, ...text('MQTT'), 3, 2, 0, 0, ...text('a'))),
  },
  {
    rule: 'client-id',
    does: 'no id with CleanSession 0',
    versions: only311,
    raw: true,
    closes: 0,
    act: (c) => c.connect({ clientId: '', cleanStart: false }),
  },
  {
    rule: 'password-without-username',
    does: 'a password alone',
    versions: only311,
    raw: true,
    closes: 0,
    act: (c) => c.connect({ password: bytes(1) }),
  },
  {
    rule: 'will-flags',
    does: 'will retain without a will',
    raw: true,
    closes: 0x81,
    act: (c) => c.send(connectBytes(c.version, 0x22)),
  },
  {
    rule: 'will-qos',
    does: 'a will of QoS 3',
    raw: true,
    closes: 0x81,
    act: (c) => c.send(connectBytes(c.version, 0x1e)),
  },
  {
    rule: 'will-topic',
    does: 'a will to a/#',
    raw: true,
    closes: 0x90,
    act: (c) => c.connect({ will: publishOf('a/#') }),
  },
  {
    rule: 'connect-flags',
    does: 'the reserved flag',
    raw: true,
    closes: 0x81,
    act: (c) => c.send(connectBytes(c.version, 0x03)),
  },
  { rule: 'malformed', does: 'PUBACK of one byte', closes: 0x81, act: (c) => c.send(packet(0x40, 0)) },
  { rule: 'malformed', does: 'PINGREQ of three bytes', closes: 0x81, act: (c) => c.send(packet(0xc0, 0)) },
  {
    rule: 'wrong-side',
    does: 'SUBACK',
    closes: 0x82,
    act: (c) => c.send({ type: 'suback', packetId: 1, reasonCodes: [0] }),
  },
  {
    rule: 'wrong-side',
    does: 'AUTH in 3.1.1',
    versions: only311,
    closes: 0,
    act: (c) => c.send(bytes(0xf0, 0)),
  },
  { rule: 'flags', does: 'PUBREL with 0000', closes: 0x81, act: (c) => c.send(packet(0x60, 0, 1)) },
  {
    rule: 'utf8',
    does: 'a surrogate in a topic',
    closes: 0x81,
    act: (c) => c.send(packet(0x30, 0, 3, 0xed, 0xa0, 0x80, 0)),
  },
  {
    rule: 'nul-character',
    does: 'U+0000 in a topic',
    closes: 0x81,
    act: (c) => c.send(packet(0x30, 0, 1, 0, 0)),
  },
  {
    rule: 'length-form',
    does: 'a Remaining Length of five bytes',
    closes: 0x81,
    act: (c) => c.send(bytes(0xc0, 0x80, 0x80, 0x80, 0x80, 1)),
  },
  {
    rule: 'length-form',
    does: 'a Remaining Length that is too long',
    versions: only5,
    closes: 0x81,
    act: (c) => c.send(bytes(0xc0, 0x80, 0)),
  },
  {
    rule: 'property',
    does: 'a property of CONNACK in PUBLISH',
    versions: only5,
    closes: 0x81,
    act: (c) => c.publish('a', { properties: { serverKeepAlive: 1 } }),
  },
  {
    rule: 'reason-code',
    does: 'PUBACK 0x01',
    versions: only5,
    closes: 0x82,
    act: (c) => c.acknowledge('puback', 1, 1),
  },
  {
    rule: 'response-topic',
    does: 'a Response Topic with #',
    versions: only5,
    closes: 0x82,
    act: (c) => c.publish('a', { properties: { responseTopic: '#' } }),
  },
  {
    rule: 'packet-id-zero',
    does: 'PUBLISH of QoS 1 with id 0',
    closes: 0x81,
    act: (c) => c.publish('a', { qos: 1 }),
  },
  { rule: 'packet-id-zero', does: 'SUBSCRIBE with id 0', closes: 0x81, act: (c) => c.subscribe(0, 'a') },
  {
    rule: 'packet-id-in-use',
    does: 'another message with an open id',
    closes: 0x82,
    act: (c, b) => [withoutPuback(b), c.publish('a', qos1), c.publish('b', qos1)],
  },
  {
    rule: 'packet-id-in-use',
    does: 'SUBSCRIBE with the id of a PUBLISH',
    closes: 0x82,
    act: (c) => [c.publish('a', qos2), c.subscribe(1, 'a')],
  },
  {
    rule: 'packet-id-in-use',
    does: 'PUBLISH with the id of a SUBSCRIBE',
    closes: 0x82,
    act: (c, b) => [b.faults.onSend('suback').withhold(), c.subscribe(1, 'a'), c.publish('a', qos1)],
  },
  {
    rule: 'packet-id-in-use',
    does: 'UNSUBSCRIBE with the id of a SUBSCRIBE',
    closes: 0x82,
    act: (c, b) => [
      b.faults.onSend('suback').withhold(),
      c.subscribe(1, 'a'),
      c.send({ type: 'unsubscribe', packetId: 1, filters: ['a'] }),
    ],
  },
  { rule: 'qos-3', does: 'QoS 3', closes: 0x81, act: (c) => c.send(packet(0x36, ...text('a'), 0, 1, 0)) },
  { rule: 'dup-at-qos-0', does: 'DUP at QoS 0', closes: 0x81, act: (c) => c.publish('a', { dup: true }) },
  {
    rule: 'dup-on-first-sending',
    does: 'DUP in a new session',
    act: (c) => c.publish('a', { ...qos1, dup: true }),
  },
  {
    rule: 'dup-on-first-sending',
    does: 'DUP with an id that was acknowledged here',
    act: (c) => [c.publish('a', qos1), c.publish('a', { ...qos1, dup: true })],
  },
  {
    rule: 'dup-on-first-sending',
    does: 'the same in a resumed session',
    act: (c, _broker, again) => [c.end(), publishTwice(again())],
  },
  {
    rule: 'no-dup-on-resend',
    does: 'DUP 0 at resume',
    act: (c, b, again) => [withoutPuback(b), c.publish('a', qos1), c.end(), again().publish('a', qos1)],
  },
  {
    rule: 'resend-differs',
    does: 'another topic at resume',
    act: (c, b, again) => [
      withoutPuback(b),
      c.publish('a', qos1),
      c.end(),
      again().publish('b', { ...qos1, dup: true }),
    ],
  },
  {
    rule: 'resend-on-living-connection',
    does: 'PUBLISH again',
    act: (c, b) => [withoutPuback(b), c.publish('a', qos1), c.publish('a', { ...qos1, dup: true })],
  },
  {
    rule: 'resend-on-living-connection',
    does: 'PUBREL again',
    act: (c, b) => [
      b.faults.onSend('pubcomp').withhold(),
      c.publish('a', qos2),
      c.acknowledge('pubrel', 1),
      c.acknowledge('pubrel', 1),
    ],
  },
  {
    rule: 'publish-after-pubrec',
    does: 'PUBLISH after PUBREC',
    act: (c) => [c.publish('a', qos2), c.publish('a', { ...qos2, dup: true })],
  },
  {
    rule: 'publish-after-pubrec',
    does: 'PUBLISH at resume after PUBREL',
    act: (c, b, again) => [
      b.faults.onSend('pubcomp').withhold(),
      c.publish('a', qos2),
      c.acknowledge('pubrel', 1),
      c.end(),
      again().publish('a', { ...qos2, dup: true }),
    ],
  },
  { rule: 'pubrel-without-pubrec', does: 'PUBREL for nothing', act: (c) => c.acknowledge('pubrel', 7) },
  {
    rule: 'pubrel-without-pubrec',
    does: 'PUBREL before PUBREC',
    act: (c, b) => [withoutPubrec(b), c.publish('a', qos2), c.acknowledge('pubrel', 1)],
  },
  {
    rule: 'pubrel-without-pubrec',
    does: 'PUBREL after PUBCOMP',
    act: (c) => [c.publish('a', qos2), c.acknowledge('pubrel', 1), c.acknowledge('pubrel', 1)],
  },
  {
    rule: 'resend-order',
    does: 'a later one first',
    act: (c, b, again) => [
      withoutPuback(b),
      c.publish('a', qos1),
      c.publish('b', { qos: 1, packetId: 2 }),
      c.end(),
      resendInWrongOrder(again()),
    ],
  },
  {
    rule: 'resend-order',
    does: 'a new one first',
    act: (c, b, again) => [withoutPuback(b), c.publish('a', qos1), c.end(), newMessageFirst(again())],
  },
  {
    rule: 'puback-order',
    does: 'PUBACK 2 before 1',
    act: (c, b) => [receiveTwo(c, b, 1), c.acknowledge('puback', 2), c.acknowledge('puback', 1)],
  },
  {
    rule: 'pubrec-order',
    does: 'PUBREC 2 before 1',
    act: (c, b) => [
      receiveTwo(c, b, 2),
      c.acknowledge('pubrec', 2),
      c.acknowledge('pubrec', 1),
      c.acknowledge('pubcomp', 1),
      c.acknowledge('pubcomp', 2),
    ],
  },
  {
    rule: 'pubrel-order',
    does: 'PUBREL 2 before 1',
    act: (c) => [
      c.publish('a', qos2),
      c.publish('b', { qos: 2, packetId: 2 }),
      c.acknowledge('pubrel', 2),
      c.acknowledge('pubrel', 1),
    ],
  },
  {
    rule: 'pubrel-order',
    does: 'the same at resume',
    act: (c, _broker, again) => [
      c.publish('a', qos2),
      c.publish('b', { qos: 2, packetId: 2 }),
      c.end(),
      releaseInWrongOrder(again()),
    ],
  },
  { rule: 'unknown-acknowledgement', does: 'PUBACK for nothing', act: (c) => c.acknowledge('puback', 9) },
  { rule: 'unknown-acknowledgement', does: 'PUBCOMP for nothing', act: (c) => c.acknowledge('pubcomp', 9) },
  {
    rule: 'unknown-acknowledgement',
    does: 'PUBACK twice',
    act: (c, b) => [
      receiveTwo(c, b, 1),
      c.acknowledge('puback', 1),
      c.acknowledge('puback', 2),
      c.acknowledge('puback', 2),
    ],
  },
  {
    rule: 'wrong-acknowledgement',
    does: 'PUBACK at QoS 2',
    closes: 0x82,
    act: (c, b) => [receiveTwo(c, b, 2), c.acknowledge('puback', 1)],
  },
  {
    rule: 'wrong-acknowledgement',
    does: 'PUBREC at QoS 1',
    closes: 0x82,
    act: (c, b) => [receiveTwo(c, b, 1), c.acknowledge('pubrec', 1)],
  },
  {
    rule: 'unacknowledged',
    does: 'no PUBACK',
    act: (c, b) => [c.subscribe(1, 'a'), b.publish({ topic: 'a', qos: 1 }), c.take()],
  },
  { rule: 'unreleased', does: 'no PUBREL', act: (c) => c.publish('a', qos2) },
  {
    rule: 'not-resent',
    does: 'nothing at resume',
    act: (c, b, again) => [withoutPuback(b), c.publish('a', qos1), c.end(), again()],
  },
  {
    rule: 'receive-maximum',
    does: 'three of two',
    versions: only5,
    options: { receiveMaximum: 2 },
    closes: 0x93,
    act: (c, b) => [
      withoutPuback(b),
      c.publish('a', qos1),
      c.publish('a', { qos: 2, packetId: 2 }),
      c.publish('a', { qos: 2, packetId: 3 }),
    ],
  },
  {
    rule: 'maximum-packet-size',
    does: 'PUBLISH of 33 bytes',
    options: { maximumPacketSize: 32 },
    closes: 0x95,
    act: (c) => c.publish('a', { payload: new Uint8Array(c.version === '5' ? 27 : 28) }),
  },
  {
    rule: 'maximum-qos',
    does: 'QoS 2 of 1',
    versions: only5,
    options: { maximumQoS: 1 },
    closes: 0x9b,
    act: (c) => c.publish('a', qos2),
  },
  {
    rule: 'retain-unavailable',
    does: 'RETAIN 1',
    versions: only5,
    options: { retainAvailable: false },
    closes: 0x9a,
    act: (c) => c.publish('a', { retain: true }),
  },
  {
    rule: 'topic-alias',
    does: 'alias 3 of 2',
    versions: only5,
    options: { topicAliasMaximum: 2 },
    closes: 0x94,
    act: (c) => c.publish('a', { properties: { topicAlias: 3 } }),
  },
  {
    rule: 'topic-alias',
    does: 'an alias where none is allowed',
    versions: only5,
    closes: 0x94,
    act: (c) => c.publish('a', { properties: { topicAlias: 1 } }),
  },
  {
    rule: 'topic-alias-zero',
    does: 'alias 0',
    versions: only5,
    options: { topicAliasMaximum: 2 },
    closes: 0x94,
    act: (c) => c.publish('a', { properties: { topicAlias: 0 } }),
  },
  {
    rule: 'topic-alias-unknown',
    does: 'no topic, alias never set',
    versions: only5,
    options: { topicAliasMaximum: 2 },
    closes: 0x82,
    act: (c) => c.publish('', { properties: { topicAlias: 1 } }),
  },
  { rule: 'topic-name', does: 'PUBLISH to a/+', closes: 0x82, act: (c) => c.publish('a/+') },
  { rule: 'topic-name', does: 'PUBLISH to property/+', closes: 0x82, act: (c) => c.publish('property/+') },
  {
    rule: 'topic-name',
    does: 'PUBLISH to words of other rules',
    closes: 0x82,
    act: (c) => c.publish('Response Topic\n"U+0000"/+'),
  },
  { rule: 'empty-topic', does: 'PUBLISH to nothing', closes: 0x82, act: (c) => c.publish('') },
  { rule: 'topic-filter', does: 'SUBSCRIBE to a#', closes: 0x8f, act: (c) => c.subscribe(1, 'a#') },
  {
    rule: 'topic-filter',
    does: 'UNSUBSCRIBE from a+',
    closes: 0x8f,
    act: (c) => c.send({ type: 'unsubscribe', packetId: 1, filters: ['a+'] }),
  },
  {
    rule: 'shared-filter',
    does: '$share without a name',
    closes: 0x8f,
    act: (c) => c.subscribe(1, '$share//a'),
  },
  {
    rule: 'no-local-on-shared',
    does: 'No Local on $share',
    versions: only5,
    closes: 0x82,
    act: (c) => c.subscribe(1, '$share/g/a', { noLocal: true }),
  },
  {
    rule: 'no-filter',
    does: 'SUBSCRIBE to nothing',
    closes: 0x82,
    act: (c) => c.send({ type: 'subscribe', packetId: 1, subscriptions: [] }),
  },
  {
    rule: 'no-filter-to-unsubscribe',
    does: 'UNSUBSCRIBE from nothing',
    closes: 0x82,
    act: (c) => c.send({ type: 'unsubscribe', packetId: 1, filters: [] }),
  },
  {
    rule: 'subscription-options',
    does: 'a reserved bit',
    closes: 0x81,
    act: (c) => c.send(packet(0x82, 0, 1, ...(c.version === '5' ? [0] : []), ...text('a'), 0x40)),
  },
  {
    rule: 'subscription-identifier',
    does: 'one in PUBLISH',
    versions: only5,
    closes: 0x82,
    act: (c) => c.publish('a', { properties: { subscriptionIdentifiers: [1] } }),
  },
  {
    rule: 'wildcard-unavailable',
    does: 'SUBSCRIBE to a/#',
    versions: only5,
    options: { wildcardSubscriptionAvailable: false },
    closes: 0xa2,
    act: (c) => c.subscribe(1, 'a/#'),
  },
  {
    rule: 'identifiers-unavailable',
    does: 'an identifier',
    versions: only5,
    options: { subscriptionIdentifiersAvailable: false },
    closes: 0xa1,
    act: (c) => c.subscribe(1, 'a', {}, 1),
  },
  {
    rule: 'shared-unavailable',
    does: '$share',
    versions: only5,
    options: { sharedSubscriptionAvailable: false },
    closes: 0x9e,
    act: (c) => c.subscribe(1, '$share/g/a'),
  },
  {
    rule: 'after-disconnect',
    does: 'PINGREQ after DISCONNECT',
    closes: 0,
    silently: true,
    act: (c) => [c.disconnect(), c.send({ type: 'pingreq' })],
  },
  {
    rule: 'after-disconnect',
    does: 'PINGREQ in the same chunk',
    closes: 0,
    silently: true,
    act: (c) => c.send(bytes(0xe0, 0, 0xc0, 0)),
  },
  {
    rule: 'disconnect-code',
    does: 'DISCONNECT 0x8B',
    versions: only5,
    closes: 0x82,
    act: (c) => c.disconnect(0x8b),
  },
  {
    rule: 'disconnect-properties',
    does: 'a Server Reference',
    versions: only5,
    closes: 0x82,
    act: (c) => c.send({ type: 'disconnect', reasonCode: 0, properties: { serverReference: 'x' } }),
  },
  {
    rule: 'session-expiry',
    does: 'from 0 to 9',
    versions: only5,
    raw: true,
    closes: 0x82,
    act: (c) => [
      c.connect(),
      c.send({ type: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 9 } }),
    ],
  },
  {
    rule: 'keep-alive',
    does: 'silence',
    raw: true,
    closes: 0x8d,
    act: (c, b) => [
      c.connect({ keepAlive: 10 }),
      b.handleTimeout(14_999),
      expect(b.complaints).toEqual([]),
      b.handleTimeout(15_000),
    ],
  },
  {
    rule: 'during-authentication',
    does: 'PUBLISH between',
    versions: only5,
    raw: true,
    options: { authentication },
    closes: 0x82,
    act: (c) => [c.connect({ properties: authenticated }), c.publish('a')],
  },
  {
    rule: 'auth-without-method',
    does: 'AUTH',
    versions: only5,
    closes: 0x82,
    act: (c) => c.send(auth(0x19, authenticated)),
  },
  {
    rule: 'auth-without-method',
    does: 'data without a method',
    versions: only5,
    raw: true,
    closes: 0x82,
    act: (c) => c.connect({ properties: { authenticationData: bytes(1) } }),
  },
  {
    rule: 'auth-method',
    does: 'another method',
    versions: only5,
    raw: true,
    options: { authentication },
    closes: 0x82,
    act: (c) => [c.connect({ properties: authenticated }), c.send(auth(0x18, { authenticationMethod: 'N' }))],
  },
  {
    rule: 'auth-code',
    does: 'AUTH 0x00',
    versions: only5,
    raw: true,
    options: { authentication },
    closes: 0x82,
    act: (c) => [c.connect({ properties: authenticated }), c.send(auth(0, authenticated))],
  },
  {
    rule: 'reauthentication-code',
    does: 'AUTH 0x18 unasked',
    versions: only5,
    raw: true,
    options: { authentication: { ...authentication, challenges: [] } },
    closes: 0x82,
    act: (c) => [c.connect({ properties: authenticated }), c.send(auth(0x18, authenticated))],
  },
]

/** A CONNECT with these flags, and enough behind it for a will. */
function connectBytes(version: ProtocolVersion, flags: number): Uint8Array {
  const properties = version === '5' ? [0] : []
  const level = version === '5' ? 5 : 4
  return packet(
    0x10,
    ...text('MQTT'),
    level,
    flags,
    0,
    0,
    ...properties,
    ...text('a'),
    ...properties,
    ...text('w'),
    0,
    0,
  )
}

function publishTwice(client: RawClient): void {
  client.publish('a', qos1)
  client.publish('a', { ...qos1, dup: true })
}

function resendInWrongOrder(client: RawClient): void {
  client.publish('b', { qos: 1, packetId: 2, dup: true })
  client.publish('a', { ...qos1, dup: true })
}

function newMessageFirst(client: RawClient): void {
  client.publish('c', { qos: 1, packetId: 2 })
  client.publish('a', { ...qos1, dup: true })
}

function releaseInWrongOrder(client: RawClient): void {
  client.acknowledge('pubrel', 2)
  client.acknowledge('pubrel', 1)
}

function receiveTwo(client: RawClient, broker: Broker, qos: 1 | 2): void {
  client.subscribe(1, 'a')
  broker.publish({ topic: 'a', qos })
  broker.publish({ topic: 'a', qos })
  client.take()
}

const persistent = { cleanStart: false, properties: { sessionExpiryInterval: 600 } }

/** Does it with a client that has a session; the client of the last connection is returned. */
function run(version: ProtocolVersion, { options, raw, act }: Case, tolerant = false) {
  const broker = new Broker({ ...options, tolerant })
  let client = new RawClient(broker, version)
  const again = (): RawClient => {
    client = new RawClient(broker, version)
    client.connect(persistent)
    return client
  }
  if (raw !== true) client.connect(persistent)
  act(client, broker, again)
  client.take()
  return { client, broker }
}

/** What the cases leave open besides what they are about. */
const DEBTS: readonly RuleName[] = ['unreleased', 'not-resent', 'unacknowledged']

const perVersion = CASES.flatMap((one) =>
  (one.versions ?? (['3.1.1', '5'] as const)).map((version) => ({ version, ...one })),
)

describe('a complaint is made of', () => {
  it.each(perVersion)('$rule in $version: $does', ({ version, ...one }) => {
    const { client, broker } = run(version, one)
    const { state } = client
    const last = client.received.at(-1)
    provoked.add(one.rule)

    broker.finish()
    const told = broker.complaints.filter(({ rule }) => rule === one.rule || !DEBTS.includes(rule))
    expect(told.map(({ rule }) => rule)).toEqual([one.rule])
    const told5 = version === '5' && one.silently !== true
    if (told5) expect(told[0]?.statement).toBe(`[5 ${RULES[one.rule][1]}]`)
    if (version === '3.1.1') expect(told[0]?.statement).toBe(`[3.1.1 ${RULES[one.rule][0]}]`)

    expect(state).toBe(one.closes === undefined ? 'open' : 'ended')
    if (one.closes === undefined || !told5) return
    expect(last).toMatchObject({ reasonCode: one.closes })
    expect(['connack', 'disconnect']).toContain(last?.type)
  })

  it('no other rule is there', () => {
    expect(Object.keys(RULES).filter((rule) => !provoked.has(rule as RuleName))).toEqual([])
  })

  it('a connection, a client and words', () => {
    const broker = new Broker()
    const client = new RawClient(broker, '5')
    client.connect({ clientId: 'a' })
    client.acknowledge('puback', 9)
    expect(broker.complaints).toEqual([
      {
        connection: 1,
        clientId: 'a',
        rule: 'unknown-acknowledgement',
        text: 'PUBACK came for the id 9, which does not wait for it',
        statement: '[5 MQTT-2.2.1-5]',
      },
    ])
  })
})

describe('no complaint is made', () => {
  const dup = { ...qos1, dup: true }

  function resumed(broker: Broker): RawClient {
    const client = new RawClient(broker, '5')
    client.connect(persistent)
    return client
  }

  it('of a client that was told of no session, and so begins anew', () => {
    const broker = new Broker()
    withoutPuback(broker)
    broker.faults
      .onSend('connack', { nth: 2 })
      .replaceBy({ type: 'connack', sessionPresent: false, reasonCode: 0 })
    const client = resumed(broker)
    client.publish('a', qos1)
    client.end()
    broker.faults.onSend('puback').withhold()
    resumed(broker).publish('b', qos1)
    expect(broker.finish()).toEqual([])
  })

  it('of a client that never got its CONNACK', () => {
    const broker = new Broker()
    withoutPuback(broker)
    broker.faults.onSend('connack', { nth: 2 }).withhold()
    const client = resumed(broker)
    client.publish('a', qos1)
    client.end()
    resumed(broker)
    expect(broker.finish()).toEqual([])
  })

  it('of one PUBREL for two PUBRECs', () => {
    const broker = new Broker()
    broker.faults.onSend('pubrec', { nth: 1 }).duplicate()
    const client = resumed(broker)
    client.publish('a', qos2)
    client.publish('b', { qos: 2, packetId: 2 })
    client.acknowledge('pubrel', 1)
    client.acknowledge('pubrel', 2)
    expect(broker.finish()).toEqual([])
  })

  it('of an id that was lost on its way after it had been acknowledged, but of what comes too late after it', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { where: ({ packetId }) => packetId > 1 }).withhold()
    const client = resumed(broker)
    for (const packetId of [1, 2, 3]) client.publish('a', { qos: 1, packetId })
    client.end()
    const after = resumed(broker)
    after.publish('a', { ...dup, packetId: 3 })
    after.publish('a', dup)
    expect(broker.complaints).toEqual([])
    after.publish('a', { ...dup, packetId: 2 })
    expect(broker.complaints.map(({ rule }) => rule)).toEqual(['resend-order'])
  })

  it('twice of a refused message whose PUBREC was lost: it is refused again', () => {
    const broker = new Broker({ authorizePublish: () => 0x87 })
    broker.faults.onSend('pubrec', { nth: 1 }).withhold()
    const client = resumed(broker)
    client.publish('a', qos2)
    client.end()
    const answer = resumed(broker).publish('a', { ...qos2, dup: true })
    expect(answer).toMatchObject([{ type: 'pubrec', reasonCode: 0x87 }])
    expect(broker.finish()).toEqual([])
  })
})

describe('a tolerant broker', () => {
  const canGoOn = perVersion.filter(
    ({ rule, raw, silently }) =>
      raw !== true &&
      silently !== true &&
      !/^(?:length-form|maximum-packet-size|disconnect-|session-expiry)/.test(rule),
  )

  it.each(canGoOn)('goes on after $rule in $version: $does', ({ version, ...one }) => {
    const { client, broker } = run(version, one, true)
    expect(client.state).toBe('open')
    broker.finish()
    expect(broker.complaints.map(({ rule }) => rule)).toContain(one.rule)
    expect(client.send({ type: 'pingreq' })).toEqual([{ type: 'pingresp' }])
  })
  it.each([
    ['a CONNECT that is no packet', connectBytes('5', 0x03)],
    ['bytes that are no packet', bytes(0xc0, 0x80, 0x80, 0x80, 0x80, 1)],
  ])('ends after %s all the same', (_, content) => {
    const client = new RawClient(new Broker({ tolerant: true }), '5')
    client.send(content)
    expect(client.state).toBe('ended')
  })
})

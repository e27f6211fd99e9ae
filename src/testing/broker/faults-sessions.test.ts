// What the fault script does to a client's session: the broker's and the client's part in it must stay true.
import { describe, expect, it } from 'vitest'
import type { ConnectPacket, ControlPacket } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import type { Faults } from './faults.ts'
import { publishOf, RawClient } from './raw-client.ts'

const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)
const typesOf = (packets: readonly ControlPacket[]): string[] => packets.map(({ type }) => type)
const rulesOf = (broker: Broker): string[] => broker.finish().map(({ rule }) => rule)

const lasting = { cleanStart: false, properties: { sessionExpiryInterval: 600 } }

function connected(broker: Broker, clientId = 'a', packet: Partial<ConnectPacket> = lasting): RawClient {
  const client = new RawClient(broker, '5')
  client.connect({ clientId, ...packet })
  return client
}

describe('a CONNACK that a rule turns into a refusal', () => {
  const refusal = { type: 'connack', sessionPresent: false, reasonCode: 0x88 } as const
  const ways: readonly (readonly [string, (faults: Faults, nth: number) => { readonly fitted: number }])[] = [
    ['withReasonCode', (faults, nth) => faults.onSend('connack', { nth }).withReasonCode(0x88)],
    ['replaceBy a packet', (faults, nth) => faults.onSend('connack', { nth }).replaceBy(refusal)],
    ['replaceBy a function', (faults, nth) => faults.onSend('connack', { nth }).replaceBy(() => [refusal])],
    [
      'replaceBy bytes',
      (faults, nth) => faults.onSend('connack', { nth }).replaceBy(bytes(0x20, 3, 0, 0x88, 0)),
    ],
  ]

  it.each(ways)('by %s begins, ends and takes over nothing', (_, refuse) => {
    const topics: string[] = []
    const broker = new Broker({ onMessage: ({ topic }) => topics.push(topic) })
    const rule = refuse(broker.faults, 2)
    const first = connected(broker)
    first.subscribe(1, 't')
    const session = broker.sessions.get('a')
    const second = new RawClient(broker, '5')
    const connect = { clientId: 'a', cleanStart: true, keepAlive: 1, will: publishOf('will') }
    expect(second.connect(connect)).toMatchObject([{ type: 'connack', reasonCode: 0x88 }])
    expect(rule.fitted).toBe(2)
    expect(broker.connectionOf('a')).toBe(first.connection)
    expect(broker.sessions.get('a')).toBe(session)
    second.end()
    second.take()
    expect(second.state).toBe('ended')
    broker.publish({ topic: 't' })
    expect(typesOf(first.take())).toEqual(['publish'])
    expect(topics).toEqual(['t'])
    expect(broker.finish()).toEqual([])
  })

  it.each(ways)('by %s makes no session', (_, refuse) => {
    const broker = new Broker()
    refuse(broker.faults, 1)
    connected(broker)
    expect(broker.sessions.size).toBe(0)
  })

  it('leaves what waits and what is open for the next connection', () => {
    const broker = new Broker()
    broker.faults.onSend('puback').withhold()
    broker.faults.onSend('connack', { nth: 2 }).withReasonCode(0x88)
    const first = connected(broker)
    first.subscribe(1, 't')
    first.publish('x', { qos: 1, packetId: 1 })
    first.end()
    broker.publish({ topic: 't', qos: 1 })
    expect(connected(broker).received).toHaveLength(1)
    expect(connected(broker).received).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'publish', dup: false },
    ])
    expect(rulesOf(broker)).toEqual(['not-resent', 'unacknowledged'])
  })

  it('is followed by nothing: what comes then is not looked at, nor silence', () => {
    const topics: string[] = []
    const broker = new Broker({ onMessage: ({ topic }) => topics.push(topic) })
    broker.faults.onSend('connack').withReasonCode(0x88)
    const client = connected(broker, 'a', { keepAlive: 1 })
    expect(client.publish('t', { qos: 1, packetId: 1 })).toEqual([])
    expect(broker.nextDeadline()).toBe(Infinity)
    broker.handleTimeout(10_000)
    expect(client.state).toBe('open')
    expect(topics).toEqual([])
    expect(broker.finish()).toEqual([])
  })

  it('is asked for once', () => {
    const broker = new Broker()
    let asked = 0
    broker.faults.onSend('connack').replaceBy((packet) => {
      asked += 1
      return packet
    })
    connected(broker)
    expect(asked).toBe(1)
  })
})

it('a session that ends with its connection is not present for the one that takes over', () => {
  const broker = new Broker()
  connected(broker, 'a', {})
  expect(connected(broker).received).toMatchObject([{ type: 'connack', sessionPresent: false }])
  expect(connected(broker).received).toMatchObject([{ type: 'connack', sessionPresent: true }])
})

it('a QoS 2 message is handed on once, also when that ends its connection [5 MQTT-4.3.3-10]', () => {
  const topics: string[] = []
  const broker = new Broker({
    onMessage: ({ topic }) => {
      topics.push(topic)
      broker.cutAll()
    },
  })
  connected(broker).publish('t', { qos: 2, packetId: 1 })
  const answer = connected(broker).publish('t', { qos: 2, packetId: 1, dup: true })
  expect(answer).toMatchObject([{ type: 'pubrec', packetId: 1 }])
  expect(topics).toEqual(['t'])
  expect(broker.complaints).toEqual([])
})

it.each(['cutAfter', 'endAfter'] as const)(
  'a PUBREC that was made to refuse ends the exchange also with %s [5 MQTT-4.3.3-9]',
  (ending) => {
    const topics: string[] = []
    const broker = new Broker({ onMessage: ({ topic }) => topics.push(topic) })
    broker.faults.onSend('pubrec', { nth: 1 }).withReasonCode(0x97)[ending]()
    const answer = connected(broker).publish('one', { qos: 2, packetId: 1 })
    expect(answer).toMatchObject([{ type: 'pubrec', reasonCode: 0x97 }])
    const client = connected(broker)
    client.publish('other', { qos: 2, packetId: 1 })
    client.acknowledge('pubrel', 1)
    expect(topics).toEqual(['one', 'other'])
    expect(broker.finish()).toEqual([])
  },
)

describe('what a rule withholds from the broker has been sent all the same:', () => {
  function receiving(broker: Broker, qos: 1 | 2): RawClient {
    const client = connected(broker)
    client.subscribe(9, 't')
    for (let count = 0; count < 2; count++) broker.publish({ topic: 't', qos })
    client.take()
    return client
  }

  it('PUBACK', () => {
    const broker = new Broker()
    broker.faults.onReceive('puback', { nth: 1 }).withhold()
    const client = receiving(broker, 1)
    for (const packetId of [1, 2]) client.acknowledge('puback', packetId)
    expect(broker.finish()).toEqual([])
    expect(broker.openExchanges).toMatchObject([{ packetId: 1, from: 'broker' }])
  })

  it('PUBREC', () => {
    const broker = new Broker()
    broker.faults.onReceive('pubrec', { nth: 1 }).withhold()
    const client = receiving(broker, 2)
    expect(client.acknowledge('pubrec', 1)).toEqual([])
    expect(client.acknowledge('pubrec', 2)).toMatchObject([{ type: 'pubrel', packetId: 2 }])
    client.acknowledge('pubcomp', 2)
    expect(broker.finish()).toEqual([])
  })

  it('PUBCOMP', () => {
    const broker = new Broker()
    broker.faults.onReceive('pubcomp').withhold()
    const client = receiving(broker, 2)
    for (const packetId of [1, 2]) client.acknowledge('pubrec', packetId)
    for (const packetId of [1, 2]) client.acknowledge('pubcomp', packetId)
    expect(broker.finish()).toEqual([])
  })

  it('PUBREL', () => {
    const broker = new Broker()
    broker.faults.onReceive('pubrel', { nth: 1 }).withhold()
    const client = connected(broker)
    for (const packetId of [1, 2]) client.publish('t', { qos: 2, packetId })
    for (const packetId of [1, 2]) client.acknowledge('pubrel', packetId)
    expect(broker.finish()).toEqual([])
  })

  it('PUBLISH, which is sent again in its order', () => {
    const broker = new Broker()
    broker.faults.onReceive('publish', { nth: 1 }).withhold()
    broker.faults.onSend('puback', { nth: 1 }).withhold()
    const client = connected(broker)
    for (const packetId of [1, 2]) client.publish('t', { qos: 1, packetId })
    client.end()
    const after = connected(broker)
    for (const packetId of [1, 2]) after.publish('t', { qos: 1, packetId, dup: true })
    expect(broker.finish()).toEqual([])
    expect(broker.openExchanges).toEqual([])
  })

  it('PUBLISH, with its Topic Alias', () => {
    const topics: string[] = []
    const broker = new Broker({ topicAliasMaximum: 1, onMessage: ({ topic }) => topics.push(topic) })
    broker.faults.onReceive('publish', { nth: 1 }).withhold()
    const client = connected(broker)
    for (const topic of ['t', '']) client.publish(topic, { properties: { topicAlias: 1 } })
    expect(topics).toEqual(['t'])
    expect(broker.finish()).toEqual([])
  })

  it('and what it breaks is complained of', () => {
    const broker = new Broker()
    broker.faults.onReceive('puback').withhold()
    connected(broker).acknowledge('puback', 7)
    expect(rulesOf(broker)).toEqual(['unknown-acknowledgement'])
  })
})

// What CONNECT and CONNACK settle: wills, limits, properties, and how a client is turned away.
import { describe, expect, it } from 'vitest'
import type { Properties } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import { publishOf, RawClient } from './raw-client.ts'

const VERSIONS = ['3.1.1', '5'] as const
const METHOD = { authenticationMethod: 'M' }

function connected(broker: Broker, clientId: string): RawClient {
  const client = new RawClient(broker, '5')
  client.connect({ clientId })
  return client
}

describe('a will', () => {
  it.each([
    ['at once', undefined, 100_000],
    ['after its delay', 5, 105_000],
  ])('expires from when it is published: %s', (_, willDelayInterval, time) => {
    const broker = new Broker()
    const watcher = connected(broker, 'w')
    watcher.subscribe(1, '#')
    const client = new RawClient(broker, '5')
    const will = { ...publishOf('gone'), properties: { messageExpiryInterval: 10, willDelayInterval } }
    client.connect({ clientId: 'a', will, properties: { sessionExpiryInterval: 600 } })
    broker.handleTimeout(100_000)
    client.end()
    broker.handleTimeout(time)
    expect(watcher.take()).toMatchObject([{ topic: 'gone', properties: { messageExpiryInterval: 10 } }])
  })

  it('is published by the client, also when its identifier was assigned', () => {
    const publishers: string[] = []
    const broker = new Broker({ onMessage: ({ publisher }) => publishers.push(publisher) })
    for (const clientId of ['a', '']) {
      const client = new RawClient(broker, '5')
      client.connect({ clientId, will: publishOf('gone') })
      client.end()
    }
    expect(publishers).toEqual(['a', 'assigned-1'])
  })
})

describe('connackProperties', () => {
  it('are told, all of them', () => {
    const connackProperties: Properties = {
      sessionExpiryInterval: 1,
      receiveMaximum: 2,
      maximumQoS: 1,
      retainAvailable: false,
      maximumPacketSize: 300,
      assignedClientIdentifier: 'x',
      topicAliasMaximum: 4,
      reasonString: 'r',
      wildcardSubscriptionAvailable: false,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      serverKeepAlive: 5,
      responseInformation: 'i',
      serverReference: 's',
      authenticationMethod: 'm',
      authenticationData: Uint8Array.of(6),
    }
    const [connack] = new RawClient(new Broker({ connackProperties }), '5').connect()
    expect(connack).toHaveProperty('properties', connackProperties)
  })

  it('stand in the place of those that follow from other options', () => {
    const broker = new Broker({
      receiveMaximum: 2,
      serverKeepAlive: 3,
      connackProperties: { receiveMaximum: 9 },
    })
    const [connack] = new RawClient(broker, '5').connect()
    expect(connack).toHaveProperty('properties', { receiveMaximum: 9, serverKeepAlive: 3 })
  })
})

it.each(VERSIONS)('maximumPacketSize does not hold for CONNECT in %s', (version) => {
  const broker = new Broker({ maximumPacketSize: 32 })
  const client = new RawClient(broker, version)
  expect(client.connect({ username: 'u'.repeat(100) })).toMatchObject([{ type: 'connack', reasonCode: 0 }])
  expect(broker.complaints).toEqual([])
  client.publish('t', { payload: new Uint8Array(100) })
  expect(broker.complaints.map(({ rule }) => rule)).toEqual(['maximum-packet-size'])
})

it('no identifier with CleanSession 0 is refused by return code 2 [3.1.1 MQTT-3.1.3-8]', () => {
  const broker = new Broker()
  const client = new RawClient(broker, '3.1.1')
  client.connect({ clientId: '', cleanStart: false })
  expect(client.chunks).toEqual([Uint8Array.of(0x20, 2, 0, 2)])
  expect(client.state).toBe('ended')
  expect(broker.complaints.map(({ rule }) => rule)).toEqual(['client-id'])
})

describe('before CONNACK', () => {
  const authentication = { method: 'M', challenges: [Uint8Array.of(1)] }

  function authenticating(broker: Broker): RawClient {
    const client = new RawClient(broker, '5')
    const answer = client.connect({ keepAlive: 10, properties: METHOD })
    expect(answer).toMatchObject([{ type: 'auth', reasonCode: 0x18 }])
    return client
  }

  it('a reason that CONNACK can carry is told', () => {
    const broker = new Broker({ authentication })
    const client = authenticating(broker)
    broker.disconnectAll(0x89)
    expect(client.take()).toMatchObject([{ type: 'connack', reasonCode: 0x89 }])
    expect(client.state).toBe('ended')
  })

  it('another one is not [5 MQTT-3.2.2-8]', () => {
    const broker = new Broker({ authentication })
    const leaving = authenticating(broker)
    broker.disconnectAll(0x8b)
    const silent = authenticating(broker)
    broker.handleTimeout(15_000)
    for (const client of [leaving, silent]) {
      client.take()
      expect(client.received.map(({ type }) => type)).toEqual(['auth'])
      expect(client.chunks).toHaveLength(1)
    }
    expect([leaving.state, silent.state]).toEqual(['ended', 'ended'])
    expect(broker.complaints.map(({ rule }) => rule)).toEqual(['keep-alive'])
  })
})

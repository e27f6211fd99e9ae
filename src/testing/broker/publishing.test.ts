// What clients publish: the limits that a version tells them, and who does not get it.
import { describe, expect, it } from 'vitest'
import { Broker } from './broker.ts'
import { RawClient } from './raw-client.ts'

describe('a limit that 3.1.1 cannot tell', () => {
  it.each([
    ['maximumQoS', { maximumQoS: 1 }, { qos: 2, packetId: 1 }],
    ['retainAvailable', { retainAvailable: false }, { retain: true }],
  ] as const)('%s closes the connection, and is no fault of the client', (_, options, packet) => {
    const topics: string[] = []
    const broker = new Broker({ ...options, onMessage: ({ topic }) => topics.push(topic) })
    const client = new RawClient(broker, '3.1.1')
    client.connect()
    expect(client.publish('t', packet)).toEqual([])
    expect(client.state).toBe('ended')
    expect(topics).toEqual([])
    expect(broker.finish()).toEqual([])
  })
})

it("No Local holds for the client's own retained messages [5 MQTT-3.8.3-3]", () => {
  const broker = new Broker()
  const [client, other] = ['a', 'b'].map((clientId) => {
    const one = new RawClient(broker, '5')
    one.connect({ clientId })
    return one
  }) as [RawClient, RawClient]
  const payload = Uint8Array.of(1)
  client.publish('of/a', { retain: true, payload })
  other.publish('of/b', { retain: true, payload })
  const answer = client.subscribe(1, 'of/+', { noLocal: true, qos: 0 })
  expect(answer).toMatchObject([{ type: 'suback' }, { type: 'publish', topic: 'of/b' }])
  expect(client.subscribe(2, 'of/+', { qos: 0 })).toHaveLength(3)
})

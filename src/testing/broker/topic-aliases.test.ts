// Topic Aliases towards clients: only what has arrived with its topic may stand for it.
import { expect, it } from 'vitest'
import type { ControlPacket } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import { RawClient } from './raw-client.ts'

function subscribed(broker: Broker, maximumPacketSize?: number): RawClient {
  const client = new RawClient(broker, '5')
  client.connect({ properties: { topicAliasMaximum: 5, maximumPacketSize } })
  client.subscribe(1, '#')
  return client
}

/** Topic and alias of each PUBLISH. */
const namesOf = (packets: readonly ControlPacket[]): unknown[] =>
  packets.flatMap((packet) =>
    packet.type === 'publish' ? [[packet.topic, packet.properties?.topicAlias]] : [],
  )

it('an alias whose PUBLISH was withheld is not known', () => {
  const broker = new Broker({ useTopicAliases: true })
  broker.faults.onSend('publish', { nth: 1 }).withhold()
  const client = subscribed(broker)
  for (const topic of ['a', 'a', 'a']) broker.publish({ topic })
  expect(namesOf(client.take())).toEqual([
    ['a', 1],
    ['', 1],
  ])
})

it('an alias whose PUBLISH is late is not used before it', () => {
  const broker = new Broker({ useTopicAliases: true })
  broker.faults.onSend('publish', { nth: 1 }).delay(100)
  const client = subscribed(broker)
  for (const topic of ['a', 'a']) broker.publish({ topic })
  expect(namesOf(client.take())).toEqual([['a', 1]])
  broker.handleTimeout(100)
  expect(namesOf(client.take())).toEqual([['a', undefined]])
})

it('an alias whose PUBLISH was too large is not known, nor one that would make it too large', () => {
  const broker = new Broker({ useTopicAliases: true })
  const client = subscribed(broker, 20)
  for (const size of [15, 12, 11, 11]) broker.publish({ topic: 'a', payload: new Uint8Array(size) })
  expect(namesOf(client.take())).toEqual([
    ['a', undefined],
    ['a', 1],
    ['', 1],
  ])
})

it('rules see the topic, and what they touch leaves with it', () => {
  const broker = new Broker({ useTopicAliases: true })
  const client = subscribed(broker)
  broker.publish({ topic: 'a' })
  const seen: string[] = []
  const rule = broker.faults
    .onSend('publish', { where: ({ topic }) => topic === 'a', nth: 2 })
    .run(({ topic }) => void seen.push(topic))
  for (const topic of ['a', 'a', 'a']) broker.publish({ topic })
  expect(namesOf(client.take())).toEqual([
    ['a', 1],
    ['', 1],
    ['a', undefined],
    ['', 1],
  ])
  expect([rule.fitted, seen]).toEqual([3, ['a']])
})

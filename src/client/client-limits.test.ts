// Limits that the client keeps, as its user sees them: windows, packet sizes, aliases, poison; rules 8, 15, 24.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ConnectionError, ProtocolError } from '../core/errors.ts'
import { memoryStore } from '../store/memory.ts'

const makeWorld = useWorlds()
const PLAIN = { min: 1_000, jitter: false } as const

describe.each(VERSIONS)('windows in %s (rule 15)', (version) => {
  it('maxInflight bounds the publishes of QoS 1 and 2 that are open at once; QoS 0 passes it by', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(100)
    const client = await world.connected({ maxInflight: 3 })
    for (let index = 0; index < 10; index += 1) void client.publish('a', 'x', { qos: 1 })
    void client.publish('a', 'x')
    await world.settle()
    expect(world.got('publish').map(({ qos }) => qos)).toEqual([1, 1, 1, 0])
    await world.advance(100)
    expect(world.got('publish')).toHaveLength(7)
    await world.advance(1_000)
    expect(client.pending).toEqual([])
  })

  it(`maxInflightQos2 is ${version === '3.1.1' ? '19' : 'as maxInflight'} by default`, async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrec').withhold()
    const client = await world.connected()
    for (let index = 0; index < 50; index += 1) void client.publish('a', 'x', { qos: 2 })
    await world.settle()
    expect(world.got('publish')).toHaveLength(version === '3.1.1' ? 19 : 50)
  })

  it('maxInflightQos2 may be set', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrec').withhold()
    const client = await world.connected({ maxInflightQos2: 7 })
    for (let index = 0; index < 50; index += 1) void client.publish('a', 'x', { qos: 2 })
    await world.settle()
    expect(world.got('publish')).toHaveLength(7)
  })
})

it("5: the server's Receive Maximum bounds it, and the broker never complains (rule 15) [5 MQTT-3.3.4-7]", async () => {
  const world = makeWorld('5', { broker: { receiveMaximum: 2 } })
  const client = await world.connected()
  expect(client.settings?.receiveMaximum).toBe(2)
  const messages = Array.from({ length: 50 }, (_, index) => ({
    topic: 'a',
    payload: 'x',
    qos: ((index % 2) + 1) as 1 | 2,
  }))
  expect(await client.publishAll(messages)).toMatchObject({ published: 50 })
})

describe.each(VERSIONS)('inbound in %s (rule 24)', (version) => {
  it('a packet over maximumPacketSize ends the connection', async () => {
    const world = makeWorld(version)
    const options = { maximumPacketSize: 1_000, reconnect: PLAIN }
    const client = version === '5' ? world.client5(options) : world.client(options)
    await client.connect()
    const lost = collect(client, 'disconnected')
    const data = new Uint8Array(1_100)
    world.broker.connections[0]?.send({
      type: 'publish',
      topic: 'a',
      payload: data,
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
    })
    await world.settle()
    expect(lost).toHaveLength(1)
    expect(lost[0]?.error).toBeInstanceOf(ProtocolError)
    expect(lost[0]?.error).toMatchObject({ code: 'packet-too-large', reasonCode: 0x95 })
    if (version === '5') expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0x95 }])
  })

  it('what is malformed ends the connection, which is made again', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: PLAIN })
    const lost = collect(client, 'disconnected')
    world.broker.connections[0]?.send(Uint8Array.of(0x36, 5, 0, 1, 0x61, 0, 1))
    await world.settle()
    expect(lost).toMatchObject([{ error: { code: 'malformed-packet', reasonCode: 0x81 } }])
    await world.advance(200_000)
    expect(client.state).toBe('connected')
  })
})

it('5: more than our Receive Maximum: 0x93, and the back-off begins at max (rules 7, 24) [5 MQTT-3.3.4-9]', async () => {
  const world = makeWorld('5')
  const client = await world.connected5({ receiveMaximum: 2, reconnect: { ...PLAIN, max: 50_000 } })
  const lost = collect(client, 'disconnected')
  await client.subscribe('a', { qos: 1 }, () => new Promise(() => {}))
  for (let packetId = 1; packetId <= 3; packetId += 1) {
    world.broker.connections[0]?.send({
      type: 'publish',
      topic: 'a',
      payload: new Uint8Array(0),
      qos: 1,
      retain: false,
      dup: false,
      packetId,
    })
  }
  await world.settle()
  expect(lost).toMatchObject([
    { error: { code: 'receive-maximum-exceeded', reasonCode: 0x93 }, delay: 50_000 },
  ])
  expect(lost[0]?.error?.message).toContain('receiveMaximum')
  expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0x93 }])
})

describe('topic aliases, 5', () => {
  it("'auto' replaces topics that repeat; 'off' does not", async () => {
    for (const topicAliases of ['auto', 'off'] as const) {
      const world = makeWorld('5', { broker: { topicAliasMaximum: 2 } })
      const client = await world.connected5({ topicAliases })
      for (let index = 0; index < 3; index += 1) await client.publish('a/long/topic', 'x', { qos: 1 })
      const topics = world.got('publish').map(({ topic }) => topic)
      expect(topics).toEqual(['a/long/topic', topicAliases === 'off' ? 'a/long/topic' : '', topics[1]])
    }
  })

  it('of the server are taken up to topicAliasMaximum', async () => {
    const world = makeWorld('5', { broker: { useTopicAliases: true } })
    const client = await world.connected5({ topicAliasMaximum: 2 })
    const seen: string[] = []
    await client.subscribe('#', ({ topic }) => void seen.push(topic))
    for (const topic of ['a', 'b', 'a', 'b', 'c']) world.broker.publish({ topic })
    await world.settle()
    expect(seen).toEqual(['a', 'b', 'a', 'b', 'c'])
    expect(client.state).toBe('connected')
  })
})

describe.each(VERSIONS)('poison in %s (rule 8)', (version) => {
  it('a message is not given up for connections that this side has ended', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ poisonLimit: 2, store: memoryStore() })
    const settled = collect(client, 'deliverySettled')
    world.broker.faults.onSend('puback').withhold()
    for (let i = 0; i < 4; i++) {
      if (i === 0) void client.publish('a', 'x', { qos: 1 })
      else await client.connect()
      await world.settle()
      client.destroy()
      await world.settle()
    }
    expect(client.pending).toHaveLength(1)
    world.broker.faults.clear()
    await client.connect()
    await world.settle()
    expect(client.pending).toEqual([])
    expect(settled).toMatchObject([{ error: undefined }])
  })

  it('a message that ends poisonLimit connections is given up; others go on', async () => {
    const world = makeWorld(version)
    world.broker.faults.onReceive('publish', { where: ({ topic }) => topic === 'poison' }).cutBefore()
    const client = await world.connectedDurable({ poisonLimit: 3, reconnect: { ...PLAIN, max: 1_000 } })
    const poison = outcomeOf(client.publish('poison', 'x', { qos: 1 }))
    const other = outcomeOf(client.publish('other', 'x', { qos: 1 }))
    await world.advance(10_000)
    expect(poison.error).toBeInstanceOf(ConnectionError)
    expect(poison.error).toMatchObject({ code: 'poison-delivery' })
    expect(other.state).toBe('resolved')
    expect(world.link.attempts).toHaveLength(4)
  })

  it('0 turns it off', async () => {
    const world = makeWorld(version)
    world.broker.faults.onReceive('publish').cutBefore()
    const client = await world.connectedDurable({ poisonLimit: 0, reconnect: { ...PLAIN, max: 1_000 } })
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(20_000)
    expect(publishing.state).toBe('pending')
    expect(world.link.attempts.length).toBeGreaterThan(15)
  })
})

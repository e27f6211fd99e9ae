// What waits: the queue and its overflow, expiry, what is pending; rules 19, 21.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collect, outcomeOf, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { RefusedError } from '../core/errors.ts'
import { memoryStore } from '../store/memory.ts'

const makeWorld = useWorlds()

const unhandled: unknown[] = []
const note = (reason: unknown): void => void unhandled.push(reason)
beforeEach(() => {
  unhandled.length = 0
  process.on('unhandledRejection', note)
})
afterEach(() => {
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

describe.each(VERSIONS)('the queue in %s', (version) => {
  it.each([
    ['maxMessages', { maxMessages: 2 }, 'xxxx'],
    ['maxBytes', { maxBytes: 14 }, 'xxxx'],
  ] as const)("overflow 'reject' by %s rejects the new one", async (_limit, limits, payload) => {
    const world = makeWorld(version)
    const client = world.client({ queue: limits })
    const outcomes = ['a', 'b', 'c'].map((topic) => outcomeOf(client.publish(topic, payload, { qos: 1 })))
    await world.settle()
    expect(outcomes.map(({ state }) => state)).toEqual(['pending', 'pending', 'rejected'])
    expect(outcomes[2]?.error).toMatchObject({ code: 'queue-full' })
    expect(client.statistics.messagesDropped).toBe(0)
    await client.connect()
    await world.settle()
    expect(world.got('publish').map(({ topic }) => topic)).toEqual(['a', 'b'])
  })

  it("overflow 'drop-newest' drops the new one, and counts it", async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 2, overflow: 'drop-newest' } })
    const outcomes = ['a', 'b', 'c'].map((topic) => outcomeOf(client.publish(topic, 'x', { qos: 1 })))
    await world.settle()
    expect(outcomes.map(({ state }) => state)).toEqual(['pending', 'pending', 'rejected'])
    expect(outcomes[2]?.error).toMatchObject({ code: 'queue-full' })
    expect(client.statistics.messagesDropped).toBe(1)
  })

  it("overflow 'drop-oldest' drops those that wait longest, and counts them", async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxBytes: 12, overflow: 'drop-oldest' } })
    const failed = collect(client, 'publishFailed')
    const outcomes = ['a', 'b', 'c'].map((topic) => outcomeOf(client.publish(topic, 'xx', { qos: 1 })))
    outcomes.push(outcomeOf(client.publish('d', 'xxxxxx', { qos: 1 })))
    outcomes.push(outcomeOf(client.publish('e', 'x'.repeat(20), { qos: 1 })))
    await world.settle()
    // For one that is larger than the queue no other has to go.
    expect(outcomes.map(({ state }) => state)).toEqual([
      'rejected',
      'rejected',
      'rejected',
      'pending',
      'rejected',
    ])
    expect(failed.map(({ topic }) => topic)).toEqual(['a', 'b', 'c', 'e'])
    expect(client.statistics.messagesDropped).toBe(4)
  })

  it("overflow 'wait' lets the promise wait until there is room, in order", async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 1, overflow: 'wait' } })
    const outcomes = ['a', 'b', 'c', 'd'].map((topic) => outcomeOf(client.publish(topic, 'x', { qos: 1 })))
    await world.settle()
    expect(outcomes.map(({ state }) => state)).toEqual(['pending', 'pending', 'pending', 'pending'])
    expect(client.pending.map(({ topic }) => topic)).toEqual(['a'])
    expect(client.statistics.incompleteOperations).toBe(4)
    await client.connect()
    await world.settle()
    expect(outcomes.map(({ state }) => state)).toEqual(['resolved', 'resolved', 'resolved', 'resolved'])
    expect(world.got('publish').map(({ topic }) => topic)).toEqual(['a', 'b', 'c', 'd'])
  })

  it("overflow 'wait': a signal, disconnect() and what can never fit end the waiting", async () => {
    const world = makeWorld(version)
    const client = world.durable({ queue: { maxMessages: 1, maxBytes: 100, overflow: 'wait' } })
    const controller = new AbortController()
    const reason = new Error('enough')
    const first = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    const second = outcomeOf(client.publish('b', 'x', { qos: 1, signal: controller.signal }))
    const third = outcomeOf(client.publish('c', 'x', { qos: 1 }))
    const fourth = outcomeOf(client.publish('d', 'x'.repeat(200), { qos: 1 }))
    controller.abort(reason)
    await world.settle()
    expect(second.error).toBe(reason)
    expect(fourth).toMatchObject({ state: 'rejected', error: { code: 'queue-full' } })
    await client.disconnect()
    expect(first.error).toMatchObject({ code: 'disconnected', kept: true })
    expect(third.error).toMatchObject({ code: 'disconnected', kept: false })
    expect(client.pending.map(({ topic }) => topic)).toEqual(['a'])
  })

  it('maxMessages 0 queues nothing', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 0 } })
    await expect(client.publish('a', 'x', { qos: 1 })).rejects.toMatchObject({ code: 'queue-full' })
  })

  it.each([
    ['directly', {}],
    ['as a store has it', { store: memoryStore() }],
  ])('what need not wait takes no room in the queue: %s', async (_how, options) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).delay(1_000)
    const queue = { maxMessages: 0, maxBytes: 0 }
    const client = await world.connectedDurable({ ...options, queue, maxInflight: 2 })
    const [one, two, three] = ['a', 'b', 'c'].map((topic) =>
      outcomeOf(client.publish(topic, 'x', { qos: 1 })),
    )
    await world.settle()
    expect([one?.state, two?.state, three?.state]).toEqual(['pending', 'resolved', 'rejected'])
    expect(three?.error).toMatchObject({ code: 'queue-full' })
    await world.advance(1_000)
    expect(one?.state).toBe('resolved')
    const messages = ['a', 'b', 'c', 'd', 'e'].map((topic) => ({ topic, payload: 'x', qos: 1 as const }))
    const all = outcomeOf(client.publishAll(messages))
    await world.settle()
    expect(all).toMatchObject({ state: 'resolved', value: { published: 5 } })
  })

  it('a queue with room again takes more', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 1 } })
    void client.publish('a', 'x', { qos: 1 })
    await client.connect()
    await world.settle()
    await client.publish('b', 'x', { qos: 1 })
    await client.publish('c', 'x', { qos: 1 })
    expect(world.got('publish')).toHaveLength(3)
  })
})

describe('expiry, 5', () => {
  it('a waiting message past its interval rejects with expired (rule 21)', async () => {
    const world = makeWorld('5')
    const client = world.client()
    const short = outcomeOf(client.publish('a', 'x', { qos: 1, properties: { messageExpiryInterval: 5 } }))
    const long = outcomeOf(client.publish('b', 'x', { qos: 1, properties: { messageExpiryInterval: 100 } }))
    const none = outcomeOf(client.publish('c', 'x', { qos: 2 }))
    await world.advance(5_000)
    await client.connect()
    await world.settle()
    expect(short.error).toBeInstanceOf(RefusedError)
    expect(short.error).toMatchObject({ code: 'expired', local: true })
    expect([long.state, none.state]).toEqual(['resolved', 'resolved'])
    expect(
      world.got('publish').map(({ topic, properties }) => [topic, properties?.messageExpiryInterval]),
    ).toEqual([
      ['b', 95],
      ['c', undefined],
    ])
  })
})

describe.each(VERSIONS)('what is pending in %s', (version) => {
  it('tells topic, qos, stage, time, attempts and id', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    world.broker.faults.onSend('pubcomp').withhold()
    const client = await world.connected({ maxInflight: 2 })
    const since = world.runtime.wallTime()
    void client.publish('two', 'x', { qos: 2 })
    void client.publish('one', 'x', { qos: 1 })
    void client.publish('three', 'x', { qos: 1 })
    await world.advance(500)
    expect(client.pending).toEqual([
      { topic: 'two', qos: 2, stage: 'released', since, attempts: 1, packetId: 1 },
      { topic: 'one', qos: 1, stage: 'published', since, attempts: 1, packetId: 2 },
      { topic: 'three', qos: 1, stage: 'queued', since, attempts: 0, packetId: undefined },
    ])
    expect(client.statistics).toMatchObject({
      incompleteOperations: 3,
      unackedOperations: 2,
      incompleteBytes: '..two..one..three'.length + 3,
      unackedBytes: '..two..one'.length + 2,
    })
  })
})

describe('large numbers', () => {
  it('the defaults are 65,535 messages and 64 MiB', async () => {
    const world = makeWorld('3.1.1')
    const client = world.client()
    let rejected: unknown
    client.on('publishFailed', ({ error }) => (rejected ??= error))
    const payload = new Uint8Array(1_048_576)
    for (let index = 0; index < 63; index += 1)
      void client.publish('a', payload, { qos: 1, payload: 'borrowed' })
    expect(rejected).toBeUndefined()
    void client.publish('a', payload, { qos: 1, payload: 'borrowed' })
    expect(rejected).toMatchObject({ code: 'queue-full' })
    const many = world.client({ clientId: 'many' })
    let full: unknown
    many.on('publishFailed', ({ error }) => (full ??= error))
    for (let index = 0; index < 65_535; index += 1) void many.publish('a', '', { qos: 1 })
    expect(full).toBeUndefined()
    void many.publish('a', '', { qos: 1 })
    expect(full).toMatchObject({ code: 'queue-full' })
  })

  it('packet ids count upward from 1 and skip those in use (rule 19)', async () => {
    const world = makeWorld('5')
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connected({ maxInflight: 100, keepAlive: 0, operationTimeout: 0 })
    void client.publish('open', '', { qos: 1 })
    const messages = Array.from({ length: 65_534 }, () => ({ topic: 'a', payload: '', qos: 1 as const }))
    const { failed } = await client.publishAll(messages)
    expect(failed).toBe(0)
    expect(await client.publish('a', '', { qos: 1 })).toMatchObject({ packetId: 2 })
    const ids = world.got('publish').map(({ packetId }) => packetId)
    expect(ids.slice(0, 3)).toEqual([1, 2, 3])
    expect(ids.slice(-2)).toEqual([65_535, 2])
  })

  it.each(VERSIONS)('%s: 10,000 queued messages need at most 8 round trips, in order', async (version) => {
    const world = makeWorld(version)
    const roundTrip = 50
    for (const type of ['connack', 'puback'] as const) world.broker.faults.onSend(type).delay(roundTrip)
    const client = world.durable()
    const settled: number[] = []
    for (let index = 0; index < 10_000; index += 1)
      void client.publish('a', `${index}`, { qos: 1 }).then(() => settled.push(index))
    const connected = client.connect()
    await world.advance(roundTrip)
    await connected
    let roundTrips = 0
    for (; settled.length < 10_000 && roundTrips < 8; roundTrips += 1) await world.advance(roundTrip)
    expect(settled).toEqual(Array.from({ length: 10_000 }, (_, index) => index))
    expect(roundTrips).toBeLessThanOrEqual(8)
    const texts = world.got('publish').map(({ payload }) => Number(new TextDecoder().decode(payload)))
    expect(texts).toEqual(Array.from({ length: 10_000 }, (_, index) => index))
  })
})

describe.each(VERSIONS)('messages that nobody waits for any more in %s', (version) => {
  it('do not end a connection of which no time-out was asked (operationTimeout: 0)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected({ operationTimeout: 0, maxInflight: 2 })
    const lost = collect(client, 'disconnected')
    const outcomes = ['a', 'b'].map((topic) =>
      outcomeOf(client.publish(topic, 'x', { qos: 1, timeout: 1_000 })),
    )
    await world.advance(100_000)
    expect(outcomes.map(({ state }) => state)).toEqual(['rejected', 'rejected'])
    expect(lost).toEqual([])
  })

  it('of QoS 2 that fill the window end the connection like others (rule 17)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrec').withhold()
    const client = await world.connectedDurable({
      operationTimeout: 1_000,
      maxInflightQos2: 2,
      reconnect: { min: 1_000, jitter: false },
    })
    const lost = collect(client, 'disconnected')
    for (const topic of ['a', 'b']) client.publish(topic, 'x', { qos: 2 }).catch(() => {})
    await world.advance(1_000)
    // What is acknowledged of QoS 1 does not help those of QoS 2.
    for (let count = 0; count < 5; count += 1) {
      await client.publish('c', 'x', { qos: 1 })
      await world.advance(100)
    }
    const behind = outcomeOf(client.publish('d', 'x', { qos: 2 }))
    await world.advance(499)
    expect([lost.length, behind.state]).toEqual([0, 'pending'])
    await world.advance(1)
    expect(lost).toMatchObject([{ error: { code: 'operation-timeout' } }])
    world.broker.faults.clear()
    await world.advance(10_000)
    expect(behind.state).toBe('resolved')
  })

  it('are told as lost when the session is (deliverySettled)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected({
      operationTimeout: 1_000,
      reconnect: { min: 1_000, jitter: false },
    })
    const settled = collect(client, 'deliverySettled')
    const outcome = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(1_000)
    expect(outcome).toMatchObject({ state: 'rejected', error: { code: 'operation-timeout' } })
    world.broker.cutAll()
    await world.advance(2_000)
    expect(settled).toMatchObject([{ delivery: { topic: 'a' }, error: { code: 'session-lost' } }])
    expect(world.got('publish')).toHaveLength(1)
  })
})

it('a payload that is lent at QoS 0 and has to wait is copied', async () => {
  const world = makeWorld('5')
  const client = world.client({ queue: { qos0: true } })
  client.on('connected', () => world.link.stop())
  const payload = new Uint8Array(100_000).fill(1)
  const given = client.publish('a', payload, { payload: 'borrowed' }).then(() => payload.fill(2))
  await client.connect()
  await given
  world.link.go()
  await world.settle()
  expect(new Set(world.got('publish')[0]?.payload)).toEqual(new Set([1]))
})

it.each([100_000, 300_000])(
  '%i bytes that were lent are not sent any more when the promise has rejected',
  async (size) => {
    const world = makeWorld('5')
    const client = await world.connected({ onHandlerError: 'reconnect', reconnect: { min: 60_000 } })
    const errors = collect(client, 'error')
    await client.subscribe('stop', () => {
      throw new Error('no')
    })
    const payload = new Uint8Array(size).fill(1)
    world.link.stop()
    const sent = outcomeOf(client.publish('a', payload, { payload: 'borrowed' }))
    await world.settle()
    world.broker.publish({ topic: 'stop', payload: '' })
    await world.settle()
    expect([sent.state, errors.length]).toEqual(['rejected', 1])
    payload.fill(2)
    world.link.go()
    await world.advance(500)
    expect(world.got('publish')).toEqual([])
  },
)

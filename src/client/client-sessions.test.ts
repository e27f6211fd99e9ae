// Sessions: what a lost connection does to publishes, and stores; rules 14, 16, 33.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { collect, outcomeOf, record, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ClosedError } from '../core/errors.ts'
import { restoreSession } from '../core/session/restore.ts'
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

describe.each(VERSIONS)('a lost connection in %s', (version) => {
  it('a resumed session: PUBRELs, then PUBLISHes with DUP in first order, then what waits (rule 14)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubcomp', { times: 1 }).withhold()
    world.broker.faults.onSend('puback', { times: 2 }).withhold()
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const two = outcomeOf(client.publish('two', 'x', { qos: 2 }))
    await world.settle()
    const one = outcomeOf(client.publish('one', 'x', { qos: 1 }))
    const other = outcomeOf(client.publish('other', 'x', { qos: 1 }))
    await world.settle()
    world.taken()
    world.broker.cutAll()
    await world.settle()
    const late = outcomeOf(client.publish('late', 'x', { qos: 1 }))
    await world.advance(2_000)
    expect([two.state, one.state, other.state, late.state]).toEqual([
      'resolved',
      'resolved',
      'resolved',
      'resolved',
    ])
    const packets = world.fromClient.filter(({ type }) => type === 'pubrel' || type === 'publish')
    expect(
      packets.map((packet) => (packet.type === 'publish' ? [packet.topic, packet.dup] : packet.type)),
    ).toEqual(['pubrel', ['one', true], ['other', true], ['late', false]])
  })

  it('a lost session: QoS 1 is sent anew, QoS 2 that was on the wire is unknown (rule 16)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrec', { times: 1 }).withhold()
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const two = outcomeOf(client.publish('two', 'x', { qos: 2 }))
    const one = outcomeOf(client.publish('one', 'x', { qos: 1 }))
    await world.settle()
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.settle()
    const unsent = outcomeOf(client.publish('unsent', 'x', { qos: 2 }))
    await world.advance(2_000)
    expect(two.error).toBeInstanceOf(ClosedError)
    expect(two.error).toMatchObject({ code: 'outcome-unknown', kept: false })
    expect([one.state, unsent.state]).toEqual(['resolved', 'resolved'])
    expect(world.got('publish').map(({ topic, dup }) => [topic, dup])).toEqual([
      ['two', false],
      ['one', false],
      ['one', false],
      ['unsent', false],
    ])
  })

  it("a lost session with onSessionLost 'fail': what was sent rejects, what was not is sent (rule 16)", async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connectedDurable({
      onSessionLost: 'fail',
      reconnect: { min: 1_000, jitter: false },
    })
    const one = outcomeOf(client.publish('one', 'x', { qos: 1 }))
    await world.settle()
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.settle()
    const unsent = outcomeOf(client.publish('unsent', 'x', { qos: 1 }))
    await world.advance(2_000)
    expect(one).toMatchObject({ state: 'rejected', error: { code: 'session-lost' } })
    expect(unsent.state).toBe('resolved')
  })

  it('a clean session that was lost is the same case (rule 16)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    const one = outcomeOf(client.publish('one', 'x', { qos: 1 }))
    await world.settle()
    world.broker.cutAll()
    await world.advance(2_000)
    expect(one.state).toBe('resolved')
    expect(world.got('publish').map(({ dup }) => dup)).toEqual([false, false])
  })
})

describe("until: 'stored'", () => {
  it.each(VERSIONS)('%s: resolves when the store has it; the outcome is an event', async (version) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(1_000)
    const client = await world.connectedDurable({ store: memoryStore() })
    const settled = collect(client, 'deliverySettled')
    expect(await client.publish('a', 'x', { qos: 1, until: 'stored' })).toEqual({
      packetId: undefined,
      reasonCode: 0,
    })
    expect(client.pending).toHaveLength(1)
    await world.advance(1_000)
    expect(settled).toMatchObject([{ delivery: { topic: 'a', qos: 1 }, error: undefined }])
  })

  it.each(VERSIONS)("%s: a borrowed payload is the caller's again, sent or not", async (version) => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ store: memoryStore() })
    world.broker.cutAll()
    await world.settle()
    const payload = new Uint8Array(100_000).fill(0x61)
    await client.publish('a', payload, { qos: 1, until: 'stored', payload: 'borrowed' })
    payload.fill(0x78)
    await world.advance(5_000)
    expect(new TextDecoder().decode(world.got('publish')[0]?.payload)).toBe('a'.repeat(100_000))
    expect(client.pending).toEqual([])
  })

  it.each(VERSIONS)('%s: publishAll() resolves when the store has all of them', async (version) => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ store: memoryStore() })
    const settled = collect(client, 'deliverySettled')
    world.broker.cutAll()
    await world.settle()
    const messages = ['a', 'b', 'c', 'd', 'e'].map((topic) => ({ topic, payload: 'x', qos: 1 as const }))
    const all = outcomeOf(client.publishAll(messages, { until: 'stored', window: 2 }))
    await world.settle()
    expect(all).toMatchObject({ state: 'resolved', value: { published: 5, failed: 0 } })
    expect(client.pending.map(({ topic }) => topic)).toEqual(['a', 'b', 'c', 'd', 'e'])
    await world.advance(5_000)
    expect(settled.map(({ delivery, error }) => [delivery.topic, error])).toEqual(
      ['a', 'b', 'c', 'd', 'e'].map((topic) => [topic, undefined]),
    )
  })

  it.each(VERSIONS)('%s: that it gave way to another message is in the event', async (version) => {
    const world = makeWorld(version)
    const queue = { maxMessages: 1, overflow: 'drop-oldest' } as const
    const client = await world.connectedDurable({ store: memoryStore(), queue })
    const settled = collect(client, 'deliverySettled')
    world.broker.cutAll()
    await world.settle()
    await client.publish('a', 'x', { qos: 1, until: 'stored' })
    await client.publish('b', 'x', { qos: 1, until: 'stored' })
    expect(settled).toMatchObject([{ delivery: { topic: 'a' }, error: { code: 'queue-full' } }])
    await world.advance(5_000)
    expect(settled[1]).toMatchObject({ delivery: { topic: 'b' }, error: undefined })
  })

  it.each(VERSIONS)('%s: that its session was clean, and closed, is in the event', async (version) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected({ store: memoryStore() })
    const settled = collect(client, 'deliverySettled')
    await client.publish('a', 'x', { qos: 1, until: 'stored' })
    await client.disconnect()
    expect(settled).toMatchObject([{ delivery: { topic: 'a' }, error: { code: 'disconnected' } }])
  })

  it.each(VERSIONS)('%s: a later refusal is in the event', async (version) => {
    const world = makeWorld(version, { broker: { authorizePublish: () => 0x87 } })
    const client = await world.connectedDurable({ store: memoryStore() })
    const events = record(client, 'deliverySettled', 'publishFailed')
    await client.publish('a', 'x', { qos: 1, until: 'stored' })
    await world.settle()
    expect(events).toHaveLength(1)
    const error = version === '5' ? { reasonCode: 0x87 } : undefined
    expect(events[0]).toMatchObject({ name: 'deliverySettled', event: { error } })
  })

  it.each(VERSIONS)('%s: before connect() it waits for the store to be opened', async (version) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = world.durable({ store: memoryStore() })
    const published = outcomeOf(client.publish('a', 'x', { qos: 1, until: 'stored' }))
    await world.settle()
    expect(published.state).toBe('pending')
    await client.connect()
    await world.settle()
    expect(published).toMatchObject({ state: 'resolved', value: { packetId: undefined, reasonCode: 0 } })
  })

  it.each(VERSIONS)('%s: what waits for room in the queue is not stored yet', async (version) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).delay(1_000)
    const client = await world.connectedDurable({
      store: memoryStore(),
      maxInflight: 1,
      queue: { maxMessages: 1, overflow: 'wait' },
    })
    const outcomes = ['a', 'b', 'c'].map((topic) =>
      outcomeOf(client.publish(topic, 'x', { qos: 1, until: 'stored' })),
    )
    await world.settle()
    expect(outcomes.map(({ state }) => state)).toEqual(['resolved', 'resolved', 'pending'])
    await world.advance(1_000)
    expect(outcomes[2]?.state).toBe('resolved')
  })

  it.each(VERSIONS)('%s: what gathers during an append is promised by the next one', async (version) => {
    const world = makeWorld(version)
    const store = memoryStore()
    const appends: (() => void)[] = []
    const append = store.append.bind(store)
    const client = await world.connectedDurable({ store })
    await world.settle()
    store.append = (records) => new Promise((resolve) => appends.push(() => resolve(append(records))))
    const outcomes = ['1', '2'].map((payload) =>
      outcomeOf(client.publish('a', payload, { qos: 1, until: 'stored' })),
    )
    const states = (): string[] => outcomes.map(({ state }) => state)
    await world.settle()
    expect([states(), appends.length]).toEqual([['pending', 'pending'], 1])
    appends.shift()?.()
    await world.settle()
    expect([states(), appends.length]).toEqual([['resolved', 'pending'], 1])
    expect(world.got('publish')).toHaveLength(1)
    appends.shift()?.()
    await world.settle()
    expect(states()).toEqual(['resolved', 'resolved'])
    expect(world.got('publish')).toHaveLength(2)
  })

  it.each(VERSIONS)('%s: without a store it is the acknowledgement', async (version) => {
    const world = makeWorld(version)
    const client = await world.connected()
    expect(await client.publish('a', 'x', { qos: 1, until: 'stored' })).toMatchObject({ packetId: 1 })
  })
})

describe.each(VERSIONS)('a slow store in %s (rule 32)', (version) => {
  it('has each message sent once and behind its record, though the server acknowledged one unsent', async () => {
    const world = makeWorld(version)
    const puback = { type: 'puback', packetId: 1, reasonCode: 0, properties: undefined } as const
    world.broker.faults.onSend('pingresp', { times: 1 }).sendAfter(puback)
    const store = memoryStore()
    const appends: (() => void)[] = []
    const append = store.append.bind(store)
    const client = await world.connectedDurable({ store })
    await world.settle()
    store.append = (records) => new Promise((resolve) => appends.push(() => resolve(append(records))))
    const first = outcomeOf(client.publish('first', 'x', { qos: 1 }))
    await client.ping()
    await world.settle()
    expect(first.state).toBe('pending')
    const second = outcomeOf(client.publish('second', 'x', { qos: 1 }))
    appends.shift()?.()
    await world.settle()
    expect(world.got('publish')).toMatchObject([{ topic: 'first' }])
    while (appends.length > 0) {
      appends.shift()?.()
      await world.settle()
    }
    expect(world.got('publish')).toMatchObject([
      { topic: 'first', dup: false },
      { topic: 'second', dup: false },
    ])
    expect([first.state, second.state]).toEqual(['resolved', 'resolved'])
  })
})

describe.each(VERSIONS)('a failing store in %s (rule 33)', (version) => {
  it.each(['rejects', 'throws'] as const)('that %s: so does the publish, and it recovers', async (how) => {
    const world = makeWorld(version)
    const store = memoryStore()
    let fails = false
    const append = store.append.bind(store)
    const replace = store.replace.bind(store)
    const fail = (): Promise<void> => {
      const error = new Error('disk full')
      if (how === 'throws') throw error
      return Promise.reject(error)
    }
    store.append = (records) => (fails ? fail() : append(records))
    store.replace = (records) => (fails ? fail() : replace(records))
    const client = await world.connectedDurable({ store })
    const errors = collect(client, 'error')
    await world.settle()
    fails = true
    for (const qos of [1, 2] as const) {
      const error = await client.publish('a', 'x', { qos }).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'store-failed', cause: { message: 'disk full' } })
    }
    expect(world.got('publish')).toEqual([])
    expect(errors.length).toBeGreaterThanOrEqual(2)
    for (const { error } of errors) expect(error.code).toBe('store-failed')
    fails = false
    await client.publish('a', 'x', { qos: 2 })
    expect(client.state).toBe('connected')
    expect(world.got('publish')).toHaveLength(1)
  })

  it('leaves PUBREC unsent, drops the connection and recovers by back-off', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    let fails = false
    const append = store.append.bind(store)
    const replace = store.replace.bind(store)
    store.append = (records) => (fails ? Promise.reject(new Error('disk full')) : append(records))
    store.replace = (records) => (fails ? Promise.reject(new Error('disk full')) : replace(records))
    const client = await world.connectedDurable({ store, reconnect: { min: 1_000, jitter: false } })
    collect(client, 'error')
    const lost = collect(client, 'disconnected')
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    await world.settle()
    fails = true
    world.broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    await world.settle()
    expect(world.got('pubrec')).toEqual([])
    expect(lost).toMatchObject([{ error: { code: 'store-failed' }, willReconnect: true }])
    fails = false
    await world.advance(2_000)
    await world.settle()
    expect(client.state).toBe('connected')
    expect(world.broker.openExchanges).toEqual([])
    expect(seen.length).toBeGreaterThanOrEqual(1)
  })

  it('that cannot be opened fails the attempt', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    await store.open()
    await expect(world.durable({ store }).connect()).rejects.toMatchObject({ code: 'store-in-use' })
    expect(world.link.attempts).toEqual([])
  })
})

describe.each(VERSIONS)('a durable session over two clients in %s', (version) => {
  it('is handed on by a memory store: what is owed, the client id, and received ids', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const options = { store, clientId: undefined }
    const before = await world.connectedDurable(options)
    const { clientId } = before
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const sent = outcomeOf(before.publish('sent', 'x', { qos: 1 }))
    await world.settle()
    await before.disconnect()
    expect(sent.error).toMatchObject({ code: 'disconnected', kept: true })
    const after = world.durable(options)
    expect(after.pending).toEqual([])
    const settled = collect(after, 'deliverySettled')
    const waiting = outcomeOf(after.publish('waiting', 'x', { qos: 1 }))
    const result = await after.connect()
    expect(result).toMatchObject({ sessionPresent: true, adopted: false })
    expect(after.clientId).toBe(clientId)
    await world.settle()
    expect(waiting.state).toBe('resolved')
    expect(settled).toMatchObject([{ delivery: { topic: 'sent', attempts: 2 }, error: undefined }])
    expect(world.got('publish').map(({ topic, dup }) => [topic, dup])).toEqual([
      ['sent', false],
      ['sent', true],
      ['waiting', false],
    ])
  })

  it('is refused to two clients at once, and to another client id', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const first = await world.connectedDurable({ store })
    await expect(world.durable({ store }).connect()).rejects.toMatchObject({ code: 'store-in-use' })
    await first.disconnect()
    // Trying again would not heal it.
    for (const retryInitialConnect of [false, true]) {
      const other = world.durable({ store, clientId: 'other', retryInitialConnect })
      await expect(other.connect()).rejects.toMatchObject({ code: 'invalid-option', field: 'clientId' })
      expect(other.state).toBe('stopped')
    }
    await world.durable({ store }).connect()
  })

  it('is waited for with retryInitialConnect while another client has it', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const first = await world.connectedDurable({ store })
    const second = outcomeOf(world.durable({ store, retryInitialConnect: true }).connect())
    await world.settle()
    expect(second.state).toBe('pending')
    await first.disconnect()
    await world.advance(60_000)
    expect(second.state).toBe('resolved')
  })
})

describe.each(VERSIONS)('a store that is slow in %s', (version) => {
  it('takes nothing of the time that the server has to answer (rule 17)', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const append = store.append.bind(store)
    let isSlow = false
    store.append = (records) =>
      isSlow
        ? new Promise((resolve) => void world.runtime.setTimer(() => resolve(append(records)), 6_000))
        : append(records)
    world.broker.faults.onSend('puback').delay(4_000)
    const client = await world.connectedDurable({ store, operationTimeout: 5_000, keepAlive: 0 })
    await world.settle()
    isSlow = true
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(6_000)
    expect(world.got('publish')).toHaveLength(1)
    await world.advance(4_000)
    expect(publishing.state).toBe('resolved')
  })
})

describe.each(VERSIONS)('what the store has at once in %s', (version) => {
  it('that a signal has withdrawn a message while there is no connection', async () => {
    const store = memoryStore()
    const append = vi.spyOn(store, 'append')
    const world = makeWorld(version)
    const client = await world.connectedDurable({ store, reconnect: { min: 60_000 } })
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.settle()
    const controller = new AbortController()
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1, signal: controller.signal }))
    await world.settle()
    const before = append.mock.calls.length
    controller.abort()
    await world.settle()
    expect(publishing.state).toBe('rejected')
    expect(append.mock.calls.length).toBe(before + 1)
  })

  it('what a listener of packet publishes at a lost session', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const client = await world.connectedDurable({ store, reconnect: { min: 1_000, jitter: false } })
    world.broker.faults.onSend('puback').withhold()
    void client.publish('a', 'one', { qos: 1 })
    await world.settle()
    world.broker.cutAll()
    world.broker.sessions.clear()
    let isDone = false
    client.on('packet', ({ packet }) => {
      if (isDone || packet.type !== 'connack') return
      isDone = true
      for (const text of ['two', 'three']) void client.publish('a', text, { qos: 1, until: 'stored' })
    })
    await world.advance(2_000)
    await client.publish('a', 'four', { qos: 1, until: 'stored' })
    await store.close()
    const records = await store.open()
    expect([...restoreSession(records, 0).deliveries()]).toHaveLength(4)
  })

  it('of a message that gets its id while the network takes what was written before', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ store: memoryStore(), keepAlive: 0 })
    world.link.stop()
    client.send('a', new Uint8Array(300_000))
    await world.settle()
    const publishing = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await world.settle()
    world.link.go()
    await world.settle()
    expect(publishing.state).toBe('resolved')
  })

  it('of messages that wait over a first connect() that fails: each has a key of its own', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const client = world.client({ store })
    world.broker.faults.onSend('puback').withhold()
    world.link.dialing = 'refused'
    void client.publish('a', 'one', { qos: 1 })
    await expect(client.connect()).rejects.toMatchObject({ code: 'connect-failed' })
    world.link.dialing = 'answered'
    await client.connect()
    void client.publish('a', 'two', { qos: 1 })
    await world.settle()
    await store.close()
    expect([...restoreSession(await store.open(), 0).deliveries()]).toHaveLength(2)
  })
})

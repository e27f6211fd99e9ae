// Subscriptions over reconnects, and the messages of a resumed session: rules 14, 29.
import { describe, expect, it } from 'vitest'
import { Broker } from '../testing/broker/broker.ts'
import { MemoryNetwork } from '../testing/broker-memory.ts'
import {
  collect,
  outcomeOf,
  type TestWorld,
  texts,
  useWorlds,
  VERSIONS,
} from '../../test/support/client-world.ts'

const makeWorld = useWorlds()

const sentFilters = (world: TestWorld): readonly string[][] =>
  world.got('subscribe').map(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
const say = (world: TestWorld, topic: string, payload: string, qos: 0 | 1 | 2 = 0): void =>
  world.broker.publish({ topic, payload, qos })

describe.each(VERSIONS)('resubscribe in %s', (version) => {
  it.each([
    ['never', true, []],
    ['never', false, []],
    ['session-lost', true, []],
    ['session-lost', false, [['a', 'b']]],
    ['always', true, [['a', 'b']]],
    ['always', false, [['a', 'b']]],
  ] as const)("'%s' on a reconnect with Session Present %s", async (resubscribe, kept, expected) => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ resubscribe, reconnect: { min: 1_000, jitter: false } })
    await client.subscribe(['a', 'b'], { qos: 1 }, () => {})
    world.broker.cutAll()
    if (!kept) world.broker.sessions.clear()
    await world.settle()
    world.taken()
    const publishing = outcomeOf(client.publish('p', 'x', { qos: 1 }))
    await world.advance(2_000)
    expect(publishing.state).toBe('resolved')
    expect(sentFilters(world)).toEqual(expected)
    const types = world.taken().filter((type) => type === 'subscribe' || type === 'publish')
    expect(types).toEqual([...expected.map(() => 'subscribe'), 'publish'])
  })

  it('a subscription whose SUBACK was lost, and that was asked for again, is renewed like others (rules 14, 16)', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    world.broker.faults.onSend('suback', { nth: 1 }).cutBefore()
    const subscribed = outcomeOf(client.subscribe('a', { qos: 1 }, () => {}))
    await world.advance(10_000)
    expect(subscribed.state).toBe('resolved')
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.settle()
    world.taken()
    await world.advance(10_000)
    expect(sentFilters(world)).toEqual([['a']])
  })

  it.each([
    ['never', []],
    ['session-lost', [['a']]],
  ] as const)(
    "'%s' when the server had lost the session, and the CONNACK that said so was lost, too",
    async (resubscribe, expected) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable({ resubscribe, reconnect: { min: 1_000, jitter: false } })
      const connected = collect(client, 'connected')
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 1 }, handler)
      world.broker.faults.onSend('connack', { nth: 1 }).cutBefore()
      world.broker.cutAll()
      world.broker.sessions.clear()
      await world.settle()
      world.taken()
      await world.advance(10_000)
      expect(connected).toMatchObject([{ sessionPresent: true, reconnected: true }])
      expect(sentFilters(world)).toEqual(expected)
      // A subscription that the server has brings its retained messages no second time.
      const handling = world.got('subscribe').flatMap(({ subscriptions }) => subscriptions)
      expect(handling.map(({ retainHandling }) => retainHandling)).toEqual(
        expected.map(() => (version === '5' ? 1 : 0)),
      )
      say(world, 'a', 'x', 1)
      await world.settle()
      expect(seen).toEqual(expected.length === 0 ? [] : ['x'])
      // From now on the session is known.
      world.taken()
      world.broker.cutAll()
      await world.advance(2_000)
      expect(sentFilters(world)).toEqual([])
    },
  )

  it('resubscribe() sends all filters again and tells each', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxFiltersPerSubscribe: 2 })
    expect(await client.resubscribe()).toEqual([])
    await client.subscribe({ a: { qos: 1 }, b: { qos: 2 }, $share: {} }, () => {})
    await client.subscribe('$share/g/c', () => {})
    world.taken()
    const before = world.got('subscribe').length
    const results = await client.resubscribe()
    expect(results).toEqual([
      { filter: 'a', reasonCode: 1, grantedQos: 1 },
      { filter: 'b', reasonCode: 2, grantedQos: 2 },
      { filter: '$share', reasonCode: 0, grantedQos: 0 },
      { filter: '$share/g/c', reasonCode: 0, grantedQos: 0 },
    ])
    expect(before).toBe(0)
    expect(sentFilters(world)).toEqual([
      ['a', 'b'],
      ['$share', '$share/g/c'],
    ])
  })

  it('resubscribe() has a time-out, a signal, and an end with the client', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', () => {})
    world.broker.faults.onSend('suback').withhold()
    const late = outcomeOf(client.resubscribe({ timeout: 1_000 }))
    await world.advance(1_000)
    expect(late).toMatchObject({ state: 'rejected', error: { code: 'operation-timeout' } })
    const reason = new Error('enough')
    world.taken()
    await expect(client.resubscribe({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(world.taken()).toEqual([])
    const controller = new AbortController()
    const given = outcomeOf(client.resubscribe({ signal: controller.signal }))
    await world.settle()
    controller.abort(reason)
    await world.settle()
    expect(given.error).toBe(reason)
    await client.disconnect()
    await expect(client.resubscribe()).rejects.toMatchObject({ code: 'disconnected' })
  })

  it('a renewal without an answer raises error, and is made again with the next connection', async () => {
    const world = makeWorld(version)
    const client = await world.connected({
      operationTimeout: 1_000,
      reconnect: { min: 1_000, jitter: false },
    })
    const errors = collect(client, 'error')
    const { seen, handler } = texts()
    await client.subscribe('a', handler)
    world.broker.faults.onSend('suback', { times: 1 }).withhold()
    world.broker.cutAll()
    await world.advance(4_000)
    expect(errors).toMatchObject([{ error: { code: 'operation-timeout' } }])
    world.broker.cutAll()
    await world.advance(4_000)
    say(world, 'a', 'x')
    await world.settle()
    expect(seen).toEqual(['x'])
    expect(errors).toHaveLength(1)
    // Nothing is told of one that ends with its client.
    world.broker.faults.onSend('suback').withhold()
    world.broker.cutAll()
    await world.advance(2_000)
    await client.disconnect()
    expect(errors).toHaveLength(1)
  })

  it('a renewal that was lost with its time or its connection is made again, though the session is there then', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({
      operationTimeout: 1_000,
      reconnect: { min: 1_000, jitter: false },
    })
    const errors = collect(client, 'error')
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, handler)
    world.broker.faults.onReceive('subscribe', { times: 1 }).withhold()
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.advance(4_000)
    expect(errors).toMatchObject([{ error: { code: 'operation-timeout' } }])
    world.broker.cutAll()
    await world.advance(4_000)
    say(world, 'a', 'x', 1)
    await world.settle()
    expect(seen).toEqual(['x'])
    // And it is over then.
    world.taken()
    world.broker.cutAll()
    await world.advance(4_000)
    expect(world.taken()).not.toContain('subscribe')
  })

  it('a renewal whose answer comes late, or is ours, is not made again', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({
      operationTimeout: 1_000,
      reconnect: { min: 1_000, jitter: false },
    })
    const errors = collect(client, 'error')
    await client.subscribe('a', { qos: 1 }, () => {})
    world.broker.faults.onSend('suback', { times: 1 }).delay(2_000)
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.advance(8_000)
    expect(errors).toHaveLength(1)
    world.taken()
    world.broker.cutAll()
    await world.advance(4_000)
    expect(world.taken()).toEqual(['connect'])
  })

  it('a filter that the server has lost is asked for by the next call', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({
      operationTimeout: 1_000,
      reconnect: { min: 1_000, jitter: false },
    })
    collect(client, 'error')
    const options = { qos: 1, ...(version === '5' && { retainHandling: 2 as const }) } as const
    await client.subscribe('a', options, () => {})
    world.broker.faults.onReceive('subscribe', { times: 1 }).withhold()
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.advance(4_000)
    world.taken()
    const { seen, handler } = texts()
    await client.subscribe('a', options, handler)
    say(world, 'a', 'x', 1)
    await world.settle()
    expect(seen).toEqual(['x'])
  })

  it.each(['state', 'connected'] as const)(
    'the loss of a session that a listener of %s answers by disconnect() is not forgotten',
    async (event) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 1 }, handler)
      world.broker.cutAll()
      world.broker.sessions.clear()
      await world.settle()
      let isDone = false
      client.on(event, () => {
        if (isDone || client.state !== 'connected') return
        isDone = true
        void client.disconnect()
      })
      await world.advance(2_000)
      expect(client.state).toBe('stopped')
      const { sessionPresent } = await client.connect()
      expect(sessionPresent).toBe(true)
      await world.settle()
      say(world, 'a', 'x', 1)
      await world.settle()
      expect(seen).toEqual(['x'])
    },
  )

  it('a renewal that is refused raises error', async () => {
    let refuses = false
    const world = makeWorld(version, {
      broker: { authorizeSubscribe: (_id, { qos }) => (refuses ? 0x80 : qos) },
    })
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    const errors = collect(client, 'error')
    await client.subscribe('a', () => {})
    refuses = true
    world.broker.cutAll()
    await world.advance(2_000)
    expect(errors).toMatchObject([{ error: { code: 'subscribe-refused', reasonCode: 0x80 } }])
  })
})

it('5: resubscribe() adds its properties to those that each subscription had', async () => {
  const world = makeWorld('5')
  const client = await world.connected()
  await client.subscribe('a', { properties: { subscriptionIdentifier: 1 } })
  await client.subscribe('b')
  world.fromClient.length = 0
  await client.resubscribe({ properties: { userProperties: [['why', 'again']] } })
  const userProperties = [['why', 'again']]
  expect(world.got('subscribe').map(({ properties }) => properties)).toEqual([
    { subscriptionIdentifiers: [1], userProperties },
    { userProperties },
  ])
})

it('auto: a server of 3.1.1 gets again what it can take; of the rest error tells (rule 2)', async () => {
  const world = makeWorld('5')
  const older = new Broker({ versions: ['3.1.1'] })
  const network = new MemoryNetwork(older, world.runtime)
  const client = world.pool.createClient([world.url, 'mqtt://older.example'], {
    protocolVersion: 'auto',
    reconnect: { min: 1_000, jitter: false },
    dial: (target, signal) =>
      target.url.hostname === 'older.example'
        ? network.dial(target, signal)
        : world.link.dial(target, signal),
  })
  const errors = collect(client, 'error')
  const { seen, handler } = texts()
  await client.connect()
  await client.subscribe({ a: {}, b: { noLocal: true }, c: { retainHandling: 2 } }, handler)
  expect(sentFilters(world)).toEqual([['a', 'b', 'c']])
  world.link.dialing = 'refused'
  world.broker.cutAll()
  await world.advance(4_000)
  expect(client.settings?.protocolVersion).toBe('3.1.1')
  expect(errors).toMatchObject([{ error: { code: 'needs-version-5', field: 'noLocal' } }])
  for (const topic of ['a', 'b', 'c']) older.publish({ topic, payload: topic })
  await world.settle()
  expect(seen).toEqual(['a'])
  client.destroy()
})

it('5: subscriptions are renewed with the properties that each had', async () => {
  const world = makeWorld('5')
  const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
  await client.subscribe(['a', 'b'], { properties: { subscriptionIdentifier: 1 } })
  await client.subscribe('c', { properties: { subscriptionIdentifier: 2 } })
  await client.subscribe('d')
  world.fromClient.length = 0
  world.broker.cutAll()
  await world.advance(2_000)
  const sent = world
    .got('subscribe')
    .map(({ subscriptions, properties }) => [
      subscriptions.map(({ filter }) => filter),
      properties?.subscriptionIdentifiers,
    ])
  expect(sent).toEqual([
    [['a', 'b'], [1]],
    [['c'], [2]],
    [['d'], undefined],
  ])
})

describe.each(VERSIONS)('a resumed session in %s (rule 29)', (version) => {
  async function worldWithMessages(texts: readonly string[]): Promise<TestWorld> {
    const world = makeWorld(version)
    const before = await world.connectedDurable()
    await before.subscribe('a', { qos: 2 })
    await before.disconnect()
    for (const text of texts) say(world, 'a', text, 1)
    say(world, 'a', 'exactly', 2)
    return world
  }

  it('a route before connect() gets what waits, and nothing before the task after connect() resolved', async () => {
    const world = await worldWithMessages(['one', 'two'])
    const client = world.durable()
    const order: string[] = []
    client.route('a', (message) => void order.push(message.text()))
    await client.connect()
    order.push('connected')
    await Promise.resolve()
    order.push('microtask')
    await world.settle()
    expect(order).toEqual(['connected', 'microtask', 'one', 'two', 'exactly'])
    expect(sentFilters(world)).toEqual([['a']])
  })

  it('a handler that is attached right after connect() gets them, too', async () => {
    const world = await worldWithMessages(['one'])
    const client = world.durable()
    await client.connect()
    const { seen, handler } = texts()
    client.route('a', handler)
    await world.settle()
    expect(seen).toEqual(['one', 'exactly'])
  })

  it.each(['route', 'subscribe', 'message', 'messages'] as const)(
    'a %s that comes within unmatchedTimeout gets them',
    async (how) => {
      const world = await worldWithMessages(['one'])
      const client = world.durable()
      const unmatched = collect(client, 'unmatched')
      await client.connect()
      await world.advance(4_999)
      expect(world.got('puback')).toEqual([])
      const { seen, handler } = texts()
      if (how === 'route') client.route('a', handler)
      else if (how === 'subscribe') void client.subscribe('a', { qos: 2 }, handler)
      else if (how === 'message') client.on('message', handler)
      else {
        void (async () => {
          for await (const message of client.messages('a', { qos: 2 })) handler(message)
        })()
      }
      await world.settle()
      expect(seen).toEqual(['one', 'exactly'])
      expect(world.got('puback')).toHaveLength(1)
      await world.advance(10_000)
      expect(unmatched).toEqual([])
    },
  )

  it('what nobody wants is acknowledged, counted and raised as unmatched after unmatchedTimeout', async () => {
    const world = await worldWithMessages(['one'])
    const client = world.durable({ unmatchedTimeout: 1_000 })
    const unmatched = collect(client, 'unmatched')
    await client.connect()
    await world.advance(999)
    expect(unmatched).toEqual([])
    expect(world.got('puback')).toEqual([])
    await world.advance(1)
    expect(unmatched.map(({ message }) => message.text())).toEqual(['one', 'exactly'])
    expect(world.got('puback')).toHaveLength(1)
    expect(world.got('pubcomp')).toHaveLength(1)
    expect(client.statistics.messagesUnmatched).toBe(2)
    say(world, 'a', 'later', 1)
    await world.settle()
    expect(unmatched).toHaveLength(3)
  })

  it('what waited when the connection was lost comes again', async () => {
    const world = await worldWithMessages(['one'])
    const client = world.durable({ reconnect: { min: 1_000, jitter: false } })
    await client.connect()
    await world.advance(1_000)
    world.broker.cutAll()
    await world.settle()
    const { seen, handler } = texts()
    client.route('a', handler)
    await world.advance(2_000)
    expect(seen).toEqual(['one', 'exactly'])
    expect(world.broker.openExchanges).toEqual([])
  })
})

// subscribe(), unsubscribe(), resubscribe(), route(): rules 14, 17, 23, 25, 27, 28, 29.
import { describe, expect, it } from 'vitest'
import {
  collect,
  outcomeOf,
  type TestWorld,
  texts,
  useWorlds,
  VERSIONS,
} from '../../test/support/client-world.ts'
import { ClosedError, ConnectionError, RefusedError, UsageError } from '../core/errors.ts'
import type { Message } from './message.ts'

const makeWorld = useWorlds()

const sentFilters = (world: TestWorld): readonly string[][] =>
  world.got('subscribe').map(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
const leftFilters = (world: TestWorld): readonly (readonly string[])[] =>
  world.got('unsubscribe').map(({ filters }) => filters)
const say = (world: TestWorld, topic: string, payload: string, qos: 0 | 1 | 2 = 0): void =>
  world.broker.publish({ topic, payload, qos })

describe.each(VERSIONS)('subscribe() in %s', (version) => {
  it.each([
    ['a string', 'a', ['a']],
    ['a list', ['a', 'b/+'], ['a', 'b/+']],
    ['a list with repeats', ['a', 'a', 'b'], ['a', 'b']],
  ] as const)('takes %s', async (_name, filter, filters) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const subscription = await client.subscribe(filter, { qos: 1 })
    expect(subscription.filters).toEqual(filters)
    expect(subscription.results).toEqual(
      filters.map((name) => ({ filter: name, reasonCode: 1, grantedQos: 1 })),
    )
    expect(sentFilters(world)).toEqual([filters])
    expect(world.got('subscribe')[0]?.subscriptions.map(({ qos }) => qos)).toEqual(filters.map(() => 1))
  })

  it('takes a record, whose options go before those of the call', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    const { results } = await client.subscribe({ a: { qos: 2 }, b: {} }, { qos: 1 }, handler)
    expect(results.map(({ filter, grantedQos }) => [filter, grantedQos])).toEqual([
      ['a', 2],
      ['b', 1],
    ])
    say(world, 'a', 'one')
    say(world, 'b', 'two')
    await world.settle()
    expect(seen).toEqual(['one', 'two'])
  })

  it('leaves the options out, and QoS is 0 then', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    const { results } = await client.subscribe('a', handler)
    expect(results).toEqual([{ filter: 'a', reasonCode: 0, grantedQos: 0 }])
    say(world, 'a', 'x', 2)
    await world.settle()
    expect(seen).toEqual(['x'])
  })

  it('tells the QoS that was granted', async () => {
    const world = makeWorld(version, { broker: { authorizeSubscribe: () => 1 } })
    const client = await world.connected()
    const { results } = await client.subscribe('a', { qos: 2 })
    expect(results).toEqual([{ filter: 'a', reasonCode: 1, grantedQos: 1 }])
  })

  it('attaches the handler before SUBACK comes', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback').delay(1_000)
    const client = await world.connected()
    const { seen, handler } = texts()
    const subscribing = outcomeOf(client.subscribe('a', { qos: 1 }, handler))
    await world.settle()
    say(world, 'a', 'early', 1)
    await world.settle()
    expect(subscribing.state).toBe('pending')
    expect(seen).toEqual(['early'])
    await world.advance(1_000)
    expect(subscribing.state).toBe('resolved')
  })

  it('without a handler messages reach the message event only', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const messages = collect(client, 'message')
    await client.subscribe('a', { qos: 1 })
    say(world, 'a', 'x', 1)
    await world.settle()
    expect(messages.map((message) => message.text())).toEqual(['x'])
    expect(world.got('puback')).toHaveLength(1)
  })

  it.each([
    ['invalid-filter', 'filter', 'a#'],
    ['invalid-filter', 'filter', 'a/#/b'],
    ['invalid-filter', 'filter', 'a+'],
    ['invalid-filter', 'filter', ''],
    ['invalid-filter', 'filter', 'a\0'],
    ['invalid-filter', 'filter', '\udfff'],
    ['invalid-filter', 'filter', '$share/g'],
    ['invalid-filter', 'filter', '$share//a'],
    ['invalid-filter', 'filter', '$share/g+/a'],
    ['invalid-filter', 'filter', 'x'.repeat(65_536)],
    ['invalid-filter', 'filter', []],
    ['invalid-filter', 'filter', 7],
    ['invalid-filter', 'filter[1]', ['a', '#b']],
  ] as [string, string, never][])(
    'rejects with %s and field %s before anything is sent (rule 25): %j',
    async (code, field, filter) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const error = await client.subscribe(filter, () => {}).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(UsageError)
      expect(error).toMatchObject({ code, field })
      const other = await client.unsubscribe(filter).catch((reason: unknown) => reason)
      expect(other).toMatchObject({ code, field })
      expect(() => client.messages(filter)).toThrow(UsageError)
      await world.settle()
      expect(world.taken()).toEqual(['connect'])
    },
  )

  it.each([
    ['qos', { qos: 3 }],
    ['ack', { ack: 'later' }],
    ['concurrency', { concurrency: 0 }],
    ['payload', { payload: 'lent' }],
    ['highWaterMark', { highWaterMark: 0 }],
    ['timeout', { timeout: -1 }],
    ['signal', { signal: {} }],
    ['nolocal', { nolocal: true }],
  ] as [string, object][])('rejects with a UsageError that names %s', async (field, options) => {
    const client = await makeWorld(version).connected()
    await expect(client.subscribe('a', options)).rejects.toMatchObject({ code: 'invalid-option', field })
  })

  it('rejects with RefusedError when all filters are refused, and the handler is gone', async () => {
    const world = makeWorld(version, {
      broker: { authorizeSubscribe: () => (version === '5' ? 0x87 : 0x80) },
    })
    const client = await world.connected()
    const error = await client.subscribe(['a', 'b'], () => {}).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RefusedError)
    expect(error).toMatchObject({
      code: 'subscribe-refused',
      reasonCode: version === '5' ? 0x87 : 0x80,
      local: false,
    })
    world.broker.connections[0]?.send({
      type: 'publish',
      topic: 'a',
      payload: new Uint8Array(0),
      qos: 0,
      retain: false,
      dup: false,
      packetId: 0,
    })
    const unmatched = collect(client, 'unmatched')
    await world.settle()
    expect(unmatched).toHaveLength(1)
  })

  it('resolves when some are refused: the result says which, and the others work', async () => {
    const world = makeWorld(version, {
      broker: { authorizeSubscribe: (_id, { filter, qos }) => (filter === 'no' ? 0x80 : qos) },
    })
    const client = await world.connected()
    const { seen, handler } = texts()
    const { results } = await client.subscribe(['no', 'yes'], { qos: 1 }, handler)
    expect(results).toEqual([
      { filter: 'no', reasonCode: 0x80, grantedQos: undefined },
      { filter: 'yes', reasonCode: 1, grantedQos: 1 },
    ])
    say(world, 'yes', 'x')
    await world.settle()
    expect(seen).toEqual(['x'])
    world.broker.cutAll()
    await world.advance(5_000)
    expect(sentFilters(world)).toEqual([['no', 'yes'], ['yes']])
  })

  it('splits by maxFiltersPerSubscribe; one promise for all', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxFiltersPerSubscribe: 2 })
    const { results } = await client.subscribe(['a', 'b', 'c', 'd', 'e'], { qos: 1 })
    expect(sentFilters(world)).toEqual([['a', 'b'], ['c', 'd'], ['e']])
    expect(results.map(({ filter }) => filter)).toEqual(['a', 'b', 'c', 'd', 'e'])
    await client.unsubscribe(['a', 'b', 'c'])
    expect(leftFilters(world)).toEqual([['a', 'b'], ['c']])
  })

  it('is queued before connect(), in order with unsubscribe(), and issued once (rule 21)', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const { seen, handler } = texts()
    const first = outcomeOf(client.subscribe('a', handler))
    const second = outcomeOf(client.unsubscribe('a'))
    const third = outcomeOf(client.subscribe('b', handler))
    await world.advance(200_000)
    expect([first.state, second.state, third.state]).toEqual(['pending', 'pending', 'pending'])
    expect(client.statistics).toMatchObject({ incompleteOperations: 3, unackedOperations: 0 })
    await client.connect()
    await world.settle()
    expect([first.state, second.state, third.state]).toEqual(['resolved', 'resolved', 'resolved'])
    expect(sentFilters(world)).toEqual([['a'], ['b']])
    expect(leftFilters(world)).toEqual([['a']])
    say(world, 'a', 'no')
    say(world, 'b', 'yes')
    await world.settle()
    expect(seen).toEqual(['yes'])
  })

  it('without an answer is issued anew on the next connection, before publishes (rule 14)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback', { times: 1 }).withhold()
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const publishing = outcomeOf(client.publish('p', 'x', { qos: 1 }))
    await world.settle()
    const subscribing = outcomeOf(client.subscribe('a', { qos: 1 }, () => {}))
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    world.taken()
    await world.advance(2_000)
    expect([subscribing.state, publishing.state]).toEqual(['resolved', 'resolved'])
    expect(world.taken()).toEqual(['connect', 'subscribe', 'publish'])
  })

  it('times out; a late SUBACK that grants is undone by UNSUBSCRIBE (rule 17)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback', { times: 1 }).delay(2_000)
    const client = await world.connected({ operationTimeout: 60_000 })
    const subscribing = outcomeOf(client.subscribe('a', { timeout: 1_000 }, () => {}))
    await world.advance(999)
    expect(subscribing.state).toBe('pending')
    await world.advance(1)
    expect(subscribing.error).toBeInstanceOf(ConnectionError)
    expect(subscribing.error).toMatchObject({ code: 'operation-timeout', outcome: 'pending' })
    expect(leftFilters(world)).toEqual([])
    await world.advance(1_000)
    expect(leftFilters(world)).toEqual([['a']])
    expect(world.broker.sessions.get('client')?.subscriptions.size).toBe(0)
  })

  it('times out; but not what somebody else has asked for meanwhile', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback', { times: 1 }).delay(2_000)
    const client = await world.connected()
    const { seen, handler } = texts()
    const lost = outcomeOf(client.subscribe('a', { timeout: 1_000 }))
    await world.advance(1_000)
    expect(lost.state).toBe('rejected')
    await client.subscribe('a', handler)
    await world.advance(1_000)
    say(world, 'a', 'x')
    await world.settle()
    expect(leftFilters(world)).toEqual([])
    expect(seen).toEqual(['x'])
  })

  it('its time-out runs while connected only', async () => {
    const world = makeWorld(version)
    const client = world.client({ operationTimeout: 1_000 })
    const subscribing = outcomeOf(client.subscribe('a'))
    await world.advance(10_000)
    expect(subscribing.state).toBe('pending')
  })

  it.each(['before it is sent', 'before it is answered', 'later'] as const)(
    'a signal that aborts %s',
    async (when) => {
      const world = makeWorld(version)
      if (when === 'before it is answered') world.broker.faults.onSend('suback').delay(1_000)
      const client = world.client()
      if (when !== 'before it is sent') await client.connect()
      const controller = new AbortController()
      const reason = new Error('enough')
      const { seen, handler } = texts()
      const subscribing = outcomeOf(client.subscribe('a', { signal: controller.signal }, handler))
      await world.settle()
      controller.abort(reason)
      await world.settle()
      if (when === 'before it is sent') await client.connect()
      await world.advance(1_000)
      expect(subscribing.error).toBe(when === 'later' ? undefined : reason)
      expect(sentFilters(world)).toEqual(when === 'before it is sent' ? [] : [['a']])
      expect(leftFilters(world)).toEqual(when === 'before it is sent' ? [] : [['a']])
      say(world, 'a', 'x')
      await world.settle()
      expect(seen).toEqual([])
    },
  )

  it('a signal that has aborted: rejects with its reason, nothing is sent', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const reason = new Error('enough')
    const signal = AbortSignal.abort(reason)
    await expect(client.subscribe('a', { signal })).rejects.toBe(reason)
    await expect(client.unsubscribe('a', { signal })).rejects.toBe(reason)
    expect(world.taken()).toEqual(['connect'])
  })

  it('rejects with ClosedError after disconnect(), as what waits does', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback').withhold()
    const client = await world.connectedDurable()
    const waiting = outcomeOf(client.subscribe('a'))
    await world.settle()
    await client.disconnect()
    for (const error of [
      waiting.error,
      await client.subscribe('a').catch((reason: unknown) => reason),
      await client.unsubscribe('a').catch((reason: unknown) => reason),
    ]) {
      expect(error).toBeInstanceOf(ClosedError)
      expect(error).toMatchObject({ code: 'disconnected', kept: false })
    }
  })
})

describe('subscribe() in 5', () => {
  it('sends its options and properties', async () => {
    const world = makeWorld('5')
    const client = await world.connected()
    await client.subscribe(
      { a: { noLocal: true }, b: { retainAsPublished: true, retainHandling: 2 } },
      { qos: 1, properties: { subscriptionIdentifier: 7, userProperties: [['k', 'v']] } },
    )
    expect(world.got('subscribe')).toMatchObject([
      {
        subscriptions: [
          { filter: 'a', qos: 1, noLocal: true, retainAsPublished: false, retainHandling: 0 },
          { filter: 'b', qos: 1, noLocal: false, retainAsPublished: true, retainHandling: 2 },
        ],
        properties: { subscriptionIdentifiers: [7], userProperties: [['k', 'v']] },
      },
    ])
    const received: Message[] = []
    client.on('message', (message) => void received.push(message))
    say(world, 'a', 'x')
    await world.settle()
    expect(received.map(({ properties }) => properties?.subscriptionIdentifiers)).toEqual([[7]])
  })

  it('splits by the Maximum Packet Size of the server [5 MQTT-3.2.2-15]', async () => {
    const world = makeWorld('5', { broker: { maximumPacketSize: 60 } })
    const client = await world.connected()
    const filters = Array.from({ length: 10 }, (_, index) => `filter/number/${index}`)
    const { results } = await client.subscribe(filters)
    expect(results.map(({ reasonCode }) => reasonCode)).toEqual(filters.map(() => 0))
    expect(sentFilters(world).flat()).toEqual(filters)
    expect(sentFilters(world).length).toBeGreaterThan(1)
  })

  it('a filter that alone is too large is refused here, the others work (rule 23)', async () => {
    const world = makeWorld('5', { broker: { maximumPacketSize: 60 } })
    const client = await world.connected()
    const large = 'x'.repeat(60)
    const { results } = await client.subscribe(['a', large])
    expect(results.map(({ reasonCode }) => reasonCode)).toEqual([0, 0x95])
    await expect(client.subscribe(large)).rejects.toMatchObject({ reasonCode: 0x95, local: true })
  })

  it.each([
    ['wildcards', { wildcardSubscriptionAvailable: false }, 'a/+', {}, 0xa2],
    ['shared subscriptions', { sharedSubscriptionAvailable: false }, '$share/g/a', {}, 0x9e],
    [
      'identifiers',
      { subscriptionIdentifiersAvailable: false },
      'a',
      { properties: { subscriptionIdentifier: 1 } },
      0xa1,
    ],
  ] as const)(
    'a server without %s: RefusedError with local true, nothing is sent (rule 23)',
    async (_name, limits, filter, options, reasonCode) => {
      const world = makeWorld('5', { broker: limits })
      const client = await world.connected()
      const error = await client.subscribe(filter, options).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(RefusedError)
      expect(error).toMatchObject({ code: 'subscribe-refused', reasonCode, local: true })
      expect(sentFilters(world)).toEqual([])
    },
  )

  it('a refusal has the words of the server', async () => {
    const world = makeWorld('5')
    world.broker.faults.onSend('suback').replaceBy(({ packetId }) => ({
      type: 'suback',
      packetId,
      reasonCodes: [0x97],
      properties: { reasonString: 'too many' },
    }))
    const client = await world.connected()
    await expect(client.subscribe('a')).rejects.toMatchObject({
      reasonCode: 0x97,
      reasonString: 'too many',
      properties: { reasonString: 'too many' },
    })
  })

  it('noLocal on a shared subscription is a UsageError (rule 25) [5 MQTT-3.8.3-4]', async () => {
    const client = await makeWorld('5').connected()
    await expect(client.subscribe('$share/g/a', { noLocal: true })).rejects.toMatchObject({
      field: 'noLocal',
    })
  })

  it.each(['noLocal', 'retainAsPublished'] as const)(
    'the same filter with another %s is a UsageError (rule 28)',
    async (name) => {
      const world = makeWorld('5')
      const client = await world.connected()
      await client.subscribe('a', { [name]: true }, () => {})
      const error = await client.subscribe('a', {}, () => {}).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(UsageError)
      expect(error).toMatchObject({ code: 'invalid-option', field: name })
      expect(sentFilters(world)).toEqual([['a']])
    },
  )

  it('the same filter with retainHandling 2 and no higher QoS needs no SUBSCRIBE (rule 28)', async () => {
    const world = makeWorld('5')
    const client = await world.connected()
    const one = texts()
    const two = texts()
    await client.subscribe('a', { qos: 1 }, one.handler)
    const { results } = await client.subscribe('a', { qos: 0, retainHandling: 2 }, two.handler)
    expect(results).toEqual([{ filter: 'a', reasonCode: 1, grantedQos: 1 }])
    expect(sentFilters(world)).toEqual([['a']])
    say(world, 'a', 'x')
    await world.settle()
    expect([one.seen, two.seen]).toEqual([['x'], ['x']])
    await client.subscribe('a', { qos: 2, retainHandling: 2 })
    expect(sentFilters(world)).toEqual([['a'], ['a']])
  })

  it('3.1.1 refuses what only 5 has', async () => {
    const client = await makeWorld('3.1.1').connected()
    for (const options of [
      { noLocal: true },
      { retainAsPublished: true },
      { retainHandling: 1 },
      { properties: { subscriptionIdentifier: 1 } },
    ] as const) {
      await expect(client.subscribe('a', options)).rejects.toMatchObject({ code: 'needs-version-5' })
    }
  })
})

describe.each(VERSIONS)('filters in %s (rule 27)', (version) => {
  it.each([
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['#', 'a', true],
    ['#', '$SYS/a', false],
    ['+/a', '$SYS/a', false],
    ['$SYS/#', '$SYS/a', true],
    ['+', 'a/b', false],
    ['a/+', 'a/', true],
    ['$share/g/a/+', 'a/b', true],
  ])('%s and the topic %s: %s', async (filter, topic, matches) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe(filter, handler)
    say(world, topic, 'x')
    await world.settle()
    expect(seen).toEqual(matches ? ['x'] : [])
  })

  it('each PUBLISH calls each matching handler once', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const one = texts()
    const two = texts()
    await client.subscribe(['a/#', 'a/+', 'a/b'], one.handler)
    await client.subscribe('+/b', two.handler)
    await client.subscribe('#', two.handler)
    say(world, 'a/b', 'x')
    await world.settle()
    expect([one.seen, two.seen]).toEqual([['x'], ['x']])
  })

  it('copies that a server sends for each overlapping filter call them again', async () => {
    const world = makeWorld(version, { broker: { overlapping: 'copy-each' } })
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe(['a/#', 'a/b'], handler)
    say(world, 'a/b', 'x')
    await world.settle()
    expect(seen).toEqual(['x', 'x'])
  })
})

describe.each(VERSIONS)('the same filter again in %s (rule 28)', (version) => {
  it('both handlers stay; retained messages reach both when SUBSCRIBE is sent again', async () => {
    const world = makeWorld(version)
    world.broker.publish({ topic: 'a', payload: 'kept', retain: true })
    const client = await world.connected()
    const one = texts()
    const two = texts()
    await client.subscribe('a', one.handler)
    await world.settle()
    await client.subscribe('a', two.handler)
    await world.settle()
    expect(sentFilters(world)).toEqual([['a'], ['a']])
    expect([one.seen, two.seen]).toEqual([['kept', 'kept'], ['kept']])
  })

  it('a lower QoS does not lower what was granted', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', { qos: 2 }, () => {})
    await client.subscribe('a', { qos: 0 }, () => {})
    expect(world.got('subscribe').map(({ subscriptions }) => subscriptions[0]?.qos)).toEqual([2, 2])
  })

  it('the last to leave unsubscribes', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const one = texts()
    const two = texts()
    const first = await client.subscribe('a', one.handler)
    const second = await client.subscribe('a', two.handler)
    await first.unsubscribe()
    expect(leftFilters(world)).toEqual([])
    say(world, 'a', 'x')
    await world.settle()
    expect([one.seen, two.seen]).toEqual([[], ['x']])
    expect(await second.unsubscribe()).toEqual({ results: [{ filter: 'a', reasonCode: 0 }] })
    expect(leftFilters(world)).toEqual([['a']])
    expect(await second.unsubscribe()).toEqual({ results: [] })
    expect(leftFilters(world)).toEqual([['a']])
  })

  it('operations on one filter go one after another', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback').delay(100)
    world.broker.faults.onSend('unsuback').delay(100)
    const client = await world.connected()
    world.taken()
    void client.subscribe('a', () => {})
    void client.unsubscribe('a')
    void client.subscribe('a', () => {})
    void client.subscribe('b', () => {})
    await world.settle()
    expect(world.taken()).toEqual(['subscribe', 'subscribe'])
    await world.advance(100)
    expect(world.taken()).toEqual(['unsubscribe'])
    await world.advance(100)
    expect(world.taken()).toEqual(['subscribe'])
    await world.advance(100)
    expect(world.broker.sessions.get('client')?.subscriptions.size).toBe(2)
  })
})

describe.each(VERSIONS)('unsubscribe() in %s', (version) => {
  it('removes every handler of the filter and always sends UNSUBSCRIBE', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const one = texts()
    const two = texts()
    await client.subscribe('a', one.handler)
    const second = await client.subscribe('a', two.handler)
    const result = await client.unsubscribe('a')
    expect(result).toEqual({ results: [{ filter: 'a', reasonCode: 0 }] })
    expect(leftFilters(world)).toEqual([['a']])
    expect(await second.unsubscribe()).toEqual({ results: [] })
    await client.unsubscribe(['never', 'a'])
    expect(leftFilters(world)).toEqual([['a'], ['never', 'a']])
    say(world, 'a', 'x')
    await world.settle()
    expect([one.seen, two.seen]).toEqual([[], []])
  })

  it('once it is called no handler of it runs; later messages are acknowledged (rule 28)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('unsuback').delay(1_000)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    const leaving = outcomeOf(client.unsubscribe('a'))
    world.broker.faults.onReceive('unsubscribe').delay(100)
    say(world, 'a', 'one', 1)
    say(world, 'a', 'two', 2)
    await world.settle()
    await world.advance(2_000)
    expect(leaving.state).toBe('resolved')
    expect(seen).toEqual([])
    expect(world.got('puback')).toHaveLength(1)
    expect(world.got('pubcomp')).toHaveLength(1)
    expect(client.statistics.messagesUnmatched).toBe(2)
  })

  it('messages that wait for their turn are acknowledged and not handled', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const seen: string[] = []
    let finish = (): void => {}
    await client.subscribe('a', { qos: 1 }, (message) => {
      seen.push(message.text())
      return new Promise<void>((resolve) => (finish = resolve))
    })
    for (const text of ['one', 'two', 'three']) say(world, 'a', text, 1)
    await world.settle()
    await client.unsubscribe('a')
    finish()
    await world.settle()
    expect(seen).toEqual(['one'])
    expect(world.got('puback')).toHaveLength(3)
  })

  it('by await using', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    {
      await using subscription = await client.subscribe('a', () => {})
      expect(subscription.filters).toEqual(['a'])
    }
    expect(leftFilters(world)).toEqual([['a']])
  })

  it('a filter that was left is not renewed', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ resubscribe: 'always', reconnect: { min: 1_000, jitter: false } })
    await client.subscribe(['a', 'b'], () => {})
    await client.unsubscribe('a')
    world.broker.cutAll()
    await world.advance(2_000)
    expect(sentFilters(world)).toEqual([['a', 'b'], ['b']])
  })
})

describe('unsubscribe() in 5', () => {
  it('sends properties, tells the codes, rejects when all are refused', async () => {
    const world = makeWorld('5')
    const client = await world.connected()
    await client.subscribe('a', () => {})
    const result = await client.unsubscribe(['a', 'b'], { properties: { userProperties: [['k', 'v']] } })
    expect(result.results).toEqual([
      { filter: 'a', reasonCode: 0 },
      { filter: 'b', reasonCode: 0x11 },
    ])
    expect(world.got('unsubscribe')[0]?.properties).toEqual({ userProperties: [['k', 'v']] })
    world.broker.faults.onSend('unsuback').withReasonCode(0x87)
    const error = await client.unsubscribe('a').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RefusedError)
    expect(error).toMatchObject({ code: 'unsubscribe-refused', reasonCode: 0x87 })
  })
})

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

describe.each(VERSIONS)('route() in %s', (version) => {
  it('attaches a handler without SUBSCRIBE; what it returns detaches it', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a/#')
    const { seen, handler } = texts()
    const detach = client.route('a/+', handler)
    say(world, 'a/b', 'one')
    await world.settle()
    detach()
    detach()
    say(world, 'a/b', 'two')
    await world.settle()
    expect(seen).toEqual(['one'])
    expect(sentFilters(world)).toEqual([['a/#']])
    expect(leftFilters(world)).toEqual([])
  })

  it('throws a UsageError for a bad filter, handler or option', () => {
    const client = makeWorld(version).client()
    expect(() => client.route('a#', () => {})).toThrow(UsageError)
    expect(() => client.route('a', 7 as never)).toThrow(UsageError)
    expect(() => client.route('a', () => {}, { ack: 'no' as never })).toThrow(UsageError)
    expect(() => client.route('a', () => {}, { qos: 1 } as never)).toThrow(UsageError)
  })
})

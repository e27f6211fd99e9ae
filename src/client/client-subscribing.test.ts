// subscribe(): rules 14, 17, 23, 25, 27, 28.
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

  it('takes the options before the handler, and says so', async () => {
    const client = await makeWorld(version).connected()
    const handler = (): void => {}
    for (const misplaced of [{ qos: 1 }, () => {}]) {
      const subscribing = client.subscribe('a', handler as never, misplaced as never)
      await expect(subscribing).rejects.toMatchObject({ code: 'invalid-option', field: 'handler' })
    }
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

  it('the same filter with another subscription identifier is a UsageError: each SUBSCRIBE replaces it', async () => {
    const world = makeWorld('5')
    const client = await world.connected()
    await client.subscribe('a', { properties: { subscriptionIdentifier: 7 } }, () => {})
    for (const properties of [undefined, { subscriptionIdentifier: 8 }]) {
      const error = await client.subscribe('a', { properties }, () => {}).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'invalid-option', field: 'properties.subscriptionIdentifier' })
    }
    await client.subscribe('a', { properties: { subscriptionIdentifier: 7 } }, () => {})
    expect(sentFilters(world)).toEqual([['a'], ['a']])
  })

  it('properties for the server are sent, also with retainHandling 2', async () => {
    const world = makeWorld('5')
    const client = await world.connected()
    await client.subscribe('a')
    await client.subscribe('a', { retainHandling: 2, properties: { userProperties: [['b', 'c']] } })
    expect(world.got('subscribe').at(-1)?.properties).toEqual({ userProperties: [['b', 'c']] })
  })

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

  it('a filter that one of two calls was refused is renewed for the other', async () => {
    let isFirst = true
    const world = makeWorld(version, {
      broker: {
        authorizeSubscribe: (_id, { qos }) => {
          const answer = isFirst ? 0x80 : qos
          isFirst = false
          return answer
        },
      },
    })
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const first = outcomeOf(client.subscribe('a', { qos: 1 }, () => {}))
    const second = outcomeOf(client.subscribe('a', { qos: 1 }, () => {}))
    await world.settle()
    expect([first.state, second.state]).toEqual(['rejected', 'resolved'])
    world.broker.cutAll()
    world.broker.sessions.clear()
    await world.settle()
    world.taken()
    await world.advance(2_000)
    expect(world.taken()).toContain('subscribe')
  })

  it('options that are null, and those of one filter, are looked at without a handler, too', async () => {
    const client = await makeWorld(version).connected()
    await expect(client.subscribe('a', null as never)).rejects.toBeInstanceOf(UsageError)
    await expect(client.subscribe({ a: { ack: 'manual' } })).rejects.toMatchObject({
      code: 'invalid-option',
      field: 'ack',
    })
  })

  it.each([{ ack: 'manual' }, { concurrency: 2 }, { payload: 'borrowed' }] as const)(
    'options of a handler are not taken without one: %o',
    async (options) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const [[name, value]] = Object.entries(options) as [[string, unknown]]
      await expect(client.subscribe('a', options)).rejects.toMatchObject({
        code: 'invalid-option',
        field: name,
        message: `${name}: expected it where the handler is given (route), got ${typeof value === 'string' ? `"${value}"` : String(value)}`,
      })
      expect(world.got('subscribe')).toEqual([])
    },
  )
})

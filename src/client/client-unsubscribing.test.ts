// The same filter again, unsubscribe() and route(): rule 28.
import { describe, expect, it } from 'vitest'
import { outcomeOf, type TestWorld, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { RefusedError, UsageError } from '../core/errors.ts'

const makeWorld = useWorlds()

const sentFilters = (world: TestWorld): readonly string[][] =>
  world.got('subscribe').map(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
const leftFilters = (world: TestWorld): readonly (readonly string[])[] =>
  world.got('unsubscribe').map(({ filters }) => filters)
const say = (world: TestWorld, topic: string, payload: string, qos: 0 | 1 | 2 = 0): void =>
  world.broker.publish({ topic, payload, qos })

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

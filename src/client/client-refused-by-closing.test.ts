// A server that refuses SUBSCRIBE by closing, as AWS IoT does: decision 17. Who asked learns it, nobody else suffers.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ConnectionError } from '../core/errors.ts'
import type { SubscribePacket } from '../core/packets/types.ts'

const makeWorld = useWorlds()
type World = ReturnType<typeof makeWorld>

const RECONNECT = { reconnect: { min: 1_000, max: 1_000, jitter: false } }
const sentFilters = (world: World): readonly string[][] =>
  world.got('subscribe').map(({ subscriptions }) => subscriptions.map(({ filter }) => filter))
/** The broker ends the connection at a SUBSCRIBE for this filter; what it has got is noted. */
const forbid = (world: World, forbidden: string): string[][] => {
  const asked: string[][] = []
  const where = ({ subscriptions }: SubscribePacket): boolean => {
    const filters = subscriptions.map(({ filter }) => filter)
    asked.push(filters)
    return filters.includes(forbidden)
  }
  world.broker.faults.onReceive('subscribe', { where }).cutBefore()
  return asked
}

describe.each(VERSIONS)('a SUBSCRIBE that ends connections in %s', (version) => {
  it('rejects after poisonLimit of them, and what else was asked and published is not blamed', async () => {
    const world = makeWorld(version)
    const asked = forbid(world, 'forbidden')
    const client = await world.connectedDurable({ poisonLimit: 3, ...RECONNECT })
    const { seen, handler } = texts()
    await client.subscribe('before', { qos: 1 }, handler)
    const forbidden = outcomeOf(client.subscribe(['forbidden', 'with/it'], { qos: 1 }))
    const behind = outcomeOf(client.subscribe('behind', { qos: 1 }, handler))
    const published = outcomeOf(client.publish('before', 'x', { qos: 1 }))
    await world.advance(10_000)
    expect(forbidden.error).toBeInstanceOf(ConnectionError)
    expect(forbidden.error).toMatchObject({
      code: 'poison-delivery',
      message: expect.stringContaining('"forbidden", "with/it"'),
      cause: { code: 'connection-lost' },
    })
    expect(behind.state).toBe('resolved')
    expect(published.state).toBe('resolved')
    expect(client.state).toBe('connected')
    world.broker.publish({ topic: 'behind', payload: 'y', qos: 1 })
    await world.settle()
    expect(seen).toEqual(['x', 'y'])
    // Together at first; then alone, until it is known which of them it is.
    expect(asked.filter(([first]) => first === 'forbidden')).toHaveLength(3)
    expect(asked.slice(-2)).toEqual([['forbidden', 'with/it'], ['behind']])
  })

  it('holds no publish to blame, also when there are more connections than poisonLimit', async () => {
    const world = makeWorld(version)
    forbid(world, 'forbidden')
    const client = await world.connectedDurable({ poisonLimit: 3, ...RECONNECT })
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    world.broker.faults.onReceive('publish', { times: 1 }).cutBefore()
    const first = outcomeOf(client.subscribe('forbidden'))
    await world.settle()
    client.subscribe('forbidden').catch(() => {})
    await world.advance(20_000)
    expect(first.state).toBe('rejected')
    expect(publishing.state).toBe('resolved')
  })

  it('UNSUBSCRIBE, too; and with poisonLimit 0 there is no end', async () => {
    const world = makeWorld(version)
    world.broker.faults.onReceive('unsubscribe').cutBefore()
    const patient = await world.connectedDurable({ poisonLimit: 0, ...RECONNECT })
    const other = world.durable({ clientId: 'other', poisonLimit: 2, ...RECONNECT })
    await other.connect()
    const pending = outcomeOf(patient.unsubscribe('a'))
    const rejected = outcomeOf(other.unsubscribe('a'))
    await world.advance(30_000)
    expect(pending.state).toBe('pending')
    expect(rejected.error).toMatchObject({ code: 'poison-delivery' })
  })

  it('a connection that was lost in another way is no sign', async () => {
    const world = makeWorld(version, { complaints: ['keep-alive'] })
    world.broker.faults.onSend('suback').withhold()
    const client = await world.connectedDurable({
      poisonLimit: 2,
      keepAlive: 5,
      pingTimeout: 1_000,
      ...RECONNECT,
    })
    world.broker.faults.onSend('pingresp').withhold()
    const subscribing = outcomeOf(client.subscribe('a', { timeout: 0 }))
    const lost = collect(client, 'disconnected')
    await world.advance(60_000)
    expect(lost.length).toBeGreaterThan(5)
    expect(lost).toMatchObject(lost.map(() => ({ error: { code: 'ping-timeout' } })))
    expect(subscribing.state).toBe('pending')
    world.broker.faults.clear()
    world.broker.cutAll()
    await world.advance(10_000)
    expect(subscribing.state).toBe('resolved')
  })

  it('a renewal is tried for ever: without it the client would be deaf; publishes go when it was answered', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ poisonLimit: 2, ...RECONNECT })
    const { seen, handler } = texts()
    const errors = collect(client, 'error')
    await client.subscribe('a', { qos: 1 }, handler)
    world.broker.faults.onReceive('subscribe').cutBefore()
    world.broker.cutAll()
    await world.advance(10_500)
    const published = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(10_000)
    expect(published.state).toBe('pending')
    world.broker.faults.clear()
    await world.advance(2_000)
    expect(published.state).toBe('resolved')
    expect(seen).toEqual(['x'])
    expect(errors).toEqual([])
  })

  it('after two of them each is sent alone, and publishes wait until all are answered', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable(RECONNECT)
    world.broker.faults.onReceive('subscribe', { times: 2 }).cutBefore()
    world.broker.faults.onSend('suback').delay(100)
    const asked = [client.subscribe('a', { qos: 1 }), client.subscribe('b', { qos: 1 })]
    const published = client.publish('c', 'x', { qos: 1 })
    await world.settle()
    world.taken()
    await world.advance(1_000)
    expect(world.taken()).toEqual(['connect'])
    await world.advance(1_000)
    expect(world.taken()).toEqual(['connect', 'subscribe'])
    await world.advance(100)
    expect(world.taken()).toEqual(['subscribe'])
    await world.advance(100)
    expect(world.taken()).toEqual(['publish'])
    await Promise.all([...asked, published])
  })
})

describe.each(VERSIONS)('the renewal of subscriptions in %s', (version) => {
  const renewed = async (
    world: World,
    subscribe: (filters: string[]) => Promise<unknown>,
  ): Promise<number[]> => {
    await subscribe(Array.from({ length: 20 }, (_, index) => `f/${index}`))
    world.fromClient.length = 0
    world.broker.cutAll()
    await world.advance(2_000)
    return sentFilters(world).map(({ length }) => length)
  }

  it('asks for no more filters at once than were granted at once, or eight', async () => {
    const world = makeWorld(version)
    const client = await world.connected(RECONNECT)
    const sizes = await renewed(world, async (filters) => {
      for (const filter of filters) await client.subscribe(filter)
    })
    expect(sizes).toEqual([8, 8, 4])
    expect((await client.resubscribe()).length).toBe(20)
  })

  it('asks for all at once where the server has taken as many', async () => {
    const world = makeWorld(version)
    const client = await world.connected(RECONNECT)
    expect(await renewed(world, (filters) => client.subscribe(filters))).toEqual([20])
  })
})

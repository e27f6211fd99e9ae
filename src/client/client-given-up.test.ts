// What a signal or a time-out gives up: who asked is told at once, what was lent is not let go too early, what the server
// may have granted is undone, and the room that is left is somebody else's.
import { describe, expect, it } from 'vitest'
import { outcomeOf, type TestWorld, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'

const makeWorld = useWorlds()

const RECONNECT = { reconnect: { min: 1_000, max: 1_000, jitter: false } }
const left = (world: TestWorld): readonly (readonly string[])[] =>
  world.got('unsubscribe').map(({ filters }) => filters)

describe.each(VERSIONS)('a payload that was lent in %s', (version) => {
  const sent = async (world: TestWorld): Promise<readonly (number | undefined)[]> => {
    world.link.go()
    await world.advance(10_000)
    return world.got('publish').map(({ payload }) => payload.at(-1))
  }

  it.each(['its signal', 'its time-out'] as const)(
    'stays lent while disconnect() waits for the network, also when %s has given it up',
    async (what) => {
      const world = makeWorld(version, { complaints: ['keep-alive'] })
      const client = await world.connectedDurable({ keepAlive: 0 })
      const controller = new AbortController()
      const payload = new Uint8Array(300_000).fill(0x61)
      world.link.stop()
      const published = outcomeOf(
        client
          .publish('a', payload, { qos: 1, payload: 'borrowed', signal: controller.signal, timeout: 1_000 })
          .finally(() => payload.fill(0x78)),
      )
      await world.settle()
      const ended = client.disconnect({ drain: 30_000 })
      if (what === 'its signal') controller.abort()
      await world.advance(2_000)
      expect(published.state).toBe('pending')
      expect(await sent(world)).toEqual([0x61])
      await ended
      expect(published.state).toBe('rejected')
    },
  )

  it('does not leave a connection that has failed once it was given up', async () => {
    const world = makeWorld(version, { complaints: ['unacknowledged'] })
    const client = await world.connectedDurable({ keepAlive: 0, onHandlerError: 'reconnect', ...RECONNECT })
    await client.subscribe('b', { qos: 1 }, () => {
      throw new Error('broken')
    })
    client.on('error', () => {})
    const controller = new AbortController()
    const payload = new Uint8Array(100_000).fill(0x61)
    world.link.stop()
    const published = outcomeOf(
      client
        .publish('a', payload, { qos: 1, payload: 'borrowed', signal: controller.signal })
        .finally(() => payload.fill(0x78)),
    )
    await world.settle()
    world.broker.publish({ topic: 'b', payload: 'x', qos: 1 })
    await world.settle()
    controller.abort()
    await world.settle()
    expect(published.state).toBe('rejected')
    expect(await sent(world)).not.toContain(0x78)
  })
})

describe.each(VERSIONS)('a SUBSCRIBE that was given up in %s', (version) => {
  it.each(['its signal', 'its time-out', 'its signal, while there is no connection'] as const)(
    'by %s is undone, also when the connection went before its answer',
    async (what) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable(RECONNECT)
      world.broker.faults.onSend('suback').withhold()
      const controller = new AbortController()
      const { seen, handler } = texts()
      const subscribing = outcomeOf(
        client.subscribe('a', { qos: 1, signal: controller.signal, timeout: 1_000 }, handler),
      )
      await world.settle()
      if (what === 'its signal') controller.abort('enough')
      if (what === 'its time-out') await world.advance(1_000)
      world.broker.cutAll()
      await world.settle()
      if (what.endsWith('no connection')) controller.abort('enough')
      await world.advance(1_000)
      expect(subscribing.state).toBe('rejected')
      expect(left(world)).toEqual([['a']])
      world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
      await world.settle()
      expect(seen).toEqual([])
      expect(client.statistics.messagesUnmatched).toBe(0)
    },
  )

  it('is not undone where another call has the filter by then', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable(RECONNECT)
    world.broker.faults.onSend('suback', { nth: 1 }).withhold()
    const { seen, handler } = texts()
    const subscribing = outcomeOf(client.subscribe(['a', 'b'], { qos: 1, timeout: 1_000 }, handler))
    await world.advance(1_000)
    expect(subscribing.state).toBe('rejected')
    await client.subscribe('a', { qos: 1 }, handler)
    world.broker.cutAll()
    await world.advance(1_000)
    expect(left(world)).toEqual([['b']])
    world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await world.settle()
    expect(seen).toEqual(['x'])
  })

  it('and of which one packet was answered rejects at once, and all of it is undone', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxFiltersPerSubscribe: 1 })
    world.broker.faults.onSend('suback', { nth: 2 }).delay(5_000)
    const controller = new AbortController()
    const subscribing = outcomeOf(client.subscribe(['a', 'b'], { signal: controller.signal }))
    await world.settle()
    controller.abort('enough')
    await world.settle()
    expect(subscribing.error).toBe('enough')
    await world.advance(5_000)
    expect(left(world).flat().sort()).toEqual(['a', 'b'])
  })
})

describe.each(VERSIONS)("overflow: 'wait' in %s", (version) => {
  it('closing lets nothing in any more', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 1, overflow: 'wait' } })
    const published = ['x', 'y', 'z'].map((text) => outcomeOf(client.publish('a', text, { qos: 1 })))
    await client.disconnect()
    expect(published).toMatchObject(published.map(() => ({ error: { code: 'disconnected', kept: false } })))
    expect(client.pending).toEqual([])
  })

  it('room that a message leaves whose signal aborts is given to the next, also without a connection', async () => {
    const world = makeWorld(version)
    const controller = new AbortController()
    const client = world.client({ queue: { maxMessages: 1, overflow: 'wait' } })
    const first = outcomeOf(client.publish('a', 'x', { qos: 1, signal: controller.signal }))
    const second = outcomeOf(client.publish('a', 'y', { qos: 1 }))
    await world.settle()
    expect(client.pending).toHaveLength(1)
    controller.abort('enough')
    await world.settle()
    expect(first.error).toBe('enough')
    expect(second.state).toBe('pending')
    expect(client.pending).toHaveLength(1)
  })
})

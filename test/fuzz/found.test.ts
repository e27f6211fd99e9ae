// What conversations with a malicious server have found, without the server.
import { describe, expect, it } from 'vitest'
import { memoryStore } from '../../src/store/memory.ts'
import { outcomeOf, useWorlds, VERSIONS } from '../support/client-world.ts'

const makeWorld = useWorlds()

describe.each(VERSIONS)('a client with a store in %s', (version) => {
  it('settles a publish that was queued in an attempt that failed, after the next connect()', async () => {
    const world = makeWorld(version)
    const client = world.durable({ store: memoryStore() })
    world.link.dialing = 'ignored'
    const first = outcomeOf(client.connect())
    await world.settle()
    const published = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(31_000)
    expect(first.state).toBe('rejected')
    world.link.dialing = 'answered'
    await client.connect()
    await world.settle()
    expect(world.got('publish')).toHaveLength(1)
    expect(published.state).toBe('resolved')
  })

  it('settles publishAll() that waits for room when the client is disconnected', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ store: memoryStore(), reconnect: { min: 10_000 } })
    world.broker.cutAll()
    await world.settle()
    const messages = ['1', '2', '3'].map((payload) => ({ topic: 'a', payload, qos: 1 }) as const)
    const published = outcomeOf(client.publishAll(messages, { window: 2 }))
    await world.settle()
    await client.disconnect()
    await world.advance(100_000)
    expect(published.state).not.toBe('pending')
  })
})

// A store that is closed and opened again by the same client: nothing of it is taken twice, nothing stays open.
import { describe, expect, it } from 'vitest'
import { gate, outcomeOf, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { memoryStore } from '../store/memory.ts'

const worldFor = useWorlds()

describe.each(VERSIONS)('a store that is opened again (%s)', (version) => {
  it('has each waiting message once, however often it is opened (rules 6, 21)', async () => {
    const world = worldFor(version)
    const client = world.durable({ store: memoryStore(), retryInitialConnect: true })
    await client.connect()
    world.link.dialing = 'ignored'
    world.broker.cutAll()
    await world.settle()
    const publish = outcomeOf(client.publish('a', 'x', { qos: 2 }))
    await world.settle()
    for (let round = 0; round < 3; round += 1) {
      await client.disconnect()
      outcomeOf(client.connect())
      await world.settle()
    }
    expect(publish.state).toBe('rejected')
    expect(client.pending).toHaveLength(1)
    world.link.dialing = 'answered'
    await client.disconnect()
    await client.connect()
    await world.settle()
    expect(world.got('publish')).toHaveLength(1)
    expect(client.pending).toHaveLength(0)
  })

  it('is closed when the client stops while it is being opened (rule 34)', async () => {
    const world = worldFor(version)
    const store = memoryStore()
    const opening = gate()
    const slow = {
      durability: store.durability,
      open: () => opening.promise.then(() => store.open()),
      append: (records: Uint8Array) => store.append(records),
      replace: (records: Uint8Array) => store.replace(records),
      close: () => store.close(),
    }
    const client = world.durable({ store: slow })
    outcomeOf(client.connect())
    const disconnected = outcomeOf(client.disconnect())
    opening.open()
    await world.settle()
    expect(disconnected.state).toBe('resolved')
    await store.open()
    await store.close()
  })

  it('knows a QoS 2 message that was handled while there was no connection (rule 18)', async () => {
    const world = worldFor(version)
    const client = world.durable({ store: memoryStore() })
    await client.connect()
    const handled = gate()
    const seen: string[] = []
    await client.subscribe('a', { qos: 2 }, (message) => {
      seen.push(message.text())
      return handled.promise
    })
    world.broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    handled.open()
    await world.settle()
    await client.disconnect()
    await client.connect()
    await world.settle()
    expect(seen).toEqual(['x'])
    expect(world.broker.openExchanges).toEqual([])
  })
})

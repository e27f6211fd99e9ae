// A store that is closed and opened again by the same client: nothing of it is taken twice, nothing stays open.
import { describe, expect, it } from 'vitest'
import { gate, outcomeOf, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { memoryStore } from '../store/memory.ts'
import type { SessionStore } from '../store/store.ts'
import type { Client } from './client.ts'

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

  it('is closed before it is opened, though destroy() and connect() are called at once (rules 32, 34)', async () => {
    const world = worldFor(version)
    const store = memoryStore()
    const log: string[] = []
    const watched: SessionStore = {
      durability: store.durability,
      open: () => store.open().finally(() => log.push('open')),
      append: (records) => store.append(records).finally(() => log.push('append')),
      replace: (records) => store.replace(records).finally(() => log.push('replace')),
      close: () => store.close().finally(() => log.push('close')),
    }
    const client = world.durable({ store: watched })
    await client.connect()
    await world.settle()
    client.destroy()
    await client.connect()
    await world.settle()
    expect(log.filter((call) => call === 'open' || call === 'close')).toEqual(['open', 'close', 'open'])
    log.length = 0
    await client.publish('a', 'x', { qos: 2 })
    expect(log).toContain('append')
  })

  it('with records that cannot be read is closed, and may be opened again', async () => {
    const world = worldFor(version)
    const store = memoryStore()
    let isDamaged = true
    const damaged: SessionStore = {
      durability: store.durability,
      open: async () => {
        const records = await store.open()
        return isDamaged ? [Uint8Array.of(255, 1, 2)] : records
      },
      append: (records) => store.append(records),
      replace: (records) => store.replace(records),
      close: () => store.close(),
    }
    const client = world.durable({ store: damaged })
    await expect(client.connect()).rejects.toMatchObject({ code: 'store-damaged' })
    isDamaged = false
    await client.connect()
    expect(client.state).toBe('connected')
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

  it.each(['before', 'while', 'after'] as const)(
    'leaves a QoS 2 message with its handler, which ends %s the store is opened again (rule 18)',
    async (when) => {
      const world = worldFor(version)
      const store = memoryStore()
      const opening = gate()
      let opened = 0
      const slow: SessionStore = {
        durability: store.durability,
        open: async () => {
          if (++opened > 1) await opening.promise
          return store.open()
        },
        append: (records) => store.append(records),
        replace: (records) => store.replace(records),
        close: () => store.close(),
      }
      const client = world.durable({ store: slow })
      await client.connect()
      const handled = gate()
      const seen: string[] = []
      await client.subscribe('a', { qos: 2 }, (message) => {
        seen.push(message.text())
        return handled.promise
      })
      world.broker.publish({ topic: 'a', payload: 'x', qos: 2 })
      await world.settle()
      await client.disconnect()
      if (when === 'before') handled.open()
      await world.settle()
      const connected = client.connect()
      await world.settle()
      if (when === 'while') handled.open()
      await world.settle()
      opening.open()
      await connected
      await world.settle()
      expect(seen).toEqual(['x'])
      handled.open()
      await world.settle()
      expect(seen).toEqual(['x'])
      expect(world.broker.openExchanges).toEqual([])
    },
  )

  it('hands a QoS 2 message over that its handler has, once another client has had the store (rule 18)', async () => {
    const world = worldFor(version)
    const store = memoryStore()
    const client = world.durable({ store })
    await client.connect()
    const handled = gate()
    const seen: string[] = []
    await client.subscribe('a', { qos: 2 }, (message) => {
      seen.push(message.text())
      return handled.promise
    })
    world.broker.publish({ topic: 'a', payload: 'first', qos: 2 })
    await world.settle()
    await client.disconnect()
    const other = world.durable({ store })
    other.on('message', () => {})
    await other.connect()
    await world.settle()
    await other.disconnect()
    world.broker.publish({ topic: 'a', payload: 'second', qos: 2 })
    await client.connect()
    await world.settle()
    handled.open()
    await world.settle()
    expect(seen).toEqual(['first', 'second'])
    expect(world.broker.openExchanges).toEqual([])
  })
})

describe.each(VERSIONS)('a store that fails while the client stops (%s)', (version) => {
  const stops = {
    disconnect: (client: Client) => client.disconnect(),
    destroy: (client: Client) => Promise.resolve(client.destroy()),
  }

  it('hands over what waited for its record, and what comes after it (rules 18, 33)', async () => {
    const world = worldFor(version)
    const store = memoryStore()
    let fails = false
    const refuse = (): Promise<never> => Promise.reject(new Error('disk full'))
    const failing: SessionStore = {
      durability: store.durability,
      open: () => store.open(),
      append: (records) => (fails ? refuse() : store.append(records)),
      replace: (records) => (fails ? refuse() : store.replace(records)),
      close: () => store.close(),
    }
    const client = world.durable({ store: failing })
    client.on('error', () => undefined)
    await client.connect()
    const seen: string[] = []
    await client.subscribe('a', { qos: 2, ack: 'received' }, (message) => void seen.push(message.text()))
    // A store that is opened again counts its records from the beginning.
    for (let count = 0; count < 20; count += 1) await client.publish('b', 'x', { qos: 1 })
    fails = true
    world.broker.publish({ topic: 'a', payload: '1', qos: 2 })
    await world.settle()
    await client.disconnect()
    expect(seen).toEqual([])
    fails = false
    await client.connect()
    await world.settle()
    world.broker.publish({ topic: 'a', payload: '2', qos: 2 })
    await world.settle()
    expect(seen).toEqual(['1', '2'])
    expect(world.broker.openExchanges).toEqual([])
  })

  it.each(['disconnect', 'destroy'] as const)(
    'keeps no message that it did not take: %s() (rules 6, 33)',
    async (stop) => {
      const world = worldFor(version)
      const store = memoryStore()
      const writing = gate()
      let failing = false
      const append = async (records: Uint8Array): Promise<void> => {
        if (!failing) return store.append(records)
        await writing.promise
        throw new Error('the disk is full')
      }
      const client = world.durable({
        store: {
          durability: store.durability,
          open: () => store.open(),
          close: () => store.close(),
          append,
          replace: append,
        },
      })
      client.on('error', () => {})
      await client.connect()
      world.broker.faults.onSend('puback').withhold()
      const taken = outcomeOf(client.publish('a', 'taken', { qos: 1 }))
      await world.settle()
      failing = true
      const lost = outcomeOf(client.publish('a', 'lost', { qos: 1 }))
      const stopped = stops[stop](client)
      await world.settle()
      expect([taken.state, lost.state]).toEqual(['pending', 'pending'])
      writing.open()
      await stopped
      await world.settle()
      expect(taken.error).toMatchObject({ kept: true })
      expect(lost.error).toMatchObject({ code: 'store-failed' })
      expect(client.pending.map(({ topic }) => topic)).toEqual(['a'])
    },
  )
})

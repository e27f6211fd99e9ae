// Listeners and handlers that call the client while it is in the middle of something: every promise still settles, every
// event still comes once, and nothing goes on that was ended.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, record, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import type { SessionStore } from '../store/store.ts'
import { memoryStore } from '../store/memory.ts'

const makeWorld = useWorlds()
type World = ReturnType<typeof makeWorld>

const say = (world: World, topic: string, payload: string, qos: 0 | 1 | 2 = 1): void =>
  world.broker.publish({ topic, payload, qos })

/** A store that tells whether it is open. */
function watchedStore(): SessionStore & { isOpen: boolean } {
  const store = memoryStore()
  const watched = {
    durability: store.durability,
    isOpen: false,
    open: async () => {
      const records = await store.open()
      watched.isOpen = true
      return records
    },
    append: (bytes: Uint8Array) => store.append(bytes),
    replace: (bytes: Uint8Array) => store.replace(bytes),
    close: async () => {
      watched.isOpen = false
      await store.close()
    },
  }
  return watched
}

describe.each(VERSIONS)('a listener in %s', (version) => {
  it.each(['connected', 'waiting'] as const)(
    'to publishFailed that connects while a client that is %s is destroyed: connect() settles, and nothing is left',
    async (state) => {
      const world = makeWorld(version)
      const client = await world.connected({ reconnect: { min: 60_000 }, store: memoryStore() })
      world.broker.faults.onSend('puback').withhold()
      const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
      await world.settle()
      if (state === 'waiting') world.broker.cutAll()
      await world.settle()
      expect(client.state).toBe(state)
      const connecting: ReturnType<typeof outcomeOf>[] = []
      client.on('publishFailed', () => {
        connecting.push(outcomeOf(client.connect()))
        client.reconnectNow()
      })
      client.destroy()
      await world.advance(1_000)
      expect(publishing.state).toBe('rejected')
      expect(connecting).toMatchObject([{ state: 'rejected', error: { code: 'destroyed' } }])
      expect(client.state).toBe('stopped')
      expect(world.broker.connections.length).toBe(0)
      await client.connect()
      await client.subscribe('b', () => {})
    },
  )

  it.each([
    ['dialing', 'rejected', 'stopped'],
    ['connected', 'resolved', 'connected'],
  ] as const)(
    'to state that aborts connect() at %s: it is %s, and the client %s',
    async (at, outcome, end) => {
      const world = makeWorld(version)
      const client = world.client()
      const controller = new AbortController()
      client.on('state', ({ to }) => {
        if (to === at) controller.abort()
      })
      const connecting = outcomeOf(client.connect({ signal: controller.signal }))
      await world.advance(1_000)
      expect(connecting.state).toBe(outcome)
      expect(client.state).toBe(end)
      await client.disconnect()
      expect(world.broker.connections.length).toBe(0)
    },
  )

  it('to publishFailed that ends the client once more: disconnected and closed are told once', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ store: memoryStore() })
    const told = record(client, 'disconnected', 'closed')
    world.broker.faults.onSend('puback').withhold()
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.settle()
    client.on('publishFailed', () => client.destroy())
    void client.disconnect({ drain: 60_000 })
    client.destroy()
    await world.advance(5_000)
    expect(publishing.state).toBe('rejected')
    expect(told.map(({ name }) => name)).toEqual(['disconnected', 'closed'])
  })

  it('to publishFailed that connects a client which was never connected: closed is not told of it', async () => {
    const world = makeWorld(version)
    const client = world.client({ store: memoryStore() })
    const closed = collect(client, 'closed')
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    client.on('publishFailed', () => void client.connect())
    void client.disconnect()
    await world.advance(5_000)
    expect(publishing.state).toBe('rejected')
    expect(client.state).toBe('connected')
    expect(closed).toEqual([])
  })

  it('to packet that destroys at a message of QoS 2: it comes again', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    const stop = client.on('packet', ({ packet }) => {
      if (packet.type === 'publish') client.destroy()
    })
    say(world, 'a', 'x', 2)
    await world.settle()
    expect(seen).toEqual([])
    stop()
    await client.connect()
    await world.settle()
    expect(seen).toEqual(['x'])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('to state that destroys a client that is about to wait: disconnected does not speak of a reconnect', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const told = collect(client, 'disconnected')
    client.on('state', ({ to }) => {
      if (to === 'waiting') client.destroy()
    })
    world.broker.cutAll()
    await world.advance(1_000)
    expect(told).toMatchObject([{ willReconnect: false, delay: undefined }])
    expect(client.state).toBe('stopped')
  })

  it.each(['state', 'disconnected', 'interrupted'] as const)(
    'to %s that connects again after the last attempt: what was under way rejects, and the client works',
    async (event) => {
      const world = makeWorld(version)
      const store = memoryStore()
      const client = await world.connected({ reconnect: false, store })
      world.broker.faults.onSend('puback', { times: 1 }).withhold()
      const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
      await world.settle()
      let isDone = false
      client.on(event, () => {
        if (isDone || client.state !== 'stopped') return
        isDone = true
        void client.connect()
      })
      world.broker.cutAll()
      await world.advance(1_000)
      expect(isDone).toBe(true)
      expect(publishing).toMatchObject({ state: 'rejected', error: { code: 'disconnected' } })
      expect(client.state).toBe('connected')
      await client.publish('a', 'y', { qos: 1 })
      expect(client.pending).toEqual([])
    },
  )

  it('that ends the client while it begins to dial leaves no store open', async () => {
    const world = makeWorld(version)
    const store = watchedStore()
    const client = world.durable({ store })
    client.on('state', ({ to }) => {
      if (to === 'dialing') client.destroy()
    })
    await expect(client.connect()).rejects.toMatchObject({ code: 'destroyed' })
    await world.advance(1_000)
    expect(store.isOpen).toBe(false)
    expect(client.state).toBe('stopped')
  })

  it.each(['destroy', 'disconnect'] as const)(
    'to publishFailed that calls %s while the client is destroyed: each event comes once',
    async (call) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const events = record(client, 'disconnected', 'closed')
      world.link.stop()
      const publishing = outcomeOf(client.publish('a', new Uint8Array(300_000)))
      const last = outcomeOf(client.publish('a', 'x'))
      await world.settle()
      client.on('publishFailed', () => void client[call]())
      client.destroy()
      await world.settle()
      expect(events.map(({ name }) => name).sort()).toEqual(['closed', 'disconnected'])
      expect([publishing.state, last.state]).toEqual(['rejected', 'rejected'])
      expect(client.state).toBe('stopped')
      world.link.go()
    },
  )

  it('to publishFailed that connects when the connection is lost gets the next one', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    world.link.stop()
    client.send('a', new Uint8Array(300_000))
    const publishing = outcomeOf(client.publish('a', 'x'))
    await world.settle()
    let connecting: ReturnType<typeof outcomeOf> | undefined
    client.on('publishFailed', () => {
      connecting = outcomeOf(client.connect())
    })
    world.broker.cutAll()
    world.link.go()
    await world.settle()
    expect(publishing.state).toBe('rejected')
    expect(connecting?.state).toBe('pending')
    await world.advance(10_000)
    expect(connecting?.state).toBe('resolved')
    expect(client.state).toBe('connected')
  })

  it('to publishFailed that destroys the client when an old message gives way: the new one rejects, too', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 1, overflow: 'drop-oldest' } })
    const old = outcomeOf(client.publish('a', 'old', { qos: 1 }))
    client.on('publishFailed', () => client.destroy())
    const young = outcomeOf(client.publish('a', 'young', { qos: 1 }))
    await world.settle()
    expect(old.error).toMatchObject({ code: 'queue-full' })
    expect(young.error).toMatchObject({ code: 'destroyed' })
    expect(client.pending).toEqual([])
  })

  it('that is to be told once is told once, also of an event that a listener before raises', async () => {
    const world = makeWorld(version)
    const client = world.client()
    client.on('state', ({ to }) => {
      if (to === 'connected') void client.disconnect()
      if (to === 'handshaking') client.on('state', (event) => void told.push(event.to), { once: true })
    })
    const told: string[] = []
    await client.connect().catch(() => {})
    await world.advance(5_000)
    expect(told).toHaveLength(1)
  })
})

describe.each(VERSIONS)('a handler in %s', (version) => {
  /** A resumed session whose messages nobody wants yet. */
  const withMessages = async (world: World, ...messages: [string, 1 | 2][]) => {
    const before = await world.connectedDurable()
    await before.subscribe(['a', 'b'], { qos: 2 })
    await before.disconnect()
    for (const [text, qos] of messages) say(world, 'a', text, qos)
    const client = world.durable()
    await client.connect()
    await world.settle()
    return client
  }

  it('that unsubscribes at once, of a message that waited for it: the server has no subscription then', async () => {
    const world = makeWorld(version)
    const client = await withMessages(world, ['x', 1])
    world.fromClient.length = 0
    let left: Promise<unknown> | undefined
    await client.subscribe('a', { qos: 1 }, () => {
      left = client.unsubscribe('a')
    })
    await left
    expect(world.fromClient.map(({ type }) => type).filter((type) => type !== 'puback')).toEqual([
      'subscribe',
      'unsubscribe',
    ])
    say(world, 'a', 'late')
    await world.settle()
    expect(client.statistics.messagesUnmatched).toBe(0)
  })

  it('that destroys the client, of a message that waited for it: subscribe() rejects', async () => {
    const world = makeWorld(version)
    const client = await withMessages(world, ['x', 1], ['y', 2])
    const { seen, handler } = texts()
    const subscribing = outcomeOf(
      client.subscribe('a', { qos: 2 }, (message) => {
        handler(message)
        client.destroy()
      }),
    )
    await world.advance(10_000)
    expect(subscribing.error).toMatchObject({ code: 'destroyed' })
    expect(seen).toEqual(['x'])
    // The other one was not handled: it comes again.
    client.route('a', handler)
    await client.connect()
    await world.settle()
    expect(seen).toContain('y')
  })

  it('that aborts its own subscription, of a message that waited for it', async () => {
    const world = makeWorld(version)
    const client = await withMessages(world, ['x', 1])
    const controller = new AbortController()
    const subscribing = outcomeOf(
      client.subscribe('a', { qos: 1, signal: controller.signal }, () => controller.abort('enough')),
    )
    await world.settle()
    expect(subscribing.error).toBe('enough')
    expect(world.got('unsubscribe').map(({ filters }) => filters)).toEqual([['a']])
  })

  it('that publishes at QoS 0 and disconnects: the publish resolves, and is sent', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    let published: ReturnType<typeof outcomeOf> | undefined
    let ended: Promise<void> | undefined
    await client.subscribe('a', () => {
      published = outcomeOf(client.publish('b', 'x'))
      ended = client.disconnect()
    })
    say(world, 'a', 'go', 0)
    await world.settle()
    await ended
    expect(published?.state).toBe('resolved')
    expect(world.taken().slice(-2)).toEqual(['publish', 'disconnect'])
  })
})

describe('a listener to packets that ends the client in 5', () => {
  it('at an acknowledgement: what was acknowledged resolves', async () => {
    const world = makeWorld('5')
    const client = await world.connected5()
    client.on('packet', ({ direction, packet }) => {
      if (direction === 'in' && packet.type === 'puback') client.destroy()
    })
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(1_000)
    expect(publishing.state).toBe('resolved')
  })

  it('at a refusal of several: each rejects', async () => {
    const world = makeWorld('5', { broker: { maximumQoS: 0 } })
    const client = world.client5()
    const publishing = ['x', 'y', 'z'].map((text) => outcomeOf(client.publish('a', text, { qos: 1 })))
    client.on('publishFailed', () => client.destroy())
    await client.connect().catch(() => {})
    await world.advance(1_000)
    expect(publishing.map(({ state }) => state)).toEqual(['rejected', 'rejected', 'rejected'])
  })

  it('at the CONNACK that has lost the session: what is lost rejects, and the next connection is sound', async () => {
    const world = makeWorld('5')
    const client = world.client5({
      cleanStart: false,
      sessionExpiryInterval: Infinity,
      reconnect: { min: 1_000, max: 1_000, jitter: false },
    })
    await client.connect()
    world.broker.faults.onSend('pubrec').withhold()
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 2 }))
    await world.settle()
    world.broker.cutAll()
    world.broker.loseSession('client')
    const closed = collect(client, 'closed')
    const stop = client.on('packet', ({ direction, packet }) => {
      if (direction === 'in' && packet.type === 'connack') client.destroy()
    })
    await world.advance(2_000)
    stop()
    expect(closed).toHaveLength(1)
    expect(publishing.error).toMatchObject({ code: 'outcome-unknown' })
    world.broker.faults.clear()
    await client.connect()
    expect(client.pending).toEqual([])
    await client.publish('a', 'y', { qos: 2 })
  })
})

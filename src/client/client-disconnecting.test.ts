// disconnect() and destroy() in every state: rule 6.
import { describe, expect, it } from 'vitest'
import {
  collect,
  gate,
  outcomeOf,
  record,
  type TestWorld,
  texts,
  useWorlds,
  VERSIONS,
} from '../../test/support/client-world.ts'
import { ClosedError, UsageError } from '../core/errors.ts'
import type { CommonOptions } from './client-options.ts'
import type { Client } from './client.ts'
import type { ClientState } from './events.ts'

const makeWorld = useWorlds()
const STATES = ['stopped', 'dialing', 'handshaking', 'waiting', 'connected', 'disconnecting'] as const

/** A client in that state; `connecting` is the promise of its first connect(). */
async function clientIn(
  state: ClientState,
  world: TestWorld,
  options: CommonOptions = {},
): Promise<{ client: Client; connecting: ReturnType<typeof outcomeOf<unknown>> }> {
  const client = world.durable({ retryInitialConnect: true, ...options })
  if (state === 'dialing') world.link.dialing = 'ignored'
  if (state === 'waiting') world.link.dialing = 'refused'
  if (state === 'handshaking') world.broker.faults.onSend('connack', { times: 1 }).withhold()
  const connecting = outcomeOf<unknown>(state === 'stopped' ? Promise.resolve() : client.connect())
  await world.settle()
  if (state === 'disconnecting') {
    world.broker.faults.onReceive('disconnect').withhold()
    void client.disconnect()
  }
  expect(client.state).toBe(state)
  return { client, connecting }
}

describe.each(VERSIONS)('disconnect() in %s', (version) => {
  it('sends DISCONNECT, then FIN; events, then the promise', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ will: { topic: 'will', payload: 'gone' } })
    const wills: string[] = []
    const watcher = await world.connected({ clientId: 'watcher' })
    await watcher.subscribe('will', (message) => void wills.push(message.text()))
    const log = record(client, 'state', 'disconnected', 'interrupted', 'closed')
    await client.disconnect()
    expect(client.state).toBe('stopped')
    expect(client.settings).toBeUndefined()
    expect(log.map(({ name, event }) => (name === 'state' ? event : name))).toEqual([
      { from: 'connected', to: 'disconnecting' },
      { from: 'disconnecting', to: 'stopped' },
      'disconnected',
      'closed',
    ])
    expect(log[2]?.event).toEqual({
      error: undefined,
      reason: undefined,
      willReconnect: false,
      delay: undefined,
    })
    expect(log[3]?.event).toEqual({ error: undefined })
    await world.advance(10_000)
    expect(wills).toEqual([])
    expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0, properties: undefined }])
    expect(world.broker.connections).toHaveLength(1)
  })

  it('what was published before it leaves before it; nothing is sent after it [3.1.1 MQTT-3.14.4-2] [5 MQTT-3.14.4-1]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const zero = outcomeOf(client.publish('a', 'x'))
    client.send('b', 'x')
    const one = outcomeOf(client.publish('c', 'x', { qos: 1 }))
    await client.disconnect()
    await world.settle()
    expect(world.taken()).toEqual(['connect', 'publish', 'publish', 'publish', 'disconnect'])
    expect(zero.state).toBe('resolved')
    expect(one).toMatchObject({ state: 'rejected', error: { code: 'disconnected', kept: false } })
  })

  it.each(STATES)(
    'while %s: ends all, tells closed once, rejects a pending connect(), and connect() works again',
    async (state) => {
      const world = makeWorld(version)
      const { client, connecting } = await clientIn(state, world)
      const closed = collect(client, 'closed')
      const lost = collect(client, 'disconnected')
      const one = state === 'disconnecting' ? undefined : outcomeOf(client.publish('a', 'x', { qos: 1 }))
      const [first, second] = [client.disconnect(), client.disconnect()].map((promise) => outcomeOf(promise))
      await world.advance(2_000)
      expect([first?.state, second?.state, client.state]).toEqual(['resolved', 'resolved', 'stopped'])
      await client.disconnect()
      expect(closed).toEqual([{ error: undefined }])
      expect(lost).toHaveLength(state === 'connected' || state === 'disconnecting' ? 1 : 0)
      if (state !== 'stopped' && state !== 'connected' && state !== 'disconnecting') {
        expect(connecting.error).toBeInstanceOf(ClosedError)
        expect(connecting.error).toMatchObject({ code: 'disconnected' })
      }
      if (one !== undefined) {
        expect(one.error).toBeInstanceOf(ClosedError)
        expect(one.error).toMatchObject({ code: 'disconnected', kept: true })
      }
      await world.advance(500_000)
      expect(world.broker.connections).toEqual([])
      expect(world.runtime.timers).toBe(0)
      world.broker.faults.clear()
      world.link.dialing = 'answered'
      await client.connect()
      await world.settle()
      expect(client.state).toBe('connected')
      expect(client.pending).toEqual([])
      expect(world.got('publish').filter(({ dup }) => !dup)).toHaveLength(one === undefined ? 0 : 1)
      await client.disconnect()
      expect(closed).toHaveLength(2)
    },
  )

  it.each(STATES)('twice and thrice at once while %s: one DISCONNECT at most', async (state) => {
    const world = makeWorld(version)
    const { client } = await clientIn(state, world)
    void client.disconnect()
    void client.disconnect({ drain: 100_000 })
    void client[Symbol.asyncDispose]()
    await world.advance(2_000)
    expect(client.state).toBe('stopped')
    const sent = state === 'connected' ? 1 : 0
    expect(world.got('disconnect')).toHaveLength(sent)
  })

  it.each([true, false])('with 1,000 pending: every promise settles, and kept is %s', async (kept) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    world.broker.faults.onSend('pubrec').withhold()
    world.broker.faults.onSend('suback').withhold()
    const options = { maxInflight: 100 }
    const client = kept ? world.durable(options) : world.client(options)
    await client.connect()
    const outcomes = Array.from({ length: 1_000 }, (_, index) =>
      outcomeOf(client.publish('a', String(index), { qos: index % 2 === 0 ? 1 : 2 })),
    )
    const subscribing = outcomeOf(client.subscribe('a'))
    const pinging = outcomeOf(client.ping())
    world.broker.faults.onSend('pingresp').withhold()
    await world.settle()
    await client.disconnect()
    expect(new Set(outcomes.map(({ state }) => state))).toEqual(new Set(['rejected']))
    expect(new Set(outcomes.map(({ error }) => (error as ClosedError).kept))).toEqual(new Set([kept]))
    expect(subscribing).toMatchObject({ state: 'rejected', error: { code: 'disconnected', kept: false } })
    expect(pinging.state).toBe('rejected')
    expect(client.pending).toHaveLength(kept ? 1_000 : 0)
    world.broker.faults.clear()
    const settled = collect(client, 'deliverySettled')
    await client.connect()
    await world.advance(1_000)
    expect(client.pending).toEqual([])
    expect(settled).toHaveLength(kept ? 1_000 : 0)
    expect(new Set(settled.map(({ error }) => error))).toEqual(new Set(kept ? [undefined] : []))
  })

  it('is never held up: a peer that does not read is given 2 s', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    world.link.stop()
    client.send('a', new Uint8Array(100_000))
    await world.settle()
    const disconnecting = outcomeOf(client.disconnect())
    await world.advance(1_999)
    expect(disconnecting.state).toBe('pending')
    await world.advance(1)
    expect(disconnecting.state).toBe('resolved')
    world.link.go()
  })

  it('a QoS 2 exchange of the server is not waited for; the session keeps it', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrel', { times: 1 }).withhold()
    const client = await world.connectedDurable()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    world.broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    await world.settle()
    await client.disconnect({ drain: 10_000 })
    await client.connect()
    await world.settle()
    expect(seen).toEqual(['x'])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('connect() while disconnecting comes after it', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const disconnecting = client.disconnect()
    const connecting = client.connect()
    await disconnecting
    await connecting
    expect(client.state).toBe('connected')
    expect(world.taken()).toEqual(['connect', 'disconnect', 'connect'])
  })

  it.each(['disconnect', 'destroy'] as const)(
    '%s() ends a connect() that waits for the end before',
    async (how) => {
      const world = makeWorld(version)
      world.broker.faults.onSend('puback').withhold()
      const client = await world.connected()
      void client.publish('a', 'x', { qos: 1 })
      const first = outcomeOf(client.disconnect({ drain: 5_000 }))
      const again = outcomeOf(client.connect())
      const reason = new Error('enough')
      const controller = new AbortController()
      const given = outcomeOf(client.connect({ signal: controller.signal }))
      controller.abort(reason)
      await world.settle()
      expect([given.error, again.state]).toEqual([reason, 'pending'])
      if (how === 'destroy') client.destroy()
      else void client.disconnect()
      await world.advance(10_000)
      expect(first.state).toBe('resolved')
      expect(again).toMatchObject({ state: 'rejected', error: { code: 'disconnected' } })
      expect(client.state).toBe('stopped')
      expect(world.got('connect')).toHaveLength(1)
    },
  )

  it('what the network takes late leaves before DISCONNECT, which leaves too: no will appears', async () => {
    const world = makeWorld(version)
    const wills: string[] = []
    const watcher = await world.connected({ clientId: 'watcher' })
    await watcher.subscribe('will', (message) => void wills.push(message.text()))
    const client = await world.connected({ will: { topic: 'will', payload: 'gone' } })
    world.link.stop()
    const sent = outcomeOf(client.publish('a', new Uint8Array(300_000)))
    await world.settle()
    const queued = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    const disconnecting = outcomeOf(client.disconnect())
    await world.advance(1_000)
    expect([sent.state, disconnecting.state]).toEqual(['pending', 'pending'])
    world.link.go()
    await world.advance(1_000)
    expect([sent.state, queued.state, disconnecting.state]).toEqual(['resolved', 'resolved', 'resolved'])
    expect(world.got('publish').map(({ payload }) => payload.length)).toContain(300_000)
    expect(world.got('disconnect')).toHaveLength(1)
    expect(wills).toEqual([])
  })

  it('waits with drain for what the network has not taken, too', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    world.link.stop()
    const sent = outcomeOf(client.publish('a', new Uint8Array(300_000)))
    await world.settle()
    const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
    await world.advance(30_000)
    world.link.go()
    await world.settle()
    expect([sent.state, disconnecting.state]).toEqual(['resolved', 'resolved'])
    expect(world.got('disconnect')).toHaveLength(1)
  })

  it('calls no handler any more while it waits for the network; what came is for the next connection', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    world.link.stop()
    void client.publish('b', new Uint8Array(300_000))
    await world.settle()
    const disconnecting = client.disconnect()
    for (const qos of [0, 1, 2] as const) world.broker.publish({ topic: 'a', payload: String(qos), qos })
    await world.advance(1_000)
    expect(seen).toEqual([])
    world.link.go()
    await disconnecting
    await client.connect()
    await world.settle()
    expect(seen).toEqual(['1', '2'])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('a handler that disconnects is the last, also when something was lent before', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.publish('b', new Uint8Array(10), { payload: 'borrowed' })
    await client.subscribe('a', { qos: 1 }, (message) => {
      handler(message)
      if (seen.length === 2) void client.disconnect()
    })
    for (const text of ['1', '2', '3', '4']) world.broker.publish({ topic: 'a', payload: text, qos: 1 })
    await world.settle()
    expect(seen).toEqual(['1', '2'])
  })

  it('a payload that was lent at QoS 0 is given back when it has left', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const sent = outcomeOf(client.publish('a', new Uint8Array(100_000).fill(1), { payload: 'borrowed' }))
    await client.disconnect()
    expect(sent.state).toBe('resolved')
    expect(world.got('publish').map(({ payload }) => payload.length)).toEqual([100_000])
  })

  it('rejects with a UsageError for bad options, and nothing happens', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    for (const options of [{ drain: -1 }, { reasonCode: 1 }, { nonsense: 1 }] as object[]) {
      await expect(client.disconnect(options)).rejects.toBeInstanceOf(UsageError)
    }
    expect(client.state).toBe('connected')
  })

  it('by await using drains', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(10)
    const published = (async () => {
      await using client = await world.connected()
      return outcomeOf(client.publish('a', 'x', { qos: 1 }))
    })()
    await world.advance(10)
    expect((await published).state).toBe('resolved')
    expect(world.got('disconnect')).toHaveLength(1)
  })
})

describe.each(VERSIONS)('disconnect({ drain }) in %s', (version) => {
  it('a handler that cannot publish its answer any more leaves its message to the session', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    const errors = collect(client, 'error')
    const { promise, open } = gate()
    const answers: string[] = []
    await client.subscribe('a', { qos: 1 }, async (message) => {
      await promise
      await client.publish('b', message.text(), { qos: 1 })
      answers.push(message.text())
    })
    world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await world.settle()
    const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
    open()
    await world.settle()
    expect(disconnecting.state).toBe('resolved')
    expect(errors).toMatchObject([{ error: { code: 'handler-failed' } }])
    expect(world.got('puback')).toEqual([])
    await client.connect()
    await world.settle()
    expect(answers).toEqual(['x'])
    expect(world.got('puback')).toHaveLength(1)
  })

  it('waits for publishes, subscribes and their answers, and not a moment longer', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(1_000)
    world.broker.faults.onSend('suback').delay(2_000)
    const client = await world.connected({ maxInflight: 1 })
    const outcomes = [
      outcomeOf<unknown>(client.publish('a', 'x', { qos: 1 })),
      outcomeOf<unknown>(client.publish('b', 'x', { qos: 2 })),
      outcomeOf<unknown>(client.subscribe('c')),
    ]
    const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
    await world.settle()
    expect(client.state).toBe('disconnecting')
    await expect(client.publish('d', 'x', { qos: 1 })).rejects.toMatchObject({ code: 'disconnected' })
    await world.advance(1_999)
    expect(disconnecting.state).toBe('pending')
    await world.advance(1)
    expect(outcomes.map(({ state }) => state)).toEqual(['resolved', 'resolved', 'resolved'])
    expect(disconnecting.state).toBe('resolved')
    expect(world.got('disconnect')).toHaveLength(1)
  })

  it('the rest rejects when the time is over', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { nth: 2 }).withhold()
    const client = await world.connectedDurable()
    const first = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    const second = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    const disconnecting = outcomeOf(client.disconnect({ drain: 5_000 }))
    await world.advance(4_999)
    expect([first.state, second.state, disconnecting.state]).toEqual(['resolved', 'pending', 'pending'])
    await world.advance(1)
    expect(second).toMatchObject({ state: 'rejected', error: { code: 'disconnected', kept: true } })
    expect(disconnecting.state).toBe('resolved')
  })

  it.each(['handled', 'received'] as const)(
    "waits for running handlers and their acknowledgements: ack '%s'",
    async (ack) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const { promise, open } = gate()
      await client.subscribe('a', { qos: 1, ack }, () => promise)
      world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
      await world.settle()
      const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
      await world.advance(10_000)
      expect(disconnecting.state).toBe('pending')
      open()
      await world.settle()
      expect(disconnecting.state).toBe('resolved')
      expect(world.fromClient.slice(-2).map(({ type }) => type)).toContain('disconnect')
      expect(world.got('puback')).toHaveLength(1)
    },
  )

  it('a peer that does not read is given 2 s after it, too', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(1_000)
    const client = await world.connected()
    void client.publish('a', 'x', { qos: 1 })
    const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
    await world.settle()
    world.link.stop()
    await world.advance(2_999)
    expect(disconnecting.state).toBe('pending')
    await world.advance(1)
    expect(disconnecting.state).toBe('resolved')
    world.link.go()
  })

  it('a connection that is lost meanwhile ends it', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    expect([publishing.state, disconnecting.state]).toEqual(['rejected', 'resolved'])
    await world.advance(100_000)
    expect(world.link.attempts).toHaveLength(1)
  })
})

describe('disconnect() in 5', () => {
  it('sends its reason and properties; 0x04 makes the server publish the will', async () => {
    const world = makeWorld('5')
    const { seen, handler } = texts()
    const watcher = await world.connected({ clientId: 'watcher' })
    await watcher.subscribe('will', handler)
    const client = await world.connected5({
      will: { topic: 'will', payload: 'gone' },
      sessionExpiryInterval: 60,
    })
    await client.disconnect({
      reasonCode: 0x04,
      properties: { sessionExpiryInterval: 10, reasonString: 'bye', userProperties: [['k', 'v']] },
    })
    await world.settle()
    expect(world.got('disconnect')).toMatchObject([
      {
        reasonCode: 0x04,
        properties: { sessionExpiryInterval: 10, reasonString: 'bye', userProperties: [['k', 'v']] },
      },
    ])
    expect(seen).toEqual(['gone'])
  })

  it('an expiry of 0 in CONNECT cannot be raised (rule 25) [5 section 3.14.2.2.2]', async () => {
    const client = await makeWorld('5').connected()
    const error = await client
      .disconnect({ properties: { sessionExpiryInterval: 10 } })
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(UsageError)
    expect(client.state).toBe('connected')
  })

  it('3.1.1 has no reasons', async () => {
    const client = await makeWorld('3.1.1').connected()
    await expect(client.disconnect({ reasonCode: 4 })).rejects.toMatchObject({ code: 'needs-version-5' })
  })
})

describe.each(VERSIONS)('destroy() in %s', (version) => {
  it('sends no DISCONNECT: the will appears [3.1.1 MQTT-3.1.2-8]', async () => {
    const world = makeWorld(version)
    const { seen, handler } = texts()
    const watcher = await world.connected({ clientId: 'watcher' })
    await watcher.subscribe('will', handler)
    const client = await world.connected({ will: { topic: 'will', payload: 'gone' } })
    const log = record(client, 'disconnected', 'closed')
    const reason = new Error('I say so')
    client.destroy(reason)
    expect(client.state).toBe('stopped')
    expect(log.map(({ name }) => name)).toEqual(['disconnected', 'closed'])
    expect(log[0]?.event).toMatchObject({ error: { code: 'destroyed', cause: reason }, willReconnect: false })
    expect(log[1]?.event).toEqual({ error: reason })
    await world.settle()
    expect(seen).toEqual(['gone'])
    expect(world.got('disconnect')).toEqual([])
  })

  it.each(STATES)(
    'while %s: at once, closed once, every promise settles, and connect() works again',
    async (state) => {
      const world = makeWorld(version, { complaints: ['not-resent'] })
      const { client, connecting } = await clientIn(state, world)
      const closed = collect(client, 'closed')
      const outcomes =
        state === 'disconnecting'
          ? []
          : [
              outcomeOf<unknown>(client.publish('a', 'x', { qos: 1 })),
              outcomeOf<unknown>(client.publish('a', 'x', { qos: 2 })),
              outcomeOf<unknown>(client.subscribe('a')),
            ]
      client.destroy()
      client.destroy()
      expect(client.state).toBe('stopped')
      await world.settle()
      expect(closed).toHaveLength(1)
      if (state !== 'stopped' && state !== 'connected' && state !== 'disconnecting') {
        expect(connecting).toMatchObject({ state: 'rejected', error: { code: 'destroyed' } })
      }
      expect(new Set(outcomes.map(({ error }) => (error as ClosedError).code))).toEqual(
        new Set(state === 'disconnecting' ? [] : ['destroyed']),
      )
      await world.advance(500_000)
      expect(closed).toHaveLength(1)
      expect(world.broker.connections).toEqual([])
      expect(world.runtime.timers).toBe(0)
      world.broker.faults.clear()
      world.link.dialing = 'answered'
      await client.connect()
      await client.publish('a', 'x', { qos: 1 })
      expect(client.state).toBe('connected')
    },
  )

  it('at any time behind connect() stops it', async () => {
    for (let ticks = 0; ticks < 12; ticks += 1) {
      const world = makeWorld(version)
      const client = world.durable()
      const connecting = outcomeOf(client.connect())
      for (let tick = 0; tick < ticks; tick += 1) await Promise.resolve()
      client.destroy()
      await world.settle()
      expect([client.state, connecting.state]).toEqual(['stopped', 'rejected'])
      await client.connect()
      expect(client.state).toBe('connected')
    }
  })

  it('gives back messages of QoS 2 that came behind the one whose handler destroys', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, (message) => {
      handler(message)
      if (seen.length === 1) client.destroy()
    })
    for (const text of ['1', '2', '3']) world.broker.publish({ topic: 'a', payload: text, qos: 2 })
    await world.settle()
    expect(seen).toEqual(['1'])
    await client.connect()
    await world.settle()
    expect(seen).toEqual(['1', '2', '3'])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('then connect() at once: the old connection harms nobody', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    for (let round = 0; round < 5; round += 1) {
      client.destroy()
      await client.connect()
      await client.publish('a', 'x', { qos: 2 })
    }
    await world.settle()
    expect(client.state).toBe('connected')
    expect(world.broker.connections).toHaveLength(1)
  })

  it('settles what disconnect() still waits for', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    const disconnecting = outcomeOf(client.disconnect({ drain: 60_000 }))
    await world.settle()
    client.destroy()
    await world.settle()
    expect(disconnecting.state).toBe('resolved')
    expect(publishing.state).toBe('rejected')
  })

  it('a ping that waits rejects', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').withhold()
    const client = await world.connected()
    const pinging = outcomeOf(client.ping())
    await world.settle()
    client.destroy()
    await world.settle()
    expect(pinging.state).toBe('rejected')
  })
})

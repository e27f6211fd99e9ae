// publish(): its promise, its failures, payloads, time-outs and signals; rules 17, 21, 23.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collect, outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ClosedError, ConnectionError, RefusedError, UsageError } from '../core/errors.ts'
import type { Payload } from './option-checks.ts'

const makeWorld = useWorlds()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const unhandled: unknown[] = []
const note = (reason: unknown): void => void unhandled.push(reason)
beforeEach(() => {
  unhandled.length = 0
  process.on('unhandledRejection', note)
})
afterEach(() => {
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

describe.each(VERSIONS)('publish() in %s', (version) => {
  it.each([0, 1, 2] as const)('at QoS %i resolves when it is over, and the message is there', async (qos) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a/b', { qos: 2 }, handler)
    const result = await client.publish('a/b', 'héllo', { qos, retain: true })
    expect(result).toEqual({
      packetId: qos === 0 ? undefined : expect.any(Number),
      reasonCode: 0,
      properties: undefined,
    })
    await world.settle()
    expect(seen).toEqual(['héllo'])
    expect(world.got('publish')).toMatchObject([{ topic: 'a/b', qos, retain: true, dup: false }])
    expect(client.pending).toEqual([])
  })

  it('at QoS 1 waits for PUBACK, at QoS 2 for PUBCOMP, at QoS 0 for nobody', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(100)
    world.broker.faults.onSend('pubcomp').delay(200)
    const client = await world.connected()
    const [zero, one, two] = ([0, 1, 2] as const).map((qos) => outcomeOf(client.publish('a', 'x', { qos })))
    await world.settle()
    expect([zero?.state, one?.state, two?.state]).toEqual(['resolved', 'pending', 'pending'])
    await world.advance(100)
    expect([one?.state, two?.state]).toEqual(['resolved', 'pending'])
    await world.advance(100)
    expect(two?.state).toBe('resolved')
  })

  it.each([
    ['a string', 'abc', 'abc'],
    ['nothing', '', ''],
    ['a Uint8Array', bytes('abc'), 'abc'],
    ['a view into a larger buffer', bytes('xabcx').subarray(1, 4), 'abc'],
    ['an ArrayBuffer', bytes('abc').slice().buffer, 'abc'],
    ['a DataView', new DataView(bytes('xabcx').slice().buffer, 1, 3), 'abc'],
    ['a Buffer', Buffer.from('abc'), 'abc'],
  ] as [string, Payload, string][])('takes %s', async (_name, payload, text) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    for (const qos of [0, 1, 2] as const) await client.publish('a', payload, { qos })
    await world.settle()
    expect(seen).toEqual([text, text, text])
  })

  it.each([
    ['invalid-payload', 'payload', 'a', 7, {}],
    ['invalid-payload', 'payload', 'a', null, {}],
    ['invalid-payload', 'payload', 'a', undefined, {}],
    ['invalid-payload', 'payload', 'a', { a: 1 }, {}],
    ['invalid-topic', 'topic', 'a/+', 'x', {}],
    ['invalid-topic', 'topic', 'a/#', 'x', {}],
    ['invalid-topic', 'topic', '', 'x', {}],
    ['invalid-topic', 'topic', 'a\0b', 'x', {}],
    ['invalid-topic', 'topic', '\ud800', 'x', {}],
    ['invalid-topic', 'topic', 'x'.repeat(65_536), 'x', {}],
    ['invalid-topic', 'topic', 7, 'x', {}],
    ['invalid-topic', 'topic', Object.create(null), 'x', {}],
    ['invalid-topic', 'topic', { toString: undefined }, 'x', {}],
    ['invalid-option', 'qos', 'a', 'x', { qos: 3 }],
    ['invalid-option', 'retain', 'a', 'x', { retain: 1 }],
    ['invalid-option', 'timeout', 'a', 'x', { timeout: -1 }],
    ['invalid-option', 'signal', 'a', 'x', { signal: {} }],
    ['invalid-option', 'dup', 'a', 'x', { dup: true }],
    ['invalid-option', 'payload', 'a', 'x', { payload: 'lent' }],
    ['invalid-option', 'until', 'a', 'x', { until: 'stored' }],
  ] as [string, string, never, never, object][])(
    'rejects with %s and never throws (rule 25): %s in (%j, %j, %j)',
    async (code, field, topic, payload, options) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const failed = collect(client, 'publishFailed')
      for (const qos of 'qos' in options || 'until' in options ? [undefined] : ([undefined, 1] as const)) {
        const error = await client
          .publish(topic, payload, qos === undefined ? options : { ...options, qos })
          .catch((reason: unknown) => reason)
        expect(error).toBeInstanceOf(UsageError)
        expect(error).toMatchObject({ code, field })
        expect(failed.at(-1)).toEqual({ topic: typeof topic === 'string' ? topic : '', error })
      }
      await world.settle()
      expect(world.got('publish')).toEqual([])
    },
  )

  it.each([
    [1, '1'],
    [null, 'null'],
    ['qos', '"qos"'],
    [[], 'an empty list'],
    [() => {}, 'a function'],
  ])('options that are no object are refused, and not taken for none: %s', async (options, got) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const refusal = { code: 'invalid-option', message: `options: expected an object, got ${got}` }
    await expect(client.publish('a', 'x', options as never)).rejects.toMatchObject(refusal)
    expect(() => client.send('a', 'x', options as never)).toThrow(expect.objectContaining(refusal))
    await world.settle()
    expect(world.got('publish')).toEqual([])
  })

  it('tells the truth to all whose PUBACKs came together, though a listener ends the client at the first', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.publish('a', 'before', { qos: 1 })
    const controller = new AbortController()
    client.on('deliverySettled', () => client.destroy())
    const given = outcomeOf(client.publish('a', 'x', { qos: 1, signal: controller.signal }))
    const others = ['y', 'z'].map((payload) => outcomeOf(client.publish('a', payload, { qos: 1 })))
    await Promise.resolve()
    controller.abort()
    await world.settle()
    expect(given.state).toBe('rejected')
    expect(others.map(({ state }) => state)).toEqual(['resolved', 'resolved'])
    expect(world.got('publish')).toHaveLength(4)
    expect(client.state).toBe('stopped')
  })

  it('allows control characters in a topic (rule 25)', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.publish('a\tb', 'x', { qos: 1 })
    expect(world.got('publish')).toMatchObject([{ topic: 'a\tb' }])
  })

  it('raises publishFailed before it rejects', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const order: string[] = []
    client.on('publishFailed', () => void order.push('publishFailed'))
    await client.publish('a', 'x').catch(() => order.push('rejected'))
    expect(order).toEqual(['publishFailed', 'rejected'])
  })

  it('a forgotten await harms nobody, however the publish fails', async () => {
    const world = makeWorld(version, {
      broker: { authorizePublish: (_id, { topic }) => (topic === 'no' ? 0x87 : 0) },
    })
    const client = world.client({ operationTimeout: 1_000 })
    const failed = collect(client, 'publishFailed')
    void client.publish('offline', 'x')
    void client.publish('a/#', 'x', { qos: 1 })
    await client.connect()
    world.broker.faults.onSend('puback').withhold()
    void client.publish('late', 'x', { qos: 1 })
    const controller = new AbortController()
    void client.publish('aborted', 'x', { qos: 1, signal: controller.signal })
    await world.settle()
    controller.abort(new Error('enough'))
    await world.advance(1_000)
    world.link.stop()
    void client.publish('lost', new Uint8Array(100_000))
    await world.settle()
    void client.publish('lost too', 'x')
    await world.settle()
    void client.publish('aborted too', 'x', { signal: AbortSignal.abort(new Error('never')) })
    const second = new AbortController()
    void client.publish('aborted later', 'x', { signal: second.signal })
    await world.settle()
    second.abort(new Error('enough'))
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    void client.publish('open', 'x', { qos: 1 })
    client.destroy()
    void client.publish('destroyed', 'x')
    void client.publish('destroyed', 'x', { qos: 2 })
    await world.settle()
    expect(new Set(failed.map(({ topic }) => topic))).toEqual(
      new Set([
        'offline',
        'a/#',
        'aborted',
        'late',
        'aborted too',
        'aborted later',
        'lost too',
        'open',
        'destroyed',
      ]),
    )
  })

  it('bytes may be changed once publish has returned', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { qos0: true } })
    const { seen, handler } = texts()
    const subscribed = client.subscribe('a', { qos: 2 }, handler)
    const payload = bytes('first')
    const large = new Uint8Array(10_000).fill(0x61)
    const publish = (): void => {
      for (const qos of [0, 1, 2] as const) {
        payload.set(bytes('first'))
        large.fill(0x61)
        void client.publish('a', payload, { qos })
        void client.publish('a', large, { qos })
        payload.fill(0x78)
        large.fill(0x78)
      }
    }
    publish()
    await client.connect()
    await subscribed
    publish()
    await world.settle()
    expect(seen).toHaveLength(12)
    expect(new Set(seen)).toEqual(new Set(['first', 'a'.repeat(10_000)]))
  })

  it.each([100, 100_000])('a borrowed payload of %i bytes is sent as it is', async (size) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    const payload = new Uint8Array(size).fill(0x61)
    for (const qos of [0, 1, 2] as const) await client.publish('a', payload, { qos, payload: 'borrowed' })
    await world.settle()
    expect(seen).toEqual(Array.from({ length: 3 }, () => 'a'.repeat(size)))
  })

  it('a borrowed payload is not copied while it waits', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const payload = bytes('before')
    const published = client.publish('a', payload, { qos: 1, payload: 'borrowed' })
    payload.set(bytes('after!'))
    await client.connect()
    await published
    expect(world.got('publish').map((packet) => new TextDecoder().decode(packet.payload))).toEqual(['after!'])
  })

  it('a borrowed payload is copied when its caller stops waiting (rule 17)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connectedDurable({ operationTimeout: 1_000 })
    const payload = new Uint8Array(100_000).fill(0x61)
    const published = outcomeOf(client.publish('a', payload, { qos: 1, payload: 'borrowed' }))
    await world.advance(1_000)
    expect(published.state).toBe('rejected')
    payload.fill(0x78)
    world.broker.faults.clear()
    world.broker.cutAll()
    await world.advance(5_000)
    const sent = world.got('publish').map((packet) => new TextDecoder().decode(packet.payload))
    expect(sent).toEqual(['a'.repeat(100_000), 'a'.repeat(100_000)])
  })

  it('a borrowed payload is copied when the session outlives the client, which has rejected (rule 21)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connectedDurable()
    const payload = new Uint8Array(100_000).fill(0x61)
    const published = outcomeOf(client.publish('a', payload, { qos: 1, payload: 'borrowed' }))
    await world.settle()
    await client.disconnect()
    expect(published.state).toBe('rejected')
    payload.fill(0x78)
    world.broker.faults.clear()
    await client.connect()
    await world.settle()
    const sent = world.got('publish').map((packet) => new TextDecoder().decode(packet.payload))
    expect(sent).toEqual(['a'.repeat(100_000), 'a'.repeat(100_000)])
  })

  it('rejects with the code of a refusal (rule 13)', async () => {
    const world = makeWorld(version, { broker: { authorizePublish: () => 0x87 } })
    const client = await world.connected()
    for (const qos of [1, 2] as const) {
      const published = client.publish('a', 'x', { qos })
      // 3.1.1 has no way to say no.
      if (version === '3.1.1') await published
      else {
        const error = await published.catch((reason: unknown) => reason)
        expect(error).toBeInstanceOf(RefusedError)
        expect(error).toMatchObject({ code: 'publish-refused', reasonCode: 0x87, local: false })
      }
    }
    expect(client.pending).toEqual([])
  })

  it('times out, the delivery goes on and is sent again on the next connection (rule 17) [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connectedDurable({ operationTimeout: 10_000, keepAlive: 0 })
    const published = outcomeOf(client.publish('a', 'x', { qos: 1, timeout: 1_000 }))
    await world.advance(999)
    expect(published.state).toBe('pending')
    await world.advance(1)
    expect(published.error).toBeInstanceOf(ConnectionError)
    expect(published.error).toMatchObject({ code: 'operation-timeout', outcome: 'pending' })
    expect(client.pending).toMatchObject([
      { topic: 'a', qos: 1, stage: 'published', attempts: 1, packetId: 1 },
    ])
    world.broker.cutAll()
    await world.advance(5_000)
    expect(world.got('publish')).toMatchObject([
      { packetId: 1, dup: false },
      { packetId: 1, dup: true },
    ])
    expect(client.pending).toEqual([])
  })

  it('does not time out while there is no connection; timeout 0 means never', async () => {
    const world = makeWorld(version)
    const client = world.client({ operationTimeout: 1_000, keepAlive: 0 })
    const queued = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(100_000)
    expect(queued.state).toBe('pending')
    world.broker.faults.onSend('puback', { nth: 2 }).withhold()
    await client.connect()
    await world.settle()
    expect(queued.state).toBe('resolved')
    const patient = outcomeOf(client.publish('a', 'x', { qos: 1, timeout: 0 }))
    await world.advance(100_000)
    expect(patient.state).toBe('pending')
  })

  it('a signal withdraws what was not sent: no id is used (rule 17)', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = outcomeOf(client.publish('a', 'x', { qos: 1, signal: controller.signal }))
    const kept = client.publish('b', 'x', { qos: 1 })
    controller.abort(reason)
    await world.settle()
    expect(aborted.error).toBe(reason)
    await client.connect()
    expect(await kept).toMatchObject({ packetId: 1 })
    expect(world.got('publish').map(({ topic }) => topic)).toEqual(['b'])
  })

  it('a signal lets what was sent go on: its id stays taken (rule 17)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).delay(1_000)
    const client = await world.connected()
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = outcomeOf(client.publish('a', 'x', { qos: 1, signal: controller.signal }))
    await world.settle()
    controller.abort(reason)
    await world.settle()
    expect(aborted.error).toBe(reason)
    expect(await client.publish('b', 'x', { qos: 1 })).toMatchObject({ packetId: 2 })
    expect(client.pending).toMatchObject([{ topic: 'a', packetId: 1 }])
    await world.advance(1_000)
    expect(client.pending).toEqual([])
  })

  it('a signal that aborts when its message is over does not touch the next one', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const controller = new AbortController()
    await client.publish('a', 'x', { qos: 1, signal: controller.signal })
    world.broker.faults.onSend('puback', { times: 1 }).delay(1_000)
    const next = outcomeOf(client.publish('b', 'y', { qos: 1 }))
    controller.abort(new Error('late'))
    await world.advance(999)
    expect(next.state).toBe('pending')
    await world.advance(1)
    expect(next.state).toBe('resolved')
  })

  it('what waits without a connection is new, whatever was published before', async () => {
    const world = makeWorld(version)
    const first = await world.connected()
    const many = Array.from({ length: 9 }, (_, i) => first.publish('a', `${i}`, { qos: i % 2 ? 1 : 2 }))
    await Promise.all(many)
    const client = world.client({ clientId: 'other', queue: { qos0: true } })
    const waiting = ([0, 1, 2] as const).map((qos) => client.publish('b', `${qos}`, { qos }))
    const description = { topic: 'b', stage: 'queued', attempts: 0, packetId: undefined }
    expect(client.pending).toMatchObject([description, description, description])
    await client.connect()
    expect(await Promise.all(waiting)).toMatchObject([0, 1, 2].map(() => ({ reasonCode: 0 })))
    const sent = world.got('publish').filter(({ topic }) => topic === 'b')
    expect(sent).toMatchObject([0, 1, 2].map((qos) => ({ qos, dup: false })))
  })

  it('a signal that has aborted rejects with its reason, offline too', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const reason = new Error('enough')
    for (const qos of [0, 1, 2] as const) {
      await expect(client.publish('a', 'x', { qos, signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    }
    expect(client.pending).toEqual([])
  })

  it('a signal that aborts after the end changes nothing', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const failed = collect(client, 'publishFailed')
    const controller = new AbortController()
    await client.publish('a', 'x', { qos: 1, signal: controller.signal })
    await client.publish('a', 'x', { signal: controller.signal })
    controller.abort(new Error('late'))
    await world.settle()
    expect(failed).toEqual([])
  })

  it('a window full of messages whose callers have given up closes the connection after another operationTimeout (rule 17)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connectedDurable({ operationTimeout: 1_000, maxInflight: 1, keepAlive: 0 })
    const lost = collect(client, 'disconnected')
    const first = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    const second = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await world.advance(1_999)
    expect(first.state).toBe('rejected')
    expect(lost).toEqual([])
    await world.advance(1)
    expect(lost).toMatchObject([{ error: { code: 'operation-timeout' }, willReconnect: true }])
    await world.advance(5_000)
    expect(second.state).toBe('resolved')
    expect(world.got('publish').map(({ topic, dup }) => [topic, dup])).toEqual([
      ['a', false],
      ['a', true],
      ['b', false],
    ])
  })

  it('rejects with ClosedError after disconnect(), and nothing of it is kept (rule 21)', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    const disconnecting = client.disconnect()
    for (const qos of [0, 1, 2] as const) {
      const error = await client.publish('a', 'x', { qos }).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(ClosedError)
      expect(error).toMatchObject({ code: 'disconnected', kept: false })
    }
    await disconnecting
    for (const qos of [0, 1, 2] as const) {
      const error = await client.publish('a', 'x', { qos }).catch((reason: unknown) => reason)
      expect(error).toMatchObject({ code: 'disconnected', kept: false })
    }
    expect(client.pending).toEqual([])
    client.destroy()
  })

  it.each(['stopped', 'dialing', 'handshaking', 'waiting'] as const)(
    'while %s QoS 0 rejects with not-connected, the rest is queued and sent once (rule 21)',
    async (state) => {
      const world = makeWorld(version)
      const client = world.client({ retryInitialConnect: true, reconnect: { min: 1_000, jitter: false } })
      if (state === 'handshaking') world.broker.faults.onSend('connack', { times: 1 }).delay(500)
      else world.link.dialing = state === 'waiting' ? 'refused' : 'ignored'
      if (state !== 'stopped') client.connect().catch(() => {})
      await world.settle()
      expect(client.state).toBe(state)
      const zero = await client.publish('a', '0').catch((reason: unknown) => reason)
      expect(zero).toBeInstanceOf(ConnectionError)
      expect(zero).toMatchObject({ code: 'not-connected' })
      expect(client.send('a', 'x')).toBe(false)
      const one = outcomeOf(client.publish('a', '1', { qos: 1 }))
      const two = outcomeOf(client.publish('a', '2', { qos: 2 }))
      expect(
        client.pending.map(({ qos, stage, attempts, packetId }) => [qos, stage, attempts, packetId]),
      ).toEqual([
        [1, 'queued', 0, undefined],
        [2, 'queued', 0, undefined],
      ])
      world.link.dialing = 'answered'
      const connecting = client.connect()
      if (state === 'dialing') await world.advance(40_000)
      else await world.advance(5_000)
      await connecting
      await world.settle()
      expect([one.state, two.state]).toEqual(['resolved', 'resolved'])
      expect(world.got('publish').map(({ qos, dup }) => [qos, dup])).toEqual([
        [1, false],
        [2, false],
      ])
    },
  )

  it('queue.qos0 queues QoS 0, too', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { qos0: true } })
    const { seen, handler } = texts()
    void client.subscribe('a', handler)
    const published = outcomeOf(client.publish('a', 'x'))
    await world.settle()
    expect(published.state).toBe('pending')
    await client.connect()
    await world.settle()
    expect(published).toMatchObject({ state: 'resolved', value: { packetId: undefined, reasonCode: 0 } })
    expect(seen).toEqual(['x'])
  })
})

describe('limits of the server, 5 (rule 23)', () => {
  it.each([
    ['Maximum QoS', { maximumQoS: 1 }, 0x9b, { qos: 2 }, 'x'],
    ['Retain Available', { retainAvailable: false }, 0x9a, { retain: true }, 'x'],
    ['Maximum Packet Size', { maximumPacketSize: 50 }, 0x95, {}, 'x'.repeat(50)],
  ] as const)(
    '%s: RefusedError with local true, no id or slot is used',
    async (_name, limits, reasonCode, options, payload) => {
      const world = makeWorld('5', { broker: limits })
      const client = await world.connected5({ maxInflight: 1 })
      const attempts = 'qos' in options ? [options] : [options, { ...options, qos: 1 } as const]
      for (const attempt of attempts) {
        const error = await client.publish('a', payload, attempt).catch((reason: unknown) => reason)
        expect(error).toBeInstanceOf(RefusedError)
        expect(error).toMatchObject({ code: 'publish-refused', reasonCode, local: true })
      }
      expect(await client.publish('a', 'x', { qos: 1 })).toMatchObject({ packetId: 1 })
      expect(world.got('publish')).toHaveLength(1)
    },
  )

  it('a queued message that is too large fails alone', async () => {
    const world = makeWorld('5', { broker: { maximumPacketSize: 50 } })
    const client = world.client()
    const large = outcomeOf(client.publish('a', 'x'.repeat(50), { qos: 1 }))
    const small = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await client.connect()
    await world.settle()
    expect(large).toMatchObject({ state: 'rejected', error: { reasonCode: 0x95, local: true } })
    expect(small.state).toBe('resolved')
  })
})

describe('properties, 5', () => {
  it('all of them arrive as they were given [5 MQTT-3.3.2-4, -6, -15, -16, -17, -18, -20]', async () => {
    const world = makeWorld('5', { broker: { topicAliasMaximum: 5 } })
    const client = await world.connected5({ topicAliases: 'manual' })
    const received: unknown[] = []
    await client.subscribe('a', { qos: 2 }, ({ properties }) => void received.push(properties))
    const properties = {
      payloadFormatIndicator: 1,
      messageExpiryInterval: 60,
      topicAlias: 5,
      responseTopic: 'answers',
      correlationData: 'id-1',
      contentType: 'text/plain',
      userProperties: [
        ['a', '1'],
        ['a', '2'],
      ],
    } as const
    for (const qos of [0, 1, 2] as const) await client.publish('a', 'x', { qos, properties })
    await world.settle()
    const { topicAlias: _, ...expected } = properties
    const arrived = { ...expected, correlationData: bytes('id-1') }
    expect(received).toEqual([arrived, arrived, arrived])
    expect(world.got('publish').map(({ topic, properties: sent }) => [topic, sent?.topicAlias])).toEqual([
      ['a', 5],
      ['', 5],
      ['', 5],
    ])
  })

  it('3.1.1 refuses them with needs-version-5', async () => {
    const client = await makeWorld('3.1.1').connected()
    const published = client.publish('a', 'x', { qos: 1, properties: { contentType: 'x' } })
    await expect(published).rejects.toMatchObject({ code: 'needs-version-5', field: 'properties' })
  })

  it('properties of the acknowledgement are in the result', async () => {
    const world = makeWorld('5', { broker: { reportNoSubscribers: true } })
    const client = await world.connected()
    expect(await client.publish('a', 'x', { qos: 1 })).toMatchObject({ reasonCode: 0x10 })
    world.broker.faults.onSend('puback', { nth: 1 }).replaceBy(({ packetId }) => ({
      type: 'puback',
      packetId,
      reasonCode: 0,
      properties: { reasonString: 'fine' },
    }))
    expect(await client.publish('a', 'x', { qos: 1 })).toMatchObject({ properties: { reasonString: 'fine' } })
  })
})

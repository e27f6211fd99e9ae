// Handlers: messages, order, failures, patience, and what they may do inside; rules 20, 26.
import { describe, expect, it } from 'vitest'
import { collect, gate, outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import type { AckPacket } from '../core/packets/types.ts'
import { MqttError } from '../core/errors.ts'
import type { Client } from './client.ts'
import type { Message } from './message.ts'

const makeWorld = useWorlds()
type World = ReturnType<typeof makeWorld>

const say = (world: World, payload: string, qos: 0 | 1 | 2 = 1): void =>
  world.broker.publish({ topic: 'a', payload, qos })
/** Acknowledgements of the client to PUBLISHes: PUBACK and PUBREC, with their codes. */
const acks = (world: World): readonly number[] =>
  world.fromClient
    .filter((packet): packet is AckPacket => packet.type === 'puback' || packet.type === 'pubrec')
    .map(({ reasonCode }) => reasonCode)

/** What is no promise, and behaves as badly as `then` says. */
function thenable(then: (done: () => void) => unknown): object {
  return new Proxy({}, { get: (_target, name) => (name === 'then' ? then : undefined) })
}

describe.each(VERSIONS)('a message in %s', (version) => {
  it('has all that the packet had', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const received: Message[] = []
    world.broker.publish({ topic: 'a', payload: '{"x":[1]}', qos: 1, retain: true })
    await client.subscribe('a', { qos: 2 }, (message) => void received.push(message))
    await world.settle()
    const [message] = received
    expect(message).toMatchObject({
      topic: 'a',
      qos: 1,
      retain: true,
      dup: false,
      packetId: 1,
      properties: undefined,
    })
    expect(message?.text()).toBe('{"x":[1]}')
    expect(message?.json<{ x: number[] }>()).toEqual({ x: [1] })
    expect(message?.payload).toBeInstanceOf(Uint8Array)
    message?.ack()
    message?.ack(0x80)
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('text() replaces what is ill-formed, json() throws', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const results: unknown[] = []
    await client.subscribe('a', (message) => {
      results.push(message.text())
      expect(() => message.json()).toThrow(SyntaxError)
    })
    world.broker.publish({ topic: 'a', payload: Uint8Array.of(0x61, 0xff) })
    await world.settle()
    expect(results).toEqual(['a\ufffd'])
  })

  it('its payload may be kept, whatever comes later', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const kept: Uint8Array[] = []
    await client.subscribe('a', ({ payload }) => void kept.push(payload))
    for (let index = 0; index < 100; index += 1) say(world, `number ${index}`, 0)
    await world.settle()
    expect(kept.map((payload) => new TextDecoder().decode(payload))).toEqual(
      Array.from({ length: 100 }, (_, index) => `number ${index}`),
    )
  })

  it("with payload 'borrowed' it is right within the handler", async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { payload: 'borrowed', qos: 1 }, handler)
    for (let index = 0; index < 10; index += 1) say(world, `number ${index}`)
    await world.settle()
    expect(seen).toEqual(Array.from({ length: 10 }, (_, index) => `number ${index}`))
    expect(acks(world)).toHaveLength(10)
  })
})

describe.each(VERSIONS)('order in %s', (version) => {
  it('one handler at a time, in order, by default', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const log: string[] = []
    const gates = new Map(['one', 'two', 'three'].map((text) => [text, gate()]))
    await client.subscribe('a', { qos: 1 }, async (message) => {
      log.push(`begin ${message.text()}`)
      await gates.get(message.text())?.promise
      log.push(`end ${message.text()}`)
    })
    for (const text of gates.keys()) say(world, text)
    await world.settle()
    expect(log).toEqual(['begin one'])
    gates.get('three')?.open()
    gates.get('two')?.open()
    gates.get('one')?.open()
    await world.settle()
    expect(log).toEqual(['begin one', 'end one', 'begin two', 'end two', 'begin three', 'end three'])
  })

  it('concurrency lets so many run at once; PUBACKs leave in the order of their PUBLISHes (rule 20) [3.1.1 MQTT-4.6.0-2] [5 MQTT-4.6.0-2]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const gates: ReturnType<typeof gate>[] = []
    await client.subscribe('a', { qos: 1, concurrency: 3 }, () => {
      const one = gate()
      gates.push(one)
      return one.promise
    })
    for (let index = 0; index < 5; index += 1) say(world, String(index))
    await world.settle()
    expect(gates).toHaveLength(3)
    gates[1]?.open()
    gates[2]?.open()
    await world.settle()
    expect(gates).toHaveLength(5)
    expect(acks(world)).toEqual([])
    gates[0]?.open()
    await world.settle()
    expect(world.got('puback').map(({ packetId }) => packetId)).toEqual([1, 2, 3])
    gates[4]?.open()
    gates[3]?.open()
    await world.settle()
    expect(world.got('puback').map(({ packetId }) => packetId)).toEqual([1, 2, 3, 4, 5])
  })

  it('PUBACKs and PUBRECs are two lines; PUBREL waits for no handler (rule 20)', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const slow = gate()
    await client.subscribe('a', { qos: 2, concurrency: 9 }, (message) =>
      message.text() === 'slow' ? slow.promise : undefined,
    )
    say(world, 'slow', 1)
    say(world, 'quick', 2)
    say(world, 'quick', 1)
    await world.settle()
    expect(world.got('pubcomp')).toHaveLength(1)
    expect(world.got('puback')).toEqual([])
    slow.open()
    await world.settle()
    expect(world.got('puback')).toHaveLength(2)
  })

  it('message listeners come after the handlers', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const order: string[] = []
    client.on('message', () => void order.push('listener'))
    await client.subscribe('a', () => void order.push('handler'))
    say(world, 'x', 0)
    await world.settle()
    expect(order).toEqual(['handler', 'listener'])
  })
})

describe.each(VERSIONS)('a handler that fails in %s', (version) => {
  const ways = [
    [
      'throws',
      (): void => {
        throw new Error('broken')
      },
    ],
    ['rejects', (): Promise<void> => Promise.reject(new Error('broken'))],
  ] as const

  describe.each(ways)('%s', (_way, fail) => {
    it.each([0, 1, 2] as const)(
      "raises error with the message and acknowledges QoS %i, in 5 with 0x83: 'acknowledge'",
      async (qos) => {
        const world = makeWorld(version)
        const client = await world.connected()
        const errors = collect(client, 'error')
        const unmatched = collect(client, 'disconnected')
        await client.subscribe('a', { qos: 2 }, fail)
        say(world, 'x', qos)
        await world.settle()
        expect(errors).toHaveLength(1)
        expect(errors[0]?.error).toBeInstanceOf(MqttError)
        expect(errors[0]?.error).toMatchObject({ code: 'handler-failed', cause: { message: 'broken' } })
        expect(errors[0]?.message?.text()).toBe('x')
        expect(acks(world)).toEqual(qos === 0 ? [] : [version === '5' ? 0x83 : 0])
        expect(unmatched).toEqual([])
        expect(world.broker.openExchanges).toEqual([])
      },
    )

    it.each([1, 2] as const)(
      "closes unacknowledged, and QoS %i is delivered again: 'reconnect'",
      async (qos) => {
        const world = makeWorld(version)
        const client = await world.connectedDurable({
          onHandlerError: 'reconnect',
          reconnect: { min: 1_000, jitter: false },
        })
        const errors = collect(client, 'error')
        const lost = collect(client, 'disconnected')
        const seen: string[] = []
        await client.subscribe('a', { qos: 2 }, (message) => {
          seen.push(message.text())
          return seen.length < 2 ? fail() : undefined
        })
        say(world, 'x', qos)
        say(world, 'y', qos)
        await world.settle()
        expect(acks(world)).toEqual([])
        expect(errors).toHaveLength(1)
        expect(lost).toMatchObject([{ error: { code: 'handler-failed' }, willReconnect: true, delay: 2_000 }])
        if (version === '5') expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0x83 }])
        await world.advance(2_000)
        await world.settle()
        expect(seen.filter((text) => text === 'x')).toEqual(['x', 'x'])
        expect(seen).toContain('y')
        expect(world.broker.openExchanges).toEqual([])
      },
    )

    it("stops the client: 'stop'", async () => {
      const world = makeWorld(version)
      const client = await world.connectedDurable({ onHandlerError: 'stop' })
      collect(client, 'error')
      const closed = collect(client, 'closed')
      await client.subscribe('a', { qos: 2 }, fail)
      say(world, 'x', 2)
      await world.settle()
      expect(closed).toMatchObject([{ error: { code: 'handler-failed' } }])
      expect(client.state).toBe('stopped')
      expect(acks(world)).toEqual([])
      await world.advance(100_000)
      expect(world.link.attempts).toHaveLength(1)
      const { seen, handler } = texts()
      await client.unsubscribe('a').catch(() => {})
      client.route('a', handler)
      await client.connect()
      await world.settle()
      expect(seen).toEqual(['x'])
    })

    it('beside others that do not: they are called, and the message is answered once', async () => {
      const world = makeWorld(version)
      const client = await world.connected()
      collect(client, 'error')
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 1 }, fail)
      await client.subscribe('+', { qos: 1 }, handler)
      client.on('message', handler)
      say(world, 'x')
      await world.settle()
      expect(seen).toEqual(['x', 'x'])
      expect(acks(world)).toEqual([version === '5' ? 0x83 : 0])
    })
  })

  it('without an error listener the error goes to runtime.report', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', () => {
      throw new Error('broken')
    })
    say(world, 'x', 0)
    await world.settle()
    expect(world.reports).toMatchObject([{ code: 'handler-failed' }])
  })

  it('a QoS 2 message whose handler fails on a later connection comes again', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({
      onHandlerError: 'reconnect',
      reconnect: { min: 1_000, jitter: false },
    })
    collect(client, 'error')
    const first = gate()
    const seen: string[] = []
    await client.subscribe('a', { qos: 2 }, (message) => {
      seen.push(message.text())
      return seen.length === 1 ? first.promise : undefined
    })
    say(world, 'x', 2)
    await world.settle()
    world.broker.cutAll()
    await world.advance(2_000)
    expect(seen).toEqual(['x'])
    first.fail(new Error('broken'))
    await world.advance(10_000)
    expect(seen).toEqual(['x', 'x'])
    expect(world.broker.openExchanges).toEqual([])
  })
})

describe.each(VERSIONS)('patience in %s (rule 20)', (version) => {
  it('a handler unsettled after 60 s raises handler-slow once', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const errors = collect(client, 'error')
    const { promise, open } = gate()
    await client.subscribe('a', { qos: 1 }, () => promise)
    say(world, 'x')
    await world.advance(59_999)
    expect(errors).toEqual([])
    await world.advance(1)
    expect(errors).toMatchObject([{ error: { code: 'handler-slow' }, message: { topic: 'a' } }])
    await world.advance(600_000)
    expect(errors).toHaveLength(1)
    expect(acks(world)).toEqual([])
    open()
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('a handler that waits for its turn is not slow', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const errors = collect(client, 'error')
    await client.subscribe('a', { qos: 1 }, (message) =>
      message.text() === 'slow'
        ? new Promise<void>((resolve) => void world.runtime.setTimer(resolve, 70_000))
        : undefined,
    )
    say(world, 'slow')
    say(world, 'quick')
    await world.advance(70_000)
    expect(errors).toHaveLength(1)
    expect(acks(world)).toEqual([0, 0])
  })

  it('handlerTimeout makes it a failed one; what it does later is of no account', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ handlerTimeout: 5_000 })
    const errors = collect(client, 'error')
    const { promise, fail } = gate()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, (message) => {
      handler(message)
      return message.text() === 'slow' ? promise : undefined
    })
    say(world, 'slow')
    say(world, 'quick')
    await world.advance(4_999)
    expect([errors, seen]).toEqual([[], ['slow']])
    await world.advance(1)
    expect(errors).toMatchObject([{ error: { code: 'handler-failed', cause: { code: 'handler-slow' } } }])
    expect(seen).toEqual(['slow', 'quick'])
    expect(acks(world)).toEqual([version === '5' ? 0x83 : 0, 0])
    fail(new Error('late'))
    await world.settle()
    expect(errors).toHaveLength(1)
  })

  it('handlerTimeout ends the one that is slow, not one that waits for its turn', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ handlerTimeout: 5_000 })
    const errors = collect(client, 'error')
    const seen: string[] = []
    const gates = new Map(['one', 'two', 'three'].map((text) => [text, gate()]))
    await client.subscribe('a', { qos: 1, concurrency: 9 }, () => new Promise(() => {}))
    client.route('+', (message) => {
      seen.push(message.text())
      return gates.get(message.text())?.promise
    })
    say(world, 'one')
    say(world, 'two')
    await world.advance(4_000)
    gates.get('one')?.open()
    await world.advance(1_000)
    expect(errors).toHaveLength(2)
    expect(seen).toEqual(['one', 'two'])
    gates.get('two')?.open()
    await world.settle()
    expect(acks(world)).toHaveLength(2)
    say(world, 'three')
    await world.settle()
    expect(seen).toEqual(['one', 'two', 'three'])
  })
})

describe.each(VERSIONS)('inside a handler in %s (rule 26)', (version) => {
  const acts: readonly [string, (client: Client, message: Message) => unknown][] = [
    ['publish at QoS 0', (client) => client.publish('b', 'x')],
    ['publish at QoS 1', (client) => client.publish('b', 'x', { qos: 1 })],
    ['await a publish at QoS 2', async (client) => void (await client.publish('b', 'x', { qos: 2 }))],
    ['await a subscribe', async (client) => void (await client.subscribe('c', () => {}))],
    ['unsubscribe', (client) => client.unsubscribe('a')],
    ['await an unsubscribe', async (client) => void (await client.unsubscribe('a'))],
    ['await a ping', async (client) => void (await client.ping())],
    ['disconnect', (client) => client.disconnect()],
    ['await a disconnect', async (client) => await client.disconnect()],
    ['disconnect with drain', (client) => client.disconnect({ drain: 1_000 })],
    ['destroy', (client) => client.destroy()],
    ['reconnectNow', (client) => client.reconnectNow()],
    ['connect', (client) => client.connect()],
    [
      'throw nothing',
      () => {
        throw undefined
      },
    ],
    ['never settle', () => new Promise(() => {})],
    ['return a thenable that calls back twice', () => thenable((done) => [done(), done()])],
    [
      'return a thenable that throws',
      () =>
        thenable(() => {
          throw new Error('no')
        }),
    ],
  ]

  it.each(acts)('a handler may %s: the client lives, or ends as it was told', async (name, act) => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ keepAlive: 0 })
    collect(client, 'error')
    let calls = 0
    await client.subscribe('a', { qos: 2 }, (message) => {
      calls += 1
      return calls === 1 ? (act(client, message) as Promise<void>) : undefined
    })
    say(world, 'one', 1)
    say(world, 'two', 2)
    await world.advance(3_000)
    if (/disconnect|destroy/.test(name)) {
      expect(client.state).toBe('stopped')
      await client.connect()
    }
    expect(client.state).toBe('connected')
    await client.publish('b', 'x', { qos: 2 })
    await client.subscribe('d', () => {})
    expect(await client.ping()).toBe(0)
  })

  it('a handler that disconnects is the last that is called', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    let calls = 0
    let done: Promise<void> | undefined
    await client.subscribe('a', { qos: 1 }, () => {
      calls += 1
      done = client.disconnect()
    })
    for (let index = 0; index < 10; index += 1) say(world, 'x', index % 2 === 0 ? 0 : 1)
    await world.settle()
    await done
    expect(calls).toBe(1)
    expect(world.fromClient.at(-1)?.type).toBe('disconnect')
  })

  it('a handler that destroys is the last that is called', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    let calls = 0
    await client.subscribe('a', { qos: 1 }, () => {
      calls += 1
      client.destroy()
    })
    for (let index = 0; index < 10; index += 1) say(world, 'x', index % 2 === 0 ? 0 : 1)
    await world.settle()
    expect(calls).toBe(1)
  })

  it('a handler that answers each message, by await, is never in its own way', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, maxInflight: 1 })
    const { seen, handler } = texts()
    await client.subscribe('b', { qos: 2 }, handler)
    await client.subscribe('a', { qos: 2 }, async (message) => {
      await client.publish('b', message.text(), { qos: 2 })
    })
    for (let index = 0; index < 20; index += 1) say(world, String(index), 2)
    await world.settle()
    expect(seen).toEqual(Array.from({ length: 20 }, (_, index) => String(index)))
    expect(outcomeOf(client.disconnect()).state).toBe('pending')
  })
})

describe.each(VERSIONS)('handlers that outlive their connection in %s', (version) => {
  it('have no more time than handlerTimeout, whatever the client does meanwhile (rule 20)', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ handlerTimeout: 5_000, maxPending: 1 })
    const errors = collect(client, 'error')
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, (message) => {
      handler(message)
      return seen.length === 1 ? new Promise<void>(() => {}) : undefined
    })
    say(world, 'one')
    await world.advance(1_000)
    await client.disconnect()
    await client.connect()
    await world.advance(4_000)
    expect(errors).toMatchObject([{ error: { code: 'handler-failed', cause: { code: 'handler-slow' } } }])
    say(world, 'two')
    await world.settle()
    expect(seen.at(-1)).toBe('two')
  })

  it("and fail then do not hold up the next one with onHandlerError: 'reconnect'", async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({
      maxPending: 1,
      onHandlerError: 'reconnect',
      reconnect: { min: 1_000, jitter: false },
    })
    world.broker.faults.onSend('puback').withhold()
    const errors = collect(client, 'error')
    const first = gate()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, (message) => {
      handler(message)
      return seen.length === 1 ? first.promise : undefined
    })
    // Reading goes on for its answer, so that the end of the connection is noticed.
    void client.publish('b', 'x', { qos: 1 }).catch(() => {})
    for (const text of ['one', 'two']) say(world, text)
    await world.settle()
    world.broker.cutAll()
    await world.advance(2_000)
    expect([client.state, seen]).toEqual(['connected', ['one']])
    first.fail(new Error('no'))
    await world.settle()
    expect(seen).toEqual(['one', 'one', 'two'])
    expect(errors).toMatchObject([{ error: { code: 'handler-failed' } }])
  })
})

// publishAll() and writable(): many messages, one promise.
import { describe, expect, it } from 'vitest'
import { outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ClosedError, UsageError } from '../core/errors.ts'
import type { OutgoingMessage } from './publish-options.ts'

const makeWorld = useWorlds()
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))
const messages = (count: number, qos: 0 | 1 | 2 = 1): OutgoingMessage[] =>
  numbers(count).map((payload) => ({ topic: 'a', payload, qos }))

describe.each(VERSIONS)('publishAll() in %s', (version) => {
  it.each([0, 1, 2] as const)(
    'takes an iterable of QoS %i and resolves when all are acknowledged',
    async (qos) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 2 }, handler)
      expect(await client.publishAll(messages(100, qos))).toEqual({ published: 100, failed: 0, failures: [] })
      await world.settle()
      expect(seen).toEqual(numbers(100))
      expect(client.pending).toEqual([])
    },
  )

  it("waits for room in the queue's bytes, too; what could never have any fails", async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxBytes: 250 } })
    const payload = new Uint8Array(100)
    const large = { topic: 'a', payload: new Uint8Array(300), qos: 1 } as const
    const messages = [...Array.from({ length: 10 }, () => ({ topic: 'a', payload, qos: 1 }) as const), large]
    const all = outcomeOf(client.publishAll(messages))
    await world.settle()
    expect([all.state, client.pending.length]).toEqual(['pending', 2])
    await client.connect()
    await world.settle()
    expect(all.value).toMatchObject({ published: 11, failed: 0 })
    await client.disconnect()
    const offline = world.client({ clientId: 'offline', queue: { maxBytes: 250 } })
    expect(await offline.publishAll([large])).toMatchObject({
      failed: 1,
      failures: [{ index: 0, error: { code: 'queue-full' } }],
    })
  })

  it('QoS 0 on a connection takes no room in the queue, whatever its options', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ queue: { maxMessages: 0 } })
    const all = outcomeOf(client.publishAll([{ topic: 'a', payload: 'x', retain: true }]))
    await world.settle()
    expect(all.value).toMatchObject({ published: 1, failed: 0 })
  })

  it('waits for the last acknowledgement', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { nth: 3 }).delay(1_000)
    const client = await world.connected()
    const all = outcomeOf(client.publishAll(messages(3)))
    await world.advance(999)
    expect(all.state).toBe('pending')
    await world.advance(1)
    expect(all).toMatchObject({ state: 'resolved', value: { published: 3 } })
  })

  it('what is lost of QoS 0 with the connection has failed', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.publishAll(messages(3, 0))
    world.link.stop()
    const large = { topic: 'a', payload: new Uint8Array(100_000) }
    const all = outcomeOf(client.publishAll([...messages(1_000, 0), large, ...messages(1, 0)]))
    await world.settle()
    expect(all.state).toBe('pending')
    world.broker.cutAll()
    await world.settle()
    expect(all).toMatchObject({ state: 'resolved', value: { published: 1_000, failed: 2 } })
    expect(all.value?.failures).toMatchObject([
      { index: 1_000, error: { code: 'connection-lost' } },
      { index: 1_001, error: { code: 'connection-lost' } },
    ])
  })

  it('with queue.qos0, QoS 0 waits for a connection, too', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { qos0: true } })
    const all = outcomeOf(client.publishAll([...messages(2, 0), ...messages(1, 1), ...messages(1, 0)]))
    await world.settle()
    expect(all.state).toBe('pending')
    expect(client.pending.map(({ qos }) => qos)).toEqual([0, 0, 1, 0])
    await client.connect()
    await world.settle()
    expect(all).toMatchObject({ state: 'resolved', value: { published: 4, failed: 0 } })
    expect(world.got('publish').map(({ qos }) => qos)).toEqual([0, 0, 1, 0])
  })

  it('takes an async iterable', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    async function* generate(): AsyncGenerator<OutgoingMessage> {
      for (const message of messages(10)) {
        await Promise.resolve()
        yield message
      }
    }
    expect(await client.publishAll(generate())).toMatchObject({ published: 10 })
  })

  it('an empty iterable, offline too', async () => {
    const world = makeWorld(version)
    expect(await world.client().publishAll([])).toEqual({ published: 0, failed: 0, failures: [] })
  })

  it('copies a payload when it is taken: a generator may use its buffer again', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxInflight: 2 })
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    const buffer = new Uint8Array(2)
    const text = new TextEncoder()
    function* generate(): Generator<OutgoingMessage> {
      for (let index = 10; index < 60; index += 1) {
        text.encodeInto(String(index), buffer)
        yield { topic: 'a', payload: buffer, qos: (index % 3) as 0 | 1 | 2 }
      }
    }
    const { published } = await client.publishAll(generate())
    await world.settle()
    expect(published).toBe(50)
    expect(seen.toSorted()).toEqual(numbers(60).slice(10))
  })

  it('keeps to its window and takes no more than it needs', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(100)
    const client = await world.connected()
    let taken = 0
    function* generate(): Generator<OutgoingMessage> {
      for (const message of messages(20)) {
        taken += 1
        yield message
      }
    }
    const all = outcomeOf(client.publishAll(generate(), { window: 4 }))
    await world.settle()
    expect(taken).toBeLessThanOrEqual(5)
    expect(client.pending).toHaveLength(4)
    let most = 0
    for (let round = 0; round < 10; round += 1) {
      await world.advance(50)
      most = Math.max(most, client.pending.length)
    }
    expect(all).toMatchObject({ state: 'resolved', value: { published: 20 } })
    expect(most).toBe(4)
  })

  it('without a window has 2,000 under way, and more when the server is far', async () => {
    const world = makeWorld(version)
    const puback = world.broker.faults.onSend('puback')
    puback.delay(15)
    const client = await world.connected({ maxInflight: 6_000 })
    const all = outcomeOf(client.publishAll(messages(30_000)))
    const most = async (ms: number): Promise<number> => {
      let count = 0
      for (let round = 0; round < ms; round += 10) {
        count = Math.max(count, client.pending.length)
        await world.advance(10)
      }
      return count
    }
    expect(await most(60)).toBe(2_000)
    puback.delay(50)
    expect(await most(90)).toBe(4_000)
    expect(await most(100)).toBe(6_000)
    await world.advance(1_000)
    expect(all).toMatchObject({ state: 'resolved', value: { published: 30_000 } })
  })

  it('options of the call are defaults for each message', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.publishAll(
      [
        { topic: 'a', payload: '' },
        { topic: 'b', payload: '', qos: 0, retain: false },
      ],
      {
        qos: 1,
        retain: true,
      },
    )
    expect(world.got('publish').map(({ qos, retain }) => [qos, retain])).toEqual([
      [1, true],
      [0, false],
    ])
  })

  it('single failures are told by index and do not reject it', async () => {
    const world = makeWorld(version, {
      broker: { authorizePublish: (_id, { topic }) => (topic === 'no' ? 0x87 : 0) },
    })
    const client = await world.connected()
    const result = await client.publishAll([
      { topic: 'a', payload: 'x', qos: 1 },
      { topic: 'a/#', payload: 'x', qos: 1 },
      { topic: 'no', payload: 'x', qos: 2 },
      { topic: 'a', payload: 7 as never, qos: 0 },
      { topic: 'a', payload: 'x', nonsense: 1 } as never,
      { topic: 'a', payload: 'x', qos: 2 },
    ])
    const expected = version === '5' ? [1, 2, 3, 4] : [1, 3, 4]
    expect(result.published).toBe(6 - expected.length)
    expect(result.failed).toBe(expected.length)
    expect(new Set(result.failures.map(({ index }) => index))).toEqual(new Set(expected))
    expect(result.failures.find(({ index }) => index === 1)?.error).toBeInstanceOf(UsageError)
  })

  it.each([null, undefined, 'a', 7])('says what is wrong with a message that is %j', async (message) => {
    const client = await makeWorld(version).connected()
    const { failures } = await client.publishAll([message as unknown as OutgoingMessage])
    expect(failures[0]?.error).toBeInstanceOf(UsageError)
    expect(failures[0]?.error).toMatchObject({
      message: expect.stringContaining('expected an object with a topic and a payload, got'),
    })
  })

  it('tells the first 1,000 failures and the number of all', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const wrong = Array.from({ length: 1_500 }, () => ({ topic: '#', payload: '' }))
    const { published, failed, failures } = await client.publishAll(wrong)
    expect([published, failed, failures.length]).toEqual([0, 1_500, 1_000])
    expect(failures.at(-1)?.index).toBe(999)
  })

  it('an iterator that throws rejects it after what was taken has settled', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(1_000)
    const client = await world.connected()
    const reason = new Error('no more')
    function* generate(): Generator<OutgoingMessage> {
      yield* messages(2)
      throw reason
    }
    const all = outcomeOf(client.publishAll(generate()))
    await world.advance(999)
    expect(all.state).toBe('pending')
    await world.advance(1)
    expect(all.error).toBe(reason)
    expect(client.pending).toEqual([])
  })

  it('an async iterator that rejects does, too', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const reason = new Error('no more')
    async function* generate(): AsyncGenerator<OutgoingMessage> {
      yield { topic: 'a', payload: 'x', qos: 1 }
      throw reason
    }
    await expect(client.publishAll(generate())).rejects.toBe(reason)
    expect(world.got('publish')).toHaveLength(1)
  })

  it('a signal rejects at once with its reason, and the iterator is left', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    let left = false
    function* generate(): Generator<OutgoingMessage> {
      try {
        yield* messages(100)
      } finally {
        left = true
      }
    }
    const controller = new AbortController()
    const all = outcomeOf(client.publishAll(generate(), { window: 2, signal: controller.signal }))
    await world.settle()
    expect(left).toBe(false)
    const reason = new Error('enough')
    controller.abort(reason)
    await world.settle()
    expect(all.error).toBe(reason)
    expect(left).toBe(true)
    expect(world.got('publish')).toHaveLength(2)
  })

  it('an iterator that cannot be left hides nothing; it is asked as itself', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    class Endless implements IterableIterator<OutgoingMessage> {
      asked = 0
      left = 0
      next(): IteratorResult<OutgoingMessage> {
        this.asked += 1
        return { done: false, value: { topic: 'a', payload: String(this.asked), qos: 1 } }
      }
      return(): never {
        this.left += 1
        throw new Error('cannot be left')
      }
      [Symbol.iterator](): this {
        return this
      }
    }
    const endless = new Endless()
    const controller = new AbortController()
    const all = outcomeOf(client.publishAll(endless, { window: 3, signal: controller.signal }))
    await world.settle()
    const reason = new Error('enough')
    controller.abort(reason)
    await world.settle()
    expect(all.error).toBe(reason)
    expect(endless).toMatchObject({ asked: 4, left: 1 })
    expect(world.got('publish')).toHaveLength(3)
  })

  it('a signal that has aborted takes nothing', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const reason = new Error('enough')
    await expect(client.publishAll(messages(3), { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    await world.settle()
    expect(world.got('publish')).toEqual([])
  })

  it('rejects with a UsageError for a bad window', async () => {
    const client = makeWorld(version).client()
    for (const window of [0, 1.5, -1]) {
      await expect(client.publishAll([], { window })).rejects.toMatchObject({
        code: 'invalid-option',
        field: 'window',
      })
    }
  })

  it.each([
    ['windw', { windw: 5 }],
    ['payload', { payload: 'borrowed' }],
    ['signal', { signal: {} }],
    ['options', null],
    ['options', 7],
  ])('rejects with a UsageError for wrong options: %s', async (field, options) => {
    const client = makeWorld(version).client()
    const wrong = { code: 'invalid-option', field }
    await expect(client.publishAll([], options as never)).rejects.toMatchObject(wrong)
    expect(() => client.writable(options as never)).toThrow(expect.objectContaining(wrong) as Error)
  })

  it.each([undefined, null, 7, {}, () => {}, Symbol('x')])(
    'rejects with a UsageError for what is no iterable: %s',
    async (given) => {
      const client = makeWorld(version).client()
      const all = client.publishAll(given as never)
      await expect(all).rejects.toBeInstanceOf(UsageError)
      await expect(all).rejects.toMatchObject({ field: 'messages' })
    },
  )

  it('waits offline, with the queue full, and goes on after connect()', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 5 } })
    const all = outcomeOf(client.publishAll(messages(30)))
    await world.settle()
    expect(client.pending).toHaveLength(5)
    await client.connect()
    await world.settle()
    expect(all).toMatchObject({ state: 'resolved', value: { published: 30, failed: 0 } })
  })

  it('a message that waits for room keeps its place; one that is wrong is told by its own', async () => {
    const world = makeWorld(version)
    const { seen, handler } = texts()
    const client = world.client({ queue: { maxMessages: 5 } })
    const subscribed = client.subscribe('a', { qos: 2 }, handler)
    const wrong = { topic: 'a/#', payload: 'wrong', qos: 1 } as const
    const all = outcomeOf(client.publishAll([...messages(8), wrong, ...messages(2)]))
    await world.settle()
    await client.connect()
    await subscribed
    await world.settle()
    const failures = [{ index: 8, error: expect.any(UsageError) as unknown }]
    expect(all).toMatchObject({ state: 'resolved', value: { published: 10, failed: 1, failures } })
    expect(seen).toEqual([...numbers(8), ...numbers(2)])
  })

  it('waits, too, for room that its own iterable has taken', async () => {
    const world = makeWorld(version)
    const client = world.client({ queue: { maxMessages: 5 } })
    function* generate(): Generator<OutgoingMessage> {
      for (const { payload } of messages(5)) void client.publish('b', payload, { qos: 1 })
      yield* messages(3)
    }
    const all = outcomeOf(client.publishAll(generate()))
    await world.settle()
    expect(client.pending).toHaveLength(5)
    await client.connect()
    await world.settle()
    expect(all).toMatchObject({ state: 'resolved', value: { published: 3, failed: 0 } })
  })

  it('goes on over a lost connection', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    world.broker.faults.onReceive('publish', { nth: 10 }).cutBefore()
    const all = outcomeOf(client.publishAll(messages(50), { window: 5 }))
    await world.advance(10_000)
    expect(all).toMatchObject({ state: 'resolved', value: { published: 50, failed: 0 } })
  })

  it.each(['offline', 'connected'] as const)(
    'disconnect() rejects it with ClosedError: %s',
    async (where) => {
      const world = makeWorld(version)
      world.broker.faults.onSend('puback').withhold()
      const client = world.durable({ queue: { maxMessages: 5 }, maxInflight: 2 })
      if (where === 'connected') await client.connect()
      let left = false
      function* generate(): Generator<OutgoingMessage> {
        try {
          yield* messages(100)
        } finally {
          left = true
        }
      }
      const all = outcomeOf(client.publishAll(generate()))
      await world.settle()
      await client.disconnect()
      await world.settle()
      expect(all.error).toBeInstanceOf(ClosedError)
      expect(left).toBe(true)
    },
  )

  it.each([0, 1] as const)('back-pressure: QoS %i waits for a peer that does not read', async (qos) => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    world.link.stop()
    let taken = 0
    function* generate(): Generator<OutgoingMessage> {
      const payload = new Uint8Array(10_000)
      for (; taken < 500; taken += 1) yield { topic: 'a', payload, qos }
    }
    const all = outcomeOf(client.publishAll(generate()))
    await world.advance(1_000)
    expect(taken).toBeLessThan(100)
    expect(all.state).toBe('pending')
    for (let round = 0; round < 100 && all.state === 'pending'; round += 1) {
      world.link.go()
      await world.settle()
    }
    expect(all).toMatchObject({ state: 'resolved', value: { published: 500 } })
    expect(world.got('publish')).toHaveLength(500)
  })
})

describe.each(VERSIONS)('writable() in %s', (version) => {
  it('publishes what is written; closing waits for all acknowledgements', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(1_000)
    const client = await world.connected()
    const writer = client.writable({ qos: 1 }).getWriter()
    await writer.write({ topic: 'a', payload: 'x' })
    await writer.write({ topic: 'b', payload: 'y' })
    const closed = outcomeOf(writer.close())
    await world.settle()
    expect(world.got('publish').map(({ topic }) => topic)).toEqual(['a', 'b'])
    expect(closed.state).toBe('pending')
    await world.advance(1_000)
    expect(closed.state).toBe('resolved')
  })

  it('takes a stream by pipeTo', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await ReadableStream.from(messages(20)).pipeTo(client.writable())
    expect(world.got('publish')).toHaveLength(20)
  })

  it('writing waits for the window', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').delay(1_000)
    const client = await world.connected()
    const writer = client.writable({ qos: 1, window: 1 }).getWriter()
    await writer.write({ topic: 'a', payload: 'x' })
    const second = outcomeOf(writer.write({ topic: 'b', payload: 'y' }))
    await world.settle()
    expect(second.state).toBe('pending')
    await world.advance(1_000)
    expect(second.state).toBe('resolved')
  })

  it('a failure rejects close()', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const writer = client.writable().getWriter()
    await writer.write({ topic: '#', payload: 'x' })
    await expect(writer.close()).rejects.toBeInstanceOf(UsageError)
  })

  it('a closed client errors the stream', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    const writer = client.writable({ qos: 1, window: 1 }).getWriter()
    await writer.write({ topic: 'a', payload: 'x' })
    const waiting = outcomeOf(writer.write({ topic: 'a', payload: 'y' }))
    writer.closed.catch(() => {})
    await world.settle()
    await client.disconnect()
    await world.settle()
    expect(waiting.error).toBeInstanceOf(ClosedError)
    await expect(writer.write({ topic: 'a', payload: 'z' })).rejects.toBeInstanceOf(ClosedError)
  })

  it('its signal ends a write that waits for the window, and all that follow', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    const controller = new AbortController()
    const reason = new Error('enough')
    const writer = client.writable({ qos: 1, window: 1, signal: controller.signal }).getWriter()
    writer.closed.catch(() => {})
    await writer.write({ topic: 'a', payload: 'x' })
    const waiting = outcomeOf(writer.write({ topic: 'a', payload: 'y' }))
    await world.settle()
    controller.abort(reason)
    await world.settle()
    expect(waiting.error).toBe(reason)
    await expect(writer.write({ topic: 'a', payload: 'z' })).rejects.toBe(reason)
    expect(world.got('publish')).toHaveLength(1)
  })

  it('its signal ends a write that waits for the network', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    const controller = new AbortController()
    const writer = client.writable({ signal: controller.signal }).getWriter()
    for (const message of messages(999, 0)) await writer.write(message)
    await world.settle()
    world.link.stop()
    const last = outcomeOf(writer.write({ topic: 'a', payload: new Uint8Array(1_000_000) }))
    writer.closed.catch(() => {})
    await world.settle()
    expect(last.state).toBe('pending')
    controller.abort(new Error('enough'))
    await world.settle()
    expect(last).toMatchObject({ state: 'rejected', error: { message: 'enough' } })
  })

  it('its signal ends close(), which waits for acknowledgements', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected()
    const controller = new AbortController()
    const reason = new Error('enough')
    const writer = client.writable({ qos: 1, signal: controller.signal }).getWriter()
    writer.closed.catch(() => {})
    await writer.write({ topic: 'a', payload: 'x' })
    const closing = outcomeOf(writer.close())
    await world.settle()
    expect(closing.state).toBe('pending')
    controller.abort(reason)
    await world.settle()
    expect(closing.error).toBe(reason)
  })

  it('a signal that has aborted: nothing is written', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const reason = new Error('enough')
    const writer = client.writable({ signal: AbortSignal.abort(reason) }).getWriter()
    writer.closed.catch(() => {})
    await expect(writer.write({ topic: 'a', payload: 'x' })).rejects.toBe(reason)
    expect(world.got('publish')).toEqual([])
  })

  it('can be aborted', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.writable({ qos: 1 })
    await stream.abort(new Error('enough'))
    await client.publish('a', 'x', { qos: 1 })
  })

  it('throws a UsageError for a bad window', () => {
    expect(() => makeWorld(version).client().writable({ window: 0 })).toThrow(UsageError)
  })
})

// messages(): the async iterable; rule 30.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ClosedError, RefusedError } from '../core/errors.ts'
import type { AckPacket } from '../core/packets/types.ts'
import type { Message } from './message.ts'

const makeWorld = useWorlds()
type World = ReturnType<typeof makeWorld>

const say = (world: World, payload: string, qos: 0 | 1 | 2 = 1): void =>
  world.broker.publish({ topic: 'a', payload, qos })
const acks = (world: World): readonly number[] =>
  world.fromClient
    .filter((packet): packet is AckPacket => packet.type === 'puback' || packet.type === 'pubrec')
    .map(({ reasonCode }) => reasonCode)
const textOf = ({ value }: IteratorResult<Message, undefined>): string | undefined => value?.text()

describe.each(VERSIONS)('messages() in %s', (version) => {
  it('subscribes at the first next(), not before, and gives messages in order', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a', { qos: 2 })
    await world.settle()
    expect(world.taken()).toEqual(['connect'])
    const first = stream.next()
    await world.settle()
    expect(world.taken()).toEqual(['subscribe'])
    for (const text of ['one', 'two', 'three']) say(world, text)
    expect(textOf(await first)).toBe('one')
    await world.settle()
    expect(textOf(await stream.next())).toBe('two')
    expect(textOf(await stream.next())).toBe('three')
    expect(stream[Symbol.asyncIterator]()).toBe(stream)
  })

  it('ready subscribes at once and tells the outcome; the same each time', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages(['a', 'b'], { qos: 1 })
    const subscription = await stream.ready
    expect(subscription.results.map(({ grantedQos }) => grantedQos)).toEqual([1, 1])
    expect(stream.ready).toBe(stream.ready)
    say(world, 'early')
    await world.settle()
    expect(textOf(await stream.next())).toBe('early')
    expect(world.got('subscribe')).toHaveLength(1)
  })

  it('a message is acknowledged when the next one is asked for', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a', { qos: 2 })
    await stream.ready
    say(world, 'one', 1)
    say(world, 'two', 2)
    await world.settle()
    expect(textOf(await stream.next())).toBe('one')
    await world.settle()
    expect(acks(world)).toEqual([])
    expect(textOf(await stream.next())).toBe('two')
    await world.settle()
    expect(acks(world)).toEqual([0])
    void stream.next()
    await world.settle()
    expect(acks(world)).toEqual([0, 0])
  })

  it('several next() at once are served in order', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a', { qos: 1 })
    const asked = [stream.next(), stream.next(), stream.next()]
    await world.settle()
    for (const text of ['one', 'two', 'three']) say(world, text)
    await world.settle()
    expect((await Promise.all(asked)).map(textOf)).toEqual(['one', 'two', 'three'])
    await stream.return()
    await world.settle()
    expect(acks(world)).toEqual([0, 0, 0])
  })

  it("with ack 'received' and 'manual'", async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const received = client.messages('a', { qos: 1, ack: 'received' })
    await received.ready
    say(world, 'one')
    await world.settle()
    expect(acks(world)).toEqual([0])
    await received.next()
    await received.return()
    const manual = client.messages('a', { qos: 1, ack: 'manual' })
    await manual.ready
    say(world, 'two')
    const { value } = await manual.next()
    void manual.next()
    await world.settle()
    expect(acks(world)).toEqual([0])
    value?.ack()
    await world.settle()
    expect(acks(world)).toEqual([0, 0])
  })

  it.each(['break', 'throw', 'return'] as const)(
    'leaving the loop by %s unsubscribes; the current message is handled, buffered ones are given up (rule 30)',
    async (way) => {
      const world = makeWorld(version)
      const client = await world.connected()
      const seen: string[] = []
      const loop = async (): Promise<string> => {
        const stream = client.messages('a', { qos: 1 })
        await stream.ready
        for (const text of ['one', 'two', 'three', 'four']) say(world, text)
        for await (const message of stream) {
          seen.push(message.text())
          if (seen.length < 2) continue
          if (way === 'throw') throw new Error('enough')
          if (way === 'return') return 'returned'
          break
        }
        return 'left'
      }
      const outcome = await loop().catch((error: Error) => error.message)
      expect(outcome).toBe({ break: 'left', throw: 'enough', return: 'returned' }[way])
      await world.settle()
      expect(seen).toEqual(['one', 'two'])
      expect(world.got('unsubscribe')).toHaveLength(1)
      const given = version === '5' ? 0x83 : 0
      expect(acks(world)).toEqual([0, 0, given, given])
      expect(client.statistics.messagesDropped).toBe(2)
    },
  )

  it('leaving resolves after UNSUBACK; the stream is over then', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('unsuback').delay(1_000)
    const client = await world.connected()
    const stream = client.messages('a')
    await stream.ready
    const leaving = outcomeOf(stream.return())
    await world.settle()
    expect(leaving.state).toBe('pending')
    await world.advance(1_000)
    expect(leaving).toMatchObject({ state: 'resolved', value: { done: true, value: undefined } })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(await stream.return()).toEqual({ done: true, value: undefined })
    expect(world.got('unsubscribe')).toHaveLength(1)
  })

  it('leaving while waiting for a message ends the waiting', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a')
    const waiting = stream.next()
    await world.settle()
    await stream.return()
    expect(await waiting).toEqual({ done: true, value: undefined })
  })

  it('leaving a stream that was never read does nothing', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a')
    expect(await stream.return()).toEqual({ done: true, value: undefined })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(world.taken()).toEqual(['connect'])
  })

  it('throw() leaves and rejects', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a')
    await stream.ready
    const reason = new Error('enough')
    await expect(stream.throw?.(reason)).rejects.toBe(reason)
    expect(world.got('unsubscribe')).toHaveLength(1)
  })

  it('by await using', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    {
      await using stream = client.messages('a')
      await stream.ready
    }
    expect(world.got('unsubscribe')).toHaveLength(1)
  })

  it.each(['by name', 'by its subscription'] as const)('ends when it is unsubscribed %s', async (how) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages(['a', 'b'], { qos: 1 })
    const subscription = await stream.ready
    say(world, 'read')
    say(world, 'left')
    await world.settle()
    expect(textOf(await stream.next())).toBe('read')
    if (how === 'by name') {
      await client.unsubscribe('b')
      expect(textOf(await stream.next())).toBe('left')
      await client.unsubscribe('a')
    } else await subscription.unsubscribe()
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    expect(acks(world)).toEqual(how === 'by name' ? [0, 0] : [0, version === '5' ? 0x83 : 0])
    const waiting = client.messages('c')
    const next = outcomeOf(waiting.next())
    await world.settle()
    await client.unsubscribe('c')
    expect(next).toMatchObject({ state: 'resolved', value: { done: true } })
  })

  it('ends when the filters that were granted are unsubscribed', async () => {
    const world = makeWorld(version, {
      broker: { authorizeSubscribe: (_id, { filter, qos }) => (filter === 'no' ? 0x80 : qos) },
    })
    const client = await world.connected()
    const stream = client.messages(['yes', 'no'])
    const next = outcomeOf(stream.next())
    await stream.ready
    await client.unsubscribe(['yes', 'no'])
    expect(next).toMatchObject({ state: 'resolved', value: { done: true } })
    const early = client.messages(['yes', 'no'])
    const waiting = outcomeOf(early.next())
    void client.unsubscribe('yes')
    await world.settle()
    expect(waiting).toMatchObject({ state: 'resolved', value: { done: true } })
  })

  it('leaves the others of the filter alone', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const one = client.messages('a', { qos: 1 })
    const two = client.messages('a', { qos: 1 })
    await Promise.all([one.ready, two.ready])
    await one.return()
    expect(world.got('unsubscribe')).toEqual([])
    say(world, 'x')
    expect(textOf(await two.next())).toBe('x')
    await two.return()
    expect(world.got('unsubscribe')).toHaveLength(1)
  })

  it('refused: ready rejects, and so does the first next(); then it is over', async () => {
    const world = makeWorld(version, { broker: { authorizeSubscribe: () => 0x80 } })
    const client = await world.connected()
    const stream = client.messages('a')
    const first = stream.next()
    await expect(first).rejects.toBeInstanceOf(RefusedError)
    await expect(stream.ready).rejects.toMatchObject({ code: 'subscribe-refused' })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    await stream.return()
    expect(world.got('unsubscribe')).toEqual([])
  })

  it('refused without anybody waiting: the next next() rejects', async () => {
    const world = makeWorld(version, { broker: { authorizeSubscribe: () => 0x80 } })
    const client = await world.connected()
    const stream = client.messages('a')
    await stream.ready.catch(() => {})
    await expect(stream.next()).rejects.toMatchObject({ code: 'subscribe-refused' })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
  })

  it('offline it waits for the connection', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const stream = client.messages('a')
    const first = outcomeOf(stream.next())
    await world.advance(10_000)
    expect(first.state).toBe('pending')
    await client.connect()
    await world.settle()
    say(world, 'x')
    await world.settle()
    expect(first.value?.value?.text()).toBe('x')
  })

  it('offline leaving resolves at once', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const unread = client.messages('a')
    void unread.next()
    await world.settle()
    expect(outcomeOf(unread.return())).toMatchObject({ state: 'pending' })
    const leaving = outcomeOf(unread.return())
    await world.settle()
    expect(leaving.state).toBe('resolved')
    await client.connect()
    await world.settle()
    expect(world.broker.sessions.get('client')?.subscriptions.size).toBe(0)
    const read = client.messages('b')
    await read.ready
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.settle()
    await read.return()
    expect(client.state).toBe('waiting')
  })

  it('goes on over reconnects', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    const stream = client.messages('a', { qos: 1 })
    await stream.ready
    world.broker.cutAll()
    await world.advance(2_000)
    say(world, 'x')
    expect(textOf(await stream.next())).toBe('x')
  })

  it.each(['disconnect', 'destroy'] as const)('%s() ends it normally (rule 6)', async (how) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a')
    const waiting = stream.next()
    await world.settle()
    await client[how]()
    expect(await waiting).toEqual({ done: true, value: undefined })
    expect(await stream.next()).toEqual({ done: true, value: undefined })
    await expect(client.messages('a').next()).rejects.toBeInstanceOf(ClosedError)
  })

  it.each([1, 2] as const)(
    'disconnect() leaves what it has not handed out to the session (QoS %i, rules 6, 30)',
    async (qos) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable()
      const stream = client.messages('a', { qos })
      await stream.ready
      for (const text of ['read', 'buffered', 'buffered too']) say(world, text, qos)
      await world.settle()
      expect(textOf(await stream.next())).toBe('read')
      await client.disconnect()
      expect(await stream.next()).toEqual({ done: true, value: undefined })
      const again = client.messages.bind(client, 'a', { qos })
      const seen: (string | undefined)[] = []
      await client.connect()
      for await (const message of again()) {
        seen.push(message.text())
        if (seen.length === (qos === 1 ? 3 : 2)) break
      }
      expect(seen).toEqual(qos === 1 ? ['read', 'buffered', 'buffered too'] : ['buffered', 'buffered too'])
      expect(client.statistics.messagesDropped).toBe(0)
      await world.settle()
      expect(world.broker.openExchanges).toEqual([])
    },
  )

  it('one that disconnect() has ended takes no messages of the next connection (rule 29)', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ unmatchedTimeout: 1_000 })
    const unmatched = collect(client, 'unmatched')
    await client.messages('a', { qos: 2 }).ready
    await client.disconnect()
    say(world, 'x')
    await client.connect()
    await world.advance(2_000)
    expect(unmatched.map(({ message }) => message.text())).toEqual(['x'])
  })

  it('highWaterMark: reading stops when so many wait, and goes on when they were read', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const stream = client.messages('a', { qos: 1, highWaterMark: 3 })
    await stream.ready
    for (let index = 0; index < 10; index += 1) say(world, String(index))
    await world.settle()
    const came = (): number | undefined => client.statistics.messagesIn[1]
    expect(came()).toBe(3)
    const seen: (string | undefined)[] = []
    for (let index = 0; index < 10; index += 1) {
      seen.push(textOf(await stream.next()))
      await world.settle()
      // The one that was read is acknowledged when the next is asked for.
      expect(came()).toBe(Math.min(3 + index, 10))
    }
    expect(seen).toEqual(Array.from({ length: 10 }, (_, index) => String(index)))
  })

  it('a buffer that nobody reads raises error naming the filter, once (rule 30)', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const errors = collect(client, 'error')
    const stream = client.messages('a/#', { qos: 0, highWaterMark: 2 })
    await stream.ready
    for (let index = 0; index < 5; index += 1) world.broker.publish({ topic: 'a/b', payload: 'x' })
    await world.advance(59_999)
    expect(errors).toEqual([])
    await world.advance(1)
    expect(errors).toMatchObject([{ error: { code: 'unread-messages' } }])
    expect(errors[0]?.error.message).toContain('"a/#"')
    await world.advance(600_000)
    expect(errors).toHaveLength(1)
    for (let index = 0; index < 5; index += 1) {
      await stream.next()
      await world.settle()
    }
    expect(client.state).toBe('connected')
  })

  it('a signal ends the subscription, and the stream', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const controller = new AbortController()
    const stream = client.messages('a', { signal: controller.signal })
    await stream.ready
    const waiting = outcomeOf(stream.next())
    const reason = new Error('enough')
    controller.abort(reason)
    await world.settle()
    expect(world.got('unsubscribe')).toHaveLength(1)
    expect(waiting.state).not.toBe('pending')
  })
})

// The three ways to acknowledge: rules 18, 20.
import { describe, expect, it } from 'vitest'
import { collect, gate, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import type { AckPacket } from '../core/packets/types.ts'
import { memoryStore } from '../store/memory.ts'
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

describe.each(VERSIONS)("ack: 'handled' in %s", (version) => {
  it.each([1, 2] as const)('QoS %i is acknowledged when the promise has settled', async (qos) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { promise, open } = gate()
    await client.subscribe('a', { qos: 2 }, () => promise)
    say(world, 'x', qos)
    await world.advance(1_000)
    expect(acks(world)).toEqual([])
    open()
    await world.settle()
    expect(acks(world)).toEqual([0])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('a handler of an earlier session does not acknowledge a message of the next one', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const gates = [gate(), gate()]
    const messages: Message[] = []
    const handler = (message: Message): Promise<void> | undefined =>
      gates[messages.push(message) - 1]?.promise
    await client.subscribe('a', { qos: 2, concurrency: 2 }, handler)
    say(world, 'old', 2)
    await world.settle()
    await client.disconnect()
    await client.connect()
    await client.subscribe('a', { qos: 2, concurrency: 2 }, handler)
    say(world, 'new', 2)
    await world.settle()
    expect(messages.map(({ packetId }) => packetId)).toEqual([1, 1])
    gates[0]?.open()
    await world.settle()
    expect(acks(world)).toEqual([])
    gates[1]?.open()
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('every handler that got it is waited for', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const one = gate()
    const two = gate()
    await client.subscribe('a', { qos: 1 }, () => one.promise)
    await client.subscribe('+', { qos: 1 }, () => two.promise)
    client.on('message', () => {})
    say(world, 'x')
    await world.settle()
    one.open()
    await world.settle()
    expect(acks(world)).toEqual([])
    two.open()
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('a message that reaches only message listeners is acknowledged when they have returned', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', { qos: 2 })
    let before = -1
    client.on('message', () => {
      before = acks(world).length
    })
    say(world, 'x', 1)
    say(world, 'y', 2)
    await world.settle()
    expect(before).toBe(0)
    expect(acks(world)).toEqual([0, 0])
  })

  it('a QoS 2 message is handed over when its PUBLISH comes, not at PUBREL', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrel').delay(1_000)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    say(world, 'x', 2)
    await world.settle()
    expect(seen).toEqual(['x'])
    await world.advance(1_000)
    expect(seen).toEqual(['x'])
  })
})

describe.each(VERSIONS)("ack: 'received' in %s", (version) => {
  it.each([1, 2] as const)('QoS %i is acknowledged when it is handed over', async (qos) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { promise, open } = gate()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2, ack: 'received' }, (message) => {
      handler(message)
      return promise
    })
    say(world, 'one', qos)
    say(world, 'two', qos)
    await world.settle()
    expect(acks(world)).toEqual([0, 0])
    expect(seen).toEqual(['one'])
    open()
    await world.settle()
    expect(seen).toEqual(['one', 'two'])
    expect(acks(world)).toEqual([0, 0])
  })

  it('a failure changes nothing in the acknowledgement', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const errors = collect(client, 'error')
    await client.subscribe('a', { qos: 1, ack: 'received' }, () => {
      throw new Error('no')
    })
    say(world, 'x')
    await world.settle()
    expect(errors).toHaveLength(1)
    expect(acks(world)).toEqual([0])
  })

  it('at QoS 2 with a store the id is recorded before the handler is called (rule 18)', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const appended = gate()
    const append = store.append.bind(store)
    let holds = false
    store.append = async (records) => {
      if (holds) await appended.promise
      await append(records)
    }
    const client = await world.connectedDurable({ store })
    const one = texts()
    const two = texts()
    await client.subscribe('a', { qos: 2, ack: 'received' }, one.handler)
    await world.settle()
    holds = true
    say(world, 'x', 2)
    await world.settle()
    expect([one.seen, acks(world)]).toEqual([[], []])
    appended.open()
    await world.settle()
    expect([one.seen, acks(world)]).toEqual([['x'], [0]])
    client.on('message', two.handler)
    say(world, 'y', 2)
    await world.settle()
    expect([one.seen, two.seen]).toEqual([['x', 'y'], ['y']])
    expect(world.broker.openExchanges).toEqual([])
  })
})

describe.each(VERSIONS)("ack: 'manual' in %s", (version) => {
  it('a handler that was taken away before its turn does not hold up the acknowledgement', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const later = client.route('a', () => {}, { ack: 'manual' })
    await client.unsubscribe('a')
    later()
    const kept: (() => void)[] = []
    await client.subscribe('a', { qos: 1 }, () => kept.splice(0).forEach((remove) => remove()))
    kept.push(client.route('a', () => {}, { ack: 'manual' }))
    world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await world.settle()
    expect(kept).toEqual([])
    expect(world.got('puback')).toHaveLength(1)
  })

  it('of two handlers, one that waits for its turn and is taken away does not speak for the other', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { promise, open } = gate()
    const received: Message[] = []
    await client.subscribe('a', { qos: 1, ack: 'manual' }, (message) => void received.push(message))
    const remove = client.route('a', () => promise, { ack: 'manual' })
    world.broker.publish({ topic: 'a', payload: 'one', qos: 1 })
    world.broker.publish({ topic: 'a', payload: 'two', qos: 1 })
    await world.settle()
    received[0]?.ack()
    remove()
    open()
    await world.settle()
    expect(received.map((message) => message.text())).toEqual(['one', 'two'])
    expect(world.got('puback')).toHaveLength(1)
    received[1]?.ack()
    await world.settle()
    expect(world.got('puback')).toHaveLength(2)
  })

  it('takes a reason code of PUBACK; another is a UsageError', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const received: Message[] = []
    await client.subscribe('a', { qos: 2, ack: 'manual' }, (message) => void received.push(message))
    for (const qos of [1, 2] as const) say(world, 'x', qos)
    await world.settle()
    for (const message of received) {
      for (const wrong of [0x01, 0x85, -1, NaN, '0' as never]) {
        expect(() => message.ack(wrong)).toThrow(/^reasonCode: expected one of PUBACK/)
      }
      expect(acks(world)).toEqual([])
    }
    for (const message of received) message.ack(0x10)
    await world.settle()
    expect(acks(world)).toEqual(version === '5' ? [0x10, 0x10] : [0, 0])
  })

  it.each([1, 2] as const)('QoS %i is acknowledged by message.ack(), once', async (qos) => {
    const world = makeWorld(version)
    const client = await world.connected()
    const received: Message[] = []
    await client.subscribe('a', { qos: 2, ack: 'manual' }, (message) => void received.push(message))
    say(world, 'x', qos)
    await world.advance(10_000)
    expect(acks(world)).toEqual([])
    received[0]?.ack()
    received[0]?.ack()
    await world.settle()
    expect(acks(world)).toEqual([0])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('within the handler, and with a reason code that 5 sends', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', { qos: 1, ack: 'manual' }, (message) => message.ack(0x97))
    say(world, 'x')
    await world.settle()
    expect(acks(world)).toEqual([version === '5' ? 0x97 : 0])
  })

  it('of a route, too', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', { qos: 1 })
    const received: Message[] = []
    client.route('a', (message) => void received.push(message), { ack: 'manual' })
    say(world, 'x')
    await world.settle()
    expect(acks(world)).toEqual([])
    received[0]?.ack()
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('where handlers differ, the last needed counts', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const received: Message[] = []
    const slow = gate()
    await client.subscribe('a', { qos: 1, ack: 'manual' }, (message) => void received.push(message))
    await client.subscribe('+', { qos: 1, ack: 'handled' }, () => slow.promise)
    await client.subscribe('#', { qos: 1, ack: 'received' }, () => new Promise(() => {}))
    say(world, 'x')
    await world.settle()
    received[0]?.ack()
    await world.settle()
    expect(acks(world)).toEqual([])
    slow.open()
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('a late one is dropped at QoS 1, the server sends the message again (rule 20)', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const received: Message[] = []
    await client.subscribe('a', { qos: 1, ack: 'manual' }, (message) => void received.push(message))
    say(world, 'x')
    await world.settle()
    world.broker.cutAll()
    await world.advance(2_000)
    expect(received.map(({ dup }) => dup)).toEqual([false, true])
    received[0]?.ack()
    await world.settle()
    expect(acks(world)).toEqual([])
    received[1]?.ack()
    await world.settle()
    expect(acks(world)).toEqual([0])
  })

  it('a late one answers the repeated PUBLISH at QoS 2, which is not handed over again (rules 18, 20)', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const received: Message[] = []
    await client.subscribe('a', { qos: 2, ack: 'manual' }, (message) => void received.push(message))
    say(world, 'x', 2)
    say(world, 'y', 2)
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    received[0]?.ack()
    await world.advance(2_000)
    expect(received).toHaveLength(2)
    expect(acks(world)).toEqual([0])
    received[1]?.ack()
    await world.settle()
    expect(acks(world)).toEqual([0, 0])
    expect(world.broker.openExchanges).toEqual([])
  })
})

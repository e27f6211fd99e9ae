// Messages that wait behind others: held while `maxPending` is reached and an answer is awaited (rule 31), or for their
// turn at a handler. Their order, their weight, and that thousands of them are no deeper than one.
import { describe, expect, it } from 'vitest'
import { collect, gate, outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { memoryStore } from '../store/memory.ts'
import type { Message } from './message.ts'

const makeWorld = useWorlds()
type World = ReturnType<typeof makeWorld>

const say = (world: World, topic: string, payload: string, qos: 0 | 1 | 2 = 1): void =>
  world.broker.publish({ topic, payload, qos })
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))

describe.each(VERSIONS)('messages that wait in %s', (version) => {
  it('a stream that was read lets the reading go on, though another handler of the message runs on', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    const { seen, handler } = texts()
    const stream = client.messages('a', { qos: 1, highWaterMark: 1 })
    await stream.ready
    await client.subscribe('a', { qos: 1 }, () => new Promise(() => {}))
    await client.subscribe('b', { qos: 1 }, handler)
    say(world, 'a', 'x')
    await world.settle()
    say(world, 'b', 'y')
    await world.settle()
    expect(seen).toEqual([])
    await stream.next()
    void stream.next()
    await world.settle()
    expect(seen).toEqual(['y'])
  })

  it('those that are held do not overtake those that nobody wanted', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ maxPending: 2, keepAlive: 0 })
    await client.subscribe('a', { qos: 1 })
    await client.disconnect()
    for (const text of numbers(6)) say(world, 'a', text)
    world.broker.faults.onSend('suback').delay(10_000)
    const connecting = client.connect()
    const asked = outcomeOf(client.subscribe('b', () => {}))
    await connecting
    await world.settle()
    const seen: string[] = []
    const handler = (message: Message): void => {
      seen.push(message.text())
      message.ack()
    }
    client.route('a', handler, { ack: 'manual' })
    await world.advance(10_000)
    expect(asked.state).toBe('resolved')
    expect(seen).toEqual(numbers(6))
  })

  it('those of a resumed session that nobody wants yet count in maxPending', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ maxPending: 2, keepAlive: 0 })
    await client.subscribe('a', { qos: 1 })
    await client.disconnect()
    for (const text of numbers(6)) say(world, 'a', text)
    await client.connect()
    await world.settle()
    expect(client.statistics.packetsIn.publish).toBeLessThan(6)
    expect(client.statistics.messagesUnmatched).toBe(0)
    const { seen, handler } = texts()
    client.route('a', handler)
    await world.settle()
    expect(seen).toEqual(numbers(6))
    expect(world.got('puback')).toHaveLength(6)
  })

  it('one that was held does not overtake one that waits for its turn', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 2, keepAlive: 0 })
    const gates = numbers(4).map(() => gate())
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, async (message) => {
      handler(message)
      await gates[Number(message.text())]?.promise
    })
    world.broker.faults.onSend('puback').delay(30_000)
    const asked = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    for (const text of numbers(4)) say(world, 'a', text)
    await world.settle()
    for (const { open } of gates) {
      open()
      await world.settle()
    }
    expect(seen).toEqual(numbers(4))
    await world.advance(30_000)
    expect(asked.state).toBe('resolved')
  })

  it('ten thousand that are held come in order, to handler and listener, when there is room', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, keepAlive: 0 })
    const slow = gate()
    const { seen, handler } = texts()
    const listened: string[] = []
    const errors = collect(client, 'error')
    await client.subscribe('slow', { qos: 1 }, () => slow.promise)
    await client.subscribe('a', { qos: 0 }, handler)
    client.on('message', (message) => void listened.push(message.text()))
    world.broker.faults.onSend('puback').delay(30_000)
    const asked = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    say(world, 'slow', 'slow')
    for (const text of numbers(10_000)) say(world, 'a', text, 0)
    await world.settle()
    expect(seen).toEqual([])
    slow.open()
    await world.settle()
    expect(seen).toEqual(numbers(10_000))
    expect(listened).toEqual(['slow', ...numbers(10_000)])
    expect(errors).toEqual([])
    await world.advance(30_000)
    expect(asked.state).toBe('resolved')
  })

  it('ten thousand that wait for their turn come in order when their handler returns at once', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 20_000 })
    const first = gate()
    const { seen, handler } = texts()
    const errors = collect(client, 'error')
    await client.subscribe('a', { qos: 0 }, (message) => {
      handler(message)
      return message.text() === '0' ? first.promise : undefined
    })
    for (const text of numbers(10_000)) say(world, 'a', text, 0)
    await world.settle()
    expect(seen).toEqual(['0'])
    first.open()
    await world.settle()
    expect(seen).toEqual(numbers(10_000))
    expect(errors).toEqual([])
  })

  it('maxPendingBytes counts topics', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, maxPendingBytes: 1_000_000, keepAlive: 0 })
    const slow = gate()
    await client.subscribe('#', { qos: 0 }, () => slow.promise)
    world.broker.faults.onSend('puback').delay(1_000)
    const asked = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    for (const text of numbers(100)) say(world, `${'long/'.repeat(4_000)}${text}`, '', 0)
    await world.settle()
    // Two bytes for a character: 25 of 20,000 and more.
    expect(client.statistics.messagesIn[0]).toBeLessThan(30)
    slow.open()
    await world.advance(1_000)
    expect(client.statistics.messagesIn[0]).toBe(101)
    expect(asked.state).toBe('resolved')
  })

  it('what waits for its record counts in maxPending, and disconnect({ drain }) waits for it', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    let isSlow = false
    const appended = gate()
    const client = await world.connectedDurable({
      maxPending: 3,
      keepAlive: 0,
      store: {
        durability: store.durability,
        open: () => store.open(),
        append: async (bytes) => {
          if (isSlow) await appended.promise
          return store.append(bytes)
        },
        replace: (bytes) => store.replace(bytes),
        close: () => store.close(),
      },
    })
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2, ack: 'received' }, handler)
    await world.settle()
    isSlow = true
    for (const text of numbers(50)) say(world, 'a', text, 2)
    await world.settle()
    for (const text of numbers(50)) say(world, 'a', text, 2)
    await world.settle()
    expect(client.statistics.messagesIn[2]).toBeLessThan(100)
    const ended = outcomeOf(client.disconnect({ drain: 10_000 }))
    await world.settle()
    expect(ended.state).toBe('pending')
    expect(world.got('disconnect')).toEqual([])
    appended.open()
    await world.advance(10_000)
    expect(ended.state).toBe('resolved')
    expect(seen).toEqual(numbers(100).map((text) => String(Number(text) % 50)))
  })
})

it('5: maxPendingBytes counts properties', async () => {
  const world = makeWorld('5')
  const client = await world.connected5({ maxPending: 1, maxPendingBytes: 1_000_000, keepAlive: 0 })
  const slow = gate()
  await client.subscribe('a', { qos: 0 }, () => slow.promise)
  world.broker.faults.onSend('puback').delay(1_000)
  const asked = outcomeOf(client.publish('b', 'x', { qos: 1 }))
  const userProperties = Array.from({ length: 1_000 }, () => ['', ''] as const)
  for (let count = 0; count < 100; count += 1)
    world.broker.publish({ topic: 'a', payload: '', properties: { userProperties } })
  await world.settle()
  expect(client.statistics.messagesIn[0]).toBeLessThan(20)
  slow.open()
  await world.advance(1_000)
  expect(client.statistics.messagesIn[0]).toBe(100)
  expect(asked.state).toBe('resolved')
})

// Back-pressure both ways: maxPending, held messages, the dead-lock (rules 30, 31); send, drained and the QoS 0
// promise with a peer that does not read.
import { describe, expect, it } from 'vitest'
import { collect, gate, outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { UsageError } from '../core/errors.ts'

const makeWorld = useWorlds()
type World = ReturnType<typeof makeWorld>

const say = (world: World, payload: string, qos: 0 | 1 | 2 = 1): void =>
  world.broker.publish({ topic: 'a', payload, qos })
const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))
const large = new Uint8Array(100_000)

describe.each(VERSIONS)('maxPending: 1 in %s (rules 30, 31)', (version) => {
  it.each([0, 1, 2] as const)(
    'messages of QoS %i come one at a time, in order, and none is lost',
    async (qos) => {
      const world = makeWorld(version)
      const client = await world.connected({ maxPending: 1 })
      const seen: string[] = []
      let running = 0
      await client.subscribe('a', { qos: 2, concurrency: 10 }, async (message) => {
        running += 1
        expect(running).toBe(1)
        await Promise.resolve()
        seen.push(message.text())
        running -= 1
      })
      for (const text of numbers(50)) say(world, text, qos)
      await world.settle()
      expect(seen).toEqual(numbers(50))
      expect(world.broker.openExchanges).toEqual([])
    },
  )

  it('reading stops while a handler runs, and goes on when it has finished', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1 })
    const first = gate()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, (message) => {
      handler(message)
      return first.promise
    })
    for (const text of numbers(20)) say(world, text)
    await world.settle()
    const read = client.statistics.messagesIn[1]
    for (const text of numbers(20)) say(world, text)
    await world.settle()
    expect(client.statistics.messagesIn[1]).toBe(read)
    first.open()
    await world.settle()
    expect(seen).toEqual([...numbers(20), ...numbers(20)])
  })

  it.each([
    ['a publish', (world: World) => world.broker.faults.onSend('puback')],
    ['a subscribe', (world: World) => world.broker.faults.onSend('suback')],
    ['an unsubscribe', (world: World) => world.broker.faults.onSend('unsuback')],
    ['a resubscribe', (world: World) => world.broker.faults.onSend('suback')],
    ['a ping', (world: World) => world.broker.faults.onSend('pingresp')],
  ] as const)(
    'reading goes on while %s of ours awaits its answer: messages are held in order',
    async (what, fault) => {
      const world = makeWorld(version)
      const client = await world.connected({ maxPending: 1, keepAlive: 0 })
      const first = gate()
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 1 }, async (message) => {
        handler(message)
        await first.promise
      })
      for (const text of numbers(10)) say(world, text)
      await world.settle()
      expect(seen).toEqual(['0'])
      fault(world).delay(100)
      const asked = outcomeOf<unknown>(
        {
          'a publish': () => client.publish('b', 'x', { qos: 1 }),
          'a subscribe': () => client.subscribe('b'),
          'an unsubscribe': () => client.unsubscribe('b'),
          'a resubscribe': () => client.resubscribe(),
          'a ping': () => client.ping(),
        }[what](),
      )
      await world.settle()
      for (const text of ['ten', 'eleven']) say(world, text)
      await world.advance(100)
      expect(asked.state).toBe('resolved')
      expect(seen).toEqual(['0'])
      first.open()
      await world.settle()
      expect(seen).toEqual([...numbers(10), 'ten', 'eleven'])
    },
  )

  it.each([1, 2] as const)(
    'a lost connection: QoS %i messages that were held come again, each handled once at QoS 2',
    async (qos) => {
      const world = makeWorld(version)
      world.broker.faults.onSend('puback').withhold()
      const client = await world.connectedDurable({ maxPending: 1, reconnect: { min: 1_000, jitter: false } })
      const first = gate()
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 2 }, async (message) => {
        handler(message)
        await first.promise
      })
      void client.publish('b', 'x', { qos: 1 }).catch(() => {})
      await world.settle()
      for (const text of numbers(10)) say(world, text, qos)
      await world.settle()
      expect(client.statistics.messagesIn[qos]).toBe(10)
      world.broker.faults.clear()
      world.broker.cutAll()
      await world.advance(2_000)
      first.open()
      await world.advance(2_000)
      expect(new Set(seen)).toEqual(new Set(numbers(10)))
      if (qos === 2) expect(seen).toEqual(numbers(10))
      expect(world.broker.openExchanges).toEqual([])
    },
  )

  it('PINGREQs are still sent while reading is stopped, and silence is not held against the peer (rule 10)', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, keepAlive: 10 })
    const first = gate()
    await client.subscribe('a', { qos: 1 }, () => first.promise)
    collect(client, 'error')
    for (const text of numbers(5)) say(world, text)
    await world.advance(300_000)
    expect(client.state).toBe('connected')
    expect(world.got('pingreq').length).toBeGreaterThan(10)
    first.open()
    await world.advance(60_000)
    expect(client.state).toBe('connected')
  })
})

describe.each(VERSIONS)('what is asked while reading is stopped in %s', (version) => {
  it('is measured from then on: a ping, and a time-out', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, keepAlive: 0, operationTimeout: 5_000 })
    const slow = collect(client, 'error')
    const first = gate()
    await client.subscribe('a', { qos: 1 }, () => first.promise)
    for (const text of numbers(3)) say(world, text)
    await world.advance(60_000)
    expect(slow).toMatchObject([{ error: { code: 'handler-slow' } }])
    world.broker.faults.onSend('pingresp').delay(50)
    const pinging = outcomeOf(client.ping())
    await world.advance(50)
    expect(pinging.value).toBe(50)
    world.broker.faults.onSend('puback').withhold()
    await world.advance(60_000)
    const publishing = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await world.advance(5_000)
    expect(publishing).toMatchObject({ state: 'rejected', error: { code: 'operation-timeout' } })
  })
})

describe.each(VERSIONS)('the dead-lock in %s (rule 31)', (version) => {
  it('past maxPendingBytes reading stops; after operationTimeout error, and the connection is closed and resumed', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connectedDurable({
      maxPending: 1,
      maxPendingBytes: 1_000,
      operationTimeout: 5_000,
      keepAlive: 0,
      reconnect: { min: 1_000, jitter: false },
    })
    const errors = collect(client, 'error')
    const lost = collect(client, 'disconnected')
    const first = gate()
    await client.subscribe('a', { qos: 1 }, () => first.promise)
    const publishing = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await world.settle()
    for (const text of numbers(50)) say(world, text.padEnd(100))
    await world.advance(4_999)
    expect(client.statistics.messagesIn[1]).toBeLessThan(20)
    expect([errors, publishing.state]).toEqual([[], 'pending'])
    await world.advance(1)
    expect(errors).toMatchObject([{ error: { code: 'backpressure-deadlock' } }])
    expect(lost).toMatchObject([{ error: { code: 'backpressure-deadlock' }, willReconnect: true }])
    if (version === '5') expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0x97 }])
    first.open()
    await world.advance(10_000)
    expect(client.state).toBe('connected')
    expect(publishing.state).toBe('resolved')
    expect(world.broker.openExchanges).toEqual([])
  })

  it('a handler may wait for a message that stands behind much of QoS 0', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, keepAlive: 0 })
    const done = gate()
    await client.subscribe('a', { qos: 1 }, async () => {
      client.send('b', new Uint8Array(300_000))
      await client.publish('b', 'x', { qos: 1 }).then(() => done.open(), done.fail)
    })
    for (const text of numbers(3)) say(world, text)
    await world.advance(1_000)
    await done.promise
  })

  it('small messages count with what they take besides', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connected({ maxPending: 1, maxPendingBytes: 10_000, keepAlive: 0 })
    const first = gate()
    await client.subscribe('a', { qos: 0 }, () => first.promise)
    void client.publish('b', 'x', { qos: 1 }).catch(() => {})
    await world.settle()
    for (let index = 0; index < 1_000; index += 1) say(world, '', 0)
    await world.settle()
    expect(client.statistics.messagesIn[0]).toBeLessThan(100)
    first.open()
    await world.settle()
    expect(client.statistics.messagesIn[0]).toBe(1_000)
  })

  it('time-outs of operations stand still meanwhile', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { times: 1 }).withhold()
    const client = await world.connected({
      maxPending: 1,
      maxPendingBytes: 1_000,
      operationTimeout: 5_000,
      keepAlive: 0,
    })
    const first = gate()
    await client.subscribe('a', { qos: 1 }, () => first.promise)
    const publishing = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await world.advance(3_000)
    for (const text of numbers(50)) say(world, text.padEnd(100))
    await world.advance(4_000)
    expect(publishing.state).toBe('pending')
    first.open()
    await world.advance(1_999)
    expect(publishing.state).toBe('pending')
    await world.advance(1)
    expect(publishing).toMatchObject({ state: 'rejected', error: { code: 'operation-timeout' } })
  })

  it('there is none while nothing of ours awaits an answer', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ maxPending: 1, maxPendingBytes: 1_000, operationTimeout: 5_000 })
    const errors = collect(client, 'error')
    const first = gate()
    await client.subscribe('a', { qos: 1 }, () => first.promise)
    for (const text of numbers(50)) say(world, text.padEnd(100))
    await world.advance(50_000)
    expect(errors).toEqual([])
    expect(client.state).toBe('connected')
    first.open()
    await world.settle()
    expect(world.broker.openExchanges).toEqual([])
  })
})

describe.each(VERSIONS)('a peer that does not read, in %s', (version) => {
  it('keeps the promise of QoS 0 pending: awaiting is back-pressure', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    world.link.stop()
    const first = outcomeOf(client.publish('a', large))
    await world.settle()
    expect(first.state).toBe('resolved')
    const second = outcomeOf(client.publish('a', 'x'))
    const third = outcomeOf(client.publish('a', 'y'))
    await world.advance(10_000)
    expect([second.state, third.state]).toEqual(['pending', 'pending'])
    world.link.go()
    await world.settle()
    expect([second.state, third.state]).toEqual(['resolved', 'resolved'])
    expect(world.got('publish')).toHaveLength(3)
  })

  it('makes send() say false, and drained() wait', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    expect(client.send('a', 'x')).toBe(true)
    await client.drained()
    world.link.stop()
    client.send('a', large)
    await world.settle()
    expect(client.send('a', 'x')).toBe(false)
    const drained = outcomeOf(client.drained())
    await world.settle()
    expect(drained.state).toBe('pending')
    world.link.go()
    await world.settle()
    expect(drained.state).toBe('resolved')
    expect(client.send('a', 'x')).toBe(true)
    await world.settle()
    expect(world.got('publish')).toHaveLength(4)
  })

  it('a program that obeys send() and drained() loses nothing, and little piles up', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    const done = (async () => {
      for (let index = 0; index < 1_000; index += 1) {
        if (!client.send('a', large.subarray(0, 1_000))) await client.drained()
      }
    })()
    for (let round = 0; round < 30; round += 1) {
      world.link.stop()
      await world.settle()
      world.link.go()
      await world.settle()
    }
    await done
    await world.settle()
    expect(world.got('publish')).toHaveLength(1_000)
  })

  it('does not hold up PINGREQ for ever: a dead peer is found (rule 9)', async () => {
    const world = makeWorld(version, { complaints: ['keep-alive'] })
    const client = await world.connected({ keepAlive: 10, reconnect: { min: 1_000, jitter: false } })
    const lost = collect(client, 'disconnected')
    world.link.stop()
    const publishing = outcomeOf(client.publish('a', large, { qos: 1 }))
    await world.advance(15_000)
    expect(lost).toMatchObject([{ error: { code: 'ping-timeout' } }])
    world.link.go()
    await world.advance(10_000)
    expect(client.state).toBe('connected')
    expect(publishing.state).toBe('resolved')
  })

  it('bounds what QoS 0 may pile up by queue.maxBytes', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0, queue: { maxBytes: 500_000 } })
    world.link.stop()
    const outcomes = numbers(10).map(() => outcomeOf(client.publish('a', large)))
    await world.settle()
    const rejected = outcomes.filter(({ state }) => state === 'rejected')
    expect((10 - rejected.length) * large.length).toBeGreaterThan(500_000 - large.length)
    expect((10 - rejected.length) * large.length).toBeLessThanOrEqual(500_000 + large.length)
    expect(rejected[0]?.error).toMatchObject({ code: 'queue-full' })
    expect(client.send('a', 'x')).toBe(false)
    expect(client.statistics.messagesDropped).toBe(1)
    world.link.go()
    await world.settle()
    expect(world.got('publish')).toHaveLength(10 - rejected.length)
  })

  it('send() on a connection that is about to end is dropped and counted, and throws nothing', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ onHandlerError: 'reconnect', reconnect: { min: 60_000 } })
    const errors = collect(client, 'error')
    const sent: boolean[] = []
    await client.subscribe('a', { qos: 1 }, async (message) => {
      await Promise.resolve()
      if (message.text() === 'bad') throw new Error('no')
    })
    await client.subscribe('b', { qos: 1 }, async () => {
      await Promise.resolve()
      await Promise.resolve()
      sent.push(client.send('c', 'x'))
    })
    world.broker.publish({ topic: 'a', payload: 'bad', qos: 1 })
    world.broker.publish({ topic: 'b', payload: 'good', qos: 1 })
    await world.settle()
    expect(sent).toEqual([false])
    expect(errors).toHaveLength(1)
    expect(client.statistics.messagesDropped).toBe(1)
  })

  it('a lost connection ends the waiting of drained(), and rejects QoS 0', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    world.link.stop()
    client.send('a', large)
    await world.settle()
    const publishing = outcomeOf(client.publish('a', 'x'))
    const drained = outcomeOf(client.drained())
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    expect(publishing).toMatchObject({ state: 'rejected', error: { code: 'connection-lost' } })
    expect(drained.state).toBe('resolved')
    world.link.go()
  })
})

describe.each(VERSIONS)('send() in %s', (version) => {
  it('publishes at QoS 0, with retain and, in 5, properties', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    expect(client.send('a', 'text')).toBe(true)
    expect(client.send('a', Uint8Array.of(1, 2), { retain: true })).toBe(true)
    if (version === '5') client.send('a', 'x', { properties: { contentType: 't' } })
    await world.settle()
    expect(world.got('publish').map(({ qos, retain, payload }) => [qos, retain, payload.length])).toEqual(
      [
        [0, false, 4],
        [0, true, 2],
        [0, false, 1],
      ].slice(0, version === '5' ? 3 : 2),
    )
    expect(client.statistics.messagesOut).toEqual([version === '5' ? 3 : 2, 0, 0])
  })

  it('throws a UsageError, connected or not', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const wrong = (): void => {
      expect(() => client.send('a/#', 'x')).toThrow(UsageError)
      expect(() => client.send('a', 7 as never)).toThrow(UsageError)
      expect(() => client.send('a', 'x', { qos: 1 } as never)).toThrow(UsageError)
      expect(() => client.send('a', 'x', { timeout: 1 } as never)).toThrow(UsageError)
    }
    wrong()
    await client.connect()
    wrong()
    await world.settle()
    expect(world.got('publish')).toEqual([])
  })

  it('without a connection drops and counts', async () => {
    const world = makeWorld(version)
    const client = world.client()
    expect(client.send('a', 'x')).toBe(false)
    expect(client.statistics.messagesDropped).toBe(1)
    // A loop of send() and drained() lets the program go on, and connect.
    const drained = outcomeOf(client.drained())
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
    expect(drained.state).toBe('pending')
    await world.advance(1)
    expect(drained.state).toBe('resolved')
  })

  it('copies: the buffer may be used again at once', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', handler)
    const buffer = new Uint8Array(1)
    for (let index = 0; index < 5; index += 1) {
      buffer[0] = 0x30 + index
      client.send('a', buffer)
    }
    await world.settle()
    expect(seen).toEqual(numbers(5))
  })
})

it('5: send() over the limits of the server raises publishFailed, drops and counts (rule 23)', async () => {
  const world = makeWorld('5', { broker: { maximumPacketSize: 50, retainAvailable: false } })
  const client = await world.connected()
  const failed = collect(client, 'publishFailed')
  client.send('a', 'x'.repeat(50))
  client.send('b', 'x', { retain: true })
  client.send('c', 'x')
  await world.settle()
  expect(failed).toMatchObject([
    { topic: 'a', error: { reasonCode: 0x95, local: true } },
    { topic: 'b', error: { reasonCode: 0x9a, local: true } },
  ])
  expect(client.statistics.messagesDropped).toBe(2)
  expect(world.got('publish').map(({ topic }) => topic)).toEqual(['c'])
})

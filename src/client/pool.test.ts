// ClientPool: what its clients share, and the budget of attempts. Over TCP: test/client-pool.test.ts.
import { describe, expect, it } from 'vitest'
import { outcomeOf, type TestWorld, useWorlds } from '../../test/support/client-world.ts'
import { VirtualWorld } from '../testing/virtual-world.ts'
import { ClosedError, UsageError } from '../core/errors.ts'
import type { Client } from './client.ts'
import type { PoolOptions } from './client-options.ts'

const makeWorld = useWorlds()
const make = (pool?: PoolOptions): TestWorld => makeWorld('5', pool === undefined ? {} : { pool })

describe('a pool', () => {
  it('makes clients, connected or not, and counts those that are not closed', async () => {
    const world = make()
    const { pool } = world
    expect(pool.size).toBe(0)
    const one = pool.createClient(world.url)
    const two = await pool.connect(world.url)
    expect(pool.size).toBe(2)
    await two.disconnect()
    expect(pool.size).toBe(1)
    one.destroy()
    expect(pool.size).toBe(0)
    await two.connect()
    expect(pool.size).toBe(1)
    await two.disconnect()
    await two.disconnect()
    expect(pool.size).toBe(0)
  })

  it('a client that gave up is closed', async () => {
    const world = make()
    await world.pool.connect(world.url, { reconnect: false })
    world.broker.cutAll()
    await world.settle()
    expect(world.pool.size).toBe(0)
  })

  it('connect() that fails leaves nothing behind', async () => {
    const world = make()
    world.link.dialing = 'refused'
    await expect(world.pool.connect(world.url)).rejects.toMatchObject({ code: 'connect-failed' })
    expect(world.pool.size).toBe(0)
    expect(world.runtime.timers).toBe(0)
  })

  it('sums up the statistics of its clients', async () => {
    const world = make()
    const clients = await Promise.all([1, 2, 3].map(() => world.pool.connect(world.url)))
    for (const client of clients) await client.publish('a', 'x', { qos: 1 })
    await clients[1]?.ping()
    const { packetsOut, messagesOut, lastRoundTrip } = world.pool.statistics
    expect([packetsOut.connect, messagesOut, lastRoundTrip]).toEqual([3, [0, 3, 0], 0])
    await world.pool.close()
    expect(world.pool.statistics.packetsOut.connect).toBe(0)
  })

  it('close() disconnects all; nothing can be made afterwards', async () => {
    const world = make()
    const clients = await Promise.all([1, 2, 3].map(() => world.pool.connect(world.url)))
    const idle = world.pool.createClient(world.url)
    await world.pool.close()
    expect([...clients, idle].map(({ state }) => state)).toEqual(['stopped', 'stopped', 'stopped', 'stopped'])
    expect(world.got('disconnect')).toHaveLength(3)
    expect(() => world.pool.createClient(world.url)).toThrow(ClosedError)
    await expect(world.pool.connect(world.url)).rejects.toBeInstanceOf(ClosedError)
    await world.pool.close()
    expect(world.runtime.timers).toBe(0)
  })

  it('close() ends every client, those too whose version does not take the options', async () => {
    const world = make()
    const old = world.pool.createClient(world.url)
    const young = world.pool.createClient(world.url, { protocolVersion: '5' })
    await Promise.all([old.connect(), young.connect()])
    await expect(world.pool.close({ reasonCode: 4 })).rejects.toMatchObject({ code: 'needs-version-5' })
    expect([old.state, young.state]).toEqual(['stopped', 'stopped'])
    expect(world.pool.size).toBe(0)
  })

  it('close() takes the options of disconnect(); await using drains', async () => {
    const world = make()
    world.broker.faults.onSend('puback').delay(1_000)
    const client = await world.pool.connect(world.url)
    const publishing = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    const closing = outcomeOf(
      (async () => {
        await using pool = world.pool
        void pool.size
      })(),
    )
    await world.advance(999)
    expect([publishing.state, closing.state]).toEqual(['pending', 'pending'])
    await world.advance(1)
    expect([publishing.state, closing.state]).toEqual(['resolved', 'resolved'])
  })

  it('has one timer for all deadlines', async () => {
    const world = make({ attemptsPerSecond: Infinity, maxAttempts: Infinity })
    await Promise.all(Array.from({ length: 100 }, () => world.pool.connect(world.url, { keepAlive: 0 })))
    expect(world.runtime.timers).toBe(0)
    const clients = await Promise.all(
      Array.from({ length: 100 }, (_, index) => world.pool.connect(world.url, { keepAlive: index + 2 })),
    )
    world.broker.pause()
    await world.settle()
    expect(world.runtime.timers).toBeLessThanOrEqual(2)
    world.broker.resume()
    await world.advance(300_000)
    expect(new Set(clients.map(({ state }) => state))).toEqual(new Set(['connected']))
  })

  it.each([
    ['maxAttempts', { maxAttempts: 0 }],
    ['attemptsPerSecond', { attemptsPerSecond: 0 }],
    ['dnsTtl', { dnsTtl: -1 }],
    ['runtime', { runtime: {} }],
    ['dial', { dial: 7 }],
    ['nonsense', { nonsense: 1 }],
  ] as [string, object][])('a bad %s is a UsageError', (field, options) => {
    const make = (): VirtualWorld => new VirtualWorld({ pool: options })
    expect(make).toThrow(UsageError)
    expect(make).toThrow(field)
  })

  it('createClient() throws for bad options, connect() rejects', async () => {
    const { pool, url } = make()
    expect(() => pool.createClient('http://x')).toThrow(UsageError)
    expect(() => pool.createClient(url, { keepAlive: -1 })).toThrow(UsageError)
    await expect(pool.connect(url, { keepAlive: -1 })).rejects.toBeInstanceOf(UsageError)
    expect(pool.size).toBe(0)
  })
})

describe('the budget of attempts', () => {
  it('no more than maxAttempts are under way at once; the rest comes in order', async () => {
    const world = make({ maxAttempts: 3, attemptsPerSecond: 1_000 })
    world.broker.faults.onSend('connack').delay(100)
    const order: number[] = []
    const all = Promise.all(
      Array.from({ length: 8 }, (_, index) => world.pool.connect(world.url).then(() => order.push(index))),
    )
    await world.settle()
    expect(world.link.attempts).toHaveLength(3)
    await world.advance(100)
    expect(world.link.attempts).toHaveLength(6)
    await world.advance(200)
    await all
    expect(order).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  it('no more than attemptsPerSecond begin within a second', async () => {
    const world = make({ maxAttempts: Infinity, attemptsPerSecond: 10 })
    const all = Promise.all(Array.from({ length: 45 }, () => world.pool.connect(world.url)))
    const start = world.now
    await world.advance(10_000)
    await all
    const times = world.link.attempts.map((time) => time - start)
    expect(times.filter((time) => time === 0)).toHaveLength(10)
    expect(times.filter((time) => time > 0 && time <= 1_000)).toHaveLength(10)
    expect(times.at(-1)).toBeGreaterThanOrEqual(3_400)
    expect(times.at(-1)).toBeLessThanOrEqual(3_600)
  })

  it('without limits all begin at once', async () => {
    const world = make({ maxAttempts: Infinity, attemptsPerSecond: Infinity })
    await Promise.all(Array.from({ length: 500 }, () => world.pool.connect(world.url)))
    expect(new Set(world.link.attempts).size).toBe(1)
  })

  it("after a broker's restart the clients do not come at once", async () => {
    const world = make({ maxAttempts: 100, attemptsPerSecond: 50 })
    const connecting = Promise.all(
      Array.from({ length: 200 }, () => world.pool.connect(world.url, { keepAlive: 0 })),
    )
    await world.advance(10_000)
    const clients: readonly Client[] = await connecting
    world.link.attempts.length = 0
    world.broker.cutAll()
    await world.advance(20_000)
    expect(new Set(clients.map(({ state }) => state))).toEqual(new Set(['connected']))
    const perTenth = new Map<number, number>()
    for (const time of world.link.attempts) {
      const tenth = Math.floor(time / 100)
      perTenth.set(tenth, (perTenth.get(tenth) ?? 0) + 1)
    }
    expect(Math.max(...perTenth.values())).toBeLessThanOrEqual(51)
    expect(world.link.attempts).toHaveLength(200)
  })

  it('connectTimeout does not run while an attempt waits for its turn', async () => {
    const world = make({ maxAttempts: 1 })
    world.link.dialing = 'ignored'
    const first = outcomeOf(world.pool.connect(world.url, { connectTimeout: 5_000 }))
    const second = outcomeOf(world.pool.connect(world.url, { connectTimeout: 2_000 }))
    await world.advance(5_000)
    expect([first.state, second.state]).toEqual(['rejected', 'pending'])
    world.link.dialing = 'answered'
    await world.advance(1_999)
    expect(second.state).toBe('pending')
    await world.advance(1)
    expect(second).toMatchObject({ state: 'rejected', error: { code: 'connect-timeout' } })
  })

  it('who gives up leaves the line', async () => {
    const world = make({ maxAttempts: 1 })
    world.link.dialing = 'ignored'
    const first = world.pool.createClient(world.url)
    const second = world.pool.createClient(world.url)
    const third = world.pool.createClient(world.url)
    const outcomes = [first, second, third].map((client) => outcomeOf(client.connect()))
    await world.settle()
    await second.disconnect()
    world.link.dialing = 'answered'
    first.destroy()
    await world.settle()
    expect(outcomes.map(({ state }) => state)).toEqual(['rejected', 'rejected', 'resolved'])
    expect(world.link.attempts).toHaveLength(2)
  })
})

// A store that takes half a second for each write, in virtual time: what leaves the client waits for its record, in
// order, and what gathers meanwhile is bounded. Then a store that two programs want.
import { readdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { ControlPacket } from '../../src/core/packets/types.ts'
import type { Delivery } from '../../src/core/session/deliveries.ts'
import { type Client, createClient, fileStore } from '../../src/index.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import { durableOptions, outcomeOf, texts, VERSIONS } from '../support/client-world.ts'
import { usePrograms } from '../support/store-process.ts'
import { StoreWorld, type StoreWorldOptions } from '../support/store-world.ts'
import { isLinux } from '../support/system.ts'

const programs = usePrograms()
const NONE: readonly unknown[] = []
/** ms that a write takes. */
const SLOW = 500

let worlds: StoreWorld[] = []
afterEach(async () => {
  const made = worlds
  worlds = []
  for (const world of made) expect(await world.end()).toEqual(NONE)
})

function slowWorld(version: '3.1.1' | '5', options: StoreWorldOptions = {}): StoreWorld {
  const world = new StoreWorld(version, options)
  world.decide = ({ operation }) => (operation === 'write' ? { delay: SLOW } : undefined)
  worlds.push(world)
  return world
}

function deliveriesOf({ witness }: StoreWorld): readonly Delivery[] {
  const { released, published, queued } = witness.session
  return [...released, ...published, ...queued]
}

describe.each(VERSIONS)('a slow store in %s', (version) => {
  it('has the record of each packet before the broker has the packet (rule 32) [scenario 69]', async () => {
    const missing: string[] = []
    const looked: Record<string, number> = {}
    /** What the store must have for a packet of the client to be allowed. */
    const look = (packet: ControlPacket): boolean | undefined => {
      const { session } = world.witness
      const find = (id: number): Delivery | undefined =>
        deliveriesOf(world).find(({ packetId }) => packetId === id)
      if (packet.type === 'publish') return find(packet.packetId)?.name.text === packet.topic
      if (packet.type === 'pubrel') return find(packet.packetId)?.state === 'released'
      if (packet.type === 'pubrec') return session.received.latest(packet.packetId) !== 0
      if (packet.type === 'pubcomp') return session.received.latest(packet.packetId) === 0
      return undefined
    }
    const world = slowWorld(version, {
      broker: {
        onPacket: (direction, packet) => {
          const isRecorded = direction === 'in' ? look(packet) : undefined
          if (isRecorded === undefined) return
          looked[packet.type] = (looked[packet.type] ?? 0) + 1
          if (!isRecorded) missing.push(`${packet.type} at ${world.runtime.now()}`)
        },
      },
    })
    const { client } = world.start()
    client.route('down', () => undefined)
    outcomeOf(client.connect())
    const subscribed = outcomeOf(client.subscribe('down', { qos: 2 }))
    const published = Array.from({ length: 12 }, (_, index) =>
      outcomeOf(client.publish(`up/${index}`, 'x', { qos: index % 2 === 0 ? 2 : 1 })),
    )
    await world.advance(3_000)
    expect(subscribed.state).toBe('resolved')
    for (let count = 0; count < 6; count += 1) {
      world.broker.publish({ topic: 'down', payload: `${count}`, qos: 2 })
      await world.advance(SLOW / 3)
    }
    await world.advance(20 * SLOW)
    expect(missing).toEqual(NONE)
    expect(looked).toEqual({ publish: 12, pubrel: 6, pubrec: 6, pubcomp: 6 })
    expect(published.map(({ state }) => state)).toEqual(published.map(() => 'resolved'))
    expect(world.broker.openExchanges).toEqual(NONE)
  })

  it('lets nothing out during the write: PUBLISH, PUBREL, PUBREC, PUBCOMP come after it (rule 32) [scenario 69]', async () => {
    const world = slowWorld(version)
    const times: [string, number][] = []
    const { client } = world.start()
    client.route('down', () => undefined)
    outcomeOf(client.connect())
    outcomeOf(client.subscribe('down', { qos: 2 }))
    await world.advance(10 * SLOW)
    const begin = world.runtime.now()
    const since = world.fromClient.length
    const note = async (): Promise<void> => {
      for (let at = 0; at < 3 * SLOW; at += 50) {
        await world.advance(50)
        for (const { type } of world.fromClient.splice(since)) times.push([type, world.runtime.now() - begin])
      }
    }
    outcomeOf(client.publish('up', 'x', { qos: 2 }))
    await note()
    expect(times.splice(0)).toEqual([
      ['publish', SLOW],
      ['pubrel', 2 * SLOW],
    ])
    const later = world.runtime.now() - begin
    world.broker.publish({ topic: 'down', payload: 'x', qos: 2 })
    await note()
    expect(times).toEqual([
      ['pubrec', later + SLOW],
      ['pubcomp', later + 2 * SLOW],
    ])
  })

  it('is told of settled messages late, and in their order (rule 32) [scenario 69]', async () => {
    const world = slowWorld(version)
    const { client } = world.start()
    outcomeOf(client.connect())
    await world.advance(6 * SLOW)
    const names = ['one', 'two', 'three', 'four', 'five', 'six']
    const delays = [100, 3_400, 300, 2_000, 700, 1_300]
    for (const [index, delay] of delays.entries()) {
      world.broker.faults.onSend('puback', { nth: index + 1 }).delay(delay)
    }
    const settled: string[] = []
    for (const topic of names) {
      client.publish(topic, 'x', { qos: 1 }).then(
        () => settled.push(topic),
        () => undefined,
      )
    }
    /** Those of which the store was told, when it was told. */
    const told: string[][] = []
    let there: readonly string[] = []
    let mostBehind = 0
    for (let at = 0; at < 12 * SLOW; at += 10) {
      await world.advance(10)
      const now = deliveriesOf(world).map(({ name }) => name.text)
      const gone = there.filter((name) => !now.includes(name))
      there = now
      if (gone.length > 0) told.push(gone.sort((one, other) => settled.indexOf(one) - settled.indexOf(other)))
      expect(settled).toEqual(expect.arrayContaining(gone))
      mostBehind = Math.max(mostBehind, settled.length - told.flat().length)
    }
    expect(settled).not.toEqual(names)
    expect(told.flat()).toEqual(settled)
    expect(told.length).toBeGreaterThan(3)
    expect(mostBehind).toBeGreaterThan(0)
  })

  it('keeps the order in both directions, and writes together what gathers [scenario 69]', async () => {
    const arrived: string[] = []
    const world = slowWorld(version, {
      broker: { onMessage: ({ topic }) => void (topic.startsWith('up') && arrived.push(topic)) },
    })
    const { client } = world.start()
    const { seen, handler } = texts()
    client.route('down', handler)
    outcomeOf(client.connect())
    outcomeOf(client.subscribe('down', { qos: 2 }))
    await world.advance(10 * SLOW)
    const writes = (): number => world.machine.counts.get('write') ?? 0
    const before = writes()
    const names = Array.from({ length: 1_000 }, (_, index) => `${index}`)
    for (const name of names) {
      outcomeOf(client.publish(`up/${name}`, 'x', { qos: 1 }))
      world.broker.publish({ topic: 'down', payload: name, qos: 2 })
      if (Number(name) % 100 === 0) await world.advance(SLOW / 5)
    }
    await world.advance(20 * SLOW)
    expect(arrived).toEqual(names.map((name) => `up/${name}`))
    expect(seen).toEqual(names)
    expect(world.got('pubrec').map(({ packetId }) => packetId)).toEqual(names.map((_, index) => index + 1))
    expect(client.pending).toEqual(NONE)
    expect(world.broker.openExchanges).toEqual(NONE)
    expect(writes() - before).toBeLessThan(12)
  })

  it.each(['reject', 'wait'] as const)(
    'does not let the queue grow beyond its limit: %s [scenario 69]',
    async (overflow) => {
      const world = slowWorld(version)
      const { client } = world.start({ maxInflight: 10, queue: { maxMessages: 50, overflow } })
      outcomeOf(client.connect())
      await world.advance(6 * SLOW)
      const outcomes = Array.from({ length: 200 }, (_, index) =>
        outcomeOf(client.publish(`up/${index}`, 'x', { qos: 1, until: 'stored' })),
      )
      await world.advance(SLOW / 2)
      expect(client.pending).toHaveLength(60)
      const states = (): readonly string[] => outcomes.map(({ state }) => state)
      const turnedAway = overflow === 'reject' ? 'rejected' : 'pending'
      expect(states()).toEqual(outcomes.map((_, index) => (index < 60 ? 'pending' : turnedAway)))
      await world.advance(100 * SLOW)
      const inTheEnd = overflow === 'reject' ? 60 : 200
      expect(world.got('publish').map(({ topic }) => topic)).toEqual(
        outcomes.slice(0, inTheEnd).map((_, index) => `up/${index}`),
      )
      for (const { state, error } of outcomes.slice(inTheEnd)) {
        expect(state).toBe('rejected')
        expect(error).toMatchObject({ code: 'queue-full' })
      }
      expect(states().filter((state) => state === 'resolved')).toHaveLength(inTheEnd)
    },
  )
})

describe.each(VERSIONS)('a store that two want in %s', (version) => {
  async function withBroker(test: (url: string, make: (folder: string) => Client) => Promise<void>) {
    const server = createBroker()
    const url = await server.listen()
    const clients: Client[] = []
    const make = (folder: string): Client => {
      const client = createClient(
        url,
        durableOptions(version, { clientId: 'program', store: fileStore(folder) }),
      )
      clients.push(client)
      return client
    }
    try {
      await test(url, make)
    } finally {
      for (const client of clients) await client.disconnect()
      await server.close()
    }
  }

  it('is refused to the second process, and to a second client, in words; the first goes on (rule 34) [scenario 70]', async () => {
    await withBroker(async (url, make) => {
      const folder = join(programs.place(), `two-${version}`)
      const first = programs.start({ url, folder, version })
      await first.line(/^ready/)
      await expect(make(folder).connect()).rejects.toMatchObject({
        name: 'MqttError',
        code: 'store-in-use',
        message: `the session store ${folder} is used by the process ${first.child.pid}; close that one first, or use another folder`,
      })
      first.tell('publish 2 mine')
      await first.line(/^stored mine/)
      // The other way round.
      first.tell('end')
      await first.ended()
      await make(folder).connect()
      const second = programs.start({ url, folder, version })
      expect(await second.line(/^(?:ready|failed)/)).toContain(
        `failed store-in-use - the session store ${folder} is used by the process ${process.pid}`,
      )
      await expect(make(folder).connect()).rejects.toMatchObject({
        code: 'store-in-use',
        message: expect.stringContaining('another client of this process'),
      })
    })
  })

  it('is taken over at once from a process that was killed (rule 34) [scenario 70]', async () => {
    await withBroker(async (url, make) => {
      const folder = join(programs.place(), `stale-${version}`)
      const first = programs.start({ url, folder, version })
      await first.line(/^ready/)
      await first.kill()
      expect(await lockIn(folder)).toContain(`lock-${first.child.pid}-`)
      // Its first and only attempt succeeds.
      await make(folder).connect()
      expect(await lockIn(folder)).toContain(`lock-${process.pid}-`)
    })
  })

  it.skipIf(!isLinux)(
    'is not withheld by a process number that was given again (rule 34) [scenario 70] [needs linux]',
    async () => {
      await withBroker(async (url, make) => {
        const folder = join(programs.place(), `reused-${version}`)
        const first = programs.start({ url, folder, version })
        await first.line(/^ready/)
        const name = await lockIn(folder)
        await first.kill()
        // A process of that number lives: this one, which began at another time.
        await rename(join(folder, name), join(folder, name.replace(/^lock-\d+/, `lock-${process.pid}`)))
        const client = make(folder)
        await client.connect()
        await client.disconnect()
        // The very process that the lock names lives.
        const other = programs.start({ url, folder: `${folder}-other`, version })
        await other.line(/^ready/)
        await writeFile(join(folder, await lockIn(`${folder}-other`)), '1')
        await expect(make(folder).connect()).rejects.toMatchObject({ code: 'store-in-use' })
      })
    },
  )
})

async function lockIn(folder: string): Promise<string> {
  return (await readdir(folder)).find((name) => name.startsWith('lock-')) ?? 'none'
}

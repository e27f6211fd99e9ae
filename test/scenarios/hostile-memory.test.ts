// Brokers that try to fill the client's memory: what is measured is the heap after a collection, and how much of what
// was sent the client has read. The server is the other end of a stream in memory and keeps nothing itself.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it } from 'vitest'
import type { Client } from '../../src/client/client.ts'
import type { CommonOptions } from '../../src/client/client-options.ts'
import { ProtocolError } from '../../src/core/errors.ts'
import type { ControlPacket, PacketType, ProtocolVersion } from '../../src/core/packets/types.ts'
import { PacketSplitter } from '../../src/testing/broker/packet-splitter.ts'
import { decodeOfClient, encodePacket } from '../../src/testing/broker/server-codec.ts'
import type { Dial, Transport, TransportReceiver } from '../../src/transport/transport.ts'
import { collect, outcomeOf, type TestWorld, useWorlds, VERSIONS } from '../support/client-world.ts'
import { concat, hex } from '../support/codec/hex.ts'

const makeWorld = useWorlds()
const MIB = 1_048_576

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes of the heap and of buffers that are still in use; buffers are freed a turn after they were found unused. */
async function used(): Promise<number> {
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** By how much that grows, in bytes. */
async function growthBy(run: () => Promise<void>): Promise<number> {
  const before = await used()
  await run()
  return (await used()) - before
}

/** Accepts the client, and writes what it is told. */
class Server implements Transport {
  readonly dial: Dial = () => Promise.resolve(this)
  readonly counts: Map<PacketType, number> = new Map()
  isPaused = false
  isEnded = false
  /** The last packet that the client wrote. */
  last: ControlPacket | undefined = undefined
  readonly #version: ProtocolVersion
  readonly #splitter = new PacketSplitter()
  #receiver: TransportReceiver | undefined = undefined
  #memory = new Uint8Array(65_536)

  constructor(version: ProtocolVersion) {
    this.#version = version
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    const connack = { type: 'connack', sessionPresent: false, reasonCode: 0 } as const
    queueMicrotask(() => this.say(encodePacket(connack, this.#version)))
  }

  /** The memory is lent, and overwritten afterwards. */
  say(bytes: Uint8Array): void {
    if (this.isEnded) return
    if (this.#memory.length < bytes.length) this.#memory = new Uint8Array(bytes.length)
    const lent = this.#memory.subarray(0, bytes.length)
    lent.set(bytes)
    this.#receiver?.handleData(lent, false)
    lent.fill(0xaa)
  }

  write(chunk: Uint8Array): boolean {
    this.#splitter.push(chunk)
    for (let split = this.#splitter.next(); split !== undefined; split = this.#splitter.next()) {
      this.last = decodeOfClient(split, this.#version)
      this.counts.set(this.last.type, (this.counts.get(this.last.type) ?? 0) + 1)
    }
    return true
  }

  end(): void {
    this.isEnded = true
    queueMicrotask(() => this.#close())
  }

  destroy(): void {
    this.end()
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  #close(): void {
    const receiver = this.#receiver
    this.#receiver = undefined
    receiver?.handleEnd()
  }
}

interface Parts {
  readonly world: TestWorld
  readonly server: Server
  readonly client: Client
}

async function connected(
  version: ProtocolVersion,
  options: CommonOptions & { receiveMaximum?: number } = {},
): Promise<Parts> {
  const world = makeWorld(version)
  const server = new Server(version)
  const client = await world.connected({ dial: server.dial, keepAlive: 0, reconnect: false, ...options })
  return { world, server, client }
}

function publish(version: ProtocolVersion, qos: 0 | 2, packetId: number, payload: Uint8Array): Uint8Array {
  const message = { type: 'publish', topic: 'a', payload, qos, retain: false, dup: false, packetId } as const
  return encodePacket(message, version).slice()
}

describe('QoS 2 messages with ever new ids and no PUBREL', () => {
  const payload = new Uint8Array(1_000)

  it('are bounded by our Receive Maximum: the next one is answered by 0x93 [H3]', async () => {
    const { server, client, world } = await connected('5', { receiveMaximum: 100 })
    const ends = collect(client, 'disconnected')
    for (let id = 1; id <= 100; id++) server.say(publish('5', 2, id, payload))
    await world.settle()
    expect([client.state, server.counts.get('pubrec')]).toEqual(['connected', 100])
    server.say(publish('5', 2, 101, payload))
    await world.settle()
    expect(server.last).toMatchObject({ type: 'disconnect', reasonCode: 0x93 })
    expect(ends.map(({ error }) => error?.code)).toEqual(['receive-maximum-exceeded'])
    expect(client.statistics.messagesIn[2]).toBe(101)
  })

  it('are bounded by the ids in 3.1.1, and of what was handed over no payload is kept [H3]', async () => {
    const { server, client, world } = await connected('3.1.1')
    let handed = 0
    client.on('message', () => void (handed += 1))
    const round = async (): Promise<void> => {
      for (let id = 1; id <= 65_535; id++) {
        server.say(publish('3.1.1', 2, id, payload))
        if (id % 1_000 === 0) await world.settle()
      }
      await world.settle()
    }
    // 65,535 payloads are 65 MB; what is kept of each exchange is its id and state.
    expect(await growthBy(round)).toBeLessThan(24 * MIB)
    expect([handed, server.counts.get('pubrec'), client.state]).toEqual([65_535, 65_535, 'connected'])
    // All ids are open: the same ones again are answered, and neither handed over nor kept.
    expect(await growthBy(round)).toBeLessThan(4 * MIB)
    expect([handed, server.counts.get('pubrec'), client.state]).toEqual([65_535, 131_070, 'connected'])
  })
})

describe.each(VERSIONS)('a packet that claims 256 MiB in %s', (version) => {
  const header = hex('30 ff ff ff 7f')

  it('is refused behind its header when that is more than maximumPacketSize [H4]', async () => {
    const { server, client, world } = await connected(version)
    const ends = collect(client, 'disconnected')
    const growth = await growthBy(async () => {
      server.say(header)
      await world.settle()
    })
    expect(ends.map(({ error }) => error)).toMatchObject([{ code: 'packet-too-large', reasonCode: 0x95 }])
    expect(server.isEnded).toBe(true)
    if (version === '5') expect(server.last).toMatchObject({ type: 'disconnect', reasonCode: 0x95 })
    expect(growth).toBeLessThan(MIB)
  })

  it('and sends a byte a minute takes no more than has come [H4]', async () => {
    const { server, client, world } = await connected(version, { maximumPacketSize: 268_435_460 })
    const byte = new Uint8Array(1)
    const growth = await growthBy(async () => {
      server.say(header)
      for (let minute = 0; minute < 600; minute++) {
        server.say(byte)
        await world.advance(60_000)
      }
    })
    expect(client.state).toBe('connected')
    expect(growth).toBeLessThan(MIB)
  })

  it('takes twice what has come at most, however it comes [H4]', async () => {
    const { server, client, world } = await connected(version, { maximumPacketSize: 268_435_460 })
    const piece = new Uint8Array(1_000)
    const growth = await growthBy(async () => {
      server.say(header)
      for (let count = 0; count < 4_000; count++) server.say(piece)
      await world.settle()
    })
    expect(client.state).toBe('connected')
    expect(growth).toBeLessThan(2 * 4_000_000 + MIB)
  })
})

describe.each(VERSIONS)('acknowledgements in %s', (version) => {
  const ROUNDS = 100
  /** Rounds after which code and counters have found their size. */
  const WARM = 20
  const AT_ONCE = 10_000
  const TYPES = { puback: undefined, pubcomp: undefined, pubrec: 'pubrel', pubrel: 'pubcomp' } as const

  it.each(['puback', 'pubcomp', 'pubrec', 'pubrel'] as const)(
    '%s with unknown ids by the million take no memory [H6]',
    async (type) => {
      const { server, client, world } = await connected(version)
      const one = (packetId: number): Uint8Array => encodePacket({ type, packetId, reasonCode: 0 }, version)
      const chunk = concat(...Array.from({ length: AT_ONCE }, (_, index) => one(index + 1).slice()))
      const round = async (): Promise<void> => {
        server.say(chunk)
        await world.settle()
      }
      for (let count = 0; count < WARM; count++) await round()
      const growth = await growthBy(async () => {
        for (let count = WARM; count < ROUNDS; count++) await round()
      })
      const answer = TYPES[type]
      expect(client.state).toBe('connected')
      expect(client.statistics.unknownAcknowledgements).toBe(ROUNDS * AT_ONCE)
      if (answer !== undefined) expect(server.counts.get(answer)).toBe(ROUNDS * AT_ONCE)
      expect(growth).toBeLessThan(2 * MIB)
    },
    120_000,
  )

  it.each([
    ['PUBREC', 'of a QoS 1 message', 1, 'pubrec'],
    ['PUBCOMP', 'of a QoS 1 message', 1, 'pubcomp'],
    ['PUBACK', 'of a QoS 2 message', 2, 'puback'],
    ['PUBCOMP', 'of a QoS 2 message before PUBREC', 2, 'pubcomp'],
  ] as const)('%s for the id %s is a protocol error [H6]', async (_name, _what, qos, type) => {
    const { server, client, world } = await connected(version)
    const ends = collect(client, 'disconnected')
    const published = outcomeOf(client.publish('a', 'x', { qos }))
    await world.settle()
    expect(server.last).toMatchObject({ type: 'publish', packetId: 1 })
    server.say(encodePacket({ type, packetId: 1, reasonCode: 0 }, version))
    await world.settle()
    expect(ends.map(({ error }) => error)).toEqual([expect.any(ProtocolError)])
    expect(published.state).not.toBe('resolved')
    if (version === '5') expect(server.last).toMatchObject({ type: 'disconnect', reasonCode: 0x82 })
  })

  it.each([
    ['SUBACK for the id of a PUBLISH', 'suback', 'publish'],
    ['UNSUBACK for the id of a PUBLISH', 'unsuback', 'publish'],
    ['UNSUBACK for the id of a SUBSCRIBE', 'unsuback', 'subscribe'],
    ['SUBACK for the id of an UNSUBSCRIBE', 'suback', 'unsubscribe'],
    ['PUBACK for the id of a SUBSCRIBE', 'puback', 'subscribe'],
  ] as const)('%s is a protocol error [H6]', async (_what, type, request) => {
    const { server, client, world } = await connected(version)
    const ends = collect(client, 'disconnected')
    const asked: Promise<unknown> = {
      publish: () => client.publish('a', 'x', { qos: 1 }),
      subscribe: () => client.subscribe('a'),
      unsubscribe: () => client.unsubscribe('a'),
    }[request]()
    const outcome = outcomeOf(asked)
    await world.settle()
    expect(server.last).toMatchObject({ type: request, packetId: 1 })
    const answer: ControlPacket =
      type === 'puback' ? { type, packetId: 1, reasonCode: 0 } : { type, packetId: 1, reasonCodes: [0] }
    server.say(encodePacket(answer, version))
    await world.settle()
    expect(ends.map(({ error }) => error)).toEqual([expect.any(ProtocolError)])
    expect(outcome.state).not.toBe('resolved')
  })
})

describe('words in acknowledgements', () => {
  const LONG = 'x'.repeat(65_535)
  const userProperties = new Array<readonly [string, string]>(100).fill([LONG, LONG])
  const properties = { reasonString: LONG, userProperties }
  const ROUNDS = 20

  /** Publishes, and is answered by 13 MB of words; tells how many came. */
  async function talk({ client, server, world }: Parts): Promise<number> {
    let words = 0
    for (let round = 0; round < ROUNDS; round++) {
      const published = client.publish('a', 'x', { qos: 1 })
      await world.settle()
      const packetId = server.last?.type === 'publish' ? server.last.packetId : 0
      server.say(encodePacket({ type: 'puback', packetId, reasonCode: 0, properties }, '5'))
      words += (await published).properties?.userProperties?.length ?? 0
    }
    return words
  }

  it('of PUBACK by the hundred are told to the caller, and not kept [H11]', async () => {
    const parts = await connected('5')
    await talk(parts)
    let words = 0
    const growth = await growthBy(async () => {
      words = await talk(parts)
    })
    expect(words).toBe(100 * ROUNDS)
    expect(parts.client.statistics.bytesIn).toBeGreaterThan(2 * ROUNDS * 100 * 2 * 65_535)
    // The latest may be in use still: as bytes, and as text.
    expect(growth).toBeLessThan(32 * MIB)
  })

  it.each(['puback', 'suback'] as const)('of %s are bounded by maximumPacketSize [H11]', async (type) => {
    const { client, server, world } = await connected('5', { maximumPacketSize: 100_000 })
    const ends = collect(client, 'disconnected')
    const asked = outcomeOf<unknown>(
      type === 'puback' ? client.publish('a', 'x', { qos: 1 }) : client.subscribe('a'),
    )
    await world.settle()
    const answer = type === 'puback' ? { type, reasonCode: 0 } : { type, reasonCodes: [0] }
    const bytes = encodePacket({ ...answer, packetId: 1, properties } as ControlPacket, '5')
    const growth = await growthBy(async () => {
      server.say(bytes.subarray(0, 100))
      await world.settle()
    })
    expect(ends.map(({ error }) => error?.code)).toEqual(['packet-too-large'])
    expect(asked.state).not.toBe('resolved')
    expect(growth).toBeLessThan(MIB)
  })
})

describe.each(VERSIONS)('a million messages at once to a slow handler in %s', (version) => {
  const MESSAGES = 1_000_000
  const AT_ONCE = 500
  const MAX_PENDING = 1_000

  it('meet back-pressure: what is read stays near what is handled, and memory flat [H15]', async () => {
    const { server, client, world } = await connected(version, { maxPending: MAX_PENDING })
    const subscribed = client.subscribe('a', { concurrency: 100 }, handle)
    await world.settle()
    server.say(encodePacket({ type: 'suback', packetId: 1, reasonCodes: [0] }, version))
    await subscribed

    let handled = 0
    let finish: (() => void)[] = []
    function handle(): Promise<void> {
      return new Promise((resolve) => {
        finish.push(() => {
          handled += 1
          resolve()
        })
      })
    }
    const chunk = concat(...new Array<Uint8Array>(AT_ONCE).fill(publish(version, 0, 0, new Uint8Array(100))))
    let sent = 0
    let furthest = 0
    let largest = 0
    const before = await used()
    while (handled < MESSAGES) {
      for (; sent < MESSAGES && !server.isPaused; sent += AT_ONCE) server.say(chunk)
      furthest = Math.max(furthest, sent - handled)
      for (const done of finish.splice(0)) done()
      await world.settle()
      if (handled % 100_000 === 0) largest = Math.max(largest, (await used()) - before)
    }
    expect([sent, client.statistics.messagesIn[0], client.state]).toEqual([MESSAGES, MESSAGES, 'connected'])
    // The last chunk is decoded no further than maxPending, the rest of it waits as bytes.
    expect(furthest).toBeLessThanOrEqual(MAX_PENDING + 2 * AT_ONCE)
    expect(largest).toBeLessThan(8 * MIB)
  }, 180_000)
})

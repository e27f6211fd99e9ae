// What is read from a network lies in memory that is lent: over TCP all clients of a process read into the same buffer,
// and the next chunk overwrites it. So a message that outlives its turn has to keep its payload. Each case is shown over
// TCP, and over a stream that writes over each chunk at once.
import { afterEach, describe, expect, it } from 'vitest'
import { durableOptions, gate, VERSIONS } from '../../test/support/client-world.ts'
import { utf8String } from '../../test/support/codec/hex.ts'
import { packetOf, RESUMED, useRawBrokers } from '../../test/support/raw-broker.ts'
import type { ProtocolVersion, QoS } from '../core/packets/types.ts'
import { createClient } from '../index.ts'
import { memoryStore } from '../store/memory.ts'
import type { Transport, TransportReceiver } from '../transport/transport.ts'
import type { Client } from './client.ts'
import type { CommonOptions } from './client-options.ts'
import type { Message } from './message.ts'

const makeBroker = useRawBrokers()
const clients: Client[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

interface Peer {
  readonly client: Client
  /** A PUBLISH to `a`, in a chunk of its own. Resolves when the client has it and its memory was written over. */
  readonly send: (qos: QoS, text: string) => Promise<void>
}

type Open = (version: ProtocolVersion, options?: CommonOptions) => Promise<Peer>

function publish(version: ProtocolVersion, topic: string, qos: QoS, id: number, text: string): Uint8Array {
  const fields = Uint8Array.from([...(qos === 0 ? [] : [0, id]), ...(version === '5' ? [0] : [])])
  return packetOf(0x30 | (qos << 1), utf8String(topic), fields, new TextEncoder().encode(text))
}

const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve))

const came = ({ statistics }: Client): number => statistics.messagesIn.reduce((sum, count) => sum + count)

/** The first bytes of the shared buffer are written over by what another client of the process reads. */
const overTcp: Open = async (version, options) => {
  const broker = await makeBroker((connection) => connection.write(RESUMED[version]))
  const client = broker.createClient(durableOptions(version, { keepAlive: 0, ...options }))
  const other = broker.createClient(durableOptions(version, { keepAlive: 0 }))
  await client.connect()
  const connection = broker.latest
  await other.connect()
  const toOther = broker.latest
  other.route('rubbish', () => {})
  let id = 0
  const send = async (qos: QoS, text: string): Promise<void> => {
    const before = [came(client), came(other)] as const
    connection.write(publish(version, 'a', qos, (id += 1), text))
    await expect.poll(() => came(client), { interval: 1 }).toBe(before[0] + 1)
    toOther.write(publish(version, 'rubbish', 0, 0, '#'.repeat(8_192)))
    await expect.poll(() => came(other), { interval: 1 }).toBe(before[1] + 1)
  }
  return { client, send }
}

class LendingTransport implements Transport {
  readonly #version: ProtocolVersion
  #receiver: TransportReceiver | undefined = undefined
  #written = 0

  constructor(version: ProtocolVersion) {
    this.#version = version
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
  }

  write({ length }: Uint8Array): boolean {
    if (this.#written === 0) queueMicrotask(() => this.lend(RESUMED[this.#version]))
    const written = (this.#written += length)
    queueMicrotask(() => this.#receiver?.handleWritten(written))
    return true
  }

  lend(bytes: Uint8Array): void {
    const lent = bytes.slice()
    this.#receiver?.handleData(lent, false)
    lent.fill(0x23)
  }

  pause(): void {}

  resume(): void {}

  end(): void {
    this.destroy()
  }

  destroy(): void {
    const receiver = this.#receiver
    this.#receiver = undefined
    queueMicrotask(() => receiver?.handleEnd())
  }
}

const overLent: Open = async (version, options) => {
  const transport = new LendingTransport(version)
  const dial = (): Promise<Transport> => Promise.resolve(transport)
  const client = createClient('mqtt://lent', durableOptions(version, { dial, keepAlive: 0, ...options }))
  clients.push(client)
  await client.connect()
  // What comes right behind CONNACK waits for whoever has awaited connect(), and is copied for that.
  await turn()
  let id = 0
  const send = async (qos: QoS, text: string): Promise<void> => {
    transport.lend(publish(version, 'a', qos, (id += 1), text))
    await turn()
  }
  return { client, send }
}

const WAYS = [
  ['TCP', overTcp],
  ['a stream that writes over what it has lent', overLent],
] as const

/** Smaller and larger than what is worth a copy of its own. */
const CASES = WAYS.flatMap(([way, open]) =>
  VERSIONS.flatMap((version) => [8, 100_000].map((size) => [way, version, size, open] as const)),
)

describe.each(CASES)('over %s in %s, a payload of %i bytes', (_way, version, size, open) => {
  const one = '1'.repeat(size)
  const two = '2'.repeat(size)

  /** Short enough to be printed: how long, and which characters. */
  const gist = (message: Message): string => {
    const text = message.text()
    return `${text.length} of ${[...new Set(text)].sort().join('')}`
  }
  const ONE = `${size} of 1`
  const TWO = `${size} of 2`

  it('is kept for a handler that looks at it later', async () => {
    const { client, send } = await open(version)
    const kept: Message[] = []
    client.route('a', (message) => void kept.push(message))
    await send(0, one)
    await send(1, two)
    expect(kept.map(gist)).toEqual([ONE, TWO])
  })

  it('is kept for a handler that looks at it after it has waited', async () => {
    const { client, send } = await open(version)
    const seen: string[] = []
    const waiting = gate()
    client.route('a', async (message) => {
      await waiting.promise
      seen.push(gist(message))
    })
    await send(1, one)
    await send(2, two)
    waiting.open()
    await expect.poll(() => seen).toEqual([ONE, TWO])
  })

  it('is kept for those who listen to the client', async () => {
    const { client, send } = await open(version)
    const kept: Message[] = []
    const off = client.on('unmatched', ({ message }) => void kept.push(message))
    await send(0, one)
    off()
    client.on('message', (message) => void kept.push(message))
    await send(1, two)
    expect(kept.map(gist)).toEqual([ONE, TWO])
  })

  describe.each(['kept', 'borrowed'] as const)('to a handler with payload: %s', (payload) => {
    it.each([
      ['its turn (concurrency)', {}],
      ['room (maxPending)', { maxPending: 1 }],
    ] as const)('is kept while it waits for %s', async (_for, options) => {
      const { client, send } = await open(version, options)
      const seen: string[] = []
      const first = gate()
      const handler = (message: Message): Promise<void> => {
        seen.push(gist(message))
        return first.promise
      }
      client.route('a', handler, { payload })
      await send(1, one)
      await send(1, two)
      expect(seen).toEqual([ONE])
      first.open()
      await expect.poll(() => seen).toEqual([ONE, TWO])
    })

    it('is kept while it waits for the handler to be attached', async () => {
      const { client, send } = await open(version)
      const seen: string[] = []
      await send(1, one)
      await send(2, two)
      client.route('a', (message) => void seen.push(gist(message)), { payload })
      await expect.poll(() => seen).toEqual([ONE, TWO])
    })

    it("is kept while its identifier is recorded, with ack: 'received' and a store", async () => {
      const store = memoryStore()
      const { client, send } = await open(version, { store })
      const recorded = gate()
      const append = store.append.bind(store)
      store.append = async (records) => {
        await recorded.promise
        await append(records)
      }
      const seen: string[] = []
      client.route('a', (message) => void seen.push(gist(message)), { payload, ack: 'received' })
      await send(2, one)
      expect(seen).toEqual([])
      recorded.open()
      await expect.poll(() => seen).toEqual([ONE])
    })
  })
})

// Payloads of every size that the length field knows, byte for byte on a real socket, in both directions; and
// buffers that the application changes as soon as it has handed them over.
import { describe, expect, it } from 'vitest'
import type {
  Client,
  ClientOptions,
  Message,
  OutgoingMessage,
  ProtocolVersion,
  QoS,
} from '../../src/index.ts'
import { durableOptions, optionsOf, outcomeOf, useWorlds, VERSIONS } from '../support/client-world.ts'
import { concat, hex } from '../support/codec/hex.ts'
import { ACCEPTED, lengthOf, type RawConnection, RESUMED, useRawBrokers } from '../support/raw-broker.ts'

const makeWorld = useWorlds()
const makeBroker = useRawBrokers()

/** The largest Remaining Length, 2.2.3 (5: 2.1.4). */
const LARGEST = 268_435_455

const PATTERN = Uint8Array.from({ length: 65_521 }, (_, index) => (index * 7_919) >>> 5)

/** Bytes of which no two neighbouring pages are alike. */
function bytesOf(size: number): Uint8Array {
  const bytes = new Uint8Array(size)
  for (let at = 0; at < size; at += PATTERN.length) bytes.set(PATTERN.subarray(0, size - at), at)
  return bytes
}

/** Made once: it takes a while. */
let largestBytes: Uint8Array | undefined

/** What applications have their bytes in. */
const KINDS = [
  ['a Buffer', (bytes: Uint8Array): Uint8Array => Buffer.from(bytes)],
  ['a Uint8Array', (bytes: Uint8Array): Uint8Array => bytes.slice()],
  [
    'a part of a Buffer',
    (bytes: Uint8Array): Uint8Array => Buffer.concat([PATTERN, bytes]).subarray(PATTERN.length),
  ],
] as const

// Around the ends of length fields, buffers and slabs, and where copying gives way to lending.
const SIZES = [
  [0, 1, 2, 118, 120, 122, 124, 126, 2_048, 2_049, 8_191, 8_192, 16_374, 16_376, 16_378, 16_380],
  [65_535, 65_536, 65_537, 262_144, 2_097_140, 2_097_144, 2_097_148, 2_097_152],
].flat()

/** What stands before the payload of a PUBLISH to `a`. */
function headOf(
  version: ProtocolVersion,
  first: number,
  packetId: number,
  { length }: Uint8Array,
): Uint8Array {
  const id = (first & 6) === 0 ? [] : [packetId >>> 8, packetId & 0xff]
  const fields = concat(hex('0001 "a"'), Uint8Array.from([...id, ...(version === '5' ? [0] : [])]))
  const body = { length: fields.length + length } as Uint8Array
  return concat(Uint8Array.of(first), lengthOf(body), fields)
}

/** The largest payload of such a PUBLISH. */
function largestOf(version: ProtocolVersion, qos: QoS): number {
  return LARGEST - 3 - (qos > 0 ? 2 : 0) - (version === '5' ? 1 : 0)
}

const FIRST = [0x30, 0x32, 0x34] as const
const DUP = 0x08

/** Compares what a client writes with what it should, without keeping it; resolves when all has come. */
function arrival(connection: RawConnection, ...parts: readonly Uint8Array[]): Promise<void> {
  const left = [...parts]
  return new Promise((resolve, reject) => {
    const check = (chunk: Uint8Array): void => {
      let rest = chunk
      for (;;) {
        const [part] = left
        if (part === undefined) break
        const size = Math.min(part.length, rest.length)
        if (Buffer.compare(part.subarray(0, size), rest.subarray(0, size)) !== 0) {
          return reject(new Error(`other bytes came, ${part.length} were still expected in this part`))
        }
        rest = rest.subarray(size)
        if (size < part.length) {
          left[0] = part.subarray(size)
          return
        }
        left.shift()
      }
      if (rest.length > 0) reject(new Error(`${rest.length} bytes more came than were expected`))
      else resolve()
    }
    connection.sink = check
  })
}

/** Acknowledges a PUBLISH, through PUBREL at QoS 2. */
async function acknowledge(connection: RawConnection, qos: QoS, packetId: number): Promise<void> {
  const id = Uint8Array.of(packetId >>> 8, packetId & 0xff)
  if (qos === 1) connection.write(hex('40 02'), id)
  if (qos < 2) return
  const released = arrival(connection, hex('62 02'), id)
  connection.write(hex('50 02'), id)
  await released
  connection.write(hex('70 02'), id)
}

async function connected(options: ClientOptions): Promise<{ client: Client; connection: RawConnection }> {
  const broker = await makeBroker((one) =>
    one.write(ACCEPTED[options.protocolVersion === '5' ? '5' : '3.1.1']),
  )
  const client = broker.createClient(options)
  await client.connect()
  return { client, connection: broker.latest }
}

describe.each(VERSIONS)('a payload that is changed when publish() has returned in %s', (version) => {
  describe.each(KINDS)('in %s', (_, make) => {
    it.each([0, 1, 2] as const)('is sent as it was, of any size, at QoS %i [scenario 75]', async (qos) => {
      const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
      for (const [index, size] of SIZES.entries()) {
        const bytes = bytesOf(size)
        const payload = make(bytes)
        const came = arrival(connection, headOf(version, FIRST[qos], index + 1, bytes), bytes)
        const published = client.publish('a', payload, { qos })
        payload.fill(0xee)
        await came
        await acknowledge(connection, qos, index + 1)
        await published
      }
      expect(client.statistics.messagesOut[qos]).toBe(SIZES.length)
    })

    it('is sent as it was by send() [scenario 75]', async () => {
      const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
      for (const size of SIZES) {
        const bytes = bytesOf(size)
        const payload = make(bytes)
        const came = arrival(connection, headOf(version, 0x30, 0, bytes), bytes)
        client.send('a', payload)
        payload.fill(0xee)
        await came
        await client.drained()
      }
      expect(client.statistics.messagesOut[0]).toBe(SIZES.length)
    })

    it.each([1, 2] as const)(
      'is sent as it was after connect(), and again with DUP, at QoS %i [scenario 75]',
      async (qos) => {
        for (const size of [1, 2_049, 65_536]) {
          const bytes = bytesOf(size)
          const payload = make(bytes)
          const arrivals: Promise<void>[] = []
          const broker = await makeBroker((connection) => {
            const again = connection.number > 1
            const first = FIRST[qos] | (again ? DUP : 0)
            arrivals.push(arrival(connection, headOf(version, first, 1, bytes), bytes))
            connection.write((again ? RESUMED : ACCEPTED)[version])
          })
          const options = { clientId: 'client', keepAlive: 0, reconnect: { min: 10, jitter: false } }
          const client = broker.createClient(durableOptions(version, options))
          const published = client.publish('a', payload, { qos })
          payload.fill(0xee)
          await client.connect()
          await arrivals[0]
          broker.latest.destroy()
          const connection = await broker.connection(2)
          await connection.received(1)
          await arrivals[1]
          await acknowledge(connection, qos, 1)
          await published
          expect(broker.connections).toHaveLength(2)
        }
      },
    )

    it('and that was lent is sent again as it was, when nobody waits for it any more [scenario 75]', async () => {
      for (const size of [1, 2_049, 65_536]) {
        const bytes = bytesOf(size)
        const payload = make(bytes)
        const arrivals: Promise<void>[] = []
        const broker = await makeBroker((connection) => {
          const again = connection.number > 1
          arrivals.push(arrival(connection, headOf(version, again ? 0x3a : 0x32, 1, bytes), bytes))
          connection.write((again ? RESUMED : ACCEPTED)[version])
        })
        const options = { clientId: 'client', keepAlive: 0, reconnect: { min: 10, jitter: false } }
        const client = broker.createClient(durableOptions(version, options))
        await client.connect()
        const controller = new AbortController()
        const published = client.publish('a', payload, {
          qos: 1,
          payload: 'borrowed',
          signal: controller.signal,
        })
        const outcome = outcomeOf(published)
        await arrivals[0]
        controller.abort(new Error('enough'))
        await expect(published).rejects.toThrow('enough')
        payload.fill(0xee)
        broker.latest.destroy()
        const connection = await broker.connection(2)
        await connection.received(1)
        await arrivals[1]
        expect(outcome.state).toBe('rejected')
      }
    })

    it('for the next message of the same publishAll() is sent as it was [scenario 75]', async () => {
      for (const size of [1, 2_049, 65_536]) {
        const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
        const expected = Array.from({ length: 20 }, (_none, index) => bytesOf(size).fill(index, 0, 1))
        const parts = expected.flatMap((bytes, index) => [headOf(version, 0x32, index + 1, bytes), bytes])
        const came = arrival(connection, ...parts)
        const payload = make(new Uint8Array(size))
        const messages = function* (): Generator<OutgoingMessage> {
          for (const bytes of expected) {
            payload.set(bytes)
            yield { topic: 'a', payload, qos: 1 }
          }
          payload.fill(0xee)
        }
        const published = client.publishAll(messages())
        await came
        for (const index of expected.keys()) connection.write(hex('40 02'), Uint8Array.of(0, index + 1))
        expect(await published).toMatchObject({ failures: [] })
      }
    })
  })
})

it('5: Correlation Data and a will in buffers that are changed are sent as they were [scenario 75]', async () => {
  const world = makeWorld('5')
  const [will, correlationData] = [Buffer.from('will'), Buffer.from('data')]
  const client = world.client5({ will: { topic: 'w', payload: will } })
  const published = client.publish('a', 'x', { qos: 1, properties: { correlationData } })
  for (const buffer of [will, correlationData]) buffer.fill(0xee)
  await client.connect()
  await published
  expect(world.got('connect')).toMatchObject([{ will: { payload: hex('"will"') } }])
  expect(world.got('publish')).toMatchObject([{ properties: { correlationData: hex('"data"') } }])
})

describe.each(VERSIONS)('a payload that is lent in %s', (version) => {
  it.each([0, 1, 2] as const)('is sent as it is, of any size, at QoS %i [scenario 75]', async (qos) => {
    const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
    for (const [index, size] of SIZES.entries()) {
      const payload = bytesOf(size)
      const came = arrival(connection, headOf(version, FIRST[qos], index + 1, payload), payload)
      const published = client.publish('a', payload, { qos, payload: 'borrowed' })
      await came
      await acknowledge(connection, qos, index + 1)
      await published
    }
    expect(client.statistics.messagesOut[qos]).toBe(SIZES.length)
  })
})

describe.each(VERSIONS)(
  'a payload that is lent and comes back while the server reads nothing in %s',
  (version) => {
    // More than the system's buffers hold: the rest waits by reference.
    const bytes = bytesOf(16_777_216)

    it('has left when publish() of QoS 0 has settled, also when its signal aborts [scenario 75]', async () => {
      const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
      const payload = bytes.slice()
      connection.pause()
      const came = arrival(connection, headOf(version, 0x30, 0, bytes), bytes)
      const controller = new AbortController()
      const published = client
        .publish('a', payload, { payload: 'borrowed', signal: controller.signal })
        .finally(() => payload.fill(0xee))
      await new Promise((resolve) => setImmediate(resolve))
      controller.abort(new Error('enough'))
      await new Promise((resolve) => setImmediate(resolve))
      connection.resume()
      await came
      await published
    })

    it('is sent as it was when publish() was given up, which is told when it has left [scenario 75]', async () => {
      const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
      const payload = bytes.slice()
      connection.pause()
      const came = arrival(connection, headOf(version, 0x32, 1, bytes), bytes)
      const controller = new AbortController()
      const published = client.publish('a', payload, {
        qos: 1,
        payload: 'borrowed',
        signal: controller.signal,
      })
      await new Promise((resolve) => setImmediate(resolve))
      controller.abort(new Error('enough'))
      const givenUp = published.catch((error: Error) => {
        payload.fill(0xee)
        return error.message
      })
      connection.resume()
      await came
      expect(await givenUp).toBe('enough')
    })
  },
)

describe.each(VERSIONS)('received payloads in %s', (version) => {
  it('are as they were sent, of any size, and stay so while others come [scenario 75]', async () => {
    const { client, connection } = await connected(optionsOf(version, { keepAlive: 0 }))
    const received: Message[] = []
    const all = [...SIZES, ...SIZES.toReversed()].map(bytesOf)
    const last = new Promise<void>((resolve) => {
      client.on('message', (message) => {
        received.push(message)
        if (received.length === all.length) resolve()
      })
    })
    for (const [index, bytes] of all.entries()) {
      const qos = (index % 3) as QoS
      connection.write(headOf(version, FIRST[qos], index + 1, bytes))
      connection.write(bytes)
    }
    await last
    for (const [index, bytes] of all.entries()) {
      expect(Buffer.compare(received[index]?.payload ?? PATTERN, bytes), `message ${index}`).toBe(0)
    }
  })
})

describe.each(VERSIONS)('the largest payload in %s', (version) => {
  const options = { keepAlive: 0, maximumPacketSize: 4_294_967_295, queue: { maxBytes: Infinity } }
  const largest = (qos: QoS): Uint8Array =>
    (largestBytes ??= bytesOf(LARGEST)).subarray(0, largestOf(version, qos))

  it('fills a packet of 268,435,460 bytes, and arrives [scenario 75] [3.1.1 section 2.2.3] [5 section 2.1.4]', async () => {
    const { client, connection } = await connected(optionsOf(version, options))
    const qos = version === '5' ? 1 : 0
    const bytes = largest(qos)
    const head = headOf(version, FIRST[qos], 1, bytes)
    expect(head.length + bytes.length).toBe(5 + LARGEST)
    const came = arrival(connection, head, bytes)
    const published = client.publish('a', bytes, { qos, payload: version === '5' ? 'borrowed' : 'copied' })
    await came
    await acknowledge(connection, qos, 1)
    await published
  })

  it('is received, and acknowledged [scenario 75]', async () => {
    const { client, connection } = await connected(optionsOf(version, options))
    const bytes = largest(1)
    const received = new Promise<Message>((resolve) => void client.on('message', resolve))
    connection.write(headOf(version, 0x32, 7, bytes))
    connection.write(bytes)
    const { payload } = await received
    expect(payload.length).toBe(bytes.length)
    expect(Buffer.compare(payload, bytes)).toBe(0)
    await connection.received(2)
    expect(connection.answers).toEqual(['40 02 00 07'])
  })

  it.each([
    ['while connected', true],
    ['while there is no connection', false],
  ])('and one byte more is refused %s, before an id or a place is used [scenario 75]', async (_, before) => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const limits = { maxInflight: 1, queue: { maxBytes: Infinity, qos0: true } }
    const client = broker.createClient(optionsOf(version, { ...options, ...limits }))
    if (before) await client.connect()
    const payload = (largestBytes ??= bytesOf(LARGEST))
    for (const qos of [0, 1, 2] as const) {
      const size = largestOf(version, qos) + 1
      await expect(
        client.publish('a', payload.subarray(0, size), { qos, payload: 'borrowed' }),
      ).rejects.toMatchObject({
        name: 'UsageError',
        code: 'invalid-payload',
        field: 'payload',
        message: expect.stringMatching(/a packet of at most 268435455 bytes, got 268435456/),
      })
    }
    expect(client.pending).toEqual([])
    await client.connect()
    const connection = broker.latest
    const bytes = bytesOf(3)
    const came = arrival(connection, headOf(version, 0x32, 1, bytes), bytes)
    const published = client.publish('a', bytes, { qos: 1 })
    await came
    await acknowledge(connection, 1, 1)
    await published
    expect(client.statistics.packetsOut.publish).toBe(1)
  })
})

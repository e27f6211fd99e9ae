// Bytes that no server may send, on a real socket: which error they are, what the server is told, that the
// client ends the stream itself, and that nothing behind them counts. And unusual bytes that are right.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import type { Message, ProtocolVersion } from '../../src/index.ts'
import { collect, VERSIONS } from '../support/client-world.ts'
import { concat, hex, toHex, utf8String } from '../support/codec/hex.ts'
import { MALFORMED_INPUTS } from '../support/codec/malformed.ts'
import { ACCEPTED, expectEndOf, lengthOf, packetOf, useRawBrokers } from '../support/raw-broker.ts'

const makeBroker = useRawBrokers()

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const CODES: Readonly<Record<number, string>> = {
  0x81: 'malformed-packet',
  0x82: 'protocol-error',
  0x95: 'packet-too-large',
}

/** Time alone heals no violation: the next attempt waits for `max`. */
const RECONNECT = { min: 60_000, max: 120_000, jitter: false } as const

/** `topic` has its length before it; `rest` is all that follows it in the version at hand. */
function publish(topic: Uint8Array, rest: Uint8Array, first = 0x30): Uint8Array {
  return packetOf(first, topic, rest)
}

/** A right PUBLISH of QoS 0 to `t`. */
function good(version: ProtocolVersion, text: string): Uint8Array {
  return publish(utf8String('t'), hex(version === '5' ? `00 "${text}"` : `"${text}"`))
}

interface Expected {
  readonly reasonCode: number
  /** What the error's message is to match. */
  readonly says?: RegExp
}

/** Sends this behind CONNACK, between two right messages. */
async function expectEnd(
  version: ProtocolVersion,
  bytes: Uint8Array,
  { reasonCode, says = /./ }: Expected,
): Promise<void> {
  const what = toHex(bytes.subarray(0, 40))
  const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
  const client = broker.createClient({ protocolVersion: version, keepAlive: 0, reconnect: RECONNECT })
  const seen: string[] = []
  client.on('message', (one) => void seen.push(one.text()))
  const lost = new Promise((resolve) => client.on('disconnected', resolve))
  await client.connect()
  const connection = broker.latest
  connection.write(good(version, 'before'), bytes, good(version, 'behind'))
  expect(await lost, what).toMatchObject({
    error: {
      name: 'ProtocolError',
      code: CODES[reasonCode],
      reasonCode,
      message: expect.stringMatching(says),
    },
    willReconnect: true,
    delay: RECONNECT.max,
  })
  await expectEndOf(connection)
  expect(seen, what).toEqual(['before'])
  expect(connection.answers, what).toEqual(
    version === '5' ? [`e0 01 ${toHex(Uint8Array.of(reasonCode))}`] : [],
  )
  expect(broker.connections, what).toHaveLength(1)
}

/** Sends this in place of CONNACK. */
async function expectFailure(
  version: ProtocolVersion,
  bytes: Uint8Array,
  { reasonCode, says = /./ }: Expected,
): Promise<void> {
  const broker = await makeBroker((connection) => connection.write(bytes, good(version, 'behind')))
  const client = broker.createClient({ protocolVersion: version, keepAlive: 0, reconnect: RECONNECT })
  const messages = collect(client, 'message')
  await expect(client.connect(), toHex(bytes)).rejects.toMatchObject({
    name: 'ProtocolError',
    code: CODES[reasonCode],
    reasonCode,
    message: expect.stringMatching(says),
  })
  await expectEndOf(broker.latest)
  // Nothing but CONNECT may be sent before a CONNACK that accepts.
  expect(broker.latest.answers, toHex(bytes)).toEqual([])
  expect(messages, toHex(bytes)).toEqual([])
  expect(client.state).toBe('stopped')
}

/** In the place that its type has. */
function expectRefused(version: ProtocolVersion, bytes: Uint8Array, expected: Expected): Promise<void> {
  return (bytes[0] ?? 0) >> 4 === 2
    ? expectFailure(version, bytes, expected)
    : expectEnd(version, bytes, expected)
}

const MALFORMED = { reasonCode: 0x81 } as const
const VIOLATION = { reasonCode: 0x82 } as const

describe.each(VERSIONS)('a Remaining Length in %s', (version) => {
  it.each(['d0 80 80 80 80 01', '30 ff ff ff ff 7f', '40 80 80 80 80 80', '00 ff ff ff ff ff'])(
    'of five bytes ends the connection: %s [scenario 27] [3.1.1 section 2.2.3] [5 section 2.1.4]',
    async (bytes) => {
      await expectEnd(version, hex(bytes), { ...MALFORMED, says: /longer than four bytes/ })
    },
  )

  it.each([
    ['268,435,455', '30 ff ff ff 7f', 268_435_460],
    ['one byte more than the default takes', '30 fc ff ff 07', 16_777_217],
  ])('of %s is refused behind the header by the local maximum [scenario 27]', async (_, bytes, size) => {
    const says = new RegExp(`a packet of ${size} bytes came, at most 16777216 are accepted`)
    await expectEnd(version, hex(bytes), { reasonCode: 0x95, says })
  })

  it('of 268,435,455 below the local maximum takes memory as bytes come, not as it claims [scenario 27]', async () => {
    const clients = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
        const client = broker.createClient({
          protocolVersion: version,
          keepAlive: 0,
          maximumPacketSize: 4_294_967_295,
        })
        await client.connect()
        return { client, connection: broker.latest, before: client.statistics.bytesIn }
      }),
    )
    const hasRead = async (bytes: number): Promise<void> => {
      for (const { client, before } of clients) {
        await vi.waitFor(() => expect(client.statistics.bytesIn - before).toBe(bytes), { interval: 2 })
      }
    }
    collectGarbage()
    const { arrayBuffers } = process.memoryUsage()
    const grown = (): number => process.memoryUsage().arrayBuffers - arrayBuffers
    // 2 GiB in all are claimed.
    for (const { connection } of clients) connection.write(hex('30 ff ff ff 7f'))
    await hasRead(5)
    expect(grown()).toBeLessThan(4 * 1_048_576)
    for (const { connection } of clients) connection.write(new Uint8Array(1_000_000))
    await hasRead(1_000_005)
    // What came, what it was copied from as it grew, and what the test itself has sent.
    expect(grown()).toBeLessThan(8 * 6 * 1_048_576)
    expect(clients.map(({ client }) => client.state)).toEqual(clients.map(() => 'connected'))
    await Promise.all(
      clients.map(async ({ client, connection }) => {
        const disconnected = client.disconnect()
        await connection.ended
        connection.end()
        await disconnected
        expect(connection.answers).toEqual(['e0 00'])
      }),
    )
  })
})

describe.each(VERSIONS)('a PUBLISH in %s', (version) => {
  it.each([
    ['that is empty', '30 00'],
    ['that ends within the length of its topic', '30 01 00'],
    ['that ends within its topic', '30 05 0004 "abc"'],
    ['whose topic claims more than any packet that came', '30 05 ffff "abc"'],
    ['of QoS 1 that ends before its packet identifier', '32 03 0001 "a"'],
    ['of QoS 1 that ends within its packet identifier', '32 04 0001 "a" 00'],
    ['of QoS 2 that ends before its packet identifier', '34 03 0001 "a"'],
    ['of QoS 2 that ends within its packet identifier', '3c 04 0001 "a" 00'],
  ])('%s ends the connection [scenario 28] [3.1.1 MQTT-4.8.0-1] [5 section 4.13.1]', async (_, bytes) => {
    await expectEnd(version, hex(bytes), MALFORMED)
  })

  it.each(['36', '37', '3e', '3f'])(
    'of QoS 3, first byte %s, ends the connection [scenario 31] [3.1.1 MQTT-3.3.1-4] [5 MQTT-3.3.1-4]',
    async (first) => {
      const rest = hex(version === '5' ? '0001 00' : '0001')
      const bytes = publish(utf8String('a'), rest, Number.parseInt(first, 16))
      await expectEnd(version, bytes, { ...MALFORMED, says: /QoS 3/ })
    },
  )

  it.each(['a/#', '#', '+', 'a/+/b', 'a+', '$SYS/#'])(
    'to the topic %s with a wildcard ends the connection [scenario 34] [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2]',
    async (topic) => {
      for (const [first, id] of [
        [0x30, ''],
        [0x32, '0001'],
      ] as const) {
        const bytes = publish(utf8String(topic), hex(version === '5' ? `${id} 00` : id), first)
        await expectEnd(version, bytes, { ...VIOLATION, says: /wildcard/ })
      }
    },
  )

  it('to an empty topic ends the connection [scenario 34] [3.1.1 MQTT-4.7.3-1] [5 MQTT-4.7.3-1]', async () => {
    const empty = new Uint8Array(2)
    if (version === '5') await expectEnd(version, publish(empty, hex('00')), VIOLATION)
    else await expectEnd(version, publish(empty, hex('"x"')), { ...MALFORMED, says: /empty topic/ })
  })

  it.each(['32', '33', '3a', '34', '35', '3c'])(
    'of QoS 1 or 2, first byte %s, with the packet identifier 0 ends the connection [scenario 35] [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-4]',
    async (first) => {
      const rest = hex(version === '5' ? '0000 00' : '0000')
      const bytes = publish(utf8String('a'), rest, Number.parseInt(first, 16))
      await expectEnd(version, bytes, { ...MALFORMED, says: /packet identifier 0/ })
    },
  )
})

describe.each(VERSIONS)('a packet type in %s', (version) => {
  const types: readonly (readonly [string, string, string, Expected])[] = [
    ['0', '00 00', '00 00', MALFORMED],
    ['0 with a body', '00 02 00 00', '00 02 00 00', MALFORMED],
    ['CONNECT', '10 0c 0004 "MQTT" 04 02 003c 0000', '10 0d 0004 "MQTT" 05 02 003c 00 0000', VIOLATION],
    ['SUBSCRIBE', '82 06 0001 0001 "a" 00', '82 07 0001 00 0001 "a" 00', VIOLATION],
    ['UNSUBSCRIBE', 'a2 05 0001 0001 "a"', 'a2 06 0001 00 0001 "a"', VIOLATION],
    ['PINGREQ', 'c0 00', 'c0 00', VIOLATION],
    // 5 has it, for clients that named a method.
    ['15', 'f0 00', 'f0 00', VIOLATION],
  ]
  it.each(types)(
    'that no server may send ends the connection: %s [scenario 29] [3.1.1 MQTT-4.8.0-1] [5 section 4.13.1]',
    async (_, bytes311, bytes5, expected) => {
      await expectEnd(version, hex(version === '5' ? bytes5 : bytes311), expected)
    },
  )
})

it('3.1.1: DISCONNECT from a server ends the connection as a violation [scenario 29] [3.1.1 MQTT-4.8.0-1]', async () => {
  await expectEnd('3.1.1', hex('e0 00'), VIOLATION)
})

describe.each(VERSIONS)('wrong flags in %s', (version) => {
  const right: readonly (readonly [string, string, string])[] = [
    ['CONNACK', '20 02 00 00', '20 03 00 00 00'],
    ['PUBACK', '40 02 0001', '40 02 0001'],
    ['PUBREC', '50 02 0001', '50 02 0001'],
    ['PUBREL', '62 02 0001', '62 02 0001'],
    ['PUBCOMP', '70 02 0001', '70 02 0001'],
    ['SUBACK', '90 03 0001 00', '90 04 0001 00 00'],
    ['UNSUBACK', 'b0 02 0001', 'b0 04 0001 00 00'],
    ['PINGRESP', 'd0 00', 'd0 00'],
    ['DISCONNECT', '', 'e0 00'],
    ['AUTH', '', 'f0 02 18 00'],
  ]
  const packets = right
    .map(([type, bytes311, bytes5]) => [type, hex(version === '5' ? bytes5 : bytes311)] as const)
    .filter(([, bytes]) => bytes.length > 0)

  it.each(packets)(
    'of %s end the connection, each of the fifteen [scenario 30] [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    async (_, [first = 0, ...rest]) => {
      const wrong = Array.from({ length: 16 }, (_flags, flags) => (first & 0xf0) | flags)
      const all = wrong.filter((header) => header !== first).map((header) => Uint8Array.of(header, ...rest))
      expect(all).toHaveLength(15)
      await Promise.all(
        all.map((bytes) => expectRefused(version, bytes, { ...MALFORMED, says: /has the flags/ })),
      )
    },
  )

  it('of PUBLISH, DUP at QoS 0, end the connection [scenario 30] [3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2]', async () => {
    for (const first of [0x38, 0x39]) {
      const bytes = publish(utf8String('a'), hex(version === '5' ? '00' : ''), first)
      await expectEnd(version, bytes, { ...MALFORMED, says: /has DUP 1/ })
    }
  })
})

/** What no string may be: 1.5.3, and 5: 1.5.4. */
const ILL_FORMED: readonly Uint8Array[] = [
  'ff',
  '80',
  'c080', // overlong
  'e080af', // overlong
  '"a" e282', // ends within a character
  'eda080', // a surrogate
  'eda0bd edb880', // a pair of them
  'f4908080', // above U+10FFFF
  '00',
  '"a" 00 "b"',
].map(hex)

function text(bytes: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(bytes.length >>> 8, bytes.length & 0xff), bytes)
}

describe.each(VERSIONS)('strings in %s', (version) => {
  it.each(ILL_FORMED.map((bytes) => [toHex(bytes), bytes] as const))(
    'that are ill-formed, or have a surrogate or U+0000, are no topic: %s [scenario 32] [3.1.1 MQTT-1.5.3-1, -2] [5 MQTT-1.5.4-1, -2]',
    async (_, bytes) => {
      const none = hex(version === '5' ? '00' : '')
      const says = /well-formed UTF-8|U\+0000/
      await expectEnd(version, publish(text(bytes), none), { ...MALFORMED, says })
      const long = concat(hex('61'.repeat(300)), bytes)
      await expectEnd(version, publish(text(long), none), { ...MALFORMED, says })
    },
  )

  it.each([
    ['U+FEFF at its beginning', '\uFEFFa'],
    ['U+FEFF within', 'a/\uFEFF'],
    ['U+FEFF twice', '\uFEFF\uFEFF'],
    ['noncharacters', '\uFFFE\uFFFF\uFDD0\uFDEF\u{1FFFE}\u{10FFFF}'],
    ['control characters', '\u0001\u001F\u007F\u0080\u009F'],
    ['characters beside the surrogates', '\uD7FF\uE000\u{10000}'],
    ['what only looks like a surrogate or a wildcard', '\u{1F426}/\uFF03/\uFF0B'],
    ['65,535 bytes', 'x'.repeat(65_535)],
    ['65,535 bytes in characters of four', `${'\u{1F426}'.repeat(16_383)}abc`],
    ['65,536 levels', '/'.repeat(65_535)],
  ])(
    'a topic with %s is sent and delivered unchanged [scenario 33] [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3]',
    async (_, topic) => {
      const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
      const client = broker.createClient({ protocolVersion: version, keepAlive: 0 })
      const received: Message[] = []
      const byFilter = new Promise<void>((resolve) => {
        client.route('#', (message) => void received.push(message))
        client.route(topic, (message) => {
          received.push(message)
          resolve()
        })
      })
      await client.connect()
      const connection = broker.latest
      connection.onPacket = (packet) => connection.write(packet)
      await client.publish(topic, 'x')
      await byFilter
      const expected = publish(utf8String(topic), hex(version === '5' ? '00 "x"' : '"x"'))
      expect(Buffer.compare(connection.packets[1] ?? new Uint8Array(0), expected)).toBe(0)
      expect(received.map((message) => message.topic === topic && message.text())).toEqual(['x', 'x'])
      expect(client.state).toBe('connected')
    },
  )
})

describe('strings of properties in 5', () => {
  const inPublish = (properties: Uint8Array): Uint8Array =>
    publish(utf8String('t'), concat(lengthOf(properties), properties))
  const inAck =
    (first: number, fields: string, codes = '') =>
    (properties: Uint8Array): Uint8Array =>
      packetOf(first, hex(fields), lengthOf(properties), properties, hex(codes))
  const packets: readonly (readonly [string, (properties: Uint8Array) => Uint8Array])[] = [
    ['CONNACK', inAck(0x20, '00 00')],
    ['a CONNACK that refuses', inAck(0x20, '00 87')],
    ['PUBACK', inAck(0x40, '0001 10')],
    ['PUBREC', inAck(0x50, '0001 97')],
    ['PUBREL', inAck(0x62, '0001 92')],
    ['PUBCOMP', inAck(0x70, '0001 92')],
    ['SUBACK', inAck(0x90, '0001', '00')],
    ['UNSUBACK', inAck(0xb0, '0001', '00')],
    ['DISCONNECT', inAck(0xe0, '8b')],
    ['AUTH', inAck(0xf0, '18')],
  ]
  const k = utf8String('k')
  const ofPair = (bytes: Uint8Array): readonly Uint8Array[] => [
    concat(hex('26'), text(bytes), k),
    concat(hex('26'), k, text(bytes)),
  ]
  const says = /well-formed UTF-8|U\+0000/

  it('that are ill-formed make a PUBLISH malformed: Content Type and Response Topic [scenario 32] [5 MQTT-1.5.4-1, -2, 3.3.2-13, -19]', async () => {
    for (const bytes of ILL_FORMED) {
      for (const id of ['03', '08']) {
        await expectEnd('5', inPublish(concat(hex(id), text(bytes))), { ...MALFORMED, says })
      }
    }
  })

  it('that are ill-formed make a User Property of PUBLISH malformed, as its name and as its value [scenario 32] [5 MQTT-1.5.7-1]', async () => {
    for (const bytes of ILL_FORMED) {
      for (const pair of ofPair(bytes)) await expectEnd('5', inPublish(pair), { ...MALFORMED, says })
    }
  })

  it.each(packets)(
    'that are ill-formed make a User Property of %s malformed [scenario 32] [5 MQTT-1.5.7-1]',
    async (_, packet) => {
      const all = ILL_FORMED.flatMap(ofPair).map(packet)
      await Promise.all(all.map((bytes) => expectRefused('5', bytes, { ...MALFORMED, says })))
    },
  )

  it.each(packets)(
    'that are ill-formed make the Reason String of %s malformed [scenario 32] [5 MQTT-1.5.4-1, -2]',
    async (_, packet) => {
      const all = ILL_FORMED.map((bytes) => packet(concat(hex('1f'), text(bytes))))
      await Promise.all(all.map((bytes) => expectRefused('5', bytes, { ...MALFORMED, says })))
    },
  )
})

describe.each(VERSIONS)('every input that a server may not send in %s', (version) => {
  const inputs = MALFORMED_INPUTS.filter((input) => input.sender === 'server' && input.version === version)
  const rows = inputs.map((input) => [input.title, input] as const)

  it.each(rows)('ends the connection: %s [scenario 28]', async (_, { bytes, reasonCode }) => {
    await expectRefused(version, bytes, { reasonCode })
  })
})

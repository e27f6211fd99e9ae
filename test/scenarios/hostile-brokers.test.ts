// Brokers that mean harm, in virtual time: what other clients were brought down with, case by case. Whatever such a
// broker sends ends its connection and nothing else; the client stays armed and comes back by its back-off.
// What is about memory is in hostile-memory.test.ts.
import { describe, expect, it } from 'vitest'
import { ProtocolError, RefusedError } from '../../src/core/errors.ts'
import type { Properties } from '../../src/core/packets/types.ts'
import type { FaultContent } from '../../src/testing/broker/faults.ts'
import type { Dial, Transport, TransportReceiver } from '../../src/transport/transport.ts'
import {
  collect,
  outcomeOf,
  record,
  type TestWorld,
  texts,
  useWorlds,
  VERSIONS,
} from '../support/client-world.ts'
import { concat, hex } from '../support/codec/hex.ts'

const makeWorld = useWorlds()
const RECONNECT = { reconnect: { min: 1_000, max: 60_000, jitter: false } } as const

/** The broker writes this, past all its rules. */
async function say(world: TestWorld, ...contents: readonly FaultContent[]): Promise<void> {
  const bytes = contents.map((content) => (content instanceof Uint8Array ? content : undefined))
  const connection = world.broker.connectionOf('client')
  if (bytes.every((one) => one !== undefined)) connection?.send(concat(...bytes))
  else for (const content of contents) connection?.send(content)
  await world.settle()
}

/** A PUBLISH of QoS 0 with a topic of these bytes. */
function publishTo(version: string, topic: Uint8Array): Uint8Array {
  const body = concat(
    Uint8Array.of(topic.length >> 8, topic.length & 0xff),
    topic,
    NONE[version] ?? hex('00'),
  )
  const [low, middle, high] = [body.length & 0x7f, (body.length >> 7) & 0x7f, body.length >> 14]
  if (high > 0) return concat(Uint8Array.of(0x30, low | 0x80, middle | 0x80, high), body)
  return concat(middle > 0 ? Uint8Array.of(0x30, low | 0x80, middle) : Uint8Array.of(0x30, low), body)
}

/** The properties of a PUBLISH that has none. */
const NONE: Readonly<Record<string, Uint8Array>> = { '3.1.1': new Uint8Array(0), '5': hex('00') }

describe('a Topic Alias', () => {
  it.each([
    ['although none was announced', '30 08 0001 "a" 03 23 0001 "x"', 0, 0x94],
    ['of 0', '30 08 0001 "a" 03 23 0000 "x"', 3, 0x94],
    ['above the maximum', '30 08 0001 "a" 03 23 0004 "x"', 3, 0x94],
    ['of 0 without a topic', '30 07 0000 03 23 0000 "x"', 3, 0x94],
    ['that stands for nothing', '30 07 0000 03 23 0002 "x"', 3, 0x82],
  ] as const)(
    '%s is answered by its code, and the client comes back [H1]',
    async (_what, bytes, topicAliasMaximum, code) => {
      const world = makeWorld('5')
      const client = await world.connected5({ ...RECONNECT, topicAliasMaximum })
      const messages = collect(client, 'message')
      const ends = collect(client, 'disconnected')
      await say(world, hex(bytes))
      expect(world.got('disconnect').map(({ reasonCode }) => reasonCode)).toEqual([code])
      expect(ends.map(({ error }) => error)).toEqual([expect.any(ProtocolError)])
      expect(ends[0]?.willReconnect).toBe(true)
      expect([client.state, world.link.attempts.length]).toEqual(['waiting', 1])
      await world.advance(60_000)
      expect([client.state, world.link.attempts.length]).toEqual(['connected', 2])
      expect(messages).toEqual([])
    },
  )
})

describe.each(VERSIONS)('packets behind a violation in %s', (version) => {
  const more = publishTo(version, hex('"a"'))
  const accepted = version === '5' ? '20 03 00 00 00' : '20 02 00 00'

  it.each([
    ['a second CONNACK', accepted],
    ['a PUBLISH of QoS 3', '36 06 0001 "a" 0001 00'],
    ['the reserved packet type 0', '00 00'],
    ['a Remaining Length of five bytes', '30 ff ff ff ff 01'],
    ['SUBSCRIBE', '82 06 0001 0001 "a" 00'],
  ] as const)(
    '%s: nothing of them is handled, in the same segment or the next [H2]',
    async (_what, bytes) => {
      const world = makeWorld(version)
      world.broker.faults.onSend('puback').withhold()
      const client = await world.connected({ ...RECONNECT, keepAlive: 0 })
      const messages = collect(client, 'message')
      const published = outcomeOf(client.publish('b', 'x', { qos: 1 }))
      await world.settle()
      await say(world, more, hex(bytes), more, hex('40 02 0001'), hex('d0 00'), more)
      await say(world, more)
      expect(messages.map(({ topic }) => topic)).toEqual(['a'])
      expect([published.state, client.state]).toEqual(['pending', 'waiting'])
      expect(client.statistics.messagesIn[0]).toBe(1)
    },
  )
})

describe('properties that are none', () => {
  it.each([
    ['a property length beyond the packet', '30 06 0001 "a" 7f 01 01', 0x81],
    ['a property length of four bytes beyond the packet', '30 09 0001 "a" ff ff ff 7f 01 01', 0x81],
    ['a property length of five bytes', '30 0a 0001 "a" 80 80 80 80 01 01', 0x81],
    ['a property twice', '30 08 0001 "a" 04 01 00 01 00', 0x82],
    ['an unknown property', '30 06 0001 "a" 02 7f 00', 0x81],
    ['an unknown property of two bytes', '30 07 0001 "a" 03 80 01 00', 0x81],
    ['a Subscription Identifier of five bytes', '30 0a 0001 "a" 06 0b 80 80 80 80 01', 0x81],
    ['a string longer than its property', '30 0a 0001 "a" 04 03 0005 "x" "yz"', 0x81],
    ['a string that ends in the payload', '30 0c 0001 "a" 04 03 0004 "x" "yzzz"', 0x81],
    ['half a string pair', '30 0a 0001 "a" 06 26 0001 "k" 0001', 0x81],
    ['a property cut off behind its identifier', '30 05 0001 "a" 01 02', 0x81],
  ] as const)('%s: the connection ends, and nothing beyond is read [H5]', async (_what, bytes, code) => {
    const world = makeWorld('5')
    const client = await world.connected5(RECONNECT)
    const messages = collect(client, 'message')
    // What lies behind would complete the packet for a reader that goes on.
    await say(world, hex(bytes), hex('01 00 "zzzzzzzz" 00 00 00 00'))
    expect(world.got('disconnect').map(({ reasonCode }) => reasonCode)).toEqual([code])
    expect([messages.length, client.state]).toEqual([0, 'waiting'])
  })
})

describe.each(VERSIONS)('SUBACK in %s', (version) => {
  const filters = ['a', 'b', 'c']
  const properties = version === '5' ? '00' : ''

  it.each([
    ['too few codes', `90 ${version === '5' ? '05' : '04'} 0001 ${properties} 00 00`],
    ['too many codes', `90 ${version === '5' ? '07' : '06'} 0001 ${properties} 00 00 00 00`],
    ['no code', `90 ${version === '5' ? '03' : '02'} 0001 ${properties}`],
    ['the code 3', `90 ${version === '5' ? '06' : '05'} 0001 ${properties} 00 03 00`],
    ['the code 0x7F', `90 ${version === '5' ? '06' : '05'} 0001 ${properties} 7f 00 00`],
  ] as const)('with %s is a protocol error, and subscribe() rejects [H7]', async (_what, bytes) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback').replaceBy(hex(bytes))
    const client = await world.connected({ reconnect: false })
    const ends = collect(client, 'disconnected')
    const subscribed = outcomeOf(client.subscribe(filters, () => {}))
    await world.settle()
    expect(ends.map(({ error }) => error)).toEqual([expect.any(ProtocolError)])
    expect([subscribed.state, client.state]).toEqual(['rejected', 'stopped'])
    const wanted = ends[0]?.error instanceof ProtocolError ? [ends[0].error.reasonCode] : []
    const told = world.got('disconnect').map(({ reasonCode }) => reasonCode)
    expect(told).toEqual(version === '5' ? wanted : [])
  })

  it('that is wrong each time never resolves subscribe(): it rejects when five connections have ended by it [H7]', async () => {
    const world = makeWorld(version)
    const wrong = `90 ${version === '5' ? '05' : '04'} 0001 ${properties} 00 00`
    world.broker.faults.onSend('suback').replaceBy(hex(wrong))
    const client = await world.connected(RECONNECT)
    const subscribed = outcomeOf(client.subscribe(filters, () => {}))
    await world.advance(600_000)
    expect(subscribed.error).toMatchObject({ code: 'poison-delivery', cause: { code: 'protocol-error' } })
    expect(world.got('subscribe')).toHaveLength(5)
    expect(world.link.attempts).toHaveLength(6)
    expect(client.state).toBe('connected')
  })
})

describe.each(VERSIONS)('CONNACK in %s', (version) => {
  it('that comes twice ends the connection [H8]', async () => {
    const world = makeWorld(version)
    const client = await world.connected(RECONNECT)
    const ends = collect(client, 'disconnected')
    await say(world, hex(version === '5' ? '20 03 00 00 00' : '20 02 00 00'))
    expect(ends.map(({ error }) => error?.code)).toEqual(['protocol-error'])
    await world.advance(60_000)
    expect(client.state).toBe('connected')
  })
})

describe('a contradictory CONNACK', () => {
  it.each([
    ['Receive Maximum 0', '20 06 00 00 03 21 0000', 'protocol-error'],
    ['Maximum QoS 2', '20 05 00 00 02 24 02', 'protocol-error'],
    ['Maximum Packet Size 0', '20 08 00 00 05 27 00000000', 'protocol-error'],
    ['an Assigned Client Identifier that nobody asked for', '20 07 00 00 04 12 0001 "x"', 'protocol-error'],
    ['Session Present after a clean start', '20 03 01 00 00', 'protocol-error'],
    ['a refusal with Session Present', '20 03 01 87 00', 'protocol-error'],
    ['the Server Keep Alive twice', '20 09 00 00 06 13 0001 13 0001', 'protocol-error'],
    ['a property of PUBLISH', '20 06 00 00 03 23 0001', 'malformed-packet'],
  ] as const)('with %s is refused [H8]', async (_what, bytes, code) => {
    const world = makeWorld('5')
    world.broker.faults.onSend('connack').replaceBy(hex(bytes))
    const connecting = outcomeOf(world.client5().connect())
    await world.settle()
    expect(connecting.error).toBeInstanceOf(ProtocolError)
    expect(connecting.error).toMatchObject({ code })
    // Nothing but CONNECT was sent on a connection that never stood.
    expect(world.taken()).toEqual(['connect'])
  })

  it('with Server Keep Alive 0 turns the keep-alive off [H8]', async () => {
    const world = makeWorld('5', { broker: { serverKeepAlive: 0 } })
    const client = await world.connected5({ keepAlive: 10 })
    await world.advance(3_600_000)
    expect(client.settings?.keepAlive).toBe(0)
    expect([client.state, world.got('pingreq').length]).toEqual(['connected', 0])
  })
})

describe('AUTH', () => {
  const AUTH = hex('f0 0a 18 08 15 0005 "other"')

  it('that nobody asked for ends the connection by 0x82 [H9]', async () => {
    const world = makeWorld('5')
    const client = await world.connected5(RECONNECT)
    await say(world, AUTH)
    expect(world.got('disconnect').map(({ reasonCode }) => reasonCode)).toEqual([0x82])
    expect(client.state).toBe('waiting')
  })

  it('before CONNACK that nobody asked for rejects connect() [H9]', async () => {
    const world = makeWorld('5')
    world.broker.faults.onSend('connack').replaceBy(AUTH)
    const connecting = outcomeOf(world.client5().connect())
    await world.settle()
    expect(connecting.error).toMatchObject({ code: 'protocol-error', reasonCode: 0x82 })
  })

  it('without end is bounded by connectTimeout [H9]', async () => {
    const challenges = new Array<Uint8Array>(10_000).fill(new Uint8Array(8))
    const world = makeWorld('5', { broker: { authentication: { method: 'riddle', challenges } } })
    world.broker.faults.onSend('auth').stall(100)
    const authentication = { method: 'riddle', start: () => 'begin', continue: () => 'answer' }
    const connecting = outcomeOf(world.client5({ authentication, connectTimeout: 5_000 }).connect())
    await world.advance(4_999)
    expect(connecting.state).toBe('pending')
    await world.advance(1)
    expect(connecting.error).toMatchObject({ code: 'connect-timeout' })
    const answers = world.got('auth').length
    expect(answers).toBeGreaterThan(20)
    await world.advance(10_000)
    expect(world.got('auth')).toHaveLength(answers)
  })
})

/** Writes what the test tells it, also when the client has ended the stream, and never ends it itself. */
class StubbornServer implements Transport {
  readonly dial: Dial = () => Promise.resolve(this)
  isEnded = false
  readonly #connack: Uint8Array
  #receiver: TransportReceiver | undefined = undefined

  constructor(connack: string) {
    this.#connack = hex(connack)
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    queueMicrotask(() => receiver.handleData(this.#connack, true))
  }

  say(...packets: readonly Uint8Array[]): void {
    this.#receiver?.handleData(concat(...packets), true)
  }

  write(): boolean {
    return true
  }

  end(): void {
    this.isEnded = true
  }

  destroy(): void {
    const receiver = this.#receiver
    this.#receiver = undefined
    queueMicrotask(() => receiver?.handleEnd())
  }

  pause(): void {}
  resume(): void {}
}

describe('data behind the end', () => {
  it('behind DISCONNECT of the server is not handled, in the same segment or later [H10]', async () => {
    const world = makeWorld('5')
    const server = new StubbornServer('20 03 00 00 00')
    const client = await world.connected5({ dial: server.dial, ...RECONNECT })
    const events = record(client, 'message', 'disconnected')
    const published = outcomeOf(client.publish('b', 'x', { qos: 1 }))
    await world.settle()
    server.say(publishTo('5', hex('"a"')), hex('e0 01 8b'), publishTo('5', hex('"a"')), hex('40 02 0001'))
    server.say(publishTo('5', hex('"a"')), hex('e0 01 8b'))
    await world.settle()
    expect(events.map(({ name }) => name)).toEqual(['message', 'disconnected'])
    expect(events[1]?.event).toMatchObject({ error: { code: 'server-disconnected', reasonCode: 0x8b } })
    expect([server.isEnded, published.state]).toEqual([true, 'pending'])
  })

  it.each(VERSIONS)('behind the end of the stream is not handled in %s [H10]', async (version) => {
    const world = makeWorld(version)
    const server = new StubbornServer(version === '5' ? '20 03 00 00 00' : '20 02 00 00')
    const client = await world.connected({ dial: server.dial })
    const messages = collect(client, 'message')
    const disconnected = client.disconnect()
    await world.settle()
    expect(server.isEnded).toBe(true)
    server.say(publishTo(version, hex('"a"')))
    await world.settle()
    server.say(publishTo(version, hex('"a"')), hex('00 00'))
    await world.advance(2_000)
    await disconnected
    expect([messages.length, client.state]).toEqual([0, 'stopped'])
  })
})

describe.each(VERSIONS)('a broker that accepts and closes at once in %s', (version) => {
  it('is tried again by a back-off that does not reset: no busy loop [H12]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('connack').endAfter()
    const client = world.client({ ...RECONNECT, retryInitialConnect: true })
    const connected = collect(client, 'connected')
    void client.connect().catch(() => {})
    await world.advance(3_600_000)
    const { attempts } = world.link
    const delays = attempts.slice(1).map((at, index) => at - (attempts[index] ?? 0))
    expect(delays.slice(0, 7)).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    expect(Math.min(...delays.slice(5))).toBe(60_000)
    expect(attempts.length).toBeLessThan(70)
    expect(connected.length).toBeGreaterThan(50)
  })
})

describe.each(VERSIONS)('topic names in %s', (version) => {
  const NAMES = ['__proto__', 'constructor', 'a/__proto__/b', 'hasOwnProperty', 'toString/valueOf'] as const

  it('of prototypes are names like others [H13]', async () => {
    const world = makeWorld(version)
    const before = Object.getOwnPropertyNames(Object.prototype)
    const client = await world.connected()
    const seen = new Map<string, string[]>()
    const filters = [...NAMES, '+', '__proto__/#', 'a/+/b']
    for (const filter of filters) {
      await client.subscribe(filter, ({ topic }) => {
        seen.set(filter, [...(seen.get(filter) ?? []), topic])
      })
    }
    for (const name of NAMES) await say(world, publishTo(version, new TextEncoder().encode(name)))
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(before)
    for (const name of NAMES) expect(seen.get(name)).toEqual([name])
    expect(seen.get('+')).toEqual(['__proto__', 'constructor', 'hasOwnProperty'])
    expect(seen.get('__proto__/#')).toEqual(['__proto__'])
    expect(seen.get('a/+/b')).toEqual(['a/__proto__/b'])
  })

  it('of 65,535 levels are matched once for each filter, in time that grows with the levels alone [H13]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    const depths = Array.from({ length: 200 }, (_, depth) => depth)
    for (const depth of depths)
      await client.subscribe(`${'+/'.repeat(depth)}#`, (message) => handler(message))
    await client.subscribe(`${'/'.repeat(200)}x/#`, (message) => handler(message))
    const topic = new Uint8Array(65_534).fill(0x2f)
    const took = await timeOf(() => say(world, publishTo(version, topic)))
    expect([seen.length, client.state]).toEqual([depths.length, 'connected'])
    expect(took).toBeLessThan(2_000)
  })

  it.each([
    ['a lone surrogate', 'ed a0 80'],
    ['a pair of surrogates (CESU-8)', 'ed a0 bd ed b8 80'],
    ['an overlong form', 'c0 af'],
    ['a character above U+10FFFF', 'f4 90 80 80'],
    ['U+0000', '61 00 62'],
  ] as const)('with %s are refused [H13]', async (_what, bytes) => {
    const world = makeWorld(version)
    const client = await world.connected(RECONNECT)
    const messages = collect(client, 'message')
    const ends = collect(client, 'disconnected')
    await say(world, publishTo(version, hex(bytes)))
    expect(ends.map(({ error }) => error)).toMatchObject([{ code: 'malformed-packet', reasonCode: 0x81 }])
    expect([messages.length, client.state]).toEqual([0, 'waiting'])
  })
})

async function timeOf(run: () => Promise<void>): Promise<number> {
  const started = performance.now()
  await run()
  return performance.now() - started
}

describe('a Server Reference', () => {
  const serverReference = '169.254.169.254:80'
  const HOST = 'memory:1883'
  const properties: Properties = { serverReference }

  /** A client that notes the hosts that it dials. */
  function watched(world: TestWorld): { readonly dialed: string[]; readonly dial: Dial } {
    const dialed: string[] = []
    const dial: Dial = (target, signal) => {
      dialed.push(target.url.host)
      return world.link.dial(target, signal)
    }
    return { dialed, dial }
  }

  it.each([0x9c, 0x9d])('in a CONNACK with %i is told, and never dialed [H14]', async (reasonCode) => {
    const world = makeWorld('5')
    const refusal = { type: 'connack', sessionPresent: false, reasonCode, properties } as const
    world.broker.faults.onSend('connack').replaceBy(refusal)
    const { dialed, dial } = watched(world)
    const client = world.client5({ ...RECONNECT, dial, retryInitialConnect: true })
    const failed = collect(client, 'connectFailed')
    void client.connect().catch(() => {})
    await world.advance(600_000)
    expect(failed[0]?.error).toBeInstanceOf(RefusedError)
    expect(failed[0]?.error).toMatchObject({ reasonCode, properties })
    expect(dialed.length).toBeGreaterThan(2)
    expect(new Set(dialed)).toEqual(new Set([HOST]))
  })

  it.each([0x9c, 0x9d])('in a DISCONNECT with %i is told, and never dialed [H14]', async (reasonCode) => {
    const world = makeWorld('5')
    const { dialed, dial } = watched(world)
    const client = await world.connected5({ ...RECONNECT, dial })
    const ends = collect(client, 'disconnected')
    await say(world, { type: 'disconnect', reasonCode, properties })
    expect(ends[0]).toMatchObject({ error: { reasonCode, properties }, reason: { properties } })
    await world.advance(600_000)
    expect(client.state).toBe('connected')
    expect(dialed).toEqual([HOST, HOST])
  })

  it('in a CONNACK that accepts is told in the settings, and never dialed [H14]', async () => {
    const world = makeWorld('5', { broker: { connackProperties: properties } })
    const { dialed, dial } = watched(world)
    const client = await world.connected5({ ...RECONNECT, dial })
    expect(client.settings?.serverReference).toBe(serverReference)
    world.broker.cutAll()
    await world.advance(60_000)
    expect(client.state).toBe('connected')
    expect(dialed).toEqual([HOST, HOST])
  })
})

// The limits of version 5 in both directions: Receive Maximum, Maximum Packet Size and Topic Aliases, kept by
// the client and broken by the server; rules 7, 14, 15, 23, 24.
import { describe, expect, it } from 'vitest'
import type { Client } from '../../src/client/client.ts'
import type { ClientEvents } from '../../src/client/events.ts'
import { ProtocolError, RefusedError } from '../../src/core/errors.ts'
import type { Properties, PublishPacket, QoS } from '../../src/core/packets/types.ts'
import type { FaultContent } from '../../src/testing/broker/faults.ts'
import { collect, outcomeOf, type TestWorld, useWorlds } from '../support/client-world.ts'

const makeWorld = useWorlds()
const RECONNECT = { min: 1_000, max: 1_000, jitter: false } as const

/** What the next CONNACK announces, as a server that was set up anew. */
function announce(world: TestWorld, limits: { receiveMaximum?: number; maximumPacketSize?: number }): void {
  Object.assign(world.broker.options, limits)
}

function messageOf(fields: {
  qos?: QoS
  packetId?: number
  topic?: string
  properties?: Properties
}): PublishPacket {
  const { qos = 0, packetId = 0, topic = 'a', properties } = fields
  const payload = new Uint8Array(0)
  return { type: 'publish', topic, payload, qos, retain: false, dup: false, packetId, properties }
}

/** The most PUBLISHes of a connection that were at once without their last acknowledgement. */
function mostOpen(packets: readonly ClientEvents['packet'][]): number {
  const open = new Set<number>()
  let most = 0
  for (const { direction, packet } of packets) {
    if (packet.type === 'connect') open.clear()
    else if (packet.type === 'publish' && direction === 'out' && packet.qos > 0) open.add(packet.packetId)
    else if (packet.type === 'puback' || packet.type === 'pubcomp') open.delete(packet.packetId)
    else if (packet.type === 'pubrec' && packet.reasonCode >= 0x80) open.delete(packet.packetId)
    most = Math.max(most, open.size)
  }
  return most
}

const stateOf = ({ state }: { state: string }): string => state

describe("the server's Receive Maximum in 5", () => {
  it('of 1 lets out one message after another; all other packets pass it by (rule 15) [scenario 51] [5 MQTT-3.3.4-7, -8, 4.9.0-1 to -3]', async () => {
    const world = makeWorld('5', { broker: { receiveMaximum: 1 } })
    for (const type of ['puback', 'pubrec', 'pubcomp'] as const) world.broker.faults.onSend(type).delay(100)
    const client = await world.connected()
    await client.subscribe('in', { qos: 2 }, () => {})
    const packets = collect(client, 'packet')
    world.taken()
    const limited = Array.from({ length: 10 }, (_, index) =>
      outcomeOf(client.publish('a', `${index}`, { qos: index % 2 === 0 ? 2 : 1 })),
    )
    await world.settle()
    expect(world.taken()).toEqual(['publish'])
    const others = [
      outcomeOf<unknown>(client.publish('zero', 'x')),
      outcomeOf<unknown>(client.subscribe('s')),
      outcomeOf<unknown>(client.unsubscribe('u')),
      outcomeOf<unknown>(client.ping()),
    ]
    world.broker.publish({ topic: 'in', payload: 'x', qos: 2 })
    await world.settle()
    expect(world.taken().toSorted()).toEqual([
      'pingreq',
      'pubcomp',
      'publish',
      'pubrec',
      'subscribe',
      'unsubscribe',
    ])
    expect(others.map(stateOf)).toEqual(others.map(() => 'resolved'))
    expect(limited.map(stateOf)).toEqual(limited.map(() => 'pending'))
    // 5 x 200 ms for QoS 2, 5 x 100 ms for QoS 1: never two at once, and never a pause.
    await world.advance(1_499)
    expect(limited.map(stateOf)).toEqual(limited.map((_, index) => (index < 9 ? 'resolved' : 'pending')))
    await world.advance(1)
    expect(limited.map(stateOf)).toEqual(limited.map(() => 'resolved'))
    expect(mostOpen(packets)).toBe(1)
    expect(world.broker.finish()).toEqual([])
  })

  it('that the next connection lowers below what is open is kept at once: PUBRELs do not count, PUBLISHes with DUP do (rules 14, 15) [scenario 51] [5 MQTT-3.3.4-7, 4.4.0-1, 4.6.0-1, 4.9.0-2]', async () => {
    const world = makeWorld('5', { broker: { receiveMaximum: 10 } })
    for (const type of ['puback', 'pubrec', 'pubcomp'] as const) world.broker.faults.onSend(type).withhold()
    const client = await world.connectedDurable({ reconnect: RECONNECT })
    const outcomes = Array.from({ length: 15 }, (_, index) =>
      outcomeOf(client.publish('a', `${index + 1}`, { qos: index % 2 === 0 ? 1 : 2 })),
    )
    await world.settle()
    expect(world.got('publish')).toHaveLength(10)
    for (const packetId of [8, 2]) world.serverSends({ type: 'pubrec', packetId, reasonCode: 0 })
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    world.taken()
    announce(world, { receiveMaximum: 3 })
    const packets = collect(client, 'packet')
    world.broker.faults.clear()
    for (const type of ['puback', 'pubrec', 'pubcomp'] as const) world.broker.faults.onSend(type).delay(100)
    await world.advance(1_000)
    expect(world.fromClient).toMatchObject([
      { type: 'connect' },
      { type: 'pubrel', packetId: 8 },
      { type: 'pubrel', packetId: 2 },
      { type: 'publish', packetId: 1, dup: true },
      { type: 'publish', packetId: 3, dup: true },
      { type: 'publish', packetId: 4, dup: true },
    ])
    const zero = outcomeOf(client.publish('zero', 'x'))
    await world.settle()
    expect(zero.state).toBe('resolved')
    await world.advance(5_000)
    expect(outcomes.map(stateOf)).toEqual(outcomes.map(() => 'resolved'))
    expect(mostOpen(packets)).toBe(3)
    const sent = world.got('publish').filter(({ qos }) => qos > 0)
    expect(sent.map(({ packetId, dup }) => [packetId, dup])).toEqual([
      ...[1, 3, 4, 5, 6, 7, 9, 10].map((id) => [id, true]),
      ...[11, 12, 13, 14, 15].map((id) => [id, false]),
    ])
    expect(world.broker.finish()).toEqual([])
  })
})

describe("the client's Receive Maximum in 5", () => {
  it.each([
    ['QoS 1', [1, 1, 1]],
    ['QoS 2', [2, 2, 2]],
    ['QoS 1 and 2', [1, 2, 1]],
  ] as const)(
    'that one PUBLISH of %s oversteps ends the connection by 0x93: neither it nor what follows is handed over (rules 7, 24) [scenario 52] [5 MQTT-3.3.4-9] [5 section 3.3.4]',
    async (_title, list) => {
      const world = makeWorld('5')
      const reconnect = { min: 1_000, max: 50_000, jitter: false }
      const client = await world.connected5({ receiveMaximum: 2, reconnect })
      const lost = collect(client, 'disconnected')
      const seen: number[] = []
      await client.subscribe('a', { qos: 2, ack: 'manual' }, (message) => void seen.push(message.packetId))
      world.taken()
      const messages = list.map((qos, index) => messageOf({ qos, packetId: 11 + index }))
      world.serverSends(...messages.slice(0, 2), messageOf({ qos: 0 }))
      await world.settle()
      expect([seen, lost]).toEqual([[11, 12, 0], []])
      world.serverSends(...messages.slice(2), messageOf({ qos: 0 }))
      await world.settle()
      expect(seen).toEqual([11, 12, 0])
      expect(world.fromClient).toMatchObject([{ type: 'disconnect', reasonCode: 0x93 }])
      expect(world.broker.connections).toEqual([])
      expect(lost[0]?.error).toBeInstanceOf(ProtocolError)
      const error = { code: 'receive-maximum-exceeded', reasonCode: 0x93 }
      expect(lost).toMatchObject([{ error, willReconnect: true, delay: 50_000 }])
    },
  )

  it('counts a QoS 2 message until PUBCOMP, and makes room for the next one with each last acknowledgement [scenario 52] [5 MQTT-3.3.4-9] [5 section 3.3.4]', async () => {
    const world = makeWorld('5')
    world.broker.faults.onSend('pubrel').withhold()
    const client = await world.connected5({ receiveMaximum: 2, reconnect: RECONNECT })
    const seen: number[] = []
    await client.subscribe('a', { qos: 2 }, (message) => void seen.push(message.packetId))
    world.taken()
    const sends = async (...contents: readonly FaultContent[]): Promise<void> => {
      world.serverSends(...contents)
      await world.settle()
    }
    await sends(messageOf({ qos: 2, packetId: 1 }))
    for (const packetId of [101, 102, 103]) await sends(messageOf({ qos: 1, packetId }))
    await sends(messageOf({ qos: 2, packetId: 2 }))
    await sends({ type: 'pubrel', packetId: 1, reasonCode: 0 }, messageOf({ qos: 1, packetId: 104 }))
    await sends(messageOf({ qos: 2, packetId: 3 }))
    const seenAtLast = [1, 101, 102, 103, 2, 104, 3]
    expect([seen, client.state]).toEqual([seenAtLast, 'connected'])
    await sends(messageOf({ qos: 1, packetId: 105 }))
    expect([seen, client.state]).toEqual([seenAtLast, 'waiting'])
    expect(world.fromClient.at(-1)).toMatchObject({ type: 'disconnect', reasonCode: 0x93 })
  })
})

/** A whole PUBLISH to "a" of QoS 1 has 8 bytes more than its payload, one of QoS 0 has 6. */
const payloadFor = (size: number, qos: QoS): Uint8Array =>
  new Uint8Array(size - (qos === 0 ? 6 : 8)).fill(0x61)
const TOO_LARGE = { code: 'publish-refused', reasonCode: 0x95, local: true }

async function failureOf(asked: Promise<unknown>): Promise<unknown> {
  const error = await asked.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(RefusedError)
  return error
}

describe("the server's Maximum Packet Size in 5", () => {
  it('of 30 refuses what has 31 bytes before an identifier or a place in the window is used, and takes what has 30 (rule 23) [scenario 53] [5 MQTT-3.2.2-15]', async () => {
    const world = makeWorld('5', { broker: { maximumPacketSize: 30, receiveMaximum: 1 } })
    const client = await world.connected()
    world.taken()
    for (const qos of [0, 1, 2] as const) {
      const error = await failureOf(client.publish('a', payloadFor(31, qos), { qos }))
      expect(error).toMatchObject(TOO_LARGE)
    }
    const filter = 'x'.repeat(30)
    expect(await failureOf(client.subscribe(filter))).toMatchObject({ reasonCode: 0x95, local: true })
    expect(await failureOf(client.unsubscribe(filter))).toMatchObject({ reasonCode: 0x95, local: true })
    expect(world.taken()).toEqual([])
    for (const [qos, packetId] of [
      [0, undefined],
      [1, 1],
      [2, 2],
    ] as const) {
      expect(await client.publish('a', payloadFor(30, qos), { qos })).toMatchObject({ packetId })
    }
    expect((await client.subscribe('x'.repeat(20))).results).toMatchObject([{ reasonCode: 0 }])
    expect(client.state).toBe('connected')
    expect(world.got('publish').map(({ qos }) => qos)).toEqual([0, 1, 2])
    expect(world.broker.finish()).toEqual([])
  })

  it('that is smaller after a reconnect refuses what waits or was sent and is larger; the others go on, in order (rule 23) [scenario 53] [5 MQTT-3.2.2-15, 4.6.0-1]', async () => {
    const world = makeWorld('5', { broker: { maximumPacketSize: 100 } })
    world.broker.faults.onSend('puback').withhold()
    const client = await world.connectedDurable({ maxInflight: 500, reconnect: RECONNECT })
    const publish = (size: number): ReturnType<typeof outcomeOf> =>
      outcomeOf(client.publish('a', payloadFor(size, 1), { qos: 1 }))
    const sent = [publish(60), publish(30)]
    await world.settle()
    expect(world.got('publish')).toHaveLength(2)
    world.broker.cutAll()
    await world.settle()
    const queued = [publish(30), publish(31), publish(100), publish(20)]
    world.taken()
    announce(world, { maximumPacketSize: 30 })
    world.broker.faults.clear()
    await world.advance(1_000)
    expect([...sent, ...queued].map(stateOf)).toEqual([
      'rejected',
      'resolved',
      'resolved',
      'rejected',
      'rejected',
      'resolved',
    ])
    for (const { error } of [sent[0], queued[1], queued[2]].flatMap((outcome) => outcome ?? [])) {
      expect(error).toBeInstanceOf(RefusedError)
      expect(error).toMatchObject(TOO_LARGE)
    }
    expect(world.got('publish').map(({ packetId, dup, payload }) => [packetId, dup, payload.length])).toEqual(
      [
        [2, true, 22],
        [3, false, 22],
        [4, false, 12],
      ],
    )
    expect(client.pending).toEqual([])
    // The broker may have the one of 60 bytes, so its identifier is used by no other; the others never had one.
    const more = Array.from({ length: 65_532 }, () => ({ topic: 'a', payload: '', qos: 1 }) as const)
    expect(await client.publishAll(more)).toMatchObject({ published: 65_532 })
    const ids = world.got('publish').map(({ packetId }) => packetId)
    expect(ids.slice(3, 5)).toEqual([5, 6])
    expect(ids.slice(-2)).toEqual([65_535, 2])
  })
})

describe("the client's Maximum Packet Size in 5", () => {
  it('of 100 takes what has 100 bytes, and ends the connection by 0x95 at the header of what has 101 (rule 24) [scenario 54] [5 MQTT-3.1.2-24] [5 section 3.1.2.11.4]', async () => {
    const world = makeWorld('5')
    const client = await world.connected5({ maximumPacketSize: 100, reconnect: RECONNECT })
    expect(world.got('connect')[0]?.properties).toMatchObject({ maximumPacketSize: 100 })
    const lost = collect(client, 'disconnected')
    const seen: number[] = []
    await client.subscribe('a', { qos: 2 }, ({ payload }) => void seen.push(payload.length))
    world.taken()
    world.serverSends({ ...messageOf({}), payload: new Uint8Array(94) })
    await world.settle()
    expect(seen).toEqual([94])
    world.serverSends(Uint8Array.of(0x30))
    await world.settle()
    expect(lost).toEqual([])
    world.serverSends(Uint8Array.of(99))
    await world.settle()
    expect(lost).toMatchObject([{ error: { code: 'packet-too-large', reasonCode: 0x95 } }])
    expect(world.fromClient).toMatchObject([{ type: 'disconnect', reasonCode: 0x95 }])
    expect(world.broker.connections).toEqual([])
    expect(seen).toEqual([94])
  })

  it('ends the connection by 0x95 at the header of 200 MiB, and makes no room for them (rule 24) [scenario 54] [5 MQTT-3.1.2-24] [5 section 3.1.2.11.4]', async () => {
    const world = makeWorld('5')
    const client = await world.connected5({ reconnect: RECONNECT })
    const lost = collect(client, 'disconnected')
    const { bytesIn } = client.statistics
    const before = process.memoryUsage().arrayBuffers
    world.serverSends(Uint8Array.of(0x30, 0x80, 0x80, 0x80))
    await world.settle()
    expect(lost).toEqual([])
    world.serverSends(Uint8Array.of(0x64))
    await world.settle()
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_048_576)
    expect(client.statistics.bytesIn - bytesIn).toBe(5)
    expect(lost).toMatchObject([{ error: { code: 'packet-too-large', reasonCode: 0x95 } }])
    expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0x95 }])
    expect(world.broker.connections).toEqual([])
  })
})

async function subscribedToAll(
  world: TestWorld,
  maximum: number,
): Promise<{ client: Client; seen: string[] }> {
  const seen: string[] = []
  const client = await world.connected5({ topicAliasMaximum: maximum, reconnect: RECONNECT })
  await client.subscribe('#', ({ topic }) => void seen.push(topic))
  world.taken()
  return { client, seen }
}

const aliased = (topic: string, topicAlias: number): PublishPacket =>
  messageOf({ topic, properties: { topicAlias } })

describe('a Topic Alias of the server in 5', () => {
  it.each([
    ['0', 3, aliased('a', 0), 0x94],
    ['above the maximum', 3, aliased('a', 4), 0x94],
    ['although none was allowed', 0, aliased('a', 1), 0x94],
    ['that is unknown, without a topic', 3, aliased('', 1), 0x82],
  ] as const)(
    '%s ends the connection with its code; nothing is handed over, and reconnecting goes on (rule 24) [scenario 55] [5 MQTT-3.1.2-26, -27, 3.3.2-8, -11] [5 section 3.3.2.3.4]',
    async (_title, maximum, packet, reasonCode) => {
      const world = makeWorld('5')
      const { client, seen } = await subscribedToAll(world, maximum)
      const lost = collect(client, 'disconnected')
      world.serverSends(packet, messageOf({ topic: 'behind' }))
      await world.settle()
      expect(world.fromClient).toMatchObject([{ type: 'disconnect', reasonCode }])
      expect(world.broker.connections).toEqual([])
      expect(lost).toMatchObject([{ error: { reasonCode }, willReconnect: true }])
      expect(lost[0]?.error).toBeInstanceOf(ProtocolError)
      expect(seen).toEqual([])
      await world.advance(1_000)
      expect(client.state).toBe('connected')
    },
  )

  it('from 1 to the maximum is taken, and means the topic that it was given last [scenario 55] [5 MQTT-3.3.2-10]', async () => {
    const world = makeWorld('5')
    const { client, seen } = await subscribedToAll(world, 3)
    world.serverSends(aliased('a', 1), aliased('b', 2), aliased('c', 3), aliased('', 3), aliased('', 1))
    world.serverSends(
      aliased('d', 1),
      aliased('', 1),
      aliased('', 2),
      messageOf({ topic: 'a' }),
      aliased('', 1),
    )
    await world.settle()
    expect(seen).toEqual(['a', 'b', 'c', 'c', 'a', 'd', 'd', 'b', 'a', 'd'])
    expect(client.state).toBe('connected')
    expect(world.taken()).toEqual([])
  })

  it('is forgotten with its connection: without a topic on the next one it is a protocol error [scenario 55] [5 MQTT-3.3.2-7]', async () => {
    const world = makeWorld('5')
    const { client, seen } = await subscribedToAll(world, 3)
    world.serverSends(aliased('a', 1), aliased('', 1))
    await world.settle()
    world.broker.cutAll()
    await world.advance(1_000)
    expect(client.state).toBe('connected')
    world.serverSends(aliased('', 1))
    await world.settle()
    expect(world.got('disconnect')).toMatchObject([{ reasonCode: 0x82 }])
    expect(seen).toEqual(['a', 'a'])
    await world.advance(1_000)
    world.serverSends(aliased('b', 1), aliased('', 1))
    await world.settle()
    expect(seen).toEqual(['a', 'a', 'b', 'b'])
  })
})

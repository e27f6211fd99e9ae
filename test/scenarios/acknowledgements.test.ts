// Acknowledgements that come twice, late, for nobody or for somebody else, and messages that come again: what
// each completes, and what it leaves alone; rules 12, 13, 17 to 19.
import { describe, expect, it } from 'vitest'
import type { Client } from '../../src/client/client.ts'
import { ProtocolError } from '../../src/core/errors.ts'
import type { AckPacket, AckType, ControlPacket, PublishPacket, QoS } from '../../src/core/packets/types.ts'
import { collect, gate, outcomeOf, texts, useWorlds, VERSIONS } from '../support/client-world.ts'

const makeWorld = useWorlds()
const RECONNECT = { min: 1_000, max: 1_000, jitter: false } as const

const acknowledgement = (type: AckType, packetId: number, reasonCode = 0): AckPacket => ({
  type,
  packetId,
  reasonCode,
})

function messageOf(packetId: number, qos: QoS, payload: string, dup = false): PublishPacket {
  return {
    type: 'publish',
    topic: 'a',
    payload: new TextEncoder().encode(payload),
    qos,
    retain: false,
    dup,
    packetId,
  }
}

type AnswerType = 'puback' | 'pubrec' | 'pubcomp' | 'suback' | 'unsuback'

function answerOf(type: AnswerType, packetId: number): ControlPacket {
  if (type === 'suback' || type === 'unsuback') return { type, packetId, reasonCodes: [0] }
  return acknowledgement(type, packetId)
}

/** What is asked, the answer that is due, the one that comes instead, how often it is asked in all. */
const WRONG_ANSWERS = [
  ['PUBACK for a QoS 2 message', 'publish2', 'pubrec', 'puback'],
  ['PUBREC for a QoS 1 message', 'publish1', 'puback', 'pubrec'],
  ['PUBCOMP for a QoS 1 message', 'publish1', 'puback', 'pubcomp'],
  ['PUBCOMP before PUBREL', 'publish2', 'pubrec', 'pubcomp'],
  ['SUBACK for a QoS 1 message', 'publish1', 'puback', 'suback'],
  ['UNSUBACK for a QoS 2 message', 'publish2', 'pubrec', 'unsuback'],
  ['SUBACK for an UNSUBSCRIBE', 'unsubscribe', 'unsuback', 'suback'],
  ['UNSUBACK for a SUBSCRIBE', 'subscribe', 'suback', 'unsuback'],
  ['PUBACK for a SUBSCRIBE', 'subscribe', 'suback', 'puback'],
  ['PUBREC for an UNSUBSCRIBE', 'unsubscribe', 'unsuback', 'pubrec'],
] as const

type Question = (typeof WRONG_ANSWERS)[number][1]

const ASK: Readonly<Record<Question, (client: Client) => Promise<unknown>>> = {
  publish1: (client) => client.publish('a', 'x', { qos: 1 }),
  publish2: (client) => client.publish('a', 'x', { qos: 2 }),
  subscribe: (client) => client.subscribe('a'),
  unsubscribe: (client) => client.unsubscribe('a'),
}

/** What the next connection sends, and how often the message has then reached the broker. */
const AGAIN: Readonly<Record<Question, readonly [packets: readonly string[], messages: number]>> = {
  publish1: [['connect', 'publish'], 2],
  publish2: [['connect', 'publish', 'pubrel'], 1],
  subscribe: [['connect', 'subscribe'], 0],
  unsubscribe: [['connect', 'unsubscribe'], 0],
}

describe.each(VERSIONS)('an acknowledgement of the server in %s', (version) => {
  it.each(['puback', 'pubcomp', 'suback', 'unsuback'] as const)(
    'for an unknown packet identifier, %s, is ignored and counted, and the connection lives (rule 12) [scenario 36]',
    async (type) => {
      const world = makeWorld(version)
      const client = await world.connected()
      world.taken()
      for (const packetId of [1, 77, 65_535]) world.serverSends(answerOf(type, packetId))
      await world.settle()
      expect(world.taken()).toEqual([])
      expect(client.statistics.unknownAcknowledgements).toBe(3)
      expect(await client.publish('a', 'x', { qos: 1 })).toMatchObject({ packetId: 1, reasonCode: 0 })
      expect(client.state).toBe('connected')
      expect(world.link.attempts).toHaveLength(1)
    },
  )

  it.each(WRONG_ANSWERS)(
    'of another kind, %s, ends the connection and completes nothing (rule 13) [scenario 37] [3.1.1 MQTT-4.3.2-1, 4.3.3-1, 4.8.0-1] [5 MQTT-4.3.2-3, 4.3.3-3] [5 section 4.13.1]',
    async (_title, question, due, wrong) => {
      const messages: unknown[] = []
      const world = makeWorld(version, { broker: { onMessage: (message) => void messages.push(message) } })
      const client = await world.connectedDurable({ reconnect: RECONNECT })
      const lost = collect(client, 'disconnected')
      const fault = world.broker.faults.onSend(due, { times: 1 })
      fault.replaceBy(({ packetId }) => answerOf(wrong, packetId))
      const asked = outcomeOf(ASK[question](client))
      await world.settle()
      expect(asked.state).toBe('pending')
      expect(lost).toHaveLength(1)
      expect(lost[0]?.error).toBeInstanceOf(ProtocolError)
      expect(lost[0]?.error).toMatchObject({ code: 'protocol-error', reasonCode: 0x82 })
      expect(world.got('disconnect').map(({ reasonCode }) => reasonCode)).toEqual(
        version === '5' ? [0x82] : [],
      )
      expect(world.broker.connections).toEqual([])
      world.taken()
      await world.advance(1_000)
      expect(asked.state).toBe('resolved')
      const [packets, copies] = AGAIN[question]
      expect(world.taken()).toEqual(packets)
      expect(messages).toHaveLength(copies)
      expect(client.pending).toEqual([])
    },
  )

  it('that comes twice is ignored the second time, and the next message waits for its own [scenario 38]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { nth: 1 }).duplicate()
    world.broker.faults.onSend('puback', { nth: 2 }).withhold()
    const client = await world.connected()
    expect(await client.publish('a', '1', { qos: 1 })).toMatchObject({ packetId: 1 })
    const next = outcomeOf(client.publish('a', '2', { qos: 1 }))
    await world.settle()
    world.serverSends(acknowledgement('puback', 1))
    await world.settle()
    expect(next.state).toBe('pending')
    expect(client.statistics.unknownAcknowledgements).toBe(2)
    world.serverSends(acknowledgement('puback', 2))
    await world.settle()
    expect(next).toMatchObject({ state: 'resolved', value: { packetId: 2 } })
    expect(world.got('publish')).toHaveLength(2)
    expect(client.state).toBe('connected')
  })

  it('that comes late, when its caller has given up and all other identifiers were used since, completes no other message (rules 17, 19) [scenario 38] [3.1.1 MQTT-2.3.1-2, -3] [5 MQTT-2.2.1-3]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback', { where: ({ packetId }) => packetId === 1 }).withhold()
    const client = await world.connected({ maxInflight: 500 })
    const late = outcomeOf(client.publish('late', 'x', { qos: 1, timeout: 1_000 }))
    await world.advance(1_000)
    expect(late.error).toMatchObject({ code: 'operation-timeout', outcome: 'pending' })
    const others = Array.from({ length: 65_534 }, () => ({ topic: 'a', payload: '', qos: 1 }) as const)
    expect(await client.publishAll(others)).toMatchObject({ published: 65_534, failures: [] })
    expect(new Set(world.got('publish').map(({ packetId }) => packetId)).size).toBe(65_535)
    world.broker.faults.onSend('puback').withhold()
    const next = outcomeOf(client.publish('next', 'x', { qos: 1 }))
    await world.settle()
    expect(client.pending.map(({ topic, packetId }) => [topic, packetId])).toEqual([
      ['late', 1],
      ['next', 2],
    ])
    world.serverSends(acknowledgement('puback', 1))
    await world.settle()
    expect(next.state).toBe('pending')
    expect(client.pending).toMatchObject([{ topic: 'next' }])
    world.serverSends(acknowledgement('puback', 2))
    await world.settle()
    expect(next.state).toBe('resolved')
    expect(world.got('publish')).toHaveLength(65_536)
  })

  it('PUBREC twice is answered by PUBREL twice, never by PUBLISH, and the message is complete once (rule 12) [scenario 39] [3.1.1 MQTT-4.3.3-1] [5 MQTT-4.3.3-4, -6]', async () => {
    const messages: unknown[] = []
    const world = makeWorld(version, { broker: { onMessage: (message) => void messages.push(message) } })
    world.broker.faults.onSend('pubrec', { nth: 1 }).duplicate()
    const client = await world.connected()
    expect(await client.publish('a', '1', { qos: 2 })).toMatchObject({ packetId: 1, reasonCode: 0 })
    await world.settle()
    expect(world.taken()).toEqual(['connect', 'publish', 'pubrel', 'pubrel'])
    expect(client.pending).toEqual([])
    // The second PUBCOMP is one too many, and belongs to nobody.
    expect(client.statistics.unknownAcknowledgements).toBe(1)
    expect(await client.publish('a', '2', { qos: 2 })).toMatchObject({ packetId: 2 })
    expect(messages).toHaveLength(2)
    expect(world.broker.finish()).toEqual([])
  })

  it('PUBREC again after PUBREL is answered by PUBREL, and only PUBCOMP completes (rule 12) [scenario 39] [3.1.1 MQTT-4.3.3-1] [5 MQTT-4.3.3-5, -6]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubcomp').withhold()
    const client = await world.connected()
    const published = outcomeOf(client.publish('a', 'x', { qos: 2 }))
    await world.settle()
    expect(world.taken()).toEqual(['connect', 'publish', 'pubrel'])
    for (let times = 0; times < 3; times += 1) {
      await world.advance(1_000)
      world.serverSends(acknowledgement('pubrec', 1))
      await world.settle()
      expect(world.fromClient.splice(0)).toMatchObject([{ type: 'pubrel', packetId: 1, reasonCode: 0 }])
      expect(published.state).toBe('pending')
    }
    world.serverSends(acknowledgement('pubcomp', 1))
    await world.settle()
    expect(published).toMatchObject({ state: 'resolved', value: { packetId: 1, reasonCode: 0 } })
    expect(world.taken()).toEqual([])
  })

  it(`PUBREC for a message that nobody here remembers is answered by PUBREL${version === '5' ? ' 0x92' : ''}, and nothing hangs (rule 12) [scenario 40] [3.1.1 MQTT-4.3.3-1] [5 MQTT-3.6.2-1, 4.3.3-4]`, async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubcomp', { times: 1 }).cutBefore()
    const before = await world.connectedDurable({ reconnect: false })
    const published = outcomeOf(before.publish('a', 'before', { qos: 2 }))
    await world.settle()
    expect(world.taken()).toEqual(['connect', 'publish', 'pubrel'])
    before.destroy()
    await world.settle()
    expect(published.state).toBe('rejected')
    // The same client identifier, started anew without a store.
    const after = world.durable()
    expect(await after.connect()).toMatchObject({ sessionPresent: true, adopted: true })
    world.taken()
    world.serverSends(acknowledgement('pubrec', 1))
    await world.settle()
    const reasonCode = version === '5' ? 0x92 : 0
    expect(world.fromClient.splice(0)).toMatchObject([{ type: 'pubrel', packetId: 1, reasonCode }])
    expect(await after.publish('a', 'after', { qos: 2 })).toMatchObject({ packetId: 1, reasonCode: 0 })
    expect(world.taken()).toEqual(['publish', 'pubrel'])
    expect(after.statistics.unknownAcknowledgements).toBe(2)
    expect(after.state).toBe('connected')
    expect(world.broker.finish()).toEqual([])
  })

  it(`PUBREL for an unknown packet identifier is answered by PUBCOMP${version === '5' ? ' 0x92' : ''} (rule 12) [scenario 41] [3.1.1 MQTT-4.3.3-2] [5 MQTT-3.7.2-1, 4.3.3-11]`, async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    world.taken()
    world.serverSends(acknowledgement('pubrel', 7), acknowledgement('pubrel', 65_535))
    await world.settle()
    const reasonCode = version === '5' ? 0x92 : 0
    expect(world.fromClient.splice(0)).toMatchObject([
      { type: 'pubcomp', packetId: 7, reasonCode },
      { type: 'pubcomp', packetId: 65_535, reasonCode },
    ])
    expect(client.statistics.unknownAcknowledgements).toBe(2)
    expect(client.state).toBe('connected')
    expect(world.broker.finish()).toEqual([])
  })
})

it('5: PUBREC of 0x80 and more for an unknown packet identifier is not answered (rule 12) [scenario 40]', async () => {
  const world = makeWorld('5')
  const client = await world.connected()
  world.taken()
  world.serverSends(acknowledgement('pubrec', 7, 0x80), acknowledgement('pubrec', 7, 0x97))
  await world.settle()
  expect(world.taken()).toEqual([])
  expect(client.state).toBe('connected')
})

describe.each(VERSIONS)('a message of the server in %s', (version) => {
  it('of QoS 2 that is repeated before PUBREL is answered by PUBREC each time, and handed over once (rule 18) [scenario 42] [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-8, -10, -11]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrel').withhold()
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    world.taken()
    world.serverSends(messageOf(7, 2, 'once'))
    await world.settle()
    for (let times = 0; times < 3; times += 1) world.serverSends(messageOf(7, 2, 'once', true))
    await world.settle()
    const pubrec = { type: 'pubrec', packetId: 7, reasonCode: 0 }
    expect(world.fromClient.splice(0)).toMatchObject([pubrec, pubrec, pubrec, pubrec])
    world.serverSends(acknowledgement('pubrel', 7))
    await world.settle()
    expect(world.fromClient.splice(0)).toMatchObject([{ type: 'pubcomp', packetId: 7, reasonCode: 0 }])
    expect(seen).toEqual(['once'])
  })

  it('of QoS 2 that is repeated on two later connections of the session is handed over once (rule 18) [scenario 42] [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ reconnect: RECONNECT })
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    world.broker.faults.onReceive('pubrec', { times: 2 }).cutBefore()
    world.broker.publish({ topic: 'a', payload: 'once', qos: 2 })
    await world.settle()
    world.taken()
    await world.advance(2_000)
    expect(world.taken()).toEqual(['connect', 'connect', 'pubrec', 'pubcomp'])
    const sent = world.toClient.filter(({ type }) => type === 'publish')
    expect(sent).toMatchObject([
      { packetId: 1, dup: false },
      { packetId: 1, dup: true },
      { packetId: 1, dup: true },
    ])
    expect(seen).toEqual(['once'])
    expect(world.broker.openExchanges).toEqual([])
    expect(world.broker.finish()).toEqual([])
  })

  it('of QoS 2 whose handler runs still when it is repeated on the next connection is answered when the handler is done (rule 18) [scenario 42] [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-8, -10]', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable({ reconnect: RECONNECT })
    const { promise, open } = gate()
    const seen: string[] = []
    await client.subscribe('a', { qos: 2 }, (message) => {
      seen.push(message.text())
      return promise
    })
    world.broker.publish({ topic: 'a', payload: 'once', qos: 2 })
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    world.taken()
    await world.advance(1_000)
    expect(world.taken()).toEqual(['connect'])
    open()
    await world.settle()
    expect(world.taken()).toEqual(['pubrec', 'pubcomp'])
    expect(seen).toEqual(['once'])
    expect(world.broker.openExchanges).toEqual([])
  })

  it('that has the identifier of an open one, other content and DUP 0 is answered by PUBREC and not handed over (rule 18) [scenario 43] [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrel').withhold()
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    world.taken()
    world.serverSends(messageOf(7, 2, 'first'), messageOf(7, 2, 'other'))
    await world.settle()
    const pubrec = { type: 'pubrec', packetId: 7, reasonCode: 0 }
    expect(world.fromClient.splice(0)).toMatchObject([pubrec, pubrec])
    expect(seen).toEqual(['first'])
    world.serverSends(acknowledgement('pubrel', 7))
    await world.settle()
    expect(world.taken()).toEqual(['pubcomp'])
    expect(seen).toEqual(['first'])
    expect(client.state).toBe('connected')
  })

  it('of QoS 1 with an identifier that was acknowledged is a new one, though it has DUP 1 [scenario 44] [3.1.1 MQTT-4.3.2-2] [5 MQTT-4.3.2-4, -5]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, handler)
    world.taken()
    world.serverSends(messageOf(7, 1, 'first'))
    await world.settle()
    world.serverSends(messageOf(7, 1, 'second', true))
    await world.settle()
    expect(seen).toEqual(['first', 'second'])
    const puback = { type: 'puback', packetId: 7, reasonCode: 0 }
    expect(world.fromClient.splice(0)).toMatchObject([puback, puback])
    expect(world.broker.finish()).toEqual([])
  })

  it('of QoS 2 with an identifier that was completed is a new one, though it has DUP 1 [scenario 44] [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-11, -12]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pubrel').withhold()
    const client = await world.connected()
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    world.taken()
    for (const [payload, dup] of [
      ['first', false],
      ['second', true],
      ['second', true],
    ] as const) {
      world.serverSends(messageOf(7, 2, payload, dup))
      await world.settle()
      world.serverSends(acknowledgement('pubrel', 7))
      await world.settle()
      expect(world.fromClient.splice(0)).toMatchObject([
        { type: 'pubrec', packetId: 7, reasonCode: 0 },
        { type: 'pubcomp', packetId: 7, reasonCode: 0 },
      ])
    }
    expect(seen).toEqual(['first', 'second', 'second'])
    expect(world.broker.finish()).toEqual([])
  })
})

it('5: a QoS 2 message that was refused by PUBREC leaves its identifier: the next one with it is new, though it has DUP 1 [scenario 44] [5 MQTT-4.3.3-9]', async () => {
  const world = makeWorld('5')
  const client = await world.connected()
  const seen: string[] = []
  await client.subscribe('a', { qos: 2, ack: 'manual' }, (message) => {
    seen.push(message.text())
    message.ack(0x83)
  })
  world.taken()
  world.serverSends(messageOf(7, 2, 'first'))
  await world.settle()
  world.serverSends(messageOf(7, 2, 'second', true))
  await world.settle()
  expect(seen).toEqual(['first', 'second'])
  const refused = { type: 'pubrec', packetId: 7, reasonCode: 0x83 }
  expect(world.fromClient.splice(0)).toMatchObject([refused, refused])
})

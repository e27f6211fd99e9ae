// SUBACKs that refuse, are wrong, are somebody else's or never come; and messages of a filter that was left
// while UNSUBACK was lost; rules 13, 14, 17, 28, 29.
import { describe, expect, it } from 'vitest'
import { ConnectionError, ProtocolError } from '../../src/core/errors.ts'
import type { ProtocolVersion, QoS } from '../../src/core/packets/types.ts'
import type { FaultContent, Faults } from '../../src/testing/broker/faults.ts'
import { collect, outcomeOf, texts, useWorlds, VERSIONS } from '../support/client-world.ts'

const makeWorld = useWorlds()
const RECONNECT = { min: 1_000, max: 1_000, jitter: false } as const

/** With any codes, those too that no encoder would write. */
function subackBytes(version: ProtocolVersion, packetId: number, codes: readonly number[]): Uint8Array {
  const body = [packetId >> 8, packetId & 0xff, ...(version === '5' ? [0] : []), ...codes]
  return Uint8Array.of(0x90, body.length, ...body)
}

/** Codes for three filters, and why they may not come. */
const WRONG_CODES: readonly (readonly [
  title: string,
  versions: readonly ProtocolVersion[],
  codes: readonly number[],
  reasonCode: number,
])[] = [
  ['no code', VERSIONS, [], 0x81],
  ['too few codes', VERSIONS, [1, 1], 0x82],
  ['too many codes', VERSIONS, [1, 1, 1, 1], 0x82],
  ['the code 3', VERSIONS, [1, 3, 1], 0x82],
  ['the code 0x7F', VERSIONS, [1, 1, 0x7f], 0x82],
  ['the code 0x87, which 3.1.1 does not have', ['3.1.1'], [1, 0x87, 1], 0x82],
  ['the code 0x11, which belongs to UNSUBACK', ['5'], [1, 0x11, 1], 0x82],
]

describe.each(VERSIONS)('SUBACK in %s', (version) => {
  it('that refuses one of three filters gives each its result; the others get their messages [scenario 49] [3.1.1 MQTT-3.8.4-5, 3.9.3-1, -2] [5 MQTT-3.8.4-6, -7, 3.9.3-1]', async () => {
    const refusal = version === '5' ? 0x87 : 0x80
    const world = makeWorld(version, {
      broker: { authorizeSubscribe: (_id, { filter, qos }) => (filter === 'b' ? refusal : qos) },
    })
    const client = await world.connected()
    const { seen, handler } = texts()
    const { results } = await client.subscribe({ a: { qos: 0 }, b: { qos: 1 }, c: { qos: 2 } }, handler)
    expect(results).toEqual([
      { filter: 'a', reasonCode: 0, grantedQos: 0 },
      { filter: 'b', reasonCode: refusal, grantedQos: undefined },
      { filter: 'c', reasonCode: 2, grantedQos: 2 },
    ])
    for (const topic of ['a', 'b', 'c']) world.broker.publish({ topic, payload: topic, qos: 2 })
    await world.settle()
    expect(seen).toEqual(['a', 'c'])
    // Only what was granted is asked for again.
    world.broker.loseSession('client')
    await world.advance(5_000)
    expect(
      world.got('subscribe').map(({ subscriptions }) => subscriptions.map(({ filter }) => filter)),
    ).toEqual([
      ['a', 'b', 'c'],
      ['a', 'c'],
    ])
  })

  it.each(WRONG_CODES.filter(([, versions]) => versions.includes(version)))(
    'with %s for three filters ends the connection; the next one asks again (rules 13, 14) [scenario 49] [3.1.1 MQTT-3.8.4-5, 3.9.3-2, 4.8.0-1] [5 MQTT-3.8.4-6, -7, 3.9.3-2] [5 section 4.13.1]',
    async (_title, _versions, codes, reasonCode) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable({ reconnect: RECONNECT })
      const lost = collect(client, 'disconnected')
      const fault = world.broker.faults.onSend('suback', { times: 1 })
      fault.replaceBy(({ packetId }) => subackBytes(version, packetId, codes))
      const subscribed = outcomeOf(client.subscribe(['a', 'b', 'c'], { qos: 1 }))
      await world.settle()
      expect(lost).toHaveLength(1)
      expect(lost[0]?.error).toBeInstanceOf(ProtocolError)
      expect(lost[0]?.error).toMatchObject({ reasonCode })
      expect(world.got('disconnect').map((packet) => packet.reasonCode)).toEqual(
        version === '5' ? [reasonCode] : [],
      )
      expect(world.broker.connections).toEqual([])
      expect(subscribed.state).toBe('pending')
      world.taken()
      await world.advance(1_000)
      expect(world.taken()).toEqual(['connect', 'subscribe'])
      expect(subscribed.value?.results.map((result) => result.grantedQos)).toEqual([1, 1, 1])
    },
  )

  it('for another packet identifier is ignored, and the subscription waits for its own (rule 12) [scenario 49] [3.1.1 MQTT-3.8.4-2] [5 MQTT-3.8.4-2]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const fault = world.broker.faults.onSend('suback', { times: 1 })
    fault.replaceBy({ type: 'suback', packetId: 999, reasonCodes: [1] })
    const subscribed = outcomeOf(client.subscribe('a', { qos: 2 }))
    await world.advance(30_000)
    expect(subscribed.state).toBe('pending')
    expect(client.statistics.unknownAcknowledgements).toBe(1)
    world.serverSends({ type: 'suback', packetId: 1, reasonCodes: [2] })
    await world.settle()
    expect(subscribed.value?.results).toEqual([{ filter: 'a', reasonCode: 2, grantedQos: 2 }])
    expect(world.link.attempts).toHaveLength(1)
  })

  it('that never comes rejects after operationTimeout, and the connection lives; one that comes late is undone by UNSUBSCRIBE (rule 17) [scenario 49] [3.1.1 MQTT-3.8.4-1] [5 MQTT-3.8.4-1]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('suback', { times: 1 }).withhold()
    const client = await world.connected()
    const { seen, handler } = texts()
    const subscribed = outcomeOf(client.subscribe('a', { qos: 1 }, handler))
    await world.advance(59_999)
    expect(subscribed.state).toBe('pending')
    await world.advance(1)
    expect(subscribed.error).toBeInstanceOf(ConnectionError)
    expect(subscribed.error).toMatchObject({ code: 'operation-timeout', outcome: 'pending' })
    expect(client.state).toBe('connected')
    // Its identifier stays taken.
    expect((await client.publish('b', 'x', { qos: 1 })).packetId).toBe(2)
    world.taken()
    world.serverSends({ type: 'suback', packetId: 1, reasonCodes: [1] })
    await world.settle()
    expect(world.fromClient).toMatchObject([{ type: 'unsubscribe', filters: ['a'] }])
    expect(world.broker.sessions.get('client')?.subscriptions.size).toBe(0)
    world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await world.settle()
    expect(seen).toEqual([])
    expect(world.link.attempts).toHaveLength(1)
  })
})

/** How an UNSUBSCRIBE can lose its answer with the connection, and what then comes again. */
const LOSSES: readonly (readonly [
  title: string,
  lose: (faults: Faults) => unknown,
  dups: readonly boolean[],
])[] = [
  [
    'UNSUBSCRIBE is lost, so that the broker goes on',
    (faults) => faults.onReceive('unsubscribe', { times: 1 }).cutBefore(),
    [false, false],
  ],
  [
    'UNSUBACK is lost, and the broker finishes what it has begun',
    (faults) => {
      faults.onSend('publish', { times: 2 }).withhold()
      faults.onSend('unsuback', { times: 1 }).cutBefore()
    },
    [true, true],
  ],
]

describe.each(VERSIONS)('unsubscribe() without an answer in %s', (version) => {
  it('on a connection that lives: messages of the filter are acknowledged by their QoS, told as unmatched, and handled by nobody (rules 17, 28) [scenario 50] [3.1.1 MQTT-3.10.4-4, 4.5.0-2] [5 MQTT-3.10.4-4, 4.5.0-2]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('unsuback').withhold()
    const client = await world.connected()
    const unmatched = collect(client, 'unmatched')
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 2 }, handler)
    const left = outcomeOf(client.unsubscribe('a'))
    await world.settle()
    world.taken()
    const messageOf = (qos: QoS): FaultContent => ({
      type: 'publish',
      topic: 'a',
      payload: new TextEncoder().encode(`${qos}`),
      qos,
      retain: false,
      dup: false,
      packetId: qos === 0 ? 0 : 10 + qos,
    })
    world.serverSends(messageOf(0), messageOf(1), messageOf(2))
    await world.settle()
    expect(world.fromClient).toMatchObject([
      { type: 'puback', packetId: 11, reasonCode: 0 },
      { type: 'pubrec', packetId: 12, reasonCode: 0 },
      { type: 'pubcomp', packetId: 12, reasonCode: 0 },
    ])
    expect(unmatched.map(({ message }) => message.text())).toEqual(['0', '1', '2'])
    expect(client.statistics.messagesUnmatched).toBe(3)
    await world.advance(60_000)
    expect(left.error).toMatchObject({ code: 'operation-timeout', outcome: 'pending' })
    expect(seen).toEqual([])
    expect(world.link.attempts).toHaveLength(1)
    expect(world.broker.finish()).toEqual([])
  })

  it.each(LOSSES)(
    'because %s: it is sent anew, and messages of the filter are acknowledged and handled by nobody (rules 14, 28, 29) [scenario 50] [3.1.1 MQTT-3.10.4-3, 4.5.0-2] [5 MQTT-3.10.4-3, 4.5.0-2]',
    async (_title, lose, dups) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable({ reconnect: RECONNECT })
      const unmatched = collect(client, 'unmatched')
      const { seen, handler } = texts()
      await client.subscribe('a', { qos: 2 }, handler)
      lose(world.broker.faults)
      const isBegun = dups[0] === true
      const publish = (): void => {
        for (const qos of [1, 2] as const) world.broker.publish({ topic: 'a', payload: `${qos}`, qos })
      }
      if (isBegun) publish()
      await world.settle()
      const left = outcomeOf(client.unsubscribe('a'))
      await world.settle()
      expect([left.state, client.state]).toEqual(['pending', 'waiting'])
      if (!isBegun) publish()
      world.taken()
      world.toClient.length = 0
      await world.advance(1_000)
      expect(left.state).toBe('resolved')
      expect(world.taken()).toEqual(['connect', 'unsubscribe'])
      const sent = world.toClient.flatMap((packet) => (packet.type === 'publish' ? [packet.dup] : []))
      expect(sent).toEqual(dups)
      // Rule 29: a handler might still be attached within unmatchedTimeout.
      await world.advance(4_999)
      expect(world.taken()).toEqual([])
      await world.advance(1)
      expect(world.taken()).toEqual(['puback', 'pubrec', 'pubcomp'])
      expect(unmatched.map(({ message }) => message.text())).toEqual(['1', '2'])
      expect(seen).toEqual([])
      expect(world.broker.openExchanges).toEqual([])
      expect(world.broker.finish()).toEqual([])
    },
  )
})

// Answers that do not come for an hour, and no packet identifier that is free: nothing is sent again on a
// living connection, nothing is used twice, and every caller hears of it; rules 14, 17, 19.
import { describe, expect, it } from 'vitest'
import type { Client } from '../../src/client/client.ts'
import { ConnectionError } from '../../src/core/errors.ts'
import type { PacketType } from '../../src/core/packets/types.ts'
import { collect, outcomeOf, type TestWorld, useWorlds, VERSIONS } from '../support/client-world.ts'

const makeWorld = useWorlds()
const HOUR = 3_600_000
const ANSWERS = ['puback', 'pubrec', 'pubcomp', 'suback', 'unsuback'] as const

function withholdAnswers(world: TestWorld): void {
  for (const type of ANSWERS) world.broker.faults.onSend(type).withhold()
}

const stateOf = ({ state }: { state: string }): string => state
const isPing = (type: PacketType): boolean => type === 'pingreq'

describe.each(VERSIONS)('a broker that answers PINGREQ and nothing else for an hour in %s', (version) => {
  it('gets nothing twice; callers hear of it after operationTimeout, and the identifiers stay taken (rules 14, 17) [scenario 47] [3.1.1 MQTT-2.3.1-2, 4.3.2-1] [5 MQTT-4.4.0-1, 2.2.1-3, 4.3.2-3]', async () => {
    const world = makeWorld(version)
    withholdAnswers(world)
    const client = await world.connectedDurable()
    const lost = collect(client, 'disconnected')
    const impatient = [
      outcomeOf<unknown>(client.publish('one', 'x', { qos: 1 })),
      outcomeOf<unknown>(client.publish('two', 'x', { qos: 2 })),
      outcomeOf<unknown>(client.publish('released', 'x', { qos: 2 })),
      outcomeOf<unknown>(client.subscribe('filter', { qos: 1 })),
      outcomeOf<unknown>(client.unsubscribe('other')),
    ]
    const patient = outcomeOf(client.publish('patient', 'x', { qos: 1, timeout: 0 }))
    await world.settle()
    world.serverSends({ type: 'pubrec', packetId: 3, reasonCode: 0 })
    await world.settle()
    const sent = ['publish', 'publish', 'publish', 'subscribe', 'unsubscribe', 'publish', 'pubrel']
    expect(world.taken()).toEqual(['connect', ...sent])

    await world.advance(59_999)
    expect(impatient.map(stateOf)).toEqual(impatient.map(() => 'pending'))
    await world.advance(1)
    for (const { error } of impatient) {
      expect(error).toBeInstanceOf(ConnectionError)
      expect(error).toMatchObject({ code: 'operation-timeout', outcome: 'pending' })
    }
    await world.advance(HOUR - 60_000)
    expect(patient.state).toBe('pending')
    const since = world.taken()
    expect(since.every(isPing)).toBe(true)
    expect(since.length).toBeGreaterThanOrEqual(60)
    expect(lost).toEqual([])
    expect(world.link.attempts).toHaveLength(1)
    expect(
      client.pending.map(({ topic, stage, attempts, packetId }) => [topic, stage, attempts, packetId]),
    ).toEqual([
      ['released', 'released', 1, 3],
      ['one', 'published', 1, 1],
      ['two', 'published', 1, 2],
      ['patient', 'published', 1, 6],
    ])
    const next = outcomeOf(client.publish('next', 'x', { qos: 1 }))
    await world.settle()
    expect(world.fromClient.splice(0)).toMatchObject([{ type: 'publish', packetId: 7, dup: false }])

    world.serverSends(
      { type: 'puback', packetId: 1, reasonCode: 0 },
      { type: 'pubrec', packetId: 2, reasonCode: 0 },
      { type: 'pubcomp', packetId: 2, reasonCode: 0 },
      { type: 'pubcomp', packetId: 3, reasonCode: 0 },
      { type: 'suback', packetId: 4, reasonCodes: [1] },
      { type: 'unsuback', packetId: 5, reasonCodes: [0] },
      { type: 'puback', packetId: 6, reasonCode: 0 },
    )
    await world.settle()
    expect([patient.state, next.state]).toEqual(['resolved', 'pending'])
    expect(client.pending).toMatchObject([{ topic: 'next', packetId: 7 }])
    expect(client.statistics.unknownAcknowledgements).toBe(0)
    // Nobody wants any more what SUBACK granted.
    expect(world.fromClient).toMatchObject([
      { type: 'pubrel', packetId: 2 },
      { type: 'unsubscribe', packetId: 8, filters: ['filter'] },
    ])
  })

  it('and has filled the window is left after another operationTimeout; only the next connection repeats (rule 17) [scenario 47] [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1, 4.9.0-2]', async () => {
    const world = makeWorld(version)
    withholdAnswers(world)
    const reconnect = { min: 1_000, max: 1_000, jitter: false }
    const client = await world.connectedDurable({ maxInflight: 2, reconnect })
    const lost = collect(client, 'disconnected')
    const one = outcomeOf(client.publish('one', 'x', { qos: 1 }))
    const two = outcomeOf(client.publish('two', 'x', { qos: 2 }))
    const waiting = outcomeOf(client.publish('waiting', 'x', { qos: 1 }))
    await world.advance(119_999)
    expect([one, two, waiting].map(stateOf)).toEqual(['rejected', 'rejected', 'pending'])
    expect(world.taken().filter((type) => !isPing(type))).toEqual(['connect', 'publish', 'publish'])
    expect(lost).toEqual([])
    await world.advance(1)
    expect(lost).toMatchObject([{ error: { code: 'operation-timeout' }, willReconnect: true, delay: 1_000 }])
    world.broker.faults.clear()
    world.taken()
    await world.advance(1_000)
    expect(world.fromClient.filter(({ type }) => type === 'publish')).toMatchObject([
      { topic: 'one', packetId: 1, dup: true },
      { topic: 'two', packetId: 2, dup: true },
      { topic: 'waiting', packetId: 3, dup: false },
    ])
    expect(waiting.state).toBe('resolved')
    expect(client.pending).toEqual([])
  })
})

/** 65,519 publishes and 16 SUBSCRIBEs that the broker does not answer. */
async function takeAllIdentifiers(world: TestWorld, client: Client): Promise<void> {
  withholdAnswers(world)
  for (let index = 0; index < 65_519; index += 1) client.publish('a', '', { qos: 1 }).catch(() => {})
  await world.settle()
  for (let index = 0; index < 16; index += 1) client.subscribe(`f/${index}`).catch(() => {})
  await world.settle()
}

describe.each(VERSIONS)('65,535 open packet identifiers in %s', (version) => {
  it('are all there are: publishes and requests wait, and get the very identifier that an answer frees (rule 19) [scenario 48] [3.1.1 MQTT-2.3.1-2, -3] [5 MQTT-2.2.1-3, 4.3.2-1]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await takeAllIdentifiers(world, client)
    const requests = world.got('subscribe').map(({ packetId }) => packetId)
    const ids = new Set([...world.got('publish').map(({ packetId }) => packetId), ...requests])
    expect(requests).toHaveLength(16)
    expect(ids.size).toBe(65_535)
    expect([Math.min(...requests), Math.max(...requests)]).toEqual([65_520, 65_535])
    world.taken()

    const controller = new AbortController()
    const reason = new Error('enough')
    const given = outcomeOf(client.publish('given up', '', { qos: 2, signal: controller.signal }))
    const published = outcomeOf(client.publish('late', '', { qos: 1 }))
    const subscribed = outcomeOf(client.subscribe('g', { qos: 1 }))
    const unsubscribed = outcomeOf(client.unsubscribe('h'))
    const zero = outcomeOf(client.publish('zero', '', { qos: 0 }))
    const pinged = outcomeOf(client.ping())
    await world.settle()
    controller.abort(reason)
    await world.settle()
    // QoS 0 and PINGREQ need no identifier.
    expect(world.taken().toSorted()).toEqual(['pingreq', 'publish'])
    expect([zero.state, pinged.state]).toEqual(['resolved', 'resolved'])
    expect(given.error).toBe(reason)
    expect([published, subscribed, unsubscribed].map(stateOf)).toEqual(['pending', 'pending', 'pending'])
    expect(client.pending.at(-1)).toMatchObject({ topic: 'late', stage: 'queued', packetId: undefined })

    world.serverSends({ type: 'puback', packetId: 40_000, reasonCode: 0 })
    await world.settle()
    expect(world.fromClient.splice(0)).toMatchObject([{ type: 'publish', topic: 'late', packetId: 40_000 }])
    world.serverSends({ type: 'suback', packetId: 65_530, reasonCodes: [0] })
    await world.settle()
    expect(world.fromClient.splice(0)).toMatchObject([
      { type: 'subscribe', packetId: 65_530, subscriptions: [{ filter: 'g' }] },
    ])
    world.serverSends({ type: 'suback', packetId: 65_530, reasonCodes: [1] })
    await world.settle()
    expect(world.fromClient).toMatchObject([{ type: 'unsubscribe', packetId: 65_530, filters: ['h'] }])
    expect([published, subscribed, unsubscribed].map(stateOf)).toEqual(['pending', 'resolved', 'pending'])
    world.serverSends(
      { type: 'puback', packetId: 40_000, reasonCode: 0 },
      { type: 'unsuback', packetId: 65_530, reasonCodes: [0] },
    )
    await world.settle()
    expect([published.state, unsubscribed.state]).toEqual(['resolved', 'resolved'])
    expect(client.state).toBe('connected')
    expect(world.link.attempts).toHaveLength(1)
  })
})

it('3.1.1: a SUBSCRIBE that waits for an identifier gets the one that a PUBACK frees (rule 19) [scenario 48]', async () => {
  const world = makeWorld('3.1.1')
  const client = await world.connected()
  await takeAllIdentifiers(world, client)
  client.subscribe('g').catch(() => {})
  world.serverSends({ type: 'puback', packetId: 5, reasonCode: 0 })
  await world.settle()
  expect(world.got('subscribe').at(-1)).toMatchObject({ packetId: 5, subscriptions: [{ filter: 'g' }] })
})

// Connections that are cut in the middle of exchanges, and what the next one of the session sends, packet by
// packet: rule 14.
import { describe, expect, it } from 'vitest'
import type { ControlPacket } from '../../src/core/packets/types.ts'
import type { Faults } from '../../src/testing/broker/faults.ts'
import { collect, outcomeOf, type TestWorld, useWorlds, VERSIONS } from '../support/client-world.ts'

const makeWorld = useWorlds()
const RECONNECT = { min: 1_000, max: 1_000, jitter: false } as const

type Exchange = readonly [type: string, packetId: number, dup?: boolean]

/** PUBLISH and PUBREL, which are all that a client may repeat. */
function exchangesIn(packets: readonly ControlPacket[]): readonly Exchange[] {
  return packets.flatMap((packet): Exchange[] => {
    if (packet.type === 'publish') return [['publish', packet.packetId, packet.dup]]
    return packet.type === 'pubrel' ? [['pubrel', packet.packetId]] : []
  })
}

/** Where the connection is cut, as often as `times` says, and what the next one begins with. */
const CUTS: readonly (readonly [
  point: string,
  cut: (faults: Faults, times: number) => unknown,
  again: Exchange,
])[] = [
  ['PUBLISH', (faults, times) => faults.onReceive('publish', { times }).cutBefore(), ['publish', 1, true]],
  ['PUBREC', (faults, times) => faults.onSend('pubrec', { times }).cutBefore(), ['publish', 1, true]],
  ['PUBREL', (faults, times) => faults.onReceive('pubrel', { times }).cutBefore(), ['pubrel', 1]],
  ['PUBCOMP', (faults, times) => faults.onSend('pubcomp', { times }).cutBefore(), ['pubrel', 1]],
]

describe.each(VERSIONS)('a QoS 2 message in %s', (version) => {
  describe.each(['publish', 'pubrel'] as const)('that the broker hands on at its %s', (handOnAt) => {
    it.each(CUTS)(
      'whose %s is lost with the connection goes on where both sides are, and reaches the broker once (rule 14) [scenario 45] [3.1.1 MQTT-4.3.3-1, 4.4.0-1] [5 MQTT-4.3.3-6, 4.4.0-1]',
      async (_point, cut, again) => {
        const messages: string[] = []
        const onMessage = ({ payload }: { payload: Uint8Array }): void =>
          void messages.push(new TextDecoder().decode(payload))
        const world = makeWorld(version, { broker: { handOnAt, onMessage } })
        cut(world.broker.faults, 1)
        const client = await world.connectedDurable({ reconnect: RECONNECT })
        const published = outcomeOf(client.publish('a', 'once', { qos: 2 }))
        await world.settle()
        expect(published.state).toBe('pending')
        expect(world.broker.connections).toEqual([])
        world.taken()
        await world.advance(1_000)
        expect(published).toMatchObject({ state: 'resolved', value: { packetId: 1, reasonCode: 0 } })
        const [connect, ...packets] = world.fromClient
        expect(connect).toMatchObject({ type: 'connect', cleanStart: false })
        expect(packets.map(({ type }) => type)).toEqual(
          again[0] === 'publish' ? ['publish', 'pubrel'] : ['pubrel'],
        )
        expect(exchangesIn(packets)[0]).toEqual(again)
        expect(messages).toEqual(['once'])
        expect(client.pending).toEqual([])
        expect(world.broker.openExchanges).toEqual([])
        expect(world.broker.finish()).toEqual([])
      },
    )
  })

  it.each(CUTS)(
    'whose %s is lost three times is taken up once on each connection, and not again while it lives (rule 14) [scenario 45] [3.1.1 MQTT-4.3.3-1, 4.4.0-1] [5 MQTT-4.3.3-6, 4.4.0-1]',
    async (point, cut, again) => {
      const world = makeWorld(version)
      cut(world.broker.faults, 3)
      const client = await world.connectedDurable({ reconnect: RECONNECT })
      const written: ControlPacket[] = []
      client.on('packet', ({ direction, packet }) => void (direction === 'out' && written.push(packet)))
      const published = outcomeOf(client.publish('a', 'x', { qos: 2 }))
      await world.settle()
      const first = point === 'PUBLISH' || point === 'PUBREC' ? 1 : 2
      expect(exchangesIn(written.splice(0))).toHaveLength(first)
      for (let times = 2; times <= 3; times += 1) {
        await world.advance(1_000)
        expect(exchangesIn(written.splice(0))).toEqual([again])
        expect(published.state).toBe('pending')
      }
      await world.advance(1_000)
      expect(published.state).toBe('resolved')
      const last = exchangesIn(written.splice(0))
      expect(last).toEqual(again[0] === 'publish' ? [again, ['pubrel', 1]] : [again])
      await world.advance(600_000)
      expect(exchangesIn(written)).toEqual([])
      expect(world.broker.finish()).toEqual([])
    },
  )
})

/** 40 of the identifiers 1 to 100, each once, in no order. */
const SCRAMBLED = Array.from({ length: 40 }, (_, index) => ((index + 1) * 37) % 101)
const IDS = Array.from({ length: 100 }, (_, index) => index + 1)
/** QoS 2 goes to every even identifier. */
const qosOf = (id: number): 1 | 2 => (id % 2 === 0 ? 2 : 1)

/**
 * 100 messages are out; 40 of them are answered in no order: QoS 1 by PUBACK, QoS 2 by PUBREC, every fourth of
 * the latter by PUBCOMP as well. Then the connection is cut.
 */
async function openAndCut(
  world: TestWorld,
): Promise<{ released: readonly number[]; open: readonly number[] }> {
  const [connection] = world.broker.connections
  expect(world.got('publish').map(({ packetId }) => packetId)).toEqual(IDS)
  const recorded = SCRAMBLED.filter((id) => qosOf(id) === 2)
  const completed = recorded.filter((_, index) => index % 4 === 0)
  for (const packetId of SCRAMBLED) {
    connection?.send({ type: qosOf(packetId) === 2 ? 'pubrec' : 'puback', packetId, reasonCode: 0 })
  }
  await world.settle()
  expect(world.got('pubrel').map(({ packetId }) => packetId)).toEqual(recorded)
  for (const packetId of completed) connection?.send({ type: 'pubcomp', packetId, reasonCode: 0 })
  await world.settle()
  world.broker.cutAll()
  await world.settle()
  world.taken()
  return {
    released: recorded.filter((id) => !completed.includes(id)),
    open: IDS.filter((id) => !SCRAMBLED.includes(id)),
  }
}

describe.each(VERSIONS)(
  '100 messages of QoS 1 and 2 that are open when the connection is cut in %s',
  (version) => {
    it('go on by PUBRELs in the order of the PUBRECs, then PUBLISHes with DUP, identifier and content in first order, then new ones (rule 14) [scenario 46] [3.1.1 MQTT-2.3.1-3, 4.4.0-1, 4.6.0-1, -4] [5 MQTT-4.4.0-1, 4.6.0-1, -4]', async () => {
      const messages: string[] = []
      const onMessage = ({ payload }: { payload: Uint8Array }): void =>
        void messages.push(new TextDecoder().decode(payload))
      const world = makeWorld(version, { broker: { onMessage } })
      for (const type of ['puback', 'pubrec', 'pubcomp'] as const) world.broker.faults.onSend(type).withhold()
      const client = await world.connectedDurable({ maxInflightQos2: 100, reconnect: RECONNECT })
      const lost = collect(client, 'disconnected')
      const publish = (id: number): ReturnType<typeof outcomeOf> =>
        outcomeOf(client.publish(`t/${id % 3}`, `m${id}`, { qos: qosOf(id), retain: id % 5 === 0 }))
      const outcomes = IDS.map(publish)
      await world.settle()
      const { released, open } = await openAndCut(world)
      expect(lost).toHaveLength(1)
      expect([released.length, open.length]).toEqual([15, 60])
      const late = [101, 102, 103, 104, 105]
      outcomes.push(...late.map(publish))
      world.broker.faults.clear()
      await world.advance(1_000)

      const [connect, ...packets] = world.fromClient.splice(0)
      expect(connect).toMatchObject({ type: 'connect', cleanStart: false })
      const relative = (id: number): object => ({
        type: 'publish',
        packetId: id,
        topic: `t/${id % 3}`,
        payload: new TextEncoder().encode(`m${id}`),
        qos: qosOf(id),
        retain: id % 5 === 0,
        dup: id <= 100,
      })
      const again = [...open, ...late]
      const first = [...released.map((packetId) => ({ type: 'pubrel', packetId })), ...again.map(relative)]
      expect(packets.slice(0, first.length)).toMatchObject(first)
      expect(exchangesIn(packets.slice(first.length))).toEqual(
        again.filter((id) => qosOf(id) === 2).map((id) => ['pubrel', id]),
      )
      expect(packets).toHaveLength(first.length + again.filter((id) => qosOf(id) === 2).length)

      expect(outcomes.map(({ state }) => state)).toEqual(outcomes.map(() => 'resolved'))
      expect(client.pending).toEqual([])
      // QoS 2 came once each; QoS 1 again if its PUBACK was lost; first copies in the order of publishing.
      const copies = (id: number): number => messages.filter((text) => text === `m${id}`).length
      expect([...IDS, ...late].map(copies)).toEqual(
        [...IDS, ...late].map((id) => (qosOf(id) === 1 && open.includes(id) ? 2 : 1)),
      )
      expect([...new Set(messages)]).toEqual([...IDS, ...late].map((id) => `m${id}`))
      expect(world.broker.finish()).toEqual([])
    })

    it('have their promises settled by the connection that answers them, each with its own identifier [scenario 46] [3.1.1 MQTT-2.3.1-3] [5 MQTT-2.2.1-5]', async () => {
      const world = makeWorld(version)
      for (const type of ['puback', 'pubrec', 'pubcomp'] as const) world.broker.faults.onSend(type).withhold()
      const client = await world.connectedDurable({ maxInflightQos2: 100, reconnect: RECONNECT })
      const outcomes = IDS.map((id) => outcomeOf(client.publish('a', `${id}`, { qos: qosOf(id) })))
      await world.settle()
      const { released, open } = await openAndCut(world)
      const pending = outcomes.flatMap(({ state }, index) => (state === 'pending' ? [index + 1] : []))
      expect(pending).toEqual([...released, ...open].toSorted((one, other) => one - other))
      expect(client.pending.map(({ stage, packetId }) => [stage, packetId])).toEqual([
        ...released.map((id) => ['released', id]),
        ...open.map((id) => ['published', id]),
      ])
      world.broker.faults.clear()
      await world.advance(1_000)
      expect(outcomes.map(({ value }) => value?.packetId)).toEqual(IDS)
    })
  },
)

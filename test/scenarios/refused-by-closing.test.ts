// A server that refuses by policy and has no word for it closes the connection after each QoS 1 PUBLISH. The client
// would send the message again on each new connection: back-off (rule 7) and poison limit (rule 8) end that.
import { describe, expect, it } from 'vitest'
import { createBroker } from '../../src/testing/broker-server.ts'
import {
  collect,
  durableOptions,
  outcomeOf,
  type TestWorld,
  texts,
  useWorlds,
} from '../support/client-world.ts'
import { Clients, unique, VERSIONS } from '../support/clients.ts'

const makeWorld = useWorlds()

const PLAIN = { jitter: false } as const

/** The broker closes in place of handling a QoS 1 PUBLISH to `topic`, or to any. */
function refuseByClosing(world: TestWorld, topic?: string): void {
  const isRefused = (packet: { readonly topic: string; readonly qos: number }): boolean =>
    packet.qos === 1 && (topic === undefined || packet.topic === topic)
  world.broker.faults.onReceive('publish', { where: isRefused }).endBefore()
}

/** ms between the attempts to connect. */
function gapsOf(world: TestWorld): readonly number[] {
  return world.link.attempts.slice(1).map((at, index) => at - (world.link.attempts[index] ?? 0))
}

describe.each(VERSIONS)('a server that closes after each QoS 1 PUBLISH, in %s', (version) => {
  describe.each(['kept', 'lost'] as const)('with the session %s', (session) => {
    it(' the delays double, and after 5 connections the message is given up, others go on [3.1.1 MQTT-3.3.5-2] [scenario 76]', async () => {
      const world = makeWorld(version)
      refuseByClosing(world, 'refused')
      const options = { reconnect: PLAIN }
      const client = await (session === 'kept' ? world.connectedDurable(options) : world.connected(options))
      const lost = collect(client, 'disconnected')
      const { seen, handler } = texts()
      const watcher = await world.connected({ clientId: 'watcher' })
      await watcher.subscribe('#', { qos: 2 }, handler)
      world.link.attempts.splice(1)

      const refused = outcomeOf(client.publish('refused', 'never', { qos: 1 }))
      const other = outcomeOf(client.publish('other', 'taken', { qos: 1 }))
      await world.advance(29_999)
      expect([refused.state, other.state]).toEqual(['pending', 'pending'])
      await world.advance(1)
      expect(refused).toMatchObject({ state: 'rejected', error: { code: 'poison-delivery' } })
      await world.advance(32_000)
      expect(other.state).toBe('resolved')
      expect(client.state).toBe('connected')
      expect(gapsOf(world)).toEqual([2_000, 4_000, 8_000, 16_000, 32_000])
      expect(lost.map(({ delay }) => delay)).toEqual(gapsOf(world))
      // It is not sent again, and the connection stands.
      await world.advance(3_600_000)
      expect(lost).toHaveLength(5)
      expect(seen).toEqual(['taken'])
      expect(client.pending).toEqual([])
    })
  })

  it('for ever, and no message is given up: 34 connections in an hour, 27 of them 128 s after the one before [scenario 76]', async () => {
    const world = makeWorld(version)
    refuseByClosing(world)
    const client = await world.connectedDurable({ reconnect: PLAIN, poisonLimit: 0 })
    const refused = outcomeOf(client.publish('a', 'x', { qos: 1 }))
    await world.advance(3_600_000)
    expect(refused.state).toBe('pending')
    expect(gapsOf(world)).toEqual([2, 4, 8, 16, 32, 64, ...Array(27).fill(128)].map((s) => 1_000 * s))
    expect(world.got('publish')).toEqual([])
    client.destroy()
  })

  it('to an application that publishes every second: no faster, and each publish settles [scenario 76]', async () => {
    const world = makeWorld(version, { seed: 76 })
    refuseByClosing(world)
    const client = await world.connectedDurable({ maxInflight: 10, queue: { maxMessages: 20 } })
    const lost = collect(client, 'disconnected')
    const outcomes: ReturnType<typeof outcomeOf<unknown>>[] = []
    for (let second = 0; second < 3_600; second += 1) {
      outcomes.push(outcomeOf(client.publish('a', String(second), { qos: 1 })))
      await world.advance(1_000)
    }
    expect(Math.min(...gapsOf(world))).toBeGreaterThanOrEqual(1_000)
    // Past the first six the mean delay is 64.5 s.
    expect(lost.length).toBeLessThan(3_600 / 64.5 + 6 + 20)
    client.destroy()
    await world.settle()
    const codes = new Map<unknown, number>()
    for (const { error } of outcomes) {
      const code = (error as { readonly code?: unknown } | undefined)?.code
      codes.set(code, (codes.get(code) ?? 0) + 1)
    }
    const poisoned = Math.floor(lost.length / 5)
    expect(codes.get('poison-delivery')).toBe(poisoned)
    expect(codes.get('destroyed')).toBe(30)
    expect(codes.get('queue-full')).toBe(3_600 - 30 - poisoned)
  })
})

it.concurrent.for(VERSIONS)(
  '%s: over a socket the attempts come as far apart as the delays say [scenario 76]',
  async (version, { onTestFinished }) => {
    const server = createBroker()
    await server.listen()
    onTestFinished(() => server.close())
    const clients = new Clients(() => server.url)
    onTestFinished(() => clients.destroy())
    server.broker.faults.onReceive('publish').cutBefore()
    const reconnect = { min: 20, max: 200, jitter: false }
    const client = await clients.with(durableOptions(version, { clientId: unique('refused'), reconnect }))
    const lostAt: number[] = []
    const dialedAt: number[] = []
    client.on('disconnected', () => void lostAt.push(performance.now()))
    client.on('state', ({ to }) => to === 'dialing' && dialedAt.push(performance.now()))
    await expect(client.publish('a', 'x', { qos: 1 })).rejects.toMatchObject({ code: 'poison-delivery' })
    await new Promise((resolve) => client.on('connected', resolve, { once: true }))
    expect(lostAt).toHaveLength(5)
    expect(dialedAt).toHaveLength(5)
    const waited = dialedAt.map((at, index) => at - (lostAt[index] ?? 0))
    for (const [index, delay] of [40, 80, 160, 200, 200].entries()) {
      // Events are a little later than the moments that they tell of.
      expect(waited[index]).toBeGreaterThan(0.75 * delay)
    }
    expect(await client.ping()).toBeGreaterThan(0)
  },
)

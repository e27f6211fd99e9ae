// Keep-alive when only the server talks, when the application blocks the event loop, and when PINGRESPs come late,
// unasked or twice: rules 9 to 11.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, useWorlds } from '../support/client-world.ts'
import { Clients, Inbox, PacketLog, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

const makeWorld = useWorlds()

/** PINGREQ is due after 3 s; the answer is waited for 2 s. */
const FOUR = { keepAlive: 4, reconnect: { min: 1_000, jitter: false } } as const

describeMosquitto('only inbound QoS 0', 'plain', (broker) => {
  it.concurrent.for(VERSIONS)(
    '%s: PINGREQ leaves in time, and mosquitto does not cut [3.1.1 MQTT-3.1.2-23] [5 MQTT-3.1.2-20] [scenario 15]',
    async (version, { onTestFinished }) => {
      const clients = new Clients(() => broker().url)
      onTestFinished(() => clients.destroy())
      const [topic, clientId] = [unique('chatter'), unique('listener')]
      const talker = await clients.brief(version)
      const listener = await clients.with({ clientId, protocolVersion: version, keepAlive: 2 })
      const log = new PacketLog(listener)
      const inbox = new Inbox()
      await listener.subscribe(topic, inbox.handle)
      const talking = setInterval(() => talker.send(topic, 'x'), 20)
      onTestFinished(() => clearInterval(talking))
      // 6 s: mosquitto cuts who is silent for 3.
      await log.until('in', 'pingresp', 4)

      const sent = log.of('out')
      expect(sent.map(({ packet }) => packet.type)).toEqual(['subscribe', ...Array(4).fill('pingreq')])
      expect(largestGap(sent)).toBeLessThan(2_000)
      expect(largestGap(log.of('in', 'publish'))).toBeLessThan(1_000)
      expect(inbox.messages.length).toBeGreaterThan(100)
      expect(listener.statistics.reconnects).toBe(0)
      expect(broker().log).not.toContain(`${clientId} has exceeded timeout`)
    },
  )
})

it.each(VERSIONS)(
  '%s: two hours of inbound QoS 0 have 4,800 PINGREQs, none late, and one connection [3.1.1 MQTT-3.1.2-23] [5 MQTT-3.1.2-20] [scenario 15]',
  async (version) => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 2 })
    let handled = 0
    await client.subscribe('a', () => void (handled += 1))
    const begin = world.now
    const late: number[] = []
    let last = begin
    client.on('packet', ({ direction, packet }) => {
      if (direction !== 'out') return
      if (packet.type !== 'pingreq' || world.now - last > 1_500) late.push(world.now - begin)
      last = world.now
    })
    for (let half = 0; half < 14_400; half += 1) {
      world.broker.publish({ topic: 'a', payload: 'x' })
      await world.advance(500)
    }
    expect(world.now - begin).toBe(7_200_000)
    expect(handled).toBe(14_400)
    expect(world.got('pingreq')).toHaveLength(4_800)
    expect(late).toEqual([])
    // The broker complains of, and cuts, who is silent for 3 s.
    expect(world.broker.complaints).toEqual([])
    expect(world.link.attempts).toHaveLength(1)
  },
)

describeMosquitto('a blocked event loop', 'plain', (broker) => {
  const clients = useClients(() => broker().url)

  it.each(VERSIONS)(
    '%s: after 3 s PINGREQ leaves at once, and a PINGRESP that waits in the socket longer than pingTimeout counts [scenario 16]',
    async (version) => {
      const client = await clients.with({
        clientId: unique('blocked'),
        protocolVersion: version,
        keepAlive: 3, // PINGREQ is due after 2.25 s
        pingTimeout: 500,
      })
      const interruptions = collect(client, 'interrupted')
      const log = new PacketLog(client)
      block(3_000)
      const unblocked = performance.now()
      // The answer comes while nobody looks, and timers are looked at before sockets.
      const blockAgain = (): void => {
        broker().freeze()
        setImmediate(() => {
          broker().thaw()
          block(1_500)
        })
      }
      client.on('packet', blockAgain, { once: true })
      await log.until('in', 'pingresp', 2)

      const types = log.passed.map(({ direction, packet }) => `${direction} ${packet.type}`)
      expect(types).toEqual(['out pingreq', 'in pingresp', 'out pingreq', 'in pingresp'])
      const [asked = 0, answered = 0, askedAgain = 0] = log.passed.map(({ at }) => at)
      expect(asked - unblocked).toBeLessThan(500)
      expect(answered - asked).toBeGreaterThanOrEqual(1_500)
      expect(askedAgain - asked).toBeGreaterThan(2_000)
      expect(askedAgain - asked).toBeLessThan(3_000)
      expect(interruptions).toEqual([])
      expect(client.statistics.reconnects).toBe(0)
    },
  )
})

it.each(VERSIONS)(
  '%s: a client that publishes and is answered in time has no need of PINGREQ (rule 9)',
  async (version) => {
    const world = makeWorld(version)
    const client = await world.connected(FOUR)
    for (let second = 0; second < 60; second += 2) {
      await world.advance(2_000)
      await client.publish('a', 'x', { qos: 1 })
    }
    expect(world.got('publish')).toHaveLength(30)
    expect(world.got('pingreq')).toEqual([])
  },
)

describe.each(VERSIONS)('a PINGRESP in %s', (version) => {
  it('that is late by 1.5 × keepAlive finds the connection closed, by the ping time-out [scenario 18]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp', { nth: 1 }).delay(6_000)
    const client = await world.connected(FOUR)
    const lost = collect(client, 'disconnected')
    const begin = world.now
    await world.advance(4_999)
    expect([client.state, world.got('pingreq').length]).toEqual(['connected', 1])
    await world.advance(1)
    expect(lost).toMatchObject([{ error: { code: 'ping-timeout', phase: 'established' }, delay: 2_000 }])
    await world.advance(2_000)
    expect(client.state).toBe('connected')
    expect(world.link.attempts.map((at) => at - begin)).toEqual([0, 7_000])

    // The late one reaches nobody: of two PINGREQs on the new connection two are answered.
    await world.advance(6_000)
    expect(client.statistics.packetsIn.pingresp).toBe(2)
    expect(client.statistics.packetsOut.pingreq).toBe(3)
    expect(lost).toHaveLength(1)
  })

  it('that comes one millisecond before the time-out counts [scenario 18]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').delay(1_999)
    const client = await world.connected(FOUR)
    await world.advance(60_000)
    expect(client.state).toBe('connected')
    expect(client.statistics.reconnects).toBe(0)
    expect(world.got('pingreq').length).toBeGreaterThanOrEqual(12)
  })

  it('that nobody asked for is ignored: it answers no later ping() [scenario 18]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').delay(7)
    const client = await world.connected(FOUR)
    const connection = world.broker.connectionOf('client')
    for (let count = 0; count < 3; count += 1) connection?.send({ type: 'pingresp' })
    await world.settle()
    expect(client.statistics.packetsIn.pingresp).toBe(3)
    expect(client.state).toBe('connected')
    const ping = outcomeOf(client.ping())
    await world.advance(6)
    expect(ping.state).toBe('pending')
    await world.advance(1)
    expect(ping).toMatchObject({ state: 'resolved', value: 7 })
    // The keep-alive is that of before.
    await world.advance(2_999)
    expect(world.got('pingreq')).toHaveLength(2)
    expect(client.statistics.reconnects).toBe(0)
  })

  it('that comes twice counts once: the next PINGREQ needs one of its own [scenario 18]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp', { nth: 1 }).duplicate()
    world.broker.faults.onSend('pingresp', { nth: 2, times: 2 }).withhold()
    const client = await world.connected(FOUR)
    const lost = collect(client, 'disconnected')
    await world.advance(3_000)
    expect(client.statistics.packetsIn.pingresp).toBe(2)
    expect(client.state).toBe('connected')
    const ping = outcomeOf(client.ping())
    await world.advance(2_000)
    expect(ping).toMatchObject({ state: 'rejected', error: { code: 'ping-timeout' } })
    expect(client.state).toBe('connected')
    await world.advance(3_000)
    expect(lost).toMatchObject([{ error: { code: 'ping-timeout' } }])
  })
})

function largestGap(passed: readonly { readonly at: number }[]): number {
  const gaps = passed.slice(1).map(({ at }, index) => at - (passed[index]?.at ?? 0))
  return Math.max(...gaps)
}

/** Nothing of this process runs for so long. */
function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

// A broker that is restarted while a client publishes at every QoS and another receives, and one that 500 clients
// come back to. What arrives is held against the oracle of the simulation, what is sent against 4.4; the first
// attempts of the 500 against the formula of rule 7.
import { describe, expect, it } from 'vitest'
import { ConnectionError } from '../../src/core/errors.ts'
import type { ControlPacket } from '../../src/core/packets/types.ts'
import {
  type Client,
  ClientPool,
  connect,
  type ConnectedEvent,
  type Message,
  type QoS,
} from '../../src/index.ts'
import { Oracle, type Outcome } from '../../src/testing/oracle.ts'
import { durableOptions, optionsOf, useWorlds } from '../support/client-world.ts'
import { Inbox, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto, type Mosquitto } from '../support/mosquitto.ts'

const makeWorld = useWorlds()

/** One client's messages to another, through whatever happens. */
class Traffic {
  readonly oracle = new Oracle(false)
  readonly inbox = new Inbox()
  /** Codes of the publishes that failed, by QoS. */
  readonly failures: readonly Set<unknown>[] = [new Set(), new Set(), new Set()]
  readonly #publisher: Client
  readonly #topic: string
  readonly #settling: Promise<void>[] = []

  constructor(publisher: Client, topic: string) {
    this.#publisher = publisher
    this.#topic = topic
  }

  /** One message of each QoS. */
  readonly send = (): void => {
    for (const qos of [0, 1, 2] as const) this.#publish(qos)
  }

  readonly receive = (message: Message): void => {
    const { topic, qos } = message
    this.oracle.arrive('up', { topic, qos, payload: message.text(), label: undefined, life: 0 })
    this.inbox.handle(message)
  }

  async settled(): Promise<void> {
    await Promise.all(this.#settling)
  }

  #publish(qos: QoS): void {
    const sent = this.oracle.publish('up', this.#topic, qos, 1)
    const done = (outcome: Outcome): void => this.oracle.settle(sent, outcome)
    const failed = (error: unknown): void => {
      const { code } = error as { readonly code?: unknown }
      this.failures[qos]?.add(code)
      done(code === 'not-connected' ? 'none' : 'unknown')
    }
    const publishing = this.#publisher.publish(this.#topic, sent.payload, { qos })
    this.#settling.push(publishing.then(() => done('ok'), failed))
  }
}

/** Whether a client sends again what 4.4 demands, in its order, once, and nothing else: invariant I6. */
class ResendCheck {
  readonly faults: string[] = []
  resent = 0
  #published = new Set<number>()
  #released = new Set<number>()
  #owed: string[] = []

  constructor(client: Client) {
    client.on('packet', ({ direction, packet }) =>
      direction === 'out' ? this.#handleSent(packet) : this.#handleReceived(packet),
    )
  }

  #handleSent(packet: ControlPacket): void {
    const isPublish = packet.type === 'publish' && packet.qos > 0
    if (!isPublish && packet.type !== 'pubrel') return
    const { packetId } = packet
    const text = `${packet.type} ${packetId}${isPublish && packet.dup ? ' again' : ''}`
    const owed = this.#owed.shift()
    if (owed !== undefined) {
      this.resent += 1
      if (owed !== text) this.faults.push(`${text} was sent, owed was ${owed}`)
    } else if (isPublish) {
      if (packet.dup || this.#published.has(packetId)) this.faults.push(`${text} was not owed`)
      this.#published.add(packetId)
    } else if (!this.#released.has(packetId)) this.faults.push(`${text} was sent without PUBREC`)
  }

  #handleReceived(packet: ControlPacket): void {
    if (packet.type === 'connack') this.#begin(packet.sessionPresent)
    else if (packet.type === 'puback') this.#published.delete(packet.packetId)
    else if (packet.type === 'pubcomp') this.#released.delete(packet.packetId)
    else if (packet.type === 'pubrec') {
      this.#published.delete(packet.packetId)
      this.#released.add(packet.packetId)
    }
  }

  #begin(sessionPresent: boolean): void {
    this.#owed = []
    if (sessionPresent) {
      const releases = [...this.#released].map((packetId) => `pubrel ${packetId}`)
      this.#owed = [...releases, ...[...this.#published].map((packetId) => `publish ${packetId} again`)]
    } else {
      this.#published.clear()
      this.#released.clear()
    }
  }
}

/**
 * Counts the QoS 2 messages that the server publishes again although it has released them and the client has said
 * PUBCOMP, which 4.3.3 forbids: mosquitto 2.0 does so after a restart. To the client they are new.
 */
class RepeatCount {
  repeats = 0
  readonly #open = new Map<number, string>()
  readonly #completed = new Map<number, string>()

  constructor(client: Client) {
    client.on('packet', ({ packet }) => {
      if (packet.type === 'publish' && packet.qos === 2) {
        const text = new TextDecoder().decode(packet.payload)
        if (this.#completed.get(packet.packetId) === text) this.repeats += 1
        this.#completed.delete(packet.packetId)
        this.#open.set(packet.packetId, text)
      } else if (packet.type === 'pubcomp') {
        this.#completed.set(packet.packetId, this.#open.get(packet.packetId) ?? '')
      }
    })
  }
}

/** A publisher and a subscriber, and all that is watched of them. */
class Pair {
  readonly topic = unique('restarts')
  readonly traffic: Traffic
  readonly check: ResendCheck
  readonly repeated: RepeatCount
  readonly resumed: ConnectedEvent[] = []
  /** ms that were waited before attempts. */
  readonly delays: number[] = []
  /** The subscriber's CONNECTs that had no answer: it does not know what has become of its session then. */
  unanswered = 0
  readonly publisher: Client
  readonly subscriber: Client
  readonly #ends = new Inbox()

  constructor(publisher: Client, subscriber: Client) {
    this.publisher = publisher
    this.subscriber = subscriber
    this.traffic = new Traffic(publisher, this.topic)
    this.check = new ResendCheck(publisher)
    this.repeated = new RepeatCount(subscriber)
    for (const client of [publisher, subscriber]) {
      client.on('resumed', (event) => void this.resumed.push(event))
      client.on('disconnected', ({ delay = Infinity }) => void this.delays.push(delay))
      client.on('connectFailed', ({ delay = Infinity }) => void this.delays.push(delay))
    }
    subscriber.on('connectFailed', ({ error }) => {
      if (error instanceof ConnectionError && error.phase === 'connack') this.unanswered += 1
    })
  }

  async subscribe(): Promise<void> {
    await this.subscriber.subscribe(this.topic, { qos: 2 }, this.traffic.receive)
    await this.subscriber.subscribe(`${this.topic}/end`, { qos: 2 }, this.#ends.handle)
  }

  /** The restarts are over: resolves when all has settled, and all that was on its way has arrived. */
  async finish(): Promise<void> {
    for (const client of [this.publisher, this.subscriber]) await client.connect()
    await this.traffic.settled()
    await this.subscriber.ping() // its subscriptions have been renewed, if they had to be
    for (const qos of [1, 2] as const) await this.publisher.publish(`${this.topic}/end`, 'x', { qos })
    await this.#ends.until(2)
    await this.subscriber.ping()
  }
}

interface Restarts {
  readonly count: number
  readonly how: 'orderly' | 'crash'
}

/**
 * Restarts the broker while the pair is busy, every second time before it has found its way back. Gives how many
 * attempts the pair could make at most with 20 ms between them.
 */
async function restart(broker: Mosquitto, pair: Pair, { count, how }: Restarts): Promise<number> {
  const { inbox, send } = pair.traffic
  let attempts = 0
  const talking = setInterval(send, 2)
  try {
    for (let done = 0; done < count; done += 1) {
      if (done % 2 === 0) await inbox.until(inbox.messages.length + 100)
      // Whoever can connect knows that it runs: a SIGTERM before that would be lost.
      else await (await connect(broker.url)).disconnect()
      const begin = performance.now()
      await (how === 'orderly' ? broker.end() : broker.kill())
      await broker.run()
      attempts += 2 * (2 + (performance.now() - begin) / 20)
    }
  } finally {
    clearInterval(talking)
  }
  await pair.finish()
  return attempts
}

describe.each(VERSIONS)('a restart in %s', (version) => {
  describeMosquitto('of a mosquitto that keeps its state', 'persistent', (broker) => {
    const clients = useClients(() => broker().url)

    it('8 times under traffic: each message as its QoS promises, re-sends as 4.4 demands, bounded attempts [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1] [scenario 61]', async () => {
      const pair = new Pair(await clients.lasting(version), await clients.lasting(version))
      await pair.subscribe()
      const attempts = await restart(broker(), pair, { count: 8, how: 'orderly' })

      const { oracle, failures } = pair.traffic
      oracle.finish()
      const isRepeat = (violation: string): boolean => /^I3: .* arrived twice$/.test(violation)
      expect(oracle.violations.filter((violation) => !isRepeat(violation))).toEqual([])
      expect(oracle.violations.filter(isRepeat)).toHaveLength(pair.repeated.repeats)
      expect(oracle.sent.length).toBeGreaterThan(300)
      expect([...(failures[1] ?? []), ...(failures[2] ?? [])]).toEqual([])
      expect(pair.check.faults).toEqual([])
      expect(pair.check.resent).toBeGreaterThan(0)
      expect(pair.resumed.length).toBeGreaterThanOrEqual(5)
      for (const { sessionPresent } of pair.resumed) expect(sessionPresent).toBe(true)
      const { subscribe } = pair.subscriber.statistics.packetsOut
      // In doubt they are renewed, and a renewal that was cut off is repeated.
      if (pair.unanswered === 0) expect(subscribe).toBe(2)
      else expect(subscribe).toBeLessThanOrEqual(2 + pair.resumed.length)
      expect(pair.delays.length).toBeLessThanOrEqual(attempts)
      for (const delay of pair.delays) expect(delay).toBeGreaterThanOrEqual(20)
    })
  })

  // What mosquitto has acknowledged and lost before it was handed on, nobody can bring back. What is left of the
  // promises: nothing twice at QoS 0 and 2, nothing invented or overtaken, and nobody is told what is not known.
  describe.each([
    ['that keeps nothing', 'plain', 'orderly'],
    ['that crashes before it has saved', 'persistent', 'crash'],
  ] as const)('%s', (what, profile, how) => {
    describeMosquitto(`of a mosquitto ${what}`, profile, (broker) => {
      const clients = useClients(() => broker().url)

      it('4 times under traffic: the session is lost, QoS 1 goes on as new, QoS 2 says so, subscriptions are renewed [scenario 61]', async () => {
        const pair = new Pair(await clients.lasting(version), await clients.lasting(version))
        await pair.subscribe()
        const attempts = await restart(broker(), pair, { count: 4, how })

        const { oracle, failures } = pair.traffic
        expect(oracle.violations).toEqual([])
        expect(oracle.sent.filter(({ outcome }) => outcome === 'pending')).toEqual([])
        expect([...(failures[1] ?? [])]).toEqual([])
        expect([...(failures[2] ?? [])]).toEqual(['outcome-unknown'])
        const refused = oracle.sent.filter(({ outcome, arrivals }) => outcome === 'none' && arrivals > 0)
        expect(refused).toEqual([])
        // No PUBREL and no PUBLISH of the session that was lost, and no id or DUP of it.
        expect(pair.check).toMatchObject({ faults: [], resent: 0 })
        for (const { sessionPresent } of pair.resumed) expect(sessionPresent).toBe(false)
        const { packetsOut, reconnects } = pair.subscriber.statistics
        expect(packetsOut.subscribe).toBeGreaterThanOrEqual(2 + 1)
        expect(packetsOut.subscribe).toBeLessThanOrEqual(2 + 2 * reconnects)
        expect(pair.delays.length).toBeLessThanOrEqual(attempts)

        // With both back, each message arrives once again.
        const before = oracle.sent.length
        for (let round = 0; round < 50; round += 1) pair.traffic.send()
        await pair.finish()
        const arrivals = new Set(oracle.sent.slice(before).map((sent) => sent.arrivals))
        expect([...arrivals]).toEqual([1])
      })
    })
  })

  it.each([
    ['kept', true],
    ['lost', false],
  ])(
    'every 2 s for a minute, with the session %s: attempts by the default back-off, and all settles [scenario 61]',
    async (_, isKept) => {
      const world = makeWorld(version, { seed: 61 })
      const [publisher, subscriber] = ['publisher', 'subscriber'].map((clientId) =>
        world.createClient(durableOptions(version, { clientId })),
      )
      if (publisher === undefined || subscriber === undefined) throw new Error('two clients were expected')
      for (const client of [publisher, subscriber]) await client.connect()
      const pair = new Pair(publisher, subscriber)
      await pair.subscribe()
      const begin = world.now
      for (let tick = 0; tick < 600; tick += 1) {
        const phase = tick % 20
        if (phase === 15) {
          world.link.dialing = 'refused'
          world.broker.cutAll()
          for (const id of isKept ? [] : ['publisher', 'subscriber']) world.broker.loseSession(id)
        }
        if (phase === 18) world.link.dialing = 'answered'
        pair.traffic.send()
        await world.advance(100)
      }
      world.link.dialing = 'answered'
      expect(world.now - begin).toBe(60_000)
      // At least 1 s apart, and in the mean 1.5, 2.5, 4.5, 8.5 s and so on: the back-off is not reset meanwhile.
      expect(pair.delays.length).toBeLessThanOrEqual(2 * 10)
      for (const delay of pair.delays) expect(delay).toBeGreaterThanOrEqual(1_000)

      await world.advance(128_000)
      const { oracle } = pair.traffic
      expect([publisher.state, subscriber.state]).toEqual(['connected', 'connected'])
      expect(oracle.sent.filter(({ outcome }) => outcome === 'pending')).toEqual([])
      if (isKept) oracle.finish()
      expect(oracle.violations).toEqual([])
      expect(pair.check.faults).toEqual([])
      expect(new Set(pair.resumed.map(({ sessionPresent }) => sessionPresent))).toEqual(new Set([isKept]))
      for (const client of [publisher, subscriber]) client.destroy()
    },
  )
})

const CLIENTS = 500

/** How many fall into each 100 ms after `begin`. */
function binsOf(times: readonly number[], begin: number): readonly number[] {
  const bins: number[] = []
  for (const time of times) {
    const bin = Math.floor((time - begin) / 100)
    bins[bin] = (bins[bin] ?? 0) + 1
  }
  return Array.from(bins, (count) => count ?? 0)
}

// The first delay lies between min and 2 × min, 1 to 2 s: a bin of 100 ms has a tenth of them in the mean. Of 500
// that is 50 with a standard deviation of 6.7, and four deviations more or less are never seen: 23 to 77.
describe.each(VERSIONS)(`${CLIENTS} clients after a restart in %s`, (version) => {
  it('make their first attempts over a whole second: 15.4 % in 100 ms at most, none in lock-step [scenario 62]', async () => {
    const pool = { maxAttempts: Infinity, attemptsPerSecond: Infinity }
    const world = makeWorld(version, { seed: 62, pool })
    const clients = Array.from({ length: CLIENTS }, () =>
      world.createClient(optionsOf(version, { keepAlive: 0 })),
    )
    await Promise.all(clients.map((client) => client.connect()))
    world.link.attempts.length = 0
    const begin = world.now
    world.broker.cutAll()
    await world.advance(2_000)

    const bins = binsOf(world.link.attempts, begin)
    expect(world.link.attempts).toHaveLength(CLIENTS)
    expect(bins.slice(0, 10)).toEqual(Array(10).fill(0))
    expect(bins).toHaveLength(20)
    expect(Math.max(...bins)).toBeLessThanOrEqual(0.154 * CLIENTS)
    expect(Math.min(...bins.slice(10))).toBeGreaterThanOrEqual(0.046 * CLIENTS)
    // 500 of a million µs: that two fall on the same one is likely, that five do is not.
    const microseconds = new Set(world.link.attempts.map((at) => Math.floor(1_000 * at)))
    expect(microseconds.size).toBeGreaterThan(CLIENTS - 5)
    expect(new Set(clients.map(({ state }) => state))).toEqual(new Set(['connected']))
    for (const client of clients) client.destroy()
  })

  it('and the pool lets 100 begin at once and 100 in each second: no more than 200 in any second [scenario 62]', async () => {
    const world = makeWorld(version, { seed: 62 })
    const clients = Array.from({ length: CLIENTS }, () =>
      world.createClient(optionsOf(version, { keepAlive: 0 })),
    )
    const connecting = Promise.all(clients.map((client) => client.connect()))
    await world.advance(5_000)
    await connecting
    world.link.attempts.length = 0
    const begin = world.now
    world.broker.cutAll()
    await world.advance(10_000)

    const { attempts } = world.link
    expect(attempts).toHaveLength(CLIENTS)
    expect(Math.max(...binsOf(attempts, begin))).toBeLessThanOrEqual(0.154 * CLIENTS)
    const inASecond = attempts.map(
      (at) => attempts.filter((other) => other >= at && other < at + 1_000).length,
    )
    expect(Math.max(...inASecond)).toBeLessThanOrEqual(200)
    // 100 and 400 more, 100 a second.
    expect((attempts.at(-1) ?? 0) - (attempts[0] ?? 0)).toBeLessThanOrEqual(4_000)
    for (const client of clients) client.destroy()
  })

  describeMosquitto('of mosquitto', 'plain', (broker) => {
    it('over sockets: spread over a second as well, none before its time, and all come back [scenario 62]', async () => {
      const pool = new ClientPool({ maxAttempts: Infinity, attemptsPerSecond: Infinity })
      try {
        const clients = await Promise.all(
          Array.from({ length: CLIENTS }, () => pool.connect(broker().url, optionsOf(version))),
        )
        const planned: number[] = []
        const dialed: number[] = []
        const begin = performance.now()
        const back = clients.map((client) => {
          client.on('disconnected', ({ delay = Infinity }) => void planned.push(performance.now() + delay))
          client.on('state', ({ to }) => to === 'dialing' && dialed.push(performance.now()))
          return new Promise((resolve) => client.on('resumed', resolve))
        })
        await broker().end()
        await broker().run()
        await Promise.all(back)

        expect(Math.min(...dialed) - begin).toBeGreaterThanOrEqual(1_000)
        expect(planned).toHaveLength(CLIENTS)
        const bins = binsOf(planned, begin)
        expect(Math.max(...bins.slice(0, 10))).toBe(0)
        // Not seeded: a fifth is more than seven deviations above the mean.
        expect(Math.max(...bins)).toBeLessThanOrEqual(0.2 * CLIENTS)
        expect(bins.filter((count) => count > 0).length).toBeGreaterThanOrEqual(9)
        expect(pool.statistics.reconnects).toBe(CLIENTS)
      } finally {
        await pool.close()
      }
    })
  })
})

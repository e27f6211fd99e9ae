// Connections that break in the middle of a packet: at every byte of a whole session, in both directions, by FIN
// and by RST. After each cut the client comes back, and what it had promised is kept.
import { describe, expect, it, onTestFinished } from 'vitest'
import { type Client, type ControlPacket, createClient, type Dial, type QoS } from '../../src/index.ts'
import type { Broker } from '../../src/testing/broker/broker.ts'
import { type BrokerServer, createBroker } from '../../src/testing/broker-server.ts'
import { VirtualWorld } from '../../src/testing/virtual-world.ts'
import type { Transport, TransportReceiver } from '../../src/transport/transport.ts'
import { durableOptions, VERSIONS } from '../support/client-world.ts'
import { Inbox, unique } from '../support/clients.ts'
import { type Ending, type FaultProxy, useFaultProxies } from '../support/fault-proxy.ts'

const QOS: readonly QoS[] = [0, 1, 2]
const WAYS = ['up', 'down'] as const
const RECONNECT = { min: 1, max: 5 } as const
const proxies = useFaultProxies()

interface Cut {
  readonly way: (typeof WAYS)[number]
  /** So many bytes pass. */
  readonly at: number
  readonly by: Ending
}

interface Traffic {
  readonly up: number
  readonly down: number
}

/** A session of every packet that there is, both ways: its own messages come back to it. */
class Session {
  readonly client: Client
  readonly name: string
  readonly received: string[] = []
  readonly sent: string[] = []
  readonly outcomes = new Map<QoS, string>()
  readonly #faults: string[] = []
  readonly #published = new Map<string, { readonly id: number; connection: number; isReleased: boolean }>()
  #connection = 0
  #isSubscribed = false

  constructor(client: Client, name: string) {
    this.client = client
    this.name = name
    client.on('packet', ({ direction, packet }) => {
      if (direction === 'out') this.#handleSent(packet)
      else if (packet.type === 'suback') this.#isSubscribed = true
    })
  }

  async run(): Promise<void> {
    const { client, name } = this
    await client.connect()
    await client.subscribe(`${name}/#`, { qos: 2 }, (message) => void this.received.push(message.text()))
    await Promise.all(
      QOS.map(async (qos) => {
        const end = await client.publish(`${name}/t`, `q${qos}`, { qos }).then(
          () => 'ok',
          (error: unknown) => String((error as { code?: unknown }).code),
        )
        this.outcomes.set(qos, end)
      }),
    )
  }

  /** Whether everything is done that was promised. */
  get isOver(): boolean {
    return this.outcomes.size === QOS.length && this.received.includes('q1') && this.received.includes('q2')
  }

  /** What was not as the invariants have it: I1, I2, I3, I6. */
  faults({ openExchanges, complaints }: Broker): readonly string[] {
    const faults = [...this.#faults]
    const count = (text: string): number => this.received.filter((one) => one === text).length
    if (!['ok', 'connection-lost', 'not-connected'].includes(this.outcomes.get(0) ?? 'pending'))
      faults.push(`QoS 0 ended as ${this.outcomes.get(0)}`)
    for (const qos of [1, 2] as const) {
      if (this.outcomes.get(qos) !== 'ok') faults.push(`QoS ${qos} ended as ${this.outcomes.get(qos)}`)
    }
    if (count('q0') > 1) faults.push('QoS 0 was delivered twice')
    if (count('q1') < 1) faults.push('QoS 1 was not delivered')
    if (count('q2') !== 1) faults.push(`QoS 2 was delivered ${count('q2')} times`)
    for (const { clientId, from, packetId, state } of openExchanges) {
      if (clientId === this.name) faults.push(`id ${packetId} of the ${from} is still ${state}`)
    }
    for (const { clientId, text } of complaints) if (clientId === this.name) faults.push(text)
    return faults
  }

  /** I6: sent again is what is open, once for each connection, and nothing else. */
  #handleSent(packet: ControlPacket): void {
    if (packet.type === 'connect') this.#connection += 1
    if (packet.type === 'subscribe' && this.#isSubscribed) this.#faults.push('SUBSCRIBE after its SUBACK')
    if (packet.type === 'pubrel') {
      for (const publish of this.#published.values()) {
        if (publish.id === packet.packetId) publish.isReleased = true
      }
    }
    if (packet.type !== 'publish') return
    const text = Buffer.from(packet.payload).toString()
    const known = this.#published.get(text)
    if (known === undefined) {
      if (packet.dup) this.#faults.push(`${text} had DUP at first`)
      this.#published.set(text, { id: packet.packetId, connection: this.#connection, isReleased: false })
      return
    }
    if (packet.qos === 0) this.#faults.push('QoS 0 was sent again')
    if (!packet.dup) this.#faults.push(`${text} was sent again without DUP`)
    if (packet.packetId !== known.id) this.#faults.push(`${text} was sent again with another id`)
    if (this.#connection === known.connection) this.#faults.push(`${text} was sent again on one connection`)
    if (known.isReleased) this.#faults.push(`${text} was sent again after its PUBREL`)
    known.connection = this.#connection
  }
}

const optionsFor = (
  version: (typeof VERSIONS)[number],
  clientId: string,
): ReturnType<typeof durableOptions> =>
  durableOptions(version, { clientId, retryInitialConnect: true, reconnect: RECONNECT })

/** The way through memory, which cuts once. */
class CuttingLink {
  readonly passed = { up: 0, down: 0 }
  readonly dial: Dial
  cut: Cut | undefined

  constructor(dial: Dial, cut: Cut | undefined) {
    this.cut = cut
    this.dial = async (target, signal) => new CutTransport(await dial(target, signal), this)
  }

  /** How many of so many bytes may pass, and whether that is the end. */
  take(way: Cut['way'], length: number): { readonly length: number; readonly cut: Cut | undefined } {
    const { cut } = this
    const left = cut?.way === way ? cut.at - this.passed[way] : Infinity
    const passing = Math.min(left, length)
    this.passed[way] += passing
    if (left > length) return { length, cut: undefined }
    this.cut = undefined
    return { length: passing, cut }
  }
}

class CutTransport implements Transport {
  readonly #inner: Transport
  readonly #link: CuttingLink
  #cut: Cut | undefined = undefined

  constructor(inner: Transport, link: CuttingLink) {
    this.#inner = inner
    this.#link = link
  }

  start(receiver: TransportReceiver): void {
    this.#inner.start({
      handleData: (chunk, kept) => {
        if (this.#cut !== undefined) return
        const { length, cut } = this.#link.take('down', chunk.length)
        if (length > 0) receiver.handleData(chunk.subarray(0, length), kept)
        if (cut !== undefined) this.#break(cut)
      },
      handleWritten: (total) => receiver.handleWritten(total),
      handleDrain: () => receiver.handleDrain(),
      handleEnd: (error) => receiver.handleEnd(this.#cut?.by === 'RST' ? new Error('ECONNRESET') : error),
    })
  }

  write(chunk: Uint8Array): boolean {
    if (this.#cut !== undefined) return true
    const { length, cut } = this.#link.take('up', chunk.length)
    if (length > 0) this.#inner.write(chunk.subarray(0, length))
    if (cut !== undefined) this.#break(cut)
    return true
  }

  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  end(): void {
    this.#inner.end()
  }

  destroy(): void {
    this.#inner.destroy()
  }

  /** Behind what has passed. */
  #break(cut: Cut): void {
    this.#cut = cut
    this.#inner.end()
  }
}

describe.each(VERSIONS)('a stream of %s', (version) => {
  /** One session in virtual time. */
  async function runVirtual(cut?: Cut): Promise<Traffic & { readonly faults: readonly string[] }> {
    const world = new VirtualWorld()
    const link = new CuttingLink(world.network.dial, cut)
    const client = world.createClient({ ...optionsFor(version, 'session'), dial: link.dial })
    const session = new Session(client, 'session')
    const running = session.run()
    for (let round = 0; round < 20 && !session.isOver; round += 1) await world.advance(5)
    const disconnected = client.disconnect()
    await world.advance(5_000)
    await Promise.all([running, disconnected])
    const faults = [...session.faults(world.broker), ...world.runtime.reported.map(String)]
    if (link.cut !== undefined) faults.push('the stream was not cut')
    return { ...link.passed, faults }
  }

  it('is a session of a few hundred bytes, and nothing is lost when nothing is cut [scenario 22]', async () => {
    const { up, down, faults } = await runVirtual()
    expect(faults).toEqual([])
    expect(up).toBeGreaterThan(80)
    expect(down).toBeGreaterThan(60)
  })

  it.each(WAYS)('is cut at every byte %s: I1, I2, I3 and I6 hold [scenario 22]', async (way) => {
    const total = (await runVirtual())[way]
    const failures: string[] = []
    for (let at = 0; at <= total; at += 1) {
      for (const by of ['FIN', 'RST'] as const) {
        const { faults } = await runVirtual({ way, at, by })
        failures.push(...faults.map((fault) => `${way}, ${at} bytes, ${by}: ${fault}`))
      }
    }
    expect(failures).toEqual([])
  })

  it.each(WAYS)('is cut at every 7th byte %s of a real socket: the same [scenario 22]', async (way) => {
    const server = await startBroker()
    const proxy = await proxies(server.url)
    const total = (await runReal(server, proxy))[way]
    const failures: string[] = []
    for (let at = 0; at <= total; at += 7) {
      const cut: Cut = { way, at, by: at % 2 === 0 ? 'FIN' : 'RST' }
      const { faults } = await runReal(server, proxy, cut)
      failures.push(...faults.map((fault) => `${way}, ${at} bytes, ${cut.by}: ${fault}`))
    }
    expect(failures).toEqual([])
  })

  async function runReal(
    server: BrokerServer,
    proxy: FaultProxy,
    cut?: Cut,
  ): Promise<Traffic & { readonly faults: readonly string[] }> {
    const before = { up: proxy.up.passed, down: proxy.down.passed }
    if (cut !== undefined) proxy[cut.way].set({ limit: { bytes: cut.at, by: cut.by } })
    const name = unique('s')
    const client = createClient(proxy.url, optionsFor(version, name))
    const session = new Session(client, name)
    try {
      await session.run()
      await expect.poll(() => session.isOver, { timeout: 5_000, interval: 1 }).toBe(true)
      // What it still owes for the last message leaves before DISCONNECT, which the broker reads in order.
      await expect.poll(() => server.broker.openExchanges.length, { timeout: 5_000, interval: 1 }).toBe(0)
      await client.disconnect()
      const passed = { up: proxy.up.passed - before.up, down: proxy.down.passed - before.down }
      const faults = [...session.faults(server.broker)]
      if (cut !== undefined && proxy[cut.way].faults.limit !== undefined)
        faults.push('the stream was not cut')
      return { ...passed, faults }
    } finally {
      client.destroy()
    }
  }

  describe('is cut in the middle of', () => {
    it.each(QOS)('a PUBLISH of QoS %i that the client writes, by RST [scenario 19]', async (qos) => {
      const { client, server, proxy, inbox } = await start()
      const sent: string[] = []
      client.on('packet', ({ direction, packet }) => {
        if (direction === 'out' && packet.type === 'publish')
          sent.push(`id ${packet.packetId}${packet.dup ? ' DUP' : ''}`)
      })
      const resumed = resumptionOf(client)
      proxy.up.set({ limit: { bytes: 50, by: 'RST' } })
      const published = client.publish('t', 'x'.repeat(100), { qos })
      expect(await resumed).toMatchObject({ sessionPresent: true })
      // QoS 0 was handed to the network, which is all that its promise says (rule 14 and I1).
      expect(await published).toMatchObject({ reasonCode: 0 })
      await client.publish('t', 'after', { qos: 2 })
      await inbox.untilDistinct(qos === 0 ? 1 : 2)
      expect(inbox.texts).toEqual(qos === 0 ? ['after'] : ['x'.repeat(100), 'after'])
      expect(sent).toEqual(qos === 0 ? ['id 0', 'id 2'] : ['id 2', 'id 2 DUP', 'id 3'])
      await expectDone(server)
    })

    it('QoS 0 of more than the network takes, by RST: what it had not taken rejects [scenario 19]', async () => {
      const { client, server, proxy, inbox } = await start()
      const much = new Uint8Array(16_000_000)
      const resumed = resumptionOf(client)
      proxy.up.set({ limit: { bytes: 1_000_000, by: 'RST' } })
      client.publish('t', much).catch(() => {}) // a part was taken
      await new Promise((resolve) => setImmediate(resolve))
      await expect(client.publish('t', much)).rejects.toMatchObject({ code: 'connection-lost' })
      expect(await resumed).toMatchObject({ sessionPresent: true })
      await client.publish('t', 'after', { qos: 1 })
      await inbox.until(1)
      expect(inbox.texts).toEqual(['after'])
      await expectDone(server)
    })

    it.each(QOS)('a PUBLISH of QoS %i that the server writes, by FIN [scenario 20]', async (qos) => {
      const { client, server, proxy, inbox } = await start()
      const lost = new Promise<{ code: string }>((resolve) => {
        client.on('interrupted', ({ error }) => {
          expect(inbox.texts).toEqual([])
          resolve(error)
        })
      })
      const resumed = resumptionOf(client)
      proxy.down.set({ limit: { bytes: 50, by: 'FIN' } })
      server.broker.publish({ topic: 't', payload: 'x'.repeat(100), qos })
      expect(await lost).toMatchObject({ code: 'connection-lost' })
      expect(await resumed).toMatchObject({ sessionPresent: true })
      server.broker.publish({ topic: 't', payload: 'after', qos: 2 })
      await inbox.untilDistinct(qos === 0 ? 1 : 2)
      const seen = inbox.messages.map(({ text, dup }) => [text.length, dup])
      expect(seen).toEqual(
        qos === 0
          ? [[5, false]]
          : [
              [100, true],
              [5, false],
            ],
      )
      await expectDone(server)
    })
  })

  /** A client that has subscribed, behind a proxy. */
  async function start(): Promise<{ client: Client; server: BrokerServer; proxy: FaultProxy; inbox: Inbox }> {
    const server = await startBroker()
    const proxy = await proxies(server.url)
    const client = createClient(proxy.url, optionsFor(version, 'client'))
    onTestFinished(() => client.destroy())
    const inbox = new Inbox()
    await client.connect()
    await client.subscribe('t', { qos: 2 }, inbox.handle)
    return { client, server, proxy, inbox }
  }
})

/** Every exchange is finished, and nobody has anything to complain of. */
async function expectDone({ broker }: BrokerServer): Promise<void> {
  await expect.poll(() => broker.openExchanges, { timeout: 5_000, interval: 1 }).toEqual([])
  expect(broker.finish()).toEqual([])
}

async function startBroker(): Promise<BrokerServer> {
  const server = createBroker()
  await server.listen()
  onTestFinished(() => server.close())
  return server
}

const resumptionOf = (client: Client): Promise<{ sessionPresent: boolean }> =>
  new Promise((resolve) => client.on('resumed', resolve, { once: true }))

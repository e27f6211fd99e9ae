// Links that are slow, late, or deliver in odd pieces: nothing is lost or comes in another order, and a connection
// that works is not given up. Minutes pass in virtual time, seconds through a real proxy.
import { describe, expect, it, type TestContext } from 'vitest'
import { type Client, createClient, type Dial, type QoS } from '../../src/index.ts'
import type { BrokerOptions } from '../../src/testing/broker/options.ts'
import { type BrokerServer, createBroker } from '../../src/testing/broker-server.ts'
import type { VirtualRuntime } from '../../src/testing/virtual-runtime.ts'
import type { Transport, TransportReceiver } from '../../src/transport/transport.ts'
import { durableOptions, optionsOf, outcomeOf, useWorlds, VERSIONS } from '../support/client-world.ts'
import { Inbox } from '../support/clients.ts'
import { FaultProxy } from '../support/fault-proxy.ts'

const makeWorld = useWorlds()

type Version = (typeof VERSIONS)[number]

async function startBroker(test: TestContext, options?: BrokerOptions): Promise<BrokerServer> {
  const server = createBroker(options)
  await server.listen()
  test.onTestFinished(async () => {
    await server.close()
    expect(server.broker.complaints).toEqual([])
  })
  return server
}

async function startProxy(test: TestContext, { url }: BrokerServer, seed = 1): Promise<FaultProxy> {
  const proxy = await FaultProxy.listen({ port: Number(new URL(url).port) }, { seed })
  test.onTestFinished(() => proxy.close())
  return proxy
}

function clientOf(test: TestContext, url: string, options: Parameters<typeof createClient>[1]): Client {
  const client = createClient(url, options)
  test.onTestFinished(() => client.destroy())
  return client
}

const qosOf = (index: number): QoS => (index % 3 === 0 ? 0 : index % 3 === 1 ? 1 : 2)

describe.each(VERSIONS)('a flood of %s into a slow link', { concurrent: true }, (version) => {
  it('of 100,000 messages: PINGREQ overtakes what waits, nothing is lost, the connection lives [scenario 17]', async (test) => {
    const count = 100_000
    let arrived = 0
    let pingedAt: number | undefined
    const disorder: string[] = []
    const server = await startBroker(test, {
      onMessage: ({ payload }) => {
        const number = Number(Buffer.from(payload.subarray(0, 6)).toString())
        if (number !== arrived) disorder.push(`${number} came as number ${arrived}`)
        arrived += 1
      },
      onPacket: (_direction, packet) => {
        if (packet.type === 'pingreq') pingedAt ??= arrived
      },
    })
    const proxy = await startProxy(test, server)
    const client = clientOf(test, proxy.url, optionsOf(version, { keepAlive: 5 }))
    await client.connect()
    proxy.up.set({ bandwidth: 3_000_000 })
    const filler = 'x'.repeat(200)
    const published = Array.from({ length: count }, (_, index) =>
      client.publish('t', `${String(index).padStart(6, '0')}${filler}`),
    )
    await Promise.all(published)
    await test.expect.poll(() => arrived, { timeout: 40_000 }).toBe(count)
    expect(pingedAt).toBeLessThan(count - 1_000)
    expect(disorder).toEqual([])
    expect(client.statistics.reconnects).toBe(0)
  })

  it('is slowed down by its promises, so that little waits [scenario 17]', async (test) => {
    const server = await startBroker(test)
    const proxy = await startProxy(test, server)
    const client = clientOf(test, proxy.url, optionsOf(version))
    await client.connect()
    proxy.up.set({ bandwidth: 20_000_000 })
    const payload = new Uint8Array(65_536)
    const most = 3 * 2 ** 24
    let [ahead, handed] = [0, 0]
    for (; handed < most; handed += payload.length) {
      await client.publish('t', payload)
      ahead = Math.max(ahead, handed - proxy.up.passed)
    }
    // What systems keep for a connection, which is a few megabytes; the client itself keeps one chunk.
    expect(ahead).toBeLessThan(most / 3)
    expect(client.statistics.reconnects).toBe(0)
  })
})

describe.each(VERSIONS)('what comes to %s', { concurrent: true }, (version) => {
  it.for([
    ['in segments of one byte', { slice: { size: 1 } }, 60, 20],
    ['in lumps of 64 KiB', { latency: 100, slice: { size: 65_536 } }, 900, 400],
  ] as const)('%s is the same as without [scenario 23]', async ([, faults, count, size], test) => {
    const server = await startBroker(test)
    const plain = await deliveriesOf(test, version, server, {}, count, size)
    const other = await deliveriesOf(test, version, server, faults, count, size)
    expect(plain).toHaveLength(count)
    expect(other).toEqual(plain)
  })
})

/** What the handlers see of messages that the server sends at once. */
async function deliveriesOf(
  test: TestContext,
  version: Version,
  server: BrokerServer,
  faults: { readonly slice?: { readonly size: number }; readonly latency?: number },
  count: number,
  size: number,
): Promise<readonly string[]> {
  const proxy = await startProxy(test, server)
  proxy.down.set(faults)
  const client = clientOf(test, proxy.url, optionsOf(version))
  const inbox = new Inbox()
  await client.connect()
  await client.subscribe('t/#', { qos: 2 }, inbox.handle)
  for (let index = 0; index < count; index += 1) {
    const payload = String(index).repeat(index % size)
    server.broker.publish({ topic: `t/${index}`, payload, qos: qosOf(index) })
  }
  await inbox.until(count)
  await test.expect.poll(() => server.broker.openExchanges, { timeout: 5_000, interval: 5 }).toEqual([])
  await client.disconnect()
  expect(client.statistics.reconnects).toBe(0)
  return inbox.messages.map(({ topic, text, qos, dup }) => `${topic} ${qos} ${dup} ${text}`)
}

describe.each(VERSIONS)('a slow and late link of %s', (version) => {
  it('for minutes: no needless reconnect, and the order is kept [scenario 24]', async () => {
    const world = makeWorld(version)
    const slow = { latency: 2_000, jitter: 500, bandwidth: 1_000 }
    const dial: Dial = async (target, signal) =>
      new SlowTransport(await world.network.dial(target, signal), world.runtime, slow)
    const client = world.durable({ dial, keepAlive: 20, operationTimeout: 0 })
    const inbox = new Inbox()
    const connecting = client.connect()
    await world.advance(6_000)
    await connecting
    const subscribing = client.subscribe('t', { qos: 2 }, inbox.handle)
    await world.advance(6_000)
    await subscribing

    const published: Promise<unknown>[] = []
    const publish = (count: number): void => {
      for (let left = count; left > 0; left -= 1) {
        const index = published.length
        published.push(client.publish('t', `${index} ${'x'.repeat(200)}`, { qos: qosOf(index) }))
      }
    }
    // Five minutes of half of what the link takes, a minute and a half of silence, and two minutes' worth at once.
    for (let second = 0; second < 300; second += 1) {
      if (second % 2 === 0) publish(2)
      await world.advance(1_000)
    }
    await world.advance(90_000)
    expect(world.got('pingreq').length).toBeGreaterThanOrEqual(4)
    publish(400)
    await world.advance(300_000)
    await Promise.all(published)

    expect(client.statistics.reconnects).toBe(0)
    expect(world.broker.openExchanges).toEqual([])
    expectOrder(inbox, published.length)
  })

  it('with one message for minutes: as long as the network takes some of it, the peer lives [scenario 17]', async () => {
    const world = makeWorld(version)
    const slow = { latency: 100, jitter: 0, bandwidth: 50_000 }
    const dial: Dial = async (target, signal) =>
      new SlowTransport(await world.network.dial(target, signal), world.runtime, slow)
    const client = world.durable({ dial, keepAlive: 20, operationTimeout: 0 })
    const connecting = client.connect()
    await world.advance(1_000)
    await connecting
    const published = outcomeOf(client.publish('t', new Uint8Array(5_000_000), { qos: 1 }))
    await world.advance(120_000)
    expect(published.state).toBe('resolved')
    expect(client.statistics.reconnects).toBe(0)
  })
})

describe.each(VERSIONS)('a slow and late link of %s', { concurrent: true }, (version) => {
  it('for seconds, and really: the same [scenario 24]', async (test) => {
    const server = await startBroker(test)
    const proxy = await startProxy(test, server, 24)
    const faults = { latency: 150, jitter: 100, bandwidth: 20_000 }
    proxy.up.set(faults)
    proxy.down.set(faults)
    const client = clientOf(test, proxy.url, durableOptions(version, { clientId: 'client', keepAlive: 2 }))
    const inbox = new Inbox()
    await client.connect()
    await client.subscribe('t', { qos: 2 }, inbox.handle)
    const published = Array.from({ length: 200 }, (_, index) =>
      client.publish('t', `${index} ${'x'.repeat(200)}`, { qos: qosOf(index) }),
    )
    await Promise.all(published)
    await inbox.until(200)
    // Idle for longer than the keep-alive: it must ask, and the answer is late but in time.
    await test.expect.poll(() => client.statistics.packetsIn.pingresp, { timeout: 8_000 }).toBeGreaterThan(0)
    expect(client.statistics.reconnects).toBe(0)
    expect(server.broker.connections).toHaveLength(1)
    expectOrder(inbox, 200)
  })
})

/** Every message came once, and those of one QoS in the order of publishing. */
function expectOrder(inbox: Inbox, count: number): void {
  const numbers = (qos: QoS): readonly number[] =>
    inbox.messages.filter((message) => message.qos === qos).map(({ text }) => Number.parseInt(text, 10))
  const all = Array.from({ length: count }, (_, index) => index)
  for (const qos of [0, 1, 2] as const)
    expect(numbers(qos)).toEqual(all.filter((index) => qosOf(index) === qos))
}

interface Slowness {
  /** ms */
  readonly latency: number
  /** ms more at most. */
  readonly jitter: number
  /** Bytes per second. */
  readonly bandwidth: number
}

/** Bytes that may wait to leave. */
const HIGH_WATER = 16_384

/** A stream over a link that is slow and late both ways, in virtual time. */
class SlowTransport implements Transport {
  readonly #inner: Transport
  readonly #runtime: VirtualRuntime
  readonly #up: SlowWay
  readonly #down: SlowWay
  /** Bytes that cross together: those of half a second. */
  readonly #segment: number
  #receiver: TransportReceiver | undefined = undefined
  #written = 0
  #waiting = 0

  constructor(inner: Transport, runtime: VirtualRuntime, slowness: Slowness) {
    this.#inner = inner
    this.#runtime = runtime
    this.#up = new SlowWay(runtime, slowness)
    this.#down = new SlowWay(runtime, slowness)
    this.#segment = slowness.bandwidth / 2
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    this.#inner.start({
      handleData: (chunk) => {
        const copy = chunk.slice()
        this.#down.carry(
          copy.length,
          () => {},
          () => this.#receiver?.handleData(copy, true),
        )
      },
      handleWritten: () => {},
      handleDrain: () => {},
      handleEnd: (error) => {
        this.#receiver = undefined
        receiver.handleEnd(error)
      },
    })
  }

  /** As on Node: it tells that a chunk was written when the last of it has left. */
  write(chunk: Uint8Array): boolean {
    this.#waiting += chunk.length
    for (let at = 0; at < chunk.length; at += this.#segment) {
      const part = chunk.slice(at, at + this.#segment)
      const isLast = at + part.length === chunk.length
      const left = (): void => (isLast ? this.#handleLeft(chunk.length) : undefined)
      this.#up.carry(part.length, left, () => this.#inner.write(part))
    }
    return this.#waiting < HIGH_WATER
  }

  pause(): void {
    throw new Error('this link cannot pause')
  }

  resume(): void {}

  end(): void {
    this.#up.carry(
      0,
      () => {},
      () => this.#inner.end(),
    )
  }

  destroy(): void {
    this.#inner.destroy()
  }

  #handleLeft(length: number): void {
    const wasFull = this.#waiting >= HIGH_WATER
    this.#waiting -= length
    this.#written += length
    this.#receiver?.handleWritten(this.#written)
    if (wasFull && this.#waiting < HIGH_WATER) this.#runtime.defer(() => this.#receiver?.handleDrain())
  }
}

class SlowWay {
  readonly #runtime: VirtualRuntime
  readonly #slowness: Slowness
  #freeAt = 0
  #lastAt = 0

  constructor(runtime: VirtualRuntime, slowness: Slowness) {
    this.#runtime = runtime
    this.#slowness = slowness
  }

  /** So many bytes leave, and later arrive, in order. */
  carry(length: number, left: () => void, arrived: () => void): void {
    const { latency, jitter, bandwidth } = this.#slowness
    const now = this.#runtime.now()
    this.#freeAt = Math.max(this.#freeAt, now) + (1_000 * length) / bandwidth
    this.#lastAt = Math.max(this.#lastAt, this.#freeAt + latency + jitter * this.#runtime.random())
    this.#runtime.setTimer(left, this.#freeAt - now)
    this.#runtime.setTimer(arrived, this.#lastAt - now)
  }
}

// A peer that is gone without a word, and one that was never there: links on which packets vanish, idle, under way
// and at the end; and attempts that are refused, that nobody answers, or whose name nobody knows.
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, expect, it, type TestContext } from 'vitest'
import { type Client, type ClientOptions, createClient } from '../../src/index.ts'
import { type BrokerServer, createBroker } from '../../src/testing/broker-server.ts'
import type { Lookup } from '../../src/transport/dial-options.ts'
import { durableOptions, optionsOf, VERSIONS } from '../support/client-world.ts'
import { Inbox } from '../support/clients.ts'
import {
  describeNetworkNamespace,
  type FarHost,
  type NetworkNamespace,
} from '../support/network-namespace.ts'

/** Seconds. PINGREQ is due 1.5 s after the last byte, and may take 1 s, rules 9 and 10. */
const KEEP_ALIVE = 2
/** ms that a busy machine may add. */
const BUSY = 2_000
const FOUND_WITHIN = 3_000 + BUSY
/** More than any system takes without an answer. */
const MUCH = new Uint8Array(6_000_000)

/** A broker that ends with the test, and has complained of nothing but the silence of a link that was cut. */
async function startBroker(test: TestContext, address = '127.0.0.1', port = 0): Promise<BrokerServer> {
  const server = createBroker()
  await server.listen(port, address)
  test.onTestFinished(async () => {
    await server.close()
    expect(server.broker.complaints.filter(({ rule }) => rule !== 'keep-alive')).toEqual([])
  })
  return server
}

function clientOf(test: TestContext, url: string | readonly string[], options: ClientOptions): Client {
  const client = createClient(url, { keepAlive: KEEP_ALIVE, reconnect: { min: 20, max: 200 }, ...options })
  test.onTestFinished(() => client.destroy())
  return client
}

/** A broker in this process, reached through a host that can vanish. */
async function startBehind(
  test: TestContext,
  network: NetworkNamespace,
): Promise<{ server: BrokerServer; host: FarHost }> {
  const server = await startBroker(test, network.near)
  const host = await network.host({ host: network.near, port: Number(new URL(server.url).port) })
  return { server, host }
}

/** Resolves with the error and the ms that it took to find the connection lost. */
function lossOf(client: Client): Promise<{ error: unknown; after: number }> {
  const since = performance.now()
  return new Promise((resolve) => {
    client.on('interrupted', ({ error }) => resolve({ error, after: performance.now() - since }), {
      once: true,
    })
  })
}

/** The error's code, or undefined when it resolved. */
function settledBy(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error as { code?: unknown }).code,
  )
}

/** QoS 0, of which a part at least is never taken; how the last of it ends. */
async function publishMuch(client: Client): Promise<{ readonly last: Promise<unknown> }> {
  client.publish('t', MUCH).catch(() => {})
  await new Promise((resolve) => setImmediate(resolve))
  return { last: settledBy(client.publish('t', MUCH)) }
}

const resumptionOf = (client: Client): Promise<{ sessionPresent: boolean }> =>
  new Promise((resolve) => client.on('resumed', resolve, { once: true }))

await describeNetworkNamespace('a link on which packets vanish', (network) => {
  describe.each(VERSIONS)('%s', { concurrent: true }, (version) => {
    it('is found dead while idle, within keep-alive and ping time-out, and what was sent is sent again [scenario 12]', async (test) => {
      const { server, host } = await startBehind(test, network())
      const client = clientOf(test, host.url, durableOptions(version, { clientId: 'idle' }))
      const sent: string[] = []
      client.on('packet', ({ direction, packet }) => {
        if (direction === 'out' && packet.type === 'publish')
          sent.push(`QoS ${packet.qos} id ${packet.packetId}${packet.dup ? ' DUP' : ''}`)
      })
      const inbox = new Inbox()
      await client.connect()
      await client.subscribe('#', { qos: 2 }, inbox.handle)

      const lost = lossOf(client)
      await host.cut()
      const published = [1, 2].map((qos) => client.publish('t', `QoS ${qos}`, { qos: qos === 1 ? 1 : 2 }))
      const { error, after } = await lost
      expect(error).toMatchObject({ code: 'ping-timeout' })
      expect(after).toBeLessThan(FOUND_WITHIN)
      expect(after).toBeGreaterThan(2_000)

      const resumed = resumptionOf(client)
      await host.heal()
      client.reconnectNow()
      expect(await resumed).toMatchObject({ sessionPresent: true })
      await Promise.all(published)
      await inbox.untilDistinct(2)
      expect(inbox.texts.toSorted()).toEqual(['QoS 1', 'QoS 2'])
      const [first, second, ...again] = sent
      expect(again).toEqual([`${first} DUP`, `${second} DUP`])
      expect(server.broker.openExchanges.filter(({ from }) => from === 'client')).toEqual([])
    })

    it('is found dead within the same time while QoS 0 is published without pause [scenario 13]', async (test) => {
      const { server, host } = await startBehind(test, network())
      const client = clientOf(test, host.url, optionsOf(version, { clientId: 'busy' }))
      await client.connect()
      const outcomes: Promise<unknown>[] = []
      const publishing = setInterval(() => {
        outcomes.push(client.publish('t', `number ${outcomes.length}`).catch((reason: unknown) => reason))
      }, 5)
      test.onTestFinished(() => clearInterval(publishing))
      const lost = lossOf(client)
      await host.cut()
      const before = outcomes.length
      const { error, after } = await lost
      clearInterval(publishing)
      expect(error).toMatchObject({ code: 'ping-timeout' })
      expect(after).toBeLessThan(FOUND_WITHIN)
      expect(outcomes.length - before).toBeGreaterThan(10)
      await Promise.all(outcomes)

      const resumed = resumptionOf(client)
      await host.heal()
      client.reconnectNow()
      await resumed
      await client.publish('t', 'and on', { qos: 1 })
      expect(server.broker.connectionOf('busy')?.number).toBeGreaterThan(1)
    })

    it('is found dead within the same time while more is written than it takes [scenario 13]', async (test) => {
      const { host } = await startBehind(test, network())
      const client = clientOf(test, host.url, optionsOf(version, { clientId: 'saturated' }))
      await client.connect()
      const lost = lossOf(client)
      await host.cut()
      const { last } = await publishMuch(client)
      const { error, after } = await lost
      expect(error).toMatchObject({ code: 'ping-timeout' })
      expect(after).toBeLessThan(FOUND_WITHIN)
      expect(await last).toBe('ping-timeout')
    })

    it.for([
      ['at once', {}, 2_000],
      ['with a drain', { drain: 300 }, 2_300],
    ] as const)(
      'does not hold up disconnect() %s when QoS 0 is half written [scenario 77]',
      async ([, options, bound], test) => {
        const { host } = await startBehind(test, network())
        const client = clientOf(test, host.url, optionsOf(version, { clientId: 'leaving', keepAlive: 60 }))
        await client.connect()
        await host.cut()
        const { last } = await publishMuch(client)
        const acknowledged = settledBy(client.publish('t', 'acknowledged', { qos: 1 }))
        const began = performance.now()
        await client.disconnect(options)
        const after = performance.now() - began
        expect(after).toBeGreaterThan(1_500)
        expect(after).toBeLessThan(bound + BUSY)
        expect(client.state).toBe('stopped')
        expect(await Promise.all([last, acknowledged])).toEqual(['disconnected', 'disconnected'])
      },
    )

    it('ends an attempt whose SYN vanishes at its time-out; the next ones follow the back-off [scenario 2]', async (test) => {
      const { host } = await startBehind(test, network())
      await host.cut()
      const once = clientOf(test, host.url, optionsOf(version, { connectTimeout: 150 }))
      const expected = {
        code: 'connect-timeout',
        phase: 'tcp',
        message: expect.stringContaining('150 ms') as string,
      }
      await expect(once.connect()).rejects.toMatchObject(expected)

      const reconnect = { min: 20, max: 80, jitter: false }
      const again = clientOf(
        test,
        host.url,
        optionsOf(version, { connectTimeout: 150, retryInitialConnect: true, reconnect }),
      )
      const { failures, three } = failuresOf(again)
      const connected = again.connect()
      await three
      await host.heal()
      await connected
      expect(failures.slice(0, 3).map(({ delay }) => delay)).toEqual([40, 80, 80])
      for (const { error } of failures.slice(0, 3)) expect(error).toMatchObject(expected)
    })

    it('does not keep a client from the other addresses of the name [scenario 2]', async (test) => {
      const { host } = await startBehind(test, network())
      const live = await network().host({ host: network().near, port: host.port }) // has the ports of the other
      expect(live.address).not.toBe(host.address)
      await host.cut()
      const addresses = [host.address, live.address].map((address) => ({ address, family: 4 as const }))
      const lookup: Lookup = (_name, _options, callback) => callback(null, addresses)
      const client = clientOf(
        test,
        `mqtt://broker.test:${host.port}`,
        optionsOf(version, { lookup, connectTimeout: 2_000 }),
      )
      await client.connect()
      expect(client.state).toBe('connected')
    })

    it('does not keep a client from its other URLs [scenario 2]', async (test) => {
      const { host } = await startBehind(test, network())
      const { url } = await startBroker(test)
      await host.cut()
      const options = { connectTimeout: 150, retryInitialConnect: true }
      const client = clientOf(test, [host.url, url], optionsOf(version, options))
      await client.connect({ signal: AbortSignal.timeout(2_000) })
      expect(client.state).toBe('connected')
    })
  })
})

describe('a server that cannot be reached', () => {
  describe.each(VERSIONS)('%s', { concurrent: true }, (version) => {
    it('refuses: the error says so, the attempts follow the back-off, and the server is found when it comes [scenario 2]', async (test) => {
      const port = await closedPort()
      const url = `mqtt://127.0.0.1:${port}`
      const expected = {
        code: 'connect-failed',
        phase: 'tcp',
        message: expect.stringContaining(`127.0.0.1:${port}`) as string,
        cause: { code: 'ECONNREFUSED' },
      }
      await expect(clientOf(test, url, optionsOf(version)).connect()).rejects.toMatchObject(expected)

      const reconnect = { min: 20, max: 80, jitter: false }
      const client = clientOf(test, url, optionsOf(version, { retryInitialConnect: true, reconnect }))
      const { failures, three } = failuresOf(client)
      const connected = client.connect()
      await three
      await startBroker(test, '127.0.0.1', port)
      await connected
      expect(failures.slice(0, 3).map(({ delay }) => delay)).toEqual([40, 80, 80])
      for (const { error } of failures) expect(error).toMatchObject(expected)
    })

    it('refuses, and the next URL is taken in the same attempt [scenario 2]', async (test) => {
      const { url } = await startBroker(test)
      const client = clientOf(test, [`mqtt://127.0.0.1:${await closedPort()}`, url], optionsOf(version))
      await client.connect()
      expect(client.state).toBe('connected')
    })

    it('takes the connection and is mute: the next URL is taken when its time is over [scenario 2]', async (test) => {
      const mute = createServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1')
      await once(mute, 'listening')
      test.onTestFinished(() => void mute.close())
      const { port } = mute.address() as AddressInfo
      const { url } = await startBroker(test)
      const client = clientOf(
        test,
        [`mqtt://127.0.0.1:${port}`, url],
        optionsOf(version, { connectTimeout: 150 }),
      )
      await client.connect({ signal: AbortSignal.timeout(5_000) })
      expect(client.state).toBe('connected')
    })

    it('has a name that does not resolve: the error says so, and the server is found when it does [scenario 2]', async (test) => {
      const { url } = await startBroker(test)
      const { port } = new URL(url)
      let isKnown = false
      const lookup: Lookup = (name, _options, callback) => {
        const reason = Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' })
        callback(isKnown ? null : reason, isKnown ? [{ address: '127.0.0.1', family: 4 }] : [])
      }
      const reconnect = { min: 20, max: 80, jitter: false }
      const options = optionsOf(version, { lookup, retryInitialConnect: true, reconnect })
      const client = clientOf(test, `mqtt://broker.test:${port}`, options)
      const { failures, three } = failuresOf(client)
      const connected = client.connect()
      await three
      isKnown = true
      await connected
      expect(failures.slice(0, 3).map(({ delay }) => delay)).toEqual([40, 80, 80])
      for (const { error } of failures) {
        expect(error).toMatchObject({
          code: 'connect-failed',
          phase: 'dns',
          message: expect.stringContaining('broker.test') as string,
          cause: { code: 'ENOTFOUND' },
        })
      }
    })
  })
})

function failuresOf(client: Client): {
  failures: { error: unknown; delay: number | undefined }[]
  three: Promise<void>
} {
  const failures: { error: unknown; delay: number | undefined }[] = []
  const three = new Promise<void>((resolve) => {
    client.on('connectFailed', (failure) => {
      failures.push(failure)
      if (failures.length === 3) resolve()
    })
  })
  return { failures, three }
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a port was expected')
  return address.port
}

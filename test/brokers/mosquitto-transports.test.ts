// mosquitto in every way that it listens: messages through each, between them, through proxies, and what it says of
// certificates and of ports that are for something else. Payloads stay below 60 KB: mosquitto 2.0.11 gets stuck when a
// WebSocket client that subscribes to its own topic publishes 200 KB.
import { afterEach, describe, expect, it } from 'vitest'
import {
  type Client,
  type ClientOptions,
  ClientPool,
  type Message,
  type ProtocolVersion,
} from '../../src/index.ts'
import { Authority } from '../support/certificates.ts'
import { nextEvent, refusalOf } from '../support/client-outcomes.ts'
import { Inbox, unique, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'
import { type Way, WAYS } from '../support/mosquitto-listeners.ts'
import { httpProxy, socksProxy } from '../support/proxies.ts'
import { useServers, Waiters } from '../support/streams.ts'

const QOS = [0, 1, 2] as const

describeMosquitto('mosquitto', 'listening', (broker) => {
  const servers = useServers()
  const clients: Client[] = []
  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy()
  })

  function clientOf(url: string, version: ProtocolVersion, options: ClientOptions = {}): Client {
    const common = { clientId: unique('way'), connectTimeout: 10_000, reconnect: { min: 20, max: 100 } }
    const client = new ClientPool().createClient(url, {
      ...common,
      ...options,
      protocolVersion: version,
    } as ClientOptions)
    clients.push(client)
    return client
  }

  const certificate = (): { cert: string; key: string } =>
    broker().listeners.authority.issue({ names: ['ours'] })
  const trusting = (): { ca: string } => ({ ca: broker().listeners.authority.cert })

  async function connected(way: Way, version: ProtocolVersion, options: ClientOptions = {}): Promise<Client> {
    const tls = { ...trusting(), ...(way.includes('certificate') ? certificate() : {}) }
    const client = clientOf(broker().listeners.url(way), version, { tls, ...options } as ClientOptions)
    await client.connect()
    return client
  }

  describe.each(VERSIONS)('%s', (version) => {
    it.each(WAYS)('carries messages of each QoS and 50 KB over %s', async (way) => {
      const topic = unique('way')
      const client = await connected(way, version)
      const messages: Message[] = []
      const waiters = new Waiters()
      await client.subscribe(topic, { qos: 2 }, (message) => {
        messages.push(message)
        waiters.check()
      })
      const payload = Uint8Array.from({ length: 50_000 }, (_, index) => (index * 7919) >>> 3)
      for (const qos of QOS) await client.publish(topic, payload, { qos })
      await waiters.until(() => messages.length >= QOS.length)
      expect(messages.map(({ qos }) => qos)).toEqual([...QOS])
      expect(messages.every((message) => Buffer.compare(message.payload, payload) === 0)).toBe(true)
      await client.disconnect()
      expect(client.state).toBe('stopped')
    })

    it('carries 300 messages from each way to all others, in order', async () => {
      const topic = unique('all')
      const all = await Promise.all(WAYS.map((way) => connected(way, version)))
      const inboxes = all.map(() => new Inbox())
      await Promise.all(
        all.map((client, index) => client.subscribe(topic, { qos: 1 }, inboxes[index]?.handle)),
      )
      const each = Array.from({ length: 300 }, (_, index) => index)
      await Promise.all(
        all.map((client, from) =>
          Promise.all(each.map((number) => client.publish(topic, `${from} ${number}`, { qos: 1 }))),
        ),
      )
      for (const inbox of inboxes) {
        await inbox.until(WAYS.length * each.length)
        for (const from of all.keys()) {
          const mine = inbox.texts.filter((text) => text.startsWith(`${from} `))
          expect(mine).toEqual(each.map((number) => `${from} ${number}`))
        }
      }
    })

    it.each(['mqtts', 'wss', 'unix'] as const)(
      'is resumed over %s when the connection was cut',
      async (way) => {
        const topic = unique('resumed')
        const durable =
          version === '5'
            ? { cleanStart: false, sessionExpiryInterval: 60 }
            : ({ cleanSession: false } as const)
        const client = await connected(way, version, durable as ClientOptions)
        const inbox = new Inbox()
        await client.subscribe(topic, { qos: 1 }, inbox.handle)
        const back = nextEvent(client, 'connected')
        // mosquitto ends the connection of the one that has the name already, and this one takes it back.
        const other = clientOf(broker().listeners.url('mqtt'), version, {
          ...durable,
          clientId: client.clientId,
          reconnect: false,
        } as ClientOptions)
        await other.connect()
        expect(await back).toMatchObject({ sessionPresent: true })
        await client.publish(topic, 'again', { qos: 1 })
        await inbox.until(1)
        expect(inbox.texts).toEqual(['again'])
      },
    )

    it.each([
      ['http', 'mqtt'],
      ['http', 'mqtts'],
      ['http', 'ws'],
      ['http', 'wss'],
      ['socks5', 'mqtt'],
      ['socks5', 'mqtts'],
      ['socks5', 'ws'],
      ['socks5', 'wss'],
    ] as const)('goes through a proxy of %s:// to %s://', async (kind, way) => {
      const proxy = (kind === 'http' ? httpProxy : socksProxy)({ login: 'ada:lovelace' })
      const port = await servers.listen(proxy.server)
      const url = new URL(broker().listeners.url(way))
      // Only the proxy knows where this is.
      const through = `${url.protocol}//broker.test:${url.port}`
      const client = clientOf(through, version, {
        proxy: `${kind}://ada:lovelace@localhost:${port}`,
        tls: { ...trusting(), servername: 'localhost' },
      })
      await client.connect()
      expect(await client.ping()).toBeGreaterThan(0)
      expect(proxy.asked).toEqual([`broker.test:${url.port}`])
    })

    it("tells what is wrong with the broker's certificate, and with ours", async () => {
      const { listeners } = broker()
      const stranger = new Authority('Stranger')
      const refused = async (way: Way, tls: object): Promise<Error> => {
        const error = await refusalOf(clientOf(listeners.url(way), version, { tls }))
        expect(error).toMatchObject({ name: 'ConnectionError', phase: 'tls' })
        return error
      }
      for (const way of ['mqtts', 'wss'] as const)
        expect((await refused(way, { ca: stranger.cert })).message).toContain('the certificate is untrusted')
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        const none = await refused('mqtts with a certificate', { ...trusting(), maxVersion })
        expect(none.message).toContain('tls.cert and tls.key')
        const foreign = { ...trusting(), ...stranger.issue(), maxVersion }
        expect((await refused('mqtts with a certificate', foreign)).message).toContain('tls.cert and tls.key')
      }
    })

    it.each([
      ['mqtt', 'mqtts', 'is the port one for what the URL says'],
      ['mqtt', 'wss', 'is the port one for what the URL says'],
      ['mqtt', 'ws', 'connect to this port by ws:// or wss://'],
      ['mqtts', 'mqtt', 'TLS on this port'],
      ['mqtts', 'ws', 'TLS on this port'],
      ['mqtts', 'wss', 'connect to this port by ws:// or wss://'],
      ['ws', 'mqtt', 'does it speak WebSocket on this port'],
      ['ws', 'mqtts', 'does it speak WebSocket on this port'],
      ['wss', 'mqtts', 'does it speak WebSocket on this port'],
      ['wss', 'ws', 'TLS on this port'],
    ] as const)('%s:// to its port for %s:// is told so', async (scheme, way, text) => {
      const { port } = new URL(broker().listeners.url(way))
      const url = `${scheme}://localhost:${port}`
      const error = await refusalOf(clientOf(url, version, { tls: trusting(), connectTimeout: 3_000 }))
      expect(error.name).toBe('ConnectionError')
      expect(error.message).toContain(text)
    })
  })
})

// MQTT over TLS: certificates that will not do, in both directions, handshakes that stall, streams that end without
// the word that TLS has for it; URLs and ports that do not fit together; and what is left when all of it is over.
import net from 'node:net'
import tls from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Client, type ClientOptions, ClientPool, type ProtocolVersion } from '../../src/index.ts'
import { Authority } from '../support/certificates.ts'
import { nextEvent, refusalOf } from '../support/client-outcomes.ts'
import { collect, VERSIONS } from '../support/client-world.ts'
import { Inbox, Program } from '../support/clients.ts'
import { hex } from '../support/codec/hex.ts'
import { httpProxy, socksProxy } from '../support/proxies.ts'
import { ACCEPTED, publishOf } from '../support/raw-broker.ts'
import { useServers } from '../support/streams.ts'
import { webSocketServer } from '../support/websocket-server.ts'

const servers = useServers()
const authority = new Authority('Authority')
const stranger = new Authority('Stranger')
const identity = authority.issue()
const trusting = { ca: authority.cert }

const clients: Client[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

function clientOf(
  url: string | readonly string[],
  version: ProtocolVersion,
  options: ClientOptions = {},
): Client {
  const common = { clientId: 'client', connectTimeout: 2_000, reconnect: { min: 10, max: 20 } }
  const client = new ClientPool().createClient(url, {
    ...common,
    ...options,
    protocolVersion: version,
  } as ClientOptions)
  clients.push(client)
  return client
}

interface Broker {
  readonly url: string
  /** What came inside of TLS, in all. */
  readonly heard: Buffer[]
  /** Its ends of the connections, in TLS and below. */
  readonly secured: tls.TLSSocket[]
  readonly raw: net.Socket[]
}

/** A server that accepts whoever says anything. */
async function broker(version: ProtocolVersion, options: tls.TlsOptions = identity): Promise<Broker> {
  const [heard, secured, raw]: [Buffer[], tls.TLSSocket[], net.Socket[]] = [[], [], []]
  const server = tls.createServer(options, (socket) => {
    secured.push(socket)
    socket.on('error', () => {})
    socket.on('data', (chunk) => heard.push(chunk))
    socket.once('data', () => socket.write(ACCEPTED[version]))
  })
  server.on('connection', (socket: net.Socket) => raw.push(socket))
  return { url: `mqtts://localhost:${await servers.listen(server)}`, heard, secured, raw }
}

describe.each(VERSIONS)('the certificate of a server in %s', (version) => {
  it('that is good lets MQTT through', async () => {
    const { url, secured } = await broker(version)
    const client = clientOf(url, version, { tls: trusting })
    await client.connect()
    const inbox = new Inbox()
    client.on('message', inbox.handle)
    secured[0]?.write(publishOf(version, 0x30, '', 'hello'))
    await inbox.until(1)
    expect(inbox.texts).toEqual(['hello'])
  })

  it.each([
    ['untrusted', identity, { ca: stranger.cert }],
    ['expired', authority.issue({ days: [-3, -1] }), trusting],
    ['not valid yet', authority.issue({ days: [1, 3] }), trusting],
    ['for another host', authority.issue({ names: ['elsewhere.example'] }), trusting],
  ] as const)(
    'that is %s fails the attempt and is named; no CONNECT is sent [scenario 26]',
    async (what, certificate, tlsOptions) => {
      const { url, heard } = await broker(version, certificate)
      const client = clientOf(url, version, { tls: tlsOptions })
      const error = await refusalOf(client)
      expect(error).toMatchObject({ name: 'ConnectionError', code: 'connect-failed', phase: 'tls' })
      expect(error.message).toContain(what)
      await servers.idle()
      expect(heard).toEqual([])
    },
  )

  it('that is refused is tried again, and taken when it has been renewed [scenario 26]', async () => {
    const server = tls.createServer(authority.issue({ days: [-3, -1] }), (socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.write(ACCEPTED[version]))
    })
    const url = `mqtts://localhost:${await servers.listen(server)}`
    const client = clientOf(url, version, { tls: trusting, retryInitialConnect: true })
    const failed = collect(client, 'connectFailed')
    client.on('connectFailed', ({ attempt }) => void (attempt === 2 && server.setSecureContext(identity)))
    await client.connect()
    expect(failed).toHaveLength(2)
    expect(String(failed[1]?.error)).toContain('expired')
  })
})

describe.each(VERSIONS)('our certificate in %s', (version) => {
  const wanting: tls.TlsOptions = {
    ...identity,
    requestCert: true,
    rejectUnauthorized: true,
    ca: authority.cert,
  }

  it('is shown to a server that wants it', async () => {
    const { url } = await broker(version, wanting)
    const client = clientOf(url, version, { tls: { ...trusting, ...authority.issue({ names: ['ours'] }) } })
    await client.connect()
    expect(client.state).toBe('connected')
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'that is missing is named, and no CONNECT is heard, in %s [scenario 26]',
    async (maxVersion) => {
      const { url, heard } = await broker(version, { ...wanting, maxVersion })
      const error = await refusalOf(clientOf(url, version, { tls: trusting }))
      expect(error).toMatchObject({ name: 'ConnectionError', phase: 'tls' })
      expect(error.message).toContain('tls.cert and tls.key')
      await servers.idle()
      expect(heard).toEqual([])
    },
  )
})

describe.each(VERSIONS)('a stream of TLS in %s', (version) => {
  it('whose handshake stalls costs the connect time-out; nothing is left open [scenario 26]', async () => {
    const port = await servers.serve((socket) => void socket.resume())
    const client = clientOf(`mqtts://localhost:${port}`, version, { connectTimeout: 150 })
    const since = performance.now()
    const error = await refusalOf(client)
    expect(performance.now() - since).toBeGreaterThan(145)
    expect(error).toMatchObject({ name: 'ConnectionError', code: 'connect-timeout', phase: 'tls' })
    expect(error.message).toContain('the TLS handshake was not answered')
    await servers.idle()
  })

  it('whose handshake stalls half-way costs no more [scenario 26]', async () => {
    const { url } = await broker(version)
    // The first 500 bytes of the server's answer are all that comes.
    const port = await servers.serve((socket) => {
      const server = net.connect(Number(new URL(url).port), '127.0.0.1')
      server.on('error', () => {})
      socket.on('close', () => server.destroy())
      socket.pipe(server)
      let left = 500
      server.on('data', (chunk) => {
        socket.write(chunk.subarray(0, left))
        left -= Math.min(left, chunk.length)
      })
    })
    const client = clientOf(`mqtts://localhost:${port}`, version, { tls: trusting, connectTimeout: 150 })
    expect(await refusalOf(client)).toMatchObject({ code: 'connect-timeout', phase: 'tls' })
    await servers.idle()
  })

  it.each([
    ['FIN without close_notify', (raw: net.Socket): void => void raw.end(), undefined],
    ['RST', (raw: net.Socket): void => void raw.resetAndDestroy(), 'ECONNRESET'],
  ] as const)(
    'that ends by %s in the middle of a packet: that is dropped, and the client comes back [scenario 26]',
    async (_what, end, code) => {
      const { url, secured, raw } = await broker(version)
      const client = clientOf(url, version, { tls: trusting })
      await client.connect()
      const inbox = new Inbox()
      client.on('message', inbox.handle)
      const lost = nextEvent(client, 'disconnected')
      const back = nextEvent(client, 'connected')
      const whole = publishOf(version, 0x30, '', 'whole')
      const half = publishOf(version, 0x30, '', 'half')
      secured[0]?.write(Buffer.concat([whole, half.subarray(0, half.length - 1)]))
      await inbox.until(1)
      const [socket] = raw
      if (socket === undefined) throw new Error('there is no connection')
      end(socket)
      const { error } = await lost
      expect(error).toMatchObject({ name: 'ConnectionError', code: 'connection-lost', phase: 'established' })
      expect((error?.cause as { code?: string } | undefined)?.code).toBe(code)
      await back
      expect(inbox.texts).toEqual(['whole'])
      await servers.open(1)
    },
  )

  it('that is renegotiated goes on, and one that is cut in a renegotiation is lost [scenario 26]', async () => {
    const { url, secured, raw } = await broker(version, { ...identity, maxVersion: 'TLSv1.2' })
    const client = clientOf(url, version, { tls: trusting })
    await client.connect()
    const inbox = new Inbox()
    client.on('message', inbox.handle)
    const [socket] = secured
    if (socket === undefined) throw new Error('there is no connection')
    await new Promise<void>((resolve, reject) => {
      socket.renegotiate({}, (error) => (error === null ? resolve() : reject(error)))
    })
    socket.write(publishOf(version, 0x30, '', 'behind'))
    await inbox.until(1)
    const back = nextEvent(client, 'connected')
    const lost = nextEvent(client, 'disconnected')
    socket.renegotiate({}, () => {})
    raw[0]?.destroy()
    expect((await lost).error).toMatchObject({ code: 'connection-lost', phase: 'established' })
    await back
    expect(client.state).toBe('connected')
  })

  it('is resumed when the client comes back', async () => {
    const { url, secured, raw } = await broker(version)
    const client = clientOf(url, version, { tls: trusting })
    await client.connect()
    const reused: boolean[] = [secured[0]?.isSessionReused() ?? true]
    const back = nextEvent(client, 'connected')
    raw[0]?.resetAndDestroy()
    await back
    reused.push(secured[1]?.isSessionReused() ?? false)
    expect(reused).toEqual([false, true])
  })
})

describe.each(VERSIONS)('a URL of another kind than the port (%s)', (version) => {
  it('mqtt:// to a TLS server: what it answers is an alert, and the error says so', async () => {
    const alert = hex('15 03 03 00 02 02 46')
    const port = await servers.serve((socket) => void socket.once('data', () => socket.end(alert)))
    const error = await refusalOf(clientOf(`mqtt://127.0.0.1:${port}`, version))
    expect(error).toMatchObject({ name: 'ConnectionError', code: 'connect-failed', phase: 'connack' })
    expect(error.message).toContain('connect to this port by mqtts:// or wss://')
    await servers.idle()
  })

  it.each([
    ['closes', (socket: net.Socket) => void socket.end(), 'the server closed the connection before CONNACK'],
    [
      'resets',
      (socket: net.Socket) => void socket.resetAndDestroy(),
      'the connection was lost: read ECONNRESET',
    ],
  ])(
    'mqtt:// to a server that %s without a word: the error says what to look at',
    async (_what, end, text) => {
      const port = await servers.serve((socket) => void socket.once('data', () => end(socket)))
      const error = await refusalOf(clientOf(`mqtt://127.0.0.1:${port}`, version))
      expect(error).toMatchObject({ name: 'ConnectionError', code: 'connection-lost', phase: 'connack' })
      expect(error.message).toContain(`${text}; is the port one for what the URL says`)
    },
  )

  it.each([
    ['mqtt', 'mqtts', 'connack', 'is the port one for what the URL says'],
    ['ws', 'mqtts', 'websocket', 'does it speak WebSocket on this port, and TLS or not as the URL says?'],
    ['mqtt', 'wss', 'connack', 'is the port one for what the URL says'],
    ['mqtts', 'mqtt', 'tls', 'TLS on this port'],
    ['mqtts', 'ws', 'tls', 'TLS on this port'],
    ['wss', 'ws', 'tls', 'TLS on this port'],
    ['mqtts', 'wss', 'connack', 'ws:// or wss://'],
    ['wss', 'mqtts', 'websocket', 'does it speak WebSocket on this port'],
  ])(
    '%s:// to a port for %s:// fails in phase %s, and nothing is left open',
    async (scheme, kind, phase, text) => {
      const bad = Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')
      const mqtt = (socket: net.Socket): void => {
        socket.on('error', () => {})
        // As brokers do with what is no CONNECT.
        socket.once('data', (chunk) =>
          chunk[0] === 0x10 ? socket.write(ACCEPTED[version]) : socket.destroy(),
        )
      }
      const ws = (socket: net.Socket): void => {
        socket.on('error', () => {})
        socket.once('data', (chunk) =>
          chunk.toString().startsWith('GET ') ? socket.resume() : socket.end(bad),
        )
      }
      const server = {
        mqtt: () => net.createServer(mqtt),
        mqtts: () => tls.createServer(identity, mqtt),
        ws: () => net.createServer(ws),
        wss: () => tls.createServer(identity, ws),
      }[kind]
      if (server === undefined) throw new Error(kind)
      const url = `${scheme}://localhost:${await servers.listen(server())}`
      const error = await refusalOf(clientOf(url, version, { tls: trusting }))
      expect(error).toMatchObject({ name: 'ConnectionError', phase })
      expect(error.message).toContain(text)
      await servers.idle()
    },
  )

  it('several URLs: those that fail are passed over, whatever is wrong with them', async () => {
    const { url } = await broker(version)
    const mute = await servers.serve((socket) => void socket.resume())
    const expired = await broker(version, authority.issue({ days: [-3, -1] }))
    const proxied = await servers.listen(webSocketServer(() => {}, { answer: () => ['HTTP/1.1 401 No'] }))
    const urls = [`mqtt://127.0.0.1:${mute}`, expired.url, `ws://127.0.0.1:${proxied}`, url]
    const client = clientOf(urls, version, { tls: trusting, connectTimeout: 1_000 })
    await client.connect()
    expect(client.state).toBe('connected')
    await servers.open(1)
  })
})

describe('a process in which connections have failed in every way', () => {
  const source = `
  for (const [url, options] of JSON.parse(args[0])) {
    const client = petrel.createClient(url, { connectTimeout: 300, reconnect: false, ...options })
    await client.connect().then(() => say('connected', { url }), (error) => say('failed', { url, text: error.message, phase: error.phase }))
  }
  say('done')
  `
  let program: Program | undefined
  beforeAll(async () => {
    program = await Program.build(source)
  })
  afterAll(() => program?.remove())

  it('ends by itself: no socket and no timer is left', async () => {
    const answering = (answer: (socket: net.Socket) => void): Promise<number> =>
      servers.serve((socket) => void socket.once('data', () => answer(socket)))
    const mute = await servers.serve((socket) => void socket.resume())
    const closing = await answering((socket) => socket.end())
    const resetting = await answering((socket) => void socket.resetAndDestroy())
    const rubbish = await answering((socket) => void socket.write('rubbish'.repeat(10)))
    const refusing = await answering((socket) => void socket.write('HTTP/1.1 401 Unauthorized\r\n\r\n'))
    const { url } = await broker('5', authority.issue({ days: [-3, -1] }))
    const proxies = [
      await servers.listen(httpProxy({ login: 'a:b' }).server),
      await servers.listen(socksProxy().server),
    ]
    const ports = [mute, closing, resetting, rubbish, refusing]
    const attempts: [string, object][] = ports.flatMap((port) =>
      ['mqtt', 'mqtts', 'ws', 'wss'].map((scheme): [string, object] => [`${scheme}://localhost:${port}`, {}]),
    )
    for (const scheme of ['http', 'https', 'socks5'])
      for (const port of ports)
        attempts.push(['mqtt://broker.test:1', { proxy: `${scheme}://localhost:${port}` }])
    attempts.push([url, {}], [url, { tls: { ca: authority.cert } }], [url, { tls: { ca: '/nowhere' } }])
    attempts.push(['mqtt://broker.test:1', { proxy: `http://localhost:${proxies[0]}` }])
    attempts.push(['mqtt://broker.test:1', { proxy: `socks5://localhost:${proxies[1]}` }])
    attempts.push(['mqtt://nowhere.invalid:1', {}], ['unix:/nowhere/petrel.sock', {}])
    const running = program?.run(JSON.stringify(attempts))
    expect(await running?.ended).toBe(0)
    expect(running?.errors).toBe('')
    expect(running?.of('connected')).toEqual([])
    expect(running?.of('failed')).toHaveLength(attempts.length)
    expect(running?.of('failed').filter(({ phase }) => phase === undefined)).toEqual([])
    await servers.open(0)
  })
})

import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, it } from 'vitest'
import { Authority } from '../../test/support/certificates.ts'
import { httpProxy, type ProxyOptions, socksProxy, type TestProxy } from '../../test/support/proxies.ts'
import { Dialer, echo, useServers } from '../../test/support/streams.ts'
import { webSocketServer, BINARY, frame } from '../../test/support/websocket-server.ts'
import { ConnectionError } from '../core/errors.ts'
import type { DialTarget } from './transport.ts'

const servers = useServers()
const authority = new Authority('Authority')
const broker = authority.issue({ names: ['broker.test', '127.0.0.1'] })
const proxyIdentity = authority.issue({ names: ['localhost'] })
const client = authority.issue({ names: ['client'] })

type Options = DialTarget['options']

/** A server that sends back what comes, for each scheme. */
const BROKERS: Readonly<Record<string, () => net.Server>> = {
  mqtt: () => net.createServer(echo),
  mqtts: () => tls.createServer(broker, echo),
  ws: () => webSocketServer(echoFrames),
  wss: () => webSocketServer(echoFrames, { secure: broker }),
}

const echoFrames: Parameters<typeof webSocketServer>[0] = (peer) => {
  peer.onBinary = (payload) => peer.send(frame(BINARY, payload))
}

/** Each kind of proxy: how it is made, and its URL. */
const PROXIES: Readonly<
  Record<
    string,
    { make: (options?: ProxyOptions) => TestProxy; url: (port: number, login?: string) => string }
  >
> = {
  http: { make: httpProxy, url: (port, login = '') => `http://${login}localhost:${port}` },
  https: {
    make: (options) =>
      httpProxy({ ...options, secure: { ...proxyIdentity, requestCert: true, rejectUnauthorized: false } }),
    url: (port, login = '') => `https://${login}localhost:${port}`,
  },
  socks5: { make: socksProxy, url: (port, login = '') => `socks5://${login}localhost:${port}` },
}

const SCHEMES = Object.keys(BROKERS)
const KINDS = Object.keys(PROXIES)

async function start(
  scheme: string,
  kind: string,
  options?: ProxyOptions,
): Promise<{ url: string; port: number; proxy: TestProxy; proxyPort: number }> {
  const server = BROKERS[scheme]?.()
  const proxy = PROXIES[kind]?.make(options)
  if (server === undefined || proxy === undefined) throw new Error(`${scheme} through ${kind}`)
  const port = await servers.listen(server)
  const proxyPort = await servers.listen(proxy.server)
  return { url: `${scheme}://broker.test:${port}/mqtt`, port, proxy, proxyPort }
}

const urlOf = (kind: string, port: number, login?: string): string => PROXIES[kind]?.url(port, login) ?? ''

async function failure(url: string, options: Options): Promise<Error> {
  const error = await new Dialer().failure(url, options)
  expect(error).toBeInstanceOf(ConnectionError)
  expect(error).toMatchObject({ code: 'connect-failed', phase: 'proxy' })
  return error
}

describe.each(KINDS)('%s', (kind) => {
  it.each(SCHEMES)('carries %s, and resolves the name', async (scheme) => {
    const { url, port, proxy, proxyPort } = await start(scheme, kind)
    const { transport, receiver } = await new Dialer().open(url, {
      proxy: urlOf(kind, proxyPort),
      tls: { ca: authority.cert },
    })
    const text = 'hello'.repeat(10_000)
    transport.write(Buffer.from(text))
    await receiver.until(() => receiver.received.length >= text.length)
    expect(receiver.received).toBe(text)
    expect(proxy.asked).toEqual([`broker.test:${port}`])
    transport.destroy()
    await servers.idle()
  })

  it.each([
    ['127.0.0.1', '127.0.0.1'],
    ['[::1]', '[::1]'],
    ['[2001:db8::7]', '[2001:db8::7]'],
  ])('is asked for the address %s', async (host, asked) => {
    const { proxy, proxyPort } = await start('mqtt', kind)
    // Nothing listens there.
    await failure(`mqtt://${host}:1`, { proxy: urlOf(kind, proxyPort), tls: { ca: authority.cert } })
    const [host6 = ''] = proxy.asked
    expect(new URL(`http://${host6}`).hostname).toBe(asked)
  })

  it('is told user and password', async () => {
    const { url, proxyPort } = await start('mqtt', kind, { login: 'ada:l=v:e' })
    const options = { tls: { ca: authority.cert } }
    const proxy = urlOf(kind, proxyPort, 'ada:l%3Dv%3Ae@')
    const { transport } = await new Dialer().open(url, { ...options, proxy })
    transport.destroy()
    const wrong = await failure(url, { ...options, proxy: urlOf(kind, proxyPort, 'ada:byron@') })
    expect(wrong.message).toContain('it does not accept user and password')
    expect(wrong.message).not.toContain('byron')
    const none = await failure(url, { ...options, proxy: urlOf(kind, proxyPort) })
    expect(none.message).toContain('give user and password in the option proxy')
    await servers.idle()
  })

  it('that does not reach the broker says so', async () => {
    const { proxyPort } = await start('mqtt', kind)
    const options = { proxy: urlOf(kind, proxyPort), tls: { ca: authority.cert } }
    const error = await failure('mqtt://broker.test:1', options)
    const text = kind === 'socks5' ? 'the connection was refused' : 'it answered 502 Bad Gateway'
    expect(error.message).toBe(
      `the proxy localhost:${proxyPort} made no connection to broker.test:1: ${text}`,
    )
    await servers.idle()
  })

  it('that is not there is an error of phase proxy', async () => {
    const error = await failure('mqtt://broker.test:1883', { proxy: urlOf(kind, 1) })
    expect(error.message).toContain('the proxy was not reached: no connection to localhost:1')
  })

  it.each([
    ['ends the stream before anything was said', (socket: net.Socket) => void socket.resume().end()],
    ['ends the stream', (socket: net.Socket) => void socket.once('data', () => socket.end())],
    ['resets the stream', (socket: net.Socket) => void socket.once('data', () => socket.resetAndDestroy())],
    [
      'answers rubbish',
      (socket: net.Socket) => void socket.once('data', () => socket.write('rubbish, no end of it')),
    ],
  ])('that %s is an error, and nothing is left open', async (_what, answer) => {
    const port = await servers.serve(answer)
    const error = await failure('mqtt://broker.test:1883', { proxy: urlOf(kind, port) })
    expect(error.message).toContain(`localhost:${port}`)
    await servers.idle()
  })

  it('that is mute ends with the signal, and nothing is left open', async () => {
    const port = await servers.serve((socket) => void socket.resume())
    const controller = new AbortController()
    const reason = new Error('enough')
    const dialing = new Dialer().failure(
      'mqtt://broker.test:1883',
      { proxy: urlOf(kind, port) },
      controller.signal,
    )
    await servers.open(1)
    controller.abort(reason)
    expect(await dialing).toBe(reason)
    await servers.idle()
  })
})

describe('what a proxy answers', () => {
  const answering = (answer: string | Uint8Array, rest?: Uint8Array): Promise<number> =>
    servers.serve((socket) => {
      socket.once('data', () => {
        socket.write(answer)
        if (rest !== undefined) socket.once('data', () => socket.write(rest))
      })
    })

  it.each([
    ['HTTP/1.1 403 Forbidden\r\n\r\n', 'it answered 403 Forbidden'],
    ['HTTP/1.1 503\r\n\r\n', 'it answered 503'],
    ['SSH-2.0-OpenSSH_9.2\r\n', 'it does not answer in HTTP: check its URL'],
    [Uint8Array.of(0x15, 3, 3, 0, 2, 2, 70), 'it does not answer in HTTP: check its URL'],
    ['HTTP/1.1 200 OK\r\n\r\nmore', 'more than its answer came'],
    [`HTTP/1.1 200 OK\r\n${'x'.repeat(20_000)}`, 'its answer does not end'],
  ])('of HTTP, form %#', async (answer, text) => {
    const port = await answering(answer)
    const error = await failure('mqtt://broker.test:1883', { proxy: `http://localhost:${port}` })
    expect(error.message).toContain(text)
    await servers.idle()
  })

  it.each([
    ['HTTP/1.1 400 Bad Request\r\n\r\n', undefined, 'it does not speak SOCKS5: check its URL'],
    [Uint8Array.of(4, 0x5b), undefined, 'it does not speak SOCKS5: check its URL'],
    [Uint8Array.of(5, 0xff), undefined, 'it wants another login'],
    [Uint8Array.of(5, 2), undefined, 'it wants another login'],
    [Uint8Array.of(5, 0), Uint8Array.of(5, 2, 0, 1, 0, 0, 0, 0, 0, 0), 'its rules do not allow it'],
    [Uint8Array.of(5, 0), Uint8Array.of(5, 4, 0, 3, 1, 0x61, 0, 0), 'the host cannot be reached'],
    [
      Uint8Array.of(5, 0),
      Uint8Array.of(5, 99, 0, 4, ...Array.from({ length: 18 }, () => 0)),
      'its answer is 99',
    ],
    [Uint8Array.of(5, 0), Uint8Array.of(5, 0, 0, 9, 0, 0, 0, 0, 0, 0), 'its answer is not one of SOCKS5'],
  ])('of SOCKS5, form %#', async (answer, rest, text) => {
    const port = await answering(answer, rest)
    const error = await failure('mqtt://broker.test:1883', { proxy: `socks5://localhost:${port}` })
    expect(error.message).toContain(text)
    await servers.idle()
  })

  it('may come byte by byte, with an address of any kind', async () => {
    for (const address of [
      [1, 0, 0, 0, 0],
      [3, 1, 0x61],
      [4, ...Array.from({ length: 16 }, () => 0)],
    ]) {
      const port = await servers.serve((socket) => {
        const drip = (bytes: readonly number[], then: () => void): void => {
          const [first, ...rest] = bytes
          if (first === undefined) return then()
          socket.write(Buffer.of(first), () => setImmediate(() => drip(rest, then)))
        }
        const greeted = (): void =>
          void socket.once('data', () => drip([5, 0, 0, ...address, 0, 0], () => echo(socket)))
        socket.once('data', () => drip([5, 0], greeted))
      })
      const { transport, receiver } = await new Dialer().open('mqtt://broker.test:1883', {
        proxy: `socks5://localhost:${port}`,
      })
      transport.write(Buffer.from('hello'))
      await receiver.until(() => receiver.received === 'hello')
      transport.destroy()
    }
  })

  it('a user of more than 255 bytes does not fit into SOCKS5', async () => {
    const { url, proxyPort } = await start('mqtt', 'socks5', { login: 'a:b' })
    const error = await failure(url, { proxy: urlOf('socks5', proxyPort, `${'x'.repeat(256)}:b@`) })
    expect(error.message).toContain('user and password have at most 255 bytes each')
  })
})

describe('TLS to a proxy', () => {
  it('shows it no certificate of ours and asks for its own name; tls is about the broker', async () => {
    const seen: string[] = []
    const server = tls.createServer({ ...broker, requestCert: true, ca: authority.cert }, (socket) => {
      seen.push(String(socket.getPeerCertificate().subject.CN))
      echo(socket)
    })
    const port = await servers.listen(server)
    const proxy = PROXIES['https']?.make()
    if (proxy === undefined) throw new Error('https')
    const proxyPort = await servers.listen(proxy.server)
    const { transport, receiver } = await new Dialer().open(`mqtts://broker.test:${port}`, {
      proxy: `https://localhost:${proxyPort}`,
      tls: { ca: authority.cert, ...client, servername: 'broker.test' },
    })
    transport.write(Buffer.from('hello'))
    await receiver.until(() => receiver.received === 'hello')
    expect(seen).toEqual(['client'])
    expect(proxy.shaken).toEqual([{ servername: 'localhost', hasCertificate: false }])
    transport.destroy()
  })

  it('is verified whatever tls says of the broker', async () => {
    const { url, proxyPort } = await start('mqtts', 'https')
    const options = { proxy: `https://localhost:${proxyPort}`, tls: { rejectUnauthorized: false } }
    const error = await failure(url, options)
    expect(error.message).toContain(`no TLS connection to the proxy localhost:${proxyPort}`)
    expect(error.message).toContain('the certificate is untrusted')
    await servers.idle()
  })

  it('to one that has another name, or does not speak it, is an error that says so', async () => {
    const { url, proxyPort } = await start('mqtt', 'https')
    const plain = await servers.serve(
      (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
    )
    const tlsOptions = { ca: authority.cert }
    const other = await failure(url, { proxy: `https://127.0.0.1:${proxyPort}`, tls: tlsOptions })
    expect(other.message).toContain('name the proxy as its certificate does')
    const none = await failure(url, { proxy: `https://127.0.0.1:${plain}`, tls: tlsOptions })
    expect(none.message).toContain('the proxy does not speak TLS on this port: use http://')
  })

  it('sessions of it are resumed, too', async () => {
    const secure = { ...proxyIdentity }
    const reused: boolean[] = []
    const proxy = httpProxy({ secure })
    proxy.server.on('secureConnection', (socket: tls.TLSSocket) => reused.push(socket.isSessionReused()))
    const proxyPort = await servers.listen(proxy.server)
    const port = await servers.serve(echo)
    const dialer = new Dialer()
    for (let round = 0; round < 2; round += 1) {
      const { transport, receiver } = await dialer.open(`mqtt://broker.test:${port}`, {
        proxy: `https://localhost:${proxyPort}`,
        tls: { ca: authority.cert },
      })
      transport.write(Buffer.from('hello'))
      await receiver.until(() => receiver.received === 'hello')
      transport.destroy()
      await servers.idle()
    }
    expect(reused).toEqual([false, true])
  })
})

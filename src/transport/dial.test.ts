// The chain as a whole: one signal, one deadline, and how far it had come when that was over. Its links have tests of
// their own.
import { lookup } from 'node:dns'
import net from 'node:net'
import tls from 'node:tls'
import { describe, expect, it, vi } from 'vitest'
import { Authority } from '../../test/support/certificates.ts'
import { useMuteHosts } from '../../test/support/mute-host.ts'
import { httpProxy } from '../../test/support/proxies.ts'
import { Dialer, echo, NEVER, Receiver, useServers } from '../../test/support/streams.ts'
import { webSocketServer } from '../../test/support/websocket-server.ts'
import { ConnectionError } from '../core/errors.ts'
import { openTunnel } from './proxy.ts'
import { openSocket, SocketTransport } from './tcp.ts'
import { secure, TlsMemory } from './tls.ts'
import type { DialTarget } from './transport.ts'
import { openWebSocket } from './websocket.ts'

const servers = useServers()
const makeMuteHost = useMuteHosts()
const authority = new Authority('Authority')

/** As the client's, whose `connectTimeout` is over. */
const late = (): ConnectionError =>
  new ConnectionError('connect-timeout', 'no connection was made within 100 ms', { phase: 'tcp' })

async function lateFailure(
  url: string,
  options: DialTarget['options'],
  ready: () => Promise<unknown>,
): Promise<Error> {
  const controller = new AbortController()
  const dialing = new Dialer().failure(url, options, controller.signal)
  await ready()
  controller.abort(late())
  return dialing
}

describe('a connect time-out names the link that was awaited:', () => {
  /** A server that only listens. */
  async function mute(): Promise<{ port: number; heard: () => Promise<void> }> {
    let hear = (): void => {}
    const heard = new Promise<void>((resolve) => (hear = resolve))
    const port = await servers.serve((socket) => void socket.on('data', hear))
    return { port, heard: () => heard }
  }

  it.each([
    ['tls', 'mqtts', 'the TLS handshake was not answered'],
    ['websocket', 'ws', 'the WebSocket handshake was not answered'],
    ['tls', 'wss', 'the TLS handshake was not answered'],
  ] as const)('%s of %s:', async (phase, scheme, text) => {
    const { port, heard } = await mute()
    const error = await lateFailure(`${scheme}://localhost:${port}/mqtt`, {}, heard)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: 'connect-timeout', phase })
    expect(error.message).toContain('no connection was made within 100 ms; ')
    expect(error.message).toContain(text)
    await servers.idle()
  })

  it.each(['http', 'https', 'socks5'])('proxy of %s:', async (scheme) => {
    const { port, heard } = await mute()
    const proxy = `${scheme}://localhost:${port}`
    const error = await lateFailure('mqtts://broker.test:8883', { proxy }, heard)
    expect(error).toMatchObject({ code: 'connect-timeout', phase: 'proxy' })
    expect(error.message).toContain('the proxy did not answer')
    await servers.idle()
  })

  it('tls behind a proxy', async () => {
    const { port, heard } = await mute()
    const proxy = `http://localhost:${await servers.listen(httpProxy().server)}`
    const error = await lateFailure(`mqtts://broker.test:${port}`, { proxy }, heard)
    expect(error).toMatchObject({ code: 'connect-timeout', phase: 'tls' })
    await servers.idle()
  })

  it('websocket.transform', async () => {
    let asked = (): void => {}
    const ready = new Promise<void>((resolve) => (asked = resolve))
    const transform = (): Promise<never> => {
      asked()
      return new Promise(() => {})
    }
    const error = await lateFailure('ws://localhost:1/mqtt', { websocket: { transform } }, () => ready)
    expect(error).toMatchObject({ code: 'connect-timeout', phase: 'websocket' })
    expect(error.message).toContain('websocket.transform')
  })

  it('the look-up of a name', async () => {
    let asked = (): void => {}
    const ready = new Promise<void>((resolve) => (asked = resolve))
    const error = await lateFailure('mqtt://broker.test:1883', { lookup: () => asked() }, () => ready)
    expect(error).toMatchObject({ code: 'connect-timeout', phase: 'dns' })
    expect(error.message).toContain('the name was not resolved')
  })

  it('a host that does not answer', async () => {
    const { address, port } = await makeMuteHost()
    const error = await lateFailure(
      `mqtt://${address}:${port}`,
      {},
      () => new Promise((resolve) => setImmediate(resolve)),
    )
    expect(error).toMatchObject({ code: 'connect-timeout', phase: 'tcp' })
    expect(error.message).toContain('the host did not answer')
  })
})

describe('a signal', () => {
  it.each(['mqtt', 'mqtts', 'ws', 'wss', 'proxied'])(
    'that aborts at any moment leaves nothing of %s: open',
    async (kind) => {
      const identity = authority.issue({ names: ['localhost', 'broker.test'] })
      const made = kind.startsWith('ws')
        ? webSocketServer(() => {}, kind === 'ws' ? {} : { secure: identity })
        : kind === 'mqtt'
          ? net.createServer(echo)
          : tls.createServer(identity, echo)
      const port = await servers.listen(made)
      const proxy =
        kind === 'proxied' ? `http://localhost:${await servers.listen(httpProxy().server)}` : undefined
      const url = proxy === undefined ? `${kind}://localhost:${port}/mqtt` : `mqtts://broker.test:${port}`
      const reason = new Error('enough')
      const outcomes = new Set<string>()
      for (let turns = 0; turns < 40; turns += 1) {
        const controller = new AbortController()
        const options = { tls: { ca: authority.cert }, ...(proxy === undefined ? {} : { proxy }) }
        const dialing = new Dialer().transport(url, options, controller.signal)
        const outcome = dialing.catch((error: unknown) => error)
        for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
        controller.abort(reason)
        const result = await outcome
        outcomes.add(result === reason ? 'aborted' : 'dialed')
        if (result === reason) continue
        expect(result).not.toBeInstanceOf(Error)
        const transport = result as Awaited<typeof dialing>
        transport.destroy()
      }
      expect(outcomes.has('aborted')).toBe(true)
      await servers.open(0)
    },
  )
})

describe('a server that breaks the stream as soon as it stands', () => {
  it.each(['mqtt', 'mqtts', 'ws', 'wss'])(
    'of %s: is an error of the attempt or the end of the stream, and no other',
    async (scheme) => {
      const port = await servers.serve((socket) => void socket.resetAndDestroy())
      for (let round = 0; round < 5; round += 1) {
        const opened = await new Dialer()
          .open(`${scheme}://127.0.0.1:${port}/mqtt`)
          .catch((error: unknown) => error)
        if (opened instanceof ConnectionError) continue
        const { receiver } = opened as Awaited<ReturnType<Dialer['open']>>
        await receiver.ended()
        expect(receiver.error).toMatchObject({ code: 'ECONNRESET' })
      }
      await servers.idle()
    },
  )
})

describe('a socket that breaks before the next link of the chain stands on it', () => {
  const identity = authority.issue()
  const request = { url: new URL('ws://localhost/mqtt'), headers: {} }
  const target = { host: 'localhost', port: 1, options: { ca: authority.cert }, phase: 'tls' } as const

  /** Each of the next links. */
  const LINKS: Readonly<Record<string, (socket: net.Socket) => Promise<unknown>>> = {
    TLS: (socket) => secure(socket, target, new TlsMemory(), NEVER),
    WebSocket: (socket) =>
      openWebSocket(socket, request, { validate: undefined, maximumPacketSize: 1_000 }, NEVER),
    'a tunnel': (socket) => openTunnel(socket, new URL('http://localhost'), { host: 'a', port: 1 }, NEVER),
    MQTT: async (socket) => {
      const receiver = new Receiver()
      SocketTransport.over(socket).start(receiver)
      await receiver.ended()
      throw receiver.error ?? new ConnectionError('connection-lost', 'the end', { phase: 'connack' })
    },
  }

  const ENDS: Readonly<Record<string, (socket: net.Socket) => void>> = {
    ended: (socket) => void socket.resume().end(),
    reset: (socket) => void socket.resetAndDestroy(),
  }

  const CASES = Object.keys(LINKS).flatMap((link) => Object.keys(ENDS).map((end) => [link, end] as const))

  /** For what is on its way within the machine; longer changes nothing. */
  const turns = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

  const raw = async (server: net.Server): Promise<{ socket: net.Socket; accepted: Promise<net.Socket> }> => {
    const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve))
    const port = await servers.listen(server)
    const to = { host: '127.0.0.1', port, noDelay: true, lookup }
    return { socket: await openSocket(to, NEVER, { phase: 'tcp' }), accepted }
  }

  it.each(CASES)('%s: a plain one that was %s', async (link, end) => {
    const { socket, accepted } = await raw(net.createServer())
    ENDS[end]?.(await accepted)
    await turns()
    await expect(LINKS[link]?.(socket)).rejects.toBeInstanceOf(Error)
    await servers.idle()
  })

  // To MQTT it is no fault of the chain.
  const handshaking = Object.keys(LINKS).filter((link) => link !== 'MQTT')
  it.each(handshaking)('%s: one on which the server spoke first', async (link) => {
    const { socket, accepted } = await raw(net.createServer())
    const server = await accepted
    server.resume().write('220 mail.example ESMTP\r\n')
    await turns()
    const error = await LINKS[link]?.(socket).catch((reason: unknown) => reason)
    expect((error as Error).message).toMatch(/does not speak TLS|does not answer in HTTP|Parse Error/)
    await servers.idle()
  })

  it.each(CASES)('%s: one in TLS that was %s', async (link, end) => {
    const { socket, accepted } = await raw(tls.createServer(identity))
    const secured = await secure(socket, target, new TlsMemory(), NEVER)
    await turns()
    ENDS[end]?.(await accepted)
    await turns()
    await expect(LINKS[link]?.(secured)).rejects.toBeInstanceOf(Error)
    await servers.idle()
  })

  it.each(CASES)('%s: one through a proxy that was %s', async (link, end) => {
    const { socket, accepted } = await raw(net.createServer())
    const proxied = await accepted
    proxied.once('data', () => proxied.write('HTTP/1.1 200 OK\r\n\r\n'))
    await openTunnel(socket, new URL('http://localhost'), { host: 'a', port: 1 }, NEVER)
    ENDS[end]?.(proxied)
    await turns()
    await expect(LINKS[link]?.(socket)).rejects.toBeInstanceOf(Error)
    await servers.idle()
  })
})

describe('socket.noDelay', () => {
  it.each([
    [undefined, true],
    [true, true],
    [false, false],
  ] as const)('%s: what Node is told is %s, for each kind of stream', async (noDelay, told) => {
    const connecting = vi.spyOn(net, 'connect')
    const identity = authority.issue()
    const ports = {
      mqtt: await servers.serve(echo),
      mqtts: await servers.listen(tls.createServer(identity, echo)),
      ws: await servers.listen(webSocketServer(() => {})),
    }
    const options = { socket: { noDelay }, tls: { ca: authority.cert } }
    for (const [scheme, port] of Object.entries(ports)) {
      const { transport } = await new Dialer().open(`${scheme}://localhost:${port}/mqtt`, options)
      transport.destroy()
    }
    const settings = connecting.mock.calls.map(([given]) => given as unknown as net.TcpSocketConnectOpts)
    connecting.mockRestore()
    expect(settings.map(({ noDelay: given }) => given)).toEqual([told, told, told])
    await servers.idle()
  })
})

describe('the process', () => {
  it.each(['mqtt', 'mqtts', 'ws', 'wss'])(
    'is kept alive by a stream of %s: as it is told',
    async (scheme) => {
      const identity = authority.issue()
      const server =
        scheme === 'mqtt'
          ? net.createServer(echo)
          : scheme === 'mqtts'
            ? tls.createServer(identity, echo)
            : webSocketServer(() => {}, scheme === 'ws' ? {} : { secure: identity })
      const port = await servers.listen(server)
      const options = { tls: { ca: authority.cert } }
      const { transport } = await new Dialer().open(`${scheme}://localhost:${port}/mqtt`, options)
      const active = (): number =>
        process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
      const before = active()
      transport.setKeepsAlive?.(false)
      expect(active()).toBe(before - 1)
      transport.setKeepsAlive?.(true)
      expect(active()).toBe(before)
      transport.destroy()
      await servers.idle()
    },
  )
})

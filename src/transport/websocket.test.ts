import type net from 'node:net'
import { describe, expect, it } from 'vitest'
import { Authority } from '../../test/support/certificates.ts'
import { Dialer, Receiver, useServers } from '../../test/support/streams.ts'
import {
  accept,
  BINARY,
  CLOSE,
  CONTINUATION,
  frame,
  type Handshake,
  PING,
  PONG,
  TEXT,
  type WebSocketPeer,
  webSocketServer,
  type WebSocketServerOptions,
} from '../../test/support/websocket-server.ts'
import { ConnectionError, ProtocolError } from '../core/errors.ts'
import type { WebSocketRequest } from './dial-options.ts'
import type { DialTarget, Transport } from './transport.ts'

const servers = useServers()
type Options = DialTarget['options']

interface Opened {
  readonly transport: Transport
  readonly receiver: Receiver
  readonly peer: WebSocketPeer
  readonly port: number
}

/** A server and a stream to it; `handle` sees the server's end as soon as it stands. */
async function open(
  {
    options = {},
    path = '/mqtt',
    ...server
  }: WebSocketServerOptions & { options?: Options; path?: string } = {},
  handle: (peer: WebSocketPeer) => void = () => {},
): Promise<Opened> {
  const peers: WebSocketPeer[] = []
  const port = await servers.listen(
    webSocketServer((made) => {
      peers.push(made)
      handle(made)
    }, server),
  )
  const { transport, receiver } = await new Dialer().open(`ws://localhost:${port}${path}`, options)
  const [peer] = peers
  if (peer === undefined) throw new Error('there is no peer')
  return { transport, receiver, peer, port }
}

/** A handshake that fails. */
async function refusal(
  answer: (handshake: Handshake) => readonly string[],
  options: Options = {},
): Promise<Error> {
  const port = await servers.listen(webSocketServer(() => {}, { answer }))
  const error = await new Dialer().failure(`ws://localhost:${port}/mqtt?token=secret`, options)
  expect(error).toBeInstanceOf(ConnectionError)
  expect(error).toMatchObject({ code: 'connect-failed', phase: 'websocket' })
  expect(error.message).toContain(`no WebSocket to ws://localhost:${port}/mqtt: `)
  expect(error.message).not.toContain('secret')
  await servers.idle()
  return error
}

describe('the handshake', () => {
  it('offers the subprotocol mqtt and no extension, with path, query and headers', async () => {
    const headers = { Authorization: 'Bearer token', 'X-Thing': 'thing' }
    const { peer, port, transport } = await open({ path: '/path?a=b', options: { websocket: { headers } } })
    expect(peer.handshake.path).toBe('/path?a=b')
    const sent = Object.fromEntries(peer.handshake.headers)
    expect(sent).toMatchObject({
      host: `localhost:${port}`,
      authorization: 'Bearer token',
      'x-thing': 'thing',
      'sec-websocket-protocol': 'mqtt',
      'sec-websocket-version': '13',
    })
    expect(sent).not.toHaveProperty('sec-websocket-extensions')
    transport.destroy()
  })

  it('may be changed by websocket.transform on each attempt, the host too', async () => {
    const handshakes: Handshake[] = []
    const port = await servers.listen(webSocketServer(({ handshake }) => handshakes.push(handshake)))
    let count = 0
    const transform = async ({ url, headers }: WebSocketRequest): Promise<WebSocketRequest> => {
      await Promise.resolve()
      count += 1
      return {
        url: new URL(`ws://localhost:${port}${url.pathname}?signed=${count}`),
        headers: { ...headers, token: 't' },
      }
    }
    const dialer = new Dialer()
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const websocket = { headers: { kept: 'yes' }, transform }
      const transport = await dialer.transport('ws://elsewhere.invalid:1/mqtt', { websocket })
      transport.destroy()
    }
    expect(handshakes.map(({ path }) => path)).toEqual(['/mqtt?signed=1', '/mqtt?signed=2'])
    expect(handshakes.map(({ headers }) => [headers.get('kept'), headers.get('token')])).toEqual([
      ['yes', 't'],
      ['yes', 't'],
    ])
  })

  it.each([
    ['throws', () => throwing('no token'), 'websocket.transform failed: no token'],
    ['rejects', () => Promise.reject(new Error('no token')), 'websocket.transform failed: no token'],
    ['gives nothing', () => undefined as unknown as WebSocketRequest, 'websocket.transform failed'],
    [
      'gives another scheme',
      () => ({ url: new URL('http://a'), headers: {} }),
      'a URL that begins with http:',
    ],
  ])('fails when websocket.transform %s', async (_what, transform, text) => {
    const error = await new Dialer().failure('ws://localhost:1/mqtt', { websocket: { transform } })
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'websocket' })
    expect(error.message).toContain(text)
  })

  it('fails when websocket.transform gives headers that are none, and nothing is left open', async () => {
    const transform = ({ url }: WebSocketRequest): WebSocketRequest => ({ url, headers: { 'a b': 'c' } })
    const error = await refusal(accept, { websocket: { transform } })
    expect(error.message).toContain('Header name must be a valid HTTP token ["a b"]')
  })

  it.each(['transform', 'validate'] as const)(
    'ends with the signal while websocket.%s waits',
    async (name) => {
      const port = await servers.listen(webSocketServer())
      const controller = new AbortController()
      const reason = new Error('enough')
      let isAsked = (): void => {}
      const asked = new Promise<void>((resolve) => (isAsked = resolve))
      const never = (): Promise<never> => {
        isAsked()
        return new Promise(() => {})
      }
      const options = { websocket: { [name]: never } }
      const dialing = new Dialer().failure(`ws://localhost:${port}/mqtt`, options, controller.signal)
      await asked
      controller.abort(reason)
      expect(await dialing).toBe(reason)
      if (name === 'validate') await servers.idle()
    },
  )

  it('is shown to websocket.validate, which may refuse it', async () => {
    const answer = (handshake: Handshake): readonly string[] => [...accept(handshake), 'X-Server: good']
    const seen: unknown[] = []
    const validate = (response: unknown): void => void seen.push(response)
    const { transport } = await open({ answer, options: { websocket: { validate } } })
    expect(seen).toMatchObject([{ status: 101, headers: { 'x-server': 'good' } }])
    transport.destroy()
    await servers.idle()
    const refusing = { websocket: { validate: () => throwing('the wrong server') } }
    expect((await refusal(answer, refusing)).message).toContain(
      'websocket.validate refused it: the wrong server',
    )
  })

  it.each([
    ['401 Unauthorized', [], 'it wants other credentials, see websocket.headers and websocket.transform'],
    ['403 Forbidden', [], 'it wants other credentials'],
    ['404 Not Found', [], 'check the path, which is often /mqtt, /ws or / (option websocket.path)'],
    [
      '302 Found',
      ['Location: wss://there.example/mqtt'],
      'points to wss://there.example/mqtt: redirects are not followed, connect there',
    ],
    [
      '301 Moved',
      ['Location: https://user:secret@there.example/mqtt?token=secret#x'],
      'points to https://there.example/mqtt: redirects are not followed, connect there',
    ],
    ['200 OK', ['Content-Length: 0'], 'and no WebSocket: check host, port and path of the URL'],
    ['500 Oh', [], 'the server answered 500 Oh, and no WebSocket'],
  ])('that is answered by %s fails, and says what to do', async (status, lines, text) => {
    expect((await refusal(() => [`HTTP/1.1 ${status}`, ...lines])).message).toContain(text)
  })

  it.each([
    [
      'no subprotocol',
      (handshake: Handshake) =>
        accept(handshake, undefined).filter((line) => !line.startsWith('Sec-WebSocket-Protocol')),
      'it has to agree to "mqtt"',
    ],
    [
      'another subprotocol',
      (handshake: Handshake) => accept(handshake, 'mqttv3.1'),
      'it has to agree to "mqtt"',
    ],
    ['a wrong proof', () => accept({ path: '', headers: new Map() }), 'Sec-WebSocket-Accept'],
    ['rubbish', () => ['rubbish'], 'does it speak WebSocket on this port'],
  ])('that is answered with %s fails', async (_what, answer, text) => {
    expect((await refusal(answer)).message).toContain(text)
  })

  it.each([
    ['ends the stream', (socket: net.Socket) => void socket.once('data', () => socket.end())],
    ['ends the stream before anything was said', (socket: net.Socket) => void socket.resume().end()],
    ['resets the stream', (socket: net.Socket) => void socket.once('data', () => socket.resetAndDestroy())],
  ])('of a server that %s fails', async (_what, answer) => {
    const port = await servers.serve(answer)
    const error = await new Dialer().failure(`ws://localhost:${port}/mqtt`)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'websocket' })
    expect(error.message).toContain('does it speak WebSocket on this port, and TLS or not as the URL says?')
    await servers.idle()
  })

  it('that TLS ends is told in words of TLS', async () => {
    const authority = new Authority('Authority')
    const secure = { ...authority.issue(), requestCert: true, ca: authority.cert }
    const port = await servers.listen(webSocketServer(() => {}, { secure }))
    const error = await new Dialer().failure(`wss://localhost:${port}/mqtt`, { tls: { ca: authority.cert } })
    expect(error).toMatchObject({ phase: 'tls' })
    expect(error.message).toContain('see tls.cert and tls.key')
  })
})

describe('the stream', () => {
  it('writes binary frames with a mask, and leaves what was written as it was', async () => {
    const { transport, receiver, peer } = await open()
    const chunks = [Buffer.from('hello '), Buffer.alloc(70_000, 'x'), Buffer.from('!')]
    const before = Buffer.concat(chunks)
    for (const chunk of chunks) transport.write(chunk)
    await peer.until(() => peer.received.length === before.length)
    expect(peer.received.equals(before)).toBe(true)
    expect(Buffer.concat(chunks).equals(before)).toBe(true)
    expect(peer.frames.every(({ opcode, isLast, isMasked }) => opcode === BINARY && isLast && isMasked)).toBe(
      true,
    )
    await receiver.until(() => receiver.written === before.length)
    transport.destroy()
  })

  it('reads what comes in any frames: halves, many in a segment, fragments, none', async () => {
    const { transport, receiver, peer } = await open()
    peer.send(frame(BINARY, 'a'), frame(BINARY, ''), frame(BINARY, 'bc'), frame(BINARY, 'd'))
    peer.send(
      frame(BINARY, 'e', { isLast: false }),
      frame(PING, 'p'),
      frame(CONTINUATION, '', { isLast: false }),
    )
    peer.send(frame(CONTINUATION, 'f'))
    peer.send(frame(BINARY, 'g'.repeat(70_000)))
    await receiver.until(() => receiver.received.endsWith('g'.repeat(70_000)))
    expect(receiver.received.slice(0, 6)).toBe('abcdef')
    expect(receiver.chunks.every(({ length }) => length > 0)).toBe(true)
    transport.destroy()
  })

  it('calls nothing before start(), though frames came with the answer to the handshake', async () => {
    const port = await servers.listen(
      webSocketServer((peer) => peer.send(frame(BINARY, 'early'), frame(BINARY, '!'))),
    )
    const transport = await new Dialer().transport(`ws://localhost:${port}/mqtt`)
    const receiver = new Receiver()
    await new Promise((resolve) => setImmediate(resolve))
    transport.start(receiver)
    expect(receiver.log).toEqual([])
    await receiver.until(() => receiver.received === 'early!')
    transport.destroy()
  })

  it('answers a ping with what it said', async () => {
    const { transport, peer } = await open()
    peer.send(frame(PING, 'are you there'))
    await peer.until(() => peer.of(PONG).length === 1)
    expect(peer.of(PONG)[0]?.payload.toString()).toBe('are you there')
    transport.destroy()
  })

  it('paused hands out nothing, not even of the segment that it is in; resumed all of it in order', async () => {
    const { transport, receiver, peer } = await open()
    receiver.onData = () => transport.pause()
    peer.send(...['a', 'b', 'c'].map((text) => frame(BINARY, text)), frame(CLOSE, Buffer.of(0x03, 0xe8)))
    await peer.until(() => peer.isEnded)
    expect(receiver.log).toEqual(['data'])
    transport.resume()
    await receiver.until(() => receiver.received === 'ab')
    expect(receiver.log).toEqual(['data', 'data'])
    receiver.onData = undefined
    transport.resume()
    await receiver.ended()
    expect(receiver.received).toBe('abc')
    expect(receiver.count('end')).toBe(1)
    transport.resume()
    transport.destroy()
    await new Promise((resolve) => setImmediate(resolve))
    expect(receiver.count('end')).toBe(1)
  })

  it('paused and then destroyed tells of its end, and of nothing else', async () => {
    const { transport, receiver, peer } = await open()
    receiver.onData = () => transport.pause()
    peer.send(frame(BINARY, 'a'), frame(BINARY, 'b'))
    await receiver.until(() => receiver.received === 'a')
    transport.destroy()
    await receiver.ended()
    expect(receiver.log).toEqual(['data', 'end'])
  })

  it('destroyed while the socket still holds more than was read tells of its end', async () => {
    const { transport, receiver, peer } = await open()
    transport.pause()
    for (let count = 0; count < 100; count += 1) peer.send(frame(BINARY, 'x'.repeat(10_000)))
    await new Promise((resolve) => setTimeout(resolve, 50))
    transport.destroy()
    await receiver.ended()
    expect(receiver.log).toEqual(['end'])
  })

  it('to a server that does not read says so, and drains when it does', async () => {
    const { transport, receiver, peer } = await open()
    peer.socket.pause()
    const chunk = new Uint8Array(100_000)
    let writes = 0
    while (transport.write(chunk) || writes < 100) writes += 1
    peer.socket.resume()
    await receiver.until(() => receiver.log.includes('drain'))
    await receiver.until(() => receiver.written === (writes + 1) * chunk.length)
    expect(receiver.count('drain')).toBe(1)
    transport.destroy()
  })

  it.each([
    [1000, '', undefined],
    [1001, '', 'the server closed the WebSocket with 1001'],
    [1008, 'over quota', 'the server closed the WebSocket with 1008 (over quota)'],
    [4000, 'ours', 'the server closed the WebSocket with 4000 (ours)'],
  ])('closed by the server with %i is over', async (code, reason, text) => {
    const { receiver, peer } = await open()
    const payload = Buffer.concat([Buffer.of(code >> 8, code & 0xff), Buffer.from(reason)])
    peer.send(frame(BINARY, 'last'), frame(CLOSE, payload))
    await receiver.ended()
    expect(receiver.received).toBe('last')
    expect((receiver.error as Error | undefined)?.message).toBe(text)
    expect(peer.of(CLOSE).map((one) => one.payload.readUInt16BE())).toEqual([code])
  })

  it.each([
    ['without a code', (peer: WebSocketPeer) => peer.send(frame(CLOSE)), undefined],
    ['without a closing frame', (peer: WebSocketPeer) => void peer.socket.end(), undefined],
    [
      'in the middle of a frame',
      (peer: WebSocketPeer) => void peer.socket.end(frame(BINARY, 'half').subarray(0, 4)),
      undefined,
    ],
    ['by a reset', (peer: WebSocketPeer) => void peer.socket.resetAndDestroy(), 'read ECONNRESET'],
  ])('that ends %s is over once', async (_what, end, text) => {
    const { transport, receiver, peer } = await open()
    end(peer)
    await receiver.ended()
    expect((receiver.error as Error | undefined)?.message).toBe(text)
    transport.write(Buffer.from('too late'))
    transport.end()
    transport.destroy()
    await servers.idle()
    expect(receiver.log).toEqual(['end'])
  })

  it('is ended by a closing frame with 1000, behind what was written', async () => {
    const { transport, receiver, peer } = await open()
    transport.write(Buffer.from('last'))
    transport.end()
    await peer.until(() => peer.of(CLOSE).length === 1)
    expect(peer.received.toString()).toBe('last')
    expect(peer.of(CLOSE)[0]?.payload.readUInt16BE()).toBe(1000)
    peer.send(frame(CLOSE, Buffer.of(0x03, 0xe8)))
    peer.socket.end()
    await receiver.ended()
    expect(receiver.error).toBeUndefined()
  })
})

describe('what a server must not write', () => {
  it.each([
    ['text', frame(TEXT, 'hello'), 'a WebSocket message of text came; MQTT is binary', 1003],
    [
      'a frame with a mask',
      frame(BINARY, 'x', { isMasked: true }),
      'Invalid WebSocket frame: MASK must be clear',
      1002,
    ],
    ['a reserved kind of frame', frame(3, 'x'), 'Invalid WebSocket frame: invalid opcode 3', 1002],
    ['the rest of nothing', frame(CONTINUATION, 'x'), 'Invalid WebSocket frame: invalid opcode 0', 1002],
  ])('%s ends the connection', async (_what, bytes, text, code) => {
    const { receiver, peer } = await open()
    peer.send(frame(BINARY, 'before'), bytes, frame(BINARY, 'behind'))
    await receiver.ended()
    expect(receiver.received).toBe('before')
    expect((receiver.error as Error).message).toContain(text)
    await peer.until(() => peer.isEnded)
    expect(peer.of(CLOSE).map(({ payload }) => payload.readUInt16BE())).toEqual([code])
    await servers.idle()
  })

  it('text is a fault of the protocol', async () => {
    const { receiver, peer } = await open()
    peer.send(frame(TEXT, 'hello'))
    await receiver.ended()
    expect(receiver.error).toBeInstanceOf(ProtocolError)
    expect(receiver.error).toMatchObject({ code: 'protocol-error', reasonCode: 0x82 })
  })

  it.each([4_294_967_295, 2_147_483_000])(
    'maximumPacketSize %d lets large messages pass',
    async (maximumPacketSize) => {
      const { receiver, peer } = await open({ options: { maximumPacketSize } })
      peer.send(frame(BINARY, Buffer.alloc(2_000_000, 'a')))
      await receiver.until(() => receiver.received.length === 2_000_000)
      expect(receiver.error).toBeUndefined()
    },
  )

  it('a message larger than a packet may be, and 1 MiB, ends the connection before it is whole', async () => {
    const { receiver, peer } = await open({ options: { maximumPacketSize: 1_000 } })
    peer.send(frame(BINARY, Buffer.alloc(1_049_576)))
    await receiver.until(() => receiver.chunks.length === 1)
    peer.send(frame(BINARY, Buffer.alloc(600_000), { isLast: false }))
    // The header is enough.
    peer.send(frame(CONTINUATION, Buffer.alloc(600_000)).subarray(0, 20))
    await receiver.ended()
    expect(receiver.error).toMatchObject({
      name: 'ProtocolError',
      code: 'packet-too-large',
      reasonCode: 0x95,
    })
    expect((receiver.error as Error).message).toContain('option maximumPacketSize')
    expect(receiver.chunks).toHaveLength(1)
  })
})

function throwing(text: string): never {
  throw new Error(text)
}

// The browser's transport against a server that writes its frames by hand: what may come, what must not, how much may
// wait, and how it ends.
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { describeChromium, type Opened, PLACES } from '../support/chromium.ts'
import { useServers } from '../support/streams.ts'
import {
  accept,
  BINARY,
  CLOSE,
  CONTINUATION,
  frame,
  TEXT,
  type WebSocketPeer,
  webSocketServer,
} from '../support/websocket-server.ts'

const PROGRAM = fileURLToPath(new URL('./transport.browser.ts', import.meta.url))
const CLIENTS = fileURLToPath(new URL('./client.browser.ts', import.meta.url))

interface Pair {
  readonly opened: Opened
  readonly peer: WebSocketPeer
}

describeChromium('a WebSocket in Chromium', (chromium) => {
  const servers = useServers()

  /** A transport and the server's end of it. */
  async function pair({ start = true, place = PLACES[0] ?? 'page' } = {}): Promise<Pair> {
    let resolve: ((peer: WebSocketPeer) => void) | undefined
    const peer = new Promise<WebSocketPeer>((given) => (resolve = given))
    const port = await servers.listen(webSocketServer((connected) => resolve?.(connected)))
    const opened = await chromium().open(PROGRAM, place)
    await opened.call('open', `ws://127.0.0.1:${port}/mqtt`, start)
    return { opened, peer: await peer }
  }

  it('asks for mqtt, and takes binary frames in any alignment [3.1.1 MQTT-6.0.0-2] [5 MQTT-6.0.0-2]', async () => {
    const { opened, peer } = await pair()
    expect(peer.handshake.headers.get('sec-websocket-protocol')).toBe('mqtt')
    peer.send(frame(BINARY, 'a'), frame(BINARY, ''), frame(BINARY, 'bc'))
    peer.send(frame(BINARY, 'd', { isLast: false }), frame(CONTINUATION, 'e'))
    peer.send(frame(BINARY, 'f'.repeat(70_000)))
    expect(await opened.call('untilReceived', 70_005)).toBe(`abcde${'f'.repeat(70_000)}`)
    expect(await opened.call('told')).toEqual(['data'])
    expect(await opened.call('wasNested')).toBe(false)
  })

  it.each(PLACES)('ends at a frame of text, in a %s [3.1.1 MQTT-6.0.0-1] [5 MQTT-6.0.0-1]', async (place) => {
    const { opened, peer } = await pair({ place })
    peer.send(frame(BINARY, 'a'), frame(TEXT, 'b'), frame(BINARY, 'c'))
    expect(await opened.call('untilTold', 'end')).toEqual([
      'data',
      'end: ProtocolError: a WebSocket message of text came; MQTT is binary',
    ])
    await peer.until(() => peer.of(CLOSE).length === 1)
    expect(peer.of(CLOSE)[0]?.payload.readUInt16BE()).toBe(4003)
    expect(await opened.call('received')).toBe('a')
  })

  it('holds what comes before it is read, and while it is not, in order', async () => {
    const { opened, peer } = await pair({ start: false })
    const answered = new Promise<void>((resolve) => (peer.onBinary = () => resolve()))
    peer.send(frame(BINARY, '1'), frame(BINARY, '2'), frame(BINARY, '3'))
    await opened.call('write', 1, 1)
    await answered
    expect(await opened.call('received')).toBe('')
    await opened.call('pause')
    await opened.call('startReading')
    expect(await opened.call('untilReceived', 3)).toBe('123')
    await opened.call('pause')
    peer.send(frame(BINARY, '4'), frame(BINARY, '5'))
    peer.send(frame(CLOSE))
    await opened.call('resumeForOne')
    expect(await opened.call('untilReceived', 4)).toBe('1234')
    expect(await opened.call('told')).toEqual(expect.not.arrayContaining(['end']))
    await opened.call('resume')
    expect((await opened.call<readonly string[]>('untilTold', 'end')).at(-1)).toBe('end')
    expect(await opened.call('received')).toBe('12345')
  })

  it('says when more waits than the network takes, and when there is room again', async () => {
    const { opened, peer } = await pair()
    peer.socket.pause()
    const took = await opened.call<readonly boolean[]>('write', 65_536, 400)
    expect(took.slice(0, 4)).toEqual([true, true, true, true])
    expect(took.at(-1)).toBe(false)
    expect(await opened.call('told')).toEqual(expect.not.arrayContaining(['drain']))
    peer.socket.resume()
    await opened.call('untilTold', 'drain')
    await opened.call('untilWritten', 65_536 * 400)
    await peer.until(() => peer.received.length === 65_536 * 400)
    expect(await opened.call('told')).toEqual(expect.not.arrayContaining(['fewer bytes written']))
    expect(await opened.call('wasNested')).toBe(false)
  })

  it('reports a little as written at once, and ends behind it', async () => {
    const { opened, peer } = await pair()
    expect(await opened.call('write', 10, 2)).toEqual([true, true])
    await opened.call('untilWritten', 20)
    await opened.call('end')
    await peer.until(() => peer.of(CLOSE).length === 1)
    expect(peer.received).toHaveLength(20)
    expect(peer.of(CLOSE)[0]?.payload.readUInt16BE()).toBe(1000)
    peer.socket.end(frame(CLOSE, peer.of(CLOSE)[0]?.payload))
    expect(await opened.call('untilTold', 'end')).toEqual(['written', 'end'])
    expect(await opened.call('wasNested')).toBe(false)
  })

  it('is over at once when it is destroyed', async () => {
    const { opened, peer } = await pair()
    await opened.call('destroy')
    peer.send(frame(BINARY, 'too late'))
    expect(await opened.call('untilTold', 'end')).toEqual(['end'])
    await peer.until(() => peer.of(CLOSE).length === 1)
    expect(await opened.call('told')).toEqual(['end'])
    expect(await opened.call('wasNested')).toBe(false)
  })

  it.each([
    ['cuts it', undefined, 'end'],
    ['says goodbye', [1000, ''], 'end'],
    ['says why', [1008, 'too loud'], 'end: Error: the server closed the WebSocket with 1008 (too loud)'],
  ] as const)('is over when the server %s', async (_, said, expected) => {
    const { opened, peer } = await pair()
    if (said === undefined) peer.socket.destroy()
    else {
      const code = Buffer.alloc(2)
      code.writeUInt16BE(said[0])
      peer.send(frame(CLOSE, Buffer.concat([code, Buffer.from(said[1])])))
    }
    expect(await opened.call('untilTold', 'end')).toEqual([expected])
  })

  it('dials the URL that transform gives, anew each time', async () => {
    const paths: string[] = []
    const port = await servers.listen(webSocketServer(({ handshake }) => paths.push(handshake.path)))
    const opened = await chromium().open(PROGRAM, 'page')
    const url = `ws://127.0.0.1:${port}/mqtt`
    expect(await opened.call('transformed', url, 'token')).toBe('')
    expect(await opened.call('transformed', url, 'token')).toBe('')
    expect(paths).toEqual(['/mqtt?token=abc', '/mqtt?token=abc'])
    expect(await opened.call('transformed', url, 'throw')).toMatch(/websocket\.transform failed: no token$/)
    expect(await opened.call('transformed', url, 'headers')).toMatch(
      /it gave headers, and a browser sends none/,
    )
    expect(await opened.call('transformed', url, 'http')).toMatch(/it gave a URL that begins with http:$/)
    expect(paths).toHaveLength(2)
  })

  it('leaves nothing open when it is given up', async () => {
    const port = await servers.serve((socket) => socket.resume())
    const opened = await chromium().open(PROGRAM, 'page')
    expect(await opened.call('aborted', `ws://127.0.0.1:${port}/mqtt`, 100)).toBe('given up')
    await servers.idle()
  })

  it.each(PLACES)('names the usual reasons when there is no connection, in a %s', async (place) => {
    const unused = createServer()
    const port = await servers.listen(unused)
    await new Promise((resolve) => unused.close(resolve))
    const opened = await chromium().open(CLIENTS, place)
    const failure = await opened.call('failure', `ws://127.0.0.1:${port}/mqtt?secret`, {})
    expect(failure).toMatchObject({ name: 'ConnectionError', code: 'connect-failed', phase: 'websocket' })
    const { message } = failure as { readonly message: string }
    expect(message).toContain(`no WebSocket to ws://127.0.0.1:${port}/mqtt: the browser does not say why`)
    expect(message).toContain('nothing listens on this host and port')
    expect(message).not.toContain('secret')
  })

  it.each([
    ['another protocol', 'amqp'],
    ['none', undefined],
  ])('is refused when the server agrees to %s', async (_, protocol) => {
    const answer: typeof accept = (handshake) =>
      accept(handshake, protocol).filter((line) => protocol !== undefined || !/-Protocol:/.test(line))
    const port = await servers.listen(webSocketServer(() => {}, { answer }))
    const opened = await chromium().open(CLIENTS, 'page')
    const failure = await opened.call('failure', `ws://127.0.0.1:${port}/mqtt`, {})
    expect(failure).toMatchObject({ code: 'connect-failed', phase: 'websocket' })
    expect(failure).toHaveProperty('message', expect.stringContaining('"mqtt"'))
  })

  it('says that the handshake was not answered in time', async () => {
    const port = await servers.serve(() => {})
    const opened = await chromium().open(CLIENTS, 'page')
    const options = { connectTimeout: 200 }
    expect(await opened.call('failure', `ws://127.0.0.1:${port}/mqtt`, options)).toMatchObject({
      code: 'connect-timeout',
      phase: 'websocket',
      message: expect.stringContaining('WebSocket handshake or websocket.transform did not answer'),
    })
  })

  it.each([
    [
      'mqtt://127.0.0.1',
      {},
      'invalid-url',
      'url: a browser reaches brokers by ws:// and wss:// only, got mqtt://',
    ],
    [
      'mqtts://127.0.0.1',
      {},
      'invalid-url',
      'url: a browser reaches brokers by ws:// and wss:// only, got mqtts://',
    ],
    ['unix:/run/broker.sock', {}, 'invalid-url', 'by ws:// and wss:// only'],
    ['wss://127.0.0.1', { tls: {} }, 'invalid-option', 'tls: expected it not to be set in a browser'],
    ['ws://127.0.0.1', { socket: {} }, 'invalid-option', 'socket: expected it not to be set'],
    ['ws://127.0.0.1', { proxy: 'http://proxy' }, 'invalid-option', 'proxy: expected it not to be set'],
    [
      'ws://127.0.0.1',
      { websocket: { headers: {} } },
      'invalid-option',
      'websocket.headers: expected it not',
    ],
    [
      'ws://127.0.0.1',
      { websocket: { validate: 1 } },
      'invalid-option',
      'websocket.validate: expected it not',
    ],
    [
      'ws://127.0.0.1',
      { websocket: { transform: 1 } },
      'invalid-option',
      'websocket.transform: expected a func',
    ],
    [
      'ws://127.0.0.1',
      { websocket: { paht: '/' } },
      'invalid-option',
      'websocket.paht: expected one of path',
    ],
  ])('refuses %s with %j when a client is made', async (url, options, code, message) => {
    const opened = await chromium().open(CLIENTS, 'page')
    const failure = await opened.call('failure', url, options)
    expect(failure).toMatchObject({ name: 'UsageError', code, message: expect.stringContaining(message) })
  })
})

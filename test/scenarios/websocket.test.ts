// MQTT over WebSockets whose frames are written by hand: what section 6 of both versions demands of a client, and
// servers that refuse the handshake, answer another one, or break the rules of WebSocket.
import { afterEach, describe, expect, it } from 'vitest'
import { type Client, type ClientOptions, ClientPool, type ProtocolVersion } from '../../src/index.ts'
import { nextEvent, refusalOf } from '../support/client-outcomes.ts'
import { collect, VERSIONS } from '../support/client-world.ts'
import { concat, hex } from '../support/codec/hex.ts'
import { Inbox, PacketLog } from '../support/clients.ts'
import { ACCEPTED, publishOf } from '../support/raw-broker.ts'
import { useServers } from '../support/streams.ts'
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
} from '../support/websocket-server.ts'

const servers = useServers()
const clients: Client[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

class World {
  readonly peers: WebSocketPeer[] = []
  readonly client: Client
  readonly inbox: Inbox = new Inbox()

  private constructor(client: Client, peers: WebSocketPeer[]) {
    this.client = client
    this.peers = peers
    client.on('message', this.inbox.handle)
  }

  /** A client, not connected yet, and a broker that accepts it with these frames. */
  static async make(
    version: ProtocolVersion,
    {
      answer,
      accepting = [frame(BINARY, ACCEPTED[version])],
      ...options
    }: ClientOptions & {
      answer?: (handshake: Handshake) => readonly string[]
      accepting?: readonly Buffer[]
    } = {},
  ): Promise<World> {
    const peers: WebSocketPeer[] = []
    const server = webSocketServer(
      (peer) => {
        peers.push(peer)
        peer.onBinary = () => {
          peer.onBinary = undefined
          peer.send(...accepting)
        }
      },
      answer === undefined ? {} : { answer },
    )
    const url = `ws://127.0.0.1:${await servers.listen(server)}`
    const client = new ClientPool().createClient(url, {
      clientId: 'client',
      reconnect: { min: 10, max: 20 },
      ...options,
      protocolVersion: version,
    } as ClientOptions)
    clients.push(client)
    return new World(client, peers)
  }

  static async connected(
    version: ProtocolVersion,
    options: Parameters<typeof World.make>[1] = {},
  ): Promise<World> {
    const world = await World.make(version, options)
    await world.client.connect()
    return world
  }

  get peer(): WebSocketPeer {
    const peer = this.peers.at(-1)
    if (peer === undefined) throw new Error('no client has connected')
    return peer
  }
}

describe.each(VERSIONS)('the handshake of %s', (version) => {
  it('offers the subprotocol mqtt, at the path /mqtt [scenario 25] [3.1.1 MQTT-6.0.0-3] [5 MQTT-6.0.0-3]', async () => {
    const { peer } = await World.connected(version)
    expect(peer.handshake.headers.get('sec-websocket-protocol')).toBe('mqtt')
    expect(peer.handshake.path).toBe('/mqtt')
  })

  it.each([
    ['none', (handshake: Handshake) => accept(handshake, '').filter((line) => !line.endsWith('Protocol: '))],
    ['another', (handshake: Handshake) => accept(handshake, 'mqttv3.1')],
    ['more than one', (handshake: Handshake) => accept(handshake, 'mqtt, mqttv3.1')],
  ] as const)(
    'fails with a server that selects %s in place of mqtt, and nothing of MQTT is sent [scenario 25] [3.1.1 MQTT-6.0.0-4] [5 MQTT-6.0.0-4]',
    async (_what, answer) => {
      const world = await World.make(version, { answer })
      const error = await refusalOf(world.client)
      expect(error).toMatchObject({ name: 'ConnectionError', code: 'connect-failed', phase: 'websocket' })
      expect(error.message).toContain('it has to agree to "mqtt"')
      await servers.idle()
      expect(world.peers.map(({ received }) => received.length)).toEqual([0])
    },
  )

  it.each(['401 Unauthorized', '302 Found', '404 Not Found', '200 OK'])(
    'that is answered by %s is an attempt that failed; the next ones come by the back-off [scenario 25]',
    async (status) => {
      let count = 0
      const answer = (handshake: Handshake): readonly string[] => {
        count += 1
        return count < 3 ? [`HTTP/1.1 ${status}`, 'Location: ws://127.0.0.1:1/'] : accept(handshake)
      }
      const world = await World.make(version, { answer, retryInitialConnect: true })
      const failed = collect(world.client, 'connectFailed')
      await world.client.connect()
      const error = { name: 'ConnectionError', code: 'connect-failed', phase: 'websocket' }
      expect(failed).toMatchObject([
        { error, attempt: 1 },
        { error, attempt: 2 },
      ])
      expect(String(failed[0]?.error)).toContain(`the server answered ${status}`)
      await servers.open(1)
    },
  )

  it('that a server does not answer costs the connect time-out, and names it', async () => {
    const port = await servers.serve((socket) => void socket.resume())
    const options = { protocolVersion: version, connectTimeout: 100 } as const
    const client = new ClientPool().createClient(`ws://127.0.0.1:${port}`, options)
    clients.push(client)
    const error = { code: 'connect-timeout', phase: 'websocket' }
    await expect(client.connect()).rejects.toMatchObject(error)
    await servers.idle()
  })

  it('is signed anew for each attempt, and the time that it takes counts', async () => {
    let attempts = 0
    const websocket = {
      headers: { kept: 'yes' },
      transform: async ({ url, headers }: { url: URL; headers: Readonly<Record<string, string>> }) => {
        attempts += 1
        url.searchParams.set('attempt', String(attempts))
        return { url, headers }
      },
    }
    const world = await World.connected(version, { websocket })
    const back = nextEvent(world.client, 'connected')
    world.peer.socket.destroy()
    await back
    expect(world.peers.map(({ handshake }) => handshake.path)).toEqual(['/mqtt?attempt=1', '/mqtt?attempt=2'])
    const slow = { ...websocket, transform: () => new Promise<never>(() => {}) }
    const late = await World.make(version, { websocket: slow, connectTimeout: 50 })
    expect(await refusalOf(late.client)).toMatchObject({ code: 'connect-timeout', phase: 'websocket' })
  })
})

describe.each(VERSIONS)('frames of %s', (version) => {
  const first = publishOf(version, 0x30, '', 'first')
  const second = publishOf(version, 0x30, '', 'second')

  it('are binary, with a mask, in both directions [scenario 25] [3.1.1 MQTT-6.0.0-1] [5 MQTT-6.0.0-1]', async () => {
    const { client, peer, inbox } = await World.connected(version)
    for (let index = 0; index < 100; index += 1) void client.publish('a', 'x'.repeat(index * 10))
    peer.send(frame(BINARY, first))
    await inbox.until(1)
    await client.disconnect()
    await peer.until(() => peer.isEnded)
    const data = peer.frames.filter(({ opcode }) => opcode !== CLOSE)
    expect(data.length).toBeGreaterThan(1)
    expect(data.every(({ opcode, isLast, isMasked }) => opcode === BINARY && isLast && isMasked)).toBe(true)
    expect(peer.received.subarray(-2).toString('hex')).toBe('e000')
    expect(peer.of(CLOSE).map(({ payload }) => payload.readUInt16BE())).toEqual([1000])
  })

  const bytes = concat(ACCEPTED[version], first, second)
  const slices = (size: number): readonly Buffer[] =>
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      frame(BINARY, bytes.subarray(index * size, (index + 1) * size)),
    )

  it.each([
    ['one byte each', slices(1)],
    ['two bytes each', slices(2)],
    ['seven bytes each', slices(7)],
    ['CONNACK and two messages in one', slices(bytes.length)],
    [
      'one byte each, with empty ones between',
      slices(1).flatMap((one) => [frame(BINARY), one, frame(BINARY)]),
    ],
    [
      'one message of a fragment for each byte, with pings between',
      [...bytes].flatMap((byte, index) => [
        frame(index === 0 ? BINARY : CONTINUATION, Uint8Array.of(byte), {
          isLast: index === bytes.length - 1,
        }),
        frame(PING),
      ]),
    ],
  ])(
    'need not be packets: %s [scenario 25] [3.1.1 MQTT-6.0.0-2] [5 MQTT-6.0.0-2]',
    async (_what, accepting) => {
      const { client, inbox } = await World.connected(version, { accepting })
      await inbox.until(2)
      expect(inbox.texts).toEqual(['first', 'second'])
      expect(client.state).toBe('connected')
    },
  )

  it('ping is answered by pong, and is none of MQTT [scenario 25]', async () => {
    const { client, peer, inbox } = await World.connected(version)
    const log = new PacketLog(client)
    peer.send(frame(PING, 'one'), frame(BINARY, first), frame(PING, 'two'))
    await peer.until(() => peer.of(PONG).length === 2)
    expect(peer.of(PONG).map(({ payload }) => payload.toString())).toEqual(['one', 'two'])
    await inbox.until(1)
    expect(log.of('in').map(({ packet }) => packet.type)).toEqual(['publish'])
  })

  it.each([
    ['of text', frame(TEXT, 'hello'), 1003, 'a WebSocket message of text came; MQTT is binary'],
    [
      'of text in fragments',
      concat(frame(TEXT, '', { isLast: false }), frame(CONTINUATION)),
      1003,
      'text came',
    ],
    ['with a mask', frame(BINARY, second, { isMasked: true }), 1002, 'MASK must be clear'],
    ['of no known kind', frame(5, second), 1002, 'invalid opcode 5'],
  ] as const)(
    '%s end the connection, nothing behind is handled, and the client comes back [scenario 25] [3.1.1 MQTT-6.0.0-1] [5 MQTT-6.0.0-1]',
    async (_what, wrong, code, text) => {
      const { client, peer, peers, inbox } = await World.connected(version)
      const ends = collect(client, 'disconnected')
      const back = nextEvent(client, 'connected')
      peer.send(frame(BINARY, first), Buffer.from(wrong), frame(BINARY, second))
      await peer.until(() => peer.isEnded)
      expect(peer.of(CLOSE).map(({ payload }) => payload.readUInt16BE())).toEqual([code])
      await back
      expect(String(ends[0]?.error)).toContain(text)
      expect([ends.length, peers.length]).toEqual([1, 2])
      expect(inbox.texts).toEqual(['first'])
      await servers.open(1)
    },
  )

  it.each([
    [1000, '', 'the server closed the connection without DISCONNECT'],
    [1001, 'restart', 'the connection was lost: the server closed the WebSocket with 1001 (restart)'],
  ])('closing with %i end the connection; the client comes back', async (code, reason, text) => {
    const { client, peer } = await World.connected(version)
    const ends = collect(client, 'disconnected')
    const back = nextEvent(client, 'connected')
    peer.send(frame(CLOSE, concat(Uint8Array.of(code >> 8, code & 0xff), Buffer.from(reason))))
    await back
    expect(ends.map(({ error }) => [error?.code, error?.message])).toEqual([['connection-lost', text]])
  })

  it('larger than maximumPacketSize and 1 MiB end the connection before they have come', async () => {
    const { client, peer } = await World.connected(version, { maximumPacketSize: 1_000, reconnect: false })
    const ended = nextEvent(client, 'disconnected')
    peer.send(frame(BINARY, new Uint8Array(2_000_000)).subarray(0, 100))
    expect(await ended).toMatchObject({ error: { code: 'packet-too-large', reasonCode: 0x95 } })
  })

  it('wait while the handlers are behind, and come in order', async () => {
    const { client, peer } = await World.connected(version, { maxPending: 1, unmatchedTimeout: 0 })
    const handled: string[] = []
    let finish = (): void => {}
    client.route('a', async (message) => {
      await new Promise<void>((resolve) => (finish = resolve))
      handled.push(message.text())
    })
    const texts = Array.from({ length: 20 }, (_, index) => String(index))
    peer.send(...texts.map((text) => frame(BINARY, publishOf(version, 0x30, '', text))))
    const deadline = performance.now() + 4_000
    while (handled.length < texts.length && performance.now() < deadline) {
      finish()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(handled).toEqual(texts)
  })
})

describe.each(VERSIONS)('a URL of another kind than the port (%s)', (version) => {
  const options = { protocolVersion: version, connectTimeout: 2_000 } as const
  const failure = async (url: string): Promise<Error> => {
    const client = new ClientPool().createClient(url, options)
    clients.push(client)
    return refusalOf(client)
  }

  it('mqtt:// to a WebSocket server: the answer is in HTTP, and the error says so', async () => {
    const answers = [
      'HTTP/1.1 400 Bad Request\r\n\r\n',
      `HTTP/1.1 400 Bad Request\r\nX: ${'x'.repeat(100)}\r\n\r\n`,
    ]
    for (const answer of answers) {
      // It does not even close the connection.
      const port = await servers.serve((socket) => void socket.on('data', () => socket.write(answer)))
      const error = await failure(`mqtt://127.0.0.1:${port}`)
      expect(error).toMatchObject({ name: 'ConnectionError', code: 'connect-failed', phase: 'connack' })
      expect(error.message).toContain('connect to this port by ws:// or wss://')
    }
    await servers.idle()
  })

  it('ws:// to an MQTT server: it closes the connection, and the error says what to look at', async () => {
    const port = await servers.serve((socket) => void socket.on('data', () => socket.end(hex('20 02 00 01'))))
    const error = await failure(`ws://127.0.0.1:${port}`)
    expect(error).toMatchObject({ name: 'ConnectionError', code: 'connect-failed', phase: 'websocket' })
    expect(error.message).toContain('does it speak WebSocket on this port')
    await servers.idle()
  })
})

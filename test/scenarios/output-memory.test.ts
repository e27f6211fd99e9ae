// The memory of output is written again as soon as nobody needs what stands there. Until then it may be needed in many
// places: in the client's buffer, the socket's, that of TLS or WebSocket, and as the only copy of a message that was not
// acknowledged. Here servers stop reading, acknowledge late or never, and cut; every byte must be the one that was
// published, and much of the memory must have been written again.
import { randomBytes } from 'node:crypto'
import type net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { ControlPacket, ProtocolVersion, PublishPacket, QoS } from '../../src/core/packets/types.ts'
import { type Client, type ClientOptions, ClientPool, type Dial } from '../../src/index.ts'
import { PacketSplitter } from '../../src/testing/broker/packet-splitter.ts'
import { decodeOfClient, encodePacket } from '../../src/testing/broker/server-codec.ts'
import { Authority } from '../support/certificates.ts'
import { durableOptions, optionsOf, VERSIONS } from '../support/client-world.ts'
import { unique } from '../support/clients.ts'
import { concat } from '../support/codec/hex.ts'
import { Dialer, useServers, Waiters } from '../support/streams.ts'
import { BINARY, frame, webSocketServer } from '../support/websocket-server.ts'

const servers = useServers()
const authority = new Authority('Output memory')

/** Takes the server's end of a stream, and gives what its bytes go to. */
type Serve = (socket: net.Socket, write: (bytes: Uint8Array) => void) => (chunk: Uint8Array) => void

const plainly = (serve: Serve) => (socket: net.Socket) => {
  const take = serve(socket, (bytes) => void socket.write(bytes))
  socket.on('data', take).on('error', () => {})
}

/** Each listens, and gives its URL. */
const STREAMS = {
  TCP: async (serve: Serve) => `mqtt://127.0.0.1:${await servers.serve(plainly(serve))}`,
  'a Unix socket': async (serve: Serve) => {
    const path = join(tmpdir(), `${unique('petrel-output')}.sock`)
    await servers.serve(plainly(serve), path)
    return `unix:${path}`
  },
  TLS: async (serve: Serve) => {
    const server = tls.createServer(authority.issue(), plainly(serve))
    return `mqtts://localhost:${await servers.listen(server)}`
  },
  WebSocket: async (serve: Serve) => {
    const server = webSocketServer((peer) => {
      peer.onBinary = serve(peer.socket, (bytes) => peer.send(frame(BINARY, bytes)))
    })
    return `ws://127.0.0.1:${await servers.listen(server)}`
  },
}
const NAMES = Object.keys(STREAMS) as (keyof typeof STREAMS)[]

const NOISE = randomBytes(65_536 + 70_000)

/** Of the message with this index: no two begin at the same place. */
function payloadOf(index: number): Uint8Array {
  const start = (index * 7_919) % 65_536
  const size = index % 11 === 0 ? index % 4 : (index * 173) % 3_000
  return NOISE.subarray(start, start + (index % 53 === 0 ? 20_000 + ((index * 1_237) % 50_000) : size))
}

/** Bytes after which the server reads nothing for a while. */
const PAUSE_AFTER = 2_000_000
/** ms by which acknowledgements are late: their messages need the memory for longer than the network. */
const LATENESS = 5

interface Arrival extends Pick<PublishPacket, 'topic' | 'qos' | 'dup' | 'packetId'> {
  readonly connection: number
}

/** Holds what comes against what was published; a topic ends with the index. */
class Server {
  readonly arrivals: Arrival[] = []
  readonly sockets: net.Socket[] = []
  withholdsPubacks = false
  readonly #version: ProtocolVersion
  readonly #faults: string[] = []
  readonly #waiters = new Waiters()

  constructor(version: ProtocolVersion) {
    this.#version = version
  }

  readonly serve: Serve = (socket, write) => {
    const connection = this.sockets.push(socket)
    const splitter = new PacketSplitter()
    const answers: Uint8Array[] = []
    const answer = (packet: ControlPacket): void => {
      answers.push(encodePacket(packet, this.#version))
      if (answers.length === 1) setTimeout(() => write(concat(...answers.splice(0))), LATENESS)
    }
    let read = 0
    return (chunk) => {
      try {
        splitter.push(chunk)
        for (let split = splitter.next(); split !== undefined; split = splitter.next())
          this.#handle(decodeOfClient(split, this.#version), connection, answer)
      } catch (error) {
        this.#faults.push(`on connection ${connection}: ${String(error)}`)
      }
      this.#waiters.check()
      read += chunk.length
      if (read < PAUSE_AFTER) return
      read = 0
      socket.pause()
      setTimeout(() => socket.resume(), 50)
    }
  }

  /** Resolves when it is so. @throws Error when something came that was not published */
  async until(what: Promise<unknown> | (() => boolean)): Promise<void> {
    const isSo = typeof what === 'function' ? this.#waiters.until(what) : what
    await Promise.race([isSo, this.#waiters.until(() => this.#faults.length > 0)])
    expect(this.#faults.slice(0, 10)).toEqual([])
  }

  #handle(packet: ControlPacket, connection: number, answer: (packet: ControlPacket) => void): void {
    if (packet.type === 'connect')
      answer({ type: 'connack', sessionPresent: !packet.cleanStart && connection > 1, reasonCode: 0 })
    if (packet.type === 'pubrel') answer({ type: 'pubcomp', packetId: packet.packetId, reasonCode: 0 })
    if (packet.type !== 'publish') return
    const { topic, payload, qos, dup, packetId } = packet
    if (Buffer.compare(payload, payloadOf(Number(topic.split('/')[1]))) !== 0)
      throw new Error(`other bytes came to ${topic}`)
    this.arrivals.push({ topic, qos, dup, packetId, connection })
    if (qos === 2) answer({ type: 'pubrec', packetId, reasonCode: 0 })
    if (qos === 1 && !this.withholdsPubacks) answer({ type: 'puback', packetId, reasonCode: 0 })
  }
}

class Publisher {
  readonly client: Client
  /** Topics, by QoS. */
  readonly published: readonly [string[], string[], string[]] = [[], [], []]
  readonly #name: string
  #next = 0
  #refusals = 0

  constructor(client: Client, name: string) {
    this.client = client
    this.#name = name
  }

  /** What to publish next. */
  take(qos: QoS): readonly [topic: string, payload: Uint8Array] {
    const index = this.#next++
    this.published[qos].push(`${this.#name}/${index}`)
    return [`${this.#name}/${index}`, payloadOf(index)]
  }

  /** One of QoS 0. When the network takes no more, some others follow before that is waited for. */
  async send(): Promise<void> {
    if (!this.client.send(...this.take(0)) && ++this.#refusals % 60 === 0) await this.client.drained()
  }

  /** Messages of all levels, in every way. */
  async flood(): Promise<void> {
    const promises: Promise<unknown>[] = []
    for (let round = 0; round < 200; round += 1) {
      for (let count = 0; count < 5; count += 1) await this.send()
      promises.push(this.client.publish(...this.take(0)))
      for (const qos of [1, 2] as const) {
        promises.push(this.client.publish(...this.take(qos), { qos }))
        const [topic, payload] = this.take(qos)
        promises.push(this.client.publishAll([{ topic, payload, qos }]))
      }
    }
    await Promise.all(promises)
  }
}

describe.each(VERSIONS)('the memory of output of %s', (version) => {
  async function start(stream: keyof typeof STREAMS, options: ClientOptions, ...names: readonly string[]) {
    const server = new Server(version)
    const buffers = new Set<ArrayBufferLike>()
    let written = 0
    const dial: Dial = async (target, signal) => {
      const transport = await new Dialer().dial(target, signal)
      const write = transport.write.bind(transport)
      transport.write = (chunk) => {
        buffers.add(chunk.buffer)
        written += chunk.length
        return write(chunk)
      }
      return transport
    }
    const url = await STREAMS[stream](server.serve)
    const pool = new ClientPool({ dial })
    onTestFinished(() => pool.close())
    const connect = async (name: string): Promise<Publisher> =>
      new Publisher(await pool.connect(url, { ...options, tls: { ca: authority.cert } }), name)
    const publishers = await Promise.all(names.map(connect))
    const memory = (): number => [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0)
    // Of less memory than was written, some was written again.
    return { server, publishers, expectReuse: () => expect(memory()).toBeLessThan((3 * written) / 4) }
  }

  it.each(NAMES)('over %s: floods of two clients arrive as they were published', async (stream) => {
    const options = optionsOf(version, { maxInflightQos2: 32 })
    const { server, publishers, expectReuse } = await start(stream, options, 'a', 'b')
    for (const socket of server.sockets) socket.pause()
    for (const one of publishers) while (one.client.send(...one.take(0)));
    for (const socket of server.sockets) socket.resume()
    await server.until(Promise.all(publishers.map((one) => one.flood())))
    const all = publishers.flatMap(({ published }) => published.flat())
    await server.until(() => server.arrivals.length >= all.length)
    const topics = server.arrivals.map(({ topic }) => topic)
    expect(topics.toSorted()).toEqual(all.toSorted())
    for (const { published } of publishers) {
      const own = new Set(published[0])
      expect(topics.filter((topic) => own.has(topic))).toEqual(published[0])
    }
    expectReuse()
  })

  it.each(NAMES)('over %s: what is not acknowledged comes again, as it was', async (stream) => {
    const options = durableOptions(version, { reconnect: { min: 1, max: 5 } })
    const { server, publishers, expectReuse } = await start(stream, options, 'a')
    const [publisher] = publishers as [Publisher]
    server.withholdsPubacks = true
    const promises: Promise<unknown>[] = []
    for (let count = 0; count < 400; count += 1) {
      await publisher.send()
      if (count % 20 < 2) promises.push(publisher.client.publish(...publisher.take(1), { qos: 1 }))
    }
    const came = (on: number): readonly Arrival[] =>
      server.arrivals.filter(({ qos, connection }) => qos === 1 && connection === on)
    for (const connection of [1, 2, 3]) {
      for (let count = 0; count < 2_000; count += 1) await publisher.send()
      await server.until(() => came(connection).length === promises.length)
      if (connection === 3) break
      server.withholdsPubacks = connection === 1
      server.sockets.at(-1)?.destroy()
      await server.until(() => server.arrivals.at(-1)?.connection === connection + 1)
    }
    await server.until(Promise.all(promises))
    const first = came(1)
    expect(first.map(({ topic }) => topic)).toEqual(publisher.published[1])
    for (const connection of [2, 3])
      expect(came(connection)).toEqual(first.map((one) => ({ ...one, dup: true, connection })))
    const plain = server.arrivals.flatMap(({ qos, topic }) => (qos === 0 ? [topic] : []))
    const topics = new Set(plain)
    expect(plain).toEqual(publisher.published[0].filter((topic) => topics.has(topic)))
    expectReuse()
  })
})

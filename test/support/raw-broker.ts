// A server on a real socket that knows only bytes. It writes what a test tells it, and neither answers nor
// closes by itself: whoever ended the stream is certain, and the bytes may be such as no encoder makes.
//
//   const makeBroker = useRawBrokers()
//   const broker = await makeBroker((connection) => connection.write(ACCEPTED['5']))
//   const client = broker.createClient({ protocolVersion: '5' })
//   await client.connect()
//   broker.latest.write(hex('36 06 0001 "a" 0001 00'))
//   await broker.latest.ended
import { createServer, type Server, type Socket } from 'node:net'
import { afterEach, expect } from 'vitest'
import { type Client, type ClientOptions, ClientPool, type ProtocolVersion } from '../../src/index.ts'
import { concat, hex, toHex } from './codec/hex.ts'
import { Waiters } from './streams.ts'

type ByVersion = Readonly<Record<ProtocolVersion, Uint8Array>>

/** CONNACK that accepts, without a session and with one. */
export const ACCEPTED: ByVersion = { '3.1.1': hex('20 02 00 00'), '5': hex('20 03 00 00 00') }
export const RESUMED: ByVersion = { '3.1.1': hex('20 02 01 00'), '5': hex('20 03 01 00 00') }

/** A packet: its first byte, the length of the rest, the rest. */
export function packetOf(first: number, ...rest: readonly Uint8Array[]): Uint8Array {
  const body = concat(...rest)
  return concat(Uint8Array.of(first), lengthOf(body), body)
}

/** How long these bytes are, as a variable byte integer. */
export function lengthOf({ length }: Uint8Array): Uint8Array {
  const bytes: number[] = []
  let rest = length
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  return Uint8Array.from([...bytes, rest])
}

/** A PUBLISH to `a`: its first byte, its id in hexadecimal where the QoS has one, its payload in ASCII. */
export function publishOf(version: ProtocolVersion, first: number, id: string, text: string): Uint8Array {
  return packetOf(first, hex(`0001 "a" ${id} ${version === '5' ? '00' : ''} "${text}"`))
}

/** Told of each CONNECT. */
export type OnConnect = (connection: RawConnection) => void

/** Call it once within a file or suite: its servers and their clients end after each test. */
export function useRawBrokers(): (onConnect?: OnConnect) => Promise<RawBroker> {
  const brokers: RawBroker[] = []
  afterEach(async () => {
    for (const broker of brokers.splice(0)) await broker.close()
  })
  return async (onConnect = () => {}) => {
    const broker = new RawBroker(onConnect)
    brokers.push(broker)
    await broker.listen()
    return broker
  }
}

export class RawBroker {
  /** In the order in which they came. */
  readonly connections: RawConnection[] = []
  readonly #server: Server
  readonly #clients: Client[] = []
  // Hundreds of connections within a second are the tests' own doing.
  readonly #pool = new ClientPool({ maxAttempts: Infinity, attemptsPerSecond: Infinity })
  readonly #arrivals = new Waiters()
  #url = ''

  constructor(onConnect: OnConnect) {
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
      this.connections.push(new RawConnection(socket, this.connections.length + 1, onConnect))
      this.#arrivals.check()
    })
  }

  get url(): string {
    return this.#url
  }

  get latest(): RawConnection {
    const connection = this.connections.at(-1)
    if (connection === undefined) throw new Error('no client has connected')
    return connection
  }

  /** The connection of this number, from 1; waits for it. */
  async connection(number: number): Promise<RawConnection> {
    await this.#arrivals.until(() => this.connections.length >= number)
    const connection = this.connections[number - 1]
    if (connection === undefined) throw new Error(`connections are counted from 1, not ${number}`)
    return connection
  }

  /** A client of this server that is not connected yet, and ends with it. */
  createClient(options: ClientOptions): Client {
    const client = this.#pool.createClient(this.#url, options)
    this.#clients.push(client)
    return client
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('a port was expected')
    this.#url = `mqtt://127.0.0.1:${address.port}`
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    for (const connection of this.connections) connection.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

export class RawConnection {
  /** Counted from 1. */
  readonly number: number
  /** What the client wrote, packet by packet, CONNECT first. */
  readonly packets: Uint8Array[] = []
  /** Resolves when the client has ended the stream. */
  readonly ended: Promise<void>
  /** Resolves when both sides have. */
  readonly closed: Promise<void>
  isEnded = false
  /** Told of each packet behind CONNECT. */
  onPacket: ((packet: Uint8Array) => void) | undefined = undefined
  /** Takes what comes from now on in place of `packets`: for more bytes than one wants to keep. */
  sink: ((chunk: Uint8Array) => void) | undefined = undefined

  readonly #socket: Socket
  readonly #onConnect: OnConnect
  readonly #progress = new Waiters()
  #rest: Uint8Array = new Uint8Array(0)

  constructor(socket: Socket, number: number, onConnect: OnConnect) {
    this.#socket = socket
    this.number = number
    this.#onConnect = onConnect
    socket.on('data', (chunk) => this.#take(chunk))
    socket.on('error', () => socket.destroy())
    this.closed = new Promise((resolve) => void socket.once('close', () => resolve()))
    this.ended = new Promise((resolve) => {
      for (const event of ['end', 'close'] as const) {
        socket.once(event, () => {
          this.isEnded = true
          this.#progress.check()
          resolve()
        })
      }
    })
  }

  /** What followed CONNECT, in hexadecimal. */
  get answers(): readonly string[] {
    return this.packets.slice(1).map(toHex)
  }

  /** All in one segment, as far as it fits into one. */
  write(...parts: readonly Uint8Array[]): void {
    const [first] = parts
    this.#socket.write(first !== undefined && parts.length === 1 ? first : concat(...parts))
  }

  /** Writes byte by byte, each in a segment of its own. */
  async drip(bytes: Uint8Array, gap: number, beforeEach: (index: number) => void = () => {}): Promise<void> {
    for (const [index, byte] of bytes.entries()) {
      if (index > 0) await new Promise((resolve) => setTimeout(resolve, gap))
      beforeEach(index)
      if (this.#socket.writable) this.#socket.write(Uint8Array.of(byte))
    }
  }

  /** Ends the stream (FIN), and goes on reading. */
  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Resolves when so many packets have come, CONNECT included. */
  received(count: number): Promise<void> {
    return this.#progress.until(() => this.packets.length >= count)
  }

  #take(chunk: Uint8Array): void {
    if (this.sink !== undefined) return this.sink(chunk)
    let bytes = this.#rest.length === 0 ? chunk : concat(this.#rest, chunk)
    for (let size = packetSize(bytes); size <= bytes.length; size = packetSize(bytes)) {
      const packet = new Uint8Array(bytes.subarray(0, size))
      bytes = bytes.subarray(size)
      this.packets.push(packet)
      if (this.packets.length === 1) this.#onConnect(this)
      else this.onPacket?.(packet)
    }
    this.#rest = bytes
    this.#progress.check()
  }
}

/** Fixed header included; Infinity while it is not known. */
function packetSize(bytes: Uint8Array): number {
  let length = 0
  for (let index = 1; index <= 4; index += 1) {
    const byte = bytes[index]
    if (byte === undefined) return Infinity
    length += (byte & 0x7f) * 128 ** (index - 1)
    if (byte < 0x80) return 1 + index + length
  }
  throw new Error(`a Remaining Length of more than four bytes came: ${toHex(bytes.subarray(0, 6))}`)
}

/** The client ends the stream of itself: at once, and not because 2 s later nobody else has. */
export async function expectEndOf(connection: RawConnection): Promise<void> {
  const since = performance.now()
  await connection.ended
  expect(performance.now() - since).toBeLessThan(1_500)
}

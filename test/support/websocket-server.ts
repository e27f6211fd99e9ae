// A WebSocket server that writes frames by hand, right ones and wrong ones, and sees each frame that comes; RFC 6455.
//
//   const server = webSocketServer((peer) => peer.send(BINARY, Buffer.from('hello')))
//   await servers.listen(server)
import { createHash } from 'node:crypto'
import net from 'node:net'
import tls from 'node:tls'
import { Waiters } from './streams.ts'

export const CONTINUATION = 0
export const TEXT = 1
export const BINARY = 2
export const CLOSE = 8
export const PING = 9
export const PONG = 10

/** What the client asked for. */
export interface Handshake {
  /** With its query. */
  readonly path: string
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>
}

export interface Frame {
  readonly opcode: number
  readonly isLast: boolean
  readonly isMasked: boolean
  readonly payload: Buffer
}

export interface WebSocketServerOptions {
  /** The whole answer to a handshake, without the blank line; default: that of a server that speaks MQTT. */
  readonly answer?: (handshake: Handshake) => readonly string[]
  /** With certificate and key: in TLS. */
  readonly secure?: tls.TlsOptions
}

/** @param handle called for each connection that was upgraded */
export function webSocketServer(
  handle: (peer: WebSocketPeer) => void = () => {},
  { answer = accept, secure }: WebSocketServerOptions = {},
): net.Server {
  const accepted = (socket: net.Socket): void => {
    socket.on('error', () => {})
    let head = ''
    const read = (chunk: Buffer): void => {
      head += chunk.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      socket.off('data', read)
      const handshake = parse(head)
      const lines = answer(handshake)
      socket.write(`${lines.join('\r\n')}\r\n\r\n`)
      if (lines[0]?.includes(' 101 ') === true) handle(new WebSocketPeer(socket, handshake))
      else socket.end()
    }
    socket.on('data', read)
  }
  return secure === undefined ? net.createServer(accepted) : tls.createServer(secure, accepted)
}

/** A server that speaks MQTT, or another protocol, or says nothing of it. */
export function accept(handshake: Handshake, protocol: string | undefined = 'mqtt'): readonly string[] {
  const key = handshake.headers.get('sec-websocket-key') ?? ''
  const proof = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const upgrade = ['Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${proof}`]
  const chosen = protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol}`]
  return ['HTTP/1.1 101 Switching Protocols', ...upgrade, ...chosen]
}

function parse(head: string): Handshake {
  const [request = '', ...lines] = head.split('\r\n')
  const fields = lines.filter(Boolean).map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return { path: request.split(' ')[1] ?? '', headers: new Map(fields) }
}

/** The server's end of a connection. */
export class WebSocketPeer {
  readonly handshake: Handshake
  readonly socket: net.Socket
  readonly frames: Frame[] = []
  /** Whether the client has ended the stream. */
  isEnded = false
  /** Called with the payload of each binary frame. */
  onBinary: ((payload: Buffer) => void) | undefined = undefined
  #rest: Buffer = Buffer.alloc(0)
  readonly #waiters = new Waiters()

  constructor(socket: net.Socket, handshake: Handshake) {
    this.socket = socket
    this.handshake = handshake
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        this.isEnded = true
        this.#waiters.check()
      })
  }

  /** The payloads of all binary frames. */
  get received(): Buffer {
    return Buffer.concat(this.of(BINARY).map(({ payload }) => payload))
  }

  of(opcode: number): readonly Frame[] {
    return this.frames.filter((frame) => frame.opcode === opcode)
  }

  until(condition: () => boolean): Promise<void> {
    return this.#waiters.until(condition)
  }

  /** Sends frames in one segment, as far as they fit into one. */
  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames))
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    for (let size = sizeOf(this.#rest); size <= this.#rest.length; size = sizeOf(this.#rest)) {
      const frame = decode(this.#rest.subarray(0, size))
      this.#rest = this.#rest.subarray(size)
      this.frames.push(frame)
      if (frame.opcode === BINARY) this.onBinary?.(frame.payload)
    }
    this.#waiters.check()
  }
}

/** A frame as a server writes it; with a mask it is wrong. */
export function frame(
  opcode: number,
  payload: Uint8Array | string = '',
  { isLast = true, isMasked = false }: { readonly isLast?: boolean; readonly isMasked?: boolean } = {},
): Buffer {
  const bytes = Buffer.from(payload)
  const { length } = bytes
  const size =
    length < 126
      ? [length]
      : length < 65_536
        ? [126, ...bigEndian(length, 2)]
        : [127, ...bigEndian(length, 8)]
  const [first = 0, ...more] = size
  const head = Buffer.of((isLast ? 0x80 : 0) | opcode, (isMasked ? 0x80 : 0) | first, ...more)
  // A mask of zeros leaves the payload as it is.
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0), bytes])
}

function bigEndian(value: number, bytes: number): readonly number[] {
  return Array.from({ length: bytes }, (_, index) => Math.floor(value / 256 ** (bytes - 1 - index)) % 256)
}

/** Infinity while it is not known. */
function sizeOf(bytes: Buffer): number {
  const { start, length } = layoutOf(bytes)
  return start + length
}

function layoutOf(bytes: Buffer): { readonly start: number; readonly length: number } {
  if (bytes.length < 2) return { start: 2, length: Infinity }
  const second = bytes[1] ?? 0
  const mask = second >= 0x80 ? 4 : 0
  const short = second & 0x7f
  if (short < 126) return { start: 2 + mask, length: short }
  if (bytes.length < 10) return { start: 10 + mask, length: Infinity }
  if (short === 126) return { start: 4 + mask, length: bytes.readUInt16BE(2) }
  return { start: 10 + mask, length: Number(bytes.readBigUInt64BE(2)) }
}

function decode(bytes: Buffer): Frame {
  const [first = 0, second = 0] = bytes
  const { start } = layoutOf(bytes)
  const isMasked = second >= 0x80
  const mask = isMasked ? bytes.subarray(start - 4, start) : Buffer.alloc(4)
  const payload = Buffer.from(bytes.subarray(start).map((byte, index) => byte ^ (mask[index % 4] ?? 0)))
  return { opcode: first & 0x0f, isLast: first >= 0x80, isMasked, payload }
}

/**
 * WebSocket by `ws`, over a socket that stands: MQTT in binary frames, in any alignment, section 6 of both versions.
 *
 * `ws` does the handshake and the framing; what it stands on, a plain socket, TLS or a proxy's tunnel, is made by
 * the dialer, so all of that works here, too. Compression is off: MQTT's packets are small, and it costs memory for
 * each connection.
 */

import type { IncomingMessage } from 'node:http'
import type net from 'node:net'
import WebSocket from 'ws'
import { ConnectionError, ProtocolError, textOf } from '../core/errors.ts'
import type { SocketOptions, WebSocketOptions, WebSocketRequest, WebSocketResponse } from './dial-options.ts'
import { handshakeError } from './handshake-error.ts'
import { brokenBy, explained } from './stream-errors.ts'
import type { Transport, TransportReceiver } from './transport.ts'
import { unlessAborted } from './unless-aborted.ts'

const SUBPROTOCOL = 'mqtt'

/** Bytes that may wait before `write` says so. */
const HIGH_WATER_MARK = 65_536

/** `ws` keeps a message until it is whole, and one may hold several packets: so many bytes besides the largest. */
const BESIDES = 1_048_576

/** What the handshake will say; the user's `transform` has the last word, on each attempt. */
export async function prepareWebSocket(
  url: URL,
  { headers = {}, transform }: WebSocketOptions,
  signal: AbortSignal,
): Promise<WebSocketRequest> {
  if (transform === undefined) return { url, headers }
  try {
    const request = { url: new URL(url), headers: { ...headers } }
    const given = await unlessAborted(async () => transform(request), signal)
    const changed = { url: new URL(given.url), headers: { ...given.headers } }
    if (/^wss?:$/.test(changed.url.protocol)) return changed
    throw new Error(`it gave a URL that begins with ${changed.url.protocol}`)
  } catch (error) {
    signal.throwIfAborted()
    throw handshakeError(url, `websocket.transform failed: ${textOf(error)}`, error)
  }
}

/** Resolves when the server has agreed to speak MQTT; else nothing is left open. */
export async function openWebSocket(
  socket: net.Socket,
  request: WebSocketRequest,
  {
    validate,
    maximumPacketSize,
    noDelay,
  }: Pick<WebSocketOptions, 'validate'> &
    Pick<SocketOptions, 'noDelay'> & { readonly maximumPacketSize: number },
  signal: AbortSignal,
): Promise<Transport> {
  const { url } = request
  try {
    // `ws` knows 32 bits of it.
    const longest = Math.min(maximumPacketSize + BESIDES, 0x7fff_ffff)
    const { transport, response } = await unlessAborted(() => handshake(socket, request, longest), signal)
    // `ws` has set it.
    if (noDelay === false) socket.setNoDelay(false)
    await unlessAborted(async () => validate?.(response), signal).catch((error: unknown) => {
      throw handshakeError(url, `websocket.validate refused it: ${textOf(error)}`, error)
    })
    return transport
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    if (error instanceof ConnectionError) throw error
    throw handshakeError(url, `${textOf(error)}${adviceOn(textOf(error))}`, error)
  }
}

function handshake(
  socket: net.Socket,
  { url, headers }: WebSocketRequest,
  longest: number,
): Promise<{ readonly transport: Transport; readonly response: WebSocketResponse }> {
  return new Promise((resolve, reject) => {
    const broken = brokenBy(socket)
    if (broken !== undefined) throw broken
    // Throws when it does not like the headers.
    const webSocket = new WebSocket(url, [SUBPROTOCOL], {
      headers,
      createConnection: () => socket,
      perMessageDeflate: false,
      followRedirects: false,
      maxPayload: longest,
      skipUTF8Validation: true,
    })
    webSocket.on('error', (error) => reject(explained(error)))
    webSocket.once('unexpected-response', (_request, answer) =>
      reject(handshakeError(url, describeAnswer(answer))),
    )
    webSocket.once('upgrade', (answer) => {
      // At once: frames may come right behind the answer.
      webSocket.once('open', () =>
        resolve({
          transport: new WebSocketTransport(webSocket, socket, longest),
          response: responseOf(answer),
        }),
      )
    })
  })
}

function responseOf({ statusCode = 0, headers }: IncomingMessage): WebSocketResponse {
  const entries = Object.entries(headers).map(([name, value]) => [name, String(value)])
  return { status: statusCode, headers: Object.fromEntries(entries) }
}

function describeAnswer({ statusCode = 0, statusMessage = '', headers }: IncomingMessage): string {
  const answer = `the server answered ${statusCode} ${statusMessage}`.trim()
  if (statusCode >= 300 && statusCode < 400)
    return `${answer} and points to ${withoutSecrets(headers.location)}: redirects are not followed, connect there`
  if (statusCode === 401 || statusCode === 403)
    return `${answer}: it wants other credentials, see websocket.headers and websocket.transform`
  if (statusCode === 404)
    return `${answer}: check the path, which is often /mqtt, /ws or / (option websocket.path)`
  return `${answer}, and no WebSocket: check host, port and path of the URL`
}

/** The query may hold our token; a login is nobody's business either. */
function withoutSecrets(location: string | undefined): string {
  return (location ?? 'nowhere').replace(/[?#].*$/s, '').replace(/\/\/[^/]*@/, '//')
}

function adviceOn(text: string): string {
  if (/subprotocol/i.test(text)) return `: it has to agree to "${SUBPROTOCOL}"`
  if (/socket hang up|closed the connection|Parse Error|ECONNRESET|EPIPE/i.test(text))
    return ': does it speak WebSocket on this port, and TLS or not as the URL says?'
  return ''
}

class WebSocketTransport implements Transport {
  readonly #webSocket: WebSocket
  readonly #socket: net.Socket
  /** Bytes of a message at most. */
  readonly #longest: number
  #receiver: TransportReceiver | undefined = undefined
  #written = 0
  #taken = 0
  #isFull = false
  /** Before `start`, too. */
  #paused = true
  /** What came in one chunk with the frame at which the receiver paused. */
  #held: Buffer[] = []
  #ended = false
  #told = false
  #error: Error | undefined = undefined

  constructor(webSocket: WebSocket, socket: net.Socket, longest: number) {
    this.#webSocket = webSocket
    this.#socket = socket
    this.#longest = longest
    webSocket.binaryType = 'nodebuffer'
    webSocket.on('message', (data, isBinary) => this.#handleMessage(data as Buffer, isBinary))
    webSocket.on('error', (error) => this.#handleError(error))
    webSocket.on('close', (code, reason) => {
      // `ws` keeps to itself what was wrong with the socket.
      const { errored } = socket
      this.#end(errored === null ? closeError(code, reason.toString()) : explained(errored))
    })
    webSocket.pause()
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    this.resume()
  }

  write(chunk: Uint8Array): boolean {
    const { length } = chunk
    this.#written += length
    this.#webSocket.send(chunk, { binary: true }, (error) => {
      if (!error) this.#handleTaken(length)
    })
    this.#isFull = this.#written - this.#taken > HIGH_WATER_MARK
    return !this.#isFull
  }

  pause(): void {
    this.#paused = true
    this.#webSocket.pause()
  }

  resume(): void {
    this.#paused = false
    queueMicrotask(() => this.#hand())
  }

  end(): void {
    this.#webSocket.close(1000)
  }

  destroy(): void {
    this.#held = []
    // What the socket still has is not wanted any more.
    this.#ended = true
    this.#webSocket.terminate()
    queueMicrotask(() => this.#hand())
  }

  setKeepsAlive(keepsAlive: boolean): void {
    if (keepsAlive) this.#socket.ref()
    else this.#socket.unref()
  }

  #handleMessage(data: Buffer, isBinary: boolean): void {
    if (this.#ended) return
    if (!isBinary) {
      // [3.1.1 MQTT-6.0.0-1] [5 MQTT-6.0.0-1]
      this.#webSocket.close(1003)
      const text = 'a WebSocket message of text came; MQTT is binary'
      return this.#end(new ProtocolError('protocol-error', 0x82, text))
    }
    if (data.length === 0) return
    if (this.#paused || this.#held.length > 0) this.#held.push(data)
    else this.#receiver?.handleData(data, true)
  }

  #handleError(error: Error & { readonly code?: string }): void {
    if (error.code !== 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return this.#end(explained(error))
    const text = `a WebSocket message of more than ${this.#longest} bytes came (option maximumPacketSize, and 1 MiB)`
    this.#end(new ProtocolError('packet-too-large', 0x95, text, error))
  }

  #handleTaken(length: number): void {
    this.#taken += length
    if (this.#told) return
    this.#receiver?.handleWritten(this.#taken)
    if (!this.#isFull || this.#written - this.#taken > HIGH_WATER_MARK) return
    this.#isFull = false
    this.#receiver?.handleDrain()
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#webSocket.terminate()
    this.#hand()
  }

  /** Hands out what was held, and the end behind it. */
  #hand(): void {
    const receiver = this.#receiver
    if (receiver === undefined || this.#told) return
    while (!this.#paused && this.#held.length > 0) receiver.handleData(this.#held.shift() as Buffer, true)
    if (this.#held.length > 0) return
    if (this.#ended) {
      this.#told = true
      receiver.handleEnd(this.#error)
    } else if (!this.#paused) this.#webSocket.resume()
  }
}

/** Normal closure, no code at all, and no closing frame are the end of a stream; what else is said is worth telling. */
function closeError(code: number, reason: string): Error | undefined {
  if (code === 1000 || code === 1005 || code === 1006) return undefined
  return new Error(`the server closed the WebSocket with ${code}${reason === '' ? '' : ` (${reason})`}`)
}

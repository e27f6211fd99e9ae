/**
 * WebSocket as the platform has it, in pages and workers: MQTT in binary frames, in any alignment, section 6 of both
 * versions.
 *
 * What a browser does not let us do, and what stands in its place:
 * - It says neither why a connection was not made nor what the server answered: the error names the usual reasons.
 * - It does not tell when it has passed bytes on: `bufferedAmount` is asked, by a timer, while more than the
 *   high-water mark waits. Up to that mark its buffer counts as the network, as the system's does elsewhere.
 * - It cannot stop reading: what comes while the receiver pauses is held here, in order, *without a limit*. The limit
 *   is the server's own, Receive Maximum for QoS 1 and 2; for QoS 0 there is none.
 * - It cannot reset a connection: after `destroy` nothing is told any more, but the stream ends when the browser has
 *   said goodbye, or has given up on that.
 */

import { ProtocolError, textOf } from '../core/errors.ts'
import { Fifo } from '../core/fifo.ts'
import type { WebSocketOptions } from './dial-options.ts'
import { handshakeError } from './handshake-error.ts'
import type { Transport, TransportReceiver } from './transport.ts'
import { unlessAborted } from './unless-aborted.ts'

const SUBPROTOCOL = 'mqtt'

/** Bytes that may wait before `write` says so; four times that of a socket, because it is asked, not told. */
const HIGH_WATER_MARK = 262_144

/** ms between two looks at what waits: while it moves, and at most while it does not. */
const SHORT_LOOK = 4
const LONG_LOOK = 128

/** A page may give a reason from 3000 on only; this is 1003, "cannot accept the type of data", among them. */
const UNACCEPTABLE = 4_003

/** Timers that are in time in a hidden page, too. */
export interface Timers {
  setTimer(callback: () => void, delay: number): { cancel(): void }
}

/** The URL of this attempt; the user's `transform` has the last word. */
export async function prepareUrl(
  url: URL,
  { transform }: WebSocketOptions,
  signal: AbortSignal,
): Promise<URL> {
  if (transform === undefined) return url
  try {
    const request = { url: new URL(url), headers: {} }
    const given = await unlessAborted(async () => transform(request), signal)
    const changed = new URL(given.url)
    if (!/^wss?:$/.test(changed.protocol))
      throw new Error(`it gave a URL that begins with ${changed.protocol}`)
    if (Object.keys(given.headers ?? {}).length > 0)
      throw new Error('it gave headers, and a browser sends none of ours; a token can stand in the URL')
    changed.hash = ''
    return changed
  } catch (error) {
    signal.throwIfAborted()
    throw handshakeError(url, `websocket.transform failed: ${textOf(error)}`, error)
  }
}

/** Resolves when the server has agreed to speak MQTT; else nothing is left open. */
export async function openWebSocket(url: URL, timers: Timers, signal: AbortSignal): Promise<Transport> {
  signal.throwIfAborted()
  const webSocket = create(url)
  try {
    await unlessAborted(() => handshake(webSocket, url), signal)
    return new WebSocketTransport(webSocket, timers)
  } catch (error) {
    webSocket.close()
    throw error
  }
}

function create(url: URL): WebSocket {
  try {
    const webSocket = new WebSocket(url, SUBPROTOCOL)
    webSocket.binaryType = 'arraybuffer'
    return webSocket
  } catch (error) {
    throw handshakeError(url, `the browser refuses it: ${textOf(error)}${adviceOnPage(url)}`, error)
  }
}

function handshake(webSocket: WebSocket, url: URL): Promise<void> {
  return new Promise((resolve, reject) => {
    webSocket.onopen = () => {
      if (webSocket.protocol === SUBPROTOCOL) resolve()
      else reject(handshakeError(url, `the server did not agree to the subprotocol "${SUBPROTOCOL}"`))
    }
    webSocket.onclose = () => reject(handshakeError(url, reasons(url)))
  })
}

/** Browsers keep the reason from pages, so that these cannot explore a network. */
function reasons(url: URL): string {
  if (globalThis.navigator?.onLine === false) return 'the browser is offline'
  const usual = [
    'nothing listens on this host and port',
    `the broker has no WebSocket listener there that speaks "${SUBPROTOCOL}"`,
    'the path is another, often /mqtt, /ws or /',
  ]
  if (url.protocol === 'wss:')
    usual.push(`the browser does not trust the certificate (open https://${url.host}/ in a tab to see)`)
  else usual.push('the port is one for wss://')
  const text = `the browser does not say why; the usual reasons: ${usual.join('; ')}${adviceOnPage(url)}`
  return `${text}. The browser's console may say more`
}

/** What a page's own rules forbid. */
function adviceOnPage(url: URL): string {
  const isMixed = globalThis.isSecureContext && url.protocol === 'ws:'
  const mixed = isMixed ? '; a page of https:// reaches wss:// only, except on this machine' : ''
  return `${mixed}; the page's Content-Security-Policy has no ${url.protocol}//${url.host} in connect-src`
}

class WebSocketTransport implements Transport {
  readonly #webSocket: WebSocket
  readonly #timers: Timers
  #receiver: TransportReceiver | undefined = undefined
  #written = 0
  /** Of what was written, all but what waits above the high-water mark. */
  #taken = 0
  #toldTaken = 0
  #isFull = false
  #isTelling = false
  #look: { cancel(): void } | undefined = undefined
  #lookAfter = SHORT_LOOK
  /** Before `start`, too. */
  #paused = true
  readonly #held: Fifo<ArrayBuffer> = new Fifo()
  #ended = false
  #told = false
  #error: Error | undefined = undefined

  constructor(webSocket: WebSocket, timers: Timers) {
    this.#webSocket = webSocket
    this.#timers = timers
    webSocket.onopen = null
    webSocket.onmessage = ({ data }: MessageEvent<unknown>) => this.#handleMessage(data)
    webSocket.onclose = ({ code, reason }) => this.#end(closeError(code, reason))
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    this.resume()
  }

  write(chunk: Uint8Array): boolean {
    // A stream that ends takes nothing more; its end is told.
    if (this.#webSocket.readyState !== WebSocket.OPEN) return true
    this.#webSocket.send(chunk as Uint8Array<ArrayBuffer>)
    this.#written += chunk.length
    this.#measure()
    if (this.#isFull) this.#lookLater()
    if (!this.#isTelling) {
      this.#isTelling = true
      queueMicrotask(() => this.#tellTaken())
    }
    return !this.#isFull
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    queueMicrotask(() => this.#hand())
  }

  end(): void {
    this.#webSocket.close(1000)
  }

  destroy(): void {
    this.#held.clear()
    this.#webSocket.close()
    this.#ended = true
    queueMicrotask(() => this.#hand())
  }

  #handleMessage(data: unknown): void {
    if (this.#ended) return
    if (!(data instanceof ArrayBuffer)) {
      // [3.1.1 MQTT-6.0.0-1] [5 MQTT-6.0.0-1]
      this.#webSocket.close(UNACCEPTABLE, 'MQTT is binary')
      const text = 'a WebSocket message of text came; MQTT is binary'
      return this.#end(new ProtocolError('protocol-error', 0x82, text))
    }
    if (this.#paused || this.#held.length > 0) this.#held.push(data)
    else this.#receiver?.handleData(new Uint8Array(data), true)
  }

  #measure(): void {
    const above = this.#webSocket.bufferedAmount - HIGH_WATER_MARK
    this.#isFull = above > 0
    this.#taken = Math.max(this.#taken, this.#written - Math.max(0, above))
  }

  #tellTaken(): void {
    this.#isTelling = false
    if (this.#told || this.#taken === this.#toldTaken) return
    this.#toldTaken = this.#taken
    this.#receiver?.handleWritten(this.#taken)
  }

  #lookLater(): void {
    this.#look ??= this.#timers.setTimer(() => this.#handleLook(), this.#lookAfter)
  }

  #handleLook(): void {
    this.#look = undefined
    if (this.#told) return
    const before = this.#taken
    this.#measure()
    this.#lookAfter = this.#taken > before ? SHORT_LOOK : Math.min(2 * this.#lookAfter, LONG_LOOK)
    const isFull = this.#isFull
    if (isFull) this.#lookLater()
    this.#tellTaken()
    if (isFull || this.#told) return
    this.#lookAfter = SHORT_LOOK
    this.#receiver?.handleDrain()
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#hand()
  }

  /** Hands out what was held, and the end behind it. */
  #hand(): void {
    const receiver = this.#receiver
    if (receiver === undefined || this.#told) return
    while (!this.#paused) {
      const data = this.#held.shift()
      if (data === undefined) break
      receiver.handleData(new Uint8Array(data), true)
    }
    if (!this.#ended || this.#held.length > 0 || this.#told) return
    this.#told = true
    this.#look?.cancel()
    receiver.handleEnd(this.#error)
  }
}

/** Normal closure, no code at all, and no closing frame are the end of a stream; what else is said is worth telling. */
function closeError(code: number, reason: string): Error | undefined {
  if (code === 1000 || code === 1005 || code === 1006) return undefined
  return new Error(`the server closed the WebSocket with ${code}${reason === '' ? '' : ` (${reason})`}`)
}

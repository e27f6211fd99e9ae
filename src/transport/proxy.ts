/**
 * Through a proxy to a broker: HTTP CONNECT (RFC 9110, section 9.3.6) and SOCKS5 (RFC 1928, with RFC 1929).
 *
 * The proxy resolves the broker's name. Behind its answer nothing may come: in MQTT, TLS and WebSocket the client
 * speaks first.
 */

import net from 'node:net'
import { ConnectionError } from '../core/errors.ts'
import { brokenBy, explained } from './stream-errors.ts'

export interface Destination {
  readonly host: string
  readonly port: number
}

/** An answer that is longer is none. */
const LONGEST_ANSWER = 16_384

/** Resolves when the socket is the broker's. Else nothing is left open. */
export async function openTunnel(
  socket: net.Socket,
  proxy: URL,
  destination: Destination,
  signal: AbortSignal,
): Promise<net.Socket> {
  const talk = new Talk(socket, signal)
  try {
    if (proxy.protocol === 'socks5:') await socks5(talk, proxy, destination)
    else await httpConnect(talk, proxy, destination)
    if (talk.hasMore) throw new Error('more than its answer came, before anything was asked')
    return socket
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    const { message: text } = error as Error
    const message = `the proxy ${proxy.host} made no connection to ${destination.host}:${destination.port}: ${text}`
    throw new ConnectionError('connect-failed', message, { phase: 'proxy', cause: error })
  } finally {
    talk.end()
  }
}

/** Question and answer on a socket: bytes are awaited by number or until they show an end. */
class Talk {
  readonly #socket: net.Socket
  readonly #signal: AbortSignal
  #received: Buffer = Buffer.alloc(0)
  #failure: Error | undefined = undefined
  #wake: (() => void) | undefined = undefined
  readonly #handleData = (chunk: Buffer): void => {
    this.#received = Buffer.concat([this.#received, chunk])
    this.#wake?.()
  }
  readonly #handleError = (error: Error): void => this.#fail(explained(error))
  readonly #handleClose = (): void => this.#fail(new Error('it closed the connection'))

  constructor(socket: net.Socket, signal: AbortSignal) {
    this.#socket = socket
    this.#signal = signal
    socket.on('data', this.#handleData)
    socket.on('error', this.#handleError).on('close', this.#handleClose).on('end', this.#handleClose)
    signal.addEventListener('abort', this.#handleClose)
    if (signal.aborted || brokenBy(socket) !== undefined) this.#handleClose()
  }

  say(bytes: string | Uint8Array): void {
    this.#socket.write(bytes)
  }

  /** The next bytes; `length` finds how many, or undefined while there are too few. */
  async hear(length: (received: Buffer) => number | undefined): Promise<Buffer> {
    for (;;) {
      const count = length(this.#received)
      if (count !== undefined && this.#received.length >= count) {
        const heard = this.#received.subarray(0, count)
        this.#received = this.#received.subarray(count)
        return heard
      }
      if (this.#failure !== undefined) throw this.#failure
      if (this.#received.length > LONGEST_ANSWER) throw new Error('its answer does not end')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  get hasMore(): boolean {
    return this.#received.length > 0
  }

  /** The socket is somebody else's. */
  end(): void {
    const socket = this.#socket
    socket.off('data', this.#handleData).off('error', this.#handleError)
    socket.off('close', this.#handleClose).off('end', this.#handleClose)
    this.#signal.removeEventListener('abort', this.#handleClose)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#wake?.()
  }
}

function loginOf(proxy: URL): { user: string; password: string } | undefined {
  if (proxy.username === '' && proxy.password === '') return undefined
  return { user: decodeURIComponent(proxy.username), password: decodeURIComponent(proxy.password) }
}

async function httpConnect(talk: Talk, proxy: URL, { host, port }: Destination): Promise<void> {
  const authority = `${net.isIPv6(host) ? `[${host}]` : host}:${port}`
  const login = loginOf(proxy)
  const lines = [`CONNECT ${authority} HTTP/1.1`, `Host: ${authority}`]
  if (login !== undefined) {
    const encoded = Buffer.from(`${login.user}:${login.password}`).toString('base64')
    lines.push(`Proxy-Authorization: Basic ${encoded}`)
  }
  talk.say(`${lines.join('\r\n')}\r\n\r\n`)
  const head = await talk.hear(httpAnswerLength)
  const [, code = '', reason = ''] = /^HTTP\/1\.[01] (\d{3}) ?(.*)/.exec(head.toString('latin1')) ?? []
  if (code.startsWith('2')) return
  const text = `it answered ${code} ${reason.trim()}`.trim()
  if (code !== '407') throw new Error(text)
  const advice = login === undefined ? 'give user and password' : 'it does not accept user and password'
  throw new Error(`${text}: ${advice} in the option proxy, as http://user:password@host`)
}

function httpAnswerLength(received: Buffer): number | undefined {
  if (!received.subarray(0, 5).equals(Buffer.from('HTTP/').subarray(0, received.length)))
    throw new Error('it does not answer in HTTP: check its URL')
  const end = received.indexOf('\r\n\r\n')
  return end < 0 ? undefined : end + 4
}

const SOCKS_VERSION = 5
const NO_AUTHENTICATION = 0
const USER_AND_PASSWORD = 2

const SOCKS_REPLIES: readonly string[] = [
  '',
  'it failed',
  'its rules do not allow it',
  'the network cannot be reached',
  'the host cannot be reached or its name is unknown',
  'the connection was refused',
  'the time to live was over',
  'it does not know the command',
  'it does not know the kind of address',
]

async function socks5(talk: Talk, proxy: URL, { host, port }: Destination): Promise<void> {
  const login = loginOf(proxy)
  const methods = login === undefined ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, USER_AND_PASSWORD]
  talk.say(Uint8Array.of(SOCKS_VERSION, methods.length, ...methods))
  const [version, method] = await talk.hear(() => 2)
  if (version !== SOCKS_VERSION) throw new Error('it does not speak SOCKS5: check its URL')
  if (method === USER_AND_PASSWORD && login !== undefined) await socksLogin(talk, login)
  else if (method !== NO_AUTHENTICATION)
    throw new Error(
      'it wants another login: give user and password in the option proxy, as socks5://user:password@host',
    )
  talk.say(Uint8Array.of(SOCKS_VERSION, 1, 0, ...socksAddress(host), port >> 8, port & 0xff))
  const answer = await talk.hear(socksAnswerLength)
  const reply = answer[1] ?? 1
  if (reply !== 0) throw new Error(SOCKS_REPLIES[reply] ?? `its answer is ${reply}`)
}

async function socksLogin(talk: Talk, { user, password }: { user: string; password: string }): Promise<void> {
  const [name, secret] = [Buffer.from(user), Buffer.from(password)]
  if (name.length > 255 || secret.length > 255)
    throw new Error('user and password have at most 255 bytes each')
  talk.say(Buffer.concat([Buffer.of(1, name.length), name, Buffer.of(secret.length), secret]))
  const [, status] = await talk.hear(() => 2)
  if (status !== 0) throw new Error('it does not accept user and password of the option proxy')
}

/** A name goes as it is, so that the proxy resolves it. */
function socksAddress(host: string): readonly number[] {
  if (net.isIPv4(host)) return [1, ...host.split('.').map(Number)]
  if (net.isIPv6(host)) return [4, ...ipv6Bytes(host)]
  const bytes = Buffer.from(host)
  if (bytes.length > 255) throw new Error('a host has at most 255 bytes')
  return [3, bytes.length, ...bytes]
}

function ipv6Bytes(host: string): readonly number[] {
  const [front = '', back] = host.split('::')
  const groups = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((group) => parseInt(group, 16))
  const first = groups(front)
  const last = back === undefined ? [] : groups(back)
  const middle = Array.from({ length: 8 - first.length - last.length }, () => 0)
  return [...first, ...middle, ...last].flatMap((group) => [group >> 8, group & 0xff])
}

function socksAnswerLength(received: Buffer): number | undefined {
  if (received.length < 5) return undefined
  const [version, , , kind, length = 0] = received
  if (version === SOCKS_VERSION && kind === 1) return 10
  if (version === SOCKS_VERSION && kind === 3) return 7 + length
  if (version === SOCKS_VERSION && kind === 4) return 22
  throw new Error('its answer is not one of SOCKS5')
}

/**
 * Sockets by `node:net`, which Node, Bun and Deno all have: TCP and Unix, and the transport over any of them.
 *
 * A plain socket is read through `onread` into one buffer for all sockets of the process: chunks are lent, and the
 * receiver copies what it keeps. That is up to twice as fast as 'data' events, which allocate for each chunk. What
 * TLS, a proxy or a WebSocket stands on is read by those first, so there it is 'data'.
 */

import type net from 'node:net'
import { ConnectionError, type ConnectionPhase } from '../core/errors.ts'
import { brokenBy, explained } from './stream-errors.ts'
import type { Transport, TransportReceiver } from './transport.ts'

/** Loaded by the first connection: asking the loader each time would cost each connection some 30 µs. */
let nodeNet: typeof net | undefined

/** Made at the first connection; shared by all, since a chunk is only lent until it was handled. */
let readBuffer: Uint8Array | undefined

const READ_BUFFER_SIZE = 262_144

/** Where a socket goes: a host and port, or the path of a Unix socket. */
export type SocketTarget = TcpTarget | { readonly path: string }

export interface TcpTarget {
  readonly host: string
  readonly port: number
  readonly noDelay: boolean
  readonly lookup: net.LookupFunction
  /** 4 or 6: only addresses of that family. */
  readonly family?: 4 | 6 | undefined
  readonly localAddress?: string | undefined
  /** ms of silence before the first probe; 0: no probes. */
  readonly keepAlive?: number | undefined
}

/** How far a dialing has come: what its error says, and its time-out. */
export interface Progress {
  phase: Exclude<ConnectionPhase, 'connack' | 'established'>
}

/** Connects, or rejects with a `ConnectionError` or the signal's reason; then nothing is left open. */
export async function dialSocket(
  target: SocketTarget,
  signal: AbortSignal,
  progress: Progress = { phase: 'tcp' },
): Promise<Transport> {
  const transport = new SocketTransport()
  const onread = {
    buffer: lendBuffer,
    callback: (size: number, buffer: Uint8Array) => transport.handleRead(buffer.subarray(0, size), false),
  }
  transport.attach(await connect(target, signal, progress, onread))
  return transport
}

/**
 * A socket for something to stand on. It may break before that listens: the error goes nowhere then, and the next link
 * has to ask `brokenBy`.
 */
export function openSocket(
  target: SocketTarget,
  signal: AbortSignal,
  progress: Progress,
): Promise<net.Socket> {
  return connect(target, signal, progress, undefined)
}

// Not closures of the dialling, which would live as long as the socket.

function ignore(): void {}

function lendBuffer(): Uint8Array {
  return (readBuffer ??= new Uint8Array(READ_BUFFER_SIZE))
}

async function connect(
  target: SocketTarget,
  signal: AbortSignal,
  progress: Progress,
  onread: net.OnReadOpts | undefined,
): Promise<net.Socket> {
  const sockets = (nodeNet ??= (await import('node:net')).default)
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason as Error)
    const socket = sockets.connect(settingsOf(target, progress, onread))
    socket.on('error', ignore)
    const settle = (): void => {
      signal.removeEventListener('abort', aborted)
      socket.off('connect', connected).off('error', failed)
    }
    const giveUp = (reason: unknown): void => {
      settle()
      socket.destroy()
      reject(reason as Error)
    }
    const connected = (): void => {
      settle()
      resolve(socket)
    }
    const failed = (error: Error): void => giveUp(dialError(error, target, progress))
    const aborted = (): void => giveUp(signal.reason)
    socket.once('connect', connected).once('error', failed)
    signal.addEventListener('abort', aborted, { once: true })
  })
}

/**
 * Node tries the addresses of a name one after the other, each for 250 ms, and alternates between the families. It
 * would not with a family of its own, so that is left to the look-up; from a local address it tries the first only.
 */
function settingsOf(
  target: SocketTarget,
  progress: Progress,
  onread: net.OnReadOpts | undefined,
): net.NetConnectOpts {
  progress.phase = 'tcp'
  if ('path' in target) return { path: target.path, onread }
  const { host, port, noDelay, lookup, localAddress, keepAlive = 0 } = target
  const family = target.family ?? (localAddress === undefined ? 0 : localAddress.includes(':') ? 6 : 4)
  return {
    host,
    port,
    noDelay,
    lookup: watched(lookup, family, progress),
    onread,
    ...(localAddress === undefined ? {} : { localAddress }),
    ...(keepAlive === 0 ? {} : { keepAlive: true, keepAliveInitialDelay: keepAlive }),
  }
}

/** A look-up of one family, or of any with 0, that is over when the phase is `tcp` again. */
function watched(lookup: net.LookupFunction, wanted: number, progress: Progress): net.LookupFunction {
  return (host, options, callback) => {
    progress.phase = 'dns'
    lookup(host, wanted === 0 ? options : { ...options, family: wanted }, (error, address, family) => {
      if (error === null) progress.phase = 'tcp'
      callback(error, address, family)
    })
  }
}

function dialError(
  error: Error & { readonly code?: string },
  target: SocketTarget,
  { phase }: Progress,
): ConnectionError {
  const where = 'path' in target ? target.path : `${target.host}:${target.port}`
  const message =
    phase === 'dns' && 'host' in target
      ? `the name ${target.host} could not be resolved: ${textOf(error)}`
      : `no connection to ${where}: ${textOf(error)}${adviceOn(error, target)}`
  return new ConnectionError('connect-failed', message, { phase, cause: error })
}

/** An error for several addresses has no text of its own. */
function textOf(error: Error): string {
  return error instanceof AggregateError
    ? error.errors.map((one) => (one as Error).message).join(', ')
    : error.message
}

const ADVICE: Readonly<Record<string, string>> = {
  ECONNREFUSED: '; nothing listens there: check host and port, and that the server runs',
  ENOENT: '; there is no such socket',
  EADDRNOTAVAIL: '; socket.localAddress is no address of this machine',
}

/** On the first of several addresses for which there is one. */
function adviceOn(error: Error & { readonly code?: string }, target: SocketTarget): string {
  const errors: readonly (typeof error)[] = error instanceof AggregateError ? error.errors : [error]
  const hasLocal = 'host' in target && target.localAddress !== undefined
  const advices = errors.map(({ code = '' }) =>
    code === 'EADDRNOTAVAIL' && !hasLocal ? undefined : ADVICE[code],
  )
  return advices.find((advice) => advice !== undefined) ?? ''
}

/** The transport over a socket that stands. */
export class SocketTransport implements Transport {
  #socket!: net.Socket
  #receiver: TransportReceiver | undefined = undefined
  #written = 0
  /** Before `start` nothing is read; a chunk that comes all the same waits here. */
  #early: Uint8Array[] = []
  #ended = false
  #error: unknown = undefined
  readonly #handleWritten = (): void => {
    if (!this.#ended) this.#receiver?.handleWritten(this.written)
  }

  /** Over a socket whose chunks come as 'data', each in memory of its own. */
  static over(socket: net.Socket): SocketTransport {
    const transport = new SocketTransport()
    transport.attach(socket)
    socket.on('data', (chunk: Uint8Array) => transport.handleRead(chunk, true))
    return transport
  }

  attach(socket: net.Socket): void {
    this.#socket = socket
    socket.pause()
    socket.on('drain', () => this.#receiver?.handleDrain())
    socket.on('error', (error) => this.#end(explained(error)))
    socket.on('end', () => this.#end(undefined))
    socket.on('close', () => this.#end(undefined))
    const broken = brokenBy(socket)
    if (broken !== undefined) this.#end(explained(broken))
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    queueMicrotask(() => {
      for (const chunk of this.#early.splice(0)) receiver.handleData(chunk, true)
      if (this.#ended) receiver.handleEnd(this.#error)
      else this.#socket.resume()
    })
  }

  write(chunk: Uint8Array): boolean {
    this.#written += chunk.length
    this.#socket.write(chunk, this.#handleWritten)
    // Its own answer is from before the system took what it could at once. When it is false here, it was false there.
    return this.#socket.writableLength < this.#socket.writableHighWaterMark
  }

  get written(): number {
    return this.#written - this.#socket.writableLength
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#ended) this.#socket.resume()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  setKeepsAlive(keepsAlive: boolean): void {
    if (keepsAlive) this.#socket.ref()
    else this.#socket.unref()
  }

  /** Called by the socket for each chunk; false stops reading. */
  handleRead(chunk: Uint8Array, kept: boolean): boolean {
    if (this.#receiver === undefined) this.#early.push(kept ? chunk : chunk.slice())
    else this.#receiver.handleData(chunk, kept)
    return true
  }

  #end(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#socket.destroy()
    this.#receiver?.handleEnd(error)
  }
}

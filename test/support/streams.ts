// Streams and servers for tests of the transports: a dialer's end of a stream with all that was told of it, and
// servers on loopback whose open sockets can be counted, so that a test can say that nothing was left open.
import net from 'node:net'
import type tls from 'node:tls'
import { afterEach } from 'vitest'
import { createDial } from '../../src/transport/dial.ts'
import type { Dial, DialTarget, Transport, TransportReceiver } from '../../src/transport/transport.ts'

/** Those who wait for something to become so. */
export class Waiters {
  #waiting: { readonly isSo: () => boolean; readonly resolve: () => void }[] = []

  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      if (isSo()) resolve()
      else this.#waiting.push({ isSo, resolve })
    })
  }

  check(): void {
    const due = this.#waiting.filter(({ isSo }) => isSo())
    this.#waiting = this.#waiting.filter((waiter) => !due.includes(waiter))
    for (const { resolve } of due) resolve()
  }
}

/** What a transport told, in order. */
export class Receiver implements TransportReceiver {
  readonly chunks: Uint8Array[] = []
  readonly log: string[] = []
  written = 0
  error: unknown = undefined
  /** Called with each chunk. */
  onData: (() => void) | undefined = undefined
  readonly #waiters = new Waiters()

  handleData(chunk: Uint8Array): void {
    this.chunks.push(chunk.slice())
    this.#note('data')
    this.onData?.()
  }

  handleWritten(total: number): void {
    this.written = total
    this.#note('written')
  }

  handleDrain(): void {
    this.#note('drain')
  }

  handleEnd(error?: unknown): void {
    this.error = error
    this.#note('end')
  }

  get received(): string {
    return Buffer.concat(this.chunks).toString()
  }

  until(condition: () => boolean): Promise<void> {
    return this.#waiters.until(condition)
  }

  ended(): Promise<void> {
    return this.until(() => this.log.includes('end'))
  }

  count(name: string): number {
    return this.log.filter((entry) => entry === name).length
  }

  #note(name: string): void {
    this.log.push(name)
    this.#waiters.check()
  }
}

export const NEVER: AbortSignal = new AbortController().signal

/** A dialer as a pool has one. */
export class Dialer {
  readonly dial: Dial = createDial({ dnsTtl: 1_000, runtime: { now: () => performance.now() } })

  transport(
    url: string,
    options: DialTarget['options'] = {},
    signal: AbortSignal = NEVER,
  ): Promise<Transport> {
    return this.dial({ url: new URL(url), options }, signal)
  }

  /** A stream that has been started. */
  async open(
    url: string,
    options: DialTarget['options'] = {},
  ): Promise<{ transport: Transport; receiver: Receiver }> {
    const transport = await this.transport(url, options)
    const receiver = new Receiver()
    transport.start(receiver)
    return { transport, receiver }
  }

  /** Why there is no stream. @throws Error when there is one */
  async failure(url: string, options: DialTarget['options'] = {}, signal?: AbortSignal): Promise<Error> {
    const transport = await this.transport(url, options, signal).catch((error: unknown) => error as Error)
    if (transport instanceof Error) return transport
    transport.destroy()
    throw new Error(`${url} was dialed`)
  }
}

/** Call it once within a file or suite: its servers end after each test. */
export function useServers(): Servers {
  const servers = new Servers()
  afterEach(() => servers.close())
  return servers
}

export class Servers {
  /** The servers' ends of connections that are open. */
  readonly sockets: Set<net.Socket> = new Set()
  /** Connections that there were. */
  accepted = 0
  readonly #servers: (net.Server | tls.Server)[] = []
  readonly #waiters = new Waiters()

  /** Listens on a free port, or on a path. @returns the port */
  async listen(server: net.Server | tls.Server, where: string = '127.0.0.1', port = 0): Promise<number> {
    this.#servers.push(server)
    server.on('connection', (socket: net.Socket) => {
      this.accepted += 1
      this.sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        this.sockets.delete(socket)
        this.#waiters.check()
      })
      this.#waiters.check()
    })
    // Of a handshake that failed; the client says so, too.
    server.on('tlsClientError', () => {})
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      if (where.startsWith('/')) server.listen(where, resolve)
      else server.listen(port, where, resolve)
    })
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** A server of which each connection is handed over. @returns the port */
  serve(handle: (socket: net.Socket) => void, where?: string): Promise<number> {
    return this.listen(net.createServer(handle), where)
  }

  /** Resolves when no connection is open, and there has been one. */
  idle(): Promise<void> {
    return this.#waiters.until(() => this.accepted > 0 && this.sockets.size === 0)
  }

  /** Resolves when so many connections are open. */
  open(count: number): Promise<void> {
    return this.#waiters.until(() => this.sockets.size === count)
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    await Promise.all(
      this.#servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))),
    )
    this.sockets.clear()
    this.accepted = 0
  }
}

/** What comes goes back. */
export function echo(socket: net.Socket): void {
  socket.on('error', () => {})
  socket.pipe(socket)
}

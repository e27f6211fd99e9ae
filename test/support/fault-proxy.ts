// A TCP proxy that does to each direction what bad networks do: it delays, throttles, slices, swallows and cuts.
//
//   const proxy = await FaultProxy.listen({ port: 1883 }, { seed: 7 })
//   proxy.down.set({ latency: 200, jitter: 100, bandwidth: 10_000 })
//   proxy.up.set({ limit: { bytes: 37, by: 'RST' } })          // the 37th byte is the last that arrives
//   … connect to proxy.url …
//   await proxy.close()
//
// What is set holds for connections that are open and for those to come. It works with real sockets and real time;
// where virtual time will do, src/testing has links that need none.
import { once } from 'node:events'
import net from 'node:net'
import { afterEach } from 'vitest'
import { VirtualRuntime } from '../../src/testing/virtual-runtime.ts'

export type Ending = 'FIN' | 'RST'

export interface LinkFaults {
  /** ms that each byte takes. */
  readonly latency?: number | undefined
  /** ms that it takes more, at most; bytes keep their order. */
  readonly jitter?: number | undefined
  /** Bytes per second. */
  readonly bandwidth?: number | undefined
  /** What waits leaves in segments of `size` bytes, the next one `pause` ms later, or in the next turn. */
  readonly slice?: { readonly size: number; readonly pause?: number } | undefined
  /** What comes is swallowed, and nothing more passes on the connections that lost something. */
  readonly blackHole?: boolean | undefined
  /** The connection on which the nth byte from now passes is cut behind it, both ways; once. */
  readonly limit?: { readonly bytes: number; readonly by: Ending } | undefined
  /** ms that the end of the stream takes more than its bytes. */
  readonly slowClose?: number | undefined
}

/** Bytes that wait in the proxy before it stops reading; more with a latency, which must not be a limit of speed. */
const MOST_WAITING = 65_536
const MOST_WAITING_LATE = 1_048_576
/** A throttled segment lasts so many ms. */
const THROTTLED_SEGMENT = 10
/** ms of bandwidth that a late timer does not lose. */
const THROTTLE_CREDIT = 50

/** One direction. */
export class Way {
  /** Bytes that have passed, over all connections. */
  passed = 0
  readonly random: () => number
  readonly #changed: () => void
  #faults: LinkFaults = {}
  #limitedAt = Infinity

  constructor(random: () => number, changed: () => void) {
    this.random = random
    this.#changed = changed
  }

  get faults(): LinkFaults {
    return this.#faults
  }

  /** Bytes that may still pass before the cut. */
  get allowance(): number {
    return this.#limitedAt - this.passed
  }

  /** Changes what is named and leaves the rest. */
  set(faults: LinkFaults): void {
    this.#faults = { ...this.#faults, ...faults }
    if ('limit' in faults) this.#limitedAt = this.passed + (faults.limit?.bytes ?? Infinity)
    this.#changed()
  }

  /** From now on all is well. */
  clear(): void {
    this.#faults = {}
    this.#limitedAt = Infinity
    this.#changed()
  }

  /** The limit has been reached, and how it ends the connection. */
  takeEnding(): Ending {
    const by = this.#faults.limit?.by ?? 'FIN'
    this.#faults = { ...this.#faults, limit: undefined }
    this.#limitedAt = Infinity
    return by
  }
}

export class FaultProxy {
  /** From client to server, and back. */
  readonly up: Way
  readonly down: Way
  readonly #target: net.TcpNetConnectOpts
  readonly #server: net.Server
  readonly #tunnels = new Set<Tunnel>()
  #accepted = 0

  private constructor(target: net.TcpNetConnectOpts, seed: number) {
    const changed = (): void => {
      for (const tunnel of this.#tunnels) tunnel.changed()
    }
    const runtime = new VirtualRuntime({ seed })
    this.up = new Way(() => runtime.random(), changed)
    this.down = new Way(() => runtime.random(), changed)
    this.#target = target
    this.#server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client))
  }

  /** A proxy on a free loopback port. */
  static async listen(
    target: { readonly port: number; readonly host?: string },
    { seed = 1 }: { readonly seed?: number } = {},
  ): Promise<FaultProxy> {
    const proxy = new FaultProxy({ host: '127.0.0.1', ...target }, seed)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the proxy has been closed')
    return address.port
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`
  }

  /** Connections accepted so far, and those open now. */
  get accepted(): number {
    return this.#accepted
  }

  get open(): number {
    return this.#tunnels.size
  }

  /** Breaks what is open, now and both ways. */
  cut(by: Ending): void {
    for (const tunnel of this.#tunnels) tunnel.cut(by)
  }

  async close(): Promise<void> {
    for (const tunnel of this.#tunnels) tunnel.destroy()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  #accept(client: net.Socket): void {
    this.#accepted += 1
    const server = net.connect({ ...this.#target, allowHalfOpen: true, noDelay: true })
    const tunnel = new Tunnel(client, server, this, () => this.#tunnels.delete(tunnel))
    this.#tunnels.add(tunnel)
    tunnel.changed()
  }
}

/** One connection through the proxy: two sockets, two pipes. */
class Tunnel {
  readonly #sockets: readonly net.Socket[]
  readonly #pipes: readonly Pipe[]
  readonly #over: () => void
  #isCut = false

  constructor(client: net.Socket, server: net.Socket, proxy: FaultProxy, over: () => void) {
    const cut = (by: Ending): void => this.cut(by)
    this.#sockets = [client, server]
    this.#pipes = [new Pipe(client, server, proxy.up, cut), new Pipe(server, client, proxy.down, cut)]
    this.#over = over
    for (const socket of this.#sockets) {
      // A side that breaks, breaks the other.
      socket.on('error', () => this.cut('RST'))
      socket.on('close', () => this.#handleClose())
    }
  }

  /** The faults are others than before. */
  changed(): void {
    for (const pipe of this.#pipes) pipe.move()
  }

  cut(by: Ending): void {
    if (this.#isCut) return
    this.#isCut = true
    for (const pipe of this.#pipes) pipe.stop()
    for (const socket of this.#sockets) {
      if (by === 'RST') socket.resetAndDestroy()
      else {
        // Closing a socket with unread bytes would send RST: they are read, by a pipe that has stopped.
        socket.resume()
        socket.end()
      }
    }
  }

  destroy(): void {
    for (const pipe of this.#pipes) pipe.stop()
    for (const socket of this.#sockets) socket.destroy()
  }

  #handleClose(): void {
    if (!this.#sockets.every(({ destroyed }) => destroyed)) return
    for (const pipe of this.#pipes) pipe.stop()
    this.#over()
  }
}

/** One direction of one connection. */
class Pipe {
  readonly #from: net.Socket
  readonly #to: net.Socket
  readonly #way: Way
  readonly #cut: (by: Ending) => void
  readonly #move = (): void => this.move()
  /** In order; `undefined` is the end of the stream. */
  #queue: { chunk: Buffer | undefined; readonly due: number }[] = []
  #waiting = 0
  #lastDue = 0
  /** When the next segment may leave. */
  #freeAt = 0
  #isBlocked = false
  #hasLost = false
  #isStopped = false
  #timer: NodeJS.Timeout | undefined = undefined
  #turn: NodeJS.Immediate | undefined = undefined

  constructor(from: net.Socket, to: net.Socket, way: Way, cut: (by: Ending) => void) {
    this.#from = from
    this.#to = to
    this.#way = way
    this.#cut = cut
    from.on('data', (chunk) => this.#take(chunk))
    from.on('end', () => this.#take(undefined))
    to.on('drain', () => {
      this.#isBlocked = false
      this.move()
    })
  }

  stop(): void {
    this.#isStopped = true
    this.#queue = []
    clearTimeout(this.#timer)
    clearImmediate(this.#turn)
  }

  /** Passes on what is due, and comes again for the rest. */
  move(): void {
    clearTimeout(this.#timer)
    clearImmediate(this.#turn)
    while (!this.#isStopped && !this.#isBlocked) {
      if (this.#way.allowance === 0) return this.#cut(this.#way.takeEnding())
      if (this.#way.faults.blackHole === true) this.#lose()
      const [head] = this.#queue
      if (head === undefined) return
      const wait = Math.max(head.due, this.#freeAt) - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(this.#move, Math.ceil(wait))
        return
      }
      if (head.chunk === undefined) {
        this.#to.end()
        return this.stop()
      }
      this.#send()
      if (this.#way.faults.slice === undefined || this.#isBlocked) continue
      this.#turn = setImmediate(this.#move)
      return
    }
  }

  #take(chunk: Buffer | undefined): void {
    if (this.#isStopped || this.#hasLost) return
    const { latency = 0, jitter = 0, slowClose = 0 } = this.#way.faults
    const late = latency + jitter * this.#way.random() + (chunk === undefined ? slowClose : 0)
    this.#lastDue = Math.max(this.#lastDue, performance.now() + late)
    this.#queue.push({ chunk, due: this.#lastDue })
    this.#waiting += chunk?.length ?? 0
    if (this.#waiting >= (latency > 0 ? MOST_WAITING_LATE : MOST_WAITING)) this.#from.pause()
    this.move()
  }

  /** Swallows what waits, and from then on all that comes: behind a gap nothing makes sense. */
  #lose(): void {
    if (this.#queue.length === 0) return
    this.#hasLost = true
    this.#queue = []
    this.#waiting = 0
    this.#from.resume()
  }

  /** One segment. */
  #send(): void {
    const { slice, bandwidth = Infinity } = this.#way.faults
    const now = performance.now()
    const throttled = Math.max(1, Math.floor((bandwidth * THROTTLED_SEGMENT) / 1_000))
    const segment = this.#unqueue(Math.min(slice?.size ?? Infinity, throttled, this.#way.allowance), now)
    this.#waiting -= segment.length
    this.#way.passed += segment.length
    this.#freeAt = Math.max(this.#freeAt, now - THROTTLE_CREDIT) + (1_000 * segment.length) / bandwidth
    if (slice?.pause !== undefined) this.#freeAt = Math.max(this.#freeAt, now + slice.pause)
    if (this.#way.allowance > 0) this.#isBlocked = !this.#to.write(segment)
    else {
      // Reset earlier, the system would drop what it has not been handed yet; and a receiver of this process has a
      // whole turn to read: one that finds bytes and RST together takes it for FIN.
      const by = this.#way.takeEnding()
      this.#queue = []
      this.#hasLost = true
      this.#to.write(segment, () => setImmediate(() => setImmediate(() => this.#cut(by))))
    }
    if (this.#waiting < MOST_WAITING && this.#from.isPaused()) this.#from.resume()
  }

  /** At most so many bytes that are due, over the borders of the chunks that they came in. */
  #unqueue(size: number, now: number): Buffer {
    const parts: Buffer[] = []
    let left = size
    while (left > 0) {
      const [head] = this.#queue
      if (head?.chunk === undefined || head.due > now) break
      const part = head.chunk.subarray(0, left)
      parts.push(part)
      left -= part.length
      if (part.length === head.chunk.length) this.#queue.shift()
      else head.chunk = head.chunk.subarray(part.length)
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
  }
}

/** Call it at the top of a test file; what it returns makes proxies that are closed after each test. */
export function useFaultProxies(): (url: string, seed?: number) => Promise<FaultProxy> {
  const proxies: FaultProxy[] = []
  afterEach(async () => {
    for (const proxy of proxies.splice(0)) await proxy.close()
  })
  return async (url, seed) => {
    const { hostname, port } = new URL(url)
    const proxy = await FaultProxy.listen(
      { host: hostname, port: Number(port) },
      seed === undefined ? {} : { seed },
    )
    proxies.push(proxy)
    return proxy
  }
}

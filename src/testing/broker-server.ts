/**
 * The broker on a TCP port, for programs that are tested from outside:
 *
 *     const server = createBroker({ maximumQoS: 1 })
 *     await server.listen()                                  // 127.0.0.1, a free port
 *     server.broker.faults.onSend('puback', { nth: 1 }).withhold()
 *     … run the program with server.url …
 *     expect(server.broker.finish()).toEqual([])            // before the connections are broken
 *     await server.close()
 */

import { createServer, type Server, type Socket } from 'node:net'
import { Broker } from './broker/broker.ts'
import type { BrokerConnection } from './broker/broker-connection.ts'
import type { BrokerOptions } from './broker/options.ts'

/** Longer timers overflow. */
const LONGEST_TIMER = 2 ** 31 - 1

export class BrokerServer {
  readonly broker: Broker

  readonly #server: Server
  readonly #sockets = new Map<BrokerConnection, Socket>()
  #url: string | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #timerAt: number = Infinity
  #isPumpScheduled = false

  constructor(broker: Broker) {
    this.broker = broker
    broker.attach({ now: () => performance.now(), handleOutput: () => this.#schedulePump() })
    this.#server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => this.#accept(socket))
  }

  /** `mqtt://127.0.0.1:PORT`. @throws Error before `listen` */
  get url(): string {
    if (this.#url === undefined) throw new Error('url: the server does not listen yet, call listen() first')
    return this.#url
  }

  get connections(): readonly BrokerConnection[] {
    return this.broker.connections
  }

  /** Resolves with the URL. */
  listen(port = 0, host = '127.0.0.1'): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(port, host, () => {
        this.#server.off('error', reject)
        const address = this.#server.address()
        const actual = typeof address === 'object' && address !== null ? address.port : port
        this.#url = `mqtt://${host.includes(':') ? `[${host}]` : host}:${actual}`
        resolve(this.#url)
      })
    })
  }

  /** Stops listening and breaks what is open. Sessions stay: `listen` again with the same port is a restart. */
  close(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timerAt = Infinity
    for (const socket of this.#sockets.values()) socket.destroy()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #accept(socket: Socket): void {
    const connection = this.broker.accept(performance.now())
    this.#sockets.set(connection, socket)
    socket.on('data', (chunk) => {
      connection.handleData(chunk, performance.now())
      if (connection.isPaused) socket.pause()
      this.#schedulePump() // also for the deadline, which may have moved
    })
    socket.on('end', () => {
      connection.handleEnd(performance.now())
      this.#schedulePump()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.#sockets.delete(connection)
      connection.handleEnd(performance.now())
      this.#schedulePump()
    })
  }

  /** Once for all the sockets that were read in this turn. */
  #schedulePump(): void {
    if (this.#isPumpScheduled) return
    this.#isPumpScheduled = true
    process.nextTick(() => {
      this.#isPumpScheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    for (const connection of this.broker.takeDirty()) {
      const socket = this.#sockets.get(connection)
      if (socket === undefined) continue
      if (!connection.isPaused && socket.isPaused()) socket.resume()
      writeOut(connection, socket)
    }
    this.#setTimer()
  }

  #setTimer(): void {
    const at = this.broker.nextDeadline()
    if (at === this.#timerAt) return
    clearTimeout(this.#timer)
    this.#timerAt = at
    if (at === Infinity) return
    const delay = Math.min(LONGEST_TIMER, Math.max(0, Math.ceil(at - performance.now())))
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity
      // After the sockets: bytes that have come already count before any silence does.
      setImmediate(() => {
        this.broker.handleTimeout(performance.now())
        this.#pump()
      })
    }, delay)
    this.#timer.unref()
  }
}

function writeOut(connection: BrokerConnection, socket: Socket): void {
  if (socket.destroyed) return
  let hasWritten = false
  for (let chunk = connection.nextOutput(); chunk !== undefined; chunk = connection.nextOutput()) {
    socket.write(chunk)
    hasWritten = true
  }
  if (connection.destroyed) {
    // A reset would overtake what has just been written.
    if (hasWritten || socket.writableLength > 0) socket.destroySoon()
    else socket.resetAndDestroy()
  } else if (connection.ended) socket.end()
}

/** A broker and its server, which does not listen yet. */
export function createBroker(options: BrokerOptions = {}): BrokerServer {
  return new BrokerServer(new Broker(options))
}

// A TCP proxy that breaks what it carries: at once by RST, or in order by FIN, and before that it may stop
// carrying one direction, so that what is acknowledged on one side is not known on the other.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export type Ending = 'RST' | 'FIN'

/** `up`: to the broker. */
export type Direction = 'up' | 'down'

interface Link {
  readonly client: Socket
  readonly broker: Socket
}

export class BreakingProxy {
  readonly #server: Server
  readonly #port: number
  readonly #links = new Set<Link>()

  private constructor(server: Server, port: number, target: number) {
    this.#server = server
    this.#port = port
    server.on('connection', (socket) => this.#carry(socket, connect({ port: target, host: '127.0.0.1' })))
  }

  /** In front of a port of this machine. */
  static async listen(target: number): Promise<BreakingProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a port was expected')
    return new BreakingProxy(server, address.port, target)
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`
  }

  /** Connections that are carried. */
  get size(): number {
    return this.#links.size
  }

  /** From now on the connections that there are carry nothing in one direction. */
  mute(direction: Direction): void {
    for (const { client, broker } of this.#links) {
      const from = direction === 'up' ? client : broker
      from.unpipe()
      from.pause()
    }
  }

  /** Ends all connections; returns how many. */
  cut(ending: Ending): number {
    const links = [...this.#links]
    for (const { client, broker } of links) {
      for (const socket of [client, broker]) {
        socket.unpipe()
        if (ending === 'RST') socket.resetAndDestroy()
        // What is not read when a socket is closed would make a RST of the FIN.
        else socket.end().resume()
      }
    }
    return links.length
  }

  async close(): Promise<void> {
    this.cut('RST')
    this.#server.close()
    await once(this.#server, 'close')
  }

  #carry(client: Socket, broker: Socket): void {
    const link = { client, broker }
    this.#links.add(link)
    broker.setNoDelay(true)
    const over = (): void => {
      this.#links.delete(link)
      client.destroy()
      broker.destroy()
    }
    for (const socket of [client, broker]) socket.on('error', over).on('close', over)
    client.pipe(broker)
    broker.pipe(client)
  }
}

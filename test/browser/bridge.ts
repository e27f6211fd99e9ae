// The test broker behind a WebSocket listener, which can be cut, and fall silent as a network does.
import net from 'node:net'
import { afterEach } from 'vitest'
import { type BrokerServer, createBroker } from '../../src/testing/broker-server.ts'
import { Servers } from '../support/streams.ts'
import { BINARY, CLOSE, frame, type WebSocketPeer, webSocketServer } from '../support/websocket-server.ts'

/** Call it once within a suite: its bridges end after each test. */
export function useBridges(): () => Promise<Bridge> {
  const bridges: Bridge[] = []
  afterEach(async () => {
    for (const bridge of bridges.splice(0)) await bridge.close()
  })
  return async () => {
    const bridge = await Bridge.open()
    bridges.push(bridge)
    return bridge
  }
}

export class Bridge {
  readonly server: BrokerServer = createBroker()
  readonly #servers = new Servers()
  #peers: WebSocketPeer[] = []
  #muted = new Set<WebSocketPeer>()
  #port = 0

  static async open(): Promise<Bridge> {
    const bridge = new Bridge()
    await bridge.server.listen()
    bridge.#port = await bridge.#servers.listen(webSocketServer((peer) => bridge.#connect(peer)))
    return bridge
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#port}/mqtt`
  }

  /** Connections that there were. */
  get accepted(): number {
    return this.#peers.length
  }

  /** Breaks what is open. */
  cut(): void {
    for (const { socket } of this.#peers) socket.destroy()
  }

  /** Nothing comes through the connections that are open, in either direction, and neither side is told. */
  mute(): void {
    this.#muted = new Set(this.#peers)
  }

  async close(): Promise<void> {
    await this.#servers.close()
    await this.server.close()
  }

  #connect(peer: WebSocketPeer): void {
    this.#peers.push(peer)
    const socket = net.connect(Number(new URL(this.server.url).port), '127.0.0.1')
    socket.on('error', () => {})
    peer.onBinary = (payload) => {
      if (!this.#muted.has(peer)) socket.write(payload)
    }
    socket.on('data', (chunk) => {
      if (!this.#muted.has(peer)) peer.send(frame(BINARY, chunk))
    })
    socket.on('close', () => {
      if (!this.#muted.has(peer)) peer.socket.destroy()
    })
    peer.socket.on('close', () => socket.destroy())
    void peer
      .until(() => peer.of(CLOSE).length > 0)
      .then(() => {
        if (!this.#muted.has(peer)) peer.socket.end(frame(CLOSE, peer.of(CLOSE)[0]?.payload))
      })
  }
}

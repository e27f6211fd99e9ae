// TLS and WebSocket in front of a broker that only speaks TCP: each connection is passed on, byte by byte.
import { createServer as createHttpServer } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { Identity } from '../support/certificates.ts'

export interface Fronts {
  readonly urls: Readonly<Record<'tls' | 'ws' | 'wss', string>>
  close(): void
}

/** @param broker its port on 127.0.0.1 */
export async function openFronts(broker: number, { cert, key }: Identity): Promise<Fronts> {
  const open = new Set<Duplex>()
  const pass = (client: Duplex): void => {
    const socket = net.connect(broker, '127.0.0.1')
    for (const [one, other] of [[client, socket] as const, [socket, client] as const]) {
      open.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  }
  const secure = tls.createServer({ cert, key }, pass)
  const plainWeb = createHttpServer()
  const secureWeb = createHttpsServer({ cert, key })
  for (const server of [plainWeb, secureWeb]) {
    const sockets = new WebSocketServer({ server, path: '/mqtt', handleProtocols: () => 'mqtt' })
    sockets.on('connection', (socket) => pass(createWebSocketStream(socket)))
  }
  const [tlsPort, wsPort, wssPort] = await Promise.all([secure, plainWeb, secureWeb].map(listen))
  return {
    urls: {
      tls: `mqtts://localhost:${tlsPort}`,
      ws: `ws://localhost:${wsPort}/mqtt`,
      wss: `wss://localhost:${wssPort}/mqtt`,
    },
    close(): void {
      for (const stream of open) stream.destroy()
      for (const server of [secure, plainWeb, secureWeb]) server.close()
    },
  }
}

function listen(server: net.Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve((server.address() as net.AddressInfo).port))
  })
}

// Puts a broker that speaks TCP behind a WebSocket, for clients that run in a browser: bytes go through as they are.
import { once } from 'node:events'
import net, { type AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'

export interface WebSocketBridge {
  readonly url: string
  close(): Promise<void>
}

/** @param target an `mqtt:` URL */
export async function bridgeWebSocket(target: string): Promise<WebSocketBridge> {
  const { hostname, port } = new URL(target)
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    handleProtocols: (protocols) => protocols.has('mqtt') && 'mqtt',
  })
  server.on('connection', (webSocket) => {
    const socket = net.connect({ host: hostname, port: Number(port), noDelay: true })
    webSocket.on('message', (data) => socket.write(bytesOf(data)))
    webSocket.on('close', () => socket.end())
    webSocket.on('error', () => socket.destroy())
    socket.on('data', (chunk) => webSocket.send(chunk))
    socket.on('end', () => webSocket.close())
    socket.on('error', () => webSocket.terminate())
  })
  await once(server, 'listening')
  return {
    url: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      for (const webSocket of server.clients) webSocket.terminate()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

function bytesOf(data: Buffer | ArrayBuffer | readonly Buffer[]): Buffer {
  if (data instanceof ArrayBuffer) return Buffer.from(data)
  return Buffer.isBuffer(data) ? data : Buffer.concat(data)
}

// A host that does not answer: it neither takes a connection nor refuses it, as one behind a firewall that drops. It
// is a listener that takes nothing off its queue, which is full.
import net from 'node:net'
import { Worker } from 'node:worker_threads'
import { afterEach } from 'vitest'

export interface MuteHost {
  readonly address: string
  readonly port: number
}

/** Nothing runs in it once it listens, so nothing is accepted. */
const LISTENER = `
const { parentPort } = require('node:worker_threads')
const server = require('node:net').createServer()
server.listen({ port: 0, host: '127.0.0.2', backlog: 1 }, () => {
  parentPort.postMessage(server.address())
  parentPort.on('message', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
})
`

/** Two fit into the queue on Linux; there may be one more. */
const FILLING = 4

/** Call it once within a file: its hosts end after each test. */
export function useMuteHosts(): () => Promise<MuteHost> {
  const workers: Worker[] = []
  const sockets: net.Socket[] = []
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await Promise.all(workers.splice(0).map((worker) => worker.terminate()))
  })
  return async () => {
    const worker = new Worker(LISTENER, { eval: true })
    workers.push(worker)
    const { address, port } = await new Promise<MuteHost>((resolve) => worker.once('message', resolve))
    worker.postMessage('sleep')
    for (let count = 0; count < FILLING; count += 1) {
      const socket = net.connect(port, address)
      socket.on('error', () => {})
      sockets.push(socket)
    }
    await new Promise<void>((resolve) => {
      sockets[0]?.once('connect', resolve)
    })
    return { address, port }
  }
}

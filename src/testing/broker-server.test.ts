import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { type BrokerServer, createBroker } from './broker-server.ts'
import { connectOf, publishOf } from './broker/raw-client.ts'
import { encodePacket } from './broker/server-codec.ts'

const CONNECT = encodePacket(connectOf('3.1.1'), '3.1.1')
const CONNACK = [0x20, 2, 0, 0]

/** A socket, all that it has got, and how it ended. */
class Peer {
  readonly socket: Socket
  readonly bytes: number[] = []
  outcome: string | undefined = undefined
  #wake: () => void = () => {}

  constructor(url: string) {
    const { hostname, port } = new URL(url)
    this.socket = connect(Number(port), hostname)
    this.socket.on('data', (chunk) => this.#note(() => this.bytes.push(...chunk)))
    this.socket.on('end', () => this.#note(() => (this.outcome = 'end')))
    this.socket.on('error', (error: NodeJS.ErrnoException) => this.#note(() => (this.outcome = error.code)))
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  #note(action: () => void): void {
    action()
    this.#wake()
  }
}

describe('over TCP', () => {
  let server: BrokerServer
  const peers: Peer[] = []

  async function connected(): Promise<Peer> {
    const peer = new Peer(server.url)
    peers.push(peer)
    peer.socket.write(CONNECT)
    await peer.until(() => peer.bytes.length === 4)
    expect(peer.bytes.splice(0)).toEqual(CONNACK)
    return peer
  }

  afterEach(async () => {
    for (const { socket } of peers.splice(0)) socket.destroy()
    await server.close()
  })

  it('a client connects, publishes, receives and disconnects', async () => {
    server = createBroker()
    expect(() => server.url).toThrow('call listen() first')
    const url = await server.listen()
    expect(url).toMatch(/^mqtt:\/\/127\.0\.0\.1:\d+$/)
    expect(server.url).toBe(url)
    const peer = await connected()
    expect(server.connections).toHaveLength(1)
    const subscription = {
      filter: 'a',
      qos: 0,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
    } as const
    peer.socket.write(
      encodePacket({ type: 'subscribe', packetId: 1, subscriptions: [subscription] }, '3.1.1'),
    )
    peer.socket.write(encodePacket(publishOf('a', { payload: Uint8Array.of(7) }), '3.1.1'))
    await peer.until(() => peer.bytes.length >= 11)
    expect(peer.bytes).toEqual([0x90, 3, 0, 1, 0, 0x30, 4, 0, 1, 0x61, 7])
    peer.socket.end(Uint8Array.of(0xe0, 0))
    await peer.until(() => peer.outcome !== undefined)
    expect(peer.outcome).toBe('end')
    expect(server.broker.finish()).toEqual([])
  })

  it('calls on the broker are written without being asked for, and its time is kept', async () => {
    server = createBroker()
    await server.listen()
    server.broker.faults.onSend('pingresp').delay(20)
    const peer = await connected()
    const start = performance.now()
    peer.socket.write(Uint8Array.of(0xc0, 0))
    await peer.until(() => peer.bytes.length === 2)
    expect(performance.now() - start).toBeGreaterThan(15)
    server.connections[0]?.send(Uint8Array.of(0xd0, 0))
    await peer.until(() => peer.bytes.length === 4)
    server.broker.disconnectAll()
    await peer.until(() => peer.outcome !== undefined)
    expect(peer.outcome).toBe('end')
  })

  it('a cut is a reset', async () => {
    server = createBroker()
    await server.listen()
    const peer = await connected()
    server.broker.cutAll()
    await peer.until(() => peer.outcome !== undefined)
    expect(peer.outcome).toBe('ECONNRESET')
  })

  it('what was written before a cut still arrives', async () => {
    server = createBroker()
    await server.listen()
    server.broker.faults.onSend('pingresp').cutAfter()
    const peer = await connected()
    peer.socket.write(Uint8Array.of(0xc0, 0))
    await peer.until(() => peer.outcome !== undefined)
    expect(peer.bytes).toEqual([0xd0, 0])
    expect(server.broker.connections).toEqual([])
  })

  it('a paused broker stops reading, so that the sender feels it', async () => {
    server = createBroker()
    await server.listen()
    const peer = await connected()
    server.broker.pause()
    const message = encodePacket(publishOf('a', { payload: new Uint8Array(1 << 20) }), '3.1.1')
    for (let count = 0; count < 32; count++) peer.socket.write(message)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(peer.socket.writableLength).toBeGreaterThan(1 << 20)
    server.broker.resume()
    peer.socket.write(Uint8Array.of(0xc0, 0))
    await peer.until(() => peer.bytes.length === 2)
    expect(server.broker.complaints).toEqual([])
  })

  it('it may be closed and listen again on the same port: sessions stay', async () => {
    server = createBroker()
    const url = await server.listen()
    const resuming = encodePacket(connectOf('3.1.1', { cleanStart: false }), '3.1.1')
    const connack = async (): Promise<number[]> => {
      const peer = new Peer(server.url)
      peers.push(peer)
      peer.socket.write(resuming)
      await peer.until(() => peer.bytes.length === 4)
      return peer.bytes
    }
    expect(await connack()).toEqual(CONNACK)
    await server.close()
    expect(await server.listen(Number(new URL(url).port))).toBe(url)
    expect(await connack()).toEqual([0x20, 2, 1, 0])
  })
})

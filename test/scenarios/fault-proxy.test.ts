// The fault proxy itself: what the scenarios rest on. Each fault is shown to do what it says, to the byte where it
// is about bytes.
import { once } from 'node:events'
import net from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type FaultProxy, useFaultProxies } from '../support/fault-proxy.ts'

const proxies = useFaultProxies()
const servers: net.Server[] = []
const sockets: net.Socket[] = []

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) {
    server.close()
    if (server.listening) await once(server, 'close')
  }
})

/** One end of a connection, and what it has seen. */
class End {
  readonly socket: net.Socket
  readonly chunks: Buffer[] = []
  /** When each chunk came, ms. */
  readonly times: number[] = []
  ending: 'FIN' | 'RST' | undefined = undefined
  endedAt = 0

  constructor(socket: net.Socket) {
    this.socket = socket
    sockets.push(socket)
    socket.on('data', (chunk) => {
      this.chunks.push(chunk)
      this.times.push(performance.now())
    })
    socket.on('end', () => this.#ended('FIN'))
    socket.on('error', () => this.#ended('RST'))
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }

  get bytes(): number {
    return this.chunks.reduce((sum, { length }) => sum + length, 0)
  }

  #ended(ending: 'FIN' | 'RST'): void {
    this.ending = ending
    this.endedAt = performance.now()
  }
}

interface Line {
  readonly proxy: FaultProxy
  readonly client: End
  readonly server: End
}

/** A server, a proxy before it and one connection; `prepare` sets the faults that are there from the beginning. */
async function connect(prepare: (proxy: FaultProxy) => void = () => {}): Promise<Line> {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  const proxy = await proxies(`mqtt://127.0.0.1:${port}`)
  prepare(proxy)
  const accepted = once(server, 'connection') as Promise<[net.Socket]>
  const socket = net.connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  const client = new End(socket)
  const [peer] = await accepted
  return { proxy, client, server: new End(peer) }
}

const until = (isSo: () => unknown): Promise<void> =>
  vi.waitFor(() => expect(isSo()).toBeTruthy(), { timeout: 10_000, interval: 1 })

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz'

describe('the fault proxy', () => {
  it('carries bytes and ends both ways, each way by itself', async () => {
    const { proxy, client, server } = await connect()
    client.socket.end('to the server')
    await until(() => server.ending)
    expect(server).toMatchObject({ text: 'to the server', ending: 'FIN' })
    server.socket.end('and back')
    await until(() => client.ending)
    expect(client).toMatchObject({ text: 'and back', ending: 'FIN' })
    expect([proxy.up.passed, proxy.down.passed]).toEqual([13, 8])
    await until(() => proxy.open === 0)
    expect(proxy.accepted).toBe(1)
  })

  it('passes a reset on, from either side', async () => {
    for (const [one, other] of [
      ['client', 'server'],
      ['server', 'client'],
    ] as const) {
      const line = await connect()
      line[one].socket.resetAndDestroy()
      await until(() => line[other].ending)
      expect(line[other].ending).toBe('RST')
    }
  })

  it('resets a client whose server refuses', async () => {
    const { proxy } = await connect()
    for (const server of servers) server.close()
    for (const socket of sockets) socket.destroy()
    const second = new End(net.connect({ port: proxy.port, host: '127.0.0.1' }))
    await until(() => second.ending)
    expect(second.ending).toBe('RST')
  })

  it('delays each way by its latency, in order under jitter, and the same seed draws the same delays', async () => {
    const { client, server } = await connect((proxy) => proxy.down.set({ latency: 60, jitter: 40 }))
    const sent = performance.now()
    for (const letter of ALPHABET) server.socket.write(letter)
    client.socket.write('up')
    await until(() => server.text === 'up')
    expect(client.text).toBe('')
    await until(() => client.text.length === ALPHABET.length)
    expect(client.text).toBe(ALPHABET)
    expect((client.times[0] ?? 0) - sent).toBeGreaterThanOrEqual(60)
    const draws = await Promise.all(
      [7, 7, 8].map(async (seed) => {
        const { down } = await proxies('mqtt://127.0.0.1:1', seed)
        return [down.random(), down.random()]
      }),
    )
    expect(draws[0]).toEqual(draws[1])
    expect(draws[0]).not.toEqual(draws[2])
  })

  it('throttles to its bandwidth, and to another one while bytes wait', async () => {
    const { proxy, client, server } = await connect((one) => one.up.set({ bandwidth: 100_000 }))
    const began = performance.now()
    client.socket.write(Buffer.alloc(70_000))
    await until(() => server.bytes >= 20_000)
    expect(performance.now() - began).toBeGreaterThan(100)
    expect(server.bytes).toBeLessThan(70_000)
    proxy.up.set({ bandwidth: Infinity })
    await until(() => server.bytes === 70_000)
    expect(performance.now() - began).toBeLessThan(600)
  })

  it('stops reading when the receiver does', async () => {
    const { proxy, client, server } = await connect()
    server.socket.pause()
    const chunk = Buffer.alloc(1_000_000)
    let isFull = false
    client.socket.on('drain', () => (isFull = false))
    for (let count = 0; count < 64; count += 1) isFull = !client.socket.write(chunk)
    let before = -1
    await vi.waitFor(
      () => {
        const after = client.socket.writableLength
        const isStill = after === before
        before = after
        expect(isStill).toBe(true)
      },
      { timeout: 10_000, interval: 100 },
    )
    expect(isFull).toBe(true)
    expect(proxy.up.passed).toBeLessThan(32_000_000)
    server.socket.resume()
    await until(() => server.bytes === 64_000_000)
  })

  it('cuts what comes into segments of one size, in turns or pauses of their own', async () => {
    const { client, server } = await connect((proxy) => proxy.down.set({ slice: { size: 1, pause: 2 } }))
    const began = performance.now()
    server.socket.write(ALPHABET)
    await until(() => client.text === ALPHABET)
    expect(performance.now() - began).toBeGreaterThan(2 * (ALPHABET.length - 1))
    expect(client.chunks.length).toBeGreaterThan(ALPHABET.length / 2)
  })

  it('joins what waits into segments of one size', async () => {
    const { client, server } = await connect((proxy) => proxy.down.set({ latency: 50, slice: { size: 13 } }))
    for (const letter of ALPHABET) server.socket.write(letter)
    await until(() => client.text === ALPHABET)
    expect(client.chunks.length).toBeLessThanOrEqual(13)
  })

  it('swallows everything as a black hole, keeps the connection, and takes new ones when that is over', async () => {
    const { proxy, client, server } = await connect()
    client.socket.write('seen')
    await until(() => server.text === 'seen')
    proxy.up.set({ blackHole: true })
    client.socket.end(Buffer.alloc(10_000_000))
    await once(client.socket, 'finish')
    server.socket.write('the other way')
    await until(() => client.text === 'the other way')
    proxy.up.clear()
    expect(server).toMatchObject({ text: 'seen', ending: undefined })
    expect(proxy.open).toBe(1)
    const second = net.connect({ port: proxy.port, host: '127.0.0.1' })
    sockets.push(second)
    second.write('heard')
    await until(() => proxy.up.passed === 9)
  })

  it.each(['FIN', 'RST'] as const)('cuts by %s behind exactly n bytes, at every n', async (by) => {
    for (let bytes = 0; bytes <= ALPHABET.length; bytes += 1) {
      const { proxy, client, server } = await connect()
      proxy.up.set({ limit: { bytes, by } })
      client.socket.write(ALPHABET.slice(0, 10))
      client.socket.write(ALPHABET.slice(10))
      await until(() => server.ending !== undefined && client.ending !== undefined)
      expect(server).toMatchObject({ text: ALPHABET.slice(0, bytes), ending: by })
      expect(client.ending).toBe(by)
      expect(proxy.up.faults.limit).toBeUndefined()
    }
  })

  it('resets all that is open when told so', async () => {
    const { proxy, client, server } = await connect()
    proxy.cut('RST')
    await until(() => client.ending !== undefined && server.ending !== undefined)
    expect([client.ending, server.ending]).toEqual(['RST', 'RST'])
  })

  it('lets the end of a stream come late', async () => {
    const { client, server } = await connect((proxy) => proxy.down.set({ slowClose: 80 }))
    server.socket.end('last')
    await until(() => client.ending)
    expect(client.text).toBe('last')
    expect(client.endedAt - (client.times[0] ?? 0)).toBeGreaterThanOrEqual(75)
  })

  it('leaves nothing open when it is closed', async () => {
    const { proxy, client, server } = await connect()
    await proxy.close()
    await until(() => client.ending !== undefined && server.ending !== undefined)
    await until(() => proxy.open === 0)
  })
})

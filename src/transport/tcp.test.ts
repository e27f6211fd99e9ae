import net from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { ConnectionError } from '../core/errors.ts'
import { createDial } from './dial.ts'
import { dialSocket as dialTcp } from './tcp.ts'
import type { Transport, TransportReceiver } from './transport.ts'

const servers: net.Server[] = []
const sockets: net.Socket[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))))
})

/** A server, and its end of the first connection. */
async function serve(host = '127.0.0.1'): Promise<{ port: number; accepted: Promise<net.Socket> }> {
  const server = net.createServer({ allowHalfOpen: true })
  servers.push(server)
  const accepted = new Promise<net.Socket>((resolve) => {
    server.on('connection', (socket) => {
      sockets.push(socket)
      socket.on('error', () => {})
      resolve(socket)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  return { port: (server.address() as net.AddressInfo).port, accepted }
}

class Receiver implements TransportReceiver {
  readonly chunks: Uint8Array[] = []
  readonly log: string[] = []
  written = 0
  error: unknown = undefined
  #waiting: { until: () => boolean; resolve: () => void }[] = []

  handleData(chunk: Uint8Array): void {
    this.chunks.push(chunk.slice())
    this.#note('data')
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
    return new Promise((resolve) => {
      if (condition()) resolve()
      else this.#waiting.push({ until: condition, resolve })
    })
  }

  count(name: string): number {
    return this.log.filter((entry) => entry === name).length
  }

  #note(name: string): void {
    this.log.push(name)
    for (const waiter of this.#waiting) if (waiter.until()) waiter.resolve()
    this.#waiting = this.#waiting.filter(({ until }) => !until())
  }
}

const NEVER = new AbortController().signal
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))
const dial = (port: number, host = '127.0.0.1'): Promise<Transport> =>
  dialTcp({ host, port, noDelay: true, lookup: undefined }, NEVER)

async function open(): Promise<{ transport: Transport; receiver: Receiver; peer: net.Socket }> {
  const { port, accepted } = await serve()
  const transport = await dial(port)
  const receiver = new Receiver()
  transport.start(receiver)
  return { transport, receiver, peer: await accepted }
}

describe('TCP', () => {
  it('carries bytes both ways, and tells what was written', async () => {
    const { transport, receiver, peer } = await open()
    peer.on('data', (chunk) => peer.write(chunk))
    expect(transport.write(Buffer.from('hello '))).toBe(true)
    expect(transport.write(Buffer.from('there'))).toBe(true)
    await receiver.until(() => receiver.written === 11)
    await receiver.until(() => receiver.received === 'hello there')
    transport.destroy()
  })

  it('calls nothing before start(), nor from within it', async () => {
    const { port, accepted } = await serve()
    const transport = await dial(port)
    const peer = await accepted
    peer.write('early')
    await turn()
    const receiver = new Receiver()
    transport.start(receiver)
    expect(receiver.log).toEqual([])
    await receiver.until(() => receiver.received === 'early')
    transport.destroy()
  })

  it('a stream that ended before start() is told', async () => {
    const { port, accepted } = await serve()
    const transport = await dial(port)
    const peer = await accepted
    peer.end('last words')
    await turn()
    const receiver = new Receiver()
    transport.start(receiver)
    await receiver.until(() => receiver.log.includes('end'))
    expect(receiver.received).toBe('last words')
  })

  it('paused it reports nothing until it is resumed', async () => {
    const { transport, receiver, peer } = await open()
    await turn()
    transport.pause()
    peer.write('waits')
    await turn()
    expect(receiver.received).toBe('')
    transport.resume()
    await receiver.until(() => receiver.received === 'waits')
    transport.destroy()
  })

  it('a peer that does not read makes write() false; drain comes when it has read', async () => {
    const { transport, receiver, peer } = await open()
    peer.pause()
    const chunk = new Uint8Array(1_000_000)
    let writes = 0
    while (transport.write(chunk) && writes < 100) writes += 1
    expect(writes).toBeLessThan(100)
    await turn()
    peer.resume()
    await receiver.until(() => receiver.log.includes('drain'))
    await receiver.until(() => receiver.written === (writes + 1) * chunk.length)
    transport.destroy()
  })

  it.each(['end', 'destroy'] as const)('%s(): the peer sees it, and handleEnd comes once', async (how) => {
    const { transport, receiver, peer } = await open()
    const heard: Buffer[] = []
    peer.on('data', (chunk) => heard.push(chunk))
    const ended = new Promise((resolve) => peer.once(how === 'end' ? 'end' : 'close', resolve))
    transport.write(Buffer.from('last'))
    transport[how]()
    if (how === 'end') {
      await ended
      expect(Buffer.concat(heard).toString()).toBe('last')
      peer.end()
    } else peer.end()
    await receiver.until(() => receiver.log.includes('end'))
    await turn()
    expect(receiver.count('end')).toBe(1)
    expect(receiver.error).toBeUndefined()
  })

  it.each([
    ['FIN', (peer: net.Socket): void => void peer.end(), undefined],
    ['RST', (peer: net.Socket): void => void peer.resetAndDestroy(), 'ECONNRESET'],
  ] as const)('the peer says %s', async (_what, say, code) => {
    const { transport, receiver, peer } = await open()
    say(peer)
    await receiver.until(() => receiver.log.includes('end'))
    await turn()
    expect(receiver.count('end')).toBe(1)
    expect((receiver.error as { code?: string } | undefined)?.code).toBe(code)
    transport.write(Buffer.from('too late'))
    transport.resume()
    transport.end()
    transport.destroy()
    await turn()
    expect(receiver.count('end')).toBe(1)
  })

  it('chunks of several streams do not get mixed up in the shared buffer', async () => {
    const streams = await Promise.all(Array.from({ length: 5 }, () => open()))
    for (const [index, { peer }] of streams.entries()) {
      for (let round = 0; round < 10; round += 1) peer.write(String(index).repeat(1_000))
    }
    for (const [index, { receiver, transport }] of streams.entries()) {
      await receiver.until(() => receiver.received.length === 10_000)
      expect(receiver.received).toBe(String(index).repeat(10_000))
      transport.destroy()
    }
  })

  it('a refused connection is a ConnectionError of phase tcp, with its cause', async () => {
    const { port } = await serve()
    await new Promise((resolve) => servers.splice(0)[0]?.close(resolve))
    const error = await dial(port).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'tcp', cause: { code: 'ECONNREFUSED' } })
    expect((error as Error).message).toContain(`127.0.0.1:${port}`)
  })

  it('a name that does not resolve is one of phase dns', async () => {
    const lookup: net.LookupFunction = (host, _options, callback) =>
      callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }), '')
    const target = { host: 'nowhere.invalid', port: 1_883, noDelay: true, lookup }
    const error = await dialTcp(target, NEVER).catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'dns', cause: { code: 'ENOTFOUND' } })
  })

  it.each(['before', 'during'] as const)(
    'a signal that aborts %s the attempt rejects with its reason, nothing stays open',
    async (when) => {
      const controller = new AbortController()
      const reason = new Error('enough')
      if (when === 'before') controller.abort(reason)
      const lookup: net.LookupFunction = () => {}
      const target = { host: 'slow.invalid', port: 1_883, noDelay: true, lookup }
      const dialing = dialTcp(target, controller.signal)
      if (when === 'during') setImmediate(() => controller.abort(reason))
      await expect(dialing).rejects.toBe(reason)
    },
  )
})

describe('dial', () => {
  it('knows mqtt: with names, addresses and ports', async () => {
    const { port, accepted } = await serve()
    const dialer = createDial({ dnsTtl: 1_000, runtime: { now: () => 0 } })
    const transport = await dialer({ url: new URL(`mqtt://localhost:${port}`), options: {} }, NEVER)
    await accepted
    const receiver = new Receiver()
    transport.start(receiver)
    transport.destroy()
    await receiver.until(() => receiver.log.includes('end'))
  })

  it('takes IPv6 addresses in brackets', async (context) => {
    const served = await serve('::1').catch(() => undefined)
    if (served === undefined) return context.skip()
    const dialer = createDial({ dnsTtl: 1_000, runtime: { now: () => 0 } })
    const transport = await dialer({ url: new URL(`mqtt://[::1]:${served.port}`), options: {} }, NEVER)
    await served.accepted
    transport.destroy()
  })
})

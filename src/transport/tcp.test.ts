import { lookup } from 'node:dns'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { useMuteHosts } from '../../test/support/mute-host.ts'
import { Dialer, echo, NEVER, Receiver, useServers } from '../../test/support/streams.ts'
import { hasIPv6, isLinux } from '../../test/support/system.ts'
import { ConnectionError } from '../core/errors.ts'
import type { Lookup, ResolvedAddress } from './dial-options.ts'
import { dialSocket } from './tcp.ts'
import type { Transport } from './transport.ts'

const servers = useServers()
const makeMuteHost = useMuteHosts()

/** A server, and its end of the first connection. */
async function serve(host?: string): Promise<{ port: number; accepted: Promise<net.Socket> }> {
  let accept = (_socket: net.Socket): void => {}
  const accepted = new Promise<net.Socket>((resolve) => (accept = resolve))
  const server = net.createServer({ allowHalfOpen: true }, (socket) => accept(socket))
  return { port: await servers.listen(server, host), accepted }
}

const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))
const dial = (port: number, host = '127.0.0.1'): Promise<Transport> =>
  dialSocket({ host, port, noDelay: true, lookup }, NEVER)

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

  it('bytes that wait for a peer that does not read are not written yet', async () => {
    const { transport, receiver, peer } = await open()
    peer.pause()
    let total = 0
    for (let more = true; more; total += 1_000_000) more = transport.write(new Uint8Array(1_000_000))
    expect(transport.written).toBeLessThan(total)
    await turn()
    expect(receiver.written).toBeLessThan(total)
    peer.resume()
    await receiver.until(() => receiver.written === total)
    expect(transport.written).toBe(total)
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
    await servers.close()
    const error = await dial(port).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'tcp', cause: { code: 'ECONNREFUSED' } })
    expect((error as Error).message).toContain(`127.0.0.1:${port}`)
  })

  it('a name that does not resolve is one of phase dns', async () => {
    const lookup: net.LookupFunction = (host, _options, callback) =>
      callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: 'ENOTFOUND' }), '')
    const target = { host: 'nowhere.invalid', port: 1_883, noDelay: true, lookup }
    const error = await dialSocket(target, NEVER).catch((reason: unknown) => reason)
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
      const dialing = dialSocket(target, controller.signal)
      if (when === 'during') setImmediate(() => controller.abort(reason))
      await expect(dialing).rejects.toBe(reason)
    },
  )
})

/** A look-up of the user's that knows one name, or all. */
function lookupTo(...addresses: readonly string[]): { lookup: Lookup; asked: string[] } {
  const asked: string[] = []
  const found = addresses.map((address): ResolvedAddress => ({ address, family: net.isIP(address) as 4 | 6 }))
  return {
    asked,
    lookup: (host, _options, callback) => {
      asked.push(host)
      callback(null, found)
    },
  }
}

describe('mqtt:', () => {
  it('takes a name, and an address of IPv4', async () => {
    const dialer = new Dialer()
    const port = await servers.serve(echo)
    for (const host of ['localhost', '127.0.0.1']) {
      const { transport, receiver } = await dialer.open(`mqtt://${host}:${port}`)
      transport.write(Buffer.from('hello'))
      await receiver.until(() => receiver.received === 'hello')
      transport.destroy()
    }
  })

  it.skipIf(!hasIPv6)('takes an address of IPv6 [needs ipv6]', async () => {
    const port = await servers.serve(echo, '::1')
    const { transport, receiver } = await new Dialer().open(`mqtt://[::1]:${port}`)
    transport.write(Buffer.from('hello'))
    await receiver.until(() => receiver.received === 'hello')
    transport.destroy()
  })

  it('asks the option lookup, and connects to what it gives', async () => {
    const port = await servers.serve(echo)
    const { lookup, asked } = lookupTo('127.0.0.1')
    const { transport } = await new Dialer().open(`mqtt://broker.test:${port}`, { lookup })
    expect(asked).toEqual(['broker.test'])
    transport.destroy()
  })

  it('asks for a name of another alphabet as it is looked up', async () => {
    const port = await servers.serve(echo)
    const { lookup, asked } = lookupTo('127.0.0.1')
    const { transport } = await new Dialer().open(`mqtt://bücher.test:${port}`, { lookup })
    expect(asked).toEqual(['xn--bcher-kva.test'])
    transport.destroy()
  })

  it.each([
    ['is empty', (): Lookup => lookupTo().lookup, 'dns', 'it has no address'],
    ['throws', (): Lookup => () => throwing('no idea'), 'dns', 'no idea'],
    [
      'fails',
      (): Lookup => (_host, _options, callback) => callback(new Error('no idea'), []),
      'dns',
      'no idea',
    ],
    [
      'is no list',
      (): Lookup => (_host, _options, callback) => callback(null, 'x' as unknown as ResolvedAddress[]),
      'dns',
      'it has no address',
    ],
    ['rejects', () => (async () => throwing('no idea')) as Lookup, 'dns', 'no idea'],
    [
      'is a list of nothing',
      (): Lookup => (_host, _options, callback) => callback(null, [null] as unknown as ResolvedAddress[]),
      'dns',
      'it has no address',
    ],
    ['is no address', (): Lookup => lookupTo('nowhere').lookup, 'tcp', 'nowhere'],
  ] as const)(
    'an answer of the option lookup that %s is a ConnectionError',
    async (_what, make, phase, text) => {
      const error = await new Dialer().failure('mqtt://broker.test:1883', { lookup: make() })
      expect(error).toBeInstanceOf(ConnectionError)
      expect(error).toMatchObject({ code: 'connect-failed', phase })
      expect(error.message).toContain('broker.test')
      expect(error.message).toContain(text)
    },
  )

  it('of a family: only its addresses are tried, and all of them', async () => {
    const port = await servers.serve(echo)
    const { lookup } = lookupTo('::1', '127.0.0.9', '127.0.0.1')
    const url = `mqtt://broker.test:${port}`
    const { transport } = await new Dialer().open(url, { lookup, socket: { family: 4 } })
    transport.destroy()
    const error = await new Dialer().failure(url, {
      lookup: lookupTo('127.0.0.1').lookup,
      socket: { family: 6 },
    })
    expect(error).toMatchObject({ phase: 'dns' })
    expect(error.message).toBe('the name broker.test could not be resolved: it has no address of IPv6')
  })

  it('tries all addresses of a name; when none answers, the error tells of each', async () => {
    const port = await servers.serve(echo)
    const url = `mqtt://broker.test:${port}`
    const { transport } = await new Dialer().open(url, { lookup: lookupTo('127.0.0.9', '127.0.0.1').lookup })
    transport.destroy()
    const error = await new Dialer().failure(url, { lookup: lookupTo('127.0.0.8', '127.0.0.9').lookup })
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'tcp' })
    expect(error.message).toContain(`127.0.0.8:${port}`)
    expect(error.message).toContain(`127.0.0.9:${port}`)
    expect(error.message).toContain('nothing listens there')
  })

  it('a first address that is mute costs 250 ms', async () => {
    const { address, port } = await makeMuteHost()
    await servers.listen(net.createServer(echo), '127.0.0.1', port)
    const { lookup } = lookupTo(address, '127.0.0.1')
    const since = performance.now()
    const { transport } = await new Dialer().open(`mqtt://broker.test:${port}`, { lookup })
    const took = performance.now() - since
    expect(took).toBeGreaterThan(240)
    expect(took).toBeLessThan(1_500)
    transport.destroy()
  })

  it('connects from the option socket.localAddress, or says that it is none of this machine', async () => {
    const { port, accepted } = await serve()
    const url = `mqtt://localhost:${port}`
    const { transport } = await new Dialer().open(url, { socket: { localAddress: '127.0.0.7' } })
    expect((await accepted).remoteAddress).toBe('127.0.0.7')
    transport.destroy()
    const error = await new Dialer().failure(url, { socket: { localAddress: '192.0.2.1' } })
    expect(error).toMatchObject({ phase: 'tcp', cause: { code: 'EADDRNOTAVAIL' } })
    expect(error.message).toContain('socket.localAddress is no address of this machine')
  })

  it.skipIf(!isLinux)('sends probes only with the option socket.keepAlive [needs linux]', async () => {
    const port = await servers.serve(echo)
    const probing = async (keepAlive: boolean | number | undefined): Promise<boolean> => {
      const { transport } = await new Dialer().open(`mqtt://127.0.0.1:${port}`, { socket: { keepAlive } })
      const hasTimer = timersTo(port).includes(KEEP_ALIVE_TIMER)
      transport.destroy()
      await servers.idle()
      return hasTimer
    }
    expect(await probing(undefined)).toBe(false)
    expect(await probing(true)).toBe(true)
    expect(await probing(5_000)).toBe(true)
    expect(await probing(false)).toBe(false)
  })
})

describe('unix:', () => {
  it('carries bytes both ways', async () => {
    const path = join(tmpdir(), `petrel ${process.pid}.sock`)
    await servers.serve(echo, path)
    const { transport, receiver } = await new Dialer().open(`unix:${path.replace(' ', '%20')}`)
    transport.write(Buffer.from('hello'))
    await receiver.until(() => receiver.received === 'hello')
    transport.destroy()
    await servers.idle()
  })

  it('goes past a proxy', async () => {
    const path = join(tmpdir(), `petrel-${process.pid}.sock`)
    await servers.serve(echo, path)
    const { transport } = await new Dialer().open(`unix:${path}`, { proxy: 'http://127.0.0.1:1' })
    transport.destroy()
  })

  it.each([
    ['does not exist', '/nowhere/petrel.sock', 'there is no such socket'],
    ['is no socket', '/etc/passwd', '/etc/passwd'],
    ['is too long', `/${'x'.repeat(200)}`, 'no connection to /x'],
  ])('a path that %s is a ConnectionError', async (_what, path, text) => {
    const error = await new Dialer().failure(`unix:${path}`)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'tcp' })
    expect(error.message).toContain(text)
  })
})

/** In /proc/net/tcp. */
const KEEP_ALIVE_TIMER = '02'

/** The kinds of timer that run for connections to a port. */
function timersTo(port: number): readonly string[] {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .slice(1)
    .map((row) => row.trim().split(/\s+/))
  return rows
    .filter(([, , to = '']) => to.endsWith(remote))
    .map(([, , , , , timer = '']) => timer.slice(0, 2))
}

function throwing(text: string): never {
  throw new Error(text)
}

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tls from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { Authority, encryptedKey, pfxOf } from '../../test/support/certificates.ts'
import { Dialer, echo, useServers } from '../../test/support/streams.ts'
import { ConnectionError } from '../core/errors.ts'
import type { TlsOptions } from './dial-options.ts'

const servers = useServers()
const authority = new Authority('Authority')
const stranger = new Authority('Stranger')
const server = authority.issue()
const client = authority.issue({ names: ['client'] })

const directory = mkdtempSync(join(tmpdir(), 'petrel-tls-'))
afterAll(() => rmSync(directory, { recursive: true }))

function fileOf(name: string, content: string | Uint8Array): string {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

/** What the server knows of a connection whose handshake it is content with. */
interface Secured {
  readonly name: unknown
  readonly servername: string | false | undefined
  readonly protocol: string | null
  readonly alpn: string | false | null
  readonly isReused: boolean
}

async function serve(options: tls.TlsOptions = server): Promise<{ port: number; secured: Secured[] }> {
  const secured: Secured[] = []
  const listening = tls.createServer(options, (socket) => {
    secured.push({
      name: socket.getPeerCertificate().subject?.CN,
      servername: (socket as { servername?: string | false }).servername,
      protocol: socket.getProtocol(),
      alpn: socket.alpnProtocol,
      isReused: socket.isSessionReused(),
    })
    echo(socket)
  })
  return { port: await servers.listen(listening), secured }
}

/** Says something and hears it: afterwards both sides are content, and tickets have come. */
async function talk(dialer: Dialer, port: number, options: TlsOptions, host = 'localhost'): Promise<void> {
  const { transport, receiver } = await dialer.open(`mqtts://${host}:${port}`, { tls: options })
  transport.write(Buffer.from('hello'))
  await receiver.until(() => receiver.received === 'hello' || receiver.log.includes('end'))
  expect(receiver.received).toBe('hello')
  transport.destroy()
  await servers.idle()
}

async function refusal(port: number, options: TlsOptions, host = 'localhost'): Promise<Error> {
  const error = await new Dialer().failure(`mqtts://${host}:${port}`, { tls: options })
  expect(error).toBeInstanceOf(ConnectionError)
  expect(error).toMatchObject({ code: 'connect-failed', phase: 'tls' })
  expect((error as ConnectionError).cause).toBeInstanceOf(Error)
  expect(error.message).not.toMatch(/error:[0-9A-F]{8}|routines|\.c:\d/)
  return error
}

describe('a certificate of the server', () => {
  it('is accepted when its authority is trusted and it names the host', async () => {
    const { port } = await serve()
    for (const host of ['localhost', '127.0.0.1'])
      await talk(new Dialer(), port, { ca: authority.cert }, host)
  })

  it.each([
    [
      'nobody trusts',
      { ca: stranger.cert },
      server,
      'untrusted: give the certificate of its authority as tls.ca',
    ],
    ['the system does not trust', {}, server, 'untrusted'],
    ['has expired', {}, authority.issue({ days: [-3, -1] }), 'has expired: it has to be renewed'],
    ['is not valid yet', {}, authority.issue({ days: [1, 3] }), 'not valid yet: compare the clocks'],
    [
      'is for another host',
      {},
      authority.issue({ names: ['elsewhere.example'] }),
      'for another host: connect by a name that it has, or give that as tls.servername',
    ],
    ['is not for the name in tls.servername', { servername: 'other.example' }, server, 'for another host'],
  ] as const)('that %s is refused, and nothing was written', async (what, options, identity, text) => {
    const heard: Buffer[] = []
    const listening = tls.createServer(identity, (socket) => {
      socket.on('error', () => {})
      socket.on('data', (chunk) => heard.push(chunk))
    })
    const port = await servers.listen(listening)
    const trusted = what === 'the system does not trust' ? {} : { ca: authority.cert }
    const error = await refusal(port, { ...trusted, ...options })
    expect(error.message).toContain(`no TLS connection to localhost:${port}: `)
    expect(error.message).toContain(text)
    await servers.idle()
    expect(heard).toEqual([])
  })

  it('is not looked at with rejectUnauthorized: false', async () => {
    const { port } = await serve()
    await talk(new Dialer(), port, { rejectUnauthorized: false })
  })

  it('is looked at by checkServerIdentity', async () => {
    const { port } = await serve()
    const names: string[] = []
    const options = { ca: authority.cert, checkServerIdentity: (host: string) => void names.push(host) }
    await talk(new Dialer(), port, options)
    expect(names).toEqual(['localhost'])
    // As with `tls.connect`, all but an error will do.
    await talk(new Dialer(), port, { ca: authority.cert, checkServerIdentity: () => null as never })
    const refusing = { ca: authority.cert, checkServerIdentity: () => new Error('the wrong fingerprint') }
    expect((await refusal(port, refusing)).message).toContain('the wrong fingerprint')
  })

  it.each([
    [
      'throws',
      () => {
        throw new Error('no such field')
      },
      'no such field',
    ],
    ['gives a promise', () => Promise.resolve(), 'returned neither an Error nor undefined'],
    ['gives a promise that rejects', () => Promise.reject(new Error('no')), 'returned neither'],
  ])('is refused when checkServerIdentity %s', async (_what, checkServerIdentity, text) => {
    const { port } = await serve()
    const options = {
      ca: authority.cert,
      checkServerIdentity: checkServerIdentity as unknown as () => undefined,
    }
    expect((await refusal(port, options)).message).toContain(text)
  })
})

describe('a certificate of ours', () => {
  const wanted: tls.TlsOptions = {
    ...server,
    requestCert: true,
    rejectUnauthorized: true,
    ca: authority.cert,
  }
  const ca = authority.cert

  it.each([
    ['text', () => client],
    ['bytes', () => ({ cert: Buffer.from(client.cert), key: new Uint8Array(Buffer.from(client.key)) })],
    ['files', () => ({ cert: fileOf('cert.pem', client.cert), key: fileOf('key.pem', client.key) })],
    [
      'an encrypted key',
      () => ({ cert: client.cert, key: encryptedKey(client, 'secret'), passphrase: 'secret' }),
    ],
    ['PKCS#12', () => ({ pfx: pfxOf(client, 'secret'), passphrase: 'secret' })],
    ['a PKCS#12 file', () => ({ pfx: fileOf('a.p12', pfxOf(client, 'secret')), passphrase: 'secret' })],
    ['a SecureContext', () => ({ ca: undefined, secureContext: tls.createSecureContext({ ca, ...client }) })],
  ] as const)('is given as %s', async (_what, make) => {
    const { port, secured } = await serve(wanted)
    await talk(new Dialer(), port, { ca: fileOf('ca.pem', ca), ...make() })
    expect(secured.map(({ name }) => name)).toEqual(['client'])
  })

  it('is read from its file for each attempt', async () => {
    const { port, secured } = await serve(wanted)
    const dialer = new Dialer()
    const options = { ca, cert: fileOf('renewed.pem', client.cert), key: fileOf('renewed.key', client.key) }
    await talk(dialer, port, options)
    const renewed = authority.issue({ names: ['renewed'] })
    fileOf('renewed.pem', renewed.cert)
    fileOf('renewed.key', renewed.key)
    await talk(dialer, port, options)
    expect(secured.map(({ name }) => name)).toEqual(['client', 'renewed'])
  })

  it.each([
    [
      'a wrong passphrase',
      { cert: client.cert, key: encryptedKey(client, 'secret'), passphrase: 'wrong' },
      'tls.passphrase is wrong',
    ],
    ['no passphrase', { cert: client.cert, key: encryptedKey(client, 'secret') }, 'tls.passphrase is wrong'],
    [
      'PKCS#12 with a wrong passphrase',
      { pfx: pfxOf(client, 'secret'), passphrase: 'wrong' },
      'tls.passphrase is wrong',
    ],
    ['PKCS#12 that is none', { pfx: Buffer.from('none'), passphrase: 'wrong' }, 'cannot be read'],
    ['the key of another', { cert: client.cert, key: server.key }, 'tls.key does not belong to tls.cert'],
    [
      'a file that is not there',
      { cert: '/nowhere/cert.pem', key: client.key },
      'the file of tls.cert cannot be read: ENOENT',
    ],
    ['a directory', { cert: client.cert, key: tmpdir() }, 'the file of tls.key cannot be read: EISDIR'],
    ['bytes that are no PEM', { cert: client.cert, key: Buffer.from('key') }, 'tls.key is not in PEM'],
    ['PEM that is damaged', { cert: client.cert.replace('MII', 'AAA'), key: client.key }, 'cannot be read'],
    ['text that is no PEM', { ca: 'MIIB\nabcd' }, 'tls.ca is neither PEM text nor the path of a file'],
  ])('%s is an error that says so, and nothing is left open', async (_what, options, text) => {
    const { port } = await serve(wanted)
    const error = await refusal(port, { ca, ...options })
    expect(error.message).toContain(text)
    await servers.idle()
  })

  it('does not get into a message when it was taken for a path', async () => {
    const { port } = await serve()
    const secret = `MIIEvQIBADANBgkqhkiG9w0BAQEFAASC${'x'.repeat(2_000)}`
    const error = await refusal(port, { cert: client.cert, key: secret })
    expect(error.message).not.toContain('MIIE')
  })
})

describe('ALPN, SNI and versions', () => {
  it('asks for the name of the host, or that of tls.servername, and for no address', async () => {
    const identity = authority.issue({ names: ['localhost', '127.0.0.1', 'other.example'] })
    const { port, secured } = await serve(identity)
    const ca = authority.cert
    await talk(new Dialer(), port, { ca })
    await talk(new Dialer(), port, { ca, servername: 'other.example' })
    await talk(new Dialer(), port, { ca }, '127.0.0.1')
    expect(secured.map(({ servername }) => servername)).toEqual(['localhost', 'other.example', false])
  })

  it('offers tls.ALPNProtocols', async () => {
    const { port, secured } = await serve({ ...server, ALPNProtocols: ['mqtt', 'x-amzn-mqtt-ca'] })
    await talk(new Dialer(), port, { ca: authority.cert, ALPNProtocols: ['x-amzn-mqtt-ca'] })
    expect(secured.map(({ alpn }) => alpn)).toEqual(['x-amzn-mqtt-ca'])
    const error = await refusal(port, { ca: authority.cert, ALPNProtocols: ['other'] })
    expect(error.message).toContain('the server does not know any of tls.ALPNProtocols')
  })

  it.each([
    [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }],
    [{ minVersion: 'TLSv1.3' }, { maxVersion: 'TLSv1.2' }],
  ] as const)('a server of %j and a client of %j have none in common', async (theirs, ours) => {
    const { port } = await serve({ ...server, ...theirs })
    const error = await refusal(port, { ca: authority.cert, ...ours })
    expect(error.message).toContain('there is no version of TLS that both sides accept: see tls.minVersion')
  })

  it('ciphers in common are needed, too', async () => {
    const { port } = await serve({
      ...server,
      maxVersion: 'TLSv1.2',
      ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    })
    const error = await refusal(port, { ca: authority.cert, ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' })
    expect(error.message).toContain('no cipher in common')
    expect((await refusal(port, { ciphers: 'NONE' })).message).toContain(
      'tls.ciphers names none that there is',
    )
  })
})

describe('sessions', () => {
  const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const
  const reused = (secured: readonly Secured[]): readonly boolean[] => secured.map(({ isReused }) => isReused)

  it.each(VERSIONS)('are resumed by the connections of a dialer, in %s', async (maxVersion) => {
    const { port, secured } = await serve({ ...server, maxVersion })
    const dialer = new Dialer()
    const secureContext = tls.createSecureContext({ ca: authority.cert })
    for (const options of [{ ca: authority.cert }, { secureContext }]) {
      await talk(dialer, port, options)
      await talk(dialer, port, options)
    }
    expect(reused(secured)).toEqual([false, true, false, true])
    expect(secured.map(({ protocol }) => protocol)).toEqual(Array.from({ length: 4 }, () => maxVersion))
    await talk(new Dialer(), port, { ca: authority.cert })
    expect(secured.at(-1)?.isReused).toBe(false)
  })

  it.each(VERSIONS)('are not shared with other material or another name, in %s', async (maxVersion) => {
    const identity = authority.issue({ names: ['localhost', 'other.example'] })
    const { port, secured } = await serve({ ...identity, maxVersion })
    const dialer = new Dialer()
    await talk(dialer, port, { ca: authority.cert })
    await talk(dialer, port, { ca: [authority.cert, stranger.cert] })
    await talk(dialer, port, { ca: authority.cert, servername: 'other.example' })
    await talk(dialer, port, { ca: authority.cert, ...client })
    expect(reused(secured)).toEqual([false, false, false, false])
  })

  it.each(VERSIONS)(
    'of connections that were not verified do not let others in, in %s',
    async (maxVersion) => {
      const { port } = await serve({ ...authority.issue({ names: ['elsewhere.example'] }), maxVersion })
      const dialer = new Dialer()
      const ca = authority.cert
      await talk(dialer, port, { ca, rejectUnauthorized: false })
      await talk(dialer, port, { ca, checkServerIdentity: () => undefined })
      const error = await dialer.failure(`mqtts://localhost:${port}`, { tls: { ca } })
      expect(error.message).toContain('the certificate is for another host')
    },
  )

  it('are not tried again after a handshake that failed', async () => {
    const { port: behind, secured } = await serve()
    let isBreaking = false
    const port = await servers.serve((socket) => {
      if (isBreaking) return void socket.once('data', () => socket.resetAndDestroy())
      const onward = net.connect(behind, '127.0.0.1')
      onward.on('error', () => {})
      socket.pipe(onward).pipe(socket)
    })
    const dialer = new Dialer()
    const options = { ca: authority.cert }
    await talk(dialer, port, options)
    isBreaking = true
    expect(await dialer.failure(`mqtts://localhost:${port}`, { tls: options })).toMatchObject({
      phase: 'tls',
    })
    isBreaking = false
    await talk(dialer, port, options)
    expect(reused(secured)).toEqual([false, false])
  })

  it('that the server has forgotten are no fault', async () => {
    const listening = tls.createServer(server, echo)
    const port = await servers.listen(listening)
    const dialer = new Dialer()
    await talk(dialer, port, { ca: authority.cert })
    listening.setTicketKeys(Buffer.alloc(48, 7))
    await talk(dialer, port, { ca: authority.cert })
  })
})

describe('a server that is no TLS server, or none for long', () => {
  const hint = 'TLS on this port'

  it.each([
    ['answers in HTTP', (socket: net.Socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), hint],
    ['answers in MQTT', (socket: net.Socket) => void socket.end(Buffer.of(0x20, 2, 0, 0)), hint],
    ['answers rubbish', (socket: net.Socket) => void socket.end(Buffer.of(0x16, 3, 3, 0xff, 0xff, 1)), hint],
    ['ends the stream', (socket: net.Socket) => void socket.end(), hint],
    ['resets the stream', (socket: net.Socket) => void socket.resetAndDestroy(), hint],
  ])('that %s: the error says so', async (_what, answer, text) => {
    const port = await servers.serve((socket) => void socket.once('data', () => answer(socket)))
    expect((await refusal(port, {})).message).toContain(text)
    await servers.idle()
  })

  it('that ends the stream before anything was said: the error says so', async () => {
    const port = await servers.serve((socket) => void socket.resume().end())
    expect((await refusal(port, {})).message).toContain(hint)
    await servers.idle()
  })

  it('that resets the stream before anything was said: the error says so, and is heard of nowhere else', async () => {
    const port = await servers.serve((socket) => void socket.resetAndDestroy())
    const error = await new Dialer().failure(`mqtts://localhost:${port}`)
    // The system may have told before it said that the socket stands.
    expect(['tcp', 'tls']).toContain((error as ConnectionError).phase)
    expect(error.message).toContain('ECONNRESET')
  })

  it('whose certificate is refused while the signal aborts: its reason is what comes', async () => {
    const { port } = await serve()
    const controller = new AbortController()
    const reason = new Error('enough')
    const dialing = new Dialer().failure(`mqtts://localhost:${port}`, { tls: {} }, controller.signal)
    controller.abort(reason)
    expect(await dialing).toBe(reason)
  })
})

describe('what TLS says after the handshake', () => {
  it('is told in words: in 1.3 a server looks at our certificate then', async () => {
    const { port } = await serve({ ...server, requestCert: true, ca: authority.cert, minVersion: 'TLSv1.3' })
    const { receiver } = await new Dialer().open(`mqtts://localhost:${port}`, { tls: { ca: authority.cert } })
    await receiver.ended()
    expect(receiver.error).toBeInstanceOf(ConnectionError)
    expect(receiver.error).toMatchObject({ code: 'connection-lost', phase: 'tls' })
    expect((receiver.error as Error).message).toBe(
      'TLS failed: alert certificate required; the server does not accept our certificate: see tls.cert and tls.key',
    )
  })
})

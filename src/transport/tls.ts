/**
 * TLS over a socket that stands, by `node:tls`.
 *
 * A dialer remembers what its connections share: secure contexts, so that a thousand clients with the same
 * certificate parse it once, and session tickets, so that reconnecting costs one round trip less. Files are read for
 * each attempt: a certificate that was renewed on disk is the one that is used.
 */

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import tls from 'node:tls'
import { ConnectionError, textOf } from '../core/errors.ts'
import type { Pem, TlsOptions } from './dial-options.ts'
import { brokenBy, tlsError } from './stream-errors.ts'

export interface TlsTarget {
  readonly host: string
  readonly port: number
  readonly options: TlsOptions
  /** Whose certificate it is: the broker's, or a proxy's. */
  readonly phase: 'tls' | 'proxy'
}

/** Contexts and tickets that are remembered at most; the oldest give way. */
const REMEMBERED = 1_000

/** What the connections of one dialer share. */
export class TlsMemory {
  /** By target; a ticket is worth a full handshake, so nothing but the handshake may tell of it. */
  readonly tickets: Remembered<Buffer> = new Remembered()
  readonly contexts: Remembered<tls.SecureContext> = new Remembered()
  /** Those that users made: they are told apart by number. */
  readonly #numbers = new WeakMap<object, number>()
  #count = 0

  nameOf(context: object): string {
    let number = this.#numbers.get(context)
    if (number === undefined) this.#numbers.set(context, (number = ++this.#count))
    return String(number)
  }
}

class Remembered<Value> {
  readonly #values = new Map<string, Value>()

  get(key: string): Value | undefined {
    return this.#values.get(key)
  }

  set(key: string, value: Value): void {
    this.#values.delete(key)
    this.#values.set(key, value)
    const oldest = this.#values.size > REMEMBERED ? this.#values.keys().next().value : undefined
    if (oldest !== undefined) this.#values.delete(oldest)
  }

  delete(key: string): void {
    this.#values.delete(key)
  }
}

/** What of the broker's options holds for a proxy: whom to trust, besides the system's authorities. */
export function optionsForProxy({ ca }: TlsOptions): TlsOptions {
  return ca === undefined ? {} : { ca: [...systemAuthorities(), ...listOf(ca)] }
}

/** With those of NODE_EXTRA_CA_CERTS where the platform tells of them: not in Node 20. */
function systemAuthorities(): readonly string[] {
  const { getCACertificates } = tls as { getCACertificates?: () => readonly string[] }
  return getCACertificates?.() ?? tls.rootCertificates
}

/** Resolves when the certificate was accepted; else nothing is left open, and no byte of MQTT was sent. */
export async function secure(
  socket: net.Socket,
  target: TlsTarget,
  memory: TlsMemory,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  try {
    const settings = await settingsOf(target.options, memory, signal)
    signal.throwIfAborted()
    return await handshake(socket, target, settings, memory, signal)
  } catch (error) {
    socket.destroy()
    signal.throwIfAborted()
    throw error instanceof ConnectionError ? error : tlsError(error as Error, target)
  }
}

interface Settings {
  readonly context: tls.SecureContext
  /** Names the context. */
  readonly name: string
}

/** The context that the options ask for, made once; files are read. */
async function settingsOf(options: TlsOptions, memory: TlsMemory, signal: AbortSignal): Promise<Settings> {
  const { secureContext, passphrase, minVersion, maxVersion, ciphers } = options
  if (secureContext !== undefined)
    return { context: secureContext as tls.SecureContext, name: memory.nameOf(secureContext) }
  const read = (field: string, pem: Pem | undefined): Promise<string | Buffer> | undefined =>
    pem === undefined ? undefined : readPem(field, pem, signal)
  const [ca, cert, key, pfx] = await Promise.all([
    options.ca && Promise.all(listOf(options.ca).map((pem) => readPem('tls.ca', pem, signal))),
    read('tls.cert', options.cert),
    read('tls.key', options.key),
    options.pfx && readIfPath('tls.pfx', options.pfx, signal),
  ])
  const material = { ca, cert, key, pfx, passphrase, minVersion, maxVersion, ciphers }
  const given = Object.entries(material).filter(([, value]) => value !== undefined)
  const name = digestOf(given)
  let context = memory.contexts.get(name)
  if (context === undefined) {
    context = tls.createSecureContext(Object.fromEntries(given))
    memory.contexts.set(name, context)
  }
  return { context, name }
}

function listOf(pems: Pem | readonly Pem[]): readonly Pem[] {
  return typeof pems === 'string' || pems instanceof Uint8Array ? [pems] : pems
}

const PEM = '-----BEGIN '

/** OpenSSL passes over what is no PEM in `ca`, and then trusts nobody. */
async function readPem(field: string, pem: Pem, signal: AbortSignal): Promise<string | Buffer> {
  if (typeof pem === 'string' && pem.includes(PEM)) return pem
  const bytes = await readIfPath(field, pem, signal)
  if (bytes.includes(PEM)) return bytes
  throw new Error(`${field} is not in PEM, whose lines begin with ${PEM.trim()}`)
}

/** Longer text is no path, and may be a secret. */
const LONGEST_PATH = 1_024

async function readIfPath(field: string, source: Pem, signal: AbortSignal): Promise<Buffer> {
  if (typeof source !== 'string') return Buffer.from(source.buffer, source.byteOffset, source.length)
  if (source.length > LONGEST_PATH || source.includes('\n'))
    throw new Error(`${field} is neither PEM text nor the path of a file`)
  return readFile(source, { signal }).catch((error: unknown) => {
    throw new Error(`the file of ${field} cannot be read: ${(error as Error).message}`, { cause: error })
  })
}

function digestOf(entries: readonly (readonly [string, unknown])[]): string {
  const hash = createHash('sha256')
  for (const [field, value] of entries) {
    for (const part of Array.isArray(value) ? value : [value]) {
      const bytes = part instanceof Uint8Array ? part : Buffer.from(String(part))
      hash.update(`${field} ${bytes.length} `).update(bytes)
    }
  }
  return hash.digest('base64')
}

/** What the user's function says of a certificate. Nobody would catch what it throws, so that is its answer, too. */
function identityError(
  check: NonNullable<TlsOptions['checkServerIdentity']>,
  host: string,
  certificate: object,
): Error | undefined {
  try {
    const answer: unknown = check(host, certificate)
    if (!answer) return undefined
    if (answer instanceof Error) return answer
    // A promise would come too late, and may reject.
    Promise.resolve(answer).catch(() => {})
    return new Error('tls.checkServerIdentity returned neither an Error nor undefined')
  } catch (error) {
    return error instanceof Error ? error : new Error(textOf(error))
  }
}

function handshake(
  socket: net.Socket,
  target: TlsTarget,
  { context, name }: Settings,
  { tickets }: TlsMemory,
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  const { host, port, options } = target
  const { ALPNProtocols, rejectUnauthorized, checkServerIdentity } = options
  // A name is asked for by SNI; an address is not one (RFC 6066, section 3).
  const servername = options.servername ?? (net.isIP(host) === 0 ? host : '')
  // A resumed session is not asked who it is: only one that was checked as usual may be resumed.
  const isUsual = rejectUnauthorized !== false && checkServerIdentity === undefined
  const ticket = isUsual ? `${host}:${port} ${servername} ${name}` : undefined
  const session = ticket === undefined ? undefined : tickets.get(ticket)
  return new Promise((resolve, reject) => {
    const broken = brokenBy(socket)
    if (broken !== undefined) throw broken
    const secured = tls.connect({
      socket,
      host,
      secureContext: context,
      ...(servername === '' ? {} : { servername }),
      ...(session === undefined ? {} : { session }),
      ...(ALPNProtocols === undefined ? {} : { ALPNProtocols: [...ALPNProtocols] }),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
      ...(checkServerIdentity === undefined
        ? {}
        : {
            checkServerIdentity: (name, certificate) => identityError(checkServerIdentity, name, certificate),
          }),
    })
    // For good: an error may come before the next link of the chain listens.
    secured.on('error', () => {})
    if (ticket !== undefined) secured.on('session', (fresh: Buffer) => tickets.set(ticket, fresh))
    const settle = (): void => {
      signal.removeEventListener('abort', aborted)
      secured.off('secureConnect', done).off('error', failed).off('close', closed)
    }
    const failed = (error: Error): void => {
      settle()
      // A ticket that the server does not like must not fail the next attempt, too.
      if (ticket !== undefined) tickets.delete(ticket)
      secured.destroy()
      reject(error)
    }
    const done = (): void => {
      settle()
      resolve(secured)
    }
    const closed = (): void => failed(new Error('the other side closed the connection'))
    const aborted = (): void => failed(signal.reason as Error)
    secured.once('secureConnect', done).once('error', failed).once('close', closed)
    signal.addEventListener('abort', aborted, { once: true })
  })
}

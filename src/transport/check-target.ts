/** What a dialer with sockets checks of URL and options when a client is made, before anything is dialed. */

import { UsageError } from '../core/errors.ts'
import type { TlsOptions, WebSocketOptions } from './dial-options.ts'
import type { DialTarget } from './transport.ts'

type Kind = 'string' | 'boolean' | 'number' | 'function' | 'object' | 'PEM' | 'address'

const KINDS: Readonly<Record<Kind, { readonly text: string; readonly fits: (value: unknown) => boolean }>> = {
  string: { text: 'a string', fits: (value) => typeof value === 'string' },
  boolean: { text: 'true or false', fits: (value) => typeof value === 'boolean' },
  number: { text: 'true, false or ms', fits: (value) => typeof value === 'boolean' || isDelay(value) },
  function: { text: 'a function', fits: (value) => typeof value === 'function' },
  object: { text: 'an object', fits: (value) => typeof value === 'object' && value !== null },
  PEM: { text: 'PEM text, its bytes or a path', fits: isPem },
  address: {
    text: 'an IP address of this machine',
    fits: (value) => typeof value === 'string' && isAddress(value),
  },
}

const TLS: Readonly<Record<string, Kind | readonly unknown[]>> = {
  cert: 'PEM',
  key: 'PEM',
  pfx: 'PEM',
  passphrase: 'string',
  servername: 'string',
  minVersion: ['TLSv1.2', 'TLSv1.3'],
  maxVersion: ['TLSv1.2', 'TLSv1.3'],
  ciphers: 'string',
  rejectUnauthorized: 'boolean',
  checkServerIdentity: 'function',
  secureContext: 'object',
}

const SOCKET: Readonly<Record<string, Kind | readonly unknown[]>> = {
  noDelay: 'boolean',
  keepAlive: 'number',
  family: [4, 6],
  localAddress: 'address',
}

const WEBSOCKET: Readonly<Record<string, Kind | readonly unknown[]>> = {
  path: 'string',
  headers: 'object',
  transform: 'function',
  validate: 'function',
}

/** @throws UsageError */
export function checkTarget({ url, options }: DialTarget): void {
  const { tls, socket, websocket, proxy } = options
  if (tls !== undefined) checkTls(tls)
  if (socket !== undefined) checkFields('socket', socket, SOCKET)
  if (websocket !== undefined) checkWebSocket(websocket)
  if (url.protocol === 'unix:') checkEncoding('url', 'path', url.pathname)
  if (proxy === undefined) return
  const { username, password } = new URL(proxy)
  checkEncoding('proxy', 'user', username)
  checkEncoding('proxy', 'password', password)
}

function checkWebSocket(websocket: WebSocketOptions): void {
  checkFields('websocket', websocket, WEBSOCKET)
  for (const [name, value] of Object.entries(websocket.headers ?? {}))
    checkField(`websocket.headers.${name}`, value, 'string')
}

function checkTls({ ca, ALPNProtocols, ...tls }: TlsOptions): void {
  for (const [index, pem] of (Array.isArray(ca) ? ca : [ca]).entries())
    checkField(Array.isArray(ca) ? `tls.ca[${index}]` : 'tls.ca', pem, 'PEM')
  checkAlpn(ALPNProtocols)
  checkFields('tls', tls, TLS)
  const { cert, key, pfx, passphrase, ciphers, secureContext } = tls
  const { minVersion = 'TLSv1.2', maxVersion = 'TLSv1.3' } = tls
  if (minVersion > maxVersion)
    throw invalid('tls.maxVersion', `expected at least ${minVersion}, got ${maxVersion}`)
  const ofContext = {
    ca,
    cert,
    key,
    pfx,
    passphrase,
    ciphers,
    minVersion: tls.minVersion,
    maxVersion: tls.maxVersion,
  }
  const beside = Object.entries(ofContext).find(([, value]) => value !== undefined)
  if (secureContext !== undefined && beside !== undefined)
    throw invalid('tls.secureContext', `expected it without ${beside[0]}, which is a part of it, got both`)
  if ((cert === undefined) !== (key === undefined))
    throw invalid(
      cert === undefined ? 'tls.cert' : 'tls.key',
      'expected cert and key together, got one of them',
    )
}

/** @param encoded a part of a URL */
function checkEncoding(field: string, part: string, encoded: string): void {
  try {
    decodeURIComponent(encoded)
  } catch {
    const message = `expected the ${part} percent-encoded as UTF-8, got one that is not; % itself is %25`
    throw new UsageError('invalid-url', field, message)
  }
}

function checkFields(
  name: string,
  given: object,
  known: Readonly<Record<string, Kind | readonly unknown[]>>,
): void {
  for (const [field, value] of Object.entries(given)) {
    const kind = known[field]
    if (kind === undefined) {
      const expected = Object.keys(known).join(', ')
      throw invalid(`${name}.${field}`, `expected one of ${expected}, got this`)
    }
    checkField(`${name}.${field}`, value, kind)
  }
}

function checkField(field: string, value: unknown, kind: Kind | readonly unknown[]): void {
  if (value === undefined) return
  if (typeof kind !== 'string') {
    if (kind.includes(value)) return
    const expected = kind.map((one) => JSON.stringify(one)).join(' or ')
    throw invalid(field, `expected ${expected}, got ${describe(value)}`)
  }
  const { text, fits } = KINDS[kind]
  if (!fits(value)) throw invalid(field, `expected ${text}, got ${describe(value)}`)
}

function checkAlpn(protocols: unknown): void {
  if (protocols === undefined) return
  const isList = Array.isArray(protocols) && protocols.length > 0
  if (isList && protocols.every((one) => typeof one === 'string' && one !== '')) return
  throw invalid('tls.ALPNProtocols', `expected a list of names, got ${describe(protocols)}`)
}

function invalid(field: string, message: string): UsageError {
  return new UsageError('invalid-option', field, message)
}

/** Neither text nor bytes are shown: they may be secret. */
function describe(value: unknown): string {
  if (typeof value === 'string') return 'a string'
  if (typeof value === 'object')
    return value === null ? 'null' : Array.isArray(value) ? 'a list' : 'an object'
  return typeof value === 'function' ? 'a function' : String(value as number | boolean)
}

function isPem(value: unknown): boolean {
  return (typeof value === 'string' && value !== '') || value instanceof Uint8Array
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/

/** Not by `node:net`, which would be loaded with the package. */
function isAddress(text: string): boolean {
  if (IPV4.test(text)) return true
  // Behind % stands the interface (RFC 4007).
  return text.includes(':') && URL.canParse(`http://[${text.replace(/%.+$/, '')}]`)
}

function isDelay(value: unknown): boolean {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}

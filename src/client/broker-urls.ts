/**
 * The URLs of the brokers: which schemes there are, their ports, and what a URL may say besides.
 *
 * A URL comes out with its port and path filled in and without user and password, so that it can be shown, and
 * a dialer needs no table of its own. Passwords never get into a message.
 */

import { UsageError } from '../core/errors.ts'
import { kindOf, shown } from './option-checks.ts'

export interface BrokerUrls {
  readonly urls: readonly URL[]
  /** `user:password@` of the first URL, percent-decoded. */
  readonly username: string | undefined
  readonly password: string | undefined
}

/** Scheme → its port; `undefined` where the platform knows it, or there is none. */
const SCHEMES: ReadonlyMap<string, string | undefined> = new Map([
  ['mqtt:', '1883'],
  ['tcp:', '1883'],
  ['mqtts:', '8883'],
  ['ssl:', '8883'],
  ['tls:', '8883'],
  ['ws:', undefined],
  ['wss:', undefined],
  ['unix:', undefined],
])

const EXPECTED = `expected a URL that begins with ${[...SCHEMES.keys()].join(', ').replace(/, (\w+:)$/, ' or $1')}`
const DEFAULT_PATH = '/mqtt'

/** @param websocketPath the option `websocket.path`, which goes before the path of a `ws:` or `wss:` URL */
export function resolveUrls(
  input: string | URL | readonly (string | URL)[],
  websocketPath: string | undefined,
): BrokerUrls {
  const list: readonly unknown[] = Array.isArray(input) ? input : [input]
  if (list.length === 0) throw invalidUrl('url', 'expected at least one URL, got an empty list')
  const urls = list.map((item, index) => {
    const field = Array.isArray(input) ? `url[${index}]` : 'url'
    const url = parse(field, item)
    return url.protocol === 'unix:' ? withoutHost(field, url) : withHost(field, url, websocketPath)
  })
  return Object.freeze({ urls: Object.freeze(urls), ...takeLogin(urls) })
}

function invalidUrl(field: string, message: string, cause?: unknown): UsageError {
  return new UsageError('invalid-url', field, message, cause)
}

/** A new URL: the user's own is never written to. */
function parse(field: string, input: unknown): URL {
  const text = typeof input === 'string' ? input : hrefOf(input)
  if (text === undefined) throw invalidUrl(field, `expected a string or a URL, got ${kindOf(input)}`)
  let url: URL
  try {
    url = new URL(text)
  } catch {
    // Without the cause, whose message has the text and with it the password.
    throw invalidUrl(field, `${EXPECTED}, such as mqtt://broker.example:1883, got ${withoutLogin(text)}`)
  }
  if (SCHEMES.has(url.protocol)) return url
  throw invalidUrl(field, `${EXPECTED}, got ${withoutLogin(text)}`)
}

function hrefOf(input: unknown): string | undefined {
  if (typeof input !== 'object' || input === null || !('href' in input)) return undefined
  return typeof input.href === 'string' ? input.href : undefined
}

/** `unix:/run/broker.sock`, `unix:///run/broker.sock` */
function withoutHost(field: string, url: URL): URL {
  if (url.host === '' && url.pathname.length > 1) return url
  throw invalidUrl(field, `expected unix:/path/of/the/socket, got ${withoutLogin(url.href)}`)
}

function withHost(field: string, url: URL, websocketPath: string | undefined): URL {
  if (url.hostname === '') {
    throw invalidUrl(field, `expected ${url.protocol}//host, got ${withoutLogin(url.href)}`)
  }
  if (url.port === '0') throw invalidUrl(field, 'expected a port from 1 to 65,535, got 0')
  const port = SCHEMES.get(url.protocol)
  if (port === undefined) return withPath(url, websocketPath)
  if (url.search !== '') {
    const message = `expected no query with ${url.protocol}, got one`
    throw invalidUrl(field, message)
  }
  if (url.port === '') url.port = port
  return url
}

function withPath(url: URL, path: string | undefined): URL {
  if (path !== undefined) {
    const query = path.indexOf('?')
    url.pathname = query < 0 ? path : path.slice(0, query)
    if (query >= 0) url.search = path.slice(query)
  } else if (url.pathname === '/') url.pathname = DEFAULT_PATH
  // A WebSocket URL has no fragment (RFC 6455, section 3).
  url.hash = ''
  return url
}

/** Takes user and password out of the URLs; one login serves them all. */
function takeLogin(urls: readonly URL[]): { username: string | undefined; password: string | undefined } {
  const [first] = urls
  const { username = '', password = '' } = first ?? {}
  urls.forEach((url, index) => {
    // Writing to a URL costs as much as making one.
    if (url.username + url.password === '') return
    if (url.username !== username || url.password !== password) {
      const message = 'expected the user and password of the first URL, got others (option credentials)'
      throw invalidUrl(`url[${index}]`, message)
    }
    url.username = ''
    url.password = ''
  })
  return { username: decode('user', username), password: decode('password', password) }
}

function decode(part: string, text: string): string | undefined {
  if (text === '') return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalidUrl(
      'url',
      `expected the ${part} percent-encoded as UTF-8, got one that is not; % itself is %25`,
    )
  }
}

/** The URL in quotes, with … for user and password, and for a query, which may hold a token. */
function withoutLogin(text: string): string {
  return shown(text.replace(/^([a-z+.-]+:\/\/)?.*@/is, '$1…@').replace(/\?.*/s, '?…'))
}

/**
 * The options that only dialers understand. They pass through as the user gave them; here is checked what can be
 * without knowing the platform: each dialer knows its own part.
 */

import { UsageError } from '../core/errors.ts'
import type { DialOptions } from '../transport/dial-options.ts'
import { checkFunction, checkObject, invalid, kindOf, shown } from './option-checks.ts'

const PROXIES = ['http:', 'https:', 'socks5:']

/** What was given, once the options of the transport are checked. */
export function checkDialOptions<Given extends Readonly<Record<keyof DialOptions, unknown>>>(
  given: Given,
): Given & DialOptions {
  const { tls, socket, websocket, proxy, lookup } = given
  if (tls !== undefined) checkObject('tls', tls)
  if (socket !== undefined) checkObject('socket', socket)
  if (lookup !== undefined) checkFunction('lookup', lookup)
  if (proxy !== undefined) checkProxy(proxy)
  if (websocket !== undefined) checkPath(checkObject('websocket', websocket)['path'])
  return given as Given & DialOptions
}

function checkPath(path: unknown): void {
  if (path === undefined || (typeof path === 'string' && path.startsWith('/'))) return
  throw invalid('websocket.path', 'a path that begins with /', path)
}

function checkProxy(proxy: unknown): void {
  const text = proxy instanceof URL ? proxy.href : proxy
  if (typeof text !== 'string') throw invalid('proxy', 'a string or a URL', proxy)
  let url: URL | undefined
  try {
    url = new URL(text)
  } catch {
    url = undefined
  }
  if (url !== undefined && PROXIES.includes(url.protocol) && url.hostname !== '') return
  const expected = `expected ${PROXIES.map((scheme) => `${scheme}//host`).join(' or ')}`
  // A proxy's password is as secret as a broker's.
  const got = url === undefined ? `${kindOf(text)} that is no URL` : shown(`${url.protocol}//${url.host}`)
  throw new UsageError('invalid-url', 'proxy', `${expected}, got ${got}`)
}

/**
 * URL → transport, where there are no sockets: pages and workers. A browser reaches brokers by WebSocket only; what
 * it cannot do is refused when a client is made, not at the first attempt.
 */

import { ConnectionError, UsageError } from '../core/errors.ts'
import type { DialOptions } from './dial-options.ts'
import type { Dial, DialTarget } from './transport.ts'
import { openWebSocket, prepareUrl, type Timers } from './websocket.browser.ts'

/** The browser resolves names, and remembers their addresses, itself. */
export function createDial({ runtime }: { readonly runtime: Timers }): Dial {
  const dial: Dial = async ({ url, options }, signal) => {
    try {
      const target = await prepareUrl(url, options.websocket ?? {}, signal)
      return await openWebSocket(target, runtime, signal)
    } catch (error) {
      if (!(error instanceof ConnectionError) || error.code !== 'connect-timeout') throw error
      const message = `${error.message}; ${LATE}`
      throw new ConnectionError('connect-timeout', message, { phase: 'websocket', cause: error })
    }
  }
  dial.check = checkTarget
  return dial
}

const LATE = 'host, WebSocket handshake or websocket.transform did not answer'

/** Certificates, sockets, proxies and names are the browser's own business. */
const REFUSED: readonly (keyof DialOptions)[] = ['tls', 'socket', 'proxy', 'lookup']

/** @throws UsageError */
function checkTarget({ url, options }: DialTarget): void {
  if (!/^wss?:$/.test(url.protocol)) {
    const message = `a browser reaches brokers by ws:// and wss:// only, got ${url.protocol}//`
    throw new UsageError('invalid-url', 'url', message)
  }
  for (const name of REFUSED) if (options[name] !== undefined) throw refused(name, 'it decides for itself')
  checkWebSocket(options.websocket ?? {})
}

function checkWebSocket(options: object): void {
  for (const [name, value] of Object.entries(options)) {
    const field = `websocket.${name}`
    if (value === undefined) continue
    if (name === 'headers') throw refused(field, 'a browser sends none of ours; a token can stand in the URL')
    if (name === 'validate') throw refused(field, 'a browser does not show the answer')
    if (name === 'transform' ? typeof value === 'function' : name === 'path') continue
    const expected = name === 'transform' ? 'expected a function' : 'expected one of path, transform'
    throw new UsageError('invalid-option', field, `${expected}, got ${typeof value}`)
  }
}

function refused(field: string, why: string): UsageError {
  return new UsageError('invalid-option', field, `expected it not to be set in a browser: ${why}`)
}

/** URL → transport, where there are sockets: Node, Bun and Deno. */

import { UsageError } from '../core/errors.ts'
import { cachedLookup } from './addresses.ts'
import { dialTcp } from './tcp.ts'
import type { Dial, DialTarget, Transport } from './transport.ts'

/** A dialer with its own memory of addresses. @param dnsTtl ms */
export function createDial({ dnsTtl, runtime }: { dnsTtl: number; runtime: { now(): number } }): Dial {
  const lookup = cachedLookup(dnsTtl, () => runtime.now())
  return ({ url }: DialTarget, signal): Promise<Transport> => {
    const { protocol } = url
    if (protocol !== 'mqtt:') {
      const message = `expected a URL that begins with mqtt://, got ${protocol}//`
      return Promise.reject(new UsageError('invalid-url', 'url', message))
    }
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = url.port === '' ? 1_883 : Number(url.port)
    return dialTcp({ host, port, noDelay: true, lookup }, signal)
  }
}

/**
 * Addresses of names, remembered for a while: a thousand clients that reconnect to one broker ask for its name once.
 */

import type dns from 'node:dns'
import type net from 'node:net'
import { textOf } from '../core/errors.ts'
import type { Lookup } from './dial-options.ts'

interface Entry {
  readonly addresses: Promise<readonly dns.LookupAddress[]>
  /** Infinity while the answer is awaited. */
  until: number
}

/** A look-up function for `net.connect` that merges simultaneous questions and keeps answers for `ttl` ms. */
export function cachedLookup(
  ttl: number,
  now: () => number,
  resolve: (host: string) => Promise<readonly dns.LookupAddress[]> = resolveAll,
): net.LookupFunction {
  const entries = new Map<string, Entry>()
  return (host, options, callback) => {
    const known = entries.get(host)
    const entry = known !== undefined && known.until > now() ? known : ask(host)
    entry.addresses.then(
      (addresses) => answer(addresses, options, callback),
      (error: NodeJS.ErrnoException) => callback(error, ''),
    )
  }

  function ask(host: string): Entry {
    const entry: Entry = { addresses: resolve(host), until: Infinity }
    entries.set(host, entry)
    const answered = (): void => {
      entry.until = now() + ttl
    }
    // A failure is not remembered.
    const failed = (): void => {
      if (entries.get(host) === entry) entries.delete(host)
    }
    entry.addresses.then(answered, failed)
    return entry
  }
}

/** The user's own look-up, which is asked for all addresses and not remembered. */
export function usersLookup(lookup: Lookup): net.LookupFunction {
  return (host, options, callback) => {
    const family = options.family === undefined ? 0 : familyNumber(options.family)
    let isAnswered = false
    const once = (answered: () => void): void => {
      if (!isAnswered) answered()
      isAnswered = true
    }
    const fail = (error: unknown): void =>
      once(() => callback(error instanceof Error ? error : new Error(textOf(error)), ''))
    const ask = async (): Promise<unknown> =>
      lookup(host, { all: true, family }, (error, addresses) => {
        if (error !== null && error !== undefined) fail(error)
        else once(() => answer(addressesIn(addresses), options, callback))
      })
    // One that is `async`, though it should not be, may reject.
    ask().catch(fail)
  }
}

function addressesIn(given: unknown): readonly dns.LookupAddress[] {
  return Array.isArray(given) ? given.filter((one) => typeof one === 'object' && one !== null) : []
}

async function resolveAll(host: string): Promise<readonly dns.LookupAddress[]> {
  const { lookup } = await import('node:dns/promises')
  return lookup(host, { all: true, verbatim: true })
}

function answer(
  addresses: readonly dns.LookupAddress[],
  { all, family }: dns.LookupOptions,
  callback: Parameters<net.LookupFunction>[2],
): void {
  const wanted = addresses.filter((address) => !family || address.family === familyNumber(family))
  const [first] = wanted
  if (first === undefined) callback(noAddress(addresses, family), '')
  else if (all) callback(null, wanted)
  else callback(null, first.address, first.family)
}

function noAddress(
  { length }: readonly dns.LookupAddress[],
  family: dns.LookupOptions['family'],
): NodeJS.ErrnoException {
  const text = length > 0 && family ? `no address of IPv${familyNumber(family)}` : 'no address'
  return Object.assign(new Error(`it has ${text}`), { code: 'ENOTFOUND' })
}

function familyNumber(family: number | 'IPv4' | 'IPv6'): number {
  return family === 'IPv4' ? 4 : family === 'IPv6' ? 6 : family
}

/**
 * All that `import … from 'petrel'` gives in browsers, in pages and in workers: the same names without files. Here the
 * platform is chosen: the platform's own WebSocket, and timers that are in time while nobody looks at the page.
 */

import { Client } from './client/client.ts'
import type { ClientOptions, PoolOptions } from './client/client-options.ts'
import { ClientPool as PoolOfPlatform, type Platform } from './client/pool.ts'
import { OnlineWatch } from './online.browser.ts'
import { createBrowserRuntime } from './runtime.browser.ts'
import { createDial } from './transport/dial.browser.ts'

const platform: Platform = { runtime: createBrowserRuntime(), createDial }
const online = new OnlineWatch()

/** What the clients of one page or worker share: one timer, memory, a budget of connection attempts. */
export class ClientPool extends PoolOfPlatform {
  constructor(options?: PoolOptions) {
    super(options, platform)
  }

  override createClient(url: string | URL | readonly (string | URL)[], options?: ClientOptions): Client {
    const client = super.createClient(url, options)
    online.watch(client)
    return client
  }
}

/** Made at the first use of `connect` or `createClient`. */
let defaultPool: ClientPool | undefined

/** Connects a client of the default pool. @throws UsageError, RefusedError, ConnectionError, ProtocolError */
export function connect(
  url: string | URL | readonly (string | URL)[],
  options?: ClientOptions,
): Promise<Client> {
  return (defaultPool ??= new ClientPool()).connect(url, options)
}

/** A client of the default pool that is not connected yet; it may already queue and route. @throws UsageError */
export function createClient(url: string | URL | readonly (string | URL)[], options?: ClientOptions): Client {
  return (defaultPool ??= new ClientPool()).createClient(url, options)
}

export { Client }
export { indexedDBStore } from './store/indexeddb.ts'
export type { IndexedDBStoreOptions } from './store/indexeddb.ts'
export * from './exports.ts'

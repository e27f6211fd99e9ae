/**
 * All that `import … from 'petrel'` gives on Node, Bun and Deno. Here the platform is chosen: sockets by `node:net`,
 * time by the process. Nothing else in the library asks where it runs.
 */

import { Client } from './client/client.ts'
import type { ClientOptions, PoolOptions } from './client/client-options.ts'
import { PayloadArena } from './client/payload-arena.ts'
import { ClientPool as PoolOfPlatform, type Platform } from './client/pool.ts'
import { createRuntime } from './client/runtime.ts'
import { IncomingMessage } from './core/packets/publish.ts'
import { createDial } from './transport/dial.ts'

/** Ticks go before all input and timers: a program that publishes without an end would see nothing of either. */
const MOST_TICKS = 20
let ticks = 0

/** After all microtasks: `nextTick` alone would run before those of the present callback. */
function defer(callback: () => void): void {
  ticks += 1
  if (ticks < MOST_TICKS) return queueMicrotask(() => process.nextTick(callback))
  ticks = 0
  setImmediate(callback)
}

/** For what comes little by little. As large as the pieces of Node's own pool: a payload that is kept pins no more. */
const arena = new PayloadArena(8_192)

/** What is not small, into memory that is not cleared first, which a copy of a few packets would pay for twice. */
function copy(bytes: Uint8Array): Uint8Array {
  if (arena.takes(bytes.length)) return arena.copy(bytes)
  const memory = new Uint8Array(Buffer.allocUnsafeSlow(bytes.length).buffer)
  memory.set(bytes)
  return memory
}

const runtime = createRuntime(defer, (callback) => setImmediate(callback), copy)
const platform: Platform = { runtime, createDial }

// What `console.log` shows of a message: not how it is kept.
Object.defineProperty(IncomingMessage.prototype, Symbol.for('nodejs.util.inspect.custom'), {
  value(this: IncomingMessage) {
    const { topic, payload, qos, retain, dup, packetId, properties } = this
    return { topic, payload, qos, retain, dup, packetId, properties }
  },
})

/** What the clients of one process share: one timer, addresses, memory, a budget of connection attempts. */
export class ClientPool extends PoolOfPlatform {
  constructor(options?: PoolOptions) {
    super(options, platform)
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
export { fileStore } from './store/lazy-file.ts'
export type { FileStore, FileStoreOptions } from './store/file.ts'
export * from './exports.ts'

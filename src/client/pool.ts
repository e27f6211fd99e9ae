/**
 * `ClientPool`: what the clients of one process share, as AWS's `aws_mqtt_client`, "created once per application to
 * pool common resources": one timer, addresses, memory to write into, a budget of connection attempts.
 *
 * The platform is passed in by the entry file; nothing here knows whether it runs in Node or in a browser.
 */

import { ClosedError } from '../core/errors.ts'
import type { Dial } from '../transport/transport.ts'
import { Client } from './client.ts'
import type { ClientOptions, PoolOptions } from './client-options.ts'
import { resolvePoolOptions } from './options.ts'
import { createResources, type PoolResources } from './pool-resources.ts'
import type { DisconnectOptions } from './publish-options.ts'
import type { Runtime } from './runtime.ts'
import { type StatisticsSnapshot, sum } from './statistics.ts'

/** What an entry file knows of its platform. */
export interface Platform {
  readonly runtime: Runtime
  /** A dialer with its own memory of addresses. `dnsTtl` in ms. */
  createDial(settings: { readonly dnsTtl: number; readonly runtime: Runtime }): Dial
}

export class ClientPool {
  readonly #resources: PoolResources
  readonly #clients = new Set<Client>()
  #closed = false

  constructor(options: PoolOptions | undefined, platform: Platform) {
    const { maxAttempts, attemptsPerSecond, dnsTtl, ...given } = resolvePoolOptions(options)
    const runtime = given.runtime ?? platform.runtime
    const dial = given.dial ?? platform.createDial({ dnsTtl, runtime })
    this.#resources = createResources(runtime, dial, { maxAttempts, attemptsPerSecond })
  }

  /** The clients that were made and not closed. */
  get size(): number {
    return this.#clients.size
  }

  /** Of all its clients. */
  get statistics(): StatisticsSnapshot {
    return sum([...this.#clients].map((client) => client.statistics))
  }

  /** A client that is not connected yet; it may already queue and route. @throws UsageError, ClosedError */
  createClient(url: string | URL | readonly (string | URL)[], options?: ClientOptions): Client {
    if (this.#closed) throw new ClosedError('disconnected', 'the pool was closed', false)
    const client = new Client(url, options, this.#resources)
    client.on('closed', () => void this.#clients.delete(client))
    client.on('state', ({ to }) => {
      if (to !== 'stopped') this.#clients.add(client)
    })
    this.#clients.add(client)
    return client
  }

  /** A client that is connected. @throws UsageError, RefusedError, ConnectionError, ProtocolError */
  async connect(url: string | URL | readonly (string | URL)[], options?: ClientOptions): Promise<Client> {
    const client = this.createClient(url, options)
    try {
      await client.connect()
      return client
    } catch (error) {
      client.destroy()
      throw error
    }
  }

  /**
   * Disconnects all clients. Nothing can be made from the pool afterwards.
   *
   * @throws UsageError; a client that cannot take all options, as in 3.1.1 a reason code, is disconnected with `drain` alone
   */
  async close(options?: DisconnectOptions): Promise<void> {
    this.#closed = true
    const ends = [...this.#clients].map((client) =>
      client.disconnect(options).catch(async (error: unknown) => {
        await client.disconnect({ drain: options?.drain }).catch(() => client.disconnect())
        throw error
      }),
    )
    await Promise.allSettled(ends)
    await Promise.all(ends)
  }

  /** `close({ drain: 5_000 })` */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ drain: 5_000 })
  }
}

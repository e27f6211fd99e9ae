/**
 * A client's whole world in one object: virtual time, a broker in memory, and the way to it.
 *
 *     const world = new VirtualWorld({ seed: 7, broker: { maximumQoS: 1 } })
 *     const client = await world.connect({ clientId: 'boiler-7' })
 *     world.broker.cutAll()
 *     await world.advance(2_000)
 *     expect(client.state).toBe('connected')
 *     expect(world.broker.complaints).toEqual([])
 */

import type { Client } from '../client/client.ts'
import type { ClientOptions, PoolOptions } from '../client/client-options.ts'
import { ClientPool } from '../client/pool.ts'
import { type MemoryClock, MemoryNetwork } from './broker-memory.ts'
import { Broker } from './broker/broker.ts'
import type { BrokerOptions } from './broker/options.ts'
import { Link } from './link.ts'
import { VirtualRuntime, type VirtualRuntimeOptions } from './virtual-runtime.ts'

export interface VirtualWorldOptions extends VirtualRuntimeOptions {
  readonly broker?: BrokerOptions
  readonly pool?: PoolOptions
}

export class VirtualWorld {
  readonly runtime: VirtualRuntime
  readonly broker: Broker
  readonly network: MemoryNetwork
  /** The way to the broker. */
  readonly link: Link
  /** What its clients share. */
  readonly pool: ClientPool

  constructor({ broker, pool, ...runtime }: VirtualWorldOptions = {}) {
    this.runtime = new VirtualRuntime(runtime)
    this.broker = new Broker(broker)
    this.network = new MemoryNetwork(this.broker, clockOfBroker(this.runtime))
    this.link = new Link(this.network.dial, this.runtime)
    const { dial } = this.link
    this.pool = new ClientPool(pool, { runtime: this.runtime, createDial: () => dial })
  }

  get url(): string {
    return this.network.url
  }

  get now(): number {
    return this.runtime.now()
  }

  /** A client that is not connected yet. @throws UsageError */
  createClient(options?: ClientOptions): Client {
    return this.pool.createClient(this.url, options)
  }

  /** A client that is connected. */
  connect(options?: ClientOptions): Promise<Client> {
    return this.pool.connect(this.url, options)
  }

  /** Lets time pass. */
  advance(ms: number): Promise<void> {
    return this.runtime.advance(ms)
  }

  /** Resolves when nothing more happens unless time passes. */
  settle(): Promise<void> {
    return this.runtime.settle()
  }
}

/** The client's, but for its timers, which keep no process alive: only the client's own count. */
function clockOfBroker(runtime: VirtualRuntime): MemoryClock {
  return {
    now: () => runtime.now(),
    defer: (task) => runtime.defer(task),
    setTimer: (task, delay) => {
      const timer = runtime.setTimer(task, delay)
      timer.setKeepsAlive?.(false)
      return timer
    },
  }
}

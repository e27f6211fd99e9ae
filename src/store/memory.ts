/**
 * A store in memory: lives as long as the object. For tests, and for a session that moves from one client of a
 * process to the next.
 */

import { MqttError } from '../core/errors.ts'
import type { Durability, SessionStore } from './store.ts'

class MemoryStore implements SessionStore {
  readonly durability: Durability = 'none'
  #batches: Uint8Array[] = []
  #open = false

  async open(): Promise<Iterable<Uint8Array>> {
    if (this.#open) {
      throw new MqttError('store-in-use', 'the memory store is used by another client; close that one first')
    }
    this.#open = true
    return [...this.#batches]
  }

  async append(records: Uint8Array): Promise<void> {
    this.#batches.push(records)
  }

  async replace(records: Uint8Array): Promise<void> {
    this.#batches = [records]
  }

  async close(): Promise<void> {
    this.#open = false
  }
}

/** A `SessionStore` that keeps a session as long as the object lives. */
export function memoryStore(): SessionStore {
  return new MemoryStore()
}

/**
 * `disconnect()` under way: what is waited for before DISCONNECT, rule 6.
 *
 *     drain: all that is owed ─► the network has taken what was written ─► DISCONNECT ─► the end of the stream
 *
 * Behind what the network does not take, DISCONNECT would not leave any more: the server would publish the will.
 */

import type { DisconnectPacket } from '../core/packets/types.ts'
import { createDeferred, type Deferred } from './deferred.ts'
import type { Driver } from './driver.ts'
import type { EngineClient } from './engine-client.ts'

export class Leaving {
  readonly ended: Deferred<void> = createDeferred()
  readonly #packet: DisconnectPacket
  readonly #client: Pick<EngineClient, 'isIdle'>
  /** Nothing but the network is waited for any more, and nothing is taken: what comes is for the next connection. */
  isLast = false

  constructor(packet: DisconnectPacket, client: Pick<EngineClient, 'isIdle'>) {
    this.#packet = packet
    this.#client = client
  }

  /** Whether what is waited for has come. */
  isReady(driver: Driver): boolean {
    const { output, session } = driver.connection
    const { journal } = session
    // Behind a record, a packet may wait.
    const isRecorded = journal === undefined || journal.position <= journal.storedUpTo
    if (driver.isBusy || output.pending > 0 || !isRecorded) return false
    return this.isLast || this.#client.isIdle
  }

  /** Says DISCONNECT. False: the network is waited for first, once. */
  leave(driver: Driver): boolean {
    driver.flush()
    const { isBusy } = driver
    if (isBusy && !this.isLast) {
      this.isLast = true
      driver.connection.sendNoMore()
      return false
    }
    const { reasonCode, properties } = this.#packet
    driver.connection.disconnect(reasonCode, properties, driver.now)
    driver.flush()
    if (isBusy) driver.destroy()
    return true
  }
}

/**
 * Promises for QoS 0: resolved when the packet was handed to the network.
 *
 * One promise serves all publishes of one flush. While the network takes less than is written, the promises stay
 * pending in order: awaiting them is back-pressure.
 */

import { createDeferred, type Deferred } from './deferred.ts'
import type { PublishResult } from './publish-options.ts'

interface Waiter extends Deferred<PublishResult> {
  /** Resolved when this many bytes of the connection were taken. */
  upTo: number
  /** Of the latest message; undefined when `publishFailed` is not to be raised. */
  topic: string | undefined
}

export const HANDED_OVER: PublishResult = Object.freeze({
  packetId: undefined,
  reasonCode: 0,
  properties: undefined,
})

export class HandedOver {
  #current: Waiter | undefined = undefined
  /** Those whose bytes the network has not taken yet, oldest first. */
  #sealed: Waiter[] = []

  /** The promise for what was written up to `upTo`. */
  promise(upTo: number, topic: string | undefined): Promise<PublishResult> {
    const current = (this.#current ??= createWaiter())
    current.upTo = upTo
    if (topic !== undefined) current.topic = topic
    return current.promise
  }

  handleFlushed(taken: number): void {
    if (this.#current !== undefined) {
      this.#sealed.push(this.#current)
      this.#current = undefined
    }
    while (this.#sealed.length > 0 && (this.#sealed[0] as Waiter).upTo <= taken) {
      this.#sealed.shift()?.resolve(HANDED_OVER)
    }
  }

  /** The connection is gone: what it had not taken is lost. Returns the topic of the latest message of each flush. */
  fail(error: unknown): readonly string[] {
    const waiters = this.#current === undefined ? this.#sealed : [...this.#sealed, this.#current]
    this.#sealed = []
    this.#current = undefined
    for (const waiter of waiters) {
      waiter.promise.catch(() => {})
      waiter.reject(error)
    }
    return waiters.map(({ topic }) => topic).filter((topic) => topic !== undefined)
  }
}

/** Not by a spread: every message of a flush writes to it, and what a spread has made is slow to write to. */
function createWaiter(): Waiter {
  const { promise, resolve, reject } = createDeferred<PublishResult>()
  return { promise, resolve, reject, upTo: 0, topic: undefined }
}

/** Those who wait for a message: the promise of a `publish()`, or a batch. */

import { whenAborted } from './abortable.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import type { Events } from './events.ts'
import type { PublishResult } from './publish-options.ts'

/** Who waits for a delivery. */
export interface DeliveryOwner {
  /** It is over; or nobody needs to wait any more, then `error` says why. */
  settle(delivery: Delivery, error: unknown): void
}

// One executor for all promises, which is called at once: a closure for each would be a tenth of what they cost.
let lastResolve: (result: PublishResult) => void
let lastReject: (error: unknown) => void
const executor = (resolve: typeof lastResolve, reject: typeof lastReject): void => {
  lastResolve = resolve
  lastReject = reject
}

/**
 * The promise of a `publish()`. Before it rejects it is marked as handled and `publishFailed` is raised, so that a
 * forgotten `await` cannot end the process.
 */
export class Caller implements DeliveryOwner {
  readonly promise: Promise<PublishResult>
  readonly #events: Events
  readonly #released: (() => Promise<unknown>) | undefined
  readonly #resolve: (result: PublishResult) => void
  readonly #reject: (error: unknown) => void
  #unlisten: (() => void) | undefined = undefined

  /** @param released for a payload that is lent: settles when the network has let go of its memory */
  constructor(events: Events, released?: () => Promise<unknown>) {
    this.#events = events
    this.#released = released
    this.promise = new Promise(executor)
    this.#resolve = lastResolve
    this.#reject = lastReject
  }

  listen(signal: AbortSignal, aborted: (reason: unknown) => void): void {
    this.#unlisten = whenAborted(signal, aborted)
  }

  resolve(result: PublishResult): void {
    this.#unlisten?.()
    this.#resolve(result)
  }

  /** The event has been raised, or is raised by others. */
  reject(error: unknown): void {
    this.#unlisten?.()
    this.promise.catch(() => {})
    this.#reject(error)
  }

  fail(topic: string, error: unknown): void {
    this.#events.emit('publishFailed', { topic, error })
    this.reject(error)
  }

  settle(delivery: Delivery, error: unknown): void {
    if (error !== undefined) return this.#giveBack(() => this.fail(delivery.name.text, error))
    const { packetId, reasonCode, result } = delivery
    this.resolve({ packetId: packetId || undefined, reasonCode, properties: result })
  }

  /** What was given up may still be on its way out of the caller's memory. */
  #giveBack(fail: () => void): void {
    if (this.#released === undefined) fail()
    else this.#released().then(fail, fail)
  }
}

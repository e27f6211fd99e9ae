/** Those who wait for a message: the promise of a `publish()`, or a batch. */

import type { Delivery } from '../core/session/deliveries.ts'
import type { Events } from './events.ts'
import type { PublishResult } from './publish-options.ts'

/** Who waits for a delivery. */
export interface DeliveryOwner {
  /** It is over; or nobody needs to wait any more, then `error` says why. */
  settle(delivery: Delivery, error: unknown): void
}

let lastResolve: (result: PublishResult) => void
let lastReject: (error: unknown) => void

/**
 * The promise of a `publish()`. Before it rejects it is marked as handled and `publishFailed` is raised, so that a
 * forgotten `await` cannot end the process.
 */
export class Caller implements DeliveryOwner {
  readonly promise: Promise<PublishResult>
  readonly resolve: (result: PublishResult) => void
  readonly #reject: (error: unknown) => void
  readonly #events: Events

  constructor(events: Events) {
    this.promise = new Promise(this.hold)
    this.resolve = lastResolve
    this.#reject = lastReject
    this.#events = events
  }

  /**
   * One executor for all promises, called while they are made: a closure for each would be a tenth of what they cost. A
   * method, because V8 knows then which it is, and needs no call.
   */
  hold(this: void, resolve: typeof lastResolve, reject: typeof lastReject): void {
    lastResolve = resolve
    lastReject = reject
  }

  fail(topic: string, error: unknown): void {
    this.#events.emit('publishFailed', { topic, error })
    this.promise.catch(() => {})
    this.#reject(error)
  }

  settle(delivery: Delivery, error: unknown): void {
    if (error !== undefined) return this.fail(delivery.name.text, error)
    const { packetId, reasonCode, result } = delivery
    this.resolve({ packetId: packetId || undefined, reasonCode, properties: result })
  }
}

/**
 * The owner of a payload that was lent, for its caller: what was given up may go on, and still be on its way out of that
 * memory.
 *
 * @param released settles when the network has let go of it
 */
export function lender(caller: Caller, released: () => Promise<unknown>): DeliveryOwner {
  return {
    settle: (delivery, error) => {
      const settle = (): void => caller.settle(delivery, error)
      if (error === undefined) return settle()
      delivery.own()
      released().then(settle, settle)
    },
  }
}

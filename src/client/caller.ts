/** Those who wait for a message: the promise of a `publish()`, or a batch. */

import type { Delivery } from '../core/session/deliveries.ts'
import type { Events } from './events.ts'
import type { PublishResult } from './publish-options.ts'

/** Who waits for a delivery. */
export interface DeliveryOwner {
  /** It is over, or nobody needs to wait any more. @param error why it failed; undefined: it did not */
  settle(delivery: Delivery, error: unknown): void
}

type Resolve = (result: PublishResult | Promise<never>) => void

/**
 * The promise of a `publish()`. Before it rejects it is marked as handled and `publishFailed` is raised, so that a
 * forgotten `await` cannot end the process.
 *
 * It keeps no function that rejects: what is never used, V8 does not make, and few messages fail. The executor is a
 * closure here, and not one for all, because V8 puts it into this constructor, and what it stores is new like the caller.
 */
export class Caller implements DeliveryOwner {
  readonly promise: Promise<PublishResult>
  readonly #resolve: Resolve
  readonly #events: Events

  constructor(events: Events) {
    let given!: Resolve
    this.promise = new Promise((resolve) => {
      given = resolve
    })
    this.#resolve = given
    this.#events = events
  }

  fail(topic: string, error: unknown): void {
    this.#events.emit('publishFailed', { topic, error })
    const rejected = Promise.reject(error)
    rejected.catch(() => {})
    this.promise.catch(() => {})
    this.#resolve(rejected)
  }

  settle(delivery: Delivery, error: unknown): void {
    if (error !== undefined) return this.fail(delivery.name.text, error)
    const { packetId, reasonCode, result } = delivery
    this.#resolve({ packetId: packetId || undefined, reasonCode, properties: result })
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

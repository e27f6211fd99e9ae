/**
 * One message on its way through the handlers that want it.
 *
 * It counts who is needed for the acknowledgement; the last one that is done gives it. A message for one handler that is no
 * stream, does not acknowledge by hand and returns no promise needs none, unless somebody listens to `message`.
 */

import { propertiesLength } from '../core/packets/properties.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import { isReasonCodeOf } from '../core/packets/reason-codes.ts'
import type { Driver } from './driver.ts'
import type { Handler } from './message.ts'
import { invalid } from './option-checks.ts'
import type { AckMode } from './subscribe-options.ts'

/** "Implementation specific error": a handler failed on the message, or nobody looks at it any more. */
export const NOT_HANDLED = 0x83

/** Bytes that a message takes besides what it carries. */
const HELD = 256

/**
 * What a message that waits takes, in bytes: a character may take two, and each property some sixteen times what it has
 * in the packet.
 */
export function weightOf({ name, properties, start, end }: IncomingMessage): number {
  return HELD + 2 * name.size + 16 * propertiesLength(properties) + end - start
}

/** One handler behind one filter. */
export interface Route {
  readonly filter: string
  readonly handler: Handler
  /** A stream takes the message and finishes it itself. */
  readonly take: ((handling: Handling) => void) | undefined
  readonly ack: AckMode
  readonly borrowed: boolean
  /** Handlers at once. */
  readonly concurrency: number
  /** Messages that a stream holds before reading stops. */
  readonly highWaterMark: number
  running: number
  /** Messages that wait for their turn. */
  waiting: Handling[]
  /** `Dispatcher` is calling them. */
  advancing: boolean
  /** False once it was removed: it is not called any more. */
  active: boolean
}

/** A message whose id must be recorded before a handler is called. */
export interface Unrecorded {
  readonly message: IncomingMessage
  readonly routes: readonly Route[]
  readonly driver: Driver
  readonly recordedAt: number
}

/** Who is told when it is over. */
export interface HandlingOwner {
  /** @param driver the connection that the message came by */
  acknowledge(message: IncomingMessage, driver: Driver, reasonCode: number): void
  handleFinished(handling: Handling): void
}

export class Handling {
  readonly message: IncomingMessage
  /** The connection that it came by, to which its acknowledgement belongs. */
  readonly driver: Driver
  /** The handlers that have not finished. */
  readonly routes: Set<Route> = new Set()

  readonly #owner: HandlingOwner
  #needed = 0
  #manual = false
  /** Handlers that acknowledge by hand, and were not passed over. */
  #byHand = 0
  #reasonCode = 0
  #acknowledged = false

  constructor(message: IncomingMessage, driver: Driver, owner: HandlingOwner) {
    this.message = message
    this.driver = driver
    this.#owner = owner
  }

  /** A handler will be called. */
  expect(route: Route): void {
    const { ack } = route
    this.routes.add(route)
    if (ack === 'manual') this.#byHand += 1
    if (ack === 'handled') this.#needed += 1
    else if (ack === 'manual' && !this.#manual && this.message.qos > 0) {
      this.#manual = true
      this.#needed += 1
      this.message.acknowledger = (reasonCode) => {
        if (!isReasonCodeOf('puback', reasonCode))
          throw invalid('reasonCode', 'one of PUBACK (5: 3.4.2.1)', reasonCode)
        this.#acknowledgeByHand(reasonCode)
      }
    }
  }

  /** All handlers are known: the acknowledgement may be due already. */
  begin(): void {
    this.#acknowledgeIfDue()
    if (this.routes.size === 0) this.#owner.handleFinished(this)
  }

  /**
   * A handler is done; a reason code of 0x80 and more says that it failed.
   *
   * @param wasCalled false: it never saw the message, so that nobody will acknowledge it by hand
   */
  finish(route: Route, reasonCode = 0, wasCalled = true): void {
    if (!this.routes.delete(route)) return
    if (reasonCode > this.#reasonCode) this.#reasonCode = reasonCode
    if (route.ack === 'handled') {
      this.#needed -= 1
      this.#acknowledgeIfDue()
    } else if (route.ack === 'manual') {
      if (!wasCalled) this.#byHand -= 1
      if (reasonCode >= 0x80 || this.#byHand === 0) this.#acknowledgeByHand(reasonCode)
    }
    if (this.routes.size === 0) this.#owner.handleFinished(this)
  }

  #acknowledgeByHand(reasonCode: number): void {
    if (!this.#manual) return
    this.#manual = false
    if (reasonCode > this.#reasonCode) this.#reasonCode = reasonCode
    this.#needed -= 1
    this.#acknowledgeIfDue()
  }

  #acknowledgeIfDue(): void {
    if (this.#needed > 0 || this.#acknowledged) return
    this.#acknowledged = true
    if (this.message.qos > 0) this.#owner.acknowledge(this.message, this.driver, this.#reasonCode)
    this.driver.touched()
  }
}

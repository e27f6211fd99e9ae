/**
 * The bounded queue of messages that wait without a packet id: offline, or behind the server's Receive Maximum.
 *
 * The messages themselves stand in the session's queue; here are its limits, what happens when they are reached, and who
 * waits for room in it.
 */

import { ConnectionError } from '../core/errors.ts'
import { Fifo } from '../core/fifo.ts'
import { type Delivery, sizeOf } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import type { ResolvedQueue } from './connect-options.ts'

interface Waiter {
  readonly delivery: Delivery
  readonly admit: () => void
}

export class Outbox {
  readonly #limits: ResolvedQueue
  /** Publishes that wait for room, by the policy `'wait'`. */
  readonly #waiters = new Fifo<Waiter>()

  constructor(limits: ResolvedQueue) {
    this.#limits = limits
  }

  /** Publishes that wait for room. */
  get waiting(): number {
    return this.#waiters.length
  }

  /** Whether there is no room for so many bytes, and may be later. */
  mustWait(session: Session, bytes: number): boolean {
    return bytes <= this.#limits.maxBytes && !this.#hasRoom(session, bytes)
  }

  #hasRoom(session: Session, bytes: number): boolean {
    return this.#waiters.length === 0 && this.#fits(session, bytes)
  }

  #fits({ queued }: Session, bytes: number): boolean {
    const { maxMessages, maxBytes } = this.#limits
    return queued.size < maxMessages && queued.bytes + bytes <= maxBytes
  }

  /**
   * Decides about a message: `'admitted'`, or without room for it `'waiting'` (`admit` is called later), `'dropped'` by
   * policy, or `'rejected'`. `drop` is told of those that give way to it.
   */
  offer(
    delivery: Delivery,
    session: Session,
    admit: () => void,
    drop: (delivery: Delivery) => void,
  ): 'admitted' | 'waiting' | 'dropped' | 'rejected' {
    const bytes = sizeOf(delivery)
    const isTooLarge = bytes > this.#limits.maxBytes
    if (this.#hasRoom(session, bytes)) return 'admitted'
    switch (this.#limits.overflow) {
      case 'reject':
        return 'rejected'
      case 'drop-newest':
        return 'dropped'
      case 'drop-oldest':
        if (isTooLarge) return 'dropped'
        while (!this.#hasRoom(session, bytes)) {
          const oldest = session.queued.head
          if (oldest === undefined) return 'dropped'
          drop(oldest)
        }
        return 'admitted'
      case 'wait':
        if (isTooLarge || this.#limits.maxMessages === 0) return 'rejected'
        this.#waiters.push({ delivery, admit })
        return 'waiting'
    }
  }

  /** Room was made: those that wait for it are let in, in order. */
  handleRoom(session: Session): void {
    for (let first = this.#waiters.first; first !== undefined; first = this.#waiters.first) {
      if (!this.#fits(session, sizeOf(first.delivery))) return
      this.#waiters.shift()
      first.admit()
    }
  }

  /** A publish that waits for room is given up. */
  withdraw(delivery: Delivery): boolean {
    const { length } = this.#waiters
    this.#waiters.filter((waiter) => waiter.delivery !== delivery)
    return this.#waiters.length < length
  }

  /** All that wait for room, when the client is closed. */
  drain(): Delivery[] {
    return this.#waiters.drain().map(({ delivery }) => delivery)
  }

  fullError(topic: string, dropped: boolean): ConnectionError {
    const { maxMessages, maxBytes } = this.#limits
    return new ConnectionError(
      'queue-full',
      `the message to "${topic}" was ${dropped ? 'dropped' : 'not taken'}: ${maxMessages} messages or ${maxBytes} bytes ` +
        'wait (option queue)',
      { phase: 'established' },
    )
  }
}

/**
 * A store for conversations, worked by hand: appends are made one at a time, and end when the conversation says so.
 *
 * The order *records first, then packets* (rule 32) is not taken from the machine: each packet that leaves is held
 * against the session that a new process would restore at this moment.
 */

import type { ControlPacket } from '../core/packets/types.ts'
import { Delivery } from '../core/session/deliveries.ts'
import { Journal, type Records } from '../core/session/journal.ts'
import { restoreSession } from '../core/session/restore.ts'
import type { Session } from '../core/session/session.ts'

/** Wall-clock time minus virtual time. */
const CLOCK_OFFSET = 1_000_000

export class ConversationStore {
  readonly #present: () => Session
  #batches: Uint8Array[] = []
  #open: Records | undefined = undefined

  /** @param present the session that is recorded now */
  constructor(present: () => Session) {
    this.#present = present
  }

  /** Whether an append has begun and not ended. */
  get isOpen(): boolean {
    return this.#open !== undefined
  }

  /** The session is recorded from now on. */
  adopt(session: Session): void {
    this.#open = undefined
    session.journal = new Journal(CLOCK_OFFSET, (journal) => this.#present().record(journal))
    this.pull()
  }

  /** What a new process finds. */
  restore(): Session {
    return restoreSession(this.#batches, CLOCK_OFFSET)
  }

  /** Begins the next append, unless one is open. */
  pull(): void {
    this.#open ??= this.#present().journal?.nextRecords()
  }

  /** The open append ends well. */
  store(): number {
    const { upTo, bytes, replaces } = this.#take()
    this.#batches = replaces ? [bytes] : [...this.#batches, bytes]
    this.#present().journal?.handleStored(upTo)
    return upTo
  }

  /** The open append fails: nothing of it is kept. */
  fail(): Error {
    this.#take()
    this.#present().journal?.handleStoreFailed()
    return new Error('no space left on device')
  }

  /** @throws Error when the packet says what a new process would not know of */
  check(packet: ControlPacket): void {
    const { type } = packet
    if (type === 'publish' && packet.qos > 0) {
      const held = this.restore().ids.get(packet.packetId)
      if (held instanceof Delivery && held.state === 'published') return
      throw new Error(`PUBLISH ${packet.packetId} left before its record was stored`)
    }
    if (type === 'pubrel' && this.#present().ids.get(packet.packetId) instanceof Delivery) {
      const held = this.restore().ids.get(packet.packetId)
      if (held instanceof Delivery && held.state === 'released') return
      throw new Error(`PUBREL ${packet.packetId} left before its record was stored`)
    }
    if ((type === 'pubrec' || type === 'pubcomp') && packet.reasonCode === 0) {
      const known = this.restore().received.latest(packet.packetId) !== 0
      if (known === (type === 'pubrec')) return
      throw new Error(`${type.toUpperCase()} ${packet.packetId} left before its record was stored`)
    }
  }

  #take(): Records {
    const open = this.#open
    if (open === undefined) throw new Error('there is nothing to store')
    this.#open = undefined
    return open
  }
}

/**
 * *Records first, then packets* (rule 32): PUBLISH of QoS > 0, PUBREL, PUBREC and PUBCOMP wait here until the record
 * that they depend on is stored. Without a journal nothing waits and nothing is allocated.
 */

import type { Delivery } from '../session/deliveries.ts'
import type { Journal } from '../session/journal.ts'

/** An acknowledgement that waits. */
export interface DueAcknowledgement {
  readonly type: 'pubrec' | 'pubcomp'
  readonly packetId: number
  readonly reasonCode: number
}

/** What waits for its record. */
export type DurablePacket = Delivery | DueAcknowledgement

/** Who writes it when its turn has come: the direction that it belongs to. */
interface Encoder {
  encodeStored(output: DurablePacket): void
}

interface Waiting {
  readonly position: number
  readonly output: DurablePacket
  readonly encoder: Encoder
}

export class DurableOutput {
  readonly #journal: Journal | undefined
  #waiting: Waiting[] = []

  constructor(journal: Journal | undefined) {
    this.#journal = journal
  }

  /** Without a journal nothing is recorded: what is due may be sent without asking here. */
  get isIdle(): boolean {
    return this.#journal === undefined
  }

  /** Has `output` written when everything up to `position` is stored, and everything before it was written. */
  send(output: DurablePacket, position: number, encoder: Encoder): void {
    if (this.#journal === undefined || (position <= this.#journal.storedUpTo && this.#waiting.length === 0)) {
      encoder.encodeStored(output)
    } else {
      this.#waiting.push({ position, output, encoder })
      this.#journal.isAwaited = true
    }
  }

  /** About what it takes, in bytes. */
  get pending(): number {
    return 128 * this.#waiting.length
  }

  handleStored(upTo: number): void {
    let count = 0
    while (count < this.#waiting.length && (this.#waiting[count] as Waiting).position <= upTo) count += 1
    if (count === 0) return
    for (const { output, encoder } of this.#waiting.splice(0, count)) encoder.encodeStored(output)
  }

  /** Drops deliveries that were settled meanwhile; returns whether anything is left. */
  dropSettled(): boolean {
    this.#waiting = this.#waiting.filter(
      ({ output }) => output.type !== 'delivery' || output.state !== 'settled',
    )
    return this.#waiting.length > 0
  }
}

/**
 * A run of acknowledgements, which are most of what comes to a publisher: of one type, in their shortest form, one behind
 * the other, taken in one loop and told as one event.
 *
 * Only what is in order is taken. Whatever is not, an unknown identifier for one, ends the run and goes the way of all
 * packets, which counts, answers or refuses it.
 */

import { PUBACK, PUBCOMP, PUBREC, PUBREL } from '../packets/acks.ts'
import type { Delivery } from '../session/deliveries.ts'
import type { Session } from '../session/session.ts'
import type { PacketSource } from './packet-source.ts'
import type { Publishing } from './publishing.ts'
import type { Receiving } from './receiving.ts'

/** So few that what was read of them is still at hand when their callers are told. */
const LONGEST_RUN = 64

/** The size of an acknowledgement in its shortest form. */
const SIZE = 4

export class AckRun {
  readonly #source: PacketSource
  readonly #session: Session
  readonly #publishing: Publishing
  readonly #receiving: Receiving

  constructor(source: PacketSource, session: Session, publishing: Publishing, receiving: Receiving) {
    this.#source = source
    this.#session = session
    this.#publishing = publishing
    this.#receiving = receiving
  }

  /** Takes the acknowledgements that come next: the delivery that the first has settled, the others behind it by `next`. */
  take(): Delivery | undefined {
    const { unread: bytes, position } = this.#source
    const header = bytes[position]
    if (header !== PUBACK && header !== PUBREC && header !== PUBREL && header !== PUBCOMP) {
      if (header !== undefined) this.#source.inRun = false
      return undefined
    }
    const { ids, journal } = this.#session
    const publishing = this.#publishing
    const end = Math.min(bytes.length, position + LONGEST_RUN * SIZE) - SIZE
    let first: Delivery | undefined
    let last: Delivery | undefined
    let at = position
    for (; at <= end && bytes[at] === header && bytes[at + 1] === 2; at += SIZE) {
      const packetId = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)
      if (header === PUBREL && packetId > 0) {
        this.#receiving.handlePubrel(packetId)
        continue
      }
      const delivery = ids.get(packetId)
      if (delivery?.type !== 'delivery' || !isDue(header, delivery)) break
      // With a store it may have an identifier and wait for its record.
      if (journal !== undefined && delivery.attempts === 0) break
      if (header === PUBREC) {
        publishing.release(delivery)
        continue
      }
      publishing.finish(delivery, 0, undefined)
      if (last === undefined) first = delivery
      else last.next = delivery
      last = delivery
    }
    if (at > position) this.#source.skip(at, header, (at - position) / SIZE)
    return first
  }
}

/** Whether an acknowledgement with this first byte is the next step of the delivery. */
function isDue(header: number, { qos, state }: Delivery): boolean {
  if (header === PUBACK) return qos === 1
  return header === PUBREC ? qos === 2 : state === 'released'
}

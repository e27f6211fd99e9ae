/**
 * What must outlive the process, as bytes: *records first, then packets*.
 *
 * The session writes a record before the packet that depends on it may leave; the owner pulls records with
 * `nextRecords`, stores them, and reports how far they are durable. One append is open at a time and all that
 * gathers meanwhile is the next, so group commit needs no policy. Records are opaque to the store.
 *
 *     record   1 byte type, then its fields; a batch of records is stored whole or not at all
 *     queued   key, message              a message waits
 *     bound    key, packet id            it has an id: PUBLISH may follow
 *     released key                       PUBREC came: PUBREL may follow
 *     settled  key                       it is over (may lag)
 *     received id, 1 or 0                a QoS 2 id was taken, PUBREC may follow; or given back, PUBCOMP may follow
 *     session  client id, established, writer   whose it is, that the server has accepted it, which opening wrote
 *     reserved id                        nobody may use it: the server may still know a message that was given up
 */

import { writeString, writeTwoBytes } from '../bytes/data-types.ts'
import { OutputBuffer } from '../bytes/output-buffer.ts'
import { Slabs } from '../bytes/slabs.ts'
import { utf8Length, writeUtf8 } from '../bytes/utf8.ts'
import { propertiesLength, writeProperties } from '../packets/properties.ts'
import type { Delivery } from './deliveries.ts'

export const RECORD = {
  queued: 1,
  bound: 2,
  released: 3,
  settled: 4,
  received: 5,
  session: 6,
  reserved: 7,
} as const

/** The version of the records' form; a newer one is not read. */
export const JOURNAL_VERSION = 1

export interface Records {
  /** What to report back when they are durable. */
  readonly upTo: number
  readonly bytes: Uint8Array
  /** They stand for everything: what was stored before is to be dropped in the same step. */
  readonly replaces: boolean
}

/** Rewriting begins when this much was appended, and four times what a rewrite would take. */
const COMPACT_AT = 4 * 1024 * 1024

export class Journal {
  /** The number of records written, and how many of them are durable. */
  position: number
  storedUpTo: number
  /** A packet has begun to wait for a record since the store last failed: then the store is asked again. */
  isAwaited = false

  /** Wall-clock time minus monotonic time, so that the age of a message survives the process. */
  readonly #clockOffset: number
  readonly #snapshot: (journal: Journal) => void
  #out = new OutputBuffer(new Slabs())
  #appended = 0
  #replacing = true
  /** Records were handed out, and whether they are durable is not known yet. */
  #underWay = false
  #lastSnapshot = 0

  /**
   * @param snapshot writes records for all that there is
   * @param previous of the time before the store was opened again: positions go on
   */
  constructor(clockOffset: number, snapshot: (journal: Journal) => void, previous?: Journal) {
    this.#clockOffset = clockOffset
    this.#snapshot = snapshot
    this.position = previous?.position ?? 0
    this.storedUpTo = previous?.storedUpTo ?? 0
  }

  queued(delivery: Delivery): void {
    const { name, payload, payloadSize, properties } = delivery
    const size = propertiesLength(properties)
    let at = this.#begin(RECORD.queued, 25 + name.bytes.length + size + payloadSize)
    const bytes = this.#out.bytes
    at = writeFloat(bytes, at, delivery.key)
    at = writeFloat(bytes, at, delivery.createdAt + this.#clockOffset)
    bytes[at++] = delivery.qos | (delivery.retain ? 4 : 0) | (typeof payload === 'string' ? 8 : 0)
    bytes.set(name.bytes, at)
    at = writeProperties(bytes, at + name.bytes.length, properties, size)
    at = writeTwoBytes(bytes, writeTwoBytes(bytes, at, payloadSize >>> 16), payloadSize & 0xffff)
    if (typeof payload === 'string') writeUtf8(bytes, at, payload, payloadSize)
    else bytes.set(payload, at)
    this.#end(at + payloadSize)
  }

  bound(delivery: Delivery): void {
    let at = this.#begin(RECORD.bound, 10)
    at = writeFloat(this.#out.bytes, at, delivery.key)
    this.#end(writeTwoBytes(this.#out.bytes, at, delivery.packetId))
  }

  released(delivery: Delivery): void {
    const at = this.#begin(RECORD.released, 8)
    this.#end(writeFloat(this.#out.bytes, at, delivery.key))
  }

  settled(delivery: Delivery): void {
    const at = this.#begin(RECORD.settled, 8)
    this.#end(writeFloat(this.#out.bytes, at, delivery.key))
  }

  received(packetId: number, taken: boolean): void {
    let at = this.#begin(RECORD.received, 3)
    at = writeTwoBytes(this.#out.bytes, at, packetId)
    this.#out.bytes[at] = taken ? 1 : 0
    this.#end(at + 1)
  }

  reserved(packetId: number): void {
    const at = this.#begin(RECORD.reserved, 2)
    this.#end(writeTwoBytes(this.#out.bytes, at, packetId))
  }

  session(clientId: string, established: boolean, writer: number): void {
    let at = this.#begin(RECORD.session, 11 + utf8Length(clientId))
    at = writeString(this.#out.bytes, at, clientId)
    this.#out.bytes[at] = established ? 1 : 0
    this.#end(writeFloat(this.#out.bytes, at + 1, writer))
  }

  /** The records to store now; none are handed out while the last ones are under way. */
  nextRecords(): Records | undefined {
    if (this.#underWay || (this.position === this.storedUpTo && !this.#replacing)) return undefined
    this.#underWay = true
    if (this.#appended > COMPACT_AT && this.#appended > 4 * this.#lastSnapshot) this.#replacing = true
    const replaces = this.#replacing
    if (replaces) {
      this.#out = new OutputBuffer(new Slabs())
      const position = this.position
      this.#snapshot(this)
      this.position = Math.max(position, this.storedUpTo + 1)
      this.#replacing = false
    }
    const bytes = this.#out.takeAll()
    if (replaces) this.#lastSnapshot = this.#appended = bytes.length
    else this.#appended += bytes.length
    return { upTo: this.position, bytes, replaces }
  }

  handleStored(upTo: number): void {
    this.#underWay = false
    this.storedUpTo = upTo
  }

  /** What is stored is now unknown: the next records stand for everything. */
  handleStoreFailed(): void {
    this.#underWay = false
    this.isAwaited = false // those that waited have heard of it
    this.#replacing = true
  }

  /** What is stored is another session's: the next records stand for everything. */
  replace(): void {
    this.#replacing = true
  }

  #begin(type: number, size: number): number {
    const at = this.#out.reserve(1 + size + 5)
    this.#out.bytes[at] = type
    return at + 1
  }

  #end(position: number): void {
    this.#out.position = position
    this.position += 1
  }
}

function writeFloat(bytes: Uint8Array, position: number, value: number): number {
  new DataView(bytes.buffer, bytes.byteOffset).setFloat64(position, value)
  return position + 8
}

/**
 * Recent topics of received messages: their bytes, checked and decoded once.
 *
 * Topics repeat. Finding the bytes of one that is known costs less than decoding it, gives the same string each
 * time, and an object on which the client remembers the handlers that match.
 *
 *     hash ─► slot, + 1, + 2, + 3 …     an entry stands in the first of eight slots that was free
 *
 * The table starts small and is at most half full, until it has reached its bound; then an entry gives way to a new one.
 */

import { violation } from '../errors.ts'
import { readUtf8 } from '../bytes/utf8.ts'

export class ReceivedTopic {
  readonly text: string
  readonly view: DataView
  /** Bytes: asking the view costs a call. */
  readonly size: number
  readonly hash: number
  /** Whatever the owner of the machine wants to remember of this topic; gone when the entry is. */
  route: unknown = undefined

  constructor(text: string, view: DataView, hash: number) {
    this.text = text
    this.view = view
    this.size = view.byteLength
    this.hash = hash
  }
}

const SMALLEST_TABLE = 16
/** 16,384 topics of a usual length, and what the client remembers of each, are some 6 MB. */
const LARGEST_TABLE = 16_384
const SLOTS = 8
const LONGEST_TOPIC = 256

export class ReceivedTopics {
  #table: (ReceivedTopic | undefined)[] = []
  #size = 0
  #last: ReceivedTopic = NO_TOPIC
  #bytes: Uint8Array | undefined = undefined
  #view: DataView = NO_TOPIC.view

  /** The topic of `length` bytes at `start`. @throws ProtocolError when it is ill-formed or has wildcards */
  read(bytes: Uint8Array, start: number, length: number): ReceivedTopic {
    if (length === 0) return NO_TOPIC
    if (length > LONGEST_TOPIC) return decodeTopic(bytes, start, length, 0)
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    const view = this.#view
    if (equal(this.#last, view, start, length)) return this.#last
    const table = this.#table
    const mask = table.length - 1
    const hash = hashOf(view, start, length)
    let slot = hash
    for (let step = 1; step <= SLOTS; step++) {
      const topic = table[slot & mask]
      if (topic === undefined) break
      slot += step
      if (topic.hash === hash && equal(topic, view, start, length)) return (this.#last = topic)
    }
    const topic = decodeTopic(bytes, start, length, hash)
    this.#remember(topic)
    return (this.#last = topic)
  }

  /** Lets go of the buffer that was read last, so that a connection that falls silent does not pin it. */
  release(): void {
    this.#bytes = undefined
    this.#view = NO_TOPIC.view
  }

  #remember(topic: ReceivedTopic): void {
    if (2 * this.#size >= this.#table.length && this.#table.length < LARGEST_TABLE) this.#grow()
    const table = this.#table
    const mask = table.length - 1
    let slot = topic.hash
    let step = 1
    while (step < SLOTS && table[slot & mask] !== undefined) slot += step++
    if (table[slot & mask] === undefined) this.#size += 1
    // All eight are taken: the first gives way.
    else slot = topic.hash
    table[slot & mask] = topic
  }

  #grow(): void {
    const old = this.#table
    this.#table = new Array(Math.max(SMALLEST_TABLE, 4 * old.length)).fill(undefined)
    this.#size = 0
    for (const topic of old) if (topic !== undefined) this.#remember(topic)
  }
}

/** [3.1.1 MQTT-3.3.2-2, 4.7.3-1] [5 MQTT-3.3.2-2, 4.7.3-1] */
function decodeTopic(bytes: Uint8Array, start: number, length: number, hash: number): ReceivedTopic {
  const text = readUtf8(bytes, start, start + length)
  const copy = new Uint8Array(bytes.subarray(start, start + length))
  if (copy.includes(0x23) || copy.includes(0x2b))
    throw violation(`a PUBLISH has the wildcard topic "${text}"`)
  return new ReceivedTopic(text, new DataView(copy.buffer), hash)
}

/** By words of four bytes; the last word overlaps the one before. A small integer in every engine. */
function hashOf(view: DataView, start: number, length: number): number {
  let value = length
  if (length < 4) {
    for (let index = 0; index < length; index++)
      value = Math.imul(value ^ view.getUint8(start + index), 0x9e3779b1)
  } else {
    for (let index = 0; index + 4 < length; index += 4) {
      value = Math.imul(value ^ view.getUint32(start + index, true), 0x9e3779b1)
      value ^= value >>> 15
    }
    value = Math.imul(value ^ view.getUint32(start + length - 4, true), 0x9e3779b1)
  }
  return (value ^ (value >>> 13) ^ (value >>> 21)) & 0x3fffffff
}

function equal(topic: ReceivedTopic, view: DataView, start: number, length: number): boolean {
  if (topic.size !== length) return false
  const known = topic.view
  if (length < 4) {
    for (let index = 0; index < length; index++) {
      if (known.getUint8(index) !== view.getUint8(start + index)) return false
    }
    return true
  }
  for (let index = 0; index + 4 < length; index += 4) {
    if (known.getUint32(index, true) !== view.getUint32(start + index, true)) return false
  }
  return known.getUint32(length - 4, true) === view.getUint32(start + length - 4, true)
}

const NO_TOPIC = new ReceivedTopic('', new DataView(new ArrayBuffer(0)), 0)

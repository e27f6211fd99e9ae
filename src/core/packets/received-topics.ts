/**
 * Recent topics of received messages: their bytes, checked and decoded once.
 *
 * Topics repeat. Finding the bytes of one that is known costs less than decoding it, gives the same string each
 * time, and an object on which the client remembers the handlers that match. The table is two-way associative,
 * starts small and grows to a bound; what is not in it is decoded again.
 */

import { violation } from '../errors.ts'
import { readUtf8 } from '../bytes/utf8.ts'

export class ReceivedTopic {
  readonly text: string
  readonly view: DataView
  /** Whatever the owner of the machine wants to remember of this topic; gone when the entry is. */
  route: unknown = undefined

  constructor(text: string, view: DataView) {
    this.text = text
    this.view = view
  }
}

const SMALLEST_TABLE = 16
const LARGEST_TABLE = 4_096
const LONGEST_TOPIC = 256

export class ReceivedTopics {
  #table: (ReceivedTopic | undefined)[] = []
  #misses = 0
  #last: ReceivedTopic = NO_TOPIC
  #bytes: Uint8Array | undefined = undefined
  #view: DataView = NO_TOPIC.view

  /** The topic of `length` bytes at `start`. @throws ProtocolError when it is ill-formed or has wildcards */
  read(bytes: Uint8Array, start: number, length: number): ReceivedTopic {
    if (length === 0) return NO_TOPIC
    if (length > LONGEST_TOPIC) return decodeTopic(bytes, start, length)
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    const view = this.#view
    if (equal(this.#last.view, view, start, length)) return this.#last
    const table = this.#table
    // The even slots: an entry stands there or, when another came after it, beside.
    const slot = hash(view, start, length) & (table.length - 2)
    let topic = table[slot]
    if (topic === undefined || !equal(topic.view, view, start, length)) {
      topic = table[slot ^ 1]
      if (topic === undefined || !equal(topic.view, view, start, length))
        return this.#remember(bytes, start, length)
    }
    return (this.#last = topic)
  }

  /** Lets go of the buffer that was read last, so that a connection that falls silent does not pin it. */
  release(): void {
    this.#bytes = undefined
    this.#view = NO_TOPIC.view
  }

  #remember(bytes: Uint8Array, start: number, length: number): ReceivedTopic {
    const topic = decodeTopic(bytes, start, length)
    if (this.#misses++ >= this.#table.length && this.#table.length < LARGEST_TABLE) {
      this.#table = new Array(Math.max(SMALLEST_TABLE, 4 * this.#table.length)).fill(undefined)
      this.#misses = 0
    }
    const slot = hash(topic.view, 0, length) & (this.#table.length - 2)
    this.#table[slot ^ 1] = this.#table[slot]
    this.#table[slot] = topic
    return (this.#last = topic)
  }
}

/** [3.1.1 MQTT-3.3.2-2, 4.7.3-1] [5 MQTT-3.3.2-2, 4.7.3-1] */
function decodeTopic(bytes: Uint8Array, start: number, length: number): ReceivedTopic {
  const text = readUtf8(bytes, start, start + length)
  const copy = bytes.slice(start, start + length)
  if (copy.includes(0x23) || copy.includes(0x2b))
    throw violation(`a PUBLISH has the wildcard topic "${text}"`)
  return new ReceivedTopic(text, new DataView(copy.buffer))
}

/** By words of four bytes; the last word overlaps the one before. */
function hash(view: DataView, start: number, length: number): number {
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
  return value ^ (value >>> 13) ^ (value >>> 21)
}

function equal(known: DataView, view: DataView, start: number, length: number): boolean {
  if (known.byteLength !== length) return false
  if (length < 4) {
    for (let index = 0; index < length; index++) {
      if (known.getUint8(index) !== view.getUint8(start + index)) return false
    }
    return true
  }
  for (let index = 0; index + 4 < length; index += 4) {
    if (known.getUint32(index) !== view.getUint32(start + index)) return false
  }
  return known.getUint32(length - 4) === view.getUint32(start + length - 4)
}

const NO_TOPIC = new ReceivedTopic('', new DataView(new ArrayBuffer(0)))

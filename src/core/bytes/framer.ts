/**
 * Bytes in any split go in, whole packets come out, as positions in a buffer: no object per packet.
 *
 *     lent chunk   [ …end of A | packet B | packet C | start of D… ]
 *                       │           └─ views on the chunk    │
 *     own buffer   [ start of A ]                      [ start of D ]     a copy only where a packet is split
 *
 * A chunk is *lent*: its owner fills it again once it has been pulled empty. `keep()` copies a packet that must
 * outlive that, and in the same step as much of what is behind it as a cheap piece of memory holds; the packets that
 * follow are found in the copy, where they need not be kept any more. The buffer of a split packet is made for that packet
 * alone and grows with the bytes that arrive, never with the length that a header claims.
 */

import { malformed, ProtocolError } from '../errors.ts'
import { NO_BYTES } from './data-types.ts'

export class Framer {
  /** The buffer that the present packet lies in. */
  bytes: Uint8Array = NO_BYTES
  /** The present packet's first byte, type and flags. */
  header = 0
  /** Where the present packet's body begins and ends. */
  start = 0
  end = 0
  /** True when nobody will write into `bytes` again. */
  kept = true

  readonly #maximumPacketSize: number
  readonly #shortestForm: boolean
  readonly #copy: (bytes: Uint8Array) => Uint8Array

  #chunk: Uint8Array = NO_BYTES
  #chunkKept = true
  #position = 0
  /** While the chunk is a copy of a part of a lent one: that one, and where the part begins. */
  #lent: Uint8Array | undefined = undefined
  #lentFrom = 0

  #partial: Uint8Array = NO_BYTES
  #partialLength = 0

  /**
   * @param maximumPacketSize in bytes, fixed header included; more is refused with 0x95
   * @param shortestForm whether a Remaining Length in a longer form than needed is malformed [5 MQTT-1.5.5-1]
   * @param copy copies bytes into memory that begins with them, which a platform may have in a faster way
   */
  constructor(
    maximumPacketSize: number,
    shortestForm: boolean,
    copy: (bytes: Uint8Array) => Uint8Array = copyOf,
  ) {
    this.#maximumPacketSize = maximumPacketSize
    this.#shortestForm = shortestForm
    this.#copy = copy
  }

  /** The number of bytes that wait: of a packet that has not come whole, or not been pulled. */
  get waiting(): number {
    const { length } = this.#lent ?? this.#chunk
    return this.#partialLength + length - this.#lentFrom - this.#position
  }

  /** Takes the next chunk. The one before must have been pulled empty. */
  push(chunk: Uint8Array, kept: boolean): void {
    this.#leaveCopy()
    if (this.#position < this.#chunk.length) {
      const rest = this.#chunk.length - this.#position
      const joined = new Uint8Array(rest + chunk.length)
      joined.set(this.#chunk.subarray(this.#position))
      joined.set(chunk, rest)
      this.#chunk = joined
      this.#chunkKept = true
    } else {
      this.#chunk = plain(chunk)
      this.#chunkKept = kept
    }
    this.#position = 0
  }

  /** Moves on to the next whole packet; false when more bytes are needed. */
  next(): boolean {
    if (this.#partialLength > 0) return this.#nextOfPartial()
    const chunk = this.#chunk
    const from = this.#position
    const available = chunk.length - from
    if (available < 2) return this.#wait(0)
    // Inlined for the single-byte lengths that most packets have.
    let length = chunk[from + 1] as number
    let headerSize = 2
    if (length >= 0x80) {
      const decoded = this.#remainingLength(chunk, from, chunk.length)
      if (decoded < 0) return this.#wait(0)
      headerSize = sizeOfHeader(decoded, chunk, from)
      length = decoded
    }
    const size = headerSize + length
    if (size > this.#maximumPacketSize) throw this.#tooLarge(size)
    if (available < size) return this.#wait(size)
    // Asked first: the collector notes each store of a new object into an old one.
    if (this.bytes !== chunk) this.bytes = chunk
    this.kept = this.#chunkKept
    this.header = chunk[from] as number
    this.start = from + headerSize
    this.end = from + size
    this.#position = this.end
    return true
  }

  /** The chunk, of which `position` and what is behind has not been read. Nothing when `next` has more to look at. */
  get unread(): Uint8Array {
    return this.#partialLength > 0 || this.#maximumPacketSize < SHORT_ACK ? NO_BYTES : this.#chunk
  }

  get position(): number {
    return this.#position
  }

  /** Whole packets up to this position of the chunk were read elsewhere. */
  skip(position: number): void {
    this.#position = position
  }

  /** Makes the present packet ours. Returns by how much nearer it is to the front of its memory. */
  keep(): number {
    if (this.kept) return 0
    const { bytes, start, end } = this
    const moved = bytes.byteOffset + start
    // What is behind the packet may lie elsewhere, since `keepRest` or `push`.
    if (bytes === this.#chunk) this.#goOnInCopy(start)
    else this.bytes = this.#copy(bytes.subarray(start, end))
    this.kept = true
    this.start = 0
    this.end = end - start
    return moved - this.bytes.byteOffset
  }

  /** Copies the lent chunk from here on: as many packets of the present one's size as is cheap, and at least that one. */
  #goOnInCopy(from: number): void {
    const chunk = this.#chunk
    const size = this.end - from + LONGEST_HEADER
    const to = Math.max(this.end, from + size * Math.floor(COPIED_AT_ONCE / size))
    this.bytes = this.#chunk = this.#copy(chunk.subarray(from, to))
    this.#position -= from
    this.#chunkKept = true
    if (to >= chunk.length) return
    this.#lent = chunk
    this.#lentFrom = from
  }

  /** Goes back to the lent chunk, if what is read is a copy of a part of it. */
  #leaveCopy(): boolean {
    if (this.#lent === undefined) return false
    this.#chunk = this.#lent
    this.#chunkKept = false
    this.#position += this.#lentFrom
    this.#lent = undefined
    this.#lentFrom = 0
    return true
  }

  /** Makes what has not been pulled ours: for a stop in the middle of a chunk. */
  keepRest(): void {
    this.#leaveCopy()
    if (this.#chunkKept) return
    const rest = this.#chunk.subarray(this.#position)
    this.#chunk = rest.length === 0 ? NO_BYTES : this.#copy(rest)
    this.#position = 0
    this.#chunkKept = true
  }

  /** The chunk is empty or holds the start of a packet of `size` bytes, 0 when not known yet: put it by. */
  #wait(size: number): boolean {
    if (this.#leaveCopy()) return this.next()
    const rest = this.#chunk.length - this.#position
    if (rest > 0) {
      this.#partial = new Uint8Array(Math.max(64, Math.min(size || 64, 2 * rest)))
      this.#partial.set(this.#chunk.subarray(this.#position))
      this.#partialLength = rest
    }
    this.#chunk = NO_BYTES
    this.#chunkKept = true
    this.#position = 0
    return false
  }

  /** Completes the split packet from the chunk, byte by byte until its length is known. */
  #nextOfPartial(): boolean {
    for (;;) {
      const length = this.#remainingLength(this.#partial, 0, this.#partialLength)
      if (length >= 0) {
        const size = sizeOfHeader(length, this.#partial, 0) + length
        if (size > this.#maximumPacketSize) throw this.#tooLarge(size)
        this.#fill(size)
        if (this.#partialLength < size) return this.#exhausted()
        return this.#presentPartial(size - length, size)
      }
      const before = this.#partialLength
      this.#fill(before + 1)
      if (this.#partialLength === before) return this.#exhausted()
    }
  }

  #presentPartial(start: number, size: number): true {
    this.bytes = this.#partial
    this.kept = true
    this.header = this.#partial[0] as number
    this.start = start
    this.end = size
    this.#partial = NO_BYTES
    this.#partialLength = 0
    return true
  }

  /** Moves bytes of the chunk behind the partial packet until it holds `size`. */
  #fill(size: number): void {
    const have = this.#partialLength
    const take = Math.min(size - have, this.#chunk.length - this.#position)
    if (take <= 0) return
    if (have + take > this.#partial.length) {
      const grown = new Uint8Array(
        Math.min(Math.max(size, 64), Math.max(2 * this.#partial.length, have + take)),
      )
      grown.set(this.#partial.subarray(0, have))
      this.#partial = grown
    }
    this.#partial.set(this.#chunk.subarray(this.#position, this.#position + take), have)
    this.#partialLength = have + take
    this.#position += take
  }

  #exhausted(): false {
    this.#chunk = NO_BYTES
    this.#chunkKept = true
    this.#position = 0
    return false
  }

  /** The Remaining Length of the packet at `from`, 2.2.3 (5: 2.1.4), or -1 when it has not come whole. */
  #remainingLength(bytes: Uint8Array, from: number, end: number): number {
    let value = 0
    for (let index = 1; index <= 4; index++) {
      if (from + index >= end) return -1
      const byte = bytes[from + index] as number
      value |= (byte & 0x7f) << (7 * (index - 1))
      if (byte < 0x80) {
        if (byte === 0 && index > 1 && this.#shortestForm) {
          throw malformed('the Remaining Length is not in its shortest form')
        }
        return value
      }
    }
    throw malformed('the Remaining Length is longer than four bytes')
  }

  #tooLarge(size: number): ProtocolError {
    return new ProtocolError(
      'packet-too-large',
      0x95,
      `a packet of ${size} bytes came, at most ${this.#maximumPacketSize} are accepted (option maximumPacketSize)`,
    )
  }
}

function copyOf(bytes: Uint8Array): Uint8Array {
  return bytes.slice()
}

/** The same memory as a Uint8Array proper: `slice` of a subclass, as Node's Buffer, may be a view and no copy. */
function plain(chunk: Uint8Array): Uint8Array {
  if (chunk.constructor === Uint8Array) return chunk
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength)
}

/** The size of a fixed header whose Remaining Length is `length`, counted from its continuation bits. */
function sizeOfHeader(length: number, bytes: Uint8Array, from: number): number {
  if (length < 0x80 && (bytes[from + 1] as number) < 0x80) return 2
  if ((bytes[from + 2] as number) < 0x80) return 3
  return (bytes[from + 3] as number) < 0x80 ? 4 : 5
}

/** The size of the packets that may be read without `next`. */
const SHORT_ACK = 4

/** The size of a fixed header whose Remaining Length has four bytes. */
const LONGEST_HEADER = 5

/** Larger pieces of memory come from the system, which takes many times as long as copying into them. */
const COPIED_AT_ONCE = 65_536

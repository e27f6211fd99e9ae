/**
 * The only place where bytes are written.
 *
 *     slab    [ handed out | handed out | written, not taken yet | free … ]
 *                                       ^ #start                 ^ position
 *
 * Packets are encoded into a slab; `take()` carves off what was written and lends it to the network, until
 * `handleWritten` tells that it was let go. A slab is not written again while anybody holds it, so nobody can see bytes
 * change under a pending write, and a delivery needs no copy of its payload but the one that was written. When all is
 * taken, the rest of the slab goes back to the `Slabs`, which many connections share: an idle connection owns no memory.
 */

import { Fifo } from '../fifo.ts'
import { LARGEST_SLAB, NO_SLAB, type Slab, type Slabs } from './slabs.ts'

interface Chunk {
  readonly bytes: Uint8Array
  /** The slab that it lies in, which is held. */
  readonly slab: Slab | undefined
  /** How many bytes at its beginning belong to a packet that begins in a chunk before. */
  readonly continues: number
}

/** What the network holds of a slab, until it has let go of this many bytes since the beginning. */
interface Lent {
  readonly slab: Slab
  readonly upTo: number
}

/** Numbers of bytes. */
export interface OutputCounts {
  /** Written and not taken yet. */
  readonly pending: number
  /** Of these, the ones in chunks to which nothing can be added. */
  readonly full: number
  /** Since the beginning. */
  readonly encoded: number
  readonly taken: number
  /** Up to here there is memory among it that is its owner's. */
  readonly lentUpTo: number
}

export class OutputBuffer implements OutputCounts {
  /** The slab, its bytes, and the position at which the next packet is written, after `reserve`. */
  slab: Slab = NO_SLAB
  bytes: Uint8Array = NO_SLAB.bytes
  position = 0
  lentUpTo = 0

  readonly #slabs: Slabs
  #start = 0
  /** As of a chunk: what was written and is none yet. */
  #continues = 0
  #chunks: Chunk[] = []
  /** Chunks that the network has not let go. */
  #lent: Fifo<Lent> | undefined = undefined
  #chunkBytes = 0
  #taken = 0
  #burst = 0

  constructor(slabs: Slabs) {
    this.#slabs = slabs
  }

  get pending(): number {
    return this.#chunkBytes + this.position - this.#start
  }

  get full(): number {
    return this.#chunkBytes
  }

  get encoded(): number {
    return this.#taken + this.#chunkBytes + this.position - this.#start
  }

  get taken(): number {
    return this.#taken
  }

  /** Makes room for `size` bytes at `position`, which is returned; they must then be written without a gap. */
  reserve(size: number): number {
    if (this.#room() < size) this.#renew(size)
    return this.position
  }

  /** Whether slabs are as large as they get: a packet that has no need to be in one piece may be divided by `fill`. */
  get divides(): boolean {
    return this.bytes.length === LARGEST_SLAB
  }

  /** Writes the end of a packet behind what was written of it, into several slabs if need be: each is filled. */
  fill(bytes: Uint8Array): void {
    const { buffer, byteOffset, length } = bytes
    let done = 0
    for (let room = this.#room(); length - done > room; room = this.#room()) {
      this.bytes.set(new Uint8Array(buffer, byteOffset + done, room), this.position)
      this.position += room
      done += room
      this.#renew(Math.min(length - done, LARGEST_SLAB))
      this.#continues = length - done
    }
    this.bytes.set(
      done === 0 ? bytes : new Uint8Array(buffer, byteOffset + done, length - done),
      this.position,
    )
    this.position += length - done
  }

  #room(): number {
    return this.bytes.length - this.position
  }

  /**
   * Appends bytes that are not copied, the end of the packet that was written last: a large payload that was
   * lent until its promise settles.
   */
  append(bytes: Uint8Array): void {
    this.#seal()
    this.#chunks.push({ bytes, slab: undefined, continues: bytes.length })
    this.#chunkBytes += bytes.length
    this.lentUpTo = this.encoded
  }

  /**
   * Puts a small packet in front of all that has not been taken: PINGREQ before megabytes of payload. Only the
   * end of a packet whose beginning was taken stays before it.
   */
  putFirst(bytes: Uint8Array): void {
    this.#seal()
    this.#chunks.splice(this.#firstBoundary(), 0, { bytes, slab: undefined, continues: 0 })
    this.#chunkBytes += bytes.length
  }

  /** The index of the first chunk that begins with a packet, made by dividing one if there is none before. */
  #firstBoundary(): number {
    const chunks = this.#chunks
    const at = chunks.findIndex(({ bytes, continues }) => continues < bytes.length)
    const chunk = chunks[at]
    if (chunk === undefined) return chunks.length
    const { bytes, slab, continues } = chunk
    if (continues === 0) return at
    slab?.hold()
    const [end, rest] = [bytes.subarray(0, continues), bytes.subarray(continues)]
    chunks.splice(at, 1, { bytes: end, slab, continues }, { bytes: rest, slab, continues: 0 })
    return at + 1
  }

  /**
   * The next chunk to send; it is the network's until `handleWritten`. What is large leaves in parts: a network tells of
   * a chunk when it has taken the whole, and on a slow one that is the only sign of life for minutes (rule 10).
   */
  take(): Uint8Array | undefined {
    if (
      this.position > this.#start &&
      (this.#chunks.length === 0 || this.position - this.#start > LARGEST_WHOLE)
    )
      this.#seal()
    const chunk = this.takeFull()
    if (chunk === undefined) this.#release()
    return chunk
  }

  /** The next chunk to which nothing can be added. */
  takeFull(): Uint8Array | undefined {
    const chunk = this.#chunks[0]
    if (chunk === undefined) return undefined
    const { bytes, slab } = chunk
    const isLarge = bytes.length > LARGEST_WHOLE
    const part = isLarge ? bytes.subarray(0, LARGEST_SLAB) : bytes
    if (isLarge) {
      const rest = bytes.subarray(LARGEST_SLAB)
      this.#chunks[0] = { bytes: rest, slab, continues: rest.length }
    } else this.#chunks.shift()
    this.#chunkBytes -= part.length
    this.#taken += part.length
    this.#burst += part.length
    if (slab !== undefined && !isLarge) this.#lend(slab)
    return part
  }

  /** A network that tells nothing, or has much waiting, is not followed: the garbage collector does it. */
  #lend(slab: Slab): void {
    const lent = (this.#lent ??= new Fifo())
    if (lent.length === MOST_LENT) lent.shift()
    lent.push({ slab, upTo: this.#taken })
  }

  /** All of it in one piece, which is the caller's for good. */
  takeAll(): Uint8Array {
    const chunks: Uint8Array[] = []
    for (let chunk = this.take(); chunk !== undefined; chunk = this.take()) chunks.push(chunk)
    // Nobody will let go of them.
    this.#lent?.clear()
    const [first = NO_SLAB.bytes] = chunks
    if (chunks.length <= 1) return first
    const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0))
    let at = 0
    for (const chunk of chunks) {
      whole.set(chunk, at)
      at += chunk.length
    }
    return whole
  }

  /** The network has let go of this many bytes since the beginning. */
  handleWritten(total: number): void {
    const lent = this.#lent
    if (lent === undefined) return
    for (let first = lent.first; first !== undefined && first.upTo <= total; first = lent.first) {
      lent.shift()
      first.slab.release()
    }
  }

  #seal(): void {
    if (this.position === this.#start) return
    const { slab } = this
    const bytes = this.bytes.subarray(this.#start, this.position)
    slab.hold()
    this.#chunks.push({ bytes, slab, continues: Math.min(this.#continues, bytes.length) })
    this.#continues = 0
    this.#chunkBytes += bytes.length
    this.#start = this.position
  }

  #renew(size: number): void {
    this.#seal()
    if (this.bytes.length > 0) this.#slabs.grow()
    this.slab.release()
    const { slab, offset } = this.#slabs.borrow(size)
    this.slab = slab
    this.bytes = slab.bytes
    this.position = this.#start = offset
  }

  #release(): void {
    if (this.bytes.length === 0) return
    this.#slabs.giveBack(this.slab, this.position, this.#burst)
    this.slab = NO_SLAB
    this.bytes = NO_SLAB.bytes
    this.position = this.#start = 0
    this.#burst = 0
  }
}

/** Chunks of which the network has yet to let go: more than all slabs that would be kept. */
const MOST_LENT = 64
/** Bytes that leave in one chunk at most; what is larger leaves in parts of the largest slab's size. */
const LARGEST_WHOLE = 131_072

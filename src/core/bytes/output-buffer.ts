/**
 * The only place where bytes are written.
 *
 *     slab    [ handed out | handed out | written, not taken yet | free … ]
 *                                       ^ #start                 ^ position
 *
 * Packets are encoded into a slab; `take()` carves off what was written and hands it out for good. A slab is never
 * rewritten, so nobody can see bytes change under a pending write, and a delivery needs no copy of its payload but the
 * one that was written. When all is taken, the rest of the slab goes back to the `Slabs`, which many connections share:
 * an idle connection owns no memory.
 */

/** Slabs for all connections of a process: small ones first, larger ones while much is written. */
export class Slabs {
  #slab: Uint8Array = EMPTY
  #used = 0
  #size = SMALLEST_SLAB

  /** A slab with at least `size` free bytes behind `offset`. */
  borrow(size: number): { slab: Uint8Array; offset: number } {
    const slab = this.#slab
    const offset = this.#used
    this.#slab = EMPTY
    this.#used = 0
    if (slab.length - offset >= size) return { slab, offset }
    return { slab: new Uint8Array(Math.max(this.#size, size)), offset: 0 }
  }

  /** Returns what was not used; `burst` is the number of bytes of this turn, by which the next slab is sized. */
  giveBack(slab: Uint8Array, used: number, burst: number): void {
    this.#size = Math.min(LARGEST_SLAB, Math.max(SMALLEST_SLAB, powerOfTwo(2 * burst)))
    if (slab.length - used > this.#slab.length - this.#used) {
      this.#slab = slab
      this.#used = used
    }
  }

  /** A slab was filled within one turn: the next is larger. */
  grow(): void {
    this.#size = Math.min(LARGEST_SLAB, 2 * this.#size)
  }
}

interface Chunk {
  readonly bytes: Uint8Array
  /** Whether it is the end of a packet that begins in the chunk before. */
  readonly endsPacket: boolean
}

/** Numbers of bytes. */
export interface OutputCounts {
  /** Written and not taken yet. */
  readonly pending: number
  /** Of these, the ones in chunks to which nothing can be added. */
  readonly full: number
  /** Since the beginning. */
  readonly written: number
  readonly taken: number
}

export class OutputBuffer implements OutputCounts {
  /** The slab and the position at which the next packet is written, after `reserve`. */
  bytes: Uint8Array = EMPTY
  position = 0

  readonly #slabs: Slabs
  #start = 0
  #chunks: Chunk[] = []
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

  get written(): number {
    return this.#taken + this.#chunkBytes + this.position - this.#start
  }

  get taken(): number {
    return this.#taken
  }

  /** Makes room for `size` bytes at `position`, which is returned; they must then be written without a gap. */
  reserve(size: number): number {
    if (this.bytes.length - this.position < size) this.#renew(size)
    return this.position
  }

  /**
   * Appends bytes that are not copied, the end of the packet that was written last: a large payload that was
   * lent until its promise settles.
   */
  append(bytes: Uint8Array): void {
    this.#seal()
    this.#chunks.push({ bytes, endsPacket: true })
    this.#chunkBytes += bytes.length
  }

  /**
   * Puts a small packet in front of all that has not been taken: PINGREQ before megabytes of payload. Only the
   * end of a packet whose beginning was taken stays before it.
   */
  putFirst(bytes: Uint8Array): void {
    this.#seal()
    const at = this.#chunks[0]?.endsPacket ? 1 : 0
    this.#chunks.splice(at, 0, { bytes, endsPacket: false })
    this.#chunkBytes += bytes.length
  }

  /**
   * The next chunk to send; it belongs to the caller for good. What is large leaves in parts: a network tells of a
   * chunk when it has taken the whole, and on a slow one that is the only sign of life for minutes (rule 10).
   */
  take(): Uint8Array | undefined {
    if (this.position - this.#start > LARGEST_WHOLE) this.#seal()
    const chunk = this.#chunks.length > 0 ? this.#takeSealed() : this.#carve()
    if (chunk === undefined) this.#release()
    return this.#count(chunk)
  }

  /** The next chunk to which nothing can be added. */
  takeFull(): Uint8Array | undefined {
    return this.#count(this.#chunks.length > 0 ? this.#takeSealed() : undefined)
  }

  #count(chunk: Uint8Array | undefined): Uint8Array | undefined {
    if (chunk === undefined) return undefined
    this.#taken += chunk.length
    this.#burst += chunk.length
    return chunk
  }

  #takeSealed(): Uint8Array {
    const { bytes } = this.#chunks[0] as Chunk
    const isLarge = bytes.length > LARGEST_WHOLE
    const part = isLarge ? bytes.subarray(0, LARGEST_SLAB) : bytes
    if (isLarge) this.#chunks[0] = { bytes: bytes.subarray(LARGEST_SLAB), endsPacket: true }
    else this.#chunks.shift()
    this.#chunkBytes -= part.length
    return part
  }

  #carve(): Uint8Array | undefined {
    if (this.position === this.#start) return undefined
    const chunk = this.bytes.subarray(this.#start, this.position)
    this.#start = this.position
    return chunk
  }

  #seal(): void {
    const chunk = this.#carve()
    if (chunk === undefined) return
    this.#chunks.push({ bytes: chunk, endsPacket: false })
    this.#chunkBytes += chunk.length
  }

  #renew(size: number): void {
    this.#seal()
    if (this.bytes.length > 0) this.#slabs.grow()
    const { slab, offset } = this.#slabs.borrow(size)
    this.bytes = slab
    this.position = this.#start = offset
  }

  #release(): void {
    if (this.bytes.length === 0) return
    this.#slabs.giveBack(this.bytes, this.position, this.#burst)
    this.bytes = EMPTY
    this.position = this.#start = 0
    this.#burst = 0
  }
}

const SMALLEST_SLAB = 4_096
/**
 * Larger pieces of memory come from the system, which takes many times as long as writing into them. And the local
 * network carries 65,483 bytes at once: a byte more costs as much as all of them.
 */
const LARGEST_SLAB = 65_472
/** Bytes that leave in one chunk at most; what is larger leaves in parts of the largest slab's size. */
const LARGEST_WHOLE = 131_072
const EMPTY = new Uint8Array(0)

function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)))
}

/**
 * The memory that output is written into, shared by all connections of a pool.
 *
 * A slab is written from its beginning to its end, and not again before everybody has let go of it: who writes, the
 * network, and each delivery whose only copy of the payload it has. New memory is dear, its first touch more than
 * writing into it; so slabs that are free again are kept, few, of the size that is needed at present.
 */

import { NO_BYTES } from './data-types.ts'

export class Slab {
  readonly bytes: Uint8Array
  readonly #slabs: Slabs | undefined
  #holders = 1

  /** It is its maker's to write into, until `release`. */
  constructor(bytes: Uint8Array, slabs?: Slabs) {
    this.bytes = bytes
    this.#slabs = slabs
  }

  /** What was written must stay. */
  hold(): void {
    this.#holders += 1
  }

  release(): void {
    this.#holders -= 1
    if (this.#holders === 0) this.#slabs?.handleFree(this.bytes)
  }
}

export class Slabs {
  /** What connections have left of a slab; it is held. */
  #slab = NO_SLAB
  #used = 0
  #size = SMALLEST_SLAB
  /** Memory that nobody holds, of the present size. */
  #free: Uint8Array[] = []
  /** Turns in a row for which smaller slabs would do. */
  #smaller = 0

  /** A slab with at least `size` free bytes behind `offset`; the caller holds it. */
  borrow(size: number): { slab: Slab; offset: number } {
    const slab = this.#slab
    const offset = this.#used
    this.#slab = NO_SLAB
    this.#used = 0
    if (slab.bytes.length - offset >= size) return { slab, offset }
    slab.release()
    const free = size <= this.#size ? this.#free.pop() : undefined
    return { slab: new Slab(free ?? new Uint8Array(Math.max(this.#size, size)), this), offset: 0 }
  }

  /** Returns what was not used; `burst` is the number of bytes of this turn, by which the next slab is sized. */
  giveBack(slab: Slab, used: number, burst: number): void {
    this.#fit(Math.max(SMALLEST_SLAB, powerOfTwo(2 * burst)))
    let rest = slab
    if (slab.bytes.length - used > this.#slab.bytes.length - this.#used) {
      rest = this.#slab
      this.#slab = slab
      this.#used = used
    }
    rest.release()
  }

  /** A slab was filled within one turn: the next is larger. */
  grow(): void {
    this.#resize(2 * this.#size)
  }

  /** Nobody holds this memory any more. */
  handleFree(bytes: Uint8Array): void {
    if (bytes.length === this.#size && this.#free.length < MOST_FREE) this.#free.push(bytes)
  }

  /** Larger at once, smaller when less has been enough for a while: few acknowledgements follow many messages. */
  #fit(wanted: number): void {
    this.#smaller = wanted < this.#size ? this.#smaller + 1 : 0
    if (this.#smaller === 0 || this.#smaller >= TURNS) this.#resize(wanted)
  }

  #resize(wanted: number): void {
    this.#smaller = 0
    const size = Math.min(LARGEST_SLAB, wanted)
    if (size === this.#size) return
    this.#size = size
    this.#free.length = 0
  }
}

const SMALLEST_SLAB = 4_096
/**
 * Larger pieces of memory come from the system, which takes many times as long as writing into them. And the local
 * network carries 65,483 bytes at once: a byte more costs as much as all of them.
 */
export const LARGEST_SLAB = 65_472
/** Slabs that are kept for the next burst, 2 MiB at most. */
const MOST_FREE = 32
/** As many smaller ones make slabs small again. */
const TURNS = 32
/** Has room for nothing. */
export const NO_SLAB: Slab = new Slab(NO_BYTES)

function powerOfTwo(value: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, value)))
}

/**
 * Copies of small payloads and chunks, many in one piece of memory: an array of its own for 64 bytes costs twenty times the
 * copying. A piece lives as long as one of its payloads; it is small, so that one that waits long pins little.
 */

import { NO_BYTES } from '../core/bytes/data-types.ts'

export class PayloadArena {
  readonly #size: number
  #piece = NO_BYTES
  #used = 0

  /** @param size of a piece, in bytes; what has more than an eighth of it gets memory of its own */
  constructor(size: number) {
    this.#size = size
  }

  /** Whether a copy of so many bytes is one of many. */
  takes(length: number): boolean {
    return length <= this.#size / 8
  }

  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes
    // Not by `slice`: that of a Buffer is a view.
    if (!this.takes(length)) return new Uint8Array(bytes)
    if (this.#piece.length - this.#used < length) {
      this.#piece = new Uint8Array(this.#size)
      this.#used = 0
    }
    const start = this.#used
    this.#used = start + length
    this.#piece.set(bytes, start)
    return this.#piece.subarray(start, start + length)
  }
}

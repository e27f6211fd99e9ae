/**
 * Copies of small payloads, many in one piece of memory: an array of its own for 64 bytes costs twenty times the
 * copying. A piece lives as long as one of its payloads; it is small, so that one that waits long pins little.
 */

import { NO_BYTES } from '../core/bytes/data-types.ts'

const PIECE = 16_384
const LARGEST = 2_048

export class PayloadArena {
  #piece = NO_BYTES
  #used = 0

  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes
    // Not by `slice`: that of a Buffer is a view.
    if (length > LARGEST) return new Uint8Array(bytes)
    if (this.#piece.length - this.#used < length) {
      this.#piece = new Uint8Array(PIECE)
      this.#used = 0
    }
    const start = this.#used
    this.#used = start + length
    this.#piece.set(bytes, start)
    return this.#piece.subarray(start, start + length)
  }
}

/**
 * What a connection of the broker is going to write, and when.
 *
 *     in order   [ bytes | bytes, not before 500 | bytes | end ]     an entry holds back all behind it
 *     aside      [ bytes, due at 300 ] [ bytes, due at 100 ]         joins the order when due: may be overtaken
 */

import { concatenate } from './server-codec.ts'

/** How the stream ends: behind all bytes (`end`, a FIN), or abruptly (`cut`). */
export type Ending = 'end' | 'cut'

interface Entry {
  readonly bytes: Uint8Array | Ending
  readonly at: number
  /** Not joined with its neighbours. */
  readonly alone: boolean
}

export class OutputStream {
  #entries: Entry[] = []
  #aside: Entry[] = []

  get isEmpty(): boolean {
    return this.#entries.length === 0 && this.#aside.length === 0
  }

  add(bytes: Uint8Array | Ending, at = 0, alone = false): void {
    this.#entries.push({ bytes, at, alone })
  }

  addAside(bytes: Uint8Array, at: number): void {
    this.#aside.push({ bytes, at, alone: false })
    this.#aside.sort((one, other) => one.at - other.at)
  }

  /** Drops all that waits. */
  clear(): void {
    this.#entries = []
    this.#aside = []
  }

  next(now: number): Uint8Array | Ending | undefined {
    while (this.#aside[0] !== undefined && this.#aside[0].at <= now) {
      this.#entries.push(this.#aside.shift() as Entry)
    }
    const chunks: Uint8Array[] = []
    for (;;) {
      const entry = this.#entries[0]
      if (entry === undefined || entry.at > now) break
      const { bytes, alone } = entry
      if (chunks.length > 0 && (alone || typeof bytes === 'string')) break
      this.#entries.shift()
      if (typeof bytes === 'string') return bytes
      chunks.push(bytes)
      if (alone) break
    }
    return chunks.length > 0 ? concatenate(chunks) : undefined
  }

  get nextDeadline(): number {
    return Math.min(this.#entries[0]?.at ?? Infinity, this.#aside[0]?.at ?? Infinity)
  }
}

/**
 * A file of the simulated disk: what it holds for those who look, what of that is durable, and the changes that lie
 * between. See disk.ts for what is done to them.
 */

export type ContentChange = { readonly at: number; readonly bytes: Uint8Array } | { readonly length: number }

/** What a file holds for those who look, what of that is durable, and what lies between. */
export class Inode {
  readonly live: Content = new Content()
  #durable = new Content()
  #changes: ContentChange[] = []

  change(change: ContentChange): void {
    this.live.apply(change)
    this.#changes.push(change)
  }

  sync(): void {
    for (const change of this.#changes) this.#durable.apply(change)
    this.#changes = []
  }

  /** Some writes get through, some wait, and some count as written and are not. */
  failSync(random: () => number): void {
    const waiting: ContentChange[] = []
    for (const change of this.#changes) {
      const fate = random()
      if (fate < 0.3) this.#durable.apply(change)
      else if ('length' in change || fate < 0.6) waiting.push(change)
    }
    this.#changes = waiting
  }

  losePower(random: () => number): void {
    for (const change of this.#changes) {
      const fate = random()
      if (fate < 0.3) this.#durable.apply(change)
      else if (fate < 0.7 && 'bytes' in change) this.#durable.apply(pieceOf(change.at, change.bytes, random))
    }
    this.#changes = []
    this.live.become(this.#durable)
  }
}

/** Bytes that grow without being copied at each write. */
class Content {
  length = 0
  #bytes: Uint8Array = new Uint8Array(0)

  apply(change: ContentChange): void {
    if ('length' in change) {
      this.#bytes.fill(0, change.length, Math.max(change.length, this.length))
      this.length = change.length
      return
    }
    const end = change.at + change.bytes.length
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2, 256))
      larger.set(this.#bytes.subarray(0, this.length))
      this.#bytes = larger
    }
    this.#bytes.set(change.bytes, change.at)
    this.length = Math.max(this.length, end)
  }

  copy(): Uint8Array {
    return this.#bytes.slice(0, this.length)
  }

  become(other: Content): void {
    this.#bytes = other.copy()
    this.length = other.length
  }
}

function pieceOf(at: number, bytes: Uint8Array, random: () => number): ContentChange {
  const start = random() < 0.5 ? 0 : Math.floor(random() * bytes.length)
  const end = start + Math.floor(random() * (bytes.length - start))
  return { at: at + start, bytes: bytes.slice(start, end) }
}

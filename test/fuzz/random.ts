// Chance that can be repeated: equal seeds, equal choices. Seeds that follow one another have nothing in common.

export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = mix((seed >>> 0) ^ mix(Math.floor(seed / 0x1_0000_0000) + 0x9e3779b9))
  }

  /** 32 bits; mulberry32. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }

  /** A whole number from 0 up to but not including `limit`. */
  below(limit: number): number {
    return Math.floor((this.bits() / 0x1_0000_0000) * limit)
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  chance(probability: number): boolean {
    return this.bits() < probability * 0x1_0000_0000
  }

  pick<Item>(items: readonly Item[]): Item {
    if (items.length === 0) throw new RangeError('there is nothing to pick from')
    return items[this.below(items.length)] as Item
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    for (let index = 0; index < length; index++) bytes[index] = this.bits()
    return bytes
  }

  /** The same bytes in pieces, most of them few; some are empty. */
  pieces(bytes: Uint8Array): readonly Uint8Array[] {
    const pieces: Uint8Array[] = []
    const largest = this.pick(bytes.length < 100 ? [1, 2, 7, 40] : [7, 40, 200, 1_000])
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + this.between(largest > 2 ? 0 : 1, largest))
      pieces.push(bytes.subarray(at, end))
      at = end
    }
    return pieces
  }
}

/** splitmix32, one step. */
function mix(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x21f0aaad)
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

/**
 * First in, first out, however many there are: the `shift` of an array moves all the others, which at a hundred
 * thousand costs seconds.
 */

export class Fifo<Item> {
  #items: (Item | undefined)[] = NOTHING
  #head = 0
  // Asked before each packet: not worked out then.
  #length = 0

  get length(): number {
    return this.#length
  }

  get first(): Item | undefined {
    return this.#items[this.#head]
  }

  push(item: Item): void {
    if (this.#items === NOTHING) this.#items = [item]
    else this.#items.push(item)
    this.#length += 1
  }

  shift(): Item | undefined {
    const head = this.#head
    const item = this.#items[head]
    if (this.#length === 0) return undefined
    this.#items[head] = undefined
    this.#head = head + 1
    this.#length -= 1
    if (this.#length === 0) this.clear()
    else if (head >= GAP && head >= this.#length) this.#hold(this.drain())
    return item
  }

  clear(): void {
    this.#items.length = 0
    this.#head = 0
    this.#length = 0
  }

  /** Takes them all. */
  drain(): Item[] {
    const items = this.#items.slice(this.#head) as Item[]
    this.clear()
    return items
  }

  /** Keeps those that fit. */
  filter(fits: (item: Item) => boolean): void {
    this.#hold(this.drain().filter(fits))
  }

  #hold(items: Item[]): void {
    this.#items = items
    this.#length = items.length
  }
}

/** What all have that never had an item. */
const NOTHING: never[] = []

/** Empty places at the front before they are closed. */
const GAP = 64

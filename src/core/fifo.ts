/**
 * First in, first out, however many there are: the `shift` of an array moves all the others, which at a hundred
 * thousand costs seconds.
 */

export class Fifo<Item> {
  #items: (Item | undefined)[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  get first(): Item | undefined {
    return this.#items[this.#head]
  }

  push(item: Item): void {
    this.#items.push(item)
  }

  shift(): Item | undefined {
    const head = this.#head
    const item = this.#items[head]
    if (head === this.#items.length) return undefined
    this.#items[head] = undefined
    this.#head = head + 1
    if (this.#head === this.#items.length) this.clear()
    else if (this.#head >= GAP && 2 * this.#head > this.#items.length) this.#close()
    return item
  }

  clear(): void {
    this.#items.length = 0
    this.#head = 0
  }

  /** Takes them all. */
  drain(): Item[] {
    const items = this.#items.slice(this.#head) as Item[]
    this.clear()
    return items
  }

  /** Keeps those that fit. */
  filter(fits: (item: Item) => boolean): void {
    this.#items = this.drain().filter(fits)
  }

  #close(): void {
    this.#items = this.#items.slice(this.#head)
    this.#head = 0
  }
}

/** Empty places at the front before they are closed. */
const GAP = 64

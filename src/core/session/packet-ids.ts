/**
 * Who holds which packet identifier: one space for PUBLISH, SUBSCRIBE and UNSUBSCRIBE, 2.3.1 (5: 2.2.1).
 *
 *     pages[id >> 8] ─► [ 256 slots ]     made when an id in it is taken, dropped when the last is freed
 *
 * Look-up is two array reads, where a Map costs eight times as much. Ids count upward and wrap, so an id is
 * reused as late as possible; 16 are kept for subscriptions when deliveries hold all the others.
 */

/** The identifiers that deliveries may hold at most; the rest is for SUBSCRIBE and UNSUBSCRIBE. */
export const DELIVERY_IDS = 65_519

/** The holders of 256 ids. */
type Page<Holder> = (Holder | undefined)[]

export class PacketIds<Holder> {
  #pages: (Page<Holder> | undefined)[] = []
  /** How many ids of each page are taken. */
  #used: number[] = []
  /** Pages that were dropped, which are needed again soon: until no id is taken, then one. */
  #spare: Page<Holder>[] = []
  #next = 1
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): Holder | undefined {
    return this.#pages[id >> 8]?.[id & 0xff]
  }

  /** Gives the next free id to `holder`, or 0 when none is free. */
  allocate(holder: Holder): number {
    if (this.#size >= 65_535) return 0
    let id = this.#next
    while (!this.#take(id, holder)) id = id === 65_535 ? 1 : id + 1
    this.#next = id === 65_535 ? 1 : id + 1
    return id
  }

  /** Takes a certain id: one restored from a store, or received. */
  set(id: number, holder: Holder): void {
    if (!this.#take(id, holder)) (this.#pages[id >> 8] as Page<Holder>)[id & 0xff] = holder
  }

  /** Gives the id to `holder` unless somebody has it. */
  #take(id: number, holder: Holder): boolean {
    const index = id >> 8
    const page = this.#pages[index] ?? this.#page(index)
    if (page[id & 0xff] !== undefined) return false
    page[id & 0xff] = holder
    this.#used[index] = (this.#used[index] as number) + 1
    this.#size += 1
    return true
  }

  /** Gives the id to `holder` if `held` has it. */
  swap(id: number, held: Holder, holder: Holder): boolean {
    const page = this.#pages[id >> 8]
    if (page === undefined || page[id & 0xff] !== held) return false
    page[id & 0xff] = holder
    return true
  }

  /** Frees the id; returns who had it. */
  delete(id: number): Holder | undefined {
    const index = id >> 8
    const page = this.#pages[index]
    const holder = page?.[id & 0xff]
    if (page === undefined || holder === undefined) return undefined
    page[id & 0xff] = undefined
    this.#size -= 1
    const used = (this.#used[index] as number) - 1
    this.#used[index] = used
    if (used > 0) return holder
    this.#pages[index] = undefined
    this.#spare.push(page)
    if (this.#size === 0) this.#spare.length = 1
    return holder
  }

  *entries(): Generator<[id: number, holder: Holder]> {
    for (const [index, page] of this.#pages.entries()) {
      if (page === undefined) continue
      for (const [slot, holder] of page.entries()) {
        if (holder !== undefined) yield [(index << 8) | slot, holder]
      }
    }
  }

  #page(index: number): Page<Holder> {
    const page = this.#spare.pop() ?? new Array<undefined>(256).fill(undefined)
    this.#used[index] = 0
    return (this.#pages[index] = page)
  }
}

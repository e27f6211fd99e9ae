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

interface Page<Holder> {
  readonly slots: (Holder | undefined)[]
  used: number
}

export class PacketIds<Holder> {
  #pages: (Page<Holder> | undefined)[] = []
  /** The page that was dropped last: with few ids open at a time it is soon needed again. */
  #spare: Page<Holder> | undefined = undefined
  #next = 1
  #size = 0

  get size(): number {
    return this.#size
  }

  get(id: number): Holder | undefined {
    return this.#pages[id >> 8]?.slots[id & 0xff]
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
    const page = (this.#pages[id >> 8] ??= this.#page())
    if (page.slots[id & 0xff] === undefined) {
      page.used += 1
      this.#size += 1
    }
    page.slots[id & 0xff] = holder
  }

  delete(id: number): void {
    const page = this.#pages[id >> 8]
    if (page === undefined || page.slots[id & 0xff] === undefined) return
    page.slots[id & 0xff] = undefined
    this.#size -= 1
    page.used -= 1
    if (page.used > 0) return
    this.#pages[id >> 8] = undefined
    this.#spare = page
  }

  *entries(): Generator<[id: number, holder: Holder]> {
    for (const [index, page] of this.#pages.entries()) {
      if (page === undefined) continue
      for (const [slot, holder] of page.slots.entries()) {
        if (holder !== undefined) yield [(index << 8) | slot, holder]
      }
    }
  }

  /** Gives the id to `holder` unless somebody has it. */
  #take(id: number, holder: Holder): boolean {
    const page = (this.#pages[id >> 8] ??= this.#page())
    const { slots } = page
    if (slots[id & 0xff] !== undefined) return false
    slots[id & 0xff] = holder
    page.used += 1
    this.#size += 1
    return true
  }

  #page(): Page<Holder> {
    const page = this.#spare ?? { slots: new Array(256).fill(undefined), used: 0 }
    this.#spare = undefined
    return page
  }
}

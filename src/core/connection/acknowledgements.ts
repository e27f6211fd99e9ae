/**
 * Acknowledgements leave in the order of their PUBLISHes, in whatever order handlers finish
 * [3.1.1 MQTT-4.6.0-2, -3] [5 MQTT-4.6.0-2, -3].
 *
 *     arrived   1 2 3 4 5        every message takes the next number
 *     done        2 3            handlers have finished
 *     sent                       nothing: 1 is first in line
 *
 * There are two lines, PUBACK and PUBREC; neither waits for the other. A handler that finishes before the next
 * message arrives, which is the rule, costs one comparison.
 */

export class AcknowledgementLine<Item> {
  readonly #send: (item: Item, reasonCode: number) => void
  #arrived = 0
  #sent = 0
  /** Done out of turn, by number. */
  #done: Map<number, { item: Item; reasonCode: number }> | undefined = undefined

  constructor(send: (item: Item, reasonCode: number) => void) {
    this.#send = send
  }

  /** Messages whose acknowledgement is due. */
  get waiting(): number {
    return this.#arrived - this.#sent
  }

  /** Takes a place in the line; places begin at 1. */
  arrive(): number {
    return ++this.#arrived
  }

  /** The message at `place` is done: it is acknowledged when all before it are. */
  finish(place: number, item: Item, reasonCode: number): void {
    if (place !== this.#sent + 1) {
      if (place > this.#sent) (this.#done ??= new Map()).set(place, { item, reasonCode })
      return
    }
    this.#sent = place
    this.#send(item, reasonCode)
    if (this.#done !== undefined && this.#done.size > 0) this.#advance(this.#done)
  }

  #advance(done: Map<number, { item: Item; reasonCode: number }>): void {
    for (let next = done.get(this.#sent + 1); next !== undefined; next = done.get(this.#sent + 1)) {
      this.#sent += 1
      done.delete(this.#sent)
      this.#send(next.item, next.reasonCode)
    }
  }
}

/**
 * Acknowledgements leave in the order of their PUBLISHes, in whatever order handlers finish
 * [3.1.1 MQTT-4.6.0-2, -3] [5 MQTT-4.6.0-2, -3].
 *
 *     arrived   1 2 3 4 5        every message takes the next number
 *     done        2 3            handlers have finished
 *     sent                       nothing: 1 is first in line
 *
 * There are two lines, PUBACK and PUBREC; neither waits for the other. A handler that finishes before the next
 * message arrives, which is the rule, costs one comparison. Numbers go on from one connection to the next, so that a
 * message of an earlier one is behind the line's beginning, and finds no place in it.
 */

/** An acknowledgement that waits for its turn. */
interface DueAcknowledgement {
  readonly packetId: number
  readonly reasonCode: number
}

export class AcknowledgementLine {
  /** How many have taken a place, on all connections. */
  arrived = 0
  #sent = 0
  /** Done out of turn, by number. */
  #done: Map<number, DueAcknowledgement> | undefined = undefined

  /** Messages whose acknowledgement is due. */
  get waiting(): number {
    return this.arrived - this.#sent
  }

  /** Another connection: what came by the last one has no place any more. */
  restart(): this {
    this.#sent = this.arrived
    this.#done = undefined
    return this
  }

  /** Takes a place in the line; places begin at 1. */
  arrive(): number {
    return ++this.arrived
  }

  /**
   * The message at `place` is done. True: it is first in line, to be acknowledged now, and then what `shift` gives; else
   * it waits for those before it.
   */
  finish(place: number, packetId: number, reasonCode: number): boolean {
    if (place !== this.#sent + 1) {
      if (place > this.#sent) (this.#done ??= new Map()).set(place, { packetId, reasonCode })
      return false
    }
    this.#sent = place
    return true
  }

  /** Whether it has not been acknowledged yet. */
  isWaiting(place: number): boolean {
    return place > this.#sent
  }

  /** The next that was done out of turn, if it is first in line now. */
  shift(): DueAcknowledgement | undefined {
    const due = this.#done?.get(this.#sent + 1)
    if (due !== undefined) this.#done?.delete(++this.#sent)
    return due
  }
}

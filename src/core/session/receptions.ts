/**
 * Inbound exchanges of QoS 2 that the server has not ended by PUBREL, 4.3.3, by packet identifier.
 *
 *     id ─►  n     PUBLISH number n came, the application has the message
 *     id ─► -n     it is done with it: PUBREC is due, or was sent
 *
 * A number tells an exchange from an earlier or later one with the same id, and is the place of its PUBREC. There may be
 * 65,535 exchanges at a time: as objects, they were a fifth of what receiving costs. What is so of few is noted beside.
 */

import { PacketIds } from './packet-ids.ts'

export class Receptions {
  readonly #numbers: PacketIds<number> = new PacketIds()
  /** The numbers of messages whose PUBLISH came again while the application has them. */
  #messages: Map<number, number> | undefined = undefined
  /** What PUBREC carries, if that is not 0. */
  #reasonCodes: Map<number, number> | undefined = undefined

  get size(): number {
    return this.#numbers.size
  }

  /** The number of the exchange's latest PUBLISH, negative once the application is done; 0 when there is none. */
  latest(packetId: number): number {
    return this.#numbers.get(packetId) ?? 0
  }

  /** What the exchange's PUBREC carries. */
  reasonCodeOf(packetId: number): number {
    return this.#reasonCodes?.get(packetId) ?? 0
  }

  /** An exchange begins, whatever there was with its id; with a negative number one that was handled. */
  begin(packetId: number, number: number): void {
    this.#numbers.set(packetId, number)
    this.#forget(packetId)
  }

  /** Its PUBLISH came again, on a later connection, or behind its PUBREC. */
  repeat(packetId: number, number: number): void {
    const known = this.latest(packetId)
    this.#numbers.set(packetId, known < 0 ? -number : number)
    if (known < 0) return
    this.#messages ??= new Map()
    if (!this.#messages.has(packetId)) this.#messages.set(packetId, known)
  }

  /**
   * The application is done with the message of this number. Returns the number of the latest PUBLISH, whose PUBREC is
   * due; 0: it was done before, or the exchange is gone.
   */
  handle(packetId: number, message: number, reasonCode: number): number {
    const number = this.#openNumber(packetId, message)
    if (!this.#numbers.swap(packetId, number, -number)) return 0
    if (reasonCode > 0) (this.#reasonCodes ??= new Map()).set(packetId, reasonCode)
    return number
  }

  /** The application gives the message of this number back that the server will send again: it is new then. */
  giveBack(packetId: number, message: number): void {
    if (this.#openNumber(packetId, message) === this.latest(packetId)) this.end(packetId)
  }

  /**
   * PUBREL came: the exchange ends, if the application is done with the message. The number of the latest PUBLISH; 0 when
   * there is no exchange, negative when it goes on.
   */
  release(packetId: number): number {
    const number = this.#numbers.delete(packetId) ?? 0
    if (number > 0) this.#numbers.set(packetId, number)
    else this.#forget(packetId)
    // Not -0, which is another kind of number to an engine.
    return 0 - number
  }

  end(packetId: number): void {
    this.#numbers.delete(packetId)
    this.#forget(packetId)
  }

  /** Those of which PUBREC may have been sent. */
  *handled(): Generator<number> {
    for (const [packetId, number] of this.#numbers.entries()) {
      if (number < 0 && this.reasonCodeOf(packetId) < 0x80) yield packetId
    }
  }

  /** The number that the exchange has, if the application has the message of this number. */
  #openNumber(packetId: number, message: number): number {
    return this.#messages?.get(packetId) === message ? Math.abs(this.latest(packetId)) : message
  }

  #forget(packetId: number): void {
    this.#messages?.delete(packetId)
    this.#reasonCodes?.delete(packetId)
  }
}

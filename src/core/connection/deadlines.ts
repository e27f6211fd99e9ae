/** The named timers of a connection and the earliest of them. Monotonic ms; Infinity: not running. */

export class Deadlines {
  /** PINGREQ is due, rule 9. */
  ping: number = Infinity
  /** A PINGREQ is out and nothing has proved life since, rule 10. */
  silence: number = Infinity
  /** The first answer of a SUBSCRIBE, UNSUBSCRIBE, AUTH or `ping()` is overdue. */
  operation: number = Infinity
  /** The first delivery's caller has waited long enough, rule 17. */
  delivery: number = Infinity
  /** A window full of abandoned deliveries has not moved, rule 17. */
  stuck: number = Infinity

  /** ms during which nothing could be expected of the server, because we did not read: the last three stood still. */
  stopped = 0
  #stoppedAt: number = Infinity

  /** We stopped reading, or begin again. */
  handleReading(reading: boolean, now: number): void {
    if (reading) this.stopped += now - this.#stoppedAt
    this.#stoppedAt = reading ? Infinity : now
  }

  /** The time as it passes for the last three, and for what is sent now. */
  expected(now: number): number {
    return Math.min(now, this.#stoppedAt) - this.stopped
  }

  get earliest(): number {
    return Math.min(
      this.ping,
      this.silence,
      Math.min(this.operation, this.delivery, this.stuck) + this.stopped,
    )
  }
}

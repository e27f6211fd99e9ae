/** What was sent and what came of it: distinct payload ids by QoS, and whoever waits for a count. */

import type { QoS } from '../src/index.ts'

export interface Count {
  readonly sent: number
  /** Distinct ids. */
  readonly delivered: number
  readonly lost: number
  readonly duplicates: number
}

class Row {
  sent = 0
  /** Publishes that are over, whatever their end. */
  settled = 0
  duplicates = 0
  readonly ids: Set<string> = new Set()
}

export class Tally {
  readonly failures: unknown[] = []
  readonly #signal: AbortSignal
  readonly #rows: Readonly<Record<QoS, Row>> = { 0: new Row(), 1: new Row(), 2: new Row() }
  #waiting: { readonly isSo: () => boolean; readonly resolve: () => void }[] = []

  /** @param signal nobody waits any longer when it is aborted */
  constructor(signal: AbortSignal) {
    this.#signal = signal
    signal.addEventListener('abort', () => this.#changed(), { once: true })
  }

  /** The id of the next message. */
  handleSent(qos: QoS): string {
    return String(++this.#rows[qos].sent)
  }

  handleSettled(qos: QoS, error?: unknown): void {
    this.#rows[qos].settled += 1
    if (error !== undefined) this.failures.push(error)
    this.#changed()
  }

  handleArrival(qos: QoS, id: string): void {
    const row = this.#rows[qos]
    if (row.ids.has(id)) row.duplicates += 1
    else row.ids.add(id)
    this.#changed()
  }

  count(qos: QoS): Count {
    const { sent, ids, duplicates } = this.#rows[qos]
    return { sent, delivered: ids.size, lost: sent - ids.size, duplicates }
  }

  isSettled(qos: QoS): boolean {
    return this.#rows[qos].settled === this.#rows[qos].sent
  }

  /** Resolves when it is so, or when the time is over. */
  until(isSo: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ isSo, resolve })
      this.#changed()
    })
  }

  #changed(): void {
    this.#waiting = this.#waiting.filter(({ isSo, resolve }) => {
      const isOver = this.#signal.aborted || isSo()
      if (isOver) resolve()
      return !isOver
    })
  }
}

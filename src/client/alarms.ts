/**
 * One timer for all deadlines of a pool.
 *
 * Deadlines stand in a heap. One that moves later is not touched: its alarm rings early, and its owner, who must
 * ask again what is due, sets it anew. So a keep-alive that every packet postpones costs nothing per packet.
 */

import type { Runtime, Timer } from './runtime.ts'

/** Who set an alarm. */
export interface AlarmOwner {
  handleAlarm(now: number): void
}

/** A deadline of one owner. */
export class Alarm {
  /** Monotonic ms at which it rings; Infinity when not set. */
  at: number = Infinity
  index = -1
  readonly #alarms: Alarms
  readonly owner: AlarmOwner

  constructor(alarms: Alarms, owner: AlarmOwner) {
    this.#alarms = alarms
    this.owner = owner
  }

  /** Rings at `at` or earlier. */
  set(at: number): void {
    if (at < this.at) this.#alarms.place(this, at)
  }

  /** Does not ring any more. */
  cancel(): void {
    this.#alarms.remove(this)
  }
}

export class Alarms {
  readonly #runtime: Runtime
  readonly #heap: Alarm[] = []
  #timer: Timer | undefined = undefined
  #timerAt = Infinity
  #holds = 0

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  /** The process stays alive for the timer until `release` was called as often: nothing else may hold it. */
  hold(): void {
    this.#holds += 1
    if (this.#holds === 1) this.#timer?.setKeepsAlive?.(true)
  }

  release(): void {
    this.#holds -= 1
    if (this.#holds === 0) this.#timer?.setKeepsAlive?.(false)
  }

  place(alarm: Alarm, at: number): void {
    alarm.at = at
    if (alarm.index < 0) {
      alarm.index = this.#heap.length
      this.#heap.push(alarm)
    }
    this.#rise(alarm)
    this.#arm()
  }

  remove(alarm: Alarm): void {
    const { index } = alarm
    alarm.at = Infinity
    if (index < 0) return
    alarm.index = -1
    const last = this.#heap.pop() as Alarm
    if (last !== alarm) {
      this.#put(last, index)
      this.#sink(last)
      this.#rise(last)
    }
    if (this.#heap.length === 0) this.#disarm()
  }

  #arm(): void {
    const at = this.#heap[0]?.at ?? Infinity
    if (at >= this.#timerAt) return
    this.#timer?.cancel()
    this.#timerAt = at
    this.#timer = this.#runtime.setTimer(() => this.#handleTimer(), Math.max(0, at - this.#runtime.now()))
    if (this.#holds === 0) this.#timer.setKeepsAlive?.(false)
  }

  #disarm(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#timerAt = Infinity
  }

  #handleTimer(): void {
    this.#timer = undefined
    this.#timerAt = Infinity
    const now = this.#runtime.now()
    // Alarms that are set for the past while ringing wait for the next turn.
    const due: Alarm[] = []
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.remove(first)
      due.push(first)
    }
    for (const { owner } of due) owner.handleAlarm(now)
    this.#arm()
  }

  #rise(alarm: Alarm): void {
    let { index } = alarm
    while (index > 0) {
      const parent = this.#heap[(index - 1) >> 1] as Alarm
      if (parent.at <= alarm.at) break
      this.#put(parent, index)
      index = (index - 1) >> 1
    }
    this.#put(alarm, index)
  }

  #sink(alarm: Alarm): void {
    let { index } = alarm
    for (;;) {
      const left = this.#heap[2 * index + 1]
      const right = this.#heap[2 * index + 2]
      const child = right !== undefined && left !== undefined && right.at < left.at ? right : left
      if (child === undefined || child.at >= alarm.at) break
      const childIndex = child.index
      this.#put(child, index)
      index = childIndex
    }
    this.#put(alarm, index)
  }

  #put(alarm: Alarm, index: number): void {
    this.#heap[index] = alarm
    alarm.index = index
  }
}

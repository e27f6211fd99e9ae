/** One thing to do at one time: an alarm that may ring early, and what it is for. */

import { Alarm, type AlarmOwner, type Alarms } from './alarms.ts'

export class Appointment implements AlarmOwner {
  readonly #alarm: Alarm
  #at = Infinity
  #whenDue: (() => void) | undefined = undefined

  constructor(alarms: Alarms) {
    this.#alarm = new Alarm(alarms, this)
  }

  get isSet(): boolean {
    return this.#whenDue !== undefined
  }

  /** Takes the place of the one before. */
  set(at: number, whenDue: () => void): void {
    this.#at = at
    this.#whenDue = whenDue
    this.#alarm.set(at)
  }

  clear(): void {
    this.#at = Infinity
    this.#whenDue = undefined
    this.#alarm.cancel()
  }

  /** Does at once what was to be done later. */
  keep(): void {
    const whenDue = this.#whenDue
    this.clear()
    whenDue?.()
  }

  handleAlarm(now: number): void {
    if (now < this.#at) this.#alarm.set(this.#at)
    else this.keep()
  }
}

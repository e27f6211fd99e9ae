/** Keeps the process alive while a client waits or dials and owns no socket that would: by the pool's timer. */

import type { Alarms } from './alarms.ts'
import type { ClientState } from './events.ts'

export class ProcessHold {
  /** What `ref()` and `unref()` say. */
  wanted = true
  readonly #alarms: Alarms
  #holding = false

  constructor(alarms: Alarms) {
    this.#alarms = alarms
  }

  update(state: ClientState): void {
    const hold = this.wanted && (state === 'waiting' || state === 'dialing')
    if (hold === this.#holding) return
    this.#holding = hold
    if (hold) this.#alarms.hold()
    else this.#alarms.release()
  }
}

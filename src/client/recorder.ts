/**
 * Carries the session's records to the store, one append at a time; what gathers meanwhile is the next append.
 *
 * After a failure nothing is known of what the store holds: the next append stands for everything. It is made when
 * the next record comes, or a packet waits for one: a disk that is full is not asked without pause.
 */

import { MqttError, textOf } from '../core/errors.ts'
import type { Session } from '../core/session/session.ts'
import type { SessionStore } from '../store/store.ts'

/** Whose session is recorded. */
export interface RecorderHost {
  readonly session: Session
  handleStored(upTo: number): void
  handleStoreFailed(error: MqttError): void
}

export class Recorder {
  readonly #store: SessionStore
  readonly #host: RecorderHost
  #writing: Promise<void> | undefined = undefined
  /** The journal's position at the last failure. */
  #failedAt = -1
  #closed = false

  constructor(store: SessionStore, host: RecorderHost) {
    this.#store = store
    this.#host = host
  }

  /** Stores what has gathered, unless an append is under way: then that one's end does. */
  flush(): void {
    if (this.#writing !== undefined || this.#closed) return
    const { journal } = this.#host.session
    if (journal === undefined || (journal.position === this.#failedAt && !journal.isAwaited)) return
    const records = journal.nextRecords()
    if (records === undefined) return
    const { upTo, bytes, replaces } = records
    // A store that throws instead of rejecting has failed, no more.
    const write = async (): Promise<void> =>
      replaces ? this.#store.replace(bytes) : this.#store.append(bytes)
    this.#writing = write().then(
      () => {
        this.#writing = undefined
        journal.handleStored(upTo)
        this.#host.handleStored(upTo)
        this.flush()
      },
      (error: unknown) => {
        this.#writing = undefined
        journal.handleStoreFailed()
        this.#host.handleStoreFailed(storeError(error))
        this.#failedAt = journal.position
      },
    )
  }

  /** Stores what there is and closes the store. */
  async close(): Promise<void> {
    this.#failedAt = -1
    this.flush()
    while (this.#writing !== undefined) await this.#writing
    this.#closed = true
    await this.#store.close()
  }
}

export function storeError(error: unknown): MqttError {
  if (error instanceof MqttError) return error
  return new MqttError('store-failed', `the session store failed: ${textOf(error)}`, error)
}

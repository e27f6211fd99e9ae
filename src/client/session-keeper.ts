/**
 * The session of a client across its connections: in memory, or restored from a store and recorded there.
 *
 * A store is opened with `connect()` and closed when the client stops, so that another process may take it over.
 */

import { ClosedError, disconnected, type MqttError, UsageError } from '../core/errors.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import { Journal } from '../core/session/journal.ts'
import { restoreSession } from '../core/session/restore.ts'
import { Session } from '../core/session/session.ts'
import type { SessionStore } from '../store/store.ts'
import type { ResolvedOptions } from './options.ts'
import { Recorder, type RecorderHost, storeError } from './recorder.ts'
import type { Runtime } from './runtime.ts'

export interface KeeperHost extends RecorderHost {
  /** These messages are over: another client has had the store meanwhile, or their session was closed. */
  handleFailed(deliveries: readonly Delivery[]): void
}

export class SessionKeeper {
  session: Session = new Session()
  readonly #options: ResolvedOptions
  readonly #givenClientId: boolean
  readonly #runtime: Runtime
  readonly #host: KeeperHost
  #recorder: Recorder | undefined = undefined
  /** The last one: the next goes on from it. */
  #journal: Journal | undefined = undefined
  #opening: Promise<void> | undefined = undefined
  /** A store is opened again only when it was closed. */
  #closing: Promise<void> | undefined = undefined
  #fresh = true

  constructor(options: ResolvedOptions, givenClientId: boolean, runtime: Runtime, host: KeeperHost) {
    this.#options = options
    this.#givenClientId = givenClientId
    this.#runtime = runtime
    this.#host = host
  }

  /** The id for the next CONNECT: the server's, or a store's, when it is not the user's. */
  get clientId(): string {
    const { clientId } = this.session
    return clientId !== '' && !this.#givenClientId ? clientId : this.#options.clientId
  }

  /** Whether what is not settled is sent after the next `connect()`. */
  get isKept(): boolean {
    const { version5, cleanSession, cleanStart } = this.#options
    return version5 === 'no' ? !cleanSession : !cleanStart
  }

  /** `connect()` begins: a session that is to be clean is. What was queued before the first one stays queued. */
  begin(): void {
    const { session } = this
    if (!this.#fresh && !this.isKept) {
      this.session = new Session(session.queued, session.pubrecs)
      // A listener may begin anew where the client was about to be closed.
      this.#fail([...session.released, ...session.published], session, disconnected())
      void this.close()
    }
    this.#fresh = false
  }

  /** Opens the store, if there is one and it is not open. */
  open(): Promise<void> {
    const { store } = this.#options
    if (store === undefined || this.#recorder !== undefined) return Promise.resolve()
    const opening = this.#open(store)
    const opened = (): void => {
      if (this.#opening === opening) this.#opening = undefined
    }
    this.#opening = opening
    opening.then(opened, opened)
    return opening
  }

  async #open(store: SessionStore): Promise<void> {
    await this.#closing
    const clockOffset = this.#runtime.wallTime() - this.#runtime.now()
    const records = await store.open()
    try {
      this.#adopt(restoreSession(records, clockOffset))
    } catch (error) {
      await store.close().catch(() => {})
      throw error
    }
    this.#journal = new Journal(clockOffset, (journal) => this.session.record(journal), this.#journal)
    this.session.attach(this.#journal)
    this.#recorder = new Recorder(store, this.#host)
    this.#recorder.flush()
  }

  flush(): void {
    this.#recorder?.flush()
  }

  /** Drops all that is not settled: a clean session was closed. */
  discard(error: MqttError): void {
    this.#fail([...this.session.deliveries()], this.session, error)
  }

  #fail(deliveries: readonly Delivery[], session: Session, error: MqttError): void {
    for (const delivery of deliveries) {
      session.settle(delivery)
      delivery.error = error
    }
    this.#host.handleFailed(deliveries)
  }

  /** Never rejects: what goes wrong is told as a failure of the store. */
  close(): Promise<void> {
    const opening = this.#opening
    const recorder = this.#recorder
    if (opening === undefined && recorder === undefined) return this.#closing ?? Promise.resolve()
    // At once: a `connect()` that follows has to open it again.
    this.#opening = this.#recorder = undefined
    // What is being opened is closed as soon as it is open.
    this.#closing = (opening ?? Promise.resolve())
      .catch(() => {})
      .then(() => this.#close(recorder ?? this.#recorder))
      .catch((error: unknown) => this.#host.handleStoreFailed(storeError(error)))
    return this.#closing
  }

  async #close(recorder: Recorder | undefined): Promise<void> {
    this.#recorder = undefined
    await recorder?.close().finally(() => (this.session.journal = undefined))
  }

  /**
   * The session that goes on. What this client has in memory is all that its store has, and more, unless somebody
   * else has written to the store meanwhile; a session that is to be clean takes nothing from a store.
   */
  #adopt(restored: Session): void {
    this.#checkClientId(restored.clientId)
    const previous = this.session
    const isOurs = restored.writer !== 0 && restored.writer === previous.writer
    if (this.isKept && !isOurs) {
      this.session = restored
      // Handlers of the session before may still run: their numbers are not given again.
      restored.pubrecs.arrived += previous.pubrecs.arrived
      this.#carryOver(previous)
    }
    this.session.writer = 1 + this.#runtime.random()
  }

  /** What was published before the store was open goes behind what it has kept. */
  #carryOver(previous: Session): void {
    const taken: Delivery[] = []
    for (const delivery of previous.deliveries()) {
      if (delivery.queuedAt === 0) {
        previous.queued.remove(delivery)
        this.session.queue(delivery)
      } else {
        previous.settle(delivery)
        delivery.error = takenOver(delivery)
        taken.push(delivery)
      }
    }
    this.#host.handleFailed(taken)
  }

  #checkClientId(stored: string): void {
    if (stored === '' || !this.#givenClientId || stored === this.#options.clientId || !this.isKept) return
    throw new UsageError(
      'invalid-option',
      'clientId',
      `expected "${stored}", whose session the store keeps, got "${this.#options.clientId}"; use a store of its own`,
    )
  }
}

function takenOver({ name }: Delivery): ClosedError {
  return new ClosedError(
    'outcome-unknown',
    `another client has had the store of the message to "${name.text}" meanwhile, and may send it`,
    true,
  )
}

/**
 * One attempt at a connection: from the first URL to CONNACK.
 *
 * Several URLs are tried in order, the last good one first. `'auto'` speaks version 5 first, and 3.1.1 on a new
 * network connection where the server does not know 5 (rule 2). Each network connection has a deadline of its own.
 */

import { ConnectionError, MqttError, RefusedError } from '../core/errors.ts'
import type { Codec } from '../core/packets/codec.ts'
import type { ConnectPacket } from '../core/packets/types.ts'
import type { Dial } from '../transport/transport.ts'
import type { Transport } from '../transport/transport.ts'
import type { AttemptBudget } from './attempt-budget.ts'
import type { Driver } from './driver.ts'
import type { ResolvedOptions } from './options.ts'
import { abortable } from './abortable.ts'

export interface AttemptHost {
  readonly options: ResolvedOptions
  readonly dial: Dial
  readonly budget: AttemptBudget
  /** What is known of the servers, kept until the user's next `connect()`. */
  readonly knowledge: ServerKnowledge
  /** The CONNECT of this attempt; asks for credentials and authentication data. */
  prepare(codec: Codec): Promise<ConnectPacket>
  /** Its turn in the budget has come: from now on `connectTimeout` runs. */
  handleDialing(attempt: Attempt): void
  /** The stream stands: makes and starts the driver, whose events the engine hears. */
  open(transport: Transport, codec: Codec, connect: ConnectPacket): Driver
}

/** Which URL and which version worked last; several versions are tried where that is not known. */
export class ServerKnowledge {
  lastGood: URL | undefined = undefined
  /** By URL, for those that were tried with more than one: what was spoken, undefined when nothing was yet. */
  codecs: Map<string, Codec | undefined> | undefined = undefined
}

export class Attempt {
  readonly #host: AttemptHost
  /** Of the URL that is tried: one whose time is over leaves the others their turn. */
  #controller = new AbortController()
  #isAborted = false
  #isDialing = false
  /** Of the connection that waits for CONNACK. */
  driver: Driver | undefined = undefined
  #opened: (() => void) | undefined = undefined
  #failed: ((error: unknown) => void) | undefined = undefined
  /** How far it has come, for the time-out's message. */
  #phase: 'tcp' | 'connack' = 'tcp'
  #isPrepared = false

  constructor(host: AttemptHost) {
    this.#host = host
  }

  /** Tries until one connection stands. Rejects with the last error. */
  async run(): Promise<void> {
    const { options, knowledge } = this.#host
    const { lastGood } = knowledge
    const urls =
      lastGood === undefined ? options.urls : [lastGood, ...options.urls.filter((url) => url !== lastGood)]
    let failure: unknown
    for (const url of urls) {
      try {
        await this.#tryUrl(url)
        knowledge.lastGood = url
        return
      } catch (error) {
        failure = error
        if (this.#isAborted) break
        this.#controller = new AbortController()
      }
    }
    throw failure
  }

  /** Ends the attempt; nothing of it stays open. */
  abort(error: unknown): void {
    this.#isAborted = true
    this.#giveUp(error)
  }

  /** `connectTimeout` is over for the URL that is tried. */
  handleTimeout(): void {
    // Between two URLs, the next waits for its turn in the budget, and nothing is dialed.
    if (!this.#isDialing) return
    const { connectTimeout } = this.#host.options
    const where = !this.#isPrepared
      ? 'nothing came from credentials or authentication'
      : this.#phase === 'connack'
        ? 'no CONNACK came'
        : 'no connection was made'
    const message = `${where} within ${connectTimeout} ms (option connectTimeout)`
    this.#giveUp(new ConnectionError('connect-timeout', message, { phase: this.#phase }))
  }

  handleOpened(): void {
    this.#opened?.()
  }

  handleFailed(error: unknown): void {
    this.#failed?.(error)
  }

  #giveUp(error: unknown): void {
    this.#controller.abort(error)
    this.#failed?.(error)
    this.driver?.destroy()
  }

  async #tryUrl(url: URL): Promise<void> {
    const { options, knowledge } = this.#host
    if (options.codecs.length === 1) return this.#open(url, options.codecs[0])
    const codecs = (knowledge.codecs ??= new Map())
    const spoken = codecs.get(url.href)
    const [codec, older] = spoken === undefined ? options.codecs : [spoken]
    // Only the first time does a silent close count as "version 5 is not spoken here".
    const first = !codecs.has(url.href)
    if (first) codecs.set(url.href, undefined)
    try {
      await this.#open(url, codec)
    } catch (error) {
      if (older === undefined || !isNotSpoken(error, first) || this.#controller.signal.aborted) throw error
      await this.#open(url, older).catch((later: unknown) => {
        if (later instanceof MqttError) later.cause ??= error
        throw later
      })
    }
  }

  async #open(url: URL, codec: Codec): Promise<void> {
    const { signal } = this.#controller
    const { budget, dial, knowledge, options } = this.#host
    this.#phase = 'tcp'
    await budget.acquire(signal)
    try {
      signal.throwIfAborted()
      this.#isDialing = true
      this.#host.handleDialing(this)
      this.#isPrepared = false
      const connect = await abortable(this.#host.prepare(codec), signal)
      this.#isPrepared = true
      const transport = await dial({ url, options }, signal)
      if (signal.aborted) {
        transport.destroy()
        throw signal.reason
      }
      this.#phase = 'connack'
      await new Promise<void>((resolve, reject) => {
        this.#opened = resolve
        this.#failed = reject
        this.driver = this.#host.open(transport, codec, connect)
        // A listener to the state may have ended it.
        if (signal.aborted) this.driver.destroy()
      })
      knowledge.codecs?.set(url.href, codec)
    } finally {
      this.#isDialing = false
      budget.release()
    }
  }
}

/** Whether the server does not speak version 5, rule 2. */
function isNotSpoken(error: unknown, first: boolean): boolean {
  if (error instanceof RefusedError) return error.reasonCode === 0x84
  return (
    first && error instanceof ConnectionError && error.code === 'connection-lost' && error.phase === 'connack'
  )
}

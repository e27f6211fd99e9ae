/**
 * A subscription as an async iterable: `for await (const message of client.messages('a/#'))`.
 *
 * The buffer is bounded by what the dispatcher lets pend; a message is handled when the next one is asked for.
 * Leaving the loop, by `throw` too, unsubscribes; the current message counts as handled, buffered ones are given
 * up (rule 30). When the client is closed, buffered ones go back to the session, which gets them again.
 */

import { type Handling, NOT_HANDLED } from './handling.ts'
import type { Message } from './message.ts'
import type { Subscription } from './requests.ts'

/** Messages of a subscription, in order of arrival. */
export interface MessageStream extends AsyncIterableIterator<Message, undefined, undefined> {
  /** Subscribes at once, without waiting for the first `next()`, and tells the outcome. */
  readonly ready: Promise<Subscription>
  /** Unsubscribes and ends the iteration. Resolves after UNSUBACK, be it a connection later; at once when not connected. */
  return(): Promise<IteratorResult<Message, undefined>>
  [Symbol.asyncDispose](): Promise<void>
}

/** What a stream needs of its client. */
export interface StreamHost {
  /** Subscribes with a route that gives its messages to the stream. */
  subscribe(stream: BufferedStream): Promise<Subscription>
  /** The stream is done with a message. */
  release(handling: Handling, reasonCode: number): void
  /** The message was never looked at, and the server will send it again. */
  giveBack(handling: Handling): void
  /** However it was: no message will be handed out any more. */
  handleEnd(): void
  /** The stream was left. */
  leave(stream: BufferedStream): Promise<void>
}

interface Waiter {
  readonly resolve: (result: IteratorResult<Message, undefined>) => void
  readonly reject: (error: unknown) => void
}

const DONE: IteratorResult<Message, undefined> = { done: true, value: undefined }

export class BufferedStream implements MessageStream {
  readonly #host: StreamHost
  #subscription: Promise<Subscription> | undefined = undefined
  #buffer: Handling[] = []
  #current: Handling | undefined = undefined
  #waiters: Waiter[] = []
  #ended = false
  #error: unknown = undefined

  constructor(host: StreamHost) {
    this.#host = host
  }

  get ready(): Promise<Subscription> {
    if (this.#subscription === undefined) {
      this.#subscription = this.#host.subscribe(this)
      this.#subscription.catch((error: unknown) => this.fail(error))
    }
    return this.#subscription
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<IteratorResult<Message, undefined>> {
    if (!this.#ended) void this.ready
    this.#releaseCurrent()
    const handling = this.#buffer.shift()
    if (handling !== undefined) {
      this.#current = handling
      return Promise.resolve({ done: false, value: handling.message })
    }
    if (this.#error !== undefined) {
      const error = this.#error
      this.#error = undefined
      return Promise.reject(error)
    }
    if (this.#ended) return Promise.resolve(DONE)
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  async return(): Promise<IteratorResult<Message, undefined>> {
    const leaving = !this.#ended && this.#subscription !== undefined
    this.end()
    if (leaving) await this.#host.leave(this)
    return DONE
  }

  async throw(error: unknown): Promise<IteratorResult<Message, undefined>> {
    await this.return()
    throw error
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  /** A message came. */
  take(handling: Handling): void {
    if (this.#ended) return this.#host.release(handling, NOT_HANDLED)
    const waiter = this.#waiters.shift()
    if (waiter === undefined) {
      this.#buffer.push(handling)
      return
    }
    this.#current = handling
    waiter.resolve({ done: false, value: handling.message })
    // The next one was asked for already.
    if (this.#waiters.length > 0) this.#releaseCurrent()
  }

  /** The loop was left. */
  end(): void {
    this.#end((handling) => this.#host.release(handling, NOT_HANDLED))
  }

  /** The client was closed. */
  close(): void {
    this.#end((handling) => this.#host.giveBack(handling))
  }

  #end(settle: (handling: Handling) => void): void {
    if (this.#ended) return
    this.#ended = true
    this.#host.handleEnd()
    this.#releaseCurrent()
    for (const handling of this.#buffer.splice(0)) settle(handling)
    for (const waiter of this.#waiters.splice(0)) waiter.resolve(DONE)
  }

  /** The subscription was refused, or its signal aborted. */
  fail(error: unknown): void {
    if (this.#ended) return
    const waiter = this.#waiters.shift()
    if (waiter === undefined) this.#error = error
    else waiter.reject(error)
    this.end()
  }

  #releaseCurrent(): void {
    const current = this.#current
    this.#current = undefined
    if (current !== undefined) this.#host.release(current, 0)
  }
}

/**
 * `publishAll` and `writable`: many messages, one promise, windowed.
 *
 * Messages are taken while the window and the queue have room; refilling happens once per inbound chunk, so no
 * await, timer or closure is spent on a single message.
 */

import { ClosedError } from '../core/errors.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import { abortable } from './abortable.ts'
import type { DeliveryOwner } from './caller.ts'
import { checkSignal, checkWhole, invalid, withDefaults } from './option-checks.ts'
import type { Publisher } from './publisher.ts'
import {
  checkMessageNames,
  type DeliveryOptions,
  isBare,
  NO_OPTIONS,
  type OutgoingMessage,
} from './publish-options.ts'
import type { Runtime } from './runtime.ts'

export interface PublishAllOptions extends DeliveryOptions {
  /** Aborted, the promise rejects, and no more messages are taken; those that were go on. */
  readonly signal?: AbortSignal | undefined
  /**
   * Messages of QoS 1 and 2 under way at once; Infinity: as many as the client may have in flight. Default: 2,000, and
   * twice as many, up to that, each time that all of them have waited for 20 ms.
   */
  readonly window?: number | undefined
}

export interface PublishAllResult {
  /** Messages that were acknowledged, or at QoS 0 handed to the network. */
  readonly published: number
  readonly failed: number
  /** The first 1,000 of them. `index` counts from 0 in the order of the iterable. */
  readonly failures: readonly { readonly index: number; readonly error: unknown }[]
}

const MOST_FAILURES = 1_000

/** Messages under way at first: of some 60,000, which one turn takes, each would cost five times as much. */
const FIRST_WINDOW = 2_000
/** ms: when no answer comes for so long, the server is far, and more must be under way to make use of the network. */
const LONG_WAIT = 20

/** Messages of QoS 0 whose fate is one: of more, too many would have failed when the connection is lost. */
const CONFIRMED_AT_ONCE = 1_000

/** An iterator whose `next` is looked up once for many messages, as a loop does. */
interface Source {
  readonly next: (this: Source) => IteratorResult<OutgoingMessage>
}

const OPTIONS = {
  qos: undefined,
  retain: undefined,
  until: undefined,
  timeout: undefined,
  properties: undefined,
  window: undefined,
  signal: undefined,
}

export class Batch implements DeliveryOwner {
  readonly signal: AbortSignal | undefined
  readonly #publisher: Publisher
  readonly #runtime: Runtime
  /** Of the call: those that were given. */
  readonly #defaults: DeliveryOptions
  #window: number
  /** What the window may grow to. */
  readonly #largest: number
  /** When the window was found full; ms. */
  #fullAt = 0
  #index = 0
  #open = 0
  #published = 0
  /** From here on all are of QoS 0, and not known to be handed to the network. */
  #unconfirmed = 0
  /** Settles when that is known of all before. */
  #confirmed: Promise<unknown> = Promise.resolve()
  #failures: { index: number; error: unknown }[] = []
  /** What was asked of the messages when there was no room for it. */
  #refused: IteratorResult<OutgoingMessage> | undefined = undefined
  #wake: (() => void) | undefined = undefined

  /** @throws UsageError */
  constructor(publisher: Publisher, options: unknown, largestWindow: number, runtime: Runtime) {
    const { window, signal, ...others } = withDefaults('', options, OPTIONS)
    this.#publisher = publisher
    this.#runtime = runtime
    this.signal = checkSignal(signal)
    // Only those that were given: all are looked at for each message.
    if (others.qos === 0) others.qos = undefined
    const given = Object.entries(others).filter(([, value]) => value !== undefined)
    this.#defaults = given.length === 0 ? NO_OPTIONS : Object.fromEntries(given)
    this.#window = Math.min(checkWhole('window', window ?? FIRST_WINDOW, 1, Infinity), largestWindow)
    this.#largest = window === undefined ? largestWindow : this.#window
  }

  /** Takes a message, if there is room for it: else false. What is wrong with it is a failure of its own. */
  add(message: OutgoingMessage): boolean {
    if (this.#open >= this.#window) return false
    const index = this.#index
    let isWritten = false
    try {
      const options = isBare(message) ? this.#defaults : this.#complete(message)
      const taken = this.#publisher.take(message.topic, message.payload, options, this, index)
      if (taken === undefined) return false
      isWritten = taken === 'written'
      if (isWritten) this.#published += 1
      // It may have settled already.
      else this.#open += 1
    } catch (error) {
      // A closed client takes nothing any more: there is no point in asking the iterable for the rest.
      if (error instanceof ClosedError) throw error
      this.#fail(index, error)
    }
    if (!isWritten) {
      this.confirm()
      this.#unconfirmed = index + 1
    }
    this.#index = index + 1
    if (this.#index - this.#unconfirmed === CONFIRMED_AT_ONCE) this.confirm()
    return true
  }

  /** Messages of QoS 0 are published, or have failed, when the connection has taken them, or is gone. */
  confirm(): void {
    const first = this.#unconfirmed
    const end = this.#index
    if (first === end) return
    this.#unconfirmed = end
    this.#confirmed = this.#publisher.handedOver().catch((error: unknown) => {
      this.#published -= end - first
      for (let index = first; index < end; index++) this.#fail(index, error)
    })
  }

  /** The message's own options before the call's: a literal, because a spread makes a dictionary of each message. */
  #complete(message: OutgoingMessage): DeliveryOptions {
    checkMessageNames(message)
    const { qos, retain, until, timeout, properties } = this.#defaults
    return {
      qos: message.qos ?? qos,
      retain: message.retain ?? retain,
      until: message.until ?? until,
      signal: message.signal,
      timeout: message.timeout ?? timeout,
      properties: message.properties ?? properties,
    }
  }

  /**
   * Takes messages while there is room for them. True: there are no more.
   *
   * Not in the `async` function that waits: code that is entered for one message after the other is compiled sooner,
   * and stays so when the next call brings another iterator.
   */
  fill(messages: Source): boolean {
    const { next } = messages
    let step = this.#refused ?? next.call(messages)
    for (; !step.done; step = next.call(messages)) {
      if (this.add(step.value)) continue
      this.#refused = step
      return false
    }
    return true
  }

  /** Takes a message as soon as there is room for it. @throws the signal's reason */
  async put(message: OutgoingMessage): Promise<void> {
    this.signal?.throwIfAborted()
    while (!this.add(message)) await this.room()
    this.confirm()
    // The program has a turn, which promises alone would not give it.
    if (this.#index % CONFIRMED_AT_ONCE === 0) await abortable(this.#confirmed, this.signal)
  }

  /** Resolves when there may be room for more, or rejects with the signal's reason. */
  room(): Promise<void> {
    this.confirm()
    this.#fullAt = this.#runtime.now()
    return abortable(new Promise((resolve) => (this.#wake = resolve)), this.signal)
  }

  /** Whoever waits for room looks again, whether or not there is any. */
  wake(): void {
    this.#wake?.()
    this.#wake = undefined
  }

  /** A turn is over: whoever waits for room looks again. */
  handleTurn(): void {
    if (this.#wake === undefined) return
    if (this.#open >= this.#window || (this.#open > 0 && !this.#publisher.hasRoom)) return
    if (this.#runtime.now() - this.#fullAt >= LONG_WAIT)
      this.#window = Math.min(2 * this.#window, this.#largest)
    this.wake()
  }

  /** Resolves when all that was taken has settled. */
  async finish(): Promise<PublishAllResult> {
    this.confirm()
    await this.#confirmed
    while (this.#open > 0) await new Promise<void>((resolve) => (this.#finished = resolve))
    return { published: this.#published, failed: this.#index - this.#published, failures: this.#failures }
  }

  #finished: (() => void) | undefined = undefined

  settle({ place }: Delivery, error: unknown): void {
    this.#open -= 1
    if (error === undefined) this.#published += 1
    else this.#fail(place, error)
    if (this.#open === 0) this.#finished?.()
  }

  #fail(index: number, error: unknown): void {
    if (this.#failures.length < MOST_FAILURES) this.#failures.push({ index, error })
  }
}

/** Takes all messages of an iterable, then waits for what was taken. */
export async function publishAll(
  batch: Batch,
  messages: Partial<Iterable<OutgoingMessage> & AsyncIterable<OutgoingMessage>> | null,
): Promise<PublishAllResult> {
  try {
    batch.signal?.throwIfAborted()
    if (messages?.[Symbol.asyncIterator]) await takeAsync(batch, messages as AsyncIterable<OutgoingMessage>)
    else if (messages?.[Symbol.iterator]) await takeSync(batch, messages as Iterable<OutgoingMessage>)
    else throw invalid('messages', 'an iterable', messages)
  } catch (error) {
    if (!batch.signal?.aborted) await batch.finish()
    throw error
  }
  return batch.finish()
}

async function takeSync(batch: Batch, messages: Iterable<OutgoingMessage>): Promise<void> {
  const iterator = messages[Symbol.iterator]()
  try {
    while (!batch.fill(iterator)) await batch.room()
  } catch (error) {
    try {
      iterator.return?.()
    } catch {
      // As of a loop: the first error counts.
    }
    throw error
  }
}

async function takeAsync(batch: Batch, messages: AsyncIterable<OutgoingMessage>): Promise<void> {
  for await (const message of messages) await batch.put(message)
}

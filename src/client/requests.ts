/**
 * SUBSCRIBE and UNSUBSCRIBE as the application asks for them: queued while there is no connection, split over
 * packets by the server's limits, one after another for one filter, and issued anew when a connection ends before
 * the answer (rules 14, 17, 28).
 *
 * A server may refuse one by closing. What two connections ended before is sent alone the next time, one after another
 * and before all publishes, so that it is known which of them the server cannot bear (decision 17).
 */

import { ConnectionError, type MqttError, RefusedError } from '../core/errors.ts'
import { isServersDoing } from '../core/connection/endings.ts'
import { Operation } from '../core/connection/operations.ts'
import type { NegotiatedSettings } from '../core/connection/negotiated.ts'
import { needsVersion5 } from './option-checks.ts'
import { speaks5 } from './options.ts'
import { optionOf5 } from './subscribe-options.ts'
import { describeReasonCode } from '../core/packets/reason-codes.ts'
import type { Properties, QoS, SubscriptionRequest } from '../core/packets/types.ts'
import { hasWildcard, sharedSubscription } from '../core/topics/topic.ts'
import { createDeferred } from './deferred.ts'
import type { Driver } from './driver.ts'

/** The server's answer to one filter. */
export interface SubscribeResult {
  readonly filter: string
  readonly reasonCode: number
  /** Undefined when it was refused. */
  readonly grantedQos: QoS | undefined
}

export interface UnsubscribeResult {
  readonly results: readonly { readonly filter: string; readonly reasonCode: number }[]
}

/** The filters that were asked for, and the handler behind them; `results` says which were granted. */
export interface Subscription {
  readonly filters: readonly string[]
  readonly results: readonly SubscribeResult[]
  /** Removes this handler, and sends UNSUBSCRIBE when it was the last of its filter. */
  unsubscribe(): Promise<UnsubscribeResult>
  [Symbol.asyncDispose](): Promise<void>
}

/** The server's answer to a filter, or ours on its behalf (rule 23). */
interface Answer {
  readonly reasonCode: number
  readonly local: boolean
  readonly properties: Properties | undefined
}

export type Answers = ReadonlyMap<string, Answer>

export class Request {
  readonly kind: 'subscribe' | 'unsubscribe'
  readonly subscriptions: readonly SubscriptionRequest[]
  readonly filters: readonly string[]
  readonly properties: Properties | undefined
  readonly timeout: number
  readonly answered: Promise<Answers>
  readonly answers: Map<string, Answer> = new Map()
  /** Operations that were sent and not answered. */
  open = 0
  sent = false
  wasSent = false
  isOver = false
  /** How many connections the server ended before it answered. */
  strikes = 0
  /** Made by the client itself, which tries for ever: nobody waits for it, and without it the client would be deaf. */
  isRenewal = false
  /** Filters in one packet at most. */
  most: number = Infinity
  /** Nobody waits any more; what a late SUBACK grants is undone. */
  abandoned = false
  readonly resolve: (answers: Answers) => void
  readonly reject: (error: unknown) => void

  constructor(
    kind: 'subscribe' | 'unsubscribe',
    subject: readonly SubscriptionRequest[] | readonly string[],
    properties: Properties | undefined,
    timeout: number,
  ) {
    this.kind = kind
    this.subscriptions = kind === 'subscribe' ? (subject as readonly SubscriptionRequest[]) : []
    this.filters =
      kind === 'subscribe' ? this.subscriptions.map(({ filter }) => filter) : (subject as readonly string[])
    this.properties = properties
    this.timeout = timeout
    const { promise, resolve, reject } = createDeferred<Answers>()
    this.answered = promise
    this.resolve = resolve
    this.reject = reject
    promise.catch(() => {})
  }
}

/** A connection may be lost at any time; after this many a request is suspected. */
const SUSPECT_AFTER = 2

export class Requests {
  readonly #maxFilters: number
  readonly #poisonLimit: number
  /** The most filters in a SUBSCRIBE that was answered, at least as many as AWS IoT takes. */
  largest = 8
  /** SUBSCRIBEs that were given up, and whose answers are still to come, or never will: the server may know them. */
  unanswerable: Request[] = []
  /** Not finished, in the order in which they were asked for. */
  #queue: Request[] = []
  #driver: Driver | undefined = undefined

  /** @param maxFilters in one packet */
  constructor(maxFilters: number, poisonLimit: number) {
    this.#maxFilters = maxFilters
    this.#poisonLimit = poisonLimit
  }

  get size(): number {
    return this.#queue.length
  }

  /** Requests that were sent. */
  get unanswered(): number {
    return this.#queue.filter(({ sent }) => sent).length
  }

  /** Filters that a SUBSCRIBE which has not been answered asks for. */
  get subscribing(): ReadonlySet<string> {
    return new Set(this.#queue.filter(({ kind }) => kind === 'subscribe').flatMap(({ filters }) => filters))
  }

  /** Whether such a SUBSCRIBE names the filter. */
  asksFor(filter: string): boolean {
    return this.#queue.some(({ kind, filters }) => kind === 'subscribe' && filters.includes(filter))
  }

  add(request: Request): void {
    this.#queue.push(request)
    this.#advance()
  }

  /** Puts a request before all others: subscriptions are renewed before anything else. */
  addFirst(request: Request): void {
    this.#queue.unshift(request)
  }

  /** Whoever asked has lost interest, rule 17. */
  abandon(request: Request, reason: unknown): void {
    request.reject(reason)
    request.abandoned = true
    if (!request.sent) this.#giveUp(request)
    this.#advance()
  }

  /** A connection stands: what has no answer is sent, again if need be; then publishes go. */
  handleConnected(driver: Driver): void {
    this.#driver = driver
    this.#advance()
  }

  /** The connection is gone: what was sent and not answered is no session state, it waits for the next one. */
  handleGone(error: MqttError): void {
    this.#driver = undefined
    for (const request of this.#queue) {
      if (request.sent && isServersDoing(error)) request.strikes += 1
      request.sent = false
      request.open = 0
      request.answers.clear()
    }
    for (const request of this.#queue) if (request.abandoned) this.#giveUp(request)
    const suspect = this.#suspect()
    if (suspect === undefined || suspect.isRenewal || this.#poisonLimit === 0) return
    if (suspect.strikes < this.#poisonLimit) return
    this.#remove(suspect)
    suspect.reject(poisonError(suspect, error))
  }

  handleClosed(error: MqttError): void {
    for (const request of this.#queue.splice(0)) request.reject(error)
  }

  /**
   * An operation was answered, or has waited too long. Returns its request when nobody wants what it granted any
   * more.
   */
  handleOperation(operation: Operation): Request | undefined {
    const request = operation.owner as Request
    if (operation.interrupted) return undefined
    // One that has waited too long is told again when its answer comes.
    if (operation.error !== undefined && operation.reasonCodes.length === 0) {
      request.abandoned = true
      request.reject(operation.error)
      this.#giveUp(request)
      this.#advance()
      return undefined
    }
    this.largest = Math.max(this.largest, operation.subscriptions.length)
    filtersOf(operation).forEach((filter, index) => {
      const reasonCode = operation.reasonCodes[index] ?? 0x80
      request.answers.set(filter, { reasonCode, local: false, properties: operation.result })
    })
    request.open -= 1
    this.unanswerable = this.unanswerable.filter((other) => other !== request)
    if (request.open <= 0) this.#finish(request)
    return request.abandoned && request.kind === 'subscribe' ? request : undefined
  }

  #advance(): void {
    const driver = this.#driver
    if (driver === undefined) return
    const suspect = this.#suspect()
    const busy = new Set<string>()
    for (const request of suspect === undefined ? this.#queue : [suspect]) {
      const blocked = request.filters.some((filter) => busy.has(filter))
      for (const filter of request.filters) busy.add(filter)
      if (!request.sent && !blocked) this.#send(request, driver)
    }
    if (suspect === undefined) driver.connection.resume(driver.now)
    driver.touched()
  }

  /** The first that several connections have ended before. */
  #suspect(): Request | undefined {
    const enough = Math.min(SUSPECT_AFTER, this.#poisonLimit || SUSPECT_AFTER)
    return this.#queue.find(({ strikes }) => strikes >= enough)
  }

  #send(request: Request, driver: Driver): void {
    const { settings } = driver.connection
    if (settings === undefined) return
    const field = speaks5(settings) ? undefined : request.subscriptions.map(optionOf5).find(Boolean)
    if (field !== undefined) return this.abandon(request, needsVersion5(field))
    request.sent = request.wasSent = true
    const subject = request.kind === 'subscribe' ? this.#allowed(request, settings) : request.filters
    const operations = this.#split(request, subject, driver, settings)
    request.open = operations.length
    if (operations.length === 0) return this.#finish(request)
    for (const operation of operations) driver.connection.request(operation, driver.now)
  }

  /** What the server does not have is refused here, rule 23; the rest is sent. */
  #allowed(request: Request, settings: NegotiatedSettings): readonly SubscriptionRequest[] {
    return request.subscriptions.filter(({ filter }) => {
      const code = unavailable(filter, request.properties, settings)
      if (code !== undefined) request.answers.set(filter, localAnswer(code))
      return code === undefined
    })
  }

  #split(
    request: Request,
    subject: readonly SubscriptionRequest[] | readonly string[],
    driver: Driver,
    { maximumPacketSize }: NegotiatedSettings,
  ): Operation[] {
    const operations: Operation[] = []
    let rest: readonly (SubscriptionRequest | string)[] = subject
    while (rest.length > 0) {
      let count = Math.min(rest.length, this.#maxFilters, request.most)
      let operation = createOperation(request, rest.slice(0, count))
      while (count > 1 && driver.connection.requestSize(operation) > maximumPacketSize) {
        count = Math.ceil(count / 2)
        operation = createOperation(request, rest.slice(0, count))
      }
      rest = rest.slice(count)
      if (driver.connection.requestSize(operation) <= maximumPacketSize) operations.push(operation)
      else for (const filter of filtersOf(operation)) request.answers.set(filter, localAnswer(0x95))
    }
    return operations
  }

  #giveUp(request: Request): void {
    this.#remove(request)
    if (request.wasSent && request.kind === 'subscribe') this.unanswerable.push(request)
  }

  #finish(request: Request): void {
    request.isOver = true
    this.#remove(request)
    request.resolve(request.answers)
    this.#advance()
  }

  #remove(request: Request): void {
    this.#queue = this.#queue.filter((other) => other !== request)
  }
}

function createOperation(request: Request, subject: readonly (SubscriptionRequest | string)[]): Operation {
  const { kind, properties, timeout } = request
  const named =
    kind === 'subscribe'
      ? { subscriptions: subject as SubscriptionRequest[] }
      : { filters: subject as string[] }
  const operation = new Operation(kind, { ...named, properties, timeout })
  operation.owner = request
  return operation
}

function filtersOf({ subscriptions, filters }: Operation): readonly string[] {
  return subscriptions.length > 0 ? subscriptions.map(({ filter }) => filter) : filters
}

/** The code with which the server would refuse it, 5: 3.2.2.3.11 to 13. */
function unavailable(
  filter: string,
  properties: Properties | undefined,
  settings: NegotiatedSettings,
): number | undefined {
  if (!settings.sharedSubscriptionAvailable && sharedSubscription(filter) !== undefined) return 0x9e
  if (!settings.wildcardSubscriptionAvailable && hasWildcard(filter)) return 0xa2
  if (!settings.subscriptionIdentifiersAvailable && properties?.subscriptionIdentifiers !== undefined)
    return 0xa1
  return undefined
}

function localAnswer(reasonCode: number): Answer {
  return { reasonCode, local: true, properties: undefined }
}

function poisonError({ kind, filters, strikes }: Request, cause: MqttError): ConnectionError {
  const message =
    `the server ended ${strikes} connections instead of answering ${kind.toUpperCase()} for ` +
    `${quoted(filters)}; it may not allow that (option poisonLimit)`
  return new ConnectionError('poison-delivery', message, { phase: 'established', cause })
}

function quoted(filters: Iterable<string>): string {
  return Array.from(filters, (filter) => `"${filter}"`).join(', ')
}

/** All filters were refused. */
export function allRefused(kind: 'subscribe' | 'unsubscribe', answers: Answers): RefusedError | undefined {
  const all = [...answers.values()]
  const [first] = all
  if (first === undefined || all.some(({ reasonCode }) => reasonCode < 0x80)) return undefined
  const { reasonCode, local, properties } = first
  const what = `to ${kind} ${kind === 'subscribe' ? 'to' : 'from'} ${quoted(answers.keys())}`
  const who = local ? `the server does not allow ${what}:` : `the server refused ${what} with`
  return new RefusedError(
    kind === 'subscribe' ? 'subscribe-refused' : 'unsubscribe-refused',
    `${who} ${describeReasonCode(reasonCode)}`,
    { reasonCode, local, properties },
  )
}

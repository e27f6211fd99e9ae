/**
 * `subscribe`, `messages`, `route`, `unsubscribe`, `resubscribe`: handlers on one side, SUBSCRIBE and UNSUBSCRIBE on
 * the other, and who holds which filter (rules 14, 27, 28).
 */

import { whenAborted } from './abortable.ts'
import type { Connected } from '../core/connection/events.ts'
import type { Operation } from '../core/connection/operations.ts'
import { type MqttError, UsageError } from '../core/errors.ts'
import type { Properties, QoS, SubscriptionRequest } from '../core/packets/types.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Driver } from './driver.ts'
import type { Events } from './events.ts'
import { type Handling, NOT_HANDLED, type Route } from './handling.ts'
import type { Handler } from './message.ts'
import { BufferedStream, type MessageStream } from './message-stream.ts'
import { type ResolvedOptions, speaks5 } from './options.ts'
import {
  allRefused,
  type Answers,
  Request,
  Requests,
  type Subscription,
  type UnsubscribeResult,
} from './requests.ts'
import type { SubscribeResult } from './requests.ts'
import {
  optionOf5,
  type RequestedFilter,
  type ResolvedCall,
  type ResolvedFilter,
  type ResolvedRoute,
} from './subscribe-options.ts'
import { appliedToAll, type Subscriptions } from './subscriptions.ts'

export interface SubscriberHost {
  readonly closedError: MqttError | undefined
  readonly connected: Driver | undefined
}

/** One call of `subscribe`: what it holds until it is undone. */
interface Holding {
  readonly routes: Route[]
  readonly filters: readonly string[]
  /** Whose messages they are, of an iterable. */
  readonly stream: BufferedStream | undefined
  /** How many of them were neither refused nor unsubscribed from since. */
  held: number
  released: boolean
  /** Leaves the call's signal. */
  unlisten: () => void
}

/** Filters to ask for, by their properties. */
type Groups = Map<Properties | undefined, SubscriptionRequest[]>

export class Subscriber {
  readonly #subscriptions: Subscriptions
  readonly #dispatcher: Dispatcher
  readonly #events: Events
  readonly #options: ResolvedOptions
  readonly #host: SubscriberHost
  readonly requests: Requests
  // Made when they are first needed: an idle client has none.
  #holders: Map<string, Set<Holding>> | undefined = undefined
  /** What each stream that has not ended holds. */
  #streams: Map<BufferedStream, Holding> | undefined = undefined
  #streamOf: WeakMap<Route, BufferedStream> | undefined = undefined

  constructor(
    parts: { subscriptions: Subscriptions; dispatcher: Dispatcher; events: Events; host: SubscriberHost },
    options: ResolvedOptions,
  ) {
    this.#subscriptions = parts.subscriptions
    this.#dispatcher = parts.dispatcher
    this.#events = parts.events
    this.#host = parts.host
    this.#options = options
    this.requests = new Requests(options.maxFiltersPerSubscribe, options.poisonLimit)
  }

  async subscribe(
    wanted: readonly RequestedFilter[],
    options: ResolvedCall,
    handler: Handler | undefined,
    stream?: BufferedStream,
  ): Promise<Subscription> {
    const { signal } = options
    this.#checkOpen(signal)
    for (const { request } of wanted) this.#checkSame(request, options.properties)
    const holding = this.#hold(wanted, handler, stream)
    if (stream !== undefined) {
      this.#streams ??= new Map()
      this.#streams.set(stream, holding)
    }
    const request = this.#request(wanted, options)
    holding.unlisten = whenAborted(signal, (reason) => {
      const last = this.#release(holding)
      if (request?.isOver === false) this.requests.abandon(request, reason)
      else if (last.length > 0 && this.#host.closedError === undefined)
        this.unsubscribe(last, PLAIN).catch(() => {})
    })
    // Not before: a handler that is called by it may undo all this.
    this.#dispatcher.handleRoute()
    if (request === undefined) {
      const { filters } = this.#subscriptions
      return this.#subscription(holding, (filter) => filters.get(filter)?.request.qos ?? 0)
    }
    let answers: Answers
    try {
      answers = await request.answered
    } catch (error) {
      this.#release(holding)
      throw error
    }
    const refusal = allRefused('subscribe', answers)
    for (const [filter, { reasonCode }] of answers) {
      if (reasonCode >= 0x80) this.#releaseFilter(holding, filter)
    }
    if (refusal !== undefined) {
      this.#release(holding)
      throw refusal
    }
    if (holding.held === 0) this.#endHolding(holding)
    return this.#subscription(holding, (filter) => answers.get(filter)?.reasonCode ?? 0x80)
  }

  messages(wanted: readonly RequestedFilter[], options: ResolvedCall): MessageStream {
    const routesOf = ({ routes }: Handling): readonly Route[] =>
      [...routes].filter((route) => this.#streamOf?.get(route) === stream)
    const stop = whenAborted(options.signal, (reason) => stream.fail(reason))
    const stream: BufferedStream = new BufferedStream({
      subscribe: (target) => this.subscribe(wanted, options, undefined, target),
      release: (handling, reasonCode) => {
        if (reasonCode > 0) this.#dispatcher.handleDropped()
        for (const route of routesOf(handling)) this.#dispatcher.release(handling, route, reasonCode)
      },
      giveBack: (handling) => {
        if (handling.message.qos === 0) this.#dispatcher.handleDropped()
        for (const route of routesOf(handling)) this.#dispatcher.abandon(handling, route)
      },
      handleEnd: () => {
        stop()
        this.#streams?.delete(stream)
      },
      leave: async (target) => {
        const done = target.ready.then((subscription) => subscription.unsubscribe())
        const left = done.catch(() => {})
        if (this.#host.connected !== undefined) await left
      },
    })
    return stream
  }

  /** A handler without SUBSCRIBE. */
  route(filter: string, handler: Handler, options: ResolvedRoute): () => void {
    const route = createRoute(filter, handler, options, undefined, Infinity)
    this.#subscriptions.add(route)
    this.#dispatcher.handleRoute()
    return () => this.#removeRoute(route)
  }

  /** Removes every handler of the filters and always sends UNSUBSCRIBE. */
  async unsubscribe(
    filters: readonly string[],
    { timeout, signal, properties }: ResolvedCall,
  ): Promise<UnsubscribeResult> {
    this.#checkOpen(signal)
    for (const filter of filters) {
      for (const route of this.#subscriptions.routesOf(filter)) this.#removeRoute(route)
      for (const holding of this.#holders?.get(filter) ?? []) {
        holding.held -= 1
        if (holding.held === 0) this.#endHolding(holding)
      }
      this.#holders?.delete(filter)
      this.#subscriptions.forget(filter)
    }
    const request = new Request('unsubscribe', filters, properties, timeout ?? this.#options.operationTimeout)
    const stop = whenAborted(signal, (reason) => this.requests.abandon(request, reason))
    this.requests.add(request)
    const answers = await request.answered.finally(stop)
    const refusal = allRefused('unsubscribe', answers)
    if (refusal !== undefined) throw refusal
    return {
      results: filters.map((filter) => ({ filter, reasonCode: answers.get(filter)?.reasonCode ?? 0 })),
    }
  }

  /** Asks for all filters again. */
  async resubscribe({ timeout, signal, properties }: ResolvedCall): Promise<readonly SubscribeResult[]> {
    this.#checkOpen(signal)
    const renewals = this.#renewals(true, false, timeout, properties)
    const stop = whenAborted(signal, (reason) => {
      for (const request of renewals) this.requests.abandon(request, reason)
    })
    for (const request of renewals) this.requests.add(request)
    const answers = await Promise.all(renewals.map(({ answered }) => answered)).finally(stop)
    return answers.flatMap((some) => [...some]).map(([filter, answer]) => result(filter, answer.reasonCode))
  }

  // What happens.

  handleConnected(driver: Driver, { sessionPresent, doubtful, settings }: Connected): void {
    const { resubscribe } = this.#options
    if (!sessionPresent || doubtful) this.handleSessionLost()
    const isNew = resubscribe === 'always' || !sessionPresent
    if (resubscribe !== 'never') this.#renew(isNew || doubtful, !isNew && speaks5(settings))
    for (const request of this.requests.unanswerable.splice(0)) this.#undo(request)
    this.requests.handleConnected(driver)
  }

  /** The server has, or may have, no subscriptions any more. */
  handleSessionLost(): void {
    for (const subscribed of this.#subscriptions.filters.values()) subscribed.owed = true
  }

  handleOperation(operation: Operation): void {
    const abandoned = this.requests.handleOperation(operation)
    // Without an answer nothing is known: the request is made again, or has failed and lets its filters go.
    if (operation.kind === 'subscribe' && operation.reasonCodes.length > 0) {
      operation.subscriptions.forEach(({ filter }, index) => {
        this.#handleAnswer(filter, operation.reasonCodes[index] ?? 0x80)
      })
    }
    if (abandoned !== undefined) this.#undo(abandoned)
  }

  /** Nobody wants what it has asked for. */
  #undo({ filters }: Request): void {
    const unwanted = filters.filter((filter) => this.#holders?.has(filter) !== true)
    if (unwanted.length > 0) this.requests.add(new Request('unsubscribe', unwanted, undefined, 0))
  }

  handleClosed(error: MqttError): void {
    this.requests.handleClosed(error)
    for (const [stream, holding] of this.#streams ?? []) {
      stream.close()
      this.#release(holding)
    }
    this.#streams = undefined
  }

  // Who holds what.

  #checkOpen(signal: AbortSignal | undefined): void {
    const { closedError } = this.#host
    if (closedError !== undefined) throw closedError
    signal?.throwIfAborted()
  }

  /** Filters that exist keep the options that the server applies to all their handlers, rule 28. */
  #checkSame(request: SubscriptionRequest, properties: Properties | undefined): void {
    const { filter } = request
    const known = this.#subscriptions.filters.get(filter)
    if (known === undefined) return
    const had = appliedToAll(known.request, known.properties)
    for (const [name, given] of Object.entries(appliedToAll(request, properties))) {
      if (given === had[name]) continue
      const message = `expected ${had[name]} as in the subscription to "${filter}" that exists, got ${given}`
      throw new UsageError('invalid-option', name, message)
    }
  }

  #hold(
    wanted: readonly RequestedFilter[],
    handler: Handler | undefined,
    stream: BufferedStream | undefined,
  ): Holding {
    const filters = wanted.map(({ request: { filter } }) => filter)
    const held = filters.length
    const holding: Holding = { routes: [], filters, stream, held, released: false, unlisten: () => {} }
    // One function for all filters of the call, so that a message that matches several of them comes once.
    const called: Handler | undefined = stream === undefined ? handler : () => {}
    for (const { request, options } of wanted) {
      const { filter } = request
      this.#holders ??= new Map()
      const holders = this.#holders.get(filter) ?? new Set()
      this.#holders.set(filter, holders.add(holding))
      if (called === undefined) continue
      const route = createRoute(filter, called, options, stream, this.#options.maxPending)
      if (stream !== undefined) {
        this.#streamOf ??= new WeakMap()
        this.#streamOf.set(route, stream)
      }
      holding.routes.push(route)
      this.#subscriptions.add(route)
    }
    return holding
  }

  /** SUBSCRIBE for those filters that need one. */
  #request(wanted: readonly RequestedFilter[], { timeout, properties }: ResolvedCall): Request | undefined {
    const requests: SubscriptionRequest[] = []
    for (const { request } of wanted) {
      const known = this.#subscriptions.filters.get(request.filter)
      const isGranted = known?.granted === true && !known.owed && request.qos <= known.request.qos
      if (isGranted && request.retainHandling === 2 && properties?.userProperties === undefined) continue
      const asked = { ...request, qos: Math.max(known?.request.qos ?? 0, request.qos) as QoS }
      requests.push(asked)
      this.#subscriptions.want(asked.filter, asked, properties)
    }
    if (requests.length === 0) return undefined
    const request = new Request('subscribe', requests, properties, timeout ?? this.#options.operationTimeout)
    this.requests.add(request)
    return request
  }

  #subscription(holding: Holding, codeOf: (filter: string) => number): Subscription {
    const { filters } = holding
    const unsubscribe = async (): Promise<UnsubscribeResult> => {
      const last = this.#release(holding)
      holding.stream?.end()
      return last.length === 0 ? { results: [] } : this.unsubscribe(last, PLAIN)
    }
    return {
      filters,
      results: filters.map((filter) => result(filter, codeOf(filter))),
      unsubscribe,
      [Symbol.asyncDispose]: async () => {
        await unsubscribe()
      },
    }
  }

  /** Gives up a call's handlers; returns the filters that nobody holds any more. */
  #release(holding: Holding): string[] {
    if (holding.released) return []
    holding.released = true
    holding.unlisten()
    return holding.filters.filter((filter) => this.#releaseFilter(holding, filter))
  }

  /** Nothing is left of it. */
  #endHolding(holding: Holding): void {
    holding.unlisten()
    holding.stream?.end()
  }

  #releaseFilter(holding: Holding, filter: string): boolean {
    for (const route of holding.routes) if (route.filter === filter) this.#removeRoute(route)
    const holders = this.#holders?.get(filter)
    if (holders === undefined || !holders.delete(holding)) return false
    holding.held -= 1
    if (holders.size > 0) return false
    this.#holders?.delete(filter)
    this.#subscriptions.forget(filter)
    return true
  }

  #removeRoute(route: Route): void {
    this.#subscriptions.remove(route)
    this.#dispatcher.handleRemoved(route, route.take === undefined ? 0 : NOT_HANDLED)
  }

  #handleAnswer(filter: string, code: number): void {
    const subscribed = this.#subscriptions.filters.get(filter)
    if (subscribed === undefined) return
    subscribed.owed = false
    if (code < 0x80) subscribed.granted = true
    // Another call may ask for it, too.
    else if (!subscribed.granted && !this.requests.asksFor(filter)) this.#subscriptions.forget(filter)
  }

  /**
   * What was granted, once more: one request for those that were asked for with the same properties. What only
   * version 5 can express stands apart, as a server of 3.1.1 will get all but that.
   *
   * @param all not only what the server has lost
   */
  #renewals(
    all: boolean,
    onlyNew: boolean,
    timeout = this.#options.operationTimeout,
    added?: Properties,
  ): readonly Request[] {
    if (this.#subscriptions.filters.size === 0) return []
    const asked = this.requests.subscribing
    const [plain, of5] = [new Map(), new Map()] as [Groups, Groups]
    for (const [filter, { granted, owed, request, properties }] of this.#subscriptions.filters) {
      if (!granted || asked.has(filter) || !(all || owed)) continue
      const { retainHandling } = request
      const renewal = onlyNew && retainHandling === 0 ? { ...request, retainHandling: 1 as const } : request
      const groups = optionOf5(renewal) === undefined ? plain : of5
      const group = groups.get(properties)
      if (group === undefined) groups.set(properties, [renewal])
      else group.push(renewal)
    }
    return [...plain, ...of5].map(([properties, requests]) => {
      const given = added ? { ...properties, ...added } : properties
      const request = new Request('subscribe', requests, given, timeout)
      // What a server has taken before, it takes again.
      request.most = this.requests.largest
      return request
    })
  }

  /** @param onlyNew those that the server has bring no retained messages, 5: 3.8.3.1 */
  #renew(all: boolean, onlyNew: boolean): void {
    for (const request of this.#renewals(all, onlyNew).toReversed()) {
      request.isRenewal = true
      this.requests.addFirst(request)
      request.answered
        .then((answers) => {
          // Ours, too.
          for (const [filter, { reasonCode }] of answers) this.#handleAnswer(filter, reasonCode)
          const refused = [...answers].filter(([, { reasonCode }]) => reasonCode >= 0x80)
          const refusal = allRefused('subscribe', new Map(refused))
          if (refusal !== undefined) throw refusal
        })
        .catch((error: MqttError) => {
          if (error instanceof UsageError)
            for (const filter of request.filters) this.#handleAnswer(filter, 0x80)
          if (this.#host.closedError === undefined) this.#events.emit('error', { error })
        })
    }
  }
}

function createRoute(
  filter: string,
  handler: Handler,
  options: ResolvedRoute & Partial<ResolvedFilter>,
  stream: BufferedStream | undefined,
  highWaterMark: number,
): Route {
  return {
    filter,
    handler,
    take: stream === undefined ? undefined : (handling) => stream.take(handling),
    ack: options.ack,
    borrowed: options.payload === 'borrowed' && stream === undefined,
    concurrency: stream === undefined ? options.concurrency : Infinity,
    highWaterMark: stream === undefined ? Infinity : (options.highWaterMark ?? highWaterMark),
    running: 0,
    waiting: [],
    advancing: false,
    active: true,
  }
}

function result(filter: string, reasonCode: number): SubscribeResult {
  return { filter, reasonCode, grantedQos: reasonCode <= 2 ? (reasonCode as 0 | 1 | 2) : undefined }
}

const PLAIN: ResolvedCall = { timeout: undefined, signal: undefined, properties: undefined }

/**
 * The options of `subscribe`, `messages`, `route`, `unsubscribe`, `resubscribe`, and the list of filters.
 *
 * They come out with every field present, a filter and its options together, whichever way they were given.
 */

import { UsageError } from '../core/errors.ts'
import type { Properties, QoS, SubscriptionRequest, UserProperties } from '../core/packets/types.ts'
import { sharedSubscription, topicFilterFault } from '../core/topics/topic.ts'
import {
  checkBoolean,
  checkDelay,
  checkOneOf,
  checkProperties,
  checkQoS,
  checkSignal,
  checkWhole,
  invalid,
  isObject,
  kindOf,
  needsVersion5,
  propertyRules,
  type Version5,
  withDefaults,
} from './option-checks.ts'

/**
 * When a message of QoS 1 or 2 is acknowledged: `'handled'`: when its handlers are done; `'received'`: when it is
 * handed to them; `'manual'`: by `message.ack()`.
 */
export type AckMode = 'handled' | 'received' | 'manual'

/** How a handler gets its messages. */
export interface RouteOptions {
  /**
   * Default `'handled'`. With `'manual'` a handler that throws, or whose promise rejects, has acknowledged by that, unless
   * `onHandlerError` says otherwise; nothing ends the wait for an `ack()` that does not come.
   */
  readonly ack?: AckMode | undefined
  /** `'borrowed'`: payloads are not copied and valid until the handler returns. Default `'kept'`; of iterables always. */
  readonly payload?: 'kept' | 'borrowed' | undefined
  /** Handlers at once. Default 1: one after another, in order; of iterables always. */
  readonly concurrency?: number | undefined
}

/** What may differ from filter to filter. */
export interface FilterOptions extends RouteOptions {
  /** The highest QoS of the messages, 3.8.3. Default 0. */
  readonly qos?: QoS | undefined
  /** Messages that an iterable holds before reading stops, at most the client's `maxPending`. Default: that. */
  readonly highWaterMark?: number | undefined
  /** Whether own messages stay out, version 5 only (3.8.3.1). Default false. */
  readonly noLocal?: boolean | undefined
  /** Whether `retain` stays as it was published, version 5 only (3.8.3.1). Default false. */
  readonly retainAsPublished?: boolean | undefined
  /** Retained messages: 0: sent; 1: sent if the subscription is new; 2: not sent. Version 5 only. Default 0. */
  readonly retainHandling?: 0 | 1 | 2 | undefined
}

export interface SubscribeOptions extends FilterOptions {
  /** Version 5 only. */
  readonly properties?: SubscribeProperties | undefined
  /** ms, 0: no limit. Default: the client's `operationTimeout`. */
  readonly timeout?: number | undefined
  /** Covers the subscription's life: a later abort unsubscribes. */
  readonly signal?: AbortSignal | undefined
}

/** 5: 3.8.2.1 */
export interface SubscribeProperties {
  /** 1 to 268,435,455; comes back with each message of this subscription. */
  readonly subscriptionIdentifier?: number | undefined
  readonly userProperties?: UserProperties | undefined
}

/** Of `unsubscribe` and `resubscribe`. */
export interface UnsubscribeOptions {
  /** 5: 3.10.2.1 */
  readonly properties?: { readonly userProperties?: UserProperties | undefined } | undefined
  /** ms, 0: no limit. Default: the client's `operationTimeout`. */
  readonly timeout?: number | undefined
  readonly signal?: AbortSignal | undefined
}

export interface ResolvedRoute {
  readonly ack: AckMode
  readonly payload: 'kept' | 'borrowed'
  readonly concurrency: number
}

export interface ResolvedFilter extends ResolvedRoute {
  readonly qos: QoS
  readonly highWaterMark: number | undefined
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

/** What belongs to a call and not to one of its filters. */
export interface ResolvedCall {
  readonly properties: Properties | undefined
  readonly timeout: number | undefined
  readonly signal: AbortSignal | undefined
}

export type ResolvedSubscribe = ResolvedFilter & ResolvedCall

export type FilterInput = string | readonly string[] | Readonly<Record<string, FilterOptions>>

export interface RequestedFilter {
  /** As it stands in SUBSCRIBE. */
  readonly request: SubscriptionRequest
  readonly options: ResolvedFilter
}

const ROUTE_DEFAULTS = { ack: 'handled', payload: 'kept', concurrency: 1 } as const

const FILTER_DEFAULTS = {
  ...ROUTE_DEFAULTS,
  qos: 0,
  highWaterMark: undefined,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
} as const

const CALL_DEFAULTS = { properties: undefined, timeout: undefined, signal: undefined } as const
const SUBSCRIBE_DEFAULTS = { ...FILTER_DEFAULTS, ...CALL_DEFAULTS } as const

const MAX_IDENTIFIER = 268_435_455
const IDENTIFIER = 'properties.subscriptionIdentifier'
const SUBSCRIBE_PROPERTIES = propertyRules('subscribe', 'userProperties')
const UNSUBSCRIBE_PROPERTIES = propertyRules('unsubscribe', 'userProperties')

/** @throws UsageError */
export function checkRouteOptions(options: RouteOptions | undefined): ResolvedRoute {
  return resolveRoute('', withDefaults('', options, ROUTE_DEFAULTS))
}

/** @throws UsageError */
export function checkSubscribeOptions(
  options: SubscribeOptions | undefined,
  version5: Version5 = 'auto',
): ResolvedSubscribe {
  const given = withDefaults('', options, SUBSCRIBE_DEFAULTS)
  const properties = subscribeProperties(given.properties, version5)
  return Object.freeze({ ...resolveFilter('', given, version5), ...resolveCall(given, properties) })
}

/**
 * What only a handler has cannot be asked for without one.
 *
 * @throws UsageError
 */
export function checkNoHandling(filter: FilterInput, options: SubscribeOptions = {}): void {
  const single = isObject(filter) && !Array.isArray(filter) ? Object.values(filter as object) : []
  for (const given of [options, ...(single as readonly FilterOptions[])]) {
    for (const name of ['ack', 'payload', 'concurrency'] as const)
      if (given?.[name] !== undefined)
        throw invalid(name, 'it where the handler is given (route)', given[name])
  }
}

/** @throws UsageError */
export function checkUnsubscribeOptions(
  options: UnsubscribeOptions | undefined,
  version5: Version5 = 'auto',
): ResolvedCall {
  const given = withDefaults('', options, CALL_DEFAULTS)
  const properties = checkProperties('properties', given.properties, UNSUBSCRIBE_PROPERTIES)
  if (properties !== undefined && version5 === 'no') throw needsVersion5('properties')
  return Object.freeze(resolveCall(given, properties))
}

/**
 * The filters of a subscribe, each once, with the options of its own in place of those of the call.
 *
 * @throws UsageError
 */
export function checkFilters(
  filter: FilterInput,
  common: ResolvedSubscribe,
  version5: Version5,
): readonly RequestedFilter[] {
  if (typeof filter === 'string' || !isObject(filter)) {
    return checkFilterNames(filter).map((name) => requested(name, '', common))
  }
  const names = checkFilterNames(Object.keys(filter))
  return names.map((name) => {
    const field = `filter[${JSON.stringify(name)}]`
    const { properties: _, timeout: __, signal: ___, ...inherited } = common
    const given = withDefaults(field, filter[name], inherited, MEANT_FOR_THE_CALL)
    return requested(name, `${field}.`, resolveFilter(`${field}.`, given, version5))
  })
}

const MEANT_FOR_THE_CALL = {
  properties: 'the same name in the options of the call',
  timeout: 'the same name in the options of the call',
  signal: 'the same name in the options of the call',
}

/** The filters of an unsubscribe, each once. @throws UsageError */
export function checkFilterNames(filter: unknown): readonly string[] {
  if (typeof filter === 'string') return [checkFilter('filter', filter)]
  if (!Array.isArray(filter)) {
    throw new UsageError('invalid-filter', 'filter', `expected a string or a list, got ${kindOf(filter)}`)
  }
  // [3.1.1 MQTT-3.8.3-3] [5 MQTT-3.8.3-2] [3.1.1 MQTT-3.10.3-2] [5 MQTT-3.10.3-2]
  if (filter.length === 0) {
    throw new UsageError('invalid-filter', 'filter', 'expected at least one topic filter, got none')
  }
  return [...new Set(filter.map((name: unknown, index) => checkFilter(`filter[${index}]`, name)))]
}

/** Which option only version 5 can express, for a client that `'auto'` made fall back to 3.1.1. */
export function optionOf5(
  options: Pick<ResolvedFilter, 'noLocal' | 'retainHandling'>,
): 'noLocal' | 'retainHandling' | undefined {
  if (options.noLocal) return 'noLocal'
  return options.retainHandling === 0 ? undefined : 'retainHandling'
}

function checkFilter(field: string, filter: unknown): string {
  const fault = topicFilterFault(filter)
  if (fault !== undefined || typeof filter !== 'string') {
    throw new UsageError('invalid-filter', field, fault ?? 'expected a string')
  }
  return filter
}

function requested(filter: string, path: string, options: ResolvedFilter): RequestedFilter {
  const { qos, noLocal, retainAsPublished, retainHandling } = options
  // [5 MQTT-3.8.3-4]
  if (noLocal && sharedSubscription(filter) !== undefined) {
    const message = `expected false with a shared subscription, got true for ${JSON.stringify(filter)}`
    throw new UsageError('invalid-option', `${path}noLocal`, message)
  }
  return { request: { filter, qos, noLocal, retainAsPublished, retainHandling }, options }
}

function resolveRoute(path: string, given: Readonly<Record<keyof ResolvedRoute, unknown>>): ResolvedRoute {
  return {
    ack: checkOneOf(`${path}ack`, given.ack, ['handled', 'received', 'manual']),
    payload: checkOneOf(`${path}payload`, given.payload, ['kept', 'borrowed']),
    concurrency: checkWhole(`${path}concurrency`, given.concurrency, 1, Infinity),
  }
}

function resolveFilter(
  path: string,
  given: Readonly<Record<keyof ResolvedFilter, unknown>>,
  version5: Version5,
): ResolvedFilter {
  const { highWaterMark } = given
  const resolved = {
    ...resolveRoute(path, given),
    qos: checkQoS(`${path}qos`, given.qos),
    highWaterMark:
      highWaterMark === undefined
        ? undefined
        : checkWhole(`${path}highWaterMark`, highWaterMark, 1, Infinity),
    noLocal: checkBoolean(`${path}noLocal`, given.noLocal),
    retainAsPublished: checkBoolean(`${path}retainAsPublished`, given.retainAsPublished),
    retainHandling: checkQoS(`${path}retainHandling`, given.retainHandling),
  }
  if (version5 !== 'no') return resolved
  const name = resolved.retainAsPublished ? 'retainAsPublished' : optionOf5(resolved)
  if (name !== undefined) throw needsVersion5(path + name)
  return resolved
}

function resolveCall(
  given: Readonly<Record<keyof ResolvedCall, unknown>>,
  properties: Properties | undefined,
): ResolvedCall {
  const { timeout, signal } = given
  return {
    properties,
    timeout: timeout === undefined ? undefined : checkDelay('timeout', timeout, 0),
    signal: checkSignal(signal),
  }
}

function subscribeProperties(given: unknown, version5: Version5): Properties | undefined {
  if (given === undefined) return undefined
  const { subscriptionIdentifier: identifier, ...others } = withDefaults('properties', given, {
    subscriptionIdentifier: undefined,
    userProperties: undefined,
  })
  const checked = checkProperties('properties', others, SUBSCRIBE_PROPERTIES)
  if (version5 === 'no' && (checked !== undefined || identifier !== undefined)) {
    throw needsVersion5('properties')
  }
  if (identifier === undefined) return checked
  return { ...checked, subscriptionIdentifiers: [checkWhole(IDENTIFIER, identifier, 1, MAX_IDENTIFIER)] }
}

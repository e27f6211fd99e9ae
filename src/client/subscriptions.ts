/**
 * What the application has asked for: filters, their options on the wire, and the handlers behind them.
 *
 *     filter ─► Subscribed { options as sent, granted, owed } one for each filter with a SUBSCRIBE
 *     filter ─► routes                                        the handlers behind it
 *     topic  ─► TopicTree ─► routes                           remembered on the topic until a route changes
 *
 * Subscriptions outlive connections and sessions; the client renews them when the server has forgotten them.
 */

import type { ReceivedTopic } from '../core/packets/received-topics.ts'
import type { Properties, SubscriptionRequest } from '../core/packets/types.ts'
import { deliveryFilter } from '../core/topics/topic.ts'
import { TopicTree } from '../core/topics/topic-tree.ts'
import type { Route } from './handling.ts'
import type { Handler } from './message.ts'

/** A filter for which SUBSCRIBE was sent, or is to be sent. */
export interface Subscribed {
  request: SubscriptionRequest
  properties: Properties | undefined
  /** The server has granted it: it is renewed when the session is lost. */
  granted: boolean
  /** The server has lost it, and was not heard to have it again. */
  owed: boolean
}

interface Matches {
  readonly version: number
  readonly routes: readonly Route[]
}

const NO_ROUTES: readonly Route[] = []
const NO_FILTERS: ReadonlyMap<string, Subscribed> = new Map()

export class Subscriptions {
  // Made when they are first needed: an idle client has none.
  #tree: TopicTree<Route> | undefined = undefined
  #subscribed: Map<string, Subscribed> | undefined = undefined
  #routes: Map<string, Set<Route>> | undefined = undefined
  /** Counts the changes of routes: what was remembered before the latest is void. */
  #version = 0

  get filters(): ReadonlyMap<string, Subscribed> {
    return this.#subscribed ?? NO_FILTERS
  }

  add(route: Route): void {
    this.#tree ??= new TopicTree()
    this.#tree.add(deliveryFilter(route.filter), route)
    this.#routes ??= new Map()
    const routes = this.#routes.get(route.filter) ?? new Set()
    this.#routes.set(route.filter, routes.add(route))
    this.#version += 1
  }

  /** Removes a handler; what waits for it is for the caller to finish. */
  remove(route: Route): void {
    if (!route.active) return
    route.active = false
    this.#tree?.remove(deliveryFilter(route.filter), route)
    const routes = this.#routes?.get(route.filter)
    routes?.delete(route)
    if (routes?.size === 0) this.#routes?.delete(route.filter)
    this.#version += 1
  }

  routesOf(filter: string): readonly Route[] {
    return [...(this.#routes?.get(filter) ?? [])]
  }

  /** The handlers that match, each once. */
  match(name: ReceivedTopic): readonly Route[] {
    if (this.#tree === undefined) return NO_ROUTES
    const known = name.route as Matches | undefined
    if (known !== undefined && known.version === this.#version) return known.routes
    const found: Route[] = []
    this.#tree.match(name.text, found)
    const routes = found.length > 1 ? eachHandlerOnce(found) : found
    name.route = { version: this.#version, routes } satisfies Matches
    return routes
  }

  /** Remembers that the filter is, or will be, subscribed to. */
  want(filter: string, request: SubscriptionRequest, properties: Properties | undefined): void {
    this.#subscribed ??= new Map()
    const { granted = false, owed = false } = this.#subscribed.get(filter) ?? {}
    this.#subscribed.set(filter, { request, properties, granted, owed })
  }

  forget(filter: string): void {
    this.#subscribed?.delete(filter)
  }
}

/** A handler that stands behind several matching filters is called once, rule 27. */
function eachHandlerOnce(routes: readonly Route[]): readonly Route[] {
  const handlers = new Set<Handler>()
  return routes.filter(({ handler }) => {
    const known = handlers.has(handler)
    handlers.add(handler)
    return !known
  })
}

/** The options of one filter that the server applies to all its handlers, rule 28. */
export function appliedToAll(
  { noLocal, retainAsPublished }: SubscriptionRequest,
  properties: Properties | undefined,
): Readonly<Record<string, boolean | number | undefined>> {
  const identifier = properties?.subscriptionIdentifiers?.[0]
  return { noLocal, retainAsPublished, 'properties.subscriptionIdentifier': identifier }
}

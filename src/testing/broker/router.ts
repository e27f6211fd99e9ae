/** From a message to the sessions that get it: subscriptions, shared subscriptions, retained messages. */

import { matches, sharedSubscription } from '../../core/topics/topic.ts'
import { TopicTree } from '../../core/topics/topic-tree.ts'
import type { QoS, SubscriptionRequest } from '../../core/packets/types.ts'
import type { BrokerMessage, BrokerSession, Subscription } from './broker-session.ts'

export class Router {
  readonly retained: Map<string, BrokerMessage> = new Map()

  readonly #copyEach: boolean
  readonly #tree = new TopicTree<Subscription>()
  /** Whose turn it is in each shared subscription. */
  readonly #turns = new Map<string, number>()

  /** @param copyEach whether overlapping subscriptions get a copy each */
  constructor(copyEach: boolean) {
    this.#copyEach = copyEach
  }

  /** How many copies were made. */
  publish(message: BrokerMessage, now: number): number {
    if (message.retain) {
      if (message.payload.length === 0) this.retained.delete(message.topic)
      else this.retained.set(message.topic, message)
    }
    const found: Subscription[] = []
    this.#tree.match(message.topic, found)
    const bySession = new Map<BrokerSession, Subscription[]>()
    const byGroup = new Map<string, Subscription[]>()
    for (const subscription of found) {
      if (subscription.group !== undefined) append(byGroup, subscription.group, subscription)
      else if (!subscription.request.noLocal || subscription.session.clientId !== message.publisher) {
        append(bySession, subscription.session, subscription)
      }
    }
    let copies = 0
    for (const subscriptions of bySession.values()) {
      const sets = this.#copyEach ? subscriptions.map((one) => [one]) : [subscriptions]
      for (const set of sets) deliver(message, set, now)
      copies += sets.length
    }
    for (const [group, members] of byGroup) {
      deliver(message, [this.#nextOf(group, members)], now)
      copies += 1
    }
    return copies
  }

  /** Makes or replaces a subscription; returns the retained messages that it gets. */
  subscribe(
    session: BrokerSession,
    request: SubscriptionRequest,
    grantedQoS: QoS,
    identifier: number | undefined,
    now: number,
  ): readonly BrokerMessage[] {
    const { filter, retainHandling, noLocal } = request
    const shared = sharedSubscription(filter)
    const existing = session.subscriptions.get(filter)
    if (existing !== undefined) Object.assign(existing, { request, grantedQoS, identifier })
    else {
      const group = shared === undefined ? undefined : `${shared.group}/${shared.filter}`
      const subscription: Subscription = { session, filter, group, request, grantedQoS, identifier }
      session.subscriptions.set(filter, subscription)
      this.#tree.add(shared?.filter ?? filter, subscription)
    }
    const isWanted = retainHandling === 0 || (retainHandling === 1 && existing === undefined)
    if (shared !== undefined || !isWanted) return []
    return [...this.retained.values()].filter(
      ({ topic, expiresAt, publisher }) =>
        expiresAt > now && matches(filter, topic) && !(noLocal && publisher === session.clientId),
    )
  }

  /** False: there was none. */
  unsubscribe(session: BrokerSession, filter: string): boolean {
    const subscription = session.subscriptions.get(filter)
    if (subscription === undefined) return false
    session.subscriptions.delete(filter)
    return this.#tree.remove(sharedSubscription(filter)?.filter ?? filter, subscription)
  }

  unsubscribeAll(session: BrokerSession): void {
    for (const filter of session.subscriptions.keys()) this.unsubscribe(session, filter)
  }

  /** Round robin among those who are there, else among all. */
  #nextOf(group: string, members: readonly Subscription[]): Subscription {
    const present = members.filter(({ session }) => session.isConnected)
    const candidates = present.length > 0 ? present : members
    const turn = this.#turns.get(group) ?? 0
    this.#turns.set(group, turn + 1)
    return candidates[turn % candidates.length] as Subscription
  }
}

/** One copy for the subscriptions of one session [5 MQTT-3.3.4-2, 3.3.4-4]. */
function deliver(message: BrokerMessage, subscriptions: readonly Subscription[], now: number): void {
  const session = subscriptions[0]?.session
  const granted = Math.max(...subscriptions.map(({ grantedQoS }) => grantedQoS))
  const qos = Math.min(message.qos, granted) as QoS
  const retain = message.retain && subscriptions.some(({ request }) => request.retainAsPublished)
  const identifiers = subscriptions.flatMap(({ identifier }) =>
    identifier === undefined ? [] : [identifier],
  )
  session?.deliver({ message, qos, retain, identifiers }, now)
}

function append<Key>(map: Map<Key, Subscription[]>, key: Key, subscription: Subscription): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [subscription])
  else list.push(subscription)
}

/** SUBSCRIBE and UNSUBSCRIBE, 3.8 to 3.11. */

import { hasWildcard, sharedSubscription, topicFilterFault } from '../../core/topics/topic.ts'
import type {
  QoS,
  SubscribePacket,
  SubscriptionRequest,
  UnsubscribePacket,
} from '../../core/packets/types.ts'
import type { BrokerConnection } from './broker-connection.ts'
import type { BrokerMessage, BrokerSession } from './broker-session.ts'
import type { BrokerOptions } from './options.ts'
import type { Router } from './router.ts'

const FILTER_INVALID = 0x8f
const NONE_EXISTED = 0x11

export class Subscribing {
  readonly #options: BrokerOptions
  readonly #router: Router

  constructor(options: BrokerOptions, router: Router) {
    this.#options = options
    this.#router = router
  }

  handle(connection: BrokerConnection, packet: SubscribePacket | UnsubscribePacket, now: number): void {
    const { session } = connection
    const fault = connection.conduct.receive(packet)
    if (fault !== undefined) connection.violate(fault.rule, fault.text, fault.reasonCode)
    if (session === undefined || connection.state === 'closed') return
    if (packet.type === 'subscribe') this.#subscribe(connection, session, packet, now)
    else this.#unsubscribe(connection, session, packet)
  }

  #subscribe(
    connection: BrokerConnection,
    session: BrokerSession,
    packet: SubscribePacket,
    now: number,
  ): void {
    const identifier = packet.properties?.subscriptionIdentifiers?.[0]
    if (identifier !== undefined && this.#options.subscriptionIdentifiersAvailable === false) {
      const text = 'SUBSCRIBE has a Subscription Identifier, which is not available'
      connection.violate('identifiers-unavailable', text, 0xa1)
    }
    const reasonCodes: number[] = []
    const retained: { message: BrokerMessage; qos: QoS; identifiers: number[] }[] = []
    for (const request of packet.subscriptions) {
      const reasonCode = this.#grant(connection, session, request)
      if (connection.state === 'closed') return
      reasonCodes.push(reasonCode)
      if (reasonCode >= 0x80) continue
      const granted = reasonCode as QoS
      const identifiers = identifier === undefined ? [] : [identifier]
      for (const message of this.#router.subscribe(session, request, granted, identifier, now)) {
        retained.push({ message, qos: Math.min(message.qos, granted) as QoS, identifiers })
      }
    }
    connection.respond({ type: 'suback', packetId: packet.packetId, reasonCodes })
    for (const outgoing of retained) session.deliver({ ...outgoing, retain: true }, now)
  }

  /** The reason code of one filter: the QoS that is granted, or why not. */
  #grant(connection: BrokerConnection, session: BrokerSession, request: SubscriptionRequest): number {
    const { filter, qos, noLocal } = request
    const {
      maximumQoS = 2,
      wildcardSubscriptionAvailable = true,
      sharedSubscriptionAvailable = true,
    } = this.#options
    const isShared = sharedSubscription(filter) !== undefined
    const fault = topicFilterFault(filter)
    if (fault !== undefined) {
      connection.violate(
        filter.startsWith('$share/') ? 'shared-filter' : 'topic-filter',
        fault,
        FILTER_INVALID,
      )
      return FILTER_INVALID
    }
    if (isShared && noLocal) {
      connection.violate('no-local-on-shared', `"${filter}" is shared and has No Local 1`, 0x82)
      return 0x83
    }
    if (hasWildcard(filter) && !wildcardSubscriptionAvailable) {
      return this.#unavailable(connection, 'wildcard-unavailable', filter, 0xa2)
    }
    if (isShared && !sharedSubscriptionAvailable) {
      return this.#unavailable(connection, 'shared-unavailable', filter, 0x9e)
    }
    const code = this.#options.authorizeSubscribe?.(session.clientId, request) ?? qos
    return code >= 0x80 ? code : Math.min(code, qos, maximumQoS)
  }

  /** In 3.1.1 a client cannot know, so it is only refused. */
  #unavailable(
    connection: BrokerConnection,
    rule: 'wildcard-unavailable' | 'shared-unavailable',
    filter: string,
    reasonCode: number,
  ): number {
    if (connection.version5) connection.violate(rule, `"${filter}" was subscribed to`, reasonCode)
    return reasonCode
  }

  #unsubscribe(connection: BrokerConnection, session: BrokerSession, packet: UnsubscribePacket): void {
    const reasonCodes: number[] = []
    for (const filter of packet.filters) {
      const fault = topicFilterFault(filter)
      if (fault !== undefined) connection.violate('topic-filter', fault, FILTER_INVALID)
      if (connection.state === 'closed') return
      reasonCodes.push(this.#router.unsubscribe(session, filter) ? 0 : NONE_EXISTED)
    }
    connection.respond({ type: 'unsuback', packetId: packet.packetId, reasonCodes })
  }
}

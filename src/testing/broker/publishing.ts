/** PUBLISH and its acknowledgements in both directions, 4.3. */

import { topicNameFault } from '../../core/topics/topic.ts'
import type { AckPacket, ControlPacket, PublishPacket, WillMessage } from '../../core/packets/types.ts'
import type { Properties } from '../../core/packets/types.ts'
import type { BrokerConnection } from './broker-connection.ts'
import type { BrokerMessage, BrokerSession } from './broker-session.ts'
import type { BrokerOptions } from './options.ts'

const NOT_FOUND = 0x92
const NO_SUBSCRIBERS = 0x10

export class Publishing {
  readonly #options: BrokerOptions
  readonly #handOn: (message: BrokerMessage) => number

  /** @param handOn gives a message to its subscribers and returns how many copies that were */
  constructor(options: BrokerOptions, handOn: (message: BrokerMessage) => number) {
    this.#options = options
    this.#handOn = handOn
  }

  handle(connection: BrokerConnection, packet: PublishPacket | AckPacket, now: number): void {
    const { session } = connection
    if (session === undefined) return
    if (packet.type === 'publish') this.#handlePublish(connection, session, packet, now)
    else this.#handleAcknowledgement(connection, session, packet, now)
  }

  /** The client has sent it, though a rule of the test's keeps it from the broker. */
  notice(connection: BrokerConnection, packet: ControlPacket): void {
    const sent = packet.type === 'publish' ? this.#resolveAlias(connection, packet) : packet
    const fault = sent === undefined ? undefined : connection.conduct.receive(sent)
    if (fault !== undefined) connection.violate(fault.rule, fault.text, fault.reasonCode)
  }

  #handlePublish(
    connection: BrokerConnection,
    session: BrokerSession,
    sent: PublishPacket,
    now: number,
  ): void {
    const packet = this.#resolveAlias(connection, sent)
    if (packet === undefined || !this.#checkLimits(connection, packet)) return
    const fault = connection.conduct.receive(packet)
    if (fault !== undefined) connection.violate(fault.rule, fault.text, fault.reasonCode)
    if (connection.state === 'closed') return
    const { packetId, qos } = packet
    if (qos === 2 && session.received.has(packetId)) {
      connection.respond({ type: 'pubrec', packetId, reasonCode: 0 })
      return
    }
    const code = this.#options.authorizePublish?.(session.clientId, packet) ?? 0
    const isRefused = code >= 0x80
    const message = messageOf(packet, session.clientId, now)
    const waits = qos === 2 && this.#options.handOnAt === 'pubrel'
    // First, because handing on may end the connection, and then it comes again.
    if (qos === 2 && !(isRefused && connection.version5)) {
      session.received.set(packetId, waits && !isRefused ? message : undefined)
    }
    const copies = isRefused || waits ? 1 : this.#handOn(message)
    if (qos === 0 || connection.state !== 'connected') return
    const none = copies === 0 && this.#options.reportNoSubscribers === true
    const reasonCode = none ? NO_SUBSCRIBERS : code
    connection.respond({ type: qos === 1 ? 'puback' : 'pubrec', packetId, reasonCode })
  }

  /** False: the packet is to be forgotten. */
  #checkLimits(connection: BrokerConnection, { qos, retain, topic, properties }: PublishPacket): boolean {
    const { maximumQoS = 2, retainAvailable = true } = this.#options
    const fault = topicNameFault(topic)
    if (fault !== undefined) connection.violate('topic-name', fault, 0x90)
    else if (properties?.subscriptionIdentifiers !== undefined) {
      connection.violate('subscription-identifier', 'PUBLISH has a Subscription Identifier', 0x82)
    } else if (!connection.version5 && (qos > maximumQoS || (retain && !retainAvailable))) {
      // A client cannot know it, so it has done nothing wrong.
      connection.end()
    } else if (qos > maximumQoS) {
      connection.violate('maximum-qos', `PUBLISH has QoS ${qos}, Maximum QoS is ${maximumQoS}`, 0x9b)
    } else if (retain && !retainAvailable) {
      connection.violate('retain-unavailable', 'PUBLISH has RETAIN 1, which is not available', 0x9a)
    }
    return fault === undefined && connection.state !== 'closed'
  }

  #handleAcknowledgement(
    connection: BrokerConnection,
    session: BrokerSession,
    packet: AckPacket,
    now: number,
  ): void {
    const fault = connection.conduct.receive(packet)
    if (fault !== undefined) {
      connection.violate(fault.rule, fault.text, fault.reasonCode)
      return
    }
    const { type, packetId, reasonCode } = packet
    if (type === 'pubrel') this.#handlePubrel(connection, session, packetId)
    else if (type !== 'pubrec' || reasonCode >= 0x80) session.settle(packetId, now)
    else if (!session.release(packetId)) {
      connection.respond({ type: 'pubrel', packetId, reasonCode: NOT_FOUND })
    }
  }

  #handlePubrel(connection: BrokerConnection, session: BrokerSession, packetId: number): void {
    const isKnown = session.received.has(packetId)
    const message = session.received.get(packetId)
    session.received.delete(packetId)
    if (message !== undefined) this.#handOn(message)
    connection.respond({ type: 'pubcomp', packetId, reasonCode: isKnown ? 0 : NOT_FOUND })
  }

  /** 5: 3.3.2.3.4; undefined: the packet is to be forgotten. */
  #resolveAlias(connection: BrokerConnection, packet: PublishPacket): PublishPacket | undefined {
    const maximum = this.#options.topicAliasMaximum ?? 0
    const alias = packet.properties?.topicAlias
    if (alias === undefined) return packet
    if (alias === 0) connection.violate('topic-alias-zero', 'PUBLISH has the Topic Alias 0', 0x94)
    else if (alias > maximum) {
      const text = `PUBLISH has the Topic Alias ${alias}, Topic Alias Maximum is ${maximum}`
      connection.violate('topic-alias', text, 0x94)
    } else {
      const topic = packet.topic === '' ? connection.aliases.get(alias) : packet.topic
      if (topic !== undefined) {
        connection.aliases.set(alias, topic)
        return { ...packet, topic }
      }
      const text = `PUBLISH has no topic and the unknown Topic Alias ${alias}`
      connection.violate('topic-alias-unknown', text, 0x82)
    }
    return undefined
  }
}

/** A message as it is handed on: without what was between the publisher and the broker alone. */
export function messageOf(
  packet: PublishPacket | WillMessage,
  publisher: string,
  now: number,
): BrokerMessage {
  const { topic, payload, qos, retain, properties } = packet
  const expiry = properties?.messageExpiryInterval ?? Infinity
  return {
    topic,
    payload,
    qos,
    retain,
    properties: handedOn(properties),
    expiresAt: now + 1_000 * expiry,
    publisher,
  }
}

function handedOn(properties: Properties | undefined): Properties | undefined {
  if (properties === undefined) return undefined
  const { topicAlias, willDelayInterval, messageExpiryInterval, subscriptionIdentifiers, ...rest } =
    properties
  void [topicAlias, willDelayInterval, messageExpiryInterval, subscriptionIdentifiers]
  return rest
}

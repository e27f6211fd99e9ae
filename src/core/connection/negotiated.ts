/**
 * What both sides may do on this connection, from CONNECT and CONNACK.
 *
 * 3.1.1 negotiates nothing: its limits are constants. Behaviour asks these settings, never the version.
 */

import type { Properties } from '../packets/types.ts'
import type { ConnackPacket, ConnectPacket, ProtocolVersion, QoS } from '../packets/types.ts'

export interface NegotiatedSettings {
  readonly protocolVersion: ProtocolVersion
  /** As used on the wire; the server's, when it assigned one. */
  readonly clientId: string
  /** Seconds; the server's when it sent one. 0: none. */
  readonly keepAlive: number
  /** Seconds the server keeps the session after the connection; Infinity: for good. */
  readonly sessionExpiryInterval: number
  /** QoS 1 and 2 messages that the server accepts at once, 1 to 65,535. */
  readonly receiveMaximum: number
  readonly maximumQoS: QoS
  /** Largest packet that the server accepts, in bytes, fixed header included. */
  readonly maximumPacketSize: number
  /** Topic aliases that the server accepts; 0: none. */
  readonly topicAliasMaximum: number
  readonly retainAvailable: boolean
  readonly wildcardSubscriptionAvailable: boolean
  readonly subscriptionIdentifiersAvailable: boolean
  readonly sharedSubscriptionAvailable: boolean
  readonly responseInformation: string | undefined
  readonly serverReference: string | undefined
  /** All that CONNACK said, version 5 only. */
  readonly properties: Properties | undefined
}

/** The largest packet that the protocol allows: 256 MiB and a fixed header. */
export const LARGEST_PACKET = 268_435_460

/** 5: 3.2.2.3; what is absent has the default of the specification. */
export function negotiate(connect: ConnectPacket, connack: ConnackPacket): NegotiatedSettings {
  const answer = connack.properties ?? {}
  const asked = connect.properties ?? {}
  const expiry =
    connect.protocolVersion === '5'
      ? (answer.sessionExpiryInterval ?? asked.sessionExpiryInterval ?? 0)
      : connect.cleanStart
        ? 0
        : 0xffffffff
  return Object.freeze({
    protocolVersion: connect.protocolVersion,
    clientId: answer.assignedClientIdentifier ?? connect.clientId,
    keepAlive: answer.serverKeepAlive ?? connect.keepAlive,
    sessionExpiryInterval: expiry === 0xffffffff ? Infinity : expiry,
    receiveMaximum: answer.receiveMaximum ?? 65_535,
    maximumQoS: answer.maximumQoS ?? 2,
    maximumPacketSize: Math.min(answer.maximumPacketSize ?? LARGEST_PACKET, LARGEST_PACKET),
    topicAliasMaximum: answer.topicAliasMaximum ?? 0,
    retainAvailable: answer.retainAvailable ?? true,
    wildcardSubscriptionAvailable: answer.wildcardSubscriptionAvailable ?? true,
    subscriptionIdentifiersAvailable: answer.subscriptionIdentifiersAvailable ?? true,
    sharedSubscriptionAvailable: answer.sharedSubscriptionAvailable ?? true,
    responseInformation: answer.responseInformation,
    serverReference: answer.serverReference,
    properties: connack.properties,
  })
}

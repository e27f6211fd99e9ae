/** What a broker can be told. Limits have the names of the specification; what is not set is not limited. */

import type { ControlPacket, Properties, ProtocolVersion, PublishPacket } from '../../core/packets/types.ts'
import type { SubscriptionRequest } from '../../core/packets/types.ts'
import type { BrokerMessage } from './broker-session.ts'

export interface LoginRequest {
  readonly protocolVersion: ProtocolVersion
  readonly clientId: string
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
}

/** A scripted exchange of AUTH packets, 5: 4.12. */
export interface BrokerAuthentication {
  readonly method: string
  /** One round for each: the server sends the challenge, the client answers. */
  readonly challenges: readonly Uint8Array[]
  /** Whether the data of round 0 (CONNECT, or AUTH 0x19), 1, 2 … is right. All is, when absent. */
  readonly check?: ((data: Uint8Array | undefined, round: number, clientId: string) => boolean) | undefined
  /** Authentication Data of the last packet: CONNACK, or AUTH 0x00. */
  readonly final?: Uint8Array | undefined
}

export interface BrokerOptions {
  /** Both by default. */
  readonly versions?: readonly ProtocolVersion[] | undefined
  /** How a version 5 CONNECT is refused when `versions` lacks it. `connack-3.1.1` is `20 02 00 01`. */
  readonly refuseVersionBy?: 'connack-3.1.1' | 'connack-5' | 'close' | undefined
  /** After a violation the connection goes on where it can; the complaint is made all the same. */
  readonly tolerant?: boolean | undefined

  readonly receiveMaximum?: number | undefined
  readonly maximumQoS?: 0 | 1 | undefined
  readonly retainAvailable?: boolean | undefined
  /** Bytes. Holds in 3.1.1 too, where a client cannot know it. */
  readonly maximumPacketSize?: number | undefined
  readonly topicAliasMaximum?: number | undefined
  readonly wildcardSubscriptionAvailable?: boolean | undefined
  readonly subscriptionIdentifiersAvailable?: boolean | undefined
  readonly sharedSubscriptionAvailable?: boolean | undefined
  /** Seconds. */
  readonly serverKeepAlive?: number | undefined
  /** Seconds that a session lives at most after its connection, in both versions. */
  readonly sessionExpiryInterval?: number | undefined
  /**
   * Properties for a CONNACK that accepts: more than follow from other options, or others in their place. What the
   * broker itself goes by are those options.
   */
  readonly connackProperties?: Properties | undefined

  /** True or 0x00 accepts, false is 0x86, any other reason code refuses. */
  readonly login?: ((request: LoginRequest) => boolean | number) | undefined
  readonly authentication?: BrokerAuthentication | undefined
  /** A reason code: 0x80 and more refuse. In 3.1.1 a refused message is acknowledged and dropped. */
  readonly authorizePublish?: ((clientId: string, packet: PublishPacket) => number) | undefined
  /** A reason code: 0x80 and more refuse the filter, 0, 1, 2 are the QoS that is granted at most. */
  readonly authorizeSubscribe?: ((clientId: string, request: SubscriptionRequest) => number) | undefined

  /** Messages that wait for one client at most; more are dropped. */
  readonly maxQueued?: number | undefined
  /** Whether QoS 0 messages wait for clients that are away. */
  readonly queueQos0?: boolean | undefined
  /** QoS 1 and 2 messages in flight to one client, besides its Receive Maximum. */
  readonly maxInflight?: number | undefined
  /** Packet identifiers towards clients: reused as late as possible (the default), or the lowest that is free. */
  readonly packetIds?: 'ascending' | 'lowest' | undefined
  /** When a QoS 2 message of a client is handed on: as it comes (the default), or at its PUBREL. */
  readonly handOnAt?: 'publish' | 'pubrel' | undefined
  /** What overlapping subscriptions of one client get: one copy (the default), or one for each. */
  readonly overlapping?: 'one-copy' | 'copy-each' | undefined
  /** Use Topic Aliases towards clients that allow them. */
  readonly useTopicAliases?: boolean | undefined
  /** Answer 0x10 when a message had no subscriber. */
  readonly reportNoSubscribers?: boolean | undefined

  /** Every packet as it is handled (`in`) or really leaves (`out`; bytes that are no packet are not told). */
  readonly onPacket?:
    | ((direction: 'in' | 'out', packet: ControlPacket, connection: { readonly number: number }) => void)
    | undefined
  /** Every message that a client, a will or the test handed to the broker. */
  readonly onMessage?: ((message: BrokerMessage) => void) | undefined
}

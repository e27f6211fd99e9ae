/**
 * The fifteen control packets as objects, 3.1.1 and 5 in one shape: that of version 5.
 *
 * A 3.1.1 packet is a version 5 packet without properties whose return codes carry version 5 names; its codec
 * neither writes nor reads what the version does not have. Decoded packets always have all their fields, in
 * the same order; on the way out, `undefined` means "not set".
 */

export type QoS = 0 | 1 | 2
export type ProtocolVersion = '3.1.1' | '5'

/** The number in the first byte of a packet, 2.2.1 (5: 2.1.2). */
export const PACKET_TYPES = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const

export type PacketType = keyof typeof PACKET_TYPES

/** The packet types by their number; index 0 is reserved. */
export const PACKET_NAMES: readonly (PacketType | undefined)[] = [
  undefined,
  ...(Object.keys(PACKET_TYPES) as PacketType[]),
]

/** Order and repeats are kept. */
export type UserProperties = readonly (readonly [name: string, value: string])[]

/** Every property there is; what a packet may carry is in `PROPERTIES`. Intervals are seconds. */
export interface Properties {
  readonly payloadFormatIndicator?: 0 | 1 | undefined
  readonly messageExpiryInterval?: number | undefined
  readonly contentType?: string | undefined
  readonly responseTopic?: string | undefined
  readonly correlationData?: Uint8Array | undefined
  /** Several in a PUBLISH that matches several subscriptions; one in SUBSCRIBE. */
  readonly subscriptionIdentifiers?: readonly number[] | undefined
  readonly sessionExpiryInterval?: number | undefined
  readonly assignedClientIdentifier?: string | undefined
  readonly serverKeepAlive?: number | undefined
  readonly authenticationMethod?: string | undefined
  readonly authenticationData?: Uint8Array | undefined
  readonly requestProblemInformation?: boolean | undefined
  readonly willDelayInterval?: number | undefined
  readonly requestResponseInformation?: boolean | undefined
  readonly responseInformation?: string | undefined
  readonly serverReference?: string | undefined
  readonly reasonString?: string | undefined
  readonly receiveMaximum?: number | undefined
  readonly topicAliasMaximum?: number | undefined
  readonly topicAlias?: number | undefined
  readonly maximumQoS?: 0 | 1 | undefined
  readonly retainAvailable?: boolean | undefined
  readonly userProperties?: UserProperties | undefined
  readonly maximumPacketSize?: number | undefined
  readonly wildcardSubscriptionAvailable?: boolean | undefined
  readonly subscriptionIdentifiersAvailable?: boolean | undefined
  readonly sharedSubscriptionAvailable?: boolean | undefined
}

/** The message that the server publishes when the connection ends without DISCONNECT 0x00, 3.1.2.5. */
export interface WillMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: QoS
  readonly retain: boolean
  readonly properties?: Properties | undefined
}

export interface ConnectPacket {
  readonly type: 'connect'
  readonly protocolVersion: ProtocolVersion
  readonly clientId: string
  /** Clean Session in 3.1.1. */
  readonly cleanStart: boolean
  /** Seconds. */
  readonly keepAlive: number
  readonly will?: WillMessage | undefined
  readonly username?: string | undefined
  readonly password?: Uint8Array | undefined
  readonly properties?: Properties | undefined
}

export interface ConnackPacket {
  readonly type: 'connack'
  readonly sessionPresent: boolean
  readonly reasonCode: number
  readonly properties?: Properties | undefined
}

export interface PublishPacket {
  readonly type: 'publish'
  /** Empty when a Topic Alias stands for it. */
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: QoS
  readonly retain: boolean
  readonly dup: boolean
  /** 0 at QoS 0. */
  readonly packetId: number
  readonly properties?: Properties | undefined
}

export type AckType = 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'

export interface AckPacket {
  readonly type: AckType
  readonly packetId: number
  readonly reasonCode: number
  readonly properties?: Properties | undefined
}

export interface SubscriptionRequest {
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  readonly type: 'subscribe'
  readonly packetId: number
  readonly subscriptions: readonly SubscriptionRequest[]
  readonly properties?: Properties | undefined
}

export interface SubackPacket {
  readonly type: 'suback'
  readonly packetId: number
  readonly reasonCodes: readonly number[]
  readonly properties?: Properties | undefined
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe'
  readonly packetId: number
  readonly filters: readonly string[]
  readonly properties?: Properties | undefined
}

export interface UnsubackPacket {
  readonly type: 'unsuback'
  readonly packetId: number
  /** Empty in 3.1.1, whose UNSUBACK has none. */
  readonly reasonCodes: readonly number[]
  readonly properties?: Properties | undefined
}

export interface PingreqPacket {
  readonly type: 'pingreq'
}

export interface PingrespPacket {
  readonly type: 'pingresp'
}

export interface DisconnectPacket {
  readonly type: 'disconnect'
  readonly reasonCode: number
  readonly properties?: Properties | undefined
}

export interface AuthPacket {
  readonly type: 'auth'
  readonly reasonCode: number
  readonly properties?: Properties | undefined
}

/** Any control packet, told apart by `type`. */
export type ControlPacket =
  | ConnectPacket
  | ConnackPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | SubackPacket
  | UnsubscribePacket
  | UnsubackPacket
  | PingreqPacket
  | PingrespPacket
  | DisconnectPacket
  | AuthPacket

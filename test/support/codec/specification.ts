// The tables of the specification, typed once more from its text and never from the code: what the code's own
// tables are held against, and what the generators of packets are made of.

import type { PacketType, Properties, ProtocolVersion } from '../../../src/core/packets/types.ts'

export type Place = PacketType | 'will'

/** The data types of 5: table 2-4; `many` may stand more than once in a packet. */
export type DataType =
  | 'byte'
  | 'two byte integer'
  | 'four byte integer'
  | 'variable byte integer'
  | 'UTF-8 encoded string'
  | 'binary data'
  | 'UTF-8 string pair'

export interface SpecifiedProperty {
  readonly id: number
  readonly name: keyof Properties
  readonly dataType: DataType
  readonly places: readonly Place[]
}

const REASON_STRING: readonly Place[] = [
  'connack',
  'puback',
  'pubrec',
  'pubrel',
  'pubcomp',
  'suback',
  'unsuback',
  'disconnect',
  'auth',
]

function property(
  id: number,
  name: keyof Properties,
  dataType: DataType,
  ...places: readonly Place[]
): SpecifiedProperty {
  return { id, name, dataType, places }
}

/** 5: table 2-4, in its order. */
export const SPECIFIED_PROPERTIES: readonly SpecifiedProperty[] = [
  property(1, 'payloadFormatIndicator', 'byte', 'publish', 'will'),
  property(2, 'messageExpiryInterval', 'four byte integer', 'publish', 'will'),
  property(3, 'contentType', 'UTF-8 encoded string', 'publish', 'will'),
  property(8, 'responseTopic', 'UTF-8 encoded string', 'publish', 'will'),
  property(9, 'correlationData', 'binary data', 'publish', 'will'),
  property(11, 'subscriptionIdentifiers', 'variable byte integer', 'publish', 'subscribe'),
  property(17, 'sessionExpiryInterval', 'four byte integer', 'connect', 'connack', 'disconnect'),
  property(18, 'assignedClientIdentifier', 'UTF-8 encoded string', 'connack'),
  property(19, 'serverKeepAlive', 'two byte integer', 'connack'),
  property(21, 'authenticationMethod', 'UTF-8 encoded string', 'connect', 'connack', 'auth'),
  property(22, 'authenticationData', 'binary data', 'connect', 'connack', 'auth'),
  property(23, 'requestProblemInformation', 'byte', 'connect'),
  property(24, 'willDelayInterval', 'four byte integer', 'will'),
  property(25, 'requestResponseInformation', 'byte', 'connect'),
  property(26, 'responseInformation', 'UTF-8 encoded string', 'connack'),
  property(28, 'serverReference', 'UTF-8 encoded string', 'connack', 'disconnect'),
  property(31, 'reasonString', 'UTF-8 encoded string', ...REASON_STRING),
  property(33, 'receiveMaximum', 'two byte integer', 'connect', 'connack'),
  property(34, 'topicAliasMaximum', 'two byte integer', 'connect', 'connack'),
  property(35, 'topicAlias', 'two byte integer', 'publish'),
  property(36, 'maximumQoS', 'byte', 'connack'),
  property(37, 'retainAvailable', 'byte', 'connack'),
  property(
    38,
    'userProperties',
    'UTF-8 string pair',
    'connect',
    'connack',
    'publish',
    'will',
    'puback',
    'pubrec',
    'pubrel',
    'pubcomp',
    'subscribe',
    'suback',
    'unsubscribe',
    'unsuback',
    'disconnect',
    'auth',
  ),
  property(39, 'maximumPacketSize', 'four byte integer', 'connect', 'connack'),
  property(40, 'wildcardSubscriptionAvailable', 'byte', 'connack'),
  property(41, 'subscriptionIdentifiersAvailable', 'byte', 'connack'),
  property(42, 'sharedSubscriptionAvailable', 'byte', 'connack'),
]

/** 5: the reason code tables of 3.2.2.2, 3.4.2.1, …, and table 2-6, whose DISCONNECT has 0x8C besides. */
export const SPECIFIED_REASON_CODES: Readonly<Partial<Record<PacketType, readonly number[]>>> = {
  connack: [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
    0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
  ],
  puback: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrec: [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrel: [0x00, 0x92],
  pubcomp: [0x00, 0x92],
  suback: [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [
    0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95,
    0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ],
  auth: [0x00, 0x18, 0x19],
}

/** 3.1.1: table 3.1, the connect return codes 0 to 5, and what version 5 calls the same. */
export const SPECIFIED_RETURN_CODES: readonly number[] = [0x00, 0x84, 0x85, 0x88, 0x86, 0x87]

export type Sender = 'client' | 'server'

interface SpecifiedPacket {
  readonly name: PacketType
  readonly number: number
  /** The low four bits of the first byte; `undefined` where they vary. */
  readonly flags: number | undefined
  /** Who may send it: tables 2.1 (3.1.1) and 2-1 (5). */
  readonly senders: Readonly<Record<ProtocolVersion, readonly Sender[]>>
}

function packet(
  number: number,
  name: PacketType,
  flags: number | undefined,
  senders311: string,
  senders5: string = senders311,
): SpecifiedPacket {
  const list = (text: string): Sender[] => text.split(' ').filter((word) => word !== '') as Sender[]
  return { name, number, flags, senders: { '3.1.1': list(senders311), '5': list(senders5) } }
}

/** Tables 2.1 and 2.2 (5: 2-1 and 2-2). */
export const SPECIFIED_PACKETS: readonly SpecifiedPacket[] = [
  packet(1, 'connect', 0b0000, 'client'),
  packet(2, 'connack', 0b0000, 'server'),
  packet(3, 'publish', undefined, 'client server'),
  packet(4, 'puback', 0b0000, 'client server'),
  packet(5, 'pubrec', 0b0000, 'client server'),
  packet(6, 'pubrel', 0b0010, 'client server'),
  packet(7, 'pubcomp', 0b0000, 'client server'),
  packet(8, 'subscribe', 0b0010, 'client'),
  packet(9, 'suback', 0b0000, 'server'),
  packet(10, 'unsubscribe', 0b0010, 'client'),
  packet(11, 'unsuback', 0b0000, 'server'),
  packet(12, 'pingreq', 0b0000, 'client'),
  packet(13, 'pingresp', 0b0000, 'server'),
  packet(14, 'disconnect', 0b0000, 'client', 'client server'),
  packet(15, 'auth', 0b0000, '', 'client server'),
]

export function mayBeSentBy(name: PacketType, version: ProtocolVersion, sender: Sender): boolean {
  return SPECIFIED_PACKETS.find((row) => row.name === name)?.senders[version].includes(sender) ?? false
}

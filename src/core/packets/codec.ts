/**
 * Where the two versions meet: one table each, of what a client writes and of what a server may send.
 *
 * Everything above asks the codec, never the version. What a server writes and a client may send is not listed,
 * so a bundle of the client leaves it out; a type without a decoder is illegal.
 */

import { malformed, type ProtocolError, violation } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { decodeAck311, decodeAck5, encodeAck, encodeAck5 } from './acks.ts'
import { decodeAuth, encodeAuth } from './auth.ts'
import { encodeConnect } from './connect.ts'
import { decodeConnack311, decodeConnack5 } from './connack.ts'
import { decodeDisconnect5, disconnectSize, encodeDisconnect311, encodeDisconnect5 } from './disconnect.ts'
import { decodePingresp } from './ping.ts'
import type { Properties } from './types.ts'
import {
  decodeSuback311,
  decodeSuback5,
  encodeSubscribe311,
  encodeSubscribe5,
  subscribeSize,
} from './subscribe.ts'
import {
  type AckType,
  type AuthPacket,
  type ConnectPacket,
  type ControlPacket,
  type DisconnectPacket,
  PACKET_NAMES,
  type ProtocolVersion,
  type SubscribePacket,
  type UnsubscribePacket,
} from './types.ts'
import { decodeUnsuback311, decodeUnsuback5, encodeUnsubscribe, unsubscribeSize } from './unsubscribe.ts'

/** Reads the body of one packet of any type but PUBLISH. */
export type Decode = (reader: PacketReader) => ControlPacket

export interface Codec {
  readonly protocolVersion: ProtocolVersion
  /** Whether packets carry properties and reason codes, and lengths must be in their shortest form. */
  readonly hasProperties: boolean
  readonly encodeConnect: (out: OutputBuffer, packet: ConnectPacket) => void
  readonly encodeAck: (
    out: OutputBuffer,
    type: AckType,
    packetId: number,
    reasonCode: number,
    properties?: Properties,
  ) => void
  readonly encodeSubscribe: (out: OutputBuffer, packet: SubscribePacket) => void
  readonly subscribeSize: (packet: SubscribePacket) => number
  readonly encodeUnsubscribe: (out: OutputBuffer, packet: UnsubscribePacket) => void
  readonly unsubscribeSize: (packet: UnsubscribePacket) => number
  readonly encodeDisconnect: (out: OutputBuffer, packet: DisconnectPacket) => void
  readonly disconnectSize: (packet: DisconnectPacket) => number
  readonly encodeAuth: ((out: OutputBuffer, packet: AuthPacket) => void) | undefined
  /** By packet type number; PUBLISH has its own way. */
  readonly decode: readonly (Decode | undefined)[]
}

export const mqtt311: Codec = {
  protocolVersion: '3.1.1',
  hasProperties: false,
  encodeConnect: (out, packet) => encodeConnect(out, packet, false),
  encodeAck: (out, type, packetId) => encodeAck(out, type, packetId),
  encodeSubscribe: encodeSubscribe311,
  subscribeSize: (packet) => subscribeSize(packet, false),
  encodeUnsubscribe: (out, packet) => encodeUnsubscribe(out, packet, false),
  unsubscribeSize: (packet) => unsubscribeSize(packet, false),
  encodeDisconnect: (out) => encodeDisconnect311(out),
  disconnectSize: () => 2,
  encodeAuth: undefined,
  decode: [
    undefined,
    undefined,
    decodeConnack311,
    undefined,
    (reader) => decodeAck311(reader, 'puback'),
    (reader) => decodeAck311(reader, 'pubrec'),
    (reader) => decodeAck311(reader, 'pubrel'),
    (reader) => decodeAck311(reader, 'pubcomp'),
    undefined,
    decodeSuback311,
    undefined,
    decodeUnsuback311,
    undefined,
    decodePingresp,
    undefined,
    undefined,
  ],
}

export const mqtt5: Codec = {
  protocolVersion: '5',
  hasProperties: true,
  encodeConnect: (out, packet) => encodeConnect(out, packet, true),
  encodeAck: encodeAck5,
  encodeSubscribe: encodeSubscribe5,
  subscribeSize: (packet) => subscribeSize(packet, true),
  encodeUnsubscribe: (out, packet) => encodeUnsubscribe(out, packet, true),
  unsubscribeSize: (packet) => unsubscribeSize(packet, true),
  encodeDisconnect: encodeDisconnect5,
  disconnectSize,
  encodeAuth,
  decode: [
    undefined,
    undefined,
    decodeConnack5,
    undefined,
    (reader) => decodeAck5(reader, 'puback'),
    (reader) => decodeAck5(reader, 'pubrec'),
    (reader) => decodeAck5(reader, 'pubrel'),
    (reader) => decodeAck5(reader, 'pubcomp'),
    undefined,
    decodeSuback5,
    undefined,
    decodeUnsuback5,
    undefined,
    decodePingresp,
    decodeDisconnect5,
    decodeAuth,
  ],
}

/** The flags that the first byte must have, 2.2.2 (5: 2.1.3); PUBLISH has its own. */
const FLAGS: readonly number[] = [0, 0, 0, 0, 0, 0, 2, 0, 2, 0, 2, 0, 0, 0, 0, 0]

/** Why a packet with this first byte, which is no PUBLISH, cannot be one of the other side's; else undefined. */
export function headerFault(
  header: number,
  decode: readonly (Decode | undefined)[],
): ProtocolError | undefined {
  const type = header >> 4
  const name = PACKET_NAMES[type]
  if (name === undefined) return malformed('the packet type 0 is reserved')
  if (decode[type] === undefined)
    return violation(`${name.toUpperCase()} may not come from this side in this version`)
  if ((header & 0x0f) !== FLAGS[type]) {
    return malformed(`${name.toUpperCase()} has the flags ${header & 0x0f}, expected ${FLAGS[type]}`)
  }
  return undefined
}

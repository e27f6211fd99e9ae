/** Which packet may arrive in which state of a connection: one table. */

import { type ProtocolError, violation } from '../errors.ts'
import type { ControlPacket, PacketType, Properties } from '../packets/types.ts'

/**
 * `connecting`      CONNECT without an Authentication Method is sent; CONNACK may follow
 * `authenticating`  CONNECT with one is sent; AUTH may come, too, before CONNACK (5: 4.12)
 * `connected`       from CONNACK on
 * `closed`          DISCONNECT was sent or received, or the connection ended: nothing is handled any more
 */
export type ConnectionState = 'connecting' | 'authenticating' | 'connected' | 'closed'

const LEGAL: Readonly<Record<ConnectionState, readonly PacketType[]>> = {
  connecting: ['connack'],
  authenticating: ['connack', 'auth'],
  connected: [
    'publish',
    'puback',
    'pubrec',
    'pubrel',
    'pubcomp',
    'suback',
    'unsuback',
    'pingresp',
    'disconnect',
    'auth',
  ],
  closed: [],
}

/** The error when `type` may not come now [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1, 3.2.0-2, 3.14.0-1]. */
export function arrivalFault(type: PacketType, state: ConnectionState): ProtocolError | undefined {
  if (LEGAL[state].includes(type)) return undefined
  const expected = state === 'connected' ? 'anything but that' : LEGAL[state].join(' or ').toUpperCase()
  return violation(`${type.toUpperCase()} came while ${state}, expected ${expected}`)
}

/** The error when an answer gives words that CONNECT asked the server to spare us (5: 3.1.2.11.7). */
export function wordsFault(
  packet: ControlPacket,
  connect: Properties | undefined,
): ProtocolError | undefined {
  if (connect?.requestProblemInformation !== false) return undefined
  if (packet.type === 'connack' || packet.type === 'disconnect' || !('properties' in packet)) return undefined
  const { reasonString, userProperties } = packet.properties ?? {}
  if (reasonString === undefined && userProperties === undefined) return undefined
  return violation(`${packet.type.toUpperCase()} has words, although Request Problem Information is 0`)
}

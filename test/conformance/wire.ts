/** Packets as a client writes them, in hexadecimal. */

import type { ConnectPacket, ControlPacket, ProtocolVersion } from '../../src/core/packets/types.ts'
import { encode } from '../support/codec/codec.ts'
import { toHex } from '../support/codec/hex.ts'

/** CONNECT of the client `c`, clean, without keep-alive, unless `fields` say otherwise. */
export function connectBytes(
  version: ProtocolVersion,
  fields: Partial<Omit<ConnectPacket, 'type' | 'protocolVersion'>>,
): string {
  const connect = { clientId: 'c', cleanStart: true, keepAlive: 0, ...fields }
  return bytesOf(version, { type: 'connect', protocolVersion: version, ...connect })
}

export function bytesOf(version: ProtocolVersion, packet: ControlPacket): string {
  return toHex(encode(packet, version))
}

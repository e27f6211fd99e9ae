/** PINGREQ and PINGRESP, 3.12 and 3.13: two bytes each. */

import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import type { PingreqPacket, PingrespPacket } from './types.ts'

/** A whole PINGREQ; the bytes are shared and never written to. */
export const PINGREQ: Uint8Array = Uint8Array.of(0xc0, 0)

export function encodePingresp(out: OutputBuffer): void {
  const at = out.reserve(2)
  out.bytes[at] = 0xd0
  out.bytes[at + 1] = 0
  out.position = at + 2
}

export function decodePingreq(reader: PacketReader): PingreqPacket {
  reader.finish()
  return { type: 'pingreq' }
}

export function decodePingresp(reader: PacketReader): PingrespPacket {
  reader.finish()
  return { type: 'pingresp' }
}

// Bytes that no peer may send, typed by hand from the statements that they break. What needs more than the bytes of
// one packet to be wrong (an alias above the maximum, a second CONNACK) is not here: that is the connection's.

import type { ProtocolVersion } from '../../../src/core/packets/types.ts'
import { hex } from './hex.ts'
import { BOTH_VERSIONS } from './malformed-in-both.ts'
import { ONLY_311, ONLY_5 } from './malformed-in-one.ts'
import { MALFORMED, type Row } from './malformed-row.ts'
import type { Sender } from './specification.ts'

export interface MalformedInput {
  readonly title: string
  readonly version: ProtocolVersion
  readonly sender: Sender
  readonly bytes: Uint8Array
  readonly reasonCode: number
}

function input(
  [title, sender, bytes, reasonCode = MALFORMED]: Row,
  version: ProtocolVersion,
): MalformedInput {
  return { title, version, sender, bytes: hex(bytes), reasonCode }
}

export const MALFORMED_INPUTS: readonly MalformedInput[] = [
  ...BOTH_VERSIONS.flatMap(([title, sender, bytes311, bytes5, reasonCode]) => [
    input([title, sender, bytes311, reasonCode], '3.1.1'),
    input([title, sender, bytes5, reasonCode], '5'),
  ]),
  ...ONLY_311.map((row) => input(row, '3.1.1')),
  ...ONLY_5.map((row) => input(row, '5')),
]

// One packet as bytes, typed by hand from the specification, and as the object that it stands for.

import type { ControlPacket, ProtocolVersion } from '../../../src/core/packets/types.ts'
import { hex } from './hex.ts'
import type { Sender } from './specification.ts'

export interface Fixture {
  /** The beginning of a sentence: `a CONNECT with …`. */
  readonly title: string
  readonly version: ProtocolVersion
  readonly senders: readonly Sender[]
  readonly bytes: Uint8Array
  readonly packet: ControlPacket
  /** Whether these are the bytes that we write: the shortest form, properties by ascending identifier. */
  readonly written: boolean
}

export const CLIENT: readonly Sender[] = ['client']
export const SERVER: readonly Sender[] = ['server']
export const BOTH: readonly Sender[] = ['client', 'server']

export type FixtureRow = readonly [
  title: string,
  senders: readonly Sender[],
  bytes: string,
  packet: ControlPacket,
  form?: 'legal, but not what we write',
]

export function fixtures(version: ProtocolVersion, rows: readonly FixtureRow[]): readonly Fixture[] {
  return rows.map(([title, senders, bytes, packet, form]) => ({
    title,
    version,
    senders,
    bytes: hex(bytes),
    packet,
    written: form === undefined,
  }))
}

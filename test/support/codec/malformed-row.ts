// How malformed inputs are written down, and the reason codes that answer them.

import type { Sender } from './specification.ts'

/** 5: 2.4. Bytes that cannot be read; bytes that can be, and say what they may not. */
export const MALFORMED = 0x81
export const PROTOCOL_ERROR = 0x82
export const UNSUPPORTED_VERSION = 0x84

export type Row = readonly [title: string, sender: Sender, bytes: string, reasonCode?: number | undefined]

export type RowOfBoth = readonly [
  title: string,
  sender: Sender,
  bytes311: string,
  bytes5: string,
  reasonCode?: number,
]

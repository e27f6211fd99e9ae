/** The data types of section 1.5 as every packet file writes them: position in, position behind out. */

import { utf8Length, writeUtf8 } from './utf8.ts'

/** One for all that have nothing. */
export const NO_BYTES: Uint8Array<ArrayBuffer> = new Uint8Array(0)

/** The largest Remaining Length, 2.2.3 (5: 2.1.4). */
export const MAXIMUM_REMAINING_LENGTH = 268_435_455

export function variableByteIntegerLength(value: number): number {
  return value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x200000 ? 3 : 4
}

export function writeVariableByteInteger(bytes: Uint8Array, position: number, value: number): number {
  let rest = value
  let at = position
  while (rest >= 0x80) {
    bytes[at++] = (rest & 0x7f) | 0x80
    rest >>>= 7
  }
  bytes[at++] = rest
  return at
}

export function writeTwoBytes(bytes: Uint8Array, position: number, value: number): number {
  bytes[position] = value >>> 8
  bytes[position + 1] = value & 0xff
  return position + 2
}

export function writeString(bytes: Uint8Array, position: number, text: string): number {
  const length = utf8Length(text)
  writeTwoBytes(bytes, position, length)
  writeUtf8(bytes, position + 2, text, length)
  return position + 2 + length
}

export function writeBinary(bytes: Uint8Array, position: number, data: Uint8Array): number {
  writeTwoBytes(bytes, position, data.length)
  bytes.set(data, position + 2)
  return position + 2 + data.length
}

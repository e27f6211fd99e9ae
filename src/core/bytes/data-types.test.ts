// The data types of section 1.5 as they are written. Reading is in packet-reader.test.ts.

import { describe, expect, test } from 'vitest'
import { hex, toHex } from '../../../test/support/codec/hex.ts'
import {
  MAXIMUM_REMAINING_LENGTH,
  variableByteIntegerLength,
  writeBinary,
  writeString,
  writeTwoBytes,
  writeVariableByteInteger,
} from './data-types.ts'

function written(write: (bytes: Uint8Array) => number): string {
  const bytes = new Uint8Array(16)
  const end = write(bytes)
  expect(bytes.subarray(end).every((byte) => byte === 0)).toBe(true)
  return toHex(bytes.subarray(0, end))
}

describe('a variable byte integer', () => {
  // Table 2.4 (5: table 1-1).
  test.each([
    [0, '00'],
    [127, '7f'],
    [128, '80 01'],
    [16_383, 'ff 7f'],
    [16_384, '80 80 01'],
    [2_097_151, 'ff ff 7f'],
    [2_097_152, '80 80 80 01'],
    [268_435_455, 'ff ff ff 7f'],
    [321, 'c1 02'],
  ])('has the fewest bytes: %i is %s [5 MQTT-1.5.5-1]', (value, bytes) => {
    expect(written((target) => writeVariableByteInteger(target, 0, value))).toBe(bytes)
    expect(variableByteIntegerLength(value)).toBe(hex(bytes).length)
  })

  test('ends at 268,435,455', () => {
    expect(MAXIMUM_REMAINING_LENGTH).toBe(2 ** 28 - 1)
  })
})

describe('other data types', () => {
  test.each([
    [0, '00 00'],
    [1, '00 01'],
    [255, '00 ff'],
    [256, '01 00'],
    [65_535, 'ff ff'],
  ])('a two byte integer has its high byte first: %i is %s', (value, bytes) => {
    expect(written((target) => writeTwoBytes(target, 0, value))).toBe(bytes)
  })

  test('a string stands behind its length in bytes', () => {
    expect(written((target) => writeString(target, 0, ''))).toBe('00 00')
    expect(written((target) => writeString(target, 0, 'A\u{2a6d4}'))).toBe('00 05 41 f0 aa 9b 94')
  })

  test('binary data stand behind their length', () => {
    expect(written((target) => writeBinary(target, 0, new Uint8Array(0)))).toBe('00 00')
    expect(written((target) => writeBinary(target, 0, hex('00ff')))).toBe('00 02 00 ff')
  })
})

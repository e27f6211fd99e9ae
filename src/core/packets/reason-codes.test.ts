// The reason codes against the lists of the specification, packet by packet.

import { describe, expect, test } from 'vitest'
import { SPECIFIED_REASON_CODES, SPECIFIED_RETURN_CODES } from '../../../test/support/codec/specification.ts'
import { CONNECT_RETURN_CODES, describeReasonCode, isReasonCodeOf, REASON_CODES } from './reason-codes.ts'
import { PACKET_TYPES, type PacketType } from './types.ts'

const TYPES = Object.keys(PACKET_TYPES) as PacketType[]

describe('reason codes', () => {
  test.each(TYPES)('of %s are those of its chapter and of table 2-6, of all 256', (type) => {
    const specified = SPECIFIED_REASON_CODES[type] ?? []
    const accepted = Array.from({ length: 256 }, (_, code) => code).filter((code) =>
      isReasonCodeOf(type, code),
    )
    expect(accepted).toEqual(specified)
  })

  test('are 43 values, each with a name', () => {
    const values = new Set(Object.values(SPECIFIED_REASON_CODES).flat())
    expect([...REASON_CODES.keys()].toSorted((a, b) => a - b)).toEqual([...values].toSorted((a, b) => a - b))
    expect(REASON_CODES.size).toBe(43)
    const names = [...REASON_CODES.values()].map(({ name }) => name)
    expect(new Set(names).size).toBe(43)
    expect(names).not.toContain('')
  })

  test('are shown with their names', () => {
    expect(describeReasonCode(0x00)).toBe('0x00 (success)')
    expect(describeReasonCode(0x87)).toBe('0x87 (not authorized)')
    expect(describeReasonCode(0x04)).toBe('0x04 (disconnect with will message)')
    expect(describeReasonCode(0x7f)).toBe('0x7f (unknown)')
  })
})

describe('the connect return codes of 3.1.1', () => {
  test('are six, and have counterparts in 5 with the same meaning (table 3.1, 5: table 3-1)', () => {
    expect(CONNECT_RETURN_CODES).toEqual(SPECIFIED_RETURN_CODES)
    expect(CONNECT_RETURN_CODES.map((code) => REASON_CODES.get(code)?.name)).toEqual([
      'success',
      'unsupported protocol version',
      'client identifier not valid',
      'server unavailable',
      'bad user name or password',
      'not authorized',
    ])
    for (const code of CONNECT_RETURN_CODES) expect(isReasonCodeOf('connack', code)).toBe(true)
  })
})

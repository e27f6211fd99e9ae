// The bytes of a segment: these may not change without a new version, because old files must be read.
import { describe, expect, it } from 'vitest'
import { bytesOf } from '../../test/support/store-contract.ts'
import { crc32ByTable, decodeHeader, decodeRecords, encodeHeader, encodeRecord } from './file-format.ts'
import { isUnfinished, segmentName, sequenceOf, unfinishedName } from './file-format.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

describe('the format', () => {
  it('of a header', () => {
    const header = { sequence: 258, first: 3, previousLength: 70_000 }
    const bytes = encodeHeader(header)
    expect(hex(bytes)).toBe(
      '895045540d0a1a0a' + '00000001' + '00000102' + '00000003' + '00011170' + '00000000' + '47132ee7',
    )
    expect(decodeHeader(bytes, 'x')).toEqual(header)
  })

  it('of a record', () => {
    const record = encodeRecord(bytesOf('petrel'))
    expect(hex(record)).toBe('00000006' + '350c91d4' + '70657472656c')
    const segment = Buffer.concat([encodeHeader({ sequence: 1, first: 1, previousLength: 0 }), record])
    expect(decodeRecords(segment).batches.map(hex)).toEqual(['70657472656c'])
  })

  it('of names', () => {
    expect(segmentName(7)).toBe('segment-00000007.log')
    expect(segmentName(4_294_967_295)).toBe('segment-4294967295.log')
    for (const sequence of [1, 99_999_999, 100_000_000, 4_294_967_295]) {
      expect(sequenceOf(segmentName(sequence))).toBe(sequence)
      expect(isUnfinished(unfinishedName(sequence))).toBe(true)
      expect(sequenceOf(unfinishedName(sequence))).toBeUndefined()
    }
    expect(sequenceOf('segment-000000007.log')).toBeUndefined()
  })
})

describe('the checksum', () => {
  it('is CRC-32', () => {
    expect(crc32ByTable(bytesOf('123456789'))).toBe(0xcbf43926)
    expect(crc32ByTable(bytesOf('6789'), crc32ByTable(bytesOf('12345')))).toBe(0xcbf43926)
    expect(crc32ByTable(new Uint8Array(0))).toBe(0)
  })

  it('makes zeros no record', () => {
    const { batches, damage } = decodeRecords(new Uint8Array(400))
    expect(batches).toEqual([])
    expect(damage).toMatch(/checksum/)
  })
})

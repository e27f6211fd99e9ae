// The cursor: what it reads, that it stops at the packet's end and never looks behind it.

import { describe, expect, test } from 'vitest'
import { concat, hex } from '../../../test/support/codec/hex.ts'
import { ProtocolError } from '../errors.ts'
import { PacketReader } from './packet-reader.ts'

function reader(bytes: string): PacketReader {
  const body = hex(bytes)
  return new PacketReader().open(body, 0, body.length)
}

function refusal(read: () => unknown): ProtocolError {
  try {
    read()
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
  throw new Error('it was read')
}

describe('a packet’s body', () => {
  test('is read field by field and ends where its fields end', () => {
    const cursor = reader('7f 0102 01020304 c102 0002 "hi" 0003 00ff01 "rest"')
    expect(cursor.byte()).toBe(0x7f)
    expect(cursor.twoBytes()).toBe(0x0102)
    expect(cursor.fourBytes()).toBe(0x01020304)
    expect(cursor.variableByteInteger()).toBe(321)
    expect(cursor.string()).toBe('hi')
    expect(cursor.binary()).toEqual(hex('00ff01'))
    expect(cursor.remaining).toBe(4)
    expect(cursor.rest()).toEqual(hex('"rest"'))
    expect(cursor.remaining).toBe(0)
    cursor.finish()
  })

  test('has four byte integers up to 4,294,967,295', () => {
    expect(reader('ffffffff').fourBytes()).toBe(4_294_967_295)
    expect(reader('80000000').fourBytes()).toBe(2_147_483_648)
    expect(reader('00000000').fourBytes()).toBe(0)
  })

  test.each([
    ['00', 0],
    ['7f', 127],
    ['8001', 128],
    ['ff7f', 16_383],
    ['808001', 16_384],
    ['ffff7f', 2_097_151],
    ['80808001', 2_097_152],
    ['ffffff7f', 268_435_455],
  ])('has variable byte integers: %s is %i', (bytes, value) => {
    const cursor = reader(bytes)
    expect(cursor.variableByteInteger()).toBe(value)
    cursor.finish()
  })

  test('is shown, not copied: binary data and the rest are views', () => {
    const bytes = hex('0001 05 06')
    const cursor = new PacketReader().open(bytes, 0, bytes.length)
    const views = [cursor.binary(), cursor.rest()]
    bytes.fill(0xaa)
    expect(views).toEqual([hex('aa'), hex('aa')])
  })

  test('may lie anywhere in its buffer, and the cursor serves the next one, too', () => {
    const bytes = hex('ff 0001 "a" ff 0002 "bc" ff')
    const cursor = new PacketReader()
    expect(cursor.open(bytes, 1, 4).string()).toBe('a')
    cursor.finish()
    expect(cursor.open(bytes, 5, 9).string()).toBe('bc')
    cursor.finish()
  })
})

describe('a packet is malformed', () => {
  const READS: readonly [field: string, read: (cursor: PacketReader) => unknown, body: string][] = [
    ['a byte', (cursor) => cursor.byte(), '07'],
    ['a two byte integer', (cursor) => cursor.twoBytes(), '0102'],
    ['a four byte integer', (cursor) => cursor.fourBytes(), '01020304'],
    ['a variable byte integer', (cursor) => cursor.variableByteInteger(), '80808001'],
    ['a string', (cursor) => cursor.string(), '0003 "abc"'],
    ['binary data', (cursor) => cursor.binary(), '0003 000102'],
  ]

  test.each(READS)('when it ends within %s, whatever bytes follow', (_, read, body) => {
    const whole = hex(body)
    for (let length = 0; length < whole.length; length++) {
      for (const behind of [whole.subarray(length), hex('00 00 00 00'), hex('ff ff ff ff'), hex('')]) {
        const bytes = concat(hex('00'), whole.subarray(0, length), behind)
        const cursor = new PacketReader().open(bytes, 1, 1 + length)
        const error = refusal(() => read(cursor))
        expect(error.code).toBe('malformed-packet')
        expect(error.reasonCode).toBe(0x81)
      }
    }
    const cursor = new PacketReader().open(whole, 0, whole.length)
    read(cursor)
    expect(cursor.remaining).toBe(0)
  })

  test.each(['8000', '808000', '80808000', 'ff00'])(
    'when a variable byte integer is not in its shortest form: %s [5 MQTT-1.5.5-1]',
    (bytes) => {
      const error = refusal(() => reader(bytes).variableByteInteger())
      expect(error.reasonCode).toBe(0x81)
      expect(error.message).toContain('shortest form')
    },
  )

  test.each(['8080808001', 'ffffffff7f', '8080808000', 'ffffffffff'])(
    'when a variable byte integer has five bytes: %s',
    (bytes) => {
      const error = refusal(() => reader(bytes).variableByteInteger())
      expect(error.reasonCode).toBe(0x81)
      expect(error.message).toContain('longer than four bytes')
    },
  )

  test('when bytes are left over behind its last field', () => {
    const cursor = reader('01 02')
    cursor.byte()
    const error = refusal(() => cursor.finish())
    expect(error.reasonCode).toBe(0x81)
    expect(error.message).toBe('1 bytes are left over at the end of the packet')
  })

  test('which is told with what was expected and what was there', () => {
    expect(refusal(() => reader('0005 "abc"').string()).message).toBe(
      'the packet ends where 5 more bytes were expected, 3 are there',
    )
  })
})

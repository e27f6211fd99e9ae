// Strings against second opinions: the platform's encoder for lengths and bytes, tables 3-6 and 3-7 of the Unicode
// standard for what is well-formed.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, hex, toHex } from '../../../test/support/codec/hex.ts'
import { ProtocolError } from '../errors.ts'
import { encodeUtf8, readUtf8, utf8Fault, utf8Length, writeUtf8 } from './utf8.ts'

const platform = new TextEncoder()

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.string({ unit: 'binary-ascii', maxLength: 100 }),
  // Lone surrogates included.
  fc
    .array(fc.integer({ min: 0xd700, max: 0xe0ff }), { maxLength: 8 })
    .map((units) => String.fromCharCode(...units)),
)

function read(bytes: Uint8Array): string {
  return readUtf8(bytes, 0, bytes.length)
}

function refusal(bytes: Uint8Array): ProtocolError {
  try {
    read(bytes)
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
  throw new Error(`${toHex(bytes)} was read`)
}

describe('the length of a string', () => {
  test.each([
    ['', 0],
    ['a', 1],
    ['\u007f', 1],
    ['\u0080', 2],
    ['\u07ff', 2],
    ['\u0800', 3],
    ['\ud7ff', 3],
    ['\ue000', 3],
    ['\uffff', 3],
    ['\u{10000}', 4],
    ['\u{10ffff}', 4],
    ['a\u{2a6d4}é', 7],
  ])('is counted in bytes: %j has %i', (text, length) => {
    expect(utf8Length(text)).toBe(length)
  })

  test('property: is that of the encoder, for lone surrogates too', () => {
    fc.assert(fc.property(anyText, (text) => utf8Length(text) === platform.encode(text).length))
  })
})

describe('a string that is written', () => {
  test('property: has the bytes of the encoder, and no byte beside them is touched', () => {
    fc.assert(
      fc.property(anyText, fc.nat({ max: 5 }), (text, before) => {
        const length = utf8Length(text)
        const target = new Uint8Array(before + length + 4).fill(0xaa)
        writeUtf8(target, before, text, length)
        const margin = (size: number): Uint8Array => new Uint8Array(size).fill(0xaa)
        expect(target).toEqual(concat(margin(before), platform.encode(text), margin(4)))
      }),
    )
  })

  test.each([47, 48, 49, 1_000])('is the same by the loop and by the encoder: %i characters', (length) => {
    const text = 'abcdefghij'.repeat(length / 10 + 1).slice(0, length)
    const target = new Uint8Array(length + 1)
    writeUtf8(target, 0, text, length)
    expect(target).toEqual(concat(platform.encode(text), Uint8Array.of(0)))
  })

  test('can be encoded apart, to be kept', () => {
    expect(toHex(encodeUtf8('A\u{2a6d4}'))).toBe('41 f0 aa 9b 94')
  })
})

describe('a string that is read', () => {
  test('property: is the string that was written', () => {
    const good = fc.string({ unit: 'binary', maxLength: 60 }).map((text) => text.replaceAll('\0', 'x'))
    fc.assert(
      fc.property(good, (text) => {
        expect(utf8Fault(text)).toBeUndefined()
        expect(read(platform.encode(text))).toBe(text)
      }),
    )
  })

  test('is taken from its own bytes, whatever stands around them', () => {
    const bytes = hex('ff "abc" ff')
    expect(readUtf8(bytes, 1, 4)).toBe('abc')
    expect(readUtf8(bytes, 1, 1)).toBe('')
    // A character that ends behind the string is no character of it.
    expect(() => readUtf8(hex('"a" c3 a9'), 0, 2)).toThrow(ProtocolError)
  })

  test.each([
    ['at the start', 'efbbbf "a"', '\ufeffa'],
    ['within', '"a" efbbbf "b"', 'a\ufeffb'],
    ['alone', 'efbbbf', '\ufeff'],
    ['twice', 'efbbbf efbbbf', '\ufeff\ufeff'],
  ])('keeps U+FEFF %s [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3]', (_, bytes, text) => {
    expect(read(hex(bytes))).toBe(text)
  })

  test.each([
    '\u0001',
    '\u001f',
    '\u007f',
    '\u009f',
    '\ufdd0',
    '\ufffe',
    '\uffff',
    '\u{1fffe}',
    '\u{10ffff}',
  ])('may have %j: control characters and non-characters are only advised against', (character) => {
    expect(read(platform.encode(`a${character}b`))).toBe(`a${character}b`)
  })

  test('is not normalised', () => {
    const decomposed = 'cafe\u0301'
    expect(read(platform.encode(decomposed))).toBe(decomposed)
  })

  test.each([
    ['U+D800 as three bytes', 'eda080'],
    ['U+DFFF as three bytes', 'edbfbf'],
    ['a pair of surrogates as six bytes (CESU-8)', 'eda0bd edb880'],
    ['U+0000 as two bytes', 'c080'],
    ['"/" as two bytes', 'c0af'],
    ['"/" as three bytes', 'e080af'],
    ['"/" as four bytes', 'f08080af'],
    ['U+07FF as three bytes', 'e09fbf'],
    ['U+FFFF as four bytes', 'f08fbfbf'],
    ['a character above U+10FFFF', 'f4908080'],
    ['a first byte of five', 'f888808080'],
    ['a continuation byte alone', '80'],
    ['a character cut after one byte of two', '"a" c3'],
    ['a character cut after two bytes of three', 'e282'],
    ['a character cut after three bytes of four', 'f09f98'],
    ['a character cut by the next', 'e282 "a"'],
    ['0xFE', 'fe'],
    ['0xFF', '"abc" ff'],
  ])('is refused as malformed with %s [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]', (_, bytes) => {
    const error = refusal(hex(bytes))
    expect(error.code).toBe('malformed-packet')
    expect(error.reasonCode).toBe(0x81)
    expect(error.message).toContain('not well-formed UTF-8')
  })

  test.each(['00', '00 "a"', '"a" 00 "b"', '"ab" 00', 'efbbbf 00'])(
    'is refused as malformed with U+0000: %s [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-2]',
    (bytes) => {
      const error = refusal(hex(bytes))
      expect(error.code).toBe('malformed-packet')
      expect(error.reasonCode).toBe(0x81)
      expect(error.message).toContain('U+0000')
    },
  )

  test('property: is accepted exactly when the table of well-formed sequences has it', () => {
    // Table 3-7 of the Unicode standard, as a regular expression over bytes; of ASCII, the printable.
    const wellFormed =
      /^(?:[ -~]|[\xc2-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}|\xf4[\x80-\x8f][\x80-\xbf]{2})*$/
    const lead = fc.constantFrom(0x00, 0x41, 0xc0, 0xc2, 0xdf, 0xe0, 0xe2, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5)
    const trail = fc.constantFrom(0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf)
    const sequence = fc
      .tuple(lead, fc.array(trail, { maxLength: 3 }))
      .map(([first, rest]) => [first, ...rest])
    let good = 0
    fc.assert(
      fc.property(fc.array(sequence, { maxLength: 2 }), (sequences) => {
        const bytes = Uint8Array.from(sequences.flat())
        const expected = wellFormed.test(String.fromCharCode(...bytes))
        if (expected) good += 1
        if (expected) expect(toHex(platform.encode(read(bytes)))).toBe(toHex(bytes))
        else expect(refusal(bytes).reasonCode).toBe(0x81)
      }),
      { numRuns: 1_500 },
    )
    expect(good).toBeGreaterThan(50)
  })
})

describe('a string that may not stand in a packet', () => {
  test('has U+0000, and is told where [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-2]', () => {
    expect(utf8Fault('ab\0')).toBe('has the character U+0000 at index 2')
  })

  test.each([
    ['\ud800', 0],
    ['a\udc00', 1],
    ['\udc00\ud800', 0],
    ['\u{1f600}\ud83d', 2],
    ['\ud83d\ud83d\ude00', 0],
  ])('has a lone surrogate: %j at %i [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]', (text, index) => {
    expect(utf8Fault(text)).toBe(`has a lone surrogate at index ${index}`)
  })

  test.each([
    ['x', 65_535],
    ['é', 32_767],
    ['€', 21_845],
    ['\u{1f600}', 16_383],
  ])('has more than 65,535 bytes: %s × %i still fits [3.1.1 MQTT-4.7.3-3] [5 MQTT-4.7.3-3]', (unit, most) => {
    expect(utf8Fault(unit.repeat(most))).toBeUndefined()
    expect(utf8Fault(unit.repeat(most + 1))).toBe('is longer than 65,535 bytes in UTF-8')
  })
})

import { describe, expect, it } from 'vitest'
import { UsageError } from '../errors.ts'
import { encodeTopicName, TopicNames } from './topic-names.ts'

describe('topic names on their way out', () => {
  it('are the bytes of their UTF-8 behind their length', () => {
    expect(encodeTopicName('aü')).toEqual({ text: 'aü', bytes: Uint8Array.of(0, 3, 0x61, 0xc3, 0xbc) })
    const long = encodeTopicName('x'.repeat(65_535))
    expect(long.bytes.subarray(0, 3)).toEqual(Uint8Array.of(0xff, 0xff, 0x78))
  })

  it.each(['', 'a/#', '+', 'a\0', '\ud800', 'x'.repeat(65_536)])('are checked, rule 25: %#', (text) => {
    const names = new TopicNames()
    for (let times = 0; times < 2; times++) expect(() => names.encode(text)).toThrow(UsageError)
    expect(() => encodeTopicName(text, 'will.topic')).toThrow('will.topic')
  })

  it('are remembered', () => {
    const names = new TopicNames()
    const a = names.encode('a')
    names.encode('b')
    expect(names.encode('a')).toBe(a)
  })

  it('are forgotten after two generations without use, and kept while used', () => {
    const names = new TopicNames()
    const kept = names.encode('kept')
    const lost = names.encode('lost')
    for (let count = 0; count < 10_000; count++) {
      names.encode(`t/${count}`)
      expect(names.encode('kept')).toBe(kept)
    }
    expect(names.encode('lost')).not.toBe(lost)
    expect(names.encode('lost')).toEqual(lost)
  })
})

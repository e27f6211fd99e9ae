// Topics that come again and again are decoded once; which string comes out must never depend on that.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hex } from '../../../test/support/codec/hex.ts'
import { ProtocolError } from '../errors.ts'
import { type ReceivedTopic, ReceivedTopics } from './received-topics.ts'

const encoder = new TextEncoder()

function read(topics: ReceivedTopics, text: string): ReceivedTopic {
  const bytes = encoder.encode(text)
  return topics.read(bytes, 0, bytes.length)
}

function refusal(topics: ReceivedTopics, bytes: Uint8Array): ProtocolError {
  try {
    topics.read(bytes, 0, bytes.length)
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
  throw new Error('it was read')
}

describe('a topic that comes again', () => {
  test.each(['a', 'ab', 'abc', 'abcd', 'abcde', 'a/b/c/d/e', 'é', '\ufeffa', 'x'.repeat(256)])(
    'is the same object, wherever its bytes lie: %s',
    (text) => {
      const topics = new ReceivedTopics()
      const first = read(topics, text)
      expect(first.text).toBe(text)
      read(topics, 'something else')
      const bytes = encoder.encode(`before${text}behind`)
      expect(topics.read(bytes, 6, encoder.encode(text).length)).toBe(first)
      expect(topics.read(bytes, 6, encoder.encode(text).length)).toBe(first)
    },
  )

  test('keeps what was remembered of it', () => {
    const topics = new ReceivedTopics()
    read(topics, 'a/b').route = 'handlers'
    expect(read(topics, 'a/b').route).toBe('handlers')
    expect(read(topics, 'a/c').route).toBeUndefined()
  })

  test('is known by its own bytes, not by those of the buffer that it came in', () => {
    const topics = new ReceivedTopics()
    const bytes = encoder.encode('first')
    const first = topics.read(bytes, 0, bytes.length)
    bytes.set(encoder.encode('other'))
    const other = topics.read(bytes, 0, bytes.length)
    expect([first.text, other.text]).toEqual(['first', 'other'])
    expect(read(topics, 'first')).toBe(first)
  })

  test('keeps no more memory than its own bytes, wherever it was read first', () => {
    const topics = new ReceivedTopics()
    const topic = topics.read(encoder.encode(`${'x'.repeat(1_000)}a/b${'x'.repeat(1_000)}`), 1_000, 3)
    expect([topic.text, topic.view.buffer.byteLength]).toEqual(['a/b', 3])
    expect(read(topics, 'a/b')).toBe(topic)
  })

  test('is found after the buffer was let go, too', () => {
    const topics = new ReceivedTopics()
    const bytes = encoder.encode('a/b')
    const first = topics.read(bytes, 0, 3)
    topics.release()
    expect(topics.read(bytes, 0, 3)).toBe(first)
  })

  test('longer than 256 bytes is decoded each time', () => {
    const topics = new ReceivedTopics()
    const text = 'y'.repeat(257)
    const first = read(topics, text)
    const second = read(topics, text)
    expect([first.text, second.text]).toEqual([text, text])
    expect(second).not.toBe(first)
    expect(read(topics, 'z'.repeat(65_535)).text).toBe('z'.repeat(65_535))
  })

  test('that is empty is one and the same for all, and has no route', () => {
    const topics = new ReceivedTopics()
    expect(read(topics, '')).toBe(read(new ReceivedTopics(), ''))
    expect(read(topics, '').text).toBe('')
  })
})

test('a topic that came in a Buffer has bytes of its own, and is found again', () => {
  const topics = new ReceivedTopics()
  const pool = Buffer.alloc(1_024)
  pool.write('a/b', 100)
  const chunk = pool.subarray(96, 112)
  const first = topics.read(chunk, 4, 3)
  expect(topics.read(chunk, 4, 3)).toBe(first)
  pool.fill(0)
  pool.write('a/b', 100)
  expect(topics.read(chunk, 4, 3)).toBe(first)
})

describe('many topics', () => {
  test('are all told apart and found again, while the table grows', () => {
    const topics = new ReceivedTopics()
    let forgotten = 0
    for (let round = 0; round < 2; round++) {
      for (let index = 0; index < 2_000; index++) {
        const [text, other] = [`devices/${index}/state`, `devices/${index >> 1}/state`]
        const topic = read(topics, text)
        if (topic.text !== text || read(topics, other).text !== other) throw new Error(`${text} was mistaken`)
        if (read(topics, text) !== topic) forgotten += 1
      }
    }
    expect(forgotten).toBe(0)
  })

  test('that fit are decoded once each', () => {
    const topics = new ReceivedTopics()
    const texts = Array.from({ length: 8_000 }, (_, index) => `t/${index}`)
    const before = texts.map((text) => read(topics, text))
    const again = texts.map((text) => read(topics, text))
    expect(again.filter((topic, index) => topic !== before[index]).length).toBeLessThan(40)
  })

  test('more than the table holds are still right, and the table does not grow without end', () => {
    const topics = new ReceivedTopics()
    const count = 40_000
    const firsts = Array.from({ length: count }, (_, index) => read(topics, `n/${index}`))
    expect(firsts.every((topic, index) => topic.text === `n/${index}`)).toBe(true)
    // The most recent first: what is not known any more takes a place.
    const remembered = firsts
      .toReversed()
      .filter((topic, index) => read(topics, `n/${count - 1 - index}`) === topic).length
    expect(remembered).toBeLessThanOrEqual(16_384)
    expect(remembered).toBeGreaterThan(8_000)
  })

  test('that share a slot are told apart, and all remembered', () => {
    // Of 190 pairs of topics many meet in a table of 16.
    const texts = Array.from({ length: 20 }, (_, index) => `k${String.fromCharCode(0x30 + index)}`)
    for (let first = 0; first < texts.length; first++) {
      for (let second = 0; second < first; second++) {
        const topics = new ReceivedTopics()
        const [a, b] = [texts[first] as string, texts[second] as string]
        const [topicA, topicB] = [read(topics, a), read(topics, b)]
        expect([topicA.text, topicB.text]).toEqual([a, b])
        expect(read(topics, a)).toBe(topicA)
        expect(read(topics, b)).toBe(topicB)
      }
    }
  })

  test('property: each comes out as it went in, in any order, from any place', () => {
    // Short and long, alike at their beginnings and at their ends, of the same length and not.
    const pool = ['a', 'b', 'ab', 'ba', 'abc', 'abd', '\ufeff', 'é', 'è', '\u{1f600}', '__proto__'].flatMap(
      (text) => [text, `${text}${text}`, `devices/${text}`, `${text}/state/of/something`, text.repeat(25)],
    )
    const indexes = fc.array(fc.nat({ max: pool.length - 1 }), { minLength: 20, maxLength: 200, size: 'max' })
    fc.assert(
      fc.property(indexes, fc.nat({ max: 9 }), (order, offset) => {
        const topics = new ReceivedTopics()
        const texts = order.map((index) => pool[index] as string)
        const buffer = encoder.encode(' '.repeat(offset) + texts.join(''))
        let start = offset
        const got = texts.map((text) => {
          const length = encoder.encode(text).length
          start += length
          return topics.read(buffer, start - length, length).text
        })
        expect(got).toEqual(texts)
      }),
      { numRuns: 60 },
    )
  })
})

describe('a topic is refused', () => {
  test.each(['#', '+', 'a/#', '+/b', 'a+', 'abc#', 'abcd#', `${'x'.repeat(300)}#`])(
    'with a wildcard, however often it comes: %s [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2]',
    (text) => {
      const topics = new ReceivedTopics()
      for (let times = 0; times < 3; times++) {
        const error = refusal(topics, encoder.encode(text))
        expect([error.code, error.reasonCode]).toEqual(['protocol-error', 0x82])
      }
      expect(read(topics, 'a').text).toBe('a')
    },
  )

  test.each(['eda080', 'c080', 'ff', '"a" 00', '"abcd" e282'])(
    'when it is no string of MQTT: %s [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    (bytes) => {
      const topics = new ReceivedTopics()
      for (let times = 0; times < 2; times++) {
        const error = refusal(topics, hex(bytes))
        expect([error.code, error.reasonCode]).toEqual(['malformed-packet', 0x81])
      }
    },
  )

  test('never because of U+FEFF at its start, which stays [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3]', () => {
    const topics = new ReceivedTopics()
    expect(read(topics, '\ufeffa').text).toBe('\ufeffa')
    expect(read(topics, 'a').text).toBe('a')
    expect(read(topics, '\ufeffa').text).toBe('\ufeffa')
  })
})

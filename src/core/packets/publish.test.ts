// PUBLISH beyond its fixtures: payloads that are lent or are text on the way out; on the way in the message that a
// handler gets, and where its payload lies.

import { describe, expect, test } from 'vitest'
import { NO_LIMIT } from '../../../test/support/codec/codec.ts'
import { concat, hex, toHex, utf8String } from '../../../test/support/codec/hex.ts'
import { OutputBuffer } from '../bytes/output-buffer.ts'
import { Slabs } from '../bytes/slabs.ts'
import { PacketReader } from '../bytes/packet-reader.ts'
import { UsageError } from '../errors.ts'
import {
  ALWAYS_FITS,
  decodePublish,
  encodePublish,
  type IncomingMessage,
  NO_PROPERTIES,
  publishLength,
  publishPropertiesSize,
} from './publish.ts'
import { ReceivedTopics } from './received-topics.ts'

const TOPIC = utf8String('a')

function chunksOf(payload: Uint8Array | string, size: number, lent: boolean): Uint8Array[] {
  const out = new OutputBuffer(new Slabs())
  encodePublish(out, 0, TOPIC, 0, NO_PROPERTIES, undefined, payload, size, lent)
  const chunks: Uint8Array[] = []
  for (let chunk = out.take(); chunk !== undefined; chunk = out.take()) chunks.push(chunk)
  return chunks
}

function message(bytes: Uint8Array, version5 = false): IncomingMessage {
  return decodePublish(new PacketReader().open(bytes, 0, bytes.length), 0, version5, new ReceivedTopics())
}

describe('a payload on its way out', () => {
  test('that was lent and is large is a chunk of its own, not copied', () => {
    const payload = new Uint8Array(65_536).fill(7)
    const chunks = chunksOf(payload, payload.length, true)
    expect(chunks).toHaveLength(2)
    expect(chunks[1]).toBe(payload)
    expect(toHex(chunks[0] as Uint8Array)).toBe('30 83 80 04 00 01 61')
  })

  test.each([
    ['is smaller', 65_535, true],
    ['was not lent', 65_536, false],
  ])('that %s is copied behind its header', (_, size, lent) => {
    const payload = new Uint8Array(size).fill(7)
    const chunks = chunksOf(payload, size, lent)
    expect(chunks).toHaveLength(1)
    payload.fill(0)
    const chunk = chunks[0] as Uint8Array
    expect(chunk.subarray(chunk.length - size).every((byte) => byte === 7)).toBe(true)
  })

  test.each([
    [0, [65_472, 4_534]],
    [1, [60_000, 10_008]],
  ] as const)('that is large may lie in two slabs at QoS 0, not at QoS 1: %i', (qos, expected) => {
    const out = new OutputBuffer(new Slabs())
    const chunks: number[] = []
    const take = (): void => {
      for (let chunk = out.take(); chunk !== undefined; chunk = out.take()) chunks.push(chunk.length)
    }
    out.reserve(65_472)
    out.position = 65_472
    take()
    out.position = out.reserve(60_000) + 60_000
    const payload = new Uint8Array(10_000)
    encodePublish(out, qos << 1, TOPIC, 1, NO_PROPERTIES, undefined, payload, payload.length, false)
    chunks.length = 0
    take()
    expect(chunks).toEqual(expected)
  })

  test.each(['', 'hello', 'é€\u{1f600}', 'x'.repeat(10_000), 'é'.repeat(10_000)])(
    'that is text is written as UTF-8, in one piece',
    (text) => {
      const bytes = new TextEncoder().encode(text)
      const chunks = chunksOf(text, bytes.length, true)
      expect(chunks).toHaveLength(1)
      expect(Buffer.compare(concat(...chunks), concat(...chunksOf(bytes, bytes.length, false)))).toBe(0)
    },
  )

  test('may fill a packet of 268,435,455 bytes behind its header, and no more', () => {
    const most = NO_LIMIT - 5
    expect(publishLength(TOPIC.length, 0, NO_PROPERTIES, most - 3)).toBe(most)
    expect(publishLength(TOPIC.length, 1, NO_PROPERTIES, most - 5)).toBe(most)
    expect(publishLength(TOPIC.length, 2, 127, most - 5 - 128)).toBe(most)
    expect(publishLength(TOPIC.length, 0, 128, most - 3 - 130)).toBe(most)
    for (const [qos, propertiesSize, size] of [
      [0, NO_PROPERTIES, most - 2],
      [1, NO_PROPERTIES, most - 4],
      [0, 0, most - 3],
      [0, 128, most - 132],
    ] as const) {
      expect(() => publishLength(TOPIC.length, qos, propertiesSize, size)).toThrow(UsageError)
    }
  })

  test('without properties fits behind the longest topic if its payload has no more than ALWAYS_FITS bytes', () => {
    const longestTopic = 2 + 65_535
    expect(publishLength(longestTopic, 2, 0, ALWAYS_FITS)).toBe(NO_LIMIT - 5)
    expect(() => publishLength(longestTopic, 2, 0, ALWAYS_FITS + 1)).toThrow(UsageError)
  })

  test('has no properties beside it in 3.1.1, whatever was asked for', () => {
    expect(publishPropertiesSize({ topicAlias: 1 }, false)).toBe(NO_PROPERTIES)
    expect(publishPropertiesSize({ topicAlias: 1 }, true)).toBe(3)
    expect(publishPropertiesSize(undefined, true)).toBe(0)
  })
})

describe('a message that came', () => {
  const bytes = concat(utf8String('a/b'), hex('efbbbf c3a9 ff'))

  test('shows its payload as a view, always the same', () => {
    const { payload } = message(bytes)
    expect(payload.buffer).toBe(bytes.buffer)
    expect(toHex(payload)).toBe('ef bb bf c3 a9 ff')
    const one = message(bytes)
    expect(one.payload).toBe(one.payload)
  })

  test('shows its payload as text, ill-formed bytes as U+FFFD and U+FEFF as it came', () => {
    expect(message(bytes).text()).toBe('\ufeffé\ufffd')
    expect(message(concat(utf8String('a'), hex('"[1]"'))).json()).toEqual([1])
    expect(() => message(bytes).json()).toThrow(SyntaxError)
  })

  test('has no properties where their length is 0, and its payload behind that', () => {
    const one = message(concat(utf8String('a'), hex('00 "hi"')), true)
    expect([one.properties, one.text()]).toEqual([undefined, 'hi'])
  })

  test('has its payload elsewhere when its bytes were moved', () => {
    const one = message(bytes)
    expect(one.payload.buffer).toBe(bytes.buffer)
    const moved = bytes.slice(5)
    one.move(moved.buffer, 5)
    expect(one.payload.buffer).toBe(moved.buffer)
    expect(toHex(one.payload)).toBe('ef bb bf c3 a9 ff')
  })

  test('lets go of a buffer that is much larger than its payload', () => {
    const large = concat(utf8String('a'), new Uint8Array(20_000).fill(7))
    const reader = new PacketReader().open(large, 0, 103)
    const small = decodePublish(reader, 0, false, new ReceivedTopics())
    expect(small.payload.buffer).toBe(large.buffer)
    small.detach()
    expect(small.payload.buffer.byteLength).toBe(100)
    expect(small.payload).toEqual(new Uint8Array(100).fill(7))

    const fitting = message(large)
    fitting.detach()
    expect(fitting.payload.buffer).toBe(large.buffer)
    const little = message(bytes)
    little.detach()
    expect(little.payload.buffer).toBe(bytes.buffer)
  })

  test('is acknowledged by its acknowledger, if it has one', () => {
    const one = message(bytes)
    one.ack()
    const calls: unknown[] = []
    one.acknowledger = (reasonCode) => calls.push(reasonCode)
    one.ack()
    one.ack(0x83)
    expect(calls).toEqual([0, 0x83])
  })
})

// Damaged streams: whatever bytes come, the codec answers with packets or with a ProtocolError, soon, and from the
// bytes of the packet alone. The damage is bit flips, truncations, insertions and removals in valid packets of every
// type and with every property.

import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { packetFrom, packetOf, streamFrom } from '../../../test/support/codec/arbitraries.ts'
import { Census } from '../../../test/support/codec/census.ts'
import {
  byteByByte,
  decode,
  decodeBody,
  encode,
  plain,
  StreamDecoder,
} from '../../../test/support/codec/codec.ts'
import { expectSame } from '../../../test/support/codec/expect-same.ts'
import { concat, toHex } from '../../../test/support/codec/hex.ts'
import { mayBeSentBy, type Sender } from '../../../test/support/codec/specification.ts'
import { PacketReader } from '../bytes/packet-reader.ts'
import { ProtocolError } from '../errors.ts'
import { type ControlPacket, PACKET_TYPES, type PacketType, type ProtocolVersion } from './types.ts'

const SIDES: readonly (readonly [ProtocolVersion, Sender])[] = [
  ['3.1.1', 'client'],
  ['3.1.1', 'server'],
  ['5', 'client'],
  ['5', 'server'],
]

const KINDS = (Object.keys(PACKET_TYPES) as PacketType[]).flatMap((type) =>
  SIDES.filter(([version, sender]) => mayBeSentBy(type, version, sender)).map(
    ([version, sender]) => [type, version, sender] as const,
  ),
)

interface Damage {
  readonly kind: 'flip' | 'set' | 'insert' | 'remove' | 'truncate'
  /** Where, as a share of the length. */
  readonly where: number
  readonly bytes: readonly number[]
}

const damage: fc.Arbitrary<readonly Damage[]> = fc.array(
  fc.record({
    kind: fc.constantFrom<Damage['kind']>('flip', 'flip', 'set', 'insert', 'remove', 'truncate'),
    where: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    bytes: fc.array(fc.oneof(fc.constantFrom(0x00, 0x01, 0x7f, 0x80, 0xff), fc.nat({ max: 255 })), {
      minLength: 1,
      maxLength: 4,
    }),
  }),
  { minLength: 1, maxLength: 2 },
)

function damaged(bytes: Uint8Array, damages: readonly Damage[]): Uint8Array {
  let result = bytes
  for (const { kind, where, bytes: extra } of damages) {
    const at = Math.floor(where * result.length)
    const before = result.subarray(0, at)
    if (kind === 'truncate') result = before.slice()
    else if (kind === 'insert') result = concat(before, Uint8Array.from(extra), result.subarray(at))
    else if (kind === 'remove') result = concat(before, result.subarray(at + extra.length))
    else {
      const value = extra[0] as number
      result = result.slice()
      if (at < result.length)
        result[at] = kind === 'set' ? value : (result[at] as number) ^ (1 << (value & 7))
    }
  }
  return result
}

// Seconds in all; on a busy machine one test may take some.
vi.setConfig({ testTimeout: 60_000 })

const census = new Census()
const outcomes = { decoded: 0, refused: 0, waiting: 0 }

afterAll(() => {
  console.log(`damaged ${census.toString()}`)
  console.log(`outcomes: ${JSON.stringify(outcomes)}`)
})

/** Feeds a stream; the packets before the first error, and that error. Anything but a ProtocolError is thrown. */
function outcomeOf(
  chunks: readonly Uint8Array[],
  version: ProtocolVersion,
  sender: Sender,
): { packets: ControlPacket[]; error: ProtocolError | undefined } {
  const decoder = new StreamDecoder(version, sender, 1_000_000)
  const packets: ControlPacket[] = []
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  try {
    for (const chunk of chunks) {
      decoder.push(chunk)
      for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
        packets.push(plain(packet))
        // A packet has two bytes at least: more packets than that, and it would never end.
        if (packets.length > total / 2) throw new Error('more packets than bytes')
      }
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { packets, error }
  }
  return { packets, error: undefined }
}

function countOutcome({ packets, error }: ReturnType<typeof outcomeOf>): void {
  if (error !== undefined) outcomes.refused += 1
  else if (packets.length > 0) outcomes.decoded += 1
  else outcomes.waiting += 1
}

describe('a damaged stream', () => {
  test.each(SIDES)(
    'gives packets or a ProtocolError, in any split the same: %s from the %s',
    (version, sender) => {
      fc.assert(
        fc.property(streamFrom(sender, version, 5), damage, fc.nat(), (packets, damages, cut) => {
          for (const packet of packets) census.count(packet)
          const stream = damaged(concat(...packets.map((packet) => encode(packet, version))), damages)
          const whole = outcomeOf([stream], version, sender)
          countOutcome(whole)
          const at = stream.length === 0 ? 0 : cut % stream.length
          const halves = outcomeOf([stream.slice(0, at), stream.slice(at)], version, sender)
          for (const split of stream.length > 2_000
            ? [halves]
            : [halves, outcomeOf(byteByByte(stream), version, sender)]) {
            expectSame(split.packets, whole.packets)
            expect(split.error?.message).toBe(whole.error?.message)
            expect(split.error?.reasonCode).toBe(whole.error?.reasonCode)
          }
          if (whole.error !== undefined) {
            expect(whole.error.message).not.toBe('')
            expect([0x81, 0x82, 0x84, 0x95]).toContain(whole.error.reasonCode)
          }
        }),
        { numRuns: 120 },
      )
    },
  )

  test.each(SIDES)(
    'gives what can be written and read again, if it gives packets: %s from the %s',
    (version, sender) => {
      fc.assert(
        fc.property(packetFrom(sender, version), damage, (packet, damages) => {
          for (const decoded of outcomeOf([damaged(encode(packet, version), damages)], version, sender)
            .packets) {
            expectSame(decode([encode(decoded, version)], version, sender), [decoded])
          }
        }),
        { numRuns: 120 },
      )
    },
  )

  test.each(SIDES)('of the other side or version does no harm: %s as if from the %s', (version, sender) => {
    const any = fc.oneof(
      ...SIDES.map(([other, side]) => streamFrom(side, other, 3).map((packets) => [other, packets] as const)),
    )
    fc.assert(
      fc.property(any, fc.option(damage), ([other, packets], damages) => {
        const stream = concat(...packets.map((packet) => encode(packet, other)))
        outcomeOf([damages === null ? stream : damaged(stream, damages)], version, sender)
      }),
      { numRuns: 80 },
    )
  })

  test.each(SIDES)('may be any bytes at all: %s from the %s', (version, sender) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60, size: 'max' }), (stream) => {
        outcomeOf([stream], version, sender)
      }),
      { numRuns: 300 },
    )
  })
})

describe('a damaged packet', () => {
  /** What comes of a body that lies between other bytes. */
  function outcomeBetween(
    header: number,
    before: Uint8Array,
    body: Uint8Array,
    behind: Uint8Array,
    version: ProtocolVersion,
    sender: Sender,
  ): string {
    const bytes = concat(before, body, behind)
    const reader = new PacketReader().open(bytes, before.length, before.length + body.length)
    try {
      const packet = plain(decodeBody(header, reader, version, sender))
      return JSON.stringify(packet, (_, value: unknown) =>
        value instanceof Uint8Array ? toHex(value) : value,
      )
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return `${error.reasonCode}: ${error.message}`
    }
  }

  /** The header and the body of one encoded packet. */
  function bodyOf(bytes: Uint8Array): { header: number; body: Uint8Array } {
    const lengthEnd = bytes.findIndex((byte, index) => index > 0 && byte < 0x80) + 1
    return { header: bytes[0] as number, body: bytes.subarray(lengthEnd) }
  }

  test.each(KINDS)('is never read beyond its end: %s in %s from the %s', (type, version, sender) => {
    const poison = (value: number): Uint8Array => new Uint8Array(300).fill(value)
    const nothing = new Uint8Array(0)
    fc.assert(
      fc.property(packetOf(type, version), damage, fc.nat(), (packet, damages, cut) => {
        census.count(packet)
        const { header, body } = bodyOf(encode(packet, version))
        const length = body.length === 0 ? 0 : cut % (body.length + 1)
        for (const [broken, continuation] of [
          // The most tempting thing to read beyond the end is what would have made the packet whole.
          [body.subarray(0, length), body.subarray(length)],
          [damaged(body, damages), body],
        ] as const) {
          const alone = outcomeBetween(header, nothing, broken, nothing, version, sender)
          for (const [before, behind] of [
            [poison(0x00), poison(0x00)],
            [poison(0xff), poison(0xff)],
            [poison(0x41), poison(0x41)],
            [body, continuation],
          ] as const) {
            expect(outcomeBetween(header, before, broken, behind, version, sender)).toBe(alone)
          }
        }
      }),
      { numRuns: 25 },
    )
  })

  test.each(KINDS)(
    'that is cut short at any byte is refused, unless what is left is a shorter form: %s in %s from the %s',
    (type, version, sender) => {
      fc.assert(
        fc.property(packetOf(type, version), (packet) => {
          const { header, body } = bodyOf(encode(packet, version))
          const payload = packet.type === 'publish' ? packet.payload.length : 0
          for (let length = 0; length < body.length - payload; length++) {
            const outcome = outcomeBetween(
              header,
              new Uint8Array(0),
              body.subarray(0, length),
              body.subarray(length),
              version,
              sender,
            )
            if (!hasShorterForms(packet, version) && !/^12[89]:|^13\d:/.test(outcome)) {
              throw new Error(`${length} of ${body.length} bytes gave ${outcome}`)
            }
          }
        }),
        { numRuns: 12 },
      )
    },
  )

  /** Packets of which a beginning may be a packet, too: lists that end earlier, codes and properties left out. */
  function hasShorterForms(packet: ControlPacket, version: ProtocolVersion): boolean {
    switch (packet.type) {
      case 'subscribe':
        return packet.subscriptions.length > 1
      case 'unsubscribe':
        return packet.filters.length > 1
      case 'suback':
      case 'unsuback':
        return packet.reasonCodes.length > 1
      case 'connect':
      case 'connack':
      case 'publish':
        return false
      default:
        return version === '5'
    }
  }

  test('of every type and with every property was made', () => {
    expect(census.missing(['3.1.1', '5'])).toEqual([])
    expect(outcomes.decoded).toBeGreaterThan(3)
    expect(outcomes.refused).toBeGreaterThan(100)
    expect(outcomes.waiting).toBeGreaterThan(5)
  })
})

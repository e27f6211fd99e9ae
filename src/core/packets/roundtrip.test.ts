// Properties of the codec over generated packets of every type and with every property: what is written is what is
// read, however the bytes are split and whoever owns the chunks. The counts of what was generated are printed.

import fc from 'fast-check'
import { afterAll, describe, expect, test, vi } from 'vitest'
import { packetFrom, packetOf, streamFrom } from '../../../test/support/codec/arbitraries.ts'
import { Census } from '../../../test/support/codec/census.ts'
import { codecOf, decode, encode, plain, StreamDecoder, write } from '../../../test/support/codec/codec.ts'
import { expectSame } from '../../../test/support/codec/expect-same.ts'
import { concat, toHex } from '../../../test/support/codec/hex.ts'
import { mayBeSentBy, type Sender } from '../../../test/support/codec/specification.ts'
import { OutputBuffer } from '../bytes/output-buffer.ts'
import { Slabs } from '../bytes/slabs.ts'
import { IncomingMessage } from './publish.ts'
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

// Seconds in all; on a busy machine one test may take some.
vi.setConfig({ testTimeout: 60_000 })

const census = new Census()

afterAll(() => {
  console.log(`generated ${census.toString()}`)
})

describe('a packet', () => {
  test.each(KINDS)('that is written and read is the same: %s in %s from the %s', (type, version, sender) => {
    fc.assert(
      fc.property(packetOf(type, version), (packet) => {
        census.count(packet)
        expectSame(decode([encode(packet, version)], version, sender), [packet])
      }),
      { numRuns: 100 },
    )
  })

  test('of every type and with every property was generated', () => {
    expect(census.missing(['3.1.1', '5'])).toEqual([])
  })

  test.each(SIDES)(
    'has the size that is told of it before it is written: %s from the %s',
    (version, sender) => {
      const codec = codecOf(version)
      let checked = 0
      fc.assert(
        fc.property(packetFrom(sender, version), (packet) => {
          const size = sizeOf(packet)
          if (size === undefined) return
          checked += 1
          expect(encode(packet, version).length).toBe(size)
        }),
        { numRuns: 150 },
      )
      if (sender === 'client') expect(checked).toBeGreaterThan(5)

      function sizeOf(packet: ControlPacket): number | undefined {
        if (packet.type === 'subscribe') return codec.subscribeSize(packet)
        if (packet.type === 'unsubscribe') return codec.unsubscribeSize(packet)
        return packet.type === 'disconnect' ? codec.disconnectSize(packet) : undefined
      }
    },
  )

  test.each(SIDES)('has no byte that was there before it: %s from the %s', (version, sender) => {
    fc.assert(
      fc.property(streamFrom(sender, version, 4), fc.nat({ max: 255 }), (packets, rubbish) => {
        const slabs = new Slabs()
        const { slab } = slabs.borrow(100_000)
        slab.bytes.fill(rubbish)
        slabs.giveBack(slab, 0, 0)
        const out = new OutputBuffer(slabs)
        for (const packet of packets) write(out, packet, version)
        const expected = concat(...packets.map((packet) => encode(packet, version)))
        expect(toHex(out.takeAll())).toBe(toHex(expected))
      }),
      { numRuns: 40 },
    )
  })

  test('is written in 3.1.1 with the code that comes nearest, where its own is one of 5', () => {
    const suback = encode(
      { type: 'suback', packetId: 1, reasonCodes: [0x02, 0x87], properties: undefined },
      '3.1.1',
    )
    expect(toHex(suback)).toBe('90 04 00 01 02 80')
    const connack = encode(
      { type: 'connack', sessionPresent: false, reasonCode: 0x97, properties: { reasonString: 'no' } },
      '3.1.1',
    )
    expect(toHex(connack)).toBe('20 02 00 03')
    const puback = encode({ type: 'puback', packetId: 1, reasonCode: 0x87, properties: undefined }, '3.1.1')
    expect(toHex(puback)).toBe('40 02 00 01')
  })

  test('is written in its shortest form also when its properties are there but not set', () => {
    const nothing = { reasonString: undefined, userProperties: [] }
    for (const type of ['puback', 'pubrec', 'pubrel', 'pubcomp'] as const) {
      expect(encode({ type, packetId: 1, reasonCode: 0, properties: nothing }, '5')).toHaveLength(4)
      expect(encode({ type, packetId: 1, reasonCode: 0x92, properties: {} }, '5')).toHaveLength(5)
    }
    expect(encode({ type: 'disconnect', reasonCode: 0, properties: nothing }, '5')).toHaveLength(2)
    expect(encode({ type: 'disconnect', reasonCode: 4, properties: {} }, '5')).toHaveLength(3)
    expect(encode({ type: 'auth', reasonCode: 0, properties: nothing }, '5')).toHaveLength(2)
    expect(encode({ type: 'auth', reasonCode: 0x18, properties: {} }, '5')).toHaveLength(4)
  })
})

describe('a stream', () => {
  const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 3_000 })), {
    minLength: 1,
    maxLength: 12,
  })

  /** Cuts a stream into chunks of these sizes, over and over. */
  function* split(stream: Uint8Array, chunkSizes: readonly number[]): Generator<Uint8Array> {
    for (let at = 0, turn = 0; at < stream.length; turn++) {
      const size = chunkSizes[turn % chunkSizes.length] as number
      yield stream.slice(at, at + size)
      at += size
    }
  }

  test.each(SIDES)('gives the same packets in any split, chunks kept: %s from the %s', (version, sender) => {
    fc.assert(
      fc.property(streamFrom(sender, version), sizes, (packets, chunkSizes) => {
        const stream = concat(...packets.map((packet) => encode(packet, version)))
        expectSame(decode([...split(stream, chunkSizes)], version, sender), packets)
      }),
      { numRuns: 150 },
    )
  })

  // A chunk is overwritten as soon as it was pulled empty. What was kept must stay whole: other packets always are,
  // a PUBLISH when it was kept before the next one was pulled.
  test.each(SIDES)('gives the same packets in any split, chunks lent: %s from the %s', (version, sender) => {
    let keptMessages = 0
    let viewsKept = 0
    const choices = (weight: number): fc.Arbitrary<boolean[]> => {
      const yes = fc.nat({ max: 99 }).map((percent) => percent < weight)
      return fc.array(yes, { minLength: 1, maxLength: 9, size: 'max' })
    }
    fc.assert(
      fc.property(
        streamFrom(sender, version),
        sizes,
        choices(50),
        choices(20),
        (packets, chunkSizes, keep, stop) => {
          const stream = concat(...packets.map((packet) => encode(packet, version)))
          const decoder = new StreamDecoder(version, sender)
          const { framer } = decoder
          const received: ControlPacket[] = []
          let turn = 0
          const chosen = (from: readonly boolean[]): boolean => from[turn++ % from.length] as boolean

          const takeUp = (packet: ControlPacket): void => {
            if (!(packet instanceof IncomingMessage)) return void received.push(packet)
            if (!chosen(keep)) return void received.push(plain(packet))
            if (framer.kept) viewsKept += 1
            const moved = framer.keep()
            if (moved > 0 || packet.buffer !== framer.bytes.buffer) packet.move(framer.bytes.buffer, moved)
            keptMessages += 1
            received.push(packet)
          }

          for (const chunk of split(stream, chunkSizes)) {
            decoder.push(chunk, false)
            for (let packet = decoder.next(); packet !== undefined; packet = decoder.next()) {
              takeUp(packet)
              // Reading stops in the middle of a chunk: the rest is kept, and the chunk is the owner's again.
              if (chosen(stop)) {
                framer.keepRest()
                chunk.fill(0xaa)
              }
            }
            chunk.fill(0xaa)
          }
          expectSame(received.map(plain), packets)
        },
      ),
      { numRuns: 150 },
    )
    expect(keptMessages).toBeGreaterThan(20)
    expect(viewsKept).toBeGreaterThan(3)
  })
})

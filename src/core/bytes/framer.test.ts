// Where packets begin and end in a stream of chunks, what is copied and what is not, and what a header that claims
// much may cost. What is in the packets is none of the framer's business: they are zeros here, or counted bytes.

import { afterEach, describe, expect, test, vi } from 'vitest'
import { byteByByte, NO_LIMIT } from '../../../test/support/codec/codec.ts'
import { concat, hex, toHex } from '../../../test/support/codec/hex.ts'
import { ProtocolError } from '../errors.ts'
import { Framer } from './framer.ts'

const A = hex('40 02 0001')
const B = hex('50 02 0002')
const C = hex('62 02 0003')

function framer(maximumPacketSize: number = NO_LIMIT): Framer {
  return new Framer(maximumPacketSize, true)
}

/** The first byte and the body of the present packet. */
function present(source: Framer): string {
  return toHex(concat(Uint8Array.of(source.header), source.bytes.subarray(source.start, source.end)))
}

function pullAll(source: Framer): string[] {
  const packets: string[] = []
  while (source.next()) {
    packets.push(present(source))
    if (packets.length > 1_000) throw new Error('there is no end of packets')
  }
  return packets
}

function refusal(read: () => unknown): ProtocolError {
  try {
    read()
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('packets in a chunk', () => {
  test('are views on it, one after the other', () => {
    const chunk = concat(A, B, hex('d0 00'))
    const source = framer()
    source.push(chunk, true)
    const positions: unknown[] = []
    while (source.next()) positions.push([source.bytes === chunk, source.header, source.start, source.end])
    expect(positions).toEqual([
      [true, 0x40, 2, 4],
      [true, 0x50, 6, 8],
      [true, 0xd0, 10, 10],
    ])
  })

  test('are none in an empty one', () => {
    const source = framer()
    expect(source.next()).toBe(false)
    source.push(new Uint8Array(0), false)
    expect(source.next()).toBe(false)
    source.push(A, false)
    expect(pullAll(source)).toEqual(['40 00 01'])
  })

  test.each([
    [0, '00'],
    [1, '01'],
    [127, '7f'],
    [128, '8001'],
    [16_383, 'ff7f'],
    [16_384, '808001'],
    [2_097_151, 'ffff7f'],
    [2_097_152, '80808001'],
  ])('have a Remaining Length of one to four bytes (table 2.4, 5: table 1-1): %i', (length, encoded) => {
    const packet = concat(hex('30'), hex(encoded), new Uint8Array(length).fill(7))
    const header = packet.length - length
    for (const pieces of [
      [concat(packet, A)],
      [...byteByByte(packet.subarray(0, header)), concat(packet.subarray(header), A)],
      [packet.subarray(0, header + 1), packet.subarray(header + 1), A],
      [concat(A, packet.subarray(0, header - 1)), packet.subarray(header - 1), A],
    ]) {
      const source = framer()
      const sizes: number[] = []
      for (const piece of pieces) {
        source.push(piece, true)
        while (source.next()) {
          sizes.push(source.end - source.start)
          if (source.header === 0x30) {
            const body = source.bytes.subarray(source.start, source.end)
            expect(Buffer.compare(body, packet.subarray(header))).toBe(0)
          }
        }
      }
      expect(sizes.filter((size) => size !== 2 || length === 2)).toEqual([length])
      expect(source.waiting).toBe(0)
    }
  })

  test('may be cut anywhere', () => {
    const stream = concat(A, hex('d0 00'), hex('31 8101'), new Uint8Array(129).fill(9), B)
    const whole = framer()
    whole.push(stream, true)
    const expected = pullAll(whole)
    expect(expected).toHaveLength(4)
    for (let first = 0; first <= stream.length; first++) {
      for (const second of [first, first + 1, Math.max(first, stream.length - 1)]) {
        const source = framer()
        const got: string[] = []
        for (const piece of [stream.slice(0, first), stream.slice(first, second), stream.slice(second)]) {
          source.push(piece, true)
          got.push(...pullAll(source))
        }
        expect(got.join('|')).toBe(expected.join('|'))
      }
    }
  })

  test('wait until they are whole, and are counted while they do', () => {
    const source = framer()
    source.push(concat(A, B.subarray(0, 3)), true)
    expect(source.waiting).toBe(7)
    expect(source.next()).toBe(true)
    expect(source.waiting).toBe(3)
    expect(source.next()).toBe(false)
    expect(source.waiting).toBe(3)
    source.push(B.subarray(3), true)
    expect(source.waiting).toBe(4)
    expect(pullAll(source)).toEqual(['50 00 02'])
    expect(source.waiting).toBe(0)
  })

  test('are not lost when the next chunk comes before all are pulled', () => {
    const source = framer()
    const [first, second] = [concat(A, B), C.slice()]
    source.push(first, false)
    expect(source.next()).toBe(true)
    source.push(second, false)
    first.fill(0xaa)
    second.fill(0xaa)
    expect(source.next()).toBe(true)
    expect([present(source), source.kept]).toEqual(['50 00 02', true])
    expect(pullAll(source)).toEqual(['62 00 03'])
  })
})

describe('a lent chunk', () => {
  /** Pushes a lent chunk, and gives the function that its owner fills it again with. */
  function lend(source: Framer, ...packets: readonly Uint8Array[]): () => void {
    const chunk = concat(...packets)
    source.push(chunk, false)
    return () => void chunk.fill(0xaa)
  }

  test('is copied when a packet in it is kept, with what is behind that packet, which is kept by that', () => {
    const source = framer()
    const reuse = lend(source, A, B, C)
    source.next()
    expect([present(source), source.kept]).toEqual(['40 00 01', false])
    source.next()
    expect(source.kept).toBe(false)
    const before = source.start
    expect(source.keep()).toBe(before)
    const copy = source.bytes
    expect([present(source), source.kept, source.start, source.end]).toEqual(['50 00 02', true, 0, 2])
    expect(source.keep()).toBe(0)
    source.next()
    expect([present(source), source.kept, source.bytes === copy]).toEqual(['62 00 03', true, true])
    expect(source.keep()).toBe(0)
    reuse()
    expect(present(source)).toBe('62 00 03')
  })

  test('may be copied to the middle of larger memory', () => {
    const memory = new Uint8Array(64)
    const source = new Framer(1_000, false, (bytes) => {
      memory.set(bytes, 40)
      return memory.subarray(40, 40 + bytes.length)
    })
    const reuse = lend(source, A, B, C)
    source.next()
    source.next()
    const before = source.start
    const moved = source.keep()
    reuse()
    expect([present(source), source.bytes.byteOffset + source.start]).toEqual(['50 00 02', before - moved])
    source.next()
    expect(present(source)).toBe('62 00 03')
  })

  test('is copied in pieces when it is large, a large packet by itself', () => {
    const source = framer()
    const small = concat(hex('30 a09c01'), new Uint8Array(20_000).fill(7))
    const large = concat(hex('30 a08d06'), new Uint8Array(100_000).fill(7))
    const reuse = lend(source, small, small, small, small, large, small)
    const kept: Uint8Array[] = []
    while (source.next()) {
      source.keep()
      kept.push(source.bytes.subarray(source.start, source.end))
    }
    reuse()
    expect(kept.map(({ length }) => length)).toEqual([20_000, 20_000, 20_000, 20_000, 100_000, 20_000])
    expect(kept.every((body) => body.every((byte) => byte === 7))).toBe(true)
    const pieces = kept.map(({ buffer }) => buffer)
    expect(new Set(pieces.slice(0, 3)).size).toBe(1)
    expect(new Set(pieces).size).toBe(4)
    expect(Math.max(...pieces.map(({ byteLength }) => byteLength))).toBe(100_000)
    // No more of a fourth than the longer headers that the three might have had.
    expect(pieces[0]?.byteLength).toBeLessThanOrEqual(3 * (20_000 + 5))
  })

  test('is copied by the platform, if that has a way of its own', () => {
    const copies: number[] = []
    const source = new Framer(1_000_000, true, (bytes) => {
      copies.push(bytes.length)
      return bytes.slice()
    })
    lend(source, A, B)
    source.next()
    source.keep()
    expect(copies).toEqual([A.length + B.length - 2])
    expect([source.next(), source.next()]).toEqual([true, false])
    lend(source, A, B, C)
    source.next()
    source.keepRest()
    expect(copies.slice(1)).toEqual([B.length + C.length])
  })

  /** A packet of 2 to 302 bytes that tells its number, or a larger one. */
  function numbered(number: number): Uint8Array {
    const length = number % 97 === 96 ? 70_000 : (number * 37) % 300
    const size = length < 0x80 ? [length] : [(length & 0x7f) | 0x80, (length >> 7) & 0x7f]
    if (length >= 0x4000) size.splice(1, 1, ((length >> 7) & 0x7f) | 0x80, length >> 14)
    return concat(Uint8Array.of(0x30, ...size), new Uint8Array(length).fill(number))
  }

  test.each([
    [1, 0],
    [7, 0],
    [500, 0],
    [1, 13],
    [31, 210],
  ])(
    'is read to its end, whole and in order, when every %i. packet is kept (and the rest after each %i.)',
    (every, rest) => {
      const source = framer()
      const packets = Array.from({ length: 1_500 }, (_, number) => numbered(number))
      const reuse = lend(source, ...packets)
      let waiting = packets.reduce((sum, { length }) => sum + length, 0)
      const kept: { number: number; body: Uint8Array }[] = []
      for (const [number, packet] of packets.entries()) {
        expect([source.next(), source.header]).toEqual([true, 0x30])
        waiting -= packet.length
        expect(source.waiting).toBe(waiting)
        expect(source.end - source.start).toBe(
          packet.length - (packet.length < 130 ? 2 : packet.length < 16_387 ? 3 : 4),
        )
        const { bytes, start, end } = source
        expect(bytes.subarray(start, end).every((byte) => byte === (number & 0xff))).toBe(true)
        if (number % every === 0) {
          source.keep()
          kept.push({ number, body: source.bytes.subarray(source.start, source.end) })
        }
        if (rest > 0 && number % rest === rest - 1) {
          source.keepRest()
          reuse()
        }
      }
      expect([source.next(), source.waiting]).toEqual([false, 0])
      reuse()
      for (const { number, body } of kept) expect(body.every((byte) => byte === (number & 0xff))).toBe(true)
    },
  )

  test('goes on behind its copy when another comes before it was pulled empty', () => {
    const source = framer()
    const reuse = lend(
      source,
      A,
      new Uint8Array(70_000).fill(0xd0).map((byte, at) => (at % 2 === 0 ? byte : 0)),
      B,
    )
    source.next()
    source.keep()
    expect(source.kept).toBe(true)
    source.push(C, true)
    reuse()
    const packets = []
    while (source.next()) packets.push(present(source))
    expect(packets).toHaveLength(35_002)
    expect([packets[0], ...packets.slice(-2)]).toEqual(['d0', '50 00 02', '62 00 03'])
  })

  test('may be kept at its last packet', () => {
    const source = framer()
    const reuse = lend(source, A, B)
    source.next()
    source.next()
    source.keep()
    reuse()
    expect(present(source)).toBe('50 00 02')
    expect(source.waiting).toBe(0)
    source.push(C, true)
    expect(pullAll(source)).toEqual(['62 00 03'])
  })

  test('may be filled again once it was pulled empty, also when it ends within a packet', () => {
    const source = framer()
    const reuse = lend(source, A, B.subarray(0, 3))
    expect(pullAll(source)).toEqual(['40 00 01'])
    reuse()
    const reuseNext = lend(source, B.subarray(3), C)
    source.next()
    expect([present(source), source.kept]).toEqual(['50 00 02', true])
    expect(source.keep()).toBe(0)
    source.next()
    expect([present(source), source.kept]).toEqual(['62 00 03', false])
    source.keep()
    reuseNext()
    expect(present(source)).toBe('62 00 03')
  })

  test('may be filled again when reading stops in its middle, if the rest is kept', () => {
    const source = framer()
    const reuse = lend(source, A, B, C.subarray(0, 2))
    source.next()
    source.keepRest()
    reuse()
    expect(source.waiting).toBe(6)
    expect(pullAll(source)).toEqual(['50 00 02'])
    source.push(C.subarray(2), true)
    expect(pullAll(source)).toEqual(['62 00 03'])
  })

  test('keeps the packet that was read last, too, when that is asked for after the rest was kept', () => {
    for (const stop of [(source: Framer) => source.keepRest(), (source: Framer) => source.push(C, true)]) {
      const source = framer()
      const reuse = lend(source, A, B)
      source.next()
      stop(source)
      expect(source.keep()).toBe(2)
      reuse()
      expect([present(source), source.kept, source.start]).toEqual(['40 00 01', true, 0])
      expect(pullAll(source)[0]).toBe('50 00 02')
    }
  })

  test('that is ours for good is never copied', () => {
    const chunk = concat(A, B)
    const source = framer()
    source.push(chunk, true)
    source.next()
    expect([source.kept, source.keep(), source.bytes === chunk]).toEqual([true, 0, true])
    source.keepRest()
    source.next()
    expect(source.bytes).toBe(chunk)
  })

  test('may be a Buffer, whose slice shares its memory: what is kept is a copy all the same', () => {
    const lentBuffer = Buffer.from(concat(A, B, C))
    const source = framer()
    source.push(lentBuffer, false)
    source.next()
    source.next()
    source.keep()
    lentBuffer.fill(0xaa)
    expect(present(source)).toBe('50 00 02')
    expect(source.bytes.constructor).toBe(Uint8Array)

    const rest = Buffer.from(concat(A, B))
    const other = framer()
    other.push(rest, false)
    other.next()
    other.keepRest()
    rest.fill(0xaa)
    expect(pullAll(other)).toEqual(['50 00 02'])
  })
})

describe('a Remaining Length', () => {
  test.each(['d0 80808080', 'd0 8080808001', '30 ffffffff7f'])(
    'of five bytes is malformed: %s (3.1.1: 2.2.3, 5: 2.1.4)',
    (bytes) => {
      for (const shortestForm of [true, false]) {
        for (const pieces of [[hex(bytes)], byteByByte(hex(bytes))]) {
          const source = new Framer(NO_LIMIT, shortestForm)
          const error = refusal(() => {
            for (const piece of pieces) {
              source.push(piece, true)
              source.next()
            }
          })
          expect([error.code, error.reasonCode]).toEqual(['malformed-packet', 0x81])
          expect(error.message).toBe('the Remaining Length is longer than four bytes')
        }
      }
    },
  )

  test.each(['d0 8000', 'd0 808000', 'd0 80808000', '40 8200 0001', '30 ffff8000'])(
    'in a longer form than needed is malformed in 5 and legal in 3.1.1: %s [5 MQTT-1.5.5-1]',
    (bytes) => {
      for (const pieces of [[hex(bytes)], byteByByte(hex(bytes))]) {
        const strict = new Framer(NO_LIMIT, true)
        const error = refusal(() => {
          for (const piece of pieces) {
            strict.push(piece, true)
            strict.next()
          }
        })
        expect([error.code, error.reasonCode]).toEqual(['malformed-packet', 0x81])
      }
      const lenient = new Framer(NO_LIMIT, false)
      lenient.push(concat(hex(bytes), new Uint8Array(16_383)), true)
      expect(lenient.next()).toBe(true)
      expect(lenient.start).toBe(hex(bytes).findIndex((byte, index) => index > 0 && byte < 0x80) + 1)
    },
  )
})

describe('a packet above the maximum size', () => {
  const large = concat(hex('30 8001'), new Uint8Array(128))

  test('is one byte larger, its fixed header counted [5 MQTT-3.1.2-24]', () => {
    for (const pieces of [[large], byteByByte(large)]) {
      const enough = framer(large.length)
      const packets = pieces.flatMap((piece) => {
        enough.push(piece, true)
        return pullAll(enough)
      })
      expect(packets).toHaveLength(1)
    }
    const source = framer(large.length - 1)
    source.push(large, true)
    const error = refusal(() => source.next())
    expect([error.code, error.reasonCode]).toEqual(['packet-too-large', 0x95])
    expect(error.message).toBe(
      'a packet of 131 bytes came, at most 130 are accepted (option maximumPacketSize)',
    )
  })

  test('is refused right after its header, and nothing of it is buffered [5 MQTT-3.1.2-24]', () => {
    const source = framer(100)
    source.push(concat(A, hex('30 ffffff7f')), false)
    expect(source.next()).toBe(true)
    expect(refusal(() => source.next()).reasonCode).toBe(0x95)

    const slow = framer(100)
    for (const byte of byteByByte(hex('30 ffffff'))) {
      slow.push(byte, false)
      expect(slow.next()).toBe(false)
    }
    slow.push(concat(hex('7f'), new Uint8Array(50)), false)
    expect(refusal(() => slow.next()).reasonCode).toBe(0x95)
  })

  test('ends the stream: nothing behind it is ever read', () => {
    const source = framer(100)
    source.push(concat(large, A), true)
    expect(() => source.next()).toThrow(ProtocolError)
    expect(() => source.next()).toThrow(ProtocolError)
  })
})

describe('memory', () => {
  afterEach(() => {
    vi.unstubAllGlobals()
  })

  /** The sizes of all arrays that are made from here on. */
  function watchAllocations(): number[] {
    const sizes: number[] = []
    const watched = new Proxy(Uint8Array, {
      construct(target, parameters: unknown[]) {
        if (typeof parameters[0] === 'number') sizes.push(parameters[0])
        return Reflect.construct(target, parameters) as object
      },
    })
    vi.stubGlobal('Uint8Array', watched)
    return sizes
  }

  test('grows with the bytes that come, never with the length that a header claims', () => {
    const piece = new Uint8Array(100).fill(1)
    const header = hex('30 ffffff7f')
    const source = framer()
    const sizes = watchAllocations()
    source.push(header, false)
    expect(source.next()).toBe(false)
    let received = header.length
    for (let count = 0; count < 1_000; count++) {
      source.push(piece, false)
      if (source.next()) throw new Error('it is whole')
      received += piece.length
      if (source.waiting !== received) throw new Error(`${source.waiting} wait of ${received}`)
      if ((sizes.at(-1) as number) > 2 * received + 64) throw new Error(`${sizes.at(-1)} for ${received}`)
    }
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(5 * received)
    expect(sizes.length).toBeLessThan(20)
  })

  test('for a split packet is its own size at the end, and none at all for whole ones', () => {
    const packet = concat(hex('30 e807'), new Uint8Array(1_000))
    const source = framer()
    const sizes = watchAllocations()
    for (let count = 0; count < 100; count++) {
      source.push(packet, false)
      expect(source.next()).toBe(true)
    }
    expect(sizes).toEqual([])
    source.push(packet.subarray(0, 600), false)
    source.next()
    source.push(packet.subarray(600), false)
    expect(source.next()).toBe(true)
    expect(source.bytes.length).toBe(packet.length)
    expect(sizes).toEqual([packet.length])
  })
})

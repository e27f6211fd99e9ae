// What is written comes out once, in order, in chunks that nobody writes into again.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, hex, toHex } from '../../../test/support/codec/hex.ts'
import { OutputBuffer } from './output-buffer.ts'
import { type Slab, Slabs } from './slabs.ts'

function write(out: OutputBuffer, size: number, value: number): void {
  const at = out.reserve(size)
  out.bytes.fill(value, at, at + size)
  out.position = at + size
}

function chunksOf(out: OutputBuffer): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let chunk = out.take(); chunk !== undefined; chunk = out.take()) chunks.push(chunk)
  return chunks
}

function filled(size: number, value: number): Uint8Array {
  return new Uint8Array(size).fill(value)
}

describe('packets on their way out', () => {
  test('leave together, in the order in which they were written', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 2, 1)
    write(out, 3, 2)
    expect(chunksOf(out)).toEqual([hex('01 01 02 02 02')])
    expect(out.take()).toBeUndefined()
    write(out, 1, 3)
    expect(chunksOf(out)).toEqual([hex('03')])
  })

  test('are counted', () => {
    const out = new OutputBuffer(new Slabs())
    expect([out.pending, out.encoded, out.taken]).toEqual([0, 0, 0])
    write(out, 10, 1)
    out.append(filled(100, 2))
    write(out, 5, 3)
    out.putFirst(filled(2, 4))
    expect([out.pending, out.encoded, out.taken]).toEqual([117, 117, 0])
    out.take()
    expect([out.pending, out.encoded, out.taken]).toEqual([115, 117, 2])
    out.takeAll()
    expect([out.pending, out.encoded, out.taken]).toEqual([0, 117, 117])
    write(out, 1, 5)
    expect([out.pending, out.encoded, out.taken]).toEqual([1, 118, 117])
  })

  test('are not there while they are only reserved', () => {
    const out = new OutputBuffer(new Slabs())
    out.reserve(10)
    expect(out.pending).toBe(0)
    expect(out.take()).toBeUndefined()
  })

  test('may be larger than any slab, and leave in parts that are not copied', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 10, 1)
    write(out, 1_000_000, 2)
    write(out, 10, 3)
    const chunks = chunksOf(out)
    const expected = concat(filled(10, 1), filled(1_000_000, 2), filled(10, 3))
    expect(Buffer.compare(concat(...chunks), expected)).toBe(0)
    expect(Math.max(...chunks.map(({ length }) => length))).toBeLessThanOrEqual(131_072)
    const large = chunks.filter(({ length }) => length === 65_472)
    expect(large.length).toBeGreaterThanOrEqual(13)
    expect(new Set(large.map(({ buffer }) => buffer)).size).toBe(1)
  })

  test('of which a part was taken are not interrupted', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 10, 1)
    out.append(filled(300_000, 2))
    const parts = [out.take(), out.take()]
    expect(parts.map((part) => part?.length)).toEqual([10, 65_472])
    out.putFirst(filled(2, 3))
    const rest = concat(...chunksOf(out))
    expect(Buffer.compare(rest, concat(filled(300_000 - 65_472, 2), filled(2, 3)))).toBe(0)
  })
})

describe('a payload that was lent', () => {
  test('is not copied and stands between what was written before and after it', () => {
    const payload = filled(50, 2)
    const out = new OutputBuffer(new Slabs())
    write(out, 3, 1)
    out.append(payload)
    write(out, 3, 3)
    const chunks = chunksOf(out)
    expect(chunks[1]).toBe(payload)
    expect(chunks.map((chunk) => chunk.length)).toEqual([3, 50, 3])
    expect(chunks.map((chunk) => chunk[0])).toEqual([1, 2, 3])
  })
})

describe('a packet that is put first', () => {
  const PINGREQ = hex('c0 00')

  test('goes ahead of all that was not taken', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 3, 1)
    out.append(filled(4, 2))
    write(out, 1, 3)
    out.putFirst(PINGREQ)
    expect(toHex(out.takeAll())).toBe('c0 00 01 01 01 02 02 02 02 03')
    out.putFirst(PINGREQ)
    expect(toHex(out.takeAll())).toBe('c0 00')
  })

  test('does not go into the middle of a packet whose beginning was taken', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 3, 1)
    out.append(filled(4, 2))
    write(out, 1, 3)
    expect(toHex(out.take() as Uint8Array)).toBe('01 01 01')
    out.putFirst(PINGREQ)
    expect(toHex(out.takeAll())).toBe('02 02 02 02 c0 00 03')
  })

  test('goes behind only that packet, though more payloads wait', () => {
    const out = new OutputBuffer(new Slabs())
    for (const value of [1, 2]) {
      write(out, 1, value)
      out.append(filled(2, value))
    }
    out.take()
    out.putFirst(PINGREQ)
    out.putFirst(hex('e0 00'))
    expect(toHex(out.takeAll())).toBe('01 01 e0 00 c0 00 02 02 02')
  })
})

describe('the end of a packet', () => {
  /** Six bytes: what it is, its size, its number. Then the rest. */
  function packetOf(kind: number, size: number, number: number): readonly [Uint8Array, Uint8Array] {
    const header = new Uint8Array(6)
    header[0] = kind
    new DataView(header.buffer).setUint32(1, size)
    header[5] = number
    return [header, filled(size, number)]
  }

  test('fills the slab and goes on in the next', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 65_000, 1)
    out.takeAll()
    expect(out.divides).toBe(false)
    write(out, 60_000, 1)
    expect(out.divides).toBe(true)
    out.fill(filled(140_000, 2))
    expect([out.full, out.pending]).toEqual([3 * 65_472, 200_000])
    const chunks = chunksOf(out)
    expect(chunks.map(({ length }) => length)).toEqual([65_472, 65_472, 65_472, 3_584])
    expect(Buffer.compare(concat(...chunks), concat(filled(60_000, 1), filled(140_000, 2)))).toBe(0)
  })

  test('property: stays behind its beginning, whatever is put first', () => {
    const steps = fc.array(
      fc.record({
        action: fc.constantFrom('fill', 'fill', 'append', 'first', 'first', 'take', 'takeFull'),
        size: fc.oneof(fc.nat({ max: 200 }), fc.integer({ min: 1, max: 200_000 })),
      }),
      { minLength: 10, maxLength: 60, size: 'max' },
    )
    let divided = 0
    fc.assert(
      fc.property(steps, (actions) => {
        const out = new OutputBuffer(new Slabs())
        // Slabs are large from the beginning.
        write(out, 65_472, 0)
        out.takeAll()
        const stream: Uint8Array[] = []
        const firsts: number[] = []
        const others: number[] = []
        actions.forEach(({ action, size }, index) => {
          if (action === 'take' || action === 'takeFull') {
            const chunk = action === 'take' ? out.take() : out.takeFull()
            if (chunk !== undefined) stream.push(chunk.slice())
            return
          }
          if (action === 'first') {
            const [header, rest] = packetOf(1, size % 50, index)
            firsts.push(index)
            return out.putFirst(concat(header, rest))
          }
          others.push(index)
          const [header, rest] = packetOf(2, size, index)
          const at = out.reserve(header.length)
          out.bytes.set(header, at)
          out.position = at + header.length
          const { bytes } = out
          if (action === 'append') out.append(rest)
          else out.fill(rest)
          if (out.bytes !== bytes) divided += 1
        })
        stream.push(out.takeAll())
        const whole = concat(...stream)
        const came: [number, number][] = []
        for (let at = 0; at < whole.length; ) {
          const size = new DataView(whole.buffer, whole.byteOffset).getUint32(at + 1)
          const [kind, number] = [whole[at] as number, whole[at + 5] as number]
          const rest = whole.subarray(at + 6, at + 6 + size)
          expect([kind, rest.length]).toEqual([kind === 1 ? 1 : 2, size])
          expect(rest.every((byte) => byte === number)).toBe(true)
          came.push([kind, number])
          at += 6 + size
        }
        expect(came.filter(([kind]) => kind === 2).map(([, number]) => number)).toEqual(others)
        expect(new Set(came.filter(([kind]) => kind === 1).map(([, number]) => number))).toEqual(
          new Set(firsts),
        )
      }),
      { numRuns: 200 },
    )
    expect(divided).toBeGreaterThan(100)
  })
})

describe('a slab', () => {
  test('property: is never written to where it was handed out, however many connections share it', () => {
    const size = fc.oneof(
      { weight: 20, arbitrary: fc.nat({ max: 40 }) },
      { weight: 30, arbitrary: fc.nat({ max: 1_000 }) },
      { weight: 1, arbitrary: fc.nat({ max: 20_000 }) },
    )
    const steps = fc.array(
      fc.record({
        connection: fc.nat({ max: 2 }),
        action: fc.constantFrom(
          ...(['write', 'write', 'write', 'write', 'fill', 'append', 'putFirst', 'take', 'flush'] as const),
          ...(['written', 'written', 'written', 'hold', 'release'] as const),
        ),
        size,
      }),
      { minLength: 20, maxLength: 200, size: 'max' },
    )
    const counts = { shared: 0, again: 0, heldOnly: 0 }
    fc.assert(
      fc.property(steps, (actions) => {
        const slabs = new Slabs()
        const outs = [new OutputBuffer(slabs), new OutputBuffer(slabs), new OutputBuffer(slabs)]
        const expected = outs.map(() => 0)
        const taken = new Set<{ out: OutputBuffer; chunk: Uint8Array; copy: Uint8Array; upTo: number }>()
        const held: { slab: Slab; part: Uint8Array; copy: Uint8Array }[] = []
        const letGo = new Set<ArrayBufferLike>()
        const take = (out: OutputBuffer): boolean => {
          const chunk = out.take()
          if (chunk !== undefined) taken.add({ out, chunk, copy: chunk.slice(), upTo: out.taken })
          return chunk !== undefined
        }
        const check = (): void => {
          for (const { chunk, copy } of taken) expect(Buffer.compare(chunk, copy)).toBe(0)
          for (const { part, copy } of held) expect(Buffer.compare(part, copy)).toBe(0)
        }
        actions.forEach(({ connection, action, size: bytes }, index) => {
          const out = outs[connection] as OutputBuffer
          if (action === 'take') return void take(out)
          if (action === 'flush') {
            while (take(out));
            return
          }
          if (action === 'written') {
            // At times in the middle of a chunk, which is not let go then.
            const total = Math.max(0, out.taken - (bytes % 3 === 0 ? bytes : 0))
            out.handleWritten(total)
            for (const one of taken) {
              if (one.out !== out || one.upTo > total) continue
              taken.delete(one)
              letGo.add(one.chunk.buffer)
            }
            return
          }
          if (action === 'release') {
            const [first] = held.splice(0, 1)
            first?.slab.release()
            return
          }
          if (action === 'hold') {
            const { slab, position, bytes: memory } = out
            const part = memory.subarray(Math.max(0, position - bytes), position)
            slab.hold()
            held.push({ slab, part, copy: part.slice() })
            return
          }
          expected[connection] = (expected[connection] as number) + bytes
          if (action === 'write') write(out, bytes, index + 1)
          else if (action === 'fill') out.fill(filled(bytes, index + 1))
          else if (action === 'append') out.append(filled(bytes, index + 1))
          else out.putFirst(filled(bytes, index + 1))
          if (out.position === bytes && action === 'write' && letGo.has(out.bytes.buffer)) counts.again += 1
          check()
        })
        for (const out of outs) while (take(out));
        expect(outs.map((out) => out.taken)).toEqual(expected)
        check()
        const buffers = new Set([...taken].map(({ chunk }) => chunk.buffer))
        counts.heldOnly += held.filter(({ part }) => part.length > 0 && !buffers.has(part.buffer)).length
        // And no byte belongs to two chunks.
        const ranges = [...taken]
          .filter(({ chunk }) => chunk.length > 0)
          .map(({ chunk }) => ({
            memory: chunk.buffer,
            from: chunk.byteOffset,
            to: chunk.byteOffset + chunk.length,
          }))
          .sort((a, b) => a.from - b.from)
        const ends = new Map<ArrayBufferLike, number>()
        for (const { memory, from, to } of ranges) {
          const end = ends.get(memory)
          if (end !== undefined) counts.shared += 1
          expect(from).toBeGreaterThanOrEqual(end ?? 0)
          ends.set(memory, to)
        }
      }),
      { numRuns: 400 },
    )
    expect(counts.shared).toBeGreaterThan(50)
    expect(counts.again).toBeGreaterThan(10)
    expect(counts.heldOnly).toBeGreaterThan(10)
  })

  test('goes back when all is taken, and the next connection writes behind what was handed out', () => {
    const slabs = new Slabs()
    const first = new OutputBuffer(slabs)
    const second = new OutputBuffer(slabs)
    write(first, 10, 1)
    const [chunk] = chunksOf(first)
    expect(first.bytes.length).toBe(0)
    write(second, 10, 2)
    const [next] = chunksOf(second)
    expect(next?.buffer).toBe(chunk?.buffer)
    expect(next?.byteOffset).toBe((chunk?.byteOffset ?? 0) + 10)
    expect(toHex(chunk as Uint8Array)).toBe(toHex(filled(10, 1)))
  })

  test('is not shared by two connections that write at the same time', () => {
    const slabs = new Slabs()
    const outs = [new OutputBuffer(slabs), new OutputBuffer(slabs)]
    outs.forEach((out, index) => write(out, 4, index))
    const chunks = outs.map((out) => out.take() as Uint8Array)
    expect(chunks[0]?.buffer).not.toBe(chunks[1]?.buffer)
  })

  test('that nothing can be added to may leave while the next is being filled', () => {
    const out = new OutputBuffer(new Slabs())
    write(out, 4_000, 1)
    expect([out.full, out.takeFull(), out.pending]).toEqual([0, undefined, 4_000])
    write(out, 4_000, 2)
    expect([out.full, out.pending]).toEqual([4_000, 8_000])
    expect(out.takeFull()).toEqual(filled(4_000, 1))
    expect([out.full, out.takeFull(), out.pending, out.taken]).toEqual([0, undefined, 4_000, 4_000])
    write(out, 10, 3)
    expect(out.take()).toEqual(concat(filled(4_000, 2), filled(10, 3)))
  })

  test('is small at first, larger while much is written within a turn, and small again after', () => {
    const slabs = new Slabs()
    const out = new OutputBuffer(slabs)
    const sizes: number[] = []
    for (let count = 0; count < 2_000; count++) {
      write(out, 1_000, 1)
      if (out.bytes.length !== sizes.at(-1)) sizes.push(out.bytes.length)
    }
    expect(sizes).toEqual([4_096, 8_192, 16_384, 32_768, 65_472])
    out.takeAll()
    write(out, 65_472, 1)
    expect(out.bytes.length).toBe(65_472)
    out.takeAll()
    // One small turn after many large ones says nothing.
    for (let turn = 0; turn < 32; turn++) {
      write(out, 10, 1)
      out.takeAll()
    }
    // Whoever asks for more than there is left gets a slab of its own, and the old one is forgotten.
    slabs.borrow(1_000_000)
    write(out, 10, 1)
    expect(out.bytes.length).toBe(4_096)
  })

  test('is kept when more of it is free than of the one that comes back', () => {
    const slabs = new Slabs()
    const roomy = slabs.borrow(10_000).slab
    const full = slabs.borrow(100_000).slab
    slabs.giveBack(roomy, 9_900, 10)
    slabs.giveBack(full, 99_910, 10)
    expect(slabs.borrow(50)).toEqual({ slab: roomy, offset: 9_900 })
    // And it is lent to one at a time.
    expect(slabs.borrow(50).slab).not.toBe(roomy)
  })

  test('is not lent when it has too little room', () => {
    const slabs = new Slabs()
    slabs.giveBack(slabs.borrow(4_096).slab, 4_056, 10)
    const { slab, offset } = slabs.borrow(41)
    expect([slab.bytes.length, offset]).toEqual([4_096, 0])
    expect(slabs.borrow(100_000).slab.bytes.length).toBe(100_000)
  })
})

describe('the memory of a slab', () => {
  /** Fills two slabs' worth, so that the first is nobody's but the network's. */
  function fill(out: OutputBuffer): ArrayBufferLike {
    write(out, 3_000, 1)
    const { buffer } = out.bytes
    write(out, 3_000, 2)
    return buffer
  }

  /** Whether it is the memory of one of the next slabs. */
  function isUsedAgain(slabs: Slabs, buffer: ArrayBufferLike, size: number): boolean {
    const next = Array.from({ length: 100 }, () => slabs.borrow(size).slab)
    return next.some(({ bytes }) => bytes.buffer === buffer)
  }

  /** Its first slab has the size that slabs have when it is filled. */
  function steady(): { slabs: Slabs; out: OutputBuffer } {
    const slabs = new Slabs()
    const out = new OutputBuffer(slabs)
    for (let turn = 0; turn < 2; turn++) {
      for (let count = 0; count < 80; count++) write(out, 1_000, 1)
      chunksOf(out)
      out.handleWritten(out.taken)
    }
    return { slabs, out }
  }

  test('is written again when the network has let go of it', () => {
    const { slabs, out } = steady()
    const buffers = new Set<ArrayBufferLike>()
    for (let count = 0; count < 1_000; count++) {
      write(out, 1_000, 1)
      buffers.add(out.bytes.buffer)
      if (out.full === 0) continue
      out.takeFull()
      out.handleWritten(out.taken)
    }
    expect(buffers.size).toBeLessThanOrEqual(3)
    expect(slabs.borrow(65_472).slab.bytes.length).toBe(65_472)
  })

  test('is not while the network has any part of it', () => {
    const { slabs, out } = steady()
    write(out, 60_000, 1)
    const { buffer } = out.bytes
    out.take()
    write(out, 5_000, 2)
    write(out, 60_000, 3)
    expect(chunksOf(out).length).toBe(2)
    out.handleWritten(out.taken - 1 - 60_000)
    expect(isUsedAgain(slabs, buffer, 65_472)).toBe(false)
  })

  test('is not while a delivery has its payload there, and is then', () => {
    const { slabs, out } = steady()
    write(out, 60_000, 1)
    const { slab, bytes } = out
    slab.hold()
    write(out, 60_000, 2)
    chunksOf(out)
    out.handleWritten(out.taken)
    expect(isUsedAgain(slabs, bytes.buffer, 65_472)).toBe(false)
    slab.release()
    expect(isUsedAgain(slabs, bytes.buffer, 65_472)).toBe(true)
  })

  test('is not held for a network that never tells that it let go', () => {
    const { slabs, out } = steady()
    const buffers: ArrayBufferLike[] = []
    for (let count = 0; count < 65; count++) {
      write(out, 60_000, count)
      buffers.push(out.bytes.buffer)
      out.take()
    }
    out.handleWritten(out.taken)
    // The first was forgotten, and is the garbage collector's.
    const again = new Set(Array.from({ length: 40 }, () => slabs.borrow(65_472).slab.bytes.buffer))
    expect(buffers.slice(0, 3).map((buffer) => again.has(buffer as ArrayBuffer))).toEqual([false, true, true])
  })

  test('is the taker’s for good when all was taken in one piece', () => {
    const slabs = new Slabs()
    const out = new OutputBuffer(slabs)
    const buffer = fill(out)
    out.takeAll()
    out.handleWritten(out.taken)
    expect(isUsedAgain(slabs, buffer, 4_096)).toBe(false)
  })

  test('is given up when slabs of another size are needed, and when there is plenty', () => {
    const slabs = new Slabs()
    for (let count = 0; count < 10; count++) slabs.grow()
    const many = Array.from({ length: 100 }, () => slabs.borrow(65_472).slab)
    for (const slab of many) slab.release()
    const old = new Set(many.map(({ bytes }) => bytes))
    const again = Array.from({ length: 100 }, () => slabs.borrow(65_472).slab)
    expect(again.filter(({ bytes }) => old.has(bytes)).length).toBe(32)
    for (const slab of again) slab.release()
    for (let turn = 0; turn < 32; turn++) slabs.giveBack(slabs.borrow(1).slab, 65_472, 10)
    slabs.grow()
    expect(old.has(slabs.borrow(8_192).slab.bytes)).toBe(false)
  })
})

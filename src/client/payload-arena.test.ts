// Copies that lie side by side: each has its own bytes, whatever becomes of the others.
import { describe, expect, it } from 'vitest'
import { PayloadArena } from './payload-arena.ts'

describe('an arena of payloads', () => {
  it('keeps copies apart, a new piece where one is full', () => {
    const arena = new PayloadArena(64)
    const copies = Array.from({ length: 40 }, (_, index) => arena.copy(new Uint8Array(8).fill(index)))
    expect(copies.map((copy) => new Set(copy))).toEqual(copies.map((_, index) => new Set([index])))
    expect(new Set(copies.map(({ buffer }) => buffer)).size).toBe(5)
  })

  it('gives what is not small memory of its own', () => {
    const arena = new PayloadArena(64)
    const bytes = Buffer.from('123456789')
    const copy = arena.copy(bytes)
    bytes.fill(0)
    expect([arena.takes(8), arena.takes(9), copy.buffer.byteLength]).toEqual([true, false, 9])
    expect(new TextDecoder().decode(copy)).toBe('123456789')
  })

  it('goes on when a piece was given to another thread', () => {
    const arena = new PayloadArena(64)
    const buffer = arena.copy(Uint8Array.of(1)).buffer as ArrayBuffer
    structuredClone(buffer, { transfer: [buffer] })
    expect(arena.copy(Uint8Array.of(2))).toEqual(Uint8Array.of(2))
  })
})

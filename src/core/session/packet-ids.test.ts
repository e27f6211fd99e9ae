import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PacketIds } from './packet-ids.ts'

describe('packet identifiers, rule 19', () => {
  it('count upward from 1, are reused late, and never 0 [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3]', () => {
    const ids = new PacketIds<string>()
    expect(ids.allocate('a')).toBe(1)
    ids.delete(1)
    expect(ids.allocate('b')).toBe(2)
    for (let count = 3; count <= 65_535; count++) ids.delete(ids.allocate('x'))
    expect(ids.allocate('c')).toBe(1)
    expect(ids.allocate('d')).toBe(3)
  })

  it('run out at 65,535', () => {
    const ids = new PacketIds<number>()
    for (let id = 1; id <= 65_535; id++) expect(ids.allocate(id)).toBe(id)
    expect(ids.allocate(0)).toBe(0)
    ids.delete(40_000)
    expect(ids.allocate(7)).toBe(40_000)
    expect(ids.get(40_000)).toBe(7)
    expect(ids.size).toBe(65_535)
  })

  it('tell who holds them', () => {
    const ids = new PacketIds<string>()
    ids.set(256, 'a')
    ids.set(256, 'b')
    ids.set(1, 'c')
    expect(ids.size).toBe(2)
    expect(ids.get(256)).toBe('b')
    expect(ids.get(257)).toBeUndefined()
    expect([...ids.entries()]).toEqual([
      [1, 'c'],
      [256, 'b'],
    ])
    ids.delete(257)
    ids.delete(1)
    ids.delete(1)
    expect(ids.size).toBe(1)
  })

  it('behave as a map does, over pages that come and go', () => {
    const step = fc.constantFrom('set', 'swap', 'delete')
    const id = fc.oneof(fc.integer({ min: 1, max: 600 }), fc.constantFrom(255, 256, 511, 512, 65_535))
    fc.assert(
      fc.property(fc.array(fc.tuple(step, id), { maxLength: 300 }), (steps) => {
        const ids = new PacketIds<number>()
        const model = new Map<number, number>()
        for (const [index, [name, at]] of steps.entries()) {
          const held = model.get(at)
          if (name === 'swap') {
            expect(ids.swap(at, -1, index)).toBe(false)
            if (held === undefined) continue
            expect(ids.swap(at, held, index)).toBe(true)
            model.set(at, index)
          } else if (name === 'set') {
            ids.set(at, index)
            model.set(at, index)
          } else {
            expect(ids.delete(at)).toBe(held)
            model.delete(at)
          }
          expect(ids.get(at)).toBe(model.get(at))
        }
        expect(ids.size).toBe(model.size)
        expect(new Map(ids.entries())).toEqual(model)
      }),
    )
  })
})

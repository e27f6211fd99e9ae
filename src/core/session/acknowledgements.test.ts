import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AcknowledgementLine } from './acknowledgements.ts'

/** A line, and what it has let go, as Receiving uses it. */
class Acks {
  readonly sent: string[] = []
  readonly #line = new AcknowledgementLine()

  get waiting(): number {
    return this.#line.waiting
  }

  restart(): void {
    this.#line.restart()
  }

  arrive(): number {
    return this.#line.arrive()
  }

  finish(place: number, packetId: number, reasonCode: number): void {
    if (!this.#line.finish(place, packetId, reasonCode)) return
    this.sent.push(`${packetId} ${reasonCode}`)
    for (let due = this.#line.shift(); due !== undefined; due = this.#line.shift())
      this.sent.push(`${due.packetId} ${due.reasonCode}`)
  }
}

describe('a line of acknowledgements, rule 20', () => {
  it('sends at once what is first', () => {
    const acks = new Acks()
    const { sent } = acks
    acks.finish(acks.arrive(), 11, 0)
    acks.finish(acks.arrive(), 12, 0x83)
    expect(sent).toEqual(['11 0', '12 131'])
    expect(acks.waiting).toBe(0)
  })

  it('lets what is done wait for all before it', () => {
    const acks = new Acks()
    const { sent } = acks
    for (let count = 0; count < 3; count++) acks.arrive()
    acks.finish(3, 13, 0)
    acks.finish(2, 12, 0)
    expect(sent).toEqual([])
    expect(acks.waiting).toBe(3)
    acks.finish(1, 11, 0)
    expect(sent).toEqual(['11 0', '12 0', '13 0'])
  })

  it('has no place for what came by an earlier connection', () => {
    const acks = new Acks()
    const old = [acks.arrive(), acks.arrive(), acks.arrive()]
    acks.finish(3, 10, 0)
    acks.restart()
    const place = acks.arrive()
    for (const late of old) acks.finish(late, 11, 0)
    expect(acks.sent).toEqual([])
    expect(acks.waiting).toBe(1)
    acks.finish(place, 12, 0)
    expect(acks.sent).toEqual(['12 0'])
  })

  it('ignores what is done twice', () => {
    const acks = new Acks()
    const { sent } = acks
    acks.arrive()
    acks.arrive()
    acks.finish(2, 12, 0)
    acks.finish(2, 12, 0)
    acks.finish(1, 11, 0)
    acks.finish(1, 11, 0)
    acks.finish(2, 12, 0)
    expect(sent).toEqual(['11 0', '12 0'])
  })

  it('keeps the order of arrival in any order of finishing', () => {
    const order = fc.integer({ min: 1, max: 40 }).chain((size) => {
      const places = Array.from({ length: size }, (_, index) => index + 1)
      return fc.shuffledSubarray(places, { minLength: size })
    })
    fc.assert(
      fc.property(order, (finished) => {
        const acks = new Acks()
        const { sent } = acks
        for (let count = 0; count < finished.length; count++) acks.arrive()
        for (const place of finished) acks.finish(place, place, 0)
        expect(sent).toEqual(finished.map((_, index) => `${index + 1} 0`))
      }),
    )
  })
})

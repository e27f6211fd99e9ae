import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AcknowledgementLine } from './acknowledgements.ts'

function line(): { line: AcknowledgementLine<string>; sent: string[] } {
  const sent: string[] = []
  return { line: new AcknowledgementLine((item, reasonCode) => sent.push(`${item} ${reasonCode}`)), sent }
}

describe('a line of acknowledgements, rule 20', () => {
  it('sends at once what is first', () => {
    const { line: acks, sent } = line()
    acks.finish(acks.arrive(), 'a', 0)
    acks.finish(acks.arrive(), 'b', 0x83)
    expect(sent).toEqual(['a 0', 'b 131'])
    expect(acks.waiting).toBe(0)
  })

  it('lets what is done wait for all before it', () => {
    const { line: acks, sent } = line()
    for (let count = 0; count < 3; count++) acks.arrive()
    acks.finish(3, 'c', 0)
    acks.finish(2, 'b', 0)
    expect(sent).toEqual([])
    expect(acks.waiting).toBe(3)
    acks.finish(1, 'a', 0)
    expect(sent).toEqual(['a 0', 'b 0', 'c 0'])
  })

  it('ignores what is done twice', () => {
    const { line: acks, sent } = line()
    acks.arrive()
    acks.arrive()
    acks.finish(2, 'b', 0)
    acks.finish(2, 'b', 0)
    acks.finish(1, 'a', 0)
    acks.finish(1, 'a', 0)
    acks.finish(2, 'b', 0)
    expect(sent).toEqual(['a 0', 'b 0'])
  })

  it('keeps the order of arrival in any order of finishing', () => {
    const order = fc.integer({ min: 1, max: 40 }).chain((size) => {
      const places = Array.from({ length: size }, (_, index) => index + 1)
      return fc.shuffledSubarray(places, { minLength: size })
    })
    fc.assert(
      fc.property(order, (finished) => {
        const { line: acks, sent } = line()
        for (let count = 0; count < finished.length; count++) acks.arrive()
        for (const place of finished) acks.finish(place, `${place}`, 0)
        expect(sent).toEqual(finished.map((_, index) => `${index + 1} 0`))
      }),
    )
  })
})

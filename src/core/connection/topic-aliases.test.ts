import { describe, expect, it } from 'vitest'
import { encodeTopicName } from '../topics/topic-names.ts'
import { OutboundAliases } from './topic-aliases.ts'

const [a, b, c] = ['a', 'b', 'c'].map((text) => encodeTopicName(text)) as [Name, Name, Name]
type Name = ReturnType<typeof encodeTopicName>

describe('outbound aliases', () => {
  it('are given from 1 upward, and known the second time', () => {
    const aliases = new OutboundAliases(2)
    expect(aliases.choose(a)).toEqual({ alias: 1, known: false })
    expect(aliases.choose(b)).toEqual({ alias: 2, known: false })
    expect(aliases.choose(a)).toEqual({ alias: 1, known: true })
  })

  it('are taken from the name that was unused longest', () => {
    const aliases = new OutboundAliases(2)
    aliases.choose(a)
    aliases.choose(b)
    aliases.choose(a)
    expect(aliases.choose(c)).toEqual({ alias: 2, known: false })
    expect(aliases.choose(a)).toEqual({ alias: 1, known: true })
    expect(aliases.choose(b)).toEqual({ alias: 2, known: false })
  })

  it("of the user's stand for what they stood for last", () => {
    const aliases = new OutboundAliases(9)
    expect(aliases.use(a, 7)).toEqual({ alias: 7, known: false })
    expect(aliases.use(a, 7)).toEqual({ alias: 7, known: true })
    expect(aliases.use(b, 7)).toEqual({ alias: 7, known: false })
    expect(aliases.use(a, 7)).toEqual({ alias: 7, known: false })
  })
})

// Damage to valid packets. Most kinds leave the fixed header right, so that what is wrong is met by the decoder and
// not by the framer; some are about the fixed header itself.

import { concat } from '../support/codec/hex.ts'
import { type Corpus, encodeInteger, type PropertySection, type Sample, type Side } from './corpus.ts'
import type { Random } from './random.ts'

/** A packet on its way from valid to damaged. */
interface Draft {
  header: number
  body: Uint8Array
  /** The Remaining Length as it is written; undefined: the right one. */
  length: Uint8Array | undefined
  /** Bytes of the whole packet that are sent; Infinity: all. */
  cut: number
}

type Mutation = (draft: Draft, random: Random, sample: Sample, corpus: Corpus) => void

const EDGES = [0x00, 0x01, 0x02, 0x7f, 0x80, 0x81, 0xc0, 0xed, 0xff] as const
const LENGTHS = [0, 1, 2, 127, 128, 16_383, 16_384, 65_535, 2_097_152, 268_435_455] as const

const MUTATIONS: Readonly<Record<string, readonly [weight: number, mutate: Mutation]>> = {
  none: [2, () => {}],
  flip: [
    5,
    (draft, random) =>
      change(draft, (body) => {
        for (let count = random.between(1, 3); count > 0; count--) {
          const at = random.below(body.length)
          body[at] = (body[at] ?? 0) ^ (1 << random.below(8))
        }
      }),
  ],
  set: [
    3,
    (draft, random) =>
      change(draft, (body) => {
        body[random.below(body.length)] = random.pick(EDGES)
      }),
  ],
  // A number of two bytes: a length of a string, a packet identifier, a count.
  number: [
    4,
    (draft, random) =>
      change(draft, (body) => {
        const at = random.below(body.length)
        const value = ((body[at] ?? 0) << 8) | (body[at + 1] ?? 0)
        const changed = random.pick([0, 1, value + 1, value - 1, value ^ 0x8000, body.length, 0xffff])
        body[at] = changed >> 8
        if (at + 1 < body.length) body[at + 1] = changed
      }),
  ],
  header: [2, (draft, random) => void (draft.header ^= 1 << random.below(8))],
  shorten: [
    4,
    (draft, random) => void (draft.body = draft.body.slice(0, random.below(draft.body.length + 1))),
  ],
  insert: [3, (draft, random) => void (draft.body = inserted(draft.body, random, damageOf(random)))],
  remove: [
    3,
    (draft, random) => {
      const at = random.below(draft.body.length + 1)
      draft.body = concat(draft.body.subarray(0, at), draft.body.subarray(at + random.between(1, 4)))
    },
  ],
  append: [1, (draft, random) => void (draft.body = concat(draft.body, damageOf(random)))],
  // The head of one packet, the tail of another.
  splice: [
    4,
    (draft, random, sample, corpus) => {
      const other = random.pick(corpus.of(sample)).body
      const head = draft.body.subarray(0, random.below(draft.body.length + 1))
      draft.body = concat(head, other.subarray(random.below(other.length + 1)))
    },
  ],
  random: [3, (draft, random) => void (draft.body = random.bytes(random.pick([0, 1, 2, 3, 5, 12, 40])))],
  duplicateProperty: [4, withProperties((parts, random) => void parts.push(random.pick(parts)))],
  swapProperties: [3, withProperties((parts, random) => exchange(parts, random))],
  foreignProperty: [
    4,
    withProperties((parts, random, sample, corpus) => {
      const donor = random.pick(corpus.withProperties(sample))
      if (donor.section !== undefined) parts.push(random.pick(partsOf(donor.body, donor.section)))
    }),
  ],
  dropProperty: [1, withProperties((parts, random) => void parts.splice(random.below(parts.length), 1))],
  // The properties are right and their length is not.
  propertyLength: [
    3,
    (draft, random, { section }) => {
      if (section === undefined) return
      const length = section.end - section.start
      const wrong = random.pick([length + 1, Math.max(0, length - 1), 0, 127, 128, 268_435_455])
      const size = random.chance(0.1) ? Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x01) : encodeInteger(wrong)
      draft.body = concat(draft.body.subarray(0, section.lengthAt), size, draft.body.subarray(section.start))
    },
  ],
  length: [2, (draft, random) => void (draft.length = encodeInteger(random.pick(LENGTHS)))],
  lengthByOne: [
    1,
    (draft, random) =>
      void (draft.length = encodeInteger(Math.max(0, draft.body.length + random.pick([-1, 1])))),
  ],
  lengthForm: [
    1,
    (draft, random) => {
      const [low = 0, ...rest] = encodeInteger(draft.body.length)
      const padding = [[0x80, 0x00], [0x00], [0x80, 0x80, 0x00], [0x80, 0x80, 0x80, 0x80, 0x01]]
      draft.length = Uint8Array.from([
        low | 0x80,
        ...rest.map((byte) => byte | 0x80),
        ...random.pick(padding),
      ])
    },
  ],
  cut: [2, (draft, random) => void (draft.cut = random.between(1, draft.body.length + 1))],
}

const NAMES: readonly string[] = Object.entries(MUTATIONS).flatMap(([name, [weight]]) =>
  new Array<string>(weight).fill(name),
)

/** What must come up in a run that is long enough. */
export const MUTATION_NAMES: readonly string[] = Object.keys(MUTATIONS)

export interface Damaged {
  readonly bytes: Uint8Array
  readonly header: number
  /** What was done to it. */
  readonly mutations: readonly string[]
}

/** A damaged packet, as from this side; now and then one of another side or version. */
export function damagedPacket(corpus: Corpus, side: Side, random: Random): Damaged {
  const sample = random.pick(corpus.of(side))
  const mutations = [random.pick(NAMES)]
  while (mutations.length < 4 && random.chance(0.25)) mutations.push(random.pick(NAMES))
  return damage(sample, mutations, random, corpus)
}

/** The sample with this done to it. */
export function damage(
  sample: Sample,
  mutations: readonly string[],
  random: Random,
  corpus: Corpus,
): Damaged {
  const draft: Draft = { header: sample.header, body: sample.body, length: undefined, cut: Infinity }
  mutations.forEach((name, index) => {
    // Positions of properties hold for the sample alone.
    const known = index === 0 ? sample : { ...sample, section: undefined }
    MUTATIONS[name]?.[1](draft, random, known, corpus)
  })
  const { header, body, length, cut } = draft
  const bytes = concat(Uint8Array.of(header), length ?? encodeInteger(body.length), body)
  return { bytes: cut < bytes.length ? bytes.subarray(0, cut) : bytes, header, mutations }
}

function change(draft: Draft, edit: (body: Uint8Array) => void): void {
  if (draft.body.length === 0) return
  draft.body = draft.body.slice()
  edit(draft.body)
}

function damageOf(random: Random): Uint8Array {
  return Uint8Array.from({ length: random.between(1, 4) }, () =>
    random.chance(0.5) ? random.pick(EDGES) : random.below(256),
  )
}

function inserted(body: Uint8Array, random: Random, bytes: Uint8Array): Uint8Array {
  const at = random.below(body.length + 1)
  return concat(body.subarray(0, at), bytes, body.subarray(at))
}

/** Edits the properties one by one; their length is right afterwards. */
function withProperties(
  edit: (parts: Uint8Array[], random: Random, sample: Sample, corpus: Corpus) => void,
): Mutation {
  return (draft, random, sample, corpus) => {
    const { section } = sample
    if (section === undefined || section.starts.length === 0) return
    const parts = partsOf(draft.body, section)
    edit(parts, random, sample, corpus)
    const properties = concat(...parts)
    const before = draft.body.subarray(0, section.lengthAt)
    draft.body = concat(
      before,
      encodeInteger(properties.length),
      properties,
      draft.body.subarray(section.end),
    )
  }
}

function partsOf(body: Uint8Array, { starts, end }: PropertySection): Uint8Array[] {
  return starts.map((start, index) => body.subarray(start, starts[index + 1] ?? end))
}

function exchange(parts: Uint8Array[], random: Random): void {
  const [one, other] = [random.below(parts.length), random.below(parts.length)]
  const [first, second] = [parts[one], parts[other]]
  if (first === undefined || second === undefined) return
  parts[one] = second
  parts[other] = first
}

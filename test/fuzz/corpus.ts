// The valid packets that are damaged: those typed by hand from the specification, and generated ones of every type
// with every property; of both versions and both sides. Where the properties of a packet lie is found once.

import { PROPERTIES } from '../../src/core/packets/properties.ts'
import { PACKET_TYPES, type PacketType, type ProtocolVersion } from '../../src/core/packets/types.ts'
import { encodePacket } from '../../src/testing/broker/server-codec.ts'
import { FIXTURES } from '../support/codec/fixtures.ts'
import { mayBeSentBy, type Sender } from '../support/codec/specification.ts'
import { Random } from './random.ts'
import { samplePacket } from './samples.ts'

export interface Side {
  readonly version: ProtocolVersion
  readonly sender: Sender
}

/** A packet of version 5 that carries properties: positions in its body. */
export interface PropertySection {
  /** Of the property length, and of the first byte behind it. */
  readonly lengthAt: number
  readonly start: number
  readonly end: number
  /** Where each property begins; the last ends at `end`. */
  readonly starts: readonly number[]
}

export interface Sample extends Side {
  readonly type: PacketType
  /** Type and flags. */
  readonly header: number
  readonly body: Uint8Array
  readonly bytes: Uint8Array
  readonly section: PropertySection | undefined
}

export const SIDES: readonly Side[] = [
  { version: '3.1.1', sender: 'server' },
  { version: '5', sender: 'server' },
  { version: '3.1.1', sender: 'client' },
  { version: '5', sender: 'client' },
]

/** Generated packets of each type, version and side; longer ones than this are left out, few are. */
const GENERATED = 40
const LONGEST = 700
const GENERATOR_SEED = 4_711

/** By version and side. */
export class Corpus {
  readonly #samples = new Map<string, readonly Sample[]>()
  readonly #withProperties = new Map<string, readonly Sample[]>()

  constructor() {
    for (const side of SIDES) {
      const samples = [...typed(side), ...generated(side)].map((bytes) => sampleOf(bytes, side))
      this.#samples.set(keyOf(side), samples)
      const carriers = samples.filter(({ section }) => section !== undefined && section.starts.length > 0)
      this.#withProperties.set(keyOf(side), carriers)
    }
  }

  of(side: Side): readonly Sample[] {
    return this.#samples.get(keyOf(side)) ?? []
  }

  /** Those with at least one property; none in 3.1.1. */
  withProperties(side: Side): readonly Sample[] {
    return this.#withProperties.get(keyOf(side)) ?? []
  }
}

function keyOf({ version, sender }: Side): string {
  return `${version} ${sender}`
}

function typed({ version, sender }: Side): readonly Uint8Array[] {
  return FIXTURES.filter((fixture) => fixture.version === version && fixture.senders.includes(sender))
    .map(({ bytes }) => bytes)
    .filter(({ length }) => length <= LONGEST)
}

function generated({ version, sender }: Side): readonly Uint8Array[] {
  const types = (Object.keys(PACKET_TYPES) as PacketType[]).filter((type) =>
    mayBeSentBy(type, version, sender),
  )
  const random = new Random(GENERATOR_SEED)
  return types
    .flatMap((type) => new Array<PacketType>(type.startsWith('ping') ? 1 : GENERATED).fill(type))
    .map((type) => encodePacket(samplePacket(random, type, version), version).slice())
    .filter(({ length }) => length <= LONGEST)
}

/** One packet, taken apart; the bytes must be valid. */
export function sampleOf(bytes: Uint8Array, side: Side): Sample {
  const header = bytes[0] ?? 0
  const bodyStart = bytes.findIndex((byte, index) => index > 0 && byte < 0x80) + 1
  const body = bytes.subarray(bodyStart)
  const type = (Object.keys(PACKET_TYPES) as PacketType[])[(header >> 4) - 1] ?? 'pingreq'
  const section = side.version === '5' ? sectionOf(type, header, body) : undefined
  return { ...side, type, header, body, bytes, section }
}

/** Where the property length stands, counted from the beginning of the body. */
function lengthPosition(type: PacketType, header: number, body: Uint8Array): number | undefined {
  switch (type) {
    case 'connect':
      return 10
    case 'publish':
      return 2 + twoBytes(body, 0) + ((header & 6) > 0 ? 2 : 0)
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return 3
    case 'connack':
    case 'subscribe':
    case 'suback':
    case 'unsubscribe':
    case 'unsuback':
      return 2
    case 'disconnect':
    case 'auth':
      return 1
    default:
      return undefined
  }
}

function sectionOf(type: PacketType, header: number, body: Uint8Array): PropertySection | undefined {
  const lengthAt = lengthPosition(type, header, body)
  if (lengthAt === undefined || lengthAt >= body.length) return undefined
  const { value, end: start } = integerAt(body, lengthAt)
  const end = start + value
  const starts: number[] = []
  for (let at = start; at < end; at = endOfProperty(body, at)) starts.push(at)
  return { lengthAt, start, end, starts }
}

function endOfProperty(body: Uint8Array, at: number): number {
  const kind = PROPERTIES.find(({ id }) => id === body[at])?.kind
  const behindString = (from: number): number => from + 2 + twoBytes(body, from)
  switch (kind) {
    case 'bit':
    case 'boolean':
      return at + 2
    case 'twoBytes':
      return at + 3
    case 'fourBytes':
      return at + 5
    case 'identifiers':
      return integerAt(body, at + 1).end
    case 'string':
    case 'binary':
      return behindString(at + 1)
    case 'pairs':
      return behindString(behindString(at + 1))
    default:
      throw new Error(`the corpus has the property ${body[at]}`)
  }
}

function twoBytes(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}

function integerAt(bytes: Uint8Array, at: number): { value: number; end: number } {
  let value = 0
  for (let index = 0; index < 4; index++) {
    const byte = bytes[at + index] ?? 0
    value |= (byte & 0x7f) << (7 * index)
    if (byte < 0x80) return { value, end: at + index + 1 }
  }
  throw new Error('the corpus has a length of more than four bytes')
}

/** A variable byte integer in its shortest form. */
export function encodeInteger(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  do {
    bytes.push((rest % 128) + (rest >= 128 ? 128 : 0))
    rest = Math.floor(rest / 128)
  } while (rest > 0)
  return Uint8Array.from(bytes)
}

// One input for framer and decoder: a stream with a damaged packet in it, and what must hold whatever it is.
//
//   - packets or a ProtocolError come of it, nothing else is thrown, and soon
//   - in any split the same, from memory that is lent and overwritten afterwards
//   - nothing beyond a packet's end is read: what lies around it makes no difference
//   - what was decoded can be written, and read again as the same

import { Framer } from '../../src/core/bytes/framer.ts'
import { PacketReader } from '../../src/core/bytes/packet-reader.ts'
import { ProtocolError } from '../../src/core/errors.ts'
import { IncomingMessage } from '../../src/core/packets/publish.ts'
import { ReceivedTopics } from '../../src/core/packets/received-topics.ts'
import { type ControlPacket, PACKET_NAMES } from '../../src/core/packets/types.ts'
import { encodePacket } from '../../src/testing/broker/server-codec.ts'
import { decodeBody, plain } from '../support/codec/codec.ts'
import { concat } from '../support/codec/hex.ts'
import { MALFORMED_INPUTS } from '../support/codec/malformed.ts'
import { Corpus, type Side, SIDES } from './corpus.ts'
import { damagedPacket } from './mutations.ts'
import { Random } from './random.ts'
import { same } from './same.ts'

/** ms that one input may take. */
export const LONGEST_INPUT = 1_000

/** The codes with which a ProtocolError of the decoder may answer. */
const CODES: ReadonlySet<number> = new Set([0x81, 0x82, 0x84, 0x95])

/** Reads the body of one packet. Tests put a wrong one in its place. */
export type DecodeBody = typeof decodeBody

export interface FuzzInput extends Side {
  readonly seed: number
  readonly bytes: Uint8Array
  readonly maximumPacketSize: number
  /** The first byte of the damaged packet. */
  readonly header: number
  /** Whole packets before it. */
  readonly before: number
  readonly mutations: readonly string[]
}

export interface InputResult {
  readonly input: FuzzInput
  /** The name of the damaged packet's type, as its first byte now says. */
  readonly type: string
  /** The framer has found the damaged packet, so that its body was decoded. */
  readonly framed: boolean
  /** How the damaged packet ended. */
  readonly end: 'decoded' | 'waiting' | `0x${string}`
  readonly packets: number
  /** ms. */
  readonly took: number
  /** What does not hold. */
  readonly failures: readonly string[]
}

/** What comes of a stream. */
interface Outcome {
  readonly packets: readonly ControlPacket[]
  readonly error: ProtocolError | undefined
}

const corpus = new Corpus()

/** Memory that pieces are lent in, and what lies around them there. */
const LENT = new Uint8Array(65_536)
const MARGIN = 8

/** The input of a seed. */
export function inputOf(seed: number): FuzzInput {
  const random = new Random(seed)
  const side = random.pick(SIDES)
  const before = random.chance(0.2) ? [random.pick(corpus.of(side)).bytes] : []
  const behind = random.chance(0.3) ? [random.pick(corpus.of(side)).bytes] : []
  // The decoder of the one side is given packets of another, now and then.
  const from = random.chance(0.04) ? random.pick(SIDES) : side
  const malformed = random.chance(0.03) ? random.pick(MALFORMED_INPUTS) : undefined
  const { bytes, header, mutations } =
    malformed === undefined
      ? damagedPacket(corpus, from, random)
      : { bytes: malformed.bytes, header: malformed.bytes[0] ?? 0, mutations: ['typed by hand'] }
  const maximumPacketSize = random.chance(0.03) ? bytes.length + random.pick([-1, 0]) : 1_000_000
  const stream = concat(...before, bytes, ...behind)
  return { ...side, seed, bytes: stream, maximumPacketSize, header, before: before.length, mutations }
}

export function checkInput(input: FuzzInput, decode: DecodeBody = decodeBody): InputResult {
  const random = new Random(-input.seed - 1)
  const failures: string[] = []
  const started = performance.now()
  const whole = attempt(failures, () => decodeWhole(input, decode, random, failures))
  const pieces = random.pieces(input.bytes)
  const split = attempt(failures, () => decodePieces(input, pieces, decode, random))
  if (whole !== undefined && split !== undefined) failures.push(...differences(whole, split, pieces.length))
  if (whole !== undefined) for (const packet of whole.packets) checkWritten(packet, input, decode, failures)
  const took = performance.now() - started
  const { packets = [], error } = whole ?? {}
  return {
    input,
    type: PACKET_NAMES[input.header >> 4] ?? 'reserved',
    framed: packets.length > input.before || (error !== undefined && !isOfFramer(error)),
    end: endOf(packets.length > input.before, error),
    packets: packets.length,
    took,
    failures,
  }
}

function endOf(isDecoded: boolean, error: ProtocolError | undefined): InputResult['end'] {
  if (isDecoded) return 'decoded'
  return error === undefined ? 'waiting' : `0x${error.reasonCode.toString(16)}`
}

/** Whether the error is of the fixed header's length, so that no body was looked at. */
function isOfFramer({ code, message }: ProtocolError): boolean {
  return code === 'packet-too-large' || message.startsWith('the Remaining Length')
}

/** Anything but a ProtocolError that is thrown is a failure. */
function attempt(failures: string[], run: () => Outcome): Outcome | undefined {
  try {
    return run()
  } catch (error) {
    failures.push(`threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return undefined
  }
}

/** All at once; each body is also decoded where other bytes lie around it. */
function decodeWhole(input: FuzzInput, decode: DecodeBody, random: Random, failures: string[]): Outcome {
  const { version, sender, bytes, maximumPacketSize } = input
  const framer = new Framer(maximumPacketSize, version === '5')
  const reader = new PacketReader()
  const topics = new ReceivedTopics()
  const packets: ControlPacket[] = []
  framer.push(bytes, true)
  try {
    while (framer.next()) {
      const { header, start, end } = framer
      checkSurroundings(framer, input, decode, random, failures)
      reader.open(framer.bytes, start, end)
      const packet = decode(header, reader, version, sender, topics)
      if (reader.position > end) failures.push(`the reader stands at ${reader.position}, behind ${end}`)
      packets.push(plain(packet))
      if (packets.length > bytes.length / 2) throw new Error('more packets than bytes')
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    if (!CODES.has(error.reasonCode)) failures.push(`the reason code is ${error.reasonCode}`)
    return { packets, error }
  }
  return { packets, error: undefined }
}

/** The body between bytes that would be welcome to a reader that went on. */
function checkSurroundings(
  { bytes, header, start, end }: Framer,
  { version, sender }: FuzzInput,
  decode: DecodeBody,
  random: Random,
  failures: string[],
): void {
  const body = bytes.subarray(start, end)
  const poison = random.chance(0.5) ? body : new Uint8Array(40).fill(random.pick([0x00, 0x01, 0x41, 0xff]))
  const around = concat(poison, body, poison)
  const outcomes = [body.slice(), around].map((memory) => {
    const from = memory.length === body.length ? 0 : poison.length
    const reader = new PacketReader().open(memory, from, from + body.length)
    try {
      return { packet: plain(decode(header, reader, version, sender)), error: '' }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return { packet: undefined, error: `${error.reasonCode} ${error.message}` }
    }
  })
  if (!same(outcomes[0], outcomes[1])) failures.push('what lies around the packet makes a difference')
}

/** In pieces that are lent: what is not kept is overwritten when the piece has been pulled empty. */
function decodePieces(
  { version, sender, maximumPacketSize }: FuzzInput,
  pieces: readonly Uint8Array[],
  decode: DecodeBody,
  random: Random,
): Outcome {
  const framer = new Framer(maximumPacketSize, version === '5')
  const reader = new PacketReader()
  const topics = new ReceivedTopics()
  const packets: (ControlPacket | IncomingMessage)[] = []
  const keeps = random.chance(0.3)
  try {
    for (const piece of pieces) {
      LENT.set(piece, MARGIN)
      const end = MARGIN + piece.length
      LENT.fill(0x41, end, end + MARGIN)
      framer.push(LENT.subarray(MARGIN, end), false)
      while (framer.next()) {
        const packet = decode(
          framer.header,
          reader.open(framer.bytes, framer.start, framer.end),
          version,
          sender,
          topics,
        )
        packets.push(keeps && packet instanceof IncomingMessage ? keep(packet, framer) : plain(packet))
        if (keeps && random.chance(0.3)) framer.keepRest()
      }
      topics.release()
      LENT.fill(0xaa, 0, end)
    }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { packets: packets.map(plain), error }
  }
  return { packets: packets.map(plain), error: undefined }
}

/** As a connection does for a message that outlives its chunk. */
function keep(message: IncomingMessage, framer: Framer): IncomingMessage {
  if (!framer.kept) {
    const moved = framer.keep()
    message.move(framer.bytes.buffer, moved)
  }
  return message
}

function differences(whole: Outcome, split: Outcome, pieces: number): readonly string[] {
  const found: string[] = []
  if (!same(whole.packets, split.packets)) found.push(`in ${pieces} pieces other packets came`)
  if (whole.error?.message !== split.error?.message || whole.error?.reasonCode !== split.error?.reasonCode) {
    found.push(`in ${pieces} pieces it ended with "${split.error?.message}", not "${whole.error?.message}"`)
  }
  return found
}

/** What was decoded is written, and read as the same. */
function checkWritten(
  packet: ControlPacket,
  { version, sender }: FuzzInput,
  decode: DecodeBody,
  failures: string[],
): void {
  try {
    // A CONNECT says its version itself, whatever the other packets are read as.
    const written = packet.type === 'connect' ? packet.protocolVersion : version
    const framer = new Framer(268_435_460, version === '5')
    framer.push(encodePacket(packet, written), true)
    if (!framer.next()) throw new Error('it is no whole packet')
    const reader = new PacketReader().open(framer.bytes, framer.start, framer.end)
    const again = plain(decode(framer.header, reader, version, sender))
    if (framer.next()) throw new Error('it is more than one packet')
    if (!same(again, packet)) throw new Error('it is another packet')
  } catch (error) {
    failures.push(`a decoded ${packet.type} was written and read again: ${String(error)}`)
  }
}

/**
 * The fault script: what a broker does wrong, to which packet, how often.
 *
 *     broker.faults.onSend('puback', { nth: 2 }).withhold()
 *     broker.faults.onSend('connack').delay(5_000)
 *     broker.faults.onSend('suback', { times: 1 }).withReasonCode(0x87)
 *     broker.faults.onSend('pubrec', { clientId: 'a' }).duplicate().cutAfter()
 *     broker.faults.onSend('publish', { where: (packet) => packet.topic === 'a' }).split([1, 1, 1], 50)
 *     broker.faults.onReceive('publish', { nth: 3 }).cutBefore()
 *
 * `onSend` is about packets that the broker is about to write, `onReceive` about those of the client, before
 * the broker looks at them. Without `nth` and `times` every packet is meant. The first rule that fits a packet
 * decides alone; the others count it all the same. What a rule does can be combined.
 */

import type { ControlPacket, PacketType } from '../../core/packets/types.ts'

/** Packets as bytes, or as objects in the connection's version. */
export type FaultContent = ControlPacket | Uint8Array

/** The connection that a packet belongs to, as a fault sees it. */
export interface FaultTarget {
  /** Counted from 1. */
  readonly number: number
  readonly clientId: string
  send(content: FaultContent): void
  end(): void
  cut(): void
}

type PacketOf<T extends PacketType> =
  Extract<ControlPacket, { type: T }> extends never
    ? Extract<ControlPacket, { readonly packetId: number; readonly reasonCode: number }>
    : Extract<ControlPacket, { type: T }>

export interface FaultMatch<Packet> {
  /** Only the nth that fits otherwise, counted from 1; with `times` as many from there. */
  readonly nth?: number
  /** How often; without `nth` and `times` always, with `nth` once. */
  readonly times?: number
  readonly where?: (packet: Packet, connection: FaultTarget) => boolean
  readonly clientId?: string
  /** The number of the connection. */
  readonly connection?: number
}

abstract class Fault<Packet extends ControlPacket = ControlPacket> {
  /** How many packets fitted, and for how many the rule acted. */
  fitted = 0
  acted = 0
  delayBy = 0
  stallBy = 0
  isWithheld = false
  before: FaultContent[] = []
  after: FaultContent[] = []
  endingBefore: 'end' | 'cut' | undefined = undefined
  endingAfter: 'end' | 'cut' | undefined = undefined
  replacement: ((packet: Packet) => FaultContent | readonly FaultContent[]) | undefined = undefined
  callback: ((packet: Packet, connection: FaultTarget) => void) | undefined = undefined

  readonly #type: PacketType
  readonly #match: FaultMatch<Packet>

  constructor(type: PacketType, match: FaultMatch<Packet>) {
    this.#type = type
    this.#match = match
  }

  /** Counts the packet, and whether the rule is to act. */
  fits(packet: ControlPacket, connection: FaultTarget): boolean {
    const { nth = 1, where, clientId, connection: number } = this.#match
    if (packet.type !== this.#type) return false
    // Of a CONNECT the connection does not know yet whose it is.
    const sender = packet.type === 'connect' ? packet.clientId : connection.clientId
    if (clientId !== undefined && clientId !== sender) return false
    if (number !== undefined && number !== connection.number) return false
    if (where !== undefined && !where(packet as Packet, connection)) return false
    this.fitted += 1
    const times = this.#match.times ?? (this.#match.nth === undefined ? Infinity : 1)
    return this.fitted >= nth && this.fitted < nth + times
  }

  /** Does not happen: it is not sent, or the broker does not see it. */
  withhold(): this {
    this.isWithheld = true
    return this
  }

  /** Everything waits: this packet and all behind it. */
  stall(ms: number): this {
    this.stallBy = ms
    return this
  }

  /** Sends this first. */
  sendBefore(...content: readonly FaultContent[]): this {
    this.before.push(...content)
    return this
  }

  /** Sends this afterwards. */
  sendAfter(...content: readonly FaultContent[]): this {
    this.after.push(...content)
    return this
  }

  /** Breaks the connection in place of the packet; what was to be written before still leaves. */
  cutBefore(): this {
    this.endingBefore = 'cut'
    return this
  }

  /** Ends the stream (FIN) in place of the packet. */
  endBefore(): this {
    this.endingBefore = 'end'
    return this
  }

  /** Ends the stream (FIN) behind the packet, and behind its answers when it is the client's. */
  endAfter(): this {
    this.endingAfter = 'end'
    return this
  }

  /** Calls the test with the packet, when all else is done. */
  run(callback: (packet: Packet, connection: FaultTarget) => void): this {
    this.callback = callback
    return this
  }
}

/** A rule for packets that the broker writes. */
export class SendFault<Packet extends ControlPacket = ControlPacket> extends Fault<Packet> {
  copies = 1
  pieces: readonly number[] = []
  gap = 0
  reasonCode: number | undefined = undefined

  /** This packet waits, others overtake it. All wait behind a CONNACK, and when something is to follow the packet. */
  delay(ms: number): this {
    this.delayBy = ms
    return this
  }

  /** The same with another reason code; in SUBACK and UNSUBACK it is that of every filter. */
  withReasonCode(reasonCode: number): this {
    this.reasonCode = reasonCode
    return this
  }

  /** Sends something else. */
  replaceBy(
    replacement:
      | FaultContent
      | readonly FaultContent[]
      | ((packet: Packet) => FaultContent | readonly FaultContent[]),
  ): this {
    this.replacement = typeof replacement === 'function' ? replacement : () => replacement
    return this
  }

  duplicate(copies = 2): this {
    this.copies = copies
    return this
  }

  /** In pieces of these sizes, and the rest; `gap` ms apart. */
  split(sizes: readonly number[], gap = 0): this {
    this.pieces = sizes
    this.gap = gap
    return this
  }

  /** Breaks the connection when the packet has left. */
  cutAfter(): this {
    this.endingAfter = 'cut'
    return this
  }

  /** What goes out in place of the packet. */
  contentsFor(packet: Packet): readonly FaultContent[] {
    const contents = this.replacement?.(packet) ?? withReasonCode(packet, this.reasonCode)
    return isList(contents) ? contents : [contents]
  }

  /** Whether others may overtake a packet that waits. */
  get mayBeOvertaken(): boolean {
    const hasEnding = this.endingAfter !== undefined
    return !hasEnding && this.after.length === 0 && this.pieces.length === 0 && this.stallBy === 0
  }
}

/** A packet of the broker's, and what the script makes of it. */
export interface ScriptedPacket {
  readonly packet: ControlPacket
  readonly fault: SendFault | undefined
  /** What goes out in its place. */
  readonly contents: readonly FaultContent[]
}

/** Whether a client is refused by what goes out in place of its CONNACK. */
export function refuses({ contents }: ScriptedPacket): boolean {
  return contents.some((content) => {
    if (!(content instanceof Uint8Array)) return content.type === 'connack' && content.reasonCode !== 0
    const lengthEnd = content.findIndex((byte, index) => index > 0 && byte < 0x80)
    return content[0] === 0x20 && lengthEnd > 0 && (content[lengthEnd + 2] ?? 0) > 0
  })
}

/** A rule for packets of the client. */
export class ReceiveFault<Packet extends ControlPacket = ControlPacket> extends Fault<Packet> {
  /** Breaks the connection when the broker has taken the packet in: its answers are lost. */
  cutAfter(): this {
    this.endingAfter = 'cut'
    return this
  }

  /** The same as `stall`: what a client sends is read in order. */
  delay(ms: number): this {
    return this.stall(ms)
  }
}

export class Faults {
  #sends: SendFault[] = []
  #receives: ReceiveFault[] = []

  onSend<T extends PacketType>(type: T, match: FaultMatch<PacketOf<T>> = {}): SendFault<PacketOf<T>> {
    const rule = new SendFault<PacketOf<T>>(type, match)
    this.#sends.push(rule as unknown as SendFault)
    return rule
  }

  onReceive<T extends PacketType>(type: T, match: FaultMatch<PacketOf<T>> = {}): ReceiveFault<PacketOf<T>> {
    const rule = new ReceiveFault<PacketOf<T>>(type, match)
    this.#receives.push(rule as unknown as ReceiveFault)
    return rule
  }

  /** From now on all is well. */
  clear(): void {
    this.#sends = []
    this.#receives = []
  }

  /** Counts the packet: it is asked about once. */
  forSend(packet: ControlPacket, connection: FaultTarget): ScriptedPacket {
    const fault = firstThatFits(this.#sends, packet, connection)
    return { packet, fault, contents: fault?.contentsFor(packet) ?? [packet] }
  }

  forReceive(packet: ControlPacket, connection: FaultTarget): ReceiveFault | undefined {
    return firstThatFits(this.#receives, packet, connection)
  }
}

function firstThatFits<Rule extends Fault>(
  rules: readonly Rule[],
  packet: ControlPacket,
  connection: FaultTarget,
): Rule | undefined {
  const [first] = rules.filter((rule) => rule.fits(packet, connection))
  if (first !== undefined) first.acted += 1
  return first
}

function withReasonCode(packet: ControlPacket, reasonCode: number | undefined): ControlPacket {
  if (reasonCode === undefined) return packet
  if (packet.type === 'suback' || packet.type === 'unsuback') {
    return { ...packet, reasonCodes: packet.reasonCodes.map(() => reasonCode) }
  }
  if (packet.type === 'connack' && reasonCode >= 0x80) return { ...packet, sessionPresent: false, reasonCode }
  return 'reasonCode' in packet ? { ...packet, reasonCode } : packet
}

function isList(content: FaultContent | readonly FaultContent[]): content is readonly FaultContent[] {
  return Array.isArray(content)
}

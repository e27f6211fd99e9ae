/**
 * What one connection writes: packets and bytes go in, played by the fault script; chunks come out, and each is
 * looked at once more as it leaves, because what has really left decides what the client may do next.
 */

import type { ControlPacket, ProtocolVersion } from '../../core/packets/types.ts'
import {
  type FaultContent,
  type FaultTarget,
  refuses,
  type ScriptedPacket,
  type SendFault,
} from './faults.ts'
import { type Ending, OutputStream } from './output-stream.ts'
import { PacketSplitter, type SplitPacket } from './packet-splitter.ts'
import { decodeOfServer, encodePacket } from './server-codec.ts'

export interface OutputHost extends FaultTarget {
  readonly protocolVersion: ProtocolVersion
  readonly now: number
  /** There is something to take. */
  markDirty(): void
  /** The stream will end so; nothing is added any more. */
  handleFinished(): void
  /** A packet has left. */
  handleSent(packet: ControlPacket): void
}

export class ConnectionOutput {
  /** The stream is to be ended (FIN): all has been taken. */
  ended = false
  /** The stream is to be destroyed at once. */
  destroyed = false

  readonly #host: OutputHost
  readonly #stream = new OutputStream()
  readonly #sent = new PacketSplitter()
  #isUnreadable = false
  #isMuted = false
  #isFinished = false
  /** Up to when the owner knows that something is due. */
  #toldUpTo = -Infinity

  constructor(host: OutputHost) {
    this.#host = host
  }

  /** Nothing is left, and nothing will come. */
  get isOver(): boolean {
    return this.destroyed || (this.#isFinished && this.#stream.isEmpty)
  }

  get nextDeadline(): number {
    const deadline = this.#stream.nextDeadline
    return this.destroyed || deadline <= this.#toldUpTo ? Infinity : deadline
  }

  handleTimeout(): void {
    if (this.#stream.nextDeadline <= this.#host.now) this.#tell()
  }

  next(): Uint8Array | undefined {
    if (this.destroyed || this.ended) return undefined
    const next = this.#stream.next(this.#host.now)
    if (next === 'end') this.ended = true
    else if (next === 'cut') this.destroyed = true
    else if (next !== undefined) this.#observe(next)
    return typeof next === 'string' ? undefined : next
  }

  /** Past the fault script. */
  add(content: FaultContent): void {
    if (!this.#isFinished) this.#addBytes(this.#encode(content))
  }

  addPacket(scripted: ScriptedPacket): void {
    if (this.#isFinished || this.#isMuted) return
    const { fault, contents } = scripted
    if (fault !== undefined) this.#addFaultily(scripted, fault)
    else for (const content of contents) this.#addBytes(this.#encode(content))
  }

  /** Ends the stream behind what waits. */
  finish(how: Ending): void {
    if (this.#isFinished) return
    this.#isFinished = true
    this.#stream.add(how)
    this.#tell()
    this.#host.handleFinished()
  }

  /** Destroys the stream; what waits is lost. */
  cut(): void {
    this.#stream.clear()
    this.destroyed = true
    this.#isFinished = true
    this.#tell()
    this.#host.handleFinished()
  }

  #tell(): void {
    this.#toldUpTo = this.#host.now
    this.#host.markDirty()
  }

  #encode(content: FaultContent): Uint8Array {
    return content instanceof Uint8Array ? content : encodePacket(content, this.#host.protocolVersion)
  }

  #addBytes(bytes: Uint8Array, at = 0, alone = false): void {
    this.#stream.add(bytes, at, alone)
    this.#tell()
  }

  #addFaultily(scripted: ScriptedPacket, fault: SendFault): void {
    const { packet, contents } = scripted
    const isConnack = packet.type === 'connack'
    for (const content of fault.before) this.add(content)
    if (fault.endingBefore !== undefined) this.finish(fault.endingBefore)
    else {
      for (let copy = fault.isWithheld ? fault.copies : 0; copy < fault.copies; copy++) {
        for (const content of contents) this.#addInPieces(this.#encode(content), fault, isConnack)
      }
      for (const content of fault.after) this.add(content)
      if (fault.endingAfter !== undefined) this.finish(fault.endingAfter)
      // Nothing may follow a CONNACK that never came or that refused.
      if (isConnack && (refuses(scripted) || fault.isWithheld)) this.#isMuted = true
    }
    fault.callback?.(packet, this.#host)
  }

  /** A packet that is late is overtaken; behind a CONNACK all wait. */
  #addInPieces(bytes: Uint8Array, fault: SendFault, isConnack: boolean): void {
    const { now } = this.#host
    if (fault.delayBy > 0 && fault.mayBeOvertaken && !isConnack) {
      this.#stream.addAside(bytes, now + fault.delayBy)
      this.#tell()
      return
    }
    let at = now + Math.max(fault.stallBy, fault.delayBy)
    if (fault.pieces.length === 0) return this.#addBytes(bytes, at)
    let from = 0
    for (const size of [...fault.pieces, bytes.length]) {
      if (from >= bytes.length) return
      this.#addBytes(bytes.subarray(from, from + size), at, true)
      from += size
      at += fault.gap
    }
  }

  #observe(bytes: Uint8Array): void {
    if (this.#isUnreadable) return
    try {
      this.#sent.push(bytes)
      let split = this.#sent.next()
      for (; split !== undefined; split = this.#sent.next()) this.#observeOne(split)
    } catch {
      this.#isUnreadable = true
    }
  }

  /** Bytes of the test's that are no packet are nothing that a client could go by. */
  #observeOne(split: SplitPacket): void {
    let packet: ControlPacket
    try {
      packet = decodeOfServer(split, this.#host.protocolVersion)
    } catch {
      return
    }
    this.#host.handleSent(packet)
  }
}

/**
 * One network connection, the server's side: bytes in, packets to the broker; packets of the broker, bytes out.
 * It keeps time, plays the fault script and closes after violations; what packets mean is the broker's matter.
 */

import { ProtocolError } from '../../core/errors.ts'
import { isReasonCodeOf } from '../../core/packets/reason-codes.ts'
import type { ControlPacket, ProtocolVersion, PublishPacket } from '../../core/packets/types.ts'
import type { BrokerSession, Outlet } from './broker-session.ts'
import { type RuleName, ruleOfError } from './complaints.ts'
import { Conduct } from './conduct.ts'
import { ConnectionOutput, type OutputHost } from './connection-output.ts'
import type { FaultContent, Faults, ScriptedPacket } from './faults.ts'
import type { BrokerOptions } from './options.ts'
import { PacketSplitter } from './packet-splitter.ts'
import { decodeOfClient, encodePacket } from './server-codec.ts'

/** What a connection needs of its broker. */
export interface ConnectionHost {
  readonly options: BrokerOptions
  readonly faults: Faults
  readonly now: number
  readonly isPaused: boolean
  handlePacket(connection: BrokerConnection, packet: ControlPacket): void
  /** A rule of the test's keeps a packet from the broker. */
  handleWithheld(connection: BrokerConnection, packet: ControlPacket): void
  /** Called once: from now on the connection is none of the session's. */
  handleClosed(connection: BrokerConnection): void
  complain(connection: BrokerConnection, rule: RuleName, text: string): void
  markDirty(connection: BrokerConnection): void
  advance(now: number): void
}

/** `refused`: a rule of the test's has refused the client, whose part it is to close; nothing is read any more. */
export type BrokerConnectionState = 'opened' | 'authenticating' | 'connected' | 'refused' | 'closed'

/** What a server of 3.1.1 answers to a version that it does not know. */
export const REFUSED_VERSION: Uint8Array = Uint8Array.of(0x20, 2, 0, 1)

export class BrokerConnection implements OutputHost, Outlet {
  /** Counted from 1. */
  readonly number: number
  state: BrokerConnectionState = 'opened'
  protocolVersion: ProtocolVersion = '3.1.1'
  clientId = ''
  /** Also when it is closed: what it has written may leave later. */
  session: BrokerSession | undefined = undefined
  /** True when the client said DISCONNECT 0x00: no will. */
  endedWell = false
  saidDisconnect = false

  // What the client accepts and promises.
  receiveMaximum = 65_535
  maximumPacketSize: number = Infinity
  topicAliasMaximum = 0
  /** Seconds; 0: none. */
  keepAlive = 0
  /** Seconds, as CONNECT has it. */
  sessionExpiryInterval = 0

  /** What the client does with its packet identifiers. */
  readonly conduct: Conduct
  /** Topics by the client's aliases. */
  readonly aliases: Map<number, string> = new Map()

  readonly #host: ConnectionHost
  readonly #splitter = new PacketSplitter()
  readonly #output: ConnectionOutput
  readonly #aliasesOut = new Map<string, number>()
  #isPaused = false
  #hasEnd = false
  #isReading = false
  #readAgainAt = 0
  /** A packet that a fault keeps from being read. */
  #kept: (() => void) | undefined = undefined
  #lastReceived: number

  constructor(host: ConnectionHost, number: number) {
    this.#host = host
    this.number = number
    this.#lastReceived = host.now
    this.#output = new ConnectionOutput(this)
    this.conduct = new Conduct(number, (rule, text) => host.complain(this, rule, text))
  }

  get now(): number {
    return this.#host.now
  }

  /** The broker wants the stream ended (FIN): all output has been taken. */
  get ended(): boolean {
    return this.#output.ended
  }

  /** The broker wants the stream destroyed at once. */
  get destroyed(): boolean {
    return this.#output.destroyed
  }

  get version5(): boolean {
    return this.protocolVersion === '5'
  }

  get isOpen(): boolean {
    return this.state !== 'closed'
  }

  /** Reads nothing and writes nothing: the owner may stop reading, too. */
  get isPaused(): boolean {
    return this.#isPaused || this.#host.isPaused
  }

  /** Nothing more will come of it. */
  get isFinished(): boolean {
    return this.#output.isOver || (this.state === 'closed' && this.#hasEnd)
  }

  handleData(chunk: Uint8Array, now: number): void {
    this.#host.advance(now)
    if (this.state === 'closed') {
      this.#complainOfRest()
      return
    }
    this.#lastReceived = now
    this.#splitter.push(chunk)
    this.#read()
  }

  /** The client ended the stream, or it broke. */
  handleEnd(now: number): void {
    this.#host.advance(now)
    this.#hasEnd = true
    this.#read()
  }

  handleTimeout(now: number): void {
    this.#host.advance(now)
    this.#output.handleTimeout()
    if (this.#readAgainAt > 0 && this.#readAgainAt <= now) this.#read()
    if (this.#silenceDeadline() > now) return
    const seconds = (now - this.#lastReceived) / 1_000
    const text = `nothing came for ${seconds} s, the keep-alive is ${this.keepAlive} s`
    this.#host.complain(this, 'keep-alive', text)
    this.closeWith(0x8d)
  }

  nextDeadline(): number {
    if (this.isPaused || this.destroyed) return Infinity
    const reading = this.#readAgainAt > 0 && this.state !== 'closed' ? this.#readAgainAt : Infinity
    return Math.min(this.#silenceDeadline(), this.#output.nextDeadline, reading)
  }

  /** A chunk to write. When there is none, look at `ended` and `destroyed`. */
  nextOutput(): Uint8Array | undefined {
    return this.isPaused ? undefined : this.#output.next()
  }

  /** Reads and writes nothing until `resume`, as a process that was stopped. */
  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.continue()
  }

  /** Goes on after a pause. */
  continue(): void {
    this.#lastReceived = this.#host.now
    this.#host.markDirty(this)
    this.#read()
  }

  /** Writes this, past the fault script: a packet or any bytes. */
  send(content: FaultContent): void {
    this.#output.add(content)
  }

  /** Breaks the connection at once; what has not been taken is lost. */
  cut(): void {
    this.#output.cut()
  }

  /** Ends the stream (FIN) behind what has been written. */
  end(): void {
    this.#output.finish('end')
  }

  /** Ends the connection as the specification says: with the reason where the version has a packet for it. */
  closeWith(reasonCode: number): void {
    const { state } = this
    if (state === 'closed') return
    if (this.version5 && state === 'connected') {
      this.respond({ type: 'disconnect', reasonCode })
    } else if (this.version5 && isReasonCodeOf('connack', reasonCode)) {
      this.respond({ type: 'connack', sessionPresent: false, reasonCode })
    }
    this.#output.finish('end')
  }

  /** The client broke a rule; that is told, and no more. */
  complain(rule: RuleName, text: string): void {
    this.#host.complain(this, rule, text)
  }

  /** The client broke a rule. Unless the broker is tolerant, the connection is closed when this returns. */
  violate(rule: RuleName, text: string, reasonCode: number): void {
    this.complain(rule, text)
    if (this.#host.options.tolerant !== true) this.closeWith(reasonCode)
  }

  /** Writes a packet as the fault script lets it. */
  respond(packet: ControlPacket): void {
    if (this.state !== 'closed') this.write(this.#host.faults.forSend(packet, this))
  }

  /** Writes what the fault script was asked about before. */
  write(scripted: ScriptedPacket): void {
    if (this.state !== 'closed') this.#output.addPacket(scripted)
  }

  deliver(packet: PublishPacket): boolean {
    if (!this.#fits(packet)) return false
    if (this.state === 'closed') return true
    const scripted = this.#host.faults.forSend(packet, this)
    // What a rule touches leaves plain, if it leaves: an alias that does not arrive is not known.
    const contents = scripted.fault === undefined ? [this.#withAlias(packet)] : scripted.contents
    this.write({ ...scripted, contents })
    return true
  }

  release(packetId: number): void {
    this.respond({ type: 'pubrel', packetId, reasonCode: 0 })
  }

  // For the output.

  markDirty(): void {
    this.#host.markDirty(this)
  }

  handleFinished(): void {
    if (this.state === 'closed') return
    this.state = 'closed'
    this.#host.handleClosed(this)
  }

  handleSent(packet: ControlPacket): void {
    this.#host.options.onPacket?.('out', packet, this)
    this.conduct.sent(packet)
    // The exchange is over for a client that is refused [5 MQTT-4.3.3-9], whoever made the PUBREC.
    if (packet.type === 'pubrec' && packet.reasonCode >= 0x80) this.session?.received.delete(packet.packetId)
  }

  /** [5 MQTT-3.1.2-24] */
  #fits(packet: PublishPacket): boolean {
    const maximum = this.maximumPacketSize
    return maximum === Infinity || encodePacket(packet, this.protocolVersion).length <= maximum
  }

  /** Only for what is then written. */
  #withAlias(packet: PublishPacket): PublishPacket {
    if (this.#host.options.useTopicAliases !== true) return packet
    const { topic, properties } = packet
    const known = this.#aliasesOut.get(topic)
    const topicAlias = known ?? this.#aliasesOut.size + 1
    const name = known === undefined ? topic : ''
    const changed = { ...packet, topic: name, properties: { ...properties, topicAlias } }
    if (topicAlias > this.topicAliasMaximum || !this.#fits(changed)) return packet
    this.#aliasesOut.set(topic, topicAlias)
    return changed
  }

  #silenceDeadline(): number {
    const isOver = this.state === 'closed' || this.state === 'refused'
    if (isOver || this.keepAlive === 0 || this.isPaused || this.#readAgainAt > 0) return Infinity
    return this.#lastReceived + 1_500 * this.keepAlive
  }

  /** Reads what has come, packet by packet, as far as it may. */
  #read(): void {
    if (this.#isReading) return
    this.#isReading = true
    // Callbacks of the test's may throw.
    try {
      while (this.#mayRead()) {
        this.#readAgainAt = 0
        const kept = this.#kept
        this.#kept = undefined
        if (kept !== undefined) kept()
        else if (!this.#readOne()) break
      }
    } finally {
      this.#isReading = false
    }
    if (this.state === 'closed') {
      if (this.#splitter.waiting > 0) this.#complainOfRest()
    } else if (this.#hasEnd && this.#mayRead()) this.#output.finish('end')
  }

  #mayRead(): boolean {
    return this.state !== 'closed' && !this.isPaused && this.#readAgainAt <= this.#host.now
  }

  #readOne(): boolean {
    // [5 MQTT-3.1.4-6]
    if (this.state === 'refused') return false
    let packet: ControlPacket
    try {
      const split = this.#splitter.next()
      if (split === undefined) return false
      try {
        packet = decodeOfClient(split, this.protocolVersion)
      } catch (error) {
        const isConnect = split.header >> 4 === 1
        if (isConnect && this.state === 'opened' && split.body[6] === 5) this.protocolVersion = '5'
        this.#refuse(error, isConnect)
        return true
      }
    } catch (error) {
      // There is no telling where the next packet begins.
      this.#refuse(error, false)
      if (this.state !== 'closed') this.closeWith((error as ProtocolError).reasonCode)
      return false
    }
    if (this.state === 'opened' && packet.type !== 'connect') {
      const text = `the first packet is ${packet.type.toUpperCase()}, expected CONNECT`
      this.#host.complain(this, 'connect-first', text)
      this.#output.finish('end')
      return false
    }
    this.#take(packet)
    return true
  }

  #refuse(error: unknown, isConnect: boolean): void {
    if (!(error instanceof ProtocolError)) throw error
    const { message, reasonCode } = error
    if (isConnect && reasonCode === 0x84) this.send(REFUSED_VERSION)
    this.violate(ruleOfError(message), message, reasonCode)
    if (isConnect && this.state === 'opened') this.#output.finish('end')
  }

  /** A whole packet: the fault script first. */
  #take(packet: ControlPacket): void {
    const fault = this.#host.faults.forReceive(packet, this)
    if (fault === undefined) {
      this.#handle(packet)
      return
    }
    const act = (): void => {
      for (const content of fault.before) this.send(content)
      if (fault.endingBefore !== undefined) this.#output.finish(fault.endingBefore)
      else {
        if (fault.isWithheld) this.#host.handleWithheld(this, packet)
        else this.#handle(packet)
        for (const content of fault.after) this.send(content)
        if (fault.endingAfter === 'cut') this.cut()
        else if (fault.endingAfter === 'end') this.#output.finish('end')
      }
      fault.callback?.(packet, this)
    }
    if (fault.stallBy === 0) act()
    else {
      this.#kept = act
      this.#readAgainAt = this.#host.now + fault.stallBy
    }
  }

  #handle(packet: ControlPacket): void {
    this.#host.options.onPacket?.('in', packet, this)
    if (this.state === 'closed') return
    this.#host.handlePacket(this, packet)
    this.#splitter.shortestForm = this.version5
    // Until CONNACK the client cannot know it.
    if (this.state === 'connected') {
      this.#splitter.maximumPacketSize = this.#host.options.maximumPacketSize ?? Infinity
    }
  }

  /** Nothing may follow a DISCONNECT [3.1.1 MQTT-3.14.4-2] [5 MQTT-3.14.4-1]. */
  #complainOfRest(): void {
    if (!this.saidDisconnect) return
    this.saidDisconnect = false
    this.#host.complain(this, 'after-disconnect', 'more bytes came after DISCONNECT')
  }
}

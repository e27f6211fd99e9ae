/**
 * The network of the simulation: between clients' transports and the pure broker, with time, chance and faults.
 *
 *     client ── pieces, each a while under way, in order ──► broker, and back
 *     cut()         both ends hear of it; what is under way is lost, in the middle of a packet if it so happens
 *     blackHole()   nobody hears of it, nothing arrives any more: a half-open connection
 *
 * A client that writes more than is under way at once is told to wait. What comes to it is lent, or its own.
 *
 * What crosses, when and where it was split goes into `digest`: equal seeds have equal digests.
 */

import { ConnectionError } from '../core/errors.ts'
import type { Dial, Transport, TransportReceiver } from '../transport/transport.ts'
import type { BrokerConnection } from './broker/broker-connection.ts'
import type { Broker } from './broker/broker.ts'
import { lend } from './lending.ts'
import type { VirtualRuntime } from './virtual-runtime.ts'

/** How often it came to what. */
export interface WireCounts {
  delayed: number
  split: number
  cut: number
  halfOpen: number
  refused: number
  ignored: number
  saturated: number
}

/** Bytes that may be under way to the broker before `write` says no: little, so that it often comes to that. */
const HIGH_WATER = 1_024

export class Wire {
  readonly runtime: VirtualRuntime
  readonly counts: WireCounts = {
    delayed: 0,
    split: 0,
    cut: 0,
    halfOpen: 0,
    refused: 0,
    ignored: 0,
    saturated: 0,
  }
  /** The numbers of the connections that were half-open. */
  readonly lost: Set<number> = new Set()
  /** What an attempt finds. */
  dialing: 'answered' | 'refused' | 'ignored' = 'answered'
  /** The longest way, ms. */
  latency = 40
  readonly #broker: Broker
  readonly #streams = new Map<BrokerConnection, WireTransport>()
  #isScheduled = false
  #deadline: { readonly at: number; cancel(): void } | undefined = undefined
  #digest = 0x811c9dc5
  #bytes = 0

  constructor(broker: Broker, runtime: VirtualRuntime) {
    this.#broker = broker
    this.runtime = runtime
    broker.attach({ now: () => runtime.now(), handleOutput: () => this.schedule() })
  }

  /** Of all bytes that have crossed, and when. */
  get digest(): string {
    return `${this.#digest.toString(16).padStart(8, '0')}-${this.#bytes}`
  }

  /** Whether what comes next is lent to the client: by what has crossed, so that no random number is used up. */
  get lends(): boolean {
    return this.#digest % 2 === 0
  }

  /** The way to the broker for one process. @param opened is told of each stream */
  dialFor(opened: (stream: WireTransport) => void): Dial {
    return (target, signal) => {
      if (signal.aborted) return Promise.reject(signal.reason as Error)
      if (this.dialing === 'refused') {
        this.counts.refused += 1
        const text = `no connection to ${target.url.host}`
        return Promise.reject(new ConnectionError('connect-failed', text, { phase: 'tcp' }))
      }
      if (this.dialing === 'ignored') {
        this.counts.ignored += 1
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
        })
      }
      const connection = this.#broker.accept(this.runtime.now())
      const stream = new WireTransport(this, connection)
      this.#streams.set(connection, stream)
      opened(stream)
      return Promise.resolve(stream)
    }
  }

  /** Cuts what there is. True: there was something. */
  cut(): boolean {
    return this.#each((stream) => stream.cut(), 'cut')
  }

  /** Makes what there is half-open. True: there was something. */
  blackHole(): boolean {
    return this.#each((stream) => stream.blackHole(), 'halfOpen')
  }

  /** Bytes have reached one side. */
  note(direction: number, connection: number, bytes: Uint8Array): void {
    const mix = (value: number): void => {
      this.#digest = Math.imul(this.#digest ^ value, 0x01000193) >>> 0
    }
    mix(direction)
    mix(connection)
    mix(Math.floor(this.runtime.now() * 1_000) | 0)
    for (const byte of bytes) mix(byte)
    this.#bytes += bytes.length
  }

  forget(connection: BrokerConnection): void {
    this.#streams.delete(connection)
  }

  /** Looks soon at what the broker has to say. */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.runtime.defer(() => {
      this.#isScheduled = false
      for (const stream of this.#streams.values()) stream.collect()
      this.#broker.takeDirty()
      this.#setDeadline()
    })
  }

  /** The broker is gone: no timer of it is left. */
  close(): void {
    this.#deadline?.cancel()
    this.#deadline = undefined
  }

  #each(harm: (stream: WireTransport) => void, name: 'cut' | 'halfOpen'): boolean {
    const living = [...this.#streams.values()].filter(({ isLiving }) => isLiving)
    for (const stream of living) harm(stream)
    this.counts[name] += living.length
    return living.length > 0
  }

  #setDeadline(): void {
    const at = this.#broker.nextDeadline()
    if (this.#deadline?.at === at) return
    this.close()
    if (at === Infinity) return
    const timer = this.runtime.setTimer(
      () => {
        this.#deadline = undefined
        this.#broker.handleTimeout(this.runtime.now())
        this.schedule()
      },
      Math.max(0, at - this.runtime.now()),
    )
    this.#deadline = { at, cancel: () => timer.cancel() }
  }
}

/** The client's end. */
export class WireTransport implements Transport {
  readonly #wire: Wire
  readonly #connection: BrokerConnection
  #receiver: TransportReceiver | undefined = undefined
  /** What has arrived while the client reads nothing. */
  #arrived: Uint8Array[] = []
  #isPaused = false
  #isLost = false
  #written = 0
  /** Bytes that have not arrived. */
  #underWay = 0
  #isSaturated = false
  /** When the last piece of each direction arrives. */
  #upUntil = 0
  #downUntil = 0
  #hasClosed = false
  #brokerEnds = false
  #isEnded = false

  constructor(wire: Wire, connection: BrokerConnection) {
    this.#wire = wire
    this.#connection = connection
  }

  /** Bytes cross it, as far as anybody knows. */
  get isLiving(): boolean {
    return !this.#isLost && !this.#isEnded && !this.#hasClosed
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    this.#later(0, () => this.#read())
  }

  write(chunk: Uint8Array): boolean {
    if (this.#hasClosed || this.#isEnded) return true
    this.#written += chunk.length
    this.#underWay += chunk.length
    const total = this.#written
    // The system takes the bytes as late as it may: whoever writes into them before it told so is found out.
    const bytes = new Uint8Array(chunk.length)
    for (const [index, piece] of this.#pieces(bytes).entries()) {
      this.#upUntil = this.#arrival(this.#upUntil)
      this.#later(this.#upUntil - this.#wire.runtime.now(), () => {
        if (index === 0) {
          bytes.set(chunk)
          this.#reportWritten(total)
        }
        this.#arriveAtBroker(piece)
      })
    }
    if (this.#underWay <= HIGH_WATER) return true
    this.#isSaturated = true
    this.#wire.counts.saturated += 1
    return false
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#later(0, () => this.#read())
  }

  end(): void {
    this.#closeBehindOutput()
  }

  destroy(): void {
    this.#arrived = []
    this.#closeBehindOutput()
    this.#later(0, () => this.#end(undefined))
  }

  /** Both ends hear of it. */
  cut(): void {
    this.#isLost = true
    this.#connection.cut()
    this.#wire.forget(this.#connection)
    this.#later(this.#wire.runtime.random() * 50, () => this.#end(new Error('the connection was reset')))
  }

  /** Nobody hears of it. */
  blackHole(): void {
    this.#isLost = true
    this.#wire.lost.add(this.#connection.number)
  }

  /** The process has died: the system ends its connections, and nobody listens. */
  abandon(): void {
    this.#receiver = undefined
    this.#isEnded = true
    this.#closeBehindOutput()
  }

  /** Takes what the broker has written. */
  collect(): void {
    for (;;) {
      const chunk = this.#connection.nextOutput()
      if (chunk === undefined) break
      for (const piece of this.#pieces(chunk)) {
        this.#downUntil = this.#arrival(this.#downUntil)
        this.#later(this.#downUntil - this.#wire.runtime.now(), () => this.#arriveAtClient(piece))
      }
    }
    const { ended, destroyed } = this.#connection
    if ((!ended && !destroyed) || this.#brokerEnds) return
    this.#brokerEnds = true
    this.#wire.forget(this.#connection)
    const error = destroyed ? new Error('the connection was reset') : undefined
    const wait = Math.max(0, this.#downUntil - this.#wire.runtime.now())
    this.#later(wait, () => this.#isLost || this.#end(error))
  }

  #arriveAtBroker(piece: Uint8Array): void {
    if (this.#isLost) return
    this.#wire.note(0, this.#connection.number, piece)
    this.#underWay -= piece.length
    this.#connection.handleData(piece, this.#wire.runtime.now())
    this.#wire.schedule()
    if (this.#underWay > 0 || !this.#isSaturated) return
    this.#isSaturated = false
    if (!this.#isEnded) this.#receiver?.handleDrain()
  }

  #arriveAtClient(piece: Uint8Array): void {
    if (this.#isLost || this.#isEnded) return
    this.#arrived.push(piece)
    this.#read()
  }

  #read(): void {
    while (this.#receiver !== undefined && !this.#isPaused && !this.#isEnded) {
      const piece = this.#arrived.shift()
      if (piece === undefined) return
      this.#wire.note(1, this.#connection.number, piece)
      if (this.#wire.lends) lend(this.#receiver, piece)
      else this.#receiver.handleData(piece.slice(), true)
    }
  }

  #reportWritten(total: number): void {
    if (!this.#isEnded) this.#receiver?.handleWritten(total)
  }

  /** The broker hears of the end behind all that was written, and of a half-open connection's much later. */
  #closeBehindOutput(): void {
    if (this.#hasClosed) return
    this.#hasClosed = true
    const { runtime } = this.#wire
    const wait = this.#isLost ? runtime.random() * 8_000 : Math.max(0, this.#upUntil - runtime.now())
    this.#later(wait, () => {
      this.#connection.handleEnd(runtime.now())
      this.#wire.schedule()
    })
  }

  #end(error: unknown): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#receiver?.handleEnd(error)
  }

  #arrival(after: number): number {
    const { runtime, latency, counts } = this.#wire
    const isSlow = runtime.random() < 0.02
    if (isSlow) counts.delayed += 1
    return Math.max(after, runtime.now() + runtime.random() * latency * (isSlow ? 20 : 1))
  }

  #pieces(chunk: Uint8Array): readonly Uint8Array[] {
    const { runtime, counts } = this.#wire
    if (chunk.length < 2 || runtime.random() > 0.3) return [chunk]
    counts.split += 1
    const at = 1 + Math.floor(runtime.random() * (chunk.length - 1))
    return [chunk.subarray(0, at), chunk.subarray(at)]
  }

  #later(delay: number, run: () => void): void {
    this.#wire.runtime.setTimer(run, Math.max(0, delay))
  }
}

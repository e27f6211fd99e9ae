// The server's end of a byte stream, for a whole client: what it writes comes in pieces of lent memory, what the client
// writes is held against the model, and when the client ends it, more may still come.

import type { Transport, TransportReceiver } from '../../src/transport/transport.ts'
import type { Judgement, Line } from './line.ts'
import type { MaliciousServer } from './malicious-server.ts'
import type { Random } from './random.ts'

/** What a stream needs of its conversation. */
export interface TransportHost {
  readonly random: Random
  readonly server: MaliciousServer
  readonly line: Line
  defer(task: () => void): void
  /** The client wrote what it may not write. */
  fail(error: unknown): void
  wrote(packets: number): void
  /** The client wants no more of the stream. */
  ended(): void
}

export class MaliciousTransport implements Transport {
  /** The client has ended it; both know that it is over. */
  isEnding = false
  isOver = false
  isPaused = false
  readonly #host: TransportHost
  #receiver: TransportReceiver | undefined = undefined
  #written = 0

  constructor(host: TransportHost) {
    this.#host = host
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
  }

  write(chunk: Uint8Array): boolean {
    const { line, server } = this.#host
    this.#written += chunk.length
    const total = this.#written
    this.#host.defer(() => this.isOver || this.#receiver?.handleWritten(total))
    try {
      if (this.isEnding) throw new Error('the client wrote behind its end of the stream')
      const packets = line.hear(chunk)
      this.#host.wrote(packets.length)
      for (const packet of packets) server.hear(packet)
      if (line.isTorn && chunk.length < 1_000) throw new Error('the client wrote half a packet')
    } catch (error) {
      this.#host.fail(error)
    }
    return true
  }

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    this.isPaused = false
  }

  /** The server follows, or does nothing and waits for the client to destroy the stream. */
  end(): void {
    this.#leave()
    if (this.#host.random.chance(0.7)) this.#host.defer(() => this.close(undefined))
  }

  destroy(): void {
    this.#leave()
    this.#host.defer(() => this.close(undefined))
  }

  /** The server writes. What must come of it, if that can be told. */
  speak(): Judgement | undefined {
    const { random, server, line } = this.#host
    if (this.isOver || this.isPaused || this.#receiver === undefined) return undefined
    const chunk = server.say()
    const judgement = this.isEnding ? undefined : line.judge(chunk)
    for (const piece of random.chance(0.7) ? [chunk] : random.pieces(chunk)) {
      const lent = piece.slice()
      if (!this.isOver) this.#receiver.handleData(lent, false)
      lent.fill(0xaa)
    }
    return judgement
  }

  /** The stream is over, for both. */
  close(error: unknown): void {
    if (this.isOver || this.#receiver === undefined) return
    this.isOver = true
    this.#receiver.handleEnd(error)
  }

  #leave(): void {
    if (!this.isEnding) this.#host.ended()
    this.isEnding = true
  }
}

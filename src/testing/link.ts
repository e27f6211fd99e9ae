/**
 * The way to the broker, which a test can obstruct: attempts that are refused or never answered, and a peer that
 * stops reading, so that output piles up here.
 *
 *     const link = new Link(network.dial, runtime)
 *     const client = createClient(url, { runtime, dial: link.dial })
 *     link.dialing = 'refused'
 *     link.stop()                            // the peer reads nothing …
 *     link.go()                              // … and goes on
 */

import { ConnectionError } from '../core/errors.ts'
import type { Dial, Transport, TransportReceiver } from '../transport/transport.ts'

/** What a link needs of the world: to call soon, and not from within. */
export interface LinkClock {
  now(): number
  defer(task: () => void): void
}

export class Link {
  /** What an attempt finds: a stream, an error, or nothing until it is given up. */
  dialing: 'answered' | 'refused' | 'ignored' = 'answered'
  /** When attempts were made, ms. */
  readonly attempts: number[] = []
  readonly dial: Dial
  /** Bytes that may wait before `write` says no. */
  readonly highWater: number

  readonly #clock: LinkClock
  readonly #streams = new Set<LinkTransport>()
  #isStopped = false

  constructor(dial: Dial, clock: LinkClock, highWater = 65_536) {
    this.#clock = clock
    this.highWater = highWater
    this.dial = async (target, signal) => {
      this.attempts.push(clock.now())
      signal.throwIfAborted()
      if (this.dialing === 'refused') {
        throw new ConnectionError('connect-failed', `no connection to ${target.url.host}`, { phase: 'tcp' })
      }
      if (this.dialing === 'ignored') return aborted(signal)
      const stream = new LinkTransport(await dial(target, signal), this)
      this.#streams.add(stream)
      return stream
    }
  }

  get isStopped(): boolean {
    return this.#isStopped
  }

  /** The peer reads nothing more. */
  stop(): void {
    this.#isStopped = true
  }

  /** The peer reads again. */
  go(): void {
    this.#isStopped = false
    for (const stream of this.#streams) {
      if (stream.release()) this.#clock.defer(() => stream.drain())
    }
  }

  forget(stream: LinkTransport): void {
    this.#streams.delete(stream)
  }
}

class LinkTransport implements Transport {
  readonly #inner: Transport
  readonly #link: Link
  #receiver: TransportReceiver | undefined = undefined
  #waiting: Uint8Array[] = []
  #bytes = 0
  #isFull = false
  #isEnding = false

  constructor(inner: Transport, link: Link) {
    this.#inner = inner
    this.#link = link
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    this.#inner.start({
      handleData: (chunk, kept) => receiver.handleData(chunk, kept),
      handleWritten: (total) => receiver.handleWritten(total),
      handleDrain: () => receiver.handleDrain(),
      handleEnd: (error) => {
        this.#receiver = undefined
        this.#link.forget(this)
        receiver.handleEnd(error)
      },
    })
  }

  write(chunk: Uint8Array): boolean {
    if (!this.#link.isStopped) return this.#inner.write(chunk)
    this.#waiting.push(chunk)
    this.#bytes += chunk.length
    this.#isFull = this.#bytes >= this.#link.highWater
    return !this.#isFull
  }

  pause(): void {
    this.#inner.pause()
  }

  resume(): void {
    this.#inner.resume()
  }

  end(): void {
    if (this.#link.isStopped) this.#isEnding = true
    else this.#inner.end()
  }

  destroy(): void {
    this.#waiting = []
    this.#inner.destroy()
  }

  setKeepsAlive(keepsAlive: boolean): void {
    this.#inner.setKeepsAlive?.(keepsAlive)
  }

  /** Passes on what has waited; true: `drain` is due. */
  release(): boolean {
    const wasFull = this.#isFull
    this.#isFull = false
    this.#bytes = 0
    for (const chunk of this.#waiting.splice(0)) this.#inner.write(chunk)
    if (this.#isEnding) this.#inner.end()
    return wasFull
  }

  drain(): void {
    this.#receiver?.handleDrain()
  }
}

/** Never resolves, and rejects with the signal's reason. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}

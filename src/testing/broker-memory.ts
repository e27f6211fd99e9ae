/**
 * The broker without a network: each `dial` gives a `Transport` whose bytes cross when `flush` is called, and
 * not before. With a clock the network flushes itself and keeps the broker's time; without one the test does:
 *
 *     const network = new MemoryNetwork(new Broker())
 *     const client = createClient(network.url, { dial: network.dial, … })
 *     network.flush()             // bytes cross, both ways, until none are left
 *     network.advance(60_000)     // the broker's time passes, deadline by deadline
 */

import type { Dial, Transport, TransportReceiver } from '../transport/transport.ts'
import type { Broker } from './broker/broker.ts'
import type { BrokerConnection } from './broker/broker-connection.ts'
import { lend } from './lending.ts'

/** What a network needs to run by itself; a client's `Runtime` is one. */
export interface MemoryClock {
  /** Monotonic, in ms. */
  now(): number
  /** Calls soon, and not from within. */
  defer(task: () => void): void
  /** Calls after `delay` ms, once. */
  setTimer(task: () => void, delay: number): { cancel(): void }
}

export class MemoryNetwork {
  readonly broker: Broker
  readonly url = 'mqtt://memory'
  /** Gives a transport at once, or rejects with the signal's reason. */
  readonly dial: Dial

  readonly #clock: MemoryClock | undefined
  readonly #transports = new Map<BrokerConnection, MemoryTransport>()
  #time = 0
  #isFlushing = false
  #isScheduled = false
  #timer: { readonly at: number; readonly timer: { cancel(): void } } | undefined = undefined

  constructor(broker: Broker, clock?: MemoryClock) {
    this.broker = broker
    this.#clock = clock
    broker.attach({ now: () => this.now, handleOutput: () => this.#schedule() })
    this.dial = (_target, signal) =>
      signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve(this.open())
  }

  get now(): number {
    return this.#clock?.now() ?? this.#time
  }

  /** A new network connection to the broker. */
  open(): Transport {
    const connection = this.broker.accept(this.now)
    const transport = new MemoryTransport(connection, () => this.#schedule())
    this.#transports.set(connection, transport)
    return transport
  }

  /** Moves bytes in both directions until none are left. */
  flush(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    let isDone = false
    // Callbacks of the test's may throw.
    try {
      while (this.#move());
      this.broker.takeDirty()
      isDone = true
    } finally {
      this.#isFlushing = false
      this.#setTimer()
      if (!isDone) this.#schedule()
    }
  }

  /** Lets the broker's time pass, for a network without a clock. */
  advance(ms: number): void {
    const end = this.#time + ms
    for (;;) {
      this.flush()
      const deadline = this.broker.nextDeadline()
      if (deadline > end) break
      this.#time = Math.max(this.#time, deadline)
      this.broker.handleTimeout(this.#time)
    }
    this.#time = end
    this.broker.handleTimeout(end)
    this.flush()
  }

  /** Whether anything moved. */
  #move(): boolean {
    let isMoving = false
    for (const [connection, transport] of this.#transports) {
      if (transport.deliverToBroker(this.now)) isMoving = true
      if (transport.deliverToClient()) isMoving = true
      if (transport.isOver) this.#transports.delete(connection)
    }
    return isMoving
  }

  #schedule(): void {
    if (this.#clock === undefined || this.#isScheduled || this.#isFlushing) return
    this.#isScheduled = true
    this.#clock.defer(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  #setTimer(): void {
    const clock = this.#clock
    if (clock === undefined) return
    const at = this.broker.nextDeadline()
    if (this.#timer?.at === at) return
    this.#timer?.timer.cancel()
    this.#timer = undefined
    if (at === Infinity) return
    const fire = (): void => {
      this.#timer = undefined
      this.broker.handleTimeout(clock.now())
      this.flush()
    }
    this.#timer = { at, timer: clock.setTimer(fire, Math.max(0, at - clock.now())) }
  }
}

/** The client's end. */
class MemoryTransport implements Transport {
  readonly #connection: BrokerConnection
  readonly #schedule: () => void
  #receiver: TransportReceiver | undefined = undefined
  #outgoing: Uint8Array[] = []
  #written = 0
  #isPaused = false
  #ending: 'end' | 'destroy' | undefined = undefined
  #brokerKnows = false
  #isOver = false

  constructor(connection: BrokerConnection, schedule: () => void) {
    this.#connection = connection
    this.#schedule = schedule
  }

  /** Both sides know that it is over. */
  get isOver(): boolean {
    return this.#isOver && (this.#ending === undefined || this.#brokerKnows)
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
    this.#schedule()
  }

  write(chunk: Uint8Array): boolean {
    if (this.#ending === undefined) this.#outgoing.push(chunk)
    this.#schedule()
    return true
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#schedule()
  }

  end(): void {
    this.#ending ??= 'end'
    this.#schedule()
  }

  destroy(): void {
    this.#ending = 'destroy'
    this.#outgoing = []
    this.#schedule()
  }

  /** Whether anything moved. */
  deliverToBroker(now: number): boolean {
    const before = this.#written
    try {
      while (this.#outgoing.length > 0) {
        const chunk = this.#outgoing.shift() as Uint8Array
        this.#written += chunk.length
        this.#connection.handleData(chunk, now)
      }
    } finally {
      if (this.#written > before) this.#receiver?.handleWritten(this.#written)
    }
    if (this.#ending === undefined || this.#brokerKnows) return this.#written > before
    this.#brokerKnows = true
    this.#connection.handleEnd(now)
    return true
  }

  /** Whether anything moved. */
  deliverToClient(): boolean {
    const receiver = this.#receiver
    if (receiver === undefined || this.#isOver) return false
    let isMoving = false
    while (this.#ending === undefined && !this.#isPaused) {
      const chunk = this.#connection.nextOutput()
      if (chunk === undefined) break
      lend(receiver, chunk)
      isMoving = true
    }
    const isEnded = this.#connection.ended || this.#connection.destroyed
    if (this.#ending === undefined && (!isEnded || this.#isPaused)) return isMoving
    this.#isOver = true
    receiver.handleEnd(this.#connection.destroyed ? new Error('the connection was reset') : undefined)
    return true
  }
}

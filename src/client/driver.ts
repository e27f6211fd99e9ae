/**
 * Pumps one Connection over one Transport: the only place where the machine and the network meet.
 *
 *     transport ─► handleData ─► events ─► owner
 *     owner ─► connection ─► touched ─► records ─► output ─► transport
 *
 * Output leaves when enough has gathered, at the end of an inbound chunk, else after all microtasks: one write for
 * many packets is worth more than everything else together.
 */

import type { Connection } from '../core/connection/connection.ts'
import type { Closed, OtherEvent } from '../core/connection/events.ts'
import { disconnected, type MqttError } from '../core/errors.ts'
import { IncomingMessage } from '../core/packets/publish.ts'
import type { Transport, TransportReceiver } from '../transport/transport.ts'
import { Alarm, type AlarmOwner, type Alarms } from './alarms.ts'
import type { Runtime } from './runtime.ts'

/** Who is told what happens on the connection. */
export interface DriverOwner {
  handleMessage(message: IncomingMessage, driver: Driver): void
  handleEvent(event: OtherEvent, driver: Driver): void
  /** All events of a turn have been handed out; output follows. */
  handleTurn(): void
  /** Records may be waiting. */
  handleRecords(): void
  /** The network has taken output. */
  handleFlushed(driver: Driver): void
  /** The stream is over. Behind the `closed` event; while events are held back, before it and once more behind it. */
  handleGone(driver: Driver): void
}

/** Full chunks are written at once when they have this many bytes. */
const FLUSH_AT = 32_768

/** After DISCONNECT the peer has this long to close, ms; rule 6. */
export const CLOSE_TIMEOUT = 2_000

export class Driver implements TransportReceiver, AlarmOwner {
  readonly connection: Connection
  readonly #transport: Transport
  readonly #runtime: Runtime
  readonly #owner: DriverOwner
  readonly #alarm: Alarm
  /** One function for all deferred flushes. */
  readonly #deferred = (): void => this.#handleDeferred()

  /** The time of this turn; read once per chunk or flush. */
  // Never undefined: a number that may be that costs an object at each change.
  #now = 0
  #scheduled = false
  #pumping = false
  #saturated = false
  #reading = true
  #held = false
  #closed: Closed | undefined = undefined
  #ended = false
  /** Nothing more is handed out but the end. */
  #isGivenUp = false
  #isEnding = false
  #destroyAt = Infinity

  /** Bytes that the network has let go, as it last told: their memory is free again. */
  written = 0
  /** Somebody waits until `written` has come this far: a payload that was lent is among those bytes. Set by the publisher. */
  lentUpTo = 0

  constructor(
    connection: Connection,
    transport: Transport,
    runtime: Runtime,
    alarms: Alarms,
    owner: DriverOwner,
  ) {
    this.connection = connection
    this.#transport = transport
    this.#runtime = runtime
    this.#owner = owner
    this.#now = runtime.now()
    this.#alarm = new Alarm(alarms, this)
  }

  /** More than the network takes at present has been written. */
  get saturated(): boolean {
    return this.#saturated
  }

  /** The network has not taken all that it was given, or not let go of what was lent. */
  get isBusy(): boolean {
    return this.#saturated || this.written < this.lentUpTo
  }

  get reading(): boolean {
    return this.#reading
  }

  /** The present time, without asking the clock again within a turn. */
  get now(): number {
    if (!this.#scheduled && !this.#pumping) this.#now = this.#runtime.now()
    return this.#now
  }

  start(): void {
    this.#transport.start(this)
    this.touched()
  }

  setKeepsAlive(keepsAlive: boolean): void {
    this.#transport.setKeepsAlive?.(keepsAlive)
  }

  // What the transport tells.

  handleData(chunk: Uint8Array, kept: boolean): void {
    this.#now = this.#runtime.now()
    this.connection.handleData(chunk, kept, this.#now)
    this.#pump()
  }

  /** What fits into the buffers of the system is written there whether or not the peer lives. */
  handleWritten(total: number): void {
    const isLent = this.written < this.lentUpTo
    this.written = total
    this.connection.handleWritten(total)
    if (this.#saturated) this.connection.handleProgress(this.#runtime.now())
    if (isLent) this.#owner.handleFlushed(this)
  }

  handleDrain(): void {
    this.#saturated = false
    this.#now = this.#runtime.now()
    this.#pump()
  }

  handleEnd(error?: unknown): void {
    // What this side has ended was not the server's doing.
    const cause = this.#isGivenUp ? disconnected() : error
    this.#ended = true
    this.#isGivenUp = false
    this.#alarm.cancel()
    this.#now = this.#runtime.now()
    this.connection.handleEnd(cause, this.#now)
    this.#pump()
    this.#owner.handleGone(this)
  }

  handleAlarm(now: number): void {
    this.#now = now
    if (now >= this.#destroyAt) return this.#transport.destroy()
    this.connection.handleTimeout(now)
    this.#pump()
  }

  // What the client wants.

  /** The connection was asked for something: events and output follow, soon or after this turn. */
  touched(): void {
    if (this.#pumping) return
    if (!this.#scheduled) this.#schedule()
    if (this.connection.output.full >= FLUSH_AT && !this.#saturated) this.#flush(true)
  }

  /** Hands out no further events until the application had its turn, rule 29. */
  hold(): void {
    this.#held = true
    this.#runtime.defer(() => {
      this.#held = false
      this.#now = this.#runtime.now()
      this.#pump()
      // `handleGone` came while events were held back: once more behind them.
      if (this.#ended) this.#owner.handleGone(this)
    })
  }

  /** Stops or begins reading, for back-pressure. */
  setReading(reading: boolean): void {
    if (reading === this.#reading || this.#closed !== undefined) return
    this.#reading = reading
    this.connection.handleReading(reading, this.now)
    if (!reading) return this.#transport.pause()
    this.#transport.resume()
    // What was read before and not handed out comes in a turn of its own.
    if (!this.#scheduled) this.#schedule()
  }

  /** Writes what there is now: before the stream is given up. */
  flush(): void {
    if (this.#pumping) this.#flush()
    else this.#pump()
  }

  /** Ends the connection for a reason of ours. */
  abort(error: MqttError, reasonCode: number): void {
    this.connection.abort(error, reasonCode, this.now)
    this.touched()
  }

  /** Ends the stream at once; the server publishes the will. */
  destroy(): void {
    this.#isGivenUp = true
    this.#transport.destroy()
  }

  #schedule(): void {
    this.#scheduled = true
    this.#now = this.#runtime.now()
    this.#runtime.defer(this.#deferred)
  }

  #handleDeferred(): void {
    this.#scheduled = false
    this.#now = this.#runtime.now()
    this.#pump()
  }

  /** Events, records, output, deadline: in this order, once; what comes of it later is told by `touched` or the deadline. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    const { connection } = this
    this.#pullEvents()
    if (this.#held || this.#isGivenUp) connection.keepInput()
    this.#owner.handleTurn()
    // At the end of a turn the owner may have said DISCONNECT.
    if (connection.state === 'closed') this.#pullEvents()
    this.#pumping = false
    this.#flush()
    if (this.#ended) return
    if (this.#closed !== undefined) return this.#end()
    this.#alarm.set(connection.nextDeadline())
  }

  #pullEvents(): void {
    while (!this.#held && !this.#isGivenUp) {
      const event = this.connection.nextEvent()
      if (event === undefined) break
      if (event instanceof IncomingMessage) this.#owner.handleMessage(event, this)
      else {
        if (event.type === 'closed') this.#closed = event
        this.#owner.handleEvent(event, this)
      }
    }
  }

  /** @param onlyFull in the middle of a turn: the network works meanwhile */
  #flush(onlyFull = false): void {
    const { connection } = this
    this.#owner.handleRecords()
    while (!this.#saturated && !this.#ended && !this.#isEnding) {
      const chunk = connection.nextOutput(onlyFull, this.#now)
      if (chunk === undefined) break
      this.#saturated = !this.#transport.write(chunk)
      if (this.#transport.written !== undefined) connection.handleWritten(this.#transport.written)
    }
    // What left has made room, and ids were given to more: their records do not wait for another turn.
    if (!onlyFull) this.#owner.handleRecords()
    this.#owner.handleFlushed(this)
  }

  /** Nothing more will come of this connection: what is encoded leaves, then the stream ends. */
  #end(): void {
    if (this.#destroyAt === Infinity) {
      this.#destroyAt = this.#runtime.now() + CLOSE_TIMEOUT
      this.#reading = true
      this.#transport.resume()
      this.#alarm.cancel()
      this.#alarm.set(this.#destroyAt)
    }
    // After an orderly end DISCONNECT has to leave first. After an error what has not left is lost: its callers know.
    if (this.#isEnding || (this.#closed?.error === undefined && this.connection.output.pending > 0)) return
    this.#isEnding = true
    // Nor may memory leave that is its owner's again, or will be when its message is given up.
    const { lentUpTo } = this.#closed?.error === undefined ? this : this.connection.output
    if (this.written < lentUpTo) this.#transport.destroy()
    else this.#transport.end()
  }
}

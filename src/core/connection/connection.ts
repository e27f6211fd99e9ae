/**
 * One network connection, from CONNECT to its end: the machine.
 *
 * Bytes and the time go in; events, records, bytes and one deadline come out, in this order after any call:
 *
 *     handleData ─► nextEvent … ─► session.journal.nextRecords ─► nextOutput … ─► nextDeadline
 *
 * `handle…` = something happened; a plain verb = the user wants; `next…` = do this now. Events are pulled, so user
 * code never runs while the machine is on the stack, and a handler that closes the connection stops the decoding
 * at once. A new network connection is a new object: there is no reset.
 */

import type { OutputCounts } from '../bytes/output-buffer.ts'
import { MqttError, ProtocolError, textOf, violation } from '../errors.ts'
import { Fifo } from '../fifo.ts'
import type { Codec } from '../packets/codec.ts'
import { IncomingMessage } from '../packets/publish.ts'
import type { ConnackPacket, ControlPacket, DisconnectPacket, Properties } from '../packets/types.ts'
import type { Delivery, OutgoingPublish } from '../session/deliveries.ts'
import type { Session } from '../session/session.ts'
import { AckRun } from './ack-run.ts'
import { Asking } from './asking.ts'
import { Authentication } from './authentication.ts'
import type { ConnectionOptions } from './connection-options.ts'
import { Deadlines } from './deadlines.ts'
import { DurableOutput } from './durable-output.ts'
import { disconnectedError, inputError, lostError, notConnectedError, silentError } from './endings.ts'
import type { ConnectionEvent } from './events.ts'
import type { ConnectionState } from './legal-packets.ts'
import { type NegotiatedSettings, negotiate } from './negotiated.ts'
import { connackFault } from './opening.ts'
import type { Operation } from './operations.ts'
import { PacketSource, type ReceivedPacket } from './packet-source.ts'
import { PacketWriter } from './packet-writer.ts'
import { Publishing } from './publishing.ts'
import { Receiving } from './receiving.ts'

export class Connection {
  /** The session that goes on to the next connection; another one once the server has lost it. */
  session: Session
  settings: NegotiatedSettings | undefined = undefined
  /** From `resume()` to the end: may be asked to send a message of QoS 1 or 2 at once, as `publish` does. */
  publishing: Publishing | undefined = undefined
  /** How many bytes wait for `nextOutput`, and were written and pulled so far. */
  readonly output: OutputCounts
  readonly #codec: Codec
  readonly #options: ConnectionOptions
  readonly #source: PacketSource
  readonly #writer: PacketWriter
  readonly #deadlines = new Deadlines()

  #state: ConnectionState
  readonly #events = new Fifo<ConnectionEvent>()
  #asking: Asking
  #durable: DurableOutput
  /** From CONNACK on, also behind the end. `publishing` is the same, while the queue may be sent. */
  #publishing: Publishing | undefined = undefined
  #receiving: Receiving | undefined = undefined
  #ackRun: AckRun | undefined = undefined
  #reading = true
  /** Whether the server has said anything. */
  #heard = false
  /** `resume()`, which is called often, was, or is not to be obeyed any more. */
  #resumed = false
  // Never undefined: a number that may be that costs an object at each change.
  #now = 0

  constructor(codec: Codec, session: Session, options: ConnectionOptions, now: number) {
    const { connect } = options
    this.#codec = codec
    this.#options = options
    this.session = session
    this.#now = now
    this.#source = new PacketSource(codec, options)
    this.#writer = new PacketWriter(codec, options.slabs, options.traffic)
    this.output = this.#writer.buffer
    this.#state = connect.properties?.authenticationMethod === undefined ? 'connecting' : 'authenticating'
    this.#durable = new DurableOutput(session.journal)
    this.#asking = this.#createAsking(0, Infinity)
    this.watch(options.watched)
    session.handleConnectSent()
    this.#writer.connect(connect)
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Whether an answer of the server is awaited, which would be lost sight of if reading stopped, rule 31. */
  get awaitsAnswer(): boolean {
    const { published, released } = this.session
    return published.size + released.size > 0 || this.#asking.awaitsAnswer
  }

  // What happened.

  /** Takes a chunk; decoding happens in `nextEvent`. */
  handleData(chunk: Uint8Array, kept: boolean, now: number): void {
    if (this.#state === 'closed') return
    this.#now = now
    this.#asking.keepAlive.handleReceived(now)
    const pending = this.output.pending + this.#durable.pending
    const fault = inputError(this.#heard ? undefined : chunk, pending, this.#options.maxOutput)
    this.#heard = true
    if (fault !== undefined) return this.#fail(fault)
    this.#source.push(chunk, kept)
    if (!this.#reading) this.#source.keepRest()
  }

  /** The network has let go of `total` bytes of ours, counted from the beginning: their memory is written again. */
  handleWritten(total: number): void {
    this.#writer.buffer.handleWritten(total)
  }

  /** The network takes bytes of ours again, and had not for a while: a sign of life. */
  handleProgress(now: number): void {
    this.#now = now
    this.#asking.keepAlive.handleProgress(now)
  }

  /** Records up to `upTo` are durable. The journal has been told. */
  handleStored(upTo: number, now: number): void {
    if (this.#state === 'closed') return
    this.#now = now
    this.publishing?.pump(now)
    this.#durable.handleStored(upTo)
  }

  /** The store failed, rule 33: what was never stored is rejected; what cannot be undone ends the connection. */
  handleStoreFailed(error: unknown, now: number): void {
    this.#now = now
    const failure =
      error instanceof MqttError ? error : new MqttError('store-failed', 'the session store failed', error)
    for (const delivery of this.session.failUnstored(failure, this.#publishing)) this.#events.push(delivery)
    if (this.#state !== 'closed' && this.#durable.dropSettled()) this.#fail(failure)
  }

  /** Harmless when early. */
  handleTimeout(now: number): void {
    this.#now = now
    if (this.#state === 'closed' || !this.#reading) return this.#ping(now)
    const expected = this.#deadlines.expected(now)
    if (this.#deadlines.silence <= now) return this.#fail(silentError(this.#asking.keepAlive.timeout))
    if (this.#deadlines.operation <= expected)
      for (const operation of this.#asking.overdue(expected)) this.#events.push(operation)
    const stuck = this.#publishing?.handleTimeout(expected)
    if (stuck !== undefined) return this.#fail(stuck)
    this.#ping(now)
  }

  /** The stream is over. */
  handleEnd(error: unknown, now: number): void {
    if (this.#state === 'closed') return
    this.#now = now
    const last = this.#source.lastWords(this.#state)
    if (last !== undefined) return this.#handleDisconnect(last)
    this.#fail(lostError(error, this.settings !== undefined, this.#heard))
  }

  /** We stopped reading, or begin again: time-outs that need the server's answers stand still meanwhile. */
  handleReading(reading: boolean, now: number): void {
    if (reading === this.#reading) return
    this.#reading = reading
    if (!reading) this.#source.keepRest()
    this.#deadlines.handleReading(reading, now)
    this.#asking.keepAlive.handleReading(reading, now)
  }

  // What the user wants.

  /** After `connected`: sends what the session owes, and from now on what waits. */
  resume(now: number): void {
    if (this.#state === 'closed' || this.#resumed) return
    this.#now = now
    this.#resumed = true
    // What another session would lack was asked for: that is what this call waits for.
    this.session.doubtful = false
    this.publishing = this.#publishing
    this.publishing?.resume(now)
  }

  /** What waits in the queue stays there: the connection is about to end. */
  sendNoMore(): void {
    this.#resumed = true
    this.publishing = undefined
  }

  /** Queues a message; it is sent as soon as the window allows, see `publishing.sendAtOnce`. */
  publish(delivery: Delivery, now: number): void {
    this.#now = now
    this.session.queue(delivery)
    if (this.session.queued.head === delivery) this.publishing?.pump(now)
  }

  /** Writes a message of QoS 0. @throws RefusedError when the server's limits forbid it */
  publishQos0(message: OutgoingPublish): void {
    if (this.#publishing === undefined || this.#state !== 'connected') throw notConnectedError()
    this.#publishing.publish(message)
  }

  /** Whether `send` may be used: nothing limits, watches or rewrites QoS 0 messages. */
  get canSend(): boolean {
    return this.#publishing?.isPlain === true && !this.watched && this.#state === 'connected'
  }

  /** Writes a message of QoS 0 from its parts, see `canSend`. */
  send(topic: Uint8Array, payload: Uint8Array | string, payloadSize: number): void {
    this.#writer.plainPublish(0, topic, 0, payload, payloadSize)
  }

  /** Sends SUBSCRIBE or UNSUBSCRIBE when an id is free; the operation is an event when it was answered. */
  request(operation: Operation, now: number): void {
    this.#now = now
    if (this.#state !== 'connected') return this.#interrupt(operation, notConnectedError())
    this.#asking.request(operation, now)
  }

  /** The size of the packet that `request` would write. */
  requestSize(operation: Operation): number {
    return this.#asking.requestSize(operation)
  }

  /** Sends PINGREQ for a `ping()` of the user's. */
  ping(operation: Operation, now: number): void {
    this.#now = now
    if (this.#state !== 'connected') return this.#interrupt(operation, notConnectedError())
    this.#asking.ping(operation, this.#reading, now)
  }

  /** ms after which a `ping()` has waited too long. */
  get pingTimeout(): number {
    return this.#asking.keepAlive.timeout
  }

  /** The next step of an authentication that the server asked for, 5: 4.12. */
  authenticate(properties: Properties): void {
    if (this.#state === 'closed') return
    const error = this.#asking.authentication.continue(properties)
    if (error !== undefined) this.abort(error, 0x95, this.#now)
  }

  /** Begins a re-authentication, 5: 4.12.1. */
  reauthenticate(operation: Operation, properties: Properties, now: number): void {
    this.#now = now
    if (this.#state !== 'connected') return this.#interrupt(operation, notConnectedError())
    if (!this.#asking.reauthenticate(operation, properties, now)) this.#events.push(operation)
  }

  /** Whether a re-authentication is under way: the next one has to wait for its end. */
  get reauthenticates(): boolean {
    return this.#asking.authentication.isOpen
  }

  /** Packets are told as events from now on, or no longer. */
  watch(watched: boolean): void {
    const tell = (direction: 'in' | 'out') => (packet: ControlPacket) =>
      this.#events.push({ type: 'packet', direction, packet })
    this.#source.watcher = watched ? tell('in') : undefined
    this.#writer.watcher = watched ? tell('out') : undefined
  }

  get watched(): boolean {
    return this.#writer.watcher !== undefined
  }

  /** Makes the present packet's chunk ours, for a message that outlives it. */
  keep(message: IncomingMessage): void {
    this.#source.keep(message)
  }

  /** Makes what has not been decoded ours, for a stop in the middle of a chunk. */
  keepInput(): void {
    this.#source.keepRest()
  }

  /** The application is done with a message of QoS 1 or 2; at 2 the session notes it after the end, too (rule 18). */
  acknowledge(message: IncomingMessage, reasonCode = 0, session: Session = this.session): void {
    const isConnected = this.#state === 'connected'
    this.#receiving?.acknowledge(message, this.#codec.hasProperties ? reasonCode : 0, isConnected, session)
  }

  /** Nobody waits for the delivery any more. */
  abandon(delivery: Delivery): void {
    this.#publishing?.abandon(delivery)
  }

  /** Writes DISCONNECT; nothing is sent or handled after it [3.1.1 MQTT-3.14.4-2] [5 MQTT-3.14.4-1]. */
  disconnect(reasonCode: number, properties: Properties | undefined, now: number): void {
    if (this.#state === 'closed') return
    this.#now = now
    this.#writeDisconnect({ type: 'disconnect', reasonCode, properties })
    this.#close(undefined, undefined)
  }

  /** Ends the connection for a reason of ours; in 5 the server is told. */
  abort(error: MqttError, reasonCode: number, now: number): void {
    if (this.#state === 'closed') return
    this.#now = now
    if (this.#codec.hasProperties && this.#state === 'connected')
      this.#writeDisconnect({ type: 'disconnect', reasonCode, properties: undefined })
    this.#close(error, undefined)
  }

  // What must be done now.

  /** The next event; decodes no packet behind the first that is one, or takes a run of acknowledgements. */
  nextEvent(): ConnectionEvent | undefined {
    if (this.#events.length > 0) return this.#events.shift()
    try {
      while (this.#reading && this.#state !== 'closed') {
        const run = this.#source.inRun ? this.#ackRun?.take() : undefined
        if (run !== undefined) return run
        const packet = this.#source.next(this.#state)
        if (packet === undefined) break
        const isMessage = packet instanceof IncomingMessage
        const event = isMessage ? this.#receiving?.handlePublish(packet) : this.#handlePacket(packet)
        if (this.#events.length > 0) {
          if (event !== undefined) this.#events.push(event)
          return this.#events.shift()
        }
        if (event !== undefined) return event
      }
    } catch (error) {
      this.#fail(
        error instanceof MqttError ? error : violation(`a packet could not be handled: ${textOf(error)}`),
      )
      return this.#events.shift()
    }
    this.#pump()
    return this.#events.shift()
  }

  /** A chunk to write, whose memory is the network's until `handleWritten`. `onlyFull`: if nothing can be added to it. */
  nextOutput(onlyFull = false, now: number = this.#now): Uint8Array | undefined {
    this.#now = now
    if (!onlyFull) this.#pump()
    const chunk = onlyFull ? this.#writer.buffer.takeFull() : this.#writer.buffer.take()
    if (chunk === undefined) return undefined
    this.#options.traffic.bytesOut += chunk.length
    this.#asking.keepAlive.handleSent(this.#now)
    return chunk
  }

  /** When to call `handleTimeout`: may be earlier than needed, never later. */
  nextDeadline(): number {
    if (this.#events.length > 0) return this.#now
    if (this.#state === 'closed') return Infinity
    return this.#reading ? this.#deadlines.earliest : this.#deadlines.ping
  }

  #handlePacket(packet: Exclude<ReceivedPacket, IncomingMessage>): ConnectionEvent | undefined {
    switch (packet.type) {
      case 'connack':
        return this.#handleConnack(packet)
      case 'puback':
        return this.#publishing?.handlePuback(packet.packetId, packet.reasonCode, packet.properties)
      case 'pubrec':
        return this.#publishing?.handlePubrec(packet.packetId, packet.reasonCode, packet.properties)
      case 'pubcomp':
        return this.#publishing?.handlePubcomp(packet.packetId, packet.reasonCode, packet.properties)
      case 'pubrel':
        this.#receiving?.handlePubrel(packet.packetId)
        return undefined
      case 'suback':
      case 'unsuback':
        return this.#asking.handleAnswer(packet)
      case 'pingresp':
        return this.#asking.handlePingresp(this.#now)
      case 'auth':
        return this.#asking.authentication.handleAuth(packet, this.#state === 'connected')
      case 'disconnect':
        return this.#handleDisconnect(packet)
      default:
        throw violation(`${packet.type.toUpperCase()} came from the server`)
    }
  }

  #handleConnack(connack: ConnackPacket): undefined {
    const { connect, onUnknownSession } = this.#options
    const { sessionPresent, reasonCode } = connack
    const { established } = this.session
    const fault = connackFault(connect, connack, established, onUnknownSession, this.#codec.hasProperties)
    // Where we refuse what the server accepts, it may have begun a session.
    if (fault === undefined || reasonCode !== 0) this.session.asked = false
    if (fault !== undefined) return this.#fail(fault)
    const adopted = sessionPresent && !established
    const doubtful = sessionPresent && this.session.doubtful
    const settings = negotiate(connect, connack)
    this.#establish(settings, sessionPresent)
    this.#events.push({ type: 'connected', sessionPresent, adopted, doubtful, reasonCode, settings })
  }

  #establish(settings: NegotiatedSettings, sessionPresent: boolean): void {
    this.settings = settings
    this.#state = 'connected'
    if (!sessionPresent && (this.session.established || !this.session.empty)) {
      const { session, failed } = this.session.succeed(this.#options.onSessionLost)
      this.session = session
      this.#events.push({ type: 'sessionLost', failed })
    }
    const { session } = this
    session.clientId = settings.clientId
    session.established = true
    session.journal?.session(settings.clientId, true, session.writer)
    this.#asking = this.#createAsking(settings.keepAlive, settings.maximumPacketSize)
    const parts = { ...this.#parts(), settings, connection: session.nextConnectionNumber() }
    this.#publishing = new Publishing(parts, this.#options, this.#events)
    this.#receiving = new Receiving(parts, this.#options.connect.properties)
    this.#ackRun = new AckRun(this.#source, session, this.#publishing, this.#receiving)
  }

  #handleDisconnect(packet: DisconnectPacket): undefined {
    const error = disconnectedError(packet)
    // Session taken over: another client with our id may have begun another one.
    if (packet.reasonCode === 0x8e) this.session.doubt()
    return error instanceof ProtocolError ? this.#fail(error) : this.#close(error, packet)
  }

  #ping(now: number): void {
    if (this.#state === 'connected') this.#asking.pingWhenDue(this.#reading, now)
  }

  #createAsking(keepAlive: number, maximumPacketSize: number): Asking {
    const { connect, pingTimeout } = this.#options
    const method = connect.properties?.authenticationMethod
    const authentication = new Authentication(method, this.#writer, maximumPacketSize)
    return new Asking(this.#parts(), authentication, keepAlive, pingTimeout, this.#now)
  }

  /** What the two directions and the requests have in common. */
  #parts() {
    return {
      codec: this.#codec,
      writer: this.#writer,
      deadlines: this.#deadlines,
      durable: this.#durable,
      session: this.session,
      traffic: this.#options.traffic,
    }
  }

  /** It has no answer, and will have none on this connection. */
  #interrupt(operation: Operation, error: MqttError | undefined): void {
    operation.error = error
    operation.interrupted = true
    this.#events.push(operation)
  }

  #pump(): void {
    if (this.#state !== 'connected') return
    this.publishing?.pump(this.#now)
    this.#asking.pump(this.#now)
  }

  #writeDisconnect(packet: DisconnectPacket): void {
    this.#writer.disconnect(packet, this.settings?.maximumPacketSize ?? Infinity)
  }

  /** The server broke the rules or the network failed. */
  #fail(error: MqttError): undefined {
    if (error instanceof ProtocolError) this.abort(error, error.reasonCode, this.#now)
    else this.#close(error, undefined)
  }

  #close(error: MqttError | undefined, packet: DisconnectPacket | undefined): undefined {
    this.#state = 'closed'
    this.publishing = undefined
    if (!this.#asking.hasRequests) this.#publishing?.handleEnd(error, this.#options.poisonLimit)
    for (const operation of this.#asking.drain()) this.#interrupt(operation, error)
    this.#events.push({ type: 'closed', error, packet })
  }
}

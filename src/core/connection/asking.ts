/**
 * What this side asks of the server, and the answers: SUBSCRIBE, UNSUBSCRIBE, PINGREQ, AUTH.
 *
 *     request, ping, reauthenticate ─► packet … answer ─► the operation, as an event
 */

import { ConnectionError } from '../errors.ts'
import type { Codec } from '../packets/codec.ts'
import type { Properties, SubackPacket, UnsubackPacket } from '../packets/types.ts'
import type { Session } from '../session/session.ts'
import type { Authentication } from './authentication.ts'
import type { Deadlines } from './deadlines.ts'
import { KeepAlive } from './keep-alive.ts'
import { type Operation, Operations } from './operations.ts'
import type { PacketWriter } from './packet-writer.ts'
import type { Traffic } from './traffic.ts'

export class Asking {
  readonly keepAlive: KeepAlive
  readonly authentication: Authentication
  readonly #codec: Codec
  readonly #writer: PacketWriter
  readonly #session: Session
  readonly #deadlines: Deadlines
  readonly #traffic: Traffic
  readonly #operations: Operations

  /**
   * @param keepAlive seconds, 0: none
   * @param pingTimeout ms
   */
  constructor(
    parts: { codec: Codec; writer: PacketWriter; session: Session; deadlines: Deadlines; traffic: Traffic },
    authentication: Authentication,
    keepAlive: number,
    pingTimeout: number,
    now: number,
  ) {
    this.#codec = parts.codec
    this.#writer = parts.writer
    this.#session = parts.session
    this.#deadlines = parts.deadlines
    this.#traffic = parts.traffic
    this.keepAlive = new KeepAlive(parts.deadlines, keepAlive, pingTimeout, now)
    this.authentication = authentication
    this.#operations = new Operations(parts.session.ids, parts.deadlines)
  }

  /** SUBSCRIBEs and UNSUBSCRIBEs have no answer yet. */
  get hasRequests(): boolean {
    return this.#operations.size > 0
  }

  get awaitsAnswer(): boolean {
    return this.hasRequests || this.keepAlive.awaitsAnswer || this.authentication.isOpen
  }

  /** Sends SUBSCRIBE or UNSUBSCRIBE, now or when an id is free. */
  request(operation: Operation, now: number): void {
    if (!this.#operations.begin(operation, this.#deadlines.expected(now))) return
    const { kind, packetId, subscriptions, filters, properties } = operation
    if (kind === 'subscribe') this.#writer.subscribe({ type: kind, packetId, subscriptions, properties })
    else this.#writer.unsubscribe({ type: 'unsubscribe', packetId, filters, properties })
  }

  /** Sends what has waited for an id, as far as there are free ones now. */
  pump(now: number): void {
    for (let next = this.#operations.nextWaiting(); next !== undefined; next = this.#operations.nextWaiting())
      this.request(next, now)
  }

  /** The size of the packet that `request` would write. */
  requestSize({ kind, subscriptions, filters, properties }: Operation): number {
    return kind === 'subscribe'
      ? this.#codec.subscribeSize({ type: 'subscribe', packetId: 1, subscriptions, properties })
      : this.#codec.unsubscribeSize({ type: 'unsubscribe', packetId: 1, filters, properties })
  }

  /** PINGREQ for a `ping()` of the user's. @param reading whether its answer would be read now */
  ping(operation: Operation, reading: boolean, now: number): void {
    this.#begin(operation, now)
    this.#writePing(operation, reading, now)
  }

  /** PINGREQ of our own when it is due, rule 9. */
  pingWhenDue(reading: boolean, now: number): void {
    if (this.keepAlive.isDue(now)) this.#writePing(undefined, reading, now)
  }

  /** AUTH 0x19, 5: 4.12.1. False: the operation is over, its error says why. */
  reauthenticate(operation: Operation, properties: Properties, now: number): boolean {
    operation.error = this.authentication.begin(operation, properties)
    if (operation.error !== undefined) return false
    this.#begin(operation, now)
    return true
  }

  /** SUBACK or UNSUBACK; the latter has no reason codes in 3.1.1. @throws ProtocolError */
  handleAnswer(packet: SubackPacket | UnsubackPacket): Operation | undefined {
    const kind = packet.type === 'suback' ? 'subscribe' : 'unsubscribe'
    const { packetId, properties } = packet
    const isBare = packet.type === 'unsuback' && !this.#codec.hasProperties
    const expected = this.#session.ids.get(packetId) as Operation | undefined
    const reasonCodes = isBare ? (expected?.filters ?? []).map(() => 0) : packet.reasonCodes
    const operation = this.#operations.answer(kind, packetId, reasonCodes.length)
    if (operation === undefined) {
      this.#traffic.unknownAcknowledgements += 1
      return undefined
    }
    operation.reasonCodes = reasonCodes
    operation.result = properties
    return operation
  }

  /** PINGRESP; the `ping()` that it answers, if it is one that somebody waits for. */
  handlePingresp(now: number): Operation | undefined {
    const operation = this.keepAlive.answered()
    if (operation === undefined || operation.abandoned) return undefined
    operation.roundTrip = this.#traffic.lastRoundTrip = this.#deadlines.expected(now) - operation.sentAt
    return operation
  }

  /** Those that have waited too long, with their errors. @param now less the time that reading was stopped */
  overdue(now: number): Operation[] {
    const askers = [this.#operations, this.keepAlive, this.authentication]
    const operations = askers.flatMap((asker) => asker.overdue(now))
    this.#deadlines.operation = Math.min(this.#deadlines.operation, this.authentication.deadline)
    for (const operation of operations) {
      const message = `no answer to ${operation.kind} came within ${operation.timeout} ms`
      const code = operation.kind === 'ping' ? 'ping-timeout' : 'operation-timeout'
      operation.error = new ConnectionError(code, message, { phase: 'established', outcome: 'pending' })
    }
    return operations
  }

  /** All that have no answer, when the connection ends. */
  drain(): Operation[] {
    const askers = [this.#operations, this.keepAlive, this.authentication]
    return askers.flatMap((asker) => asker.drain()).filter(({ abandoned }) => !abandoned)
  }

  #begin(operation: Operation, now: number): void {
    operation.sentAt = this.#deadlines.expected(now)
    this.#deadlines.operation = Math.min(this.#deadlines.operation, operation.deadline)
  }

  #writePing(operation: Operation | undefined, reading: boolean, now: number): void {
    this.#writer.ping()
    this.keepAlive.sent(operation, reading, now)
  }
}

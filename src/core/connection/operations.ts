/** SUBSCRIBE, UNSUBSCRIBE, AUTH and PINGREQ of ours that wait for their answers. */

import { type MqttError, violation } from '../errors.ts'
import type { Properties } from '../packets/types.ts'
import type { SubscriptionRequest } from '../packets/types.ts'
import type { Delivery } from '../session/deliveries.ts'
import type { PacketIds } from '../session/packet-ids.ts'
import type { IdClaim } from '../session/session.ts'
import type { Deadlines } from './deadlines.ts'

export type OperationKind = 'subscribe' | 'unsubscribe' | 'reauthenticate' | 'ping'

/** One request; pulled as an event when it was answered, timed out or the connection ended. */
export class Operation implements IdClaim {
  readonly type = 'operation' as const
  readonly kind: OperationKind
  readonly subscriptions: readonly SubscriptionRequest[]
  readonly filters: readonly string[]
  readonly properties: Properties | undefined
  /** ms from sending until it has waited too long; 0: no limit. */
  readonly timeout: number

  packetId = 0
  /** Infinity: not yet. */
  sentAt: number = Infinity
  /** Nobody waits any more, but the id is taken until the answer comes. */
  abandoned = false

  /** The connection ended before the answer came. */
  interrupted = false

  /** Set when it is over. */
  reasonCodes: readonly number[] = []
  result: Properties | undefined = undefined
  error: MqttError | undefined = undefined
  /** PINGREQ: ms from sending to the answer. */
  roundTrip = 0

  /** Whatever the owner of the machine needs to tell the caller. */
  owner: unknown = undefined

  constructor(
    kind: OperationKind,
    details: {
      subscriptions?: readonly SubscriptionRequest[]
      filters?: readonly string[]
      properties?: Properties | undefined
      timeout?: number
    } = {},
  ) {
    this.kind = kind
    this.subscriptions = details.subscriptions ?? []
    this.filters = details.filters ?? []
    this.properties = details.properties
    this.timeout = details.timeout ?? 0
  }

  /** How many reason codes its answer must have. */
  get answers(): number {
    return this.subscriptions.length + this.filters.length
  }

  /** When it has waited too long. */
  get deadline(): number {
    return this.timeout > 0 && !this.abandoned ? this.sentAt + this.timeout : Infinity
  }
}

/** The requests of one connection. */
export class Operations {
  readonly #ids: PacketIds<Delivery | IdClaim>
  readonly #deadlines: Deadlines
  /** Made for the first: most connections ask rarely. */
  #open: Map<number, Operation> | undefined = undefined
  /** Those for which no id was free. */
  #waiting: Operation[] = []

  constructor(ids: PacketIds<Delivery | IdClaim>, deadlines: Deadlines) {
    this.#ids = ids
    this.#deadlines = deadlines
  }

  get size(): number {
    return (this.#open?.size ?? 0) + this.#waiting.length
  }

  /** Gives the operation an id; false when it has to wait for one. */
  begin(operation: Operation, now: number): boolean {
    const packetId = this.#ids.allocate(operation)
    if (packetId === 0) {
      this.#waiting.push(operation)
      return false
    }
    operation.packetId = packetId
    operation.sentAt = now
    this.#open ??= new Map()
    this.#open.set(packetId, operation)
    this.#deadlines.operation = Math.min(this.#deadlines.operation, operation.deadline)
    return true
  }

  /** The operation that an answer belongs to, undefined when none has its id. @throws ProtocolError */
  answer(kind: OperationKind, packetId: number, answers: number): Operation | undefined {
    const operation = this.#open?.get(packetId)
    if (operation === undefined && this.#ids.get(packetId) === undefined) return undefined
    if (operation?.kind !== kind) {
      const asked = operation?.kind ?? 'publish'
      throw violation(`the answer to a ${kind} came for the packet identifier ${packetId} of a ${asked}`)
    }
    if (answers !== operation.answers) {
      throw violation(`the answer to a ${kind} has ${answers} reason codes, expected ${operation.answers}`)
    }
    this.#open?.delete(packetId)
    this.#ids.delete(packetId)
    return operation
  }

  /** The next operation that waited for an id and may begin now. */
  nextWaiting(): Operation | undefined {
    return this.#waiting.length > 0 && this.#ids.size < 65_535 ? this.#waiting.shift() : undefined
  }

  /** Those that have waited too long; their ids stay taken until the answer comes. */
  overdue(now: number): Operation[] {
    const overdue: Operation[] = []
    this.#deadlines.operation = Infinity
    for (const operation of this.#open?.values() ?? []) {
      if (operation.deadline <= now) {
        operation.abandoned = true
        overdue.push(operation)
      }
      this.#deadlines.operation = Math.min(this.#deadlines.operation, operation.deadline)
    }
    return overdue
  }

  /** All of them, when the connection ends; their ids are free again. */
  drain(): Operation[] {
    const open = this.#open ?? new Map<number, Operation>()
    const operations = [...open.values(), ...this.#waiting]
    for (const packetId of open.keys()) this.#ids.delete(packetId)
    this.#open = undefined
    this.#waiting = []
    return operations
  }
}

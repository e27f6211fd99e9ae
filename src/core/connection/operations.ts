/** SUBSCRIBE, UNSUBSCRIBE, AUTH and PINGREQ of ours that wait for their answers. */

import type { MqttError } from '../errors.ts'
import type { Properties } from '../packets/types.ts'
import type { SubscriptionRequest } from '../packets/types.ts'
import type { IdClaim } from '../session/session.ts'

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
  sentAt = 0
  /** Nobody waits any more, but the id is taken until the answer comes. */
  abandoned = false

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
    return this.timeout > 0 && this.sentAt > 0 && !this.abandoned ? this.sentAt + this.timeout : Infinity
  }
}

/** What a connection tells: pulled one at a time; all but messages told apart by `type`. */

import type { MqttError } from '../errors.ts'
import type { IncomingMessage } from '../packets/publish.ts'
import type { ControlPacket, DisconnectPacket, Properties } from '../packets/types.ts'
import type { Delivery } from '../session/deliveries.ts'
import type { NegotiatedSettings } from './negotiated.ts'
import type { Operation } from './operations.ts'
import type { OverdueDelivery } from './publishing.ts'

/** CONNACK accepted us. Call `resume()` when what must precede publishes has been asked for. */
export interface Connected {
  readonly type: 'connected'
  readonly sessionPresent: boolean
  /** The server has a session that this side does not know, and it was accepted as empty, rule 4. */
  readonly adopted: boolean
  /** Session Present does not prove that the server's session is ours, see `Session.doubt`. */
  readonly doubtful: boolean
  readonly reasonCode: number
  readonly settings: NegotiatedSettings
}

/** The server has no session for ours: `connection.session` is a new one, rule 16. */
export interface SessionLost {
  readonly type: 'sessionLost'
  /** Settled with their error; what is sent again is back in the queue. */
  readonly failed: readonly Delivery[]
}

/** The server asks for the next step of authentication (5: 4.12). */
export interface AuthenticationStep {
  readonly type: 'authentication'
  readonly properties: Properties | undefined
}

/** A packet passed, for those who watch. */
export interface ObservedPacket {
  readonly type: 'packet'
  readonly direction: 'in' | 'out'
  readonly packet: ControlPacket
}

/** The last event. Send what output there is, then end the stream. */
export interface Closed {
  readonly type: 'closed'
  /** Undefined after `disconnect()`. */
  readonly error: MqttError | undefined
  /** The server's DISCONNECT, version 5. */
  readonly packet: DisconnectPacket | undefined
}

/** Whether somebody waits for what it tells, whatever has become of the connection. */
export function isAwaited({ type }: OtherEvent): boolean {
  return type === 'operation' || type === 'delivery' || type === 'sessionLost'
}

/** All but messages, which are most by far, and told apart by what they are: asking many shapes for `type` costs. */
export type OtherEvent =
  /** One that is over, and those behind it by `next`, whose acknowledgements came behind its own. */
  | Delivery
  | OverdueDelivery
  | Operation
  | Connected
  | SessionLost
  | AuthenticationStep
  | ObservedPacket
  | Closed

export type ConnectionEvent = IncomingMessage | OtherEvent

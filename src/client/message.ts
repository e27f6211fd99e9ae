/** What a handler receives, and the handler. */

import type { Properties, QoS } from '../core/packets/types.ts'

/** An Application Message, 1.2. */
export interface Message {
  readonly topic: string
  /** Yours to keep, but not its `buffer`, where others lie, too; with `payload: 'borrowed'` valid until the handler returns. */
  readonly payload: Uint8Array<ArrayBuffer>
  readonly qos: QoS
  /** It was retained by the server, or `retainAsPublished` is on. */
  readonly retain: boolean
  /** The server may have sent it before, 3.3.1.1. */
  readonly dup: boolean
  /** 0 at QoS 0. */
  readonly packetId: number
  /** Version 5 only. */
  readonly properties: Properties | undefined
  /** The payload as UTF-8 text; ill-formed bytes become U+FFFD. */
  text(): string
  /** The payload parsed as JSON; that it is a `T` is not checked. @throws SyntaxError when it is none */
  json<T = unknown>(): T
  /**
   * Acknowledges a message of a subscription with `ack: 'manual'`; harmless otherwise, and when repeated.
   *
   * @param reasonCode of PUBACK or PUBREC, 5: 3.4.2.1; default 0. 3.1.1 has none: the message counts as accepted
   * @throws UsageError
   */
  ack(reasonCode?: number): void
}

/** May return a promise: the message is then handled when it has settled. */
export type Handler = (message: Message) => unknown

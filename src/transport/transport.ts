/**
 * A byte stream to a broker, and how to get one. All that the client knows of the network.
 *
 * Ownership, the whole of it:
 * - Written chunks are *lent*: nobody writes into them until `handleWritten` has told that they were handed to the
 *   network, the transport never. A message that waits for its acknowledgement may have its only copy there.
 * - Received chunks are *lent*: valid until `handleData` returns, when the receiver has copied what it keeps.
 *   With `kept: true` the memory is the receiver's, and nothing needs copying.
 * - After `handleEnd` nothing is called any more; it is called exactly once, also after `end()` and `destroy()`.
 */

import type { DialOptions } from './dial-options.ts'

/** What a transport tells. Calls come one at a time and never from within `write`, `start` or `resume`. */
export interface TransportReceiver {
  handleData(chunk: Uint8Array, kept: boolean): void
  /** `total` bytes, counted from the beginning, have been handed to the network: their memory is used again. */
  handleWritten(total: number): void
  /** `write` may be called again after it had returned false. */
  handleDrain(): void
  /**
   * The stream is over: the peer ended it, or with an error. A half-open stream is treated as ended. An `MqttError` is
   * what the user is told.
   */
  handleEnd(error?: unknown): void
}

export interface Transport {
  /** Begins to read and to report; called once. */
  start(receiver: TransportReceiver): void
  /** False: more than the high-water mark waits; write on after `handleDrain`. */
  write(chunk: Uint8Array): boolean
  /** The `total` of `handleWritten`, where it is known earlier than that can be told. */
  readonly written?: number
  pause(): void
  resume(): void
  /** Ends the stream behind what was written. */
  end(): void
  /** Ends the stream at once. */
  destroy(): void
  /** Whether an open stream keeps the process alive; where the platform knows of that. */
  setKeepsAlive?(keepsAlive: boolean): void
}

/** The part of a URL and of the client's options that a dialer looks at. */
export interface DialTarget {
  readonly url: URL
  /** As the user gave them; each dialer knows its own. */
  readonly options: DialOptions & {
    /** Of MQTT: for streams that keep more than a part of a packet. */
    readonly maximumPacketSize?: number | undefined
  }
}

/** How to get a stream. */
export interface Dial {
  /**
   * Opens a stream. Rejects with a `ConnectionError` that names its phase, or with the signal's reason; an aborted
   * attempt leaves nothing open.
   */
  (target: DialTarget, signal: AbortSignal): Promise<Transport>
  /** Says what is wrong with a URL or its options when a client is made. @throws UsageError */
  check?(target: DialTarget): void
}

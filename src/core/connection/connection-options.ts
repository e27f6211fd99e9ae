/** What a connection needs to know from the beginning. */

import type { Slabs } from '../bytes/slabs.ts'
import type { ReceivedTopics } from '../packets/received-topics.ts'
import type { ConnectPacket } from '../packets/types.ts'
import type { OnSessionLost } from '../session/session.ts'
import type { PublishingOptions } from './publishing.ts'
import type { Traffic } from './traffic.ts'

export interface ConnectionOptions extends PublishingOptions {
  readonly connect: ConnectPacket
  /** Largest packet accepted from the server, in bytes. */
  readonly maximumPacketSize: number
  /** ms. */
  readonly pingTimeout: number
  /** Bytes that may wait for a network that takes none. */
  readonly maxOutput: number
  readonly poisonLimit: number
  readonly onUnknownSession: 'adopt' | 'close'
  readonly onSessionLost: OnSessionLost
  readonly slabs: Slabs
  readonly topics: ReceivedTopics
  readonly traffic: Traffic
  /** Copies received bytes that are kept into memory that begins with them; default: `slice`. */
  readonly copy?: ((bytes: Uint8Array) => Uint8Array) | undefined
  /** Whether packets are told as events from the first on. */
  readonly watched: boolean
}

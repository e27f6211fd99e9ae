/** The options of the client that one connection needs to know. */

import type { ConnectionOptions } from '../core/connection/connection-options.ts'
import { LARGEST_PACKET } from '../core/connection/negotiated.ts'
import type { Codec } from '../core/packets/codec.ts'
import type { ConnectPacket } from '../core/packets/types.ts'
import { maxInflightQos2Of, type ResolvedOptions } from './options.ts'

/** Bytes: 4 million PUBACKs. */
const MOST_ACKNOWLEDGEMENTS = 16_777_216

export function connectionOptions(
  options: ResolvedOptions,
  codec: Codec,
  connect: ConnectPacket,
  shared: Pick<ConnectionOptions, 'slabs' | 'topics' | 'traffic' | 'copy' | 'watched'>,
): ConnectionOptions {
  return {
    connect,
    maximumPacketSize: options.maximumPacketSize,
    maxInflight: options.maxInflight,
    maxInflightQos2: maxInflightQos2Of(options, codec.protocolVersion),
    topicAliases: options.topicAliases,
    operationTimeout: options.operationTimeout,
    pingTimeout: options.pingTimeout,
    // What may be published is bounded; a message may be as large as a packet can be.
    maxOutput: options.queue.maxBytes + LARGEST_PACKET + MOST_ACKNOWLEDGEMENTS,
    poisonLimit: options.poisonLimit,
    onUnknownSession: options.onUnknownSession,
    onSessionLost: options.onSessionLost,
    ...shared,
  }
}

/**
 * `petrel/core`: the pure machine, for those who write a driver of their own, a proxy, a broker or a tool.
 *
 * Bytes and the time go in; bytes, events and one deadline come out. Nothing here knows sockets, timers or promises.
 */

export { Framer } from './bytes/framer.ts'
export { OutputBuffer } from './bytes/output-buffer.ts'
export { Slabs } from './bytes/slabs.ts'
export { PacketReader } from './bytes/packet-reader.ts'
export { Connection } from './connection/connection.ts'
export type { ConnectionOptions } from './connection/connection-options.ts'
export type * from './connection/events.ts'
export type { ConnectionState } from './connection/legal-packets.ts'
export type { NegotiatedSettings } from './connection/negotiated.ts'
export { Operation, type OperationKind } from './connection/operations.ts'
export { Traffic } from './connection/traffic.ts'
export * from './errors.ts'
export { type Codec, headerFault, mqtt311, mqtt5 } from './packets/codec.ts'
export { PROPERTIES, type PropertyRow } from './packets/properties.ts'
export { IncomingMessage } from './packets/publish.ts'
export { describeReasonCode, REASON_CODES } from './packets/reason-codes.ts'
export { ReceivedTopics } from './packets/received-topics.ts'
export * from './packets/types.ts'
export { Delivery, type DeliveryState, type OutgoingPublish } from './session/deliveries.ts'
export { Journal, JOURNAL_VERSION, type Records } from './session/journal.ts'
export { restoreSession } from './session/restore.ts'
export { Session } from './session/session.ts'
export { matches, sharedSubscription, topicFilterFault, topicNameFault } from './topics/topic.ts'
export { type TopicName, TopicNames } from './topics/topic-names.ts'
export { TopicTree } from './topics/topic-tree.ts'

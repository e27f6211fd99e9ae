/** The names that every entry of the package gives, whatever the platform. */

export type { PublishAllOptions, PublishAllResult } from './client/batch.ts'
export type { AuthResult } from './client/client.ts'
export type * from './client/client-options.ts'
export type {
  Authentication,
  Credentials,
  CredentialsFunction,
  Overflow,
  QueueOptions,
  ReconnectFunction,
  ReconnectOptions,
  Will,
  WillProperties,
} from './client/connect-options.ts'
export type {
  ClientEvents,
  ClientState,
  ConnectedEvent,
  ConnectResult,
  PendingDelivery,
} from './client/events.ts'
export type { Handler, Message } from './client/message.ts'
export type { MessageStream } from './client/message-stream.ts'
export type { Payload } from './client/option-checks.ts'
export type {
  DeliveryOptions,
  DisconnectOptions,
  DisconnectProperties,
  OutgoingMessage,
  PublishOptions,
  PublishProperties,
  PublishResult,
  SendOptions,
} from './client/publish-options.ts'
export type { SubscribeResult, Subscription, UnsubscribeResult } from './client/requests.ts'
export type { Runtime, Timer } from './client/runtime.ts'
export type { StatisticsSnapshot as Statistics } from './client/statistics.ts'
export type {
  AckMode,
  FilterInput,
  FilterOptions,
  RouteOptions,
  SubscribeOptions,
  SubscribeProperties,
  UnsubscribeOptions,
} from './client/subscribe-options.ts'
export type { NegotiatedSettings } from './core/connection/negotiated.ts'
export {
  ClosedError,
  ConnectionError,
  type ConnectionPhase,
  type ErrorCode,
  MqttError,
  ProtocolError,
  RefusedError,
  UsageError,
} from './core/errors.ts'
export { REASON_CODES } from './core/packets/reason-codes.ts'
export type { ControlPacket, Properties, ProtocolVersion, QoS, UserProperties } from './core/packets/types.ts'
export { matches } from './core/topics/topic.ts'
export { memoryStore } from './store/memory.ts'
export type { Durability, SessionStore } from './store/store.ts'
export type * from './transport/dial-options.ts'
export type { Dial, DialTarget, Transport, TransportReceiver } from './transport/transport.ts'

/**
 * The options of a client and of a pool, as users write them; `options.ts` has the defaults and the checks.
 *
 * 3.1.1 and 5 have different terms for the same session, and the compiler tells them apart by `protocolVersion`.
 * All times are milliseconds, except fields of packets, which are seconds as in the specification. `undefined`
 * means "not set". Numbers of sections are those of 3.1.1, or of 5 where it says so.
 */

import type { UserProperties } from '../core/packets/types.ts'
import type { SessionStore } from '../store/store.ts'
import type { DialOptions } from '../transport/dial-options.ts'
import type { Dial } from '../transport/transport.ts'
import type {
  Authentication,
  CredentialsFunction,
  QueueOptions,
  ReconnectFunction,
  ReconnectOptions,
  Will,
} from './connect-options.ts'
import type { Runtime } from './runtime.ts'

/** `'auto'`: version 5, and 3.1.1 where the server does not speak 5. Takes the options of 5. */
export type VersionChoice = '3.1.1' | '5' | 'auto'
export type OnUnknownSession = 'adopt' | 'close'
export type Resubscribe = 'never' | 'session-lost' | 'always'
export type OnSessionLost = 'resend' | 'fail'
export type OnHandlerError = 'acknowledge' | 'reconnect' | 'stop'
export type TopicAliases = 'off' | 'auto' | 'manual'

/** The options of both versions. */
export interface CommonOptions extends DialOptions {
  /** 3.1.3.1. Default: 22 random characters of 0-9, a-z and A-Z. `''`: the server assigns one. */
  readonly clientId?: string | undefined
  /**
   * What to do when the server has a session and this client, started anew without a durable store, has none:
   * `'adopt'`: go on with it; `'close'`: refuse it, as [5 MQTT-3.2.2-4] has it. Default `'adopt'`.
   */
  readonly onUnknownSession?: OnUnknownSession | undefined
  /** Seconds, 0 to 65,535; 0: off. The server may overrule it in version 5. 3.1.2.10. Default 60. */
  readonly keepAlive?: number | undefined
  /** ms that a PINGRESP may take, at most half the keep-alive. Default 10,000. */
  readonly pingTimeout?: number | undefined
  /** ms from dialing to CONNACK, everything in between included; for each URL, and each version tried. Default 30,000. */
  readonly connectTimeout?: number | undefined
  /** ms that an operation may take, from its last send, while connected. Default 60,000; 0: no limit. */
  readonly operationTimeout?: number | undefined
  /** 3.1.3.4 (5: 3.1.3.5). */
  readonly username?: string | undefined
  /** 3.1.3.5 (5: 3.1.3.6). A string is sent as UTF-8. In 3.1.1 it needs a `username`. */
  readonly password?: string | Uint8Array | undefined
  /** Asked before each attempt, in place of `username` and `password`; `attempt` counts from 1. */
  readonly credentials?: CredentialsFunction | undefined
  /** The message that the server publishes when the connection ends without DISCONNECT, 3.1.2.5. */
  readonly will?: Will | undefined
  /** When to try again after a connection was lost; `false`: never. */
  readonly reconnect?: ReconnectOptions | ReconnectFunction | false | undefined
  /**
   * Whether the first attempt, too, is made again instead of rejecting `connect()`. Default false. A `UsageError` rejects
   * it in any case: of a store that keeps another client's session, or of what `credentials` returns.
   */
  readonly retryInitialConnect?: boolean | undefined
  /**
   * When the subscriptions are sent again after a reconnect. Default `'session-lost'`: also when it may have been lost,
   * after a CONNECT that had no answer.
   */
  readonly resubscribe?: Resubscribe | undefined
  /** What becomes of unacknowledged messages when the server has lost the session. Default `'resend'`. */
  readonly onSessionLost?: OnSessionLost | undefined
  /** What may wait for a connection. */
  readonly queue?: QueueOptions | undefined
  /** Connections that one message, or SUBSCRIBE, may end before it is given up. Default 5; 0: any number. */
  readonly poisonLimit?: number | undefined
  /**
   * Where the session is kept, 4.1. Default: in memory. With `cleanSession` or `cleanStart`, which are true by default,
   * nothing is taken from it.
   */
  readonly store?: SessionStore | undefined
  /** Bytes, 1 to 4,294,967,295; a longer packet ends the connection. 5: 3.1.2.11.4. Default 16 MiB. */
  readonly maximumPacketSize?: number | undefined
  /** QoS 1 and 2 publishes that are open at once, 1 to 65,519. Default 65,519, or what the server allows. */
  readonly maxInflight?: number | undefined
  /** QoS 2 publishes that are open at once. Default 19 in 3.1.1, where mosquitto drops more; else `maxInflight`. */
  readonly maxInflightQos2?: number | undefined
  /** Handlers that run and messages that wait for one at once, before reading stops. Default 1,000. */
  readonly maxPending?: number | undefined
  /** Bytes that are held while reading must go on past `maxPending`: 256 for each message, and its payload. Default 16 MiB. */
  readonly maxPendingBytes?: number | undefined
  /** What a failing handler does to its message. Default `'acknowledge'`. */
  readonly onHandlerError?: OnHandlerError | undefined
  /** ms after which an unsettled handler has failed. Default 0: never. */
  readonly handlerTimeout?: number | undefined
  /** ms that messages of a resumed session wait for a handler. Default 5,000. */
  readonly unmatchedTimeout?: number | undefined
  /** Default: as many as fit. */
  readonly maxFiltersPerSubscribe?: number | undefined
  /** Clock, timers and randomness. Default: the platform's. */
  readonly runtime?: Runtime | undefined
  /** How to open a byte stream. Default: by the URL's scheme. */
  readonly dial?: Dial | undefined
}

/** The options of 3.1.1. */
export interface Options311 extends CommonOptions {
  /** Default `'3.1.1'`. */
  readonly protocolVersion?: '3.1.1' | undefined
  /** Whether the session begins and ends with the connection, 3.1.2.4. Default true. */
  readonly cleanSession?: boolean | undefined
  readonly cleanStart?: undefined
  readonly sessionExpiryInterval?: undefined
  readonly receiveMaximum?: undefined
  readonly topicAliasMaximum?: undefined
  readonly topicAliases?: undefined
  readonly authentication?: undefined
  readonly properties?: undefined
}

/** The options of version 5, and of `'auto'`. */
export interface Options5 extends CommonOptions {
  readonly protocolVersion: '5' | 'auto'
  readonly cleanSession?: undefined
  /** Whether the first connection begins a new session, 5: 3.1.2.4. Default true. */
  readonly cleanStart?: boolean | undefined
  /** Seconds that the server keeps the session; Infinity: for good. 5: 3.1.2.11.2. Default 0. */
  readonly sessionExpiryInterval?: number | undefined
  /** QoS 1 and 2 messages that the server may have open at once, 1 to 65,535. 5: 3.1.2.11.3. Default 65,535. */
  readonly receiveMaximum?: number | undefined
  /** Topic aliases that the server may use, 0 to 65,535. 5: 3.1.2.11.5. Default 0. */
  readonly topicAliasMaximum?: number | undefined
  /** Who chooses the aliases of what is published: nobody, the client, or `properties.topicAlias`. Default `'off'`. */
  readonly topicAliases?: TopicAliases | undefined
  /** Enhanced authentication, 5: 4.12. */
  readonly authentication?: Authentication | undefined
  readonly properties?: ConnectProperties | undefined
}

export type ClientOptions = Options311 | Options5

/** 5: 3.1.2.11 */
export interface ConnectProperties {
  readonly userProperties?: UserProperties | undefined
  /** Whether the server may send Response Information, 5: 3.1.2.11.6. Default false. */
  readonly requestResponseInformation?: boolean | undefined
  /** Whether the server may give reasons with every packet, 5: 3.1.2.11.7. Default true. */
  readonly requestProblemInformation?: boolean | undefined
}

/** What the clients of one process share. */
export interface PoolOptions {
  /** Attempts to connect that are under way at once. Default 100; Infinity: no limit. */
  readonly maxAttempts?: number | undefined
  /** Attempts to connect that begin within a second. Default 100; Infinity: no limit. */
  readonly attemptsPerSecond?: number | undefined
  /** ms that the addresses of a host are kept. Default 30,000; 0: they are asked for on each attempt. */
  readonly dnsTtl?: number | undefined
  /** Clock, timers and randomness of the pool and its clients. Default: the platform's. */
  readonly runtime?: Runtime | undefined
  /** How its clients open a byte stream. Default: by the URL's scheme. */
  readonly dial?: Dial | undefined
}

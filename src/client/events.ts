/** The client's events and how they are listened to. Listeners that throw cannot harm the engine. */

import type { DeliveryState } from '../core/session/deliveries.ts'
import type { NegotiatedSettings } from '../core/connection/negotiated.ts'
import { type MqttError, UsageError } from '../core/errors.ts'
import type { ControlPacket, DisconnectPacket, ProtocolVersion, QoS } from '../core/packets/types.ts'
import type { Message } from './message.ts'
import { hintOn, shown } from './option-checks.ts'
import type { Runtime } from './runtime.ts'

/** What `connect()` resolves with. */
export interface ConnectResult {
  /** The server kept the session. */
  readonly sessionPresent: boolean
  readonly reasonCode: number
  readonly settings: NegotiatedSettings
  readonly protocolVersion: ProtocolVersion
  /** The server had a session that this side did not know; it was taken over as empty. */
  readonly adopted: boolean
}

export interface ConnectedEvent extends ConnectResult {
  /** False at the first connection after `connect()`. */
  readonly reconnected: boolean
}

/** A message of QoS 1 or 2 that is owed, or one of QoS 0 that is queued. */
export interface PendingDelivery {
  readonly topic: string
  readonly qos: QoS
  readonly stage: DeliveryState
  /** Wall-clock ms at which it was taken from the caller. */
  readonly since: number
  /** How often its PUBLISH was sent. */
  readonly attempts: number
  readonly packetId: number | undefined
}

/** Every event has one argument. */
export interface ClientEvents {
  /** Every CONNACK that accepts. */
  connected: ConnectedEvent
  /** Every attempt that fails, the first included; `delay` is the ms until the next, undefined when there is none. */
  connectFailed: { readonly error: unknown; readonly attempt: number; readonly delay: number | undefined }
  /** The end of every connection that had its CONNACK, `disconnect()` included. */
  disconnected: {
    readonly error: MqttError | undefined
    /** The server's DISCONNECT, version 5. */
    readonly reason: DisconnectPacket | undefined
    readonly willReconnect: boolean
    readonly delay: number | undefined
  }
  /** A connection was lost. */
  interrupted: { readonly error: MqttError }
  /** A connection followed one that was lost. */
  resumed: ConnectedEvent
  /** Once after `disconnect()` or `destroy()`, or when reconnecting is given up. */
  closed: { readonly error: unknown }
  /** Every message, after the filters' handlers. Its listeners count as one, and are not waited for. */
  message: Message
  /** A message that no handler wanted, rule 29. */
  unmatched: { readonly message: Message }
  /** Before a publish rejects. `topic` is empty when what was given is no string. */
  publishFailed: { readonly topic: string; readonly error: unknown }
  /** A delivery without a caller has settled: restored from a store, or published `until: 'stored'`. */
  deliverySettled: { readonly delivery: PendingDelivery; readonly error: MqttError | undefined }
  /** Every packet; costs nothing without a listener. */
  packet: { readonly direction: 'in' | 'out'; readonly packet: ControlPacket }
  state: { readonly from: ClientState; readonly to: ClientState }
  /**
   * A failure of a handler or a store, a subscription that could not be renewed, a handler that is slow, a stream that
   * nobody reads, back-pressure dead-lock. Without a listener it is reported by the runtime.
   */
  error: { readonly error: MqttError; readonly message?: Message | undefined }
}

/**
 * Where a client is in its life, and what may follow.
 *
 * | state | | next |
 * |---|---|---|
 * | `stopped` | nothing is wanted: the beginning, and after `disconnect()`, `destroy()` or giving up | `dialing` |
 * | `waiting` | an attempt failed or a connection was lost; the back-off says when the next one comes | `dialing` |
 * | `dialing` | an attempt is under way: names, sockets, TLS | `handshaking`, `waiting` |
 * | `handshaking` | the stream stands, CONNECT is sent | `connected`, `dialing` (another URL), `waiting` |
 * | `connected` | CONNACK has accepted | `waiting` |
 * | `disconnecting` | `disconnect()` waits, then DISCONNECT is on its way | |
 *
 * Each may end in `stopped`, and all but that in `disconnecting`.
 */
export type ClientState = 'stopped' | 'waiting' | 'dialing' | 'handshaking' | 'connected' | 'disconnecting'

/** The last resort for errors: the runtime. */
type Reporter = Pick<Runtime, 'report'>

/** One listener twice is two. */
interface Registration {
  readonly listener: (event: never) => unknown
}

/** What other clients call them. */
const MEANT = {
  connect: 'connected',
  reconnect: 'state',
  close: 'disconnected',
  offline: 'disconnected',
  end: 'closed',
  packetsend: 'packet',
  packetreceive: 'packet',
}

export class Events {
  readonly #reporter: Reporter
  readonly #listeners: Record<keyof ClientEvents, readonly Registration[] | undefined> = {
    connected: undefined,
    connectFailed: undefined,
    disconnected: undefined,
    interrupted: undefined,
    resumed: undefined,
    closed: undefined,
    message: undefined,
    unmatched: undefined,
    publishFailed: undefined,
    deliverySettled: undefined,
    packet: undefined,
    state: undefined,
    error: undefined,
  }

  /** @param reporter is told what listeners throw, and errors that nobody listens to */
  constructor(reporter: Reporter) {
    this.#reporter = reporter
  }

  has(name: keyof ClientEvents): boolean {
    return this.#listeners[name] !== undefined
  }

  /** @throws UsageError */
  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (event: ClientEvents[Name]) => unknown,
  ): () => void {
    if (!Object.hasOwn(this.#listeners, name)) {
      const hint = hintOn(String(name), Object.keys(this.#listeners), MEANT)
      throw new UsageError('invalid-argument', 'event', `unknown event ${shown(name)}; ${hint}`)
    }
    const registration: Registration = { listener }
    // Not by a spread, which makes room for many more: most events have one listener.
    const known: readonly Registration[] = this.#listeners[name] ?? []
    this.#listeners[name] = known.concat(registration)
    return () => this.#off(name, registration)
  }

  emit<Name extends keyof ClientEvents>(name: Name, event: ClientEvents[Name]): void {
    const registrations = this.#listeners[name]
    if (registrations === undefined) {
      if (name === 'error') this.#reporter.report((event as ClientEvents['error']).error)
      return
    }
    for (const registration of registrations) {
      try {
        const result = (registration.listener as (told: ClientEvents[Name]) => unknown)(event)
        if (isThenable(result)) result.then(undefined, (error: unknown) => this.#reporter.report(error))
      } catch (error) {
        this.#reporter.report(error)
      }
    }
  }

  #off(name: keyof ClientEvents, registration: Registration): void {
    const left = (this.#listeners[name] ?? []).filter((other) => other !== registration)
    this.#listeners[name] = left.length > 0 ? left : undefined
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function'
}

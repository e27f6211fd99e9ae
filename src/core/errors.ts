/**
 * Every error that users meet, in five kinds by whose fault it is.
 *
 * One class per *fault*, one `code` per *cause*: programs switch on `code`, people read `message`.
 * Messages say what was expected, what came, and what to do. A class for each cause was rejected: forty
 * names that nobody imports.
 */

/** What went wrong, for programs. */
export type ErrorCode =
  // UsageError
  | 'invalid-option'
  | 'invalid-url'
  | 'invalid-topic'
  | 'invalid-filter'
  | 'invalid-payload'
  | 'invalid-argument'
  | 'needs-version-5'
  // ProtocolError
  | 'malformed-packet'
  | 'protocol-error'
  | 'packet-too-large'
  | 'receive-maximum-exceeded'
  | 'topic-alias-invalid'
  | 'unknown-session'
  // RefusedError
  | 'connection-refused'
  | 'publish-refused'
  | 'subscribe-refused'
  | 'unsubscribe-refused'
  | 'authentication-refused'
  | 'server-disconnected'
  | 'expired'
  // ConnectionError
  | 'connect-failed'
  | 'connect-timeout'
  | 'connection-lost'
  | 'not-connected'
  | 'ping-timeout'
  | 'operation-timeout'
  | 'poison-delivery'
  | 'queue-full'
  | 'backpressure-deadlock'
  // ClosedError
  | 'disconnected'
  | 'destroyed'
  | 'outcome-unknown'
  | 'session-lost'
  // MqttError: a store or a handler
  | 'store-failed'
  | 'store-in-use'
  | 'store-damaged'
  | 'store-newer'
  | 'handler-failed'
  | 'handler-slow'
  | 'unread-messages'

/** The base of all errors of this library. `cause` holds the error that led to this one, if any. */
export class MqttError extends Error {
  /** What went wrong, for programs. */
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.name = new.target.name
  }
}

/** You: an option, a topic, a payload is not what it must be. Raised before anything is sent. */
export class UsageError extends MqttError {
  /** The option or argument that is wrong, for example `will.topic`. */
  readonly field: string

  constructor(code: ErrorCode, field: string, message: string, cause?: unknown) {
    super(code, `${field}: ${message}`, cause)
    this.field = field
  }
}

/** The broker broke the rules of the protocol. The connection is closed. */
export class ProtocolError extends MqttError {
  /** The reason code that describes it (5: section 2.4), sent in DISCONNECT where the version has one. */
  readonly reasonCode: number

  constructor(code: ErrorCode, reasonCode: number, message: string, cause?: unknown) {
    super(code, message, cause)
    this.reasonCode = reasonCode
  }
}

/** What a broker says when it refuses; the other properties of the packet are there, too. Version 5 only. */
export interface RefusalProperties {
  readonly reasonString?: string | undefined
  readonly serverReference?: string | undefined
  readonly userProperties?: readonly (readonly [name: string, value: string])[] | undefined
}

/** The broker said no, or would have: then `local` is true and nothing was sent. */
export class RefusedError extends MqttError {
  /** The reason code (5: section 2.4); the return codes of 3.1.1 appear as their version 5 counterparts. */
  readonly reasonCode: number
  /** The broker's own words, version 5 only. */
  readonly reasonString: string | undefined
  /** All properties of the packet that said no, version 5 only. */
  readonly properties: RefusalProperties | undefined
  /** True when the client refused on the broker's behalf, from the limits that the broker announced. */
  readonly local: boolean

  constructor(
    code: ErrorCode,
    message: string,
    details: {
      reasonCode: number
      properties?: RefusalProperties | undefined
      local?: boolean
      cause?: unknown
    },
  ) {
    super(code, message, details.cause)
    this.reasonCode = details.reasonCode
    this.reasonString = details.properties?.reasonString
    this.properties = details.properties
    this.local = details.local ?? false
  }
}

/** Where a connection attempt or a connection failed. */
export type ConnectionPhase = 'dns' | 'tcp' | 'tls' | 'proxy' | 'websocket' | 'connack' | 'established'

/** The network: names, sockets, certificates, silence, time-outs. */
export class ConnectionError extends MqttError {
  /** How far the connection had come. */
  readonly phase: ConnectionPhase
  /** `'pending'`: the operation was sent and may still have its effect; its answer is no longer waited for. */
  readonly outcome: 'none' | 'pending'

  constructor(
    code: ErrorCode,
    message: string,
    details: { phase: ConnectionPhase; cause?: unknown; outcome?: 'none' | 'pending' },
  ) {
    super(code, message, details.cause)
    this.phase = details.phase
    this.outcome = details.outcome ?? 'none'
  }
}

/** You closed the client, or the session that carried the operation ended. */
export class ClosedError extends MqttError {
  /** True when the session or the store still has the message and sends it after the next `connect()`. */
  readonly kept: boolean

  constructor(code: ErrorCode, message: string, kept: boolean, cause?: unknown) {
    super(code, message, cause)
    this.kept = kept
  }
}

/** Bytes that are no packet: reason code 0x81. */
export function malformed(message: string): ProtocolError {
  return new ProtocolError('malformed-packet', 0x81, message)
}

/** A packet that may not come now, or says what it may not say: reason code 0x82. */
export function violation(message: string): ProtocolError {
  return new ProtocolError('protocol-error', 0x82, message)
}

/** What ends whatever a client has not finished when its user disconnects it. */
export function disconnected(): ClosedError {
  return new ClosedError('disconnected', 'the client was disconnected', false)
}

/** The words of what was thrown, which need not be an error. */
export function textOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

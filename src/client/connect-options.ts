/**
 * The parts of the client's options that are objects of their own, and how each is checked and resolved. The
 * will and the login are also given later, by `setWill` and `setLogin`, and credentials before each attempt.
 */

import { encodeUtf8 } from '../core/bytes/utf8.ts'
import { UsageError } from '../core/errors.ts'
import type { QoS, UserProperties, WillMessage } from '../core/packets/types.ts'
import {
  checkBinary,
  checkBoolean,
  checkDelay,
  checkFunction,
  checkObject,
  checkOneOf,
  checkProperties,
  checkQoS,
  checkText,
  checkTopicName,
  checkWhole,
  FOUR_BYTES,
  invalid,
  isObject,
  kindOf,
  needsVersion5,
  type Payload,
  propertyRules,
  type Version5,
  withDefaults,
} from './option-checks.ts'

/** The message that the server publishes when the connection ends without DISCONNECT, 3.1.2.5. */
export interface Will {
  /** Without wildcards. */
  readonly topic: string
  /** At most 65,535 bytes, 3.1.3.3. */
  readonly payload: Payload
  /** Default 0. */
  readonly qos?: QoS | undefined
  /** Default false. */
  readonly retain?: boolean | undefined
  /** Version 5 only. */
  readonly properties?: WillProperties | undefined
}

/** 5: 3.1.3.2 */
export interface WillProperties {
  /** Seconds that the server waits before it publishes the will. Default 0. */
  readonly willDelayInterval?: number | undefined
  /** 1: the payload is UTF-8. Default 0. */
  readonly payloadFormatIndicator?: 0 | 1 | undefined
  /** Seconds. Default: the message does not expire. */
  readonly messageExpiryInterval?: number | undefined
  readonly contentType?: string | undefined
  readonly responseTopic?: string | undefined
  readonly correlationData?: Payload | undefined
  readonly userProperties?: UserProperties | undefined
}

/** Who the client is, 3.1.3.4 and 3.1.3.5. In 3.1.1 a password needs a user name. */
export interface Credentials {
  readonly username?: string | undefined
  readonly password?: string | Uint8Array | undefined
}

export type CredentialsFunction = (
  attempt: number,
) => Credentials | undefined | PromiseLike<Credentials | undefined>

/** `Credentials` with the password as the bytes that are sent. */
export interface Login {
  readonly username: string | undefined
  readonly password: Uint8Array | undefined
}

/** Enhanced authentication, 5: 4.12. */
export interface Authentication {
  /** The name of the Authentication Method. */
  readonly method: string
  /** The Authentication Data of CONNECT, anew for each attempt. */
  start(): Payload | undefined | PromiseLike<Payload | undefined>
  /** The answer to the Authentication Data that the server sent. */
  continue(data: Uint8Array | undefined): Payload | undefined | PromiseLike<Payload | undefined>
}

/** When to try again: ms from now, or `'stop'`. `attempt` counts from 1 for the first attempt after a connection. */
export type ReconnectFunction = (error: unknown, attempt: number) => number | 'stop'

/**
 * The delay before attempt n lies between `min` and `min × 2ⁿ`, at most `max`. After what time alone does not heal, such
 * as a wrong password or a server that breaks the protocol, `max` takes the place of `min × 2ⁿ` at once.
 */
export interface ReconnectOptions {
  /** ms, at least 1. Default 1,000. */
  readonly min?: number | undefined
  /** ms, at least `min`. Default 128,000, or `min` when that is more. */
  readonly max?: number | undefined
  /** Whether the delay is drawn at random from its range; else it is the upper end. Default true. */
  readonly jitter?: boolean | undefined
  /** ms of being connected after which the delays begin at `min` again. Default 10,000. */
  readonly resetAfter?: number | undefined
}

export interface ResolvedReconnect {
  readonly min: number
  readonly max: number
  readonly jitter: boolean
  readonly resetAfter: number
}

/** What `publish` does when the queue is full. */
export type Overflow = 'reject' | 'drop-oldest' | 'drop-newest' | 'wait'

/** The messages that wait for a connection or for the server's Receive Maximum. */
export interface QueueOptions {
  /** Default 65,535; 0: nothing is queued, what need not wait is sent; Infinity: no limit. */
  readonly maxMessages?: number | undefined
  /** Of topics and payloads. Default 64 MiB; Infinity: no limit. */
  readonly maxBytes?: number | undefined
  /**
   * Which publish is rejected when the queue is full: `'reject'` and `'drop-newest'` the new one, the latter as
   * dropped by policy, `'drop-oldest'` the one that waits longest; `'wait'`: none, its promise stays pending until
   * there is room. Default `'reject'`.
   */
  readonly overflow?: Overflow | undefined
  /** Whether QoS 0 is queued while there is no connection, instead of rejected. Default false. */
  readonly qos0?: boolean | undefined
}

export interface ResolvedQueue {
  readonly maxMessages: number
  readonly maxBytes: number
  readonly overflow: Overflow
  readonly qos0: boolean
}

export const DEFAULT_RECONNECT: ResolvedReconnect = Object.freeze({
  min: 1_000,
  max: 128_000,
  jitter: true,
  resetAfter: 10_000,
})

export const DEFAULT_QUEUE: ResolvedQueue = Object.freeze({
  maxMessages: 65_535,
  maxBytes: 67_108_864,
  overflow: 'reject',
  qos0: false,
})

const OVERFLOWS: readonly Overflow[] = ['reject', 'drop-oldest', 'drop-newest', 'wait']

const WILL_NAMES = {
  topic: undefined,
  payload: undefined,
  qos: 0,
  retain: false,
  properties: undefined,
} as const

const WILL_PROPERTIES = propertyRules(
  'will',
  'willDelayInterval',
  'payloadFormatIndicator',
  'messageExpiryInterval',
  'contentType',
  'responseTopic',
  'correlationData',
  'userProperties',
)

/** The will as it is sent, with a payload of its own. */
export function resolveWill(will: unknown, version5: Version5): WillMessage | undefined {
  if (will === undefined) return undefined
  const given = withDefaults('will', will, WILL_NAMES)
  const properties = checkProperties('will.properties', given.properties, WILL_PROPERTIES)
  if (properties !== undefined && version5 === 'no') throw needsVersion5('will.properties')
  return Object.freeze({
    topic: checkTopicName('will.topic', given.topic),
    payload: checkBinary('will.payload', given.payload),
    qos: checkQoS('will.qos', given.qos),
    retain: checkBoolean('will.retain', given.retain),
    properties: properties && Object.freeze(properties),
  })
}

/**
 * The login as it is sent.
 *
 * @param field what goes before `username` and `password` in messages, such as `login.`
 */
export function resolveLogin(login: unknown, version5: Version5, field = ''): Login {
  // What came is not shown: it may be the password.
  if (login !== undefined && !isObject(login))
    throw new UsageError('invalid-option', field.slice(0, -1), `expected an object, got ${kindOf(login)}`)
  const { username, password } = login ?? {}
  const resolved = {
    username: username === undefined ? undefined : checkText(`${field}username`, username),
    password: password === undefined ? undefined : passwordBytes(`${field}password`, password),
  }
  if (version5 === 'no') checkLogin311(resolved, field)
  return Object.freeze(resolved)
}

/** [3.1.1 MQTT-3.1.2-22], which version 5 has lifted: to be asked again when `'auto'` falls back. */
export function checkLogin311(login: Login, field = ''): void {
  if (login.password === undefined || login.username !== undefined) return
  // [3.1.1 MQTT-3.1.2-22]
  const message = 'expected a user name with the password in 3.1.1, got none'
  throw new UsageError('invalid-option', `${field}username`, message)
}

function passwordBytes(field: string, password: unknown): Uint8Array {
  if (typeof password === 'string') return checkBinary(field, encodeUtf8(checkText(field, password)))
  if (password instanceof Uint8Array || ArrayBuffer.isView(password)) return checkBinary(field, password)
  throw new UsageError('invalid-option', field, `expected a string or a Uint8Array, got ${kindOf(password)}`)
}

export function resolveAuthentication(value: unknown): Authentication | undefined {
  if (value === undefined) return undefined
  const given = checkObject('authentication', value)
  checkText('authentication.method', given['method'])
  checkFunction('authentication.start', given['start'])
  checkFunction('authentication.continue', given['continue'])
  // As it is, not copied: it may be an object of a class whose methods need it.
  return value as Authentication
}

/** False: never; a function decides by itself. */
export function resolveReconnect(value: unknown): ResolvedReconnect | ReconnectFunction | false {
  if (value === undefined || value === DEFAULT_RECONNECT) return DEFAULT_RECONNECT
  if (value === false) return false
  if (isReconnectFunction(value)) return value
  if (!isObject(value)) throw invalid('reconnect', 'an object, a function or false', value)
  const given = withDefaults('reconnect', value, { ...DEFAULT_RECONNECT, max: undefined })
  const min = checkDelay('reconnect.min', given.min, 1)
  return Object.freeze({
    min,
    max:
      given.max === undefined
        ? Math.max(min, DEFAULT_RECONNECT.max)
        : checkDelay('reconnect.max', given.max, min),
    jitter: checkBoolean('reconnect.jitter', given.jitter),
    resetAfter: checkDelay('reconnect.resetAfter', given.resetAfter, 0),
  })
}

function isReconnectFunction(value: unknown): value is ReconnectFunction {
  return typeof value === 'function'
}

/** For `setReconnectTimeout(min, max)`. */
export function checkReconnectTimeout(min: number, max: number): void {
  checkDelay('min', min, 1)
  checkDelay('max', max, min)
}

export function resolveQueue(value: unknown): ResolvedQueue {
  if (value === undefined || value === DEFAULT_QUEUE) return DEFAULT_QUEUE
  const given = withDefaults('queue', value, { ...DEFAULT_QUEUE })
  return Object.freeze({
    maxMessages: checkWhole('queue.maxMessages', given.maxMessages, 0, Infinity),
    maxBytes: checkWhole('queue.maxBytes', given.maxBytes, 0, Infinity),
    overflow: checkOneOf('queue.overflow', given.overflow, OVERFLOWS),
    qos0: checkBoolean('queue.qos0', given.qos0),
  })
}

/** Seconds of a packet; Infinity stands for 0xFFFFFFFF where the specification calls that "does not expire". */
export function checkExpiry(field: string, value: unknown): number {
  return value === Infinity ? FOUR_BYTES : checkWhole(field, value, 0, FOUR_BYTES)
}

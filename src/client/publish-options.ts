/**
 * The options of `publish`, `send`, `publishAll` and `disconnect`, and their checks.
 *
 * A publish passes here each time, so nothing is made of good options unless they have properties: those are
 * copied, because a message may wait longer than its caller keeps the object.
 */

import { UsageError } from '../core/errors.ts'
import type { Properties, QoS, UserProperties } from '../core/packets/types.ts'
import {
  checkBoolean,
  checkDelay,
  checkObject,
  checkOneOf,
  checkProperties,
  checkSignal,
  checkQoS,
  invalid,
  needsVersion5,
  type Payload,
  type PropertyRules,
  propertyRules,
  unknownName,
  type Version5,
  withDefaults,
} from './option-checks.ts'
import { checkExpiry } from './connect-options.ts'

/** 5: 3.3.2.3 */
export interface PublishProperties {
  /** 1: the payload is UTF-8. Default 0. */
  readonly payloadFormatIndicator?: 0 | 1 | undefined
  /** Seconds after which the message is not delivered any more; looked at when it would be sent. Default: never. */
  readonly messageExpiryInterval?: number | undefined
  /** With `topicAliases: 'manual'`: stands for the topic, 1 to 65,535. */
  readonly topicAlias?: number | undefined
  /** Where an answer is expected. Without wildcards. */
  readonly responseTopic?: string | undefined
  /** Comes back with the answer; at most 65,535 bytes. */
  readonly correlationData?: Payload | undefined
  readonly contentType?: string | undefined
  readonly userProperties?: UserProperties | undefined
}

/** What a message says of its own delivery. */
export interface DeliveryOptions {
  /** 4.3. Default 0. */
  readonly qos?: QoS | undefined
  /** Whether the server keeps the message for later subscribers, 3.3.1.3. Default false. */
  readonly retain?: boolean | undefined
  /**
   * `'stored'`: at QoS 1 and 2, the promise resolves when the store has the message; a later process sends it only when the
   * session is kept (`cleanSession: false`, `cleanStart: false`). Default `'acknowledged'`.
   */
  readonly until?: 'acknowledged' | 'stored' | undefined
  /** Aborted, the promise rejects: a message that was not sent is withdrawn, one that was goes on (rule 17). */
  readonly signal?: AbortSignal | undefined
  /** At QoS 1 and 2: ms from the last sending to the acknowledgement, 0: no limit. Default: the client's `operationTimeout`. */
  readonly timeout?: number | undefined
  /** Version 5 only; with `'auto'`, a 3.1.1 connection leaves them out. */
  readonly properties?: PublishProperties | undefined
}

export interface PublishOptions extends DeliveryOptions {
  /**
   * `'borrowed'`: the bytes are not copied, and must stay as they are until the promise settles; it does so when
   * the network has let go of them, also when the message was given up. With `until: 'stored'` they are copied, for the
   * promise does not wait for the network. Default `'copied'`.
   */
  readonly payload?: 'copied' | 'borrowed' | undefined
}

/** One message of `publishAll`. Its signal is looked at when it is taken. */
export interface OutgoingMessage extends DeliveryOptions {
  readonly topic: string
  readonly payload: Payload
}

/** What `publish` resolves with. */
export interface PublishResult {
  /** Undefined at QoS 0 and for `until: 'stored'`. */
  readonly packetId: number | undefined
  /** 0x00, or 0x10 when nobody was subscribed (version 5). */
  readonly reasonCode: number
  readonly properties?: Properties | undefined
}

export interface SendOptions {
  readonly qos?: 0 | undefined
  /** Whether the server keeps the message for later subscribers, 3.3.1.3. Default false. */
  readonly retain?: boolean | undefined
  /** Version 5 only; with `'auto'`, a 3.1.1 connection leaves them out. */
  readonly properties?: PublishProperties | undefined
}

/** 5: 3.14.2.2 */
export interface DisconnectProperties {
  /** Seconds that the server keeps the session from now on; Infinity: for good. */
  readonly sessionExpiryInterval?: number | undefined
  readonly reasonString?: string | undefined
  readonly userProperties?: UserProperties | undefined
}

export interface DisconnectOptions {
  /** ms that operations and running handlers are waited for, while there is a connection. Default 0. */
  readonly drain?: number | undefined
  /** 0x04: the server publishes the will. Version 5 only, except 0. Default 0. */
  readonly reasonCode?: number | undefined
  /** Version 5 only. */
  readonly properties?: DisconnectProperties | undefined
}

export interface ResolvedDisconnect {
  readonly drain: number
  readonly reasonCode: number
  readonly properties: Properties | undefined
}

const PUBLISH_NAMES = ['qos', 'retain', 'payload', 'until', 'signal', 'timeout', 'properties']
const SEND_NAMES = ['qos', 'retain', 'properties']
const UNTIL = ['acknowledged', 'stored'] as const

const PUBLISH_PROPERTIES = propertyRules(
  'publish',
  'payloadFormatIndicator',
  'messageExpiryInterval',
  'topicAlias',
  'responseTopic',
  'correlationData',
  'contentType',
  'userProperties',
)

const DISCONNECT_DEFAULTS = { drain: 0, reasonCode: 0, properties: undefined } as const
const DISCONNECT_PROPERTIES = propertyRules('disconnect', 'reasonString', 'userProperties')
const EXPIRY = 'properties.sessionExpiryInterval'

/** The reasons that a client may give, 5: 3.14.2.1. */
const DISCONNECT_CODES: ReadonlySet<unknown> = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
])

/**
 * Checks the options of `publish`, or a message of `publishAll` but for its topic and payload.
 *
 * @returns the properties as they are sent, the correlation data as bytes of their own
 * @throws UsageError
 */
export function checkPublishOptions(
  options: PublishOptions | OutgoingMessage,
  version5: Version5,
): Properties | undefined {
  const { qos } = options
  if (qos !== undefined && qos !== 0 && qos !== 1 && qos !== 2) checkQoS('qos', qos)
  for (const name in options) {
    if (name !== 'qos' && name !== 'topic') checkPublishOption(options, name)
  }
  const { properties } = options
  return properties === undefined ? undefined : propertiesOf5(properties, PUBLISH_PROPERTIES, version5)
}

function checkName(name: string): void {
  if (!PUBLISH_NAMES.includes(name)) throw unknownName('', name, PUBLISH_NAMES)
}

/** A message of `publishAll` with options of its own has most of them unset: these are passed without a search. */
function checkPublishOption(options: PublishOptions | OutgoingMessage, name: string): void {
  const value = options[name as keyof typeof options]
  if (name === 'retain') {
    if (value !== undefined) checkBoolean(name, value)
  } else if (name === 'until') {
    if (value !== undefined) checkUntil(options)
  } else if (name === 'timeout') {
    if (value !== undefined) checkDelay(name, value, 0)
  } else if (name === 'signal') checkSignal(value)
  // A message has its payload under this name.
  else if (name === 'payload' && value !== undefined && !('topic' in options))
    checkOneOf(name, value, ['copied', 'borrowed'])
  else if (name !== 'properties') checkName(name)
}

function checkUntil({ until, qos }: DeliveryOptions): void {
  checkOneOf('until', until, UNTIL)
  if (until === 'acknowledged' || qos) return
  throw new UsageError('invalid-option', 'until', "expected qos 1 or 2 with 'stored', got qos 0")
}

/** Checked properties; an object without any is no use of version 5. */
function propertiesOf5(given: unknown, rules: PropertyRules, version5: Version5): Properties | undefined {
  const checked = checkProperties('properties', given, rules)
  if (checked !== undefined && version5 === 'no') throw needsVersion5('properties')
  return checked
}

/** Nothing is said of a message but its topic and payload. */
export const NO_OPTIONS: DeliveryOptions = Object.freeze({})

/** Whether a message of `publishAll` has nothing but its topic and payload. @throws UsageError when it is no object */
export function isBare(message: OutgoingMessage): boolean {
  if (typeof message !== 'object' || message === null)
    throw invalid('message', 'an object with a topic and a payload', message)
  for (const name in message) if (name !== 'topic' && name !== 'payload') return false
  return true
}

/** Every name in a message of `publishAll` is one that it may have. @throws UsageError */
export function checkMessageNames(message: OutgoingMessage): void {
  for (const name in message) {
    if (name !== 'topic') checkName(name)
  }
}

/** Checks the options of `send`; returns the properties as they are sent. @throws UsageError */
export function checkSendOptions(options: SendOptions, version5: Version5): Properties | undefined {
  for (const name in checkObject('', options))
    if (!SEND_NAMES.includes(name)) throw unknownName('', name, SEND_NAMES)
  if (options.qos) throw invalid('qos', '0, or use publish()', options.qos)
  return checkPublishOptions(options, version5)
}

/**
 * The options of `disconnect`.
 *
 * @param sessionExpiryInterval seconds, as CONNECT has it, whatever CONNACK has said (5: 3.14.2.2.2)
 * @throws UsageError
 */
export function resolveDisconnect(
  options: DisconnectOptions | undefined,
  version5: Version5,
  sessionExpiryInterval: number,
): ResolvedDisconnect {
  const given = withDefaults('', options, DISCONNECT_DEFAULTS)
  const drain = checkDelay('drain', given.drain, 0)
  const { reasonCode } = given
  if (typeof reasonCode !== 'number' || !DISCONNECT_CODES.has(reasonCode)) {
    throw invalid('reasonCode', 'a reason that a client may give (5: 3.14.2.1)', reasonCode)
  }
  if (reasonCode !== 0 && version5 === 'no') throw needsVersion5('reasonCode')
  const properties = disconnectProperties(given.properties, version5, sessionExpiryInterval)
  return { drain, reasonCode, properties }
}

function disconnectProperties(given: unknown, version5: Version5, asked: number): Properties | undefined {
  if (given === undefined) return undefined
  const { sessionExpiryInterval: expiry, ...others } = withDefaults('properties', given, {
    sessionExpiryInterval: undefined,
    reasonString: undefined,
    userProperties: undefined,
  })
  const checked = propertiesOf5(others, DISCONNECT_PROPERTIES, version5)
  if (expiry === undefined) return checked
  if (version5 === 'no') throw needsVersion5(EXPIRY)
  const sessionExpiryInterval = checkExpiry(EXPIRY, expiry)
  // A session that was to end with its connection cannot be prolonged.
  if (asked === 0 && sessionExpiryInterval !== 0) {
    throw invalid(EXPIRY, '0 after a CONNECT whose sessionExpiryInterval was 0 (5: 3.14.2.2.2)', expiry)
  }
  return { ...checked, sessionExpiryInterval }
}

/**
 * What a client did that it may not do, by rule and by the statement of its version's specification.
 *
 * The broker collects complaints and never throws: a test ends with `expect(broker.complaints).toEqual([])`.
 */

import type { ProtocolVersion } from '../../core/packets/types.ts'

export interface Complaint {
  /** The number of the network connection, counted from 1. */
  readonly connection: number
  readonly clientId: string
  /** For programs. */
  readonly rule: RuleName
  /** For people. */
  readonly text: string
  /** `[5 MQTT-3.1.0-1]`, or a section where the specification has no number for it. */
  readonly statement: string
}

/** Each rule's statement in 3.1.1 and in 5. */
export const RULES = {
  'connect-first': ['MQTT-3.1.0-1', 'MQTT-3.1.0-1'],
  'connect-once': ['MQTT-3.1.0-2', 'MQTT-3.1.0-2'],
  'protocol-version': ['MQTT-3.1.2-1', 'MQTT-3.1.2-1'],
  'client-id': ['MQTT-3.1.3-7', 'section 3.1.3.1'],
  'password-without-username': ['MQTT-3.1.2-22', 'section 3.1.2.9'],
  'will-flags': ['MQTT-3.1.2-11', 'MQTT-3.1.2-11'],
  'will-qos': ['MQTT-3.1.2-14', 'MQTT-3.1.2-12'],
  'will-topic': ['MQTT-3.1.3-10', 'MQTT-3.1.3-11'],
  malformed: ['MQTT-4.8.0-1', 'MQTT-4.13.1-1'],
  'wrong-side': ['section 2.2.1', 'section 2.1.2'],
  flags: ['MQTT-2.2.2-1', 'MQTT-2.1.3-1'],
  'connect-flags': ['MQTT-3.1.2-3', 'MQTT-3.1.2-3'],
  utf8: ['MQTT-1.5.3-1', 'MQTT-1.5.4-1'],
  'nul-character': ['MQTT-1.5.3-2', 'MQTT-1.5.4-2'],
  'length-form': ['section 2.2.3', 'MQTT-1.5.5-1'],
  property: ['section 2.2.2', 'section 2.2.2.2'],
  'reason-code': ['section 3', 'section 2.4'],
  'response-topic': ['section 3.3', 'MQTT-3.3.2-14'],
  'packet-id-zero': ['MQTT-2.3.1-1', 'MQTT-2.2.1-3'],
  'packet-id-in-use': ['MQTT-2.3.1-2', 'MQTT-2.2.1-3'],
  'qos-3': ['MQTT-3.3.1-4', 'MQTT-3.3.1-4'],
  'dup-at-qos-0': ['MQTT-3.3.1-2', 'MQTT-3.3.1-2'],
  'dup-on-first-sending': ['MQTT-4.3.2-1', 'MQTT-4.3.2-2'],
  'no-dup-on-resend': ['MQTT-3.3.1-1', 'MQTT-3.3.1-1'],
  'resend-differs': ['MQTT-2.3.1-3', 'MQTT-4.4.0-1'],
  'resend-on-living-connection': ['section 4.4', 'MQTT-4.4.0-1'],
  'publish-after-pubrec': ['MQTT-4.3.3-1', 'MQTT-4.3.3-6'],
  'pubrel-without-pubrec': ['MQTT-4.3.3-1', 'MQTT-4.3.3-4'],
  'resend-order': ['MQTT-4.6.0-1', 'MQTT-4.6.0-1'],
  'puback-order': ['MQTT-4.6.0-2', 'MQTT-4.6.0-2'],
  'pubrec-order': ['MQTT-4.6.0-3', 'MQTT-4.6.0-3'],
  'pubrel-order': ['MQTT-4.6.0-4', 'MQTT-4.6.0-4'],
  'unknown-acknowledgement': ['MQTT-2.3.1-6', 'MQTT-2.2.1-5'],
  'wrong-acknowledgement': ['MQTT-3.3.4-1', 'MQTT-3.3.4-1'],
  unacknowledged: ['MQTT-3.3.4-1', 'MQTT-3.3.4-1'],
  unreleased: ['MQTT-4.3.3-1', 'MQTT-4.3.3-4'],
  'not-resent': ['MQTT-4.4.0-1', 'MQTT-4.4.0-1'],
  'receive-maximum': ['section 4.8', 'MQTT-3.3.4-7'],
  'maximum-packet-size': ['section 4.8', 'MQTT-3.2.2-15'],
  'maximum-qos': ['section 4.8', 'MQTT-3.2.2-11'],
  'retain-unavailable': ['section 4.8', 'MQTT-3.2.2-14'],
  'topic-alias': ['section 3.3', 'MQTT-3.2.2-17'],
  'topic-alias-zero': ['section 3.3', 'MQTT-3.3.2-8'],
  'topic-alias-unknown': ['section 3.3', 'MQTT-3.3.2-7'],
  'topic-name': ['MQTT-3.3.2-2', 'MQTT-3.3.2-2'],
  'empty-topic': ['MQTT-4.7.3-1', 'MQTT-4.7.3-1'],
  'topic-filter': ['MQTT-4.7.1-2', 'MQTT-4.7.1-1'],
  'shared-filter': ['section 4.7', 'MQTT-4.8.2-2'],
  'no-local-on-shared': ['section 3.8', 'MQTT-3.8.3-4'],
  'no-filter': ['MQTT-3.8.3-3', 'MQTT-3.8.3-2'],
  'no-filter-to-unsubscribe': ['MQTT-3.10.3-2', 'MQTT-3.10.3-2'],
  'subscription-options': ['MQTT-3-8.3-4', 'MQTT-3.8.3-5'],
  'subscription-identifier': ['section 3.3', 'MQTT-3.3.4-6'],
  'wildcard-unavailable': ['section 4.8', 'section 3.2.2.3.11'],
  'identifiers-unavailable': ['section 4.8', 'section 3.2.2.3.12'],
  'shared-unavailable': ['section 4.8', 'section 3.2.2.3.13'],
  'after-disconnect': ['MQTT-3.14.4-2', 'MQTT-3.14.4-1'],
  'disconnect-code': ['section 3.14', 'MQTT-3.14.2-1'],
  'disconnect-properties': ['section 3.14', 'section 3.14.2.2'],
  'session-expiry': ['section 3.14', 'section 3.14.2.2.2'],
  'keep-alive': ['MQTT-3.1.2-23', 'MQTT-3.1.2-20'],
  'during-authentication': ['section 3.1', 'MQTT-3.1.2-30'],
  'auth-without-method': ['section 3.15', 'MQTT-4.12.0-7'],
  'auth-method': ['section 3.15', 'MQTT-4.12.0-5'],
  'auth-code': ['section 3.15', 'MQTT-4.12.0-3'],
  'reauthentication-code': ['section 3.15', 'MQTT-4.12.1-1'],
} as const

export type RuleName = keyof typeof RULES

export function statementOf(rule: RuleName, version: ProtocolVersion): string {
  return `[${version} ${RULES[rule][version === '5' ? 1 : 0]}]`
}

/** What the errors of the packet files are about. The first that fits counts. */
const OF_MESSAGES: readonly (readonly [pattern: RegExp, rule: RuleName])[] = [
  [/well-formed UTF-8/, 'utf8'],
  [/U\+0000/, 'nul-character'],
  [/shortest form|longer than four bytes/, 'length-form'],
  [/^CONNECT has Authentication Data/, 'auth-without-method'],
  [/Response Topic/, 'response-topic'],
  [/propert/, 'property'],
  [/^the reason code/, 'reason-code'],
  [/identifier 0/, 'packet-id-zero'],
  [/a PUBLISH has QoS 3/, 'qos-3'],
  [/QoS 0 has DUP 1/, 'dup-at-qos-0'],
  [/wildcard topic/, 'topic-name'],
  [/has an empty topic|neither a topic nor/, 'empty-topic'],
  [/the reserved connect flag/, 'connect-flags'],
  [/password without a user name/, 'password-without-username'],
  [/there is no will/, 'will-flags'],
  [/the will has QoS 3/, 'will-qos'],
  [/the protocol is/, 'protocol-version'],
  [/has the flags/, 'flags'],
  [/may not come from this side|is reserved/, 'wrong-side'],
  [/subscription options of|the Retain Handling of/, 'subscription-options'],
  [/^UNSUBSCRIBE has no topic filter/, 'no-filter-to-unsubscribe'],
  [/has no topic filter/, 'no-filter'],
  [/bytes came, at most/, 'maximum-packet-size'],
]

/** The rule that an error of the codec is about. */
export function ruleOfError(message: string): RuleName {
  // Without what it quotes: the client's topics may have any words in them.
  const text = message.replace(/".*"/s, '""')
  return OF_MESSAGES.find(([pattern]) => pattern.test(text))?.[1] ?? 'malformed'
}

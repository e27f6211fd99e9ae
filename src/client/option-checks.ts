/**
 * The checks that all options share. Each takes the option's name and any value, and returns the value with its
 * type or throws a `UsageError` that says what was expected and what came. Secrets are never shown.
 *
 * JavaScript users have no compiler, and a typing mistake in an option's name is the commonest mistake of all:
 * so unknown names are refused, with the name that was probably meant.
 */

import { encodeUtf8, utf8Fault } from '../core/bytes/utf8.ts'
import { UsageError } from '../core/errors.ts'
import { PROPERTIES, type PropertyPlace, type PropertyRow } from '../core/packets/properties.ts'
import type { Properties, QoS, UserProperties } from '../core/packets/types.ts'
import { topicNameFault } from '../core/topics/topic.ts'

/** What can be published. Strings are sent as UTF-8. */
export type Payload = string | Uint8Array | ArrayBuffer | ArrayBufferView

/** Whether version 5 is spoken; `'auto'`: not known before the first CONNACK. */
export type Version5 = 'no' | 'yes' | 'auto'

/** The longest delay of a timer, in ms. */
export const MAXIMUM_DELAY = 2_147_483_647
export const TWO_BYTES = 65_535
export const FOUR_BYTES = 4_294_967_295

const SHOWN_CHARACTERS = 60
const QOS: readonly QoS[] = [0, 1, 2]
const BITS: readonly (0 | 1)[] = [0, 1]

export function invalid(field: string, expected: string, value: unknown): UsageError {
  return new UsageError('invalid-option', field, `expected ${expected}, got ${shown(value)}`)
}

/** 3.1.1 was chosen, or `'auto'` fell back to it. */
export function needsVersion5(field: string): UsageError {
  return new UsageError('needs-version-5', field, 'expected protocol version 5 with this option, got 3.1.1')
}

/** A value for messages: short, and on one line. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length <= SHOWN_CHARACTERS
        ? JSON.stringify(value)
        : `${JSON.stringify(value.slice(0, SHOWN_CHARACTERS))}… of ${value.length} characters`
    case 'bigint':
      return `${value}n`
    case 'object':
      return value === null ? 'null' : kindOf(value)
    case 'function':
    case 'symbol':
      return kindOf(value)
    default:
      return String(value)
  }
}

/** What sort of value it is, for messages that must not show it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list'
  if (typeof value !== 'object') return `a ${typeof value}`
  const name = Object.prototype.toString.call(value).slice(8, -1)
  return name === 'Object' ? 'an object' : /^[AEIO]/.test(name) ? `an ${name}` : `a ${name}`
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** @param field '' for the options themselves, as in the functions below */
export function checkObject(field: string, value: unknown): Readonly<Record<string, unknown>> {
  if (!isObject(value)) throw invalid(field || 'options', 'an object', value)
  return value
}

export function checkFunction(field: string, value: unknown): void {
  if (typeof value !== 'function') throw invalid(field, 'a function', value)
}

/** A function of which only the caller's type says what it takes and returns. */
export function optionalFunction<Wanted>(field: string, value: unknown): Wanted | undefined {
  if (value === undefined) return undefined
  checkFunction(field, value)
  return value as Wanted
}

/** An object that has these methods; as it is, because it may be of a class whose methods need it. */
function checkMethods<Wanted>(
  field: string,
  value: unknown,
  methods: readonly (keyof Wanted & string)[],
): Wanted | undefined {
  if (value === undefined) return undefined
  const given = checkObject(field, value)
  for (const method of methods) checkFunction(`${field}.${method}`, given[method])
  return value as Wanted
}

export function checkBoolean(field: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw invalid(field, 'true or false', value)
  return value
}

/** A whole number; with `most` Infinity, that is allowed too and means "no limit". */
export function checkWhole(field: string, value: unknown, least: number, most: number): number {
  const right = typeof value === 'number' && (Number.isInteger(value) || value === Infinity)
  if (right && value >= least && value <= most) return value
  const limits =
    most === Infinity
      ? `of at least ${inWords(least)}, or Infinity`
      : `from ${inWords(least)} to ${inWords(most)}`
  throw invalid(field, `a whole number ${limits}`, value)
}

/** A time in ms; fractions are allowed. */
export function checkDelay(field: string, value: unknown, least: number): number {
  if (typeof value === 'number' && value >= least && value <= MAXIMUM_DELAY) return value
  throw invalid(field, `milliseconds from ${inWords(least)} to ${inWords(MAXIMUM_DELAY)}`, value)
}

export function checkOneOf<Choice>(field: string, value: unknown, choices: readonly Choice[]): Choice {
  for (const choice of choices) if (choice === value) return choice
  const words = choices.map((choice) => (typeof choice === 'string' ? `'${choice}'` : String(choice)))
  throw invalid(field, `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`, value)
}

/** What an option may be: the value as it came, or an error that names the field. */
export type Rule<Value> = (field: string, value: unknown) => Value

export const whole =
  (least: number, most: number): Rule<number> =>
  (field, value) =>
    checkWhole(field, value, least, most)

export const delay =
  (least: number): Rule<number> =>
  (field, value) =>
    checkDelay(field, value, least)

export const oneOf =
  <Choice>(...choices: readonly Choice[]): Rule<Choice> =>
  (field, value) =>
    checkOneOf(field, value, choices)

/** An object with these methods, or nothing. */
export const methods =
  <Wanted>(...names: readonly (keyof Wanted & string)[]): Rule<Wanted | undefined> =>
  (field, value) =>
    checkMethods(field, value, names)

/** What options are when they are not set, and their rules. */
type Rules = Readonly<Record<string, readonly [unset: unknown, rule: Rule<unknown>]>>

export function defaultsOf<Table extends Rules>(rules: Table): Readonly<Record<keyof Table, unknown>> {
  const unset = Object.entries(rules).map(([name, [value]]) => [name, value])
  return Object.fromEntries(unset) as Record<keyof Table, unknown>
}

/** What was given, once all that there are rules for is checked. */
export function checkAll<Table extends Rules, Given extends Readonly<Record<keyof Table, unknown>>>(
  rules: Table,
  given: Given,
): Given & { readonly [Name in keyof Table]: ReturnType<Table[Name][1]> } {
  for (const name in rules) rules[name]?.[1](name, given[name])
  return given as Given & { readonly [Name in keyof Table]: ReturnType<Table[Name][1]> }
}

/** QoS, or another field of 0, 1 or 2. */
export function checkQoS(field: string, value: unknown): QoS {
  return checkOneOf(field, value, QOS)
}

/** A string that a packet can carry: 1.5.3 (5: 1.5.4). */
export function checkText(field: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(field, 'a string', value)
  const fault = utf8Fault(value)
  if (fault === undefined) return value
  throw new UsageError(
    'invalid-option',
    field,
    `expected a string that a packet can carry, got one that ${fault}`,
  )
}

export function checkTopicName(field: string, value: unknown): string {
  const fault = topicNameFault(value)
  if (fault !== undefined || typeof value !== 'string')
    throw new UsageError('invalid-topic', field, fault ?? '')
  return value
}

export function checkSignal(value: unknown): AbortSignal | undefined {
  const isSignal = isObject(value) && typeof value['aborted'] === 'boolean' && 'addEventListener' in value
  if (isSignal || value === undefined) return value as AbortSignal | undefined
  throw invalid('signal', 'an AbortSignal', value)
}

/** Bytes stay where they are, any view and buffer becomes a `Uint8Array` on them; a string stays a string. */
export function payloadBytes(payload: unknown, field = 'payload'): Uint8Array | string {
  if (typeof payload === 'string' || payload instanceof Uint8Array) return payload
  // Not by `instanceof`: bytes may come from another realm, as in tests that run in a `vm` context.
  if (ArrayBuffer.isView(payload)) {
    return new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength)
  }
  if (isBuffer(payload)) return new Uint8Array(payload)
  const expected = 'expected a string, a Uint8Array, an ArrayBuffer or a view of one'
  throw new UsageError('invalid-payload', field, `${expected}, got ${kindOf(payload)}`)
}

function isBuffer(value: unknown): value is ArrayBuffer {
  const name = Object.prototype.toString.call(value)
  return name === '[object ArrayBuffer]' || name === '[object SharedArrayBuffer]'
}

/** A copy of bytes or of the UTF-8 of a string, as Binary Data: at most 65,535 bytes (5: 1.5.6). */
export function checkBinary(field: string, value: unknown): Uint8Array {
  const payload = payloadBytes(value, field)
  const bytes = typeof payload === 'string' ? encodeUtf8(payload) : new Uint8Array(payload)
  if (bytes.length <= TWO_BYTES) return bytes
  const message = `expected at most ${inWords(TWO_BYTES)} bytes, got ${inWords(bytes.length)}`
  throw new UsageError('invalid-option', field, message)
}

/**
 * The defaults with what was given in their place. The keys of `defaults` are all names that there are;
 * `undefined` means "not set".
 */
export function withDefaults<Name extends string>(
  field: string,
  given: unknown,
  defaults: Readonly<Record<Name, unknown>>,
  meant: Readonly<Record<string, string>> = {},
): Readonly<Record<Name, unknown>> {
  if (given === undefined) return defaults
  const merged: Record<Name, unknown> = { ...defaults }
  const values = checkObject(field, given)
  for (const name in values) {
    if (!isNameOf(defaults, name)) throw unknownName(field, name, Object.keys(defaults), meant)
    const value = values[name]
    if (value !== undefined) merged[name] = value
  }
  return merged
}

function isNameOf<Name extends string>(table: Readonly<Record<Name, unknown>>, name: string): name is Name {
  return Object.hasOwn(table, name)
}

export function unknownName(
  field: string,
  name: string,
  names: readonly string[],
  meant: Readonly<Record<string, string>> = {},
): UsageError {
  const path = field === '' ? name : `${field}.${name}`
  return new UsageError('invalid-option', path, `unknown option; ${hintOn(name, names, meant)}`)
}

/** The name that was probably meant, or all that there are. */
export function hintOn(
  name: string,
  names: readonly string[],
  meant: Readonly<Record<string, string>>,
): string {
  const hint = Object.hasOwn(meant, name) ? meant[name] : nearest(name, names)
  return hint === undefined ? `expected one of ${names.join(', ')}` : `did you mean ${hint}?`
}

/** What a place in a packet may say: property name → its row in the table of the specification. */
export type PropertyRules = ReadonlyMap<string, PropertyRow>

export function propertyRules(place: PropertyPlace, ...names: readonly (keyof Properties)[]): PropertyRules {
  const rows = PROPERTIES.filter((row) => row.places.includes(place) && names.includes(row.name))
  return new Map(rows.map((row) => [row.name, row]))
}

/** A checked copy of properties, 5: 2.2.2; `undefined` when none is set. */
export function checkProperties(field: string, given: unknown, rules: PropertyRules): Properties | undefined {
  if (given === undefined) return undefined
  const values = checkObject(field, given)
  let checked: Record<string, unknown> | undefined
  for (const name in values) {
    const row = rules.get(name)
    if (row === undefined) throw unknownName(field, name, [...rules.keys()])
    const value = values[name]
    if (value === undefined) continue
    checked ??= {}
    checked[name] = checkProperty(`${field}.${name}`, value, row)
  }
  return checked
}

function checkProperty(field: string, value: unknown, row: PropertyRow): unknown {
  // [5 MQTT-3.3.2-14]
  if (row.name === 'responseTopic') return checkTopicName(field, value)
  // [5 MQTT-3.3.2-8]; the table leaves 0 to the receiver, who answers it with a code of its own.
  const least = row.name === 'topicAlias' ? 1 : row.minimum
  switch (row.kind) {
    case 'bit':
      return checkOneOf(field, value, BITS)
    case 'boolean':
      return checkBoolean(field, value)
    case 'twoBytes':
      return checkWhole(field, value, least, TWO_BYTES)
    case 'fourBytes':
      return checkWhole(field, value, least, FOUR_BYTES)
    case 'identifiers':
      throw unknownName(field, row.name, [])
    case 'string':
      return checkText(field, value)
    case 'binary':
      return checkBinary(field, value)
    case 'pairs':
      return checkUserProperties(field, value)
  }
}

function checkUserProperties(field: string, value: unknown): UserProperties {
  if (!Array.isArray(value)) throw invalid(field, 'a list of [name, value] pairs', value)
  return value.map((pair: unknown, index) => {
    const place = `${field}[${index}]`
    if (!Array.isArray(pair) || pair.length !== 2) throw invalid(place, 'a [name, value] pair', pair)
    return [checkText(`${place}[0]`, pair[0]), checkText(`${place}[1]`, pair[1])] as const
  })
}

/** 65535 as 65,535, whatever the locale. */
export function inWords(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, ',')
}

/**
 * The name that differs in the fewest letters, if few enough, or that goes on where this one ends; upper and lower
 * case are the same.
 */
function nearest(name: string, names: readonly string[]): string | undefined {
  const given = name.toLowerCase()
  let best: string | undefined
  let least = Math.max(1, Math.floor(given.length / 3)) + 1
  for (const candidate of names) {
    const known = candidate.toLowerCase()
    const isStart = given.length > 2 && known.startsWith(given) && known !== given
    const distance = isStart ? 1 : editDistance(given, known)
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

/** Levenshtein's distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column)
  for (let index = 0; index < from.length; index++) {
    const next = [index + 1]
    for (let column = 0; column < to.length; column++) {
      const replaced = (row[column] ?? 0) + (from[index] === to[column] ? 0 : 1)
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

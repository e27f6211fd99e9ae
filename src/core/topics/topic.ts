// What is a valid topic name, a valid topic filter and a shared subscription, and when a filter matches a
// name (sections 4.7 and 4.8.2; the two versions differ in the numbers of their statements only).
//
// The checks answer with the fault in words instead of throwing: only the caller knows the option or
// argument that the value came from and the kind of error that it makes of it. They run for every
// publish, so a good value costs no allocation and is walked once; the bytes of UTF-8 are counted without
// encoding. Control characters and non-characters are allowed: the specification only advises against
// them, and a client that refuses them cannot talk to devices that use them.
//
// `$share` is checked in 3.1.1 too, where the specification does not know it: brokers that offer it there
// use the same form, and the others would take it for a filter that never matches.

const MAX_BYTES = 65_535
const SHARE = '$share/'
const SHOWN_CHARACTERS = 60

/** Why `name` is no topic name that can be published to, or `undefined` when it is one. */
export function topicNameFault(name: unknown): string | undefined {
  const fault = stringFault('a topic name', name)
  if (fault !== undefined || typeof name !== 'string') return fault
  // [3.1.1 MQTT-4.7.1-1] [5 MQTT-4.7.0-1]
  if (!hasWildcard(name)) return undefined
  return `expected a topic name without wildcards, got ${shown(name, name.search(/[+#]/))}`
}

/** Why `filter` cannot be subscribed to, `$share/NAME/FILTER` included, or `undefined` when it can. */
export function topicFilterFault(filter: unknown): string | undefined {
  const fault = stringFault('a topic filter', filter)
  if (fault !== undefined || typeof filter !== 'string') return fault
  // [5 MQTT-4.8.2-1] [5 MQTT-4.8.2-2]
  if (filter.startsWith(SHARE) && sharedSubscription(filter) === undefined) {
    return `expected $share/NAME/FILTER, NAME without + and # and neither of them empty, got ${shown(filter, 0)}`
  }
  return wildcardFault(filter)
}

/** The two parts of `$share/group/filter`; `undefined` for any other filter and for an incomplete one. */
export function sharedSubscription(filter: string): { group: string; filter: string } | undefined {
  if (!filter.startsWith(SHARE)) return undefined
  const slash = filter.indexOf('/', SHARE.length)
  if (slash < 0) return undefined
  const group = filter.slice(SHARE.length, slash)
  if (group === '' || hasWildcard(group) || slash + 1 === filter.length) return undefined
  return { group, filter: filter.slice(slash + 1) }
}

/** The filter that topic names are matched against: `f` for `$share/g/f`, else `filter` itself. */
export function deliveryFilter(filter: string): string {
  return sharedSubscription(filter)?.filter ?? filter
}

export function hasWildcard(filter: string): boolean {
  return filter.includes('#') || filter.includes('+')
}

/**
 * Whether a topic name matches a filter: the rule as the specification tells it, level by level, and so
 * what `TopicTree` is tested against. A shared subscription matches by its `deliveryFilter`.
 */
export function matches(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  // [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]
  if (topic.startsWith('$') && (wanted[0] === '#' || wanted[0] === '+')) return false
  for (const [depth, level] of wanted.entries()) {
    // `#` stands for its parent and everything below it (4.7.1.2), so `a/#` matches `a`.
    if (level === '#' && depth === wanted.length - 1) return true
    if (depth === levels.length) return false
    // Code by code: NFC and NFD of one word are two words [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.3-4].
    if (level !== '+' && level !== levels[depth]) return false
  }
  return wanted.length === levels.length
}

/** What names and filters have in common: 4.7.3, and 1.5.3 in 3.1.1, 1.5.4 in 5. */
function stringFault(noun: string, value: unknown): string | undefined {
  if (typeof value !== 'string') return `expected ${noun} that is a string, got ${kindOf(value)}`
  if (value === '') return `expected ${noun} of at least one character, got ""`
  const length = value.length
  // At least one byte each, so that the length of a monster is told without walking through it.
  if (length > MAX_BYTES) return tooLong(noun, value, `${length} characters`)
  let bytes = length
  for (let index = 0; index < length; index++) {
    const unit = value.charCodeAt(index)
    if (unit === 0) return `expected ${noun} without U+0000, got ${shown(value, index)}`
    if (unit < 0x80) continue
    // A surrogate pair has counted 2 as two units and becomes 4 bytes, so it adds 2 like U+0800 to U+FFFF.
    bytes += unit < 0x800 ? 1 : 2
    if (unit < 0xd800 || unit > 0xdfff) continue
    if (unit > 0xdbff || !isLowSurrogate(value, index + 1)) {
      return `expected ${noun} of well-formed UTF-16, got a lone surrogate in ${shown(value, index)}`
    }
    index++
  }
  return bytes > MAX_BYTES ? tooLong(noun, value, `${bytes} bytes`) : undefined
}

function wildcardFault(filter: string): string | undefined {
  const last = filter.length - 1
  const hash = filter.indexOf('#')
  // [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]
  if (hash >= 0 && (hash < last || !beginsLevel(filter, hash))) {
    return `expected a topic filter with # alone or last after a /, got ${shown(filter, hash)}`
  }
  for (let plus = filter.indexOf('+'); plus >= 0; plus = filter.indexOf('+', plus + 1)) {
    // [3.1.1 MQTT-4.7.1-3] [5 MQTT-4.7.1-2]
    if (beginsLevel(filter, plus) && (plus === last || filter[plus + 1] === '/')) continue
    return `expected a topic filter with + as a whole level, got ${shown(filter, plus)}`
  }
  return undefined
}

function beginsLevel(filter: string, index: number): boolean {
  return index === 0 || filter[index - 1] === '/'
}

function tooLong(noun: string, value: string, size: string): string {
  return `expected ${noun} of at most ${MAX_BYTES} bytes in UTF-8, got ${size}: ${shown(value, 0)}`
}

function kindOf(value: unknown): string {
  if (value === undefined || value === null) return String(value)
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The value in quotes; of a long one the part around `at`, cut between characters. */
function shown(text: string, at: number): string {
  if (text.length <= SHOWN_CHARACTERS) return JSON.stringify(text)
  let start = Math.max(0, at - SHOWN_CHARACTERS / 2)
  let end = Math.min(text.length, start + SHOWN_CHARACTERS)
  if (start > 0 && isLowSurrogate(text, start)) start++
  if (end < text.length && isLowSurrogate(text, end)) end--
  const before = start > 0 ? '…' : ''
  const after = end < text.length ? '…' : ''
  const where = at > 0 ? ` at index ${at} of ${text.length}` : ''
  return `${before}${JSON.stringify(text.slice(start, end))}${after}${where}`
}

function isLowSurrogate(text: string, index: number): boolean {
  const unit = text.charCodeAt(index)
  return unit >= 0xdc00 && unit <= 0xdfff
}

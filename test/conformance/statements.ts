/**
 * The normative statements of both versions, and how the title of a test names them:
 * `[3.1.1 MQTT-2.3.1-1, -2] [5 MQTT-4.3.3-1 to -5]`, and `[5 section 4.11]` where the specification has no number.
 */

export type Version = '3.1.1' | '5'

export const VERSIONS: readonly Version[] = ['3.1.1', '5']

export interface Statement {
  /** `MQTT-2.3.1-1`, or `section 4.11`. */
  readonly id: string
  readonly side: 'client' | 'server' | 'both'
  readonly requirement: string
  /** Why no test of a client can show it; undefined when one can. */
  readonly untestable: string | undefined
}

const SIDES: readonly Statement['side'][] = ['client', 'server', 'both']

/** Reads a table: id, side, requirement, `yes` or `no: reason`, separated by tabs, below a line of headings. */
export function parseStatements(table: string): Statement[] {
  const lines = table.trimEnd().split('\n').slice(1)
  return lines.map((line, index) => {
    const [id = '', side, requirement = '', testable = '', ...rest] = line.split('\t')
    const place = `line ${index + 2}: ${line}`
    const known = SIDES.find((name) => name === side)
    if (known === undefined || id === '' || requirement === '' || rest.length > 0) throw new Error(place)
    if (testable === 'yes') return { id, side: known, requirement, untestable: undefined }
    const reason = /^no: (.+)$/.exec(testable)?.[1]
    if (reason === undefined) throw new Error(place)
    return { id, side: known, requirement, untestable: reason }
  })
}

/** A test as the runner tells of it. */
export interface TestTitle {
  /** From the root of the project. */
  readonly file: string
  /** The suites from the outermost, then the test. */
  readonly titles: readonly string[]
}

/**
 * What a test names for a version. A title that says with which version the test ran counts for no other. Tests of
 * the test broker, and of what it reads of clients, show nothing of a client.
 */
export function statementsNamed({ file, titles }: TestTitle, version: Version): string[] {
  if (file.startsWith('src/testing/') || titles.some((title) => FROM_CLIENT.test(title))) return []
  if (titles.some((title) => (RAN_WITH.exec(title)?.slice(1).find(Boolean) ?? version) !== version)) return []
  const named: string[] = []
  for (const [, of, list = ''] of titles.join(' ').matchAll(NAMED)) {
    if (of === version) named.push(...expand(list))
  }
  return [...new Set(named)]
}

const NAMED = /\[(3\.1\.1|5) ((?:MQTT-|section )[^\]]+)\]/g
const FROM_CLIENT = /from the client in (?:3\.1\.1|5)$/

/** `3.1.1: …`, `… in 3.1.1`, `… (3.1.1)` */
const RAN_WITH = /^(3\.1\.1|5)(?=:|$)| in (3\.1\.1|5)$| \((3\.1\.1|5)\)$/

/** The title without the statements, for readers. */
export function withoutStatements(title: string): string {
  return title.replaceAll(NAMED, '').replaceAll(/ +(?=[ ,]|$)/g, '')
}

/** `MQTT-2.3.1-1, -2` and `MQTT-4.3.3-1 to -5`: what is left out is that of the one before. */
function expand(list: string): string[] {
  if (list.startsWith('section ')) return list.split(', ').map(sectionOf)
  const named: string[] = []
  let section = ''
  for (const item of list.split(', ')) {
    const parts = /^(?:MQTT-)?([\d.-]*?)-(\d+)(?: to -(\d+))?$/.exec(item)
    if (parts === null) {
      named.push(item)
      continue
    }
    section = parts[1] || section
    const first = Number(parts[2])
    const last = Number(parts[3] ?? first)
    for (let number = first; number <= last; number++) named.push(`MQTT-${section}-${number}`)
  }
  return named
}

function sectionOf(item: string): string {
  return item.startsWith('section ') ? item : `section ${item}`
}

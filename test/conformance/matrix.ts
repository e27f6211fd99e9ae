/** Which tests show which statement, and how they went: counted, and as a page. */

import { type Statement, statementsNamed, type TestTitle, VERSIONS, type Version } from './statements.ts'

export type Result = 'passed' | 'failed' | 'skipped'

export interface RunTest extends TestTitle {
  readonly result: Result
}

export interface Row {
  readonly statement: Statement
  /** Empty for one that cannot be tested. */
  readonly tests: readonly RunTest[]
  readonly result: Result | 'not covered' | 'not testable'
}

export interface Count {
  readonly testable: number
  readonly covered: number
  readonly passed: number
}

export type Matrix = Readonly<Record<Version, readonly Row[]>>

/** @throws Error when a title names what is no statement */
export function createMatrix(
  statements: Readonly<Record<Version, readonly Statement[]>>,
  tests: readonly RunTest[],
): Matrix {
  return { '3.1.1': rowsOf('3.1.1', statements['3.1.1'], tests), '5': rowsOf('5', statements['5'], tests) }
}

function rowsOf(version: Version, statements: readonly Statement[], tests: readonly RunTest[]): Row[] {
  const named = new Map<string, RunTest[]>(statements.map(({ id }) => [id, []]))
  for (const test of tests) {
    for (const id of statementsNamed(test, version)) {
      const list = named.get(id)
      if (list === undefined) throw new Error(`no statement [${version} ${id}]: ${test.titles.join(' > ')}`)
      list.push(test)
    }
  }
  return statements.map((statement) => {
    if (statement.untestable !== undefined) return { statement, tests: [], result: 'not testable' }
    const shown = named.get(statement.id) ?? []
    return { statement, tests: shown, result: resultOf(shown) }
  })
}

/** One that failed is enough to fail; one that passed is needed to pass. */
function resultOf(tests: readonly RunTest[]): Row['result'] {
  if (tests.length === 0) return 'not covered'
  if (tests.some(({ result }) => result === 'failed')) return 'failed'
  return tests.some(({ result }) => result === 'passed') ? 'passed' : 'skipped'
}

export function count(rows: readonly Row[]): Count {
  const testable = rows.filter(({ result }) => result !== 'not testable')
  const covered = testable.filter(({ result }) => result !== 'not covered')
  const passed = covered.filter(({ result }) => result === 'passed')
  return { testable: testable.length, covered: covered.length, passed: passed.length }
}

/**
 * What is wrong with it, a sentence for each: tests that failed, statements that no test shows, and, where that may not
 * be, those that were shown by tests alone that were skipped.
 */
export function faultsOf(matrix: Matrix, maySkip: boolean): readonly string[] {
  return VERSIONS.flatMap((version) =>
    matrix[version].flatMap(({ statement, tests, result }) => {
      const id = `[${version} ${statement.id}]`
      if (result === 'not covered' || (result === 'skipped' && !maySkip)) return [`${result}: ${id}`]
      const failed = tests.filter((test) => test.result === 'failed')
      return failed.map(({ file, titles }) => `failed: ${id} ${file}: ${titles.join(' > ')}`)
    }),
  )
}

/** `3.1.1: 115 statements can be tested, 115 are covered, 115 passed` */
export function countLine(version: Version, rows: readonly Row[]): string {
  const { testable, covered, passed } = count(rows)
  return `${version}: ${testable} statements can be tested, ${covered} are covered, ${passed} passed`
}

/** The page for readers: a table for each version, and the counts. */
export function createPage(matrix: Matrix, withoutStatements: (title: string) => string): string {
  const lines = [
    '# Conformance',
    '',
    'Every normative statement of MQTT 3.1.1 and MQTT 5, in our own words, with the tests that show it. Made by',
    '`npm run conformance`; do not edit. A test names the statements that it shows in its title.',
  ]
  for (const version of VERSIONS) {
    lines.push('', `## MQTT ${version}`, '')
    lines.push('| Statement | Side | Requirement | Tests | Result |', '|---|---|---|---|---|')
    for (const { statement, tests, result } of matrix[version]) {
      const { id, side, requirement, untestable } = statement
      const shown = untestable ?? listed(tests, withoutStatements)
      lines.push(`| ${[id, side, escaped(requirement), shown, result].join(' | ')} |`)
    }
  }
  lines.push('', '## Count', '', ...VERSIONS.map((version) => `- ${countLine(version, matrix[version])}`), '')
  return lines.join('\n')
}

/** Titles that are shown of one file; the others are counted. */
const SHOWN = 3

function listed(tests: readonly RunTest[], withoutStatements: (title: string) => string): string {
  const files = new Map<string, string[]>()
  for (const { file, titles } of tests) {
    const list = files.get(file) ?? []
    list.push(withoutStatements(titles.join(' ')))
    files.set(file, list)
  }
  return [...files]
    .map(([file, titles]) => {
      const more = titles.length > SHOWN ? `; ${titles.length - SHOWN} more` : ''
      return `\`${file}\`: ${titles.slice(0, SHOWN).map(escaped).join('; ')}${more}`
    })
    .join('<br>')
}

/** On one line of a table, whatever characters a title has. */
function escaped(text: string): string {
  return text
    .replaceAll(/[\p{Cc}\p{Cs}\uFEFF]/gu, (character) => `U+${hex(character)}`)
    .replaceAll(/[\\`*_<>|[\]]/g, (character) => `\\${character}`)
}

function hex(character: string): string {
  return (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')
}

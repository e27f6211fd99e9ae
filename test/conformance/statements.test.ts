// How titles name statements, what counts, and the two tables.
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { count, createMatrix, createPage, faultsOf, type RunTest } from './matrix.ts'
import {
  parseStatements,
  type Statement,
  statementsNamed,
  VERSIONS,
  withoutStatements,
} from './statements.ts'

const tableOf = (version: string): Statement[] =>
  parseStatements(readFileSync(new URL(`statements-${version}.tsv`, import.meta.url), 'utf8'))

function named(title: string, version: '3.1.1' | '5', file = 'src/core/x.test.ts'): string[] {
  return statementsNamed({ file, titles: ['a suite', title] }, version)
}

describe('a title', () => {
  it.each([
    ['is so [5 MQTT-1.5.4-1]', ['MQTT-1.5.4-1']],
    ['is so [3.1.1 MQTT-9.9.9-9] [5 MQTT-1.5.4-1] (twice)', ['MQTT-1.5.4-1']],
    ['is so [5 MQTT-4.3.3-1, -2, 4.4.0-1]', ['MQTT-4.3.3-1', 'MQTT-4.3.3-2', 'MQTT-4.4.0-1']],
    ['is so [5 MQTT-4.3.3-2 to -4]', ['MQTT-4.3.3-2', 'MQTT-4.3.3-3', 'MQTT-4.3.3-4']],
    ['is so [5 MQTT-4.2-1] [5 MQTT-4.2-1]', ['MQTT-4.2-1']],
    ['is so [5 MQTT-3-8.3-4]', ['MQTT-3-8.3-4']],
    ['is so [5 section 4.11, 4.13.1]', ['section 4.11', 'section 4.13.1']],
    ['is so, [5: 3.1.2]', []],
  ])('names statements, form %#', (title, ids) => {
    expect(named(title, '5')).toEqual(ids)
  })

  it.each([
    'is so [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3] (5)',
    '5: is so [3.1.1 MQTT-2.3.1-1]',
    'is so [3.1.1 MQTT-2.3.1-1] in 5',
    'is so [3.1.1 MQTT-2.3.1-1], from the client in 3.1.1',
  ])('shows nothing for the version that it did not run with, or of a client, form %#', (title) => {
    expect(named(title, '3.1.1')).toEqual([])
  })

  it('of the test broker shows nothing', () => {
    expect(named('is so [5 MQTT-1.5.4-1]', '5', 'src/testing/broker/broker.test.ts')).toEqual([])
  })

  it('is shown without statements', () => {
    expect(withoutStatements('is so [3.1.1 MQTT-2.3.1-1] [5 section 4.11] (5)')).toBe('is so (5)')
  })
})

describe.each(VERSIONS)('the table of %s', (version) => {
  const table = tableOf(version)

  it('has each statement once, and none without a requirement', () => {
    expect(table).toHaveLength(version === '5' ? 262 : 147)
    expect(new Set(table.map(({ id }) => id)).size).toBe(table.length)
    expect(table.filter(({ id }) => !/^(?:MQTT-[\d.-]+-\d+|section [\d.]+)$/.test(id))).toEqual([])
  })

  it('has no statement of the client that cannot be tested', () => {
    expect(table.filter(({ side, untestable }) => side !== 'server' && untestable !== undefined)).toEqual([])
  })
})

describe('the matrix', () => {
  const statement = (id: string, untestable?: string): Statement => {
    return { id, side: 'both', requirement: `of | ${id}`, untestable }
  }
  const test = (title: string, result: RunTest['result'] = 'passed'): RunTest => {
    return { file: 'a.test.ts', titles: [title], result }
  }
  const statements = {
    '3.1.1': [statement('MQTT-1.0.0-1'), statement('MQTT-1.0.0-2', 'why not')],
    '5': [statement('MQTT-1.0.0-1'), statement('MQTT-1.0.0-2'), statement('MQTT-1.0.0-3')],
  }

  it('counts what is covered, and what of that passed', () => {
    const tests = [
      test('[3.1.1 MQTT-1.0.0-1, -2]'),
      test('[5 MQTT-1.0.0-1, -2]'),
      test('[5 MQTT-1.0.0-2]', 'failed'),
    ]
    const matrix = createMatrix(statements, tests)
    expect(count(matrix['3.1.1'])).toEqual({ testable: 1, covered: 1, passed: 1 })
    expect(count(matrix['5'])).toEqual({ testable: 3, covered: 2, passed: 1 })
    expect(matrix['5'].map(({ result }) => result)).toEqual(['passed', 'failed', 'not covered'])
  })

  it('does not take what was skipped for passed', () => {
    const matrix = createMatrix(statements, [test('[5 MQTT-1.0.0-1]', 'skipped')])
    expect(count(matrix['5'])).toEqual({ testable: 3, covered: 1, passed: 0 })
  })

  it('tells of what no test shows, what failed, and what was skipped where nothing may be', () => {
    const tests = [test('[3.1.1 MQTT-1.0.0-1]', 'skipped'), test('[5 MQTT-1.0.0-1] is wrong', 'failed')]
    const matrix = createMatrix(statements, [...tests, test('[5 MQTT-1.0.0-2]')])
    const faults = [
      'failed: [5 MQTT-1.0.0-1] a.test.ts: [5 MQTT-1.0.0-1] is wrong',
      'not covered: [5 MQTT-1.0.0-3]',
    ]
    expect(faultsOf(matrix, true)).toEqual(faults)
    expect(faultsOf(matrix, false)).toEqual(['skipped: [3.1.1 MQTT-1.0.0-1]', ...faults])
  })

  it('refuses a statement that does not exist', () => {
    expect(() => createMatrix(statements, [test('[5 MQTT-1.0.0-9]')])).toThrow('[5 MQTT-1.0.0-9]')
  })

  it('becomes a page on which every title stays in its cell', () => {
    const page = createPage(
      createMatrix(statements, [test('a | b\n\0 [3.1.1 MQTT-1.0.0-1]')]),
      withoutStatements,
    )
    expect(page).toContain(
      '| MQTT-1.0.0-1 | both | of \\| MQTT-1.0.0-1 | `a.test.ts`: a \\| bU+000AU+0000 | passed |',
    )
    expect(page).toContain('| MQTT-1.0.0-2 | both | of \\| MQTT-1.0.0-2 | why not | not testable |')
    expect(page).toContain('5: 3 statements can be tested, 0 are covered, 0 passed')
  })
})

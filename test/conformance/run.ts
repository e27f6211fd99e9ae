// `npm run conformance`: runs all tests, writes docs/conformance.md and ends with a count; `-- --json` prints the
// count alone. Exits with 1 when a statement has no test, a test of one failed, or tests could not be run; with
// PETREL_REQUIRE also when all tests of a statement were skipped.
//
//     npm run conformance -- --report FILE     looks at what a run of all tests has reported as JSON, and writes no page
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { required } from '../support/requirements.ts'
import { count, countLine, createMatrix, createPage, faultsOf, type Result, type RunTest } from './matrix.ts'
import { parseStatements, VERSIONS, withoutStatements } from './statements.ts'

/** What we read of the runner's report. */
interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly {
      readonly ancestorTitles: readonly string[]
      readonly title: string
      readonly status: string
    }[]
  }[]
}

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, report: { type: 'string' } },
})
const root = join(dirname(process.argv[1] ?? ''), '../..')

/** Runs both projects; the report is missing when the runner itself failed. */
async function runTests(): Promise<Report> {
  const directory = mkdtempSync(join(tmpdir(), 'petrel-conformance-'))
  const file = join(directory, 'report.json')
  const runner = join(root, 'node_modules/vitest/vitest.mjs')
  const args = ['run', '--project', 'unit', '--project', 'integration']
  try {
    await new Promise((resolve, reject) => {
      const child = spawn(
        process.execPath,
        [
          runner,
          ...args,
          '--reporter=json',
          '--reporter=./test/support/report-skips.ts',
          `--outputFile=${file}`,
        ],
        { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
      )
      child.on('error', reject)
      child.on('exit', resolve)
    })
    return reportIn(file)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function reportIn(file: string): Report {
  return JSON.parse(readFileSync(file, 'utf8')) as Report
}

function testsOf({ testResults }: Report): RunTest[] {
  const tests = testResults.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ ancestorTitles, title, status }) => ({
      file: relative(root, name).replaceAll('\\', '/'),
      titles: [...ancestorTitles, title],
      result: resultOf(status),
    })),
  )
  // The runner tells of files as they end: the page has them always in the same order.
  return tests.toSorted((a, b) => (a.file < b.file ? -1 : Number(a.file > b.file)))
}

function resultOf(status: string): Result {
  return status === 'passed' || status === 'failed' ? status : 'skipped'
}

function tableOf(version: string): ReturnType<typeof parseStatements> {
  return parseStatements(readFileSync(join(root, `test/conformance/statements-${version}.tsv`), 'utf8'))
}

const report = values.report === undefined ? await runTests() : reportIn(values.report)
const matrix = createMatrix({ '3.1.1': tableOf('3.1.1'), '5': tableOf('5') }, testsOf(report))
if (values.report === undefined) {
  writeFileSync(join(root, 'docs/conformance.md'), createPage(matrix, withoutStatements))
}

for (const { name, status, message, assertionResults } of report.testResults) {
  if (status !== 'failed' || assertionResults.some((test) => test.status === 'failed')) continue
  console.error(`${relative(root, name)} could not be run: ${message}`)
  process.exitCode = 1
}
for (const fault of faultsOf(matrix, required().length === 0)) {
  console.error(fault)
  process.exitCode = 1
}
if (values.json) {
  // By hand: an object would have '5' first, which looks like an index.
  const counts = VERSIONS.map((version) => `"${version}":${JSON.stringify(count(matrix[version]))}`)
  console.log(`{${counts.join(',')}}`)
} else {
  for (const version of VERSIONS) console.log(countLine(version, matrix[version]))
}

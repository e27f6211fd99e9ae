// What looks for a bug in a copy: some unit tests, and seeds of the simulation. Both are processes of their own,
// because a bug may let them run for ever.
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import { build } from 'esbuild'
import type { SeedMessage } from './seeds.ts'

/** What the tests found: the first that failed, or why they could not be run. */
export interface TestFinding {
  readonly file: string
  readonly title: string
}

export interface SeedFinding {
  readonly seed: number
  readonly violation: string
}

/** What we read of the runner's report. */
interface Report {
  readonly testResults: readonly {
    readonly name: string
    readonly status: string
    readonly message: string
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[]
  }[]
}

/** ms for all tests of a call, for one of them, and for one seed: twenty times what they need on an idle machine. */
const TESTS_LIMIT = 240_000
const TEST_LIMIT = 30_000
const SEED_LIMIT = 20_000

const running = new Set<ChildProcess>()

/** Ends all that still runs. */
export function endAll(): void {
  for (const child of running) end(child)
}

/**
 * The first test that fails, undefined when none does.
 *
 * @throws Error when the tests could not be run, or did not end: that says nothing about the bug
 */
export async function findByTests(root: string, tests: readonly string[]): Promise<TestFinding | undefined> {
  const output = join(root, 'report.json')
  rmSync(output, { force: true })
  // One worker: the first failure is then always the same one.
  const args = ['run', '--project=unit', '--bail=1', '--maxWorkers=1', `--testTimeout=${TEST_LIMIT}`]
  const report = ['--reporter=json', `--outputFile=${output}`]
  const child = start(join(root, 'node_modules/vitest/vitest.mjs'), [...args, ...report, ...tests], root)
  const timer = setTimeout(() => end(child), TESTS_LIMIT)
  const { stderr, signal } = await ended(child)
  clearTimeout(timer)
  if (signal !== null) throw new Error(`the tests did not end within ${TESTS_LIMIT} ms`)
  return firstFailure(readReport(output, stderr), root)
}

/** Makes a program of the copy's simulation. */
export async function bundleSeeds(root: string): Promise<string> {
  const outfile = join(root, 'seeds.mjs')
  await build({
    entryPoints: [join(root, 'test/planted-bugs/seeds.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'warning',
  })
  return outfile
}

/** The first seed that fails, undefined when none of `count` does. */
export async function findBySeeds(root: string, count: number): Promise<SeedFinding | undefined> {
  const child = start(await bundleSeeds(root), [String(count)], root)
  let seed = 0
  let violation: string | undefined
  let timer = setTimeout(() => end(child), SEED_LIMIT)
  child.on('message', (message: SeedMessage) => {
    clearTimeout(timer)
    timer = setTimeout(() => end(child), SEED_LIMIT)
    seed = message.seed
    violation ??= message.violation
  })
  const { code, stderr, signal } = await ended(child)
  clearTimeout(timer)
  if (violation !== undefined) return { seed, violation }
  if (signal !== null) return { seed, violation: `did not end within ${SEED_LIMIT} ms` }
  return code === 0 ? undefined : { seed, violation: `threw: ${errorLine(stderr)}` }
}

function firstFailure({ testResults }: Report, root: string): TestFinding | undefined {
  const failed = testResults.filter(({ status }) => status === 'failed')
  for (const { name, assertionResults } of failed) {
    const test = assertionResults.find(({ status }) => status === 'failed')
    if (test !== undefined) return { file: relative(root, name).replaceAll('\\', '/'), title: test.fullName }
  }
  const [broken] = failed
  if (broken !== undefined)
    throw new Error(`${relative(root, broken.name)} could not be run: ${broken.message}`)
  if (testResults.length === 0) throw new Error('no test was found')
  return undefined
}

function readReport(file: string, stderr: string): Report {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Report
  } catch {
    throw new Error(`the tests could not be run: ${errorLine(stderr)}`)
  }
}

/** A process in a group of its own, so that its workers end with it. */
function start(program: string, args: readonly string[], cwd: string): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  running.add(child)
  return child
}

function end(child: ChildProcess): void {
  try {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

function ended(child: ChildProcess): Promise<{ code: number | null; signal: string | null; stderr: string }> {
  let stderr = ''
  child.stderr?.on('data', (text: Buffer) => (stderr = `${stderr}${text.toString()}`.slice(-20_000)))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      running.delete(child)
      resolve({ code, signal, stderr })
    })
  })
}

/** The line that says what was thrown. */
function errorLine(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '')
  return (lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.at(-1) ?? 'without a word').trim()
}

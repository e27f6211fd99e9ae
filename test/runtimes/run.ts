// `npm run test:runtimes`: packs the package and runs one suite with it, suite.ts, on every runtime that it promises
// to run on, which npm fetches into the user's cache. Prints a table; exits with 1 when a part failed, or a runtime
// could not be had.
//
//     npm run test:runtimes -- --only node24,bun     some runtimes
//     npm run test:runtimes -- --json                the results as JSON
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { build, type Plugin } from 'esbuild'
import { createBroker } from '../../src/testing/broker-server.ts'
import { Packed } from '../package/packed.ts'
import { Authority } from '../support/certificates.ts'
import { isMosquittoInstalled, Mosquitto } from '../support/mosquitto-process.ts'
import { type Fronts, openFronts } from './fronts.ts'
import { type Program, programOf, type Runtime, RUNTIMES } from './runtimes.ts'
import type { PartName, PartResult, Surroundings } from './suite.ts'

/** The suite's parts, and that its process ends by itself. */
type Column = PartName | 'ends'

const COLUMNS: readonly Column[] = [
  'tcp',
  'tls',
  'ws',
  'wss',
  'mosquitto',
  'reconnect',
  'store',
  'streams',
  'require',
  'ends',
]

/** ms that a suite may take, and that its process may take to end once it is done. */
const PATIENCE = 180_000
const ENDING = 5_000

/** Characters of what a process that fails has written to its standard error. */
const SHOWN = 1_500

interface Row {
  readonly runtime: string
  readonly version: string
  readonly outcomes: Partial<Record<Column, PartResult['outcome']>>
  /** What went wrong, in sentences. */
  readonly faults: readonly string[]
  /** ms */
  readonly duration: number
}

const { values } = parseArgs({
  options: { only: { type: 'string' }, json: { type: 'boolean', default: false } },
})
const root = join(dirname(process.argv[1] ?? ''), '../..')

function selected(): readonly Runtime[] {
  const names = values.only?.split(',') ?? RUNTIMES.map(({ name }) => name)
  const unknown = names.filter((name) => !RUNTIMES.some((runtime) => runtime.name === name))
  if (unknown.length === 0) return RUNTIMES.filter(({ name }) => names.includes(name))
  console.error(
    `usage: npm run test:runtimes -- [--only ${RUNTIMES.map(({ name }) => name).join(',')}] [--json]`,
  )
  console.error(`no runtime is named ${unknown.join(', ')}`)
  process.exit(2)
}

/** The suite imports the package as its users do. */
const packageImports: Plugin = {
  name: 'package-imports',
  setup(bundler): void {
    bundler.onResolve({ filter: /src\/index\.ts$/ }, () => ({ path: 'petrel', external: true }))
    bundler.onResolve({ filter: /src\/testing\/index\.ts$/ }, () => ({
      path: 'petrel/testing',
      external: true,
    }))
  },
}

/** Returns the file. */
async function writeSuite(folder: string): Promise<string> {
  const outfile = join(folder, 'suite.mjs')
  const entryPoints = [join(root, 'test/runtimes/suite.ts')]
  const plugins = [packageImports]
  await build({
    entryPoints,
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'es2022',
    plugins,
  })
  return outfile
}

async function test(runtime: Runtime, suite: string, surroundings: Surroundings): Promise<Row> {
  const { name, version } = runtime
  const start = performance.now()
  try {
    const program = await programOf(runtime)
    return { runtime: name, version, ...(await play(program, suite, surroundings)) }
  } catch (error) {
    const faults = [error instanceof Error ? error.message : String(error)]
    return { runtime: name, version, outcomes: {}, faults, duration: performance.now() - start }
  }
}

function play(
  { command, args }: Program,
  suite: string,
  surroundings: Surroundings,
): Promise<Omit<Row, 'runtime' | 'version'>> {
  mkdirSync(surroundings.folder, { recursive: true })
  const start = performance.now()
  const outcomes: Partial<Record<Column, PartResult['outcome']>> = {}
  const faults: string[] = []
  let [errors, isDone] = ['', false]
  const child = spawn(command, [...args, suite, JSON.stringify(surroundings)], {
    cwd: dirname(suite),
    env: { ...process.env, NO_COLOR: '1', DENO_NO_UPDATE_CHECK: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { part, outcome, error } = JSON.parse(line) as PartResult
    if (part === 'done') {
      isDone = true
      clearTimeout(timer)
      timer = setTimeout(() => child.kill('SIGKILL'), ENDING)
      return
    }
    outcomes[part] = outcome
    if (error !== undefined) faults.push(`${part}: ${error}`)
  })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      clearTimeout(timer)
      outcomes.ends = isDone && code === 0 ? 'passed' : 'failed'
      const how = `${isDone ? 'done, but' : 'not done:'} ended by ${signal ?? `exit code ${code}`}`
      if (outcomes.ends === 'failed') faults.push(`ends: ${how}\n${errors.trim().slice(0, SHOWN)}`)
      resolve({ outcomes, faults, duration: performance.now() - start })
    })
  })
}

const SIGNS = { passed: '✓', failed: 'FAILED', skipped: 'skipped' } as const

function print(rows: readonly Row[]): void {
  const heads = ['runtime', ...COLUMNS, 's']
  const lines = rows.map(({ runtime, version, outcomes, duration }) => [
    `${runtime.replace(/\d+$/, '')} ${version}`,
    ...COLUMNS.map((column) => (outcomes[column] === undefined ? '–' : SIGNS[outcomes[column]])),
    (duration / 1_000).toFixed(1),
  ])
  const widths = heads.map((_, index) =>
    Math.max(...[heads, ...lines].map((line) => line[index]?.length ?? 0)),
  )
  for (const line of [heads, ...lines]) {
    console.log(
      line
        .map((cell, index) => cell.padEnd(widths[index] ?? 0))
        .join('  ')
        .trimEnd(),
    )
  }
  for (const { runtime, faults } of rows) for (const fault of faults) console.log(`\n${runtime}: ${fault}`)
  if (!isMosquittoInstalled) console.log('\nSkipped: mosquitto, which was not found on the PATH.')
}

async function main(): Promise<number> {
  const runtimes = selected()
  const packed = Packed.make(root)
  const authority = new Authority('Petrel test authority')
  const server = createBroker()
  const mosquitto = isMosquittoInstalled ? await Mosquitto.start('plain') : undefined
  let fronts: Fronts | undefined
  const rows: Row[] = []
  try {
    const { port } = new URL(await server.listen())
    fronts = await openFronts(Number(port), authority.issue())
    const urls = { ...fronts.urls, ...(mosquitto === undefined ? {} : { mosquitto: mosquitto.url }) }
    const { folder } = packed.project('runtimes')
    const suite = await writeSuite(folder)
    for (const runtime of runtimes) {
      if (!values.json) console.error(`… ${runtime.name}`)
      const surroundings = { urls, ca: authority.cert, folder: join(folder, runtime.name) }
      rows.push(await test(runtime, suite, surroundings))
    }
  } finally {
    fronts?.close()
    await server.close()
    await mosquitto?.stop()
    packed.remove()
  }
  if (values.json) console.log(JSON.stringify(rows))
  else print(rows)
  return rows.every(({ faults }) => faults.length === 0) ? 0 : 1
}

process.exit(await main())

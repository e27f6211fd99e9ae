// `npm run fuzz -- --inputs 10000000 --conversations 100000 --from 0`: damaged packets for framer and decoder, and
// conversations with a malicious server, over the cores. Prints what came of them; what failed as bytes, with the
// command that repeats it. Exits with 1 when something failed, hung or took more memory than is stated.
//
// With `--json` the report is one object; with `--coverage` it says which lines of src/core were reached.
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { uncaught } from './client-conversation.ts'
import { coverageOf, describeCoverage } from './coverage.ts'
import { playConversation, playInput } from './play.ts'
import {
  addConversation,
  addFailure,
  addInput,
  addTotals,
  describe,
  faultsOf,
  noTotals,
  repeat,
  type Totals,
} from './report.ts'

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '200000' },
    conversations: { type: 'string', default: '2000' },
    from: { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
    coverage: { type: 'boolean', default: false },
  },
})
const [inputs, conversations, from] = [values.inputs, values.conversations, values.from].map(Number)
if (!isCount(inputs) || !isCount(conversations) || !isCount(from)) {
  console.error(
    'usage: npm run fuzz -- --inputs COUNT --conversations COUNT --from SEED [--json] [--coverage]',
  )
  process.exit(2)
}

/** Seeds between two messages to the leader; ms without one after which a worker hangs. */
const BATCH = { input: 1_000, conversation: 50 } as const
const PATIENCE = 60_000

/** What a worker sends: what it has done since the message before, and what it does next. */
interface Progress {
  readonly totals: Totals
  readonly next: { readonly seed: number; readonly what: 'input' | 'conversation' } | undefined
  /** Bytes, the peak. */
  readonly memory: number
}

/** The part of a worker: every `workers`-th seed. */
async function work(
  part: number,
  workers: number,
  counts: { input: number; conversation: number },
): Promise<void> {
  process.on('uncaughtException', (error) => uncaught.push(error))
  process.on('unhandledRejection', (error) => uncaught.push(error))
  let totals = noTotals()
  const send = async (next: Progress['next']): Promise<void> => {
    const memory = 1_024 * process.resourceUsage().maxRSS
    await new Promise((resolve) => process.send?.({ totals, next, memory } satisfies Progress, resolve))
    totals = noTotals()
  }
  for (const what of ['input', 'conversation'] as const) {
    // Most errors are expected, and half of the time would go into their stacks.
    Error.stackTraceLimit = what === 'input' ? 0 : 4
    let done = 0
    for (let seed = first + part; seed < first + counts[what]; seed += workers) {
      if (done++ % BATCH[what] === 0) await send({ seed, what })
      if (what === 'input') addInput(totals, playInput(seed))
      else addConversation(totals, await playConversation(seed))
    }
  }
  await send(undefined)
  process.disconnect()
}

/** Forks a worker and adds up what it sends. Resolves with the peak of its memory. */
function lead(part: number, workers: number, totals: Totals, coverage: string | undefined): Promise<number> {
  const environment = { ...process.env, PETREL_FUZZ_PART: `${part}/${workers}` }
  const worker = fork(fileURLToPath(import.meta.url), process.argv.slice(2), {
    env: coverage === undefined ? environment : { ...environment, NODE_V8_COVERAGE: coverage },
  })
  let memory = 0
  let next: Progress['next']
  let isComplete = false
  const patience = watch(worker)
  worker.on('message', (message) => {
    const progress = message as Progress
    addTotals(totals, progress.totals)
    memory = progress.memory
    next = progress.next
    isComplete = next === undefined
    patience.refresh()
  })
  return new Promise((resolve) => {
    worker.on('exit', (code, signal) => {
      clearTimeout(patience)
      const { seed, what } = next ?? { seed: first, what: 'input' }
      if (!isComplete) {
        const text = `a worker ended by ${signal ?? code}, or hung, in what begins with this seed`
        addFailure(totals, { seed, what, texts: [text], hex: [] })
      }
      resolve(memory)
    })
  })
}

function watch(worker: ChildProcess): NodeJS.Timeout {
  return setTimeout(() => worker.kill('SIGKILL'), PATIENCE)
}

function print(totals: Totals, memory: readonly number[], seconds: number, folder: string | undefined): void {
  const coverage = folder === undefined ? undefined : coverageOf(folder)
  const faults = faultsOf(totals, memory)
  if (values.json) {
    const files = coverage && Object.fromEntries(coverage)
    console.log(JSON.stringify({ ...totals, memory, seconds, faults, coverage: files }))
  } else {
    for (const line of describe(totals, memory, seconds)) console.log(line)
    if (coverage !== undefined) for (const line of describeCoverage(coverage)) console.log(line)
    for (const failure of totals.failures) {
      console.log(`${failure.what} ${failure.seed} failed; to repeat it: ${repeat(failure)}`)
      for (const text of [...failure.texts, ...failure.hex]) console.log(`  ${text}`)
    }
    for (const fault of faults) console.log(`failed: ${fault}`)
  }
  if (faults.length > 0) process.exitCode = 1
}

async function main(): Promise<void> {
  const started = performance.now()
  const totals = noTotals()
  const folder = values.coverage ? mkdtempSync(join(tmpdir(), 'petrel-fuzz-')) : undefined
  try {
    const workers = Math.max(1, Math.min(availableParallelism(), Math.max(counts.input, counts.conversation)))
    const parts = Array.from({ length: workers }, (_, part) => lead(part, workers, totals, folder))
    const memory = await Promise.all(parts)
    print(totals, memory, (performance.now() - started) / 1_000, folder)
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  }
}

function isCount(value: number | undefined): value is number {
  return value !== undefined && Number.isSafeInteger(value) && value >= 0
}

const first = from
const counts = { input: inputs, conversation: conversations }
const part = process.env['PETREL_FUZZ_PART']
if (part === undefined) await main()
else await work(Number(part.split('/')[0]), Number(part.split('/')[1]), counts)

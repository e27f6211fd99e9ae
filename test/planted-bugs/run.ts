// `npm run planted-bugs`: plants the bugs of `bugs.ts` one at a time in a copy of the sources, and says which test and
// which seed of the simulation find each. Exits with 1 when a bug is found by no test, or cannot be planted.
//
//     npm run planted-bugs -- --only 'no DUP' --seeds 1000     some bugs, more seeds
//     npm run planted-bugs -- --json                          the findings as JSON
//     npm run planted-bugs -- --quick                         only whether every bug can still be planted
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { BUGS, type PlantedBug } from './bugs.ts'
import { endAll, findBySeeds, findByTests, type SeedFinding, type TestFinding } from './checks.ts'
import { faultOf, Tree } from './tree.ts'

/** Bugs at a time: as many as the smallest machine has cores. */
const AT_ONCE = 2

interface Finding {
  readonly name: string
  readonly file: string
  readonly why: string
  readonly test: TestFinding | undefined
  readonly seed: SeedFinding | undefined
  /** Why it could not be looked for. */
  readonly fault: string | undefined
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    seeds: { type: 'string', default: '200' },
    json: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
})
const seeds = Number(values.seeds)
const source = join(dirname(process.argv[1] ?? ''), '../..')
const trees: Tree[] = []

function selected(): readonly PlantedBug[] {
  const unknown = values.only.filter((name) => !BUGS.some((bug) => bug.name === name))
  if (unknown.length === 0 && Number.isSafeInteger(seeds) && seeds >= 0) {
    return values.only.length === 0 ? BUGS : BUGS.filter(({ name }) => values.only.includes(name))
  }
  console.error('usage: npm run planted-bugs -- [--only NAME]… [--seeds COUNT] [--json] [--quick]')
  if (unknown.length > 0) console.error(`no bug is named ${unknown.join(', ')}`)
  process.exit(2)
}

/** Whether every bug can be planted; says of each that cannot. */
async function checkTable(bugs: readonly PlantedBug[]): Promise<boolean> {
  let isWhole = true
  for (const bug of bugs) {
    const fault = await faultOf(source, bug)
    if (fault === undefined) continue
    isWhole = false
    console.error(`"${bug.name}" cannot be planted: ${fault}`)
  }
  return isWhole
}

/** Runs `work` on each item, as many at a time as there are trees; the results are in the order of the items. */
async function inTrees<Item, Result>(
  items: readonly Item[],
  work: (item: Item, tree: Tree) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = []
  let next = 0
  await Promise.all(
    trees.map(async (tree) => {
      for (let index = next++; index < items.length; index = next++) {
        results[index] = await work(items[index] as Item, tree)
      }
    }),
  )
  return results
}

/** What finds something where nothing is planted would find every bug. */
async function checkGreen(bugs: readonly PlantedBug[]): Promise<boolean> {
  const tests = [...new Set(bugs.flatMap((bug) => bug.tests))]
  const findings = await inTrees(['tests', 'seeds'] as const, async (kind, { root }) => {
    const found = await (kind === 'seeds' ? findBySeeds(root, seeds) : findByTests(root, tests)).catch(
      messageOf,
    )
    if (found !== undefined) console.error(`without a bug there is a failure: ${JSON.stringify(found)}`)
    return found
  })
  return findings.every((found) => found === undefined)
}

async function look(bug: PlantedBug, tree: Tree): Promise<Finding> {
  const { name, file, why, tests } = bug
  let fault: string | undefined
  let test: TestFinding | undefined
  let seed: SeedFinding | undefined
  tree.plant(bug)
  try {
    test = await findByTests(tree.root, tests)
    seed = await findBySeeds(tree.root, seeds)
  } catch (error) {
    fault = messageOf(error)
  }
  tree.restore()
  const finding = { name, file, why, test, seed, fault }
  if (!values.json) print(finding)
  return finding
}

function print({ name, test, seed, fault }: Finding): void {
  const byTest = test === undefined ? 'NO TEST' : `${test.file}: ${test.title}`
  const bySeed = seed === undefined ? `none of ${seeds}` : `${seed.seed}: ${seed.violation}`
  console.log(`${name}\n  test  ${byTest}\n  seed  ${bySeed}`)
  if (fault !== undefined) console.log(`  FAULT ${fault}`)
}

async function run(bugs: readonly PlantedBug[]): Promise<boolean> {
  const start = performance.now()
  for (let count = 0; count < AT_ONCE; count += 1) trees.push(new Tree(source))
  if (!(await checkGreen(bugs))) return false
  const findings = await inTrees(bugs, look)
  const byTest = findings.filter(({ test }) => test !== undefined).length
  const bySeed = findings.filter(({ seed }) => seed !== undefined).length
  const seconds = Math.round((performance.now() - start) / 1_000)
  if (values.json) console.log(JSON.stringify(findings, undefined, 2))
  else {
    console.log(
      `${bugs.length} planted: ${byTest} found by a test, ${bySeed} by ${seeds} seeds; ${seconds} s`,
    )
  }
  return findings.every(({ test, fault }) => test !== undefined && fault === undefined)
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

process.on('exit', () => {
  endAll()
  for (const tree of trees) tree.remove()
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

const bugs = selected()
const isWhole = await checkTable(bugs)
if (values.quick && isWhole) console.log(`${bugs.length} bugs can be planted`)
if (!isWhole || !(values.quick || (await run(bugs)))) process.exitCode = 1

// `npm run package`: packs the package and looks at it as its users' tools do: publint, arethetypeswrong, TypeScript
// in three versions, npm, Node. What it needs beyond the project npm fetches into the user's cache. Prints a line for
// each check; exits with 1 when one failed.
//
//     npm run package -- --import     also how long the import takes, on Node 24
//     npm run package -- --offline    only what needs nothing from the registry
import { execFileSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkTypes, COMBINATIONS } from './consumers.ts'
import { measureImport, ROUNDS } from './import-time.ts'
import { Packed } from './packed.ts'
import { IMPORTING, PRINTED, REQUIRING } from './programs.ts'

/** Bytes that the package and what it depends on may take when they are installed. */
const LARGEST = 1_000_000

const { values } = parseArgs({
  options: { import: { type: 'boolean', default: false }, offline: { type: 'boolean', default: false } },
})
const root = join(dirname(process.argv[1] ?? ''), '../..')

/** Returns what there is to say when all is well. @throws Error */
type Check = (packed: Packed) => string | Promise<string>

const OFFLINE: Readonly<Record<string, Check>> = {
  'publint --strict': (packed) => tool(packed, 'publint', ['--strict']),
  'attw --profile esm-only': (packed) => tool(packed, 'attw', ['--profile', 'esm-only', '--no-emoji']),
  import: (packed) => played(packed, 'program.mjs', IMPORTING),
  require: (packed) => played(packed, 'program.cjs', REQUIRING),
}

const ONLINE: Readonly<Record<string, Check>> = {
  'npm install': installed,
  types: async (packed) => {
    const complaints = await checkTypes(packed)
    const said = [...complaints].map(([name, text]) => `${name}\n${text}`)
    if (said.length > 0) throw new Error(`${said.length} of ${COMBINATIONS} failed\n${said.join('\n')}`)
    return `${COMBINATIONS} combinations of compiler, module resolution and platform, skipLibCheck false`
  },
}

const MEASURING: Readonly<Record<string, Check>> = {
  'import petrel': (packed) => importTime(packed, 'petrel'),
  'import petrel/core': (packed) => importTime(packed, 'petrel/core'),
}

/** @throws Error with what the tool printed */
function tool({ tarball }: Packed, name: string, args: readonly string[]): string {
  const command = join(root, 'node_modules/.bin', name)
  try {
    execFileSync(command, [...args, tarball], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { readonly stdout?: string; readonly stderr?: string }
    throw new Error(`${stdout}${stderr}`.trim(), { cause: error })
  }
  return 'clean'
}

function played(packed: Packed, name: string, text: string): string {
  const project = packed.project(name)
  const printed = project.run(process.execPath, [project.write(name, text)])
  if (printed !== PRINTED) throw new Error(`it printed ${printed}`)
  return `connects, publishes, receives and ends on Node ${process.versions.node}`
}

/** As a user does it, with the dependency from the registry. */
function installed(packed: Packed): string {
  const project = packed.emptyProject('installed')
  project.run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', packed.tarball], 120_000)
  const printed = project.run(process.execPath, [project.write('program.mjs', IMPORTING)])
  if (printed !== PRINTED) throw new Error(`it printed ${printed}`)
  const modules = join(project.folder, 'node_modules')
  const sizes = readdirSync(modules, { recursive: true, encoding: 'utf8' })
    .map((path) => statSync(join(modules, path)))
    .filter((file) => file.isFile())
  const bytes = sizes.reduce((total, { size }) => total + size, 0)
  const blocks = sizes.reduce((total, file) => total + file.blocks * 512, 0)
  const text = `${kilobytes(bytes)} in ${sizes.length} files with its dependencies, ${kilobytes(blocks)} of disk`
  if (bytes > LARGEST) throw new Error(`${text}: more than ${kilobytes(LARGEST)}`)
  return text
}

async function importTime(packed: Packed, entry: string): Promise<string> {
  const project = packed.project('import-time')
  const { bare, processor, clock } = await measureImport(project, entry)
  const [importing, starting, waiting] = [processor, bare, clock].map((ms) => `${ms.toFixed(1)} ms`)
  return `${importing} of processor time (a bare Node 24: ${starting}), ${waiting} by the clock; medians of ${ROUNDS}`
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1_000).toFixed(0)} KB`
}

async function main(): Promise<number> {
  const packed = Packed.make(root)
  const { files, size, unpackedSize } = packed
  console.log(`packed: ${files.length} files, ${kilobytes(size)}, unpacked ${kilobytes(unpackedSize)}`)
  const checks = { ...OFFLINE, ...(values.offline ? {} : ONLINE), ...(values.import ? MEASURING : {}) }
  let failures = 0
  for (const [name, check] of Object.entries(checks)) {
    try {
      console.log(`✓ ${name}: ${await check(packed)}`)
    } catch (error) {
      failures += 1
      console.log(`FAILED ${name}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  packed.remove()
  return failures === 0 ? 0 : 1
}

process.exit(await main())

// The examples in the documents: every block of TypeScript, as its reader copies it. They are type-checked against the
// sources, and some are run as programs of their own. A block is for Node unless it begins with ```ts browser.
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = join(root, 'node_modules/typescript/bin/tsc')

/** Below it the packages are found that examples use. */
const CACHE = join(root, 'node_modules/.cache/petrel')

type Platform = 'node' | 'browser'

export interface Example {
  /** From the root of the repository. */
  readonly file: string
  /** The line in the file before the first one of the code. */
  readonly line: number
  readonly platform: Platform
  readonly code: string
}

/** @param file from the root of the repository @throws Error for code in a block that nobody would look at */
export function readExamples(file: string): readonly Example[] {
  return examplesIn(file, readFileSync(join(root, file), 'utf8'))
}

export function examplesIn(file: string, text: string): readonly Example[] {
  const examples: Example[] = []
  for (const { index, 1: platform, 2: code = '' } of text.matchAll(/^```ts(?: (browser))?\n(.*?)^```$/gms)) {
    const line = text.slice(0, index).split('\n').length
    examples.push({ file, line, platform: platform === 'browser' ? 'browser' : 'node', code })
  }
  const [other] = withoutBlocks(text).match(/^.*```.*$/m) ?? []
  if (other !== undefined)
    throw new Error(`${file}: expected \`\`\`ts, sh or json at the margin, got ${other}`)
  return examples
}

function withoutBlocks(text: string): string {
  return text.replaceAll(/^```(?:ts|ts browser|sh|json)\n.*?^```$/gms, '')
}

/** For each platform: the configuration of its sources, and where `petrel` lies. */
const PLATFORMS: Readonly<Record<Platform, { readonly extends: string; readonly entry: string }>> = {
  node: { extends: 'tsconfig.json', entry: 'src/index.ts' },
  browser: { extends: 'tsconfig.browser.json', entry: 'src/index.browser.ts' },
}

/** What the compiler has against them, each as `FILE:LINE: MESSAGE`. */
export async function findFaults(examples: readonly Example[]): Promise<readonly string[]> {
  const found = (['node', 'browser'] as const).map((platform) =>
    compile(
      platform,
      examples.filter((example) => example.platform === platform),
    ),
  )
  return (await Promise.all(found)).flat()
}

async function compile(platform: Platform, examples: readonly Example[]): Promise<readonly string[]> {
  const folder = makeFolder()
  const { extends: base, entry } = PLATFORMS[platform]
  const paths = {
    petrel: [join(root, entry)],
    'petrel/core': [join(root, 'src/core/index.ts')],
    'petrel/testing': [join(root, 'src/testing/index.ts')],
  }
  const compilerOptions = { paths, moduleDetection: 'force' }
  const configuration = { extends: join(root, base), compilerOptions, include: ['*.ts'], exclude: [] }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(configuration))
  examples.forEach(({ code }, index) => writeFileSync(join(folder, `${index}.ts`), code))
  try {
    const said = await run(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], folder)
    return said
      .split('\n')
      .filter(Boolean)
      .map((line) => inTheDocument(line, examples))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** `0.ts(5,29): error TS2561: …` → `README.md:14: error TS2561: …`; else the line as it is. */
function inTheDocument(said: string, examples: readonly Example[]): string {
  const [, index, line, message] = /^(\d+)\.ts\((\d+),\d+\): (.*)$/.exec(said) ?? []
  const example = examples[Number(index)]
  return example === undefined ? said : `${example.file}:${example.line + Number(line)}: ${message}`
}

/** What a program prints, whether or not it fails. */
function run(file: string, args: readonly string[], cwd: string): Promise<string> {
  return new Promise((resolve) => {
    execFile(file, args, { cwd }, (error, stdout, stderr) => {
      resolve(error !== null && stdout === '' ? `${error.message}${stderr}` : stdout)
    })
  })
}

function makeFolder(): string {
  mkdirSync(CACHE, { recursive: true })
  return mkdtempSync(join(CACHE, 'examples-'))
}

/** An example that runs. */
export interface Running {
  /** What it has printed so far. */
  readonly output: string
  readonly exited: Promise<{
    readonly exitCode: number | null
    readonly output: string
    readonly errors: string
  }>
  kill(signal: NodeJS.Signals): void
}

/** Runs an example for Node in the folder `cwd`, with `url` in the place of the broker that it names. */
export async function runExample({ code }: Example, url: string, cwd: string): Promise<Running> {
  const folder = makeFolder()
  const program = join(folder, 'example.mjs')
  await build({
    absWorkingDir: root,
    stdin: { contents: code.replaceAll('mqtt://broker.example', url), loader: 'ts', resolveDir: root },
    outfile: program,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    packages: 'external',
    alias: { petrel: `./${PLATFORMS.node.entry}` },
    logLevel: 'silent',
  })
  const child = spawn(process.execPath, [program], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let [output, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  }).finally(() => rmSync(folder, { recursive: true }))
  return {
    get output() {
      return output
    },
    exited: exited.then((exitCode) => ({ exitCode, output, errors })),
    kill: (signal) => void child.kill(signal),
  }
}

// Builds the package into dist/: declarations by tsc, one file for each source; code by esbuild, one file for
// each entry: each file costs some 0.5 ms to import.
//
// All entries are built together, so what they share is one chunk, and `MqttError` is one class whichever entry it came
// from. The code is platform-neutral; the build fails if the browser's entry reaches Node.
//
// The package is to stay below 1 MB installed. Sources and source maps would be 1.2 MB more, so it has neither; names
// are kept and lines are broken, so that a stack trace says where it was. Declarations that no entry reaches go, too.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { codeOptions } from './code-options.mjs'
import { oneChunk, sharedSources } from './one-chunk.mjs'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const BROWSER = 'index.browser'
/** What a program loads first: files that it imports count. */
const START = 'dist/index.js'
const ENTRIES = {
  index: 'src/index.ts',
  [BROWSER]: 'src/index.browser.ts',
  core: 'src/core/index.ts',
  testing: 'src/testing/index.ts',
}

function existingEntries() {
  const existing = {}
  for (const [name, source] of Object.entries(ENTRIES)) {
    if (existsSync(source)) existing[name] = source
    else console.log(`skipped ${name}: there is no ${source} yet`)
  }
  return existing
}

function emitDeclarations(project) {
  const tsc = 'node_modules/typescript/bin/tsc'
  const options = ['--noEmit', 'false', '--emitDeclarationOnly', '--declarationMap', 'false']
  const places = ['--rootDir', 'src', '--outDir', 'dist']
  execFileSync(process.execPath, [tsc, '-p', project, ...options, ...places], { stdio: 'inherit' })
}

const RELATIVE_IMPORT = /(\b(?:from|import) ?\(?['"])(\.{1,2}\/[^'"]*)\.ts(?=['"])/g

// tsc leaves './name.ts' in declarations as it is; the package has './name.d.ts', which is found as './name.js'.
function finishDeclarations(sources) {
  const reached = new Set(sources.map((source) => source.replace(/^src(.*)\.ts$/, 'dist$1.d.ts')))
  for (const path of reached) {
    const text = readFileSync(path, 'utf8')
    for (const [, , target] of text.matchAll(RELATIVE_IMPORT))
      reached.add(join(dirname(path), `${target}.d.ts`))
    writeFileSync(path, text.replace(RELATIVE_IMPORT, '$1$2.js'))
  }
  for (const name of readdirSync('dist', { recursive: true })) {
    const path = join('dist', name)
    if (name.endsWith('.d.ts') && !reached.has(path)) rmSync(path)
  }
}

/** Built twice: what the entries share is known when they have been built. */
async function bundle(entryPoints) {
  const options = { ...codeOptions, entryPoints, outdir: 'dist', metafile: true, logLevel: 'warning' }
  const { outputs } = (await build({ ...options, write: false })).metafile
  const shared = sharedSources(outputs, START)
  const built = (await build({ ...options, ...oneChunk(shared) })).metafile.outputs
  const chunks = built[START].imports.filter(({ kind }) => kind === 'import-statement')
  if (chunks.length !== 1) throw new Error(`${START} imports ${chunks.length} chunks and not one`)
  return built
}

function assertWithoutNode(outputs, start) {
  const reached = new Set([start])
  for (const output of reached) {
    for (const { path, external } of outputs[output]?.imports ?? []) {
      if (path.startsWith('node:')) throw new Error(`${start} reaches ${path} through ${output}`)
      if (!external) reached.add(path)
    }
  }
}

rmSync('dist', { recursive: true, force: true })
const entries = existingEntries()
const { [BROWSER]: browserSource, ...nodeEntries } = entries

if (Object.keys(nodeEntries).length > 0) emitDeclarations('tsconfig.build.json')
if (browserSource !== undefined) emitDeclarations('tsconfig.browser.json')
finishDeclarations(Object.values(entries))

const outputs = await bundle(entries)
if (browserSource !== undefined) assertWithoutNode(outputs, `dist/${BROWSER}.js`)

for (const [path, { bytes }] of Object.entries(outputs)) {
  if (path.endsWith('.js')) console.log(`${path}  ${(bytes / 1024).toFixed(1)} KiB`)
}

// Builds the package into dist/: declarations by tsc, one file for each source; code by esbuild, one file for
// each entry: forty-eight separate modules cost 15 to 30 ms to import, one costs 1 ms.
//
// All entries are built together, so what two of them use is one shared chunk, and `MqttError` is one class
// whichever entry it came from. The code is platform-neutral; the build fails if the browser's entry reaches Node.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const BROWSER = 'index.browser'
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
  const options = ['--noEmit', 'false', '--emitDeclarationOnly', '--rootDir', 'src', '--outDir', 'dist']
  execFileSync(process.execPath, [tsc, '-p', project, ...options], { stdio: 'inherit' })
}

// tsc leaves './name.ts' in declarations as it is; the package has './name.d.ts', which is found as './name.js'.
function rewriteDeclarationImports() {
  for (const name of readdirSync('dist', { recursive: true })) {
    if (!name.endsWith('.d.ts')) continue
    const path = join('dist', name)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace(/(\b(?:from|import) ?\(?['"]\.{1,2}\/[^'"]*)\.ts(?=['"])/g, '$1.js'))
  }
}

function bundle(entryPoints) {
  return build({
    entryPoints,
    outdir: 'dist',
    chunkNames: 'chunks/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: 'es2022',
    // Names stay, so that stack traces can be read; comments and white space go, which halves the time to import.
    minifyWhitespace: true,
    minifySyntax: true,
    platform: 'neutral',
    packages: 'external',
    external: ['node:*'],
    sourcemap: true,
    sourcesContent: false, // the package ships src/
    metafile: true,
    logLevel: 'warning',
  })
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
if (existsSync('dist')) rewriteDeclarationImports()

const { outputs } = (await bundle(entries)).metafile
if (browserSource !== undefined) assertWithoutNode(outputs, `dist/${BROWSER}.js`)

for (const [path, { bytes }] of Object.entries(outputs)) {
  if (path.endsWith('.js')) console.log(`${path}  ${(bytes / 1024).toFixed(1)} KiB`)
}

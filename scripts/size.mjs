// `npm run size`: what the browser's entry weighs when an application bundles all of it, minified, and which source
// file has how much of that.
//
//     npm run size -- --top 20     only the largest files
//     npm run size -- --json       the figures as JSON
//
// Chunks that are loaded when they are first needed are counted by themselves.
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { build } from 'esbuild'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))

const { values } = parseArgs({
  options: { top: { type: 'string', default: '1000' }, json: { type: 'boolean', default: false } },
})

const ENTRY = 'src/index.browser.ts'

const { outputFiles, metafile } = await build({
  entryPoints: [ENTRY],
  outdir: 'size',
  write: false,
  bundle: true,
  splitting: true,
  minify: true,
  legalComments: 'none',
  format: 'esm',
  target: 'es2022',
  platform: 'browser',
  metafile: true,
  logLevel: 'warning',
})

/** The bundle's files that are loaded at once with the given one: itself, and what it imports statically. */
function loadedWith(start) {
  const files = new Set([start])
  for (const file of files) {
    for (const { path, kind } of metafile.outputs[file].imports) {
      if (kind === 'import-statement') files.add(path)
    }
  }
  return files
}

/** Bytes. */
function weigh(files) {
  const chosen = outputFiles.filter(({ path }) => files.has(`size/${basename(path)}`))
  const sum = (weight) => chosen.reduce((total, { contents }) => total + weight(contents), 0)
  return {
    minified: sum(({ length }) => length),
    gzip: sum((contents) => gzipSync(contents, { level: 9 }).length),
    brotli: sum((contents) => brotliCompressSync(contents).length),
  }
}

const entry = Object.keys(metafile.outputs).find((path) => metafile.outputs[path].entryPoint !== undefined)
const first = loadedWith(entry)
const later = new Set(Object.keys(metafile.outputs).filter((path) => !first.has(path)))
const sources = Object.entries(metafile.outputs)
  .flatMap(([output, { inputs }]) =>
    Object.entries(inputs).map(([path, { bytesInOutput: bytes }]) => ({
      path,
      bytes,
      isLater: later.has(output),
    })),
  )
  .filter(({ bytes }) => bytes > 0)
  .sort((one, other) => other.bytes - one.bytes)
const result = { entry: ENTRY, first: weigh(first), later: weigh(later), sources }

function kilobytes(bytes) {
  return `${(bytes / 1000).toFixed(1)} KB`
}

function line({ minified, gzip, brotli }) {
  return `${kilobytes(minified)} minified, ${kilobytes(gzip)} gzip -9, ${kilobytes(brotli)} brotli`
}

if (values.json) console.log(JSON.stringify(result))
else {
  for (const { path, bytes, isLater } of sources.slice(0, Number(values.top))) {
    console.log(`${String(bytes).padStart(7)}  ${path}${isLater ? '  (loaded when needed)' : ''}`)
  }
  console.log(`\n${result.entry}: ${line(result.first)}`)
  if (later.size > 0) console.log(`loaded when needed: ${line(result.later)}`)
}

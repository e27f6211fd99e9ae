// Runs a TypeScript entry with the sources as they are: `node scripts/run.mjs demo/demo.ts --json`.
//
// Node 20 does not read TypeScript, so esbuild makes one file of it and this process imports that file. It runs
// here and not in a child so that exit code, signals, standard input and debugger are simply its own. The file
// lies below node_modules because packages are resolved from where it is; it lives as long as the process.
import { mkdirSync, rmSync } from 'node:fs'
import { basename, extname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const [entry, ...args] = process.argv.slice(2)
if (entry === undefined) {
  console.error('usage: node scripts/run.mjs ENTRY.ts [ARGUMENT…]')
  process.exit(2)
}

const cache = fileURLToPath(new URL('../node_modules/.cache/petrel/', import.meta.url))
const bundle = join(cache, `${basename(entry, extname(entry))}-${process.pid}.mjs`)
const remove = () => rmSync(bundle, { force: true })

// A signal that the program does not handle itself ends the process without an 'exit' event: tidy up, then let
// it do what it would have done.
function removeAtSignal(signal) {
  const listener = () => {
    if (process.listenerCount(signal) > 1) return
    remove()
    process.off(signal, listener)
    process.kill(process.pid, signal)
  }
  process.on(signal, listener)
}

mkdirSync(cache, { recursive: true })
process.on('exit', remove)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) removeAtSignal(signal)

try {
  await build({
    entryPoints: [entry],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    sourcemap: 'inline',
    logLevel: 'warning',
  })
} catch {
  process.exit(1) // esbuild has said why
}

process.setSourceMapsEnabled(true)
process.argv = [process.execPath, resolve(entry), ...args]
await import(pathToFileURL(bundle).href)

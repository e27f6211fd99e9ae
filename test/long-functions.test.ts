// Decision 12: the functions that make the object of a message are longer than what V8 puts into a caller. A shorter one
// works as well and is slower, which nobody would notice; so their length is looked at, as built, in bytes of bytecode.
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { codeOptions } from '../scripts/code-options.mjs'

/** V8's `max_inlined_bytecode_size`. */
const LONGEST_INLINED = 460

const root = fileURLToPath(new URL('..', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'petrel-bytecode-'))
const file = join(directory, 'index.mjs')

/** The lengths of all functions of that name. */
function lengthsOf(name: string): readonly number[] {
  const flags = ['--no-lazy', '--print-bytecode', `--print-bytecode-filter=${name}`]
  const text = execFileSync(process.execPath, [...flags, file], { encoding: 'utf8', maxBuffer: 2 ** 26 })
  return [...text.matchAll(/^Bytecode length: (\d+)$/gm)].map(([, length]) => Number(length))
}

beforeAll(async () => {
  await build({
    ...codeOptions,
    absWorkingDir: root,
    entryPoints: ['src/index.ts'],
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    logLevel: 'silent',
  })
})

afterAll(() => rmSync(directory, { recursive: true }))

it.each(['#deliver', 'sendAtOnce'])('%s is too long to be put into a caller', (name) => {
  const lengths = lengthsOf(name)
  expect(lengths).toHaveLength(1)
  expect(lengths[0]).toBeGreaterThan(LONGEST_INLINED)
})

it('is told of short functions, too', () => {
  expect(Math.max(...lengthsOf('isBare'))).toBeLessThan(LONGEST_INLINED)
})

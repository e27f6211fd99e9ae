// What a web page gets of this package, as a bundler makes it: everything, and nothing of Node.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { build, type Metafile } from 'esbuild'
import { beforeAll, describe, expect, it } from 'vitest'
import * as node from '../../src/index.ts'
import { codeOnly } from '../support/code-only.ts'

const ENTRY = fileURLToPath(new URL('../../src/index.browser.ts', import.meta.url))

describe('the bundle for browsers', () => {
  let code = ''
  let metafile: Metafile | undefined

  beforeAll(async () => {
    const built = await build({
      entryPoints: [ENTRY],
      bundle: true,
      platform: 'neutral',
      format: 'esm',
      target: 'es2022',
      write: false,
      metafile: true,
    })
    code = codeOnly(built.outputFiles[0]?.text ?? '')
    metafile = built.metafile
  })

  // docs/decisions/0008: what it is made of, and why it is not less.
  it('weighs at most 56 KB, minified and compressed', async () => {
    const { outputFiles } = await build({
      entryPoints: [ENTRY],
      bundle: true,
      platform: 'browser',
      format: 'esm',
      target: 'es2022',
      minify: true,
      legalComments: 'none',
      write: false,
    })
    const size = gzipSync(outputFiles[0]?.contents ?? '', { level: 9 }).length
    expect(size).toBeGreaterThan(10_000)
    expect(size).toBeLessThanOrEqual(57_000)
  })

  it('is made of this package alone', () => {
    const imports = Object.values(metafile?.outputs ?? {}).flatMap((output) => output.imports)
    expect(imports).toEqual([])
    const inputs = Object.keys(metafile?.inputs ?? {})
    expect(inputs.length).toBeGreaterThan(50)
    expect(inputs.filter((path) => !path.startsWith('src/'))).toEqual([])
  })

  it.each(['Buffer', 'process', 'global', 'require', 'setImmediate', '__dirname'])(
    'does not know %s',
    (name) => {
      const free = new RegExp(String.raw`(?<![.#\w$])${name}\b(?!\s*:)`)
      const places = code.split('\n').filter((line) => free.test(line))
      expect(places).toEqual([])
      expect(free.test(`if (typeof ${name} !== 'undefined') {}`)).toBe(true)
    },
  )

  it('gives the names that Node gets, but a store of its own', async () => {
    const text = readFileSync(ENTRY, 'utf8')
    expect(text).toContain("export * from './exports.ts'")
    const names = Object.values(metafile?.outputs ?? {}).flatMap((output) => output.exports)
    const expected = Object.keys(node).filter((name) => name !== 'fileStore')
    expect(names.toSorted()).toEqual([...expected, 'indexedDBStore'].toSorted())
  })
})

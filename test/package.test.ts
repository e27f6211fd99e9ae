// What makes the package light, held against the sources without a network: what an import runs at once, that it can
// be required, what is left of it in a bundle that uses little, and that `exports` names what the build makes.
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build, type BuildOptions, type Metafile } from 'esbuild'
import { describe, expect, it } from 'vitest'

interface Manifest {
  readonly sideEffects: boolean
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies: Readonly<Record<string, string>>
  readonly engines: { readonly node: string }
  readonly exports: Readonly<Record<string, string | object>>
}

const root = fileURLToPath(new URL('..', import.meta.url))
const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as Manifest

/** Each entry: its source, and the file that the build makes of it. */
const ENTRIES = [
  ['src/index.ts', './dist/index.js'],
  ['src/index.browser.ts', './dist/index.browser.js'],
  ['src/core/index.ts', './dist/core.js'],
  ['src/testing/index.ts', './dist/testing.js'],
] as const

const OPTIONS = {
  absWorkingDir: root,
  bundle: true,
  write: false,
  metafile: true,
  minify: true,
  format: 'esm',
  platform: 'neutral',
  external: ['node:*', 'ws'],
  logLevel: 'silent',
} as const satisfies BuildOptions

/** What a program is bundled to. */
async function bundled(contents: string, options: BuildOptions = {}): Promise<string> {
  const stdin = { contents, resolveDir: root }
  const { outputFiles } = await build({ ...OPTIONS, ...options, stdin, write: false })
  return outputFiles[0]?.text ?? ''
}

/** Node's modules and packages that are loaded at once with the entry; what is imported later is not. */
function loadedAtOnce({ inputs }: Metafile, entry: string): readonly string[] {
  const outside = new Set<string>()
  const reached = new Set([entry])
  for (const path of reached) {
    for (const { path: target, kind, external } of inputs[path]?.imports ?? []) {
      if (kind === 'dynamic-import') continue
      if (external === true) outside.add(target)
      else reached.add(target)
    }
  }
  return [...outside].sort()
}

/** The file names in `exports`, whatever their condition. */
function filesOf(target: string | object): readonly string[] {
  return typeof target === 'string'
    ? [target]
    : Object.values(target).flatMap((one: string | object) => filesOf(one))
}

describe('package.json', () => {
  it('names in exports what the build makes, each entry with its declarations', () => {
    const named = Object.values(manifest.exports).flatMap(filesOf)
    const made = ENTRIES.flatMap(([source, code]) => [code, source.replace(/^src(.*)\.ts$/, './dist$1.d.ts')])
    expect([...named].sort()).toEqual([...made, './package.json'].sort())
    for (const [source] of ENTRIES) expect(existsSync(`${root}${source}`), source).toBe(true)
  })

  it('has types before the code in every branch, as resolvers take the first that fits', () => {
    const branches = Object.values(manifest.exports).flatMap(branchesOf)
    expect(branches).toHaveLength(ENTRIES.length)
    for (const keys of branches) expect(keys.slice(-2)).toEqual(['types', 'default'])
  })

  it('depends on ws alone, and on a Node that can require modules', () => {
    expect(Object.keys(manifest.dependencies)).toEqual(['ws'])
    expect(manifest.engines.node).toBe('>=20.19')
  })
})

describe('docs/dependencies.md', () => {
  it('names every dependency with its version, and no other', () => {
    const page = readFileSync(`${root}docs/dependencies.md`, 'utf8')
    const rows = [...page.matchAll(/^\| `([^`]+)` \| ([\d.]+) \|/gm)].map(([, name, version]) => [
      name,
      version,
    ])
    expect(Object.fromEntries(rows)).toEqual({ ...manifest.dependencies, ...manifest.devDependencies })
  })
})

/** The keys of each object that names files. */
function branchesOf(target: string | object): readonly (readonly string[])[] {
  if (typeof target === 'string') return []
  return [Object.keys(target), ...Object.values(target).flatMap((one: string | object) => branchesOf(one))]
}

describe('an import', () => {
  it.each([
    ['src/index.ts', []],
    ['src/index.browser.ts', []],
    ['src/core/index.ts', []],
  ])('of %s loads of Node, at once, %j', async (entry, expected) => {
    const { metafile } = await build({ ...OPTIONS, entryPoints: [entry], outdir: 'dist', splitting: true })
    expect(loadedAtOnce(metafile, entry)).toEqual(expected)
  })

  it.each(ENTRIES)('of %s can be a require: nothing is awaited at the top', async (entry) => {
    // Top-level await is what esbuild cannot turn into CommonJS.
    const result = await build({ ...OPTIONS, entryPoints: [entry], format: 'cjs' })
    expect(result.errors).toEqual([])
  })

  it('that awaits at the top is caught', async () => {
    await expect(bundled('await undefined; export {}', { format: 'cjs' })).rejects.toThrow('Top-level await')
  })
})

describe('a bundle', () => {
  it('has nothing of a package that is imported and not used', async () => {
    expect(manifest.sideEffects).toBe(false)
    const text = await bundled("import { Connection } from './src/core/index.ts'")
    expect(text.trim()).toBe('')
  })

  it('has nothing even when every module might have side effects, but for what the core sets up', async () => {
    const text = await bundled("import './src/core/index.ts'", { ignoreAnnotations: true })
    expect(text.length).toBeLessThan(8_000)
  })

  it('has of the core what is used', async () => {
    const matches = await bundled("export { matches } from './src/core/index.ts'")
    const all = await bundled("export * from './src/core/index.ts'")
    expect(matches.length).toBeGreaterThan(0)
    expect(matches.length).toBeLessThan(2_000)
    expect(all.length).toBeGreaterThan(40_000)
  })
})

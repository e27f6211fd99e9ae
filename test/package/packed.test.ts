// The package as npm packs it, in an empty project: what is in it, and that programs can use it.
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Packed } from './packed.ts'
import { IMPORTING, PRINTED, REQUIRING } from './programs.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

describe('the packed package', () => {
  let packed: Packed
  beforeAll(() => {
    packed = Packed.make(root)
  })
  afterAll(() => packed.remove())

  it('has the entries with their declarations, and neither sources nor tests', () => {
    for (const entry of ['index', 'index.browser', 'core/index', 'testing/index']) {
      expect(packed.files).toContain(`dist/${entry}.d.ts`)
    }
    for (const entry of ['index', 'index.browser', 'core', 'testing']) {
      expect(packed.files).toContain(`dist/${entry}.js`)
    }
    const others = packed.files.filter((path) => !/^dist\/[\w./-]+(?:\.js|\.d\.ts)$/.test(path))
    expect([...others].sort()).toEqual(['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'])
    expect(packed.files.filter((path) => path.includes('.test.'))).toEqual([])
  })

  it('connects, publishes and receives when it is imported', () => {
    const project = packed.project('importing')
    expect(project.run(process.execPath, [project.write('program.mjs', IMPORTING)])).toBe(PRINTED)
  })

  it('connects, publishes and receives when it is required', () => {
    const project = packed.project('requiring')
    expect(project.run(process.execPath, [project.write('program.cjs', REQUIRING)])).toBe(PRINTED)
  })
})

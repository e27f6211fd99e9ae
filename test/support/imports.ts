// The picture of the layers as a table, and the functions that hold the sources against it. All of them take
// sources as a map from path (below src/) to text and return sentences about what is wrong, so that a test can
// also hand them sources that break a rule and see the sentence.
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { codeOnly } from './code-only.ts'

export type Sources = ReadonlyMap<string, string>

export interface Layer {
  readonly name: string
  readonly files: RegExp
  /** The other layers that this one may import; files of one layer may always import each other. */
  readonly imports: readonly string[]
  /** Which packages: none, Node's own, or any. */
  readonly packages?: 'node' | 'any'
}

const CORE = ['core/errors', 'core/bytes', 'core/packets', 'core/topics', 'core/session', 'core/connection']

/** Who may import whom. A file belongs to the first layer that matches. */
export const LAYERS: readonly Layer[] = [
  { name: 'core/errors', files: /^core\/(?:errors|fifo)\.ts$/, imports: [] },
  { name: 'core/bytes', files: /^core\/bytes\//, imports: ['core/errors'] },
  { name: 'core/packets', files: /^core\/packets\//, imports: ['core/bytes', 'core/errors'] },
  { name: 'core/topics', files: /^core\/topics\//, imports: ['core/bytes', 'core/errors'] },
  {
    name: 'core/session',
    files: /^core\/session\//,
    imports: ['core/packets', 'core/topics', 'core/bytes', 'core/errors'],
  },
  {
    name: 'core/connection',
    files: /^core\/connection\//,
    imports: ['core/session', 'core/packets', 'core/topics', 'core/bytes', 'core/errors'],
  },
  { name: 'core/index', files: /^core\/index\.ts$/, imports: CORE },

  {
    name: 'transport/transport',
    files: /^transport\/(?:transport|dial-options|handshake-error|unless-aborted)\.ts$/,
    imports: ['core/errors'],
  },
  {
    name: 'transport/browser',
    files: /^transport\/[\w-]+\.browser\.ts$/,
    imports: ['transport/transport', 'core/errors'],
  },
  {
    name: 'transport/dial',
    files: /^transport\/dial\.ts$/,
    imports: ['transport', 'transport/websocket', 'transport/transport', 'core/errors'],
    packages: 'node',
  },
  {
    name: 'transport/websocket',
    files: /^transport\/websocket\.ts$/,
    imports: ['transport', 'transport/transport', 'core/errors'],
    packages: 'any',
  },
  {
    name: 'transport',
    files: /^transport\//,
    imports: ['transport/transport', 'core/errors'],
    packages: 'node',
  },

  { name: 'store/store', files: /^store\/store\.ts$/, imports: ['core/errors'] },
  {
    name: 'store/portable',
    files: /^store\/(?:memory|indexeddb)\.ts$/,
    imports: ['store/store', 'core/errors'],
  },
  { name: 'store', files: /^store\//, imports: ['store/store', 'core/errors'], packages: 'node' },

  { name: 'client', files: /^client\//, imports: [...CORE, 'transport/transport', 'store/store'] },

  {
    name: 'exports',
    files: /^exports\.ts$/,
    imports: ['client', ...CORE, 'store/portable', 'store/store', 'transport/transport'],
  },
  // Time and what a page is told, which neither the client may know nor a transport is about: beside the entry file.
  { name: 'page', files: /^(?!index)\w+\.browser\.ts$/, imports: ['client', 'core/errors'] },
  {
    name: 'index.browser',
    files: /^index\.browser\.ts$/,
    imports: [
      'exports',
      'page',
      'client',
      ...CORE,
      'transport/browser',
      'transport/transport',
      'store/portable',
      'store/store',
    ],
  },
  {
    name: 'index',
    files: /^index\.ts$/,
    imports: [
      'exports',
      'client',
      ...CORE,
      'transport/dial',
      'transport',
      'transport/transport',
      'store',
      'store/portable',
      'store/store',
    ],
    packages: 'node',
  },

  {
    name: 'testing',
    files: /^testing\//,
    imports: [
      'client',
      'core/index',
      ...CORE,
      'store',
      'store/portable',
      'store/store',
      'transport/transport',
    ],
    packages: 'node',
  },
  { name: 'add-ons', files: /^(?:request-response|aws|otel|mqttjs)\//, imports: ['index'], packages: 'any' },
  { name: 'cli', files: /^cli\//, imports: ['index'], packages: 'any' },
]

export interface Import {
  readonly from: string
  /** A path below src/, or a package's name; undefined when it is computed while the program runs. */
  readonly to: string | undefined
  readonly isPackage: boolean
}

/** The sources below a folder, without the tests. */
export function readSources(folder: string): Sources {
  return read(folder, (path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
}

/** The tests below a folder. */
export function readTests(folder: string): Sources {
  return read(folder, (path) => path.endsWith('.test.ts'))
}

function read(folder: string, isWanted: (path: string) => boolean): Sources {
  const texts = new Map<string, string>()
  for (const entry of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = entry.replaceAll('\\', '/')
    if (isWanted(path)) texts.set(path, readFileSync(join(folder, entry), 'utf8'))
  }
  return texts
}

/** Static, type-only, dynamic imports and re-exports alike. */
export function importsOf(path: string, source: string): readonly Import[] {
  const code = codeOnly(source)
  const target = /\bfrom\s*(['"])[^'"]*\1|\bimport\s*\(?\s*(['"`])[^'"`]*\2|\bimport\s*\(/g
  return Array.from(code.matchAll(target), (match) => {
    const text = source.slice(match.index, match.index + match[0].length)
    const specifier = /['"`](.*)['"`]$/.exec(text)?.[1]
    const isPackage = specifier !== undefined && !specifier.startsWith('.')
    const to = specifier === undefined || isPackage ? specifier : posix.join(posix.dirname(path), specifier)
    return { from: path, to, isPackage }
  })
}

export function layerOf(path: string): Layer | undefined {
  return LAYERS.find((layer) => layer.files.test(path))
}

/** Imports that the table does not allow. */
export function findForbiddenImports(sources: Sources): readonly string[] {
  const findings: string[] = []
  for (const [path, source] of sources) {
    const layer = layerOf(path)
    if (layer === undefined) {
      findings.push(`${path} stands in no layer of the table`)
      continue
    }
    for (const { to, isPackage } of importsOf(path, source)) {
      if (to === undefined) findings.push(`${path} imports something that is computed`)
      else if (!(isPackage ? mayImportPackage(layer, to) : mayImportFile(layer, to))) {
        findings.push(`${path} (${layer.name}) may not import ${to}`)
      }
    }
  }
  return findings
}

function mayImportPackage(layer: Layer, name: string): boolean {
  return layer.packages === 'any' || (layer.packages === 'node' && name.startsWith('node:'))
}

function mayImportFile(layer: Layer, path: string): boolean {
  const target = layerOf(path)
  return target !== undefined && (target === layer || layer.imports.includes(target.name))
}

/** Circles among the files, those made of types alone included: at least one of each knot. */
export function findCircles(sources: Sources): readonly string[] {
  const circles: string[] = []
  const done = new Set<string>()

  function visit(path: string, trail: readonly string[]): void {
    const start = trail.indexOf(path)
    if (start !== -1) circles.push([...trail.slice(start), path].join(' → '))
    if (start !== -1 || done.has(path)) return
    for (const { to, isPackage } of importsOf(path, sources.get(path) ?? '')) {
      if (to !== undefined && !isPackage) visit(to, [...trail, path])
    }
    done.add(path)
  }

  for (const path of sources.keys()) visit(path, [])
  return circles
}

/** Places where the code, comments and strings blanked, looks like one of the patterns. */
export function findCode(
  sources: Sources,
  where: (path: string) => boolean,
  patterns: readonly RegExp[],
): readonly string[] {
  const findings: string[] = []
  for (const [path, source] of sources) {
    if (!where(path)) continue
    const code = codeOnly(source)
    for (const pattern of patterns) {
      for (const { index } of code.matchAll(new RegExp(pattern, 'gm'))) {
        const line = source.slice(0, index).split('\n').length
        findings.push(`${path}:${line}: ${source.split('\n')[line - 1]?.trim()}`)
      }
    }
  }
  return findings
}

/** Files of more lines than one can keep in mind. */
export function findLongFiles(sources: Sources, most: number): readonly string[] {
  return Array.from(sources, ([path, source]) => ({ path, lines: source.trimEnd().split('\n').length }))
    .filter(({ lines }) => lines > most)
    .map(({ path, lines }) => `${path} has ${lines} lines`)
}

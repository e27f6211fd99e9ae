// Which lines of the core were reached: V8's own counts, which Node writes where NODE_V8_COVERAGE says, carried back
// through the bundle's source map. A line is reached when something that begins on it has run.

import { readdirSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { join } from 'node:path'

interface Range {
  readonly startOffset: number
  readonly endOffset: number
  readonly count: number
}

/** What Node writes for one process. */
interface CoverageFile {
  readonly result: readonly {
    readonly url: string
    readonly functions: readonly { readonly ranges: readonly Range[] }[]
  }[]
  readonly 'source-map-cache'?: Readonly<
    Record<string, { readonly lineLengths: readonly number[]; readonly data: SourceMapPayload | null }>
  >
}

export interface FileCoverage {
  readonly lines: number
  readonly reached: number
  readonly missed: readonly number[]
}

/** By path below `src/core`. @param folder what NODE_V8_COVERAGE was */
export function coverageOf(folder: string): ReadonlyMap<string, FileCoverage> {
  const lines = new Map<string, Map<number, boolean>>()
  for (const name of readdirSync(folder)) {
    const file = JSON.parse(readFileSync(join(folder, name), 'utf8')) as CoverageFile
    for (const { url, functions } of file.result) {
      const map = file['source-map-cache']?.[url]
      if (map?.data)
        mark(lines, countsOf(functions, map.lineLengths), map.lineLengths, new SourceMap(map.data))
    }
  }
  const files = [...lines].toSorted(([one], [other]) => (one < other ? -1 : 1))
  return new Map(
    files.map(([path, reached]) => {
      const missed = [...reached].filter(([, isReached]) => !isReached).map(([line]) => line)
      const sorted = missed.toSorted((one, other) => one - other)
      return [path, { lines: reached.size, reached: reached.size - missed.length, missed: sorted }]
    }),
  )
}

/** For each position of the script whether it has run: inner ranges lie behind those around them. */
function countsOf(
  functions: CoverageFile['result'][number]['functions'],
  lineLengths: readonly number[],
): Uint8Array {
  const size = lineLengths.reduce((sum, length) => sum + length + 1, 0)
  const counts = new Uint8Array(size).fill(1)
  const ranges = functions.flatMap((one) => one.ranges)
  const outerFirst = ranges.toSorted(
    (one, other) => one.startOffset - other.startOffset || other.endOffset - one.endOffset,
  )
  for (const { startOffset, endOffset, count } of outerFirst) {
    counts.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  }
  return counts
}

function mark(
  lines: Map<string, Map<number, boolean>>,
  counts: Uint8Array,
  lineLengths: readonly number[],
  map: SourceMap,
): void {
  let offset = 0
  lineLengths.forEach((length, line) => {
    let last = ''
    for (let column = 0; column < length; column++) {
      const entry = map.findEntry(line, column)
      // Positions before the next mapping give the one before again.
      if (!('originalSource' in entry) || entry.generatedLine !== line) continue
      const at = `${entry.originalSource}:${entry.originalLine}:${entry.originalColumn}`
      if (at === last) continue
      last = at
      const path = /src\/core\/(.*\.ts)$/.exec(entry.originalSource)?.[1]
      if (path === undefined) continue
      const reached = lines.get(path) ?? new Map<number, boolean>()
      lines.set(path, reached)
      const isReached = counts[offset + column] === 1 || reached.get(entry.originalLine + 1) === true
      reached.set(entry.originalLine + 1, isReached)
    }
    offset += length + 1
  })
}

/** A line for the whole, and one for each file of which lines were missed. */
export function describeCoverage(files: ReadonlyMap<string, FileCoverage>): readonly string[] {
  const sum = (count: (file: FileCoverage) => number): number =>
    [...files.values()].reduce((total, file) => total + count(file), 0)
  const share = (reached: number, all: number): string => `${((100 * reached) / all).toFixed(1)} %`
  const [reached, all] = [sum((file) => file.reached), sum((file) => file.lines)]
  const missing = [...files].filter(([, { missed }]) => missed.length > 0)
  return [
    `coverage       ${share(reached, all)} of the lines of src/core: ${reached} of ${all} in ${files.size} files`,
    ...missing.map(
      ([path, file]) =>
        `  ${path.padEnd(32)} ${share(file.reached, file.lines)}, not ${file.missed.join(' ')}`,
    ),
  ]
}

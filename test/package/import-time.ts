// What `await import('petrel')` costs a program: processes of Node 24 with the import and without, one after the other
// so that both see the same machine; medians. Processor time, which the processes report themselves, says more than
// the clock where others are at work; a bare start is beside it, because machines differ. No test asserts a time.
import { programOf, runtimeNamed } from '../runtimes/runtimes.ts'
import type { Project } from './packed.ts'

/** Processes of each kind. */
export const ROUNDS = 20

export interface ImportTime {
  readonly entry: string
  /** ms of processor time of a process that imports nothing. */
  readonly bare: number
  /** ms of processor time that the import takes. */
  readonly processor: number
  /** ms by the clock. */
  readonly clock: number
}

/** A process's own measures, ms. */
type Measures = readonly [whole: number, processor: number, clock: number]

export async function measureImport(project: Project, entry: string): Promise<ImportTime> {
  const { command } = await programOf(runtimeNamed('node24'))
  const [bare, importing] = [program('undefined'), program(`import('${entry}')`)].map((text, index) =>
    project.write(`${index}.mjs`, text),
  )
  const measures: { readonly without: Measures; readonly withImport: Measures }[] = []
  for (let round = 0; round <= ROUNDS; round += 1) {
    const [without, withImport] = [bare, importing].map(
      (path = '') => JSON.parse(project.run(command, [path])) as Measures,
    )
    // In the first round the files are read from the disk.
    if (round > 0 && without !== undefined && withImport !== undefined) measures.push({ without, withImport })
  }
  return {
    entry,
    bare: median(measures.map(({ without }) => without[0])),
    processor: median(measures.map(({ without, withImport }) => withImport[1] - without[1])),
    clock: median(measures.map(({ without, withImport }) => withImport[2] - without[2])),
  }
}

function program(expression: string): string {
  return `
    const [began, before] = [performance.now(), process.cpuUsage()]
    await ${expression}
    const clock = performance.now() - began
    const [during, whole] = [process.cpuUsage(before), process.cpuUsage()]
    const ms = ({ user, system }) => (user + system) / 1000
    console.log(JSON.stringify([ms(whole), ms(during), clock]))`
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2
}

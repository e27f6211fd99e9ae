// What a fuzz run came to. Workers count and send; the leader adds up and prints.

import type { ConversationResult } from './conversation-result.ts'
import type { InputResult } from './decoding.ts'

/** The share of inputs whose damaged packet must get past the framer: else they would not test the decoder. */
export const LEAST_FRAMED = 0.3
/** Bytes of memory that one process may take at its peak. */
export const MOST_MEMORY: number = 512 * 1_048_576

type Counts = Record<string, number>

/** Plain, so that it can be sent from process to process. */
export interface Totals {
  inputs: number
  framed: number
  packets: number
  /** How the damaged packets ended: of all, and by type. */
  ends: Counts
  types: Record<string, Counts>
  mutations: Counts
  slowest: number
  conversations: Counts
  /** Connections, packets heard and written, messages, publishes, violations. */
  exchanged: Counts
  connectionEnds: Counts
  deeds: Counts
  failures: Failure[]
  failed: number
}

export interface Failure {
  readonly seed: number
  readonly what: 'input' | 'conversation'
  readonly texts: readonly string[]
  readonly hex: readonly string[]
}

const FAILURES_KEPT = 20

export function noTotals(): Totals {
  return {
    inputs: 0,
    framed: 0,
    packets: 0,
    ends: {},
    types: {},
    mutations: {},
    slowest: 0,
    conversations: {},
    exchanged: {},
    connectionEnds: {},
    deeds: {},
    failures: [],
    failed: 0,
  }
}

export function addInput(
  totals: Totals,
  { input, type, framed, end, packets, failures, took }: InputResult,
): void {
  totals.inputs += 1
  totals.framed += framed ? 1 : 0
  totals.packets += packets
  totals.slowest = Math.max(totals.slowest, took)
  add(totals.ends, end, 1)
  add((totals.types[type] ??= {}), end, 1)
  for (const name of input.mutations) add(totals.mutations, name, 1)
  if (failures.length === 0) return
  const hex = Buffer.from(input.bytes).toString('hex')
  const side = `${input.version} from the ${input.sender}, ${input.mutations.join(' + ')}: ${hex}`
  addFailure(totals, { seed: input.seed, what: 'input', texts: failures, hex: [side] })
}

export function addConversation(totals: Totals, result: ConversationResult): void {
  const { seed, kind, ends, deeds, failures, chunks, connections, heard, written } = result
  const { messages, published, violations } = result
  add(totals.conversations, kind, 1)
  merge(totals.exchanged, { connections, heard, written, messages, published, violations })
  merge(totals.connectionEnds, ends)
  merge(totals.deeds, deeds)
  if (failures.length > 0) addFailure(totals, { seed, what: 'conversation', texts: failures, hex: chunks })
}

export function addFailure(totals: Totals, failure: Failure): void {
  totals.failed += 1
  if (totals.failures.length < FAILURES_KEPT) totals.failures.push(failure)
}

export function addTotals(totals: Totals, more: Totals): void {
  totals.inputs += more.inputs
  totals.framed += more.framed
  totals.packets += more.packets
  totals.slowest = Math.max(totals.slowest, more.slowest)
  totals.failed += more.failed
  totals.failures.push(...more.failures.slice(0, FAILURES_KEPT - totals.failures.length))
  for (const name of [
    'ends',
    'mutations',
    'conversations',
    'exchanged',
    'connectionEnds',
    'deeds',
  ] as const) {
    merge(totals[name], more[name])
  }
  for (const [type, ends] of Object.entries(more.types)) merge((totals.types[type] ??= {}), ends)
}

/** The command that repeats it alone. */
export function repeat({ seed, what }: Failure): string {
  const [inputs, conversations] = what === 'input' ? [1, 0] : [0, 1]
  return `npm run fuzz -- --inputs ${inputs} --conversations ${conversations} --from ${seed}`
}

/** What is wrong with the run as a whole. @param memory the peak of each process, in bytes */
export function faultsOf({ inputs, framed, failed }: Totals, memory: readonly number[]): readonly string[] {
  const faults: string[] = []
  if (failed > 0) faults.push(`${failed} failed`)
  if (inputs > 0 && framed < LEAST_FRAMED * inputs) {
    faults.push(`only ${percent(framed, inputs)} got past the framer, expected ${100 * LEAST_FRAMED} %`)
  }
  const peak = Math.max(0, ...memory)
  if (peak > MOST_MEMORY)
    faults.push(`a process took ${megabytes(peak)}, at most ${megabytes(MOST_MEMORY)} may`)
  return faults
}

/** The report in lines. */
export function describe(totals: Totals, memory: readonly number[], seconds: number): readonly string[] {
  const { inputs, framed, packets, ends, types, mutations, conversations, exchanged } = totals
  const lines: string[] = []
  if (inputs > 0) {
    lines.push(
      `inputs         ${inputs}, ${percent(framed, inputs)} got past the framer, ${packets} packets decoded`,
    )
    lines.push(`ended          ${list(ends)}`)
    for (const [type, counts] of Object.entries(types)) lines.push(`  ${type.padEnd(12)} ${list(counts)}`)
    lines.push(`damage         ${list(mutations)}`)
    lines.push(`slowest input  ${Math.round(totals.slowest)} ms`)
  }
  if (Object.keys(conversations).length > 0) {
    lines.push(`conversations  ${list(conversations)}`)
    lines.push(`exchanged      ${list(exchanged)}`)
    lines.push(`ended          ${list(totals.connectionEnds)}`)
    lines.push(`the server did ${list(totals.deeds)}`)
  }
  const peaks = memory.map(megabytes).join(', ')
  lines.push(`peak memory    ${peaks}; at most ${megabytes(MOST_MEMORY)} a process`)
  lines.push(`time           ${seconds.toFixed(1)} s`)
  return lines
}

function add(counts: Counts, name: string, count: number): void {
  counts[name] = (counts[name] ?? 0) + count
}

function merge(counts: Counts, more: Readonly<Counts>): void {
  for (const [name, count] of Object.entries(more)) add(counts, name, count)
}

function list(counts: Readonly<Counts>): string {
  const sorted = Object.entries(counts).toSorted(([, one], [, other]) => other - one)
  return sorted.map(([name, count]) => `${name} ${count}`).join(', ')
}

function percent(part: number, all: number): string {
  return `${((100 * part) / all).toFixed(1)} %`
}

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1_048_576)} MiB`
}

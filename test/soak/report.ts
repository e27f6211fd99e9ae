// The lines of a soak and its summary: what was sent and what came of it, and whether anything has grown.
import type { Judgement } from './ledger.ts'
import { LEVELS, type Version } from './pair.ts'
import { compare, type Flatness, type Sample } from './sample.ts'
import { type PeriodReport, PROMISED } from './soak.ts'

interface LevelTotals {
  readonly version: Version
  readonly qos: number
  readonly published: number
  readonly arrived: number
  readonly resolved: number
  readonly rejected: Readonly<Record<string, number>>
  readonly lost: number
  readonly again: number
}

export interface Summary {
  readonly ok: boolean
  readonly seconds: number
  readonly messagesPerSecond: number
  readonly cuts: number
  readonly restarts: number
  readonly reconnects: number
  readonly levels: readonly LevelTotals[]
  readonly flatness: readonly Flatness[]
  readonly samples: readonly Sample[]
  readonly faults: readonly string[]
}

export function lineOf({ period, seconds, versions, cuts, restarts, sample }: PeriodReport): string {
  const judged = versions.flatMap((version) => version.judged)
  const reconnects = total(versions, (version) => version.reconnects)
  const arrived = total(judged, (one) => one.arrived)
  const parts = [
    `${period}:`.padStart(4),
    `${count(arrived)} messages came (${count(arrived / seconds)}/s)`,
    `lost ${total(judged, (one, index) => (index % LEVELS.length === 0 ? 0 : one.lost))}`,
    `QoS 1 again ${total(judged, (one, index) => (index % LEVELS.length === 1 ? one.again : 0))}`,
    `others twice ${total(judged, (one, index) => (index % LEVELS.length === 1 ? 0 : one.again))}`,
    `refused ${total(judged, (one) => total(Object.values(one.rejected), Number))}`,
    `cuts ${cuts}, restarts ${restarts}, reconnects ${reconnects}`,
    `heap ${megabytes(sample['heap'])} MB, ${sample['active resources']} active resources`,
  ]
  return parts.join('  ')
}

export function summarize(reports: readonly PeriodReport[]): Summary {
  const seconds = total(reports, (report) => report.seconds)
  const levels = totalsOf(reports)
  const messagesPerSecond = total(levels, ({ arrived }) => arrived) / seconds
  const [, second] = reports
  const last = reports.at(-1)
  const flatness = second && last && second !== last ? compare(second.sample, last.sample) : []
  const faults = reports.flatMap(({ period, faults: some }) => some.map((fault) => `${period}: ${fault}`))
  if (flatness.length === 0) faults.push('there are no two periods to compare')
  if (messagesPerSecond < PROMISED) {
    faults.push(`${count(messagesPerSecond)} messages a second on average, expected ${count(PROMISED)}`)
  }
  for (const { name, second: before, last: after, flat } of flatness) {
    if (!flat) faults.push(`${name}: ${count(before)} in the second period, ${count(after)} in the last`)
  }
  return {
    ok: faults.length === 0,
    seconds: Math.round(seconds),
    messagesPerSecond: Math.round(messagesPerSecond),
    cuts: last?.cuts ?? 0,
    restarts: last?.restarts ?? 0,
    reconnects: total(last?.versions ?? [], ({ reconnects }) => reconnects),
    levels,
    flatness,
    samples: reports.map(({ sample }) => sample),
    faults,
  }
}

export function describeSummary(summary: Summary): string {
  const { seconds, messagesPerSecond, cuts, restarts, reconnects, levels, flatness, faults } = summary
  const rows = levels.map((level) => {
    const refused = Object.entries(level.rejected).map(([code, times]) => `${count(times)} ${code}`)
    return [
      `  ${level.version.padEnd(5)} QoS ${level.qos}`,
      `${count(level.published).padStart(11)} published`,
      `${count(level.arrived).padStart(11)} came`,
      `${count(level.lost).padStart(6)} ${level.qos === 0 ? 'not come' : 'lost'}`,
      `${count(level.again).padStart(6)} more than once`,
      refused.length === 0 ? '' : `refused: ${refused.join(', ')}`,
    ].join('  ')
  })
  const held = flatness.map(({ name, second, last, flat }) => {
    const figures = [second, last].map((figure) => count(figure).padStart(12))
    return `  ${flat ? '✓' : '✗'} ${name.padEnd(20)} ${figures.join(' ')}`
  })
  return [
    `${count(seconds)} s, ${count(messagesPerSecond)} messages a second, ${cuts} connections cut, ` +
      `${restarts} restarts of the broker, ${reconnects} reconnects`,
    '',
    ...rows,
    '',
    `  ${''.padEnd(22)} ${'second'.padStart(12)} ${'last'.padStart(12)}`,
    ...held,
    '',
    ...faults.map((fault) => `✗ ${fault}`),
    ...(faults.length === 0
      ? ['Nothing was lost, nothing came twice that must not, nothing has grown.']
      : []),
  ].join('\n')
}

function totalsOf(reports: readonly PeriodReport[]): readonly LevelTotals[] {
  const versions = reports[0]?.versions.map(({ version }) => version) ?? []
  return versions.flatMap((version, place) =>
    LEVELS.map((qos, index) => {
      const judged = reports.flatMap((report) => report.versions[place]?.judged[index] ?? [])
      const sum = (name: 'published' | 'arrived' | 'resolved' | 'lost' | 'again'): number =>
        total(judged, (one) => one[name])
      return {
        version,
        qos,
        published: sum('published'),
        arrived: sum('arrived'),
        resolved: sum('resolved'),
        rejected: rejectedIn(judged),
        lost: sum('lost'),
        again: sum('again'),
      }
    }),
  )
}

function rejectedIn(judged: readonly Judgement[]): Readonly<Record<string, number>> {
  const codes = new Set(judged.flatMap(({ rejected }) => Object.keys(rejected)))
  return Object.fromEntries([...codes].map((code) => [code, total(judged, (one) => one.rejected[code] ?? 0)]))
}

function total<Item>(items: readonly Item[], of: (item: Item, index: number) => number): number {
  return items.reduce((sum, item, index) => sum + of(item, index), 0)
}

function count(value: number): string {
  return Math.round(value).toLocaleString('en')
}

function megabytes(bytes: number | undefined): string {
  return ((bytes ?? NaN) / 1_048_576).toFixed(1)
}

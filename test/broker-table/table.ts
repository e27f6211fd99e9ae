// What a run has found, as tables in Markdown and as the page that they stand on.
import type { Quirk } from './broker.ts'
import type { Outcome } from './outcome.ts'

export interface Row {
  readonly name: string
  readonly about: string
  /** In the order of the columns. */
  readonly outcomes: readonly Outcome[]
}

/** A broker in one version of MQTT. */
export interface Column {
  readonly broker: string
  readonly mqtt: string
}

export interface Installed {
  readonly name: string
  readonly package: string
  /** Undefined: it is missing. */
  readonly version: string | undefined
}

export interface Findings {
  readonly petrel: string
  readonly node: string
  readonly system: string
  /** As 2026-01-31. */
  readonly date: string
  readonly command: string
  readonly installed: readonly Installed[]
  readonly columns: readonly Column[]
  readonly features: readonly Row[]
  /** One column each: what was seen. */
  readonly clusters: readonly Row[]
  readonly proxies: readonly Row[]
  readonly quirks: readonly { readonly name: string; readonly quirks: readonly Quirk[] }[]
}

const MARKS = { works: '✓', limited: '○', fails: '✗', absent: '–' } as const

export function outcomesOf(findings: Findings): readonly Outcome[] {
  return [...findings.features, ...findings.clusters, ...findings.proxies].flatMap(({ outcomes }) => outcomes)
}

/** What is printed. */
export function tableOf(findings: Findings): string {
  const { columns, features, clusters, proxies, installed } = findings
  const parts: string[] = []
  if (columns.length > 0) {
    const heads = ['feature', ...columns.map(({ broker, mqtt }) => `${broker}, ${mqtt}`)]
    parts.push(markdown(heads, features.map(cells)))
  }
  if (clusters.length > 0) parts.push(markdown(['cluster', 'a node is killed'], clusters.map(cells)))
  if (proxies.length > 0) parts.push(markdown(['proxy', 'result'], proxies.map(cells)))
  const remarks = limitationsOf(findings)
  if (remarks.length > 0) parts.push(['Limitations, and what the client says:', ...remarks].join('\n'))
  const failures = failuresOf(findings)
  if (failures.length > 0) parts.push(['Failures:', ...failures].join('\n'))
  const missing = installed.filter(({ version }) => version === undefined)
  if (missing.length > 0) {
    const names = missing.map(({ name }) => name).join(', ')
    const packages = missing.map((one) => one.package).join(' ')
    parts.push(`Missing: ${names}. Debian: apt-get install --no-install-recommends ${packages}`)
  }
  return parts.join('\n\n')
}

/** The page `docs/brokers.md`. */
export function pageOf(findings: Findings): string {
  const { features, clusters, proxies, installed, quirks, petrel, node, system, date, command } = findings
  const counts = Object.entries(MARKS)
    .map(
      ([verdict, mark]) => `${mark} ${outcomesOf(findings).filter((one) => one.verdict === verdict).length}`,
    )
    .join(', ')
  return [
    '# Brokers and proxies',
    '',
    'Petrel with brokers and proxies that others wrote, each a real process on loopback. ✓ works; ○ does not, as the',
    'broker has it so, and the client says so; ✗ fails; – was not tried.',
    '',
    tableOf(findings),
    '',
    '## What is done, and what is right',
    '',
    ...explanationsOf([...features, ...clusters, ...proxies]),
    '',
    '## Quirks, and what the client does about them',
    '',
    ...quirks.flatMap(({ name, quirks: all }) =>
      all.map(({ what, client }) => `- **${name}.** ${what} *Petrel:* ${client}`),
    ),
    '',
    '## Versions',
    '',
    `Petrel ${petrel}, Node ${node}, ${system}, ${date}.`,
    '',
    markdown(
      ['program', 'Debian package', 'version'],
      installed.map(({ name, package: from, version }) => [name, from, version ?? 'missing']),
    ),
    '',
    '## How to repeat it',
    '',
    `This page is made by \`${command}\`; with \`--install\` it installs what is missing by apt-get, so that`,
    'nothing starts by itself. It ends with 1 when something fails that should work. Counted in this run: ' +
      `${counts}.`,
    '',
  ].join('\n')
}

/** Rows that do the same are explained together. */
function explanationsOf(rows: readonly Row[]): readonly string[] {
  const names = new Map<string, string[]>()
  for (const { name, about } of rows) names.set(about, [...(names.get(about) ?? []), name])
  return [...names].map(([about, all]) => `- **${all.join('; ')}.** ${about}`)
}

function limitationsOf({ columns, features }: Findings): readonly string[] {
  return features.flatMap(({ name, outcomes }) =>
    outcomes.flatMap(({ remark, text }, index) => {
      const column = columns[index]
      if (remark === undefined || column === undefined) return []
      return [`- ${column.broker}, ${column.mqtt}, ${name}: ${remark} What was seen: ${text}`]
    }),
  )
}

function failuresOf(findings: Findings): readonly string[] {
  const { columns, features, clusters, proxies } = findings
  const rows = [...features, ...clusters, ...proxies]
  return rows.flatMap(({ name, outcomes }) =>
    outcomes.flatMap(({ verdict, text }, index) => {
      if (verdict !== 'fails') return []
      const column = outcomes.length > 1 ? columns[index] : undefined
      return [`- ${column === undefined ? '' : `${column.broker}, ${column.mqtt}, `}${name}: ${text}`]
    }),
  )
}

function cells({ name, outcomes }: Row): readonly string[] {
  return [name, ...outcomes.map(cellOf)]
}

/** What it says in short: errors are told in full below the table. */
function cellOf({ verdict, text }: Outcome): string {
  if (verdict === 'absent') return MARKS.absent
  const short = /^(\w+Error [^:]*):/.exec(text)?.[1] ?? text
  return `${MARKS[verdict]} ${short}`
}

function markdown(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (row: readonly string[]): string => `| ${row.map(escaped).join(' | ')} |`
  return [line(heads), `|${heads.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n')
}

/** What a cell of a table cannot hold. */
function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

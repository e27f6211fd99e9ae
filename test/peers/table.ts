// The result as a table in Markdown, and the page that it stands on.
import type { Defect, Finding } from './defect.ts'

export interface Row {
  readonly defect: Pick<Defect, 'name' | 'about'>
  readonly mqttJs: Finding
  readonly petrel: Finding
}

export interface Circumstances {
  readonly mqttJs: string
  readonly petrel: string
  readonly node: string
  /** As 2026-01-31. */
  readonly date: string
}

export function tableOf(rows: readonly Row[], { mqttJs, petrel }: Circumstances): string {
  const lines = rows.map(({ defect, mqttJs: theirs, petrel: ours }) =>
    [defect.name, cellOf(theirs), cellOf(ours)].map(escaped).join(' | '),
  )
  return [
    `| what | MQTT.js ${mqttJs} | Petrel ${petrel} |`,
    '|---|---|---|',
    ...lines.map((line) => `| ${line} |`),
  ].join('\n')
}

export function pageOf(rows: readonly Row[], circumstances: Circumstances): string {
  const { node, date } = circumstances
  return [
    '# Comparison with MQTT.js',
    '',
    'What users of an MQTT client run into, measured: both clients do the same against the same scripted ' +
      'broker',
    '(`petrel/testing`) on a real socket, with default options except those of the session and the least ' +
      'delay between',
    'attempts. ✗ is a defect by what is said below the table, ✓ is none, – was not measured.',
    '',
    tableOf(rows, circumstances),
    '',
    '## What is done, and what is right',
    '',
    ...rows.map(({ defect }) => `- **${defect.name}.** ${defect.about}`),
    '',
    '## How to repeat it',
    '',
    'This page is made by `npm ci --prefix bench && npm run defects -- --write`. The command ends with 1 ' +
      'when Petrel',
    `shows a defect. This is the run of ${date}, Node ${node}.`,
    '',
  ].join('\n')
}

function cellOf({ isDefect, text }: Finding): string {
  const mark = isDefect === undefined ? '–' : isDefect ? '✗' : '✓'
  return `${mark} ${text}`
}

/** What a cell of a table cannot hold. */
function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

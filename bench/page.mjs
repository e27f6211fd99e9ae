// `npm run bench:page -- bench/results/A.json bench/results/B.json`: from results to what users read. It writes
//
//   docs/performance.md    all runs, the targets, and bench/performance-notes.md, which is written by hand
//   docs/performance.svg   the picture of the first run
//   README.md              what stands between the two comments of its section about speed: the first run in six lines
//
// A run is a file of `npm run bench`. What `npm run --silent bench:codec -- --json` printed may be given, too, each
// beside a run of the same Node. Nothing on the page but the notes is written by hand.

import { readFileSync, writeFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chartOf, machineText, perSecond, roundsText } from './chart.mjs'
import { contestants } from './contestants.mjs'
import { report, studyReport, table } from './report.mjs'
import { studies } from './studies/index.mjs'
import { others, reached, targets } from './targets.mjs'
import { workloads } from './workloads.mjs'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))
const measurable = { ...workloads, ...studies }

const stop = (message) => {
  console.error(message)
  process.exit(2)
}

/** The runs, each with a label of its own, and with the codec's rows of the same Node as `codec`. */
const runsOf = (files) => {
  const read = files.map((file) => ({ file, ...JSON.parse(readFileSync(file, 'utf8')) }))
  const runs = read.filter(({ rows }) => rows)
  if (runs.length === 0) stop('usage: npm run bench:page -- bench/results/A.json …')
  for (const { file, rows } of runs) {
    const unknown = rows.find(({ id }) => !(id in measurable))
    if (unknown) stop(`${file} is of another version of the benchmark: there is no ${unknown.id}`)
  }
  for (const { file, node, codec } of read.filter(({ rows }) => !rows)) {
    const same = runs.filter((run) => run.node === node)
    if (!codec || same.length === 0) stop(`${file} is neither a run nor the codec's rows of a run's Node`)
    for (const run of same) {
      run.codec = codec
      run.ratios.codec = { packet: Math.min(...Object.values(codec).map(({ ratio }) => ratio)) }
    }
  }
  const nameOf = ({ node, version }) => `Node ${node.slice(1).split('.')[0]}, MQTT ${version}`
  return runs.map((run) => {
    const alone = runs.filter((other) => nameOf(other) === nameOf(run)).length === 1
    return { ...run, label: alone ? nameOf(run) : `${nameOf(run)}, ${run.date.slice(0, 16)}` }
  })
}

const dayOf = ({ date }) =>
  new Date(date).toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC',
  })

const digits = (value) => Number(value.toPrecision(3))

const isVoid = ({ voids }, id) => voids.some((reason) => reason.startsWith(`${id}:`))

/** What a run says about itself, void workloads and what was missing included. */
const aboutRun = (run) => {
  const { file, machine, load, missing, voids, petrel, node, version, seconds, command } = run
  const name = relative(path('..'), resolve(file))
  const without = Object.entries(missing).map(
    ([id, reason]) => `without ${contestants[id]?.label ?? id}: ${reason.split('\n')[0]}`,
  )
  const notes = [
    `${roundsText(run)}, a run measures ${seconds} s where it can; the raw rounds: [${name}](../${name})`,
    `${machine.memoryGiB} GiB; a system call costs ${machine.systemCallNs} ns; the load before the run was ${load.toFixed(1)}`,
    ...without,
    ...voids.map((reason) => `**void:** ${reason}`),
  ]
  return [
    `**${run.label}**: ${dayOf(run)}, ${machineText(run)}, Node ${node.slice(1)}, MQTT ${version}, Petrel ${petrel}`,
    '',
    `    ${command}`,
    '',
    ...notes.map((note) => `- ${note}`),
  ].join('\n')
}

/** Everything that any of the runs has measured. */
const measuredIn = (runs) =>
  Object.keys(measurable)
    .filter((id) => runs.some(({ rows }) => rows.some((row) => row.id === id)))
    .map((id) => `- ${id}: ${measurable[id].title}`)
    .join('\n')

const boundText = ({ other, least, most }) => {
  if (most !== undefined) return `≤ ${most}×`
  return other === 'limit' ? `≥ ${digits(100 * least)} %` : `≥ ${least}×`
}

const reachedText = (target, run) => {
  const result = reached(target, run.ratios)
  if (!result) return '–'
  const { ratio, met } = result
  const figure = (value) =>
    target.other === 'limit' && target.least !== undefined ? `${digits(100 * value)} %` : `${digits(value)}×`
  const { flat, bare } = run.ratios[target.key]
  const reach = [flat, bare].filter((other) => other).map((other) => figure(ratio / other))
  const floor = !met && reach.length > 0 ? ` (${reach.join(', ')})` : ''
  const isVoidHere = isVoid(run, target.key.split('.')[0])
  return `${figure(ratio)} ${met ? 'met' : '**missed**'}${floor}${isVoidHere ? ', void' : ''}`
}

const targetsTable = (runs) =>
  table(
    ['Petrel', 'beside', 'target', ...runs.map(({ label }) => label)],
    targets.map((target) => [
      target.what,
      others[target.other],
      boundText(target),
      ...runs.map((run) => reachedText(target, run)),
    ]),
  )

const countOfTargets = ({ label, ratios }) => {
  const results = targets.map((target) => reached(target, ratios))
  const met = results.filter((result) => result?.met).length
  const missed = results.filter((result) => result && !result.met).length
  return `- ${label}: ${met} of ${targets.length} met, ${missed} missed, ${targets.length - met - missed} not measured`
}

const codecTable = (codec) =>
  table(
    ['', 'Petrel', 'mqtt-packet', 'raw loop', 'mqtt-packet ÷ Petrel'],
    Object.entries(codec).map(([name, { ratio, petrel, raw, ...ways }]) => [
      name,
      ...[petrel, Math.min(...Object.values(ways)), raw].map(String),
      `${ratio}×`,
    ]),
  )

const tablesOf = (run) => {
  const { label, rows, ratios, codec } = run
  const tables = [
    report(
      rows.filter(({ id }) => id in workloads),
      ratios,
    ),
    studyReport(
      rows.filter(({ id }) => id in studies),
      ratios,
    ),
    codec && `### Codec: ns of CPU time for a PUBLISH of 64 bytes, topic of 27\n\n${codecTable(codec)}\n`,
  ]
  return `## ${label}\n\n${tables.filter(Boolean).join('\n')}`
}

const pageOf = (runs, notes) => `<!-- Written by npm run bench:page. By hand: bench/performance-notes.md. -->

# Performance

![Messages per second of Petrel and other MQTT clients: the numbers are in the tables below](performance.svg)

## What was measured, and how

${measuredIn(runs)}

A client has one core, its peer another; the peer is a C program that spins, so no broker and no wake-up of the other
side is in the numbers, except where a title says so. Clients take turns in every round. A figure is the median of the
rounds, in brackets the least and the most, at the window that was best for the client. Petrel is built, packed and
installed as its users have it, with default options, except that in W3 \`maxInflightQos2\` (19 in 3.1.1) is the window.
A run whose counts do not agree with the peer's is an error, not a row. [bench/](../bench/README.md) has the rest: how to
read a row, who is measured in which versions, and the raw rounds.

${runs.map(aboutRun).join('\n\n')}

## Targets

Ratios of medians of one run, Petrel's figure divided by the other's; – was not measured. In brackets, where a target is
missed: what two programs of this repository reach. First the flat loop, most of a client's duties in one class, written
for nothing but speed ([flat.mjs](../bench/clients/flat.mjs)); then the bare loop, which does the same work for each message
and checks, decides, remembers and counts nothing ([bare.mjs](../bench/clients/bare.mjs)). Where there is one figure it is
the bare loop's, in W8 to W11 the flat loop's.

${runs.map(countOfTargets).join('\n')}

${targetsTable(runs)}

${notes.trim()}

${runs.map(tablesOf).join('\n')}`

const SHOWN = ['W1', 'W1.publish', 'W2', 'W3', 'W4', 'W5']

const speedOf = (run) => {
  const rows = SHOWN.map((key) =>
    run.rows.find((row) => row.client === 'petrel' && row.key === key && row.rate),
  )
  const times = (ratio) => (ratio ? `${digits(ratio)}×` : '–')
  const body = rows.filter(Boolean).map(({ id, key, mode, rate }) => {
    const { mqtt, libmosquitto, limit } = run.ratios[key]
    const what = `${workloads[id].role} QoS ${workloads[id].qos}, \`${mode}\`${isVoid(run, id) ? ' (void)' : ''}`
    return [what, perSecond(rate), times(mqtt), times(libmosquitto), limit ? `${digits(100 * limit)} %` : '–']
  })
  const head = ['64 bytes', 'messages per second', '÷ MQTT.js', '÷ libmosquitto', 'of a raw socket']
  return `![Messages per second of Petrel and other MQTT clients](docs/performance.svg)

${table(head, body)}

MQTT ${run.version}, Node ${run.node.slice(1)}, one core, ${roundsText(run)}; ${dayOf(run)}, ${machineText(run)}.
All of it, where the time goes, and how to repeat it: [docs/performance.md](docs/performance.md).`
}

/** Replaces what is between the comments. */
const withSpeed = (readme, speed) => {
  const parts = /(<!-- speed: .*? -->\n).*(<!-- \/speed -->)/s
  if (!parts.test(readme)) stop('README.md has no comments <!-- speed: … --> and <!-- /speed -->')
  return readme.replace(parts, (_, begin, end) => `${begin}\n${speed}\n\n${end}`)
}

const runs = runsOf(process.argv.slice(2))
const readme = path('../README.md')
writeFileSync(readme, withSpeed(readFileSync(readme, 'utf8'), speedOf(runs[0])))
writeFileSync(path('../docs/performance.svg'), chartOf(runs[0]))
writeFileSync(
  path('../docs/performance.md'),
  pageOf(runs, readFileSync(path('performance-notes.md'), 'utf8')),
)

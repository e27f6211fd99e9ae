// The picture of a run, as SVG: a panel for each of five workloads, a bar for each client. A bar's length is linear in
// its panel, so panels cannot be compared with each other. Of Petrel's ways there are two: its fastest, and the one
// that programs take first (a promise for each message; payloads that may be kept). The raw socket, which would dwarf
// all others, is a number. The picture has a background of its own, so that it can be read on any page.

import { contestants } from './contestants.mjs'
import { workloads } from './workloads.mjs'

const PANELS = ['W1', 'W2', 'W3', 'W4', 'W5']
const PEERS = ['mqttjs', 'awscrt', 'mosquitto', 'paho', 'u8mqtt', 'pahojs']
const FIRST_TAKEN = ['publish', 'kept']

const WIDTH = 900
const MARGIN = 24
const GAP = 30
const COLUMNS = 3
const PANEL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
const LABEL = 126
const NUMBER = 50
const TOP = 98
const HEAD = 44
const LINE = 22
const FOOT_LINE = 16
const FOOT_CHARACTERS = 125

const style = `
text { font: 12px system-ui, -apple-system, "Segoe UI", "Helvetica Neue", sans-serif; fill: #1f2328 }
.page { fill: #ffffff; stroke: #d1d9e0 }
.title { font-size: 17px; font-weight: 600 }
.head { font-size: 13px; font-weight: 600 }
.quiet { font-size: 11px; fill: #59636e }
.own { font-weight: 600 }
.code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace }
.bar { fill: #aab3bd }
.own-bar { fill: #0b76d1 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .page { fill: #151b23; stroke: #3d444d }
  .quiet { fill: #9198a1 }
  .bar { fill: #656c76 }
  .own-bar { fill: #4493f8 }
}
`

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

/** Three digits: 11.4 M, 564 k. */
export const perSecond = (rate) =>
  rate < 999_500 ? `${Number((rate / 1e3).toPrecision(3))} k` : `${Number((rate / 1e6).toPrecision(3))} M`

const text = (x, y, content, style = '') =>
  `<text x="${x}" y="${y}"${style && ` class="${style}"`}>${escaped(content)}</text>`

const barsOf = (rows) => {
  const own = rows.filter(({ client }) => client === 'petrel').sort((a, b) => b.rate - a.rate)
  const shown = own.filter(({ mode }, i) => i === 0 || FIRST_TAKEN.includes(mode))
  const peers = PEERS.flatMap((id) => rows.filter(({ client }) => client === id))
  return [...shown, ...peers].map(({ client, mode, rate }) => ({
    label: [contestants[client].label, mode].filter(Boolean).join(' '),
    own: client === 'petrel',
    rate,
  }))
}

const panelsOf = ({ rows }) =>
  PANELS.map((id) => {
    const measured = rows.filter((row) => row.id === id && row.rate)
    return {
      name: `${id}: ${workloads[id].role} QoS ${workloads[id].qos}`,
      bars: barsOf(measured),
      limit: measured.find(({ client }) => client === 'raw')?.rate,
    }
  }).filter(({ bars }) => bars.length > 0)

const panelAt = (x, y, { name, bars, limit }) => {
  const most = Math.max(...bars.map(({ rate }) => rate))
  const lines = bars.map(({ label, own, rate }, i) => {
    const top = y + HEAD + i * LINE
    const length = Math.max(1, ((PANEL - LABEL - NUMBER) * rate) / most)
    const bar = `<rect x="${x + LABEL}" y="${top - 11}" width="${length.toFixed(1)}" height="14" class="${own ? 'own-bar' : 'bar'}"/>`
    return [
      text(x, top, label, own ? 'own' : ''),
      bar,
      text((x + LABEL + length + 6).toFixed(1), top, perSecond(rate), own ? 'own' : ''),
    ].join('')
  })
  return [
    text(x, y, name, 'head'),
    ...(limit ? [text(x, y + 17, `the bytes alone, through net.Socket: ${perSecond(limit)}`, 'quiet')] : []),
    ...lines,
  ]
}

/** Lines of at most FOOT_CHARACTERS, broken at spaces. */
const wrapped = (long) => {
  const lines = ['']
  for (const word of long.split(' ')) {
    if (lines.at(-1).length + word.length >= FOOT_CHARACTERS) lines.push('')
    lines.push(`${lines.pop()} ${word}`.trim())
  }
  return lines
}

/** What the bars say, for those who do not see them. */
const description = (panels) =>
  panels
    .map(
      ({ name, bars }) =>
        `${name}: ${bars.map(({ label, rate }) => `${label} ${perSecond(rate)}`).join(', ')}.`,
    )
    .join(' ')

/** `medians of 5 rounds`, as many as had the entry with the most. */
export const roundsText = ({ rounds }) => {
  const most = Math.max(...rounds.map(({ results }) => results.length))
  return most === 1 ? 'one round' : `medians of ${most} rounds`
}

export const machineText = ({ machine: { cpu, cores, system } }) => `${cpu}, ${cores} cores, ${system}`

const TITLE = 'Messages per second of 64 bytes'

export const chartOf = (run) => {
  const panels = panelsOf(run)
  const height = HEAD + Math.max(...panels.map(({ bars }) => bars.length)) * LINE + 12
  const bodies = panels.flatMap((panel, i) =>
    panelAt(MARGIN + (i % COLUMNS) * (PANEL + GAP), TOP + Math.floor(i / COLUMNS) * height, panel),
  )
  const made = `${run.date.slice(0, 10)} · ${machineText(run)} · Node ${run.node.slice(1)} · MQTT ${run.version}`
  const foot = [
    ...wrapped(made).map((line) => [line, 'quiet']),
    ...wrapped(run.command).map((line) => [line, 'quiet code']),
  ]
  const footTop = TOP + Math.ceil(panels.length / COLUMNS) * height + 8
  const total = footTop + foot.length * FOOT_LINE + 4
  const measured = `${roundsText(run)}, each client on one core and at its best window. aws-crt runs AWS C MQTT.`
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${total}" viewBox="0 0 ${WIDTH} ${total}" role="img" aria-labelledby="title description">`,
    `<title id="title">${TITLE}</title>`,
    `<desc id="description">${escaped(description(panels))}</desc>`,
    `<style>${style}</style>`,
    `<rect x="0.5" y="0.5" width="${WIDTH - 1}" height="${total - 1}" rx="6" class="page"/>`,
    text(MARGIN, 36, TITLE, 'title'),
    text(
      MARGIN,
      55,
      `Longer is better; each panel has a scale of its own. ${measured[0].toUpperCase()}${measured.slice(1)}`,
      'quiet',
    ),
    ...bodies,
    ...foot.map(([line, style], i) => text(MARGIN, footTop + i * FOOT_LINE, line, style)),
    '</svg>',
  ].join('\n')}\n`
}

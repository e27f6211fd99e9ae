// From the rounds to what is read: medians, the best window of each client, ratios, the table, and whether the run is
// void.

import { contestants } from './contestants.mjs'
import { studies } from './studies/index.mjs'
import { keyOf, workloads } from './workloads.mjs'

const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const summary = (rounds) => {
  const rates = rounds.map(({ rate }) => rate)
  return {
    rate: median(rates),
    least: Math.min(...rates),
    most: Math.max(...rates),
    rounds: rates.length,
    cpu: median(rounds.map(({ cpu }) => cpu)),
    rss: Math.max(...rounds.map(({ rss }) => rss)),
    share: median(rounds.map(({ cpuShare }) => cpuShare)),
  }
}

/** One row for each workload, client and mode: the window with the best median. */
export const rowsOf = (plan) => {
  const rows = []
  for (const { id, client, mode, window, results } of plan) {
    const good = results.filter(({ error }) => error === undefined)
    const error = results.find((result) => result.error)?.error
    const row = {
      id,
      key: keyOf(id, workloads[id], mode),
      client,
      mode,
      window,
      error,
      failed: results.length - good.length,
      ...(good.length > 0 && summary(good)),
    }
    const at = rows.findIndex((other) => other.key === row.key && other.client === client)
    if (at < 0) rows.push(row)
    else if ((row.rate ?? 0) > (rows[at].rate ?? 0)) rows[at] = row
  }
  return rows
}

const rateOf = (rows, id, match) => {
  const rates = rows
    .filter((row) => row.id === id && row.rate && match(contestants[row.client], row.client))
    .map(({ rate }) => rate)
  return rates.length > 0 ? Math.max(...rates) : undefined
}

const rounded = (value) => (value === undefined ? null : Number(value.toPrecision(3)))

/** Petrel's rate over those of the others, by key; null where there is nothing to compare with. */
export const ratiosOf = (rows) => {
  const ratios = {}
  for (const { id, key, client, rate } of rows) {
    if (client !== 'petrel' || !rate) continue
    const over = (other) => rounded(other && rate / other)
    ratios[key] = {
      mqtt: over(rateOf(rows, id, (_, name) => name === 'mqttjs')),
      libmosquitto: over(rateOf(rows, id, (_, name) => name === 'mosquitto')),
      limit: over(rateOf(rows, id, ({ family }) => family === 'limit')),
      bestJs: over(rateOf(rows, id, ({ family }) => family === 'js')),
      bestC: over(rateOf(rows, id, ({ family }) => family === 'c')),
      bare: over(rows.find((row) => row.client === 'bare' && row.key === key)?.rate),
      flat: over(rows.find((row) => row.client === 'flat' && row.key === key)?.rate),
    }
  }
  return ratios
}

/** Where raw Node and raw C should be near each other and are not. */
export const voidsOf = (rows) => {
  const voids = []
  for (const id of new Set(rows.map((row) => row.id))) {
    const node = rateOf(rows, id, ({ family }) => family === 'limit')
    const c = rateOf(rows, id, ({ family }) => family === 'limit-c')
    if (!workloads[id].near || !node || !c) continue
    const apart = Math.max(node, c) / Math.min(node, c) - 1
    if (apart > 0.3) voids.push(`${id}: raw net.Socket and raw C are ${Math.round(100 * apart)} % apart`)
  }
  return voids
}

const digits = (value, count) =>
  value.toLocaleString('en-US', { minimumFractionDigits: count, maximumFractionDigits: count })

const rateText = (rate, payload) => {
  if (payload > 4096) return digits((rate * payload) / 1e9, 2)
  return digits(rate / 1e3, 0)
}

const roundsText = ({ rounds, failed }) => (failed > 0 ? `${rounds}, ${failed} failed` : String(rounds))

/** In Markdown; the first column is text, the others are figures. */
export const table = (head, body) => {
  const widths = head.map((title, i) => Math.max(title.length, ...body.map((line) => line[i].length)))
  const line = (cells) =>
    `| ${cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`
  return [line(head), rule, ...body.map(line)].join('\n')
}

/** The table of one workload, in Markdown. */
const workloadTable = (id, rows, ratios) => {
  const { title, payload, role, qos, fixedWindow } = workloads[id]
  const unit = payload > 4096 ? 'GB/s' : 'k msg/s'
  const windowless = role === 'receive' && qos === 0
  const times = (value, by) => (value === undefined || value === null ? '–' : digits(value, 1) + by)
  const body = rows.map((row) => {
    const label = `${contestants[row.client].label}${row.mode ? ` ${row.mode}` : ''}`
    if (!row.rate) return [label, '–', `failed: ${row.error}`.slice(0, 60), '', '', '', '', '', '', '', '']
    const ratio = row.client === 'petrel' ? ratios[row.key] : {}
    const hasWindow =
      !windowless && !['send'].includes(row.mode) && !(row.client.startsWith('raw') && qos === 0)
    return [
      label,
      hasWindow ? digits(row.window, 0) : '–',
      `${rateText(row.rate, payload)} (${rateText(row.least, payload)}–${rateText(row.most, payload)})`,
      row.cpu.toFixed(3),
      digits(row.rss, 0),
      roundsText(row),
      times(ratio.mqtt, '×'),
      times(ratio.bestC, '×'),
      times(ratio.limit && ratio.limit * 100, ' %'),
      times(ratio.flat && ratio.flat * 100, ' %'),
      times(ratio.bare && ratio.bare * 100, ' %'),
    ]
  })
  const head = [
    'client',
    'window',
    `${unit}, median (min–max)`,
    'CPU s / M msg',
    'peak RSS MiB',
    'rounds',
    '÷ MQTT.js',
    '÷ best C',
    '% of raw net.Socket',
    '% of flat loop',
    '% of bare loop',
  ]
  return `### ${id}: ${title}${fixedWindow ? ' for everybody' : ''}\n\n${table(head, body)}\n`
}

export const report = (rows, ratios) =>
  [...new Set(rows.map((row) => row.id))]
    .map((id) =>
      workloadTable(
        id,
        rows.filter((row) => row.id === id),
        ratios,
      ),
    )
    .join('\n')

/** One row for each study, case and client: the median, the least and the most of each figure. */
export const studyRowsOf = (plan) =>
  plan.map(({ id, client, case: name, results }) => {
    const good = results.filter(({ error }) => error === undefined)
    const figures = {}
    for (const figure of Object.keys(studies[id].columns)) {
      const values = good.map((result) => result[figure]).filter((value) => value !== undefined)
      if (values.length === 0) continue
      figures[figure] = { median: median(values), least: Math.min(...values), most: Math.max(...values) }
    }
    return {
      id,
      client,
      case: name,
      rounds: good.length,
      failed: results.length - good.length,
      figures,
      error: results.find(({ error }) => error)?.error,
    }
  })

/** Petrel's figure over those of the others, by key: W8.cpu, or W10.qos0.cpu with a case. */
export const studyRatiosOf = (rows) => {
  const ratios = {}
  for (const { id, client, case: name, figures } of rows) {
    if (client !== 'petrel') continue
    const over = (figure, other) => {
      const row = rows.find((row) => row.id === id && row.case === name && row.client === other)
      const theirs = row?.figures[figure]?.median
      return rounded(theirs && figures[figure].median / theirs)
    }
    for (const figure of Object.keys(studies[id].better)) {
      if (!figures[figure]) continue
      ratios[[id, name, figure].filter(Boolean).join('.')] = {
        mqtt: over(figure, 'mqttjs'),
        libmosquitto: over(figure, 'mosquitto'),
        limit: over(figure, 'raw'),
        flat: over(figure, 'flat'),
        better: studies[id].better[figure],
      }
    }
  }
  return ratios
}

const figureText = (value) => digits(value, value < 10 ? 2 : value < 100 ? 1 : 0)

/** The table of one study, in Markdown. */
const studyTable = (id, rows, ratios) => {
  const { title, columns, cases, better } = studies[id]
  const others = [
    ['mqtt', 'mqttjs', '÷ MQTT.js'],
    ['limit', 'raw', '÷ raw'],
    ['flat', 'flat', '÷ flat loop'],
  ].filter(([, client]) => rows.some((row) => row.client === client))
  const compared = Object.keys(better).flatMap((figure) =>
    others.map(([other, , heading]) => ({
      figure,
      other,
      heading: `${Object.keys(better).length > 1 ? `${figure} ` : ''}${heading}`,
    })),
  )
  const body = rows.map(({ client, case: name, rounds, failed, figures, error }) => [
    contestants[client].label,
    ...(cases ? [cases[name]] : []),
    ...Object.keys(columns).map((figure, i) => {
      if (error && rounds === 0) return i === 0 ? `failed: ${error}`.slice(0, 60) : ''
      if (!figures[figure]) return '–'
      const { median, least, most } = figures[figure]
      return rounds > 1
        ? `${figureText(median)} (${figureText(least)}–${figureText(most)})`
        : figureText(median)
    }),
    roundsText({ rounds, failed }),
    ...compared.map(({ figure, other }) => {
      const ratio = client === 'petrel' && ratios[[id, name, figure].filter(Boolean).join('.')]?.[other]
      return ratio ? `${ratio < 0.1 ? ratio : digits(ratio, 2)}×` : '–'
    }),
  ])
  const head = [
    'client',
    ...(cases ? [''] : []),
    ...Object.values(columns),
    'rounds',
    ...compared.map(({ heading }) => heading),
  ]
  return `### ${id}: ${title}\n\n${table(head, body)}\n`
}

export const studyReport = (rows, ratios) =>
  [...new Set(rows.map((row) => row.id))]
    .map((id) =>
      studyTable(
        id,
        rows.filter((row) => row.id === id),
        ratios,
      ),
    )
    .join('\n')

// `node bench/profile.mjs W2.publishAll W4.borrowed`: where Petrel's time goes in workloads, by V8's sampling profiler, in
// the process that `npm run bench` measures; Petrel is what the last run has installed. A table for each: functions with
// at least 2 % of the samples, by themselves. V8 gives the time of what it inlines to the caller or the callee, as it
// comes. Sampling makes the client slower: read the shares. Options: --messages n (millions, 4), --window n (2,000),
// --version 3.1.1|5, --client petrel|bare.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { measure, measureStudy } from './measure.mjs'
import { findProgram } from './prepare.mjs'
import { table } from './report.mjs'
import { studies } from './studies/index.mjs'
import { keyOf, workloads } from './workloads.mjs'

const LEAST = 0.02

const { values: flags, positionals: keys } = parseArgs({
  allowPositionals: true,
  options: {
    messages: { type: 'string', default: '4' },
    window: { type: 'string', default: '2000' },
    version: { type: 'string', default: '3.1.1' },
    client: { type: 'string', default: 'petrel' },
  },
})

const ofWorkloads = Object.entries(workloads).flatMap(([id, workload]) =>
  workload.modes.map((mode) => ({
    key: keyOf(id, workload, mode),
    title: `${mode}: ${workload.title}`,
    run: (how) => {
      const { role, payload, window, fixedWindow } = workload
      const count = Number(flags.messages) * (payload > 4096 ? 2e4 : 1e6)
      return measure({
        id: flags.client,
        family: flags.client,
        workload,
        mode,
        window: fixedWindow ? window : role === 'receive' ? 16_384 : Number(flags.window),
        count: Math.round(count),
        warm: 0.2,
        ...how,
      })
    },
  })),
)
const ofStudies = Object.entries(studies).flatMap(([id, study]) =>
  Object.keys(study.cases ?? { undefined }).map((name) => ({
    key: study.cases ? `${id}.${name}` : id,
    title: study.title,
    run: (how) => {
      const programs = Object.fromEntries(study.needs.map((need) => [need, findProgram(need)]))
      return measureStudy(study, {
        client: flags.client,
        case: study.cases && name,
        seconds: 4,
        programs,
        ...how,
      })
    },
  })),
)
const known = [...ofWorkloads, ...ofStudies]

/** [share, name, file] of each function, the largest share first. */
const sharesOf = ({ nodes, samples, timeDeltas }) => {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const times = new Map()
  let total = 0
  samples.forEach((id, i) => {
    const { functionName, url } = byId.get(id).callFrame
    const key = `${functionName || '(anonymous)'}\t${url.startsWith('node:') ? url : basename(url)}`
    times.set(key, (times.get(key) ?? 0) + timeDeltas[i])
    total += timeDeltas[i]
  })
  return [...times]
    .map(([key, time]) => [time / total, ...key.split('\t')])
    .sort(([one], [other]) => other - one)
}

const profile = async ({ key, title, run }) => {
  const directory = mkdtempSync(join(tmpdir(), 'petrel-profile-'))
  try {
    const result = await run({
      version: flags.version,
      node: process.execPath,
      nodeFlags: ['--cpu-prof', '--cpu-prof-dir', directory, '--cpu-prof-interval', '250'],
      limit: 120_000,
    })
    if (result.error) throw new Error(result.error)
    const [file] = readdirSync(directory)
    const shares = sharesOf(JSON.parse(readFileSync(join(directory, file), 'utf8')))
    const shown = shares.filter(([share]) => share >= LEAST)
    console.log(`### ${key}, ${title} (Node ${process.version.slice(1)})\n`)
    console.log(
      table(
        ['function', 'in', '%'],
        shown.map(([share, name, where]) => [`\`${name}\``, where, (100 * share).toFixed(1)]),
      ),
    )
    const rest = shares.filter(([share]) => share < LEAST)
    const sum = rest.reduce((sum, [share]) => sum + share, 0)
    console.log(`\nand ${rest.length} more with ${(100 * sum).toFixed(1)} % together\n`)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

const unknown = keys.find((key) => known.every((one) => one.key !== key))
if (keys.length === 0 || unknown !== undefined) {
  console.error(`usage: node bench/profile.mjs KEY …, of ${known.map(({ key }) => key).join(', ')}`)
  process.exit(2)
}
for (const key of keys) await profile(known.find((one) => one.key === key))

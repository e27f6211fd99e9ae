// `npm run bench`: Petrel beside its peers and the physical limit, in one run on one machine.
//
//   --quick              within a minute: short runs, one window each; MQTT.js, the raw socket and Petrel
//                        (and libmosquitto with --json, which prints the ratio to it)
//   --json               at the end one line: {"ratios":{"W1":{"mqtt":n,"libmosquitto":n,"limit":n},…}}
//   --only W1,W8         these workloads (workloads.mjs) and studies (studies/)
//   --clients a,b        these clients (contestants.mjs)
//   --rounds n           5, quick 3
//   --seconds n          the time that one run should measure: 1, quick 0.2
//   --version 3.1.1|5    of MQTT: 3.1.1
//   --node PATH          another Node for the JavaScript clients
//   --no-build           measure Petrel as it was installed by the last run
//   --priority           ahead of everything else on the machine (Linux, root): for one that is not quiet
//
// A round is one run of everything: clients are interleaved, so that what changes on the machine meets all of them.
// Before the rounds, one run of each finds out how long it must be (a quick run takes guesses for the first round).
// The rounds go to results/: a full run's into a file with its date, a quick one's into quick.json, which is ignored.

import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { classOf, contestants, windowsOf } from './contestants.mjs'
import { measure, measureStudy, pinned } from './measure.mjs'
import { compile, findProgram, installPeers, installPetrel, loads, systemCallPrice } from './prepare.mjs'
import { ratiosOf, report, rowsOf, studyRatiosOf, studyReport, studyRowsOf, voidsOf } from './report.mjs'
import { studies } from './studies/index.mjs'
import { workloads } from './workloads.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const QUICK_BUDGET = 50_000
const begun = performance.now()
/** Before anything is built. */
const load = loadavg()[0]

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    json: { type: 'boolean' },
    only: { type: 'string' },
    clients: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    version: { type: 'string', default: '3.1.1' },
    node: { type: 'string', default: process.execPath },
    'no-build': { type: 'boolean' },
    priority: { type: 'boolean' },
  },
})

const stop = (message) => {
  console.error(message)
  process.exit(2)
}

const choose = (text, known, what) => {
  const chosen = text
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)
  for (const name of chosen) {
    if (!(name in known)) stop(`there is no ${what} ${name}; there are ${Object.keys(known).join(', ')}`)
  }
  return chosen
}

const number = (text, fallback) => {
  const value = Number(text ?? fallback)
  if (!(value > 0)) stop(`${text} is not a number above 0`)
  return value
}

if (!['3.1.1', '5'].includes(flags.version))
  stop(`there is no MQTT version ${flags.version} here: 3.1.1 or 5`)
const rounds = Math.ceil(number(flags.rounds, flags.quick ? 3 : 5))
const seconds = number(flags.seconds, flags.quick ? 0.2 : 1)
/** Seconds: what compilers and allocators need to settle, as long for each client. */
const warmUp = flags.quick ? 0.2 : 1
const measurable = { ...workloads, ...studies }
const chosen = flags.only
  ? choose(flags.only, measurable, 'workload or study')
  : Object.keys(measurable).filter((id) => !flags.quick || measurable[id].quick)
const chosenWorkloads = chosen.filter((id) => id in workloads)
const chosenStudies = chosen.filter((id) => id in studies)
const quickClients = ['petrel', 'mqttjs', ...(flags.json ? ['mosquitto'] : []), 'raw']
const asked = flags.clients?.replace('libmosquitto', 'mosquitto')
const chosenClients = asked
  ? choose(asked, contestants, 'client')
  : flags.quick
    ? quickClients
    : Object.keys(contestants)

const programs = {}
const studiesWithout = {}
for (const id of chosenStudies) {
  for (const name of studies[id].needs) {
    programs[name] = findProgram(name)
    if (!programs[name]) studiesWithout[id] = `it needs ${name}`
  }
}

/** Everything that must be there; returns the clients that are, and why the others are not. */
const prepare = () => {
  installPeers()
  const missing = compile()
  if (chosenClients.includes('petrel')) {
    const reason = installPetrel({ build: !flags['no-build'] })
    if (reason) missing.petrel = reason
  }
  for (const id of chosenClients) {
    if (missing[id] || ['c', 'limit-c'].includes(contestants[id].family)) continue
    const reason = loads(id, flags.node)
    if (reason) missing[id] = reason
  }
  const present = chosenClients.filter((id) => !missing[id])
  return {
    present,
    missing: Object.fromEntries(chosenClients.filter((id) => missing[id]).map((id) => [id, missing[id]])),
  }
}

const planOf = (present) =>
  chosenWorkloads.flatMap((id) => {
    const workload = workloads[id]
    return present
      .filter((client) => contestants[client].speaks({ ...workload, version: flags.version }))
      .flatMap((client) => {
        const windows = windowsOf(contestants[client], workload).slice(0, flags.quick ? 1 : 3)
        const modes = contestants[client].hasModes ? workload.modes : [undefined]
        const rate = contestants[client].rates[classOf(workload)]
        return modes.flatMap((mode) =>
          windows.map((window) => ({ id, client, mode, window, rate, results: [], failures: 0 })),
        )
      })
  })

/** What a study asks of a client. */
const small = { version: flags.version, qos: 0, payload: 64, topics: 1 }

const studyPlanOf = (present) =>
  chosenStudies
    .filter((id) => !studiesWithout[id])
    .flatMap((id) => {
      const study = studies[id]
      return Object.keys(study.cases ?? { undefined }).flatMap((name) =>
        present
          .filter((client) => study.clients.includes(client) && contestants[client].speaks(small))
          .map((client) => ({ id, study, client, case: study.cases && name, results: [], failures: 0 })),
      )
    })

const runStudy = (entry) =>
  measureStudy(entry.study, {
    client: entry.client,
    case: entry.case,
    version: flags.version,
    node: flags.node,
    seconds,
    programs,
    priority: flags.priority,
    limit: 60_000 + 10_000 * seconds,
  })

const runWorkload = (entry) =>
  measure({
    id: entry.client,
    family: contestants[entry.client].family,
    workload: workloads[entry.id],
    mode: entry.mode,
    window: entry.window,
    version: flags.version,
    count: Math.max(500, Math.round(entry.rate * seconds)),
    warm: warmUp / seconds,
    node: flags.node,
    priority: flags.priority,
    limit: (flags.quick ? 6_000 : 45_000) + 10_000 * seconds,
  })

/** A run of a workload that was too short is repeated with the rate that it found. */
const resultOf = async (entry, mayBeShort) => {
  if (entry.study) return runStudy(entry)
  const result = await runWorkload(entry)
  if (result.rate) entry.rate = result.rate
  return !mayBeShort && result.seconds < seconds / 3 ? resultOf(entry, true) : result
}

const overdue = () => flags.quick && performance.now() - begun > QUICK_BUDGET

const note = (text) => {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`)
}

/** One run of every entry; stops in the middle when a quick run's time is up. */
const roundOf = async (plan, name, keep) => {
  for (const entry of plan) {
    if (overdue()) return
    if (entry.isSlower) continue
    if (entry.failures > 1) continue
    if (entry.study?.once?.includes(entry.client) && entry.results.length > 0) continue
    note(`${name}: ${entry.id} ${contestants[entry.client].label} ${entry.case ?? entry.mode ?? ''} `)
    const result = await resultOf(entry, !keep)
    if (result.error) entry.failures++
    if (keep) entry.results.push(result)
    else entry.found = result.rate
  }
}

/** From here on a client has the window that was best for it so far, in two runs of each. */
const chooseWindows = () => {
  const rateOf = ({ found, results }) => {
    const rates = [found, results[0]?.rate].filter(Boolean)
    return rates.reduce((sum, rate) => sum + rate, 0) / (rates.length || 1)
  }
  for (const entry of workloadPlan) {
    const { id, client, mode } = entry
    entry.isSlower = workloadPlan.some(
      (other) =>
        other.id === id && other.client === client && other.mode === mode && rateOf(other) > rateOf(entry),
    )
  }
}

const machine = () => ({
  cpu: cpus()[0]?.model.trim(),
  cores: cpus().length,
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  system: `${process.platform} ${release().split('-')[0]}`,
  systemCallNs: systemCallPrice(),
})

const versionOf = (node) => {
  const { status, stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' })
  return status === 0 ? stdout.trim() : stop(`${node} is no Node`)
}

const nodeVersion = versionOf(flags.node)
const { present, missing } = prepare()
const petrel = present.includes('petrel')
  ? JSON.parse(readFileSync(`${here}node_modules/petrel/package.json`, 'utf8')).version
  : undefined
for (const [id, reason] of Object.entries(missing)) console.log(`without ${contestants[id].label}: ${reason}`)
for (const [id, reason] of Object.entries(studiesWithout)) console.log(`without ${id}: ${reason}`)
if (!pinned) console.log('client and peer share the cores as they come: pinning needs Linux and two cores')
if (flags.priority && !(process.platform === 'linux' && process.getuid() === 0))
  stop('--priority needs Linux and root')
if (pinned && spawnSync('taskset', ['--version']).error) stop('taskset is needed (util-linux)')

const workloadPlan = planOf(present)
const studyPlan = studyPlanOf(present)
const plan = [...workloadPlan, ...studyPlan]
const hardware = machine()
if (!flags.quick) await roundOf(workloadPlan, 'finding the lengths', false)
for (let round = 1; round <= rounds && !overdue(); round++) {
  await roundOf(plan, `round ${round} of ${rounds}`, true)
  if (round === 1) chooseWindows()
}
note('')

const measured = ({ results }) => results.length > 0
const rows = rowsOf(workloadPlan.filter((entry) => measured(entry) && !entry.isSlower))
const studyRows = studyRowsOf(studyPlan.filter(measured))
const ratios = { ...ratiosOf(rows), ...studyRatiosOf(studyRows) }
const voids = voidsOf(rows)
const date = new Date().toISOString()
// where a Node lies is of no use to others
const command = ['npm run bench --', ...process.argv.slice(2)]
  .join(' ')
  .replace(/--node[= ]\S+/, '--node PATH')

const { cpu, cores, memoryGiB, system, systemCallNs } = hardware
console.log(`\n${date.slice(0, 10)}, MQTT ${flags.version}, Node ${nodeVersion}`)
console.log(`${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, ${systemCallNs} ns for a system call`)
console.log(`${command}\n`)
console.log([report(rows, ratios), studyReport(studyRows, ratios)].filter(Boolean).join('\n'))
if (overdue()) console.log('the minute was over before all rounds were\n')
if (load > 0.7) console.log(`the load of this machine was ${load.toFixed(1)} before the run\n`)
for (const reason of voids) console.log(`VOID: ${reason}\n`)

const name = flags.quick
  ? 'quick'
  : `${date.slice(0, 16).replace(':', '')}-node${nodeVersion.slice(1).split('.')[0]}-mqtt${flags.version}`
mkdirSync(`${here}results`, { recursive: true })
writeFileSync(
  `${here}results/${name}.json`,
  `${JSON.stringify(
    {
      date,
      command,
      machine: hardware,
      load,
      node: nodeVersion,
      version: flags.version,
      petrel,
      peers: JSON.parse(readFileSync(`${here}package.json`, 'utf8')).dependencies,
      seconds,
      missing: { ...missing, ...studiesWithout },
      voids,
      ratios,
      rows: [...rows, ...studyRows],
      rounds: plan.map(({ id, client, case: name, mode, window, results }) => ({
        id,
        client,
        case: name,
        mode,
        window,
        results,
      })),
    },
    null,
    1,
  )}\n`,
)
console.log(`raw results: bench/results/${name}.json`)

if (flags.json) {
  const printed = Object.fromEntries(
    Object.entries(ratios).map(([key, { mqtt, libmosquitto, limit }]) => [
      key,
      { mqtt, libmosquitto, limit },
    ]),
  )
  console.log(JSON.stringify({ ratios: printed }))
}

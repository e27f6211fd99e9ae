// `npm run soak -- --minutes 30`: both versions against a real mosquitto for as long as you like, with cuts
// and restarts. Prints a line for each minute and a summary; exits with 1 when a message was lost, came twice
// against the rules, or something has grown.
import { parseArgs } from 'node:util'
import { isMosquittoInstalled } from '../support/mosquitto-process.ts'
import { describeSummary, lineOf, summarize } from './report.ts'
import { type PeriodReport, Soak } from './soak.ts'

const HELP = `Runs Petrel against a real mosquitto for minutes: npm run soak -- [options]

  --minutes N      how long, default 2
  --json           the last line is the result as JSON
  --help           this text

Needs mosquitto. In runs of less than three minutes a period is twenty seconds instead of a minute, so that
there is a second and a last one to compare. They must be alike within 5 %; heap and buffers may grow by 1 MiB.
Exit code: 0; 1 when a check failed; 2 for a wrong option or without mosquitto.
`

const MINUTE = 60_000

interface Options {
  readonly minutes: number
  readonly json: boolean
}

/** @throws Error that says what is wrong */
function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      minutes: { type: 'string', default: '2' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return undefined
  const minutes = Number(values.minutes)
  if (!Number.isInteger(minutes) || minutes < 1) {
    throw new Error(`--minutes: expected a whole number from 1, got ${JSON.stringify(values.minutes)}`)
  }
  if (!isMosquittoInstalled) throw new Error('mosquitto was not found. Debian: apt-get install mosquitto')
  return { minutes, json: values.json }
}

async function soak({ minutes, json }: Options): Promise<boolean> {
  const length = minutes < 3 ? MINUTE / 3 : MINUTE
  const reports: PeriodReport[] = []
  const running = await Soak.start(length)
  try {
    const periods = (minutes * MINUTE) / length
    for (let period = 1; period <= periods; period += 1) {
      const report = await running.run(period === 2 || period === periods)
      reports.push(report)
      console.log(lineOf(report))
      for (const fault of report.faults) console.log(`  ✗ ${fault}`)
    }
  } finally {
    await running.stop()
  }
  const summary = summarize(reports)
  console.log(`\n${describeSummary(summary)}`)
  if (json) console.log(JSON.stringify(summary))
  return summary.ok
}

// Without these nothing would end the broker.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

try {
  const options = readOptions()
  if (options === undefined) console.log(HELP)
  else if (!(await soak(options))) process.exitCode = 1
} catch (error) {
  console.error(`soak: ${error instanceof Error ? error.message : String(error)}`)
  process.exit(2) // whatever is still open
}

/**
 * `npm run demo`: what Petrel does, over real TCP, in seconds. Two clients, a broker, every kind of message; then
 * three thousand messages during which both clients lose their socket. `-- --help` tells the options.
 */

import { UsageError } from '../src/index.ts'
import { createBroker } from '../src/testing/broker-server.ts'
import { showFeatures } from './features.ts'
import { Load } from './load.ts'
import { type DemoOptions, DemoUsageError, HELP, readOptions } from './options.ts'
import { type Outcome, outcomeOf, tableOf } from './outcome.ts'
import { clearStage, printStep, setStage } from './stage.ts'

/** ms after which nothing is waited for any more; with what comes before and after it, less than 15 s. */
const TIME = 10_000

async function main(args: readonly string[]): Promise<number> {
  const options = readOptions(args)
  if (options.help) {
    console.log(HELP)
    return 0
  }
  const { url } = options
  const outcome = await (url === undefined ? runWithTestBroker(options) : run(url, options, () => []))
  if (options.json) console.log(JSON.stringify(outcome))
  return outcome.ok ? 0 : 1
}

async function runWithTestBroker(options: DemoOptions): Promise<Outcome> {
  const server = createBroker()
  try {
    // Asked while the clients are connected: it also knows what each still owes.
    const judge = (): readonly string[] =>
      server.broker.finish().map(({ text, statement }) => `${text} ${statement}`)
    return await run(await server.listen(), options, judge)
  } finally {
    await server.close()
  }
}

/** @param judge what the broker complains of, if it can tell */
async function run(url: string, options: DemoOptions, judge: () => readonly string[]): Promise<Outcome> {
  const { protocol } = options
  const timeOut = AbortSignal.timeout(TIME)
  const stage = await setStage(url, protocol, timeOut)
  try {
    const broker = options.url === undefined ? `the test broker in this process, ${url}` : new URL(url).host
    console.log(`\nPetrel speaks MQTT ${protocol} over TCP with ${broker}\n`)
    printStep('✓', 'connect', `two clients, ${stage.prefix}-pub and ${stage.prefix}-sub`)
    const features = await showFeatures(stage)
    console.log('\n  1,000 messages of each QoS, at most 375 of them undelivered\n')
    const load = await new Load(stage, features.maximumQoS).run()
    const complaints = judge()
    const outcome = outcomeOf(protocol, features, load, !timeOut.aborted && complaints.length === 0)
    if (!timeOut.aborted) await clearStage(stage)
    console.log(`\n${tableOf(outcome)}\n`)
    for (const failure of load.tally.failures.slice(0, 3))
      console.log(`  A publish failed: ${String(failure)}`)
    for (const complaint of complaints.slice(0, 3)) console.log(`  The broker complains: ${complaint}`)
    if (timeOut.aborted) console.log(`  The time, ${TIME / 1_000} s, was not enough.`)
    console.log(`  ${verdictOf(outcome)}\n`)
    return outcome
  } finally {
    stage.publisher.destroy()
    stage.subscriber.destroy()
  }
}

function verdictOf({ ok, reconnects, messagesPerSecond }: Outcome): string {
  const speed = `${messagesPerSecond.toLocaleString('en')} messages a second, with ${reconnects} reconnects`
  return ok ? `Nothing was lost: ${speed}.` : `That is not what was promised: ${speed}.`
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage = error instanceof DemoUsageError || error instanceof UsageError
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`)
  if (isUsage) console.error('npm run demo -- --help tells the options')
  process.exitCode = isUsage ? 2 : 1
}

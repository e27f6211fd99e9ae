// `npm run scale -- --idle 5000 --storm 1000`: one pool's clients in one process, against a real mosquitto. First many
// idle ones: what each costs. Then the broker is killed and started again, and the attempts of all clients are counted
// in bins of 100 ms: they have to be spread, whatever the number of clients. Exits with 1 when one does not come
// back, when there is more than one timer, or when more attempts began in a second than the pool allows.
import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { type Client, ClientPool } from '../../src/index.ts'
import { isMosquittoInstalled, Mosquitto } from '../support/mosquitto-process.ts'

const { values } = parseArgs({
  options: {
    idle: { type: 'string', default: '5000' },
    storm: { type: 'string', default: '1000' },
    json: { type: 'boolean', default: false },
  },
})

/** ms of a bin of the histogram. */
const BIN = 100
const BINS_A_LINE = 5
/** Attempts that the pool begins in a second, beyond those of its first one. */
const PER_SECOND = 100

const faults: string[] = []

function check(isSo: boolean, otherwise: string): void {
  if (!isSo) faults.push(otherwise)
}

/** By their objects: those that do not keep the process alive are no active resources. */
const { constructor: Timeout } = setTimeout(() => {}, 0)
/** What there is of them without a client. */
const othersTimers = queryObjects(Timeout, { format: 'count' })

function timers(): number {
  return queryObjects(Timeout, { format: 'count' }) - othersTimers
}

function memory(): { heap: number; resident: number } {
  globalThis.gc?.()
  const { heapUsed, arrayBuffers, external, rss } = process.memoryUsage()
  return { heap: heapUsed + arrayBuffers + external, resident: rss }
}

async function idle(broker: Mosquitto, count: number): Promise<Readonly<Record<string, number>>> {
  const pool = new ClientPool({ maxAttempts: 500, attemptsPerSecond: Infinity })
  const before = memory()
  const begun = performance.now()
  await Promise.all(Array.from({ length: count }, () => pool.connect(broker.url, { keepAlive: 60 })))
  const connectedAfter = performance.now() - begun
  await sleep(1_000)
  const after = memory()
  check(timers() <= 1, `${timers()} timers for ${count} clients, expected 1`)
  check(pool.size === count, `${pool.size} clients, expected ${count}`)
  const figures = {
    clients: count,
    connectedAfterMs: Math.round(connectedAfter),
    heapBytesEach: Math.round((after.heap - before.heap) / count),
    residentBytesEach: Math.round((after.resident - before.resident) / count),
    timers: timers(),
  }
  await pool.close()
  check(timers() === 0, `${timers()} timers after the pool was closed`)
  return figures
}

interface Storm {
  readonly clients: number
  readonly attempts: number
  readonly allBackAfterMs: number
  readonly largestBin: number
  readonly bins: readonly number[]
}

async function storm(broker: Mosquitto, count: number): Promise<Storm> {
  const pool = new ClientPool({ attemptsPerSecond: PER_SECOND })
  const clients = await Promise.all(Array.from({ length: count }, () => pool.connect(broker.url)))
  const attempts: number[] = []
  const back: Promise<void>[] = []
  await broker.kill()
  const begun = performance.now()
  for (const client of clients) {
    client.on('state', ({ to }) => {
      if (to === 'handshaking' || to === 'waiting') attempts.push(performance.now() - begun)
    })
    back.push(connectedAgain(client))
  }
  await sleep(500)
  await broker.run()
  await Promise.all(back)
  const allBackAfterMs = Math.round(performance.now() - begun)
  const bins: number[] = []
  for (const at of attempts) bins[Math.floor(at / BIN)] = (bins[Math.floor(at / BIN)] ?? 0) + 1
  const filled = Array.from(bins, (bin) => bin ?? 0)
  // A bucket of tokens lets through what it holds, a second's worth, and then a second's worth each second.
  const most = 2 * PER_SECOND + 1
  const ofSecond = (last: number): number =>
    filled.slice(Math.max(0, last - 1_000 / BIN + 1), last + 1).reduce((sum, bin) => sum + bin, 0)
  const largestSecond = Math.max(...filled.map((_, last) => ofSecond(last)))
  check(largestSecond <= most, `${largestSecond} attempts in a second, expected at most ${most}`)
  const largestBin = Math.max(...filled)
  await pool.close()
  return { clients: count, attempts: attempts.length, allBackAfterMs, largestBin, bins: filled }
}

function connectedAgain(client: Client): Promise<void> {
  if (client.state === 'connected')
    return new Promise((resolve) => void client.on('resumed', () => resolve()))
  return new Promise((resolve) => void client.on('connected', () => resolve()))
}

function printHistogram({ bins, clients, attempts, allBackAfterMs }: Storm): void {
  console.log(
    `${clients} clients, ${attempts} attempts, all back after ${(allBackAfterMs / 1_000).toFixed(1)} s`,
  )
  const largest = Math.max(...bins)
  for (let first = 0; first < bins.length; first += BINS_A_LINE) {
    const sum = bins.slice(first, first + BINS_A_LINE).reduce((total, bin) => total + bin, 0)
    const bar = '#'.repeat(Math.ceil((sum / (BINS_A_LINE * largest)) * 60))
    console.log(`${((first * BIN) / 1_000).toFixed(1).padStart(6)} s  ${String(sum).padStart(4)}  ${bar}`)
  }
}

if (!isMosquittoInstalled) {
  console.error('mosquitto was not found. Debian: apt-get install mosquitto')
  process.exit(2)
}
const broker = await Mosquitto.start('plain')
try {
  const idling = await idle(broker, Number(values.idle))
  const stormed = await storm(broker, Number(values.storm))
  if (values.json) console.log(JSON.stringify({ idle: idling, storm: stormed, faults }))
  else {
    console.log(idling)
    printHistogram(stormed)
  }
} finally {
  await broker.stop()
}
for (const fault of faults) console.log(`✗ ${fault}`)
if (faults.length > 0) process.exitCode = 1

// The soak itself: a mosquitto that keeps its state, a pair of clients for each version, and in front of the
// broker a proxy for the publishers and one for the subscribers. Everything happens by the clock:
//
//     a period      messages at a steady rate, a cut every 5 s, in its middle a restart of the broker
//     its end       nothing is published any more; all is awaited, judged and measured
//
// A cut takes the publishers' or the subscribers' connections, by RST or by FIN. Shortly before it the proxy
// stops carrying the answers, so that what is acknowledged on one side is not known on the other.
import { setTimeout as sleep } from 'node:timers/promises'
import { Mosquitto } from '../support/mosquitto-process.ts'
import { faultsOf, type Judgement } from './ledger.ts'
import { LEVELS, Pair, PATIENCE, type PairCounts, type Version } from './pair.ts'
import { BreakingProxy, type Ending } from './proxy.ts'
import { countObjects, type Sample, takeSample } from './sample.ts'

/** Messages a second, of both versions together. */
export const PACE = 3_000
/** The least that is promised on average: messages that came, quiet times included. */
export const PROMISED = 2_000

const VERSIONS: readonly Version[] = ['3.1.1', '5']
const TICK = 10
const CUT_EVERY = 5_000
/** ms that answers are held up before a cut. */
const MUTE = 20
/** ms at the end of a period in which nothing is published. */
const QUIET = 1_500
/** ms that the broker is away. */
const AWAY = 150
/** QoS 1 takes the place of QoS 2 while the broker is restarted. */
const RESERVE = 0.25

interface Cut {
  readonly who: 'publisher' | 'subscriber'
  readonly ending: Ending
}

const CUTS: readonly Cut[] = [
  { who: 'publisher', ending: 'RST' },
  { who: 'subscriber', ending: 'RST' },
  { who: 'publisher', ending: 'FIN' },
  { who: 'subscriber', ending: 'FIN' },
]

export interface VersionReport extends PairCounts {
  readonly version: Version
  /** In the order of QoS 0, 1, 2. */
  readonly judged: readonly Judgement[]
}

export interface PeriodReport {
  readonly period: number
  readonly seconds: number
  readonly versions: readonly VersionReport[]
  /** Connections that were cut, since the beginning. */
  readonly cuts: number
  readonly restarts: number
  readonly sample: Sample
  readonly faults: readonly string[]
}

export class Soak {
  readonly #broker: Mosquitto
  readonly #proxies: Readonly<Record<Cut['who'], BreakingProxy>>
  readonly #pairs: readonly Pair[]
  readonly #length: number
  #turn = 0
  #cuts = 0
  #restarts = 0
  #period = 0

  private constructor(
    broker: Mosquitto,
    proxies: Readonly<Record<Cut['who'], BreakingProxy>>,
    pairs: readonly Pair[],
    length: number,
  ) {
    this.#broker = broker
    this.#proxies = proxies
    this.#pairs = pairs
    this.#length = length
  }

  /** @param length ms of a period */
  static async start(length: number): Promise<Soak> {
    const broker = await Mosquitto.start('persistent')
    const port = Number(new URL(broker.url).port)
    const proxies = {
      publisher: await BreakingProxy.listen(port),
      subscriber: await BreakingProxy.listen(port),
    }
    const urls = { publisher: proxies.publisher.url, subscriber: proxies.subscriber.url }
    const share = (PACE * length) / 1_000 / VERSIONS.length / LEVELS.length
    const capacity = Math.ceil(share * (1 + RESERVE))
    const pairs: Pair[] = []
    for (const version of VERSIONS) pairs.push(await Pair.connect(version, urls, capacity))
    return new Soak(broker, proxies, pairs, length)
  }

  /** One period. @param isCompared its sample is to be held against another one */
  async run(isCompared: boolean): Promise<PeriodReport> {
    const began = performance.now()
    await this.#publishAndBreak(began)
    const areCalm = await Promise.all(this.#pairs.map((pair) => pair.calm()))
    const versions = this.#pairs.map((pair) => ({
      version: pair.version,
      judged: pair.judge(),
      ...pair.counts,
    }))
    const faults = versions.flatMap((report) => faultsOfVersion(report))
    for (const pair of this.#pairs) pair.turn()
    const taken = await takeSample(this.#pairs.flatMap((pair) => pair.clients))
    const sample = isCompared ? { ...taken, ...countObjects() } : taken
    if (areCalm.includes(false)) faults.push(`after ${PATIENCE / 1_000} s not all had settled and come`)
    const left = began + this.#length - performance.now()
    if (left > 0) await sleep(left)
    const seconds = (performance.now() - began) / 1_000
    this.#period += 1
    const done = { cuts: this.#cuts, restarts: this.#restarts }
    return { period: this.#period, seconds, versions, ...done, sample, faults }
  }

  async stop(): Promise<void> {
    for (const pair of this.#pairs) pair.destroy()
    for (const proxy of Object.values(this.#proxies)) await proxy.close()
    await this.#broker.stop()
  }

  async #publishAndBreak(began: number): Promise<void> {
    const end = this.#length - QUIET
    let nextCut = CUT_EVERY
    let restartAt = this.#length / 2 + CUT_EVERY / 2
    let breaking: Promise<void> = Promise.resolve()
    for (let published = 0, at = 0; at < end; at = performance.now() - began) {
      for (const due = (at * PACE) / 1_000; published < due; published += 1) {
        this.#pairs[published % this.#pairs.length]?.publish()
      }
      if (at >= nextCut) {
        nextCut += CUT_EVERY
        breaking = breaking.then(() => this.#cut())
      }
      if (at >= restartAt) {
        restartAt = Infinity
        breaking = breaking.then(() => this.#restart())
      }
      await sleep(TICK)
    }
    await breaking
  }

  async #cut(): Promise<void> {
    const cut = CUTS[this.#turn % CUTS.length]
    this.#turn += 1
    if (cut === undefined) return
    const proxy = this.#proxies[cut.who]
    proxy.mute(cut.who === 'publisher' ? 'down' : 'up')
    await sleep(MUTE)
    this.#cuts += proxy.cut(cut.ending)
  }

  /**
   * By SIGTERM, at which it saves everything, while messages of QoS 0 and 1 are under way. None of QoS 2 is:
   * mosquitto 2.0.11 that is started anew sends PUBLISH again for a message whose PUBREL it had sent [3.1.1
   * MQTT-4.3.3-1].
   */
  async #restart(): Promise<void> {
    // Should that take too long, the end of the period will say why.
    await Promise.all(this.#pairs.map((pair) => pair.withhold()))
    await this.#broker.end()
    for (const pair of this.#pairs) pair.release()
    await sleep(AWAY)
    await this.#broker.run()
    this.#restarts += 1
  }
}

function faultsOfVersion({ version, judged, sessionsLost, errors, late }: VersionReport): string[] {
  const faults = judged.flatMap((one, index) => faultsOf(LEVELS[index] ?? 0, one))
  if (sessionsLost > 0) faults.push(`the broker has lost the session ${sessionsLost} times`)
  if (late > 0) faults.push(`${late} messages came when their period was over`)
  if (errors.length > 0) faults.push(`${errors.length} errors, the first: ${errors[0]}`)
  return faults.map((fault) => `${version}: ${fault}`)
}

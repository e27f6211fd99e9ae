// Tries the features with one broker, clusters and proxies, and turns what comes of it into outcomes.
import type { BrokerKind, Limitation } from './broker.ts'
import { type ClusterKind, type FailOver, failOver } from './cluster.ts'
import { CONNECTING, LIVING } from './connecting.ts'
import type { Feature } from './feature.ts'
import { MESSAGES } from './messages.ts'
import { describe, type Outcome, type Version } from './outcome.ts'
import type { Trial } from './proxies.ts'
import { SESSIONS } from './sessions.ts'
import { Stage } from './stage.ts'

export const FEATURES: readonly Feature[] = [...CONNECTING, ...MESSAGES, ...SESSIONS, ...LIVING]

/** By version, then by feature. */
export async function tryBroker(
  kind: BrokerKind,
  report: (what: string) => void,
): Promise<ReadonlyMap<Version, readonly Outcome[]>> {
  const broker = await kind.start()
  try {
    const found = new Map<Version, readonly Outcome[]>()
    for (const version of kind.versions) {
      const outcomes: Outcome[] = []
      for (const feature of FEATURES) {
        const stage = new Stage(broker, version)
        const limitation = kind.limitations.find(
          (one) => one.feature === feature.name && (one.version ?? version) === version,
        )
        const outcome = await tried(() => stage.within(feature.run(stage)), limitation)
        stage.end()
        report(`${kind.name}, ${version}, ${feature.name}: ${outcome.verdict}: ${outcome.text}`)
        outcomes.push(outcome)
      }
      found.set(version, outcomes)
    }
    return found
  } finally {
    await broker.stop()
  }
}

async function tried(work: () => Promise<string>, limitation?: Limitation): Promise<Outcome> {
  try {
    const text = await work()
    if (limitation === undefined) return { verdict: 'works', text }
    return {
      verdict: 'works',
      text,
      remark: `A limitation was expected (${limitation.because}), and was not found.`,
    }
  } catch (error) {
    const text = describe(error)
    if (limitation === undefined || !limitation.shows.test(text)) return { verdict: 'fails', text }
    return { verdict: 'limited', text, remark: limitation.because }
  }
}

export function tryProxy(trial: Trial): Promise<Outcome> {
  return tried(() => trial.run())
}

/** [scenario 63] */
export async function tryCluster(kind: ClusterKind): Promise<Outcome> {
  try {
    const cluster = await kind.start()
    try {
      const found = await failOver(cluster, kind.keepsSession)
      const faults = kind.keepsSession ? faultsKept(found) : faultsLost(found)
      const text = summary(found)
      return faults.length === 0
        ? { verdict: 'works', text }
        : { verdict: 'fails', text: `${faults.join('; ')}; ${text}` }
    } finally {
      await cluster.stop()
    }
  } catch (error) {
    return { verdict: 'fails', text: describe(error) }
  }
}

/** What is wrong where the cluster keeps sessions: nothing may be missing. */
export function faultsKept({ failed, published, received, sessionPresent }: FailOver): readonly string[] {
  const faults: string[] = []
  if (failed > 0) faults.push(`${failed} publishes failed`)
  if (!sessionPresent.slice(1).every(Boolean)) faults.push('the session was lost')
  if (sessionPresent.length < 2) faults.push('the subscriber never changed its node')
  const lost = sum(published) - sum(received)
  if (lost > 0) faults.push(`${lost} messages lost`)
  return faults
}

/** What is wrong where a session is lost with its node: the client must know, and subscribe before anything else. */
function faultsLost({
  failed,
  published,
  received,
  sessionPresent,
  sentOnReturn,
}: FailOver): readonly string[] {
  const faults: string[] = []
  if (failed > 0) faults.push(`${failed} publishes failed`)
  if (sessionPresent[1] !== false) {
    faults.push(`expected the session to be lost, Session Present was ${sessionPresent.join(', ')}`)
  }
  if (sentOnReturn[1] !== 'subscribe') faults.push(`after CONNECT came ${sentOnReturn[1]}, not SUBSCRIBE`)
  if (received[0] < published[0] || received[2] < published[2]) {
    faults.push('messages before or after the change were lost')
  }
  return faults
}

function summary(found: FailOver): string {
  const { published, received, repeated, sessionPresent, sentOnReturn, sentAgain, away } = found
  const parts = ['before', 'during', 'after'].map(
    (when, index) => `${received[index]} of ${published[index]} ${when}`,
  )
  return [
    parts.join(', '),
    `lost ${sum(published) - sum(received)}, repeated ${repeated}, sent again with DUP ${sentAgain}`,
    `Session Present ${counted(sessionPresent.map(Number))}; sent on the second connection: ${sentOnReturn.slice(0, 2).join(', ')}`,
    `away ${away.join(' and ')} ms`,
  ].join('; ')
}

/** `0, 0, 0, 1` as `0 (3 times), 1`. */
function counted(values: readonly number[]): string {
  const runs: { value: number; times: number }[] = []
  for (const value of values) {
    const last = runs.at(-1)
    if (last?.value === value) last.times += 1
    else runs.push({ value, times: 1 })
  }
  return runs.map(({ value, times }) => (times === 1 ? `${value}` : `${value} (${times} times)`)).join(', ')
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}

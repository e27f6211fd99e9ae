// What goes wrong when subscribing and handling: refusals, illegal topics, handlers that take their time or
// throw.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { defect, type Defect } from './defect.ts'
import { findMqttJs } from './mqttjs.ts'
import type { Peer } from './peer.ts'
import { findPetrel } from './petrel.ts'
import { onStage, outcomeOf, until } from './stage.ts'

/** ms that an answer may take that is sure to come. */
const PATIENCE = 20_000
/** ms after which something that has not happened is said not to happen. */
const NEVER = 2_000

const NOT_AUTHORIZED = 0x87

export const refusals: Defect = defect({
  name: 'Refusals of SUBACK and UNSUBACK',
  about:
    'An UNSUBSCRIBE is refused with 0x87: it has failed. Of two filters in one SUBSCRIBE one is refused, ' +
    'later the session is lost: the filter that was granted must be subscribed to again.',
  measure: async (peer) => ({
    unsubscribe: await onStage(peer, {}, async (stage) => {
      stage.server.broker.faults.onSend('unsuback').withReasonCode(NOT_AUTHORIZED)
      const client = await stage.connect({ version: '5', clientId: 'unsubscribe' })
      await client.subscribe(['a'], () => {})
      return outcomeOf(client.unsubscribe('a'), PATIENCE)
    }),
    again: await onStage(
      peer,
      { authorizeSubscribe: (_, { filter }) => (filter === 'bad' ? NOT_AUTHORIZED : 1) },
      async (stage) => {
        const client = await stage.connect({ version: '5', clientId: 'refused', retryAfter: 50 })
        await client.subscribe(['good', 'bad'], () => {}).catch(() => {})
        stage.server.broker.loseSession('refused')
        await until(() => !client.isConnected, NEVER)
        await until(() => client.isConnected, PATIENCE)
        // Subscriptions come first, so when this is acknowledged they have come.
        await outcomeOf(client.publish('a', 'b', { qos: 1 }), PATIENCE)
        const later = stage.packets('in', 'subscribe').filter(({ connection }) => connection > 1)
        return later.flatMap(({ packet }) => packet.subscriptions.map(({ filter }) => filter))
      },
    ),
  }),
  describe: ({ unsubscribe, again }) =>
    `a refused unsubscribe ${unsubscribe === 'done' ? 'is reported as a success' : 'fails'}; subscribed to ` +
    'again: ' +
    (again.length === 0 ? 'nothing' : again.join(', ')),
  isDefect: ({ unsubscribe, again }) => unsubscribe !== 'failed' || !again.includes('good'),
})

const NAMES = ['a/#', 'a/+', '', 'a\0b']
const FILTERS = ['$share//a', '$share/g']

export const illegalTopics: Defect = defect({
  name: 'Illegal topic names and filters',
  about:
    'Published to: `a/#`, `a/+`, the empty name, a name with U+0000; subscribed to: `$share//a`, ' +
    '`$share/g`. All are errors of the caller that must not reach the server ' +
    '[5 MQTT-3.3.2-2] [5 MQTT-4.7.3-1] [5 MQTT-4.7.3-2] [5 MQTT-4.8.2-1].',
  measure: async (peer) => {
    const fates: Record<Fate, string[]> = { sent: [], refused: [], neither: [] }
    for (const name of NAMES) fates[await fateOf(peer, 'publish', name)].push(name)
    for (const filter of FILTERS) fates[await fateOf(peer, 'subscribe', filter)].push(filter)
    return fates
  },
  describe: ({ sent, refused, neither }) =>
    [
      `${refused.length} of ${NAMES.length + FILTERS.length} refused`,
      ...(sent.length === 0 ? [] : [`sent to the server: ${quoted(sent)}`]),
      ...(neither.length === 0 ? [] : [`neither sent nor refused: ${quoted(neither)}`]),
    ].join('; '),
  isDefect: ({ sent, neither }) => sent.length + neither.length > 0,
})

type Fate = 'sent' | 'refused' | 'neither'

function fateOf(peer: Peer, act: 'publish' | 'subscribe', topic: string): Promise<Fate> {
  return onStage(peer, {}, async (stage) => {
    const client = await stage.connect({ version: '5', clientId: 'topics', retryAfter: 10_000 })
    let failed = false
    const done =
      act === 'publish' ? client.publish(topic, 'b', { qos: 1 }) : client.subscribe([topic], () => {})
    done.catch(() => (failed = true))
    const { complaints } = stage.server.broker
    await until(() => failed || complaints.length > 0, NEVER)
    return complaints.length > 0 ? 'sent' : failed ? 'refused' : 'neither'
  })
}

function quoted(topics: readonly string[]): string {
  return topics.map((topic) => `\`${JSON.stringify(topic)}\``).join(', ')
}

const MESSAGES = 50

export const slowHandlers: Defect = defect({
  name: 'Handlers that are asynchronous',
  about:
    `${MESSAGES} QoS 1 messages come, and the promise of the handler is pending. What is not handled yet ` +
    'must not be acknowledged: after a crash it would be lost.',
  measure: (peer) =>
    onStage(peer, {}, async (stage) => {
      let running = 0
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => (open = resolve))
      const client = await stage.connect({ version: '3.1.1', clientId: 'slow', lasting: true })
      await client.subscribe(['a'], () => {
        running += 1
        return gate
      })
      for (let index = 0; index < MESSAGES; index += 1) stage.server.broker.publish({ topic: 'a', qos: 1 })
      const acknowledged = (): number => stage.packets('in', 'puback').length
      await until(() => acknowledged() === MESSAGES, NEVER)
      const figures = { running, acknowledged: acknowledged() }
      open()
      return figures
    }),
  describe: ({ running, acknowledged }) =>
    `${running} running at once, ${acknowledged} of ${MESSAGES} acknowledged before any was done`,
  isDefect: ({ running, acknowledged }) => running === 0 || acknowledged > 0,
})

interface ThrowerReport {
  /** Messages that the handler was called for. */
  readonly handled: number
  readonly uncaught: number
  readonly isConnected: boolean
}

export const throwingHandlers: Defect = defect({
  name: 'A handler that throws',
  about:
    `In a process of its own, the handler throws at the first of ${MESSAGES} QoS 1 messages; the process ` +
    'survives uncaught exceptions. The other messages must be handled, and nothing be uncaught.',
  measure: (peer, root) => measureThrower(peer.name, root),
  describe: ({ handled, uncaught, isConnected }) =>
    `${handled} of ${MESSAGES} handled, ${uncaught} uncaught exceptions, ` +
    (isConnected ? 'connected' : 'not connected'),
  isDefect: ({ handled, uncaught }) => handled < MESSAGES || uncaught > 0,
})

const CHILD = 'PETREL_DEFECTS_CHILD'

function measureThrower(name: string, root: string): Promise<ThrowerReport> {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), { cwd: root, env: { ...process.env, [CHILD]: name } })
    const late = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
    child.once('message', (report) => resolve(report as ThrowerReport))
    child.once('error', reject)
    child.once('exit', (code) => {
      clearTimeout(late)
      reject(new Error(`the process of ${name} has ended early, code ${code}`))
    })
  })
}

/** Whether this process is the one whose handler throws; then it does its part, and reports. */
export async function throwHere(): Promise<boolean> {
  const name = process.env[CHILD]
  if (name === undefined) return false
  const root = process.cwd()
  const peer = name === 'Petrel' ? findPetrel(root) : findMqttJs(root)
  if (peer === undefined) throw new Error(`${name} is not installed`)
  const report = { handled: 0, uncaught: 0, isConnected: false }
  process.on('uncaughtException', () => (report.uncaught += 1))
  await onStage(peer, {}, async (stage) => {
    const client = await stage.connect({ version: '3.1.1', clientId: 'throws', lasting: true })
    await client.subscribe(['a'], () => {
      report.handled += 1
      if (report.handled === 1) throw new Error('the handler throws')
    })
    for (let index = 0; index < MESSAGES; index += 1) stage.server.broker.publish({ topic: 'a', qos: 1 })
    await until(() => report.handled === MESSAGES, NEVER)
    report.isConnected = client.isConnected
    await new Promise((resolve) => process.send?.(report, resolve))
  })
  process.exit(0)
}

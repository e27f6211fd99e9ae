// One run of a workload: a fresh peer on core 1, a fresh client on core 0, both ended when it is over. A run counts only
// when the peer has seen exactly what the client says it did. And one round of a study, which does the same its own way.

import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { encodePublish, payloadOf, topicNames } from './packets.mjs'

const here = fileURLToPath(new URL('.', import.meta.url))
const CLIENT_CORE = 0
const PEER_CORE = 1

const children = new Set()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(130))

export const pinned = cpus().length > 1 && process.platform === 'linux'

const lastLine = (output) => JSON.parse(output.trim().split('\n').at(-1))

/** What a process printed last; why it failed is an error. */
const resultOf = ({ code, signal, output, errors }) => {
  if (code === 0) return lastLine(output)
  const lines = errors.split('\n').filter((line) => /\S/.test(line))
  const said = lines.find((line) => /Error|Warning/.test(line)) ?? lines.at(-1)
  throw new Error(signal ? `ended by ${signal}` : (said ?? `exit code ${code}`))
}

/**
 * Starts a process on one core; with `priority` in a scheduling group of its own, ahead of everything else. It is killed
 * after `limit` ms. All promises of what is returned may be asked for late and more than once:
 *
 *   said(pattern)   the first match in what it prints, on either stream; an error when it ends without
 *   line()          the first line of JSON that it prints
 *   result()        the last line that it prints, which is JSON, when it has ended well; else the error
 *   counts()        the same, however it has ended
 *   stop()          ends it; resolves when it has ended
 */
const start = (core, command, parameters, { priority, limit }) => {
  const [program, ...rest] = pinned
    ? ['taskset', '-c', String(core), command, ...parameters]
    : [command, ...parameters]
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], detached: Boolean(priority) })
  children.add(child)
  if (priority) writeFileSync(`/proc/${child.pid}/autogroup`, '-20')
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), limit)
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      children.delete(child)
      resolve({ code, signal, output, errors })
    })
  })
  ended.catch(() => {})
  const said = (pattern) =>
    new Promise((resolve, reject) => {
      const look = () => {
        const match = pattern.exec(output) ?? pattern.exec(errors)
        if (match) resolve(match)
      }
      child.stdout.on('data', look)
      child.stderr.on('data', look)
      ended.then(() => reject(new Error(`${command} ended: ${errors.trim()}`)), reject)
      look()
    })
  return {
    said,
    line: async () => JSON.parse((await said(/^\{.*\}(?=\n)/m))[0]),
    result: async () => resultOf(await ended),
    counts: async () => lastLine((await ended).output),
    stop: async () => {
      child.kill()
      await ended.catch(() => {})
    },
  }
}

const flags = (values) => Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)])

const clientCommand = (id, family, node, nodeFlags) => {
  if (family === 'c' || family === 'limit-c') return [`${here}build/${id === 'raw-c' ? 'raw' : id}`]
  return [node, ...nodeFlags, `${here}client.mjs`, '--client', id]
}

const publishSize = (version, qos, payload) =>
  encodePublish({
    version: version === '5' ? 5 : 4,
    topic: topicNames(1)[0],
    qos,
    id: 1,
    payload: payloadOf(payload),
  }).length

/** Why the peer's counts do not agree with the run; undefined when they do. */
const disagreement = ({ role, qos, payload }, version, total, counts) => {
  if (counts.violations > 0) return `${counts.violations} packets that MQTT forbids`
  if (counts.outOfTime) return 'the peer ran out of time'
  if (role === 'publish') {
    const arrived = counts[`qos${qos}`]
    if (arrived !== total) return `${arrived} of ${total} messages arrived`
    const bytes = total * publishSize(version, qos, payload)
    if (counts.bytes !== bytes) return `${counts.bytes} of ${bytes} bytes arrived`
    if (qos === 2 && counts.releases !== total) return `${counts.releases} of ${total} PUBREL arrived`
    return undefined
  }
  if (counts.sent !== total) return `${counts.sent} of ${total} messages were sent`
  if (qos > 0 && counts.acknowledged !== total) return `${counts.acknowledged} of ${total} were acknowledged`
  return undefined
}

/**
 * Runs `count` messages, for at most `limit` ms, after a warm-up of `warm` times as many; returns { rate, seconds, cpu, rss, … } or { error }.
 * `cpu` is in seconds for a million messages, `rss` in MiB at its peak.
 */
export const measure = async ({
  id,
  family,
  workload,
  mode,
  window,
  version,
  count,
  warm,
  node,
  nodeFlags = [],
  priority,
  limit,
}) => {
  const { role, qos, payload, topics, prelude } = workload
  const warmup = Math.max(2 * topics, Math.ceil(count * warm))
  const total = warmup + count
  const how = { priority, limit }
  const source = [
    'source',
    ...flags({ count: total, qos, payload, topics, window: Math.min(window, 65_535) }),
  ]
  const peer = start(PEER_CORE, `${here}build/peer`, role === 'publish' ? ['sink'] : source, how)
  const base = { count, warmup, window }
  try {
    const { port, ring } = await peer.line()
    const [command, ...parameters] = clientCommand(id, family, node, nodeFlags)
    const settings = {
      role,
      port,
      version,
      qos,
      payload,
      topics,
      window,
      count,
      warmup,
      ring,
      ...(mode && { mode }),
      ...(prelude && { prelude }),
    }
    const client = start(CLIENT_CORE, command, [...parameters, ...flags(settings)], how)
    const { seconds, cpu, rss } = await client.result()
    const counts = await peer.counts()
    const wrong = disagreement(workload, version, total, counts)
    if (wrong) return { ...base, error: wrong }
    return {
      ...base,
      seconds,
      rate: count / seconds,
      cpu: (cpu / count) * 1e6,
      cpuShare: cpu / seconds,
      rss: rss / 1024,
      peer: { reads: counts.reads, writes: counts.writes },
    }
  } catch (error) {
    return { ...base, error: error.message }
  } finally {
    await peer.stop()
  }
}

/** One round of a study (studies/index.mjs) for one client: its figures or { error }. Ends everything it has started. */
export const measureStudy = async (study, { priority, limit, nodeFlags = [], ...given }) => {
  const started = []
  const startOn = (core, command, parameters, settings) => {
    const process = start(core, command, [...parameters, ...flags(settings)], { priority, limit })
    started.push(process)
    return process
  }
  try {
    return await study.measure({
      ...given,
      startPeer: (command, parameters = [], settings = {}) =>
        startOn(PEER_CORE, command, parameters, settings),
      startClient: (parameters, settings = {}) =>
        startOn(CLIENT_CORE, given.node, [...nodeFlags, ...parameters], settings),
    })
  } catch (error) {
    return { error: error.message }
  } finally {
    await Promise.all(started.map((process) => process.stop()))
  }
}

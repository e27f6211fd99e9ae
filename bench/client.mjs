// One measured run of one JavaScript client, in a process of its own: run.mjs starts it, it prints one line of JSON.
//
// An adapter is a module in clients/ that exports
//
//   connect({ port, url, ca, version, clientId, qos, window })  → connection
//       `version` is '3.1.1' or '5'; a `url` takes the place of the port, with a TLS certificate to trust in `ca`
//   connectMany({ port, version, count, atOnce })
//       as many connections, `atOnce` at most on their way; resolves when all are there (studies/idle.mjs)
//
// and whose connection has
//
//   publish(topic, payload, qos, done)
//       publishes one message and calls `done` at its completion
//   publishMany({ count, qos, payload, topics, window, mode })
//       publishes `count` messages, the topics in turn, at most `window` of them outstanding; resolves when the
//       client itself has said of each QoS 1 or 2 message that it is acknowledged. Of QoS 0 messages, the last one
//       of every `window` must have been completed by the client.
//   flush()
//       resolves when a SUBSCRIBE sent now has been acknowledged: the peer has then taken every byte before it
//   receive({ filter, qos, payload, topics, mode, ring, onMessage, onCount })
//       subscribes; calls onMessage(topic, payload) for each message, payload being a Uint8Array. The raw client,
//       which has no messages, calls onCount(howManySoFar) instead.
//   end()
//       closes the connection; the peer ends with it
//
// `mode` chooses between several ways of one client (Petrel: send, publish, publishAll; kept, borrowed).
//
// Before it receives, a client may have to publish (`prelude` in workloads.mjs).
//
// The clock of a publishing run goes from the first publish after a warm-up to the acknowledged flush; that of a
// receiving run from the last message of the warm-up, which the peer sends as part of the same stream, to the peer's
// closing message. CPU time is that of the whole process, all threads, between the same two moments.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { filter, payloadOf, topicNames } from './packets.mjs'
import { stopwatch } from './stopwatch.mjs'

const { values } = parseArgs({
  options: Object.fromEntries(
    [
      'client',
      'role',
      'port',
      'version',
      'qos',
      'payload',
      'topics',
      'window',
      'count',
      'warmup',
      'prelude',
      'mode',
      'ring',
      'url',
      'ca',
    ].map((name) => [name, { type: 'string' }]),
  ),
})
const numbers = ['port', 'qos', 'payload', 'topics', 'window', 'count', 'warmup', 'prelude', 'ring']
const run = {
  ...values,
  ...(values.ca && { ca: readFileSync(values.ca) }),
  ...Object.fromEntries(numbers.map((name) => [name, Number(values[name] ?? 0)])),
}

/** Calls that make the warm-up of a publishing run: the end of each of the first brings a compiler something new. */
const WARM_CALLS = 5
const PRELUDE_WINDOW = 100

const publish = async (connection) => {
  const messages = { ...run, payload: payloadOf(run.payload), topics: topicNames(run.topics) }
  const part = Math.ceil(run.warmup / WARM_CALLS)
  for (let left = run.warmup; left > 0; left -= part) {
    await connection.publishMany({ ...messages, count: Math.min(part, left) })
    await connection.flush()
  }
  const stop = stopwatch()
  await connection.publishMany(messages)
  await connection.flush()
  return stop()
}

const prelude = async (connection) => {
  const messages = { ...run, count: run.prelude, payload: payloadOf(run.payload), topics: topicNames(1) }
  for (const qos of [0, 1])
    await connection.publishMany({ ...messages, qos, window: PRELUDE_WINDOW, mode: 'publish' })
}

const receive = (connection) =>
  new Promise((resolve, reject) => {
    const total = run.warmup + run.count
    let stop = run.warmup > 0 ? undefined : stopwatch()
    let seen = 0
    let mark = run.warmup > 0 ? run.warmup : total + 1
    let letters = 0
    let octets = 0
    const reach = () => {
      if (mark === total + 1) return resolve({ ...stop(), letters, octets })
      stop = stopwatch()
      mark = total + 1
    }
    const onMessage = (topic, payload) => {
      letters += topic.charCodeAt(topic.length - 1)
      octets += payload.length + payload[0]
      seen++
      if (seen === mark) reach()
    }
    const onCount = (count) => {
      if (count >= mark) reach()
    }
    const subscribed = () => process.stdout.write('{"subscribed":true}\n')
    connection.receive({ ...run, filter, onMessage, onCount }).then(subscribed, reject)
  })

/** Every message was handed over whole: its topic's last letter and its payload's first and length add up. */
const verify = ({ letters, octets, ...result }) => {
  const total = run.warmup + run.count
  const touched = letters === 121 * total + 100 && octets === total * (run.payload + 97) + 1 + 97
  if (letters > 0 && !touched) throw new Error(`messages are missing or damaged: ${letters}, ${octets}`)
  return result
}

const { connect } = await import(`./clients/${run.client}.mjs`)
const connection = await connect(run)
if (run.prelude > 0) await prelude(connection)
const result = run.role === 'publish' ? await publish(connection) : verify(await receive(connection))
const line = JSON.stringify({ ...result, rss: process.resourceUsage().maxRSS, node: process.version })
await connection.end()
process.stdout.write(`${line}\n`, () => process.exit(0))

// W10: a publisher and a subscriber, two connections of one process, through mosquitto. The publisher goes as fast as it is
// let, with the first of its client's windows. The messages per second are mosquitto's, which reads and writes them one by
// one; what a client can win is CPU time.

import { fileURLToPath } from 'node:url'
import { contestants, windowsOf } from '../contestants.mjs'
import { workloads } from '../workloads.mjs'
import { startMosquitto } from './mosquitto.mjs'

const script = fileURLToPath(new URL('through-broker-client.mjs', import.meta.url))

/** The workload that the publisher does, and how many messages for each second that a run should take. */
const CASES = { qos0: { id: 'W1', rate: 60_000 }, qos1: { id: 'W2', rate: 30_000 } }

export const throughBroker = {
  id: 'W10',
  title: 'publisher and subscriber in one process, through mosquitto, 64 bytes',
  needs: ['mosquitto'],
  clients: ['mqttjs', 'petrel', 'flat', 'awscrt', 'raw'],
  cases: { qos0: 'QoS 0', qos1: 'QoS 1' },
  columns: { cpu: 'CPU µs per message', rate: 'k msg/s' },
  better: { cpu: 'less', rate: 'more' },
  measure: async (run) => {
    const { client, version, seconds } = run
    const { id, rate } = CASES[run.case]
    const { qos, modes } = workloads[id]
    const { ports } = await startMosquitto(run)
    const settings = {
      client,
      version,
      qos,
      port: ports[0],
      count: Math.ceil(rate * seconds),
      window: windowsOf(contestants[client], workloads[id])[0],
      ...(contestants[client].hasModes && { mode: modes[0] }),
    }
    return run.startClient([script], settings).result()
  },
}

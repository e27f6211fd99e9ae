// W15: the workloads W1, W2 and W4 through mosquitto's listeners for TLS and WebSockets. All wait for mosquitto, which reads
// and writes message by message; the figure is the CPU time of the client's process per message. Each client has the
// first of its windows. For W4 a raw socket publishes, on mosquitto's core and through a plain listener.

import { fileURLToPath } from 'node:url'
import { contestants, windowsOf } from '../contestants.mjs'
import { workloads } from '../workloads.mjs'
import { startMosquitto } from './mosquitto.mjs'

const [script, source] = ['../client.mjs', 'source.mjs'].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
)

/** Messages for each second that the run should take: about what mosquitto manages. */
const RATES = { W1: 100_000, W2: 50_000, W4: 50_000 }

const caseOf = (scheme, id, name) => [`${scheme}.${id}`, `${name}, ${workloads[id].title}`]

export const listeners = {
  id: 'W15',
  title: "through mosquitto's TLS and WebSocket listeners",
  needs: ['mosquitto', 'openssl'],
  clients: ['mqttjs', 'petrel'],
  cases: Object.fromEntries(
    Object.keys(RATES).flatMap((id) => [caseOf('mqtts', id, 'TLS'), caseOf('ws', id, 'WebSocket')]),
  ),
  columns: { cpu: 'CPU µs per message', rate: 'k msg/s' },
  better: { cpu: 'less' },
  measure: async (run) => {
    const [scheme, id] = run.case.split('.')
    const { client, version, seconds, node, startClient, startPeer } = run
    const { role, qos, payload, topics, modes } = workloads[id]
    const { ports, certificate } = await startMosquitto(run, ['mqtt', scheme])
    const count = Math.ceil(RATES[id] * seconds)
    const warmup = Math.ceil(count / 5)
    const process = startClient([script], {
      client,
      role,
      version,
      qos,
      payload,
      topics,
      count,
      warmup,
      window: windowsOf(contestants[client], workloads[id])[0],
      url: `${scheme}://127.0.0.1:${ports[1]}`,
      ...(scheme === 'mqtts' && { ca: certificate }),
      ...(client === 'petrel' && { mode: modes[0] }),
    })
    if (role === 'receive') {
      await process.line()
      startPeer(node, [source], { version, payload, port: ports[0], count: warmup + count })
    }
    const { cpu, seconds: took } = await process.result()
    return { cpu: (1e6 * cpu) / count, rate: count / took / 1e3 }
  },
}

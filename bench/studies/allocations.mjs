// The bytes that a client allocates for a message of QoS 0 and 64 bytes, out and in: what the garbage collector has to
// take away again. The heap's young generation is made so large that nothing is collected while it is counted (and a
// round in which something was is an error), so what is in use afterwards is what was allocated: objects on the heap
// by V8's own statistics, and the memory of buffers by `process.memoryUsage().arrayBuffers`. MQTT.js has one way to
// publish and one to receive, so it has the same figures in the cases of one direction.

import { fileURLToPath } from 'node:url'
import { contestants, windowsOf } from '../contestants.mjs'
import { workloads } from '../workloads.mjs'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))

const COUNT = 50_000
const cases = {
  send: { id: 'W1', heading: 'W1 send' },
  publish: { id: 'W1', heading: 'W1 publish' },
  publishAll: { id: 'W1', heading: 'W1 publishAll' },
  kept: { id: 'W4', heading: 'W4 kept' },
  borrowed: { id: 'W4', heading: 'W4 borrowed' },
}

export const allocations = {
  id: 'allocations',
  title: 'bytes allocated per message of QoS 0, 64 bytes',
  needs: [],
  clients: ['mqttjs', 'petrel'],
  cases: Object.fromEntries(Object.entries(cases).map(([name, { heading }]) => [name, heading])),
  columns: { bytes: 'bytes', heap: 'of that on the heap', buffers: 'of that in buffers' },
  better: { bytes: 'less' },
  async measure({ client, case: mode, version, startClient, startPeer }) {
    const { role, qos, payload, topics } = workloads[cases[mode].id]
    const [window] = windowsOf(contestants[client], workloads[cases[mode].id])
    const source = { count: 2 * COUNT, qos, payload, topics }
    const peer = startPeer(path('../build/peer'), ...(role === 'publish' ? [['sink']] : [['source'], source]))
    const { port } = await peer.line()
    const settings = { client, role, port, version, qos, payload, topics, window, mode, count: COUNT }
    const young = ['--expose-gc', '--min-semi-space-size=512', '--max-semi-space-size=512']
    const { heap, buffers } = await startClient([...young, path('allocations-client.mjs')], settings).result()
    const { qos0, sent } = await peer.counts()
    const moved = role === 'publish' ? qos0 : sent
    if (moved !== 2 * COUNT) throw new Error(`${moved} of ${2 * COUNT} messages were seen`)
    return { bytes: (heap + buffers) / COUNT, heap: heap / COUNT, buffers: buffers / COUNT }
  },
}

// W8: one message after the other goes to mosquitto and comes back on the same connection, QoS 1 both ways. The time of a
// round is from publish to the handler; both acknowledgements are within the CPU time. p50 is mostly the broker and two
// wake-ups, p99 what the client's process does now and then: compiling, collecting garbage.

import { fileURLToPath } from 'node:url'
import { startMosquitto } from './mosquitto.mjs'

const script = fileURLToPath(new URL('ping-pong-client.mjs', import.meta.url))

export const pingPong = {
  id: 'W8',
  title: 'ping-pong through mosquitto, QoS 1, 64 bytes',
  needs: ['mosquitto'],
  clients: ['mqttjs', 'petrel', 'flat', 'raw'],
  columns: { p50: 'p50 µs', p99: 'p99 µs', cpu: 'CPU µs per round' },
  better: { p50: 'less', p99: 'less', cpu: 'less' },
  measure: async (run) => {
    const { client, version, seconds } = run
    const { ports } = await startMosquitto(run)
    return run.startClient([script], { client, version, seconds, port: ports[0] }).result()
  },
}

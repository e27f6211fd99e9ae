// W13: a program has queued QoS 1 messages of 64 bytes while it was offline; now it connects to a server that is 50 ms
// away. The time goes from connect() to the last PUBACK. MQTT.js gets 500 messages and the others 10,000, since it sends
// what was queued one by one, each after the answer to the one before. Nothing could take less than two round trips, one
// for CONNACK and one for the messages: 100 ms in all.

import { fileURLToPath } from 'node:url'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))
const ROUND_TRIP = 50

export const draining = {
  id: 'W13',
  title: `drain of 10,000 queued QoS 1 messages, round-trip time ${ROUND_TRIP} ms`,
  needs: [],
  clients: ['mqttjs', 'petrel'],
  once: ['mqttjs'],
  columns: { rate: 'messages per second', total: 'ms in all', each: 'µs per message' },
  better: { rate: 'more' },
  async measure({ client, version, node, startClient, startPeer }) {
    const count = client === 'mqttjs' ? 500 : 10_000
    const peer = startPeer(path('../build/peer'), ['many']) // it sleeps: the proxy needs the same core
    const { port: to } = await peer.line()
    const proxy = startPeer(node, [path('delay-proxy.mjs')], { to, delay: ROUND_TRIP / 2 })
    const { port } = await proxy.line()
    const { total } = await startClient([path('draining-client.mjs')], {
      client,
      port,
      version,
      count,
    }).result()
    const { qos1, violations } = await peer.counts()
    if (qos1 !== count || violations > 0) throw new Error(`${qos1} of ${count} messages arrived`)
    return { rate: count / (total / 1e3), total, each: (1e3 * total) / count }
  },
}

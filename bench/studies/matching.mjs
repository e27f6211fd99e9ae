// W12: a message of QoS 0 and 64 bytes comes, the program has subscribed to 1, 100 or 10,000 filters, and one of them
// matches. In the last case the messages have 9,999 topics in turn, so that nobody can remember only what matched last.
//
// MQTT.js hands every message to one listener and leaves it to the program to find out which of its filters matched. So
// it is measured with the loop that programs have: filters split into their levels beforehand, the topic once for each
// message, and one filter after the other compared until it differs. `handed over` is the same without that loop. With
// 10,000 filters it gets fewer messages, because it is slow.

import { fileURLToPath } from 'node:url'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))

const cases = {
  one: { heading: '1 filter', filters: 1, topics: 1, rate: { petrel: 4e6, mqttjs: 4e5 } },
  hundred: { heading: '100 filters', filters: 100, topics: 1, rate: { petrel: 4e6, mqttjs: 2e5 } },
  many: { heading: '10,000 filters', filters: 10_000, topics: 1, rate: { petrel: 4e6, mqttjs: 5e3 } },
  topics: {
    heading: '10,000 filters, 9,999 topics',
    filters: 10_000,
    topics: 9_999,
    rate: { petrel: 5e5, mqttjs: 5e3 },
  },
}

export const matching = {
  id: 'W12',
  title: 'receive QoS 0, 64 bytes, one of many filters matches',
  needs: [],
  clients: ['mqttjs', 'petrel'],
  cases: Object.fromEntries(Object.entries(cases).map(([name, { heading }]) => [name, heading])),
  columns: { cpu: 'CPU ns per message', handed: 'of that handed over' },
  better: { cpu: 'less' },
  async measure({ client, case: name, version, seconds, startClient, startPeer }) {
    const { filters, topics, rate } = cases[name]
    const once = async (matching) => {
      const count = Math.ceil(seconds * (matching ? rate[client] : 4e5))
      const warmup = Math.ceil(count / 5)
      const peer = startPeer(path('../build/peer'), ['source'], {
        count: warmup + count,
        payload: 64,
        topics,
      })
      const { port } = await peer.line()
      const settings = { client, port, version, filters, count, warmup, matching }
      const { cpu } = await startClient([path('matching-client.mjs')], settings).result()
      const { sent, violations } = await peer.counts()
      if (sent !== warmup + count || violations > 0) throw new Error(`the peer has sent ${sent} messages`)
      return (1e9 * cpu) / count
    }
    if (client === 'petrel') return { cpu: await once(true) }
    return { cpu: await once(true), handed: await once(false) }
  },
}

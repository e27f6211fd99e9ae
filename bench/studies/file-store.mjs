// W14: QoS 1, 64 bytes, with a session that outlives its process: `fileStore` has every message before it is sent, and
// learns of every PUBACK. A window of 1,000, and one message at a time, which shows what a batch costs. The store lies
// in bench/build: in a folder of temporary files there may be no disk. Syncs are counted by wrapping Node's
// `FileHandle.sync` and `datasync`, which is all that the store has.

import { mkdtempSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const path = (name) => fileURLToPath(new URL(name, import.meta.url))

const cases = {
  process: { heading: 'process', durability: 'process', window: 1_000, rate: 1e5 },
  power: { heading: 'power', durability: 'power', window: 1_000, rate: 3e4 },
  processEach: { heading: 'process, one at a time', durability: 'process', window: 1, rate: 2_000 },
  powerEach: { heading: 'power, one at a time', durability: 'power', window: 1, rate: 500 },
}

export const fileStore = {
  id: 'W14',
  title: 'publish QoS 1, 64 bytes, with fileStore',
  needs: [],
  clients: ['petrel'],
  cases: Object.fromEntries(Object.entries(cases).map(([name, { heading }]) => [name, heading])),
  columns: { rate: 'messages per second', syncs: 'syncs per 1,000 messages', cpu: 'CPU µs per message' },
  better: {},
  async measure({ case: name, version, seconds, startClient, startPeer }) {
    const { durability, window, rate } = cases[name]
    const count = Math.ceil(rate * seconds)
    const warmup = Math.ceil(count / 5)
    const folder = mkdtempSync(path('../build/store-'))
    try {
      const peer = startPeer(path('../build/peer'), ['sink'])
      const { port } = await peer.line()
      const settings = { client: 'petrel', port, version, durability, window, count, warmup, folder }
      const result = await startClient([path('file-store-client.mjs')], settings).result()
      const { qos1, violations } = await peer.counts()
      if (qos1 !== warmup + count || violations > 0) throw new Error(`the peer has seen ${qos1} messages`)
      return {
        rate: count / result.seconds,
        syncs: (1_000 * result.syncs) / count,
        cpu: (1e6 * result.cpu) / count,
      }
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  },
}

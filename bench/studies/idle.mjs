// W9: what an idle connection costs, and how long it takes until all of many are there. The peer sleeps between packets,
// since 5,000 connections are what it is there for. 100 connections at most are on their way, for everybody: it is what
// a pool of Petrel's does.
//
// `resident` is what the process grew by, memory of the kernel aside; `heap` the part of it that is JavaScript objects
// and buffers. Both after garbage has been collected, and without what the first connection loads.

import { fileURLToPath } from 'node:url'

const CONNECTIONS = 5_000
const peer = fileURLToPath(new URL('../build/peer', import.meta.url))
const script = fileURLToPath(new URL('idle-client.mjs', import.meta.url))

export const idle = {
  id: 'W9',
  title: `${CONNECTIONS.toLocaleString('en-US')} idle connections in one process`,
  needs: [],
  clients: ['mqttjs', 'petrel', 'flat', 'awscrt', 'raw'],
  columns: {
    resident: 'resident KiB each',
    heap: 'of that heap KiB each',
    time: 'ms to connect all',
    cpu: 'CPU µs each',
  },
  better: { resident: 'less', time: 'less' },
  measure: async ({ client, version, startPeer, startClient }) => {
    const { port } = await startPeer(peer, ['many']).line()
    return startClient([script], { client, version, port, count: CONNECTIONS }).result()
  },
}

// The client's process of idle.mjs.

import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { stopwatch } from '../stopwatch.mjs'
import { adapter, finish, settings } from './client-process.mjs'

const AT_ONCE = 100

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc')

/** In KiB, when everything that can be given back has been. */
const memory = async () => {
  for (let i = 0; i < 5; i++) {
    collectGarbage()
    await sleep(100)
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { resident: rss / 1024, heap: (heapUsed + external) / 1024 }
}

const { port, version, count } = settings
await adapter.connectMany({ port, version, count: 1, atOnce: 1 })
const before = await memory()
const stop = stopwatch()
await adapter.connectMany({ port, version, count, atOnce: AT_ONCE })
const { seconds, cpu } = stop()
const after = await memory()
finish({
  resident: (after.resident - before.resident) / count,
  heap: (after.heap - before.heap) / count,
  time: 1e3 * seconds,
  cpu: (1e6 * cpu) / count,
})

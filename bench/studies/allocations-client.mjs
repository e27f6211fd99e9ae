// The client's process of allocations.mjs: as many messages to get warm as are counted, and prints the bytes that heap
// and buffers have grown by.

import { getHeapStatistics } from 'node:v8'
import { filter, payloadOf, topicNames } from '../packets.mjs'
import { adapter, finish, settings } from './client-process.mjs'

const numbers = Object.fromEntries(
  ['payload', 'topics', 'window'].map((name) => [name, Number(settings[name])]),
)
const run = { ...settings, ...numbers }

let collections = 0
const observer = new PerformanceObserver((list) => {
  collections += list.getEntries().length
})

const inUse = () => ({
  heap: getHeapStatistics().used_heap_size,
  buffers: process.memoryUsage().arrayBuffers,
})

/**
 * Collects everything before; returns the function that says what has been allocated since. The memory of buffers is
 * freed behind a collection, at the latest by the next one.
 */
const startCounting = () => {
  globalThis.gc()
  globalThis.gc()
  observer.observe({ entryTypes: ['gc'] })
  const before = inUse()
  return async () => {
    const after = inUse()
    await new Promise((resolve) => setTimeout(resolve, 50)) // entries are delivered later
    if (collections > 0) throw new Error(`the garbage collector ran ${collections} times`)
    return { heap: after.heap - before.heap, buffers: after.buffers - before.buffers }
  }
}

const publish = async (connection) => {
  const messages = { ...run, payload: payloadOf(run.payload), topics: topicNames(run.topics) }
  await connection.publishMany(messages)
  await connection.flush()
  const stop = startCounting()
  await connection.publishMany(messages)
  await connection.flush()
  return stop()
}

/** Counting begins within the message that ends the warm-up. */
const receive = (connection) =>
  new Promise((resolve, reject) => {
    let seen = 0
    let octets = 0
    let stop
    const onMessage = (_, payload) => {
      octets += payload.length
      seen++
      if (seen === run.count) stop = startCounting()
      if (seen === 2 * run.count && octets > 0) stop().then(resolve, reject)
    }
    connection.receive({ ...run, filter, onMessage }).catch(reject)
  })

const connection = await adapter.connect(run)
const result = await (run.role === 'publish' ? publish(connection) : receive(connection))
await connection.end()
finish(result)

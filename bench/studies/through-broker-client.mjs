// The client's process of through-broker.mjs.

import { payloadOf, topicNames } from '../packets.mjs'
import { stopwatch } from '../stopwatch.mjs'
import { adapter, finish, settings } from './client-process.mjs'

const { qos, count } = settings
const subscriber = await adapter.connect({ ...settings, clientId: 'subscriber' })
const publisher = await adapter.connect({ ...settings, clientId: 'publisher' })
const messages = { ...settings, payload: payloadOf(64), topics: topicNames(1) }
let missing = 0
let allDelivered

await subscriber.receive({
  filter: messages.topics[0],
  qos,
  onMessage: () => {
    missing--
    if (missing === 0) allDelivered()
  },
})

/** Resolves when all are completed and delivered. */
const publish = (count) => {
  missing = count
  const delivered = new Promise((resolve) => {
    allDelivered = resolve
  })
  return Promise.all([publisher.publishMany({ ...messages, count }), delivered])
}

await publish(Math.ceil(count / 5))
const stop = stopwatch()
await publish(count)
const { seconds, cpu } = stop()
finish({ cpu: (1e6 * cpu) / count, rate: count / seconds / 1e3 })

// The client's process of draining.mjs: queues `count` messages, connects, and prints the ms until all of them are
// acknowledged.

import { payloadOf, topicNames } from '../packets.mjs'
import { finish, settings } from './client-process.mjs'

const { client, port, version, count } = settings
const payload = payloadOf(64)
const [topic] = topicNames(1)

/** Each queues, and returns the function that connects and resolves, when all is sent, with how to end. */
const ways = {
  petrel: async () => {
    const { createClient } = await import('petrel')
    const queueing = createClient(`mqtt://127.0.0.1:${port}`, { protocolVersion: version })
    const published = Array.from({ length: count }, () => queueing.publish(topic, payload, { qos: 1 }))
    return async () => {
      await queueing.connect()
      await Promise.all(published)
      return () => queueing.disconnect()
    }
  },
  mqttjs: async () => {
    const { default: mqtt } = await import('mqtt')
    const protocolVersion = version === '5' ? 5 : 4
    const queueing = mqtt.connect({ host: '127.0.0.1', port, protocolVersion, manualConnect: true })
    const published = Array.from({ length: count }, () => queueing.publishAsync(topic, payload, { qos: 1 }))
    return async () => {
      queueing.connect()
      await Promise.all(published)
      return () => queueing.endAsync()
    }
  },
}

const drain = await ways[client]()
await new Promise((resolve) => setTimeout(resolve, 100)) // what queueing has left to do is not part of it
const begun = performance.now()
const end = await drain()
const total = performance.now() - begun
await end()
finish({ total })

// The client's process of file-store.mjs: publishes with a file store and prints seconds, CPU seconds and syncs.

import { open } from 'node:fs/promises'
import { connect, fileStore } from 'petrel'
import { payloadOf, topicNames } from '../packets.mjs'
import { stopwatch } from '../stopwatch.mjs'
import { sliding } from '../windows.mjs'
import { finish, settings } from './client-process.mjs'

const { port, version, count, durability, folder } = settings
const [window, warmup] = [Number(settings.window), Number(settings.warmup)]

let syncs = 0
const handle = await open(folder, 'r')
const prototype = Object.getPrototypeOf(handle)
for (const name of ['sync', 'datasync']) {
  const original = prototype[name]
  prototype[name] = function () {
    syncs++
    return original.call(this)
  }
}
await handle.close()

const session = version === '5' ? { cleanStart: false, sessionExpiryInterval: 3600 } : { cleanSession: false }
const client = await connect(`mqtt://127.0.0.1:${port}`, {
  protocolVersion: version,
  clientId: 'bench',
  store: fileStore(`${folder}/session`, { durability }),
  ...session,
})
const [topic] = topicNames(1)
const payload = payloadOf(64)
const publish = (messages) =>
  sliding(messages, window, (done, failed) => client.publish(topic, payload, { qos: 1 }).then(done, failed))

await publish(warmup)
syncs = 0
const stop = stopwatch()
await publish(count)
const result = { ...stop(), syncs }
await client.disconnect()
finish(result)

// The client's process of ping-pong.mjs.

import { payloadOf, topicNames } from '../packets.mjs'
import { stopwatch } from '../stopwatch.mjs'
import { adapter, finish, settings } from './client-process.mjs'

const { seconds } = settings
const connection = await adapter.connect(settings)
const [topic] = topicNames(1)
const payload = payloadOf(64)
const times = []
const completed = () => {}
let stop
let sentAt

const send = () => {
  sentAt = performance.now()
  connection.publish(topic, payload, 1, completed)
}

await connection.receive({
  filter: topic,
  qos: 1,
  onMessage: () => {
    if (stop) times.push(performance.now() - sentAt)
    send()
  },
})
setTimeout(() => {
  stop = stopwatch()
}, 1_000 * seconds)
setTimeout(() => {
  const { cpu } = stop()
  times.sort((a, b) => a - b)
  const at = (share) => 1e3 * times[Math.floor(share * times.length)]
  finish({ p50: at(0.5), p99: at(0.99), cpu: (1e6 * cpu) / times.length, rounds: times.length })
}, 2_000 * seconds)
send()

// The client's process of matching.mjs: subscribes to many filters in one SUBSCRIBE, and prints the CPU seconds that
// `count` messages took.

import { filter } from '../packets.mjs'
import { stopwatch } from '../stopwatch.mjs'
import { adapter, finish, settings } from './client-process.mjs'

const { client, port, version, count } = settings
const [filterCount, warmup] = [Number(settings.filters), Number(settings.warmup)]

/** They differ from the topics in their last level only, so that a comparison has to go that far. */
const others = Array.from(
  { length: filterCount - 1 },
  (_, i) => `bench/device-${String(i).padStart(4, '0')}/command`,
)
const filters = [...others, filter]

/** What programs write around MQTT.js: calls the handlers of all filters that match. */
const matcher = (handler) => {
  const routes = filters.map((text) => ({ levels: text.split('/'), handler }))
  const matches = (levels, topic) => {
    for (let i = 0; i < levels.length; i++) {
      if (levels[i] === '#') return true
      if (i === topic.length || (levels[i] !== '+' && levels[i] !== topic[i])) return false
    }
    return levels.length === topic.length
  }
  return (topic, payload) => {
    const levels = topic.split('/')
    for (const route of routes) if (matches(route.levels, levels)) route.handler(topic, payload)
  }
}

const connection = await adapter.connect({ port, version, role: 'receive', qos: 0 })
const cpu = await new Promise((resolve, reject) => {
  let seen = 0
  let stop
  const handler = () => {
    seen++
    if (seen === warmup) stop = stopwatch()
    if (seen === warmup + count) resolve(stop().cpu)
  }
  const onMessage = client === 'mqttjs' && settings.matching === 'true' ? matcher(handler) : handler
  connection.receive({ filter: filters, qos: 0, mode: 'kept', onMessage }).catch(reject)
})
await connection.end()
finish({ cpu })

// MQTT.js, through its callbacks, which are a little cheaper than publishAsync().

import mqtt from 'mqtt'
import { rotation, slices, sliding } from '../windows.mjs'

const numberOf = (version) => (version === '5' ? 5 : 4)

export const connect = async ({ port, url, ca, version, clientId = 'bench' }) => {
  const options = { protocolVersion: numberOf(version), clientId, ca }
  const client = await mqtt.connectAsync(url ?? `mqtt://127.0.0.1:${port}`, options)
  return {
    publish: (topic, payload, qos, done) => {
      client.publish(topic, payload, { qos }, (error) => {
        if (error) throw error
        done()
      })
    },
    publishMany: ({ count, qos, payload, topics, window }) => {
      const topic = rotation(topics)
      const options = { qos }
      if (qos > 0) {
        return sliding(count, window, (done, failed) => {
          client.publish(topic(), payload, options, (error) => (error ? failed(error) : done()))
        })
      }
      return slices(
        count,
        window,
        (n) =>
          new Promise((resolve, reject) => {
            for (let i = 1; i < n; i++) client.publish(topic(), payload, options)
            client.publish(topic(), payload, options, (error) => (error ? reject(error) : resolve()))
          }),
      )
    },
    flush: () => client.subscribeAsync('bench/flush'),
    receive: async ({ filter, qos, onMessage }) => {
      client.on('message', onMessage)
      await client.subscribeAsync(filter, { qos })
    },
    end: () => client.endAsync(),
  }
}

export const connectMany = ({ port, version, count, atOnce }) =>
  sliding(count, atOnce, (done, failed) =>
    mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: numberOf(version) }).then(done, failed),
  )

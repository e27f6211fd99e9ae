// u8-mqtt. Its pub() throws for QoS 0 and its writes know no back-pressure, so QoS 0 goes through the function that
// pub() itself ends in, and after each window the event loop gets a turn. It hands the last message of a burst over only
// when more bytes come, so a ping every 10 ms brings them. It knows no QoS 2.

import { mqtt_v4, mqtt_v5 } from 'u8-mqtt'
import { rotation, slices, sliding } from '../windows.mjs'

export const connect = async ({ port, version }) => {
  const client = (version === '5' ? mqtt_v5 : mqtt_v4)({
    on_error: (error) => {
      throw error
    },
    log_conn: () => {},
  })
  client.with_tcp(port, '127.0.0.1')
  await client.connect({ client_id: 'bench' })
  const answered = ([packet, error]) => {
    if (error) throw new Error(error)
    return packet
  }
  return {
    publishMany: ({ count, qos, payload, topics, window }) => {
      const topic = rotation(topics)
      if (qos > 0) {
        return sliding(count, window, (done, failed) => {
          client.pub({ topic: topic(), payload, qos }).then(answered).then(done, failed)
        })
      }
      return slices(count, window, async (n) => {
        for (let i = 1; i < n; i++) void client._send('publish', { topic: topic(), payload, qos })
        await client._send('publish', { topic: topic(), payload, qos })
        await new Promise((resolve) => setImmediate(resolve))
      })
    },
    flush: () => client.subscribe([['bench/flush', 0]]).then(answered),
    receive: async ({ filter, qos, onMessage }) => {
      client.on_topic(filter, (packet) => onMessage(packet.topic, packet.payload))
      await client.subscribe([[filter, qos]]).then(answered)
      setInterval(() => client.ping(), 10)
    },
    end: () => client.disconnect(),
  }
}

// aws-crt: AWS C MQTT behind a native addon, whose 3.1.1 and 5 clients are two different ones; that of version 5 has
// no QoS 2. Its limits made for AWS IoT Core, among them 100 publishes a second, are switched off.

import { once } from 'node:events'
import crt from 'aws-crt'
import { rotation, slices, sliding } from '../windows.mjs'

const { io, mqtt, mqtt5 } = crt

const connect3 = async (port, clientId) => {
  const connection = new mqtt.MqttClient().new_connection({
    client_id: clientId,
    host_name: '127.0.0.1',
    port,
    clean_session: true,
    keep_alive: 60,
    socket_options: new io.SocketOptions(),
  })
  await connection.connect()
  return {
    publish: (topic, payload, qos) => connection.publish(topic, payload, qos),
    subscribe: (filter, qos, onMessage) =>
      connection.subscribe(filter, qos, (topic, payload) => {
        onMessage(topic, new Uint8Array(payload))
      }),
    end: () => connection.disconnect(),
  }
}

const connect5 = async (port, clientId) => {
  const client = new mqtt5.Mqtt5Client({
    hostName: '127.0.0.1',
    port,
    connectProperties: { clientId, keepAliveIntervalSeconds: 60 },
    extendedValidationAndFlowControlOptions: mqtt5.ClientExtendedValidationAndFlowControl.None,
  })
  const connected = once(client, 'connectionSuccess')
  client.start()
  await connected
  return {
    publish: (topicName, payload, qos) => client.publish({ topicName, payload, qos }),
    subscribe: (topicFilter, qos, onMessage) => {
      if (onMessage) {
        client.on('messageReceived', ({ message }) =>
          onMessage(message.topicName, new Uint8Array(message.payload)),
        )
      }
      return client.subscribe({ subscriptions: [{ topicFilter, qos }] })
    },
    end: async () => {
      const stopped = once(client, 'stopped')
      client.stop()
      await stopped
    },
  }
}

const dial = (port, version, clientId) => (version === '5' ? connect5 : connect3)(port, clientId)

export const connect = async ({ port, version, clientId = 'bench' }) => {
  const client = await dial(port, version, clientId)
  return {
    publish: (topic, payload, qos, done) => void client.publish(topic, payload, qos).then(done),
    publishMany: ({ count, qos, payload, topics, window }) => {
      const topic = rotation(topics)
      if (qos > 0) {
        return sliding(count, window, (done, failed) =>
          client.publish(topic(), payload, qos).then(done, failed),
        )
      }
      return slices(count, window, async (n) => {
        for (let i = 1; i < n; i++) void client.publish(topic(), payload, 0)
        await client.publish(topic(), payload, 0)
      })
    },
    flush: () => client.subscribe('bench/flush', 0),
    receive: ({ filter, qos, onMessage }) => client.subscribe(filter, qos, onMessage),
    end: () => client.end(),
  }
}

export const connectMany = ({ port, version, count, atOnce }) => {
  let number = 0
  return sliding(count, atOnce, (done, failed) => dial(port, version, `bench-${++number}`).then(done, failed))
}

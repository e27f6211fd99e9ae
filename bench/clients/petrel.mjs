// Petrel, as its users have it: installed from `npm pack`, public names only, default options. The one option set is
// `maxInflightQos2` in the QoS 2 publishing runs, where its cautious default would measure the window, not the client.
//
// Modes, publishing: send (QoS 0, a boolean), publish (a promise for each message), publishAll (one for all).
// Modes, receiving: kept (a payload to keep) and borrowed (valid until the handler returns).

import { ClientPool, connect as dial } from 'petrel'
import { rotation, slices, sliding } from '../windows.mjs'

const ways = {
  send: async (client, { count, payload, topics }) => {
    const topic = rotation(topics)
    for (let i = 0; i < count; i++) {
      if (!client.send(topic(), payload)) await client.drained()
    }
  },
  publish: (client, { count, qos, payload, topics, window }) => {
    const topic = rotation(topics)
    const options = { qos }
    if (qos > 0) {
      return sliding(count, window, (done, failed) =>
        client.publish(topic(), payload, options).then(done, failed),
      )
    }
    return slices(count, window, (n) => {
      for (let i = 1; i < n; i++) void client.publish(topic(), payload)
      return client.publish(topic(), payload)
    })
  },
  publishAll: async (client, { count, qos, payload, topics, window }) => {
    const topic = rotation(topics)
    const messages = function* () {
      for (let i = 0; i < count; i++) yield { topic: topic(), payload }
    }
    const { published, failed } = await client.publishAll(messages(), { qos, window })
    if (published !== count || failed !== 0)
      throw new Error(`${published} of ${count} published, ${failed} failed`)
  },
}

export const connect = async ({ port, url, ca, version, clientId = 'bench', role, qos, window }) => {
  const client = await dial(url ?? `mqtt://127.0.0.1:${port}`, {
    protocolVersion: version,
    clientId,
    ...(ca && { tls: { ca } }),
    ...(role === 'publish' && qos === 2 && { maxInflightQos2: window }),
  })
  return {
    publish: (topic, payload, qos, done) => void client.publish(topic, payload, { qos }).then(done),
    publishMany: (messages) => ways[messages.mode](client, messages),
    flush: () => client.subscribe('bench/flush'),
    receive: ({ filter, qos, mode, onMessage }) =>
      client.subscribe(filter, { qos, payload: mode }, (message) =>
        onMessage(message.topic, message.payload),
      ),
    end: () => client.disconnect(),
  }
}

/** The pool's budget of attempts per second, which is for a broker's sake, is lifted: the time is measured. */
export const connectMany = ({ port, version, count, atOnce }) => {
  const pool = new ClientPool({ attemptsPerSecond: Number.POSITIVE_INFINITY })
  return sliding(count, atOnce, (done, failed) =>
    pool.connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: version }).then(done, failed),
  )
}

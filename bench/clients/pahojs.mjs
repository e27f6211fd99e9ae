// paho-mqtt, a client for browsers, over a plain socket in place of its WebSocket: no framing, no masking, so what is
// measured is an upper bound in its favour. It speaks 3.1.1 only. It tells of no completion for QoS 0; there the
// event loop gets a turn after each window, until the socket has been emptied.

import { connect as dial } from 'node:net'
import { rotation, slices } from '../windows.mjs'

let socket

globalThis.WebSocket = class {
  constructor(url) {
    const { hostname, port } = new URL(url)
    socket = dial({ host: hostname, port: Number(port), noDelay: true })
    socket.on('connect', () => this.onopen({}))
    socket.on('data', (data) => this.onmessage({ data }))
    socket.on('error', (data) => this.onerror?.({ data }))
    socket.on('close', () => this.onclose?.({}))
  }

  send(data) {
    socket.write(Buffer.from(data))
  }

  close() {
    socket.end()
  }
}
const { default: paho } = await import('paho-mqtt')

export const connect = async ({ port }) => {
  const client = new paho.Client('127.0.0.1', port, 'bench')
  const call = (method, ...parameters) =>
    new Promise((onSuccess, onFailure) => {
      client[method](...parameters, { onSuccess, onFailure })
    })
  await call('connect')
  const message = (topic, payload, qos) => {
    const made = new paho.Message(payload)
    made.destinationName = topic
    made.qos = qos
    return made
  }
  return {
    publishMany: ({ count, qos, payload, topics, window }) => {
      const topic = rotation(topics)
      if (qos === 0) {
        return slices(count, window, async (n) => {
          for (let i = 0; i < n; i++) client.send(message(topic(), payload, 0))
          do await new Promise((resolve) => setImmediate(resolve))
          while (socket.writableLength > 0)
        })
      }
      return new Promise((resolve) => {
        let started = 0
        let completed = 0
        client.onMessageDelivered = () => {
          completed++
          if (started < count) start()
          else if (completed === count) resolve()
        }
        const start = () => {
          started++
          client.send(message(topic(), payload, qos))
        }
        while (started < Math.min(window, count)) start()
      })
    },
    flush: () => call('subscribe', 'bench/flush'),
    receive: async ({ filter, qos, onMessage }) => {
      client.onMessageArrived = (arrived) => onMessage(arrived.destinationName, arrived.payloadBytes)
      await new Promise((onSuccess, onFailure) => client.subscribe(filter, { qos, onSuccess, onFailure }))
    },
    end: async () => client.disconnect(),
  }
}

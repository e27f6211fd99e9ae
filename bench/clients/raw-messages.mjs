// The least that a client can do for each single message and still be one: find the packet's end in what was read,
// acknowledge QoS 1, copy a message that was encoded beforehand and set its packet identifier; one write for all that
// belongs to one chunk. Topics are not read, nothing is checked, nothing is kept. Packets are shorter than 16 KiB, and
// all messages of a process are the same one.

import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { encodeConnect, encodePublish, encodeSubscribe } from '../packets.mjs'
import { sliding } from '../windows.mjs'

const SLAB = 65_536

/** Calls `onPacket(bytes, at, end)` for each whole packet; the next chunk begins with what is left. */
const framer = (onPacket) => {
  let rest = Buffer.alloc(0)
  return (chunk) => {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
    let at = 0
    while (at + 4 <= bytes.length) {
      const length = bytes[at + 1]
      const end = length < 128 ? at + 2 + length : at + 3 + (length & 127) + 128 * bytes[at + 2]
      if (end > bytes.length) break
      onPacket(bytes, at, end)
      at = end
    }
    rest = bytes.subarray(at)
  }
}

/** Collects what is to be sent. What was handed to the socket is not written again. */
const outputOf = (socket) => {
  let slab = Buffer.allocUnsafe(SLAB)
  let start = 0
  let end = 0
  const flush = () => {
    if (start < end) socket.write(slab.subarray(start, end))
    start = end
  }
  const add = (packet, id, place) => {
    if (end + packet.length > SLAB) {
      flush()
      slab = Buffer.allocUnsafe(SLAB)
      start = end = 0
    }
    slab.set(packet, end)
    if (id > 0) slab.writeUInt16BE(id, end + place)
    end += packet.length
  }
  return { add, flush }
}

export const connect = async ({ port, version: name, clientId = 'bench' }) => {
  const version = name === '5' ? 5 : 4
  const socket = dial({ host: '127.0.0.1', port, noDelay: true })
  const { add, flush } = outputOf(socket)
  const puback = Buffer.from([0x40, 2, 0, 0])
  let [id, message, place, inChunk, answered, completed, handle] = [0]

  const read = framer((bytes, at, end) => {
    const type = bytes[at] >> 4
    if (type === 3) {
      const head = bytes[at + 1] < 128 ? 2 : 3
      if (bytes[at] & 2) add(puback, bytes.readUInt16BE(at + head + 2 + bytes.readUInt16BE(at + head)), 2)
      handle(bytes.subarray(at, end))
    } else if (type === 4) completed()
    else answered()
  })
  socket.on('data', (chunk) => {
    inChunk = true
    read(chunk)
    inChunk = false
    flush()
  })
  /** Sends a packet; resolves with the next one that is neither PUBLISH nor PUBACK. */
  const ask = (packet) =>
    new Promise((resolve) => {
      answered = resolve
      add(packet, 0)
      flush()
    })

  const publish = (topic, payload, qos, done) => {
    if (!message) {
      message = encodePublish({ version, topic, qos, payload })
      place = (message[1] < 128 ? 4 : 5) + topic.length
    }
    completed = done
    id = qos > 0 ? (id % 65_535) + 1 : 0
    add(message, id, place)
    if (qos > 0 && !inChunk) process.nextTick(flush)
  }
  await ask(encodeConnect(version, clientId))
  return {
    publish,
    publishMany: async ({ count, qos, payload, topics, window }) => {
      if (qos > 0) return sliding(count, window, (done) => publish(topics[0], payload, qos, done))
      for (let i = 0; i < count; i++) {
        publish(topics[0], payload, 0)
        if (socket.writableNeedDrain) await once(socket, 'drain')
      }
      flush()
    },
    receive: ({ filter, qos, onMessage }) => {
      handle = onMessage
      return ask(encodeSubscribe(version, 1, filter, qos))
    },
  }
}

/** `count` sockets that have got a CONNACK and nothing else, `atOnce` of them on their way. */
export const connectMany = ({ port, version, count, atOnce }) => {
  const packet = encodeConnect(version === '5' ? 5 : 4, 'bench')
  return sliding(count, atOnce, (done, failed) => {
    const socket = dial({ host: '127.0.0.1', port, noDelay: true })
    socket.on('error', failed)
    socket.once('data', done)
    socket.write(packet)
  })
}

// The physical limit: the same bytes, encoded beforehand, through a net.Socket in pieces of just under 64 KiB (one
// segment of the loopback carries 65,483 bytes, and a write that needs two costs two to four times as much per byte).
// Nothing is encoded or parsed for each message; acknowledgements are counted by their bytes and answered from a piece
// of memory that holds them all, since the peer sends ids, and answers, in order. For QoS 2 it must look at one byte
// of each packet.

import { connect as dial } from 'node:net'
import {
  encodeAcknowledgements,
  encodeConnect,
  encodePublish,
  encodeRing,
  encodeSubscribe,
  endTopic,
  payloadOf,
  topicNames,
} from '../packets.mjs'

const PIECE = 65_400

/** Writes `count` acknowledgements from a ring of them that is there twice, from `cursor` on; the new cursor. */
const acknowledge = (socket, ring, cursor, count) => {
  socket.write(ring.subarray(4 * cursor, 4 * (cursor + count)))
  return (cursor + count) % (ring.length / 8)
}

/**
 * Made once, by the warm-up, and not while time is measured: a ring of messages, whose beginning follows its end once
 * more, so that every piece is in one place.
 */
let prepared

const prepare = ({ version, qos, payload, topics, window }) => {
  if (prepared) return prepared
  const size = encodePublish({ version, topic: topics[0], qos, id: 1, payload }).length
  const wanted = qos === 0 ? Math.ceil(PIECE / size) : window
  let rotations = Math.ceil(wanted / topics.length)
  if (qos > 0) rotations = Math.min(rotations, Math.floor(65_535 / topics.length))
  const places = rotations * topics.length
  const ring = encodeRing({ version, topics: topics.length, qos, payload, count: places })
  const releases = qos === 2 ? encodeAcknowledgements(0x62, places) : undefined
  const memory = Buffer.concat([ring, ring.subarray(0, PIECE)])
  prepared = { size, places, memory, releases }
  return prepared
}

/** QoS 0: pieces of one size, cut anywhere. */
const publish0 = ({ socket }, messages) =>
  new Promise((resolve) => {
    const { count } = messages
    const { memory, size, places } = prepare(messages)
    let left = count * size
    let at = 0
    const write = () => {
      while (left > 0) {
        const n = Math.min(PIECE, left)
        const piece = memory.subarray(at, at + n)
        left -= n
        at = (at + n) % (places * size)
        if (!socket.write(piece)) return socket.once('drain', write)
      }
      resolve()
    }
    write()
  })

const publishAcknowledged = (wire, messages) =>
  new Promise((resolve) => {
    const { socket } = wire
    const { count, qos, window } = messages
    const { memory, size, places, releases } = prepare(messages)
    // Half a window at most: with the whole of a small one in one piece, client and peer would wait for each other.
    const perPiece = Math.max(1, Math.min(Math.floor(PIECE / size), Math.ceil(window / 2)))
    let [sent, cursor, received, released, completed, releaseCursor, skip] = [0, 0, 0, 0, 0, 0, 0]
    const write = () => {
      while (!socket.writableNeedDrain) {
        const n = Math.min(count - sent, window - (sent - completed), perPiece)
        if (n === 0) return
        sent += n
        socket.write(memory.subarray(cursor * size, (cursor + n) * size))
        cursor = (cursor + n) % places
      }
    }
    socket.on('drain', write)
    let bytes = 0
    wire.onread = (buffer, n) => {
      if (qos === 1) {
        bytes += n
        completed = Math.floor(bytes / 4)
      } else {
        let at = skip
        for (; at < n; at += 4) {
          if (buffer[at] === 0x50) received++
          else completed++
        }
        skip = at - n
        if (received > released)
          releaseCursor = acknowledge(socket, releases, releaseCursor, received - released)
        released = received
      }
      if (completed === count && skip === 0) {
        socket.off('drain', write)
        resolve()
      } else write()
    }
    write()
  })

const receive = (wire, { version, qos, payload, topics, ring, count, warmup, onCount }) => {
  const { socket } = wire
  const message = encodePublish({
    version,
    topic: topicNames(topics)[0],
    qos,
    id: 1,
    payload: payloadOf(payload),
  })
  const last = encodePublish({ version, topic: endTopic, qos: 0, payload: payloadOf(1) })
  const size = message.length
  const total = warmup + count
  const answers = qos > 0 ? encodeAcknowledgements(qos === 1 ? 0x40 : 0x50, ring) : undefined
  const completions = qos === 2 ? encodeAcknowledgements(0x70, ring) : undefined
  let [bytes, seen, released, cursor, completionCursor, skip] = [0, 0, 0, 0, 0, 0]
  if (qos < 2) {
    wire.onread = (_, n) => {
      bytes += n
      const now = Math.min(total, Math.floor(bytes / size))
      if (qos === 1 && now > seen) cursor = acknowledge(socket, answers, cursor, now - seen)
      seen = now
      onCount(bytes === total * size + last.length ? total + 1 : seen)
    }
    return
  }
  wire.onread = (buffer, n) => {
    let [messages, releases, end] = [0, 0, 0]
    let at = skip
    while (at < n) {
      if (buffer[at] === 0x34) {
        messages++
        at += size
      } else if (buffer[at] === 0x62) {
        releases++
        at += 4
      } else {
        end = 1
        at += last.length
      }
    }
    skip = at - n
    if (messages > 0) cursor = acknowledge(socket, answers, cursor, messages)
    if (releases > 0) completionCursor = acknowledge(socket, completions, completionCursor, releases)
    seen += messages
    released += releases
    onCount(seen + end)
  }
}

export const connect = async ({ port, version: name }) => {
  const version = name === '5' ? 5 : 4
  const wire = { socket: undefined, onread: undefined }
  wire.socket = dial({
    host: '127.0.0.1',
    port,
    noDelay: true,
    onread: {
      buffer: Buffer.alloc(PIECE),
      callback: (n, buffer) => {
        wire.onread(buffer, n)
        return true
      },
    },
  })
  /** Sends a packet; resolves with what came after the first `bytes` bytes of the answer. */
  const ask = (packet, bytes) =>
    new Promise((resolve) => {
      let held = 0
      wire.onread = (buffer, n) => {
        held += n
        if (held >= bytes) resolve(Buffer.from(buffer.subarray(n - (held - bytes), n)))
      }
      wire.socket.write(packet)
    })
  const subackLength = version === 5 ? 6 : 5
  await ask(encodeConnect(version, 'bench'), version === 5 ? 8 : 4)
  return {
    publishMany: (messages) =>
      (messages.qos === 0 ? publish0 : publishAcknowledged)(wire, { ...messages, version }),
    flush: () => ask(encodeSubscribe(version, 65_535, 'bench/flush', 0), subackLength),
    receive: async (messages) => {
      const { filter, qos } = messages
      let held = 0
      wire.socket.write(encodeSubscribe(version, 65_535, filter, qos))
      wire.onread = (buffer, n) => {
        held += n
        if (held < subackLength) return
        receive(wire, { ...messages, version })
        const after = held - subackLength
        if (after > 0) wire.onread(buffer.subarray(n - after, n), after)
      }
    },
    end: async () => wire.socket.end(Buffer.from([0xe0, 0])),
  }
}

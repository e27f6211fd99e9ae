// What a message costs in JavaScript when all that a client does for it is done, and nothing is checked, decided,
// counted or timed: the topic is encoded or compared, payloads are copied or viewed, each message is an object, each
// acknowledgement finds its message by the identifier, promises are promises. Errors, sessions, limits, statistics,
// handlers by filter are not here. It stands between a client and the raw socket, and has Petrel's modes:
//
//   send, publish, publishAll   nothing; a promise for each message; objects from an iterable
//   kept, borrowed              a payload in memory of its own; a view on what the socket has read

import { connect as dial } from 'node:net'
import { encodeConnect, encodeSubscribe } from '../packets.mjs'
import { rotation, slices, sliding } from '../windows.mjs'

/** One segment of the loopback. */
const SLAB = 65_472
const SLABS = 16
const READ_BUFFER = 262_144

const lengthSize = (length) => (length < 128 ? 1 : length < 16_384 ? 2 : 3)

/** Slabs in turn, each written when it is full: what is large is divided where one ends. */
export class Output {
  #socket
  #slabs = Array.from({ length: SLABS }, () => new Uint8Array(SLAB))
  #turn = 0
  #start = 0
  bytes = this.#slabs[0]
  at = 0

  constructor(socket) {
    this.#socket = socket
  }

  flush() {
    if (this.at === this.#start) return
    this.#socket.write(this.bytes.subarray(this.#start, this.at))
    this.#start = this.at
  }

  room(size) {
    if (SLAB - this.at < size) this.#next()
  }

  #next() {
    this.flush()
    this.#turn = (this.#turn + 1) % SLABS
    this.bytes = this.#slabs[this.#turn]
    this.at = this.#start = 0
  }

  write(bytes) {
    let done = 0
    while (bytes.length - done > SLAB - this.at) {
      const part = SLAB - this.at
      this.bytes.set(new Uint8Array(bytes.buffer, bytes.byteOffset + done, part), this.at)
      this.at += part
      done += part
      this.#next()
    }
    const rest =
      done === 0 ? bytes : new Uint8Array(bytes.buffer, bytes.byteOffset + done, bytes.length - done)
    this.bytes.set(rest, this.at)
    this.at += rest.length
  }

  acknowledge(first, id) {
    this.room(4)
    const { bytes, at } = this
    bytes[at] = first
    bytes[at + 1] = 2
    bytes[at + 2] = id >>> 8
    bytes[at + 3] = id & 255
    this.at = at + 4
  }
}

class Outgoing {
  constructor(id, topic, payload, done) {
    this.id = id
    this.topic = topic
    this.payload = payload
    this.done = done
    this.released = false
  }
}

class Incoming {
  constructor(topic, payload, qos, id) {
    this.topic = topic
    this.payload = payload
    this.qos = qos
    this.id = id
  }
}

const deferred = () => {
  let resolve
  const promise = new Promise((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

class Bare {
  #socket
  #output
  #hasProperties
  #names = new Map()
  #lastTopic = ''
  #lastName = new Uint8Array(0)
  #underWay = new Array(65_536).fill(undefined)
  #nextId = 1
  #isScheduled = false
  #handedOver
  #answered
  #kept = false
  /** Payloads are copied one by one, not by the chunk. */
  #isLarge = false
  #onMessage
  #known = new DataView(new ArrayBuffer(0))
  #knownTopic = ''
  /** By identifier. */
  #received = new Uint8Array(65_536)
  #memory
  #rest = 0
  #decoder = new TextDecoder()

  constructor(socket, memory, hasProperties) {
    this.#memory = memory
    this.#socket = socket
    this.#output = new Output(socket)
    this.#hasProperties = hasProperties
  }

  /** Sends a packet; resolves when one comes that no message has to do with. */
  ask(packet) {
    return new Promise((resolve) => {
      this.#answered = resolve
      this.#output.write(packet)
      this.#output.flush()
    })
  }

  get isSaturated() {
    return this.#socket.writableLength >= this.#socket.writableHighWaterMark
  }

  drained() {
    return new Promise((resolve) => this.#socket.once('drain', resolve))
  }

  flush() {
    this.#output.flush()
  }

  /** PUBLISH of QoS 0, as bytes. */
  send(topic, payload) {
    this.#encode(0x30, topic, 0, payload)
    this.#schedule()
  }

  /** PUBLISH of QoS 0; one promise for all of a turn. */
  handOver(topic, payload) {
    this.send(topic, payload)
    return (this.#handedOver ??= deferred()).promise
  }

  /** PUBLISH of QoS 1 or 2; `done` is called at its completion. */
  publish(topic, payload, qos, done) {
    const id = this.#nextId
    this.#nextId = id === 65_535 ? 1 : id + 1
    this.#underWay[id] = new Outgoing(id, topic, payload, done)
    this.#encode(0x30 | (qos << 1), topic, id, payload)
    this.#schedule()
  }

  receive(mode, onMessage) {
    this.#kept = mode !== 'borrowed'
    this.#onMessage = onMessage
  }

  #schedule() {
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      this.#output.flush()
      this.#handedOver?.resolve()
      this.#handedOver = undefined
    })
  }

  #encode(first, topic, id, payload) {
    const name = topic === this.#lastTopic ? this.#lastName : this.#nameOf(topic)
    const output = this.#output
    const length = 2 + name.length + (id > 0 ? 2 : 0) + (this.#hasProperties ? 1 : 0) + payload.length
    const size = 1 + lengthSize(length) + length
    output.room(payload.length < 4_096 ? size : size - payload.length)
    const { bytes } = output
    let { at } = output
    bytes[at++] = first
    let left = length
    for (; left > 127; left >>= 7) bytes[at++] = (left & 127) | 128
    bytes[at++] = left
    bytes[at++] = name.length >>> 8
    bytes[at++] = name.length & 255
    bytes.set(name, at)
    at += name.length
    if (id > 0) {
      bytes[at++] = id >>> 8
      bytes[at++] = id & 255
    }
    if (this.#hasProperties) bytes[at++] = 0
    output.at = at
    output.write(payload)
  }

  #nameOf(topic) {
    let name = this.#names.get(topic)
    if (name === undefined) {
      name = new TextEncoder().encode(topic)
      this.#names.set(topic, name)
    }
    this.#lastTopic = topic
    this.#lastName = name
    return name
  }

  /** Where the socket reads to: behind what has come of a packet that is not whole. */
  get memory() {
    return this.#memory.subarray(this.#rest)
  }

  /** So many bytes were read into `memory`. */
  read(size) {
    const end = this.#rest + size
    let bytes = this.#memory.subarray(0, end)
    if (this.#kept && !this.#isLarge) bytes = bytes.slice()
    const at = this.#packets(bytes, new DataView(bytes.buffer, bytes.byteOffset, bytes.length))
    if (at > 0) this.#memory.copyWithin(0, at, end)
    this.#rest = end - at
    this.#output.flush()
  }

  /** Where the first packet begins that is not whole. */
  #packets(bytes, view) {
    let at = 0
    for (;;) {
      let head = at + 1
      let length = 0
      for (let shift = 0; ; shift += 7) {
        if (head >= bytes.length) return at
        const byte = bytes[head++]
        length |= (byte & 127) << shift
        if (byte < 128) break
      }
      const end = head + length
      if (end > bytes.length) return at
      this.#packet(bytes, view, bytes[at], head, end)
      at = end
    }
  }

  #packet(bytes, view, first, head, end) {
    const type = first >> 4
    if (type === 3) return this.#message(bytes, view, (first >> 1) & 3, head, end)
    const id = (bytes[head] << 8) | bytes[head + 1]
    if (type === 4 || type === 7) {
      const { done } = this.#underWay[id]
      this.#underWay[id] = undefined
      done()
    } else if (type === 5) {
      this.#underWay[id].released = true
      this.#output.acknowledge(0x62, id)
    } else if (type === 6) {
      this.#received[id] = 0
      this.#output.acknowledge(0x70, id)
    } else this.#answered()
  }

  #message(bytes, view, qos, head, end) {
    const size = (bytes[head] << 8) | bytes[head + 1]
    const start = head + 2
    const topic = this.#isKnown(view, start, size) ? this.#knownTopic : this.#learn(bytes, start, size)
    let at = start + size
    let id = 0
    if (qos > 0) {
      id = (bytes[at] << 8) | bytes[at + 1]
      at += 2
    }
    if (this.#hasProperties) at += 1
    if (qos === 2) {
      if (this.#received[id] === 1) return this.#output.acknowledge(0x50, id)
      this.#received[id] = 1
    }
    let payload = new Uint8Array(bytes.buffer, bytes.byteOffset + at, end - at)
    if (this.#isLarge && this.#kept) payload = payload.slice()
    this.#isLarge = payload.length >= 4_096
    const message = new Incoming(topic, payload, qos, id)
    this.#onMessage(message.topic, message.payload)
    if (qos > 0) this.#output.acknowledge(qos === 1 ? 0x40 : 0x50, id)
  }

  #isKnown(view, start, size) {
    const known = this.#known
    if (size !== known.byteLength) return false
    let i = 0
    for (; i + 4 <= size; i += 4) if (view.getUint32(start + i) !== known.getUint32(i)) return false
    for (; i < size; i++) if (view.getUint8(start + i) !== known.getUint8(i)) return false
    return true
  }

  #learn(bytes, start, size) {
    const name = bytes.slice(start, start + size)
    this.#known = new DataView(name.buffer)
    this.#knownTopic = this.#decoder.decode(name)
    return this.#knownTopic
  }
}

const ways = {
  send: async (bare, { count, payload, topics }) => {
    const topic = rotation(topics)
    for (let i = 0; i < count; i++) {
      bare.send(topic(), payload)
      if (bare.isSaturated) await bare.drained()
    }
    bare.flush()
  },
  publish: async (bare, { count, qos, payload, topics, window }) => {
    const topic = rotation(topics)
    if (qos > 0) {
      return sliding(count, window, (done) => {
        void new Promise((resolve) => bare.publish(topic(), payload, qos, resolve)).then(done)
      })
    }
    return slices(count, window, async (n) => {
      let last
      for (let i = 0; i < n; i++) {
        last = bare.handOver(topic(), payload)
        if (bare.isSaturated) await bare.drained()
      }
      return last
    })
  },
  publishAll: async (bare, { count, qos, payload, topics, window }) => {
    const topic = rotation(topics)
    const messages = (function* () {
      for (let i = 0; i < count; i++) yield { topic: topic(), payload }
    })()
    if (qos === 0) {
      for (const message of messages) {
        bare.send(message.topic, message.payload)
        if (bare.isSaturated) await bare.drained()
      }
      return bare.flush()
    }
    await new Promise((resolve) => {
      let left = count
      let open = 0
      const take = () => {
        for (; open < window; open++) {
          const { value, done } = messages.next()
          if (done) return
          bare.publish(value.topic, value.payload, qos, settled)
        }
      }
      // As many at a time as half a window: not one for each that is acknowledged.
      const settled = () => {
        open -= 1
        left -= 1
        if (left === 0) resolve()
        else if (open <= window >> 1) take()
      }
      take()
    })
  },
}

export const connect = async ({ port, version, clientId = 'bench' }) => {
  const hasProperties = version === '5'
  const level = hasProperties ? 5 : 4
  let bare
  const memory = new Uint8Array(READ_BUFFER)
  const onread = {
    buffer: () => bare?.memory ?? memory,
    callback: (size) => {
      bare.read(size)
      return true
    },
  }
  const socket = dial({ host: '127.0.0.1', port, noDelay: true, onread })
  bare = new Bare(socket, memory, hasProperties)
  await bare.ask(encodeConnect(level, clientId))
  return {
    publishMany: (messages) => ways[messages.mode](bare, messages),
    flush: () => bare.ask(encodeSubscribe(level, 65_535, 'bench/flush', 0)),
    receive: ({ filter, qos, mode, onMessage }) => {
      bare.receive(mode, onMessage)
      return bare.ask(encodeSubscribe(level, 1, filter, qos))
    },
    end: async () => socket.end(Uint8Array.of(0xe0, 0)),
  }
}

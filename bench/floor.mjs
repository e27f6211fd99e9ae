// `node bench/floor.mjs`: what this engine charges for the parts that a message cannot do without, each in a loop of its
// own that does nothing else; and a message received, and one of QoS 1 published and acknowledged, by loops that do the
// same work as a client, for bytes in memory, and check, decide and count nothing. That is a floor for the workloads.
// --rounds n (9) makes it longer. CPU ns, the median of the rounds.

import { parseArgs } from 'node:util'
import { payloadOf, topicNames } from './packets.mjs'
import { stopwatch } from './stopwatch.mjs'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '9' } } })
const COUNT = 1_000_000

const payload = payloadOf(64)
const topic = new TextEncoder().encode(topicNames(1)[0])
const memory = new ArrayBuffer(65_536)
const bytes = new Uint8Array(memory)
const view = new DataView(memory)
const known = new DataView(topic.buffer)

/** Read by nobody: no engine may leave the work out. */
let sum = 0
let kept

class Message {
  constructor(place) {
    this.name = topic
    this.flags = 0
    this.packetId = place
    this.properties = undefined
    this.buffer = memory
    this.start = place
    this.end = place + 64
    this.connection = 0
    this.place = 0
    this.acknowledger = undefined
    this.payload = undefined
  }
}

/** As many fields as a Delivery has. */
class Delivery {
  type = 'delivery'
  dup = false
  lent = false
  passing = true
  start = 0
  state = 'queued'
  packetId = 0
  key = 0
  queuedAt = 0
  recordedAt = 0
  attempts = 0
  connection = 0
  timeout = 30_000
  abandoned = false
  reasonCode = 0
  result = undefined
  error = undefined
  previous = undefined
  next = undefined
  constructor(message, now, owner) {
    this.name = topic
    this.memory = message.payload
    this.payloadSize = message.payload.length
    this.qos = 1
    this.retain = false
    this.properties = undefined
    this.createdAt = now
    this.sentAt = now
    this.owner = owner
  }
}

const PACKET = 31 + payload.length
const received = new Uint8Array(500 * PACKET)
const inside = new DataView(received.buffer)
for (let at = 0; at < received.length; at += PACKET) {
  received.set([0x30, PACKET - 2, 0, topic.length], at)
  received.set(topic, at + 4)
}
const handler = (message) => {
  sum += message.name.length + new Uint8Array(received.buffer, message.start, 64)[0]
}

/** All that is on its way: by identifier, and in order. */
const ids = new Array(65_536).fill(undefined)
const line = { head: undefined, tail: undefined, size: 0 }

function send(message, id) {
  const delivery = new Delivery(message, id + 0.5, line)
  delivery.packetId = id
  ids[id] = delivery
  delivery.previous = line.tail
  if (line.tail === undefined) line.head = delivery
  else line.tail.next = delivery
  line.tail = delivery
  line.size += 1
  const at = (id * 97) & 0x7fff
  bytes[at] = 0x32
  bytes[at + 1] = 95
  bytes.set(topic, at + 2)
  bytes[at + 31] = id >>> 8
  bytes[at + 32] = id & 0xff
  bytes.set(message.payload, at + 33)
}

function settle(id) {
  const delivery = ids[id]
  ids[id] = undefined
  const { previous, next } = delivery
  if (previous === undefined) line.head = next
  else previous.next = next
  if (next === undefined) line.tail = previous
  else next.previous = previous
  line.size -= 1
  delivery.state = 'settled'
  sum += delivery.attempts
}

const parts = {
  'copy a topic of 27 bytes and a payload of 64 into the output': (count) => {
    for (let i = 0; i < count; i++) {
      const at = (i * 96) & 0x7fff
      bytes.set(topic, at)
      bytes.set(payload, at + 29)
    }
  },
  'a view on a payload': (count) => {
    for (let i = 0; i < count; i++) {
      const one = new Uint8Array(memory, (i * 96) & 0x7fff, 64)
      sum += one.length + one[0]
    }
  },
  'a message object of 11 fields': (count) => {
    for (let i = 0; i < count; i++) kept = new Message(i & 0x7fff)
  },
  'compare a topic of 27 bytes with the one before': (count) => {
    for (let i = 0; i < count; i++) {
      const at = (i * 96) & 0x7fff
      let same = true
      for (let word = 0; word + 4 < topic.length; word += 4)
        if (known.getUint32(word) !== view.getUint32(at)) same = !same
      sum += same ? 1 : 2
    }
  },
  'a promise with a continuation, resolved': async (count) => {
    const done = () => sum++
    const batch = []
    const executor = (resolve) => batch.push(resolve)
    for (let i = 0; i < count; i++) {
      void new Promise(executor).then(done)
      if (batch.length < 1_000) continue
      for (const resolve of batch.splice(0)) resolve(1)
      await Promise.resolve()
    }
  },
  'a step of a generator that yields a message': (count) => {
    const messages = function* () {
      for (let i = 0; i < count; i++) yield { topic, payload }
    }
    for (const message of messages()) sum += message.payload.length
  },
  'a message of QoS 0 in memory: framed, its topic compared, an object, given to a handler that touches it': (
    count,
  ) => {
    let at = 0
    for (let i = 0; i < count; i++) {
      if (at === received.length) at = 0
      const end = at + 2 + received[at + 1]
      const length = (received[at + 2] << 8) | received[at + 3]
      let same = length === topic.length && received[at] === 0x30
      for (let word = 0; word + 4 < length; word += 4)
        if (known.getUint32(word) !== inside.getUint32(at + 4 + word)) same = false
      if (!same) throw new Error('the topic is another')
      handler(new Message(at + 4 + length))
      at = end
    }
  },
  'a message of QoS 1 from a generator: an object, an identifier, a place in line, its bytes, and all undone':
    (count) => {
      const messages = function* () {
        for (let i = 0; i < count; i++) yield { topic, payload }
      }
      let id = 0
      for (const message of messages()) {
        id = id === 64_000 ? 1 : id + 1
        send(message, id)
        if (id % 2_000 === 0) for (let done = id - 1_999; done <= id; done++) settle(done)
      }
    },
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

for (const [name, run] of Object.entries(parts)) {
  await run(COUNT)
  const rounds = []
  for (let round = 0; round < Number(values.rounds); round++) {
    const stop = stopwatch()
    await run(COUNT)
    rounds.push((1e9 * stop().cpu) / COUNT)
  }
  console.log(`${median(rounds).toFixed(1).padStart(7)} ns  ${name}`)
}
console.log(`Node ${process.version.slice(1)} (${String(sum + (kept?.start ?? 0)).length} digits of use)`)

// `node bench/floor.mjs`: what this engine charges for the parts that a message cannot do without, each in a loop of its
// own that does nothing else. clients/bare.mjs puts them together, over a socket.
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
for (let at = 0; at < 65_536; at += 96) bytes.set(topic, at)

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
      let byte = 0
      for (; byte + 4 <= topic.length; byte += 4)
        if (known.getUint32(byte) !== view.getUint32(at + byte)) same = !same
      for (; byte < topic.length; byte++) if (known.getUint8(byte) !== view.getUint8(at + byte)) same = !same
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

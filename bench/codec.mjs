// `npm run bench:codec`: what it costs to encode and to decode one PUBLISH of 64 bytes under a topic of 27, with
// Petrel's codec, with mqtt-packet, which MQTT.js has, and in a raw loop that does only the copying that nobody is
// spared. With --json it prints one line. --rounds n (15) and --ms n (20, the length of one measurement) make it longer.
//
// All of them take and give the same things. Encoding: a topic as a string, a payload, for QoS 1 a packet identifier;
// bytes in one piece. Decoding: a chunk of just under 64 KiB, as a socket gives it; topic, payload and packet identifier
// of each message, which the user may keep. Petrel's figures are of what its connections call, so they hold the checks
// of topics and packets, the counters, and the copy of each chunk that the socket only lends. mqtt-packet encodes in two
// ways, and the faster one counts: `generate`, or `writeToStream` into a stream that puts the pieces together.
//
// The contestants take turns within a round, so that what changes on the machine meets all of them. A figure is the
// median of the rounds, in CPU time of the process, garbage collection on other threads included.

import { parseArgs } from 'node:util'
import mqttPacket from 'mqtt-packet'
import { Slabs } from '../src/core/bytes/slabs.ts'
import { PacketSource } from '../src/core/connection/packet-source.ts'
import { PacketWriter } from '../src/core/connection/packet-writer.ts'
import { Traffic } from '../src/core/connection/traffic.ts'
import { mqtt311, mqtt5 } from '../src/core/packets/codec.ts'
import { ReceivedTopics } from '../src/core/packets/received-topics.ts'
import { TopicNames } from '../src/core/topics/topic-names.ts'
import { encodePublish, encodeRing, payloadOf, topicNames } from './packets.mjs'
import { stopwatch } from './stopwatch.mjs'

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean' },
    rounds: { type: 'string', default: '15' },
    ms: { type: 'string', default: '20' },
  },
})

const CHUNK = 65_400
const [topic] = topicNames(1)
const payload = payloadOf(64)

/** Read by nobody: what is decoded is added up here, so that no engine may leave the work out. */
let sum = 0

/** Each returns a function that encodes `count` packets. */
const encoders = {
  petrel: ({ version, qos }) => {
    const writer = new PacketWriter(version === 5 ? mqtt5 : mqtt311, new Slabs(), new Traffic())
    const topics = new TopicNames()
    return (count) => {
      for (let i = 0; i < count; i++) {
        const { bytes } = topics.encode(topic)
        writer.plainPublish(qos << 1, bytes, (i & 0x7fff) + 1, payload, payload.length)
        if (writer.buffer.pending < CHUNK) continue
        for (let chunk = writer.buffer.take(); chunk !== undefined; chunk = writer.buffer.take())
          sum += chunk.length
        writer.buffer.handleWritten(writer.buffer.taken)
      }
    }
  },
  generate: ({ version, qos }) => {
    const options = { protocolVersion: version }
    return (count) => {
      for (let i = 0; i < count; i++) {
        const packet = { cmd: 'publish', topic, payload, qos, messageId: (i & 0x7fff) + 1 }
        sum += mqttPacket.generate(packet, options).length
      }
    }
  },
  writeToStream: ({ version, qos }) => {
    const options = { protocolVersion: version }
    const out = Buffer.alloc(CHUNK)
    let at = 0
    const stream = {
      write: (piece) => {
        if (at + piece.length > CHUNK) at = 0
        at += typeof piece === 'string' ? out.write(piece, at) : piece.copy(out, at)
        return true
      },
    }
    return (count) => {
      for (let i = 0; i < count; i++) {
        const packet = { cmd: 'publish', topic, payload, qos, messageId: (i & 0x7fff) + 1 }
        mqttPacket.writeToStream(packet, stream, options)
      }
    }
  },
  raw: ({ version, qos }) => {
    const packet = new Uint8Array(encodePublish({ version, topic, qos, id: 1, payload }))
    const out = new Uint8Array(CHUNK)
    return (count) => {
      let at = 0
      for (let i = 0; i < count; i++) {
        if (at + packet.length > CHUNK) at = 0
        out.set(packet, at)
        at += packet.length
      }
      sum += out[at >> 1]
    }
  },
}

/** Each returns a function that decodes a chunk of packets. */
const decoders = {
  petrel: ({ version }) => {
    const source = new PacketSource(version === 5 ? mqtt5 : mqtt311, {
      connect: { type: 'connect' },
      maximumPacketSize: 16_777_216,
      topics: new ReceivedTopics(),
      traffic: new Traffic(),
    })
    return (chunk) => {
      source.push(chunk, false)
      for (;;) {
        const message = source.next('connected')
        if (message === undefined) return
        source.keep(message)
        sum += message.topic.length + message.payload.length + message.packetId
      }
    }
  },
  parser: ({ version, qos }) => {
    const parser = mqttPacket.parser({ protocolVersion: version })
    parser.on('packet', (packet) => {
      sum += packet.topic.length + packet.payload.length + (qos > 0 ? packet.messageId : 0)
    })
    return (chunk) => parser.parse(chunk)
  },
  raw: () => (chunk) => {
    const kept = new Uint8Array(chunk.length)
    kept.set(chunk)
    for (let at = 0; at < kept.length; at += 2 + kept[at + 1]) sum += kept[at]
  },
}

/** ns of CPU for a packet, when `run(count)` handles that many. */
const timeOf = (run, count) => {
  const stop = stopwatch()
  run(count)
  return (1e9 * stop().cpu) / count
}

/** For a decoder: the number of packets is rounded up to whole chunks. */
const overChunks = (decode, chunk, packets) => (count) => {
  for (let done = 0; done < count; done += packets) decode(chunk)
}

const tasksOf = ({ version, qos }) => {
  const size = encodePublish({ version, topic, qos, id: 1, payload }).length
  const packets = Math.floor(CHUNK / size)
  const chunk = encodeRing({ version, topics: 1, qos, payload, count: packets })
  const of = (direction, makers, wrap) =>
    Object.entries(makers).map(([client, make]) => ({
      name: `${direction}, ${version === 5 ? '5' : '3.1.1'}, QoS ${qos}`,
      client,
      run: wrap(make({ version, qos })),
      packets,
      times: [],
    }))
  return [
    ...of('encode', encoders, (encode) => encode),
    ...of('decode', decoders, (decode) => overChunks(decode, chunk, packets)),
  ]
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

const tasks = [4, 5].flatMap((version) => [0, 1].flatMap((qos) => tasksOf({ version, qos })))
for (const task of tasks) {
  task.run(50_000)
  const perPacket = timeOf(task.run, 50_000)
  task.count = Math.ceil((Number(flags.ms) * 1e6) / perPacket / task.packets) * task.packets
}
for (let round = 0; round < Number(flags.rounds); round++) {
  for (const task of tasks) task.times.push(timeOf(task.run, task.count))
}

const rows = [...new Set(tasks.map(({ name }) => name))].map((name) => {
  const ns = Object.fromEntries(
    tasks.filter((task) => task.name === name).map(({ client, times }) => [client, median(times)]),
  )
  const { petrel, raw, ...ways } = ns
  const mqttPacket = Math.min(...Object.values(ways))
  return { name, ns, petrel, mqttPacket, raw, ratio: mqttPacket / petrel }
})

const rounded = (value) => Number(value.toPrecision(3))

if (flags.json) {
  const codec = rows.map(({ name, ns, ratio }) => [
    name,
    {
      ratio: rounded(ratio),
      ...Object.fromEntries(Object.entries(ns).map(([id, value]) => [id, rounded(value)])),
    },
  ])
  console.log(JSON.stringify({ node: process.version, codec: Object.fromEntries(codec) }))
} else {
  console.log(
    `ns of CPU for a PUBLISH of 64 bytes, topic of 27; Node ${process.version}, ${flags.rounds} rounds\n`,
  )
  console.log('|                      | Petrel | mqtt-packet | raw loop | mqtt-packet ÷ Petrel |')
  console.log('|----------------------|-------:|------------:|---------:|---------------------:|')
  for (const { name, petrel, mqttPacket, raw, ratio } of rows) {
    const cells = [
      name.padEnd(20),
      petrel.toFixed(1).padStart(6),
      mqttPacket.toFixed(1).padStart(11),
      raw.toFixed(1).padStart(8),
      `${ratio.toFixed(1)} ×`.padStart(20),
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

// Checks the peer by itself: every packet it answers, in both versions, cut at every place and glued to its
// neighbour; a PUBLISH longer than one read; the source's window, its ring and its closing message. Run by
// `npm run check` in bench/. With PEER=<path> another build (one with sanitizers) is checked.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { test as define } from 'node:test'
import { encodePublish, endTopic } from '../packets.mjs'
import { compile } from '../prepare.mjs'

if (!process.env.PEER) compile()
const binary = process.env.PEER ?? new URL('../build/peer', import.meta.url).pathname

const start = async (...options) => {
  const child = spawn(binary, [...options, '--limit', '20'], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  let ready
  const first = new Promise((resolve) => {
    ready = resolve
  })
  child.stdout.on('data', (chunk) => {
    text += chunk
    if (text.includes('\n')) ready(JSON.parse(text.slice(0, text.indexOf('\n'))))
  })
  const ended = new Promise((resolve) =>
    child.on('close', () => resolve(JSON.parse(text.trim().split('\n').at(-1)))),
  )
  return { ...(await first), ended }
}

const dial = (port) =>
  new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true })
    let held = Buffer.alloc(0)
    let wanted
    socket.on('data', (chunk) => {
      held = Buffer.concat([held, chunk])
      settle()
    })
    socket.on('error', reject)
    const settle = () => {
      if (!wanted || held.length < wanted.bytes) return
      wanted.resolve(held.subarray(0, wanted.bytes))
      held = held.subarray(wanted.bytes)
      wanted = undefined
    }
    const read = (bytes) =>
      new Promise((resolve) => {
        wanted = { bytes, resolve }
        settle()
      })
    const closed = new Promise((done) => socket.on('close', done))
    socket.on('connect', () => resolve({ socket, read, closed, held: () => held }))
  })

const test = (title, run) => void define(title, run)
const hex = (text) => Buffer.from(text.replace(/\s/g, ''), 'hex')
const connectPacket = (version, name = 'c') => {
  const properties = version === 5 ? [8, 0x21, 0, 20, 0x26, 0, 0, 0, 0] : []
  const body = [0, 4, 77, 81, 84, 84, version, 2, 0, 0, ...properties, 0, name.length, ...Buffer.from(name)]
  return Buffer.from([0x10, body.length, ...body])
}
const p5 = (version, text) => (version === 5 ? text : '')

const subscribed = {
  4: [hex('82 0c 00 07 00 01 61 01 00 03 61 2f 62 02'), '90 04 00 07 01 02'],
  5: [hex('82 0d 00 07 00 00 01 61 01 00 03 61 2f 62 02'), '90 05 00 07 00 01 02'],
}

// What is sent, and what must come back for it.
const conversation = (version) => [
  [connectPacket(version), version === 5 ? '20 06 00 00 03 21 ff ff' : '20 02 00 00'],
  subscribed[version],
  [encodePublish({ version, topic: 'a/b', qos: 0, payload: Buffer.alloc(3) }), ''],
  [encodePublish({ version, topic: 'a/b', qos: 1, id: 0x1234, payload: Buffer.alloc(200) }), '40 02 12 34'],
  [encodePublish({ version, topic: 'a', qos: 2, id: 9, payload: Buffer.alloc(0) }), '50 02 00 09'],
  [hex('62 02 00 09'), '70 02 00 09'],
  [hex('c0 00'), 'd0 00'],
  [
    hex(`a2 ${version === 5 ? '09' : '08'} 00 08 ${p5(version, '00')} 00 01 61 00 01 62`),
    version === 5 ? 'b0 05 00 08 00 00 00' : 'b0 02 00 08',
  ],
]

for (const version of [4, 5]) {
  const steps = conversation(version).map(([bytes, text]) => [Buffer.from(bytes), text])
  const sent = Buffer.concat(steps.map(([bytes]) => bytes))
  const expected = Buffer.concat(steps.map(([, text]) => hex(text)))

  test(`version ${version}: every packet is answered, at every cut`, async () => {
    const peer = await start('sink')
    const keep = await dial(peer.port)
    for (let cut = 0; cut <= sent.length; cut++) {
      const { socket, read } = await dial(peer.port)
      socket.write(sent.subarray(0, cut))
      await new Promise((resolve) => setTimeout(resolve, 2))
      socket.write(sent.subarray(cut))
      assert.deepEqual(await read(expected.length), expected, `cut at ${cut}`)
      socket.destroy()
    }
    const { socket, read } = await dial(peer.port)
    for (const byte of sent) {
      socket.write(Buffer.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.deepEqual(await read(expected.length), expected, 'byte by byte')
    socket.destroy()
    keep.socket.destroy()
    const counts = await peer.ended
    const runs = sent.length + 2
    assert.equal(counts.violations, 0)
    assert.deepEqual([counts.qos0, counts.qos1, counts.qos2], [runs, runs, runs])
    assert.deepEqual([counts.releases, counts.pings, counts.subscribes], [runs, runs, 2 * runs])
  })

  test(`version ${version}: a PUBLISH longer than any read is acknowledged when its last byte is there`, async () => {
    const peer = await start('sink')
    const { socket, read, held } = await dial(peer.port)
    const big = encodePublish({ version, topic: 'big', qos: 1, id: 3, payload: Buffer.alloc(3_000_000) })
    socket.write(connectPacket(version))
    await read(version === 5 ? 8 : 4)
    socket.write(big.subarray(0, -1))
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(held().length, 0)
    socket.write(Buffer.concat([big.subarray(-1), big, hex('c0 00')]))
    assert.deepEqual(await read(10), hex('40 02 00 03 40 02 00 03 d0 00'))
    socket.end(hex('e0 00'))
    const counts = await peer.ended
    assert.equal(counts.qos1, 2)
    assert.equal(counts.bytes, 2 * big.length)
  })

  for (const qos of [0, 1, 2]) {
    test(`version ${version}: the source sends all of QoS ${qos}, in its window, and closes the run`, async () => {
      const [count, window, topics] = [1000, version === 5 ? 60 : 7, 3]
      const peer = await start(
        'source',
        ...Object.entries({ count, qos, payload: 10, topics, window }).flatMap(([name, value]) => [
          `--${name}`,
          String(value),
        ]),
      )
      const { socket, read, held } = await dial(peer.port)
      socket.write(Buffer.concat([connectPacket(version), subscribed[version][0]]))
      await read(version === 5 ? 8 + 7 : 4 + 6)
      const limit = version === 5 ? 20 : window // our CONNECT announced Receive Maximum 20
      const message = (i) =>
        encodePublish({
          version,
          topic: `bench/device-000${i % topics}/telemetry`,
          qos,
          id: (i % peer.ring) + 1,
          payload: Buffer.from('abcdefghij'),
        })
      const size = message(0).length
      for (let i = 0; i < count; ) {
        const batch = Math.min(limit, count - i)
        const got = await read(batch * size)
        for (let k = 0; k < batch; k++)
          assert.deepEqual(got.subarray(k * size, (k + 1) * size), message(i + k))
        if (qos > 0) {
          if (i === 0) await new Promise((resolve) => setTimeout(resolve, 50))
          assert.equal(held().length, 0, 'the window holds')
          const ids = Array.from({ length: batch }, (_, k) => ((i + k) % peer.ring) + 1)
          const packets = (first) => Buffer.concat(ids.map((id) => Buffer.of(first, 2, id >> 8, id & 255)))
          if (qos === 1) socket.write(packets(0x40))
          if (qos === 2) {
            socket.write(packets(0x50))
            assert.deepEqual(await read(4 * batch), packets(0x62))
            socket.write(packets(0x70))
          }
        }
        i += batch
      }
      const end = encodePublish({ version, topic: endTopic, qos: 0, payload: Buffer.from('a') })
      assert.deepEqual(await read(end.length), end)
      socket.end(hex('e0 00'))
      const counts = await peer.ended
      assert.deepEqual([counts.sent, counts.acknowledged, counts.violations], [count, qos ? count : 0, 0])
    })
  }
}

test('a version 5 client without a name is told the one it has', async () => {
  const peer = await start('sink', '--receive-maximum', '10')
  const { socket, read } = await dial(peer.port)
  socket.write(connectPacket(5, ''))
  assert.deepEqual(await read(16), hex('20 0e 00 00 0b 21 00 0a 12 00 05 62 65 6e 63 68'))
  socket.destroy()
  await peer.ended
})

test('what MQTT forbids closes the connection and is counted', async () => {
  const bad = [
    '36 05 00 01 61 00 01',
    '32 05 00 01 61 00 00',
    '30 ff ff ff ff 01',
    '30 02 00 09',
    '60 02 00 01',
    'f0 00',
    '40 02 00 01',
    '82 02 00 01',
  ]
  const peer = await start('sink')
  const keep = await dial(peer.port)
  for (const text of bad) {
    const { socket, closed } = await dial(peer.port)
    socket.write(Buffer.concat([connectPacket(4), hex(text)]))
    socket.resume()
    await closed
  }
  keep.socket.destroy()
  assert.equal((await peer.ended).violations, bad.length)
})

test('many: it answers, sleeps, and ends with the last connection', async () => {
  const peer = await start('many')
  const all = await Promise.all(Array.from({ length: 200 }, () => dial(peer.port)))
  await Promise.all(
    all.map(({ socket, read }) => {
      socket.write(connectPacket(4))
      return read(4)
    }),
  )
  for (const { socket } of all) socket.destroy()
  assert.equal((await peer.ended).connections, 200)
})

// Publishes `count` messages, QoS 0, as fast as a broker takes them, and the one that ends a receiving run: what the
// peer's source does, for a client that is behind a broker.

import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { encodeConnect, encodePublish, encodeRing, endTopic, payloadOf } from '../packets.mjs'
import { settings } from './settings.mjs'

const PIECE = 500

const { port, count } = settings
const version = settings.version === '5' ? 5 : 4
const payload = payloadOf(settings.payload)
const ring = encodeRing({ version, topics: 1, qos: 0, payload, count: PIECE })
const size = ring.length / PIECE

function* pieces() {
  yield encodeConnect(version, 'source')
  for (let left = count; left > 0; left -= PIECE) yield ring.subarray(0, size * Math.min(PIECE, left))
  yield encodePublish({ version, topic: endTopic, qos: 0, payload: payloadOf(1) })
  yield Buffer.from([0xe0, 0])
}

const socket = connect({ host: '127.0.0.1', port, noDelay: true })
Readable.from(pieces()).pipe(socket)

// The few packets that the harness encodes itself: for the raw clients, which must move the same bytes as a real
// client would, and for checking the peer. Topics and payloads are the ones that the peer's source sends.

/** The peer's source publishes here, once, when everything before has been sent and acknowledged. */
export const endTopic = 'bench/end'
/** What receivers subscribe to: one wildcard filter that matches all topics of a run and `endTopic`. */
export const filter = 'bench/#'

/** `topics` different topics of 27 bytes. */
export const topicNames = (topics) =>
  Array.from({ length: topics }, (_, i) => `bench/device-${String(i).padStart(4, '0')}/telemetry`)

/** a, b, c … as the peer's source sends it. */
export const payloadOf = (bytes) => Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => 97 + (i % 26)))

const encodeLength = (length) => {
  const bytes = []
  do {
    bytes.push((length & 127) | (length > 127 ? 128 : 0))
    length >>= 7
  } while (length > 0)
  return bytes
}

const string = (text) =>
  Buffer.concat([Buffer.from([text.length >> 8, text.length & 255]), Buffer.from(text)])

export const encodeConnect = (version, clientId) => {
  const head = [0, 4, 77, 81, 84, 84, version, 2, 0, 60, ...(version === 5 ? [0] : [])]
  const body = Buffer.concat([Buffer.from(head), string(clientId)])
  return Buffer.concat([Buffer.from([0x10, ...encodeLength(body.length)]), body])
}

export const encodeSubscribe = (version, id, topicFilter, qos) => {
  const head = [id >> 8, id & 255, ...(version === 5 ? [0] : [])]
  const body = Buffer.concat([Buffer.from(head), string(topicFilter), Buffer.from([qos])])
  return Buffer.concat([Buffer.from([0x82, ...encodeLength(body.length)]), body])
}

export const encodePublish = ({ version, topic, qos, id = 0, payload }) => {
  const tail = [...(qos > 0 ? [id >> 8, id & 255] : []), ...(version === 5 ? [0] : [])]
  const body = Buffer.concat([string(topic), Buffer.from(tail), payload])
  return Buffer.concat([Buffer.from([0x30 | (qos << 1), ...encodeLength(body.length)]), body])
}

/** Acknowledgements of four bytes with the ids 1 to `count`, twice over, so that any `count` of them are in one piece. */
export const encodeAcknowledgements = (first, count) => {
  const bytes = Buffer.alloc(8 * count)
  for (let i = 0; i < 2 * count; i++) {
    bytes[4 * i] = first
    bytes[4 * i + 1] = 2
    bytes.writeUInt16BE((i % count) + 1, 4 * i + 2)
  }
  return bytes
}

/** `count` PUBLISH in one piece, topics in rotation, with the ids 1 to `count` for QoS 1 and 2. */
export const encodeRing = ({ version, topics, qos, payload, count }) => {
  const names = topicNames(topics)
  return Buffer.concat(
    Array.from({ length: count }, (_, i) =>
      encodePublish({ version, topic: names[i % topics], qos, id: i + 1, payload }),
    ),
  )
}

/**
 * PUBLISH, 3.3: the hot path in both directions.
 *
 * Out: the length first, one reservation, then unchecked writes; no object between a publish and its bytes.
 * In: one object per message, which is also what the user's handler gets; its payload is a view, made when
 * it is first read.
 */

import {
  MAXIMUM_REMAINING_LENGTH,
  variableByteIntegerLength,
  writeVariableByteInteger,
} from '../bytes/data-types.ts'
import { malformed, UsageError, violation } from '../errors.ts'
import type { OutputBuffer } from '../bytes/output-buffer.ts'
import type { PacketReader } from '../bytes/packet-reader.ts'
import { writeUtf8 } from '../bytes/utf8.ts'
import { propertiesLength, readProperties, writeProperties } from './properties.ts'
import type { Properties } from './types.ts'
import type { ReceivedTopic, ReceivedTopics } from './received-topics.ts'
import type { PublishPacket, QoS } from './types.ts'

/** Stands for "this version has no property field". */
export const NO_PROPERTIES = -1

/** Payloads that were lent and are at least this large are not copied: below, a chunk of its own costs more than a copy. */
const LARGE_PAYLOAD = 65_536

/** Payloads of QoS 0, of which no copy is kept, may lie in two pieces of memory from this size on. */
const DIVIDED_PAYLOAD = 4_096

// As a method it would be looked up at each call, also in optimized code.
const { set } = Uint8Array.prototype as { set: (this: Uint8Array, bytes: Uint8Array, at: number) => void }

export const DUP_FLAG = 0x08
export const RETAIN_FLAG = 0x01

/** A payload of up to this size fits into any packet that has no properties: a topic takes 65,537 bytes at most. */
export const ALWAYS_FITS: number = MAXIMUM_REMAINING_LENGTH - 65_540

/** The length behind the fixed header. `topicSize` includes the topic's own length field. @throws UsageError */
export function publishLength(
  topicSize: number,
  qos: number,
  propertiesSize: number,
  payloadSize: number,
): number {
  let length = topicSize + payloadSize
  if (qos > 0) length += 2
  if (propertiesSize >= 0) length += variableByteIntegerLength(propertiesSize) + propertiesSize
  if (length > MAXIMUM_REMAINING_LENGTH) {
    throw new UsageError(
      'invalid-payload',
      'payload',
      `expected a packet of at most ${MAXIMUM_REMAINING_LENGTH} bytes, got ${length}`,
    )
  }
  return length
}

/** The bytes that properties take in this version. */
export function publishPropertiesSize(properties: Properties | undefined, version5: boolean): number {
  if (!version5) return NO_PROPERTIES
  return properties === undefined ? 0 : propertiesLength(properties)
}

/**
 * @param flags the low four bits of the first byte
 * @param topic the topic's bytes behind its own length field
 * @param lent whether the payload may be sent without a copy
 * @throws UsageError for what no packet can carry
 */
export function encodePublish(
  out: OutputBuffer,
  flags: number,
  topic: Uint8Array,
  packetId: number,
  propertiesSize: number,
  properties: Properties | undefined,
  payload: Uint8Array | string,
  payloadSize: number,
  lent: boolean,
): void {
  const length = publishLength(topic.length, flags & 0x06, propertiesSize, payloadSize)
  const isLent = lent && payloadSize >= LARGE_PAYLOAD
  const isDivided = payloadSize >= DIVIDED_PAYLOAD && (flags & 0x06) === 0 && out.divides
  const isApart = (isLent || isDivided) && typeof payload !== 'string'
  const size = 1 + variableByteIntegerLength(length) + (isApart ? length - payloadSize : length)
  let at = out.reserve(size)
  const bytes = out.bytes
  bytes[at++] = 0x30 | flags
  if (length < 0x80) bytes[at++] = length
  else at = writeVariableByteInteger(bytes, at, length)
  set.call(bytes, topic, at)
  at += topic.length
  if (flags & 0x06) {
    bytes[at] = packetId >>> 8
    bytes[at + 1] = packetId & 0xff
    at += 2
  }
  if (propertiesSize === 0) bytes[at++] = 0
  else if (propertiesSize > 0) at = writeProperties(bytes, at, properties, propertiesSize)
  if (typeof payload === 'string') {
    writeUtf8(bytes, at, payload, payloadSize)
    out.position = at + payloadSize
  } else if (isApart) {
    out.position = at
    if (isLent) out.append(payload)
    else out.fill(payload)
  } else {
    set.call(bytes, payload, at)
    out.position = at + payloadSize
  }
}

/**
 * A PUBLISH as it came, and the Message that a handler gets. There may be ten million a second: it has few fields, and
 * tells the rest from them.
 */
export class IncomingMessage implements PublishPacket {
  readonly packetId: number
  readonly properties: Properties | undefined

  // For the machine: the topic's entry; the memory, and the bytes of it that are the payload; its place in the line of
  // PUBACKs or PUBRECs, which is the number of the exchange at QoS 2.
  name: ReceivedTopic
  buffer: ArrayBufferLike
  start: number
  end: number
  place = 0
  /** Set by the client when the handler has to acknowledge. */
  acknowledger: ((reasonCode: number) => void) | undefined = undefined

  readonly #flags: number
  #payload: Uint8Array<ArrayBuffer> | undefined = undefined

  /** @param flags the low four bits of the first byte */
  constructor(
    name: ReceivedTopic,
    flags: number,
    packetId: number,
    properties: Properties | undefined,
    buffer: ArrayBufferLike,
    start: number,
    end: number,
  ) {
    this.name = name
    this.#flags = flags
    this.packetId = packetId
    this.properties = properties
    this.buffer = buffer
    this.start = start
    this.end = end
  }

  get type(): 'publish' {
    return 'publish'
  }

  get topic(): string {
    return this.name.text
  }

  get qos(): QoS {
    return ((this.#flags >> 1) & 3) as QoS
  }

  get retain(): boolean {
    return (this.#flags & RETAIN_FLAG) !== 0
  }

  get dup(): boolean {
    return (this.#flags & DUP_FLAG) !== 0
  }

  /** No memory here is shared with other threads: so it is what `Blob` and Web Crypto take. */
  get payload(): Uint8Array<ArrayBuffer> {
    return (this.#payload ??= new Uint8Array(this.buffer as ArrayBuffer, this.start, this.end - this.start))
  }

  /** The payload as UTF-8 text; ill-formed bytes become U+FFFD. */
  text(): string {
    return decoder.decode(this.payload)
  }

  /** The payload parsed as JSON. @throws SyntaxError when it is none */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T
  }

  /** Acknowledges a message of a subscription with `ack: 'manual'`; harmless otherwise and when repeated. */
  ack(reasonCode = 0): void {
    this.acknowledger?.(reasonCode)
  }

  /** The payload lies elsewhere now. */
  move(buffer: ArrayBufferLike, by: number): void {
    this.buffer = buffer
    this.start -= by
    this.end -= by
    this.#payload = undefined
  }

  /** Copies the payload when its memory is much larger, so that a message that waits does not pin it. */
  detach(): void {
    const { byteLength } = this.buffer
    if (byteLength <= 1_024 || byteLength < 4 * (this.end - this.start)) return
    this.move(this.payload.slice().buffer, this.start)
  }
}

const decoder = new TextDecoder('utf-8', { fatal: false, ignoreBOM: true })

/**
 * @param topics remembers recent topics; an empty topic (5, with a Topic Alias) gives its empty entry
 * @throws ProtocolError [3.1.1 MQTT-3.3.1-4, 2.3.1-1, 3.3.2-2] [5 MQTT-3.3.1-4, 2.2.1-4, 3.3.2-2]
 */
export function decodePublish(
  reader: PacketReader,
  flags: number,
  version5: boolean,
  topics: ReceivedTopics,
): IncomingMessage {
  const qos = flags & 0x06
  if (qos === 0x06) throw malformed('a PUBLISH has QoS 3')
  if (qos === 0 && flags & DUP_FLAG)
    // [3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2]
    throw malformed('a PUBLISH of QoS 0 has DUP 1')
  const topicLength = reader.twoBytes()
  const topicStart = reader.position
  if (topicStart + topicLength > reader.end) {
    throw malformed(`a PUBLISH ends within its topic of ${topicLength} bytes`)
  }
  const name = topics.read(reader.bytes, topicStart, topicLength)
  reader.position = topicStart + topicLength
  let packetId = 0
  if (qos > 0) {
    packetId = reader.twoBytes()
    if (packetId === 0) throw malformed('a PUBLISH of QoS 1 or 2 has the packet identifier 0')
  }
  const properties = version5 ? readPublishProperties(reader) : undefined
  if (topicLength === 0 && properties?.topicAlias === undefined) {
    // [3.1.1 MQTT-4.7.3-1]
    throw version5
      ? violation('a PUBLISH has neither a topic nor a Topic Alias')
      : malformed('a PUBLISH has an empty topic')
  }
  const { buffer, offset, position, end } = reader
  return new IncomingMessage(name, flags, packetId, properties, buffer, offset + position, offset + end)
}

function readPublishProperties(reader: PacketReader): Properties | undefined {
  if (reader.remaining > 0 && reader.bytes[reader.position] === 0) {
    reader.position += 1
    return undefined
  }
  const properties = readProperties(reader, 'publish')
  const responseTopic = properties?.responseTopic
  if (responseTopic !== undefined && /[+#]|^$/.test(responseTopic)) {
    // [5 MQTT-3.3.2-14]
    throw violation('the Response Topic of a PUBLISH is empty or has a wildcard')
  }
  return properties
}

/** Reads a journal back into a session: the records of `journal.ts`, in the order in which they were stored. */

import { MqttError } from '../errors.ts'
import { PacketReader } from '../bytes/packet-reader.ts'
import { readProperties } from '../packets/properties.ts'
import type { QoS } from '../packets/types.ts'
import { encodeTopicName } from '../topics/topic-names.ts'
import { Delivery } from './deliveries.ts'
import { RECORD } from './journal.ts'
import { Session, STORED } from './session.ts'

/**
 * @param batches what a store has kept, in order
 * @param clockOffset wall-clock time minus monotonic time, as given to the journal
 * @throws MqttError `store-damaged` when a batch that the store calls whole cannot be read
 */
export function restoreSession(batches: Iterable<Uint8Array>, clockOffset: number): Session {
  const restoration = new Restoration(clockOffset)
  const reader = new PacketReader()
  for (const batch of batches) {
    reader.open(batch, 0, batch.length)
    try {
      while (reader.remaining > 0) restoration.read(reader)
    } catch (error) {
      throw new MqttError('store-damaged', 'a record of the session cannot be read', error)
    }
  }
  return restoration.session()
}

class Restoration {
  readonly #clockOffset: number
  #clientId = ''
  #established = false
  #writer = 0
  /** In the order of their records, in which they stand in the lists. */
  #deliveries = new Map<number, Delivery>()
  #released = new Set<Delivery>()
  #received = new Set<number>()
  #reserved = new Set<number>()

  constructor(clockOffset: number) {
    this.#clockOffset = clockOffset
  }

  read(reader: PacketReader): void {
    const type = reader.byte()
    switch (type) {
      case RECORD.queued:
        return this.#queued(reader)
      case RECORD.bound:
        return this.#bound(readFloat(reader), reader.twoBytes())
      case RECORD.released: {
        const delivery = this.#deliveries.get(readFloat(reader))
        if (delivery !== undefined) this.#released.add(delivery)
        return
      }
      case RECORD.settled: {
        const key = readFloat(reader)
        const delivery = this.#deliveries.get(key)
        if (delivery !== undefined) this.#released.delete(delivery)
        this.#deliveries.delete(key)
        return
      }
      case RECORD.received: {
        const packetId = reader.twoBytes()
        if (reader.byte() === 1) this.#received.add(packetId)
        else this.#received.delete(packetId)
        return
      }
      case RECORD.reserved:
        this.#reserved.add(reader.twoBytes())
        return
      case RECORD.session:
        this.#clientId = reader.string()
        this.#established = reader.byte() === 1
        this.#writer = readFloat(reader)
        return
      default:
        throw new MqttError('store-damaged', `the record type ${type} is unknown`)
    }
  }

  session(): Session {
    const session = new Session()
    session.clientId = this.#clientId
    session.established = this.#established
    session.writer = this.#writer
    for (const packetId of this.#received) session.received.begin(packetId, -session.pubrecs.arrive())
    for (const packetId of this.#reserved) session.reserve(packetId)
    for (const delivery of this.#released) {
      delivery.state = 'released'
      session.restore(delivery)
    }
    for (const delivery of this.#deliveries.values()) {
      if (delivery.state !== 'released') session.restore(delivery)
    }
    // The process may have died between CONNECT and CONNACK.
    session.asked = true
    return session
  }

  #queued(reader: PacketReader): void {
    const key = readFloat(reader)
    const createdAt = readFloat(reader) - this.#clockOffset
    const flags = reader.byte()
    const name = encodeTopicName(reader.string())
    const properties = readProperties(reader, 'publish')
    const payloadSize = reader.fourBytes()
    const payloadEnd = reader.position + payloadSize
    const end = reader.end
    if (payloadEnd > end) throw new MqttError('store-damaged', 'a message is cut off')
    reader.end = payloadEnd
    const payload = reader.rest()
    reader.end = end
    const delivery = Delivery.of(
      {
        name,
        payload,
        payloadSize,
        qos: (flags & 3) as QoS,
        retain: (flags & 4) !== 0,
        properties,
        lent: false,
      },
      createdAt,
    )
    delivery.key = key
    delivery.queuedAt = STORED
    this.#deliveries.set(key, delivery)
  }

  #bound(key: number, packetId: number): void {
    const delivery = this.#deliveries.get(key)
    if (delivery === undefined) return
    delivery.packetId = packetId
    delivery.state = 'published'
    delivery.attempts = 1
  }
}

function readFloat(reader: PacketReader): number {
  const view = new DataView(reader.bytes.buffer, reader.bytes.byteOffset, reader.bytes.byteLength)
  const value = view.getFloat64(reader.position)
  reader.fourBytes()
  reader.fourBytes()
  return value
}

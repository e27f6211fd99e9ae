/**
 * Every packet that comes to a connection is found, counted, decoded and checked here, one at a time: the counterpart
 * of `packet-writer.ts`.
 */

import { NO_BYTES } from '../bytes/data-types.ts'
import { Framer } from '../bytes/framer.ts'
import { PacketReader } from '../bytes/packet-reader.ts'
import { type Codec, headerFault } from '../packets/codec.ts'
import { decodePublish, type IncomingMessage } from '../packets/publish.ts'
import type { ReceivedTopics } from '../packets/received-topics.ts'
import type { ConnectPacket, ControlPacket, DisconnectPacket, PublishPacket } from '../packets/types.ts'
import { arrivalFault, type ConnectionState, wordsFault } from './legal-packets.ts'
import type { Traffic } from './traffic.ts'

/** A packet as a connection handles it: a PUBLISH is a message already. */
export type ReceivedPacket = IncomingMessage | Exclude<ControlPacket, PublishPacket>

export class PacketSource {
  /** Told of every packet, when somebody watches. */
  watcher: ((packet: ControlPacket) => void) | undefined = undefined
  /** An acknowledgement has come: more may stand behind it, until `AckRun` finds something else. */
  inRun = false

  readonly #codec: Codec
  readonly #connect: ConnectPacket
  readonly #topics: ReceivedTopics
  readonly #traffic: Traffic
  readonly #framer: Framer
  readonly #reader = new PacketReader()

  constructor(
    codec: Codec,
    options: {
      readonly connect: ConnectPacket
      readonly maximumPacketSize: number
      readonly topics: ReceivedTopics
      readonly traffic: Traffic
      readonly copy?: ((bytes: Uint8Array) => Uint8Array) | undefined
    },
  ) {
    this.#codec = codec
    this.#connect = options.connect
    this.#topics = options.topics
    this.#traffic = options.traffic
    this.#framer = new Framer(options.maximumPacketSize, codec.hasProperties, options.copy)
  }

  push(chunk: Uint8Array, kept: boolean): void {
    this.#traffic.bytesIn += chunk.length
    this.#framer.push(chunk, kept)
  }

  /** The next packet, undefined when more bytes are needed. @throws ProtocolError for one that may not come */
  next(state: ConnectionState): ReceivedPacket | undefined {
    const framer = this.#framer
    if (!framer.next()) {
      this.#topics.release()
      return undefined
    }
    const { header } = framer
    const type = header >> 4
    const { packetsIn } = this.#traffic
    packetsIn[type] = (packetsIn[type] as number) + 1
    const reader = this.#reader.open(framer.bytes, framer.start, framer.end)
    if (type === 3) return this.#message(reader, header & 0x0f, state)
    this.inRun = type > 3 && type < 8
    return this.#control(reader, header, state)
  }

  /** DISCONNECT, if there is one in what was not read: a stream may end before that has had its turn. */
  lastWords(state: ConnectionState): DisconnectPacket | undefined {
    try {
      for (let packet = this.next(state); packet !== undefined; packet = this.next(state))
        if (packet.type === 'disconnect') return packet
    } catch {
      // What is broken says nothing.
    }
    return undefined
  }

  /** What may be read without `next`, from `position` on: nothing when somebody watches. */
  get unread(): Uint8Array {
    return this.watcher === undefined ? this.#framer.unread : NO_BYTES
  }

  get position(): number {
    return this.#framer.position
  }

  /** So many packets that begin with `header`, up to this position, were read. */
  skip(position: number, header: number, count: number): void {
    const { packetsIn } = this.#traffic
    const type = header >> 4
    packetsIn[type] = (packetsIn[type] as number) + count
    this.#framer.skip(position)
  }

  /** Makes the present packet's chunk ours, for a message that outlives it. */
  keep(message: IncomingMessage): void {
    // One that was kept before lies in memory of its own.
    if (this.#framer.kept || message.buffer !== this.#reader.buffer) return
    const moved = this.#framer.keep()
    message.move(this.#framer.bytes.buffer, moved)
  }

  /** Makes what has not been decoded ours, for a stop in the middle of a chunk. */
  keepRest(): void {
    this.#framer.keepRest()
  }

  #message(reader: PacketReader, flags: number, state: ConnectionState): IncomingMessage {
    if (state !== 'connected') throw arrivalFault('publish', state)
    const message = decodePublish(reader, flags, this.#codec.hasProperties, this.#topics)
    if (this.watcher !== undefined) {
      this.keep(message)
      this.watcher(message)
    }
    return message
  }

  #control(
    reader: PacketReader,
    header: number,
    state: ConnectionState,
  ): Exclude<ControlPacket, PublishPacket> {
    const misformed = headerFault(header, this.#codec.decode)
    if (misformed !== undefined) throw misformed
    const packet = this.#codec.decode[header >> 4]?.(reader) as Exclude<ControlPacket, PublishPacket>
    const fault = arrivalFault(packet.type, state) ?? wordsFault(packet, this.#connect.properties)
    if (fault !== undefined) throw fault
    this.watcher?.(packet)
    return packet
  }
}

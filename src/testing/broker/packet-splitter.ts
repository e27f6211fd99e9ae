/** Bytes in any split go in, whole packets come out. Plain, and on purpose not the client's framer. */

import { malformed, ProtocolError } from '../../core/errors.ts'

export interface SplitPacket {
  /** Type and flags. */
  readonly header: number
  readonly body: Uint8Array
  /** Fixed header included. */
  readonly size: number
}

export class PacketSplitter {
  maximumPacketSize: number = Infinity
  /** Whether a Remaining Length in a longer form than needed is malformed [5 MQTT-1.5.5-1]. */
  shortestForm = false

  /** What was handed out is never written to again. */
  #buffer: Uint8Array = new Uint8Array(0)
  #position = 0
  #end = 0

  get waiting(): number {
    return this.#end - this.#position
  }

  /** The bytes are copied. */
  push(chunk: Uint8Array): void {
    if (this.#end + chunk.length > this.#buffer.length) {
      const waiting = this.#buffer.subarray(this.#position, this.#end)
      // A packet in many pieces: room to grow, so that it is not copied once for each.
      const room = waiting.length > 0 ? waiting.length + chunk.length : 0
      this.#buffer = new Uint8Array(waiting.length + chunk.length + room)
      this.#buffer.set(waiting)
      this.#position = 0
      this.#end = waiting.length
    }
    this.#buffer.set(chunk, this.#end)
    this.#end += chunk.length
  }

  /** @throws ProtocolError */
  next(): SplitPacket | undefined {
    const bytes = this.#buffer.subarray(0, this.#end)
    const start = this.#position
    let length = 0
    for (let index = 1; index <= 4; index++) {
      const byte = bytes[start + index]
      if (byte === undefined) return undefined
      length += (byte & 0x7f) * 128 ** (index - 1)
      if (byte >= 0x80) continue
      if (byte === 0 && index > 1 && this.shortestForm) {
        throw malformed('the Remaining Length is not in its shortest form')
      }
      return this.#take(bytes, start, 1 + index, length)
    }
    throw malformed('the Remaining Length is longer than four bytes')
  }

  #take(bytes: Uint8Array, start: number, headerSize: number, length: number): SplitPacket | undefined {
    const size = headerSize + length
    if (size > this.maximumPacketSize) {
      const text = `a packet of ${size} bytes came, at most ${this.maximumPacketSize} are accepted`
      throw new ProtocolError('packet-too-large', 0x95, text)
    }
    if (bytes.length - start < size) return undefined
    this.#position = start + size
    return { header: bytes[start] as number, body: bytes.subarray(start + headerSize, start + size), size }
  }
}

/**
 * A cursor over the body of one packet.
 *
 * It throws at the first byte that is missing. Sentinels such as -1 were rejected: one peer reports a
 * truncated PUBACK as a valid one with the id -1, because its caller tested for null.
 *
 * One reader serves all packets of a connection. Never combine `+=` with a call that moves the cursor: the
 * left side is read first.
 */

import { malformed } from '../errors.ts'
import { NO_BYTES } from './data-types.ts'
import { readUtf8 } from './utf8.ts'

export class PacketReader {
  bytes: Uint8Array = NO_BYTES
  /** The memory that `bytes` are a view of, from the byte `offset`: asking a view for it costs as much as making one. */
  buffer: ArrayBufferLike = NO_BYTES.buffer
  offset = 0
  position = 0
  end = 0

  /** Points the cursor at a packet's body. */
  open(bytes: Uint8Array, start: number, end: number): this {
    if (bytes !== this.bytes) {
      this.bytes = bytes
      this.buffer = bytes.buffer
      this.offset = bytes.byteOffset
    }
    this.position = start
    this.end = end
    return this
  }

  get remaining(): number {
    return this.end - this.position
  }

  byte(): number {
    this.#need(1)
    return this.bytes[this.position++] as number
  }

  twoBytes(): number {
    this.#need(2)
    const { bytes, position } = this
    this.position = position + 2
    return ((bytes[position] as number) << 8) | (bytes[position + 1] as number)
  }

  fourBytes(): number {
    this.#need(4)
    const { bytes, position } = this
    this.position = position + 4
    return (
      (bytes[position] as number) * 0x1000000 +
      (((bytes[position + 1] as number) << 16) |
        ((bytes[position + 2] as number) << 8) |
        (bytes[position + 3] as number))
    )
  }

  /** A variable byte integer in its shortest form, 1.5.5 [5 MQTT-1.5.5-1]. */
  variableByteInteger(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw malformed('a variable byte integer is not in its shortest form')
        return value
      }
    }
    throw malformed('a variable byte integer is longer than four bytes')
  }

  string(): string {
    const length = this.twoBytes()
    this.#need(length)
    const start = this.position
    this.position = start + length
    return readUtf8(this.bytes, start, this.position)
  }

  /** A view of binary data; valid as long as the packet's bytes are. */
  binary(): Uint8Array {
    const length = this.twoBytes()
    this.#need(length)
    const start = this.position
    this.position = start + length
    return this.bytes.subarray(start, this.position)
  }

  /** All that remains, as a view. */
  rest(): Uint8Array {
    const start = this.position
    this.position = this.end
    return this.bytes.subarray(start, this.end)
  }

  /** Every packet ends where its fields end. */
  finish(): void {
    if (this.position !== this.end) {
      throw malformed(`${this.remaining} bytes are left over at the end of the packet`)
    }
  }

  #need(count: number): void {
    if (this.position + count > this.end) {
      throw malformed(`the packet ends where ${count} more bytes were expected, ${this.remaining} are there`)
    }
  }
}

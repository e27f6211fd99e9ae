/**
 * UTF-8 as MQTT wants it (3.1.1: 1.5.3, 5: 1.5.4): no surrogates, no U+0000, a leading U+FEFF is kept.
 *
 * Short ASCII strings, which nearly all are, are written by a loop: a call of the encoder costs more than
 * thirty of its turns. Longer ones go through the platform's encoder.
 */

import { malformed } from '../errors.ts'

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Longer ASCII strings than this go to the platform's encoder, which is then the faster of the two. */
const LOOP_LIMIT = 48

/** The number of bytes that `text` takes; a lone surrogate counts three, as the encoder would write it. */
export function utf8Length(text: string): number {
  let length = text.length
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit < 0x80) continue
    if (unit < 0x800) length += 1
    else if (unit < 0xd800 || unit > 0xdbff) length += 2
    else if (isLowSurrogate(text.charCodeAt(index + 1))) {
      length += 2
      index += 1
    } else length += 2
  }
  return length
}

/** Why `text` may not stand in a packet, or undefined: lone surrogates, U+0000, more than 65,535 bytes. */
export function utf8Fault(text: string): string | undefined {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    if (unit === 0) return `has the character U+0000 at index ${index}`
    if (unit < 0xd800 || unit > 0xdfff) continue
    if (unit > 0xdbff || !isLowSurrogate(text.charCodeAt(index + 1))) {
      return `has a lone surrogate at index ${index}`
    }
    index += 1
  }
  if (text.length > 21_845 && utf8Length(text) > 65_535) return 'is longer than 65,535 bytes in UTF-8'
  return undefined
}

/** Writes `text`, whose encoded length is known, at `position`. */
export function writeUtf8(target: Uint8Array, position: number, text: string, length: number): void {
  if (length === text.length && length <= LOOP_LIMIT) {
    for (let index = 0; index < length; index++) target[position + index] = text.charCodeAt(index)
    return
  }
  encoder.encodeInto(text, target.subarray(position, position + length))
}

/** The bytes of `text`, for strings that are encoded once and kept. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/**
 * The string in `bytes` from `start` to `end`.
 *
 * @throws ProtocolError 0x81 when it is ill-formed or holds U+0000 [3.1.1 MQTT-1.5.3-1, -2] [5 MQTT-1.5.4-1, -2]
 */
export function readUtf8(bytes: Uint8Array, start: number, end: number): string {
  for (let index = start; index < end; index++) {
    if (bytes[index] === 0) throw malformed(`a string has the character U+0000 at byte ${index - start}`)
  }
  try {
    return decoder.decode(bytes.subarray(start, end))
  } catch {
    throw malformed(`a string of ${end - start} bytes is not well-formed UTF-8`)
  }
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}

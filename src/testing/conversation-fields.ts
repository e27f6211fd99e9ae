/** Packets made of the fields that matter, compared field by field, and told in words. */

import { encodeUtf8 } from '../core/bytes/utf8.ts'
import type { ControlPacket, PacketType } from '../core/packets/types.ts'

/** The fields that matter; a string stands for the bytes of its UTF-8 where bytes are expected. */
export interface Fields {
  readonly [field: string]: unknown
}

/** Where `actual` is not as expected, in words; fields that are not expected may be anything. */
export function difference(expected: unknown, actual: unknown, path = ''): string | undefined {
  const wanted =
    actual instanceof Uint8Array && typeof expected === 'string' ? encodeUtf8(expected) : expected
  if (Object.is(wanted, actual)) return undefined
  if (typeof wanted !== 'object' || wanted === null || typeof actual !== 'object' || actual === null) {
    return told(path, wanted, actual)
  }
  if (Array.isArray(wanted) || wanted instanceof Uint8Array) {
    const length = (actual as { readonly length?: number }).length
    if (length !== wanted.length) return told(path, wanted, actual)
  }
  for (const [field, value] of Object.entries(wanted)) {
    const found = difference(value, (actual as Fields)[field], path === '' ? field : `${path}.${field}`)
    if (found !== undefined) return found
  }
  return undefined
}

/** `PUBLISH { topic: "a", … }` */
export function describePacket({ type, ...fields }: ControlPacket): string {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined)
  return `${type.toUpperCase()} { ${present.map(([field, value]) => `${field}: ${show(value)}`).join(', ')} }`
}

function told(path: string, expected: unknown, actual: unknown): string {
  return `expected ${path === '' ? '' : `${path} `}${show(expected)}, got ${show(actual)}`
}

function show(value: unknown): string {
  if (!(value instanceof Uint8Array)) return JSON.stringify(value) ?? String(value)
  return value.length > 32 ? `${value.length} bytes` : JSON.stringify(new TextDecoder().decode(value))
}

/** What a server's packet says when the conversation does not. */
const DEFAULTS: { readonly [Type in PacketType]?: Fields } = {
  connack: { sessionPresent: false, reasonCode: 0 },
  publish: { topic: 'a', payload: encodeUtf8('x'), qos: 0, retain: false, dup: false, packetId: 0 },
  puback: { reasonCode: 0 },
  pubrec: { reasonCode: 0 },
  pubrel: { reasonCode: 0 },
  pubcomp: { reasonCode: 0 },
  suback: { reasonCodes: [0] },
  unsuback: { reasonCodes: [0] },
  disconnect: { reasonCode: 0 },
  auth: { reasonCode: 0x18 },
}

/** A packet of the server with these fields, and the usual ones where none are given. */
export function serverPacket(type: PacketType, fields: Fields): ControlPacket {
  const { payload } = fields
  const bytes = typeof payload === 'string' ? { payload: encodeUtf8(payload) } : {}
  return { type, ...DEFAULTS[type], ...fields, ...bytes } as ControlPacket
}

/** Bytes in hexadecimal, with or without spaces. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replaceAll(' ', '')
  return Uint8Array.from({ length: digits.length / 2 }, (_, index) =>
    Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16),
  )
}

/**
 * The bytes of the file store: segments of a log.
 *
 *   segment    header record*
 *   header     magic 8 | version 4 | sequence 4 | first 4 | previous length 4 | zero 4 | checksum 4
 *   record     length 4 | checksum 4 | that many bytes: one batch
 *
 * All numbers are unsigned and big-endian; checksums are CRC-32, of a header over what stands before it, of a
 * record over its length and its bytes (so that zeroed bytes are no record). Magic and version stay where they
 * are in all versions to come.
 *
 * The newest segment says with which one the log begins (`first`), so `replace` is one renamed file and older
 * segments are waste from then on. Each segment says where its predecessor ended, so that an earlier segment
 * which lost records at its end is noticed and not taken for a shorter one.
 */
import * as zlib from 'node:zlib'
import { MqttError } from '../core/errors.ts'

export interface SegmentHeader {
  /** The number in the file's name. */
  readonly sequence: number
  /** The number of the segment with which the log begins; its own after a `replace`. */
  readonly first: number
  /** Where the predecessor ended; 0 for the first. */
  readonly previousLength: number
}

/** What a segment's bytes hold, up to the first that cannot be trusted. */
export interface SegmentContent {
  readonly batches: readonly Uint8Array[]
  /** Where the last whole record ends. */
  readonly end: number
  /** Why the reading ended before the bytes did. */
  readonly damage: string | undefined
}

export const HEADER_BYTES = 32
export const MAX_BATCH_BYTES: number = 2 ** 31
const RECORD_HEADER_BYTES = 8
const VERSION = 1
// As in PNG: a byte that is no text, both line ends and an end of file show a file that was "converted".
const MAGIC = Uint8Array.of(0x89, 0x50, 0x45, 0x54, 0x0d, 0x0a, 0x1a, 0x0a)
const NAME = /^segment-(\d{8,10})\.log$/
const UNFINISHED = /^segment-\d{8,10}\.new$/

const LOOK = 'Put a copy of the folder in its place, or move it away to begin a new session.'

export function segmentName(sequence: number): string {
  return `segment-${String(sequence).padStart(8, '0')}.log`
}

export function unfinishedName(sequence: number): string {
  return `segment-${String(sequence).padStart(8, '0')}.new`
}

/** The number of the segment that has this name; undefined for other files. */
export function sequenceOf(name: string): number | undefined {
  const sequence = Number(NAME.exec(name)?.[1])
  return segmentName(sequence) === name ? sequence : undefined
}

/** A segment that was being made when the process ended: it never took effect. */
export function isUnfinished(name: string): boolean {
  return UNFINISHED.test(name)
}

export function encodeHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  bytes.set(MAGIC)
  view.setUint32(8, VERSION)
  view.setUint32(12, header.sequence)
  view.setUint32(16, header.first)
  view.setUint32(20, header.previousLength)
  view.setUint32(28, crc32(bytes.subarray(0, 28)))
  return bytes
}

/** @throws MqttError `store-damaged`, `store-newer` */
export function decodeHeader(bytes: Uint8Array, path: string): SegmentHeader {
  const isOurs = bytes.length >= 12 && MAGIC.every((byte, index) => bytes[index] === byte)
  if (!isOurs) {
    const what = bytes.length < HEADER_BYTES ? `has ${bytes.length} bytes, too few` : 'begins otherwise'
    throw new MqttError(
      'store-damaged',
      `${path} is no segment of a session store: it ${what}. It was left as it is. ${LOOK}`,
    )
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isWhole = bytes.length >= HEADER_BYTES && view.getUint32(28) === crc32(bytes.subarray(0, 28))
  const version = view.getUint32(8)
  if (version > VERSION) {
    throw new MqttError(
      'store-newer',
      `${path} has format version ${version}${isWhole ? '' : ' (or is damaged)'}, this library reads ${VERSION}. ` +
        'It was left as it is. Use the version of the library that wrote it or a later one, ' +
        'or move the folder away to begin a new session.',
    )
  }
  if (!isWhole || version !== VERSION) {
    throw new MqttError('store-damaged', `the header of ${path} is damaged; it was left as it is. ${LOOK}`)
  }
  return { sequence: view.getUint32(12), first: view.getUint32(16), previousLength: view.getUint32(20) }
}

/** The error for a log whose parts do not belong together. */
export function damagedSegment(path: string, reason: string): MqttError {
  return new MqttError('store-damaged', `${path} is damaged: ${reason}. It was left as it is. ${LOOK}`)
}

export function encodeRecord(batch: Uint8Array): Uint8Array {
  const record = new Uint8Array(RECORD_HEADER_BYTES + batch.length)
  const view = new DataView(record.buffer)
  view.setUint32(0, batch.length)
  record.set(batch, RECORD_HEADER_BYTES)
  view.setUint32(4, checksumOf(record, 0, batch.length))
  return record
}

/** Reads the records behind the header; the batches are views. */
export function decodeRecords(bytes: Uint8Array): SegmentContent {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const batches: Uint8Array[] = []
  let position = HEADER_BYTES
  const stop = (damage: string | undefined): SegmentContent => ({ batches, end: position, damage })

  while (position < bytes.length) {
    if (bytes.length - position < RECORD_HEADER_BYTES) {
      return stop(`the file ends within a record's header at byte ${position}`)
    }
    const length = view.getUint32(position)
    const start = position + RECORD_HEADER_BYTES
    if (length > bytes.length - start) {
      return stop(
        `the record at byte ${position} claims ${length} bytes, of which ${bytes.length - start} exist`,
      )
    }
    if (view.getUint32(position + 4) !== checksumOf(bytes, position, length)) {
      return stop(`the checksum of the record at byte ${position} is wrong`)
    }
    batches.push(bytes.subarray(start, start + length))
    position = start + length
  }
  return stop(undefined)
}

function checksumOf(bytes: Uint8Array, position: number, length: number): number {
  const start = position + RECORD_HEADER_BYTES
  return crc32(bytes.subarray(start, start + length), crc32(bytes.subarray(position, position + 4)))
}

let table: Uint32Array | undefined

/** CRC-32 byte by byte: where the platform's `node:zlib` has none. */
export function crc32ByTable(bytes: Uint8Array, before = 0): number {
  table ??= Uint32Array.from({ length: 256 }, (_, index) => {
    let value = index
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1
    return value
  })
  let crc = ~before
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)
  return ~crc >>> 0
}

const crc32: (bytes: Uint8Array, before?: number) => number =
  typeof zlib.crc32 === 'function' ? zlib.crc32 : crc32ByTable

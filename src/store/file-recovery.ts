/**
 * Reads what a folder holds of a log, and changes nothing.
 *
 * Only the end of the newest segment can be torn by a crash; there the reading ends at the first record that is
 * not whole, and what follows is dropped, because nothing says that it belongs there. All else is on the disk
 * before the next thing builds on it, so damage elsewhere is not the work of a crash: refused, and left alone.
 */
import type { Disk } from './disk.ts'
import { damagedSegment, decodeHeader, decodeRecords, isUnfinished, segmentName } from './file-format.ts'
import { HEADER_BYTES, sequenceOf } from './file-format.ts'

/** What a recovery left out. */
export interface Dropped {
  readonly bytes: number
  readonly reason: string
}

export interface Recovered {
  readonly batches: readonly Uint8Array[]
  readonly dropped: Dropped | undefined
  /** The segment to append to, and where; undefined when the folder holds no log. */
  readonly newest: NewestSegment | undefined
  /** Names of files that play no part any more. */
  readonly waste: readonly string[]
}

export interface NewestSegment {
  readonly sequence: number
  readonly first: number
  readonly end: number
  /** What it holds up to there. */
  readonly bytes: Uint8Array
}

/** @throws MqttError `store-damaged`, `store-newer`, and what the disk throws */
export async function readLog(disk: Disk, folder: string): Promise<Recovered> {
  const names = await disk.list(folder)
  const sequences = names.map(sequenceOf).filter((sequence) => sequence !== undefined)
  const waste = names.filter(isUnfinished)
  if (sequences.length === 0) return { batches: [], dropped: undefined, newest: undefined, waste }

  const newest = await readSegment(disk, folder, Math.max(...sequences))
  const { sequence, first } = newest.header
  for (const older of sequences) if (older < first) waste.push(segmentName(older))

  const earlier: Uint8Array[][] = []
  let next = newest
  while (next.header.sequence > first) {
    const expected = { sequence: next.header.sequence - 1, length: next.header.previousLength }
    const segment = await readEarlier(disk, folder, sequences, expected.sequence, expected.length)
    if (segment.header.first !== first) throw damagedSegment(segment.path, 'it belongs to another log')
    earlier.push(segment.batches)
    next = segment
  }

  const { batches, end, damage } = decodeRecords(newest.bytes)
  const lost = newest.bytes.length - end
  return {
    batches: [...earlier.reverse().flat(), ...batches],
    dropped:
      damage === undefined ? undefined : { bytes: lost, reason: `${segmentName(sequence)}: ${damage}` },
    newest: { sequence, first, end, bytes: newest.bytes.subarray(0, end) },
    waste,
  }
}

interface Segment {
  readonly path: string
  readonly bytes: Uint8Array
  readonly header: { readonly sequence: number; readonly first: number; readonly previousLength: number }
}

async function readSegment(disk: Disk, folder: string, sequence: number): Promise<Segment> {
  const path = `${folder}/${segmentName(sequence)}`
  const bytes = await disk.read(path)
  const header = decodeHeader(bytes, path)
  if (header.sequence !== sequence || header.first > sequence || header.first === 0) {
    throw damagedSegment(
      path,
      `its header is that of segment ${header.sequence} of a log from ${header.first}`,
    )
  }
  return { path, bytes, header }
}

/** A segment that has a successor, which knows its length: every record must be whole. */
async function readEarlier(
  disk: Disk,
  folder: string,
  sequences: readonly number[],
  sequence: number,
  length: number,
): Promise<Segment & { readonly batches: Uint8Array[] }> {
  const path = `${folder}/${segmentName(sequence)}`
  if (!sequences.includes(sequence)) throw damagedSegment(path, 'it is missing')
  const segment = await readSegment(disk, folder, sequence)
  if (segment.bytes.length < length || length < HEADER_BYTES) {
    throw damagedSegment(path, `it has ${segment.bytes.length} bytes, and its successor knows of ${length}`)
  }
  const { batches, damage } = decodeRecords(segment.bytes.subarray(0, length))
  if (damage !== undefined) throw damagedSegment(path, damage)
  return { ...segment, batches: [...batches] }
}

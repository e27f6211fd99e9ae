/**
 * A session in a folder: a log of batches in segments, for Node, Bun and Deno, without native code.
 *
 * Why a log: a session changes thousands of times a second and is read once, so the cheapest durable thing is to
 * append; and a database brings binaries or a newer Node. Why it survives what it promises to survive:
 *
 * - a batch has a length and a checksum, so it is whole or it is not there;
 * - a new segment is written and synced under another name and then renamed, and the folder is synced before
 *   anything relies on the new name: before older segments are unlinked, before a batch is appended;
 * - a segment is synced before its successor exists, whatever the durability, and when it is opened: what has
 *   been read back is durable before the session acts on it;
 * - after a sync that failed, the next one may succeed without having written what the first one had not: all of
 *   the segment is written again before it;
 * - what a failed append left is cut off, and a segment whose making failed is removed, before anything is
 *   appended; as long as that does not work, nothing is.
 *
 * With `'process'`, a loss of power can therefore cost the latest batches, but not the store. A batch whose append
 * rejected is gone, unless the store is closed, or its process ends, before the disk works again: then it may be
 * there, whole.
 */
import { resolve } from 'node:path'
import { MqttError, textOf } from '../core/errors.ts'
import { codeOf, type Disk, type DiskFile } from './disk.ts'
import { decodeRecords, encodeHeader, encodeRecord, HEADER_BYTES, MAX_BATCH_BYTES } from './file-format.ts'
import { type SegmentHeader, segmentName, unfinishedName } from './file-format.ts'
import { checkFileStore } from './file-options.ts'
import { FileLock } from './file-lock.ts'
import { type Dropped, type NewestSegment, readLog } from './file-recovery.ts'
import { nodeDisk } from './node-disk.ts'
import type { SessionStore } from './store.ts'

export interface FileStoreOptions {
  /**
   * What survives once `append` has resolved: `'process'` (the default) a crash of the process, because the
   * system has the bytes; `'power'` also a loss of power, because the disk has them. That costs a sync per batch.
   */
  readonly durability?: 'process' | 'power' | undefined
}

/** A `SessionStore` in a folder. */
export interface FileStore extends SessionStore {
  readonly durability: 'process' | 'power'
  /**
   * What the last `open` could not keep: bytes at the end of the log that are no whole batch. After a crash that
   * is the batch being written, for which nothing had been promised; else the file was damaged from outside.
   */
  readonly dropped: Dropped | undefined
}

export type { Dropped }

const SEGMENT_BYTES = 16 * 1024 * 1024

/**
 * Keeps a session in a folder, which is created when it is missing. One store at a time may have it open.
 * The folder must not be shared by machines, nor by containers.
 */
export function fileStore(path: string, options: FileStoreOptions = {}): FileStore {
  checkFileStore(path, options)
  return fileStoreOn(nodeDisk, resolve(path), options)
}

/** The same on another disk: for the simulator, and for tests that want small segments. */
export function fileStoreOn(
  disk: Disk,
  path: string,
  options: FileStoreOptions & { readonly segmentBytes?: number } = {},
): FileStore {
  const { segmentBytes = SEGMENT_BYTES } = options
  const durability = checkFileStore(path, options)
  return new LogStore(disk, path, durability, segmentBytes)
}

/** The segment that is appended to. */
interface Segment {
  readonly file: DiskFile
  readonly sequence: number
  readonly first: number
  /** Where the last whole batch ends. */
  end: number
}

class LogStore implements FileStore {
  readonly durability: 'process' | 'power'
  readonly #disk: Disk
  readonly #path: string
  readonly #segmentBytes: number
  readonly #lock: FileLock
  #last: Promise<unknown> = Promise.resolve()
  #dropped: Dropped | undefined
  /** While open. */
  #segment: Segment | undefined
  /** The newest segment may have bytes behind its end. */
  #isTorn = false
  /** A sync of the newest segment has failed: what the system takes for written may not be. */
  #isDoubtful = false
  /** The number of a segment whose making failed, perhaps after it had got its name. */
  #orphan: number | undefined

  constructor(disk: Disk, path: string, durability: 'process' | 'power', segmentBytes: number) {
    this.durability = durability
    this.#disk = disk
    this.#path = path
    this.#segmentBytes = segmentBytes
    this.#lock = new FileLock(disk, path)
  }

  get dropped(): Dropped | undefined {
    return this.#dropped
  }

  open(): Promise<Iterable<Uint8Array>> {
    return this.#next(() => this.#open())
  }

  async append(records: Uint8Array): Promise<void> {
    const record = this.#encode(records)
    return this.#next(() => this.#append(record))
  }

  async replace(records: Uint8Array): Promise<void> {
    const record = this.#encode(records)
    return this.#next(() => this.#replace(record))
  }

  close(): Promise<void> {
    return this.#next(() => this.#close())
  }

  /** One call after the other, whoever calls. */
  #next<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => undefined) // the caller has it
    return result
  }

  async #open(): Promise<Iterable<Uint8Array>> {
    if (this.#segment !== undefined) {
      throw new MqttError(
        'store-in-use',
        `the session store ${this.#path} is open; close it before it is opened again`,
      )
    }
    try {
      await this.#disk.mkdir(this.#path)
      await this.#lock.acquire()
      return await this.#recover()
    } catch (error) {
      await this.#lock.release().catch(() => undefined) // the error that counts is the first one
      throw this.#failure('be opened', error)
    }
  }

  async #recover(): Promise<Iterable<Uint8Array>> {
    const { batches, dropped, newest, waste } = await readLog(this.#disk, this.#path)
    this.#segment =
      newest === undefined
        ? await this.#create({ sequence: 1, first: 1, previousLength: 0 })
        : await this.#continue(newest, dropped !== undefined)
    this.#dropped = dropped
    this.#isTorn = false
    this.#isDoubtful = false
    this.#orphan = undefined
    await this.#removeWaste(waste)
    return batches
  }

  /** Makes what was read durable, because the session will act on it, and the place behind it clean. */
  async #continue({ sequence, first, end, bytes }: NewestSegment, isTorn: boolean): Promise<Segment> {
    const file = await this.#disk.open(this.#pathOf(sequence), 'existing')
    try {
      if (isTorn) await file.truncate(end)
      await file.write(bytes, 0) // the last process may have been refused a sync
      await file.datasync()
      await this.#disk.syncDirectory(this.#path)
    } catch (error) {
      await close(file)
      throw error
    }
    return { file, sequence, first, end }
  }

  async #append(record: Uint8Array): Promise<void> {
    let segment = this.#opened()
    try {
      await this.#repair(segment)
      const isFull = segment.end + record.length > this.#segmentBytes && segment.end > HEADER_BYTES
      if (isFull) segment = await this.#roll(segment)
    } catch (error) {
      throw this.#failure('take a batch', error)
    }
    try {
      await segment.file.write(record, segment.end)
      if (this.durability === 'power') await this.#sync(segment)
      segment.end += record.length
    } catch (error) {
      this.#isTorn = true
      await this.#repair(segment).catch(() => undefined) // tried again before the next append
      throw this.#failure('take a batch', error)
    }
  }

  /** The log goes on in a new segment. */
  async #roll(old: Segment): Promise<Segment> {
    if (this.durability !== 'power') {
      if (this.#isDoubtful) await old.file.write(await this.#readAgain(old), 0)
      await this.#sync(old)
      this.#isDoubtful = false
    }
    const { sequence, first, end } = old
    const segment = await this.#create({ sequence: sequence + 1, first, previousLength: end })
    this.#segment = segment
    await close(old.file)
    return segment
  }

  /** Needs no repair: what is not whole in the old segments goes with them. */
  async #replace(record: Uint8Array): Promise<void> {
    const old = this.#opened()
    const sequence = old.sequence + 1
    try {
      this.#segment = await this.#create({ sequence, first: sequence, previousLength: 0 }, record)
    } catch (error) {
      await this.#repair(old).catch(() => undefined) // tried again before the next append
      throw this.#failure('be rewritten', error)
    }
    this.#isTorn = false
    this.#isDoubtful = false
    await close(old.file)
    const waste: string[] = []
    for (let older = old.first; older < sequence; older++) waste.push(segmentName(older))
    await this.#removeWaste(waste)
  }

  /** Makes a segment that is there, whole and durable, or not at all. */
  async #create(header: SegmentHeader, record: Uint8Array = new Uint8Array(0)): Promise<Segment> {
    const { sequence, first } = header
    const unfinished = `${this.#path}/${unfinishedName(sequence)}`
    const content = new Uint8Array(HEADER_BYTES + record.length)
    content.set(encodeHeader(header))
    content.set(record, HEADER_BYTES)

    const file = await this.#disk.open(unfinished, 'empty')
    try {
      await file.write(content, 0)
      await file.datasync()
      this.#orphan = sequence
      await this.#disk.rename(unfinished, this.#pathOf(sequence))
      await this.#disk.syncDirectory(this.#path)
      this.#orphan = undefined
    } catch (error) {
      await close(file)
      await this.#removeWaste([unfinishedName(sequence)])
      throw error
    }
    return { file, sequence, first, end: content.length }
  }

  /** Undoes what a failed append or a failed segment has left. */
  async #repair(segment: Segment): Promise<void> {
    if (this.#orphan !== undefined) {
      try {
        await this.#disk.unlink(this.#pathOf(this.#orphan))
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error
      }
      await this.#disk.syncDirectory(this.#path)
      this.#orphan = undefined
    }
    if (this.#isTorn) {
      await segment.file.truncate(segment.end)
      await this.#sync(segment)
      this.#isTorn = false
    }
  }

  async #sync({ file }: Segment): Promise<void> {
    try {
      await file.datasync()
    } catch (error) {
      this.#isDoubtful = true
      throw error
    }
  }

  /** What others see of the segment, which the disk may lack. */
  async #readAgain({ sequence, end }: Segment): Promise<Uint8Array> {
    const path = this.#pathOf(sequence)
    const bytes = (await this.#disk.read(path)).subarray(0, end)
    const { end: wholeUntil, damage = 'the file is shorter' } = decodeRecords(bytes)
    if (wholeUntil === end) return bytes
    throw new MqttError('store-failed', `${path} has lost what was written to it: ${damage}`)
  }

  /** What stays is removed by the next `open`. */
  async #removeWaste(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#disk.unlink(`${this.#path}/${name}`).catch(() => undefined)
  }

  async #close(): Promise<void> {
    const segment = this.#segment
    this.#segment = undefined
    if (segment !== undefined) {
      await this.#repair(segment).catch(() => undefined) // the last chance
      await close(segment.file)
    }
    try {
      await this.#lock.release()
    } catch (error) {
      throw this.#failure('be unlocked', error)
    }
  }

  #opened(): Segment {
    if (this.#segment === undefined) {
      throw new MqttError('store-failed', `the session store ${this.#path} is not open`)
    }
    return this.#segment
  }

  #encode(records: Uint8Array): Uint8Array {
    if (records.length <= MAX_BATCH_BYTES) return encodeRecord(records)
    throw new MqttError(
      'store-failed',
      `a batch of ${records.length} bytes is too large: at most ${MAX_BATCH_BYTES} fit into one`,
    )
  }

  #failure(what: string, error: unknown): MqttError {
    if (error instanceof MqttError) return error
    const todo = ADVICE[codeOf(error) ?? ''] ?? ''
    return new MqttError(
      'store-failed',
      `the session store ${this.#path} could not ${what}: ${textOf(error)}${todo}`,
      error,
    )
  }

  #pathOf(sequence: number): string {
    return `${this.#path}/${segmentName(sequence)}`
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  ENOSPC: '. Free some space: it then works again without a restart.',
  EDQUOT: '. Free some space: it then works again without a restart.',
  EACCES: '. The process needs the right to write there.',
  EPERM: '. The process needs the right to write there.',
  EROFS: '. The store needs a file system that can be written to.',
  ENOTDIR: '. The store needs a folder, and a part of its path is a file.',
  EEXIST: '. The store needs a folder, and there is a file; it was left as it is.',
}

/** What a segment holds is decided by then, so nothing is lost with the error. */
async function close(file: DiskFile): Promise<void> {
  await file.close().catch(() => undefined)
}

// What becomes of a log that was damaged from outside: cut off anywhere, any bit of it flipped, overwritten, made by
// a later version or by another program. Either the damaged tail alone is dropped and named, or the store is
// refused and not a byte of it is changed; never does a batch come back that nobody has appended.
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { bytesOf, textOf } from '../../test/support/store-contract.ts'
import type { Disk } from './disk.ts'
import { fileStore, fileStoreOn } from './file.ts'
import { crc32ByTable, encodeHeader, HEADER_BYTES, segmentName } from './file-format.ts'
import { nodeDisk } from './node-disk.ts'

vi.setConfig({ testTimeout: 60_000 }) // for busy machines

/** This machine's disk without waiting for it: thousands of stores are opened here. */
const hastyDisk: Disk = {
  ...nodeDisk,
  syncDirectory: async () => undefined,
  async open(path, mode) {
    const file = await nodeDisk.open(path, mode)
    return {
      write: (bytes, position) => file.write(bytes, position),
      truncate: (length) => file.truncate(length),
      close: () => file.close(),
      datasync: async () => undefined,
    }
  },
}

const TEXTS = ['first', 'second batch', '', 'fourth', 'the last one']
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'petrel-store-'))
})
afterEach(async () => {
  await rm(folder, { recursive: true })
})

const pathOf = (sequence: number): string => join(folder, segmentName(sequence))

async function make(texts: readonly string[] = TEXTS, segmentBytes?: number): Promise<void> {
  const store = fileStoreOn(hastyDisk, folder, segmentBytes === undefined ? {} : { segmentBytes })
  await store.open()
  for (const text of texts) await store.append(bytesOf(text))
  await store.close()
}

interface Outcome {
  readonly code?: unknown
  readonly message?: string
  readonly texts?: readonly string[]
  readonly dropped?: { readonly bytes: number; readonly reason: string } | undefined
}

/** Opens, appends one batch when that is possible, and opens again: the log must go on behind what was kept. */
async function tryOpen(): Promise<Outcome> {
  const store = fileStoreOn(hastyDisk, folder)
  let texts: string[]
  try {
    texts = Array.from(await store.open(), textOf)
  } catch (error) {
    return error instanceof Error && 'code' in error ? { code: error.code, message: error.message } : {}
  }
  const { dropped } = store
  await store.append(bytesOf('more'))
  await store.close()
  expect(Array.from(await store.open(), textOf)).toEqual([...texts, 'more'])
  expect(store.dropped).toBeUndefined()
  await store.close()
  return { texts, dropped }
}

/** Puts bytes into the place of segment 1 and opens; a refused file must stay as it is. */
async function openWith(bytes: Uint8Array): Promise<Outcome> {
  await writeFile(pathOf(1), bytes)
  const outcome = await tryOpen()
  if (outcome.texts === undefined) {
    expect(Buffer.compare(await readFile(pathOf(1)), bytes)).toBe(0)
    expect(await readdir(folder)).toEqual([segmentName(1)])
    expect(outcome.message).toMatch(/segment-00000001\.log .*It was left as it is|it was left as it is/)
    expect(outcome.message).toMatch(/new session/)
  }
  return outcome
}

/** Where each record ends. */
function endsOf(texts: readonly string[]): readonly number[] {
  let end = HEADER_BYTES
  return texts.map((text) => (end += 8 + text.length))
}

const ENDS = endsOf(TEXTS)

describe('a log that ends too early', () => {
  it('keeps every whole batch, wherever it was cut', async () => {
    await make()
    const whole = new Uint8Array(await readFile(pathOf(1)))
    expect(whole.length).toBe(ENDS.at(-1))
    for (let length = whole.length; length >= HEADER_BYTES; length--) {
      const { texts, dropped } = await openWith(whole.subarray(0, length))
      const kept = ENDS.filter((end) => end <= length)
      expect(texts).toEqual(TEXTS.slice(0, kept.length))
      const bytes = length - (kept.at(-1) ?? HEADER_BYTES)
      if (bytes === 0) expect(dropped).toBeUndefined()
      else expect(dropped).toEqual({ bytes, reason: expect.stringMatching(/^segment-00000001\.log: the /) })
    }
  })

  it('is refused when not even its header is left', async () => {
    await make()
    const whole = new Uint8Array(await readFile(pathOf(1)))
    for (let length = HEADER_BYTES - 1; length >= 0; length--) {
      expect(await openWith(whole.subarray(0, length))).toMatchObject({ code: 'store-damaged' })
    }
  })
})

describe('a log with a flipped bit', () => {
  it('keeps the batches before it, whichever bit it is', async () => {
    const short = ['ab', '', 'c']
    await make(short)
    const whole = new Uint8Array(await readFile(pathOf(1)))
    const codes = new Set<unknown>()
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const flipped = whole.slice()
      const at = bit >>> 3
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7))
      const { texts, dropped, code } = await openWith(flipped)
      codes.add(code)
      if (at < HEADER_BYTES) {
        expect(code).toBe(at >= 8 && at < 12 && bit !== 11 * 8 ? 'store-newer' : 'store-damaged')
      } else {
        const kept = endsOf(short).filter((end) => end <= at)
        expect(texts).toEqual(short.slice(0, kept.length))
        expect(dropped?.bytes).toBe(whole.length - (kept.at(-1) ?? HEADER_BYTES))
      }
    }
    expect(codes).toEqual(new Set([undefined, 'store-damaged', 'store-newer']))
  })
})

describe('a log that was overwritten', () => {
  it.each([0, 0xff, 0x20])('with bytes %i is refused', async (value) => {
    await make()
    expect(await openWith(new Uint8Array(200).fill(value))).toMatchObject({ code: 'store-damaged' })
  })

  it.each([0, 0xff])('with bytes %i from somewhere on loses what was there', async (value) => {
    await make()
    const whole = new Uint8Array(await readFile(pathOf(1)))
    for (const [index, end] of ENDS.slice(0, -1).entries()) {
      const { texts, dropped } = await openWith(whole.slice().fill(value, end))
      expect(texts).toEqual(TEXTS.slice(0, index + 1))
      expect(dropped?.bytes).toBe(whole.length - end)
    }
  })

  it('with zeros behind its end loses the zeros alone', async () => {
    await make()
    const whole = new Uint8Array(await readFile(pathOf(1)))
    for (const zeros of [1, 7, 8, 9, 4096]) {
      const longer = new Uint8Array(whole.length + zeros)
      longer.set(whole)
      expect(await openWith(longer)).toMatchObject({ texts: TEXTS, dropped: { bytes: zeros } })
    }
  })

  it('by another program is refused', async () => {
    expect(await openWith(bytesOf('{"messages":[1,2,3]}'))).toMatchObject({ code: 'store-damaged' })
    expect(await openWith(bytesOf('x'.repeat(1000)))).toMatchObject({ code: 'store-damaged' })
  })
})

describe('a log of a later version', () => {
  it('is refused and says what to do', async () => {
    await make()
    const later = new Uint8Array(await readFile(pathOf(1)))
    new DataView(later.buffer).setUint32(8, 2)
    new DataView(later.buffer).setUint32(28, crc32ByTable(later.subarray(0, 28)))
    const { code, message } = await openWith(later)
    expect(code).toBe('store-newer')
    expect(message).toMatch(/has format version 2, this library reads 1\. .*Use the version .*or a later one/)
  })
})

describe('a log of several segments', () => {
  const MANY = Array.from({ length: 9 }, (_, index) => `batch ${index} of nine`)

  beforeEach(() => make(MANY, 96))

  it('is one log', async () => {
    expect((await readdir(folder)).length).toBeGreaterThan(3)
    expect(await tryOpen()).toEqual({ texts: MANY, dropped: undefined })
  })

  it('is refused when an earlier one is missing', async () => {
    await rm(pathOf(2))
    expect(await tryOpen()).toMatchObject({
      code: 'store-damaged',
      message: expect.stringMatching(/00000002\.log.*missing/),
    })
  })

  it('is refused when an earlier one is shorter, also by whole records', async () => {
    const bytes = new Uint8Array(await readFile(pathOf(2)))
    for (let length = bytes.length - 1; length >= 0; length--) {
      await truncate(pathOf(2), length)
      expect(await tryOpen()).toMatchObject({ code: 'store-damaged' })
      expect((await readFile(pathOf(2))).length).toBe(length)
    }
  })

  it('is refused when a bit of an earlier one is flipped', async () => {
    const bytes = new Uint8Array(await readFile(pathOf(1)))
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] ?? 0) ^ 4
      await writeFile(pathOf(1), flipped)
      const { code } = await tryOpen()
      expect(code).toBe(at >= 8 && at < 12 ? 'store-newer' : 'store-damaged')
    }
  })

  it('is refused when a segment of another log or number stands in it', async () => {
    const bytes = await readFile(pathOf(2))
    await writeFile(pathOf(2), await readFile(pathOf(1)))
    expect(await tryOpen()).toMatchObject({ code: 'store-damaged' })
    const other = encodeHeader({ sequence: 2, first: 2, previousLength: 0 })
    await writeFile(pathOf(2), Buffer.concat([other, bytes.subarray(HEADER_BYTES)]))
    expect(await tryOpen()).toMatchObject({
      code: 'store-damaged',
      message: expect.stringContaining('another log'),
    })
  })

  it('ends an earlier one where its successor says, whatever was written behind that', async () => {
    await writeFile(pathOf(1), 'late', { flag: 'a' })
    expect(await tryOpen()).toEqual({ texts: MANY, dropped: undefined })
  })
})

describe('a folder', () => {
  it('may hold files of others, which are left alone, and loses what a crash has left of ours', async () => {
    await make(['kept'])
    const others = [
      'notes.txt',
      'segment-1.log',
      'segment-000000001.log',
      'lock-',
      'lock-0-0-0-0',
      'lock-x-1-1-1',
    ]
    for (const name of others) await writeFile(join(folder, name), 'mine')
    await writeFile(join(folder, 'segment-00000007.new'), 'half a segment')
    expect((await tryOpen()).texts).toEqual(['kept'])
    expect(await readdir(folder)).toEqual([...others, segmentName(1)].sort())
  })

  it('that is a file is refused, and the file is left as it is', async () => {
    const path = join(folder, 'file')
    await writeFile(path, 'mine')
    await expect(fileStore(path).open()).rejects.toMatchObject({
      code: 'store-failed',
      message: expect.stringContaining('left as it is'),
    })
    expect(await readFile(path, 'utf8')).toBe('mine')
    const below = fileStore(join(path, 'store'))
    const failure = {
      code: 'store-failed',
      message: expect.stringContaining('a part of its path is a file'),
      cause: { code: 'ENOTDIR' },
    }
    await expect(below.open()).rejects.toMatchObject(failure)
    await below.close()
  })

  it('that only fails for a while can be opened later by the same object', async () => {
    const path = join(folder, 'store')
    await writeFile(path, 'in the way')
    const store = fileStore(path)
    await expect(store.open()).rejects.toMatchObject({ code: 'store-failed' })
    await rm(path)
    expect([...(await store.open())]).toEqual([])
    await store.close()
  })
})

// The store in a folder is a store: on this machine's disk and on the simulated one, with segments so small that
// nearly every batch begins one, and of the usual size; and what each durability costs, counted in syncs.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { bytesOf, describeStoreContract, textOf } from '../../test/support/store-contract.ts'
import { SimulatedDisk } from '../testing/disk.ts'
import { fileStoreOn } from './file.ts'
import { fileStore } from './lazy-file.ts'
import { nodeDisk } from './node-disk.ts'

for (const durability of ['process', 'power'] as const) {
  describeStoreContract(`fileStore, '${durability}'`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'petrel-store-'))
    return {
      store: () => fileStore(join(folder, 'a', 'b'), { durability }),
      remove: () => rm(folder, { recursive: true }),
    }
  })
}

describeStoreContract('fileStore with small segments', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'petrel-store-'))
  return {
    store: () => fileStoreOn(nodeDisk, folder, { segmentBytes: 64 }),
    remove: () => rm(folder, { recursive: true }),
  }
})

for (const segmentBytes of [64, 16 * 1024 * 1024]) {
  describeStoreContract(`fileStore on a simulated disk, segments of ${segmentBytes} bytes`, () => {
    const disk = new SimulatedDisk({ random: () => 0.5 }).start()
    return { store: () => fileStoreOn(disk, '/store', { segmentBytes }) }
  })
}

describe('the syncs of a file store', () => {
  async function countSyncs(durability: 'process' | 'power', appends: number): Promise<number> {
    const machine = new SimulatedDisk({ random: () => 0.5 })
    const store = fileStoreOn(machine.start(), '/store', { durability })
    await store.open()
    const before = machine.counts.get('datasync') ?? 0
    for (let count = 0; count < appends; count++) await store.append(bytesOf('batch'))
    return (machine.counts.get('datasync') ?? 0) - before
  }

  it("are one for each batch with 'power'", async () => {
    expect(await countSyncs('power', 50)).toBe(50)
  })

  it("are none with 'process'", async () => {
    expect(await countSyncs('process', 50)).toBe(0)
  })
})

describe('fileStore', () => {
  it.each([
    [{ durability: 'none' }, 'durability'],
    [{ durability: '' }, 'durability'],
  ])('refuses %j', (options, field) => {
    expect(() => fileStore('folder', options as never)).toThrow(
      expect.objectContaining({ name: 'UsageError', code: 'invalid-option', field }),
    )
  })

  it.each(['', undefined, 5])('refuses the path %j', (path) => {
    expect(() => fileStore(path as never)).toThrow(
      expect.objectContaining({ name: 'UsageError', code: 'invalid-argument', field: 'path' }),
    )
  })

  it("promises 'process' unless told otherwise", () => {
    expect(fileStore('folder').durability).toBe('process')
    expect(fileStore('folder', { durability: 'power' }).durability).toBe('power')
    expect(fileStore('folder').dropped).toBeUndefined()
  })

  it('touches nothing before it is opened, and takes nothing then', async () => {
    const machine = new SimulatedDisk({ random: () => 0.5 })
    const store = fileStoreOn(machine.start(), '/store')
    await expect(store.append(bytesOf('x'))).rejects.toMatchObject({ code: 'store-failed' })
    await expect(store.replace(bytesOf('x'))).rejects.toMatchObject({ code: 'store-failed' })
    expect(machine.steps).toBe(0)
  })

  it('keeps the order of calls that do not wait for each other, and copies what it is given', async () => {
    const machine = new SimulatedDisk({ random: () => 0.5 })
    const store = fileStoreOn(machine.start(), '/store', { segmentBytes: 64 })
    const buffer = bytesOf('a')
    const calls = [store.open(), store.append(buffer)]
    buffer.set(bytesOf('b'))
    calls.push(store.append(buffer), store.append(bytesOf('c')), store.close(), store.open())
    buffer.fill(0)
    const results = await Promise.all(calls)
    expect([...(results.at(-1) ?? [])].map(textOf)).toEqual(['a', 'b', 'c'])
  })

  it('keeps few files: a replaced log leaves one segment, a closed store no lock', async () => {
    const machine = new SimulatedDisk({ random: () => 0.5 })
    const store = fileStoreOn(machine.start(), '/store', { segmentBytes: 64 })
    await store.open()
    for (let count = 0; count < 20; count++) await store.append(bytesOf('a batch of some length'))
    expect(machine.paths().length).toBeGreaterThan(10)
    await store.replace(bytesOf('all'))
    await store.close()
    expect(machine.paths()).toHaveLength(1)
    expect(machine.paths()[0]).toMatch(/segment-\d{8}\.log$/)
  })
})

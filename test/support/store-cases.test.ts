// The cases of the stores' contract do without a test runner's assertions: here they are shown to find what is no
// store.
import { expect, it } from 'vitest'
import { memoryStore } from '../../src/store/memory.ts'
import type { SessionStore } from '../../src/store/store.ts'
import { runStoreCase, STORE_CASES } from './store-cases.ts'

type Change = (store: SessionStore) => Partial<SessionStore>

/** What is wrong with a store, and the cases that fail besides others. */
const BROKEN: readonly (readonly [what: string, change: Change, cases: RegExp])[] = [
  ['forgets', () => ({ append: async () => undefined }), /^gives back/],
  ['only appends', (store) => ({ replace: (records) => store.append(records) }), /^puts one batch/],
  ['turns round', (store) => ({ open: async () => [...(await store.open())].reverse() }), /^gives back/],
  ['cuts', (store) => ({ append: (records) => store.append(records.subarray(0, 2000)) }), /three megabytes$/],
  ['has no lock', (store) => ({ open: () => store.close().then(() => store.open()) }), /^refuses a second/],
  ['lets none in', () => ({ open: () => Promise.reject(new Error('no')) }), /^lets exactly one/],
]

it.each(BROKEN)('the contract finds a store that %s', async (_, change, cases) => {
  const failed: string[] = []
  for (const storeCase of STORE_CASES) {
    const memory = memoryStore()
    const store: SessionStore = {
      durability: memory.durability,
      open: () => memory.open(),
      append: (records) => memory.append(records),
      replace: (records) => memory.replace(records),
      close: () => memory.close(),
      ...change(memory),
    }
    await runStoreCase(storeCase, { store: () => store }).catch(() => failed.push(storeCase.title))
  }
  expect(failed).toContainEqual(expect.stringMatching(cases))
})

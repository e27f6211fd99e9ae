// What every session store must do, as data: a name and a function for each case, without a test runner, so that the
// same cases run where none is, in the pages and workers of a browser. store-contract.ts makes tests of them.
import type { SessionStore } from '../../src/store/store.ts'

export interface StorePlace {
  /** A store over this place; a store in memory *is* its place and may give the same object each time. */
  store(): SessionStore
  remove?(): void | Promise<void>
}

export interface StoreCase {
  readonly title: string
  /** Rejects when the store is not as it must be. */
  readonly run: (opener: Opener) => Promise<void>
}

/** Opens stores of one place, and closes what a case has left open. */
export class Opener {
  readonly place: StorePlace
  readonly opened: SessionStore[] = []

  constructor(place: StorePlace) {
    this.place = place
  }

  async open(store: SessionStore = this.place.store()): Promise<[SessionStore, string[]]> {
    const [, batches] = await this.openBytes(store)
    return [store, batches.map(textOf)]
  }

  async openBytes(store: SessionStore = this.place.store()): Promise<[SessionStore, Uint8Array[]]> {
    const batches = await store.open()
    this.opened.push(store)
    return [store, [...batches]]
  }

  async reopen(store: SessionStore): Promise<[SessionStore, string[]]> {
    await store.close()
    return this.open()
  }

  async end(): Promise<void> {
    for (const store of this.opened.splice(0)) await store.close()
    await this.place.remove?.()
  }
}

/** Runs one case over a place of its own. Rejects when it fails. */
export async function runStoreCase({ run }: StoreCase, place: StorePlace): Promise<void> {
  const opener = new Opener(place)
  try {
    await run(opener)
  } finally {
    await opener.end()
  }
}

export const STORE_CASES: readonly StoreCase[] = [
  {
    title: 'says how durable it is',
    async run({ place }) {
      const { durability } = place.store()
      expectEqual(['none', 'process', 'power'].includes(durability), true)
    },
  },
  {
    title: 'is empty at first',
    async run(opener) {
      const [store, batches] = await opener.open()
      expectEqual(batches, [])
      expectEqual((await opener.reopen(store))[1], [])
    },
  },
  {
    title: 'gives back what was appended, in order and batch by batch',
    async run(opener) {
      const [store] = await opener.open()
      for (const text of ['one', 'two', '', 'three', 'three']) await store.append(bytesOf(text))
      expectEqual((await opener.reopen(store))[1], ['one', 'two', '', 'three', 'three'])
    },
  },
  {
    title: 'goes on behind what is there',
    async run(opener) {
      let [store, batches] = await opener.open()
      for (const [index, text] of ['one', 'two', 'three'].entries()) {
        expectEqual(batches.length, index)
        await store.append(bytesOf(text))
        ;[store, batches] = await opener.reopen(store)
      }
      expectEqual(batches, ['one', 'two', 'three'])
    },
  },
  {
    title: 'keeps each byte as it is',
    async run(opener) {
      const every = Uint8Array.from({ length: 256 }, (_, index) => index)
      const [store] = await opener.open()
      await store.append(every)
      await store.append(new Uint8Array(4096))
      await store.close()
      const [, batches] = await opener.openBytes()
      expectEqual(
        batches.map((batch) => [...batch]),
        [[...every], [...new Uint8Array(4096)]],
      )
    },
  },
  {
    title: 'keeps a batch of three megabytes',
    async run(opener) {
      const large = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 7919) >>> 3)
      const [store] = await opener.open()
      await store.append(large)
      await store.append(bytesOf('behind'))
      await store.close()
      const [, [first, second]] = await opener.openBytes()
      expectEqual(first?.length, large.length)
      expectEqual(
        large.findIndex((byte, index) => byte !== first?.[index]),
        -1,
      )
      expectEqual(textOf(second ?? new Uint8Array(0)), 'behind')
    },
  },
  {
    title: 'keeps a part of a larger buffer, and that part alone',
    async run(opener) {
      const [store] = await opener.open()
      await store.append(bytesOf('xxpartxx').subarray(2, 6))
      expectEqual((await opener.reopen(store))[1], ['part'])
    },
  },
  {
    title: 'puts one batch in the place of all',
    async run(opener) {
      const [store] = await opener.open()
      for (const text of ['one', 'two', 'three']) await store.append(bytesOf(text))
      await store.replace(bytesOf('all'))
      expectEqual((await opener.reopen(store))[1], ['all'])
    },
  },
  {
    title: 'goes on behind the batch that took the place of all, as often as one likes',
    async run(opener) {
      let [store, batches] = await opener.open()
      await store.replace(bytesOf('of nothing'))
      await store.append(bytesOf('one'))
      ;[store, batches] = await opener.reopen(store)
      expectEqual(batches, ['of nothing', 'one'])
      await store.replace(bytesOf('first'))
      await store.replace(bytesOf('second'))
      await store.append(bytesOf('two'))
      await store.append(bytesOf('three'))
      expectEqual((await opener.reopen(store))[1], ['second', 'two', 'three'])
    },
  },
  {
    title: 'gives what was there when it was opened, whatever is appended meanwhile',
    async run(opener) {
      const [first] = await opener.open()
      await first.append(bytesOf('one'))
      await first.close()
      const store = opener.place.store()
      const batches = await store.open()
      opener.opened.push(store)
      await store.append(bytesOf('two'))
      await store.replace(bytesOf('three'))
      expectEqual([...batches].map(textOf), ['one'])
    },
  },
  {
    title: 'can be closed again, and before it was opened',
    async run(opener) {
      const unopened = opener.place.store()
      await unopened.close()
      const [store] = await opener.open()
      await store.append(bytesOf('one'))
      await store.close()
      await store.close()
      expectEqual((await opener.open())[1], ['one'])
    },
  },
  {
    title: 'opens again as the same object',
    async run(opener) {
      const [store] = await opener.open()
      await store.append(bytesOf('one'))
      await store.close()
      expectEqual((await opener.open(store))[1], ['one'])
      await store.append(bytesOf('two'))
      await store.close()
      expectEqual((await opener.open(store))[1], ['one', 'two'])
    },
  },
  {
    title: 'refuses a second user, and the first does not notice',
    async run(opener) {
      const [store] = await opener.open()
      await store.append(bytesOf('one'))
      expectEqual(await failureOf(opener.place.store().open()), 'MqttError store-in-use')
      expectEqual(await failureOf(store.open()), 'MqttError store-in-use')
      await store.append(bytesOf('two'))
      expectEqual((await opener.reopen(store))[1], ['one', 'two'])
    },
  },
  {
    title: 'lets exactly one of many in that come at once',
    async run(opener) {
      const stores = Array.from({ length: 5 }, () => opener.place.store())
      const results = await Promise.all(
        stores.map(async (store) => {
          const failure = await failureOf(store.open())
          if (failure === undefined) opener.opened.push(store)
          return failure
        }),
      )
      expectEqual(results.filter((failure) => failure === undefined).length, 1)
      expectEqual(new Set(results), new Set([undefined, 'MqttError store-in-use']))
    },
  },
]

/** Name and code of the error, undefined when there is none. */
async function failureOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work
    return undefined
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) return String(error)
    return `${error.name} ${String(error.code)}`
  }
}

function expectEqual(actual: unknown, expected: unknown): void {
  const [found, wanted] = [actual, expected].map(show)
  if (found !== wanted) throw new Error(`expected ${wanted}, got ${found}`)
}

function show(value: unknown): string {
  if (value instanceof Set) return show([...value].map(show).sort())
  return JSON.stringify(value) ?? 'undefined'
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

// What every session store must do, whatever it is made of: one set of tests, run against each of them. A store
// that its users write themselves can be held against it, too.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { SessionStore } from '../../src/store/store.ts'

export interface StorePlace {
  /** A store over this place; a store in memory *is* its place and may give the same object each time. */
  store(): SessionStore
  remove?(): void | Promise<void>
}

export function describeStoreContract(
  name: string,
  createPlace: () => StorePlace | Promise<StorePlace>,
): void {
  describe(name, () => {
    let place: StorePlace
    const opened: SessionStore[] = []

    beforeEach(async () => {
      place = await createPlace()
    })
    afterEach(async () => {
      for (const store of opened.splice(0)) await store.close()
      await place.remove?.()
    })

    async function open(store: SessionStore = place.store()): Promise<[SessionStore, string[]]> {
      const batches = await store.open()
      opened.push(store)
      return [store, [...batches].map(textOf)]
    }

    async function reopen(store: SessionStore): Promise<[SessionStore, string[]]> {
      await store.close()
      return open()
    }

    it('says how durable it is', () => {
      expect(['none', 'process', 'power']).toContain(place.store().durability)
    })

    it('is empty at first', async () => {
      const [store, batches] = await open()
      expect(batches).toEqual([])
      expect((await reopen(store))[1]).toEqual([])
    })

    it('gives back what was appended, in order and batch by batch', async () => {
      const [store] = await open()
      for (const text of ['one', 'two', '', 'three', 'three']) await store.append(bytesOf(text))
      expect((await reopen(store))[1]).toEqual(['one', 'two', '', 'three', 'three'])
    })

    it('goes on behind what is there', async () => {
      let [store, batches] = await open()
      for (const [index, text] of ['one', 'two', 'three'].entries()) {
        expect(batches).toHaveLength(index)
        await store.append(bytesOf(text))
        ;[store, batches] = await reopen(store)
      }
      expect(batches).toEqual(['one', 'two', 'three'])
    })

    it('keeps each byte as it is', async () => {
      const every = Uint8Array.from({ length: 256 }, (_, index) => index)
      const [store] = await open()
      await store.append(every)
      await store.append(new Uint8Array(4096))
      await store.close()
      const again = place.store()
      const [first, second, ...others] = await again.open()
      opened.push(again)
      expect([...(first ?? [])]).toEqual([...every])
      expect([...(second ?? [])]).toEqual([...new Uint8Array(4096)])
      expect(others).toEqual([])
    })

    it('keeps a batch of three megabytes', async () => {
      const large = Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 7919) >>> 3)
      const [store] = await open()
      await store.append(large)
      await store.append(bytesOf('behind'))
      await store.close()
      const again = place.store()
      const [first, second] = await again.open()
      opened.push(again)
      expect(Buffer.compare(first ?? new Uint8Array(0), large)).toBe(0)
      expect(textOf(second ?? new Uint8Array(0))).toBe('behind')
    })

    it('keeps a part of a larger buffer, and that part alone', async () => {
      const [store] = await open()
      await store.append(bytesOf('xxpartxx').subarray(2, 6))
      expect((await reopen(store))[1]).toEqual(['part'])
    })

    it('puts one batch in the place of all', async () => {
      const [store] = await open()
      for (const text of ['one', 'two', 'three']) await store.append(bytesOf(text))
      await store.replace(bytesOf('all'))
      expect((await reopen(store))[1]).toEqual(['all'])
    })

    it('goes on behind the batch that took the place of all, as often as one likes', async () => {
      let [store, batches] = await open()
      await store.replace(bytesOf('of nothing'))
      await store.append(bytesOf('one'))
      ;[store, batches] = await reopen(store)
      expect(batches).toEqual(['of nothing', 'one'])
      await store.replace(bytesOf('first'))
      await store.replace(bytesOf('second'))
      await store.append(bytesOf('two'))
      await store.append(bytesOf('three'))
      expect((await reopen(store))[1]).toEqual(['second', 'two', 'three'])
    })

    it('gives what was there when it was opened, whatever is appended meanwhile', async () => {
      const [first] = await open()
      await first.append(bytesOf('one'))
      await first.close()
      const store = place.store()
      const batches = await store.open()
      opened.push(store)
      await store.append(bytesOf('two'))
      await store.replace(bytesOf('three'))
      expect([...batches].map(textOf)).toEqual(['one'])
    })

    it('can be closed again, and before it was opened', async () => {
      const unopened = place.store()
      await unopened.close()
      const [store] = await open()
      await store.append(bytesOf('one'))
      await store.close()
      await store.close()
      expect((await open())[1]).toEqual(['one'])
    })

    it('opens again as the same object', async () => {
      const [store] = await open()
      await store.append(bytesOf('one'))
      await store.close()
      expect((await open(store))[1]).toEqual(['one'])
      await store.append(bytesOf('two'))
      await store.close()
      expect((await open(store))[1]).toEqual(['one', 'two'])
    })

    it('refuses a second user, and the first does not notice', async () => {
      const [store] = await open()
      await store.append(bytesOf('one'))
      await expect(place.store().open()).rejects.toMatchObject({ name: 'MqttError', code: 'store-in-use' })
      await expect(store.open()).rejects.toMatchObject({ code: 'store-in-use' })
      await store.append(bytesOf('two'))
      expect((await reopen(store))[1]).toEqual(['one', 'two'])
    })

    it('lets exactly one of many in that come at once', async () => {
      const stores = Array.from({ length: 5 }, () => place.store())
      const results = await Promise.allSettled(stores.map((store) => store.open()))
      opened.push(...stores.filter((_, index) => results[index]?.status === 'fulfilled'))
      expect(opened).toHaveLength(1)
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'store-in-use' })
      }
    })
  })
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

// The IndexedDB store in a real browser, in pages and in workers: it is a store; one tab at a time has it, whatever
// becomes of the others; and whatever becomes of the database, it says so, and what it has promised is there.
import { fileURLToPath } from 'node:url'
import type { BrowserContext } from 'playwright-core'
import { expect, it } from 'vitest'
import {
  type Chromium,
  describeChromium,
  type OpenOptions,
  type Opened,
  PLACES,
  type Place,
} from '../support/chromium.ts'
import { STORE_CASES } from '../support/store-cases.ts'

const PROGRAM = fileURLToPath(new URL('./indexeddb.browser.ts', import.meta.url))
const DONE = 'done'

type Failing = Readonly<Record<'code' | 'message' | 'cause' | 'name', string>>

/** A page, or its worker, with the calls of indexeddb.browser.ts; the store is named `store` unless told otherwise. */
class Tab {
  readonly opened: Opened
  readonly url: string

  constructor(opened: Opened) {
    this.opened = opened
    this.url = opened.page.url()
  }

  call<T>(name: string, ...args: readonly unknown[]): Promise<T> {
    return this.opened.call<T>(name, ...args)
  }

  open(name = 'store', durability?: string): Promise<readonly string[] | Failing> {
    return this.call('open', name, durability === undefined ? {} : { durability })
  }

  append(text: string, name = 'store'): Promise<'done' | Failing> {
    return this.call('append', name, text)
  }

  replace(text: string, name = 'store'): Promise<'done' | Failing> {
    return this.call('replace', name, text)
  }

  close(name = 'store'): Promise<'done' | Failing> {
    return this.call('close', name)
  }

  leave(): Promise<void> {
    return this.opened.page.close()
  }

  /** Loads the page again. */
  reload(place: Place): Promise<void> {
    return this.opened.load(this.url, place)
  }
}

async function newTab(chromium: Chromium, place: Place = 'page', options: OpenOptions = {}): Promise<Tab> {
  return new Tab(await chromium.open(PROGRAM, place, options))
}

/** Tabs that share what they store. */
async function newTabs(chromium: Chromium, ...places: readonly Place[]): Promise<readonly Tab[]> {
  const context = await chromium.newContext()
  const tabs: Tab[] = []
  for (const place of places) tabs.push(await newTab(chromium, place, { context }))
  return tabs
}

async function withoutLocks(...tabs: readonly Tab[]): Promise<void> {
  for (const tab of tabs) await tab.call('removeLocks')
}

/** ms until the store could be opened, with what was in it. */
async function timeToOpen(tab: Tab): Promise<readonly [number, unknown]> {
  const start = performance.now()
  const batches = await tab.open()
  return [performance.now() - start, batches]
}

describeChromium('indexedDBStore', (chromium) => {
  const passing = STORE_CASES.map(({ title }) => [title, 'passes'])

  it.each(PLACES)('passes the contract of stores in a %s', async (place) => {
    const tab = await newTab(chromium(), place)
    expect(await tab.call('runContract', {})).toEqual(passing)
  })

  it.each(PLACES)('passes the contract of stores in a %s without Web Locks', async (place) => {
    const tab = await newTab(chromium(), place)
    await withoutLocks(tab)
    expect(await tab.call('runContract', {})).toEqual(passing)
  })

  it("passes the contract of stores with durability 'power'", async () => {
    const tab = await newTab(chromium())
    expect(await tab.call('runContract', { durability: 'power' })).toEqual(passing)
  })

  it('is told what to do by sound options alone', async () => {
    const tab = await newTab(chromium())
    expect(await tab.call('create', 'x')).toBe('process')
    expect(await tab.call('create', 'x', { durability: 'power' })).toBe('power')
    const wrong = { name: 'UsageError', code: 'invalid-option', field: 'durability' }
    expect(await tab.call('create', 'x', { durability: 'none' })).toMatchObject(wrong)
    const unnamed = { name: 'UsageError', code: 'invalid-argument', field: 'name' }
    for (const name of ['', 5]) expect(await tab.call('create', name)).toMatchObject(unnamed)
  })

  it('keeps the order of calls that do not wait for each other, and copies what it is given', async () => {
    const tab = await newTab(chromium())
    expect(await tab.call('hurry', 'store')).toEqual(['a', 'b', 'c'])
  })

  it('keeps few rows: a database of one batch after it was rewritten', async () => {
    const tab = await newTab(chromium())
    await tab.open()
    for (let count = 0; count < 20; count++) await tab.append('a batch')
    expect(await tab.call('keys', 'store')).toHaveLength(20)
    await tab.replace('all')
    await tab.append('more')
    expect(await tab.call('keys', 'store')).toEqual([1, 2])
  })

  it("asks for strict transactions with 'power', for relaxed ones with 'process'", async () => {
    const tab = await newTab(chromium())
    await tab.call('watchDurability')
    for (const [durability, expected] of [
      ['process', 'relaxed'],
      ['power', 'strict'],
    ] as const) {
      expect(await tab.open(durability, durability)).toEqual([])
      expect(await tab.append('one', durability)).toBe(DONE)
      expect(await tab.replace('all', durability)).toBe(DONE)
      const asked = await tab.call<readonly string[]>('watchedDurabilities')
      expect(asked).toEqual([expected, expected, expected])
    }
  })

  it("does not promise 'power' where the browser cannot", async () => {
    const tab = await newTab(chromium())
    await tab.call('removeDurability')
    const message = expect.stringMatching(
      /this browser cannot promise durability 'power'; 'process' is what it has$/,
    )
    expect(await tab.open('store', 'power')).toMatchObject({ code: 'store-failed', message })
    expect(await tab.open('other', 'process')).toEqual([])
  })
})

const IN_USE = {
  name: 'MqttError',
  code: 'store-in-use',
  message:
    'the session store "store" is used by another tab or worker; close that one first, or use a store of another name',
}

describeChromium('a second tab with the same indexedDBStore', (chromium) => {
  it.each([
    ['page', 'page'],
    ['page', 'worker'],
    ['worker', 'page'],
    ['worker', 'worker'],
  ] as const)('is refused while a %s has it: a %s', async (one, other) => {
    const [first, second] = await newTabs(chromium(), one, other)
    if (first === undefined || second === undefined) throw new Error('no tabs')
    expect(await first.open()).toEqual([])
    expect(await second.open()).toMatchObject(IN_USE)
    expect(await second.append('x')).toMatchObject({ code: 'store-failed' })
    expect(await first.append('one')).toBe(DONE)
    // Another name is another store, and so is another origin's; this one is free when it is closed.
    expect(await second.open('other')).toEqual([])
    await first.close()
    expect(await second.open()).toEqual(['one'])
  })

  it.each(PLACES)('gets it at once when the first one is closed, crashes or is gone: a %s', async (place) => {
    const ends = {
      leave: (tab: Tab) => tab.leave(),
      crash: async (tab: Tab) => {
        const crashed = new Promise((resolve) => tab.opened.page.once('crash', resolve))
        const devTools = await tab.opened.devTools()
        devTools.send('Page.crash').catch(() => undefined) // nobody is left to answer
        await crashed
        tab.opened.errors = []
      },
      goAway: async (tab: Tab) => void (await tab.opened.page.goto('about:blank')),
    }
    for (const end of Object.values(ends)) {
      const [first, second] = await newTabs(chromium(), place, 'page')
      if (first === undefined || second === undefined) throw new Error('no tabs')
      await first.open()
      await first.append('one')
      await end(first)
      const [took, batches] = await timeToOpen(second)
      expect(batches).toEqual(['one'])
      expect(took).toBeLessThan(1_500) // less than the patience with one that lives
    }
  })

  it.each(PLACES)('is the same one, loaded again, and gets it: a %s', async (place) => {
    const tab = await newTab(chromium(), place)
    for (let round = 0; round < 10; round++) {
      expect(await tab.open()).toHaveLength(round)
      expect(await tab.append('one')).toBe(DONE)
      await tab.reload(place)
    }
  })
})

describeChromium('without Web Locks, a second tab with the same indexedDBStore', (chromium) => {
  async function twoTabs(one: Place = 'page'): Promise<readonly [Tab, Tab]> {
    const [first, second] = await newTabs(chromium(), one, 'page')
    if (first === undefined || second === undefined) throw new Error('no tabs')
    await withoutLocks(first, second)
    return [first, second]
  }

  it.each(PLACES)(
    'is refused at once while a %s has it, and not when that one has closed it',
    async (place) => {
      const [first, second] = await twoTabs(place)
      await first.open()
      const [took, failure] = await timeToOpen(second)
      expect(failure).toMatchObject(IN_USE)
      expect(took).toBeLessThan(1_500)
      expect(await first.append('one')).toBe(DONE)
      await first.close()
      const [tookThen, batches] = await timeToOpen(second)
      expect(batches).toEqual(['one'])
      expect(tookThen).toBeLessThan(1_500)
    },
  )

  it.each(PLACES)('gets it after two seconds when the first one is gone: a %s', async (place) => {
    const [first, second] = await twoTabs(place)
    await first.open()
    await first.append('one')
    await first.leave()
    const [took, batches] = await timeToOpen(second)
    expect(batches).toEqual(['one'])
    expect(took).toBeGreaterThan(1_500)
  })

  it('gets it when the first one is frozen, which then can do no harm', async () => {
    const [first, second] = await twoTabs('worker')
    await first.open()
    await first.append('one')
    const frozen = first.call('compute', 8_000)
    expect(await second.open()).toEqual(['one'])
    expect(await second.append('two')).toBe(DONE)
    await frozen
    expect(await first.append('three')).toMatchObject({ code: 'store-in-use' })
    expect(await first.replace('four')).toMatchObject({ code: 'store-in-use' })
    await second.close()
    expect(await first.append('five')).toMatchObject({ code: 'store-in-use' })
    expect(await first.replace('six')).toMatchObject({ code: 'store-in-use' })
    await first.close()
    expect(await first.open()).toEqual(['one', 'two'])
  })
})

describeChromium('the database of an indexedDBStore', (chromium) => {
  it.each(['missing', 'foreign key', 'foreign value', 'foreign tables'])(
    'with content that is no session (%s) is refused, and left as it is',
    async (how) => {
      const tab = await newTab(chromium())
      if (how !== 'foreign tables') {
        await tab.open()
        for (const text of ['one', 'two', 'three']) await tab.append(text)
        await tab.close()
      }
      await tab.call('spoil', 'store', how)
      const message =
        'the database "petrel:store" does not hold what a session store writes; delete the database to begin anew'
      for (let round = 0; round < 2; round++) {
        expect(await tab.open()).toMatchObject({ name: 'MqttError', code: 'store-damaged', message })
      }
      await tab.call('remove', 'store')
      expect(await tab.open()).toEqual([])
    },
  )

  it('of a newer format is refused, and left as it is', async () => {
    const tab = await newTab(chromium())
    await tab.call('spoil', 'store', 'newer')
    const message = 'the session store "store" was written by a newer version, which can read it'
    for (let round = 0; round < 2; round++) {
      const newer = { name: 'MqttError', code: 'store-newer', message, cause: 'VersionError' }
      expect(await tab.open()).toMatchObject(newer)
    }
  })

  it('without space refuses a batch, and takes it when there is some', async () => {
    const tab = await newTab(chromium())
    const devTools = await tab.opened.devTools()
    const { origin } = new URL(tab.url)
    // Before the browser looks for the first time: it remembers for a while what it has found.
    await devTools.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 200_000 })
    await tab.open()
    expect(await tab.append('one')).toBe(DONE)
    const large = 'x'.repeat(1_000_000)
    const advice = /: .*until some of its data is deleted\.$/s
    const full = { code: 'store-failed', cause: 'QuotaExceededError', message: expect.stringMatching(advice) }
    expect(await tab.append(large)).toMatchObject(full)
    expect(await tab.replace(large)).toMatchObject(full)
    await devTools.send('Storage.overrideQuotaForOrigin', { origin })
    expect(await tab.append('two')).toBe(DONE)
    await tab.close()
    expect(await tab.open()).toEqual(['one', 'two'])
  })

  it.each(['throw', 'abort'])(
    'that gives a write up (%s) has nothing of it, and all from before',
    async (how) => {
      const tab = await newTab(chromium())
      await tab.open()
      expect(await tab.append('one')).toBe(DONE)
      for (const write of ['append', 'replace']) {
        await tab.call('failNextWrite', how)
        expect(await tab.call(write, 'store', 'lost')).toMatchObject({ code: 'store-failed' })
      }
      expect(await tab.append('two')).toBe(DONE)
      await tab.close()
      expect(await tab.open()).toEqual(['one', 'two'])
    },
  )

  it('that is held by other code fails in time, and is as it was', async () => {
    const tab = await newTab(chromium())
    await tab.open()
    expect(await tab.append('one')).toBe(DONE)
    await tab.call('hurryTimeLimits')
    await tab.call('hold', 'store')
    const message = expect.stringMatching(
      /take a batch: the browser did not do it within 30 s; other code may hold the database/,
    )
    expect(await tab.append('two')).toMatchObject({ code: 'store-failed', message })
    await tab.call('letGo')
    expect(await tab.append('three')).toBe(DONE)
    await tab.close()
    expect(await tab.open()).toEqual(['one', 'three'])
  })

  it.each(['cleared by the user', 'deleted by other code'])(
    'that is %s is missed at the next append, and made anew by the next replace',
    async (how) => {
      const [tab, other] = await newTabs(chromium(), 'page', 'page')
      if (tab === undefined || other === undefined) throw new Error('no tabs')
      await tab.open()
      expect(await tab.append('one')).toBe(DONE)
      if (how === 'deleted by other code') await other.call('remove', 'store')
      else {
        const devTools = await tab.opened.devTools()
        const { origin } = new URL(tab.url)
        await devTools.send('Storage.clearDataForOrigin', { origin, storageTypes: 'indexeddb' })
      }
      const message = expect.stringMatching(/the browser has closed the database, or cleared it/)
      expect(await tab.append('two')).toMatchObject({ code: 'store-failed', message })
      expect(await tab.append('two')).toMatchObject({ code: 'store-failed' })
      expect(await tab.replace('all')).toBe(DONE)
      expect(await tab.append('three')).toBe(DONE)
      expect(await other.open()).toMatchObject(IN_USE)
      await tab.close()
      expect(await other.open()).toEqual(['all', 'three'])
    },
  )

  it('is missed where there is none, or where it may not be used', async () => {
    const tab = await newTab(chromium())
    await tab.call('removeIndexedDB')
    const message = expect.stringMatching(/could not be opened: there is no IndexedDB here.*memoryStore\(\)/)
    expect(await tab.open()).toMatchObject({ code: 'store-failed', message })
    const forbidden = await newTab(chromium())
    await forbidden.call('forbidIndexedDB')
    expect(await forbidden.open()).toMatchObject({ code: 'store-failed', cause: 'SecurityError' })
    // It is not kept by the attempt.
    expect(await forbidden.open()).toMatchObject({ code: 'store-failed', cause: 'SecurityError' })
  })
})

describeChromium('what an indexedDBStore has promised', (chromium) => {
  it('is there when its page crashed in the middle of its work', async () => {
    for (let round = 0; round < 3; round++) {
      const context: BrowserContext = await chromium().newContext()
      const tab = await newTab(chromium(), 'page', { context })
      await tab.open()
      const most = 20 + Math.floor(Math.random() * 100)
      let last = -1
      const enough = new Promise<void>((resolve) => {
        tab.opened.page.on('console', (line) => {
          last = Number(line.text().split(' ')[1])
          if (last === most) resolve()
        })
      })
      const crashed = new Promise((resolve) => tab.opened.page.once('crash', resolve))
      tab.call('appendForEver', 'store').catch(() => undefined) // it ends with the page
      await enough
      const devTools = await tab.opened.devTools()
      devTools.send('Page.crash').catch(() => undefined) // nobody is left to answer
      await crashed
      tab.opened.errors = []
      const next = await newTab(chromium(), 'page', { context })
      const batches = await next.open()
      if (!Array.isArray(batches)) throw new Error(JSON.stringify(batches))
      expect(batches).toEqual(batches.map((_, index) => String(index)))
      expect(batches.length).toBeGreaterThan(last)
    }
  })
})

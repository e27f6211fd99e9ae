// A whole browser that is killed in the middle of its work, with its profile on the disk of this machine: what
// `append` has promised is there when the browser is started again, and the killed one's lock is not.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { findExecutable } from '../support/find.ts'
import { requirement } from '../support/requirements.ts'

const PROGRAM = fileURLToPath(new URL('./indexeddb.browser.ts', import.meta.url))
const KILLS = 2
const program = findExecutable('chromium')

let profile: string
let html: string
const browsers: ChildProcess[] = []

const isThere = requirement('chromium', program !== undefined)
describe.skipIf(!isThere)('a browser that is killed [needs chromium]', () => {
  beforeAll(async () => {
    profile = await mkdtemp(join(tmpdir(), 'petrel-profile-'))
    const contents = `import * as program from ${JSON.stringify(PROGRAM)}\nglobalThis.program = program`
    const stdin = { contents, resolveDir: tmpdir() }
    const { outputFiles } = await build({ stdin, bundle: true, format: 'esm', write: false })
    const code = (outputFiles[0]?.text ?? '').replaceAll('</script', '<\\/script')
    html = `<!doctype html><html lang="en"><title>Petrel</title><script type="module">${code}</script></html>`
  })
  afterEach(() => {
    for (const browser of browsers.splice(0)) browser.kill('SIGKILL')
  })
  afterAll(() => rm(profile, { recursive: true, force: true, maxRetries: 5 }))

  it.each(['process', 'power'] as const)(
    "finds all that '%s' has promised, whole and in order (rules 34, 35)",
    async (durability) => {
      let least = 0
      let forgotten = 0
      for (let kill = 0; kill <= KILLS; ) {
        const { page, browser } = await start()
        const batches = await page.evaluate(open, durability)
        expect(batches).toEqual(Array.from(batches, (_, index) => String(index)))
        if (batches.length < least && forgotten < KILLS && (await isForgotten())) forgotten += 1
        else {
          // What it said last, it may not have said to us.
          expect(batches.length).toBeGreaterThanOrEqual(least)
          kill += 1
        }
        least = await work(page, browser, durability, batches.length)
      }
    },
    120_000, // for busy machines
  )
})

/**
 * Now and then, after a kill, Chromium itself has forgotten that an origin had stored anything: in about one of a hundred
 * on a busy machine, also when all of its processes are killed at once. Its own log says then that there was nothing.
 * Such a kill says nothing about the store, and does not count.
 */
async function isForgotten(): Promise<boolean> {
  const folder = join(profile, 'Default', 'IndexedDB', 'http_localhost_0.indexeddb.leveldb')
  const log = await readFile(join(folder, 'LOG'), 'utf8').catch(() => '')
  return log.includes('since it was missing')
}

/** Starts the browser with the profile, on an empty page of an origin that it may store for. */
async function start(): Promise<{ readonly page: Page; readonly browser: ChildProcess }> {
  const own = [`--user-data-dir=${profile}`, '--remote-debugging-port=0', 'about:blank']
  const usual = ['--headless', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--no-first-run']
  const browser = spawn(program ?? '', [...usual, ...own], { stdio: ['ignore', 'ignore', 'pipe'] })
  browsers.push(browser)
  const { promise, resolve } = waiter<string>()
  createInterface({ input: browser.stderr }).on('line', (line) => {
    const address = /^DevTools listening on (ws:\S+)/.exec(line)?.[1]
    if (address !== undefined) resolve(address)
  })
  const connected = await chromium.connectOverCDP(await promise)
  const [context] = connected.contexts()
  if (context === undefined) throw new Error('the browser has no profile')
  const page = await context.newPage()
  await page.route('http://localhost/**', (route) => route.fulfill({ contentType: 'text/html', body: html }))
  await page.goto('http://localhost/')
  return { page, browser }
}

/** Appends and kills the browser in the midst of it; returns how many batches are promised then, in all. */
async function work(page: Page, browser: ChildProcess, durability: string, first: number): Promise<number> {
  const most = 20 + Math.floor(Math.random() * 200)
  let promised = first
  const { promise, resolve } = waiter<void>()
  page.on('console', (line) => {
    if (!line.text().startsWith('done ')) return
    promised += 1
    if (promised === first + most) resolve()
  })
  page.evaluate(appendForEver, [durability, first] as const).catch(() => undefined) // it ends with the browser
  await promise
  const ended = once(browser, 'exit')
  const gone = new Promise((closed) => page.once('close', closed))
  browser.kill('SIGKILL')
  await Promise.all([ended, gone]) // and all that it had said is here
  return promised
}

interface Program {
  open(name: string, options: { readonly durability: string }): Promise<readonly string[]>
  appendForEver(name: string, first: number): Promise<void>
}

// These two run in the page.

function open(durability: string): Promise<readonly string[]> {
  const { program: functions } = globalThis as unknown as { readonly program: Program }
  return functions.open(durability, { durability })
}

function appendForEver([name, first]: readonly [string, number]): Promise<void> {
  const { program: functions } = globalThis as unknown as { readonly program: Program }
  return functions.appendForEver(name, first)
}

function waiter<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((resolved) => {
    resolve = resolved
  })
  return { promise, resolve }
}

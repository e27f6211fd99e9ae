// A real Chromium for tests of what runs in browsers. A program is a module that exports functions; it is bundled,
// served to a page from loopback, and runs in the page or in a dedicated worker of it:
//
//   describeChromium('the store', (chromium) => {
//     it.each(PLACES)('works in a %s', async (place) => {
//       const opened = await chromium().open(fileURLToPath(new URL('./store.browser.ts', import.meta.url)), place)
//       expect(await opened.call('write', 3)).toBe(3)
//     })
//   })
//
// Arguments and results are copied: plain objects, arrays, strings, numbers, typed arrays. A test fails when a page of
// its had an error that nobody caught, or wrote one to the console; an expected one it takes out of `errors`.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import {
  type Browser,
  type BrowserContext,
  type CDPSession,
  chromium as launcher,
  type Page,
  type Worker,
} from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe } from 'vitest'
import { Tab } from './chromium-tab.ts'
import { findExecutable } from './find.ts'
import { requirement } from './requirements.ts'

export type Place = 'page' | 'worker'

export const PLACES: readonly Place[] = ['page', 'worker']

const program = findExecutable('chromium')

export const isChromiumInstalled: boolean = program !== undefined

export interface LaunchOptions {
  /** Arguments besides those that a machine of tests needs. */
  readonly args?: readonly string[]
  /** Arguments of playwright's that are left out. */
  readonly without?: readonly string[]
}

export interface OpenOptions {
  /** Storage is shared by the pages of one context, and so is being offline. Default: a new one. */
  readonly context?: BrowserContext
  /** The page's Content-Security-Policy. */
  readonly policy?: string
}

/** A suite with a browser of its own, skipped where there is no Chromium. */
export function describeChromium(
  title: string,
  tests: (chromium: () => Chromium) => void,
  options: LaunchOptions = {},
): void {
  describe.skipIf(!requirement('chromium', isChromiumInstalled))(`${title} [needs chromium]`, () => {
    let chromium: Chromium | undefined
    beforeAll(async () => {
      chromium = await Chromium.start(options)
    })
    afterEach(() => chromium?.closePages())
    afterAll(() => chromium?.stop())
    tests(() => {
      if (chromium === undefined) throw new Error('Chromium runs only within the tests of its suite')
      return chromium
    })
  })
}

export class Chromium {
  readonly #browser: Browser
  readonly #server: PageServer
  #opened: Opened[] = []
  #contexts: BrowserContext[] = []
  #tabs: Tab[] = []

  private constructor(browser: Browser, server: PageServer) {
    this.#browser = browser
    this.#server = server
  }

  static async start({ args = [], without = [] }: LaunchOptions = {}): Promise<Chromium> {
    if (program === undefined) throw new Error('chromium was not found')
    const server = await PageServer.start()
    const browser = await launcher
      .launch({
        executablePath: program,
        args: [
          // Root may not use the sandbox; containers have little shared memory, and no graphics.
          '--no-sandbox',
          '--disable-dev-shm-usage',
          '--disable-gpu',
          // The brokers of tests make their certificates themselves.
          '--ignore-certificate-errors',
          ...args,
        ],
        ignoreDefaultArgs: [...without],
      })
      .catch(async (error: unknown) => {
        await server.stop()
        throw error
      })
    return new Chromium(browser, server)
  }

  /** Storage of its own. It ends with the test. */
  async newContext(): Promise<BrowserContext> {
    const context = await this.#browser.newContext()
    this.#contexts.push(context)
    return context
  }

  /** @param path of the module that is to run */
  async open(path: string, place: Place, { context, policy }: OpenOptions = {}): Promise<Opened> {
    const page = await (context ?? (await this.newContext())).newPage()
    const opened = new Opened(page)
    this.#opened.push(opened)
    await opened.load(this.#server.urlOf(path, place, policy), place)
    return opened
  }

  /** The program in a page that can be hidden and frozen; errors that nobody caught are not noticed. */
  async openTab(path: string, { policy }: Pick<OpenOptions, 'policy'> = {}): Promise<Tab> {
    const tab = await Tab.open(this.#browser, this.#server.urlOf(path, 'page', policy))
    this.#tabs.push(tab)
    return tab
  }

  /** The end of a test. @throws Error when one of its pages had an error that nobody caught */
  async closePages(): Promise<void> {
    const errors = this.#opened.splice(0).flatMap((opened) => opened.errors)
    await Promise.all(this.#contexts.splice(0).map((context) => context.close()))
    await Promise.all(this.#tabs.splice(0).map((tab) => tab.close()))
    if (errors.length > 0) throw new Error(`uncaught in Chromium:\n${errors.join('\n')}`)
  }

  async stop(): Promise<void> {
    await this.#browser.close()
    await this.#server.stop()
  }
}

/** A page with a program in it or in its worker. */
export class Opened {
  readonly page: Page
  /** What nobody caught, and what was written as an error to the console, of the page and of its workers. */
  errors: string[] = []
  #place: Pick<Worker, 'evaluate'>

  constructor(page: Page) {
    this.page = page
    this.#place = page
    page.on('pageerror', (error) => void this.errors.push(error.stack ?? error.message))
    page.on('console', (line) => {
      if (line.type() === 'error' && !REMARK.test(line.text())) this.errors.push(line.text())
    })
    page.on('crash', () => void this.errors.push('the page crashed'))
  }

  async load(url: string, place: Place): Promise<void> {
    const worker = place === 'worker' ? this.page.waitForEvent('worker') : undefined
    await this.page.goto(url)
    if (worker !== undefined) this.#place = await worker
    await this.#place.evaluate(async () => {
      // A worker is there before its module has run.
      while (!('program' in globalThis)) await new Promise((resolve) => setTimeout(resolve, 1))
    })
  }

  /** Calls one of the program's functions. Rejects as it does, with the text of the error. */
  call<Result>(name: string, ...args: readonly unknown[]): Promise<Result> {
    return this.#place.evaluate(
      async ([called, values]) => {
        const { program: functions } = globalThis as unknown as { readonly program: Functions }
        const work = functions[called]
        if (work === undefined) throw new Error(`the program exports no ${called}`)
        return (await work(...values)) as Result
      },
      [name, args] as const,
    )
  }

  /** Chrome's own protocol, for what playwright has no word for. */
  devTools(): Promise<CDPSession> {
    return this.page.context().newCDPSession(this.page)
  }
}

/** What Chromium itself says of each WebSocket that failed, which programs are told, too. */
const REMARK = /^WebSocket (?:connection to .* failed|is closed before)/

type Functions = Readonly<Record<string, (...values: readonly unknown[]) => unknown>>

const JAVASCRIPT = 'text/javascript; charset=utf-8'

/** Serves pages, and programs as single files. */
class PageServer {
  readonly #server: Server
  readonly #bundles = new Map<string, Promise<string>>()

  private constructor() {
    this.#server = createServer((request, response) => {
      const { pathname, search, searchParams } = new URL(request.url ?? '/', 'http://127.0.0.1')
      const policy = searchParams.get('policy')
      if (policy !== null) response.setHeader('Content-Security-Policy', policy)
      const answer = (type: string, text: string): unknown =>
        response.writeHead(200, { 'Content-Type': type }).end(text)
      if (pathname === '/page') answer('text/html; charset=utf-8', pageOf(search, searchParams.get('place')))
      else if (pathname === '/worker.js') answer(JAVASCRIPT, startOf(search))
      else if (pathname === '/program.js')
        this.#bundle(searchParams.get('program') ?? '').then(
          (code) => answer(JAVASCRIPT, code),
          (error: unknown) => answer(JAVASCRIPT, `throw new Error(${JSON.stringify(String(error))})`),
        )
      else response.writeHead(pathname === '/favicon.ico' ? 204 : 404).end()
    })
  }

  static async start(): Promise<PageServer> {
    const server = new PageServer()
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  urlOf(path: string, place: Place, policy: string | undefined): string {
    const { port } = this.#server.address() as AddressInfo
    const query = new URLSearchParams({ program: path, place, ...(policy === undefined ? {} : { policy }) })
    return `http://127.0.0.1:${port}/page?${query.toString()}`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #bundle(path: string): Promise<string> {
    const known = this.#bundles.get(path) ?? bundle(path)
    this.#bundles.set(path, known)
    return known
  }
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

async function bundle(path: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as program from ${JSON.stringify(path)}\nglobalThis.program = program`,
      resolveDir: ROOT,
    },
    bundle: true,
    platform: 'browser',
    format: 'esm',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

function pageOf(search: string, place: string | null): string {
  const source = `${place === 'worker' ? '/worker.js' : '/program.js'}${search}`.replaceAll('&', '&amp;')
  const head = '<meta charset="utf-8"><title>Petrel</title>'
  return `<!doctype html><html lang="en">${head}<script type="module" src="${source}"></script></html>`
}

function startOf(search: string): string {
  return `new Worker(${JSON.stringify(`/program.js${search}`)}, { type: 'module' })`
}

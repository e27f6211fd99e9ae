// The clients of a test against a real broker: each is ended when its test is over, whatever became of it, and their
// topics and ids belong to this test alone. `Inbox` is a handler that a test can wait for, `PacketLog` the packets
// that pass, `Program` a client in a process of its own.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterEach } from 'vitest'
import type { ControlPacket, PacketType } from '../../src/core/packets/types.ts'
import { type Client, type ClientOptions, connect, type Message } from '../../src/index.ts'

export type Version = '3.1.1' | '5'

export const VERSIONS: readonly Version[] = ['3.1.1', '5']

type Extra = Pick<ClientOptions, 'username' | 'password' | 'will' | 'onSessionLost' | 'pingTimeout'>

/** Call it once within a suite: its clients end after each test. */
export function useClients(url: () => string): Clients {
  const clients = new Clients(url)
  afterEach(() => clients.destroy())
  return clients
}

export class Clients {
  readonly #url: () => string
  readonly #all: Client[] = []

  constructor(url: () => string) {
    this.#url = url
  }

  /** A client whose session ends with its connection. */
  async brief(version: Version, extra: Extra = {}): Promise<Client> {
    return this.with({ ...extra, clientId: unique('brief'), protocolVersion: version })
  }

  /** A client whose session outlives its connections. */
  async lasting(version: Version, clientId: string = unique('lasting'), extra: Extra = {}): Promise<Client> {
    const options = { ...extra, clientId, reconnect: { min: 20, max: 200 } }
    return this.with(
      version === '5'
        ? { ...options, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 300 }
        : { ...options, protocolVersion: '3.1.1', cleanSession: false },
    )
  }

  async with(options: ClientOptions): Promise<Client> {
    const client = await connect(this.#url(), options)
    this.#all.push(client)
    return client
  }

  destroy(): void {
    for (const client of this.#all.splice(0)) client.destroy()
  }
}

/** A name that nobody has used before. */
export function unique(what: string): string {
  return `${what}-${randomBytes(4).toString('hex')}`
}

/** A message, kept. */
export interface Kept {
  readonly topic: string
  readonly text: string
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
}

/** ms after which a test has waited long enough. */
const PATIENCE = 20_000

interface Waiting {
  readonly isSo: () => boolean
  readonly resolve: () => void
}

/** Those who wait until something is so; `check` is called whenever it may have become so. */
class Waiters {
  #waiting: Waiting[] = []

  check(): void {
    this.#waiting = this.#waiting.filter(({ isSo, resolve }) => {
      if (!isSo()) return true
      resolve()
      return false
    })
  }

  /** Resolves when so many have come. @throws Error after 20 s */
  until(expected: number, what: string, count: () => number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (count() >= expected) return resolve()
      const late = setTimeout(
        () => reject(new Error(`expected ${expected} ${what}, got ${count()}`)),
        PATIENCE,
      )
      this.#waiting.push({
        isSo: () => count() >= expected,
        resolve: () => {
          clearTimeout(late)
          resolve()
        },
      })
    })
  }
}

export class Inbox {
  readonly messages: Kept[] = []
  readonly #waiters = new Waiters()

  readonly handle = (message: Message): void => {
    const { topic, qos, retain, dup } = message
    this.messages.push({ topic, text: message.text(), qos, retain, dup })
    this.#waiters.check()
  }

  get texts(): readonly string[] {
    return this.messages.map(({ text }) => text)
  }

  /** How many different texts have come. */
  get distinct(): number {
    return new Set(this.texts).size
  }

  /** Resolves when so many messages have come. @throws Error after 20 s */
  until(count: number): Promise<void> {
    return this.#waiters.until(count, 'messages', () => this.messages.length)
  }

  /** Resolves when so many different texts have come. @throws Error after 20 s */
  untilDistinct(count: number): Promise<void> {
    return this.#waiters.until(count, 'messages', () => this.distinct)
  }
}

/** A packet and when it passed, by `performance.now()`. */
export interface Passed {
  readonly direction: 'in' | 'out'
  readonly packet: ControlPacket
  readonly at: number
}

/** What a client sends and gets, packet by packet. */
export class PacketLog {
  readonly passed: Passed[] = []
  readonly #waiters = new Waiters()

  constructor(client: Client) {
    client.on('packet', ({ direction, packet }) => {
      this.passed.push({ direction, packet, at: performance.now() })
      this.#waiters.check()
    })
  }

  of(direction: 'in' | 'out', type?: PacketType): readonly Passed[] {
    return this.passed.filter(
      (one) => one.direction === direction && (type ?? one.packet.type) === one.packet.type,
    )
  }

  /** Resolves when so many of the type have passed. @throws Error after 20 s */
  until(direction: 'in' | 'out', type: PacketType, count: number): Promise<void> {
    return this.#waiters.until(count, type.toUpperCase(), () => this.of(direction, type).length)
  }
}

/** A line of a program: what happened, when by its `performance.now()`, and more. */
export interface Said {
  readonly what: string
  readonly at: number
  readonly [more: string]: unknown
}

const PRELUDE = `
import { writeSync } from 'node:fs'
import * as petrel from ${JSON.stringify(fileURLToPath(new URL('../../src/index.ts', import.meta.url)))}
const args = process.argv.slice(2)
// Written at once: what a process that is stopped or killed has said is there.
const say = (what, more) => writeSync(1, JSON.stringify({ what, at: performance.now(), ...more }) + '\\n')
`

const REQUIRE = `import { createRequire } from 'node:module'; const require = createRequire(import.meta.url)`

/** A program that uses the client as `petrel`, has `args`, and says what happens; for processes of its own. */
export class Program {
  readonly #folder: string
  readonly #running: RunningProgram[] = []

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async build(source: string): Promise<Program> {
    const folder = mkdtempSync(join(tmpdir(), 'petrel-program-'))
    await build({
      stdin: { contents: PRELUDE + source, resolveDir: folder },
      bundle: true,
      platform: 'node',
      format: 'esm',
      // `ws` is CommonJS, and asks for Node's modules when it is loaded.
      banner: { js: REQUIRE },
      outfile: join(folder, 'program.mjs'),
    })
    return new Program(folder)
  }

  run(...args: readonly string[]): RunningProgram {
    const running = new RunningProgram([join(this.#folder, 'program.mjs'), ...args])
    this.#running.push(running)
    return running
  }

  /** The end of the tests: nothing is left of it. */
  remove(): void {
    for (const running of this.#running) running.signal('SIGKILL')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export class RunningProgram {
  readonly said: Said[] = []
  /** What it wrote to its standard error. */
  errors = ''
  /** Its exit code; null when a signal ended it. */
  readonly ended: Promise<number | null>
  readonly #process: ChildProcess
  readonly #waiters = new Waiters()

  constructor(args: readonly string[]) {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#process = child
    this.ended = new Promise((resolve) => child.on('close', resolve))
    child.stderr.on('data', (chunk: Buffer) => void (this.errors += chunk.toString()))
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.said.push(JSON.parse(line) as Said)
      this.#waiters.check()
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal)
  }

  of(what: string): readonly Said[] {
    return this.said.filter((one) => one.what === what)
  }

  /** Resolves when it has said so as often. @throws Error after 20 s */
  until(what: string, count = 1): Promise<void> {
    return this.#waiters.until(count, `lines that say ${what}`, () => this.of(what).length)
  }
}

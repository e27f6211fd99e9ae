// Starts store-program.ts in processes of its own, against a broker on a port of this machine: they can be killed,
// stopped, started as somebody else or in a name space of their own.
import { type ChildProcess, spawn } from 'node:child_process'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, afterEach, beforeAll } from 'vitest'

export interface ProgramOptions {
  readonly url: string
  /** The store's. */
  readonly folder: string
  readonly version: '3.1.1' | '5'
  /** What starts the program; it gets Node and its parameters as its own. Default: nothing but Node. */
  readonly command?: readonly string[]
  /** Who runs it. Default: who runs the tests. */
  readonly uid?: number
}

export class RunningProgram {
  readonly child: ChildProcess
  /** All that it has said. */
  readonly lines: string[] = []
  readonly #ended: Promise<void>
  #waiting: { readonly pattern: RegExp; readonly from: number; readonly resolve: (line: string) => void }[] =
    []

  constructor(child: ChildProcess) {
    this.child = child
    const { stdout } = child
    if (stdout === null) throw new Error('the program has no output')
    const lines = createInterface({ input: stdout })
    lines.on('line', (line) => this.#handle(line))
    this.#ended = new Promise((resolve) => lines.once('close', resolve))
  }

  /** The first line from the `from`th on that matches, when it comes. */
  line(pattern: RegExp, from = 0): Promise<string> {
    const there = this.lines.slice(from).find((line) => pattern.test(line))
    if (there !== undefined) return Promise.resolve(there)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pattern, from, resolve })
      void this.#ended.then(() => {
        reject(new Error(`the program ended and did not say ${pattern}; it said: ${this.lines.join(' | ')}`))
      })
    })
  }

  /** Resolves when it has said so many lines. */
  async said(count: number): Promise<void> {
    while (this.lines.length < count) await this.line(/^/, this.lines.length)
  }

  tell(command: string): void {
    this.child.stdin?.write(`${command}\n`)
  }

  /** It has ended, and all that it has said is here. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }

  /** Resolves when it has ended by itself. */
  ended(): Promise<void> {
    return this.#ended
  }

  #handle(line: string): void {
    this.lines.push(line)
    this.#waiting = this.#waiting.filter(({ pattern, from, resolve }) => {
      if (this.lines.length <= from || !pattern.test(line)) return true
      resolve(line)
      return false
    })
  }
}

export interface Programs {
  /** A place that is removed after the tests, and that everybody may enter. */
  readonly place: () => string
  readonly start: (options: ProgramOptions) => RunningProgram
}

/** Call it once in a test file: what is started ends after each test. */
export function usePrograms(): Programs {
  const running: RunningProgram[] = []
  let place = ''
  beforeAll(async () => {
    place = await mkdtemp(join(tmpdir(), 'petrel-store-'))
    await chmod(place, 0o755)
    await build({
      entryPoints: [fileURLToPath(new URL('store-program.ts', import.meta.url))],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: join(place, 'program.mjs'),
    })
  })
  afterEach(async () => {
    await Promise.all(running.splice(0).map((program) => program.kill()))
  })
  afterAll(() => rm(place, { recursive: true }))
  return {
    place: () => place,
    start: ({ url, folder, version, command = [], uid }) => {
      const own = [join(place, 'program.mjs'), url, folder, version]
      const [file = process.execPath, ...before] = command
      const parameters = command.length === 0 ? own : [...before, process.execPath, ...own]
      const options = uid === undefined ? {} : { uid }
      const child = spawn(file, parameters, { stdio: ['pipe', 'pipe', 'inherit'], ...options })
      child.stdin.on('error', () => undefined) // it may have ended
      const program = new RunningProgram(child)
      running.push(program)
      return program
    },
  }
}

// The processes of a run, each in a process group and a temporary folder of its own. Whatever becomes of the run, all of
// them end, by the ids that they were started with: Erlang's programs leave children behind that nobody else would end.
// Nothing here knows a test runner.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Program {
  readonly path: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>> | undefined
  /** Ports that are open when it is ready. */
  readonly ports: readonly number[]
  /** ms that it may take. Default 20,000. */
  readonly patience?: number
}

/** How often other ports are tried when somebody else has taken a free one. */
const ATTEMPTS = 3

/** ms after which what does not end is killed. */
const LAST_WORDS = 5_000

const running = new Set<Daemon>()
const folders = new Set<string>()

process.on('exit', () => {
  for (const daemon of running) daemon.signal('SIGKILL')
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** Ends whatever still runs, and removes the folders. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map((daemon) => daemon.end()))
  for (const folder of folders) removeFolder(folder)
}

/** A folder that is removed at the end of the run; programs that give up root's rights can read it. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'petrel-brokers-'))
  chmodSync(folder, 0o755)
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}

/** @returns the path of the file */
export function writeLines(folder: string, name: string, lines: readonly string[]): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${lines.join('\n')}\n`)
  return path
}

/** Free on loopback, all different. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => net.createServer().listen(0, '127.0.0.1'))
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

/** Starts a program on free ports, on others when one of them was taken in the meantime. */
export async function startOnFreePorts(
  count: number,
  programOn: (ports: readonly number[]) => Program,
): Promise<{ readonly daemon: Daemon; readonly ports: readonly number[] }> {
  for (let attempt = 1; ; attempt += 1) {
    const ports = await freePorts(count)
    try {
      return { daemon: await Daemon.start(programOn(ports)), ports }
    } catch (error) {
      if (attempt === ATTEMPTS || !/in use|eaddrinuse/i.test(String(error))) throw error
    }
  }
}

export class Daemon {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #ended: Promise<unknown>
  #log = ''
  #failure: Error | undefined = undefined

  private constructor({ path, args, env = {} }: Program) {
    this.#name = path
    // Its standard input stays open: an Erlang shell ends with it. The group is what signals go to.
    const child = spawn(path, args, { env: { ...process.env, ...env }, stdio: 'pipe', detached: true })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => this.#take(chunk))
    this.#ended = new Promise<void>((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', (error) => {
        this.#failure = error
        resolve()
      })
    }).then(() => running.delete(this))
    running.add(this)
  }

  /** @throws Error with what it has said, when its ports do not open */
  static async start(program: Program): Promise<Daemon> {
    const daemon = new Daemon(program)
    const { patience = 20_000, ports } = program
    const deadline = performance.now() + patience
    for (const port of ports) {
      while (!(await isOpen(port))) {
        if (daemon.isRunning && performance.now() < deadline) {
          await sleep(20)
          continue
        }
        await daemon.end()
        const what = daemon.#failure?.message ?? `port ${port} did not open`
        throw new Error(`${daemon.#name} did not start: ${what}\n${daemon.log}`)
      }
    }
    return daemon
  }

  get isRunning(): boolean {
    return running.has(this)
  }

  /** The end of what it has said. */
  get log(): string {
    return this.#log
  }

  /** Also to what it has started. */
  signal(signal: NodeJS.Signals): void {
    const { pid } = this.#child
    if (pid === undefined) return
    try {
      process.kill(-pid, signal)
    } catch (error) {
      // All of the group have ended.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** As an administrator does; what does not obey is killed. */
  async end(): Promise<void> {
    if (!this.isRunning) return
    this.signal('SIGTERM')
    const late = setTimeout(() => this.signal('SIGKILL'), LAST_WORDS)
    await this.#ended
    clearTimeout(late)
    // What it has started and did not end.
    this.signal('SIGKILL')
  }

  /** As a crash does. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#ended
  }

  #take(chunk: Buffer): void {
    this.#log = (this.#log + chunk.toString()).slice(-4_000)
  }
}

/** The daemons of a cluster, by number. */
export class Nodes {
  readonly #start: (node: number) => Promise<Daemon>
  readonly #daemons: Daemon[] = []

  private constructor(start: (node: number) => Promise<Daemon>) {
    this.#start = start
  }

  /** All at once. @throws Error when one does not start; then none is left */
  static async start(count: number, start: (node: number) => Promise<Daemon>): Promise<Nodes> {
    const nodes = new Nodes(start)
    const started = await Promise.allSettled(Array.from({ length: count }, (_, node) => start(node)))
    for (const result of started) if (result.status === 'fulfilled') nodes.#daemons.push(result.value)
    const failed = started.find((result) => result.status === 'rejected')
    if (failed === undefined) return nodes
    await nodes.kill()
    throw failed.reason
  }

  /** As a crash does: one, or all. */
  async kill(node?: number): Promise<void> {
    const chosen = this.#daemons.filter((_, index) => node === undefined || index === node)
    await Promise.all(chosen.map((daemon) => daemon.kill()))
  }

  async restart(node: number): Promise<void> {
    this.#daemons[node] = await this.#start(node)
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host: '127.0.0.1', port })
    const answer = (open: boolean): void => {
      socket.destroy()
      resolve(open)
    }
    socket.once('connect', () => answer(true)).once('error', () => answer(false))
  })
}

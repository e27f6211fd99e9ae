// A mosquitto process of one's own: on a free loopback port, with a configuration and a directory that nobody
// else has, as the user who starts it, ended by its process id. Nothing here knows a test runner, so programs
// use it too.
//
// Signals are the interface: SIGUSR1 saves, SIGKILL crashes, SIGSTOP makes it mute while its port stays open.
import { type ChildProcess, spawn } from 'node:child_process'
import { pbkdf2Sync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findExecutable } from './find.ts'
import { Listeners, WAYS } from './mosquitto-listeners.ts'

/**
 * `installed`: the program's defaults, which are 20 messages in flight and 1,000 queued for each client.
 * `plain`: no limits. `persistent`: no limits, and keeps its state in a file. `guarded`: knows the user `ada`
 * with the password `lovelace`, who may use topics below `open/`. `tight`: takes little of everything. `listening`:
 * no limits, and in every way that there is, see `listeners`.
 */
export type MosquittoProfile = 'installed' | 'plain' | 'persistent' | 'guarded' | 'tight' | 'listening'

// With `max_queued_messages 0` mosquitto 2.0 closes the connection on which it refuses a message, and with a
// limit of messages in flight it drops those of QoS 2 beyond it: each profile has the limits that its tests
// are not about.
const NO_LIMITS = ['max_queued_messages 0', 'max_inflight_messages 0'] as const

const LINES: Readonly<Record<Exclude<MosquittoProfile, 'installed'>, readonly string[]>> = {
  plain: ['allow_anonymous true', ...NO_LIMITS],
  persistent: ['allow_anonymous true', ...NO_LIMITS, 'persistence true'],
  guarded: ['allow_anonymous false'],
  listening: ['allow_anonymous true', ...NO_LIMITS],
  tight: [
    'allow_anonymous true',
    'max_queued_messages 0',
    'max_qos 1',
    'max_topic_alias 0',
    'max_packet_size 100',
    'max_inflight_messages 1',
    'retain_available false',
    'max_keepalive 10',
  ],
}

const program = findExecutable('mosquitto')

export const isMosquittoInstalled: boolean = program !== undefined

/** How often another port is tried when somebody else has taken the free one. */
const ATTEMPTS = 5

export class Mosquitto {
  readonly #profile: MosquittoProfile
  readonly #directory: string = mkdtempSync(join(tmpdir(), 'petrel-mosquitto-'))
  #ports: readonly number[] = []
  #listeners: Listeners | undefined = undefined
  #process: ChildProcess | undefined = undefined
  #log = ''
  readonly #killAtExit = (): void => {
    this.#process?.kill('SIGKILL')
    rmSync(this.#directory, { recursive: true, force: true })
  }

  private constructor(profile: MosquittoProfile) {
    this.#profile = profile
  }

  static async start(profile: MosquittoProfile): Promise<Mosquitto> {
    const broker = new Mosquitto(profile)
    process.on('exit', broker.#killAtExit)
    for (let attempt = 1; ; attempt += 1) {
      broker.#ports = await Promise.all((profile === 'listening' ? WAYS : ['mqtt']).map(freePort))
      try {
        await broker.run()
        return broker
      } catch (error) {
        if (attempt < ATTEMPTS && broker.#log.includes('Address already in use')) continue
        await broker.stop()
        throw error
      }
    }
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#ports[0]}`
  }

  /** The ways to a broker that is `listening`. */
  get listeners(): Listeners {
    return (this.#listeners ??= new Listeners(this.#directory))
  }

  /** What it has said, for a test that fails. */
  get log(): string {
    return this.#log
  }

  /** Runs it again after `kill()` or `end()`: the same port, the same directory. */
  async run(): Promise<void> {
    if (program === undefined) throw new Error('mosquitto was not found')
    const child = spawn(program, this.#arguments(), { stdio: ['ignore', 'ignore', 'pipe'] })
    this.#process = child
    this.#log = ''
    await new Promise<void>((resolve, reject) => {
      child.stderr.on('data', (chunk: Buffer) => {
        this.#log += chunk.toString()
        if (/mosquitto version \S+ running/.test(this.#log)) resolve()
      })
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`mosquitto did not start:\n${this.#log}`)))
    })
  }

  /** Ends it as an administrator does: it saves its state when the profile has it keep one. */
  async end(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** Ends it as a crash does: nothing is saved. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  /** Mute, although its port stays open. */
  freeze(): void {
    this.#process?.kill('SIGSTOP')
  }

  thaw(): void {
    this.#process?.kill('SIGCONT')
  }

  /** Has it save its state; resolves when the file is there. */
  async save(): Promise<void> {
    const file = join(this.#directory, 'mosquitto.db')
    const before = modifiedAt(file)
    this.#process?.kill('SIGUSR1')
    while (modifiedAt(file) === before) await sleep(5)
  }

  /** The end of the test: nothing is left of it. */
  async stop(): Promise<void> {
    process.off('exit', this.#killAtExit)
    this.thaw()
    await this.end()
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process
    this.#process = undefined
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    child.kill(signal)
    // One that says "running" has not begun its main loop yet, and would lose the signal there.
    const again = setInterval(() => child.kill(signal), 250)
    await ended
    clearInterval(again)
  }

  #arguments(): readonly string[] {
    // Without a file it listens on loopback only and takes everybody.
    if (this.#profile === 'installed') return ['-p', String(this.#ports[0])]
    const isListening = this.#profile === 'listening'
    const lines = [
      ...(isListening ? this.listeners.lines(this.#ports) : [`listener ${this.#ports[0]} 127.0.0.1`]),
      `persistence_location ${this.#directory}/`,
      ...LINES[this.#profile],
    ]
    // Else it would give up root's rights, and could not write into root's directory.
    if (process.getuid?.() === 0) lines.push('user root')
    if (this.#profile === 'guarded') {
      lines.push(`password_file ${this.#write('passwords', `ada:${hashed('lovelace')}`)}`)
      lines.push(`acl_file ${this.#write('topics', 'user ada\ntopic readwrite open/#')}`)
    }
    return ['-c', this.#write('mosquitto.conf', lines.join('\n'))]
  }

  #write(name: string, text: string): string {
    const path = join(this.#directory, name)
    writeFileSync(path, `${text}\n`, { mode: 0o600 })
    return path
  }
}

/** A password as mosquitto_passwd writes it. */
function hashed(password: string): string {
  const iterations = 101
  const salt = randomBytes(12)
  const hash = pbkdf2Sync(password, salt, iterations, 64, 'sha512')
  return `$7$${iterations}$${salt.toString('base64')}$${hash.toString('base64')}`
}

function modifiedAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('a port was expected')
  return address.port
}

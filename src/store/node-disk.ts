/**
 * The real disk, over `node:fs/promises`: nothing here blocks the event loop.
 *
 * Whether the process behind a lock still lives is asked of `/proc`, where a process has a number and a start; a
 * zombie is dead. Without `/proc`, `ps` knows the start (macOS, BSD). Windows has neither: there a number that is
 * in use again counts as alive, unless the lock's process began before the machine did.
 */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, readFile, readlink, rename, unlink } from 'node:fs/promises'
import { uptime } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { codeOf, type Disk, type DiskFile, type DiskOwner } from './disk.ts'

export const nodeDisk: Disk = {
  async mkdir(path) {
    const outermost = await mkdir(path, { recursive: true, mode: 0o700 }) // messages may be nobody else's business
    if (outermost === undefined) return
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      await syncDirectory(folder)
      if (folder.length < outermost.length) return
    }
  },
  list: (path) => readdir(path),
  async read(path) {
    const { buffer, byteOffset, byteLength } = await readFile(path)
    return new Uint8Array(buffer, byteOffset, byteLength)
  },
  open: async (path, mode) => new NodeFile(await open(path, mode === 'empty' ? 'w' : 'r+')),
  rename,
  unlink,
  syncDirectory,
  owner: async () => ({
    pid: process.pid,
    start: (await startOf(process.pid)) ?? `w${Math.round(bootOrStart(process.uptime()))}`,
    place: await placeOfNumbers(),
    token: randomUUID().slice(0, 8),
  }),
  isAlive: async (owner) => owner.place === (await placeOfNumbers()) && isAlive(owner),
  pause: async (milliseconds) => {
    await pause(milliseconds)
  },
}

class NodeFile implements DiskFile {
  readonly #handle: FileHandle

  constructor(handle: FileHandle) {
    this.#handle = handle
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten
    }
  }

  datasync(): Promise<void> {
    return this.#handle.datasync()
  }

  truncate(length: number): Promise<void> {
    return this.#handle.truncate(length)
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}

/** Where a folder cannot be synced, or a parent not even be read, the system must keep the names unasked. */
async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return
  try {
    const folder = await open(path, 'r')
    try {
      await folder.sync()
    } finally {
      await folder.close()
    }
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EACCES'].includes(codeOf(error) ?? '')) throw error
  }
}

async function isAlive(owner: DiskOwner): Promise<boolean> {
  if (!isInUse(owner.pid)) return false
  const start = await startOf(owner.pid)
  if (start !== undefined) return start === owner.start
  const began = Number(/^w(\d+)$/.exec(owner.start)?.[1] ?? Number.POSITIVE_INFINITY)
  return began > bootOrStart(uptime()) - 60_000 // the wall clock may have been set
}

function isInUse(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}

/** When a process began; undefined when the system does not say. */
async function startOf(pid: number): Promise<string | undefined> {
  const stat = await readText(`/proc/${pid}/stat`)
  if (stat !== undefined) {
    // The second field is the program's name and may contain anything; see proc_pid_stat(5).
    const [state = '', ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return 'ZXx'.includes(state) ? 'ended' : `t${fields[18]}`
  }
  if (process.platform === 'win32' || process.platform === 'linux') return undefined
  const began = Date.parse(`${await run('ps', ['-o', 'lstart=', '-p', String(pid)])} UTC`)
  return Number.isNaN(began) ? undefined : `p${began}`
}

async function placeOfNumbers(): Promise<string> {
  const boot = (await readText('/proc/sys/kernel/random/boot_id')) ?? '0'
  const namespace = await readlink('/proc/self/ns/pid').catch(() => '0')
  return `${namespace.replaceAll(/\D/g, '')}.${boot.slice(0, 8)}`
}

function bootOrStart(seconds: number): number {
  return Date.now() - seconds * 1000
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, 'latin1')).trim()
  } catch {
    return undefined
  }
}

function run(program: string, parameters: readonly string[]): Promise<string> {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' }
  return new Promise((resolve) => {
    execFile(program, parameters, { env }, (error, stdout) => resolve(error ? '' : stdout.trim()))
  })
}

/**
 * One owner per folder, without a heartbeat and without a wait after a crash.
 *
 * A lock is a file whose *name* says who owns it: number, start and place of the process, and a token. Nobody
 * ever takes another one's name, so removing a dead owner's file cannot remove a living one's by mistake; with
 * one file of a fixed name, two processes that find the same dead owner can each remove what the other has just
 * created. Whoever wants the lock creates its file first and looks around afterwards: of two, at least one sees
 * the other.
 *
 *   create my file (empty: a claim) → list → nobody else who lives: write a byte into it (held)
 *                                          → one that is held, or a claim with a smaller name: withdraw, refused
 *                                          → claims with larger names only: they withdraw, or had looked before
 *                                            mine was there and will hold; look again
 *
 * Containers. A process sees only those of its own PID namespace, so a lock from another one counts as dead:
 * otherwise a container that was killed could never use its volume again, since each start is a new namespace.
 * The same is true of a lock from before a reboot, or from another machine on a network folder. Two containers or
 * machines must therefore not share one store's folder.
 */
import { MqttError } from '../core/errors.ts'
import { codeOf, type Disk, type DiskOwner } from './disk.ts'

const NAME = /^lock-([1-9]\d{0,9})-([0-9a-z.]+)-([0-9a-z.]+)-([0-9a-z.]+)$/
const LOOKS = 100
const LOOK_INTERVAL = 10

export class FileLock {
  readonly #disk: Disk
  readonly #folder: string
  #owner: DiskOwner | undefined
  /** The name of the file that exists, or may exist since an attempt to create or remove it failed. */
  #name: string | undefined

  constructor(disk: Disk, folder: string) {
    this.#disk = disk
    this.#folder = folder
  }

  /** @throws MqttError `store-in-use`, and what the disk throws */
  async acquire(): Promise<void> {
    this.#owner ??= await this.#disk.owner()
    const name = lockName(this.#owner)
    this.#name = name
    try {
      await this.#write(name, new Uint8Array(0))
      for (let look = 1; ; look++) {
        const rivals = await this.#findRivals(name)
        if (rivals.length === 0) break
        for (const rival of rivals) {
          const mayYield = name < rival.name && look < LOOKS
          if (!mayYield || (await this.#isHeld(rival.name))) throw this.#inUse(rival.owner)
        }
        await this.#disk.pause(LOOK_INTERVAL)
      }
      await this.#write(name, Uint8Array.of(1))
    } catch (error) {
      await this.release().catch(() => undefined) // the error that counts is the first one
      throw error
    }
  }

  /** Harmless when repeated; when it rejects, it can be tried again, and so can `acquire`. */
  async release(): Promise<void> {
    if (this.#name === undefined) return
    await this.#remove(this.#name)
    this.#name = undefined
  }

  /** Others that live. The files of those that do not are removed on the way. */
  async #findRivals(mine: string): Promise<readonly { name: string; owner: DiskOwner }[]> {
    const rivals: { name: string; owner: DiskOwner }[] = []
    for (const name of await this.#disk.list(this.#folder)) {
      const owner = name === mine ? undefined : ownerOf(name)
      if (owner === undefined) continue
      if (await this.#disk.isAlive(owner)) rivals.push({ name, owner })
      else await this.#remove(name).catch(() => undefined) // it is dead, there or not
    }
    return rivals
  }

  async #isHeld(name: string): Promise<boolean> {
    try {
      return (await this.#disk.read(this.#pathOf(name))).length > 0
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return false
      throw error
    }
  }

  async #write(name: string, content: Uint8Array): Promise<void> {
    const file = await this.#disk.open(this.#pathOf(name), 'empty')
    try {
      if (content.length > 0) await file.write(content, 0)
    } finally {
      await file.close()
    }
  }

  async #remove(name: string): Promise<void> {
    try {
      await this.#disk.unlink(this.#pathOf(name))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }

  #inUse(rival: DiskOwner): MqttError {
    const isOurs = rival.pid === this.#owner?.pid
    const who = isOurs ? 'another client of this process' : `the process ${rival.pid}`
    return new MqttError(
      'store-in-use',
      `the session store ${this.#folder} is used by ${who}; close that one first, or use another folder`,
    )
  }

  #pathOf(name: string): string {
    return `${this.#folder}/${name}`
  }
}

function lockName({ pid, start, place, token }: DiskOwner): string {
  return `lock-${pid}-${start}-${place}-${token}`
}

function ownerOf(name: string): DiskOwner | undefined {
  const [, pid, start, place, token] = NAME.exec(name) ?? []
  if (pid === undefined || start === undefined || place === undefined || token === undefined) return undefined
  return { pid: Number(pid), start, place, token }
}

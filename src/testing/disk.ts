/**
 * A disk in memory that does to the file store what real ones do at the worst moment: it is slow, full, fails
 * half-way, and forgets at a loss of power whatever was not synced. One function decides the fate of each step
 * and one gives random numbers, so equal decisions give equal bytes.
 *
 * What a loss of power leaves, per file and per folder:
 *
 *   synced            kept
 *   content since     each write by itself: kept, kept in part, lost (holes read as zeros)
 *   names since       each creation, rename, unlink by itself: kept or lost, whatever happened to the content
 *
 * That is more than one real file system does, and no less than POSIX allows. A failed `datasync` is as bad as
 * Linux makes it: what it did not write may count as clean, so that the next one succeeds without it.
 * A process that dies (`kill`) loses nothing that it had written, and its steps never settle.
 */
import type { Disk, DiskFile, DiskOwner } from '../store/disk.ts'
import { Inode } from './disk-inode.ts'

export type DiskOperation = Exclude<keyof Disk | keyof DiskFile, 'pause'>

export interface DiskStep {
  /** Counted from 1 over the life of the disk. */
  readonly number: number
  readonly operation: DiskOperation
  readonly path: string
}

/** The fate of a step; nothing of it means that it just works. */
export interface DiskFate {
  /** In the scheduler's milliseconds. */
  readonly delay?: number
  /** The step rejects with this code and may have happened in part: `'EIO'`, `'ENOSPC'`, … */
  readonly fail?: string
  /** The process dies, or the power goes, while the step is under way or before it is heard that it is done. */
  readonly crash?: { readonly when: 'before' | 'after'; readonly kind: 'process' | 'power' }
}

export interface SimulatedDiskOptions {
  /** At least 0, below 1. */
  readonly random: () => number
  readonly decide?: (step: DiskStep) => DiskFate | undefined
  /** Runs something later; by default as soon as the stack is empty, whatever the delay. */
  readonly schedule?: (run: () => void, milliseconds: number) => void
  /** False: `datasync` and `syncDirectory` only pretend, to show that a test notices. */
  readonly sync?: boolean
}

export class SimulatedDisk {
  /** Bytes that fit; may be changed at any time. */
  capacity: number = Number.POSITIVE_INFINITY
  /** How often each operation was begun. */
  readonly counts: Map<DiskOperation, number> = new Map<DiskOperation, number>()

  readonly #random: () => number
  readonly #decide: (step: DiskStep) => DiskFate | undefined
  readonly #schedule: (run: () => void, milliseconds: number) => void
  readonly #syncs: boolean
  readonly #folders = new Set<string>()
  #names = new Map<string, Inode>()
  #durableNames = new Map<string, Inode>()
  #changedNames: NameChange[] = []
  #processes: SimulatedProcess[] = []
  #underWay = new Set<Step>()
  #steps = 0
  #boots = 1
  #starts = 0
  #tokens = 0
  #crashed = withResolver()

  constructor(options: SimulatedDiskOptions) {
    this.#random = options.random
    this.#decide = options.decide ?? (() => undefined)
    this.#schedule = options.schedule ?? ((run) => queueMicrotask(run))
    this.#syncs = options.sync ?? true
  }

  get steps(): number {
    return this.#steps
  }

  /** The disk as a new process sees it. Numbers of dead processes may be given again. */
  start(pid: number = 100 + this.#starts): Disk {
    this.#starts += 1
    const process = new SimulatedProcess(this, pid, this.#starts)
    this.#processes.push(process)
    return process
  }

  /** Ends a process; what it had under way may have happened, or part of it. */
  kill(disk: Disk): void {
    this.#end(disk)
    this.#announce('process')
  }

  #end(disk: Disk): void {
    for (const step of this.#underWay) {
      if (step.process !== disk) continue
      this.#underWay.delete(step)
      step.half()
    }
    this.#processes = this.#processes.filter((process) => process !== disk)
  }

  #announce(kind: 'process' | 'power'): void {
    this.#crashed.resolve(kind)
    this.#crashed = withResolver()
  }

  /** Ends all processes, and forgets what a loss of power forgets. */
  losePower(): void {
    for (const process of this.#processes) this.#end(process)
    this.#boots += 1
    for (const change of this.#changedNames) if (this.#random() < 0.5) change.apply(this.#durableNames)
    this.#changedNames = []
    this.#names = new Map(this.#durableNames)
    for (const inode of new Set(this.#names.values())) inode.losePower(this.#random)
    this.#announce('power')
  }

  /** Resolves at the next crash, for those who wait for a step that will never settle. */
  whenCrashed(): Promise<'process' | 'power'> {
    return this.#crashed.promise
  }

  /** What a reader would find now, or undefined. */
  contentOf(path: string): Uint8Array | undefined {
    return this.#names.get(path)?.live.copy()
  }

  /** Puts a file there, durable, as if by another program. */
  put(path: string, content: Uint8Array): void {
    const inode = new Inode()
    inode.change({ at: 0, bytes: content })
    inode.sync()
    this.#names.set(path, inode)
    this.#durableNames.set(path, inode)
  }

  paths(): readonly string[] {
    return [...this.#names.keys()].sort()
  }

  // What processes do.

  isRunning(process: Disk): boolean {
    return this.#processes.some((other) => other === process)
  }

  ownerOf(process: SimulatedProcess): DiskOwner {
    this.#tokens += 1
    const token = `${Math.floor(this.#random() * 0x1000).toString(16)}.${this.#tokens}`
    return { pid: process.pid, start: String(process.started), place: `boot${this.#boots}`, token }
  }

  findOwner({ pid, start, place }: DiskOwner): boolean {
    const isSame = (process: SimulatedProcess): boolean =>
      process.pid === pid && `${process.started}` === start
    return place === `boot${this.#boots}` && this.#processes.some(isSame)
  }

  /** Does `effect` later, or what fate has in store: `half` of it in a crash, what `failed` does in a failure. */
  step<T>(
    process: SimulatedProcess,
    operation: DiskOperation,
    path: string,
    effect: () => T,
    half: () => void = () => void (this.#random() < 0.5 && effect()),
    failed: () => void = half,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (!this.isRunning(process)) return
      this.#steps += 1
      this.counts.set(operation, (this.counts.get(operation) ?? 0) + 1)
      const fate = this.#decide({ number: this.#steps, operation, path }) ?? {}
      const step = { process, half: () => attempt(half) }
      this.#underWay.add(step)
      this.#schedule(() => {
        if (!this.#underWay.has(step)) return
        if (fate.crash?.when === 'before') return this.#crash(process, fate.crash.kind)
        this.#underWay.delete(step)
        try {
          const result = fate.fail === undefined ? effect() : attempt(failed)
          if (fate.crash !== undefined) return this.#crash(process, fate.crash.kind)
          if (fate.fail === undefined) resolve(result as T)
          else reject(systemError(fate.fail, operation, path))
        } catch (error) {
          reject(error)
        }
      }, fate.delay ?? 0)
    })
  }

  schedule(run: () => void, milliseconds: number): void {
    this.#schedule(run, milliseconds)
  }

  mkdir(path: string): void {
    if (this.#names.has(path)) throw systemError('EEXIST', 'mkdir', path)
    this.#folders.add(path)
  }

  list(path: string): readonly string[] {
    if (!this.#folders.has(path)) throw systemError('ENOENT', 'list', path)
    const inside = [...this.#names.keys()].filter((name) => folderOf(name) === path)
    return inside.map((name) => name.slice(path.length + 1)).sort()
  }

  find(path: string, operation: DiskOperation): Inode {
    const inode = this.#names.get(path)
    if (inode === undefined) throw systemError('ENOENT', operation, path)
    return inode
  }

  open(path: string, mode: 'existing' | 'empty'): Inode {
    if (mode === 'existing') return this.find(path, 'open')
    const there = this.#names.get(path)
    if (there !== undefined) {
      there.change({ length: 0 })
      return there
    }
    if (!this.#folders.has(folderOf(path))) throw systemError('ENOENT', 'open', path)
    const inode = new Inode()
    this.#changeNames([[path, inode]])
    return inode
  }

  rename(from: string, to: string): void {
    const inode = this.find(from, 'rename')
    this.#changeNames([
      [from, undefined],
      [to, inode],
    ])
  }

  unlink(path: string): void {
    this.find(path, 'unlink')
    this.#changeNames([[path, undefined]])
  }

  syncDirectory(path: string): void {
    if (!this.#syncs) return
    for (const change of this.#changedNames) if (change.folder === path) change.apply(this.#durableNames)
    this.#changedNames = this.#changedNames.filter((change) => change.folder !== path)
  }

  /** Writes what fits. */
  write(inode: Inode, bytes: Uint8Array, at: number, path: string): void {
    let used = 0
    for (const other of this.#names.values()) if (other !== inode) used += other.live.length
    const fits = Math.max(0, Math.min(bytes.length, this.capacity - used - at))
    if (fits > 0) inode.change({ at, bytes: bytes.slice(0, fits) })
    if (fits < bytes.length) throw systemError('ENOSPC', 'write', path)
  }

  datasync(inode: Inode): void {
    if (this.#syncs) inode.sync()
  }

  failSync(inode: Inode): void {
    if (this.#syncs) inode.failSync(this.#random)
  }

  random(): number {
    return this.#random()
  }

  #crash(process: SimulatedProcess, kind: 'process' | 'power'): void {
    if (kind === 'power') this.losePower()
    else this.kill(process)
  }

  #changeNames(entries: readonly (readonly [path: string, inode: Inode | undefined])[]): void {
    const folder = folderOf(entries[0]?.[0] ?? '')
    const apply = (names: Map<string, Inode>): void => {
      for (const [path, inode] of entries) {
        if (inode === undefined) names.delete(path)
        else names.set(path, inode)
      }
    }
    apply(this.#names)
    this.#changedNames.push({ folder, apply })
  }
}

interface Step {
  readonly process: SimulatedProcess
  readonly half: () => void
}

interface NameChange {
  readonly folder: string
  readonly apply: (names: Map<string, Inode>) => void
}

class SimulatedProcess implements Disk {
  readonly #machine: SimulatedDisk
  readonly pid: number
  readonly started: number

  constructor(machine: SimulatedDisk, pid: number, started: number) {
    this.#machine = machine
    this.pid = pid
    this.started = started
  }

  mkdir(path: string): Promise<void> {
    return this.#machine.step(this, 'mkdir', path, () => this.#machine.mkdir(path))
  }

  list(path: string): Promise<readonly string[]> {
    return this.#machine.step(this, 'list', path, () => this.#machine.list(path))
  }

  read(path: string): Promise<Uint8Array> {
    return this.#machine.step(this, 'read', path, () => this.#machine.find(path, 'read').live.copy())
  }

  open(path: string, mode: 'existing' | 'empty'): Promise<DiskFile> {
    const effect = (): DiskFile => this.#fileOf(this.#machine.open(path, mode), path)
    return this.#machine.step(this, 'open', path, effect)
  }

  rename(from: string, to: string): Promise<void> {
    return this.#machine.step(this, 'rename', from, () => this.#machine.rename(from, to))
  }

  unlink(path: string): Promise<void> {
    return this.#machine.step(this, 'unlink', path, () => this.#machine.unlink(path))
  }

  syncDirectory(path: string): Promise<void> {
    return this.#machine.step(this, 'syncDirectory', path, () => this.#machine.syncDirectory(path))
  }

  owner(): Promise<DiskOwner> {
    return this.#machine.step(this, 'owner', '', () => this.#machine.ownerOf(this))
  }

  isAlive(owner: DiskOwner): Promise<boolean> {
    return this.#machine.step(this, 'isAlive', '', () => this.#machine.findOwner(owner))
  }

  pause(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      this.#machine.schedule(() => this.#machine.isRunning(this) && resolve(), milliseconds)
    })
  }

  #fileOf(inode: Inode, path: string): DiskFile {
    const machine = this.#machine
    return {
      write: (bytes, position) => {
        const write = (length: number): void => machine.write(inode, bytes.slice(0, length), position, path)
        const half = (): void => write(Math.floor(machine.random() * 1.4 * bytes.length)) // at times all of it
        return machine.step(this, 'write', path, () => write(bytes.length), half)
      },
      datasync: () => {
        const sync = (): void => machine.datasync(inode)
        return machine.step(this, 'datasync', path, sync, undefined, () => machine.failSync(inode))
      },
      truncate: (length) => machine.step(this, 'truncate', path, () => inode.change({ length })),
      close: () => machine.step(this, 'close', path, () => undefined),
    }
  }
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

function attempt(effect: () => void): void {
  try {
    effect()
  } catch {
    // what cannot be done has not happened
  }
}

function systemError(code: string, operation: DiskOperation, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${operation} '${path}'`), { code })
}

function withResolver(): Resolver {
  let resolve: Resolver['resolve'] = () => undefined
  const promise = new Promise<'process' | 'power'>((done) => {
    resolve = done
  })
  return { promise, resolve }
}

interface Resolver {
  readonly promise: Promise<'process' | 'power'>
  readonly resolve: (kind: 'process' | 'power') => void
}

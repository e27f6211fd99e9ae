// A program with a client and a file store whose disk, wire and clock are simulated: it can be killed, or lose its
// power, at any step of its disk, and is started again. A witness stands between client and store and knows what
// may be found after each crash: every batch that was promised, and the one under way, whole or not at all.
import type { Client } from '../../src/client/client.ts'
import type { CommonOptions } from '../../src/client/client-options.ts'
import { ClientPool } from '../../src/client/pool.ts'
import type { ControlPacket, PacketType, ProtocolVersion } from '../../src/core/packets/types.ts'
import { restoreSession } from '../../src/core/session/restore.ts'
import type { Session } from '../../src/core/session/session.ts'
import type { Disk } from '../../src/store/disk.ts'
import { type FileStore, fileStoreOn } from '../../src/store/file.ts'
import type { Durability, SessionStore } from '../../src/store/store.ts'
import { Broker } from '../../src/testing/broker/broker.ts'
import type { BrokerOptions } from '../../src/testing/broker/options.ts'
import { type DiskFate, type DiskOperation, type DiskStep, SimulatedDisk } from '../../src/testing/disk.ts'
import { SimulatedProcess } from '../../src/testing/simulated-process.ts'
import { VirtualRuntime } from '../../src/testing/virtual-runtime.ts'
import { Wire } from '../../src/testing/wire.ts'
import { durableOptions } from './client-world.ts'

export type CrashKind = 'process' | 'power'

export interface StoreWorldOptions {
  readonly seed?: number
  /** Of the store. Default `'process'`. */
  readonly durability?: CrashKind
  readonly segmentBytes?: number
  /** False: the disk only pretends to sync. */
  readonly sync?: boolean
  readonly broker?: BrokerOptions
}

type PacketOf<T extends PacketType> =
  Extract<ControlPacket, { type: T }> extends never
    ? Extract<ControlPacket, { readonly packetId: number; readonly reasonCode: number }>
    : Extract<ControlPacket, { type: T }>

export const FOLDER = '/session'

export class StoreWorld {
  readonly version: ProtocolVersion
  readonly runtime: VirtualRuntime
  readonly broker: Broker
  readonly wire: Wire
  readonly machine: SimulatedDisk
  readonly witness: Witness = new Witness()
  /** What the broker got, in order. */
  readonly fromClient: ControlPacket[] = []
  /** The fate of each step of the disk. */
  decide: (step: DiskStep) => DiskFate | undefined = () => undefined
  /** Told once of each death. */
  died: () => void = () => undefined
  readonly #options: StoreWorldOptions
  #program: Program | undefined = undefined

  constructor(version: ProtocolVersion, options: StoreWorldOptions = {}) {
    const runtime = new VirtualRuntime({ seed: options.seed ?? 1 })
    this.version = version
    this.runtime = runtime
    this.#options = options
    const { onPacket, ...broker } = options.broker ?? {}
    this.broker = new Broker({
      ...broker,
      onPacket: (direction, packet, connection) => {
        if (direction === 'in') this.fromClient.push(packet)
        onPacket?.(direction, packet, connection)
      },
    })
    this.wire = new Wire(this.broker, runtime)
    this.wire.latency = 0
    this.machine = new SimulatedDisk({
      random: () => runtime.random(),
      decide: (step) => this.decide(step),
      schedule: (run, milliseconds) => {
        const step = (): void => {
          run()
          this.#look()
        }
        if (milliseconds > 0) runtime.setTimer(step, milliseconds)
        else queueMicrotask(step)
      },
      sync: options.sync ?? true,
    })
  }

  /** The program begins, and has not connected yet. */
  start(options: CommonOptions = {}): Program {
    const disk = this.machine.start()
    const { durability, segmentBytes } = this.#options
    const store = fileStoreOn(disk, FOLDER, {
      durability,
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
    })
    const program = new Program(this, disk, store, {
      clientId: 'client',
      keepAlive: 0,
      retryInitialConnect: true,
      reconnect: { min: 20, max: 200, jitter: false },
      ...options,
    })
    this.#program = program
    return program
  }

  crash(kind: CrashKind): void {
    const program = this.#program
    if (program === undefined) return
    if (kind === 'power') this.machine.losePower()
    else this.machine.kill(program.disk)
    this.#look()
  }

  /** Steps of one kind fail, a moment after they were begun, until `mend`. */
  fail(code: string, failing: DiskOperation): void {
    this.decide = ({ operation }) => (operation === failing ? { fail: code, delay: 1 } : undefined)
  }

  mend(): void {
    this.decide = () => undefined
  }

  advance(milliseconds: number): Promise<void> {
    return this.runtime.advance(milliseconds)
  }

  /** The packets of one type that the broker got. */
  got<T extends PacketType>(type: T): readonly PacketOf<T>[] {
    return this.fromClient.filter((packet) => packet.type === type) as PacketOf<T>[]
  }

  /** The program ends, and what the broker complained of is returned. */
  async end(): Promise<readonly string[]> {
    this.decide = () => undefined
    this.#program?.client.destroy()
    await this.advance(100)
    this.#program?.process.die()
    this.wire.close()
    return this.broker.complaints.map(({ rule, text }) => `${rule}: ${text}`)
  }

  #look(): void {
    const program = this.#program
    if (program === undefined || this.machine.isRunning(program.disk)) return
    this.#program = undefined
    program.process.die()
    this.died()
  }
}

/** One life of the program. */
export class Program {
  readonly disk: Disk
  readonly store: FileStore
  readonly process: SimulatedProcess
  readonly client: Client

  constructor(world: StoreWorld, disk: Disk, store: FileStore, options: CommonOptions) {
    this.disk = disk
    this.store = store
    this.process = new SimulatedProcess(world.runtime)
    const { process } = this
    const dial = world.wire.dialFor((stream) => process.adopt(stream))
    const pool = new ClientPool(undefined, { runtime: process, createDial: () => dial })
    const watched = world.witness.watch(store)
    this.client = pool.createClient(
      'mqtt://simulated',
      durableOptions(world.version, { ...options, store: watched }),
    )
  }

  get isAlive(): boolean {
    return this.process.isAlive
  }
}

type Log = readonly Uint8Array[]

/** Knows what a store has promised to keep. */
export class Witness {
  /** What was found that may not be: batches that are missing, half, or nobody's. */
  readonly violations: string[] = []
  /** What the store gave when it was opened last. */
  found: Log = []
  #kept: Log = []
  /** What may be found as well, because nobody has heard how it went. */
  #others: Log[] = []

  /** The session as another process would find it now. */
  get session(): Session {
    return restoreSession(this.#kept, 0)
  }

  watch(store: SessionStore): SessionStore {
    return {
      get durability(): Durability {
        return store.durability
      },
      open: async () => {
        const found = [...(await store.open())]
        this.#check(found)
        return found
      },
      append: (records) => this.#change([...this.#kept, records.slice()], () => store.append(records)),
      replace: (records) => this.#change([records.slice()], () => store.replace(records)),
      close: () => store.close(),
    }
  }

  async #change(log: Log, work: () => Promise<void>): Promise<void> {
    this.#others.push(log)
    await work()
    this.#kept = log
    this.#others = []
  }

  #check(found: Log): void {
    if (![this.#kept, ...this.#others].some((log) => isEqual(log, found))) {
      const sizes = (log: Log): string => `[${log.map(({ length }) => length).join()}]`
      this.violations.push(
        `found batches of ${sizes(found)} bytes, kept ${sizes(this.#kept)}, possible ${this.#others.map(sizes).join()}`,
      )
    }
    this.found = this.#kept = found.map((batch) => batch.slice())
    this.#others = []
  }
}

function isEqual(one: Log, other: Log): boolean {
  return (
    one.length === other.length &&
    one.every((batch, index) => Buffer.compare(batch, other[index] ?? new Uint8Array(0)) === 0)
  )
}

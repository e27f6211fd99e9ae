/**
 * `simulate(seed)`: a client's life with everything that can go wrong around it, decided by one number.
 *
 *     const { violations, digest, totals } = await simulate(7)
 *     const broken = await simulate(7, { crashes: ['power'], sync: false })   // must find something
 *
 * The real client, store and protocol machine run on virtual time, over a wire and a disk that misbehave. First
 * come faults, then peace, in which everything that pends must settle; an oracle compares what was asked for with
 * what arrived. Equal seeds give equal bytes.
 *
 * A session that the server has lost is no fault that any client can repair, so for a while after it, until the
 * client has heard of it and recorded it, nothing else goes wrong.
 */

import { Oracle } from './oracle.ts'
import { Broker } from './broker/broker.ts'
import { SimulatedClient, type Taking, TAKINGS } from './simulated-client.ts'
import { type CrashKind, SimulationDisk } from './simulation-disk.ts'
import { VirtualRuntime } from './virtual-runtime.ts'
import { Wire } from './wire.ts'
import type { ControlPacket, ProtocolVersion } from '../core/packets/types.ts'

/** What is to be simulated; what is not given follows from the seed. */
export interface SimulationScenario {
  readonly version?: ProtocolVersion
  /** Steps of the phase of faults. Default 320. */
  readonly steps?: number
  /** The disk is slow, failing and full at times. */
  readonly storeFaults?: boolean
  /** How processes die; with `'power'` the store is to survive that, too. */
  readonly crashes?: readonly CrashKind[]
  /** How messages are taken. */
  readonly taking?: Taking
  /** False: the disk only pretends to sync. */
  readonly sync?: boolean
}

/** How often each kind of fault came up. */
export type FaultTotals = Readonly<Record<string, number>>

export interface SimulationResult {
  readonly seed: number
  readonly version: ProtocolVersion
  readonly taking: Taking
  /** Publishes in both directions and other calls. */
  readonly operations: number
  /** What the oracle found: empty when all is well. */
  readonly violations: readonly string[]
  /** Of all bytes on the wire, and when they arrived. */
  readonly digest: string
  readonly totals: FaultTotals
}

/** Plays one seed. */
export function simulate(seed: number, scenario: SimulationScenario = {}): Promise<SimulationResult> {
  return new Simulation(seed, scenario).run()
}

const CLIENT_ID = 'simulated'
/** ms of peace after which everything must have settled. */
const PEACE = 240_000
/** ms without faults after a client has heard that its session was lost. */
const CALM = 3_000

class Simulation {
  readonly #seed: number
  readonly #steps: number
  readonly #version: ProtocolVersion
  readonly #taking: Taking
  readonly #crashes: readonly CrashKind[]
  readonly #storeFaults: boolean
  readonly #runtime: VirtualRuntime
  readonly #oracle: Oracle
  readonly #broker: Broker
  readonly #wire: Wire
  readonly #disk: SimulationDisk
  readonly #program = { aborted: 0, queueFull: 0 }
  readonly #counts = { processCrash: 0, powerLoss: 0, sessionLost: 0, brokerStopped: 0, disconnected: 0 }
  #client: SimulatedClient | undefined = undefined
  #lives = 0
  #operations = 0
  #calmUntil = Infinity
  #isPeaceful = false
  /** What the broker has under way to the client, by packet identifier. */
  readonly #underWay = new Map<number, number>()
  #isSubscribed = false
  #subscribing = 0
  /** The latest connection whose CONNECT the broker has got. */
  #latest = 0
  /** A session was begun behind the client's back. */
  #isUsurped = false

  constructor(seed: number, scenario: SimulationScenario) {
    const runtime = new VirtualRuntime({ seed: Math.imul(seed + 1, 0x9e3779b1) >>> 0 })
    const chance = (): number => runtime.random()
    this.#seed = seed
    this.#runtime = runtime
    this.#steps = scenario.steps ?? 320
    this.#version = scenario.version ?? (seed % 2 === 0 ? '5' : '3.1.1')
    this.#storeFaults = scenario.storeFaults ?? chance() < 0.4
    const dies = chance() < 0.4
    const how: CrashKind = chance() < 0.5 ? 'power' : 'process'
    this.#crashes = scenario.crashes ?? (dies ? [how, 'process'] : [])
    this.#taking = scenario.taking ?? TAKINGS[Math.floor(chance() * TAKINGS.length)] ?? 'handled'
    this.#oracle = new Oracle(this.#version === '5', this.#taking === 'received')
    this.#broker = new Broker({
      receiveMaximum: chance() < 0.5 ? 2 + Math.floor(chance() * 20) : undefined,
      packetIds: chance() < 0.5 ? 'lowest' : 'ascending',
      handOnAt: chance() < 0.5 ? 'publish' : 'pubrel',
      topicAliasMaximum: chance() < 0.5 ? 2 : undefined,
      useTopicAliases: chance() < 0.5,
      onMessage: ({ publisher, topic, qos, payload, properties }) => {
        if (publisher !== CLIENT_ID) return
        const label = properties?.userProperties?.[0]?.[1]
        this.#oracle.arrive('up', { topic, qos, payload: TEXT.decode(payload), label, life: 0 })
      },
      onPacket: (direction, packet, { number }) => {
        this.#watchConnects(packet, number)
        this.#watch(direction, packet)
      },
    })
    this.#wire = new Wire(this.#broker, runtime)
    this.#disk = new SimulationDisk({
      runtime,
      isFaulty: this.#storeFaults,
      crashes: this.#crashes,
      sync: scenario.sync ?? true,
      mayHarm: () => this.#mayHarm(),
      died: (kind) => this.#handleDeath(kind),
    })
  }

  async run(): Promise<SimulationResult> {
    this.#start()
    for (let step = 0; step < this.#steps; step += 1) {
      await this.#act(this.#runtime.random())
      await this.#runtime.advance(this.#runtime.random() * 150)
    }
    await this.#makePeace()
    this.#check()
    await this.#end()
    const { counts } = this.#wire
    return {
      seed: this.#seed,
      version: this.#version,
      taking: this.#taking,
      operations: this.#operations,
      violations: this.#oracle.violations,
      digest: this.#wire.digest,
      totals: { ...counts, ...this.#counts, ...this.#program, ...this.#disk.counts },
    }
  }

  #mayHarm(): boolean {
    return !this.#isPeaceful && this.#runtime.now() >= this.#calmUntil
  }

  #start(): void {
    this.#lives += 1
    this.#client = new SimulatedClient(
      {
        version: this.#version,
        taking: this.#taking,
        counts: this.#program,
        clientId: CLIENT_ID,
        runtime: this.#runtime,
        wire: this.#wire,
        oracle: this.#oracle,
        life: this.#lives,
        closed: () => this.#oracle.close(this.#storeFaults),
        connected: () => {
          if (this.#calmUntil < Infinity) return
          this.#calmUntil = this.#runtime.now() + CALM
          // Until now the client went on as if it had a session.
          this.#oracle.loseSession()
        },
      },
      this.#disk.start(),
    )
  }

  async #act(choice: number): Promise<void> {
    const client = this.#client
    if (choice < 0.89) {
      this.#operations += 1
      if (choice < 0.35) this.#publishDown()
      else if (client === undefined) this.#operations -= 1
      else if (choice < 0.85) client.publish()
      else client.ask()
      return
    }
    // No fault, but what a user does; with the loss of a session that the client has not heard of, it would be one.
    if (choice >= 0.984 && choice < 0.99) return this.#calmUntil < Infinity ? this.#disconnect() : undefined
    if (!this.#mayHarm()) return
    if (choice < 0.94) this.#wire.cut()
    else if (choice < 0.95) this.#wire.blackHole()
    else if (choice < 0.96) this.#obstruct()
    else if (choice < 0.97) this.#stopBroker()
    else if (choice < 0.98) this.#fillDisk()
    else if (choice < 0.984) this.#loseSession()
    else this.#crash()
  }

  #publishDown(): void {
    const random = (): number => this.#runtime.random()
    const qos = ([0, 1, 2] as const)[Math.floor(random() * 3)] ?? 0
    const topic = `down/${Math.floor(random() * 2)}`
    const message = this.#oracle.publish('down', topic, qos, Math.floor(random() * 30))
    // Nobody waits for it: the broker has no session that would, or may lose it.
    this.#oracle.settle(message, 'ok')
    message.isExempt = !this.#isSubscribed || this.#isUsurped
    const { payload, id } = message
    const properties = this.#version === '5' ? { userProperties: [['id', `${id}`]] as const } : undefined
    this.#broker.publish({ topic, qos, payload, ...(properties === undefined ? {} : { properties }) })
  }

  #obstruct(): void {
    this.#wire.dialing = this.#runtime.random() < 0.5 ? 'refused' : 'ignored'
    this.#runtime.setTimer(() => (this.#wire.dialing = 'answered'), this.#runtime.random() * 5_000)
    this.#wire.cut()
  }

  #stopBroker(): void {
    this.#counts.brokerStopped += 1
    this.#broker.pause()
    this.#runtime.setTimer(() => this.#broker.resume(this.#runtime.now()), this.#runtime.random() * 3_000)
  }

  #fillDisk(): void {
    if (!this.#storeFaults) return
    this.#disk.setFull(true)
    this.#runtime.setTimer(() => this.#disk.setFull(false), this.#runtime.random() * 1_500)
  }

  #loseSession(): void {
    if (!this.#broker.sessions.has(CLIENT_ID) || this.#client?.isConnected !== true) return
    this.#counts.sessionLost += 1
    this.#calmUntil = Infinity
    this.#isSubscribed = false
    this.#underWay.clear()
    this.#oracle.loseSession()
    this.#broker.loseSession(CLIENT_ID)
  }

  async #disconnect(): Promise<void> {
    const client = this.#client
    if (client === undefined || !client.isSubscribed) return
    this.#counts.disconnected += 1
    this.#oracle.close(this.#storeFaults)
    client.reconnect(this.#runtime.random() < 0.5 ? 0 : 200)
    await this.#runtime.advance(100)
  }

  #crash(): void {
    const kind = this.#crashes[Math.floor(this.#runtime.random() * this.#crashes.length)]
    if (kind !== undefined) this.#disk.crash(kind)
  }

  #handleDeath(kind: CrashKind): void {
    this.#counts[kind === 'power' ? 'powerLoss' : 'processCrash'] += 1
    this.#client?.die()
    this.#client = undefined
    this.#oracle.doubt(false)
    this.#runtime.setTimer(() => this.#start(), 10 + this.#runtime.random() * 1_000)
  }

  #watch(direction: 'in' | 'out', packet: { type: string }): void {
    const { type, packetId, payload, reasonCode, subscriptions: filters } = packet as Watched
    if (type === 'subscribe' && filters.some(({ filter }) => filter === 'down/#')) {
      this.#subscribing = packetId
    }
    if (direction === 'out' && type === 'suback' && packetId === this.#subscribing) this.#isSubscribed = true
    if (direction === 'out' && type === 'publish' && packetId > 0) {
      this.#underWay.set(packetId, Number(TEXT.decode(payload).split(' ', 2)[1]))
    }
    if (direction !== 'in' || type !== 'pubrec' || reasonCode >= 0x80) return
    const message = this.#oracle.sent[this.#underWay.get(packetId) ?? -1]
    if (message !== undefined) message.isReceived = true
  }

  /**
   * The CONNECT of a process that has died, or of an attempt that was given up, may arrive behind that of a later
   * connection. When it begins a session, the client does not hear of it, and its protocol has no way to tell it:
   * messages of that session look like those of the lost one.
   */
  #watchConnects(packet: ControlPacket, connection: number): void {
    if (packet.type === 'connect') this.#latest = Math.max(this.#latest, connection)
    if (packet.type !== 'connack' || packet.sessionPresent || packet.reasonCode !== 0) return
    if (connection >= this.#latest) return
    this.#isUsurped = true
    this.#oracle.loseSession()
  }

  /** The faults end. */
  async #makePeace(): Promise<void> {
    await this.#runtime.advance(6_000)
    this.#isPeaceful = true
    this.#disk.setPeace()
    const end = this.#runtime.now() + PEACE
    while (this.#runtime.now() < end) {
      await this.#runtime.advance(1_000)
      if (this.#isSettled()) break
    }
    await this.#runtime.advance(2_000)
  }

  #isSettled(): boolean {
    const client = this.#client
    return client?.isConnected === true && client.owed === 0 && this.#broker.openExchanges.length === 0
  }

  #check(): void {
    const { violations } = this.#oracle
    this.#oracle.finish()
    for (const { rule, text, statement, connection } of this.#broker.finish(this.#runtime.now())) {
      // A half-open connection is silent, and the client cannot help it.
      if (rule === 'keep-alive' && this.#wire.lost.has(connection)) continue
      violations.push(`I10: the broker complains of connection ${connection}: ${rule} ${statement} ${text}`)
    }
    for (const { clientId, packetId, from, state } of this.#broker.openExchanges) {
      violations.push(`I8: an exchange of the ${from} is open at "${clientId}": ${packetId} ${state}`)
    }
    const client = this.#client
    if (client === undefined) violations.push('I8: no process lives after the faults')
    else violations.push(...client.check())
    if (!this.#isSubscribed && !this.#isUsurped)
      violations.push('I8: the client is deaf after a lost session')
  }

  async #end(): Promise<void> {
    const client = this.#client
    if (client === undefined) return
    let isClosed = false
    const closed = client.close().then(() => {
      isClosed = true
    })
    await this.#runtime.advance(5_000)
    if (!isClosed) return void this.#oracle.violations.push('I8: disconnect() does not settle')
    await closed
    const { timers } = client
    if (timers > 0) this.#oracle.violations.push(`I8: ${timers} timers wait after the client was closed`)
    client.die()
    this.#wire.close()
  }
}

interface Watched {
  readonly type: string
  readonly packetId: number
  readonly payload: Uint8Array
  readonly reasonCode: number
  readonly subscriptions: readonly { readonly filter: string }[]
}

const TEXT = new TextDecoder()

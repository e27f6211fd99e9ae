/** The program of one life in a simulation: a client with a store, what it asks for and what it gets. */

import type { Client } from '../client/client.ts'
import type { ClientOptions, CommonOptions } from '../client/client-options.ts'
import type { Message } from '../client/message.ts'
import { ClientPool } from '../client/pool.ts'
import { MqttError } from '../core/errors.ts'
import type { ProtocolVersion } from '../core/packets/types.ts'
import type { SessionStore } from '../store/store.ts'
import type { Oracle, Outcome, Sent } from './oracle.ts'
import { SimulatedProcess } from './simulated-process.ts'
import type { VirtualRuntime } from './virtual-runtime.ts'
import type { Wire } from './wire.ts'

export interface ClientWorld {
  readonly version: ProtocolVersion
  readonly clientId: string
  readonly runtime: VirtualRuntime
  readonly wire: Wire
  readonly oracle: Oracle
  readonly life: number
  /** It has connected. */
  readonly connected: () => void
  /** It has disconnected, and its store is closed. */
  readonly closed: () => void
}

/** What a failed publish says of its effect. */
const OUTCOMES: Readonly<Record<string, Outcome>> = {
  'not-connected': 'none',
  'queue-full': 'none',
  'store-failed': 'none',
  'outcome-unknown': 'unknown',
  'operation-timeout': 'unknown',
  'connection-lost': 'unknown',
  'ping-timeout': 'unknown',
  disconnected: 'unknown',
  'poison-delivery': 'unknown',
}

export class SimulatedClient {
  isSubscribed = false
  readonly #world: ClientWorld
  readonly #process: SimulatedProcess
  readonly #pool: ClientPool
  readonly #client: Client
  readonly #unsettled = new Set<Sent>()
  /** Calls that are no publishes and have not settled. */
  #calls = 0

  constructor(world: ClientWorld, store: SessionStore) {
    this.#world = world
    this.#process = new SimulatedProcess(world.runtime)
    const process = this.#process
    const dial = world.wire.dialFor((stream) => process.adopt(stream))
    this.#pool = new ClientPool(undefined, { runtime: process, createDial: () => dial })
    this.#client = this.#pool.createClient('mqtt://simulated', optionsOf(world, store))
    this.#client.on('connected', () => process.isAlive && world.connected())
    this.#client.on('error', ({ error }) => {
      if (error.code !== 'store-failed') process.reported.push(error)
    })
    this.#client.route('down/#', (message) => this.#handle(message))
    this.#connect()
    this.#subscribe()
  }

  /** What has not settled. */
  get owed(): number {
    return this.#unsettled.size + this.#calls + this.#client.pending.length + (this.isSubscribed ? 0 : 1)
  }

  get isConnected(): boolean {
    return this.#client.state === 'connected'
  }

  get timers(): number {
    return this.#process.timers
  }

  publish(): void {
    const { oracle, version } = this.#world
    const random = (): number => this.#world.runtime.random()
    const qos = ([0, 1, 1, 2, 2] as const)[Math.floor(random() * 5)] ?? 0
    const message = oracle.publish('up', `up/${Math.floor(random() * 2)}`, qos, Math.floor(random() * 30))
    const untilStored = qos > 0 && random() < 0.3
    const timeout = !untilStored && random() < 0.05 ? 300 : undefined
    const properties = version === '5' ? { userProperties: [['id', `${message.id}`]] as const } : undefined
    const options = { qos, until: untilStored ? 'stored' : 'acknowledged', timeout, properties } as const
    this.#unsettled.add(message)
    this.#client.publish(message.topic, message.payload, options).then(
      () => this.#settle(message, untilStored ? 'stored' : 'ok', ''),
      (error: unknown) => {
        const code = error instanceof MqttError ? error.code : String(error)
        const outcome = OUTCOMES[code]
        if (outcome === undefined) oracle.violations.push(`I8: a publish failed with ${String(error)}`)
        this.#settle(message, outcome ?? 'unknown', code)
      },
    )
  }

  /** Something else: a ping, another subscription and its end. */
  ask(): void {
    const choice = this.#world.runtime.random()
    if (choice < 0.4) this.#call(this.#client.ping())
    else if (choice < 0.7) this.#call(this.#client.subscribe('aside/#', { qos: 1 }, () => undefined))
    else this.#call(this.#client.unsubscribe('aside/#'))
  }

  /** Disconnects as a user does, and connects again. */
  reconnect(drain: number): void {
    this.#calls += 1
    this.#client.disconnect({ drain }).then(() => {
      this.#calls -= 1
      this.#world.closed()
      if (this.#process.isAlive) this.#connect()
    }, this.#unexpected)
  }

  die(): void {
    this.#process.die()
    for (const message of this.#unsettled) {
      this.#world.oracle.settle(message, 'unknown', 'its process died')
    }
    this.#unsettled.clear()
  }

  /** What is wrong after peace. */
  check(): readonly string[] {
    const wrong = this.#process.reported.map((error) => `I8: nobody heard of ${String(error)}`)
    if (this.#calls > 0) wrong.push(`I8: ${this.#calls} calls have not settled`)
    const { pending, state } = this.#client
    if (pending.length > 0) wrong.push(`I8: ${pending.length} deliveries pend: ${JSON.stringify(pending[0])}`)
    if (state !== 'connected') wrong.push(`I8: the client is ${state}`)
    return wrong
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  #settle(message: Sent, outcome: Outcome, reason: string): void {
    if (!this.#process.isAlive) return
    this.#unsettled.delete(message)
    this.#world.oracle.settle(message, outcome, reason)
  }

  #connect(): void {
    this.#client.connect().catch((error: unknown) => {
      if (!(error instanceof MqttError) || error.code !== 'disconnected') this.#unexpected(error)
    })
  }

  #subscribe(): void {
    // The handler is attached by `route`, so a repeated call attaches none.
    this.#client.subscribe('down/#', { qos: 2 }).then(
      () => {
        this.isSubscribed = true
      },
      () => this.#process.isAlive && this.#process.setTimer(() => this.#subscribe(), 500),
    )
  }

  #call(promise: Promise<unknown>): void {
    this.#calls += 1
    const settled = (): void => {
      this.#calls -= 1
    }
    promise.then(settled, settled)
  }

  #handle(message: Message): void | Promise<void> {
    const { oracle, life, runtime } = this.#world
    const { topic, qos, properties } = message
    const label = properties?.userProperties?.[0]?.[1]
    const sent = oracle.arrive('down', { topic, qos, payload: message.text(), label, life })
    if (sent === undefined) return undefined
    const complete = (): void => {
      sent.completed += 1
    }
    if (runtime.random() < 0.8) return complete()
    return new Promise((resolve) => {
      this.#process.setTimer(() => {
        complete()
        resolve()
      }, runtime.random() * 300)
    })
  }

  readonly #unexpected = (error: unknown): void => {
    if (this.#process.isAlive) this.#process.reported.push(error)
  }
}

function optionsOf({ version, clientId, runtime }: ClientWorld, store: SessionStore): ClientOptions {
  const common: CommonOptions = {
    clientId,
    store,
    keepAlive: 5,
    pingTimeout: 2_000,
    connectTimeout: 4_000,
    operationTimeout: 60_000,
    retryInitialConnect: true,
    poisonLimit: 0,
    reconnect: { min: 50, max: 1_000 },
  }
  if (version !== '5') return { ...common, protocolVersion: '3.1.1', cleanSession: false }
  return {
    ...common,
    protocolVersion: '5',
    cleanStart: false,
    sessionExpiryInterval: Infinity,
    topicAliasMaximum: runtime.random() < 0.5 ? 3 : 0,
    topicAliases: runtime.random() < 0.5 ? 'auto' : 'off',
    receiveMaximum: runtime.random() < 0.5 ? 5 : 65_535,
  }
}

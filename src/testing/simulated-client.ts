/**
 * The program of one life in a simulation: a client with a store, what it asks for and what it gets.
 *
 * How it takes messages is drawn for the whole simulation: by a handler with one of the three ways to acknowledge,
 * or by an iterable.
 */

import type { Client } from '../client/client.ts'
import type { ClientOptions, CommonOptions } from '../client/client-options.ts'
import type { Message } from '../client/message.ts'
import { ClientPool } from '../client/pool.ts'
import { encodeUtf8 } from '../core/bytes/utf8.ts'
import { MqttError } from '../core/errors.ts'
import type { ProtocolVersion } from '../core/packets/types.ts'
import type { SessionStore } from '../store/store.ts'
import type { Dial } from '../transport/transport.ts'
import type { Oracle, Outcome, Sent } from './oracle.ts'
import { SimulatedProcess } from './simulated-process.ts'
import type { VirtualRuntime } from './virtual-runtime.ts'
import type { Wire } from './wire.ts'

/** How messages are taken: by a handler that acknowledges so, or by an iterable. */
export type Taking = 'handled' | 'received' | 'manual' | 'iterable'

export const TAKINGS: readonly Taking[] = ['handled', 'received', 'manual', 'iterable']

/** What the program did that others cannot see. */
export interface ProgramCounts {
  aborted: number
  queueFull: number
}

export interface ClientWorld {
  readonly version: ProtocolVersion
  readonly taking: Taking
  readonly counts: ProgramCounts
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
  'server-disconnected': 'unknown',
  'ping-timeout': 'unknown',
  disconnected: 'unknown',
  'poison-delivery': 'unknown',
}

const QUEUE_LIMIT = 40
/** ms, the shortest wait before another attempt. */
const SHORTEST_DELAY = 50

export class SimulatedClient {
  isSubscribed = false
  readonly #world: ClientWorld
  readonly #process: SimulatedProcess
  readonly #pool: ClientPool
  readonly #client: Client
  readonly #unsettled = new Set<Sent>()
  /** Calls that are no publishes and have not settled. */
  #calls = 0
  /** No attempt of its own may be made before. */
  #mayDialAt = 0
  #isDisconnecting = false
  /** Counts the iterables: only the latest is to be renewed. */
  #reads = 0

  constructor(world: ClientWorld, store: SessionStore) {
    this.#world = world
    this.#process = new SimulatedProcess(world.runtime)
    const process = this.#process
    const wire = world.wire.dialFor((stream) => process.adopt(stream))
    const dial: Dial = (target, signal) => {
      this.#checkPatience()
      return wire(target, signal)
    }
    this.#pool = new ClientPool(undefined, { runtime: process, createDial: () => dial })
    this.#client = this.#pool.createClient('mqtt://simulated', optionsOf(world, store))
    this.#client.on('connected', () => process.isAlive && world.connected())
    this.#client.on('error', ({ error }) => {
      if (error.code !== 'store-failed') process.reported.push(error)
    })
    this.#client.on('connectFailed', ({ delay }) => this.#wait(delay))
    this.#client.on('disconnected', ({ delay }) => this.#wait(delay))
    this.#connect()
    if (world.taking === 'iterable') return
    this.#client.route('down/#', (message) => this.#handle(message), { ack: world.taking })
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
    const size = Math.floor(300 * random() ** 4)
    const message = oracle.publish('up', `up/${Math.floor(random() * 2)}`, qos, size)
    const untilStored = qos > 0 && random() < 0.3
    const timeout = !untilStored && random() < 0.05 ? 300 : undefined
    const properties = version === '5' ? { userProperties: [['id', `${message.id}`]] as const } : undefined
    const signal = random() < 0.06 ? this.#signal() : undefined
    const options = {
      qos,
      until: untilStored ? 'stored' : 'acknowledged',
      timeout,
      properties,
      signal,
    } as const
    const queued = this.#queued()
    this.#unsettled.add(message)
    const bytes = message.id % 2 === 0 ? encodeUtf8(message.payload) : undefined
    const published = this.#client.publish(message.topic, bytes ?? message.payload, options)
    // It is the caller's again.
    bytes?.fill(0)
    this.#checkQueue(queued)
    published.then(
      () => this.#settle(message, untilStored ? 'stored' : 'ok', ''),
      (error: unknown) => {
        if (signal?.aborted && error === signal.reason) return this.#settle(message, 'unknown', 'aborted')
        const code = error instanceof MqttError ? error.code : String(error)
        const outcome = OUTCOMES[code]
        if (outcome === undefined) oracle.violations.push(`I8: a publish failed with ${String(error)}`)
        if (code === 'queue-full') this.#world.counts.queueFull += 1
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
    if (this.#isDisconnecting) return
    this.#isDisconnecting = true
    this.#calls += 1
    this.#client.disconnect({ drain }).then(() => {
      this.#isDisconnecting = false
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
    const { oracle } = this.#world
    oracle.settle(message, outcome, reason)
    // The broker hands a message on before it acknowledges it.
    if (outcome === 'ok' && message.qos > 0 && message.arrivals === 0)
      oracle.violations.push(`I2: message ${message.id} is acknowledged and has not arrived`)
  }

  /** Of a caller who loses patience. */
  #signal(): AbortSignal {
    const controller = new AbortController()
    this.#process.setTimer(() => {
      this.#world.counts.aborted += 1
      controller.abort()
    }, this.#world.runtime.random() * 2_000)
    return controller.signal
  }

  #queued(): number {
    return this.#client.pending.filter(({ stage }) => stage === 'queued').length
  }

  /** I9: the queue has a limit; what a lost session puts back may stand above it. */
  #checkQueue(before: number): void {
    const after = this.#queued()
    if (after <= Math.max(before, QUEUE_LIMIT)) return
    this.#world.oracle.violations.push(`I9: ${after} messages wait, the queue takes ${QUEUE_LIMIT}`)
  }

  #wait(delay: number | undefined): void {
    if (delay === undefined) return
    this.#mayDialAt = this.#world.runtime.now() + delay
    if (delay < SHORTEST_DELAY)
      this.#world.oracle.violations.push(`I9: the next attempt comes in ${delay} ms`)
  }

  /** I9: attempts keep to the back-off. */
  #checkPatience(): void {
    const early = this.#mayDialAt - this.#world.runtime.now()
    if (early > 0.001) this.#world.oracle.violations.push(`I9: an attempt came ${early} ms early`)
  }

  #connect(): void {
    this.#mayDialAt = 0
    if (this.#world.taking === 'iterable') void this.#read()
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

  /** Takes messages until the client disconnects; a subscription that fails is asked for again. */
  async #read(): Promise<void> {
    await Promise.resolve()
    const read = ++this.#reads
    const messages = this.#client.messages('down/#', { qos: 2, highWaterMark: 4 })
    messages.ready.then(
      () => {
        this.isSubscribed = true
      },
      () => {
        this.#process.setTimer(() => read === this.#reads && void this.#read(), 500)
      },
    )
    try {
      for await (const message of messages) await this.#handle(message)
    } catch {
      // Told by `ready`.
    }
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
    const { taking } = this.#world
    const later = runtime.random() < 0.2
    // What is handed out by an iterable counts as handled when the client stops.
    if (taking === 'iterable' || !later) complete()
    if (!later) return taking === 'manual' ? message.ack() : undefined
    const handled = new Promise<void>((resolve) => {
      this.#process.setTimer(() => {
        if (taking !== 'iterable') complete()
        if (taking === 'manual') message.ack()
        resolve()
      }, runtime.random() * 300)
    })
    return taking === 'manual' ? undefined : handled
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
    reconnect: { min: SHORTEST_DELAY, max: 1_000 },
    queue: { maxMessages: QUEUE_LIMIT, overflow: runtime.random() < 0.5 ? 'wait' : 'reject' },
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

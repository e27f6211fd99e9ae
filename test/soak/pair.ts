// Two clients with lasting sessions: one publishes at all three QoS, the other has subscribed to it. Each
// message says its period and its number, so that either side can be held against a ledger.
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { type Client, type ClientOptions, connect, type Message, type QoS } from '../../src/index.ts'
import { type Judgement, Ledger } from './ledger.ts'

export type Version = '3.1.1' | '5'

export const LEVELS: readonly QoS[] = [0, 1, 2]

const SHORT = '.'.repeat(48)
/** Longer than what is copied into a packet's buffer, and than one read of the other side. */
const LONG = '.'.repeat(20_000)
/** Every so many messages one is long. */
const LONG_EVERY = 101
/** ms between two looks. */
const POLL = 20
/** ms after which all must have settled and come. */
export const PATIENCE = 30_000
/** Every so many messages a handler is asynchronous. */
const ASYNC_EVERY = 13

export interface PairCounts {
  readonly reconnects: number
  /** Reconnects to a broker that had lost the session. */
  readonly sessionsLost: number
  /** The clients' `error` events. */
  readonly errors: readonly string[]
  readonly late: number
}

export class Pair {
  readonly version: Version
  readonly publisher: Client
  readonly subscriber: Client
  readonly #prefix: string
  readonly #ledgers: ReadonlyMap<QoS, Ledger>
  #count = 0
  /** Nothing of QoS 2 is published. */
  #withholds = false
  #reconnects = 0
  #sessionsLost = 0
  readonly #errors: string[] = []

  private constructor(
    version: Version,
    publisher: Client,
    subscriber: Client,
    { prefix, capacity }: { prefix: string; capacity: number },
  ) {
    this.version = version
    this.publisher = publisher
    this.subscriber = subscriber
    this.#prefix = prefix
    this.#ledgers = new Map(LEVELS.map((qos) => [qos, new Ledger(capacity)]))
    for (const client of this.clients) this.#watch(client)
  }

  /** @param capacity messages of one QoS in a period */
  static async connect(
    version: Version,
    urls: { readonly publisher: string; readonly subscriber: string },
    capacity: number,
  ): Promise<Pair> {
    const prefix = `soak-${randomBytes(3).toString('hex')}`
    const publisher = await connect(urls.publisher, lasting(version, `${prefix}-pub`))
    const subscriber = await connect(urls.subscriber, lasting(version, `${prefix}-sub`))
    const pair = new Pair(version, publisher, subscriber, { prefix, capacity })
    await subscriber.subscribe(`${prefix}/+`, { qos: 2 }, (message) => pair.#handle(message))
    return pair
  }

  get clients(): readonly Client[] {
    return [this.publisher, this.subscriber]
  }

  get counts(): PairCounts {
    const late = [...this.#ledgers.values()].reduce((sum, ledger) => sum + ledger.late, 0)
    return {
      reconnects: this.#reconnects,
      sessionsLost: this.#sessionsLost,
      errors: this.#errors,
      late,
    }
  }

  /** The next message, of one QoS after the other. */
  publish(): void {
    const next = LEVELS[this.#count % LEVELS.length] ?? 0
    const qos = next === 2 && this.#withholds ? 1 : next
    const ledger = this.#ledgers.get(qos)
    this.#count += 1
    if (ledger === undefined || ledger.isFull) return
    const { period } = ledger
    const message = ledger.handlePublished()
    const padding = this.#count % LONG_EVERY === 0 ? LONG : SHORT
    this.publisher.publish(`${this.#prefix}/${qos}`, `${period} ${message} ${padding}`, { qos }).then(
      () => ledger.handleResolved(period, message),
      (error: unknown) => ledger.handleRejected(period, message, error),
    )
  }

  /** In the order of `LEVELS`. */
  judge(): readonly Judgement[] {
    return LEVELS.flatMap((qos) => this.#ledgers.get(qos)?.judge() ?? [])
  }

  /**
   * Waits until nothing is under way. What was sent before a ping has come before its answer: QoS 0, and
   * copies of what had come already. So has what a broker must have read before it is ended.
   *
   * @returns false when it lasts too long
   */
  async calm(): Promise<boolean> {
    return this.#until(() =>
      this.judge().every(({ waiting, lost }, qos) => waiting === 0 && (qos === 0 || lost === 0)),
    )
  }

  /**
   * From now on QoS 1 in place of QoS 2, until `release`. Waits until nothing of QoS 2 is under way any more.
   */
  async withhold(): Promise<boolean> {
    this.#withholds = true
    return this.#until(() => this.judge().every(({ waiting, lost }, qos) => qos < 2 || waiting + lost === 0))
  }

  release(): void {
    this.#withholds = false
  }

  /** The next period begins. */
  turn(): void {
    for (const ledger of this.#ledgers.values()) ledger.turn()
  }

  destroy(): void {
    for (const client of this.clients) client.destroy()
  }

  async #until(isSo: () => boolean): Promise<boolean> {
    for (const late = performance.now() + PATIENCE; performance.now() < late; await sleep(POLL)) {
      if (isSo() && (await this.#flush())) return true
    }
    return false
  }

  async #flush(): Promise<boolean> {
    try {
      for (const client of [this.publisher, this.subscriber, this.subscriber]) await client.ping()
      return true
    } catch {
      return false // not connected, or not for long enough: the next look comes
    }
  }

  #handle(message: Message): Promise<void> | undefined {
    const qos = LEVELS.find((level) => message.topic === `${this.#prefix}/${level}`)
    const [period, number] = message.text().split(' ', 2).map(Number)
    if (qos === undefined || period === undefined || number === undefined) {
      this.#errors.push(`a message that nobody has published: ${message.topic}`)
      return undefined
    }
    this.#ledgers.get(qos)?.handleArrival(period, number)
    return number % ASYNC_EVERY === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined
  }

  #watch(client: Client): void {
    client.on('error', ({ error }) => void this.#errors.push(String(error)))
    client.on('unmatched', ({ message }) => void this.#errors.push(`nobody wanted ${message.topic}`))
    client.on('closed', ({ error }) => {
      if (error !== undefined) this.#errors.push(`a client has given up: ${inspect(error)}`)
    })
    client.on('resumed', ({ sessionPresent }) => {
      this.#reconnects += 1
      if (!sessionPresent) this.#sessionsLost += 1
    })
  }
}

/** An hour: longer than any connection is away. */
function lasting(version: Version, clientId: string): ClientOptions {
  const common = { clientId, connectTimeout: 5_000, keepAlive: 20, reconnect: { min: 20, max: 200 } }
  return version === '5'
    ? { ...common, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 3_600 }
    : { ...common, protocolVersion: '3.1.1', cleanSession: false }
}

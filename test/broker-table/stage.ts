// Where a feature is tried: one broker, one version, clients and topics of its own, and an end to waiting.
import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import {
  type Client,
  type ClientOptions,
  type CommonOptions,
  createClient,
  type Message,
} from '../../src/index.ts'
import type { RunningBroker, Urls } from './broker.ts'
import { Different, type Version } from './outcome.ts'

/** ms that a feature may take. */
const PATIENCE = 45_000

type Extra = Pick<CommonOptions, 'clientId' | 'will' | 'keepAlive' | 'proxy' | 'reconnect' | 'onSessionLost'>

/** A name that nobody has used before; letters and digits, as NATS and all others take them. */
export function unique(what: string): string {
  return `${what}${randomBytes(5).toString('hex')}`
}

export class Stage {
  readonly version: Version
  readonly broker: RunningBroker
  readonly signal: AbortSignal
  readonly #timer: NodeJS.Timeout
  readonly #clients: Client[] = []

  constructor(broker: RunningBroker, version: Version) {
    this.broker = broker
    this.version = version
    const controller = new AbortController()
    this.signal = controller.signal
    setMaxListeners(0, this.signal)
    this.#timer = setTimeout(
      () => controller.abort(new Different(`nothing more came within ${PATIENCE / 1_000} s`)),
      PATIENCE,
    )
  }

  /** A client that is connected, whose session ends with its connection. */
  async connected(extra: Extra = {}, way: keyof Urls = 'tcp'): Promise<Client> {
    const client = this.brief(extra, way)
    await client.connect({ signal: this.signal })
    return client
  }

  /** A client whose session ends with its connection. */
  brief(extra: Extra = {}, way: keyof Urls = 'tcp'): Client {
    return this.client({ clientId: unique('brief'), ...extra, protocolVersion: this.version }, way)
  }

  /** A client whose session outlives its connections. */
  lasting(clientId: string, extra: Extra = {}): Client {
    return this.client(
      this.version === '5'
        ? { ...extra, clientId, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 300 }
        : { ...extra, clientId, protocolVersion: '3.1.1', cleanSession: false },
    )
  }

  client(options: ClientOptions, way: keyof Urls = 'tcp'): Client {
    const { urls, ca, username, password } = this.broker
    const client = createClient(urls[way], { reconnect: false, tls: { ca }, username, password, ...options })
    // What matters is what the feature waits for.
    client.on('error', () => {})
    this.#clients.push(client)
    return client
  }

  inbox(): Inbox {
    return new Inbox(this.signal)
  }

  /** What is awaited, or the end of all patience. */
  async within<Value>(work: Promise<Value>): Promise<Value> {
    return new Promise((resolve, reject) => {
      work.then(resolve, reject)
      if (this.signal.aborted) reject(this.signal.reason as Error)
      this.signal.addEventListener('abort', () => reject(this.signal.reason as Error), { once: true })
    })
  }

  end(): void {
    clearTimeout(this.#timer)
    for (const client of this.#clients) client.destroy()
  }
}

/** A handler that can be waited for. */
export class Inbox {
  readonly messages: {
    readonly topic: string
    readonly text: string
    readonly qos: number
    readonly retain: boolean
  }[] = []
  readonly #signal: AbortSignal
  readonly #different = new Set<string>()
  #check = (): void => {}

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  readonly handle = (message: Message): void => {
    const { topic, qos, retain } = message
    const text = message.text()
    this.messages.push({ topic, text, qos, retain })
    this.#different.add(text)
    this.#check()
  }

  get texts(): readonly string[] {
    return this.messages.map(({ text }) => text)
  }

  get distinct(): number {
    return this.#different.size
  }

  has(text: string): boolean {
    return this.#different.has(text)
  }

  /** @throws Different with what has come, when it does not become so */
  until(isSo: (inbox: Inbox) => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(new Different(`expected ${what}, got ${this.messages.length} messages`))
      const check = (): void => {
        if (!isSo(this)) return
        this.#signal.removeEventListener('abort', fail)
        resolve()
      }
      if (this.#signal.aborted) fail()
      this.#signal.addEventListener('abort', fail, { once: true })
      this.#check = check
      check()
    })
  }

  /** Resolves when so many different texts have come. */
  untilDistinct(count: number): Promise<void> {
    return this.until(() => this.distinct >= count, `${count} different messages`)
  }
}

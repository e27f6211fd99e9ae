// The clients of a test against a real broker: each is ended when its test is over, whatever became of it, and their
// topics and ids belong to this test alone. `Inbox` is a handler that a test can wait for.
import { randomBytes } from 'node:crypto'
import { afterEach } from 'vitest'
import { type Client, type ClientOptions, connect, type Message } from '../../src/index.ts'

export type Version = '3.1.1' | '5'

export const VERSIONS: readonly Version[] = ['3.1.1', '5']

type Extra = Pick<ClientOptions, 'username' | 'password' | 'will' | 'onSessionLost' | 'pingTimeout'>

/** Call it once within a suite: its clients end after each test. */
export function useClients(url: () => string): Clients {
  const clients = new Clients(url)
  afterEach(() => clients.destroy())
  return clients
}

export class Clients {
  readonly #url: () => string
  readonly #all: Client[] = []

  constructor(url: () => string) {
    this.#url = url
  }

  /** A client whose session ends with its connection. */
  async brief(version: Version, extra: Extra = {}): Promise<Client> {
    return this.with({ ...extra, clientId: unique('brief'), protocolVersion: version })
  }

  /** A client whose session outlives its connections. */
  async lasting(version: Version, clientId: string = unique('lasting'), extra: Extra = {}): Promise<Client> {
    const options = { ...extra, clientId, reconnect: { min: 20, max: 200 } }
    return this.with(
      version === '5'
        ? { ...options, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 300 }
        : { ...options, protocolVersion: '3.1.1', cleanSession: false },
    )
  }

  async with(options: ClientOptions): Promise<Client> {
    const client = await connect(this.#url(), options)
    this.#all.push(client)
    return client
  }

  destroy(): void {
    for (const client of this.#all.splice(0)) client.destroy()
  }
}

/** A name that nobody has used before. */
export function unique(what: string): string {
  return `${what}-${randomBytes(4).toString('hex')}`
}

/** A message, kept. */
export interface Kept {
  readonly topic: string
  readonly text: string
  readonly qos: number
  readonly retain: boolean
  readonly dup: boolean
}

interface Waiting {
  readonly isSo: () => boolean
  readonly resolve: () => void
}

/** ms after which a test has waited long enough. */
const PATIENCE = 20_000

export class Inbox {
  readonly messages: Kept[] = []
  #waiting: Waiting[] = []

  readonly handle = (message: Message): void => {
    const { topic, qos, retain, dup } = message
    this.messages.push({ topic, text: message.text(), qos, retain, dup })
    this.#waiting = this.#waiting.filter(({ isSo, resolve }) => {
      if (!isSo()) return true
      resolve()
      return false
    })
  }

  get texts(): readonly string[] {
    return this.messages.map(({ text }) => text)
  }

  /** How many different texts have come. */
  get distinct(): number {
    return new Set(this.texts).size
  }

  /** Resolves when so many messages have come. @throws Error after 20 s */
  until(count: number): Promise<void> {
    return this.#until(count, () => this.messages.length)
  }

  /** Resolves when so many different texts have come. @throws Error after 20 s */
  untilDistinct(count: number): Promise<void> {
    return this.#until(count, () => this.distinct)
  }

  #until(expected: number, count: () => number): Promise<void> {
    return new Promise((resolve, reject) => {
      if (count() >= expected) return resolve()
      const late = setTimeout(
        () => reject(new Error(`expected ${expected} messages, got ${count()}`)),
        PATIENCE,
      )
      this.#waiting.push({
        isSo: () => count() >= expected,
        resolve: () => {
          clearTimeout(late)
          resolve()
        },
      })
    })
  }
}

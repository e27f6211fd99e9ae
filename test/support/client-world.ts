// Worlds for tests of the client: each test makes its own, and what the broker complained of, or nobody listened
// for, fails the test at its end.
import { afterEach, expect } from 'vitest'
import type { Client } from '../../src/client/client.ts'
import type { ClientOptions, CommonOptions, Options5 } from '../../src/client/client-options.ts'
import type { ClientEvents, ClientState } from '../../src/client/events.ts'
import type { Message } from '../../src/client/message.ts'
import type { ControlPacket, PacketType, ProtocolVersion } from '../../src/core/packets/types.ts'
import type { FaultContent } from '../../src/testing/broker/faults.ts'
import type { BrokerOptions } from '../../src/testing/broker/options.ts'
import { VirtualWorld, type VirtualWorldOptions } from '../../src/testing/virtual-world.ts'

export const VERSIONS = ['3.1.1', '5'] as const

/** Which state of a client may follow which; see `ClientState`. */
const NEXT: Readonly<Record<ClientState, readonly ClientState[]>> = {
  stopped: ['dialing'],
  waiting: ['dialing', 'disconnecting', 'stopped'],
  dialing: ['handshaking', 'waiting', 'disconnecting', 'stopped'],
  handshaking: ['connected', 'dialing', 'waiting', 'disconnecting', 'stopped'],
  connected: ['waiting', 'disconnecting', 'stopped'],
  disconnecting: ['stopped'],
}

type PacketOf<T extends PacketType> = Extract<ControlPacket, { type: T }>

export interface TestWorldOptions extends VirtualWorldOptions {
  /** Rules that the broker may complain of; see `complaints.ts`. */
  readonly complaints?: readonly string[]
}

export class TestWorld extends VirtualWorld {
  /** What the broker got, and what it sent, in order. */
  readonly fromClient: ControlPacket[] = []
  readonly toClient: ControlPacket[] = []
  readonly version: ProtocolVersion
  readonly complaints: readonly string[]
  readonly #clients: Client[] = []
  readonly #wrongStates: string[] = []
  #expectsReports = false

  constructor(version: ProtocolVersion, { complaints = [], ...options }: TestWorldOptions = {}) {
    const watch: BrokerOptions = {
      onPacket: (direction, packet) => (direction === 'in' ? this.fromClient : this.toClient).push(packet),
    }
    super({ ...options, broker: { ...watch, ...options.broker } })
    this.version = version
    this.complaints = complaints
  }

  /** A client of the world's version whose session ends with its connection. */
  client(options: CommonOptions = {}): Client {
    return this.#keep(this.createClient(optionsOf(this.version, { clientId: 'client', ...options })))
  }

  /** A client whose session outlives its connections. */
  durable(options: CommonOptions = {}): Client {
    return this.#keep(this.createClient(durableOptions(this.version, { clientId: 'client', ...options })))
  }

  /** A client of version 5, or of both. */
  client5(options: Partial<Options5> = {}): Client {
    return this.#keep(this.createClient({ protocolVersion: '5', clientId: 'client', ...options }))
  }

  async connected(options: CommonOptions = {}): Promise<Client> {
    const client = this.client(options)
    await client.connect()
    return client
  }

  async connectedDurable(options: CommonOptions = {}): Promise<Client> {
    const client = this.durable(options)
    await client.connect()
    return client
  }

  async connected5(options: Partial<Options5> = {}): Promise<Client> {
    const client = this.client5(options)
    await client.connect()
    return client
  }

  /** The packets of one type that the broker got. */
  got<T extends PacketType>(type: T): readonly PacketOf<T>[] {
    return this.fromClient.filter((packet) => packet.type === type) as PacketOf<T>[]
  }

  /** The types of the packets that the broker got, since the last call. */
  taken(): readonly PacketType[] {
    return this.fromClient.splice(0).map(({ type }) => type)
  }

  /** Errors that nobody listened for; they do not fail the test. */
  get reports(): readonly unknown[] {
    this.#expectsReports = true
    return this.runtime.reported
  }

  async end(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await this.settle()
    const rules = this.broker.complaints.filter(({ rule }) => !this.complaints.includes(rule))
    expect(rules, 'complaints of the broker').toEqual([])
    expect(this.#wrongStates, 'states that may not follow').toEqual([])
    if (!this.#expectsReports) expect(this.runtime.reported, 'unheard errors').toEqual([])
  }

  /** What an honest broker would not send, on the oldest connection; it sees all the same what the client makes of it. */
  serverSends(...contents: readonly FaultContent[]): void {
    const [connection] = this.broker.connections
    if (connection === undefined) throw new Error('no connection stands')
    for (const content of contents) connection.send(content)
  }

  #keep(client: Client): Client {
    this.#clients.push(client)
    client.on('state', ({ from, to }) => {
      if (!NEXT[from].includes(to)) this.#wrongStates.push(`${from} → ${to}`)
    })
    return client
  }
}

export function optionsOf(version: ProtocolVersion, options: CommonOptions = {}): ClientOptions {
  return version === '5' ? { protocolVersion: '5', ...options } : { protocolVersion: '3.1.1', ...options }
}

export function durableOptions(version: ProtocolVersion, options: CommonOptions = {}): ClientOptions {
  return version === '5'
    ? { protocolVersion: '5', cleanStart: false, sessionExpiryInterval: Infinity, ...options }
    : { protocolVersion: '3.1.1', cleanSession: false, ...options }
}

/** Call it at the top of a test file; what it returns makes worlds. */
export function useWorlds(): (version: ProtocolVersion, options?: TestWorldOptions) => TestWorld {
  let worlds: TestWorld[] = []
  afterEach(async () => {
    const made = worlds
    worlds = []
    for (const world of made) await world.end()
  })
  return (version, options) => {
    const world = new TestWorld(version, options)
    worlds.push(world)
    return world
  }
}

/** All that is told by some events, in order: `name` and argument. */
export function record<Name extends keyof ClientEvents>(
  client: Client,
  ...names: readonly Name[]
): { readonly name: Name; readonly event: ClientEvents[Name] }[] {
  const events: { name: Name; event: ClientEvents[Name] }[] = []
  for (const name of names) client.on(name, (event) => void events.push({ name, event }))
  return events
}

/** The arguments of one event. */
export function collect<Name extends keyof ClientEvents>(client: Client, name: Name): ClientEvents[Name][] {
  const events: ClientEvents[Name][] = []
  client.on(name, (event) => void events.push(event))
  return events
}

/** How a promise has ended, or `pending`; look again after `settle`. */
export function outcomeOf<Value>(promise: Promise<Value>): {
  state: 'pending' | 'resolved' | 'rejected'
  value: Value | undefined
  error: unknown
} {
  const outcome: ReturnType<typeof outcomeOf<Value>> = {
    state: 'pending',
    value: undefined,
    error: undefined,
  }
  promise.then(
    (value) => Object.assign(outcome, { state: 'resolved', value }),
    (error: unknown) => Object.assign(outcome, { state: 'rejected', error }),
  )
  return outcome
}

/** A handler that notes texts. */
export function texts(): { readonly seen: string[]; readonly handler: (message: Message) => void } {
  const seen: string[] = []
  return { seen, handler: (message) => void seen.push(message.text()) }
}

/** A promise and its ends. */
export function gate(): {
  readonly promise: Promise<void>
  readonly open: () => void
  readonly fail: (error: unknown) => void
} {
  let open = (): void => {}
  let fail = (_error: unknown): void => {}
  const promise = new Promise<void>((resolve, reject) => {
    open = resolve
    fail = reject
  })
  return { promise, open, fail }
}

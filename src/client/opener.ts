/**
 * Opens connections for an attempt: makes each CONNECT, dials, and puts a driver on the stream.
 *
 * It remembers what connections of one client share: topics that were received, counters, and what is known of the
 * servers since the user's `connect()`.
 */

import { Connection } from '../core/connection/connection.ts'
import { Traffic } from '../core/connection/traffic.ts'
import type { Codec } from '../core/packets/codec.ts'
import { ReceivedTopics } from '../core/packets/received-topics.ts'
import type { ConnectPacket } from '../core/packets/types.ts'
import type { Session } from '../core/session/session.ts'
import type { Transport } from '../transport/transport.ts'
import { type Attempt, type AttemptHost, ServerKnowledge } from './attempt.ts'
import { ConnectPacketMaker } from './connect-packet.ts'
import { connectionOptions } from './connection-options.ts'
import { Driver, type DriverOwner } from './driver.ts'
import type { Events } from './events.ts'
import type { ResolvedOptions } from './options.ts'
import type { PoolResources } from './pool-resources.ts'

/** What an opener asks and tells. */
export interface OpenerHost extends DriverOwner {
  readonly session: Session
  readonly clientId: string
  /** The number of the present attempt. */
  readonly attempts: number
  /** Whether an open stream keeps the process alive. */
  readonly hold: { readonly wanted: boolean }
  handleDialing(attempt: Attempt): void
  handleHandshaking(): void
}

export class Opener implements AttemptHost {
  readonly options: ResolvedOptions
  readonly traffic: Traffic = new Traffic()
  readonly maker: ConnectPacketMaker
  knowledge: ServerKnowledge = new ServerKnowledge()
  readonly #resources: PoolResources
  readonly #events: Events
  readonly #host: OpenerHost
  readonly #topics = new ReceivedTopics()

  constructor(options: ResolvedOptions, resources: PoolResources, events: Events, host: OpenerHost) {
    this.options = options
    this.maker = new ConnectPacketMaker(options)
    this.#resources = resources
    this.#events = events
    this.#host = host
  }

  get dial(): AttemptHost['dial'] {
    return this.options.dial ?? this.#resources.dial
  }

  get budget(): AttemptHost['budget'] {
    return this.#resources.budget
  }

  /** The user's `connect()` begins again. */
  begin(): void {
    this.knowledge = new ServerKnowledge()
    this.maker.begin()
  }

  prepare(codec: Codec): Promise<ConnectPacket> {
    return this.maker.make(codec, this.#host.clientId, this.#host.attempts)
  }

  handleDialing(attempt: Attempt): void {
    this.#host.handleDialing(attempt)
  }

  open(transport: Transport, codec: Codec, connect: ConnectPacket): Driver {
    const { runtime, alarms, slabs } = this.#resources
    this.#host.handleHandshaking()
    const settings = connectionOptions(this.options, codec, connect, {
      slabs,
      topics: this.#topics,
      traffic: this.traffic,
      copy: runtime.copy,
      watched: this.#events.has('packet'),
    })
    const connection = new Connection(codec, this.#host.session, settings, runtime.now())
    const driver = new Driver(connection, transport, runtime, alarms, this.#host)
    driver.setKeepsAlive(this.#host.hold.wanted)
    driver.start()
    return driver
  }
}

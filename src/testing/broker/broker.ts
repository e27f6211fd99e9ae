/**
 * An honest MQTT server for tests, 3.1.1 and 5: a pure machine. Bytes and the time go in; bytes and one deadline
 * come out. It has no socket, timer, clock or randomness, so a test decides what happens when.
 *
 *     const broker = new Broker({ receiveMaximum: 10 })
 *     broker.faults.onSend('puback', { nth: 2 }).withhold()
 *     const connection = broker.accept(0)
 *     connection.handleData(bytes, 5)
 *     for (const dirty of broker.takeDirty()) pump(dirty)     // nextOutput(), then ended and destroyed
 *     broker.handleTimeout(broker.nextDeadline())
 *     broker.finish(now)
 *     expect(broker.complaints).toEqual([])
 *
 * `BrokerServer` puts it on a TCP port, `MemoryNetwork` behind a `Transport` in memory.
 */

import type { ControlPacket, DisconnectPacket, Properties, QoS } from '../../core/packets/types.ts'
import { Authenticator } from './authenticator.ts'
import { BrokerConnection, type ConnectionHost } from './broker-connection.ts'
import { type BrokerMessage, BrokerSession } from './broker-session.ts'
import { type Complaint, type RuleName, statementOf } from './complaints.ts'
import { Faults, refuses } from './faults.ts'
import { connackProperties, Handshake } from './handshake.ts'
import type { BrokerOptions } from './options.ts'
import { messageOf, Publishing } from './publishing.ts'
import { Router } from './router.ts'
import { Subscribing } from './subscribing.ts'

/** Whoever moves the broker's bytes. */
export interface BrokerOwner {
  /** Monotonic, in ms: the time of calls that tell none, such as `publish` and `connection.send`. */
  now(): number
  /** A connection became dirty. Never act from within. */
  handleOutput(): void
}

/** A message that the test publishes itself. */
export interface BrokerPublish {
  readonly topic: string
  readonly payload?: Uint8Array | string
  readonly qos?: QoS
  readonly retain?: boolean
  readonly properties?: Properties
}

/** What is not finished between the broker and a client. */
export interface OpenExchange {
  readonly clientId: string
  readonly packetId: number
  /** Who published. */
  readonly from: 'client' | 'broker'
  readonly topic: string
  readonly state: 'published' | 'received' | 'released'
}

export class Broker implements ConnectionHost {
  readonly options: BrokerOptions
  readonly faults: Faults = new Faults()
  readonly complaints: Complaint[] = []
  readonly sessions: Map<string, BrokerSession> = new Map()

  readonly #router: Router
  readonly #handshake: Handshake
  readonly #publishing: Publishing
  readonly #subscribing: Subscribing
  readonly #connections = new Set<BrokerConnection>()
  readonly #dirty = new Set<BrokerConnection>()
  #now = 0
  #accepted = 0
  #owner: BrokerOwner | undefined = undefined
  #isPaused = false

  constructor(options: BrokerOptions = {}) {
    this.options = options
    this.#router = new Router(options.overlapping === 'copy-each')
    this.#publishing = new Publishing(options, (message) => this.#publish(message))
    this.#subscribing = new Subscribing(options, this.#router)
    this.#handshake = new Handshake(options, new Authenticator(options.authentication), {
      open: (connection, packet, clientId) => this.#open(connection, packet, clientId),
    })
  }

  /** The latest time that was told, or the owner's. */
  get now(): number {
    if (this.#owner !== undefined) this.advance(this.#owner.now())
    return this.#now
  }

  /** For those who move the bytes and want to be told when there are some. */
  attach(owner: BrokerOwner): void {
    this.#owner = owner
  }

  get isPaused(): boolean {
    return this.#isPaused
  }

  /** The network connections that live, in the order in which they came. */
  get connections(): readonly BrokerConnection[] {
    return [...this.#connections].filter(({ isOpen }) => isOpen)
  }

  get retained(): ReadonlyMap<string, BrokerMessage> {
    return this.#router.retained
  }

  /** The living connection of a client. */
  connectionOf(clientId: string): BrokerConnection | undefined {
    return this.connections.find((one) => one.clientId === clientId && one.state === 'connected')
  }

  /** A client has opened a network connection. */
  accept(now: number): BrokerConnection {
    this.advance(now)
    const connection = new BrokerConnection(this, ++this.#accepted)
    this.#connections.add(connection)
    return connection
  }

  /** The connections that may have output, or are to be ended or destroyed; each once. */
  takeDirty(): readonly BrokerConnection[] {
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    return dirty
  }

  nextDeadline(): number {
    let deadline = Infinity
    if (this.#isPaused) return deadline
    for (const connection of this.#connections) {
      if (connection.isFinished) this.#connections.delete(connection)
      else deadline = Math.min(deadline, connection.nextDeadline())
    }
    for (const { willAt, expiresAt } of this.sessions.values())
      deadline = Math.min(deadline, willAt, expiresAt)
    return deadline
  }

  /** Harmless when early. */
  handleTimeout(now: number): void {
    this.advance(now)
    if (this.#isPaused) return
    for (const connection of this.#connections) connection.handleTimeout(now)
    for (const session of this.sessions.values()) {
      if (session.willAt <= now) this.#publishWill(session)
      if (session.expiresAt <= now) this.#endSession(session)
    }
  }

  /** A message of the test's own to all subscribers. */
  publish({ topic, payload = '', qos = 0, retain = false, properties }: BrokerPublish): void {
    this.#publish({
      topic,
      payload: typeof payload === 'string' ? new TextEncoder().encode(payload) : payload,
      qos,
      retain,
      properties,
      expiresAt: this.now + 1_000 * (properties?.messageExpiryInterval ?? Infinity),
      publisher: '',
    })
  }

  /** Ends all connections; in 5 by DISCONNECT with the reason, in 3.1.1 by closing. */
  disconnectAll(reasonCode = 0x8b): void {
    for (const connection of this.connections) connection.closeWith(reasonCode)
  }

  /** Breaks all connections at once. */
  cutAll(): void {
    for (const connection of this.connections) connection.cut()
  }

  /** Forgets a client's session, as a server that lost its memory; its connection, if it has one, is cut. */
  loseSession(clientId: string): void {
    const session = this.sessions.get(clientId)
    if (session !== undefined) session.will = undefined
    this.connectionOf(clientId)?.cut()
    if (session !== undefined) this.#endSession(session)
  }

  /** Reads nothing, answers nothing and counts no silence until `resume`, as a process that was stopped. */
  pause(): void {
    this.#isPaused = true
  }

  resume(now: number = this.now): void {
    this.advance(now)
    this.#isPaused = false
    for (const connection of this.#connections) connection.continue()
    // Also without connections: there may be a deadline again.
    this.#owner?.handleOutput()
  }

  /** What is not finished, sessions without a connection included. */
  get openExchanges(): readonly OpenExchange[] {
    const open: OpenExchange[] = []
    for (const { clientId, conduct, inflight } of this.sessions.values()) {
      for (const { packetId, topic, state, settled } of conduct.exchanges.values()) {
        if (!settled) open.push({ clientId, packetId, from: 'client', topic, state })
      }
      for (const { packetId, topic, released } of inflight) {
        open.push({ clientId, packetId, from: 'broker', topic, state: released ? 'released' : 'published' })
      }
    }
    return open
  }

  /** The test is over: complains of what living connections still owe, and returns all complaints. */
  finish(now: number = this.now): readonly Complaint[] {
    this.handleTimeout(now)
    for (const connection of this.connections) {
      for (const { rule, text } of connection.conduct.debts()) this.complain(connection, rule, text)
    }
    return this.complaints
  }

  // For connections.

  advance(now: number): void {
    this.#now = Math.max(this.#now, now)
  }

  markDirty(connection: BrokerConnection): void {
    this.#dirty.add(connection)
    this.#owner?.handleOutput()
  }

  complain(connection: BrokerConnection, rule: RuleName, text: string): void {
    const { number, clientId, protocolVersion } = connection
    const statement = statementOf(rule, protocolVersion)
    this.complaints.push({ connection: number, clientId, rule, text, statement })
  }

  handlePacket(connection: BrokerConnection, packet: ControlPacket): void {
    if (connection.state !== 'connected') {
      this.#handshake.handle(connection, packet)
      return
    }
    switch (packet.type) {
      case 'publish':
      case 'puback':
      case 'pubrec':
      case 'pubrel':
      case 'pubcomp':
        this.#publishing.handle(connection, packet, this.now)
        return
      case 'subscribe':
      case 'unsubscribe':
        this.#subscribing.handle(connection, packet, this.now)
        return
      case 'pingreq':
        connection.respond({ type: 'pingresp' })
        return
      case 'disconnect':
        this.#handleDisconnect(connection, packet)
        return
      default:
        this.#handshake.handle(connection, packet)
    }
  }

  handleWithheld(connection: BrokerConnection, packet: ControlPacket): void {
    if (connection.state === 'connected') this.#publishing.notice(connection, packet)
  }

  handleClosed(connection: BrokerConnection): void {
    this.markDirty(connection)
    const { session } = connection
    if (session === undefined) return
    session.detach()
    if (connection.endedWell) session.will = undefined
    if (session.will !== undefined) {
      session.willAt = this.now + 1_000 * (session.will.properties?.willDelayInterval ?? 0)
    }
    session.expiresAt = this.now + 1_000 * session.expiryInterval
    if (session.willAt <= this.now) this.#publishWill(session)
    if (session.expiresAt <= this.now) this.#endSession(session)
  }

  #handleDisconnect(connection: BrokerConnection, { reasonCode, properties }: DisconnectPacket): void {
    const { session } = connection
    const interval = properties?.sessionExpiryInterval
    if (reasonCode > 0 && !CLIENT_DISCONNECTS.has(reasonCode)) {
      connection.violate(
        'disconnect-code',
        `a client may not disconnect with 0x${reasonCode.toString(16)}`,
        0x82,
      )
    } else if (properties?.serverReference !== undefined) {
      connection.violate('disconnect-properties', 'DISCONNECT of a client has a Server Reference', 0x82)
    } else if (interval !== undefined && interval > 0 && connection.sessionExpiryInterval === 0) {
      const text = `DISCONNECT sets the Session Expiry Interval to ${interval}, in CONNECT it was 0`
      connection.violate('session-expiry', text, 0x82)
    }
    if (connection.state === 'closed') return
    if (interval !== undefined && session !== undefined) session.expiryInterval = this.#lifetime(interval)
    connection.endedWell = reasonCode === 0
    connection.saidDisconnect = true
    connection.end()
  }

  /** Makes or resumes the session, answers and sends what waits; unless the fault script refuses the client. */
  #open(
    connection: BrokerConnection,
    packet: Extract<ControlPacket, { type: 'connect' }>,
    authenticationData: Uint8Array | undefined,
  ): void {
    const { clientId } = connection
    const known = this.sessions.get(clientId)
    const existing = packet.cleanStart || known?.endsWithConnection === true ? undefined : known
    const asked = packet.properties?.sessionExpiryInterval ?? 0
    const version5 = packet.protocolVersion === '5'
    const expiryInterval = this.#lifetime(version5 ? asked : packet.cleanStart ? 0 : FOR_GOOD)
    const properties = connackProperties(this.options, packet, {
      clientId,
      sessionExpiryInterval: expiryInterval === Infinity ? FOR_GOOD : expiryInterval,
      authenticationData,
    })
    const sessionPresent = existing !== undefined
    const connack = { type: 'connack', sessionPresent, reasonCode: 0, properties } as const
    const answer = this.faults.forSend(connack, connection)
    if (refuses(answer)) {
      connection.state = 'refused'
      return connection.write(answer)
    }
    this.#takeOver(connection)
    if (known !== undefined && packet.cleanStart) this.#endSession(known)
    const session = existing ?? this.#newSession(clientId)
    session.expiresAt = Infinity
    session.willAt = Infinity
    session.expiryInterval = expiryInterval
    session.will = packet.will
    connection.sessionExpiryInterval = packet.properties?.sessionExpiryInterval ?? 0
    connection.session = session
    connection.conduct.session = session.conduct
    connection.conduct.resumed = sessionPresent
    connection.state = 'connected'
    connection.write(answer)
    if (connection.isOpen) session.attach(connection, this.now)
  }

  /** [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3] */
  #takeOver(by: BrokerConnection): void {
    for (const other of this.connections) {
      if (other !== by && other.clientId === by.clientId && other.state === 'connected') other.closeWith(0x8e)
    }
  }

  #newSession(clientId: string): BrokerSession {
    const { maxQueued = Infinity, maxInflight = Infinity, queueQos0 = false } = this.options
    const { packetIds = 'ascending' } = this.options
    const session = new BrokerSession(clientId, { maxQueued, maxInflight, queueQos0, packetIds })
    this.sessions.set(clientId, session)
    return session
  }

  #lifetime(asked: number): number {
    const seconds = Math.min(asked, this.options.sessionExpiryInterval ?? FOR_GOOD)
    return seconds >= FOR_GOOD ? Infinity : seconds
  }

  /** A will that waits is published now [5 MQTT-3.1.2-8]. */
  #endSession(session: BrokerSession): void {
    if (this.sessions.get(session.clientId) !== session) return
    this.sessions.delete(session.clientId)
    this.#router.unsubscribeAll(session)
    if (session.willAt < Infinity) this.#publishWill(session)
  }

  #publishWill(session: BrokerSession): void {
    const { will } = session
    session.will = undefined
    session.willAt = Infinity
    if (will !== undefined) this.#publish(messageOf(will, session.clientId, this.now))
  }

  #publish(message: BrokerMessage): number {
    this.options.onMessage?.(message)
    return this.#router.publish(message, this.now)
  }
}

/** The Session Expiry Interval of a session that never ends. */
const FOR_GOOD = 0xffffffff

/** 5: 3.14.2.1, the codes that a client may send. */
const CLIENT_DISCONNECTS: ReadonlySet<number> = new Set([
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
])

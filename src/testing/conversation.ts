/**
 * The language of tests that speak with the protocol's machine, packet by packet: no client, no socket, no time.
 *
 *     c.connected()
 *     c.user.publish('a', 'x', { qos: 1 })
 *     c.sends('publish', { packetId: 1, qos: 1, dup: false })
 *     c.receives('puback', { packetId: 1 })
 *
 * The body plays the user and the server. Each conversation runs with both versions, whole and with all that the
 * server sends split into single bytes; chunks are lent and overwritten as soon as the machine has seen them. What
 * left the machine and was not mentioned fails the test at its end. With `store: true` records are pulled and stored
 * by hand, and each packet that leaves is held against the session as it would be restored from what was stored.
 */

import { Slabs } from '../core/bytes/slabs.ts'
import { Connection } from '../core/connection/connection.ts'
import type { ConnectionOptions } from '../core/connection/connection-options.ts'
import type { ConnectionEvent } from '../core/connection/events.ts'
import type { Operation } from '../core/connection/operations.ts'
import { Traffic } from '../core/connection/traffic.ts'
import { type ErrorCode, type MqttError, ProtocolError } from '../core/errors.ts'
import { mqtt311, mqtt5 } from '../core/packets/codec.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import { ReceivedTopics } from '../core/packets/received-topics.ts'
import type { ConnectPacket, ControlPacket, PacketType, ProtocolVersion } from '../core/packets/types.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import { Session } from '../core/session/session.ts'
import { PacketSplitter } from './broker/packet-splitter.ts'
import { concatenate, decodeOfClient, encodePacket } from './broker/server-codec.ts'
import { describePacket, difference, type Fields, fromHex, serverPacket } from './conversation-fields.ts'
import { ConversationStore } from './conversation-store.ts'
import { User } from './conversation-user.ts'

export interface ConversationOptions extends Partial<Omit<ConnectionOptions, 'connect'>> {
  /** Both, unless given. */
  readonly versions?: readonly ProtocolVersion[]
  /** What CONNECT says; properties are left out in 3.1.1. */
  readonly connect?: Partial<Omit<ConnectPacket, 'type' | 'protocolVersion'>>
  /** Whether there is a store, default false. */
  readonly store?: boolean
  /** Whether the conversation runs again with each received chunk split into single bytes, default true. */
  readonly split?: boolean
}

export type Body = (c: Conversation) => void

/** Registers a conversation as one test for each version. */
export type Converse = (title: string, body: Body, options?: ConversationOptions) => void

/** @param test what registers a test, of whatever test runner */
export function createConversation(test: (title: string, run: () => void) => void): Converse {
  return (title, body, options = {}) => {
    for (const version of options.versions ?? (['3.1.1', '5'] as const)) {
      test(`${title} (${version})`, () => {
        new Conversation(version, options, false).run(body)
        if (options.split === false) return
        try {
          new Conversation(version, options, true).run(body)
        } catch (error) {
          throw new Error('with all that is received split into single bytes', { cause: error })
        }
      })
    }
  }
}

export class Conversation {
  readonly version: ProtocolVersion
  readonly options: ConversationOptions
  readonly traffic: Traffic = new Traffic()
  readonly user: User
  /** ms of virtual time. */
  now = 0
  /** The present network connection. */
  connection!: Connection

  readonly #split: boolean
  readonly #slabs = new Slabs()
  readonly #topics = new ReceivedTopics()
  readonly #store: ConversationStore | undefined
  #session = new Session()
  #splitter = new PacketSplitter()
  #connects = 0
  #congested = false
  #packets: ControlPacket[] = []
  #events: ConnectionEvent[] = []

  constructor(version: ProtocolVersion, options: ConversationOptions, split: boolean) {
    this.version = version
    this.options = options
    this.#split = split
    this.#store = options.store ? new ConversationStore(() => this.session) : undefined
    this.user = new User(this)
    this.#store?.adopt(this.#session)
  }

  /** Plays the body, and fails when something was left unmentioned. */
  run(body: Body): void {
    body(this)
    this.sendsNothing()
    const rest = this.#events.filter(({ type }) => type !== 'packet')
    if (rest.length > 0) fail(`was left unmentioned: ${rest.map(describeEvent).join(', ')}`)
  }

  /** Version 5. */
  get is5(): boolean {
    return this.version === '5'
  }

  get session(): Session {
    return this.connection === undefined ? this.#session : this.connection.session
  }

  /** The settings that CONNACK negotiated. */
  get settings(): NonNullable<Connection['settings']> {
    return this.connection.settings ?? fail('nothing was negotiated yet')
  }

  // Network connections.

  /** A new network connection; CONNECT is written. */
  opens(connect: ConversationOptions['connect'] = {}): void {
    const { options, version } = this
    const chosen = { clientId: 'c', cleanStart: this.#connects === 0, keepAlive: 0, ...options.connect }
    const packet = { type: 'connect', protocolVersion: version, ...chosen, ...connect } as const
    this.#session = this.session
    this.#connects += 1
    this.#splitter = new PacketSplitter()
    this.#congested = false
    this.connection = new Connection(
      this.is5 ? mqtt5 : mqtt311,
      this.#session,
      {
        maximumPacketSize: 1_048_576,
        pingTimeout: 10_000,
        maxOutput: Infinity,
        poisonLimit: 3,
        onUnknownSession: 'adopt',
        onSessionLost: 'resend',
        maxInflight: 65_535,
        maxInflightQos2: this.is5 ? 65_535 : 20,
        topicAliases: 'auto',
        operationTimeout: 30_000,
        slabs: this.#slabs,
        topics: this.#topics,
        traffic: this.traffic,
        watched: false,
        ...options,
        connect: this.is5 ? packet : { ...packet, properties: undefined },
      },
      this.now,
    )
    this.pump()
  }

  /** CONNECT and CONNACK pass, and the user lets publishes go. */
  connected(connack: Fields = {}, resume = true): void {
    this.opens()
    this.sends('connect')
    this.accepts(connack)
    if (resume) this.user.resume()
  }

  /** CONNACK comes and is taken; a session that the server has lost is told of. */
  accepts(connack: Fields = {}): void {
    const { established, empty } = this.session
    this.receives('connack', connack)
    if (connack['sessionPresent'] !== true && (established || !empty)) this.tells('sessionLost')
    const { sessionPresent } = this.tells('connected')
    if (sessionPresent !== (connack['sessionPresent'] ?? false)) fail(`told sessionPresent ${sessionPresent}`)
  }

  reconnected(connack: Fields & { readonly sessionPresent: boolean }): void {
    this.connected(connack)
  }

  /** The network connection is lost. Nothing leaves any more. */
  cut(error?: Error): void {
    this.connection.handleEnd(error, this.now)
    this.#pullEvents()
    this.closes({ code: 'connection-lost' })
  }

  /** The process ends without a word, and another one begins with what was stored. */
  restarts(): void {
    const store = this.#store ?? fail('there is no store')
    this.#packets = []
    this.#events = []
    this.#session = store.restore()
    this.connection = undefined as unknown as Connection
    store.adopt(this.#session)
  }

  // The server speaks.

  receives(type: PacketType, fields: Fields = {}): void {
    this.receivesBytes(this.packet(type, fields))
  }

  /** A packet as the server would write it, for several in one chunk. */
  packet(type: PacketType, fields: Fields = {}): Uint8Array {
    return encodePacket(serverPacket(type, fields), this.version)
  }

  /** Bytes of the server, in one chunk; hexadecimal, or packets. */
  receivesBytes(...parts: readonly (string | Uint8Array)[]): void {
    const chunk = concatenate(parts.map((part) => (typeof part === 'string' ? fromHex(part) : part)))
    if (!this.#split) return this.#feed(chunk.slice())
    for (const byte of chunk) this.#feed(Uint8Array.of(byte))
  }

  // What leaves the machine.

  /** The next packet that left is this one. */
  sends<Packet extends PacketType>(type: Packet, fields: Fields = {}): ControlPacket & { type: Packet } {
    const packet = this.#packets.shift() ?? fail(`expected ${type.toUpperCase()} to be sent, nothing was`)
    if (packet.type !== type) fail(`expected ${type.toUpperCase()} to be sent, got ${describePacket(packet)}`)
    const found = difference(fields, packet)
    if (found !== undefined) fail(`sent ${describePacket(packet)}: ${found}`)
    return packet as ControlPacket & { type: Packet }
  }

  /** Nothing left that was not mentioned. */
  sendsNothing(): void {
    if (this.#packets.length > 0) fail(`also sent ${this.#packets.map(describePacket).join(', ')}`)
  }

  /** What left is of no interest; returns the number of packets. */
  overlooks(): number {
    return this.#packets.splice(0).length
  }

  // What is told to the user.

  /** The next message handed over. */
  handles(topic: string, fields: Fields = {}): IncomingMessage {
    const message = this.tells('publish')
    const { payload, qos, retain, dup, packetId, properties } = message
    const found = difference(
      { topic, ...fields },
      { topic: message.topic, payload, qos, retain, dup, packetId, properties },
    )
    if (found !== undefined) fail(`handed over a message: ${found}`)
    return message
  }

  /** A PUBLISH comes, and is handed over. */
  receivesMessage(fields: Fields): IncomingMessage {
    this.receives('publish', fields)
    return this.tells('publish')
  }

  handlesNothing(): void {
    if (this.#events.some(({ type }) => type === 'publish')) fail('a message was handed over')
  }

  /** The next event of this type. */
  tells<Type extends ConnectionEvent['type']>(type: Type): Extract<ConnectionEvent, { type: Type }> {
    const index = this.#events.findIndex((event) => event.type === type)
    if (index === -1)
      fail(`expected "${type}", got ${this.#events.map(describeEvent).join(', ') || 'nothing'}`)
    return this.#events.splice(index, 1)[0] as Extract<ConnectionEvent, { type: Type }>
  }

  /** The exchange is over: well, or with the error of `code`. */
  settles(what: Delivery | Operation, expected: Settlement = {}): void {
    const index = this.#events.indexOf(what)
    if (index === -1) fail(`${describeEvent(what)} has not settled`)
    this.#events.splice(index, 1)
    checkError(what.error, expected.code)
    const { code: _, error, ...fields } = expected
    const found = difference(fields, what) ?? difference(error ?? {}, what.error ?? {})
    if (found !== undefined) fail(`${describeEvent(what)} settled: ${found}`)
  }

  /** Nobody waits for the delivery any more, but the exchange goes on. */
  outwaits(delivery: Delivery): void {
    const overdue = this.tells('overdue')
    if (overdue.delivery !== delivery) fail(`${describeEvent(overdue.delivery)} is overdue`)
  }

  /** The server asks for a step of authentication. */
  asks(properties: Fields = {}): void {
    const found = difference(properties, this.tells('authentication').properties ?? {})
    if (found !== undefined) fail(`asked for a step of authentication: ${found}`)
  }

  /**
   * The connection has ended: by the user, or with the error of `code`. With a `reasonCode` version 5 sends it
   * in DISCONNECT; 3.1.1 only closes.
   */
  closes({ code, reasonCode }: { code?: ErrorCode; reasonCode?: number } = {}): MqttError | undefined {
    const { error } = this.tells('closed')
    checkError(error, code)
    if (reasonCode !== undefined) {
      if (error instanceof ProtocolError && error.reasonCode !== reasonCode) {
        fail(`closed with 0x${error.reasonCode.toString(16)} (${error.message})`)
      }
      if (this.is5) this.sends('disconnect', { reasonCode })
      this.sendsNothing()
    }
    return error
  }

  /** The connection stands. */
  lives(): void {
    if (this.connection.state !== 'connected')
      fail(`is ${this.connection.state}: ${this.#events.at(-1)?.type}`)
  }

  // Time, network and store.

  /** Time passes; the machine is woken at its deadlines. */
  passes(ms: number): void {
    const until = this.now + ms
    for (let turns = 0; this.connection.nextDeadline() <= until; turns++) {
      if (turns > 10_000) fail('never comes to rest')
      this.now = Math.max(this.now, this.connection.nextDeadline())
      this.connection.handleTimeout(this.now)
      this.pump()
    }
    this.now = until
  }

  /** Time passes without a turn: the program is busy, or the machine asleep. */
  blocks(ms: number): void {
    this.now += ms
  }

  /** The network takes nothing, or takes again. */
  congests(congested = true): void {
    this.#congested = congested
    this.pump()
  }

  /** The user stops reading, or begins again. */
  reads(reading: boolean): void {
    this.connection.handleReading(reading, this.now)
    this.pump()
  }

  /** All records are stored, those that follow included. */
  stores(): void {
    const store = this.#store ?? fail('there is no store')
    store.pull()
    if (!store.isOpen) fail('there is nothing to store')
    while (store.isOpen) this.storesOnce()
  }

  /** The records of the append that is open are stored. */
  storesOnce(): void {
    const upTo = (this.#store ?? fail('there is no store')).store()
    if (this.connection === undefined) return this.#store?.pull()
    this.connection.handleStored(upTo, this.now)
    this.pump()
  }

  /** The append that is open fails. */
  storeFails(): void {
    const error = (this.#store ?? fail('there is no store')).fail()
    this.connection.handleStoreFailed(error, this.now)
    this.pump()
  }

  /** Events, records, output: what a driver does after each call. */
  pump(): void {
    this.#pullEvents()
    this.#store?.pull()
    let written = false
    while (!this.#congested) {
      const chunk = this.connection.nextOutput()
      if (chunk === undefined) break
      this.#splitter.push(chunk)
      written = true
    }
    for (let split = this.#splitter.next(); split !== undefined; split = this.#splitter.next()) {
      const packet = decodeOfClient(split, this.version)
      this.#store?.check(packet)
      this.#packets.push(packet)
    }
    if (!written) return
    this.connection.handleWritten(this.connection.output.taken)
    this.connection.handleProgress(this.now)
  }

  #feed(chunk: Uint8Array): void {
    this.connection.handleData(chunk, false, this.now)
    this.pump()
    chunk.fill(0xaa)
  }

  #pullEvents(): void {
    for (let event = this.connection.nextEvent(); event !== undefined; event = this.connection.nextEvent()) {
      if (event.type === 'publish') this.connection.keep(event)
      if (event.type === 'sessionLost') this.#events.push(...event.failed)
      if (event.type === 'delivery') this.#events.push(...runOf(event))
      else this.#events.push(event)
    }
  }
}

/** The deliveries that an event has told of together. */
export function runOf(first: Delivery): Delivery[] {
  const run: Delivery[] = []
  for (let delivery: Delivery | undefined = first; delivery !== undefined; delivery = delivery.next)
    run.push(delivery)
  return run
}

/** How an exchange ended. */
export interface Settlement {
  readonly code?: ErrorCode
  readonly reasonCode?: number
  readonly reasonCodes?: readonly number[]
  readonly roundTrip?: number
  readonly interrupted?: boolean
  readonly result?: Fields
  /** Fields of the error. */
  readonly error?: Fields
}

function checkError(error: MqttError | undefined, code: ErrorCode | undefined): void {
  if (error?.code === code) return
  if (error === undefined) fail(`expected the error ${code}, got none`)
  throw new Error(`the machine gave the error ${error.code}, expected ${code ?? 'none'}`, { cause: error })
}

function describeEvent(event: ConnectionEvent): string {
  if (event.type === 'delivery')
    return `the delivery to "${event.name.text}" (${event.error?.code ?? event.state})`
  if (event.type === 'operation') return `the ${event.kind} (${event.error?.code ?? 'no error'})`
  if (event.type === 'publish') return `the message to "${event.topic}"`
  if (event.type === 'closed') return `closed (${event.error?.message ?? 'no error'})`
  return event.type
}

function fail(what: string): never {
  throw new Error(`the machine: ${what}`)
}

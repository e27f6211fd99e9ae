// A conversation of the protocol's machine with a malicious server, over several connections of one session. The model
// says beforehand what each chunk must lead to; what the machine tells and writes is held against that.

import { Slabs } from '../../src/core/bytes/slabs.ts'
import { Connection } from '../../src/core/connection/connection.ts'
import type { Closed, ConnectionEvent } from '../../src/core/connection/events.ts'
import { Operation } from '../../src/core/connection/operations.ts'
import { Traffic } from '../../src/core/connection/traffic.ts'
import { MqttError, ProtocolError } from '../../src/core/errors.ts'
import { mqtt311, mqtt5 } from '../../src/core/packets/codec.ts'
import type { IncomingMessage } from '../../src/core/packets/publish.ts'
import { ReceivedTopics } from '../../src/core/packets/received-topics.ts'
import type { ConnectPacket, ProtocolVersion, QoS } from '../../src/core/packets/types.ts'
import { runOf } from '../../src/testing/conversation.ts'
import { Delivery, type OutgoingPublish } from '../../src/core/session/deliveries.ts'
import { Session } from '../../src/core/session/session.ts'
import { TopicNames } from '../../src/core/topics/topic-names.ts'
import { type ConversationResult, Tally } from './conversation-result.ts'
import { type Judgement, Line } from './line.ts'
import { MaliciousServer } from './malicious-server.ts'
import { type Arrival, Model } from './model.ts'
import { Random } from './random.ts'

/** Turns after which a machine that never comes to rest has hung. */
const MOST_TURNS = 10_000
const TOPICS = ['a', 'a/b', 'sensors/1', '$x', 'é'] as const
const LARGE = new Uint8Array(70_000)

export function converseWithCore(seed: number): ConversationResult {
  const conversation = new CoreConversation(seed)
  try {
    conversation.run()
  } catch (error) {
    conversation.tally.fail(error)
  }
  return conversation.tally.result(seed, 'core')
}

class CoreConversation {
  readonly tally = new Tally()
  readonly #random: Random
  readonly #version: ProtocolVersion
  readonly #model: Model
  readonly #server: MaliciousServer
  readonly #options: Omit<ConstructorParameters<typeof Connection>[2], 'connect'>
  readonly #connect: ConnectPacket
  readonly #acknowledgesAtOnce: boolean
  readonly #names = new TopicNames()

  #now = 1_000
  #session = new Session()
  #connection: Connection | undefined = undefined
  #line: Line
  #connections = 0
  #closed: Closed | undefined = undefined
  /** Messages that the application has not acknowledged. */
  #unhandled: { readonly message: IncomingMessage; readonly arrival: Arrival }[] = []
  #deliveries = new Map<Delivery, number>()
  #operations = new Map<Operation, number>()
  #givenUp: number[] = []
  /** What the machine has told since the chunk before. */
  #told: ConnectionEvent[] = []

  constructor(seed: number) {
    const random = new Random(seed)
    this.#random = random
    this.#version = random.chance(0.6) ? '5' : '3.1.1'
    const onUnknownSession = random.pick(['adopt', 'close'] as const)
    this.#acknowledgesAtOnce = random.chance(0.5)
    const acknowledged = this.#acknowledgesAtOnce ? 'at once' : 'by hand'
    this.#model = new Model({ onUnknownSession, acknowledged })
    this.#server = new MaliciousServer(random, this.#version, this.#model)
    this.#connect = connectPacket(random, this.#version)
    this.#options = {
      maximumPacketSize: random.pick([300, 2_000, 16_777_216]),
      pingTimeout: 10_000,
      maxOutput: 1_000_000_000,
      poisonLimit: random.pick([0, 0, 3]),
      onUnknownSession,
      onSessionLost: random.pick(['resend', 'fail'] as const),
      maxInflight: random.pick([1, 5, 65_519]),
      maxInflightQos2: random.pick([1, 20]),
      topicAliases: random.pick(['off', 'auto', 'manual'] as const),
      operationTimeout: 30_000,
      slabs: new Slabs(),
      topics: new ReceivedTopics(),
      traffic: new Traffic(),
      watched: random.chance(0.1),
    }
    this.#line = this.#newLine()
  }

  run(): void {
    for (let steps = this.#random.between(20, 70); steps > 0; steps--) {
      const connection = this.#connection
      if (connection !== undefined && this.#closed === undefined) this.#step(connection)
      else if (this.#connections < 5) this.#open()
      else break
    }
    this.#finish()
  }

  #open(): void {
    const { version, connect, options } = {
      version: this.#version,
      connect: this.#connect,
      options: this.#options,
    }
    this.#session = this.#connection?.session ?? this.#session
    this.#closed = undefined
    this.#model.open()
    this.#server.open()
    this.#line = this.#newLine()
    const packet = { ...connect, cleanStart: connect.cleanStart && this.#connections === 0 }
    this.#connections += 1
    this.tally.connections += 1
    const codec = version === '5' ? mqtt5 : mqtt311
    this.#connection = new Connection(codec, this.#session, { ...options, connect: packet }, this.#now)
    this.#pump(this.#connection)
  }

  #step(connection: Connection): void {
    const random = this.#random
    const choice = random.below(100)
    if (choice < 45) this.#hear(connection)
    else if (choice < 65) this.#publish(connection)
    else if (choice < 73) this.#ask(connection)
    else if (choice < 88) this.#acknowledge(connection)
    else if (choice < 95) this.#pass(connection, random.pick([1, 500, 4_000, 31_000]))
    else if (choice < 97) this.#read(connection)
    else if (choice === 97) this.#abandon(connection)
    else if (choice === 98) connection.handleEnd(random.pick([undefined, new Error('reset')]), this.#now)
    else if (random.chance(0.3)) connection.disconnect(0, undefined, this.#now)
    this.#pump(connection)
    this.#checkDebts(connection)
    this.#told = []
  }

  #checkDebts({ state }: Connection): void {
    const { owed } = this.#model
    if (state !== 'closed' && owed.length > 0) throw new Error(`the client owes ${owed.join(', ')}`)
  }

  /** The server writes; it comes in pieces, from memory that is lent. Between two of them the client writes, too. */
  #hear(connection: Connection): void {
    const chunk = this.#server.say()
    this.tally.hear(chunk)
    for (const piece of this.#random.chance(0.5) ? [chunk] : this.#random.pieces(chunk)) {
      const before = connection.state
      if (before === 'closed') return
      const judgement = this.#line.judge(piece)
      this.tally.heard += judgement.packets
      const lent = piece.slice()
      connection.handleData(lent, false, this.#now)
      this.#pump(connection, judgement)
      lent.fill(0xaa)
      this.#compare(connection, judgement, before === 'connected')
      this.#checkDebts(connection)
      this.#told = []
    }
  }

  /** What was told is what the model expected. */
  #compare(connection: Connection, judgement: Judgement, wasConnected: boolean): void {
    const { verdict, why } = judgement
    const isClosed = connection.state === 'closed'
    const error = this.#closed?.error
    if (verdict === 'violation') {
      if (!(error instanceof ProtocolError)) throw new Error(`no ProtocolError after a violation: ${why}`)
      this.tally.violations += 1
    } else if (verdict === 'ends') {
      if (!isClosed || error instanceof ProtocolError)
        throw new Error(`not ended by ${why}: ${error?.message}`)
    } else if (verdict === 'fine' && isClosed) {
      throw new Error(`ended by what is legal: ${error?.message}`)
    }
    // The machine may have given an exchange up between CONNACK and what came with it.
    if (verdict === 'unsure' || !wasConnected) return
    const count = (fits: (event: ConnectionEvent) => boolean): number => this.#told.filter(fits).length
    const told = {
      messages: count(({ type }) => type === 'publish'),
      deliveries: count((event) => event.type === 'delivery' && event.packetId !== 0 && !isGivenUp(event)),
      operations: count(
        (event) => event.type === 'operation' && !event.interrupted && event.reasonCodes.length > 0,
      ),
    }
    const expected = { ...judgement, messages: judgement.messages.length }
    for (const name of ['messages', 'deliveries', 'operations'] as const) {
      if (told[name] !== expected[name]) {
        throw new Error(`${told[name]} ${name} were told, expected ${expected[name]} (${verdict} ${why})`)
      }
    }
  }

  #publish(connection: Connection): void {
    const random = this.#random
    const qos = random.pick<QoS>([0, 1, 1, 2, 2])
    const payload = random.chance(0.05) ? LARGE : random.bytes(random.pick([0, 3, 30, 150]))
    const isAliased = this.#options.topicAliases === 'manual' && random.chance(0.5)
    const message: OutgoingPublish = {
      name: this.#names.encode(random.pick(TOPICS)),
      payload,
      payloadSize: payload.length,
      qos,
      retain: random.chance(0.2),
      properties: isAliased && this.#version === '5' ? { topicAlias: random.between(1, 4) } : undefined,
      lent: random.chance(0.3),
    }
    this.tally.published += 1
    if (qos === 0) return this.#publishQos0(connection, message)
    const delivery = Delivery.of(message, this.#now)
    delivery.timeout = random.pick([0, 5_000])
    this.#deliveries.set(delivery, 0)
    connection.publish(delivery, this.#now)
  }

  #publishQos0(connection: Connection, message: OutgoingPublish): void {
    try {
      connection.publishQos0(message)
    } catch (error) {
      if (!(error instanceof MqttError)) throw error
    }
  }

  #ask(connection: Connection): void {
    const random = this.#random
    const kind = random.pick(['subscribe', 'unsubscribe', 'ping', 'reauthenticate'] as const)
    const filters = Array.from({ length: random.between(1, 3) }, () => random.pick(TOPICS))
    const timeout = random.pick([0, 5_000])
    const subscriptions = filters.map((filter) => ({ ...SUBSCRIPTION, filter }))
    const operation = new Operation(
      kind,
      kind === 'subscribe'
        ? { subscriptions, timeout }
        : { filters: kind === 'ping' ? [] : filters, timeout },
    )
    if (kind === 'reauthenticate') return this.#reauthenticate(connection, operation)
    this.#operations.set(operation, 0)
    if (kind === 'ping') connection.ping(operation, this.#now)
    else connection.request(operation, this.#now)
  }

  #reauthenticate(connection: Connection, operation: Operation): void {
    const { authenticationMethod } = this.#connect.properties ?? {}
    if (authenticationMethod === undefined || connection.reauthenticates) return
    this.#operations.set(operation, 0)
    connection.reauthenticate(operation, { authenticationMethod }, this.#now)
  }

  #acknowledge(connection: Connection): void {
    const random = this.#random
    for (let count = random.between(1, 4); count > 0; count--) {
      const [one] = this.#unhandled.splice(random.below(this.#unhandled.length), 1)
      if (one === undefined) return
      const reasonCode = this.#version === '5' && random.chance(0.2) ? 0x83 : 0
      // While CONNACK is awaited the machine cannot note it.
      if (connection.state !== 'connected') return
      this.#model.acknowledge(one.arrival, reasonCode)
      connection.acknowledge(one.message, reasonCode)
    }
  }

  #pass(connection: Connection, ms: number): void {
    const until = this.#now + ms
    for (let turns = 0; connection.nextDeadline() <= until; turns++) {
      if (turns > MOST_TURNS) throw new Error('the machine hangs: its deadline never passes')
      this.#now = Math.max(this.#now, connection.nextDeadline())
      connection.handleTimeout(this.#now)
      this.#pump(connection)
    }
    this.#now = until
  }

  /** Reading stops and begins again. */
  #read(connection: Connection): void {
    connection.handleReading(false, this.#now)
    this.#pass(connection, this.#random.pick([1, 5_000, 40_000]))
    connection.handleReading(true, this.#now)
  }

  #abandon(connection: Connection): void {
    const [delivery] = [...this.#deliveries.keys()].filter(({ state }) => state !== 'settled')
    if (delivery === undefined || connection.state !== 'connected') return
    connection.abandon(delivery)
    if (delivery.state === 'settled') this.#deliveries.delete(delivery)
  }

  /** Events, then output: what a driver does after each call. */
  #pump(connection: Connection, judgement?: Judgement): void {
    let turns = 0
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      if (++turns > MOST_TURNS) throw new Error('the machine hangs: its events never end')
      if (this.#closed !== undefined) throw new Error(`"${event.type}" was told behind the end`)
      for (const told of event.type === 'delivery' ? runOf(event) : [event]) {
        this.#told.push(told)
        this.#handle(connection, told, judgement)
      }
    }
    for (let chunk = connection.nextOutput(); chunk !== undefined; chunk = connection.nextOutput()) {
      if (++turns > MOST_TURNS) throw new Error('the machine hangs: its output never ends')
      for (const packet of this.#line.hear(chunk)) {
        this.tally.written += 1
        this.#server.hear(packet)
      }
    }
    connection.handleWritten(connection.output.taken)
    // Not before: what was written until then still leaves.
    for (const packetId of this.#givenUp.splice(0)) this.#model.reserve(packetId)
    if (this.#line.isTorn) throw new Error('the client wrote half a packet')
    if (connection.state === 'closed') this.#model.close()
  }

  #handle(connection: Connection, event: ConnectionEvent, judgement: Judgement | undefined): void {
    switch (event.type) {
      case 'connected':
        connection.resume(this.#now)
        return
      case 'publish':
        return this.#handleMessage(connection, event, judgement)
      case 'delivery':
        this.#deliveries.set(event, (this.#deliveries.get(event) ?? 0) + 1)
        if (isGivenUp(event)) this.#givenUp.push(event.packetId)
        return
      case 'operation':
        this.#operations.set(event, (this.#operations.get(event) ?? 0) + 1)
        return
      case 'sessionLost':
        for (const delivery of event.failed)
          this.#deliveries.set(delivery, (this.#deliveries.get(delivery) ?? 0) + 1)
        return
      case 'authentication':
        return connection.authenticate({ authenticationMethod: 'm' })
      case 'closed':
        this.#closed = event
        return this.#checkEnd(event.error)
      default:
        return
    }
  }

  #handleMessage(connection: Connection, message: IncomingMessage, judgement: Judgement | undefined): void {
    connection.keep(message)
    const handed = this.#told.filter(({ type }) => type === 'publish').length
    const arrival = judgement?.messages[handed - 1]
    if (arrival === undefined || arrival.packetId !== message.packetId) {
      throw new Error(`the message ${message.packetId} to "${message.topic}" was told, which is not expected`)
    }
    this.tally.messages += 1
    if (message.qos === 0) return
    if (this.#acknowledgesAtOnce) connection.acknowledge(message)
    else this.#unhandled.push({ message, arrival })
  }

  #checkEnd(error: MqttError | undefined): void {
    this.tally.end(error)
    if (error !== undefined && !(error instanceof MqttError)) throw new Error('the end has no error of ours')
    if (error?.message.includes('could not be handled')) throw error
  }

  /** The connection ends: every request has been answered, every delivery is told or kept. */
  #finish(): void {
    const connection = this.#connection
    if (connection === undefined) return
    if (this.#closed === undefined) {
      if (this.#random.chance(0.5)) connection.disconnect(0, undefined, this.#now)
      else connection.handleEnd(undefined, this.#now)
      this.#pump(connection)
    }
    if (connection.nextDeadline() !== Infinity) throw new Error('a connection that has ended has a deadline')
    connection.handleData(Uint8Array.of(0x30, 3, 0, 1, 0x61), false, this.#now)
    connection.handleTimeout(this.#now + 1_000_000)
    this.#pump(connection)
    for (const [operation, times] of this.#operations) {
      if (times === 0) throw new Error(`a ${operation.kind} was never answered`)
    }
    for (const [delivery, times] of this.#deliveries) {
      if (times > 1) throw new Error(`a delivery was told ${times} times`)
      if (times === 0 && delivery.state === 'settled' && !delivery.abandoned) {
        throw new Error('a delivery was settled and never told')
      }
    }
    const { ids, deliveryIds } = connection.session
    // Requests give theirs back with the connection.
    if (ids.size !== deliveryIds)
      throw new Error(`${ids.size} ids are in use, deliveries hold ${deliveryIds}`)
    this.tally.deeds = this.#server.deeds
  }

  #newLine(): Line {
    return new Line(this.#model, this.#version, this.#options.maximumPacketSize)
  }
}

/** Its identifier stays reserved: it was too often the last one sent, or the server would refuse it now. */
function isGivenUp({ packetId, error }: Delivery): boolean {
  if (packetId === 0 || error === undefined) return false
  return error.code === 'poison-delivery' || ('local' in error && error.local === true)
}

function connectPacket(random: Random, protocolVersion: ProtocolVersion): ConnectPacket {
  const properties = {
    sessionExpiryInterval: 100,
    receiveMaximum: random.pick([undefined, 2, 10]),
    topicAliasMaximum: random.pick([undefined, 3]),
    requestProblemInformation: random.chance(0.1) ? false : undefined,
    authenticationMethod: random.chance(0.1) ? 'm' : undefined,
  }
  return {
    type: 'connect',
    protocolVersion,
    clientId: 'c',
    cleanStart: random.chance(0.7),
    keepAlive: random.pick([0, 10, 60]),
    properties: protocolVersion === '5' ? properties : undefined,
  }
}

const SUBSCRIPTION = { qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const

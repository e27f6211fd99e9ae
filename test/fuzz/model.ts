// What client and server have agreed, from the packets that have crossed: says of each packet of the server whether
// it may come, and of each of the client whether it is legal. It knows nothing of the machine's insides.
//
//     server ── decoded ──► handleServer   fine, a violation, the server's end of it, or not to be told from here
//     client ── decoded ──► handleClient   undefined, or what is wrong

import type {
  AckPacket,
  AuthPacket,
  ConnackPacket,
  ConnectPacket,
  ControlPacket,
  Properties,
  PublishPacket,
  QoS,
} from '../../src/core/packets/types.ts'

export type Verdict = 'fine' | 'violation' | 'ends' | 'unsure'

/** A PUBLISH of the client that is not finished, as long as the session. */
interface Exchange {
  readonly qos: QoS
  state: 'published' | 'released' | 'reserved'
  /** The connection of its PUBLISH, and the one on which the client last mentioned it. */
  connection: number
  mentioned: number
}

/** A message of the server that was handed over; at QoS 2 until PUBREL, as long as the session. */
export interface Arrival {
  readonly packetId: number
  readonly qos: QoS
  isHandled: boolean
  reasonCode: number
  connection: number
  /** Without DUP its identifier is used anew. */
  isDoubtful: boolean
}

/** What the client is to tell its user of a packet of the server. */
export interface Told {
  readonly messages: Arrival[]
  deliveries: number
  operations: number
}

/** What CONNACK says of the client's limits. */
const NO_LIMITS = { receiveMaximum: 65_535, maximumQoS: 2, maximumPacketSize: Infinity, topicAliasMaximum: 0 }

export interface ModelOptions {
  readonly onUnknownSession: 'adopt' | 'close'
  /** Who acknowledges: nobody but `acknowledge`, the model itself at once, or the client when it likes. */
  readonly acknowledged: 'by hand' | 'at once' | 'unseen'
}

export class Model {
  readonly options: ModelOptions
  readonly exchanges: Map<number, Exchange> = new Map()
  readonly arrivals: Map<number, Arrival> = new Map()

  /** It can no longer be told what the two have agreed, and nothing is judged. */
  isLost = false

  // Of the present connection.
  operations: Map<number, { readonly kind: 'suback' | 'unsuback'; readonly answers: number }> = new Map()
  state: 'opened' | 'connecting' | 'connected' | 'closed' = 'closed'
  #connect: ConnectPacket | undefined = undefined
  #limits = NO_LIMITS
  #retainAvailable = true
  #established = false
  /** A CONNECT has no answer yet, or never had one. */
  #isAsked = false
  #connection = 0
  #openQos2 = 0
  #isRepeated = false
  #isReauthenticating = false
  #aliasesIn = new Set<number>()
  #aliasesOut = new Set<number>()
  /** In the order in which they came, each until it was acknowledged. */
  #pubackLine: Arrival[] = []
  #pubrecLine: Arrival[] = []
  #due: { puback: number[]; pubrec: number[]; pubcomp: number[]; pubrel: number[] } = noneDue()

  constructor(options: ModelOptions) {
    this.options = options
  }

  /** A new network connection. */
  open(): void {
    this.state = 'opened'
    this.#connection += 1
    this.#limits = NO_LIMITS
    this.#retainAvailable = true
    this.#openQos2 = 0
    this.#isRepeated = false
    this.#isReauthenticating = false
    this.#aliasesIn = new Set()
    this.#aliasesOut = new Set()
    this.#pubackLine = []
    this.#pubrecLine = []
    this.#due = noneDue()
    this.operations = new Map()
  }

  close(): void {
    this.state = 'closed'
  }

  /** Messages that the server may not add to. */
  get isFull(): boolean {
    return this.#pubackLine.length + this.#openQos2 >= this.#receiveMaximum
  }

  /** The server may say that it has the session. */
  get mayResume(): boolean {
    return this.#established && this.#connect?.cleanStart === false
  }

  get topicAliasMaximum(): number {
    return this.#asked.topicAliasMaximum ?? 0
  }

  /** Acknowledgements that the client should have written by now. */
  get owed(): readonly string[] {
    return Object.entries(this.#due).flatMap(([type, ids]) => ids.map((id) => `${type} ${id}`))
  }

  /** The application is done with a message. */
  acknowledge(arrival: Arrival, reasonCode: number): void {
    if (arrival.isHandled || (arrival.qos === 1 && arrival.connection !== this.#connection)) return
    arrival.isHandled = true
    arrival.reasonCode = reasonCode
    this.#advance()
  }

  /** Nobody knows whether the server's session is the one that it was. */
  #doubt(): void {
    for (const arrival of this.arrivals.values()) arrival.isDoubtful = true
  }

  /** The client has given the exchange up and keeps its identifier from use. */
  reserve(packetId: number): void {
    const exchange = this.exchanges.get(packetId)
    if (exchange !== undefined) exchange.state = 'reserved'
  }

  // The server's packets.

  handleServer(packet: ControlPacket, told: Told): Verdict {
    if (this.isLost) return 'unsure'
    if (packet.type === 'connack') return this.#handleConnack(packet)
    if (packet.type === 'auth') return this.#handleAuth(packet)
    if (this.state !== 'connected') return 'violation'
    if (this.#hasForbiddenWords(packet)) return 'violation'
    switch (packet.type) {
      case 'publish':
        return this.#handlePublish(packet, told)
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        return this.#handleAnswer(packet, told)
      case 'pubrel':
        return this.#handlePubrel(packet)
      case 'suback':
      case 'unsuback': {
        const operation = this.operations.get(packet.packetId)
        if (operation === undefined && !this.exchanges.has(packet.packetId)) return this.#handleUnknown(told)
        if (operation === undefined) return 'violation'
        const isBare = packet.type === 'unsuback' && this.#connect?.protocolVersion !== '5'
        if (operation.kind !== packet.type) return 'violation'
        if (!isBare && operation.answers !== packet.reasonCodes.length) return 'violation'
        this.operations.delete(packet.packetId)
        told.operations += 1
        return 'fine'
      }
      case 'disconnect':
        if (packet.reasonCode === 0x8e) this.#doubt()
        return packet.properties?.sessionExpiryInterval === undefined ? 'ends' : 'violation'
      default:
        return packet.type === 'pingresp' ? 'fine' : 'violation'
    }
  }

  #handleConnack({ sessionPresent, reasonCode, properties }: ConnackPacket): Verdict {
    const connect = this.#connect
    if (this.state !== 'connecting' || connect === undefined) return 'violation'
    this.#isAsked = false
    if (reasonCode !== 0) return 'ends'
    if (properties?.authenticationMethod !== connect.properties?.authenticationMethod) return 'violation'
    if (properties?.assignedClientIdentifier !== undefined) return 'violation'
    if (sessionPresent && connect.cleanStart) return 'violation'
    if (sessionPresent && !this.#established && this.options.onUnknownSession === 'close') return 'violation'
    const { receiveMaximum, maximumQoS, maximumPacketSize, topicAliasMaximum, retainAvailable } =
      properties ?? {}
    this.#limits = {
      receiveMaximum: receiveMaximum ?? NO_LIMITS.receiveMaximum,
      maximumQoS: maximumQoS ?? NO_LIMITS.maximumQoS,
      maximumPacketSize: maximumPacketSize ?? NO_LIMITS.maximumPacketSize,
      topicAliasMaximum: topicAliasMaximum ?? NO_LIMITS.topicAliasMaximum,
    }
    this.#retainAvailable = retainAvailable ?? true
    this.#established = true
    this.state = 'connected'
    if (!sessionPresent) {
      this.exchanges.clear()
      this.arrivals.clear()
    }
    for (const [id, { state }] of this.exchanges) if (state === 'released') this.#due.pubrel.push(id)
    return 'fine'
  }

  #handleAuth({ reasonCode, properties }: AuthPacket): Verdict {
    const method = this.#asked.authenticationMethod
    if (method === undefined || properties?.authenticationMethod !== method) return 'violation'
    if (this.state === 'connected' && !this.#isReauthenticating) return 'violation'
    if (reasonCode === 0x18) return 'fine'
    if (reasonCode !== 0 || !this.#isReauthenticating) return 'violation'
    this.#isReauthenticating = false
    return 'fine'
  }

  /** CONNECT asked for none [5: 3.1.2.11.7]. */
  #hasForbiddenWords(packet: ControlPacket): boolean {
    if (this.#asked.requestProblemInformation !== false) return false
    if (packet.type === 'publish' || packet.type === 'disconnect' || !('properties' in packet)) return false
    const { reasonString, userProperties } = packet.properties ?? {}
    return reasonString !== undefined || userProperties !== undefined
  }

  #handlePublish(packet: PublishPacket, told: Told): Verdict {
    const { qos, packetId, topic, properties } = packet
    const alias = properties?.topicAlias
    if (alias !== undefined) {
      if (alias === 0 || alias > this.topicAliasMaximum) return 'violation'
      if (topic === '' && !this.#aliasesIn.has(alias)) return 'violation'
      this.#aliasesIn.add(alias)
    }
    if (qos === 2) return this.#handleQos2(packet, told)
    const isTooMany = qos === 1 && this.isFull
    if (isTooMany && !this.#isUnseen) return 'violation'
    const arrival = arrivalOf(packetId, qos, this.#connection)
    told.messages.push(arrival)
    if (qos === 1) this.#pubackLine.push(arrival)
    this.#acknowledgeAtOnce(arrival)
    return isTooMany ? 'unsure' : 'fine'
  }

  #handleQos2({ packetId, dup }: PublishPacket, told: Told): Verdict {
    const known = this.arrivals.get(packetId)
    const open = known?.isDoubtful === true && !dup ? undefined : known
    if (open !== undefined) open.isDoubtful = false
    const isRepeated = open?.connection === this.#connection
    const isTooMany = !isRepeated && this.isFull
    if (isTooMany && !this.#isUnseen) return 'violation'
    if (isRepeated) this.#isRepeated = true
    else this.#openQos2 += 1
    // Unseen, nobody knows whether it was handled: one more acknowledgement may come.
    if (isRepeated && !open.isHandled && !this.#isUnseen) return 'fine'
    const arrival = open ?? arrivalOf(packetId, 2, 0)
    arrival.connection = this.#connection
    this.arrivals.set(packetId, arrival)
    this.#pubrecLine.push(arrival)
    if (open === undefined) told.messages.push(arrival)
    if (open === undefined) this.#acknowledgeAtOnce(arrival)
    this.#advance()
    return isTooMany ? 'unsure' : 'fine'
  }

  #acknowledgeAtOnce(arrival: Arrival): void {
    if (this.options.acknowledged === 'at once') this.acknowledge(arrival, 0)
  }

  get #isUnseen(): boolean {
    return this.options.acknowledged === 'unseen'
  }

  #handlePubrel({ packetId }: AckPacket): Verdict {
    const arrival = this.arrivals.get(packetId)
    const isEarly = arrival?.isHandled === false
    if (isEarly && !this.#isUnseen) return 'violation'
    if (arrival !== undefined) {
      this.arrivals.delete(packetId)
      this.#openQos2 = Math.max(0, this.#openQos2 - 1)
    }
    this.#due.pubcomp.push(packetId)
    return isEarly ? 'unsure' : 'fine'
  }

  #handleAnswer({ type, packetId, reasonCode }: AckPacket, told: Told): Verdict {
    if (this.operations.has(packetId)) return 'violation'
    const exchange = this.exchanges.get(packetId)
    if (exchange === undefined || exchange.state === 'reserved') {
      if (type === 'pubrec' && reasonCode < 0x80) this.#due.pubrel.push(packetId)
      return this.#handleUnknown(told)
    }
    const isWrong = exchange.qos !== (type === 'puback' ? 1 : 2)
    if (isWrong || (type === 'pubcomp' && exchange.state !== 'released')) {
      // One of an earlier connection may have been given up, which the client does not say.
      this.isLost = this.#isUnseen && exchange.mentioned !== this.#connection
      return this.isLost ? 'unsure' : 'violation'
    }
    if (type === 'pubrec' && (reasonCode < 0x80 || exchange.state === 'released')) {
      exchange.state = 'released'
      this.#due.pubrel.push(packetId)
      return 'fine'
    }
    this.exchanges.delete(packetId)
    told.deliveries += 1
    return 'fine'
  }

  /** Nothing has the identifier, unless the client began something in answer to what came in the same chunk. */
  #handleUnknown({ messages, deliveries, operations }: Told): Verdict {
    this.isLost = this.#isUnseen && messages.length + deliveries + operations > 0
    return this.isLost ? 'unsure' : 'fine'
  }

  /** Acknowledgements leave in the order in which the messages came. */
  #advance(): void {
    if (this.#isUnseen) return
    for (let first = this.#pubackLine[0]; first?.isHandled; first = this.#pubackLine[0]) {
      this.#pubackLine.shift()
      this.#due.puback.push(first.packetId)
    }
    for (let first = this.#pubrecLine[0]; first?.isHandled; first = this.#pubrecLine[0]) {
      this.#pubrecLine.shift()
      this.#due.pubrec.push(first.packetId)
      if (first.reasonCode < 0x80) continue
      if (this.arrivals.get(first.packetId) === first) this.arrivals.delete(first.packetId)
      this.#openQos2 -= 1
    }
  }

  // The client's packets.

  /** @param size of the whole packet */
  handleClient(packet: ControlPacket, size: number): string | undefined {
    const { state } = this
    if (this.isLost) return undefined
    if (packet.type === 'connect') {
      if (this.#isAsked) this.#doubt()
      this.#isAsked = true
      this.#connect = packet
      this.state = 'connecting'
      return state === 'opened' ? undefined : `CONNECT while ${state}`
    }
    if (state === 'opened') return `${packet.type} before CONNECT`
    if (packet.type === 'disconnect') {
      this.state = 'closed'
      return state === 'closed' ? 'DISCONNECT after the end' : undefined
    }
    if (state === 'closed') return `${packet.type} after the end`
    if (packet.type === 'auth') return this.#checkAuth(packet)
    if (state !== 'connected') return `${packet.type} before CONNACK`
    if (packet.type === 'publish') return this.#checkPublish(packet, size)
    if (packet.type === 'subscribe') {
      return this.#checkOperation('suback', packet.packetId, packet.subscriptions.length)
    }
    if (packet.type === 'unsubscribe') {
      return this.#checkOperation('unsuback', packet.packetId, packet.filters.length)
    }
    return packet.type === 'pingreq' ? undefined : this.#checkAcknowledgement(packet)
  }

  #checkPublish(
    { qos, retain, dup, packetId, topic, properties }: PublishPacket,
    size: number,
  ): string | undefined {
    const { maximumQoS, maximumPacketSize, topicAliasMaximum, receiveMaximum } = this.#limits
    const alias = properties?.topicAlias
    if (qos > maximumQoS) return `PUBLISH of QoS ${qos}, the Maximum QoS is ${maximumQoS}`
    if (retain && !this.#retainAvailable) return 'a retained PUBLISH'
    if (size > maximumPacketSize) return `PUBLISH of ${size} bytes, at most ${maximumPacketSize} are accepted`
    if (alias !== undefined && (alias === 0 || alias > topicAliasMaximum)) return `the topic alias ${alias}`
    if (topic === '' && !this.#aliasesOut.has(alias ?? 0)) return `the unknown topic alias ${alias}`
    if (alias !== undefined) this.#aliasesOut.add(alias)
    if (qos === 0) return undefined
    const known = this.exchanges.get(packetId)
    if (this.operations.has(packetId)) return `the identifier ${packetId} of a request, in PUBLISH`
    if (!dup && known !== undefined) return `the identifier ${packetId} again, which is in use`
    if (dup && known === undefined) return `DUP 1 in the first PUBLISH with the identifier ${packetId}`
    if (dup && (known?.state !== 'published' || known.qos !== qos)) return `PUBLISH ${packetId} after PUBREC`
    if (dup && known?.connection === this.#connection) return `PUBLISH ${packetId} twice on one connection`
    const connection = this.#connection
    this.exchanges.set(packetId, { qos, state: 'published', connection, mentioned: connection })
    const open = [...this.exchanges.values()].filter(
      (exchange) => exchange.connection === connection && exchange.state !== 'reserved',
    )
    if (open.length > receiveMaximum) return `${open.length} open, the Receive Maximum is ${receiveMaximum}`
    return undefined
  }

  #checkAuth({ reasonCode, properties }: AuthPacket): string | undefined {
    const method = this.#asked.authenticationMethod
    if (reasonCode === 0x19) this.#isReauthenticating = true
    if (method === undefined || properties?.authenticationMethod !== method) return 'AUTH of another method'
    return reasonCode === 0x18 || this.state === 'connected' ? undefined : 'AUTH 0x19 before CONNACK'
  }

  #checkOperation(kind: 'suback' | 'unsuback', packetId: number, answers: number): string | undefined {
    const isUsed = this.operations.has(packetId) || this.exchanges.has(packetId)
    this.operations.set(packetId, { kind, answers })
    return isUsed ? `the identifier ${packetId} in a request, which is in use` : undefined
  }

  #checkAcknowledgement(
    packet: ControlPacket & { packetId?: number; reasonCode?: number },
  ): string | undefined {
    const { type, packetId: id = 0, reasonCode = 0 } = packet
    if (type === 'pubrel') {
      const exchange = this.exchanges.get(id)
      if (exchange !== undefined) exchange.mentioned = this.#connection
      return this.#settleDue('pubrel', id)
    }
    if (type !== 'puback' && type !== 'pubrec' && type !== 'pubcomp') return type
    // With a store, one for an unknown identifier overtakes those that wait for their records.
    if (this.#isUnseen && type === 'pubcomp') return this.#settleDue(type, id)
    if (this.#isUnseen && type !== 'pubcomp') return this.#checkUnseen(type, id, reasonCode)
    const expected = this.#due[type].shift()
    return expected === id ? undefined : `${type} ${id}, expected ${expected ?? 'none'}`
  }

  /** In any order. */
  #settleDue(type: 'pubrel' | 'pubcomp', id: number): string | undefined {
    const index = this.#due[type].indexOf(id)
    if (index >= 0) this.#due[type].splice(index, 1)
    return index >= 0 ? undefined : `${type} ${id}, which is not due`
  }

  #checkUnseen(type: 'puback' | 'pubrec', id: number, reasonCode: number): string | undefined {
    const line = type === 'puback' ? this.#pubackLine : this.#pubrecLine
    const index = line.findIndex(({ packetId }) => packetId === id)
    if (index < 0) return `${type} ${id}, for which no message waits`
    const [arrival] = line.splice(index, 1)
    if (arrival !== undefined) arrival.isHandled = true
    if (type === 'pubrec' && reasonCode >= 0x80 && this.arrivals.delete(id)) this.#openQos2 -= 1
    // Messages that were given back, or repeated, have lost their place.
    return index === 0 || this.#isRepeated ? undefined : `${type} ${id} out of turn`
  }

  get #asked(): Properties {
    return this.#connect?.properties ?? {}
  }

  get #receiveMaximum(): number {
    return this.#asked.receiveMaximum ?? 65_535
  }
}

function arrivalOf(packetId: number, qos: QoS, connection: number): Arrival {
  return { packetId, qos, isHandled: false, reasonCode: 0, connection, isDoubtful: false }
}

function noneDue(): { puback: number[]; pubrec: number[]; pubcomp: number[]; pubrel: number[] } {
  return { puback: [], pubrec: [], pubcomp: [], pubrel: [] }
}

// A server that knows the rules and breaks them as it pleases: it answers late, twice, out of order, with damage or
// not at all, invents packets, and writes bytes that are none. How often, differs from conversation to conversation.

import type { ControlPacket, PacketType, ProtocolVersion, QoS } from '../../src/core/packets/types.ts'
import { encodePacket } from '../../src/testing/broker/server-codec.ts'
import { concat } from '../support/codec/hex.ts'
import { MALFORMED_INPUTS } from '../support/codec/malformed.ts'
import { mayBeSentBy } from '../support/codec/specification.ts'
import { Corpus, sampleOf } from './corpus.ts'
import type { Model } from './model.ts'
import { damage, damagedPacket, MUTATION_NAMES } from './mutations.ts'
import type { Random } from './random.ts'
import { sampleConnack, samplePacket } from './samples.ts'

const corpus = new Corpus()

/** What it does when it behaves, and when it does not; with weights. */
const DECENT = [
  'answer',
  'answer',
  'answer',
  'answer',
  'message',
  'message',
  'reorder',
  'withhold',
  'wait',
] as const
const WICKED = [
  'damaged answer',
  'damaged answer',
  'duplicate',
  'duplicate',
  'invented',
  'invented',
  'wrong answer',
  'malformed',
  'damaged packet',
  'bytes',
] as const

export type Deed = (typeof DECENT)[number] | (typeof WICKED)[number] | 'connack' | 'no connack'
export const DEEDS: readonly Deed[] = [...new Set<Deed>([...DECENT, ...WICKED, 'connack', 'no connack'])]

const ACKS = ['puback', 'pubrec', 'pubrel', 'pubcomp', 'suback', 'unsuback'] as const
const TOPICS = ['a', 'a/b', 'b', 'c/d/e', '$SYS/x'] as const
const VERSIONS = ['3.1.1', '5'] as const

const SERVER_TYPES: Readonly<Record<ProtocolVersion, readonly PacketType[]>> = {
  '3.1.1': serverTypes('3.1.1'),
  '5': serverTypes('5'),
}
const MALFORMED: Readonly<Record<ProtocolVersion, readonly Uint8Array[]>> = {
  '3.1.1': malformedOf('3.1.1'),
  '5': malformedOf('5'),
}

export class MaliciousServer {
  /** How often it did what. */
  readonly deeds: Map<Deed, number> = new Map()
  readonly #random: Random
  readonly #version: ProtocolVersion
  readonly #model: Model
  /** The share of its deeds that are wicked. */
  readonly #malice: number
  #owed: ControlPacket[] = []
  /** What CONNECT named. */
  #authenticationMethod: string | undefined = undefined
  #hasAnswered = false
  #nextId = 1

  constructor(random: Random, version: ProtocolVersion, model: Model) {
    this.#random = random
    this.#version = version
    this.#model = model
    this.#malice = random.pick([0, 0.02, 0.02, 0.1, 0.4])
  }

  /** A new network connection; what it owed on the one before is forgotten. */
  open(): void {
    this.#owed = []
    this.#hasAnswered = false
  }

  /** A packet of the client: the honest answer is owed. */
  hear(packet: ControlPacket): void {
    if (packet.type === 'connect') this.#authenticationMethod = packet.properties?.authenticationMethod
    const answer = honestAnswer(packet, this.#version === '5', this.#random)
    if (answer !== undefined) this.#owed.push(answer)
  }

  /** What it writes next, in one chunk; empty when it waits. */
  say(): Uint8Array {
    // What a client sends at CONNACK crosses what comes with it, which the model cannot follow: messages alone.
    const isFirst = !this.#hasAnswered
    const parts = [this.#act()]
    while (this.#hasAnswered && this.#random.chance(0.35)) {
      parts.push(isFirst ? this.#encode(this.#message()) : this.#act())
    }
    return concat(...parts)
  }

  #act(): Uint8Array {
    if (!this.#hasAnswered) return this.#answerConnect()
    const deed = this.#random.pick<Deed>(this.#isWicked() ? WICKED : DECENT)
    this.#note(deed)
    return this.#do(deed)
  }

  #answerConnect(): Uint8Array {
    const random = this.#random
    const method = this.#authenticationMethod
    const isWicked = this.#isWicked()
    if (method !== undefined && !isWicked && random.chance(0.4)) {
      return this.#encode({ type: 'auth', reasonCode: 0x18, properties: { authenticationMethod: method } })
    }
    this.#hasAnswered = true
    if (!isWicked) {
      this.#note('connack')
      const sessionPresent = this.#model.mayResume && random.chance(0.7)
      return this.#encode(sampleConnack(random, this.#version, sessionPresent, method))
    }
    this.#note('no connack')
    return random.pick([
      () => this.#damaged(sampleConnack(random, this.#version, random.chance(0.5))),
      () => this.#encode(samplePacket(random, 'connack', this.#version)),
      () => this.#invented(),
      () => random.bytes(random.between(1, 20)),
    ])()
  }

  #do(deed: Deed): Uint8Array {
    const random = this.#random
    switch (deed) {
      case 'answer':
        return this.#encode(this.#owed.shift())
      case 'reorder':
        return this.#encode(this.#anyOwed())
      case 'duplicate': {
        const answer = this.#anyOwed() ?? this.#message()
        return concat(this.#encode(answer), this.#encode(answer))
      }
      case 'withhold':
        this.#anyOwed()
        return NOTHING
      case 'message':
        return this.#model.isFull ? NOTHING : this.#encode(this.#message())
      case 'damaged answer':
        return this.#damaged(this.#anyOwed() ?? this.#message())
      case 'invented':
        return this.#invented()
      case 'wrong answer':
        return this.#wrongAnswer()
      case 'malformed':
        return random.pick(MALFORMED[this.#version])
      case 'damaged packet':
        return damagedPacket(corpus, { version: random.pick(VERSIONS), sender: 'server' }, random).bytes
      case 'bytes':
        return random.bytes(random.between(1, 40))
      default:
        return NOTHING
    }
  }

  #isWicked(): boolean {
    return this.#random.chance(this.#malice)
  }

  #note(deed: Deed): void {
    this.deeds.set(deed, (this.deeds.get(deed) ?? 0) + 1)
  }

  #anyOwed(): ControlPacket | undefined {
    return this.#owed.splice(this.#random.below(this.#owed.length), 1)[0]
  }

  #encode(packet: ControlPacket | undefined): Uint8Array {
    return packet === undefined ? NOTHING : encodePacket(packet, this.#version).slice()
  }

  #damaged(packet: ControlPacket): Uint8Array {
    const sample = sampleOf(this.#encode(packet), { version: this.#version, sender: 'server' })
    return damage(sample, [this.#random.pick(MUTATION_NAMES)], this.#random, corpus).bytes
  }

  #message(): ControlPacket {
    const random = this.#random
    const qos = random.pick<QoS>([0, 1, 1, 2, 2])
    const alias = Math.min(this.#model.topicAliasMaximum, random.below(3))
    return {
      type: 'publish',
      topic: random.pick(TOPICS),
      payload: random.bytes(random.pick([0, 1, 10, 100])),
      qos,
      retain: random.chance(0.2),
      dup: false,
      packetId: qos === 0 ? 0 : this.#newId(),
      properties: this.#version === '5' && alias > 0 ? { topicAlias: alias } : undefined,
    }
  }

  /** An identifier of the server's that is in use for nothing, or seldom for something. */
  #newId(): number {
    if (!this.#random.chance(this.#malice)) {
      while (this.#model.arrivals.has(this.#nextId)) this.#nextId = (this.#nextId % 65_535) + 1
    }
    const id = this.#nextId
    this.#nextId = (id % 65_535) + 1
    return this.#random.chance(this.#malice / 2) ? this.#usedId() : id
  }

  /** An identifier that one of the two uses, if there is one. */
  #usedId(): number {
    const { exchanges, operations, arrivals } = this.#model
    const used = [...exchanges.keys(), ...operations.keys(), ...arrivals.keys()]
    return used.length > 0 ? this.#random.pick(used) : this.#random.between(1, 65_535)
  }

  #invented(): Uint8Array {
    const random = this.#random
    const packet = samplePacket(random, random.pick(SERVER_TYPES[this.#version]), this.#version)
    if (!('packetId' in packet) || packet.packetId === 0) return this.#encode(packet)
    return this.#encode({ ...packet, packetId: random.chance(0.8) ? this.#usedId() : packet.packetId })
  }

  #wrongAnswer(): Uint8Array {
    const random = this.#random
    const type = random.pick(ACKS)
    const packetId = this.#usedId()
    if (type !== 'suback' && type !== 'unsuback') return this.#encode({ type, packetId, reasonCode: 0 })
    return this.#encode({ type, packetId, reasonCodes: new Array<number>(random.between(1, 3)).fill(0) })
  }
}

function honestAnswer(packet: ControlPacket, version5: boolean, random: Random): ControlPacket | undefined {
  const refused = version5 && random.chance(0.1)
  switch (packet.type) {
    case 'publish': {
      if (packet.qos === 0) return undefined
      const type = packet.qos === 1 ? 'puback' : 'pubrec'
      return { type, packetId: packet.packetId, reasonCode: refused ? 0x87 : 0 }
    }
    case 'pubrel':
      return { type: 'pubcomp', packetId: packet.packetId, reasonCode: 0 }
    case 'pubrec':
      if (packet.reasonCode >= 0x80) return undefined
      return { type: 'pubrel', packetId: packet.packetId, reasonCode: 0 }
    case 'subscribe': {
      const reasonCodes = packet.subscriptions.map(({ qos }) => (random.chance(0.1) ? 0x80 : qos))
      return { type: 'suback', packetId: packet.packetId, reasonCodes }
    }
    case 'unsubscribe':
      return { type: 'unsuback', packetId: packet.packetId, reasonCodes: packet.filters.map(() => 0) }
    case 'pingreq':
      return { type: 'pingresp' }
    case 'auth': {
      const properties = { authenticationMethod: packet.properties?.authenticationMethod }
      return { type: 'auth', reasonCode: random.chance(0.3) ? 0x18 : 0, properties }
    }
    default:
      return undefined
  }
}

function serverTypes(version: ProtocolVersion): readonly PacketType[] {
  return (['connack', 'publish', ...ACKS, 'pingresp', 'disconnect', 'auth'] as const).filter((type) =>
    mayBeSentBy(type, version, 'server'),
  )
}

function malformedOf(version: ProtocolVersion): readonly Uint8Array[] {
  return MALFORMED_INPUTS.filter((input) => input.version === version && input.sender === 'server').map(
    ({ bytes }) => bytes,
  )
}

const NOTHING = new Uint8Array(0)

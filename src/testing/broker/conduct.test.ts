// A client that keeps the rules is never complained of, whatever is lost when: connections break at any point, in
// both directions, and the client goes on as section 4.4 says.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AckType, ControlPacket, ProtocolVersion, QoS } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import type { BrokerConnection } from './broker-connection.ts'
import { PacketSplitter } from './packet-splitter.ts'
import { connectOf, publishOf } from './raw-client.ts'
import { decodeOfServer, encodePacket } from './server-codec.ts'

interface Outgoing {
  readonly packetId: number
  readonly qos: QoS
  readonly topic: string
  state: 'waiting' | 'published' | 'released'
}

/** A client of the plainest kind: lists, and the rules. */
class HonestClient {
  delivered: string[] = []
  settled = 0

  readonly #broker: Broker
  readonly #version: ProtocolVersion
  readonly #lowestId: boolean
  #connection: BrokerConnection | undefined
  #splitter = new PacketSplitter()
  /** What it has written and the broker has not got. */
  #inTheWire: Uint8Array[] = []
  #published: Outgoing[] = []
  #released: Outgoing[] = []
  #received = new Set<number>()
  #nextId = 1
  #window = 65_535
  #isConnected = false
  #isSubscribing = false
  #resend: Outgoing[] = []
  #used = 0

  constructor(broker: Broker, version: ProtocolVersion, lowestId: boolean) {
    this.#broker = broker
    this.#version = version
    this.#lowestId = lowestId
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  connect(): void {
    if (this.#connection !== undefined) return
    this.#connection = this.#broker.accept(0)
    this.#splitter = new PacketSplitter()
    const properties = { sessionExpiryInterval: 600, receiveMaximum: 3 }
    this.#write(connectOf(this.#version, { cleanStart: false, properties }))
  }

  publish(qos: 1 | 2, topic: string): void {
    const open = [...this.#published, ...this.#released].map(({ packetId }) => packetId)
    let packetId = this.#lowestId ? 1 : this.#nextId
    while (open.includes(packetId)) packetId += 1
    this.#nextId = packetId + 1
    this.#published.push({ packetId, qos, topic, state: 'waiting' })
    this.#pump()
  }

  subscribe(): void {
    if (!this.#isConnected || this.#isSubscribing) return
    this.#isSubscribing = true
    const request = {
      filter: 'to/#',
      qos: 2,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
    } as const
    this.#write({ type: 'subscribe', packetId: 60_000, subscriptions: [request] })
  }

  /** Some of what was written arrives. */
  deliver(count: number): void {
    for (const bytes of this.#inTheWire.splice(0, count)) this.#connection?.handleData(bytes, 0)
  }

  /** One chunk of the broker's arrives. */
  receive(): boolean {
    const chunk = this.#connection?.nextOutput()
    if (chunk === undefined) return false
    this.#splitter.push(chunk)
    for (let split = this.#splitter.next(); split !== undefined; split = this.#splitter.next()) {
      this.#handle(decodeOfServer(split, this.#version))
    }
    return true
  }

  /** The connection breaks; with `lastChunk` the broker has sent something that did not arrive. */
  lose(lastChunk: boolean): void {
    if (lastChunk) this.#connection?.nextOutput()
    this.#connection?.cut()
    this.#connection = undefined
    this.#isConnected = false
    this.#isSubscribing = false
    this.#inTheWire = []
  }

  finish(): void {
    this.connect()
    while (this.receive());
    while (this.#inTheWire.length > 0) {
      this.deliver(9)
      while (this.receive());
    }
  }

  #handle(packet: ControlPacket): void {
    switch (packet.type) {
      case 'connack':
        if (this.#version === '5') this.#window = packet.properties?.receiveMaximum ?? 65_535
        return this.#resume()
      case 'publish':
        if (packet.qos < 2 || !this.#received.has(packet.packetId)) this.delivered.push(packet.topic)
        if (packet.qos === 2) this.#received.add(packet.packetId)
        if (packet.qos > 0) this.#acknowledge(packet.qos === 1 ? 'puback' : 'pubrec', packet.packetId)
        return
      case 'pubrel':
        this.#received.delete(packet.packetId)
        return this.#acknowledge('pubcomp', packet.packetId)
      case 'suback':
        this.#isSubscribing = false
        return
      case 'puback':
        this.#published = this.#published.filter(({ packetId }) => packetId !== packet.packetId)
        this.settled += 1
        return this.#pump()
      case 'pubrec': {
        const delivery = this.#published.find(({ packetId }) => packetId === packet.packetId)
        if (delivery !== undefined) {
          this.#published = this.#published.filter((other) => other !== delivery)
          this.#released.push({ ...delivery, state: 'released' })
        }
        return this.#acknowledge('pubrel', packet.packetId)
      }
      case 'pubcomp':
        this.#released = this.#released.filter(({ packetId }) => packetId !== packet.packetId)
        this.settled += 1
        return this.#pump()
      default:
    }
  }

  #resume(): void {
    this.#isConnected = true
    for (const { packetId } of this.#released) this.#acknowledge('pubrel', packetId)
    this.#resend = this.#published.filter(({ state }) => state === 'published')
    this.#pump()
  }

  #pump(): void {
    if (!this.#isConnected) return
    const open = this.#published.filter((one) => one.state === 'published' && !this.#resend.includes(one))
    this.#used = open.length + this.#released.length
    for (const delivery of this.#published) {
      if (this.#used >= this.#window) return
      const { packetId, qos, topic, state } = delivery
      const isAgain = this.#resend.includes(delivery)
      if (state === 'published' && !isAgain) continue
      this.#resend = this.#resend.filter((other) => other !== delivery)
      delivery.state = 'published'
      this.#used += 1
      this.#write(publishOf(topic, { qos, packetId, dup: isAgain }))
    }
  }

  #acknowledge(type: AckType, packetId: number): void {
    this.#write({ type, packetId, reasonCode: 0 })
  }

  #write(packet: ControlPacket): void {
    this.#inTheWire.push(encodePacket(packet, this.#version))
  }
}

type Step =
  | { readonly type: 'connect' }
  | { readonly type: 'subscribe' }
  | { readonly type: 'receive' }
  | { readonly type: 'publish'; readonly qos: 1 | 2 }
  | { readonly type: 'broker'; readonly qos: 1 | 2 }
  | { readonly type: 'deliver'; readonly count: number }
  | { readonly type: 'lose'; readonly lastChunk: boolean }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.constant<Step>({ type: 'connect' }) },
  { weight: 1, arbitrary: fc.constant<Step>({ type: 'subscribe' }) },
  { weight: 6, arbitrary: fc.constant<Step>({ type: 'receive' }) },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('publish' as const), qos: fc.constantFrom<(1 | 2)[]>(1, 2) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('broker' as const), qos: fc.constantFrom<(1 | 2)[]>(1, 2) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('deliver' as const), count: fc.integer({ min: 1, max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('lose' as const), lastChunk: fc.boolean() }) },
)

describe.each(['3.1.1', '5'] as const)('an honest client in %s', (version) => {
  it.each([
    ['lowest free ids', true],
    ['ids in a circle', false],
  ])('with %s is never complained of, and every message arrives', (_, lowestId) => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
        const came: string[] = []
        const receiveMaximum = version === '5' ? 4 : undefined
        const broker = new Broker({
          receiveMaximum,
          onMessage: ({ topic, publisher }) => publisher !== '' && came.push(topic),
        })
        const client = new HonestClient(broker, version, lowestId)
        const sent: { topic: string; qos: QoS }[] = []
        let published = 0
        for (const one of steps) {
          if (one.type === 'connect') client.connect()
          else if (one.type === 'subscribe') client.subscribe()
          else if (one.type === 'receive') client.receive()
          else if (one.type === 'deliver') client.deliver(one.count)
          else if (one.type === 'lose') client.lose(one.lastChunk)
          else if (one.type === 'broker') broker.publish({ topic: 'to/client', qos: one.qos })
          else {
            published += 1
            // Few topics, so that an id is used again for the same one.
            const topic = `${one.qos}/${published % 3}`
            sent.push({ topic, qos: one.qos })
            client.publish(one.qos, topic)
          }
        }
        client.finish()
        expect(broker.finish()).toEqual([])
        expect(broker.openExchanges).toEqual([])
        expect(client.settled).toBe(published)
        const exactlyOnce = (topics: readonly string[]): string[] =>
          topics.filter((topic) => topic[0] === '2')
        expect(exactlyOnce(came)).toEqual(exactlyOnce(sent.map(({ topic }) => topic)))
      }),
      { numRuns: 200 },
    )
  })
})

/**
 * Watches what a client does with its packet identifiers: in both directions, by what has really left the
 * broker and what has really come. It decides nothing of what the broker answers.
 *
 * An acknowledgement that left on a connection which then ended may have been lost, so its exchange is
 * *settled* for the broker and open or closed for the client: both ways of going on are legal.
 *
 *     of the client    published ──PUBREC out──► received ──PUBREL in──► released ──PUBCOMP out──► settled
 */

import type { AckPacket, ControlPacket, PublishPacket, QoS } from '../../core/packets/types.ts'
import type { RuleName } from './complaints.ts'

export interface Exchange {
  readonly packetId: number
  readonly qos: QoS
  readonly topic: string
  /** The order of first sendings. */
  order: number
  /** The order of PUBRECs. */
  receivedOrder: number
  state: 'published' | 'received' | 'released'
  /** The last acknowledgement has left. */
  settled: boolean
  /** The connection on which the client last took it up. */
  connection: number
}

/** What outlives a connection. */
export class SessionConduct {
  readonly exchanges: Map<number, Exchange> = new Map()
  order = 0
  receivedOrder = 0
}

/** A violation after which the connection is closed; lesser ones are only told. */
export interface ConductFault {
  readonly rule: RuleName
  readonly text: string
  readonly reasonCode: number
}

export class Conduct {
  session: SessionConduct = new SessionConduct()
  /** What CONNACK said of Session Present. */
  resumed = false
  receiveMaximum: number = Infinity

  readonly #number: number
  readonly #complain: (rule: RuleName, text: string) => void
  /** SUBSCRIBE and UNSUBSCRIBE that wait for their answers: no session state. */
  readonly #operations = new Set<number>()
  /** PUBLISHes of this connection without their last acknowledgement. */
  readonly #open = new Set<number>()
  #expectedPubacks: number[] = []
  #expectedPubrecs: number[] = []
  #expectedPubcomps: number[] = []
  #expectedPubrels: number[] = []
  #lastResent = 0
  #lastReleased = 0
  #sentNew = false
  #isAccepted = false

  constructor(number: number, complain: (rule: RuleName, text: string) => void) {
    this.#number = number
    this.#complain = complain
  }

  receive(packet: ControlPacket): ConductFault | undefined {
    switch (packet.type) {
      case 'publish':
        return packet.qos > 0 ? this.#receivePublish(packet) : undefined
      case 'pubrel':
        return this.#receivePubrel(packet)
      case 'puback':
      case 'pubrec':
      case 'pubcomp':
        return this.#receiveAcknowledgement(packet)
      case 'subscribe':
      case 'unsubscribe':
        if (this.#isInUse(packet.packetId)) return inUse(packet.type, packet.packetId)
        this.#operations.add(packet.packetId)
        return undefined
      default:
        return undefined
    }
  }

  /** A packet has left for the client. */
  sent(packet: ControlPacket): void {
    switch (packet.type) {
      case 'connack':
        if (packet.reasonCode === 0) this.#sentConnack(packet.sessionPresent)
        return
      case 'publish':
        if (packet.qos === 1) this.#expectedPubacks.push(packet.packetId)
        if (packet.qos === 2) this.#expectedPubrecs.push(packet.packetId)
        return
      case 'pubrel':
        this.#expectedPubcomps.push(packet.packetId)
        return
      case 'puback':
      case 'pubcomp':
        return this.#settle(packet.packetId)
      case 'pubrec':
        return packet.reasonCode >= 0x80 ? this.#settle(packet.packetId) : this.#sentPubrec(packet.packetId)
      case 'suback':
      case 'unsuback':
        this.#operations.delete(packet.packetId)
        return
      default:
        return
    }
  }

  /** What the client owes while its connection lives. */
  debts(): readonly { readonly rule: RuleName; readonly text: string; readonly packetId: number }[] {
    const debts: { rule: RuleName; text: string; packetId: number }[] = []
    for (const { packetId, state, settled, connection } of this.session.exchanges.values()) {
      if (settled) continue
      if (connection !== this.#number) {
        if (!this.#isAccepted) continue
        const text = `the exchange with the id ${packetId} was not taken up again after the session was resumed`
        debts.push({ rule: 'not-resent', text, packetId })
      } else if (state === 'received') {
        const text = `PUBREC was sent for the id ${packetId}, and no PUBREL came`
        debts.push({ rule: 'unreleased', text, packetId })
      }
    }
    for (const [answer, ids] of [
      ['PUBACK', this.#expectedPubacks],
      ['PUBREC', this.#expectedPubrecs],
      ['PUBCOMP', this.#expectedPubcomps],
    ] as const) {
      for (const packetId of ids) {
        debts.push({ rule: 'unacknowledged', text: `no ${answer} came for the id ${packetId}`, packetId })
      }
    }
    return debts
  }

  #receivePublish(packet: PublishPacket): ConductFault | undefined {
    const { packetId } = packet
    const known = this.session.exchanges.get(packetId)
    if (this.#operations.has(packetId)) return inUse('publish', packetId)
    if (known === undefined || known.settled) this.#receiveFirst(packet, known)
    else if (known.connection === this.#number) {
      if (known.state !== 'published') {
        this.#complain('publish-after-pubrec', `PUBLISH with the id ${packetId} came after its PUBREC`)
      } else if (packet.dup) {
        const text = `PUBLISH with the id ${packetId} was sent again on the same connection`
        this.#complain('resend-on-living-connection', text)
      } else return inUse('publish', packetId)
    } else this.#receiveResend(packet, known)
    this.#open.add(packetId)
    if (this.#open.size <= this.receiveMaximum) return undefined
    const text = `${this.#open.size} PUBLISHes are unacknowledged, Receive Maximum is ${this.receiveMaximum}`
    return { rule: 'receive-maximum', text, reasonCode: 0x93 }
  }

  /** A first sending, as far as the broker can know: one that was lost with its connection may be sent again. */
  #receiveFirst(packet: PublishPacket, settled: Exchange | undefined): void {
    const { packetId, qos, topic, dup } = packet
    let order = ++this.session.order
    if (!dup) this.#sentNew = true
    else if (!this.resumed || settled?.connection === this.#number) {
      this.#complain('dup-on-first-sending', `the first PUBLISH with the id ${packetId} has DUP 1`)
    } else {
      if (this.#sentNew) this.#complainOfOrder(packetId, 'after a new message')
      const isSame = settled?.qos === qos && settled.topic === topic && settled.order > this.#lastResent
      if (isSame) order = settled.order
      this.#lastResent = order
    }
    this.session.exchanges.set(packetId, {
      packetId,
      qos,
      topic,
      order,
      receivedOrder: 0,
      state: 'published',
      settled: false,
      connection: this.#number,
    })
  }

  /** The broker has the exchange open from an earlier connection. */
  #receiveResend(packet: PublishPacket, known: Exchange): void {
    const { packetId } = packet
    known.connection = this.#number
    if (known.state === 'released') {
      this.#complain('publish-after-pubrec', `PUBLISH with the id ${packetId} came after its PUBREL`)
      return
    }
    if (!packet.dup)
      this.#complain('no-dup-on-resend', `PUBLISH with the id ${packetId} was sent again with DUP 0`)
    if (known.qos !== packet.qos || known.topic !== packet.topic) {
      const text = `PUBLISH with the id ${packetId} was sent again as QoS ${packet.qos} to "${packet.topic}", at first it was QoS ${known.qos} to "${known.topic}"`
      this.#complain('resend-differs', text)
    }
    if (this.#sentNew) this.#complainOfOrder(packetId, 'after a new message')
    else if (known.order < this.#lastResent) this.#complainOfOrder(packetId, 'after a later one')
    this.#lastResent = Math.max(this.#lastResent, known.order)
  }

  #complainOfOrder(packetId: number, where: string): void {
    this.#complain('resend-order', `PUBLISH with the id ${packetId} was sent again ${where}`)
  }

  #receivePubrel({ packetId }: AckPacket): undefined {
    const exchange = this.session.exchanges.get(packetId)
    const index = this.#expectedPubrels.indexOf(packetId)
    if (index >= 0) {
      const skipped = this.#expectedPubrels.slice(0, index).find((id) => this.#waitsForRelease(id))
      if (skipped !== undefined) {
        this.#complain('pubrel-order', `PUBREL for the id ${packetId} came before that for ${skipped}`)
      }
      this.#expectedPubrels.splice(index, 1)
    } else if (exchange === undefined || exchange.state === 'published') {
      const text = `PUBREL came for the id ${packetId} without a PUBREC`
      this.#complain('pubrel-without-pubrec', text)
      return
    } else if (exchange.connection === this.#number) {
      const text = `PUBREL for the id ${packetId} was sent again on the same connection`
      if (!exchange.settled) this.#complain('resend-on-living-connection', text)
      else this.#complain('pubrel-without-pubrec', `PUBREL for the id ${packetId} came after its PUBCOMP`)
    } else {
      if (exchange.receivedOrder < this.#lastReleased) {
        this.#complain('pubrel-order', `PUBREL for the id ${packetId} was sent again after a later one`)
      }
      this.#lastReleased = Math.max(this.#lastReleased, exchange.receivedOrder)
    }
    if (exchange === undefined) return
    exchange.state = 'released'
    exchange.connection = this.#number
  }

  #waitsForRelease(packetId: number): boolean {
    const exchange = this.session.exchanges.get(packetId)
    return exchange !== undefined && !exchange.settled && exchange.state === 'received'
  }

  #receiveAcknowledgement({ type, packetId }: AckPacket): ConductFault | undefined {
    const expected =
      type === 'puback'
        ? this.#expectedPubacks
        : type === 'pubrec'
          ? this.#expectedPubrecs
          : this.#expectedPubcomps
    const name = type.toUpperCase()
    const index = expected.indexOf(packetId)
    if (index < 0) {
      if (this.#expectedPubacks.includes(packetId) || this.#expectedPubrecs.includes(packetId)) {
        const text = `${name} came for the id ${packetId}, whose PUBLISH has another QoS or no PUBREC yet`
        return { rule: 'wrong-acknowledgement', text, reasonCode: 0x82 }
      }
      this.#complain(
        'unknown-acknowledgement',
        `${name} came for the id ${packetId}, which does not wait for it`,
      )
      return undefined
    }
    if (index > 0 && type !== 'pubcomp') {
      const text = `${name} for the id ${packetId} came before that for ${expected[0]}`
      this.#complain(type === 'puback' ? 'puback-order' : 'pubrec-order', text)
    }
    expected.splice(index, 1)
    return undefined
  }

  #isInUse(packetId: number): boolean {
    return this.#operations.has(packetId) || this.session.exchanges.get(packetId)?.settled === false
  }

  /** A client that is told of no session has none: what it had open on earlier connections is void. */
  #sentConnack(sessionPresent: boolean): void {
    this.resumed = sessionPresent
    this.#isAccepted = true
    if (sessionPresent) return
    for (const [id, exchange] of this.session.exchanges) {
      if (exchange.connection !== this.#number) this.session.exchanges.delete(id)
    }
  }

  #sentPubrec(packetId: number): void {
    this.#expectedPubrels.push(packetId)
    const exchange = this.session.exchanges.get(packetId)
    if (exchange === undefined || exchange.settled) return
    exchange.receivedOrder = ++this.session.receivedOrder
    if (exchange.state === 'published') exchange.state = 'received'
  }

  #settle(packetId: number): void {
    this.#open.delete(packetId)
    const exchange = this.session.exchanges.get(packetId)
    if (exchange !== undefined) exchange.settled = true
  }
}

function inUse(type: 'publish' | 'subscribe' | 'unsubscribe', packetId: number): ConductFault {
  const text = `${type.toUpperCase()} has the id ${packetId}, which is in use`
  return { rule: 'packet-id-in-use', text, reasonCode: 0x82 }
}

/**
 * What a simulation may not show, whatever the faults: lost, doubled, invented, damaged or overtaking messages,
 * and promises that never settle. It knows what was asked for and what arrived, nothing of how.
 */

import type { QoS } from '../core/packets/types.ts'

/** `up`: a client publishes; `down`: the broker publishes to a subscription. */
export type Direction = 'up' | 'down'

/**
 * What is known of a publish: nothing yet; acknowledged; stored; failed before anything was sent; gone in a way
 * that says nothing of its effect.
 */
export type Outcome = 'pending' | 'ok' | 'stored' | 'none' | 'unknown'

export interface Sent {
  readonly id: number
  readonly direction: Direction
  readonly topic: string
  readonly qos: QoS
  readonly payload: string
  outcome: Outcome
  /** Why it failed. */
  reason: string
  /** Its session was lost while it was under way. */
  isExempt: boolean
  arrivals: number
  /** The life of the process in which it arrived last. */
  life: number
  /** It may be handed over again: its handler had not finished when the store was closed. */
  mayRepeat: boolean
  /** The receiver's PUBREC has arrived at the sender: it may not be handed over again. */
  isReceived: boolean
  completed: number
}

export interface Arrival {
  readonly topic: string
  readonly qos: QoS
  readonly payload: string
  readonly label: string | undefined
  readonly life: number
}

export class Oracle {
  readonly violations: string[] = []
  /** Messages carry their number as a user property, too. */
  readonly isLabelled: boolean
  /** Messages count as received before their handlers are called: a crash may lose them, and repeats none. */
  readonly #atMostOnce: boolean
  readonly #sent: Sent[] = []
  readonly #lastFirst = new Map<string, number>()

  constructor(isLabelled: boolean, atMostOnce: boolean = false) {
    this.isLabelled = isLabelled
    this.#atMostOnce = atMostOnce
  }

  get sent(): readonly Sent[] {
    return this.#sent
  }

  /** A message that is about to be published. Its payload names it. */
  publish(direction: Direction, topic: string, qos: QoS, filler: number): Sent {
    const id = this.#sent.length
    const payload = `${direction} ${id} ${'abcdefgh'.repeat(filler)}`
    const message: Sent = {
      id,
      direction,
      topic,
      qos,
      payload,
      outcome: 'pending',
      reason: '',
      isExempt: false,
      arrivals: 0,
      life: 0,
      mayRepeat: false,
      isReceived: false,
      completed: 0,
    }
    this.#sent.push(message)
    return message
  }

  /** I8: once. */
  settle(message: Sent, outcome: Outcome, reason = ''): void {
    if (message.outcome !== 'pending') this.#complain('I8', message, `settled twice: ${outcome} ${reason}`)
    message.outcome = outcome
    message.reason = reason
  }

  /** Something has arrived; `undefined` when it is none of ours. */
  arrive(direction: Direction, { topic, qos, payload, label, life }: Arrival): Sent | undefined {
    const message = this.#sent[Number(payload.split(' ', 2)[1])]
    if (
      message === undefined ||
      message.direction !== direction ||
      message.payload !== payload ||
      message.topic !== topic ||
      message.qos !== qos ||
      label !== (this.isLabelled ? String(message.id) : undefined)
    ) {
      this.violations.push(`I4: nobody has published "${payload.slice(0, 40)}" to "${topic}" at QoS ${qos}`)
      return undefined
    }
    message.arrivals += 1
    if (message.arrivals === 1) this.#checkOrder(message)
    else if (qos === 0) this.#complain('I1', message, 'arrived twice')
    else if (qos === 2) this.#checkTwice(message, life)
    message.life = life
    return message
  }

  /** Sessions were lost: what is under way to the client may be lost with them. */
  loseSession(): void {
    for (const message of this.#sent) {
      if (message.direction === 'up' ? message.outcome !== 'ok' : message.completed === 0) {
        message.isExempt = true
      }
    }
  }

  /**
   * A store was closed. What it had refused may be in it all the same, whole: it may arrive. What it failed to take
   * may arrive again.
   */
  close(mayLack: boolean): void {
    for (const message of this.#sent) {
      const { outcome, reason, direction } = message
      if (outcome === 'none' && reason === 'store-failed') message.outcome = 'unknown'
      if (direction === 'down' && mayLack) message.mayRepeat = true
    }
  }

  /** A process died, too. What no handler had finished is not in its store. */
  doubt(mayLack: boolean): void {
    this.close(mayLack)
    for (const message of this.#sent) {
      if (message.direction !== 'down' || message.completed > 0) continue
      if (this.#atMostOnce) message.isExempt = true
      else message.mayRepeat = true
    }
  }

  /** After peace: what must have arrived has, and nobody waits. */
  finish(): void {
    for (const message of this.#sent) {
      const { direction, qos, outcome, arrivals, isExempt } = message
      if (outcome === 'pending') this.#complain('I8', message, 'never settled')
      if (outcome === 'none' && arrivals > 0)
        this.#complain('I1', message, 'arrived although it failed unsent')
      if (qos === 0) continue
      const rule = qos === 1 ? 'I2' : 'I3'
      if (direction === 'down') {
        if (message.completed === 0 && !isExempt) this.#complain(rule, message, 'was never handled')
        continue
      }
      if (outcome === 'ok' && arrivals === 0)
        this.#complain(rule, message, 'is acknowledged and never arrived')
      if (outcome === 'stored' && arrivals === 0 && !(isExempt && qos === 2)) {
        this.#complain(rule, message, 'was stored and never arrived')
      }
    }
  }

  /** I5: the first arrivals of a topic and QoS are in the order of publishing. */
  #checkOrder(message: Sent): void {
    const line = `${message.direction} ${message.topic} ${message.qos}`
    const last = this.#lastFirst.get(line) ?? -1
    if (message.id < last) this.#complain('I5', message, `first arrived after ${last}`)
    this.#lastFirst.set(line, Math.max(last, message.id))
  }

  /** A process that died before it had recorded a message may be handed it again, rule 18. */
  #checkTwice(message: Sent, life: number): void {
    const { direction, isReceived, mayRepeat } = message
    const isUnrecorded = message.life < life && !isReceived && !this.#atMostOnce
    const isLegal = direction === 'down' && (mayRepeat || isUnrecorded)
    if (!isLegal) this.#complain('I3', message, 'arrived twice')
  }

  #complain(invariant: string, message: Sent, text: string): void {
    const { id, direction, topic, qos, outcome, reason } = message
    const known = reason === '' ? outcome : `${outcome}, ${reason}`
    this.violations.push(`${invariant}: message ${id} (${direction}, ${topic}, QoS ${qos}, ${known}) ${text}`)
  }
}

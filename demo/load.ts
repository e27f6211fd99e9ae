/**
 * The second act: a thousand messages of each QoS in rounds, and in two of them a socket is destroyed, the
 * publisher's and then the subscriber's, at the worst moment:
 *
 *     publisher    its network still carries publishes out but no answers in; the broker has messages that nobody
 *                  has acknowledged, so they are sent again
 *     subscriber   its handlers have the messages and are not done, so nothing is acknowledged; the broker sends
 *                  again what the handlers already have
 *
 * In a round that is cut, the last messages are published while the connection is down.
 */

import type { Socket } from 'node:net'
import type { Client, Message, QoS } from '../src/index.ts'
import type { Stage } from './stage.ts'
import { Tally } from './tally.ts'

const MESSAGES = 1_000
/** Of each QoS; so at most 375 messages are undelivered. A default mosquitto drops beyond 1,000. */
const ROUND = 125
/** Of each QoS, published before a socket is destroyed in the same round. */
const BEFORE_CUT = 105
const PUBLISHER_ROUND = 2
const SUBSCRIBER_ROUND = 5

export interface LoadResult {
  readonly tally: Tally
  /** The smallest number of unacknowledged messages of one QoS at a cut. */
  readonly cutWithUnacked: number
  readonly reconnects: number
  readonly messagesPerSecond: number
}

export class Load {
  readonly #stage: Stage
  readonly #levels: readonly QoS[]
  readonly #acknowledged: readonly QoS[]
  readonly #tally: Tally
  readonly #unacked: number[] = []
  readonly #began = performance.now()
  #reconnects = 0
  /** What the handlers wait for. */
  #gate: Promise<void> | undefined = undefined

  constructor(stage: Stage, maximumQoS: QoS) {
    this.#stage = stage
    this.#tally = new Tally(stage.signal)
    const levels: readonly QoS[] = [0, 1, 2]
    this.#levels = levels.filter((qos) => qos <= maximumQoS)
    this.#acknowledged = this.#levels.filter((qos) => qos > 0)
  }

  async run(): Promise<LoadResult> {
    const { publisher, subscriber, prefix, signal } = this.#stage
    this.#watch('publisher', publisher)
    this.#watch('subscriber', subscriber)
    const options = { qos: 2, concurrency: Infinity } as const
    await subscriber.subscribe(`${prefix}/load/+`, options, (message) => this.#handle(message))
    for (let round = 1; round <= MESSAGES / ROUND && !signal.aborted; round += 1) {
      if (round === PUBLISHER_ROUND) await this.#cutPublisher()
      else if (round === SUBSCRIBER_ROUND) await this.#cutSubscriber()
      else this.#publish(ROUND)
      await this.#tally.until(() => this.#isDelivered())
    }
    const seconds = (performance.now() - this.#began) / 1_000
    // What was sent before a ping has come before its answer: QoS 0, and copies of what had come already.
    for (const client of [publisher, subscriber, subscriber]) {
      await client.ping({ signal: AbortSignal.timeout(500) }).catch(() => {})
    }
    const delivered = this.#levels.reduce<number>((sum, qos) => sum + this.#tally.count(qos).delivered, 0)
    return {
      tally: this.#tally,
      cutWithUnacked: this.#unacked.length === 0 ? 0 : Math.min(...this.#unacked),
      reconnects: this.#reconnects,
      messagesPerSecond: Math.round(delivered / seconds),
    }
  }

  async #cutPublisher(): Promise<void> {
    const { publisher, publisherSocket } = this.#stage
    const hasCome = this.#somethingNew()
    publisherSocket.pause()
    this.#publish(BEFORE_CUT)
    await this.#tally.until(hasCome)
    const { pending } = publisher
    const unacked = this.#acknowledged.map((qos) => pending.filter((owed) => owed.qos === qos).length)
    await this.#cut('publisher', publisher, publisherSocket, unacked)
  }

  async #cutSubscriber(): Promise<void> {
    const { subscriber, subscriberSocket } = this.#stage
    const hasCome = this.#somethingNew()
    const before = this.#acknowledged.map((qos) => this.#tally.count(qos).delivered)
    let open = (): void => {}
    this.#gate = new Promise((resolve) => (open = resolve))
    this.#publish(BEFORE_CUT)
    const isTaken = (): boolean => this.#acknowledged.every((qos) => this.#tally.isSettled(qos))
    await this.#tally.until(() => isTaken() && hasCome())
    // No handler of this round is done.
    const unacked = this.#acknowledged.map((qos, index) => this.#tally.count(qos).sent - (before[index] ?? 0))
    await this.#cut('subscriber', subscriber, subscriberSocket, unacked)
    this.#gate = undefined
    open()
  }

  /** Destroys, and publishes the rest of the round when the client has noticed. */
  async #cut(who: string, client: Client, socket: Socket, unacked: readonly number[]): Promise<void> {
    if (socket.destroyed) throw new Error(`the broker has closed the connection of the ${who}`)
    this.#unacked.push(...unacked)
    const counts = this.#acknowledged.map((qos, index) => `${unacked[index]} of QoS ${qos}`).join(' and ')
    this.#print(`the ${who}'s socket is destroyed, unacknowledged: ${counts || 'nothing'}`)
    const interrupted = new Promise((resolve) => client.on('interrupted', resolve, { once: true }))
    socket.destroy()
    await interrupted
    this.#publish(ROUND - BEFORE_CUT)
  }

  #publish(count: number): void {
    const { publisher, prefix } = this.#stage
    for (let index = 0; index < count; index += 1) {
      for (const qos of this.#levels) {
        const topic = `${prefix}/load/${qos}`
        publisher.publish(topic, this.#tally.handleSent(qos), { qos }).then(
          () => this.#tally.handleSettled(qos),
          // QoS 0 is not kept for a client that is not connected.
          (error: unknown) => this.#tally.handleSettled(qos, qos === 0 ? undefined : error),
        )
      }
    }
  }

  #handle(message: Message): Promise<void> | undefined {
    // The level that it was published at: the last of its topic. A broker may deliver at a lower one.
    const published = Number(message.topic.at(-1))
    const qos = this.#levels.find((level) => level === published)
    if (qos !== undefined) this.#tally.handleArrival(qos, message.text())
    return this.#gate
  }

  #somethingNew(): () => boolean {
    const [first] = this.#acknowledged
    if (first === undefined) return () => true
    const { delivered } = this.#tally.count(first)
    return () => this.#tally.count(first).delivered > delivered
  }

  #isDelivered(): boolean {
    return this.#acknowledged.every((qos) => this.#tally.count(qos).lost === 0 && this.#tally.isSettled(qos))
  }

  #watch(who: string, client: Client): void {
    client.on('resumed', ({ sessionPresent }) => {
      this.#reconnects += 1
      this.#print(`the ${who} is back, its session was ${sessionPresent ? 'kept' : 'lost by the broker'}`)
    })
  }

  #print(text: string): void {
    console.log(`  ${(performance.now() - this.#began).toFixed(0).padStart(7)} ms  ${text}`)
  }
}

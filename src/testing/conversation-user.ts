/** The application's side of a conversation: what a client would ask of the machine. */

import { utf8Length } from '../core/bytes/utf8.ts'
import type { Connection } from '../core/connection/connection.ts'
import { Operation } from '../core/connection/operations.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import type { Properties, QoS, SubscriptionRequest } from '../core/packets/types.ts'
import { Delivery } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import { TopicNames } from '../core/topics/topic-names.ts'

/** What the application needs of its conversation. */
export interface UserHost {
  readonly connection: Connection
  readonly session: Session
  readonly now: number
  pump(): void
}

export interface PublishChoices {
  readonly qos?: QoS
  readonly retain?: boolean
  readonly properties?: Properties
  /** ms until nobody waits any more. */
  readonly timeout?: number
  readonly lent?: boolean
}

/** What the application does. */
export class User {
  readonly #c: UserHost
  readonly #names = new TopicNames()

  constructor(c: UserHost) {
    this.#c = c
  }

  /** The delivery; undefined at QoS 0. */
  publish(topic: string, payload?: string | Uint8Array, choices?: PublishChoices & { qos?: 0 }): undefined
  publish(topic: string, payload: string | Uint8Array, choices: PublishChoices & { qos: 1 | 2 }): Delivery
  publish(
    topic: string,
    payload: string | Uint8Array = '',
    choices: PublishChoices = {},
  ): Delivery | undefined {
    const { qos = 0, retain = false, properties, timeout = 0, lent = false } = choices
    const payloadSize = typeof payload === 'string' ? utf8Length(payload) : payload.length
    const message = { name: this.#names.encode(topic), payload, payloadSize, qos, retain, properties, lent }
    const { connection, session, now } = this.#c
    if (qos === 0) connection.publishQos0(message)
    else {
      // As the client does.
      const { name } = message
      const sent = lent
        ? undefined
        : connection?.publishing?.sendAtOnce(
            name,
            payload,
            payloadSize,
            qos,
            retain,
            properties,
            timeout,
            undefined,
            now,
          )
      if (sent !== undefined) return this.#do(() => {}, sent)
      const delivery = Delivery.of(message, now)
      delivery.timeout = timeout
      if (connection === undefined) session.queue(delivery)
      else this.#do(() => connection.publish(delivery, now))
      return delivery
    }
    return this.#do(() => undefined)
  }

  /** A delivery for the session's queue. */
  delivery(topic: string, payload: string, qos: QoS): Delivery {
    const payloadSize = utf8Length(payload)
    const name = this.#names.encode(topic)
    return Delivery.of(
      { name, payload, payloadSize, qos, retain: false, properties: undefined, lent: false },
      this.#c.now,
    )
  }

  subscribe(
    filters: string | readonly string[],
    choices: Partial<SubscriptionRequest> = {},
    timeout = 0,
  ): Operation {
    const subscriptions = [filters].flat().map((filter) => ({ ...SUBSCRIPTION, ...choices, filter }))
    return this.#ask(new Operation('subscribe', { subscriptions, timeout }))
  }

  unsubscribe(filters: string | readonly string[], timeout = 0): Operation {
    return this.#ask(new Operation('unsubscribe', { filters: [filters].flat(), timeout }))
  }

  ping(): Operation {
    const { connection, now } = this.#c
    const operation = new Operation('ping', { timeout: connection.pingTimeout })
    return this.#do(() => connection.ping(operation, now), operation)
  }

  reauthenticate(properties: Properties): Operation {
    const operation = new Operation('reauthenticate')
    return this.#do(() => this.#c.connection.reauthenticate(operation, properties, this.#c.now), operation)
  }

  /** Answers the server's step of authentication. */
  answers(properties: Properties): void {
    this.#do(() => this.#c.connection.authenticate(properties))
  }

  acknowledge(message: IncomingMessage, reasonCode?: number): void {
    this.#do(() => this.#c.connection.acknowledge(message, reasonCode))
  }

  abandon(delivery: Delivery): void {
    this.#do(() => this.#c.connection.abandon(delivery))
  }

  resume(): void {
    this.#do(() => this.#c.connection.resume(this.#c.now))
  }

  disconnect(reasonCode = 0, properties?: Properties): void {
    this.#do(() => this.#c.connection.disconnect(reasonCode, properties, this.#c.now))
  }

  #ask(operation: Operation): Operation {
    return this.#do(() => this.#c.connection.request(operation, this.#c.now), operation)
  }

  #do<Result = undefined>(act: () => void, result?: Result): Result {
    act()
    this.#c.pump()
    return result as Result
  }
}

const SUBSCRIPTION = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const

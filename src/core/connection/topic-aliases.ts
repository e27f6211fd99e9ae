/**
 * Topic aliases, 5: 3.3.2.3.4, both directions. Mappings belong to one connection [5 MQTT-3.3.2-7].
 *
 * Inbound: alias → topic, set and replaced by the server within the maximum that we announced.
 * Outbound, automatic: the topics used most recently hold the aliases; the longest unused gives its one up.
 */

import { ProtocolError, violation } from '../errors.ts'
import type { IncomingMessage } from '../packets/publish.ts'
import type { ReceivedTopic } from '../packets/received-topics.ts'
import type { TopicName } from '../topics/topic-names.ts'

export class InboundAliases {
  readonly #maximum: number
  #topics: Map<number, ReceivedTopic> | undefined = undefined

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  /** Resolves or learns the message's alias. @throws ProtocolError 0x94 [5 MQTT-3.3.2-8, -11], 0x82 */
  resolve(message: IncomingMessage, alias: number): void {
    if (alias === 0 || alias > this.#maximum) {
      throw new ProtocolError(
        'topic-alias-invalid',
        0x94,
        `a PUBLISH has the topic alias ${alias}, expected 1 to ${this.#maximum} (option topicAliasMaximum)`,
      )
    }
    if (message.topic !== '') {
      this.#topics ??= new Map()
      this.#topics.set(alias, message.name)
      return
    }
    const name = this.#topics?.get(alias)
    if (name === undefined) throw violation(`a PUBLISH has no topic, and its topic alias ${alias} is unknown`)
    message.name = name
  }
}

export class OutboundAliases {
  readonly #maximum: number
  /** Least recently used first. */
  readonly #aliases = new Map<TopicName, number>()
  /** What the server knows: chosen by us or by the user. */
  readonly #names = new Map<number, TopicName>()

  constructor(maximum: number) {
    this.#maximum = maximum
  }

  /** The alias that we choose for `name`, and whether the server knows it: then the topic may be left out. */
  choose(name: TopicName): { alias: number; known: boolean } {
    const alias = this.#aliases.get(name) ?? this.#free()
    this.#aliases.delete(name)
    this.#aliases.set(name, alias)
    return this.use(name, alias)
  }

  /** The same for an alias that the user chose. */
  use(name: TopicName, alias: number): { alias: number; known: boolean } {
    const known = this.#names.get(alias) === name
    this.#names.set(alias, name)
    return { alias, known }
  }

  #free(): number {
    if (this.#aliases.size < this.#maximum) return this.#aliases.size + 1
    for (const [name, alias] of this.#aliases) {
      this.#aliases.delete(name)
      return alias
    }
    return 1
  }
}

/**
 * Topic names on their way out: checked and encoded once, then remembered.
 *
 * Two generations bound the memory: when the young one is full it becomes the old one, and names that are still
 * in use move back as they are used. Clearing the table when full was measured: 5,000 topics then cost four
 * times as much each.
 */

import { UsageError } from '../errors.ts'
import { encodeUtf8 } from '../bytes/utf8.ts'
import { topicNameFault } from './topic.ts'

/** A valid topic name and its bytes behind their own length field, 1.5.3 (5: 1.5.4). */
export interface TopicName {
  readonly text: string
  readonly bytes: Uint8Array
}

const GENERATION = 4_096

export class TopicNames {
  #young = new Map<string, TopicName>()
  #old = new Map<string, TopicName>()
  #last: TopicName = { text: '', bytes: new Uint8Array(2) }

  /** @throws UsageError `invalid-topic` [3.1.1 MQTT-4.7.1-1, 4.7.3-1] [5 MQTT-4.7.0-1, 4.7.3-1] */
  encode(text: string): TopicName {
    if (text === this.#last.text && text !== '') return this.#last
    const known = this.#young.get(text)
    return (this.#last = known ?? this.#remember(text))
  }

  #remember(text: string): TopicName {
    const name = this.#old.get(text) ?? encodeTopicName(text)
    if (this.#young.size >= GENERATION) {
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(text, name)
    return name
  }
}

/** @throws UsageError `invalid-topic` */
export function encodeTopicName(text: string, field = 'topic'): TopicName {
  const fault = topicNameFault(text)
  if (fault !== undefined) throw new UsageError('invalid-topic', field, fault)
  const encoded = encodeUtf8(text)
  const bytes = new Uint8Array(2 + encoded.length)
  bytes[0] = encoded.length >>> 8
  bytes[1] = encoded.length & 0xff
  bytes.set(encoded, 2)
  return { text, bytes }
}

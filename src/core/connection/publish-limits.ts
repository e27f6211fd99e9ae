/**
 * What the server has said that it does not accept, rule 23 [5 MQTT-3.2.2-11, -14, -15]: asked before a PUBLISH is sent;
 * and what it says of one that it had.
 */

import { variableByteIntegerLength } from '../bytes/data-types.ts'
import { RefusedError } from '../errors.ts'
import type { Codec } from '../packets/codec.ts'
import { describeReasonCode } from '../packets/reason-codes.ts'
import { publishLength, publishPropertiesSize } from '../packets/publish.ts'
import type { Delivery, OutgoingPublish } from '../session/deliveries.ts'
import { LARGEST_PACKET, type NegotiatedSettings } from './negotiated.ts'

export class PublishLimits {
  /** Whether anything may be refused. */
  readonly exist: boolean
  readonly #aliases: boolean
  readonly #hasProperties: boolean
  readonly #settings: NegotiatedSettings

  /** @param aliases whether the user may name Topic Aliases */
  constructor({ hasProperties }: Codec, settings: NegotiatedSettings, aliases: boolean) {
    const { maximumQoS, retainAvailable, maximumPacketSize } = settings
    this.exist = maximumQoS < 2 || !retainAvailable || maximumPacketSize < LARGEST_PACKET || aliases
    this.#aliases = aliases
    this.#hasProperties = hasProperties
    this.#settings = settings
  }

  /** Why the server would refuse this message, if it would. @param again it is sent by its topic, without an alias */
  refusal(message: OutgoingPublish, again = false): RefusedError | undefined {
    if (!this.exist) return undefined
    const { properties, qos, retain } = message
    const { maximumQoS, retainAvailable, maximumPacketSize, topicAliasMaximum } = this.#settings
    const alias = properties?.topicAlias ?? 0
    if (alias > topicAliasMaximum && this.#hasProperties && this.#aliases && !again) {
      return refused(0x94, `the topic alias ${alias}; its Topic Alias Maximum is ${topicAliasMaximum}`)
    }
    if (qos > maximumQoS) return refused(0x9b, `QoS ${qos}; its Maximum QoS is ${maximumQoS}`)
    if (retain && !retainAvailable) return refused(0x9a, 'retained messages')
    if (this.allow(message, 0)) return undefined
    const size = this.#size(message)
    return refused(0x95, `a packet of ${size} bytes; its Maximum Packet Size is ${maximumPacketSize}`)
  }

  /** Whether the packet may be so many bytes longer. */
  allow(message: OutgoingPublish, more: number): boolean {
    return this.#size(message) + more <= this.#settings.maximumPacketSize
  }

  /** The size of the whole packet. */
  #size({ name, qos, properties, payloadSize }: OutgoingPublish): number {
    const propertiesSize = publishPropertiesSize(properties, this.#hasProperties)
    const length = publishLength(name.bytes.length, qos, propertiesSize, payloadSize)
    return 1 + variableByteIntegerLength(length) + length
  }
}

/** What an acknowledgement with a reason code of 0x80 or more says, 5: 3.4.2.1, 3.5.2.1. */
export function serverRefusal({ name, reasonCode, result: properties }: Delivery): RefusedError {
  const reason = describeReasonCode(reasonCode)
  const message = `the server refused the message to "${name.text}" with ${reason}`
  return new RefusedError('publish-refused', message, { reasonCode, properties })
}

function refused(reasonCode: number, what: string): RefusedError {
  return new RefusedError('publish-refused', `the server does not accept ${what}`, {
    reasonCode,
    local: true,
  })
}

// Counts what the generators made: a property test proves nothing of packets that never came up.

import type { ControlPacket, Properties, ProtocolVersion } from '../../../src/core/packets/types.ts'
import { SPECIFIED_PACKETS, SPECIFIED_PROPERTIES } from './specification.ts'

export class Census {
  readonly #packets = new Map<string, number>()
  readonly #properties = new Map<string, number>()

  count(packet: ControlPacket): void {
    add(this.#packets, packet.type)
    if ('properties' in packet) this.#countProperties(packet.properties)
    if (packet.type === 'connect') this.#countProperties(packet.will?.properties)
  }

  /** What should have come up in these versions and did not. */
  missing(versions: readonly ProtocolVersion[]): readonly string[] {
    const packets = SPECIFIED_PACKETS.filter(({ senders }) =>
      versions.some((version) => senders[version].length > 0),
    )
    const properties = versions.includes('5') ? SPECIFIED_PROPERTIES : []
    return [
      ...packets.filter(({ name }) => !this.#packets.has(name)),
      ...properties.filter(({ name }) => !this.#properties.has(name)),
    ].map(({ name }) => name)
  }

  /** Two lines for the output of a test run. */
  toString(): string {
    const list = (counts: ReadonlyMap<string, number>, names: readonly string[]): string =>
      names.map((name) => `${name} ${counts.get(name) ?? 0}`).join(', ')
    const packets = list(
      this.#packets,
      SPECIFIED_PACKETS.map(({ name }) => name),
    )
    const properties = list(
      this.#properties,
      SPECIFIED_PROPERTIES.map(({ name }) => name),
    )
    return `packets: ${packets}\nproperties: ${properties}`
  }

  #countProperties(properties: Properties | undefined): void {
    for (const [name, value] of Object.entries(properties ?? {})) {
      if (value !== undefined) add(this.#properties, name)
    }
  }
}

function add(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

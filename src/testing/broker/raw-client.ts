/**
 * A client without manners, for tests of a broker: it writes what it is told, right or wrong, and keeps what
 * comes. Time is the test's.
 *
 *     const client = new RawClient(broker, '5')
 *     client.connect({ clientId: 'a' })
 *     expect(client.send({ type: 'pingreq' })).toEqual([{ type: 'pingresp' }])
 */

import type {
  ConnectPacket,
  ControlPacket,
  ProtocolVersion,
  PublishPacket,
} from '../../core/packets/types.ts'
import type { SubscriptionRequest } from '../../core/packets/types.ts'
import type { Broker } from './broker.ts'
import type { BrokerConnection } from './broker-connection.ts'
import { PacketSplitter, type SplitPacket } from './packet-splitter.ts'
import { decodeOfServer, encodePacket } from './server-codec.ts'

export class RawClient {
  readonly connection: BrokerConnection
  readonly version: ProtocolVersion
  /** Every chunk as it came. */
  readonly chunks: Uint8Array[] = []
  /** Every packet that came. */
  readonly received: ControlPacket[] = []

  readonly #broker: Broker
  readonly #splitter = new PacketSplitter()

  constructor(broker: Broker, version: ProtocolVersion, now: number = broker.now) {
    this.#broker = broker
    this.version = version
    this.connection = broker.accept(now)
  }

  /** `open`, `ended` (FIN) or `cut`. */
  get state(): 'open' | 'ended' | 'cut' {
    return this.connection.destroyed ? 'cut' : this.connection.ended ? 'ended' : 'open'
  }

  /** Sends packets or bytes, and takes what comes. */
  send(...contents: readonly (ControlPacket | Uint8Array)[]): readonly ControlPacket[] {
    for (const content of contents) {
      const bytes = content instanceof Uint8Array ? content : encodePacket(content, this.version)
      this.connection.handleData(bytes, this.#broker.now)
    }
    return this.take()
  }

  /** Takes what has come since; what is no packet is in `chunks` alone. */
  take(): readonly ControlPacket[] {
    const packets: ControlPacket[] = []
    for (
      let chunk = this.connection.nextOutput();
      chunk !== undefined;
      chunk = this.connection.nextOutput()
    ) {
      this.chunks.push(chunk)
      this.#splitter.push(chunk)
      for (let split = this.#splitter.next(); split !== undefined; split = this.#splitter.next()) {
        const packet = readable(split, this.version)
        if (packet !== undefined) packets.push(packet)
      }
    }
    this.received.push(...packets)
    return packets
  }

  connect(packet: Partial<ConnectPacket> = {}): readonly ControlPacket[] {
    return this.send(connectOf(this.version, packet))
  }

  subscribe(
    packetId: number,
    filter: string,
    request: Partial<SubscriptionRequest> = {},
    identifier?: number,
  ): readonly ControlPacket[] {
    const options = {
      qos: 2,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      ...request,
    } as const
    const properties = identifier === undefined ? undefined : { subscriptionIdentifiers: [identifier] }
    return this.send({ type: 'subscribe', packetId, subscriptions: [{ filter, ...options }], properties })
  }

  publish(topic: string, packet: Partial<PublishPacket> = {}): readonly ControlPacket[] {
    return this.send(publishOf(topic, packet))
  }

  acknowledge(
    type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp',
    packetId: number,
    reasonCode = 0,
  ): readonly ControlPacket[] {
    return this.send({ type, packetId, reasonCode })
  }

  disconnect(reasonCode = 0): readonly ControlPacket[] {
    return this.send({ type: 'disconnect', reasonCode })
  }

  /** The client's end of the stream. */
  end(): void {
    this.connection.handleEnd(this.#broker.now)
  }
}

export function connectOf(version: ProtocolVersion, packet: Partial<ConnectPacket> = {}): ConnectPacket {
  const fields = { clientId: 'client', cleanStart: true, keepAlive: 0 }
  return { type: 'connect', protocolVersion: version, ...fields, ...packet }
}

export function publishOf(topic: string, packet: Partial<PublishPacket> = {}): PublishPacket {
  const payload = new Uint8Array(0)
  return { type: 'publish', topic, payload, qos: 0, retain: false, dup: false, packetId: 0, ...packet }
}

function readable(split: SplitPacket, version: ProtocolVersion): ControlPacket | undefined {
  try {
    return decodeOfServer(split, version)
  } catch {
    return undefined
  }
}

// What a measurement stands on: the test broker on a real socket, and clients that are gone when it is over.
import { setTimeout as sleep } from 'node:timers/promises'
import type { ControlPacket } from '../../src/core/index.ts'
import type { BrokerOptions } from '../../src/testing/broker/options.ts'
import { type BrokerServer, createBroker } from '../../src/testing/broker-server.ts'
import type { Peer, PeerClient, PeerOptions } from './peer.ts'

export interface Seen {
  readonly direction: 'in' | 'out'
  readonly packet: ControlPacket
  /** Counted from 1. */
  readonly connection: number
}

export class Stage {
  readonly server: BrokerServer
  /** Every packet that the broker has seen or sent; empty when they are not kept. */
  readonly seen: Seen[] = []
  readonly #clients: PeerClient[] = []
  readonly #peer: Peer
  #url = ''

  constructor(peer: Peer, options: BrokerOptions) {
    this.#peer = peer
    // What a client does wrong is counted by what it complains of, and goes on.
    this.server = createBroker({
      tolerant: true,
      onPacket: (direction, packet, { number }) => this.seen.push({ direction, packet, connection: number }),
      ...options,
    })
  }

  async open(): Promise<void> {
    if (this.#url === '') this.#url = await this.server.listen()
    else await this.server.listen(Number(new URL(this.#url).port))
  }

  /** The broker is away until `open`; it keeps what it knows. */
  async shut(): Promise<void> {
    await this.server.close()
  }

  create(options: PeerOptions): PeerClient {
    const client = this.#peer.create(this.#url, options)
    this.#clients.push(client)
    return client
  }

  async connect(options: PeerOptions): Promise<PeerClient> {
    const client = this.create(options)
    await client.connected
    return client
  }

  /** Packets of one type. */
  packets<Type extends ControlPacket['type']>(
    direction: 'in' | 'out',
    type: Type,
  ): readonly (Seen & { readonly packet: Extract<ControlPacket, { type: Type }> })[] {
    const isSuch = (one: Seen): one is Seen & { packet: Extract<ControlPacket, { type: Type }> } =>
      one.direction === direction && one.packet.type === type
    return this.seen.filter(isSuch)
  }

  complaintsOf(rule: string): number {
    return this.server.broker.complaints.filter((complaint) => complaint.rule === rule).length
  }

  async close(): Promise<void> {
    for (const client of this.#clients) client.destroy()
    await this.server.close()
  }
}

/** Measures with a broker that listens. */
export async function onStage<Figures>(
  peer: Peer,
  options: BrokerOptions,
  measure: (stage: Stage) => Promise<Figures>,
): Promise<Figures> {
  const stage = new Stage(peer, options)
  await stage.open()
  try {
    return await measure(stage)
  } finally {
    await stage.close()
  }
}

/** Waits until it is so; false when it is not after so many ms. */
export async function until(isSo: () => boolean, ms: number): Promise<boolean> {
  for (const late = performance.now() + ms; !isSo(); await sleep(5)) {
    if (performance.now() > late) return false
  }
  return true
}

/** What became of a promise within so many ms. */
export async function outcomeOf(promise: Promise<unknown>, ms: number): Promise<'done' | 'failed' | 'waits'> {
  const done = promise.then(
    () => 'done' as const,
    () => 'failed' as const,
  )
  const timer = new AbortController()
  const late = sleep(ms, 'waits' as const, { signal: timer.signal }).catch(() => 'waits' as const)
  try {
    return await Promise.race([done, late])
  } finally {
    timer.abort()
  }
}

// Petrel, from this tree, through its public entry.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Client, type ClientOptions, createClient } from '../../src/index.ts'
import type { Peer, PeerClient, PeerOptions } from './peer.ts'

/** @param root the project's folder */
export function findPetrel(root: string): Peer {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  return { name: 'Petrel', version, create: (url, options) => new PetrelPeer(url, options) }
}

class PetrelPeer implements PeerClient {
  readonly connected: Promise<void>
  readonly #client: Client

  constructor(url: string, options: PeerOptions) {
    this.#client = createClient(url, clientOptions(options))
    this.#client.on('error', () => {}) // what a handler throws is told here
    this.connected = this.#client.connect().then(() => {})
    this.connected.catch(() => {}) // a client that is destroyed before
  }

  get clientId(): string {
    return this.#client.clientId
  }

  get isConnected(): boolean {
    return this.#client.state === 'connected'
  }

  async publish(
    topic: string,
    payload: string,
    options: { qos: 0 | 1 | 2; retain?: boolean },
  ): Promise<void> {
    await this.#client.publish(topic, payload, options)
  }

  async subscribe(
    filters: readonly string[],
    handler: (text: string) => void | Promise<void>,
  ): Promise<void> {
    await this.#client.subscribe(filters, { qos: 1 }, (message) => handler(message.text()))
  }

  async unsubscribe(filter: string): Promise<void> {
    await this.#client.unsubscribe(filter)
  }

  end(): Promise<void> {
    return this.#client.disconnect({ drain: 500 })
  }

  destroy(): void {
    this.#client.destroy()
  }
}

function clientOptions({ version, clientId, lasting = false, retryAfter }: PeerOptions): ClientOptions {
  const common = {
    clientId,
    retryInitialConnect: true,
    ...(retryAfter === undefined ? undefined : { reconnect: { min: retryAfter } }),
  }
  return version === '5'
    ? { ...common, protocolVersion: '5', cleanStart: !lasting, sessionExpiryInterval: lasting ? 300 : 0 }
    : { ...common, protocolVersion: '3.1.1', cleanSession: !lasting }
}

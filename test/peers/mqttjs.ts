// MQTT.js, as it is installed for the benchmark, which is where the peers live: contributors need none of
// them.
import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Peer, PeerClient, PeerOptions } from './peer.ts'

/** What is used of it, so that the types do not need it. */
interface MqttJsClient {
  readonly connected: boolean
  readonly options: { readonly clientId?: string }
  on(event: 'message', listener: (topic: string, payload: Uint8Array) => unknown): this
  on(event: 'connect' | 'error', listener: () => void): this
  publish(
    topic: string,
    payload: string,
    options: { qos: number; retain: boolean },
    done: (error?: unknown) => void,
  ): void
  subscribe(filters: string[], options: { qos: number }, done: (error: unknown) => void): void
  unsubscribe(filter: string, done: (error?: unknown) => void): void
  end(force: boolean, done?: () => void): void
}

interface MqttJs {
  connect(url: string, options: Readonly<Record<string, unknown>>): MqttJsClient
}

/** @param root the project's folder; undefined: it is not installed there */
export function findMqttJs(root: string): Peer | undefined {
  const manifest = join(root, 'bench/node_modules/mqtt/package.json')
  if (!existsSync(manifest)) return undefined
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  const mqtt = createRequire(join(root, 'bench/package.json'))('mqtt') as MqttJs
  return { name: 'MQTT.js', version, create: (url, options) => new MqttJsPeer(mqtt, url, options) }
}

class MqttJsPeer implements PeerClient {
  readonly connected: Promise<void>
  readonly #client: MqttJsClient

  constructor(mqtt: MqttJs, url: string, { version, clientId, lasting = false, retryAfter }: PeerOptions) {
    this.#client = mqtt.connect(url, {
      protocolVersion: version === '5' ? 5 : 4,
      clientId,
      clean: !lasting,
      ...(retryAfter === undefined ? undefined : { reconnectPeriod: retryAfter }),
      ...(lasting && version === '5' ? { properties: { sessionExpiryInterval: 300 } } : undefined),
    })
    this.#client.on('error', () => {}) // it tries again all the same
    this.connected = new Promise((resolve) => this.#client.on('connect', resolve))
  }

  get clientId(): string {
    return this.#client.options.clientId ?? ''
  }

  get isConnected(): boolean {
    return this.#client.connected
  }

  publish(topic: string, payload: string, options: { qos: 0 | 1 | 2; retain?: boolean }): Promise<void> {
    const { qos, retain = false } = options
    return settled((done) => this.#client.publish(topic, payload, { qos, retain }, done))
  }

  subscribe(filters: readonly string[], handler: (text: string) => void | Promise<void>): Promise<void> {
    // It takes a promise, and does nothing with it.
    const listener = (_: string, payload: Uint8Array): unknown => handler(new TextDecoder().decode(payload))
    this.#client.on('message', listener)
    return settled((done) => this.#client.subscribe([...filters], { qos: 1 }, done))
  }

  unsubscribe(filter: string): Promise<void> {
    return settled((done) => this.#client.unsubscribe(filter, done))
  }

  end(): Promise<void> {
    return settled((done) => this.#client.end(false, done))
  }

  destroy(): void {
    this.#client.end(true)
  }
}

function settled(act: (done: (error?: unknown) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    act((error) => {
      if (error) reject(error instanceof Error ? error : new Error('it failed', { cause: error }))
      else resolve()
    })
  })
}

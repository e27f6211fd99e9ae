// What one conversation came to: counts for the report, and what did not hold.

import type { MqttError } from '../../src/core/errors.ts'
import { toHex } from '../support/codec/hex.ts'

export interface ConversationResult {
  readonly seed: number
  readonly kind: 'core' | 'client'
  readonly connections: number
  /** Packets of the server and of the client. */
  readonly heard: number
  readonly written: number
  /** Messages handed over, and messages published. */
  readonly messages: number
  readonly published: number
  /** Violations of the server that ended a connection. */
  readonly violations: number
  /** How the connections ended, by the code of the error. */
  readonly ends: Readonly<Record<string, number>>
  readonly deeds: Readonly<Record<string, number>>
  readonly failures: readonly string[]
  /** The last chunks of the server, when something failed. */
  readonly chunks: readonly string[]
}

const CHUNKS_KEPT = 8

export class Tally {
  connections = 0
  heard = 0
  written = 0
  messages = 0
  published = 0
  violations = 0
  deeds: ReadonlyMap<string, number> = new Map()
  readonly failures: string[] = []
  readonly #ends = new Map<string, number>()
  #chunks: Uint8Array[] = []

  hear(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    if (this.#chunks.length > CHUNKS_KEPT) this.#chunks.shift()
  }

  end(error: MqttError | undefined): void {
    const code = error?.code ?? 'by us'
    this.#ends.set(code, (this.#ends.get(code) ?? 0) + 1)
  }

  fail(error: unknown): void {
    this.failures.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  }

  result(seed: number, kind: 'core' | 'client'): ConversationResult {
    const { connections, heard, written, messages, published, violations, deeds, failures } = this
    return {
      seed,
      kind,
      connections,
      heard,
      written,
      messages,
      published,
      violations,
      ends: Object.fromEntries(this.#ends),
      deeds: Object.fromEntries(deeds),
      failures,
      chunks: failures.length > 0 ? this.#chunks.map(toHex) : [],
    }
  }
}

/**
 * A browser knows when its machine has a network again: clients that wait because of the network then try at once.
 *
 * "Offline" changes nothing: the browser may be wrong, a broker may be on this very machine, and a connection that is
 * dead is found by its pings. A client that a broker has refused keeps its delay: the network was not the reason.
 */

import type { Client } from './client/client.ts'
import { ProtocolError, RefusedError, UsageError } from './core/errors.ts'

/** All else may be for want of a network, what a function that fetches a token throws, too. */
const REFUSALS = [RefusedError, ProtocolError, UsageError]

export class OnlineWatch {
  /** Clients without a connection, because of the network. */
  readonly #cutOff = new Set<Client>()
  #isListening = false

  watch(client: Client): void {
    if (!this.#isListening) this.#listen()
    const handleFailure = ({ error }: { readonly error?: unknown }): void => {
      if (REFUSALS.some((kind) => error instanceof kind)) this.#cutOff.delete(client)
      else if (client.state !== 'stopped') this.#cutOff.add(client)
    }
    client.on('disconnected', handleFailure)
    client.on('connectFailed', handleFailure)
    client.on('state', ({ to }) => {
      if (to === 'connected' || to === 'stopped') this.#cutOff.delete(client)
    })
  }

  #listen(): void {
    this.#isListening = true
    globalThis.addEventListener?.('online', () => {
      for (const client of this.#cutOff) client.reconnectNow()
    })
  }
}

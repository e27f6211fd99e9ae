/**
 * The states of a client, and what may follow each.
 *
 * | | | |
 * |---|---|---|
 * | `stopped` | nothing is wanted: the beginning, and after `disconnect()`, `destroy()` or giving up | `dialing` |
 * | `waiting` | an attempt failed or a connection was lost; the back-off says when the next one comes | `dialing` |
 * | `dialing` | an attempt is under way: names, sockets, TLS | `handshaking`, `waiting` |
 * | `handshaking` | the stream stands, CONNECT is sent | `connected`, `dialing` (another URL), `waiting` |
 * | `connected` | CONNACK has accepted | `waiting` |
 * | `disconnecting` | `disconnect()` drains, then DISCONNECT is on its way | |
 *
 * Each may end in `stopped`, and all but that in `disconnecting`.
 */

import type { ClientState } from './events.ts'

export interface LifecycleOwner {
  handleState(from: ClientState, to: ClientState): void
}

export class Lifecycle {
  state: ClientState = 'stopped'
  readonly #owner: LifecycleOwner

  constructor(owner: LifecycleOwner) {
    this.#owner = owner
  }

  move(to: ClientState): void {
    const from = this.state
    if (from === to) return
    this.state = to
    this.#owner.handleState(from, to)
  }
}

/**
 * The states of a client and what may follow each: one table.
 *
 * `stopped`        nothing is wanted; the beginning, and after `disconnect()`, `destroy()` or giving up
 * `waiting`        an attempt failed or a connection was lost; the next attempt comes when the back-off says so
 * `dialing`        an attempt is under way: names, sockets, TLS
 * `handshaking`    the stream stands, CONNECT is sent
 * `connected`      CONNACK has accepted
 * `disconnecting`  `disconnect()` drains, then DISCONNECT is on its way
 */

import type { ClientState } from './events.ts'

const NEXT: Readonly<Record<ClientState, readonly ClientState[]>> = {
  stopped: ['dialing', 'waiting'],
  waiting: ['dialing', 'stopped', 'disconnecting'],
  dialing: ['handshaking', 'waiting', 'stopped', 'disconnecting'],
  handshaking: ['connected', 'dialing', 'waiting', 'stopped', 'disconnecting'],
  connected: ['waiting', 'disconnecting', 'stopped'],
  disconnecting: ['stopped'],
}

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
    if (!NEXT[from].includes(to)) throw new TypeError(`a client that is ${from} cannot become ${to}`)
    this.state = to
    this.#owner.handleState(from, to)
  }
}

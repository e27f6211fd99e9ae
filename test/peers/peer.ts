// The few verbs that a defect needs of a client. Each client has an adapter, so the same lines drive both of
// them.

export type Version = '3.1.1' | '5'

export interface PeerOptions {
  readonly version: Version
  readonly clientId: string
  /** Whether the session outlives its connections. */
  readonly lasting?: boolean
  /** ms before another attempt; of a client that backs off, the least. */
  readonly retryAfter?: number
}

export interface PeerClient {
  /** As the client itself says. */
  readonly clientId: string
  readonly isConnected: boolean
  /** Resolves when the client says for the first time that it is connected. */
  readonly connected: Promise<void>
  publish(
    topic: string,
    payload: string,
    options: { readonly qos: 0 | 1 | 2; readonly retain?: boolean },
  ): Promise<void>
  /** At QoS 1, in one call. */
  subscribe(filters: readonly string[], handler: (text: string) => void | Promise<void>): Promise<void>
  unsubscribe(filter: string): Promise<void>
  /** Disconnects in order, after half a second at the latest where the client has a limit for it. */
  end(): Promise<void>
  destroy(): void
}

export interface Peer {
  readonly name: string
  readonly version: string
  /** Begins to connect, and tries until it is connected. */
  create(url: string, options: PeerOptions): PeerClient
}

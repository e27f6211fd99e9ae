/**
 * The socket under a client, so that it can be destroyed as a network would do it: without a word to the client.
 *
 * Node tells of every socket that a process opens by its diagnostics channel. The client keeps its own transport,
 * which a `dial` of the demo's would have replaced.
 */

import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { Socket } from 'node:net'

const CHANNEL = 'net.client.socket'

export interface WithSocket<Result> {
  readonly result: Result
  /** The latest that was opened. */
  readonly socket: Socket
}

/** Call it for one client at a time. */
export async function watchSocket<Result>(connecting: () => Promise<Result>): Promise<WithSocket<Result>> {
  let socket: Socket | undefined
  const listener = (message: unknown): void => {
    if (typeof message !== 'object' || message === null || !('socket' in message)) return
    if (message.socket instanceof Socket) socket = message.socket
  }
  subscribe(CHANNEL, listener)
  try {
    const result = await connecting()
    if (socket === undefined) throw new Error('the client has connected without opening a socket')
    return { result, socket }
  } finally {
    unsubscribe(CHANNEL, listener)
  }
}

/** What both kinds of WebSocket say when a handshake comes to nothing. */

import { ConnectionError } from '../core/errors.ts'

/** @param text why, and what to do */
export function handshakeError(url: URL, text: string, cause?: unknown): ConnectionError {
  // The query may hold a token.
  const where = `${url.protocol}//${url.host}${url.pathname}`
  return new ConnectionError('connect-failed', `no WebSocket to ${where}: ${text}`, {
    phase: 'websocket',
    cause,
  })
}

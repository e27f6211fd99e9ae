/**
 * Received memory is lent, as by the transport over TCP, which reads everything into one buffer: whoever looks at a
 * chunk after `handleData`, or keeps a view of it, finds other bytes there.
 */

import type { TransportReceiver } from '../transport/transport.ts'

/** No beginning of a packet, and no UTF-8. */
const OVERWRITTEN = 0xaa

export function lend(receiver: TransportReceiver, chunk: Uint8Array): void {
  const lent = chunk.slice()
  receiver.handleData(lent, false)
  lent.fill(OVERWRITTEN)
}

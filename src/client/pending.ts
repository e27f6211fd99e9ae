/** What a session owes, counted and described. */

import { bytesOf, type Delivery } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import type { PendingDelivery } from './events.ts'
import type { Owed } from './statistics.ts'

/** In the order in which they would be sent. */
export function pendingOf(
  session: Session,
  describe: (delivery: Delivery) => PendingDelivery,
): readonly PendingDelivery[] {
  return [...session.deliveries()].map(describe)
}

/**
 * @param waiting publishes that wait for room in the queue
 * @param requests SUBSCRIBEs and UNSUBSCRIBEs that have not settled, and those of them that were sent
 */
export function owedBy(session: Session, waiting: number, requests: number, unanswered: number): Owed {
  const { released, published, queued } = session
  const unacked = released.size + published.size
  const unackedBytes = bytesOf(released) + bytesOf(published)
  return {
    incompleteOperations: unacked + queued.size + waiting + requests,
    incompleteBytes: unackedBytes + queued.bytes,
    unackedOperations: unacked + unanswered,
    unackedBytes,
  }
}

/** What a session owes, counted and described. */

import type { Delivery, DeliveryList } from '../core/session/deliveries.ts'
import type { Session } from '../core/session/session.ts'
import type { PendingDelivery } from './events.ts'
import type { Owed } from './statistics.ts'

/** In the order in which they would be sent. */
export function pendingOf(
  { released, published, queued }: Session,
  describe: (delivery: Delivery) => PendingDelivery,
): readonly PendingDelivery[] {
  return [...released, ...published, ...queued].map(describe)
}

/**
 * @param waiting publishes that wait for room in the queue
 * @param requests SUBSCRIBEs and UNSUBSCRIBEs that have not settled, and those of them that were sent
 */
export function owedBy(session: Session, waiting: number, requests: number, unanswered: number): Owed {
  const { released, published, queued } = session
  const sent: readonly DeliveryList[] = [released, published]
  const unacked = sent.reduce((sum, list) => sum + list.size, 0)
  const unackedBytes = sent.reduce((sum, list) => sum + list.bytes, 0)
  return {
    incompleteOperations: unacked + queued.size + waiting + requests,
    incompleteBytes: unackedBytes + queued.bytes,
    unackedOperations: unacked + unanswered,
    unackedBytes,
  }
}

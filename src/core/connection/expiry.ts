/**
 * The Message Expiry Interval of a message that waits for its first sending, 5: 3.3.2.3.3. Once sent it no longer
 * expires [5 MQTT-4.3.3-7]; and one that did not wait has not expired, also if it may not wait at all.
 */

import { RefusedError } from '../errors.ts'
import type { Properties } from '../packets/types.ts'
import type { Delivery } from '../session/deliveries.ts'

/** Why a message that was never sent is not worth it any more. */
export function expiry(
  { properties, createdAt, attempts, name }: Delivery,
  now: number,
): RefusedError | undefined {
  const interval = properties?.messageExpiryInterval
  const waited = now - createdAt
  if (interval === undefined || attempts > 0 || waited === 0 || waited < 1_000 * interval) return undefined
  return new RefusedError(
    'expired',
    `the message to "${name.text}" waited longer than its Message Expiry Interval of ${interval} s`,
    { reasonCode: 0x97, local: true },
  )
}

/** The properties as they are sent: the interval less the time waited. */
export function datedProperties({ properties, createdAt }: Delivery, now: number): Properties | undefined {
  const interval = properties?.messageExpiryInterval
  if (interval === undefined) return properties
  const waited = Math.floor((now - createdAt) / 1_000)
  return waited <= 0 ? properties : { ...properties, messageExpiryInterval: Math.max(1, interval - waited) }
}

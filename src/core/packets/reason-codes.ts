/**
 * All reason codes (5: section 2.4) and the packets that may carry them, in one table; the return codes of
 * 3.1.1 by their version 5 counterparts.
 */

import { violation } from '../errors.ts'
import type { PacketType } from './types.ts'

type Carrier = Exclude<
  PacketType,
  'connect' | 'publish' | 'subscribe' | 'unsubscribe' | 'pingreq' | 'pingresp'
>

/** Code → what the specification calls it, and the packets that may carry it. */
export const REASON_CODES: ReadonlyMap<
  number,
  { readonly name: string; readonly packets: readonly Carrier[] }
> = new Map(
  (
    [
      [0x00, 'success', 'connack puback pubrec pubrel pubcomp suback unsuback disconnect auth'],
      [0x01, 'granted QoS 1', 'suback'],
      [0x02, 'granted QoS 2', 'suback'],
      [0x04, 'disconnect with will message', 'disconnect'],
      [0x10, 'no matching subscribers', 'puback pubrec'],
      [0x11, 'no subscription existed', 'unsuback'],
      [0x18, 'continue authentication', 'auth'],
      [0x19, 're-authenticate', 'auth'],
      [0x80, 'unspecified error', 'connack puback pubrec suback unsuback disconnect'],
      [0x81, 'malformed packet', 'connack disconnect'],
      [0x82, 'protocol error', 'connack disconnect'],
      [0x83, 'implementation specific error', 'connack puback pubrec suback unsuback disconnect'],
      [0x84, 'unsupported protocol version', 'connack'],
      [0x85, 'client identifier not valid', 'connack'],
      [0x86, 'bad user name or password', 'connack'],
      [0x87, 'not authorized', 'connack puback pubrec suback unsuback disconnect'],
      [0x88, 'server unavailable', 'connack'],
      [0x89, 'server busy', 'connack disconnect'],
      [0x8a, 'banned', 'connack'],
      [0x8b, 'server shutting down', 'disconnect'],
      [0x8c, 'bad authentication method', 'connack disconnect'],
      [0x8d, 'keep alive timeout', 'disconnect'],
      [0x8e, 'session taken over', 'disconnect'],
      [0x8f, 'topic filter invalid', 'suback unsuback disconnect'],
      [0x90, 'topic name invalid', 'connack puback pubrec disconnect'],
      [0x91, 'packet identifier in use', 'puback pubrec suback unsuback'],
      [0x92, 'packet identifier not found', 'pubrel pubcomp'],
      [0x93, 'receive maximum exceeded', 'disconnect'],
      [0x94, 'topic alias invalid', 'disconnect'],
      [0x95, 'packet too large', 'connack disconnect'],
      [0x96, 'message rate too high', 'disconnect'],
      [0x97, 'quota exceeded', 'connack puback pubrec suback disconnect'],
      [0x98, 'administrative action', 'disconnect'],
      [0x99, 'payload format invalid', 'connack puback pubrec disconnect'],
      [0x9a, 'retain not supported', 'connack disconnect'],
      [0x9b, 'QoS not supported', 'connack disconnect'],
      [0x9c, 'use another server', 'connack disconnect'],
      [0x9d, 'server moved', 'connack disconnect'],
      [0x9e, 'shared subscriptions not supported', 'suback disconnect'],
      [0x9f, 'connection rate exceeded', 'connack disconnect'],
      [0xa0, 'maximum connect time', 'disconnect'],
      [0xa1, 'subscription identifiers not supported', 'suback disconnect'],
      [0xa2, 'wildcard subscriptions not supported', 'suback disconnect'],
    ] as const
  ).map(([code, name, packets]) => [code, { name, packets: packets.split(' ') as Carrier[] }]),
)

/** Whether `type` may carry `code` in version 5. */
export function isReasonCodeOf(type: PacketType, code: number): boolean {
  return (REASON_CODES.get(code)?.packets as readonly PacketType[] | undefined)?.includes(type) ?? false
}

/** @throws ProtocolError when the code is none that `type` may carry: by default in version 5 */
export function checkReasonCode(
  type: PacketType,
  code: number,
  isLegal: boolean = isReasonCodeOf(type, code),
): number {
  if (isLegal) return code
  throw violation(`the reason code ${describeReasonCode(code)} does not belong in ${type.toUpperCase()}`)
}

/** `0x87 (not authorized)`, for messages. */
export function describeReasonCode(code: number): string {
  const name = REASON_CODES.get(code)?.name ?? 'unknown'
  return `0x${code.toString(16).padStart(2, '0')} (${name})`
}

/** CONNACK return codes of 3.1.1, table 3.1: the index is the code, the value its version 5 counterpart. */
export const CONNECT_RETURN_CODES: readonly number[] = [0x00, 0x84, 0x85, 0x88, 0x86, 0x87]

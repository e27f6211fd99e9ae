/** What CONNACK must be for the connection to stand: 3.2, rules 3 and 4. */

import { type MqttError, ProtocolError, RefusedError, violation } from '../errors.ts'
import { describeReasonCode } from '../packets/reason-codes.ts'
import type { ConnackPacket, ConnectPacket, Properties } from '../packets/types.ts'

/**
 * Why this CONNACK does not open the connection: the server refuses, or breaks the rules. Undefined when it does.
 *
 * @param established whether this side has a session that the server should have, too
 */
export function connackFault(
  connect: ConnectPacket,
  { reasonCode, sessionPresent, properties }: ConnackPacket,
  established: boolean,
  onUnknownSession: 'adopt' | 'close',
  hasProperties: boolean,
): MqttError | undefined {
  if (reasonCode !== 0) {
    const message = `the server refused the connection with ${describeReasonCode(reasonCode)}${inItsWords(properties)}`
    return new RefusedError('connection-refused', message, { reasonCode, properties })
  }
  if (properties?.authenticationMethod !== connect.properties?.authenticationMethod) {
    // [5 MQTT-4.12.0-5]
    return violation('CONNACK names another Authentication Method than CONNECT')
  }
  const isAssigned = properties?.assignedClientIdentifier !== undefined
  if (hasProperties && isAssigned !== (connect.clientId === '')) {
    // [5 MQTT-3.2.2-16]
    return violation(`CONNACK assigns ${isAssigned ? 'a' : 'no'} client identifier to "${connect.clientId}"`)
  }
  if (sessionPresent && connect.cleanStart) {
    // [3.1.1 MQTT-3.2.2-1] [5 MQTT-3.2.2-2]
    return violation('Session Present is 1 after a clean start')
  }
  if (sessionPresent && !established && onUnknownSession === 'close') {
    // [5 MQTT-3.2.2-4]
    return new ProtocolError(
      'unknown-session',
      0x82,
      'the server has a session for this client identifier, and there is none here; ' +
        "use a durable store, begin with a clean session, or set onUnknownSession: 'adopt'",
    )
  }
  return undefined
}

/** `: reason string`, when the server gave one. */
export function inItsWords(properties: Properties | undefined): string {
  return properties?.reasonString === undefined ? '' : `: ${properties.reasonString}`
}

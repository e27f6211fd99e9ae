/** Why a connection ended, in words: what came, and where. */

import { ConnectionError, RefusedError, violation, type MqttError } from '../errors.ts'
import { describeReasonCode } from '../packets/reason-codes.ts'
import type { DisconnectPacket } from '../packets/types.ts'
import { inItsWords } from './opening.ts'

/** The stream is over. @param accepted whether CONNACK had come */
export function lostError(cause: unknown, accepted: boolean): ConnectionError {
  const where = accepted ? 'without DISCONNECT' : 'before CONNACK'
  const message =
    cause === undefined
      ? `the server closed the connection ${where}`
      : `the connection was lost: ${textOf(cause)}`
  return new ConnectionError('connection-lost', message, {
    phase: accepted ? 'established' : 'connack',
    cause,
  })
}

/** Nothing proved life within `timeout` ms, rule 10. */
export function silentError(timeout: number): ConnectionError {
  const message = `nothing came from the server within ${timeout} ms after PINGREQ`
  return new ConnectionError('ping-timeout', message, { phase: 'established' })
}

/** DISCONNECT came, 5: 3.14; a refused re-authentication ends so, too [5 MQTT-4.12.1-2]. */
export function disconnectedError({ reasonCode, properties }: DisconnectPacket): MqttError {
  if (properties?.sessionExpiryInterval !== undefined) {
    return violation('the DISCONNECT of a server has a Session Expiry Interval [5 MQTT-3.14.2-2]')
  }
  const message = `the server disconnected with ${describeReasonCode(reasonCode)}${inItsWords(properties)}`
  return new RefusedError('server-disconnected', message, { reasonCode, properties })
}

/** Nothing is written before CONNACK or behind DISCONNECT. */
export function notConnectedError(): ConnectionError {
  return new ConnectionError('not-connected', 'there is no connection now', { phase: 'established' })
}

/** What was thrown while a packet was handled, and was no error of ours. */
export function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

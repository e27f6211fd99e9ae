/** Why a connection ended, in words: what came, and where. */

import { ConnectionError, MqttError, ProtocolError, RefusedError, textOf, violation } from '../errors.ts'
import { describeReasonCode } from '../packets/reason-codes.ts'
import type { DisconnectPacket } from '../packets/types.ts'
import { inItsWords } from './opening.ts'

/**
 * The stream is over. What the transport says of it in words of its own is told as it is.
 *
 * @param accepted whether CONNACK had come
 * @param heard whether anything had
 */
export function lostError(cause: unknown, accepted: boolean, heard: boolean): MqttError {
  if (cause instanceof MqttError && !(accepted && cause instanceof ConnectionError)) return cause
  const where = accepted ? 'without DISCONNECT' : 'before CONNACK'
  const what =
    cause === undefined
      ? `the server closed the connection ${where}`
      : `the connection was lost: ${textOf(cause)}`
  const message = heard
    ? what
    : `${what}; is the port one for what the URL says? Else the server's log says why`
  return new ConnectionError('connection-lost', message, {
    phase: accepted ? 'established' : 'connack',
    cause,
  })
}

const HTTP = [0x48, 0x54, 0x54, 0x50, 0x2f]

/** What a server has said first, when that is another protocol: it takes the port for something else than we do. */
export function portError(said: Uint8Array): ConnectionError | undefined {
  const isAlert = said[0] === 0x15 && said[1] === 0x03 && said[3] === 0 && said[4] === 2
  const message = HTTP.every((byte, index) => said[index] === byte)
    ? 'the server answers CONNECT in HTTP: connect to this port by ws:// or wss://'
    : isAlert
      ? 'the server answers CONNECT in TLS: connect to this port by mqtts:// or wss://'
      : undefined
  if (message === undefined) return undefined
  return new ConnectionError('connect-failed', message, { phase: 'connack' })
}

/** Nothing proved life within `timeout` ms, rule 10. */
export function silentError(timeout: number): ConnectionError {
  const message = `nothing came from the server within ${timeout} ms after PINGREQ`
  return new ConnectionError('ping-timeout', message, { phase: 'established' })
}

/**
 * What is wrong with a server, before it is listened to.
 *
 * @param first what it has said first
 * @param pending bytes that wait for it, or for the store: acknowledgements have no other bound when it sends and does
 * not read
 */
export function inputError(
  first: Uint8Array | undefined,
  pending: number,
  most: number,
): ConnectionError | undefined {
  if (first !== undefined) return portError(first)
  if (pending <= most) return undefined
  const message = `the server sends and does not read: ${pending} bytes wait`
  return new ConnectionError('connection-lost', message, { phase: 'established' })
}

/** DISCONNECT came, 5: 3.14; a refused re-authentication ends so, too [5 MQTT-4.12.1-2]. */
export function disconnectedError({ reasonCode, properties }: DisconnectPacket): MqttError {
  if (properties?.sessionExpiryInterval !== undefined) {
    // [5 MQTT-3.14.2-2]
    return violation('the DISCONNECT of a server has a Session Expiry Interval')
  }
  const message = `the server disconnected with ${describeReasonCode(reasonCode)}${inItsWords(properties)}`
  return new RefusedError('server-disconnected', message, { reasonCode, properties })
}

/**
 * Whether the server may have closed because of what was sent to it: it was not this side that ended the connection, nor
 * silence, nor another client with our id.
 */
export function isServersDoing(error: MqttError | undefined): boolean {
  const isRefusal = error instanceof RefusedError && error.reasonCode !== SESSION_TAKEN_OVER
  return isRefusal || error instanceof ProtocolError || error?.code === 'connection-lost'
}

const SESSION_TAKEN_OVER = 0x8e

/** Nothing is written before CONNACK or behind DISCONNECT. */
export function notConnectedError(detail = ''): ConnectionError {
  return new ConnectionError('not-connected', `there is no connection now${detail}`, { phase: 'established' })
}

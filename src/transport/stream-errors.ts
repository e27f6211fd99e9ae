/**
 * Why a stream ended. Errors of TLS are put into words: without OpenSSL's numbers, files and lines, and with what to do
 * about them.
 *
 * Apart from `tls.ts`, because what the other side says of a handshake may come when that is long done: in TLS 1.3 a
 * server looks at our certificate after it.
 */

import type net from 'node:net'
import { ConnectionError } from '../core/errors.ts'

type Advice = readonly [faults: RegExp, what: string, ofProxy?: string]

/** Faults are found in an error's code and text, in capitals and with `_` between them. The first that fits is it. */
const ADVICE: readonly Advice[] = [
  [
    /SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER_CERT|VERIFY_LEAF_SIGNATURE)/,
    'the certificate is untrusted: give the certificate of its authority as tls.ca',
  ],
  [/CERT_HAS_EXPIRED/, 'the certificate has expired: it has to be renewed at the server'],
  [/CERT_NOT_YET_VALID/, 'the certificate is not valid yet: compare the clocks'],
  [
    /ERR_TLS_CERT_ALTNAME_INVALID/,
    'the certificate is for another host: connect by a name that it has, or give that as tls.servername',
    'the certificate is for another host: name the proxy as its certificate does',
  ],
  [
    /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|RECORD_LAYER_FAILURE/,
    'the server does not speak TLS on this port: use mqtt:// or ws://, or its TLS port',
    'the proxy does not speak TLS on this port: use http://',
  ],
  [
    /BAD_DECRYPT|BAD_PASSWORD|MAC_VERIFY_FAILURE|INTERRUPTED_OR_CANCELLED/,
    'tls.passphrase is wrong or missing',
  ],
  [/KEY_VALUES_MISMATCH/, 'tls.key does not belong to tls.cert'],
  [
    /PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL|NO_PROTOCOLS_AVAILABLE/,
    'there is no version of TLS that both sides accept: see tls.minVersion and tls.maxVersion',
  ],
  [
    /ALERT_(?:UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE)/,
    'the server does not accept our certificate: see tls.cert and tls.key',
  ],
  [
    /ALERT_HANDSHAKE_FAILURE/,
    'the server wants a certificate of ours (tls.cert and tls.key), or has no cipher in common with us',
  ],
  [/NO_APPLICATION_PROTOCOL/, 'the server does not know any of tls.ALPNProtocols'],
  [/NO_CIPHER_MATCH/, 'tls.ciphers names none that there is'],
  [
    /NO_START_LINE|PEM_|ASN1_|UNSUPPORTED|NOT_ENOUGH_DATA/,
    // A wrong passphrase makes sense of a key in one of 256 cases: then it is what it makes that cannot be read.
    'the material in tls.ca, cert, key or pfx cannot be read, or tls.passphrase is wrong',
  ],
  [
    /ECONNRESET|EPIPE|CLOSED_THE_CONNECTION/,
    'it may not speak TLS on this port, where mqtt:// or ws:// would do, or not accept our certificate',
    'it may not speak TLS on this port: use http://',
  ],
]

/** What has ended a socket, if anything has. */
export function brokenBy(socket: net.Socket): Error | undefined {
  if (!socket.destroyed && !socket.readableEnded) return undefined
  return socket.errored ?? new Error('the other side closed the connection')
}

/** Of a handshake. @param phase whose certificate it is: the broker's, or a proxy's */
export function tlsError(
  error: Error,
  { host, port, phase }: { readonly host: string; readonly port: number; readonly phase: 'tls' | 'proxy' },
): ConnectionError {
  const where = phase === 'proxy' ? `the proxy ${host}:${port}` : `${host}:${port}`
  const message = `no TLS connection to ${where}: ${describe(error, phase)}`
  return new ConnectionError('connect-failed', message, { phase, cause: error })
}

/** Of a stream that has ended: what TLS says of it is put into words, any other error is what it was. */
export function explained(error: Error & { readonly code?: string }): Error {
  if (error.code?.startsWith('ERR_SSL_') !== true) return error
  return new ConnectionError('connection-lost', `TLS failed: ${describe(error, 'tls')}`, {
    phase: 'tls',
    cause: error,
  })
}

function describe(error: Error & { readonly code?: string }, phase: 'tls' | 'proxy'): string {
  const words = wordsOf(error.message)
  const fault = `${error.code ?? ''} ${words}`.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_')
  const [, what, ofProxy = what] = ADVICE.find(([faults]) => faults.test(fault)) ?? []
  return [words, phase === 'proxy' ? ofProxy : what].filter(Boolean).join('; ')
}

/** `80ACCAB0:error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:…c:1601:…` → its words. */
function wordsOf(message: string): string {
  const words = /\berror:[0-9A-F]+:[^:]*:[^:]*:([^:]*)/i.exec(message)?.[1] ?? message
  return words.replace(/^(?:ssl|tls)v\d+ (?=alert )/, '').trim()
}

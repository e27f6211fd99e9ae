import { describe, expect, it } from 'vitest'
import { explained, tlsError } from './stream-errors.ts'

function errorOf(message: string, code?: string): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code })
}

const ALERT =
  '80ACCAB0597F0000:error:0A000410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure:../deps/openssl/openssl/ssl/record/rec_layer_s3.c:1601:SSL alert number 40\n'

describe('the words of OpenSSL', () => {
  const where = { host: 'broker.example', port: 8_883, phase: 'tls' } as const

  it.each([
    [
      ALERT,
      'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE',
      'alert handshake failure; the server wants a certificate of ours',
    ],
    [
      '802C:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../ssl3_record.c:354:\n',
      'ERR_SSL_WRONG_VERSION_NUMBER',
      'wrong version number; the server does not speak TLS on this port',
    ],
    [
      '802C:error:0A000418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca:../x.c:1:SSL alert number 48\n',
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      'alert unknown ca; the server does not accept our certificate',
    ],
    [
      'error:1C800064:Provider routines::bad decrypt',
      'ERR_OSSL_BAD_DECRYPT',
      'bad decrypt; tls.passphrase is wrong',
    ],
    ['mac verify failure', undefined, 'mac verify failure; tls.passphrase is wrong'],
    [
      'error:1E08010C:DECODER routines::unsupported',
      'ERR_OSSL_UNSUPPORTED',
      'unsupported; the material in tls.ca',
    ],
    [
      'error:0A0000BF:SSL routines::no protocols available',
      'ERR_SSL_NO_PROTOCOLS_AVAILABLE',
      'see tls.minVersion',
    ],
    ['certificate has expired', 'CERT_HAS_EXPIRED', 'certificate has expired; the certificate has expired'],
    ['anything else', 'ELSE', 'anything else'],
  ])('lose numbers, files and lines, and get advice, form %#', (message, code, text) => {
    const error = tlsError(errorOf(message, code), where)
    expect(error.message).toMatch(/^no TLS connection to broker\.example:8883: /)
    expect(error.message).toContain(text)
    expect(error.message).not.toMatch(/error:|routines|\.c:|\n/)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'tls', cause: { message } })
  })

  it('of a proxy speak of the proxy', () => {
    const altname = errorOf('names', 'ERR_TLS_CERT_ALTNAME_INVALID')
    const error = tlsError(altname, { ...where, phase: 'proxy' })
    expect(error.message).toContain('no TLS connection to the proxy broker.example:8883: names; ')
    expect(error.message).not.toContain('tls.servername')
    expect(error.phase).toBe('proxy')
  })

  it('of a stream that has ended become an error of TLS; other errors stay what they were', () => {
    const alert = errorOf(ALERT, 'ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE')
    expect(explained(alert)).toMatchObject({ code: 'connection-lost', phase: 'tls', cause: alert })
    const reset = errorOf('read ECONNRESET', 'ECONNRESET')
    expect(explained(reset)).toBe(reset)
  })
})

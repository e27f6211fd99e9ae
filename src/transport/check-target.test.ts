import { describe, expect, it } from 'vitest'
import { UsageError } from '../core/errors.ts'
import { checkTarget } from './check-target.ts'
import type { DialTarget } from './transport.ts'

/** What is wrong with options, or a URL. */
function faultOf(options: object, url = 'mqtts://broker.example:8883'): UsageError | undefined {
  try {
    checkTarget({ url: new URL(url), options: options as DialTarget['options'] })
    return undefined
  } catch (error) {
    return error as UsageError
  }
}

describe('what a dialer is given', () => {
  it.each([
    [{}],
    [
      {
        tls: {
          ca: 'ca.pem',
          cert: 'a',
          key: new Uint8Array(1),
          passphrase: '',
          servername: '',
          ALPNProtocols: ['mqtt'],
        },
      },
    ],
    [
      {
        tls: {
          ca: ['a', new Uint8Array(1)],
          pfx: 'a.p12',
          minVersion: 'TLSv1.2',
          maxVersion: 'TLSv1.2',
          ciphers: 'x',
        },
      },
    ],
    [
      {
        tls: {
          secureContext: {},
          rejectUnauthorized: false,
          checkServerIdentity: () => undefined,
          ca: undefined,
        },
      },
    ],
    [{ socket: { noDelay: false, keepAlive: 1_000, family: 6, localAddress: '::1' } }],
    [
      {
        websocket: { path: '/', headers: { a: 'b' }, transform: () => undefined, validate: () => undefined },
      },
    ],
    [{ proxy: 'http://ada:l%40ve@proxy' }],
  ])('may be, form %#', (options) => {
    expect(faultOf(options)).toBeUndefined()
  })

  it.each([
    [{ tls: { certificate: 'x' } }, 'tls.certificate', 'expected one of cert, key, pfx'],
    [{ tls: { ca: 5 } }, 'tls.ca', 'expected PEM text, its bytes or a path, got 5'],
    [{ tls: { ca: ['a', ''] } }, 'tls.ca[1]', 'got a string'],
    [{ tls: { cert: null, key: 'a' } }, 'tls.cert', 'got null'],
    [{ tls: { cert: 'a' } }, 'tls.key', 'expected cert and key together'],
    [{ tls: { key: 'a' } }, 'tls.cert', 'expected cert and key together'],
    [{ tls: { secureContext: {}, ca: 'a' } }, 'tls.secureContext', 'expected it without ca'],
    [
      { tls: { secureContext: {}, minVersion: 'TLSv1.3' } },
      'tls.secureContext',
      'expected it without minVersion',
    ],
    [{ tls: { secureContext: {}, ciphers: 'x' } }, 'tls.secureContext', 'expected it without ciphers'],
    [{ tls: { secureContext: 'a' } }, 'tls.secureContext', 'expected an object, got a string'],
    [{ tls: { minVersion: 'TLSv1' } }, 'tls.minVersion', 'expected "TLSv1.2" or "TLSv1.3"'],
    [
      { tls: { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' } },
      'tls.maxVersion',
      'expected at least TLSv1.3',
    ],
    [{ tls: { ALPNProtocols: 'mqtt' } }, 'tls.ALPNProtocols', 'expected a list of names'],
    [{ tls: { ALPNProtocols: [] } }, 'tls.ALPNProtocols', 'got a list'],
    [{ tls: { rejectUnauthorized: 'no' } }, 'tls.rejectUnauthorized', 'expected true or false'],
    [{ socket: { timeout: 5 } }, 'socket.timeout', 'expected one of noDelay'],
    [{ socket: { keepAlive: -1 } }, 'socket.keepAlive', 'expected true, false or ms'],
    [{ socket: { family: 5 } }, 'socket.family', 'expected 4 or 6'],
    [{ socket: { localAddress: 'eth0' } }, 'socket.localAddress', 'expected an IP address of this machine'],
    [{ websocket: { protocol: 'x' } }, 'websocket.protocol', 'expected one of path'],
    [{ websocket: { headers: { a: 5 } } }, 'websocket.headers.a', 'expected a string, got 5'],
    [{ websocket: { transform: 'x' } }, 'websocket.transform', 'expected a function'],
  ])('is refused, form %#', (options, field, text) => {
    const fault = faultOf(options)
    expect(fault).toBeInstanceOf(UsageError)
    expect(fault).toMatchObject({ code: 'invalid-option', field })
    expect(fault?.message).toContain(text)
  })

  it.each([
    [{ proxy: 'http://a%da:x@proxy' }, 'mqtt://a:1', 'proxy', 'the user percent-encoded'],
    [{ proxy: new URL('http://ada:100%@proxy') }, 'mqtt://a:1', 'proxy', 'the password percent-encoded'],
    [{}, 'unix:/run/100%.sock', 'url', 'the path percent-encoded'],
  ])('is refused when it cannot be decoded, form %#', (options, url, field, text) => {
    const fault = faultOf(options, url)
    expect(fault).toMatchObject({ code: 'invalid-url', field })
    expect(fault?.message).toContain(text)
    expect(fault?.message).not.toContain('100')
  })
})

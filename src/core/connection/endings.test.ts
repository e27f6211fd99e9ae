import { describe, expect, it } from 'vitest'
import { hex } from '../../../test/support/codec/hex.ts'
import { ConnectionError, ProtocolError } from '../errors.ts'
import { lostError, portError } from './endings.ts'

describe('what a server says first', () => {
  it.each([
    ['HTTP', Buffer.from('HTTP/1.1 400 Bad Request'), 'connect to this port by ws:// or wss://'],
    ['an alert of TLS', hex('15 03 01 00 02 02 28'), 'connect to this port by mqtts:// or wss://'],
  ])('%s: its port is for something else', (_what, said, text) => {
    const error = portError(said)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'connack' })
    expect(error?.message).toContain(text)
  })

  it.each(['20 02 00 00', 'f0 00', '15', '15 03', '15 03 01 00', '15 03 01 00 03', '48 54 54 50', '48', ''])(
    '%s may be MQTT',
    (said) => {
      expect(portError(hex(said))).toBeUndefined()
    },
  )
})

describe('a stream that is over', () => {
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  const advice = 'is the port one for what the URL says'

  it.each([
    [undefined, false, false, `the server closed the connection before CONNACK; ${advice}`],
    [reset, false, false, `the connection was lost: read ECONNRESET; ${advice}`],
    [undefined, false, true, 'the server closed the connection before CONNACK'],
    [undefined, true, true, 'the server closed the connection without DISCONNECT'],
    [reset, true, true, 'the connection was lost: read ECONNRESET'],
  ])('by %s (accepted %s, heard %s) is told in words', (cause, accepted, heard, text) => {
    const error = lostError(cause, accepted, heard)
    const phase = accepted ? 'established' : 'connack'
    expect(error).toMatchObject({ name: 'ConnectionError', code: 'connection-lost', phase })
    expect(error.cause).toBe(cause)
    expect(error.message.startsWith(text)).toBe(true)
    expect(error.message.includes(advice)).toBe(!heard)
  })

  it('in words of its own is told as it is; what was a connection is lost, whatever its transport says', () => {
    const ofTls = new ConnectionError('connection-lost', 'TLS failed', { phase: 'tls', cause: reset })
    expect(lostError(ofTls, false, false)).toBe(ofTls)
    const lost = lostError(ofTls, true, true)
    expect(lost).toMatchObject({ code: 'connection-lost', phase: 'established', cause: ofTls })
    expect(lost.message).toBe('the connection was lost: TLS failed')
    const ofFrames = new ProtocolError('protocol-error', 0x82, 'text came')
    for (const accepted of [false, true]) expect(lostError(ofFrames, accepted, accepted)).toBe(ofFrames)
  })
})

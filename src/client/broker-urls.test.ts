// Schemes, ports and paths of the brokers' URLs, and that no password gets into a message.

import { describe, expect, test } from 'vitest'
import { UsageError } from '../core/errors.ts'
import { resolveUrls } from './broker-urls.ts'

function hrefs(input: unknown, path?: string): string[] {
  return resolveUrls(input as string, path).urls.map((url) => url.href)
}

function refusal(input: unknown): UsageError {
  try {
    resolveUrls(input as string, undefined)
  } catch (error) {
    if (error instanceof UsageError) return error
    throw error
  }
  throw new Error('expected a UsageError, got none')
}

describe('a URL', () => {
  test.each([
    ['mqtt://h', 'mqtt://h:1883'],
    ['mqtt://h/', 'mqtt://h:1883/'],
    ['MQTT://h:1884', 'mqtt://h:1884'],
    ['tcp://h', 'tcp://h:1883'],
    ['mqtts://h', 'mqtts://h:8883'],
    ['ssl://h', 'ssl://h:8883'],
    ['tls://h:443', 'tls://h:443'],
    ['mqtt://[::1]', 'mqtt://[::1]:1883'],
    ['mqtt://192.0.2.1', 'mqtt://192.0.2.1:1883'],
    ['ws://h', 'ws://h/mqtt'],
    ['ws://h:80/', 'ws://h/mqtt'],
    ['wss://h:8443/broker?x=1#y', 'wss://h:8443/broker?x=1'],
    ['wss://h?token=1', 'wss://h/mqtt?token=1'],
    ['unix:/run/m.sock', 'unix:/run/m.sock'],
    ['unix:///run/m.sock', 'unix:///run/m.sock'],
  ])('%s is %s', (input, href) => {
    expect(hrefs(input)).toEqual([href])
    expect(hrefs(new URL(input))).toEqual([href])
  })

  test('has the path of websocket.path before its own', () => {
    expect(hrefs('ws://h/own', '/other')).toEqual(['ws://h/other'])
    expect(hrefs('ws://h', '/')).toEqual(['ws://h/'])
    expect(hrefs('wss://h', '/mqtt?X-Amz-Signature=a/b')).toEqual(['wss://h/mqtt?X-Amz-Signature=a/b'])
    expect(hrefs('wss://h', '//evil/x')).toEqual(['wss://h//evil/x'])
    expect(hrefs('mqtt://h', '/other')).toEqual(['mqtt://h:1883'])
  })

  test.each(['http://h', 'localhost:1883', 'broker.example', '192.0.2.1:1883', '', 'mqtt'])(
    'has a scheme that is known: %j',
    (input) => {
      const { code, message } = refusal(input)
      expect(code).toBe('invalid-url')
      expect(message).toMatch(
        /^url: expected a URL that begins with mqtt:, tcp:, mqtts:, ssl:, tls:, ws:, wss: or unix:.*, got "/,
      )
    },
  )

  test.each([
    ['mqtt://', /^url: expected mqtt:\/\/host, got "mqtt:\/\/"$/],
    ['mqtt:h', /^url: expected mqtt:\/\/host, got "mqtt:h"$/],
    ['mqtt://h:0', /^url: expected a port from 1 to 65,535, got 0$/],
    ['mqtt://h:70000', /^url: expected a URL that begins with .*, got "mqtt:\/\/h:70000"$/],
    ['mqtt://h?clientId=a', /^url: expected no query with mqtt:, got one$/],
    ['unix:', /^url: expected unix:\/path\/of\/the\/socket, got "unix:"$/],
    ['unix://run/m.sock', /^url: expected unix:\/path\/of\/the\/socket, got "unix:\/\/run\/m.sock"$/],
    [7, /^url: expected a string or a URL, got a number$/],
    [null, /^url: expected a string or a URL, got null$/],
    [{ host: 'h' }, /^url: expected a string or a URL, got an object$/],
    [[], /^url: expected at least one URL, got an empty list$/],
    [['mqtt://h', 'h'], /^url\[1\]: expected a URL that begins with /],
  ])('is refused when it is %j', (input, message) => {
    expect(refusal(input)).toMatchObject({ code: 'invalid-url', message: expect.stringMatching(message) })
  })
})

describe('user and password', () => {
  test('are taken out of the URL and percent-decoded', () => {
    const { urls, username, password } = resolveUrls('mqtts://a%3Ab:c%25%20@h', undefined)
    expect(urls[0]?.href).toBe('mqtts://h:8883')
    expect([username, password]).toEqual(['a:b', 'c% '])
  })

  test('may be one without the other, or absent', () => {
    expect(resolveUrls('mqtt://me@h', undefined)).toMatchObject({ username: 'me', password: undefined })
    expect(resolveUrls('mqtt://:pw@h', undefined)).toMatchObject({ username: undefined, password: 'pw' })
    expect(resolveUrls('mqtt://h', undefined)).toMatchObject({ username: undefined, password: undefined })
  })

  test('are those of the first URL for all', () => {
    const { urls, username } = resolveUrls(['mqtt://me:pw@a', 'mqtt://b', 'ws://me:pw@c'], undefined)
    expect(username).toBe('me')
    expect(urls.map((url) => url.href)).toEqual(['mqtt://a:1883', 'mqtt://b:1883', 'ws://c/mqtt'])
    expect(refusal(['mqtt://a', 'mqtt://me:secret@b']).message).toMatch(
      /^url\[1\]: expected the user and password of the first URL/,
    )
  })

  test('are refused when they are not UTF-8', () => {
    expect(refusal('mqtt://me:%ff@h').message).toMatch(/^url: expected the password percent-encoded as UTF-8/)
    expect(refusal('mqtt://%E0%A4:x@h').message).toMatch(/^url: expected the user percent-encoded as UTF-8/)
  })

  test.each([
    'http://me:secret@h',
    'me:secret@h',
    'mqtt://me:secret@h:70000',
    'mqtt://me:secret@',
    'mqtt://me:sec/secret@h:x',
    'mqtt://me:secret@h?a=b',
    'mqtt://h?password=secret',
    'http://h?token=secret',
    'unix://me:secret@h/x',
    'mqtt://me:secret%ff@h',
    ['mqtt://a', 'mqtt://me:secret@b'],
  ])('are not shown: %j', (input) => {
    const error = refusal(input)
    expect(error.message).not.toContain('secret')
    expect(error.cause).toBeUndefined()
  })
})

// Each option of a client: what it is when not set, a good value, and what is said to a wrong one. The message is
// part of the contract: it names the option, what was expected and what came.

import { describe, expect, test } from 'vitest'
import { UsageError } from '../core/errors.ts'
import type { ClientOptions, Options311, Options5 } from './client-options.ts'
import {
  check311,
  DEFAULTS,
  maxInflightQos2Of,
  resolveOptions,
  type ResolvedOptions,
  resolvePoolOptions,
} from './options.ts'
import { createRuntime } from './runtime.ts'

const URL_311 = 'mqtt://broker.example'

/** JavaScript has no compiler: what comes is anything. */
function resolve(options?: unknown, url: unknown = URL_311): ResolvedOptions {
  return resolveOptions(url as string, options as ClientOptions, () => 0.5)
}

function refusal(run: () => unknown): { code: string; field: string; message: string } {
  try {
    run()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return { code: error.code, field: error.field, message: error.message }
  }
  throw new Error('expected a UsageError, got none')
}

const store = {
  durability: 'process',
  open: async () => [],
  append: async () => {},
  replace: async () => {},
  close: async () => {},
}
const runtime = createRuntime((callback) => queueMicrotask(callback))
const noop = (): void => {}
const DELAY_0 = 'milliseconds from 0 to 2,147,483,647'
const DELAY_1 = 'milliseconds from 1 to 2,147,483,647'
const WHOLE_2 = 'a whole number from 0 to 65,535'
const COUNT = 'a whole number of at least 1, or Infinity'
const INFLIGHT = 'a whole number from 1 to 65,519'

interface Row {
  readonly option: keyof ResolvedOptions
  readonly unset: unknown
  readonly good: readonly unknown[]
  /** What is said to be expected. */
  readonly expected: string
  /** Wrong value → what is said to have come. */
  readonly bad: readonly (readonly [value: unknown, got: string])[]
  readonly version?: '5'
}

const rows: readonly Row[] = [
  {
    option: 'protocolVersion',
    unset: '3.1.1',
    good: ['3.1.1', '5', 'auto'],
    expected: "'3.1.1', '5' or 'auto'",
    bad: [
      [5, '5'],
      ['3.1', '"3.1"'],
      [null, 'null'],
    ],
  },
  {
    option: 'onUnknownSession',
    unset: 'adopt',
    good: ['adopt', 'close'],
    expected: "'adopt' or 'close'",
    bad: [
      ['keep', '"keep"'],
      [true, 'true'],
    ],
  },
  {
    option: 'keepAlive',
    unset: 60,
    good: [0, 1, 65_535],
    expected: WHOLE_2,
    bad: [
      ['60', '"60"'],
      [-1, '-1'],
      [65_536, '65536'],
      [1.5, '1.5'],
      [NaN, 'NaN'],
      [Infinity, 'Infinity'],
      [null, 'null'],
      [60n, '60n'],
    ],
  },
  {
    option: 'pingTimeout',
    unset: 10_000,
    good: [1, 0x7fffffff, 2.5],
    expected: DELAY_1,
    bad: [
      [0, '0'],
      ['1', '"1"'],
      [2 ** 31, '2147483648'],
    ],
  },
  {
    option: 'connectTimeout',
    unset: 30_000,
    good: [1, 0x7fffffff],
    expected: DELAY_1,
    bad: [
      [0, '0'],
      [NaN, 'NaN'],
      [Infinity, 'Infinity'],
    ],
  },
  {
    option: 'operationTimeout',
    unset: 60_000,
    good: [0, 0x7fffffff],
    expected: DELAY_0,
    bad: [
      [-1, '-1'],
      [false, 'false'],
    ],
  },
  {
    option: 'retryInitialConnect',
    unset: false,
    good: [true, false],
    expected: 'true or false',
    bad: [
      [1, '1'],
      ['true', '"true"'],
    ],
  },
  {
    option: 'resubscribe',
    unset: 'session-lost',
    good: ['never', 'session-lost', 'always'],
    expected: "'never', 'session-lost' or 'always'",
    bad: [
      [true, 'true'],
      ['Always', '"Always"'],
    ],
  },
  {
    option: 'onSessionLost',
    unset: 'resend',
    good: ['resend', 'fail'],
    expected: "'resend' or 'fail'",
    bad: [
      [noop, 'a function'],
      ['', '""'],
    ],
  },
  {
    option: 'poisonLimit',
    unset: 5,
    good: [0, 1, 4_294_967_295],
    expected: 'a whole number from 0 to 4,294,967,295',
    bad: [
      [-1, '-1'],
      ['5', '"5"'],
    ],
  },
  {
    option: 'receiveMaximum',
    version: '5',
    unset: 65_535,
    good: [1, 65_535],
    expected: 'a whole number from 1 to 65,535',
    bad: [
      [0, '0'],
      [65_536, '65536'],
      ['1', '"1"'],
    ],
  },
  {
    option: 'topicAliasMaximum',
    version: '5',
    unset: 0,
    good: [0, 65_535],
    expected: WHOLE_2,
    bad: [
      [-1, '-1'],
      [65_536, '65536'],
      [{}, 'an object'],
    ],
  },
  {
    option: 'topicAliases',
    version: '5',
    unset: 'off',
    good: ['off', 'auto', 'manual'],
    expected: "'off', 'auto' or 'manual'",
    bad: [
      [false, 'false'],
      ['on', '"on"'],
    ],
  },
  {
    option: 'cleanStart',
    version: '5',
    unset: true,
    good: [true, false],
    expected: 'true or false',
    bad: [[0, '0']],
  },
  {
    option: 'sessionExpiryInterval',
    version: '5',
    unset: 0,
    good: [0, 3_600, 0xffffffff],
    expected: 'a whole number from 0 to 4,294,967,295',
    bad: [
      [-1, '-1'],
      [2 ** 32, '4294967296'],
      ['1 h', '"1 h"'],
    ],
  },
  {
    option: 'maximumPacketSize',
    unset: 16_777_216,
    good: [1, 0xffffffff],
    expected: 'a whole number from 1 to 4,294,967,295',
    bad: [
      [0, '0'],
      [2 ** 32, '4294967296'],
      ['1 MiB', '"1 MiB"'],
    ],
  },
  {
    option: 'maxInflight',
    unset: 65_519,
    good: [1, 65_519],
    expected: INFLIGHT,
    bad: [
      [0, '0'],
      [65_520, '65520'],
      [[], 'an empty list'],
    ],
  },
  {
    option: 'maxInflightQos2',
    unset: 19,
    good: [1, 65_519],
    expected: INFLIGHT,
    bad: [
      [0, '0'],
      [65_520, '65520'],
      [[1], 'a list'],
    ],
  },
  {
    option: 'maxPending',
    unset: 1_000,
    good: [1, Infinity],
    expected: COUNT,
    bad: [
      [0, '0'],
      ['1', '"1"'],
      [0.5, '0.5'],
    ],
  },
  {
    option: 'maxPendingBytes',
    unset: 16_777_216,
    good: [0, Infinity],
    expected: 'a whole number of at least 0, or Infinity',
    bad: [
      [-1, '-1'],
      [new Date(0), 'a Date'],
    ],
  },
  {
    option: 'onHandlerError',
    unset: 'acknowledge',
    good: ['acknowledge', 'reconnect', 'stop'],
    expected: "'acknowledge', 'reconnect' or 'stop'",
    bad: [
      [noop, 'a function'],
      ['ignore', '"ignore"'],
    ],
  },
  {
    option: 'handlerTimeout',
    unset: 0,
    good: [0, 0x7fffffff],
    expected: DELAY_0,
    bad: [
      [-1, '-1'],
      ['0', '"0"'],
    ],
  },
  {
    option: 'unmatchedTimeout',
    unset: 5_000,
    good: [0, 0x7fffffff],
    expected: DELAY_0,
    bad: [
      [-1, '-1'],
      [Symbol('s'), 'a symbol'],
    ],
  },
  {
    option: 'maxFiltersPerSubscribe',
    unset: 65_535,
    good: [1, Infinity],
    expected: COUNT,
    bad: [
      [0, '0'],
      ['8', '"8"'],
    ],
  },
  {
    option: 'username',
    unset: undefined,
    good: ['', 'me', 'ü'],
    expected: 'a string',
    bad: [
      [7, '7'],
      [new Uint8Array(1), 'a Uint8Array'],
    ],
  },
  {
    option: 'credentials',
    unset: undefined,
    good: [noop],
    expected: 'a function',
    bad: [
      [{}, 'an object'],
      ['me', '"me"'],
    ],
  },
  { option: 'dial', unset: undefined, good: [noop], expected: 'a function', bad: [[{}, 'an object']] },
  { option: 'lookup', unset: undefined, good: [noop], expected: 'a function', bad: [[{}, 'an object']] },
  {
    option: 'runtime',
    unset: undefined,
    good: [runtime],
    expected: 'an object',
    bad: [[noop, 'a function']],
  },
  { option: 'store', unset: undefined, good: [store], expected: 'an object', bad: [['/tmp', '"/tmp"']] },
  { option: 'tls', unset: undefined, good: [{ ca: 'x' }], expected: 'an object', bad: [[true, 'true']] },
  {
    option: 'socket',
    unset: undefined,
    good: [{ family: 4 }],
    expected: 'an object',
    bad: [[[], 'an empty list']],
  },
  { option: 'websocket', unset: undefined, good: [{ headers: {} }], expected: 'an object', bad: [[1, '1']] },
  {
    option: 'proxy',
    unset: undefined,
    good: ['http://proxy:3128', 'https://me:pw@proxy', 'socks5://proxy:1080', new URL('http://proxy')],
    expected: 'a string or a URL',
    bad: [[{ host: 'proxy' }, 'an object']],
  },
]

describe('each option', () => {
  test.each(rows)('$option has its default, also when it is undefined', ({ option, unset, version }) => {
    expect(resolve({ protocolVersion: version })[option]).toEqual(unset)
    expect(resolve({ protocolVersion: version, [option]: undefined })[option]).toEqual(unset)
  })

  test.each(rows)('$option takes good values', ({ option, good, version }) => {
    for (const value of good) {
      expect(resolve({ protocolVersion: version, [option]: value })[option]).toEqual(value)
    }
  })

  test.each(rows)('$option names itself, $expected and what came', ({ option, expected, bad, version }) => {
    for (const [value, got] of bad) {
      expect(refusal(() => resolve({ protocolVersion: version, [option]: value }))).toEqual({
        code: 'invalid-option',
        field: option,
        message: `${option}: expected ${expected}, got ${got}`,
      })
    }
  })

  test('is documented by its default: a row here for each', () => {
    const tested = new Set<string>(rows.map(({ option }) => option))
    // Those with tests of their own below.
    for (const option of ['cleanSession']) tested.add(option)
    const withDefault = Object.entries(DEFAULTS).filter(([, unset]) => unset !== undefined)
    expect(withDefault.map(([option]) => option).filter((option) => !tested.has(option))).toEqual([])
  })
})

describe('options as a whole', () => {
  test('come out frozen, with every field present', () => {
    const resolved = resolve()
    expect(Object.isFrozen(resolved)).toBe(true)
    expect(Object.isFrozen(resolved.urls)).toBe(true)
    expect(Object.isFrozen(resolved.queue)).toBe(true)
    expect(Object.isFrozen(resolved.reconnect)).toBe(true)
    const names = Object.keys(resolved)
    for (const { option } of rows) expect(names).toContain(option)
  })

  test('may be frozen themselves: nothing is written to them', () => {
    const url = Object.freeze(new URL('mqtt://me:secret@broker.example'))
    const options = Object.freeze({
      will: Object.freeze({ topic: 'a', payload: 'x' }),
      queue: Object.freeze({ maxMessages: 1 }),
      reconnect: Object.freeze({ min: 5 }),
    })
    expect(resolve(options, Object.freeze([url])).username).toBe('me')
    expect(url.href).toBe('mqtt://me:secret@broker.example')
  })

  test('may be changed afterwards, and used for the next client', () => {
    const payload = new Uint8Array([1, 2])
    const password = new Uint8Array([3])
    const options = { clientId: 'a', username: 'me', password, will: { topic: 'w', payload } }
    const first = resolve(options)
    options.clientId = 'b'
    payload.fill(9)
    password.fill(9)
    expect(first.clientId).toBe('a')
    expect(first.will?.payload).toEqual(new Uint8Array([1, 2]))
    expect(first.password).toEqual(new Uint8Array([3]))
    expect(resolve(options).clientId).toBe('b')
  })

  test.each([null, 'mqtt', 5, [], noop])('are an object: %s', (options) => {
    expect(refusal(() => resolve(options)).message).toMatch(/^options: expected an object, got /)
  })

  test.each([
    ['keepalive', 'keepAlive'],
    ['clientID', 'clientId'],
    ['cleansession', 'cleanSession'],
    ['reconect', 'reconnect'],
    ['user', 'username'],
    ['clean', 'cleanSession, or cleanStart in version 5'],
    ['reconnectPeriod', 'reconnect.min'],
    ['ca', 'tls.ca'],
    ['rejectUnauthorized', 'tls.rejectUnauthorized'],
    ['port', 'the URL'],
  ])('are known by name: %s is answered with %s', (name, meant) => {
    const { code, field, message } = refusal(() => resolve({ [name]: 1 }))
    expect({ code, field }).toEqual({ code: 'invalid-option', field: name })
    expect(message).toBe(`${name}: unknown option; did you mean ${meant}?`)
  })

  test('are listed when a name resembles none of them', () => {
    const { message } = refusal(() => resolve({ quiteSomethingElse: 1 }))
    expect(message).toMatch(/^quiteSomethingElse: unknown option; expected one of .*clientId, .*keepAlive, /)
  })

  test('unknown names are refused even when they are undefined, and at prototypes’ names', () => {
    expect(refusal(() => resolve({ keepalive: undefined })).field).toBe('keepalive')
    expect(refusal(() => resolve({ toString: 1 })).field).toBe('toString')
    expect(refusal(() => resolve(JSON.parse('{"__proto__": 1}'))).field).toBe('__proto__')
  })
})

describe('clientId', () => {
  test('is 22 characters of 0-9, A-Z and a-z when not given [3.1.1 MQTT-3.1.3-5] [5 MQTT-3.1.3-5]', () => {
    let step = 0
    const { clientId } = resolveOptions(URL_311, undefined, () => (step++ % 62) / 62)
    expect(clientId).toBe('0123456789ABCDEFGHIJKL')
    expect(resolveOptions(URL_311, {}, Math.random).clientId).toMatch(/^[0-9A-Za-z]{22}$/)
    expect(resolveOptions(URL_311, {}, () => 1 - 2 ** -53).clientId).toBe('z'.repeat(22))
  })

  test('is any other string that a packet can carry', () => {
    for (const clientId of ['', 'a', 'ü/#+', 'x'.repeat(65_535)]) {
      expect(resolve({ clientId }).clientId).toBe(clientId)
    }
  })

  test.each([
    [7, 'expected a string, got 7'],
    ['a\0', 'expected a string that a packet can carry, got one that has the character U+0000 at index 1'],
    ['\ud800', 'expected a string that a packet can carry, got one that has a lone surrogate at index 0'],
    [
      'x'.repeat(65_536),
      'expected a string that a packet can carry, got one that is longer than 65,535 bytes in UTF-8',
    ],
  ])('rule 25: is checked as the packet demands (%#)', (clientId, message) => {
    expect(refusal(() => resolve({ clientId })).message).toBe(`clientId: ${message}`)
  })

  test('rule 25: cannot be empty with cleanSession false in 3.1.1 [3.1.1 MQTT-3.1.3-7]', () => {
    const { code, message } = refusal(() => resolve({ clientId: '', cleanSession: false }))
    expect(code).toBe('invalid-option')
    expect(message).toMatch(/^clientId: expected a name for a session that outlives its connection.*got ""$/)
    const five = { protocolVersion: '5', clientId: '', cleanStart: false } as const
    expect(resolve(five).clientId).toBe('')
    const auto = resolve({ ...five, protocolVersion: 'auto' })
    expect(refusal(() => check311(auto, auto)).field).toBe('clientId')
  })
})

describe('the session', () => {
  test('is clean in 3.1.1 by default', () => {
    expect(resolve()).toMatchObject({ cleanSession: true, cleanStart: true, sessionExpiryInterval: 0 })
    expect(resolve({ cleanSession: false })).toMatchObject({
      cleanSession: false,
      cleanStart: false,
      sessionExpiryInterval: 0xffffffff,
    })
    expect(refusal(() => resolve({ cleanSession: 1 })).message).toBe(
      'cleanSession: expected true or false, got 1',
    )
  })

  test.each([
    [true, 0, true],
    [true, 60, false],
    [false, 0, false],
    [false, 60, false],
  ])(
    'rule 2: falls back to CleanSession = cleanStart %s && sessionExpiryInterval %i === 0',
    (cleanStart, s, is) => {
      const resolved = resolve({ protocolVersion: 'auto', cleanStart, sessionExpiryInterval: s })
      expect(resolved).toMatchObject({ cleanStart, cleanSession: is, sessionExpiryInterval: s })
    },
  )

  test('does not expire with Infinity, which is 0xFFFFFFFF in the packet', () => {
    const resolved = resolve({ protocolVersion: '5', sessionExpiryInterval: Infinity })
    expect(resolved.sessionExpiryInterval).toBe(0xffffffff)
    expect(resolved.properties).toEqual({ sessionExpiryInterval: 0xffffffff })
  })

  test.each(['5', 'auto'])('is not told in terms of 3.1.1 with %s', (protocolVersion) => {
    const { code, message } = refusal(() => resolve({ protocolVersion, cleanSession: true }))
    expect(code).toBe('invalid-option')
    expect(message).toMatch(
      /^cleanSession: expected cleanStart and sessionExpiryInterval .* got the term of 3\.1\.1$/,
    )
  })

  test.each([
    ['cleanStart', true],
    ['sessionExpiryInterval', 1],
    ['receiveMaximum', 1],
    ['topicAliasMaximum', 1],
    ['topicAliases', 'auto'],
    ['authentication', { method: 'm', start: noop, continue: noop }],
    ['properties', {}],
  ])('and the rest are not told in terms of 5 with 3.1.1: %s', (option, value) => {
    expect(refusal(() => resolve({ [option]: value }))).toEqual({
      code: 'needs-version-5',
      field: option,
      message: `${option}: expected protocol version 5 with this option, got 3.1.1`,
    })
    expect(() => resolve({ protocolVersion: 'auto', [option]: value })).not.toThrow()
  })

  test('is told apart by the compiler', () => {
    const old: Options311 = { cleanSession: false }
    const five: Options5 = { protocolVersion: '5', cleanStart: false }
    // @ts-expect-error cleanStart needs protocolVersion '5' or 'auto'
    const wrong: ClientOptions = { cleanStart: true }
    // @ts-expect-error cleanSession is of 3.1.1
    const mixed: ClientOptions = { protocolVersion: '5', cleanSession: true }
    expect([old, five, wrong, mixed]).toHaveLength(4)
  })
})

describe('properties of CONNECT', () => {
  test('rule 22: are those that were set and no others', () => {
    expect(resolve({ protocolVersion: '5' }).properties).toBeUndefined()
    expect(resolve({ maximumPacketSize: 1_000 }).properties).toBeUndefined()
    const resolved = resolve({
      protocolVersion: '5',
      sessionExpiryInterval: 0,
      receiveMaximum: 10,
      topicAliasMaximum: 3,
      maximumPacketSize: 1_000,
      authentication: { method: 'SCRAM', start: noop, continue: noop },
      properties: {
        userProperties: [['a', 'b']],
        requestResponseInformation: true,
        requestProblemInformation: undefined,
      },
    })
    expect(resolved.properties).toEqual({
      sessionExpiryInterval: 0,
      receiveMaximum: 10,
      topicAliasMaximum: 3,
      maximumPacketSize: 1_000,
      authenticationMethod: 'SCRAM',
      requestResponseInformation: true,
      userProperties: [['a', 'b']],
    })
  })

  test.each([
    [
      { userProperties: { a: 'b' } },
      'properties.userProperties: expected a list of [name, value] pairs, got an object',
    ],
    [{ userProperties: [['a']] }, 'properties.userProperties[0]: expected a [name, value] pair, got a list'],
    [
      {
        userProperties: [
          ['a', 'b'],
          ['c', 4],
        ],
      },
      'properties.userProperties[1][1]: expected a string, got 4',
    ],
    [{ requestProblemInformation: 1 }, 'properties.requestProblemInformation: expected true or false, got 1'],
    [
      { requestResponseInfo: true },
      'properties.requestResponseInfo: unknown option; did you mean requestResponseInformation?',
    ],
    [{ topicAlias: 1 }, /^properties\.topicAlias: unknown option; expected one of /],
    [[], 'properties: expected an object, got an empty list'],
  ])('are checked (%#)', (properties, message) => {
    const said = refusal(() => resolve({ protocolVersion: '5', properties })).message
    if (typeof message === 'string') expect(said).toBe(message)
    else expect(said).toMatch(message)
  })
})

describe('the login', () => {
  test('is sent as bytes', () => {
    const resolved = resolve({ username: 'me', password: 'pä' })
    expect(resolved.username).toBe('me')
    expect(resolved.password).toEqual(new Uint8Array([0x70, 0xc3, 0xa4]))
  })

  test('comes from the URL, percent-decoded, when the options have none', () => {
    const resolved = resolve({}, 'mqtt://m%40e:p%3a%2f%C3%A4@broker.example')
    expect(resolved.username).toBe('m@e')
    expect(new TextDecoder().decode(resolved.password)).toBe('p:/ä')
    expect(resolved.urls[0]?.href).toBe('mqtt://broker.example:1883')
    expect(resolve({ username: 'other' }, 'mqtt://me:pw@broker.example')).toMatchObject({
      username: 'other',
      password: undefined,
    })
    const asked = resolve({ credentials: noop }, 'mqtt://me:pw@broker.example')
    expect(asked).toMatchObject({ username: undefined, password: undefined, credentials: noop })
  })

  test('rule 25: has no password without a user name in 3.1.1 [3.1.1 MQTT-3.1.2-22]', () => {
    const { field, message } = refusal(() => resolve({ password: 'secret' }))
    expect(field).toBe('username')
    expect(message).toMatch(/expected a user name with the password in 3\.1\.1, got none/)
    expect(resolve({ protocolVersion: '5', password: 'secret' }).username).toBeUndefined()
    const auto = resolve({ protocolVersion: 'auto', password: 'secret' })
    expect(refusal(() => check311(auto, auto)).field).toBe('username')
  })

  test.each([
    [7, 'expected a string or a Uint8Array, got a number'],
    [new Uint8Array(65_536), 'expected at most 65,535 bytes, got 65,536'],
    [
      'secret\ud800',
      'expected a string that a packet can carry, got one that has a lone surrogate at index 6',
    ],
    [{ secret: 1 }, 'expected a string or a Uint8Array, got an object'],
  ])('never shows a password (%#)', (password, message) => {
    expect(refusal(() => resolve({ username: 'me', password })).message).toBe(`password: ${message}`)
  })

  test('is fixed or asked for, not both', () => {
    const { field, message } = refusal(() => resolve({ username: 'me', credentials: noop }))
    expect(field).toBe('credentials')
    expect(message).toMatch(/expected either .*, got both$/)
  })

  test('may be an exchange in version 5, whose object is used as it is', () => {
    const authentication = { method: 'm', start: noop, continue: noop }
    expect(resolve({ protocolVersion: '5', authentication }).authentication).toBe(authentication)
    const wrong = (part: object): string =>
      refusal(() => resolve({ protocolVersion: '5', authentication: { ...authentication, ...part } })).message
    expect(wrong({ method: 1 })).toBe('authentication.method: expected a string, got 1')
    expect(wrong({ start: 'x' })).toBe('authentication.start: expected a function, got "x"')
    expect(wrong({ continue: undefined })).toBe('authentication.continue: expected a function, got undefined')
    const auto = resolve({ protocolVersion: 'auto', authentication })
    expect(refusal(() => check311(auto, auto)).code).toBe('needs-version-5')
  })
})

describe('the will', () => {
  test('has defaults, and bytes of its own', () => {
    expect(resolve().will).toBeUndefined()
    const { will } = resolve({ will: { topic: 'w', payload: 'gone' } })
    expect(will).toEqual({
      topic: 'w',
      payload: new TextEncoder().encode('gone'),
      qos: 0,
      retain: false,
      properties: undefined,
    })
    expect(Object.isFrozen(will)).toBe(true)
  })

  test('has all its fields, and properties in version 5', () => {
    const properties = {
      willDelayInterval: 5,
      payloadFormatIndicator: 1,
      messageExpiryInterval: 6,
      contentType: 't',
      responseTopic: 'r',
      correlationData: 'c',
      userProperties: [['a', 'b']],
    }
    const payload = new Uint16Array([0x0201]).buffer
    const resolved = resolve({
      protocolVersion: '5',
      will: { topic: 'w', payload, qos: 2, retain: true, properties },
    })
    expect(resolved.will).toEqual({
      topic: 'w',
      payload: new Uint8Array([1, 2]),
      qos: 2,
      retain: true,
      properties: { ...properties, correlationData: new Uint8Array([0x63]) },
    })
  })

  test.each([
    [{ topic: 'w/#' }, 'invalid-topic', 'will.topic: expected a topic name without wildcards, got "w/#"'],
    [{ topic: '' }, 'invalid-topic', 'will.topic: expected a topic name of at least one character, got ""'],
    [{ topic: 1 }, 'invalid-topic', 'will.topic: expected a topic name that is a string, got a number'],
    [
      { payload: 5 },
      'invalid-payload',
      'will.payload: expected a string, a Uint8Array, an ArrayBuffer or a view of one, got a number',
    ],
    [
      { payload: new Uint8Array(65_536) },
      'invalid-option',
      'will.payload: expected at most 65,535 bytes, got 65,536',
    ],
    [{ qos: 3 }, 'invalid-option', 'will.qos: expected 0, 1 or 2, got 3'],
    [{ retain: 'no' }, 'invalid-option', 'will.retain: expected true or false, got "no"'],
    [{ Topic: 'w' }, 'invalid-option', 'will.Topic: unknown option; did you mean topic?'],
    [
      { properties: { willDelayInterval: 1 } },
      'needs-version-5',
      'will.properties: expected protocol version 5 with this option, got 3.1.1',
    ],
    [
      { properties: { willDelayInterval: -1 } },
      'invalid-option',
      'will.properties.willDelayInterval: expected a whole number from 0 to 4,294,967,295, got -1',
    ],
    [
      { properties: { responseTopic: 'a/+' } },
      'invalid-topic',
      'will.properties.responseTopic: expected a topic name without wildcards, got "a/+"',
    ],
  ])('is checked (%#)', (part, code, message) => {
    const will = { topic: 'w', payload: '', ...part }
    expect(refusal(() => resolve({ will }))).toMatchObject({ code, message })
  })

  test('is an object', () => {
    expect(refusal(() => resolve({ will: null })).message).toBe('will: expected an object, got null')
  })
})

describe('reconnect', () => {
  test('has defaults', () => {
    const defaults = { min: 1_000, max: 128_000, jitter: true, resetAfter: 10_000 }
    expect(resolve().reconnect).toEqual(defaults)
    expect(resolve({ reconnect: {} }).reconnect).toEqual(defaults)
    expect(resolve({ reconnect: { min: 5, max: undefined } }).reconnect).toEqual({ ...defaults, min: 5 })
    expect(resolve({ reconnect: { min: 200_000 } }).reconnect).toMatchObject({ min: 200_000, max: 200_000 })
  })

  test('is also false or a function', () => {
    expect(resolve({ reconnect: false }).reconnect).toBe(false)
    expect(resolve({ reconnect: noop }).reconnect).toBe(noop)
  })

  test.each([
    [true, 'reconnect: expected an object, a function or false, got true'],
    [5_000, 'reconnect: expected an object, a function or false, got 5000'],
    [{ min: 0 }, `reconnect.min: expected ${DELAY_1}, got 0`],
    [{ min: '1s' }, `reconnect.min: expected ${DELAY_1}, got "1s"`],
    [{ min: 10, max: 9 }, 'reconnect.max: expected milliseconds from 10 to 2,147,483,647, got 9'],
    [{ max: 2 ** 31 }, 'reconnect.max: expected milliseconds from 1,000 to 2,147,483,647, got 2147483648'],
    [{ jitter: 0.5 }, 'reconnect.jitter: expected true or false, got 0.5'],
    [{ resetAfter: -1 }, `reconnect.resetAfter: expected ${DELAY_0}, got -1`],
    [{ maximum: 1 }, /^reconnect\.maximum: unknown option; /],
  ])('is checked (%#)', (reconnect, message) => {
    const said = refusal(() => resolve({ reconnect })).message
    if (typeof message === 'string') expect(said).toBe(message)
    else expect(said).toMatch(message)
  })
})

describe('queue', () => {
  test('has defaults', () => {
    const defaults = { maxMessages: 65_535, maxBytes: 64 * 1024 * 1024, overflow: 'reject', qos0: false }
    expect(resolve().queue).toEqual(defaults)
    expect(resolve({ queue: { qos0: true } }).queue).toEqual({ ...defaults, qos0: true })
  })

  test('takes good values', () => {
    for (const overflow of ['reject', 'drop-oldest', 'drop-newest', 'wait'] as const) {
      const queue = { maxMessages: 0, maxBytes: Infinity, overflow, qos0: true }
      expect(resolve({ queue }).queue).toEqual(queue)
    }
  })

  test.each([
    [7, 'queue: expected an object, got 7'],
    [{ maxMessages: -1 }, 'queue.maxMessages: expected a whole number of at least 0, or Infinity, got -1'],
    [
      { maxBytes: '64 MiB' },
      'queue.maxBytes: expected a whole number of at least 0, or Infinity, got "64 MiB"',
    ],
    [
      { overflow: 'drop' },
      "queue.overflow: expected 'reject', 'drop-oldest', 'drop-newest' or 'wait', got \"drop\"",
    ],
    [{ qos0: 1 }, 'queue.qos0: expected true or false, got 1'],
    [{ maxMessage: 1 }, 'queue.maxMessage: unknown option; did you mean maxMessages?'],
  ])('is checked (%#)', (queue, message) => {
    expect(refusal(() => resolve({ queue })).message).toBe(message)
  })
})

describe('rule 15: maxInflightQos2', () => {
  test('is 20 in 3.1.1, at most maxInflight; as maxInflight in 5; undecided with auto', () => {
    expect(resolve().maxInflightQos2).toBe(19)
    expect(resolve({ maxInflight: 7 }).maxInflightQos2).toBe(7)
    expect(resolve({ protocolVersion: '5', maxInflight: 70 }).maxInflightQos2).toBe(70)
    const auto = resolve({ protocolVersion: 'auto', maxInflight: 70 })
    expect(auto.maxInflightQos2).toBeUndefined()
    expect(maxInflightQos2Of(auto, '3.1.1')).toBe(19)
    expect(maxInflightQos2Of(auto, '5')).toBe(70)
    const set = resolve({ protocolVersion: 'auto', maxInflightQos2: 3 })
    expect(maxInflightQos2Of(set, '5')).toBe(3)
  })
})

describe('objects with methods', () => {
  test('have all of them', () => {
    expect(refusal(() => resolve({ store: { ...store, append: 1 } })).message).toBe(
      'store.append: expected a function, got 1',
    )
    expect(refusal(() => resolve({ runtime: { ...runtime, now: undefined } })).message).toBe(
      'runtime.now: expected a function, got undefined',
    )
  })
})

describe('proxy and websocket.path', () => {
  test.each([
    ['ftp://proxy', 'got "ftp://proxy"'],
    ['http://me:secret@', 'that is no URL'],
    ['proxy:3128', 'got "proxy://"'],
    ['ftp://me:secret@proxy', 'got "ftp://proxy"'],
  ])('a proxy has a scheme that is known, and its password is not shown: %s', (proxy, got) => {
    const { code, message } = refusal(() => resolve({ proxy }))
    expect(code).toBe('invalid-url')
    expect(message).toMatch(/^proxy: expected http:\/\/host or https:\/\/host or socks5:\/\/host, got /)
    expect(message).toContain(got)
    expect(message).not.toContain('secret')
  })

  test('a path begins with /', () => {
    expect(refusal(() => resolve({ websocket: { path: 'mqtt' } })).message).toBe(
      'websocket.path: expected a path that begins with /, got "mqtt"',
    )
  })
})

describe('the options of a pool', () => {
  test('have defaults', () => {
    expect(resolvePoolOptions(undefined)).toEqual({
      maxAttempts: 100,
      attemptsPerSecond: 100,
      dnsTtl: 30_000,
      runtime: undefined,
      dial: undefined,
    })
  })

  test.each([
    [{ maxAttempts: 0 }, `maxAttempts: expected ${COUNT}, got 0`],
    [{ attemptsPerSecond: '9' }, `attemptsPerSecond: expected ${COUNT}, got "9"`],
    [{ dnsTtl: -1 }, `dnsTtl: expected ${DELAY_0}, got -1`],
    [{ dial: 1 }, 'dial: expected a function, got 1'],
    [{ runtime: 1 }, 'runtime: expected an object, got 1'],
    [{ dnsTTL: 1 }, 'dnsTTL: unknown option; did you mean dnsTtl?'],
  ])('are checked (%#)', (options, message) => {
    expect(refusal(() => resolvePoolOptions(options as object)).message).toBe(message)
  })
})

// The options of publish, send and disconnect. Publishing passes here each time: what comes out shares nothing
// with what the caller goes on using.

import { describe, expect, test } from 'vitest'
import { UsageError } from '../core/errors.ts'
import { payloadBytes, type Version5 } from './option-checks.ts'
import {
  checkPublishOptions,
  checkSendOptions,
  type OutgoingMessage,
  type PublishOptions,
  resolveDisconnect,
  type SendOptions,
} from './publish-options.ts'

function refusal(run: () => unknown): { code: string; field: string; message: string } {
  try {
    run()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return { code: error.code, field: error.field, message: error.message }
  }
  throw new Error('expected a UsageError, got none')
}

function publish(options: unknown, version5: Version5 = 'yes'): ReturnType<typeof checkPublishOptions> {
  return checkPublishOptions(options as PublishOptions, version5)
}

const { signal } = new AbortController()
const FOUR = 'a whole number from 0 to 4,294,967,295'
const PAYLOAD = 'a string, a Uint8Array, an ArrayBuffer or a view of one'

describe('a payload', () => {
  test('stays as it is when it is a string or a Uint8Array', () => {
    const bytes = new Uint8Array([1, 2])
    expect(payloadBytes('text')).toBe('text')
    expect(payloadBytes(bytes)).toBe(bytes)
    const buffer = Buffer.from('x')
    expect(payloadBytes(buffer)).toBe(buffer)
  })

  test('is seen as bytes when it is another view or a buffer', () => {
    const { buffer } = new Uint8Array([1, 2, 3, 4, 5, 6])
    expect(payloadBytes(buffer)).toEqual(new Uint8Array([1, 2, 3, 4, 5, 6]))
    expect(payloadBytes(new DataView(buffer, 1, 2))).toEqual(new Uint8Array([2, 3]))
    expect(payloadBytes(new Uint16Array(buffer, 2, 1))).toEqual(new Uint8Array([3, 4]))
    expect(payloadBytes(new SharedArrayBuffer(2))).toHaveLength(2)
  })

  test.each([
    [undefined, 'undefined'],
    [null, 'null'],
    [7, 'a number'],
    [{ a: 1 }, 'an object'],
    [[1], 'a list'],
    [new Date(0), 'a Date'],
  ])('is nothing else: %s', (payload, got) => {
    expect(refusal(() => payloadBytes(payload))).toEqual({
      code: 'invalid-payload',
      field: 'payload',
      message: `payload: expected ${PAYLOAD}, got ${got}`,
    })
  })
})

describe('the options of publish', () => {
  test.each([
    [{}],
    [{ qos: 0 }],
    [{ qos: 2, retain: true, until: 'stored', signal, timeout: 0, payload: 'borrowed' }],
    [{ qos: undefined, retain: undefined, until: undefined, signal: undefined, timeout: undefined }],
    [{ payload: 'copied', until: 'acknowledged', properties: undefined }],
  ])('may be %j, and make no properties', (options) => {
    for (const version5 of ['no', 'yes', 'auto'] as const) expect(publish(options, version5)).toBeUndefined()
  })

  test.each([
    [{ qos: 3 }, 'qos: expected 0, 1 or 2, got 3'],
    [{ qos: '1' }, 'qos: expected 0, 1 or 2, got "1"'],
    [{ qos: null }, 'qos: expected 0, 1 or 2, got null'],
    [{ retain: 1 }, 'retain: expected true or false, got 1'],
    [{ payload: 'lent' }, "payload: expected 'copied' or 'borrowed', got \"lent\""],
    [{ until: 'sent' }, "until: expected 'acknowledged' or 'stored', got \"sent\""],
    [{ until: 'stored' }, "until: expected qos 1 or 2 with 'stored', got qos 0"],
    [{ signal: {} }, 'signal: expected an AbortSignal, got an object'],
    [{ timeout: -1 }, 'timeout: expected milliseconds from 0 to 2,147,483,647, got -1'],
    [{ QoS: 1 }, 'QoS: unknown option; did you mean qos?'],
    [{ retained: true }, 'retained: unknown option; did you mean retain?'],
    [{ properties: [] }, 'properties: expected an object, got an empty list'],
  ])('are refused when they are %j', (options, message) => {
    expect(refusal(() => publish(options))).toMatchObject({ code: 'invalid-option', message })
  })

  test('have no dup: the client alone knows of that', () => {
    expect(refusal(() => publish({ dup: false })).message).toMatch(
      /^dup: unknown option; expected one of qos, /,
    )
  })

  test('may be a message of publishAll, whose topic and payload are checked elsewhere', () => {
    const message: OutgoingMessage = { topic: 'a', payload: 'lent', qos: 1 }
    expect(publish(message)).toBeUndefined()
    expect(publish({ topic: 'a', payload: new Uint8Array(1), properties: { contentType: 't' } })).toEqual({
      contentType: 't',
    })
  })
})

describe('the properties of PUBLISH', () => {
  test('come out as they are sent, and are copies', () => {
    const correlationData = new Uint8Array([1, 2])
    const pair = ['a', 'b']
    const properties = {
      payloadFormatIndicator: 1,
      messageExpiryInterval: 0,
      topicAlias: 1,
      responseTopic: 'r',
      correlationData,
      contentType: '',
      userProperties: [pair, ['a', 'c']],
    }
    const sent = publish({ properties })
    correlationData.fill(9)
    pair[1] = 'x'
    expect(sent).toEqual({
      ...properties,
      correlationData: new Uint8Array([1, 2]),
      userProperties: [
        ['a', 'b'],
        ['a', 'c'],
      ],
    })
    expect(publish({ properties: { correlationData: 'ä' } })).toEqual({
      correlationData: new Uint8Array([0xc3, 0xa4]),
    })
  })

  test('are none when all are undefined', () => {
    expect(publish({ properties: {} }, 'no')).toBeUndefined()
    expect(publish({ properties: { contentType: undefined } }, 'no')).toBeUndefined()
  })

  test('rule 2: need version 5; with auto the connection decides', () => {
    const options = { properties: { contentType: 't' } }
    expect(refusal(() => publish(options, 'no'))).toMatchObject({
      code: 'needs-version-5',
      field: 'properties',
    })
    expect(publish(options, 'auto')).toEqual({ contentType: 't' })
  })

  test.each([
    ['payloadFormatIndicator', 2, 'expected 0 or 1, got 2'],
    ['payloadFormatIndicator', true, 'expected 0 or 1, got true'],
    ['messageExpiryInterval', -1, `expected ${FOUR}, got -1`],
    ['messageExpiryInterval', 2 ** 32, `expected ${FOUR}, got 4294967296`],
    ['messageExpiryInterval', 1.5, `expected ${FOUR}, got 1.5`],
    ['messageExpiryInterval', Infinity, `expected ${FOUR}, got Infinity`],
    ['topicAlias', 0, 'expected a whole number from 1 to 65,535, got 0'],
    ['topicAlias', 65_536, 'expected a whole number from 1 to 65,535, got 65536'],
    ['responseTopic', 'a/#', 'expected a topic name without wildcards, got "a/#"'],
    ['responseTopic', '', 'expected a topic name of at least one character, got ""'],
    ['correlationData', 5, `expected ${PAYLOAD}, got a number`],
    ['correlationData', new Uint8Array(65_536), 'expected at most 65,535 bytes, got 65,536'],
    ['contentType', 5, 'expected a string, got 5'],
    [
      'contentType',
      'a\0',
      'expected a string that a packet can carry, got one that has the character U+0000 at index 1',
    ],
    ['userProperties', { a: 'b' }, 'expected a list of [name, value] pairs, got an object'],
    ['subscriptionIdentifiers', [1], /^unknown option; expected one of /],
    ['contenttype', 'x', 'unknown option; did you mean contentType?'],
  ])('rule 25: are checked: %s %j', (name, value, said) => {
    const { field, message } = refusal(() => publish({ properties: { [name]: value } }))
    expect(field).toBe(`properties.${name}`)
    if (typeof said === 'string') expect(message).toBe(`${field}: ${said}`)
    else expect(message.slice(field.length + 2)).toMatch(said)
  })
})

describe('the options of send', () => {
  const send = (options: unknown): unknown => checkSendOptions(options as SendOptions, 'yes')

  test('are those of QoS 0', () => {
    expect(send({})).toBeUndefined()
    expect(send({ qos: 0, retain: true, properties: { topicAlias: 3 } })).toEqual({ topicAlias: 3 })
    expect(refusal(() => send({ qos: 1 })).message).toMatch(/^qos: expected 0, .*publish\(\), got 1$/)
    expect(refusal(() => send({ retain: 1 })).message).toBe('retain: expected true or false, got 1')
    for (const name of ['signal', 'timeout', 'until', 'payload']) {
      expect(refusal(() => send({ [name]: 1 })).field).toBe(name)
    }
    expect(refusal(() => checkSendOptions({ properties: { topicAlias: 3 } }, 'no')).code).toBe(
      'needs-version-5',
    )
  })
})

describe('the options of disconnect', () => {
  const resolve = (options: unknown, version5: Version5 = 'yes', expiry = 60): unknown =>
    resolveDisconnect(options as object, version5, expiry)

  test('have defaults', () => {
    const defaults = { drain: 0, reasonCode: 0, properties: undefined }
    expect(resolve(undefined, 'no')).toEqual(defaults)
    expect(resolve({ drain: undefined, reasonCode: 0, properties: {} }, 'no')).toEqual(defaults)
  })

  test('take good values', () => {
    const properties = { reasonString: 'r', sessionExpiryInterval: 5, userProperties: [['a', 'b']] }
    expect(resolve({ drain: 5_000, reasonCode: 4, properties })).toEqual({
      drain: 5_000,
      reasonCode: 4,
      properties,
    })
    expect(resolve({ properties: { sessionExpiryInterval: Infinity } })).toMatchObject({
      properties: { sessionExpiryInterval: 0xffffffff },
    })
  })

  test.each([
    [{ drain: Infinity }, 'drain: expected milliseconds from 0 to 2,147,483,647, got Infinity'],
    [{ reasonCode: '4' }, 'reasonCode: expected a reason that a client may give (5: 3.14.2.1), got "4"'],
    [{ reasonCode: 0x8b }, 'reasonCode: expected a reason that a client may give (5: 3.14.2.1), got 139'],
    [{ reason: 4 }, 'reason: unknown option; did you mean reasonCode?'],
    [{ properties: { reasonString: 1 } }, 'properties.reasonString: expected a string, got 1'],
    [
      { properties: { sessionExpiryInterval: -1 } },
      `properties.sessionExpiryInterval: expected ${FOUR}, got -1`,
    ],
    [{ properties: { serverReference: 'x' } }, /^properties\.serverReference: unknown option; /],
  ])('are refused when they are %j', (options, said) => {
    const { message } = refusal(() => resolve(options))
    if (typeof said === 'string') expect(message).toBe(said)
    else expect(message).toMatch(said)
  })

  test('rule 25: do not give a session that ends with its connection a longer life', () => {
    const options = { properties: { sessionExpiryInterval: 5 } }
    expect(refusal(() => resolve(options, 'yes', 0)).message).toBe(
      'properties.sessionExpiryInterval: expected 0 after a CONNECT whose sessionExpiryInterval was 0 (5: 3.14.2.2.2), got 5',
    )
    expect(resolve({ properties: { sessionExpiryInterval: 0 } }, 'yes', 0)).toMatchObject({
      properties: { sessionExpiryInterval: 0 },
    })
  })

  test.each([
    [{ reasonCode: 4 }, 'reasonCode'],
    [{ properties: { reasonString: 'r' } }, 'properties'],
    [{ properties: { sessionExpiryInterval: 5 } }, 'properties.sessionExpiryInterval'],
  ])('need version 5 when they are %j', (options, field) => {
    expect(refusal(() => resolve(options, 'no'))).toMatchObject({ code: 'needs-version-5', field })
  })
})

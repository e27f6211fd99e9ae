// The options of subscribe, route and unsubscribe, and the three ways to say which filters.

import { describe, expect, test } from 'vitest'
import { UsageError } from '../core/errors.ts'
import type { Version5 } from './option-checks.ts'
import {
  checkFilterNames,
  checkFilters,
  checkRouteOptions,
  checkSubscribeOptions,
  checkUnsubscribeOptions,
  optionOf5,
} from './subscribe-options.ts'

function refusal(run: () => unknown): { code: string; field: string; message: string } {
  try {
    run()
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return { code: error.code, field: error.field, message: error.message }
  }
  throw new Error('expected a UsageError, got none')
}

function subscribe(options: unknown, version5?: Version5): ReturnType<typeof checkSubscribeOptions> {
  return checkSubscribeOptions(options as object, version5)
}

function filters(filter: unknown, options?: unknown, version5?: Version5): ReturnType<typeof checkFilters> {
  return checkFilters(filter as string, subscribe(options, version5), version5 ?? 'auto')
}

const { signal } = new AbortController()
const COUNT = 'a whole number of at least 1, or Infinity'
const ROUTE = { ack: 'handled', payload: 'kept', concurrency: 1 }
const FILTER = {
  ...ROUTE,
  qos: 0,
  highWaterMark: undefined,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
}
const CALL = { properties: undefined, timeout: undefined, signal: undefined }

describe('the options of subscribe', () => {
  test('have defaults', () => {
    for (const options of [undefined, {}, { qos: undefined, ack: undefined }]) {
      expect(subscribe(options)).toEqual({ ...FILTER, ...CALL })
      expect(subscribe(options, 'no')).toEqual({ ...FILTER, ...CALL })
    }
  })

  test('take good values', () => {
    const options = {
      ack: 'manual',
      payload: 'borrowed',
      concurrency: Infinity,
      qos: 2,
      highWaterMark: 1,
      noLocal: true,
      retainAsPublished: true,
      retainHandling: 2,
      timeout: 0,
      signal,
      properties: { userProperties: [['a', 'b']] },
    }
    expect(subscribe(options, 'yes')).toEqual(options)
  })

  test('have one subscription identifier, a list in the packet (5: 3.8.2.1.2)', () => {
    const identifier = (subscriptionIdentifier: unknown): unknown =>
      subscribe({ properties: { subscriptionIdentifier } }).properties
    expect(identifier(1)).toEqual({ subscriptionIdentifiers: [1] })
    expect(identifier(268_435_455)).toEqual({ subscriptionIdentifiers: [268_435_455] })
    for (const wrong of [0, 268_435_456, '1', [1]]) {
      expect(refusal(() => identifier(wrong)).message).toMatch(
        /^properties\.subscriptionIdentifier: expected a whole number from 1 to 268,435,455, got /,
      )
    }
  })

  test.each([
    [{ qos: 3 }, 'qos: expected 0, 1 or 2, got 3'],
    [{ ack: 'auto' }, "ack: expected 'handled', 'received' or 'manual', got \"auto\""],
    [{ payload: 'copied' }, "payload: expected 'kept' or 'borrowed', got \"copied\""],
    [{ concurrency: 0 }, `concurrency: expected ${COUNT}, got 0`],
    [{ highWaterMark: 0 }, `highWaterMark: expected ${COUNT}, got 0`],
    [{ noLocal: 1 }, 'noLocal: expected true or false, got 1'],
    [{ retainAsPublished: 'no' }, 'retainAsPublished: expected true or false, got "no"'],
    [{ retainHandling: 3 }, 'retainHandling: expected 0, 1 or 2, got 3'],
    [{ timeout: -1 }, 'timeout: expected milliseconds from 0 to 2,147,483,647, got -1'],
    [{ signal: new AbortController() }, 'signal: expected an AbortSignal, got an AbortController'],
    [{ rap: true }, /^rap: unknown option; expected one of /],
    [{ nolocal: true }, 'nolocal: unknown option; did you mean noLocal?'],
    [{ properties: { subscriptionIdentifiers: [1] } }, /did you mean subscriptionIdentifier\?$/],
    [
      { properties: { userProperties: 1 } },
      /^properties\.userProperties: expected a list of \[name, value\] pairs/,
    ],
    [1, 'options: expected an object, got 1'],
  ])('are refused when they are %j', (options, said) => {
    const { message } = refusal(() => subscribe(options))
    if (typeof said === 'string') expect(message).toBe(said)
    else expect(message).toMatch(said)
  })

  test.each([
    [{ noLocal: true }, 'noLocal'],
    [{ retainAsPublished: true }, 'retainAsPublished'],
    [{ retainHandling: 1 }, 'retainHandling'],
    [{ properties: { subscriptionIdentifier: 1 } }, 'properties'],
    [{ properties: { userProperties: [] } }, 'properties'],
  ])('need version 5 when they are %j', (options, field) => {
    expect(refusal(() => subscribe(options, 'no'))).toMatchObject({ code: 'needs-version-5', field })
    expect(() => subscribe(options, 'auto')).not.toThrow()
  })

  test('rule 2: say which of them a 3.1.1 server cannot do', () => {
    expect(optionOf5(subscribe({ noLocal: true, retainHandling: 1 }))).toBe('noLocal')
    expect(optionOf5(subscribe({ retainHandling: 2 }))).toBe('retainHandling')
    expect(optionOf5(subscribe({ retainAsPublished: true, qos: 1 }))).toBeUndefined()
  })
})

describe('the options of route and unsubscribe', () => {
  test('have defaults', () => {
    expect(checkRouteOptions(undefined)).toEqual(ROUTE)
    expect(checkUnsubscribeOptions(undefined)).toEqual(CALL)
  })

  test('take good values and refuse others', () => {
    const route = { ack: 'received', payload: 'borrowed', concurrency: 8 } as const
    expect(checkRouteOptions(route)).toEqual(route)
    expect(refusal(() => checkRouteOptions({ qos: 1 } as object)).field).toBe('qos')
    const call = { properties: { userProperties: [['a', 'b']] }, timeout: 5, signal } as const
    expect(checkUnsubscribeOptions(call)).toEqual(call)
    expect(refusal(() => checkUnsubscribeOptions({ qos: 1 } as object)).field).toBe('qos')
    expect(refusal(() => checkUnsubscribeOptions(call, 'no')).code).toBe('needs-version-5')
  })
})

describe('filters', () => {
  test('are one, a list, or a record with options of their own', () => {
    const request = { filter: 'a', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }
    expect(filters('a', { qos: 1 })).toMatchObject([{ request, options: { qos: 1 } }])
    expect(filters(['a', 'b/#'], { qos: 1 }).map((item) => item.request)).toEqual([
      request,
      { ...request, filter: 'b/#' },
    ])
    const record = filters(
      { a: {}, b: { qos: 2, ack: 'manual' }, c: { qos: undefined } },
      { qos: 1, concurrency: 3 },
    )
    expect(record.map(({ request: { filter }, options }) => [filter, options])).toEqual([
      ['a', { ...FILTER, qos: 1, concurrency: 3 }],
      ['b', { ...FILTER, qos: 2, ack: 'manual', concurrency: 3 }],
      ['c', { ...FILTER, qos: 1, concurrency: 3 }],
    ])
  })

  test('come once each', () => {
    expect(filters(['a', 'b', 'a']).map(({ request }) => request.filter)).toEqual(['a', 'b'])
    expect(checkFilterNames(['a', 'a'])).toEqual(['a'])
    expect(checkFilterNames('a')).toEqual(['a'])
  })

  test.each([
    [[], 'filter: expected at least one topic filter, got none'],
    [{}, 'filter: expected at least one topic filter, got none'],
    ['', 'filter: expected a topic filter of at least one character, got ""'],
    ['a/#/b', 'filter: expected a topic filter with # alone or last after a /, got "a/#/b"'],
    [['a', 'b+'], 'filter[1]: expected a topic filter with + as a whole level, got "b+"'],
    [['a', 7], 'filter[1]: expected a topic filter that is a string, got a number'],
    [7, 'filter: expected a string or a list, got a number'],
    [undefined, 'filter: expected a string or a list, got undefined'],
    [{ 'a/#b': {} }, 'filter[0]: expected a topic filter with # alone or last after a /, got "a/#b"'],
  ])('rule 25: are refused when they are %j [3.1.1 MQTT-3.8.3-3] [5 MQTT-3.8.3-2]', (filter, message) => {
    expect(refusal(() => filters(filter))).toMatchObject({ code: 'invalid-filter', message })
  })

  test('name the option of the filter that is wrong', () => {
    expect(refusal(() => filters({ 'a/b': { qos: 3 } })).message).toBe(
      'filter["a/b"].qos: expected 0, 1 or 2, got 3',
    )
    expect(refusal(() => filters({ a: 1 })).message).toBe('filter["a"]: expected an object, got 1')
    expect(refusal(() => filters({ a: { signal } })).message).toBe(
      'filter["a"].signal: unknown option; did you mean the same name in the options of the call?',
    )
    expect(refusal(() => filters({ a: { noLocal: true } }, {}, 'no'))).toMatchObject({
      code: 'needs-version-5',
      field: 'filter["a"].noLocal',
    })
  })

  test('rule 25: have no noLocal on a shared subscription [5 MQTT-3.8.3-4]', () => {
    const said = /noLocal: expected false with a shared subscription, got true for "\$share\/g\/a"$/
    expect(refusal(() => filters('$share/g/a', { noLocal: true })).message).toMatch(said)
    expect(refusal(() => filters({ '$share/g/a': { noLocal: true } })).message).toMatch(said)
    expect(() => filters({ '$share/g/a': { noLocal: false }, b: {} }, { noLocal: true })).not.toThrow()
  })
})

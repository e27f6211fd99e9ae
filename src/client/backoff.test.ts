// Rule 7: delay = min + random() × (min(max, min × 2ⁿ) − min), n = 1 for the first retry; without jitter the upper
// end. What time alone does not heal begins at the wide end.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ConnectionError, ProtocolError, RefusedError, UsageError } from '../core/errors.ts'
import type { WebSocketRequest } from '../transport/dial-options.ts'
import { asksAnew, Backoff } from './backoff.ts'
import type { ReconnectFunction } from './connect-options.ts'

const schedule = { min: 1_000, max: 128_000, jitter: true, resetAfter: 10_000 }
const lost = new ConnectionError('connection-lost', 'lost', { phase: 'established' })

function refused(reasonCode: number): RefusedError {
  return new RefusedError('connection-refused', 'refused', { reasonCode })
}

/** A runtime whose randomness is known. */
function drawing(drawn: number): { random: () => number; report: (error: unknown) => void } {
  return { random: () => drawn, report: () => expect.fail('nothing is to be reported') }
}

/** The delays of the first `count` retries. */
function delays(backoff: Backoff, count: number, error: unknown = lost): (number | 'stop')[] {
  return Array.from({ length: count }, (_, index) => backoff.next(error, index + 1))
}

function steady(freshCredentials = false): Backoff {
  return new Backoff({ ...schedule, jitter: false }, drawing(0.5), freshCredentials)
}

describe('rule 7: the schedule', () => {
  test('without jitter is the upper end, twice as long each time up to max', () => {
    expect(delays(steady(), 9)).toEqual([
      2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 128_000, 128_000,
    ])
  })

  test('with jitter lies between min and the upper end', () => {
    const at = (random: number): unknown => delays(new Backoff(schedule, drawing(random)), 8)
    expect(at(0)).toEqual(Array(8).fill(1_000))
    expect(at(0.5)).toEqual([1_500, 2_500, 4_500, 8_500, 16_500, 32_500, 64_500, 64_500])
  })

  test('draws anew for each delay', () => {
    let draws = 0
    const backoff = new Backoff(schedule, { ...drawing(0), random: () => (draws++ === 0 ? 0 : 0.5) })
    expect(delays(backoff, 2)).toEqual([1_000, 2_500])
  })

  test('never leaves min and max, whatever they are and however often it is asked', () => {
    const limits = fc.tuple(fc.integer({ min: 1, max: 0x7fffffff }), fc.integer({ min: 1, max: 0x7fffffff }))
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(
        limits,
        random,
        fc.boolean(),
        fc.integer({ min: 1, max: 1_200 }),
        (pair, drawn, jitter, times) => {
          const [min, max] = [Math.min(...pair), Math.max(...pair)]
          const backoff = new Backoff({ min, max, jitter, resetAfter: 0 }, drawing(drawn))
          for (const delay of delays(backoff, times).slice(-2)) {
            expect(delay).toBeGreaterThanOrEqual(min)
            expect(delay).toBeLessThanOrEqual(max)
          }
        },
      ),
    )
  })

  test('begins at min again after reset()', () => {
    const backoff = steady()
    delays(backoff, 5)
    backoff.reset()
    expect(delays(backoff, 2)).toEqual([2_000, 4_000])
  })

  test('says after how long reset() is due', () => {
    expect(new Backoff({ ...schedule, resetAfter: 7 }, drawing(0)).resetAfter).toBe(7)
    expect(new Backoff(false, drawing(0)).resetAfter).toBe(10_000)
  })

  test('is one for a round of several URLs: it counts its own calls, not the attempts', () => {
    const backoff = steady()
    expect(backoff.next(lost, 3)).toBe(2_000)
    expect(backoff.next(lost, 6)).toBe(4_000)
  })

  test('takes any error as one that time heals', () => {
    for (const error of [undefined, null, 'text', new Error('x'), { reasonCode: 0x87 }, lost]) {
      expect(steady().next(error, 1)).toBe(2_000)
    }
  })
})

describe('rule 7: it starts at max for what time alone does not heal', () => {
  const lasting = [0x81, 0x82, 0x84, 0x85, 0x86, 0x87, 0x8a, 0x8c, 0x8e, 0x95, 0x99, 0x9a, 0x9b, 0x9d]
  const all = Array.from({ length: 0x23 }, (_, index) => 0x80 + index)
  const hex = (code: number): string => `0x${code.toString(16)}`

  test.each(lasting.map(hex))('refusal and disconnect %s', (code) => {
    expect(steady().next(refused(Number(code)), 1)).toBe(128_000)
    const disconnected = new RefusedError('server-disconnected', 'x', { reasonCode: Number(code) })
    expect(steady().next(disconnected, 1)).toBe(128_000)
    expect(steady().next(new ProtocolError('protocol-error', Number(code), 'x'), 1)).toBe(128_000)
  })

  test.each([
    [1, 0x84],
    [2, 0x85],
    [4, 0x86],
    [5, 0x87],
  ])('3.1.1 return code %i, as 0x84 to 0x87', (_code, reasonCode) => {
    expect(steady().next(refused(reasonCode), 1)).toBe(128_000)
  })

  test.each(all.filter((code) => !lasting.includes(code)).map(hex))('not for %s', (code) => {
    expect(steady().next(refused(Number(code)), 1)).toBe(2_000)
  })

  test('rule 24: nor is a server that oversteps our Receive Maximum asked again at once', () => {
    const overstepped = new ProtocolError('receive-maximum-exceeded', 0x93, 'x')
    expect(steady().next(overstepped, 1)).toBe(128_000)
    expect(steady().next(refused(0x93), 1)).toBe(2_000)
  })

  test('with jitter the delay is drawn from min to max, so that a fleet does not come back as one', () => {
    expect(new Backoff(schedule, drawing(0.5)).next(refused(0x85), 1)).toBe(64_500)
    expect(new Backoff(schedule, drawing(0)).next(refused(0x85), 1)).toBe(1_000)
  })

  test('stays there until reset()', () => {
    const backoff = steady()
    backoff.next(refused(0x84), 1)
    expect(backoff.next(lost, 2)).toBe(128_000)
    backoff.reset()
    expect(backoff.next(lost, 1)).toBe(2_000)
  })

  test('goes there from anywhere', () => {
    const backoff = steady()
    expect([backoff.next(lost, 1), backoff.next(refused(0x8a), 2)]).toEqual([2_000, 128_000])
  })

  test.each(lasting.map(hex))('but 0x86 and 0x87 start at min when credentials are asked for: %s', (code) => {
    const isOfCredentials = code === '0x86' || code === '0x87'
    expect(delays(steady(true), 2, refused(Number(code)))).toEqual(
      isOfCredentials ? [2_000, 4_000] : [128_000, 128_000],
    )
  })
})

describe('rule 7: reconnect as a function', () => {
  function asking(decide: ReconnectFunction): { backoff: Backoff; reports: unknown[] } {
    const reports: unknown[] = []
    const backoff = new Backoff(decide, { random: () => 1, report: (error) => reports.push(error) })
    return { backoff, reports }
  }

  test('is asked with the error and the attempt, and decides', () => {
    const asked: unknown[] = []
    const { backoff } = asking((error, attempt) => {
      asked.push([error, attempt])
      return attempt < 3 ? attempt * 10 : 'stop'
    })
    expect(delays(backoff, 3)).toEqual([10, 20, 'stop'])
    expect(asked).toEqual([
      [lost, 1],
      [lost, 2],
      [lost, 3],
    ])
    expect(backoff.next(refused(0x84), 1)).toBe(10)
  })

  test('may say 0 and Infinity', () => {
    expect(asking(() => 0).backoff.next(lost, 1)).toBe(0)
    expect(asking(() => Infinity).backoff.next(lost, 1)).toBe(Infinity)
  })

  test.each([[undefined], [null], [-1], [NaN], ['1000'], [Promise.resolve(1)]])(
    'that returns %s is reported, and the default schedule stands in',
    (answer) => {
      const { backoff, reports } = asking(() => answer as number)
      expect(delays(backoff, 3)).toEqual([2_000, 4_000, 8_000])
      expect(reports).toHaveLength(3)
      expect(reports[0]).toBeInstanceOf(UsageError)
      expect(String(reports[0])).toMatch(
        /reconnect: expected a function that returns milliseconds or 'stop', got /,
      )
    },
  )

  test('rule 26: that throws is reported, and the default schedule stands in', () => {
    const failure = new Error('mine')
    const { backoff, reports } = asking(() => {
      throw failure
    })
    expect(backoff.next(lost, 1)).toBe(2_000)
    expect(reports).toEqual([failure])
  })
})

describe('rule 7: reconnect false', () => {
  test('is never', () => {
    const backoff = new Backoff(false, drawing(0))
    expect(delays(backoff, 2)).toEqual(['stop', 'stop'])
    backoff.setLimits(1, 2)
    expect(backoff.next(lost, 3)).toBe('stop')
  })
})

describe('setReconnectTimeout', () => {
  test('replaces min and max; the count of retries and the jitter stay', () => {
    const backoff = steady()
    backoff.next(lost, 1)
    backoff.setLimits(10, 100)
    expect(delays(backoff, 4)).toEqual([40, 80, 100, 100])
    backoff.reset()
    expect(backoff.next(lost, 1)).toBe(20)
  })

  test.each([
    [0, 10, 'min: expected milliseconds from 1 to 2,147,483,647, got 0'],
    [10, 9, 'max: expected milliseconds from 10 to 2,147,483,647, got 9'],
    [1, 2 ** 31, 'max: expected milliseconds from 1 to 2,147,483,647, got 2147483648'],
    [NaN, 1, 'min: expected milliseconds from 1 to 2,147,483,647, got NaN'],
  ])('refuses %d and %d, and changes nothing', (min, max, message) => {
    const backoff = steady()
    expect(() => backoff.setLimits(min, max)).toThrow(message)
    expect(backoff.next(lost, 1)).toBe(2_000)
  })
})

describe('whether credentials are asked for anew', () => {
  const ask = (): undefined => undefined

  test.each([
    [{}, false],
    [{ websocket: {} }, false],
    [{ credentials: () => ({}) }, true],
    [{ authentication: { method: 'm', start: ask, continue: ask } }, true],
    [{ websocket: { transform: (request: WebSocketRequest) => request } }, true],
  ])('%o: %s', (given, expected) => {
    const unset = { credentials: undefined, authentication: undefined, websocket: undefined }
    expect(asksAnew({ ...unset, ...given })).toBe(expected)
  })
})

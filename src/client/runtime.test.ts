// The platform's runtime. That bytes come before time-outs (rule 11) is shown here with a stand-in for the poll;
// with real sockets it is shown where the entry file passes the platform's own in.

import { afterEach, describe, expect, test, vi } from 'vitest'
import { createRuntime } from './runtime.ts'

const defer = (callback: () => void): void => queueMicrotask(callback)

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

describe('the runtime', () => {
  test('has a clock that does not go backwards, and one of the wall', () => {
    const runtime = createRuntime(defer)
    const first = runtime.now()
    expect(runtime.now()).toBeGreaterThanOrEqual(first)
    expect(Math.abs(runtime.wallTime() - Date.now())).toBeLessThan(1_000)
  })

  test('has random numbers from 0 up to 1', () => {
    const runtime = createRuntime(defer)
    for (let count = 0; count < 100; count++) {
      const drawn = runtime.random()
      expect(drawn >= 0 && drawn < 1).toBe(true)
    }
  })

  test('defers as it was told to', () => {
    const given: unknown[] = []
    const callback = (): void => {}
    createRuntime((deferred) => given.push(deferred)).defer(callback)
    expect(given).toEqual([callback])
  })

  test('reports to the console', () => {
    const shown = vi.spyOn(console, 'error').mockImplementation(() => {})
    const error = new Error('x')
    createRuntime(defer).report(error)
    expect(shown).toHaveBeenCalledWith(error)
  })
})

describe('a timer', () => {
  test('runs once, not before its delay', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    createRuntime(defer).setTimer(callback, 10.2)
    vi.advanceTimersByTime(10)
    expect(callback).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    vi.advanceTimersByTime(1_000)
    expect(callback).toHaveBeenCalledTimes(1)
  })

  test('rule 11: runs after what waits was read', () => {
    vi.useFakeTimers()
    const order: string[] = []
    const polls: (() => void)[] = []
    createRuntime(defer, (callback) => polls.push(callback)).setTimer(() => order.push('timer'), 5)
    vi.advanceTimersByTime(5)
    order.push('bytes')
    for (const poll of polls) poll()
    expect(order).toEqual(['bytes', 'timer'])
  })

  test('can be cancelled, also between its time and its turn', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    const polls: (() => void)[] = []
    const runtime = createRuntime(defer, (poll) => polls.push(poll))
    const early = runtime.setTimer(callback, 5)
    early.cancel()
    early.cancel()
    const late = runtime.setTimer(callback, 5)
    vi.advanceTimersByTime(5)
    late.cancel()
    expect(polls).toHaveLength(1)
    polls[0]?.()
    expect(callback).not.toHaveBeenCalled()
  })

  test('rule 11: of a delay that the platform does not know waits its longest; of Infinity is not set', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    const runtime = createRuntime(defer)
    runtime.setTimer(callback, Infinity).cancel()
    expect(vi.getTimerCount()).toBe(0)
    runtime.setTimer(callback, 1e12)
    vi.advanceTimersByTime(2 ** 31 - 2)
    expect(callback).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(callback).toHaveBeenCalledTimes(1)
  })

  test('of the past runs soon, not at once', () => {
    vi.useFakeTimers()
    const callback = vi.fn()
    createRuntime(defer).setTimer(callback, -5)
    expect(callback).not.toHaveBeenCalled()
    vi.advanceTimersByTime(1)
    expect(callback).toHaveBeenCalledTimes(1)
  })

  test('keeps the process alive or not, as told', () => {
    const unref = vi.spyOn(Object.getPrototypeOf(setTimeout(() => {}, 0)), 'unref')
    const ref = vi.spyOn(Object.getPrototypeOf(setTimeout(() => {}, 0)), 'ref')
    const timer = createRuntime(defer).setTimer(() => {}, 10_000)
    timer.setKeepsAlive?.(false)
    expect([unref.mock.calls.length, ref.mock.calls.length]).toEqual([1, 0])
    timer.setKeepsAlive?.(true)
    expect([unref.mock.calls.length, ref.mock.calls.length]).toEqual([1, 1])
    timer.cancel()
  })
})

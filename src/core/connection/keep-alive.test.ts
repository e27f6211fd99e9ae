import { describe, expect, it } from 'vitest'
import { Deadlines } from './deadlines.ts'
import { KeepAlive } from './keep-alive.ts'
import { Operation } from './operations.ts'

describe('the keep-alive', () => {
  it.each([
    [1, 750, 500],
    [4, 3_000, 2_000],
    [20, 15_000, 10_000],
    [60, 55_000, 10_000],
    [65_535, 65_530_000, 10_000],
    [0, Infinity, 10_000],
  ])('of %i s asks after %i ms and waits for %i ms, rules 9, 10', (seconds, due, timeout) => {
    const deadlines = new Deadlines()
    const keepAlive = new KeepAlive(deadlines, seconds, 10_000, 100)
    expect(deadlines.ping).toBe(100 + due)
    expect(keepAlive.timeout).toBe(timeout)
  })

  it('leaves a deadline that moves later alone, and asks again when it fires', () => {
    const deadlines = new Deadlines()
    const keepAlive = new KeepAlive(deadlines, 4, 10_000, 0)
    keepAlive.handleSent(1_000)
    keepAlive.handleReceived(2_000)
    expect(deadlines.ping).toBe(3_000)
    expect(keepAlive.isDue(3_000)).toBe(false)
    expect(deadlines.ping).toBe(4_000)
    expect(keepAlive.isDue(4_000)).toBe(true)
  })

  it('measures silence from its own PINGREQ only', () => {
    const deadlines = new Deadlines()
    const keepAlive = new KeepAlive(deadlines, 4, 10_000, 0)
    keepAlive.sent(new Operation('ping'), true, 10)
    expect(deadlines.silence).toBe(Infinity)
    keepAlive.sent(undefined, true, 20)
    expect(deadlines.silence).toBe(2_020)
    keepAlive.handleProgress(100)
    expect(deadlines.silence).toBe(2_100)
    keepAlive.handleReceived(200)
    expect(deadlines.silence).toBe(Infinity)
    keepAlive.handleProgress(300)
    expect(deadlines.silence).toBe(Infinity)
  })
})

describe('the deadlines', () => {
  it('are met in their order; those that need answers stand still while nothing is read', () => {
    const deadlines = new Deadlines()
    expect(deadlines.earliest).toBe(Infinity)
    deadlines.operation = 50
    expect(deadlines.earliest).toBe(50)
    deadlines.stopped = 100
    expect(deadlines.earliest).toBe(150)
    deadlines.ping = 120
    expect(deadlines.earliest).toBe(120)
  })
})

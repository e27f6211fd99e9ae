import { describe, expect, it } from 'vitest'
import { Receptions } from './receptions.ts'

describe('an inbound exchange of QoS 2', () => {
  it('begins once, is handled, and ends by PUBREL', () => {
    const receptions = new Receptions()
    receptions.begin(7, 1)
    expect(receptions.latest(7)).toBe(1)
    expect(receptions.handle(7, 1, 0)).toBe(1)
    expect(receptions.latest(7)).toBe(-1)
    expect(receptions.release(7)).toBe(1)
    expect([receptions.latest(7), receptions.size, receptions.release(7)]).toEqual([0, 0, 0])
  })

  it('goes on when PUBREL comes while the application has its message', () => {
    const receptions = new Receptions()
    receptions.begin(7, 3)
    expect(receptions.release(7)).toBe(-3)
    expect(receptions.handle(7, 3, 0)).toBe(3)
    expect(receptions.release(7)).toBe(3)
  })

  it('is handled once, and not by the message of an earlier one with the same id', () => {
    const receptions = new Receptions()
    receptions.begin(7, 1)
    expect(receptions.handle(7, 1, 0)).toBe(1)
    expect(receptions.handle(7, 1, 0)).toBe(0)
    receptions.release(7)
    expect(receptions.handle(7, 1, 0)).toBe(0)
    receptions.begin(7, 2)
    expect(receptions.handle(7, 1, 0)).toBe(0)
    expect(receptions.latest(7)).toBe(2)
  })

  it('knows its message by the first number, however often its PUBLISH came again', () => {
    const receptions = new Receptions()
    receptions.begin(7, 1)
    receptions.repeat(7, 5)
    receptions.repeat(7, 9)
    expect(receptions.latest(7)).toBe(9)
    expect(receptions.handle(7, 5, 0)).toBe(0)
    expect(receptions.handle(7, 1, 0x10)).toBe(9)
    expect(receptions.handle(7, 1, 0)).toBe(0)
    receptions.repeat(7, 12)
    expect([receptions.latest(7), receptions.reasonCodeOf(7)]).toEqual([-12, 0x10])
    receptions.release(7)
    receptions.begin(7, 13)
    expect([receptions.handle(7, 1, 0), receptions.reasonCodeOf(7)]).toEqual([0, 0])
    expect(receptions.handle(7, 13, 0)).toBe(13)
  })

  it('is given back while the application has its message, and only then', () => {
    const receptions = new Receptions()
    receptions.begin(7, 1)
    receptions.giveBack(7, 2)
    expect(receptions.latest(7)).toBe(1)
    receptions.repeat(7, 2)
    receptions.giveBack(7, 1)
    expect(receptions.latest(7)).toBe(0)
    receptions.begin(7, 3)
    receptions.handle(7, 3, 0)
    receptions.giveBack(7, 3)
    expect(receptions.latest(7)).toBe(-3)
    receptions.begin(8, 4)
    receptions.repeat(8, 5)
    receptions.handle(8, 4, 0)
    receptions.giveBack(8, 4)
    expect(receptions.latest(8)).toBe(-5)
  })

  it('is to be recorded when it was handled and not refused', () => {
    const receptions = new Receptions()
    for (const packetId of [1, 2, 3, 4]) receptions.begin(packetId, packetId)
    receptions.handle(2, 2, 0x10)
    receptions.handle(3, 3, 0x83)
    receptions.handle(4, 4, 0)
    expect([...receptions.handled()]).toEqual([2, 4])
  })
})

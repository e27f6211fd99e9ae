/** Deliveries whose callers have waited too long: rule 17. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

describe('a delivery that nobody waits for any more', () => {
  conversation(
    'was sent: the exchange goes on, and is sent again as any other, rule 17, scenario 47',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 1, timeout: 30_000 })
      c.sends('publish')
      c.passes(29_999)
      c.lives()
      c.passes(1)
      c.outwaits(delivery)
      c.passes(100_000)
      c.sendsNothing()
      expect(delivery.state).toBe('published')
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true })
      c.receives('puback', { packetId: 1 })
      c.settles(delivery)
    },
  )

  conversation('counts from its last sending, and each has its own time, rule 17', (c) => {
    c.connected()
    const first = c.user.publish('a', '1', { qos: 1, timeout: 1_000 })
    c.passes(500)
    const second = c.user.publish('a', '2', { qos: 2, timeout: 1_000 })
    const third = c.user.publish('a', '3', { qos: 1 })
    for (const packetId of [1, 2, 3]) c.sends('publish', { packetId })
    c.passes(500)
    c.outwaits(first)
    c.receives('pubrec', { packetId: 2 })
    c.sends('pubrel')
    c.passes(500)
    c.outwaits(second)
    c.passes(1_000_000)
    expect(third.abandoned).toBe(false)
    c.cut()
    c.reconnected({ sessionPresent: true })
    c.overlooks()
  })

  conversation('waits anew on the next connection, rule 17', (c) => {
    c.connected()
    const first = c.user.publish('a', '1', { qos: 1, timeout: 1_000 })
    const second = c.user.publish('a', '2', { qos: 2, timeout: 1_000 })
    c.sends('publish')
    c.sends('publish')
    c.receives('pubrec', { packetId: 2 })
    c.sends('pubrel')
    c.passes(900)
    c.cut()
    c.reconnected({ sessionPresent: true })
    c.sends('pubrel')
    c.sends('publish')
    c.passes(999)
    c.lives()
    c.passes(1)
    c.outwaits(first)
    c.outwaits(second)
  })

  conversation('waits anew on the next connection for PUBCOMP alone, rule 17', (c) => {
    c.connected()
    const delivery = c.user.publish('a', 'x', { qos: 2, timeout: 1_000 })
    c.sends('publish')
    c.receives('pubrec', { packetId: 1 })
    c.sends('pubrel')
    c.passes(900)
    c.cut()
    c.reconnected({ sessionPresent: true })
    c.sends('pubrel')
    c.passes(999)
    expect(delivery.abandoned).toBe(false)
    c.passes(1)
    c.outwaits(delivery)
  })

  conversation('waits as long after reading was stopped as before, rule 31', (c) => {
    c.connected()
    c.reads(false)
    c.passes(10_000)
    c.reads(true)
    const delivery = c.user.publish('a', '1', { qos: 1, timeout: 1_000 })
    c.sends('publish')
    c.passes(500)
    c.reads(false)
    c.passes(10_000)
    c.reads(true)
    c.passes(499)
    c.lives()
    c.passes(1)
    c.outwaits(delivery)
  })

  conversation(
    'keeps its identifier and its place in the window, rule 17',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.user.abandon(first)
      c.sendsNothing()
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.sends('publish', { packetId: 2 })
    },
    { maxInflight: 1 },
  )

  conversation(
    'was not sent: it is forgotten, and no identifier used, rule 17',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 1 })
      c.user.publish('a', '3', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.user.abandon(second)
      expect(second.state).toBe('settled')
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.sends('publish', { packetId: 2, payload: '3' })
      c.user.abandon(first)
    },
    { maxInflight: 1 },
  )

  conversation(
    'counts from when it left, not from when it waited behind much output, rule 17',
    (c) => {
      c.connected()
      c.passes(20_000)
      c.congests()
      const deliveries = Array.from({ length: 4 }, () =>
        c.user.publish('a', 'x'.repeat(100_000), { qos: 1, timeout: 30_000 }),
      )
      c.congests(false)
      expect(c.overlooks()).toBe(4)
      c.passes(29_999)
      expect(deliveries.some(({ abandoned }) => abandoned)).toBe(false)
      c.passes(1)
      for (const delivery of deliveries) c.outwaits(delivery)
    },
    { split: false },
  )
})

describe('a window full of deliveries that nobody waits for', () => {
  const options = { maxInflight: 2, operationTimeout: 30_000 } as const

  conversation(
    'ends the connection after another operationTimeout, and it is resumed, rule 17',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1, timeout: 30_000 })
      const second = c.user.publish('a', '2', { qos: 1, timeout: 30_000 })
      c.user.publish('a', '3', { qos: 1, timeout: 30_000 })
      c.sends('publish')
      c.sends('publish')
      c.passes(30_000)
      c.outwaits(first)
      c.outwaits(second)
      c.passes(29_999)
      c.lives()
      c.passes(1)
      c.closes({ code: 'operation-timeout' })
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true })
      c.sends('publish', { packetId: 2, dup: true })
      // The same on a connection where nobody ever waited for them.
      c.passes(59_999)
      c.lives()
      c.passes(1)
      c.closes({ code: 'operation-timeout' })
    },
    options,
  )

  conversation(
    'goes on when anything moves, rule 17',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1, timeout: 30_000 })
      const second = c.user.publish('a', '2', { qos: 1, timeout: 30_000 })
      c.sends('publish')
      c.sends('publish')
      c.passes(30_000)
      c.outwaits(first)
      c.outwaits(second)
      c.passes(29_999)
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.passes(1_000_000)
      c.lives()
    },
    options,
  )
})

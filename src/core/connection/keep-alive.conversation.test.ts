/** Keep-alive and pings over time: 3.1.2.10 and 3.12, rules 9 to 11. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
/** PINGREQ is due after 55 s; the answer is waited for 10 s. */
const sixty = { connect: { keepAlive: 60 } } as const
/** PINGREQ is due after 3 s; the answer is waited for 2 s. */
const four = { connect: { keepAlive: 4 } } as const

describe('PINGREQ', () => {
  conversation(
    'is due K − min(K/4, 5 s) after the last packet, and again, rule 9 [3.1.1 MQTT-3.1.2-23] [5 MQTT-3.1.2-20]',
    (c) => {
      c.connected()
      for (let times = 0; times < 3; times++) {
        c.passes(54_999)
        c.sendsNothing()
        c.passes(1)
        c.sends('pingreq')
        c.receives('pingresp')
      }
    },
    sixty,
  )

  conversation(
    'is due a quarter early for a short keep-alive, rule 9',
    (c) => {
      c.connected()
      c.passes(2_999)
      c.sendsNothing()
      c.passes(1)
      c.sends('pingreq')
      c.receives('pingresp')
    },
    four,
  )

  conversation('is never due with keep-alive 0; a ping() works, rule 9', (c) => {
    c.connected()
    c.passes(100_000_000)
    c.sendsNothing()
    const ping = c.user.ping()
    c.sends('pingreq')
    c.passes(7)
    c.receives('pingresp')
    c.settles(ping, { roundTrip: 7 })
  })

  conversation(
    'follows the Server Keep Alive, which may turn it off, anew for each connection, rule 9, H8 [5 MQTT-3.1.2-21, 3.2.2-21]',
    (c) => {
      c.connected({ properties: { serverKeepAlive: 4 } })
      c.passes(3_000)
      c.sends('pingreq')
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { serverKeepAlive: 0 } })
      c.passes(1_000_000)
      c.sendsNothing()
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.passes(54_999)
      c.sendsNothing()
      c.passes(1)
      c.sends('pingreq')
    },
    { ...V5, ...sixty },
  )

  conversation(
    'is sent though the server talks without pause: the client sends nothing, rule 9, scenarios 14, 15',
    (c) => {
      c.connected()
      for (let second = 0; second < 55; second++) {
        c.receives('publish')
        c.handles('a')
        c.passes(1_000)
      }
      c.sends('pingreq')
      for (let second = 0; second < 55; second++) {
        c.sendsNothing()
        c.receives('publish')
        c.handles('a')
        c.passes(1_000)
      }
      c.sends('pingreq')
      c.lives()
    },
    { ...sixty, split: false },
  )

  conversation(
    'is sent though we publish without pause: own traffic does not hide a dead peer, rule 9, scenario 13',
    (c) => {
      c.connected()
      for (let second = 0; second < 55; second++) {
        c.user.publish('a', '', { qos: 1 })
        c.sends('publish')
        c.passes(1_000)
      }
      c.sends('pingreq')
      for (let second = 0; second < 10; second++) {
        c.connection.publishQos0(c.user.delivery('a', '', 0))
        c.passes(1_000)
      }
      expect(c.overlooks()).toBe(10)
      c.closes({ code: 'ping-timeout' })
    },
    { ...sixty, split: false },
  )

  conversation(
    'goes ahead of queued data, rule 10, scenario 17',
    (c) => {
      c.connected()
      c.congests()
      for (let count = 0; count < 100; count++) c.user.publish('a', 'x'.repeat(1_000))
      c.passes(3_000)
      c.congests(false)
      c.sends('pingreq')
      expect(c.overlooks()).toBe(100)
      c.receives('pingresp')
    },
    four,
  )

  conversation(
    'waits for no store, rule 10',
    (c) => {
      c.connected()
      c.user.publish('a', 'x', { qos: 1 })
      c.sendsNothing()
      c.passes(3_000)
      c.sends('pingreq')
      c.receives('pingresp')
      c.stores()
      c.sends('publish')
    },
    { ...four, store: true },
  )
})

describe('silence', () => {
  conversation(
    'after PINGREQ ends the connection after min(pingTimeout, K/2), rule 10, scenario 12 [3.1.1 MQTT-3.12.4-1] [3.1.1 section 3.1.2.10] [5 MQTT-3.12.4-1]',
    (c) => {
      c.connected()
      c.passes(3_000)
      c.sends('pingreq')
      c.passes(1_999)
      c.lives()
      c.passes(1)
      expect(c.closes({ code: 'ping-timeout' })).toMatchObject({ phase: 'established' })
      c.passes(100_000)
      c.sendsNothing()
    },
    four,
  )

  conversation(
    'is broken by any byte, also one that completes nothing, rule 10, scenario 18',
    (c) => {
      c.connected()
      c.passes(3_000)
      c.sends('pingreq')
      c.passes(1_999)
      c.receivesBytes('d0')
      c.passes(1_000)
      c.lives()
      c.sendsNothing()
      c.passes(1)
      c.sends('pingreq')
      c.passes(1_999)
      c.receivesBytes('00')
      c.passes(1_000)
      c.lives()
    },
    four,
  )

  conversation(
    'is broken by the progress of a large write, rule 10',
    (c) => {
      c.connected()
      c.passes(3_000)
      c.sends('pingreq')
      for (let times = 0; times < 5; times++) {
        c.passes(1_900)
        c.connection.handleProgress(c.now)
      }
      c.lives()
      expect(c.overlooks()).toBe(3)
      c.passes(2_000)
      c.closes({ code: 'ping-timeout' })
    },
    four,
  )

  conversation(
    'is not held against the peer while we have stopped reading; PINGREQs are still sent, rule 10',
    (c) => {
      c.connected()
      c.passes(3_000)
      c.sends('pingreq')
      c.reads(false)
      c.passes(60_000)
      c.lives()
      expect(c.overlooks()).toBe(20)
      c.reads(true)
      c.passes(1_999)
      c.lives()
      c.passes(1)
      c.closes({ code: 'ping-timeout' })
    },
    four,
  )

  conversation(
    'that a blocked program did not hear is none: bytes that wait count first, rule 11, scenario 16',
    (c) => {
      c.connected()
      c.passes(3_000)
      c.sends('pingreq')
      c.blocks(600_000)
      c.receives('pingresp')
      c.passes(0)
      c.lives()
      c.sends('pingreq')
    },
    four,
  )

  conversation(
    'of a machine that slept gives one PINGREQ, then one time-out, no burst, rule 11',
    (c) => {
      c.connected()
      c.blocks(600_000)
      c.passes(0)
      c.sends('pingreq')
      c.sendsNothing()
      c.passes(1_999)
      c.lives()
      c.blocks(600_000)
      c.passes(0)
      c.closes({ code: 'ping-timeout' })
    },
    four,
  )
})

describe('ping()', () => {
  conversation(
    'is answered in order, and a PINGRESP that nobody asked for is ignored, rule 10, scenario 18',
    (c) => {
      c.connected()
      c.receives('pingresp')
      c.lives()
      const first = c.user.ping()
      c.passes(5)
      const second = c.user.ping()
      c.sends('pingreq')
      c.sends('pingreq')
      c.passes(5)
      c.receives('pingresp')
      c.settles(first, { roundTrip: 10 })
      c.receives('pingresp')
      c.settles(second, { roundTrip: 5 })
      c.receives('pingresp')
      c.lives()
      expect(c.traffic.lastRoundTrip).toBe(5)
    },
  )

  conversation(
    "does not take the answer of the keep-alive's own, rule 10",
    (c) => {
      c.connected()
      c.passes(3_000)
      c.sends('pingreq')
      const ping = c.user.ping()
      c.sends('pingreq')
      c.receives('pingresp')
      expect(ping.roundTrip).toBe(0)
      c.passes(1)
      c.receives('pingresp')
      c.settles(ping, { roundTrip: 1 })
    },
    four,
  )

  conversation(
    'rejects by the time-out without closing, and its late answer is not the next one’s, rule 10',
    (c) => {
      c.connected()
      const first = c.user.ping()
      c.sends('pingreq')
      c.passes(9_999)
      const second = c.user.ping()
      c.sends('pingreq')
      c.passes(1)
      c.settles(first, { code: 'ping-timeout' })
      c.lives()
      c.receives('pingresp')
      c.passes(1)
      c.receives('pingresp')
      c.settles(second, { roundTrip: 2 })
    },
  )

  conversation('has its time-out though another request timed out before, rule 10', (c) => {
    c.connected()
    c.passes(1)
    const subscribe = c.user.subscribe('a', {}, 1_000)
    const ping = c.user.ping()
    c.sends('subscribe')
    c.sends('pingreq')
    c.passes(1_000)
    c.settles(subscribe, { code: 'operation-timeout' })
    const later = c.user.ping()
    c.sends('pingreq')
    c.passes(9_000)
    c.settles(ping, { code: 'ping-timeout' })
    c.passes(1_000)
    c.settles(later, { code: 'ping-timeout' })
  })

  conversation(
    'waits as long after reading was stopped as before: its time-out stands still only meanwhile, rule 31',
    (c) => {
      c.connected()
      c.passes(1)
      const first = c.user.ping()
      c.sends('pingreq')
      c.passes(5_000)
      c.reads(false)
      c.passes(100_000)
      c.reads(true)
      c.passes(4_999)
      c.lives()
      c.passes(1)
      c.settles(first, { code: 'ping-timeout' })
      const second = c.user.ping()
      c.sends('pingreq')
      c.passes(10_000)
      c.settles(second, { code: 'ping-timeout' })
    },
  )

  conversation('ends with the connection', (c) => {
    c.connected()
    const ping = c.user.ping()
    c.sends('pingreq')
    c.cut()
    c.settles(ping, { code: 'connection-lost', interrupted: true })
  })
})

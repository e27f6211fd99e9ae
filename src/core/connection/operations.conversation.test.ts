/** SUBSCRIBE and UNSUBSCRIBE and their answers: 3.8 to 3.11, rules 13 and 17. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const

describe('SUBSCRIBE', () => {
  conversation(
    'is answered with a code for each filter, in their order [3.1.1 MQTT-3.8.4-5, -6, 3.9.3-1] [5 MQTT-3.8.4-6, -7, 3.9.3-1]',
    (c) => {
      c.connected()
      const operation = c.user.subscribe(['a', 'b/+', 'c/#'], { qos: 2 })
      c.sends('subscribe', {
        packetId: 1,
        subscriptions: [
          { filter: 'a', qos: 2 },
          { filter: 'b/+', qos: 2 },
          { filter: 'c/#', qos: 2 },
        ],
      })
      c.receives('suback', { packetId: 1, reasonCodes: [2, 0x80, 1] })
      c.settles(operation, { reasonCodes: [2, 0x80, 1] })
      expect(c.session.ids.size).toBe(0)
    },
  )

  conversation(
    'carries its options in 5 [5 MQTT-3.8.3-5]',
    (c) => {
      c.connected()
      const options = { qos: 1, noLocal: true, retainAsPublished: true, retainHandling: 2 } as const
      const operation = c.user.subscribe('a', options)
      c.sends('subscribe', { subscriptions: [{ filter: 'a', ...options }] })
      c.receives('suback', { packetId: 1, reasonCodes: [1], properties: { reasonString: 'fine' } })
      c.settles(operation, { reasonCodes: [1], result: { reasonString: 'fine' } })
    },
    V5,
  )

  for (const [what, reasonCodes] of [
    ['too few', [0]],
    ['too many', [0, 0, 0]],
  ] as const) {
    conversation(
      `with ${what} codes in its answer is a protocol error, rule 13, scenario 49, H7 [3.1.1 MQTT-3.8.4-5] [5 MQTT-3.8.4-6]`,
      (c) => {
        c.connected()
        const operation = c.user.subscribe(['a', 'b'])
        c.sends('subscribe')
        c.receives('suback', { packetId: 1, reasonCodes })
        c.settles(operation, { code: 'protocol-error', interrupted: true })
        c.closes({ code: 'protocol-error', reasonCode: 0x82 })
      },
    )
  }

  for (const [code, options] of [
    ['03', {}],
    ['81', V311],
    ['01 81', V5],
  ] as const) {
    conversation(
      `with the code ${code} in its answer is a protocol error, rule 13, scenario 49, H7 [3.1.1 MQTT-3.9.3-2] [5 MQTT-3.9.3-2]`,
      (c) => {
        c.connected()
        const operation = c.user.subscribe(code.length > 2 ? ['a', 'b'] : 'a')
        c.sends('subscribe')
        const size = (code.length > 2 ? 4 : 3) + (c.is5 ? 1 : 0)
        c.receivesBytes(`90 0${size} 00 01 ${c.is5 ? '00' : ''} ${code}`)
        c.settles(operation, { code: 'protocol-error' })
        c.closes({ code: 'protocol-error', reasonCode: 0x82 })
      },
      options,
    )
  }

  conversation(
    'is not completed by the answer of another identifier, rule 12, scenario 49 [3.1.1 MQTT-2.3.1-7, 3.8.4-2] [5 MQTT-2.2.1-6, 3.8.4-2]',
    (c) => {
      c.connected()
      const operation = c.user.subscribe('a')
      c.sends('subscribe')
      c.receives('suback', { packetId: 2 })
      c.receives('unsuback', { packetId: 3 })
      c.lives()
      expect(c.traffic.unknownAcknowledgements).toBe(2)
      c.receives('suback', { packetId: 1, reasonCodes: [1] })
      c.settles(operation, { reasonCodes: [1] })
    },
  )

  conversation('is not answered by UNSUBACK: a protocol error, rule 13, scenario 37', (c) => {
    c.connected()
    const operation = c.user.subscribe('a')
    c.sends('subscribe')
    c.receives('unsuback', { packetId: 1 })
    c.settles(operation, { code: 'protocol-error' })
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })

  conversation('is not answered on the identifier of a PUBLISH: a protocol error, rule 13', (c) => {
    c.connected()
    const delivery = c.user.publish('a', 'x', { qos: 1 })
    c.sends('publish')
    c.receives('suback', { packetId: 1 })
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    expect(delivery.state).toBe('published')
  })

  conversation(
    'that was never answered times out, and keeps its identifier until the answer comes, rule 17, scenario 49 [3.1.1 MQTT-3.8.4-1] [5 MQTT-3.8.4-1]',
    (c) => {
      c.connected()
      const operation = c.user.subscribe('a', {}, 30_000)
      c.sends('subscribe', { packetId: 1 })
      c.passes(29_999)
      c.user.subscribe('b')
      c.sends('subscribe', { packetId: 2 })
      c.passes(1)
      c.settles(operation, { code: 'operation-timeout', error: { outcome: 'pending' } })
      c.lives()
      expect(c.session.ids.size).toBe(2)
      c.receives('suback', { packetId: 1, reasonCodes: [1] })
      // What was granted is told again, so that it can be undone.
      expect(c.tells('operation')).toMatchObject({ abandoned: true, reasonCodes: [1] })
      expect(c.session.ids.size).toBe(1)
    },
  )

  conversation('that was given up is not told of again when the connection ends, rule 17', (c) => {
    c.connected()
    const operation = c.user.subscribe('a', {}, 1_000)
    c.sends('subscribe')
    c.passes(1_000)
    c.settles(operation, { code: 'operation-timeout' })
    c.cut()
    expect(c.session.ids.size).toBe(0)
  })

  conversation('waits no shorter when we stopped reading meanwhile, rule 31', (c) => {
    c.connected()
    c.passes(1)
    const operation = c.user.subscribe('a', {}, 1_000)
    c.sends('subscribe')
    c.passes(500)
    c.reads(false)
    c.passes(10_000)
    c.reads(true)
    c.passes(499)
    c.lives()
    c.passes(1)
    c.settles(operation, { code: 'operation-timeout' })
    const next = c.user.subscribe('a', {}, 1_000)
    c.sends('subscribe')
    c.passes(1_000)
    c.settles(next, { code: 'operation-timeout' })
  })
})

describe('UNSUBSCRIBE', () => {
  conversation(
    'is answered by UNSUBACK, with codes in 5 [3.1.1 MQTT-3.10.4-4] [5 MQTT-3.10.4-4, -5, 3.11.3-1]',
    (c) => {
      c.connected()
      const operation = c.user.unsubscribe(['a', 'b'])
      c.sends('unsubscribe', { packetId: 1, filters: ['a', 'b'] })
      c.receives('unsuback', { packetId: 1, reasonCodes: [0, 0x11] })
      c.settles(operation, { reasonCodes: c.is5 ? [0, 0x11] : [0, 0] })
    },
  )

  conversation('is not answered by SUBACK: a protocol error, rule 13, scenario 37', (c) => {
    c.connected()
    const operation = c.user.unsubscribe('a')
    c.sends('unsubscribe')
    c.receives('suback', { packetId: 1 })
    c.settles(operation, { code: 'protocol-error' })
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })

  conversation(
    'with too few codes in its answer is a protocol error, rule 13, H7 [5 MQTT-3.11.3-1, -2]',
    (c) => {
      c.connected()
      const operation = c.user.unsubscribe(['a', 'b'])
      c.sends('unsubscribe')
      c.receives('unsuback', { packetId: 1, reasonCodes: [0] })
      c.settles(operation, { code: 'protocol-error' })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    V5,
  )

  conversation(
    'does not stop messages that were on their way: they are acknowledged, scenario 50 [3.1.1 MQTT-4.5.0-2, 3.10.4-3] [5 MQTT-4.5.0-2, 3.10.4-3]',
    (c) => {
      c.connected()
      const operation = c.user.unsubscribe('a')
      c.sends('unsubscribe')
      c.receives('unsuback', { packetId: 1 })
      c.settles(operation)
      c.user.acknowledge(c.receivesMessage({ qos: 1, packetId: 1 }))
      c.sends('puback')
    },
  )
})

describe('a request', () => {
  conversation(
    'to a connection that has ended is over at once, and nothing is written [3.1.1 MQTT-3.14.4-2] [5 MQTT-3.14.4-1]',
    (c) => {
      c.connected()
      c.user.disconnect()
      c.sends('disconnect')
      c.closes()
      for (const operation of [c.user.subscribe('a'), c.user.unsubscribe('a'), c.user.ping()]) {
        c.settles(operation, { code: 'not-connected', interrupted: true })
      }
      c.sendsNothing()
      expect(c.session.ids.size).toBe(0)
    },
  )
})

/** How much may be open at a time: send quota, Receive Maximum and packet identifiers, rules 15 and 19. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const
const whole = { split: false } as const

describe('the send quota', () => {
  conversation(
    'is the Receive Maximum of the server, rule 15, scenario 51 [5 MQTT-3.3.4-7, 4.9.0-1, -2]',
    (c) => {
      c.connected({ properties: { receiveMaximum: 2 } })
      const [first, second] = [1, 2, 3, 4].map((n) => c.user.publish('a', `${n}`, { qos: n === 2 ? 2 : 1 }))
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.sendsNothing()
      c.receives('puback', { packetId: 1 })
      c.settles(first!)
      c.sends('publish', { packetId: 3 })
      c.sendsNothing()
      c.receives('pubrec', { packetId: 2 })
      c.sends('pubrel', { packetId: 2 })
      c.sendsNothing()
      c.receives('pubcomp', { packetId: 2 })
      c.settles(second!)
      c.sends('publish', { packetId: 4 })
    },
    V5,
  )

  conversation(
    'comes back with a PUBREC that refuses, rule 15 [5 MQTT-4.9.0-2]',
    (c) => {
      c.connected({ properties: { receiveMaximum: 1 } })
      const first = c.user.publish('a', '1', { qos: 2 })
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.receives('pubrec', { packetId: 1, reasonCode: 0x80 })
      c.settles(first, { code: 'publish-refused' })
      c.sends('publish', { packetId: 2 })
    },
    V5,
  )

  conversation(
    'is at most maxInflight, rule 15',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.sendsNothing()
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.sends('publish', { packetId: 2 })
    },
    { maxInflight: 1 },
  )

  conversation(
    'does not grow by acknowledgements of unknown identifiers, rule 15',
    (c) => {
      c.connected()
      c.receives('puback', { packetId: 9 })
      c.receives('pubcomp', { packetId: 9 })
      c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.sendsNothing()
    },
    { maxInflight: 1 },
  )

  conversation(
    'is passed by QoS 0, SUBSCRIBE, UNSUBSCRIBE, acknowledgements and PINGREQ, rule 15 [5 MQTT-3.3.4-8, 4.9.0-3]',
    (c) => {
      c.connected()
      c.user.publish('a', '1', { qos: 2 })
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.user.publish('a', '0')
      c.sends('publish', { qos: 0 })
      c.user.subscribe('f')
      c.sends('subscribe')
      c.user.unsubscribe('f')
      c.sends('unsubscribe')
      c.user.ping()
      c.sends('pingreq')
      c.user.acknowledge(c.receivesMessage({ qos: 1, packetId: 1 }))
      c.sends('puback', { packetId: 1 })
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel', { packetId: 1 })
      c.sendsNothing()
    },
    { maxInflight: 1 },
  )

  conversation(
    'is fresh for each connection, re-sends count, and a smaller one holds them back, rule 15, scenario 51 [5 MQTT-4.9.0-1]',
    (c) => {
      c.connected({ properties: { receiveMaximum: 4 } })
      const deliveries = [1, 2, 3, 4].map((n) => c.user.publish('a', `${n}`, { qos: 1 }))
      for (const packetId of [1, 2, 3, 4]) c.sends('publish', { packetId })
      c.cut()
      c.user.publish('a', '5', { qos: 1 })
      c.reconnected({ sessionPresent: true, properties: { receiveMaximum: 2 } })
      c.sends('publish', { packetId: 1, dup: true })
      c.sends('publish', { packetId: 2, dup: true })
      c.sendsNothing()
      c.user.publish('b', '0')
      c.sends('publish', { qos: 0 })
      for (const packetId of [1, 2]) {
        c.receives('puback', { packetId })
        c.settles(deliveries[packetId - 1]!)
        c.sends('publish', { packetId: packetId + 2, dup: true })
        c.sendsNothing()
      }
      c.receives('puback', { packetId: 3 })
      c.settles(deliveries[2]!)
      c.sends('publish', { packetId: 5, dup: false })
    },
    V5,
  )

  conversation(
    'is not taken by PUBREL, nor given by the PUBCOMP of an earlier PUBLISH, rule 15',
    (c) => {
      c.connected({ properties: { receiveMaximum: 1 } })
      const first = c.user.publish('a', '1', { qos: 2 })
      c.sends('publish', { packetId: 1 })
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel')
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { receiveMaximum: 1 } })
      c.sends('pubrel', { packetId: 1 })
      c.user.publish('a', '2', { qos: 1 })
      c.user.publish('a', '3', { qos: 1 })
      c.sends('publish', { packetId: 2 })
      c.receives('pubcomp', { packetId: 1 })
      c.settles(first)
      c.sendsNothing()
    },
    V5,
  )

  conversation(
    'leaves at most maxInflightQos2 QoS 2 messages open in 3.1.1, rule 15',
    (c) => {
      c.connected()
      const deliveries = Array.from({ length: 22 }, (_, n) => c.user.publish('a', `${n}`, { qos: 2 }))
      for (let packetId = 1; packetId <= 20; packetId++) c.sends('publish', { packetId })
      c.sendsNothing()
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel', { packetId: 1 })
      c.sendsNothing()
      c.receives('pubcomp', { packetId: 1 })
      c.settles(deliveries[0]!)
      c.sends('publish', { packetId: 21 })
      c.sendsNothing()
    },
    V311,
  )
})

describe('packet identifiers', () => {
  conversation(
    'count upward, wrap from 65535 to 1 and skip those in use, rule 19 [3.1.1 MQTT-2.3.1-1, -2] [5 MQTT-2.2.1-3]',
    (c) => {
      c.connected()
      c.user.publish('a', 'stays', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      for (let packetId = 2; packetId <= 65_535; packetId++) {
        const delivery = c.user.publish('a', '', { qos: 1 })
        c.sends('publish', { packetId })
        c.receives('puback', { packetId })
        c.settles(delivery)
      }
      c.user.publish('a', 'next', { qos: 1 })
      c.sends('publish', { packetId: 2 })
    },
    whole,
  )

  conversation(
    'leave 16 for SUBSCRIBE and UNSUBSCRIBE when deliveries hold all others; what finds none waits, rule 19, scenario 48',
    (c) => {
      c.connected()
      for (let count = 0; count < 65_520; count++) c.session.queue(c.user.delivery('a', '', 1))
      c.pump()
      expect(c.overlooks()).toBe(65_519)
      const operations = Array.from({ length: 17 }, (_, n) => c.user.subscribe(`f/${n}`))
      for (let n = 0; n < 16; n++) c.sends('subscribe', { packetId: 65_520 + n })
      c.sendsNothing()
      c.receives('suback', { packetId: 65_525 })
      c.settles(operations[5]!)
      c.sends('subscribe', { packetId: 65_525 })
      c.receives('puback', { packetId: 300 })
      c.tells('delivery')
      c.sends('publish', { packetId: 300, dup: false })
      c.sendsNothing()
    },
    { ...whole, maxInflight: 70_000, ...V311 },
  )

  conversation(
    'that are reserved for given up messages count as held, rule 8',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.cut()
      c.settles(first, { code: 'poison-delivery' })
      c.reconnected({ sessionPresent: true })
      expect(c.session.deliveryIds).toBe(1)
      const operation = c.user.subscribe('f')
      c.sends('subscribe', { packetId: 2 })
      c.receives('suback', { packetId: 2 })
      c.settles(operation)
      c.cut()
      c.reconnected({ sessionPresent: false })
      expect(c.session.deliveryIds).toBe(0)
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
    },
    { poisonLimit: 1 },
  )
})

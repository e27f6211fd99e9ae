/** Topic aliases, 5: 3.3.2.3.4, both directions; scenario 55, H1. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const

describe('aliases of the server', () => {
  const options = { ...V5, connect: { properties: { topicAliasMaximum: 3 } } } as const

  conversation(
    'are accepted from 1 to the maximum, stand for their topic, and may be mapped anew [5 MQTT-3.3.2-10]',
    (c) => {
      c.connected()
      c.receives('publish', { topic: 'a', properties: { topicAlias: 1 } })
      c.handles('a')
      c.receives('publish', { topic: 'c', properties: { topicAlias: 3 } })
      c.handles('c')
      c.receives('publish', { topic: '', payload: '2', properties: { topicAlias: 1 } })
      c.handles('a', { payload: '2' })
      c.receives('publish', { topic: 'b', properties: { topicAlias: 1 } })
      c.handles('b')
      c.receives('publish', { topic: '', properties: { topicAlias: 1 } })
      c.handles('b')
      c.receives('publish', { topic: '', properties: { topicAlias: 3 } })
      c.handles('c')
    },
    options,
  )

  conversation(
    'are learned from a message that is not handed over again',
    (c) => {
      c.connected()
      c.receivesMessage({ qos: 2, packetId: 1, topic: 'a' })
      c.receives('publish', { qos: 2, packetId: 1, dup: true, topic: 'a', properties: { topicAlias: 1 } })
      c.receives('publish', { topic: '', properties: { topicAlias: 1 } })
      c.handles('a')
    },
    options,
  )

  for (const topicAlias of [0, 4, 65_535]) {
    conversation(
      `${topicAlias} of 3 ends the connection by 0x94, H1 [5 MQTT-3.1.2-26, 3.3.2-8, -11]`,
      (c) => {
        c.connected()
        c.receives('publish', { properties: { topicAlias } })
        c.closes({ code: topicAlias === 0 ? 'topic-alias-invalid' : 'topic-alias-invalid', reasonCode: 0x94 })
        c.handlesNothing()
      },
      options,
    )
  }

  conversation(
    'end the connection by 0x94 when none were announced, H1 [5 MQTT-3.1.2-27]',
    (c) => {
      c.connected()
      c.receives('publish', { properties: { topicAlias: 1 } })
      c.closes({ code: 'topic-alias-invalid', reasonCode: 0x94 })
    },
    V5,
  )

  conversation(
    'that stand for nothing are a protocol error',
    (c) => {
      c.connected()
      c.receives('publish', { topic: '', properties: { topicAlias: 2 } })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    options,
  )

  conversation(
    'do not outlive their connection [5 MQTT-3.3.2-7]',
    (c) => {
      c.connected()
      c.receives('publish', { topic: 'a', properties: { topicAlias: 1 } })
      c.handles('a')
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { topic: '', properties: { topicAlias: 1 } })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    options,
  )
})

describe('aliases of ours', () => {
  conversation(
    'are not used when the server takes none [5 MQTT-3.2.2-18]',
    (c) => {
      c.connected()
      for (let times = 0; times < 2; times++) {
        c.user.publish('a')
        c.sends('publish', { topic: 'a', properties: undefined })
      }
    },
    V5,
  )

  conversation(
    "stand for the topics used most recently, 'auto' [5 MQTT-3.2.2-17, 3.3.2-9, -12]",
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 2 } })
      const publishes = (topic: string, sent: string, topicAlias: number): void => {
        c.user.publish(topic)
        c.sends('publish', { topic: sent, properties: { topicAlias } })
      }
      publishes('a', 'a', 1)
      publishes('b', 'b', 2)
      publishes('a', '', 1)
      publishes('c', 'c', 2)
      publishes('a', '', 1)
      publishes('b', 'b', 2)
      publishes('c', 'c', 1)
    },
    V5,
  )

  conversation(
    "of the user's are refused above the maximum, with 'auto', too, rule 23 [5 MQTT-3.3.2-9]",
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 2 } })
      expect(() => c.user.publish('a', 'x', { properties: { topicAlias: 3 } })).toThrow(
        'its Topic Alias Maximum is 2',
      )
      c.user.publish('a', 'x', { properties: { topicAlias: 2 } })
      c.sends('publish', { topic: 'a', properties: { topicAlias: 2 } })
    },
    V5,
  )

  conversation(
    'are not asked for in a re-send, which has none, rule 14',
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 5 } })
      const delivery = c.user.publish('a', 'x', { qos: 1, properties: { topicAlias: 5 } })
      c.sends('publish', { topic: 'a', properties: { topicAlias: 5 } })
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { topicAliasMaximum: 1 } })
      c.sends('publish', { topic: 'a', dup: true, packetId: 1 })
      c.receives('puback', { packetId: 1 })
      c.settles(delivery)
    },
    V5,
  )

  conversation(
    'are used at each QoS, but not in a re-send, nor do they outlive the connection, rule 14 [5 MQTT-3.3.2-7]',
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 5 } })
      c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 2 })
      c.sends('publish', { topic: 'a', properties: { topicAlias: 1 } })
      c.sends('publish', { topic: '', properties: { topicAlias: 1 } })
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { topicAliasMaximum: 5 } })
      c.sends('publish', { topic: 'a', dup: true, properties: undefined })
      c.sends('publish', { topic: 'a', dup: true, properties: undefined })
      c.user.publish('a', '3', { qos: 1 })
      c.sends('publish', { topic: 'a', dup: false, properties: { topicAlias: 1 } })
    },
    V5,
  )

  conversation(
    "are not used with 'off', not the user's either",
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 5 } })
      c.user.publish('a')
      c.sends('publish', { topic: 'a', properties: undefined })
      c.user.publish('a', '', { properties: { topicAlias: 5 } })
      c.user.publish('a', '', { qos: 1, properties: { topicAlias: 5 } })
      for (const qos of [0, 1]) {
        const { properties } = c.sends('publish', { topic: 'a', qos })
        expect(properties?.topicAlias).toBeUndefined()
      }
    },
    { ...V5, topicAliases: 'off' },
  )

  conversation(
    "are the user's with 'manual'; the topic is left out once the server knows it",
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 5 } })
      c.user.publish('a')
      c.sends('publish', { topic: 'a', properties: undefined })
      c.user.publish('a', '', { properties: { topicAlias: 5 } })
      c.sends('publish', { topic: 'a', properties: { topicAlias: 5 } })
      c.user.publish('a', '', { properties: { topicAlias: 5, contentType: 't' } })
      c.sends('publish', { topic: '', properties: { topicAlias: 5, contentType: 't' } })
      c.user.publish('b', '', { qos: 1, properties: { topicAlias: 5 } })
      c.sends('publish', { topic: 'b', properties: { topicAlias: 5 } })
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { topicAliasMaximum: 5 } })
      const { properties } = c.sends('publish', { topic: 'b', dup: true })
      expect(properties?.topicAlias).toBeUndefined()
    },
    { ...V5, topicAliases: 'manual' },
  )

  conversation(
    "of the user's above the maximum are refused here, rule 23 [5 MQTT-3.2.2-17, 3.3.2-9]",
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 5 } })
      expect(() => c.user.publish('a', '', { properties: { topicAlias: 6 } })).toThrow('Topic Alias Maximum')
      const delivery = c.user.publish('a', '', { qos: 1, properties: { topicAlias: 6 } })
      c.settles(delivery, { code: 'publish-refused', error: { reasonCode: 0x94, local: true } })
    },
    { ...V5, topicAliases: 'manual' },
  )

  conversation(
    'are left out in 3.1.1 like any property, rule 2',
    (c) => {
      c.connected()
      c.user.publish('a', '', { properties: { topicAlias: 6 } })
      c.sends('publish', { topic: 'a' })
      c.user.publish('a', '', { qos: 1, properties: { topicAlias: 6 } })
      c.sends('publish', { topic: 'a' })
      expect(c.traffic.propertiesLeftOut).toBe(2)
    },
    { versions: ['3.1.1'], topicAliases: 'manual' },
  )
})

/** What comes at the wrong time: last words that nobody has read, answers to what was never sent, packets that do not fit. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
const store = { store: true } as const

describe('a stream that ends while reading is stopped', () => {
  conversation(
    'ends by the DISCONNECT that lies in what was not read; a session that was taken over is doubtful, decision 10',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1, payload: '1' }))
      c.sends('pubrec', { packetId: 1 })
      c.reads(false)
      c.receives('disconnect', { reasonCode: 0x8e })
      c.lives()
      c.connection.handleEnd(new Error('EPIPE'), c.now)
      c.pump()
      c.closes({ code: 'server-disconnected' })
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 1, payload: '2' })
      c.handles('a', { payload: '2' })
    },
    V5,
  )

  conversation('ends as lost when there is none, or when it is broken', (c) => {
    for (const bytes of ['d0 00', '30 02 00', 'ff ff ff ff ff ff']) {
      c.connected()
      c.reads(false)
      c.receivesBytes(bytes)
      c.connection.handleEnd(new Error('EPIPE'), c.now)
      c.pump()
      c.closes({ code: 'connection-lost' })
    }
  })
})

describe('a message of the session that waits for its second sending', () => {
  conversation(
    'does not keep a full window alive in which nothing is acknowledged, rule 17',
    (c) => {
      c.connected()
      const [first, ...others] = ['1', '2', '3'].map((text) =>
        c.user.publish('a', text, { qos: 1, timeout: 30_000 }),
      )
      for (const packetId of [1, 2, 3]) c.sends('publish', { packetId })
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { receiveMaximum: 1 } })
      c.sends('publish', { packetId: 1, dup: true })
      c.passes(30_000)
      if (first !== undefined) c.outwaits(first)
      expect(others.every(({ state }) => state === 'published')).toBe(true)
      c.passes(30_000)
      c.closes({ code: 'operation-timeout' })
    },
    V5,
  )

  conversation(
    'is new when its record was all that was made of it: aliases and expiry are looked at, rules 21, 24',
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 5 } })
      c.stores()
      const aliased = c.user.publish('a', 'x', { qos: 1, properties: { topicAlias: 5 } })
      const dated = c.user.publish('a', 'y', { qos: 1, properties: { messageExpiryInterval: 10 } })
      c.sendsNothing()
      c.cut()
      c.stores()
      c.passes(10_000)
      c.reconnected({ sessionPresent: true, properties: { topicAliasMaximum: 1 } })
      c.settles(aliased, { code: 'publish-refused' })
      c.settles(dated, { code: 'expired' })
      c.stores()
      c.sendsNothing()
      expect(c.session.ids.size).toBe(0)
    },
    { ...store, ...V5, topicAliases: 'manual' },
  )
})

describe('an acknowledgement of a PUBLISH that waits for its record', () => {
  for (const qos of [1, 2] as const) {
    conversation(
      `at QoS ${qos} is one of an unknown identifier, rule 12`,
      (c) => {
        c.connected()
        c.stores()
        const sent = c.user.publish('a', 'x', { qos })
        const waiting = c.user.publish('a', 'y', { qos })
        c.stores()
        c.sends('publish', { packetId: 1 })
        c.sends('publish', { packetId: 2 })
        const late = c.user.publish('a', 'z', { qos })
        c.sendsNothing()
        const answer = qos === 1 ? 'puback' : 'pubrec'
        for (const packetId of [1, 2, 3]) c.receives(answer, { packetId })
        if (qos === 1) for (const delivery of [sent, waiting]) c.settles(delivery)
        expect(late.state).toBe('published')
        c.stores()
        c.sends('publish', { packetId: 3 })
        if (qos === 2) for (const packetId of [1, 2]) c.sends('pubrel', { packetId })
      },
      { ...store, versions: ['3.1.1'] },
    )
  }
})

describe('a message of QoS 0 that was queued', () => {
  conversation(
    'is not in the store: restored, it could be sent twice',
    (c) => {
      c.session.queue(c.user.delivery('a', 'x', 0))
      c.session.queue(c.user.delivery('b', 'y', 1))
      c.stores()
      c.connected()
      c.sends('publish', { qos: 0, payload: 'x' })
      c.restarts()
      c.connected()
      c.stores()
      c.sends('publish', { qos: 1, payload: 'y' })
    },
    store,
  )
})

describe('DISCONNECT that is too large for the server', () => {
  conversation(
    'loses its words and not its Session Expiry Interval [5 MQTT-3.14.2-3, -4]',
    (c) => {
      c.connected({ properties: { maximumPacketSize: 20 } })
      c.user.disconnect(0, { sessionExpiryInterval: 0, reasonString: 'a long farewell to you all' })
      const { properties } = c.sends('disconnect', { reasonCode: 0 })
      expect(properties).toEqual({ sessionExpiryInterval: 0 })
      c.closes()
    },
    V5,
  )
})

describe('a message that ends connections', () => {
  conversation(
    'is not to blame when it was silence, or another client, that ended them, rule 8',
    (c) => {
      c.connected({ properties: { serverKeepAlive: 60 } })
      c.user.publish('a', '1', { qos: 1, timeout: 0 })
      c.sends('publish')
      for (let times = 0; times < 4; times++) {
        c.receives('disconnect', { reasonCode: 0x8e })
        c.closes({ code: 'server-disconnected' })
        c.reconnected({ sessionPresent: true, properties: { serverKeepAlive: 60 } })
        c.sends('publish', { packetId: 1, dup: true })
        c.passes(60_000)
        c.sends('pingreq')
        c.passes(10_000)
        c.closes({ code: 'ping-timeout' })
        c.reconnected({ sessionPresent: true, properties: { serverKeepAlive: 60 } })
        c.sends('publish', { packetId: 1, dup: true })
      }
      c.lives()
    },
    V5,
  )
})

describe('a server that sends and does not read', () => {
  conversation(
    'is left when more than maxOutput waits for it',
    (c) => {
      c.connected()
      c.congests()
      for (let id = 1; id <= 10; id++) c.receives('pubrel', { packetId: id })
      c.lives()
      for (let id = 11; id <= 20; id++) c.receives('pubrel', { packetId: id })
      c.closes({ code: 'connection-lost' })
    },
    { maxOutput: 60 },
  )
})

/** A session over several network connections: 4.1 and 4.4, rules 5, 8, 14 and 16. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'
import type { Conversation } from '../../testing/conversation.ts'

const V5 = { versions: ['5'] } as const

describe('a session that both sides have', () => {
  conversation(
    'repeats an unacknowledged PUBLISH with DUP and its identifier, rule 14, scenario 45 [3.1.1 MQTT-3.3.1-1, 2.3.1-3, 4.4.0-1] [5 MQTT-3.3.1-1, 4.4.0-1]',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('b', '2', { qos: 2, retain: true })
      c.sends('publish', { packetId: 1, dup: false })
      c.sends('publish', { packetId: 2, dup: false })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true, topic: 'a', payload: '1', qos: 1, retain: false })
      c.sends('publish', { packetId: 2, dup: true, topic: 'b', payload: '2', qos: 2, retain: true })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.receives('pubrec', { packetId: 2 })
      c.sends('pubrel', { packetId: 2 })
      c.receives('pubcomp', { packetId: 2 })
      c.settles(second)
    },
  )

  conversation(
    'repeats PUBREL, not PUBLISH, after a cut between PUBREC and PUBCOMP, rule 14, scenario 45 [3.1.1 MQTT-4.4.0-1, 4.3.3-1] [5 MQTT-4.4.0-1, 4.3.3-5, -6]',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish', { packetId: 1, qos: 2, dup: false })
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel', { packetId: 1 })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('pubrel', { packetId: 1 })
      c.receives('pubcomp', { packetId: 1 })
      c.settles(delivery)
    },
  )

  conversation(
    'repeats PUBREL on each connection until PUBCOMP comes, and answers PUBCOMP 0x92 as success, rule 13',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish')
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel')
      for (let times = 0; times < 3; times++) {
        c.cut()
        c.reconnected({ sessionPresent: true })
        c.sends('pubrel', { packetId: 1 })
        c.sendsNothing()
      }
      c.receives('pubcomp', { packetId: 1, reasonCode: 0x92 })
      c.settles(delivery)
    },
  )

  conversation(
    'repeats PUBRELs in the order of the PUBRECs, then PUBLISHes in first order, then new ones, rule 14, scenario 46 [3.1.1 MQTT-4.6.0-1, -4] [5 MQTT-4.6.0-1, -4]',
    (c) => {
      c.connected()
      for (let id = 1; id <= 100; id++) c.user.publish('a', `${id}`, { qos: id % 2 === 0 ? 2 : 1 })
      for (let id = 1; id <= 100; id++) c.sends('publish', { packetId: id })
      for (const packetId of [60, 4, 88]) {
        c.receives('pubrec', { packetId })
        c.sends('pubrel', { packetId })
      }
      for (const packetId of [77, 3]) {
        c.receives('puback', { packetId })
        c.tells('delivery')
      }
      c.cut()
      c.user.publish('a', 'new', { qos: 1 })
      c.reconnected({ sessionPresent: true })
      for (const packetId of [60, 4, 88]) c.sends('pubrel', { packetId })
      for (let id = 1; id <= 100; id++) {
        if ([60, 4, 88, 77, 3].includes(id)) continue
        c.sends('publish', { packetId: id, dup: true, payload: `${id}` })
      }
      c.sends('publish', { packetId: 101, dup: false, payload: 'new' })
    },
    { maxInflightQos2: 100 },
  )

  conversation('repeats once for each connection, as often as it is cut [5 MQTT-4.4.0-1]', (c) => {
    c.connected()
    c.user.publish('a', 'x', { qos: 1 })
    c.sends('publish', { packetId: 1, dup: false })
    c.cut()
    c.reconnected({ sessionPresent: true })
    c.sends('publish', { packetId: 1, dup: true })
    c.user.resume()
    c.passes(60_000)
    c.sendsNothing()
    c.cut()
    c.reconnected({ sessionPresent: true })
    c.sends('publish', { packetId: 1, dup: true })
  })

  conversation(
    'goes on where PUBLISH never left: without DUP [3.1.1 MQTT-4.3.2-1] [5 MQTT-4.3.2-2]',
    (c) => {
      c.connected({ properties: { receiveMaximum: 1 } })
      c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1, payload: '1' })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, payload: '1', dup: true })
      c.sends('publish', { packetId: 2, payload: '2', dup: false })
    },
    V5,
  )

  conversation(
    'asks no SUBSCRIBE or UNSUBSCRIBE again by itself: they are no session state, rule 14',
    (c) => {
      c.connected()
      const subscribe = c.user.subscribe('a')
      const unsubscribe = c.user.unsubscribe('b')
      const ping = c.user.ping()
      c.sends('subscribe', { packetId: 1 })
      c.sends('unsubscribe', { packetId: 2 })
      c.sends('pingreq')
      c.cut()
      for (const operation of [subscribe, unsubscribe, ping]) {
        c.settles(operation, { code: 'connection-lost', interrupted: true })
      }
      c.reconnected({ sessionPresent: true })
      c.sendsNothing()
      c.user.subscribe('a')
      c.sends('subscribe', { packetId: 3 })
      expect(c.session.ids.size).toBe(1)
    },
  )

  conversation('lets go first what must precede publishes, rule 14', (c) => {
    c.connected()
    c.user.publish('a', 'x', { qos: 1 })
    c.sends('publish')
    c.cut()
    c.connected({ sessionPresent: true }, false)
    c.sendsNothing()
    c.user.subscribe('a')
    c.user.resume()
    c.sends('subscribe')
    c.sends('publish', { dup: true })
  })

  conversation(
    'takes an answer to what it has not repeated yet, and does not repeat it then',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 1 })
      const third = c.user.publish('a', '3', { qos: 2 })
      for (const packetId of [1, 2, 3]) c.sends('publish', { packetId })
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { receiveMaximum: 1 } })
      c.sends('publish', { packetId: 1, dup: true })
      c.receives('puback', { packetId: 2 })
      c.settles(second)
      c.receives('pubrec', { packetId: 3 })
      c.sends('pubrel', { packetId: 3 })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.sendsNothing()
      c.receives('pubcomp', { packetId: 3 })
      c.settles(third)
      c.user.publish('a', '4', { qos: 1 })
      c.sends('publish', { packetId: 4, dup: false })
      c.user.publish('a', '5', { qos: 1 })
      c.sendsNothing()
    },
    V5,
  )
})

describe('a session that the server has lost', () => {
  conversation(
    'sends QoS 1 again as new messages, in order, rule 16, scenario 10 [3.1.1 MQTT-3.2.2-3] [5 MQTT-3.2.2-5, 3.3.1-3]',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      const third = c.user.publish('a', '3', { qos: 1 })
      c.sends('publish', { packetId: 3 })
      c.cut()
      const fourth = c.user.publish('a', '4', { qos: 1 })
      const before = c.session
      c.reconnected({ sessionPresent: false })
      expect(c.session).not.toBe(before)
      c.sends('publish', { packetId: 1, payload: '2', dup: false })
      c.sends('publish', { packetId: 2, payload: '3', dup: false })
      c.sends('publish', { packetId: 3, payload: '4', dup: false })
      for (const packetId of [1, 2, 3]) c.receives('puback', { packetId })
      for (const delivery of [second, third, fourth]) c.settles(delivery)
    },
  )

  conversation(
    'gives a QoS 2 message that was on the wire an unknown outcome, and no PUBREL, rule 16',
    (c) => {
      c.connected()
      const published = c.user.publish('a', '1', { qos: 2 })
      const released = c.user.publish('a', '2', { qos: 2 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.receives('pubrec', { packetId: 2 })
      c.sends('pubrel', { packetId: 2 })
      c.cut()
      const waiting = c.user.publish('a', '3', { qos: 2 })
      c.reconnected({ sessionPresent: false })
      c.settles(published, { code: 'outcome-unknown', error: { kept: false } })
      c.settles(released, { code: 'outcome-unknown' })
      c.sends('publish', { packetId: 1, payload: '3', dup: false })
      expect(waiting.state).toBe('published')
    },
  )

  conversation(
    "gives up what the server may have when the user says so, rule 16 onSessionLost 'fail'",
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      c.sends('publish')
      c.cut()
      c.user.publish('a', '2', { qos: 1 })
      c.reconnected({ sessionPresent: false })
      c.settles(first, { code: 'session-lost', error: { kept: false } })
      c.sends('publish', { packetId: 1, payload: '2', dup: false })
    },
    { onSessionLost: 'fail' },
  )

  conversation(
    'sends QoS 2 that never left as what it is: a new message, rule 16',
    (c) => {
      c.connected({ properties: { receiveMaximum: 1 } })
      c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 2 })
      c.sends('publish', { payload: '1' })
      c.cut()
      c.reconnected({ sessionPresent: false })
      c.sends('publish', { packetId: 1, payload: '1', dup: false })
      c.sends('publish', { packetId: 2, payload: '2', dup: false })
    },
    V5,
  )

  conversation('lets nobody wait for an abandoned message again: it is dropped, rule 17', (c) => {
    c.connected()
    const delivery = c.user.publish('a', '1', { qos: 1 })
    c.sends('publish')
    c.user.abandon(delivery)
    c.cut()
    c.reconnected({ sessionPresent: false })
    c.settles(delivery, { code: 'session-lost' })
    c.sendsNothing()
  })

  conversation(
    'forgets received QoS 2 identifiers: the next message is new, rule 16 [3.1.1 MQTT-3.1.2-6] [5 MQTT-3.2.2-5]',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 5, payload: '1' }))
      c.sends('pubrec', { packetId: 5 })
      c.cut()
      c.reconnected({ sessionPresent: false })
      c.receives('publish', { qos: 2, packetId: 5, payload: '2' })
      c.user.acknowledge(c.handles('a', { payload: '2' }))
      c.sends('pubrec', { packetId: 5 })
    },
  )

  conversation('drops acknowledgements of the old one, rule 20', (c) => {
    c.connected()
    const first = c.receivesMessage({ qos: 1, packetId: 1 })
    const second = c.receivesMessage({ qos: 2, packetId: 2 })
    c.cut()
    c.reconnected({ sessionPresent: false })
    const third = c.receivesMessage({ qos: 2, packetId: 2 })
    c.user.acknowledge(first)
    c.user.acknowledge(second)
    c.sendsNothing()
    c.user.acknowledge(third)
    c.sends('pubrec', { packetId: 2 })
  })

  conversation('is told of though nothing was open: subscriptions are lost with it, rule 16', (c) => {
    c.connected()
    c.cut()
    c.opens()
    c.sends('connect')
    c.receives('connack', { sessionPresent: false })
    expect(c.tells('sessionLost').failed).toEqual([])
    c.tells('connected')
  })

  conversation('is the same case when the user asked for a clean one, rules 5, 16', (c) => {
    c.connected()
    c.user.publish('a', '1', { qos: 1 })
    c.sends('publish', { packetId: 1 })
    c.cut()
    c.opens({ cleanStart: true })
    c.sends('connect', { cleanStart: true })
    c.accepts()
    c.user.resume()
    c.sends('publish', { packetId: 1, dup: false })
  })

  conversation(
    'may go on to send old messages all the same: they are acknowledged, scenario 11 [3.1.1 MQTT-4.5.0-2] [5 MQTT-4.5.0-2]',
    (c) => {
      c.connected()
      c.cut()
      c.reconnected({ sessionPresent: false })
      c.user.acknowledge(c.receivesMessage({ qos: 1, packetId: 9, dup: true }))
      c.sends('puback', { packetId: 9 })
      c.receives('pubrel', { packetId: 4 })
      c.sends('pubcomp', { packetId: 4, reasonCode: c.is5 ? 0x92 : 0 })
    },
  )
})

describe('a message that ends each connection', () => {
  for (const qos of [1, 2] as const) {
    conversation(
      `at QoS ${qos} is given up the third time, and its identifier stays reserved, rule 8`,
      (c) => {
        c.connected()
        const poison = c.user.publish('a', 'poison', { qos })
        const next = c.user.publish('a', 'next', { qos: 1 })
        c.sends('publish', { packetId: 1, dup: false })
        c.sends('publish', { packetId: 2, dup: false })
        for (let times = 1; times < 3; times++) {
          c.cut()
          c.reconnected({ sessionPresent: true })
          c.sends('publish', { packetId: 1, dup: true })
          c.sends('publish', { packetId: 2, dup: true })
        }
        c.cut()
        c.settles(poison, { code: 'poison-delivery', error: { outcome: 'pending' } })
        c.reconnected({ sessionPresent: true })
        c.sends('publish', { packetId: 2, payload: 'next', dup: true })
        expect(c.session.ids.size).toBe(2)
        c.receives('puback', { packetId: 2 })
        c.settles(next)
        expect(c.session.ids.size).toBe(1)
        if (qos === 1) c.receives('puback', { packetId: 1 })
        else c.receives('pubcomp', { packetId: 1 })
        c.lives()
      },
    )
  }

  conversation('is not to blame once anything was acknowledged, rule 8', (c) => {
    c.connected()
    c.user.publish('a', '1', { qos: 1 })
    const second = c.user.publish('a', '2', { qos: 1 })
    c.sends('publish', { packetId: 1 })
    c.sends('publish', { packetId: 2 })
    for (let times = 0; times < 2; times++) {
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true })
      c.sends('publish', { packetId: 2, dup: true })
    }
    c.receives('puback', { packetId: 2 })
    c.settles(second)
    for (let times = 0; times < 2; times++) {
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true })
    }
  })

  conversation('is not to blame at QoS 2 after its PUBREC, rule 8', (c) => {
    c.connected()
    c.user.publish('a', '1', { qos: 2 })
    c.sends('publish')
    c.receives('pubrec', { packetId: 1 })
    c.sends('pubrel')
    for (let times = 0; times < 5; times++) {
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('pubrel', { packetId: 1 })
    }
  })

  conversation('is not to blame when attempts fail before CONNACK, or the user disconnects, rule 8', (c) => {
    c.connected()
    c.user.publish('a', '1', { qos: 1 })
    c.sends('publish')
    for (let times = 0; times < 4; times++) {
      c.user.disconnect()
      c.sends('disconnect')
      c.closes()
      c.opens()
      c.sends('connect')
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true })
    }
  })

  conversation(
    'is tried for ever with poisonLimit 0, rule 8',
    (c) => {
      c.connected()
      c.user.publish('a', '1', { qos: 1 })
      c.sends('publish')
      for (let times = 0; times < 10; times++) {
        c.cut()
        c.reconnected({ sessionPresent: true })
        c.sends('publish', { packetId: 1, dup: true })
      }
    },
    { poisonLimit: 0 },
  )

  conversation(
    'ends it by DISCONNECT as well as by silence, rule 8',
    (c) => {
      c.connected()
      const poison = c.user.publish('a', '1', { qos: 1 })
      c.sends('publish')
      for (let times = 1; times < 3; times++) {
        c.receives('disconnect', { reasonCode: 0x99 })
        c.closes({ code: 'server-disconnected' })
        c.reconnected({ sessionPresent: true })
        c.sends('publish', { packetId: 1, dup: true })
      }
      c.receives('disconnect', { reasonCode: 0x99 })
      c.settles(poison, { code: 'poison-delivery' })
      c.closes({ code: 'server-disconnected' })
    },
    V5,
  )
})

describe('a session in doubt: a CONNECT had no answer, or another client took it over', () => {
  /** The server has lost the session and begun another one; the CONNACK that says so is lost. */
  const beginsAnotherUnheard = (c: Conversation): void => {
    c.cut()
    c.opens()
    c.sends('connect')
    c.cut()
  }

  conversation(
    'takes a PUBLISH without DUP for a new message, though the identifier is open [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1, payload: '1' }))
      c.sends('pubrec', { packetId: 1 })
      const old = c.receivesMessage({ qos: 2, packetId: 2, payload: '2' })
      beginsAnotherUnheard(c)
      c.reconnected({ sessionPresent: true })
      const third = c.receivesMessage({ qos: 2, packetId: 1, payload: '3' })
      c.user.acknowledge(third)
      c.sends('pubrec', { packetId: 1 })
      const fourth = c.receivesMessage({ qos: 2, packetId: 2, payload: '4' })
      c.user.acknowledge(old)
      c.sendsNothing()
      c.user.acknowledge(fourth)
      c.sends('pubrec', { packetId: 2 })
      // These exchanges are not in doubt: repeated, with DUP or without, they are answered only.
      for (const dup of [true, false]) {
        c.receives('publish', { qos: 2, packetId: 1, payload: '3', dup })
        c.handlesNothing()
        c.sends('pubrec', { packetId: 1 })
      }
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 2, payload: '4' })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 2 })
    },
  )

  conversation('knows a repeated PUBLISH by DUP, rule 18', (c) => {
    c.connected()
    c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
    c.sends('pubrec', { packetId: 1 })
    beginsAnotherUnheard(c)
    c.reconnected({ sessionPresent: true })
    for (const dup of [true, false]) {
      c.receives('publish', { qos: 2, packetId: 1, dup })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 1 })
    }
    c.receives('pubrel', { packetId: 1 })
    c.sends('pubcomp', { packetId: 1, reasonCode: 0 })
  })

  conversation(
    'is in doubt after DISCONNECT 0x8E',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1, payload: '1' }))
      c.sends('pubrec', { packetId: 1 })
      c.receives('disconnect', { reasonCode: 0x8e })
      c.closes({ code: 'server-disconnected' })
      c.reconnected({ sessionPresent: true })
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1, payload: '2' }))
      c.sends('pubrec', { packetId: 1 })
    },
    V5,
  )

  conversation('is in none after a refusal: the server has answered', (c) => {
    c.connected()
    c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
    c.sends('pubrec', { packetId: 1 })
    c.cut()
    c.opens()
    c.sends('connect')
    c.receives('connack', { reasonCode: c.is5 ? 0x88 : 3 })
    c.closes({ code: 'connection-refused' })
    c.reconnected({ sessionPresent: true })
    c.receives('publish', { qos: 2, packetId: 1 })
    c.handlesNothing()
    c.sends('pubrec', { packetId: 1 })
  })

  conversation(
    'is in doubt after a restart, too: the process may have died before CONNACK',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1, payload: '1' }))
      c.stores()
      c.sends('pubrec', { packetId: 1 })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1, payload: '2' }))
      c.sendsNothing()
      c.stores()
      c.sends('pubrec', { packetId: 1 })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 1, payload: '2', dup: true })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 1 })
    },
    { store: true },
  )
})

/** PUBLISH on its way out, and the exchanges behind it: 3.3 to 3.7 and 4.3, rules 12, 13 and 22. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const

describe('QoS 0', () => {
  conversation(
    'leaves once, without a packet identifier and with DUP 0 [3.1.1 MQTT-2.3.1-5, 3.3.1-2, 4.3.1-1] [5 MQTT-2.2.1-2, 3.3.1-2, 4.3.1-1]',
    (c) => {
      c.connected()
      c.user.publish('a/b', 'x')
      c.sends('publish', { topic: 'a/b', payload: 'x', qos: 0, packetId: 0, dup: false, retain: false })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sendsNothing()
    },
  )

  conversation('carries retain and an empty payload [3.1.1 MQTT-3.3.1-10]', (c) => {
    c.connected()
    c.user.publish('a', '', { retain: true })
    c.sends('publish', { topic: 'a', payload: '', retain: true })
  })

  conversation('carries its properties in 5 and counts them as left out in 3.1.1, rule 2', (c) => {
    c.connected()
    c.user.publish('a', 'x', {
      properties: {
        contentType: 't',
        userProperties: [
          ['k', 'v'],
          ['k', 'w'],
        ],
      },
    })
    if (c.is5)
      c.sends('publish', {
        properties: {
          contentType: 't',
          userProperties: [
            ['k', 'v'],
            ['k', 'w'],
          ],
        },
      })
    else c.sends('publish', { properties: undefined })
    expect(c.traffic.propertiesLeftOut).toBe(c.is5 ? 0 : 1)
  })

  conversation('may go from its parts when nothing limits it', (c) => {
    c.connected()
    expect(c.connection.canSend).toBe(true)
    c.connection.send(Uint8Array.of(0, 1, 0x61), 'ü', 2)
    c.pump()
    c.sends('publish', { topic: 'a', payload: 'ü', qos: 0 })
  })

  conversation(
    'may not go from its parts where properties or limits matter',
    (c) => {
      c.connected({ properties: { topicAliasMaximum: 1 } })
      expect(c.connection.canSend).toBe(false)
    },
    V5,
  )
})

describe('QoS 1', () => {
  conversation('is over with PUBACK [3.1.1 MQTT-4.3.2-1] [5 MQTT-4.3.2-1, -2, -3]', (c) => {
    c.connected()
    const delivery = c.user.publish('a', 'x', { qos: 1 })
    c.sends('publish', { packetId: 1, qos: 1, dup: false, topic: 'a', payload: 'x' })
    c.receives('puback', { packetId: 1 })
    c.settles(delivery, { reasonCode: 0 })
    expect(c.session.ids.size).toBe(0)
  })

  conversation('has an identifier of its own while it is open [3.1.1 MQTT-2.3.1-2] [5 MQTT-2.2.1-3]', (c) => {
    c.connected()
    const first = c.user.publish('a', '1', { qos: 1 })
    const second = c.user.publish('a', '2', { qos: 2 })
    c.user.subscribe('f')
    c.sends('publish', { packetId: 1, qos: 1 })
    c.sends('publish', { packetId: 2, qos: 2 })
    c.sends('subscribe', { packetId: 3 })
    c.receives('puback', { packetId: 1 })
    c.settles(first)
    c.user.publish('a', '3', { qos: 1 })
    c.sends('publish', { packetId: 4 })
    expect(second.state).toBe('published')
  })

  conversation(
    'that nobody wanted is a success, rule 13 [5 MQTT-3.4.2-1]',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 1 })
      c.sends('publish')
      c.receives('puback', { packetId: 1, reasonCode: 0x10, properties: { reasonString: 'nobody' } })
      c.settles(delivery, { reasonCode: 0x10, result: { reasonString: 'nobody' } })
    },
    V5,
  )

  conversation(
    'that is refused is over: it is never sent again, and its identifier free, rule 13, scenario 59 [5 MQTT-4.4.0-2]',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.receives('puback', { packetId: 1, reasonCode: 0x87, properties: { reasonString: 'no' } })
      c.settles(first, {
        code: 'publish-refused',
        error: { reasonCode: 0x87, reasonString: 'no', local: false },
      })
      c.receives('puback', { packetId: 2, reasonCode: 0x97 })
      c.settles(second, { code: 'publish-refused', error: { reasonCode: 0x97 } })
      expect(c.session.ids.size).toBe(0)
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sendsNothing()
    },
    V5,
  )

  conversation(
    'is not sent again on a living connection, rule 14, scenario 47 [3.1.1 section 4.4] [5 MQTT-4.4.0-1]',
    (c) => {
      c.connected()
      c.user.publish('a', 'x', { qos: 1 })
      c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.receives('pubrec', { packetId: 2 })
      c.sends('pubrel', { packetId: 2 })
      c.passes(3_600_000)
      c.sendsNothing()
      c.lives()
    },
  )
})

describe('QoS 2', () => {
  conversation(
    'passes PUBREC, PUBREL and PUBCOMP with one identifier [3.1.1 MQTT-4.3.3-1, 3.6.1-1] [5 MQTT-4.3.3-1 to -5]',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2, retain: true })
      c.sends('publish', { packetId: 1, qos: 2, dup: false, retain: true })
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel', { packetId: 1, reasonCode: 0 })
      expect(c.session.ids.size).toBe(1)
      c.receives('pubcomp', { packetId: 1 })
      c.settles(delivery, { reasonCode: 0 })
      expect(c.session.ids.size).toBe(0)
    },
  )

  conversation('releases in the order of the PUBRECs [3.1.1 MQTT-4.6.0-4] [5 MQTT-4.6.0-4]', (c) => {
    c.connected()
    for (const payload of ['1', '2', '3']) c.user.publish('a', payload, { qos: 2 })
    for (const packetId of [1, 2, 3]) c.sends('publish', { packetId })
    c.receivesBytes(...[3, 1, 2].map((packetId) => c.packet('pubrec', { packetId })))
    for (const packetId of [3, 1, 2]) c.sends('pubrel', { packetId })
  })

  conversation(
    'answers PUBREC again by PUBREL again, never by PUBLISH, rule 12, scenario 39 [3.1.1 MQTT-4.3.3-1] [5 MQTT-4.3.3-6]',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish')
      c.receives('pubrec', { packetId: 1 })
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel', { packetId: 1 })
      c.sends('pubrel', { packetId: 1 })
      c.receives('pubcomp', { packetId: 1 })
      c.settles(delivery)
      c.receives('pubcomp', { packetId: 1 })
      c.lives()
      expect(c.traffic.unknownAcknowledgements).toBe(1)
    },
  )

  conversation(
    'ends with a PUBREC that refuses: no PUBREL, rule 13, scenario 59 [5 MQTT-4.3.3-4, 4.4.0-2]',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish')
      c.receives('pubrec', { packetId: 1, reasonCode: 0x97 })
      c.settles(delivery, { code: 'publish-refused', error: { reasonCode: 0x97 } })
      c.sendsNothing()
      expect(c.session.ids.size).toBe(0)
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sendsNothing()
    },
    V5,
  )

  conversation(
    'goes on after a PUBREC that found no subscribers, rule 13',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish')
      c.receives('pubrec', { packetId: 1, reasonCode: 0x10 })
      c.sends('pubrel', { packetId: 1, reasonCode: 0 })
      c.receives('pubcomp', { packetId: 1 })
      c.settles(delivery)
    },
    V5,
  )

  conversation(
    'resolves by PUBCOMP 0x92: the server has released it before, rule 13',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sends('publish')
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel')
      c.receives('pubcomp', { packetId: 1, reasonCode: 0x92 })
      c.settles(delivery, { reasonCode: 0 })
    },
    V5,
  )
})

describe('an acknowledgement', () => {
  conversation('of an unknown identifier is ignored and counted, rule 12, scenarios 36, 38', (c) => {
    c.connected()
    c.receives('puback', { packetId: 7 })
    c.receives('pubcomp', { packetId: 8 })
    c.sendsNothing()
    c.lives()
    expect(c.traffic.unknownAcknowledgements).toBe(2)
  })

  conversation(
    'PUBREC of an unknown identifier gets PUBREL, rule 12, scenario 40 [3.1.1 MQTT-4.3.3-1] [5 MQTT-3.6.2-1]',
    (c) => {
      c.connected()
      c.receives('pubrec', { packetId: 7 })
      c.sends('pubrel', { packetId: 7, reasonCode: c.is5 ? 0x92 : 0 })
      c.receives('pubcomp', { packetId: 7, reasonCode: c.is5 ? 0x92 : 0 })
      c.sendsNothing()
      c.lives()
    },
  )

  conversation(
    'PUBREC of an unknown identifier that refuses gets nothing, rule 12',
    (c) => {
      c.connected()
      c.receives('pubrec', { packetId: 7, reasonCode: 0x87 })
      c.sendsNothing()
      c.lives()
    },
    V5,
  )

  conversation(
    'that comes a second time does not complete the next message, scenario 38 [3.1.1 MQTT-2.3.1-3]',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      c.receivesBytes(c.packet('puback', { packetId: 1 }), c.packet('puback', { packetId: 1 }))
      c.settles(first)
      const second = c.user.publish('a', '2', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.receives('puback', { packetId: 1 })
      expect(second.state).toBe('published')
    },
  )

  for (const [what, qos, type] of [
    ['PUBACK of a QoS 2 message', 2, 'puback'],
    ['PUBREC of a QoS 1 message', 1, 'pubrec'],
    ['PUBCOMP of a QoS 1 message', 1, 'pubcomp'],
    ['PUBCOMP before PUBREL', 2, 'pubcomp'],
  ] as const) {
    conversation(`${what} is a protocol error, rule 13, scenario 37, H6 [3.1.1 MQTT-4.8.0-1]`, (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos })
      c.sends('publish')
      c.receives(type, { packetId: 1 })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
      expect(delivery.state).toBe('published')
    })
  }

  for (const type of ['puback', 'pubrec', 'pubcomp'] as const) {
    conversation(`${type.toUpperCase()} of a SUBSCRIBE is a protocol error, rule 13, H6`, (c) => {
      c.connected()
      const operation = c.user.subscribe('f')
      c.sends('subscribe', { packetId: 1 })
      c.receives(type, { packetId: 1 })
      c.settles(operation, { code: 'protocol-error', interrupted: true })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    })
  }

  conversation('with the identifier 0 ends the connection [3.1.1 MQTT-2.3.1-1]', (c) => {
    for (const header of ['40', '50', '62', '70']) {
      c.connected()
      c.receivesBytes(`${header} 02 00 00`)
      const error = c.closes({ code: 'malformed-packet', reasonCode: 0x81 })
      expect(error?.message).toContain('packet identifier 0')
    }
  })

  conversation(
    'with an undefined reason code is a protocol error, rule 13 [5 MQTT-3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1]',
    (c) => {
      for (const header of ['40', '50', '62', '70']) {
        c.connected()
        c.receivesBytes(`${header} 03 00 01 01`)
        c.closes({ code: 'protocol-error', reasonCode: 0x82 })
      }
    },
    V5,
  )

  conversation(
    'has no reason code in 3.1.1 [3.1.1 MQTT-4.8.0-1]',
    (c) => {
      c.connected()
      c.receivesBytes('40 03 00 01 00')
      c.closes({ code: 'malformed-packet' })
    },
    V311,
  )
})

describe('output', () => {
  conversation('is in the shortest form: acknowledgements of four bytes, DISCONNECT of two, rule 22', (c) => {
    c.connected()
    const before = c.traffic.bytesOut
    c.user.acknowledge(c.receivesMessage({ qos: 1, packetId: 1 }))
    expect(c.traffic.bytesOut - before).toBe(4)
    c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
    expect(c.traffic.bytesOut - before).toBe(8)
    c.receives('pubrel', { packetId: 1 })
    expect(c.traffic.bytesOut - before).toBe(12)
    c.user.disconnect()
    expect(c.traffic.bytesOut - before).toBe(14)
    for (const type of ['puback', 'pubrec', 'pubcomp', 'disconnect'] as const) c.sends(type)
    c.closes()
  })

  conversation('stops binding identifiers at the high-water mark, and goes on when the network does', (c) => {
    c.connected()
    c.congests()
    const payload = 'x'.repeat(100_000)
    for (let count = 0; count < 6; count++) c.user.publish('a', payload, { qos: 1 })
    expect(c.session.published.size).toBe(3)
    c.congests(false)
    for (let packetId = 1; packetId <= 6; packetId++) c.sends('publish', { packetId })
  })

  conversation(
    'carries a large payload that was lent, at once and copied when the caller stops waiting, rule 17',
    (c) => {
      c.connected()
      const payload = new Uint8Array(10_000).fill(0x61)
      const delivery = c.user.publish('a', payload, { qos: 1, lent: true })
      c.sends('publish', { payload: 'a'.repeat(10_000) })
      c.user.abandon(delivery)
      payload.fill(0x62)
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { payload: 'a'.repeat(10_000), dup: true })
    },
  )
})

describe('a message that waits in the queue', () => {
  conversation(
    'at QoS 0 is written in its turn and is over, without an identifier, rule 21 queue.qos0',
    (c) => {
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.delivery('a', '2', 0)
      c.session.queue(second)
      const third = c.user.publish('a', '3', { qos: 1 })
      c.connected({ properties: { receiveMaximum: 1 } })
      c.sends('publish', { payload: '1', qos: 1, packetId: 1 })
      c.sends('publish', { payload: '2', qos: 0, packetId: 0, dup: false })
      c.settles(second)
      if (!c.is5) c.sends('publish', { payload: '3', packetId: 2 })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      if (c.is5) c.sends('publish', { payload: '3', packetId: 2 })
      expect(third.state).toBe('published')
    },
  )
})

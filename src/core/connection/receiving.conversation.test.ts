/** PUBLISH on its way in and our answers: 4.3, 4.5 and 4.6, rules 12, 18, 20 and 24. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const

describe('QoS 0', () => {
  conversation('is handed over and answered by nothing [3.1.1 MQTT-3.3.4-1] [5 MQTT-3.3.4-1]', (c) => {
    c.connected()
    c.receives('publish', { topic: 'a/b', payload: 'x', retain: true })
    c.user.acknowledge(c.handles('a/b', { payload: 'x', qos: 0, retain: true, dup: false }))
    c.sendsNothing()
  })
})

conversation(
  'a chunk that is lent while nothing is read is copied',
  (c) => {
    c.connected()
    c.connection.handleReading(false, 1_000)
    const chunk = Uint8Array.of(0x30, 4, 0, 1, 0x61, 0x78)
    c.connection.handleData(chunk, false, 1_000)
    chunk.fill(0xff)
    c.connection.handleReading(true, 1_000)
    const message = c.connection.nextEvent()
    expect(message?.type === 'publish' && [message.topic, message.text()]).toEqual(['a', 'x'])
  },
  { versions: ['3.1.1'] },
)

describe('QoS 1', () => {
  conversation(
    'is answered by PUBACK with its identifier when the user is done [3.1.1 MQTT-4.3.2-2, 2.3.1-6] [5 MQTT-4.3.2-4, 2.2.1-5]',
    (c) => {
      c.connected()
      for (const packetId of [1, 256, 65_535]) {
        c.receives('publish', { qos: 1, packetId })
        c.sendsNothing()
        c.user.acknowledge(c.handles('a', { packetId }))
        c.sends('puback', { packetId, reasonCode: 0 })
      }
    },
  )

  conversation('is answered once, however often the user says so', (c) => {
    c.connected()
    const message = c.receivesMessage({ qos: 1, packetId: 1 })
    c.user.acknowledge(message)
    c.user.acknowledge(message)
    c.sends('puback')
    c.sendsNothing()
  })

  conversation(
    'with an identifier that was acknowledged is a new message, whatever DUP says, scenario 44 [3.1.1 MQTT-4.3.2-2] [5 MQTT-4.3.2-5]',
    (c) => {
      c.connected()
      for (const payload of ['1', '2']) {
        c.receives('publish', { qos: 1, packetId: 1, dup: true, payload })
        c.user.acknowledge(c.handles('a', { payload }))
        c.sends('puback', { packetId: 1 })
      }
    },
  )

  conversation(
    'is acknowledged in the order of arrival, in whatever order handlers finish, rule 20 [3.1.1 MQTT-4.6.0-2] [5 MQTT-4.6.0-2]',
    (c) => {
      c.connected()
      const messages = [1, 2, 3, 4].map((packetId) => c.receivesMessage({ qos: 1, packetId }))
      c.user.acknowledge(messages[3]!)
      c.user.acknowledge(messages[1]!)
      c.sendsNothing()
      c.user.acknowledge(messages[0]!)
      c.sends('puback', { packetId: 1 })
      c.sends('puback', { packetId: 2 })
      c.sendsNothing()
      c.user.acknowledge(messages[2]!)
      c.sends('puback', { packetId: 3 })
      c.sends('puback', { packetId: 4 })
    },
  )

  conversation('may be refused by the user in 5; 3.1.1 has no words for it', (c) => {
    c.connected()
    c.user.acknowledge(c.receivesMessage({ qos: 1, packetId: 1 }), 0x83)
    c.sends('puback', { packetId: 1, reasonCode: c.is5 ? 0x83 : 0 })
  })

  conversation('is not acknowledged on another connection, rule 20', (c) => {
    c.connected()
    const message = c.receivesMessage({ qos: 1, packetId: 1 })
    c.cut()
    c.user.acknowledge(message)
    c.reconnected({ sessionPresent: true })
    c.user.acknowledge(message)
    c.sendsNothing()
    c.receives('publish', { qos: 1, packetId: 1, dup: true })
    c.user.acknowledge(c.handles('a', { dup: true }))
    c.sends('puback', { packetId: 1 })
  })
})

describe('QoS 2', () => {
  conversation(
    'is answered by PUBREC, then PUBREL by PUBCOMP, with one identifier [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-8, -11]',
    (c) => {
      c.connected()
      c.receives('publish', { qos: 2, packetId: 7, payload: 'x' })
      c.sendsNothing()
      c.user.acknowledge(c.handles('a', { qos: 2, payload: 'x' }))
      c.sends('pubrec', { packetId: 7, reasonCode: 0 })
      expect(c.session.received.size).toBe(1)
      c.receives('pubrel', { packetId: 7 })
      c.sends('pubcomp', { packetId: 7, reasonCode: 0 })
      expect(c.session.received.size).toBe(0)
    },
  )

  for (const dup of [true, false]) {
    conversation(
      `that is repeated with DUP ${dup ? 1 : 0} before PUBREL gets PUBREC again and is not handed over again, rule 18, scenarios 42, 43 [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-10]`,
      (c) => {
        c.connected()
        c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
        c.sends('pubrec', { packetId: 1 })
        c.receives('publish', { qos: 2, packetId: 1, dup, payload: 'other' })
        c.handlesNothing()
        c.sends('pubrec', { packetId: 1 })
        c.receives('pubrel', { packetId: 1 })
        c.sends('pubcomp', { packetId: 1 })
      },
    )
  }

  conversation('that is repeated while its handler runs gets its PUBREC when due, once, rule 18', (c) => {
    c.connected()
    const message = c.receivesMessage({ qos: 2, packetId: 1 })
    c.receives('publish', { qos: 2, packetId: 1, dup: true })
    c.handlesNothing()
    c.sendsNothing()
    c.user.acknowledge(message)
    c.sends('pubrec', { packetId: 1 })
    c.sendsNothing()
  })

  conversation(
    'that is repeated on a later connection while its handler runs gets PUBREC there, rules 18, 20, scenario 42',
    (c) => {
      c.connected()
      const message = c.receivesMessage({ qos: 2, packetId: 1 })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.handlesNothing()
      c.sendsNothing()
      c.user.acknowledge(message)
      c.sends('pubrec', { packetId: 1 })
    },
  )

  conversation(
    'whose handler ended between connections is answered when the server repeats it, rule 20',
    (c) => {
      c.connected()
      const message = c.receivesMessage({ qos: 2, packetId: 1 })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.user.acknowledge(message)
      c.sendsNothing()
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 1 })
      c.receives('pubrel', { packetId: 1 })
      c.sends('pubcomp', { packetId: 1 })
    },
  )

  conversation('is released on a later connection [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]', (c) => {
    c.connected()
    c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
    c.sends('pubrec')
    c.cut()
    c.reconnected({ sessionPresent: true })
    c.receives('pubrel', { packetId: 1 })
    c.sends('pubcomp', { packetId: 1, reasonCode: 0 })
  })

  conversation(
    'with an identifier that was released is a new message, scenario 44 [3.1.1 MQTT-4.3.3-2] [5 MQTT-4.3.3-12]',
    (c) => {
      c.connected()
      for (const payload of ['1', '2']) {
        c.receives('publish', { qos: 2, packetId: 1, dup: true, payload })
        c.user.acknowledge(c.handles('a', { payload }))
        c.sends('pubrec', { packetId: 1 })
        c.receives('pubrel', { packetId: 1 })
        c.sends('pubcomp', { packetId: 1 })
      }
    },
  )

  conversation(
    'that the user refused is new when it comes again [5 MQTT-4.3.3-9]',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }), 0x87)
      c.sends('pubrec', { packetId: 1, reasonCode: 0x87 })
      expect(c.session.received.size).toBe(0)
      c.receives('publish', { qos: 2, packetId: 1, payload: 'new' })
      c.handles('a', { payload: 'new' })
    },
    V5,
  )

  conversation(
    'cannot be refused in 3.1.1: the exchange goes on, and is not handed over again, rule 18',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }), 0x83)
      c.sends('pubrec', { packetId: 1 })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 1 })
      c.receives('pubrel', { packetId: 1 })
      c.sends('pubcomp', { packetId: 1 })
    },
    { versions: ['3.1.1'] },
  )

  conversation(
    'is recorded in the order of arrival, in whatever order handlers finish, rule 20 [3.1.1 MQTT-4.6.0-3] [5 MQTT-4.6.0-3]',
    (c) => {
      c.connected()
      const messages = [1, 2, 3].map((packetId) => c.receivesMessage({ qos: 2, packetId }))
      c.user.acknowledge(messages[2]!)
      c.user.acknowledge(messages[1]!)
      c.sendsNothing()
      c.user.acknowledge(messages[0]!)
      for (const packetId of [1, 2, 3]) c.sends('pubrec', { packetId })
    },
  )

  conversation('and QoS 1 wait in lines of their own, and PUBCOMP waits for no handler, rule 20', (c) => {
    c.connected()
    const [first, second, third] = [
      c.receivesMessage({ qos: 2, packetId: 1 }),
      c.receivesMessage({ qos: 1, packetId: 2 }),
      c.receivesMessage({ qos: 2, packetId: 3 }),
    ]
    c.user.acknowledge(second)
    c.sends('puback', { packetId: 2 })
    c.user.acknowledge(third)
    c.sendsNothing()
    c.user.acknowledge(first)
    c.sends('pubrec', { packetId: 1 })
    c.sends('pubrec', { packetId: 3 })
    c.receivesMessage({ qos: 2, packetId: 4 })
    c.receives('pubrel', { packetId: 3 })
    c.sends('pubcomp', { packetId: 3 })
  })

  conversation(
    'PUBREL of an unknown identifier gets PUBCOMP, rule 12, scenario 41 [3.1.1 MQTT-4.3.3-2] [5 MQTT-3.7.2-1]',
    (c) => {
      c.connected()
      c.receives('pubrel', { packetId: 9 })
      c.sends('pubcomp', { packetId: 9, reasonCode: c.is5 ? 0x92 : 0 })
      c.lives()
    },
  )

  conversation('PUBREL before PUBREC is a protocol error, rule 13', (c) => {
    c.connected()
    c.receivesMessage({ qos: 2, packetId: 1 })
    c.receives('pubrel', { packetId: 1 })
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })
})

describe("the client's Receive Maximum", () => {
  const options = { versions: ['5'], connect: { properties: { receiveMaximum: 2 } } } as const

  conversation(
    'may be used in full, and freed by PUBACK and PUBREL [5 MQTT-3.3.4-9]',
    (c) => {
      c.connected()
      const first = c.receivesMessage({ qos: 1, packetId: 1 })
      const second = c.receivesMessage({ qos: 2, packetId: 2 })
      c.receivesMessage({ qos: 0 })
      c.user.acknowledge(first)
      c.sends('puback')
      const third = c.receivesMessage({ qos: 1, packetId: 3 })
      c.user.acknowledge(second)
      c.sends('pubrec')
      c.receives('pubrel', { packetId: 2 })
      c.sends('pubcomp')
      c.receivesMessage({ qos: 2, packetId: 2 })
      c.user.acknowledge(third)
      c.sends('puback')
      c.lives()
    },
    options,
  )

  conversation(
    'ends the connection by 0x93 when the server oversteps it, rule 24, scenario 52 [5 MQTT-3.3.4-9] [5 section 3.3.4]',
    (c) => {
      c.connected()
      c.receivesMessage({ qos: 1, packetId: 1 })
      c.receivesMessage({ qos: 2, packetId: 2 })
      c.receives('publish', { qos: 1, packetId: 3 })
      c.handlesNothing()
      const error = c.closes({ code: 'receive-maximum-exceeded', reasonCode: 0x93 })
      expect(error?.message).toContain('receiveMaximum')
    },
    options,
  )

  conversation(
    'is held by a QoS 2 message until PUBREL, not until PUBREC, H3',
    (c) => {
      c.connected()
      for (const packetId of [1, 2]) {
        c.user.acknowledge(c.receivesMessage({ qos: 2, packetId }))
        c.sends('pubrec')
      }
      c.receives('publish', { qos: 2, packetId: 3 })
      c.closes({ code: 'receive-maximum-exceeded', reasonCode: 0x93 })
    },
    options,
  )

  conversation(
    'is not taken twice by a repeated message',
    (c) => {
      c.connected()
      const first = c.receivesMessage({ qos: 2, packetId: 1 })
      const second = c.receivesMessage({ qos: 2, packetId: 2 })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.user.acknowledge(first)
      c.user.acknowledge(second)
      c.sends('pubrec', { packetId: 1 })
      c.sends('pubrec', { packetId: 2 })
      c.lives()
    },
    options,
  )

  conversation(
    'is given back by a PUBREC that refuses',
    (c) => {
      c.connected()
      c.receivesMessage({ qos: 1, packetId: 1 })
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 2 }), 0x83)
      c.sends('pubrec', { reasonCode: 0x83 })
      c.receivesMessage({ qos: 2, packetId: 3 })
      c.lives()
    },
    options,
  )

  conversation(
    'is fresh for each connection; what is repeated counts',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
      c.sends('pubrec')
      c.receivesMessage({ qos: 1, packetId: 2 })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.receivesMessage({ qos: 1, packetId: 2, dup: true })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.sends('pubrec', { packetId: 1 })
      c.receives('publish', { qos: 1, packetId: 3 })
      c.closes({ code: 'receive-maximum-exceeded', reasonCode: 0x93 })
    },
    options,
  )
})

describe('messages', () => {
  conversation('keep their payload when the chunk that they came in is used again', (c) => {
    c.connected()
    const chunk = ['one', 'two', 'three'].map((payload, index) =>
      c.packet('publish', { topic: `t/${index}`, payload, qos: 1, packetId: index + 1 }),
    )
    c.receivesBytes(...chunk)
    for (const [index, payload] of ['one', 'two', 'three'].entries()) c.handles(`t/${index}`, { payload })
  })

  conversation(
    'keep U+FEFF, non-characters and topics of 65,535 bytes, scenario 33, H13 [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3]',
    (c) => {
      c.connected()
      for (const topic of [
        '\uFEFFa',
        '\uFFFF\u{1FFFE}',
        '__proto__',
        'constructor/prototype',
        'x'.repeat(65_535),
        '/'.repeat(65_535),
      ]) {
        c.receives('publish', { topic })
        c.handles(topic)
      }
    },
    { split: false },
  )

  conversation(
    'carry their properties',
    (c) => {
      c.connected()
      const properties = {
        payloadFormatIndicator: 1,
        messageExpiryInterval: 9,
        contentType: 't',
        responseTopic: 'r',
        correlationData: 'c',
        subscriptionIdentifiers: [1, 268_435_455],
        userProperties: [
          ['k', 'v'],
          ['k', 'v'],
        ],
      }
      c.receives('publish', { properties: { ...properties, correlationData: Uint8Array.of(0x63) } })
      c.handles('a', { properties })
    },
    V5,
  )

  conversation('a repeat of QoS 2 whose PUBREC waits for another is not answered twice, rule 20', (c) => {
    c.connected()
    const first = c.receivesMessage({ qos: 2, packetId: 1 })
    c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 2 }))
    for (let count = 0; count < 3; count += 1) c.receives('publish', { qos: 2, packetId: 2, dup: true })
    c.handlesNothing()
    c.sendsNothing()
    c.user.acknowledge(first)
    c.sends('pubrec', { packetId: 1 })
    c.sends('pubrec', { packetId: 2 })
    c.sendsNothing()
  })

  conversation(
    'a repeat of QoS 2 that crossed with its PUBREC is answered again, and then its PUBREL',
    (c) => {
      c.connected()
      const second = c.receivesMessage({ qos: 2, packetId: 2 })
      c.receivesMessage({ qos: 2, packetId: 1 })
      c.user.acknowledge(second)
      c.sends('pubrec', { packetId: 2 })
      c.receives('publish', { qos: 2, packetId: 2, dup: true })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 2 })
      c.receives('pubrel', { packetId: 2 })
      c.sends('pubcomp', { packetId: 2, reasonCode: 0 })
    },
  )

  conversation('PUBREL before the PUBREC that waits for another is a protocol error, rule 13', (c) => {
    c.connected()
    c.receivesMessage({ qos: 2, packetId: 1 })
    c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 2 }))
    c.receives('pubrel', { packetId: 2 })
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })
})

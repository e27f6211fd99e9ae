/** What either side may not send: sizes, QoS, what is unavailable, hostile bytes; rules 23 and 24. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const

describe("the server's Maximum Packet Size", () => {
  conversation(
    'is refused here, before an identifier or a slot is used, rule 23, scenario 53 [5 MQTT-3.2.2-15]',
    (c) => {
      c.connected({ properties: { maximumPacketSize: 30, receiveMaximum: 1 } })
      // 2 bytes of header, 3 of topic, 2 of identifier, 1 of properties.
      const large = c.user.publish('a', 'x'.repeat(23), { qos: 1 })
      c.settles(large, { code: 'publish-refused', error: { reasonCode: 0x95, local: true } })
      c.user.publish('a', 'x'.repeat(22), { qos: 1 })
      c.sends('publish', { packetId: 1 })
      expect(() => c.user.publish('a', 'x'.repeat(25))).toThrow('Maximum Packet Size')
      c.user.publish('a', 'x'.repeat(24))
      c.sends('publish', { qos: 0 })
    },
    V5,
  )

  conversation(
    'that is smaller after a reconnect refuses what waits; others go on, rule 23, scenario 53',
    (c) => {
      c.connected({ properties: { receiveMaximum: 1 } })
      const first = c.user.publish('a', '1', { qos: 1 })
      c.sends('publish')
      const large = c.user.publish('a', 'x'.repeat(40), { qos: 2 })
      c.cut()
      c.user.publish('a', '3', { qos: 1 })
      c.reconnected({ sessionPresent: true, properties: { maximumPacketSize: 30 } })
      c.sends('publish', { packetId: 1, dup: true })
      c.settles(large, { code: 'publish-refused', error: { reasonCode: 0x95, local: true } })
      c.sends('publish', { packetId: 2, payload: '3' })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
    },
    V5,
  )

  conversation(
    'that forbids a re-send lets it reject and keeps its identifier reserved; others go on, rule 23',
    (c) => {
      c.connected()
      const large = c.user.publish('a', 'x'.repeat(40), { qos: 2 })
      const small = c.user.publish('a', 'x', { qos: 1 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.cut()
      c.reconnected({ sessionPresent: true, properties: { maximumPacketSize: 30, receiveMaximum: 1 } })
      c.settles(large, { code: 'publish-refused', error: { reasonCode: 0x95, local: true } })
      c.sends('publish', { packetId: 2, dup: true })
      c.receives('puback', { packetId: 2 })
      c.settles(small)
      expect(c.session.ids.get(1)).toEqual({ type: 'reserved' })
      c.user.publish('a', 'y', { qos: 1 })
      c.sends('publish', { packetId: 3 })
    },
    V5,
  )

  conversation(
    'leaves DISCONNECT without its properties when they do not fit [5 MQTT-3.14.2-3, -4]',
    (c) => {
      c.connected({ properties: { maximumPacketSize: 20 } })
      c.user.disconnect(4, { reasonString: 'a long farewell to you all' })
      c.sends('disconnect', { reasonCode: 4, properties: undefined })
      c.closes()
    },
    V5,
  )

  conversation('is told for SUBSCRIBE and UNSUBSCRIBE by their sizes, rule 23', (c) => {
    c.connected()
    const before = c.traffic.bytesOut
    const subscribe = c.user.subscribe(['a/b', 'ü'])
    const size = c.traffic.bytesOut - before
    expect(c.connection.requestSize(subscribe)).toBe(size)
    const unsubscribe = c.user.unsubscribe(['a/b', 'ü'])
    expect(c.connection.requestSize(unsubscribe)).toBe(c.traffic.bytesOut - before - size)
    c.sends('subscribe')
    c.sends('unsubscribe')
  })

  conversation(
    'holds for messages with an alias that is chosen for them, too [5 MQTT-3.2.2-15]',
    (c) => {
      c.connected({ properties: { maximumPacketSize: 30, topicAliasMaximum: 5 } })
      // Without an alias it fits exactly; an alias takes three bytes more.
      c.user.publish('a', 'x'.repeat(24))
      c.sends('publish', { topic: 'a', payload: 'x'.repeat(24), properties: undefined })
      c.user.publish('a', 'x'.repeat(22), { qos: 1 })
      c.sends('publish', { topic: 'a', properties: undefined })
      c.user.publish('a', 'x'.repeat(19))
      c.sends('publish', { topic: 'a', properties: { topicAlias: 1 } })
    },
    V5,
  )
})

describe('what the server does not offer', () => {
  conversation(
    'a higher QoS is refused here with 0x9B, rule 23 [5 MQTT-3.2.2-11]',
    (c) => {
      c.connected({ properties: { maximumQoS: 1 } })
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.settles(delivery, { code: 'publish-refused', error: { reasonCode: 0x9b, local: true } })
      c.user.publish('a', 'x', { qos: 1 })
      c.sends('publish', { packetId: 1, qos: 1 })
    },
    V5,
  )

  conversation(
    'retained messages are refused here with 0x9A, rule 23 [5 MQTT-3.2.2-14]',
    (c) => {
      c.connected({ properties: { retainAvailable: false } })
      const delivery = c.user.publish('a', 'x', { qos: 1, retain: true })
      c.settles(delivery, { code: 'publish-refused', error: { reasonCode: 0x9a, local: true } })
      expect(() => c.user.publish('a', 'x', { retain: true })).toThrow('retained messages')
      c.sendsNothing()
      expect(c.session.ids.size).toBe(0)
    },
    V5,
  )

  conversation(
    'a refusal of what waits is told at once, also when an acknowledgement made room for it, rule 23',
    (c) => {
      c.connected({ properties: { receiveMaximum: 1, maximumQoS: 1 } })
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 2 })
      c.sends('publish')
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.settles(second, { code: 'publish-refused' })
    },
    V5,
  )

  conversation(
    'a refusal of what waits behind much output is told without further cause, rule 23',
    (c) => {
      c.connected({ properties: { maximumQoS: 1 } })
      c.congests()
      for (let count = 0; count < 4; count++) c.user.publish('a', 'x'.repeat(100_000), { qos: 1 })
      const refused = c.user.publish('a', 'x', { qos: 2 })
      c.congests(false)
      c.passes(0)
      c.settles(refused, { code: 'publish-refused' })
      expect(c.overlooks()).toBe(4)
    },
    { ...V5, split: false },
  )

  conversation(
    'is counted anew for each connection, rule 23',
    (c) => {
      c.connected({ properties: { maximumQoS: 0 } })
      c.settles(c.user.publish('a', 'x', { qos: 1 }), { code: 'publish-refused' })
      c.cut()
      c.user.publish('a', 'y', { qos: 2 })
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { qos: 2 })
    },
    V5,
  )
})

describe('a message that waits', () => {
  conversation(
    'past its Message Expiry Interval is rejected, less the time waited it is sent, once sent it never expires, rule 21 [5 MQTT-3.3.2-6, 4.3.3-7]',
    (c) => {
      const late = c.user.publish('a', '1', { qos: 1, properties: { messageExpiryInterval: 2 } })
      c.user.publish('a', '2', { qos: 1, properties: { messageExpiryInterval: 9 } })
      c.blocks(2_000)
      c.connected()
      c.settles(late, { code: 'expired', error: { local: true } })
      c.sends('publish', { payload: '2', properties: { messageExpiryInterval: 7 } })
      c.passes(60_000)
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { payload: '2', dup: true, properties: { messageExpiryInterval: 1 } })
    },
    V5,
  )

  const now = { qos: 1, properties: { messageExpiryInterval: 0 } } as const
  for (const [way, properties] of [
    ['past the queue', {}],
    ['by the queue', { maximumPacketSize: 100 }],
  ] as const) {
    conversation(
      `with a Message Expiry Interval of 0 is rejected, and one that need not wait is sent: ${way}`,
      (c) => {
        const late = c.user.publish('a', '1', now)
        c.blocks(1)
        c.connected({ properties })
        c.settles(late, { code: 'expired', error: { local: true } })
        c.user.publish('a', '2', now)
        c.sends('publish', { payload: '2', properties: { messageExpiryInterval: 0 } })
      },
      V5,
    )
  }
})

describe('bytes of the server', () => {
  for (const [what, bytes, code, statement] of [
    [
      'a Remaining Length of five bytes',
      '30 ff ff ff ff 01',
      'malformed-packet',
      'scenario 27 [3.1.1 section 2.2.3] [5 section 2.1.4]',
    ],
    ['a reserved packet type', '00 00', 'malformed-packet', 'scenario 29'],
    ['CONNECT', '10 00', 'protocol-error', 'scenario 29'],
    ['SUBSCRIBE', '82 05 00 01 00 00 00', 'protocol-error', 'scenario 29'],
    ['UNSUBSCRIBE', 'a2 02 00 01', 'protocol-error', 'scenario 29'],
    ['PINGREQ', 'c0 00', 'protocol-error', 'scenario 29'],
    [
      'PUBACK with wrong flags',
      '41 02 00 01',
      'malformed-packet',
      'scenario 30 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    ],
    [
      'PUBREL with wrong flags',
      '60 02 00 01',
      'malformed-packet',
      'scenario 30 [3.1.1 MQTT-3.6.1-1] [5 MQTT-3.6.1-1]',
    ],
    [
      'SUBACK with wrong flags',
      '92 03 00 01 00',
      'malformed-packet',
      'scenario 30 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    ],
    [
      'PINGRESP with wrong flags',
      'd1 00',
      'malformed-packet',
      'scenario 30 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    ],
    ['PINGRESP with a body', 'd0 01 00', 'malformed-packet', 'scenario 28'],
    [
      'PUBLISH of QoS 3',
      '36 06 00 01 61 00 01 00',
      'malformed-packet',
      'scenario 31 [3.1.1 MQTT-3.3.1-4] [5 MQTT-3.3.1-4]',
    ],
    [
      'PUBLISH of QoS 0 with DUP',
      '38 04 00 01 61 00',
      'malformed-packet',
      '[3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2]',
    ],
    ['a topic cut off', '30 03 00 09 61', 'malformed-packet', 'scenario 28'],
    ['a packet identifier cut off', '32 04 00 01 61 00', 'malformed-packet', 'scenario 28'],
    [
      'a packet identifier 0',
      '32 06 00 01 61 00 00 00',
      'malformed-packet',
      'scenario 35 [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-4]',
    ],
    [
      'a topic of ill-formed UTF-8',
      '30 05 00 02 c0 80 00',
      'malformed-packet',
      'scenario 32 [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    ],
    [
      'a topic with a surrogate',
      '30 06 00 03 ed a0 80 00',
      'malformed-packet',
      'scenario 32, H13 [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    ],
    [
      'a topic with U+0000',
      '30 05 00 02 61 00 00',
      'malformed-packet',
      'scenario 32 [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-2]',
    ],
    [
      'a topic with a wildcard',
      '30 06 00 03 61 2f 23 00',
      'protocol-error',
      'scenario 34 [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2]',
    ],
  ] as const) {
    conversation(`with ${what} end the connection, rule 24, ${statement}`, (c) => {
      c.connected()
      c.receivesBytes(bytes)
      c.closes({ code, reasonCode: code === 'malformed-packet' ? 0x81 : 0x82 })
      c.handlesNothing()
    })
  }

  for (const [what, bytes] of [
    ['AUTH', 'f0 00'],
    ['DISCONNECT', 'e0 00'],
  ] as const) {
    conversation(
      `with ${what} end the connection: 3.1.1 has none of a server, scenario 29`,
      (c) => {
        c.connected()
        c.receivesBytes(bytes)
        c.closes({ code: 'protocol-error' })
      },
      V311,
    )
  }

  for (const [what, bytes, code] of [
    ['an empty topic and no alias', '30 03 00 00 00', 'protocol-error'],
    ['properties longer than the packet', '30 05 00 01 61 09 01', 'malformed-packet'],
    ['a property twice', '30 08 00 01 61 04 01 00 01 00', 'protocol-error'],
    ['an unknown property', '30 06 00 01 61 02 7f 00', 'malformed-packet'],
    ['a property of another packet', '30 07 00 01 61 03 21 00 01', 'malformed-packet'],
    ['a string longer than its property', '30 09 00 01 61 05 03 00 ff 61 61', 'malformed-packet'],
    ['a property length of five bytes', '30 08 00 01 61 80 80 80 80 01', 'malformed-packet'],
    ['a length that is not in its shortest form', '30 84 00 00 01 61 00', 'malformed-packet'],
    ['ill-formed UTF-8 in a user property', '30 0b 00 01 61 07 26 00 01 ff 00 01 61', 'malformed-packet'],
    ['a wildcard in the Response Topic', '30 08 00 01 61 04 08 00 01 23', 'protocol-error'],
  ] as const) {
    conversation(
      `with ${what} end the connection, rule 24, scenario 56, H5 [5 MQTT-4.13.1-1] [5 section 4.13.1]`,
      (c) => {
        c.connected()
        c.receivesBytes(bytes)
        c.closes({ code, reasonCode: code === 'malformed-packet' ? 0x81 : 0x82 })
        c.handlesNothing()
      },
      V5,
    )
  }

  conversation(
    'with an empty topic end the connection [3.1.1 MQTT-4.7.3-1]',
    (c) => {
      c.connected()
      c.receivesBytes('30 02 00 00')
      c.closes({ code: 'malformed-packet' })
    },
    V311,
  )

  conversation('behind a violation in the same chunk are not handled, H2', (c) => {
    c.connected()
    const delivery = c.user.publish('a', 'x', { qos: 1 })
    c.sends('publish')
    c.receivesBytes(
      c.packet('publish', { topic: 'before' }),
      'c0 00',
      c.packet('publish', { topic: 'behind' }),
      c.packet('puback', { packetId: 1 }),
    )
    c.handles('before')
    c.handlesNothing()
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    expect(delivery.state).toBe('published')
    c.receives('puback', { packetId: 1 })
    expect(delivery.state).toBe('published')
  })

  conversation('behind the end of the connection are not handled, H10', (c) => {
    c.connected()
    c.cut()
    c.receives('publish', { qos: 1, packetId: 1 })
    c.passes(1_000)
    c.handlesNothing()
    expect(c.connection.nextDeadline()).toBe(Infinity)
  })

  conversation('of a packet that was cut off are dropped, scenario 20 [3.1.1 MQTT-4.8.0-2]', (c) => {
    c.connected()
    c.receivesBytes('32 20 00 01 61 00 01 00 61')
    c.cut()
    c.handlesNothing()
    c.reconnected({ sessionPresent: true })
    c.receives('publish', { topic: 'whole' })
    c.handles('whole')
  })

  conversation(
    'with Reason String or User Property against Request Problem Information 0 are a protocol error [5 MQTT-3.1.2-29] [5 section 3.1.2.11.7]',
    (c) => {
      c.connected({ properties: { reasonString: 'CONNACK may' } })
      c.receives('publish', { properties: { userProperties: [['PUBLISH', 'may']] } })
      c.handles('a')
      const delivery = c.user.publish('a', 'x', { qos: 1 })
      c.sends('publish')
      c.receives('puback', { packetId: 1, properties: { reasonString: 'PUBACK may not' } })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
      expect(delivery.state).toBe('published')
      c.reconnected({ sessionPresent: true })
      c.sends('publish')
      c.receives('disconnect', { properties: { userProperties: [['DISCONNECT', 'may']] } })
      c.closes({ code: 'server-disconnected' })
    },
    { ...V5, connect: { properties: { requestProblemInformation: false } } },
  )
})

describe("the client's Maximum Packet Size", () => {
  conversation(
    'ends the connection by 0x95 after the header, with nothing buffered, rule 24, scenario 54, H4 [5 MQTT-3.1.2-24]',
    (c) => {
      c.connected()
      c.receivesBytes('30 64')
      c.closes({ code: 'packet-too-large', reasonCode: 0x95 })
    },
    { maximumPacketSize: 101 },
  )

  conversation('refuses what claims 256 MiB at once, scenarios 27, 54, H4', (c) => {
    c.connected()
    c.receivesBytes('30 ff ff ff 7f')
    c.closes({ code: 'packet-too-large', reasonCode: 0x95 })
  })

  conversation(
    'may be used in full',
    (c) => {
      c.connected()
      c.receives('publish', { topic: 'a', payload: 'x'.repeat(c.is5 ? 95 : 96) })
      c.handles('a')
    },
    { maximumPacketSize: 101 },
  )
})

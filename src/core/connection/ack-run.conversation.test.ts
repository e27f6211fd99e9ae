/** Acknowledgements that come one behind the other: whatever their split, each does what it does alone. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'
import type { Conversation } from '../../testing/conversation.ts'
import type { AckType } from '../packets/types.ts'
import type { Delivery } from '../session/deliveries.ts'

const MANY = 200

/** Publishes so many messages, whose identifiers are 1, 2, …. */
function publish(c: Conversation, qos: 1 | 2, count = MANY): Delivery[] {
  const deliveries = Array.from({ length: count }, () => c.user.publish('a', 'x', { qos }))
  for (const { packetId } of deliveries) c.sends('publish', { packetId, qos })
  return deliveries
}

/** One chunk of acknowledgements of these identifiers. */
function receives(c: Conversation, type: AckType, ...packetIds: number[]): void {
  c.receivesBytes(...packetIds.map((packetId) => c.packet(type, { packetId })))
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1)

describe('a run of acknowledgements', () => {
  conversation('of QoS 1 settles each message, in the order in which they come', (c) => {
    c.connected()
    const deliveries = publish(c, 1)
    const before = c.traffic.packetsIn[4] ?? 0
    receives(c, 'puback', ...upTo(MANY).reverse())
    for (const delivery of deliveries.reverse()) expect(c.tells('delivery')).toBe(delivery)
    expect((c.traffic.packetsIn[4] ?? 0) - before).toBe(MANY)
    expect(c.session.ids.size).toBe(0)
    c.sendsNothing()
  })

  conversation('of QoS 2 releases each message, then completes it', (c) => {
    c.connected()
    const deliveries = publish(c, 2, 16)
    receives(c, 'pubrec', ...upTo(16))
    for (const packetId of upTo(16)) c.sends('pubrel', { packetId })
    receives(c, 'pubcomp', ...upTo(16))
    for (const delivery of deliveries) c.settles(delivery)
    expect(c.session.openQos2).toBe(0)
  })

  conversation(
    'of PUBREL completes what was received, and says of an identifier that nobody has that it is unknown',
    (c) => {
      c.connected()
      for (const packetId of upTo(3)) {
        c.user.acknowledge(c.receivesMessage({ topic: 'b', payload: 'y', qos: 2, packetId }))
        c.sends('pubrec', { packetId })
      }
      receives(c, 'pubrel', 1, 2, 700, 3)
      for (const packetId of [1, 2, 700, 3]) {
        c.sends('pubcomp', { packetId, reasonCode: c.is5 && packetId === 700 ? 0x92 : 0 })
      }
      expect(c.session.received.size).toBe(0)
      expect(c.traffic.packetsIn[6]).toBe(4)
    },
  )

  conversation('of PUBREL ends with one before PUBREC', (c) => {
    c.connected()
    const [first] = [1, 2].map((packetId) =>
      c.receivesMessage({ topic: 'b', payload: 'y', qos: 2, packetId }),
    )
    if (first !== undefined) c.user.acknowledge(first)
    c.sends('pubrec', { packetId: 1 })
    receives(c, 'pubrel', 1, 2)
    c.sends('pubcomp', { packetId: 1 })
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })

  conversation('goes on where the copy ends that was made to keep a message', (c) => {
    c.connected()
    for (const behind of [10, 11, 12, 13]) {
      const deliveries = publish(c, 1, 8)
      // Of the chunk 65,536 bytes are copied, from the message on.
      const payload = new Uint8Array(65_536 - 'b'.length - 2 - (c.is5 ? 1 : 0) - behind)
      const message = c.packet('publish', { topic: 'b', payload, qos: 0 })
      const ids = deliveries.map(({ packetId }) => packetId)
      c.receivesBytes(message, ...ids.map((packetId) => c.packet('puback', { packetId })))
      expect(c.tells('publish').payload).toEqual(payload)
      for (const delivery of deliveries) expect(c.tells('delivery')).toBe(delivery)
    }
    expect(c.traffic.unknownAcknowledgements).toBe(0)
  })

  conversation('goes on behind one for an identifier that nobody has, which is counted', (c) => {
    c.connected()
    const [first, second] = publish(c, 1, 2) as [Delivery, Delivery]
    receives(c, 'puback', 1, 700, 2)
    c.settles(first)
    c.settles(second)
    expect(c.traffic.unknownAcknowledgements).toBe(1)
  })

  conversation('ends with one of another kind: what came before it is told first', (c) => {
    c.connected()
    const [first] = publish(c, 1, 2) as [Delivery, Delivery]
    c.receivesBytes(c.packet('puback', { packetId: 1 }), c.packet('pubcomp', { packetId: 2 }))
    c.settles(first)
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })

  conversation('ends with the identifier 0, which no packet may have', (c) => {
    c.connected()
    const [first] = publish(c, 1, 2) as [Delivery, Delivery]
    c.receivesBytes(c.packet('puback', { packetId: 1 }), '40 02 00 00')
    c.settles(first)
    c.closes({ code: 'malformed-packet', reasonCode: 0x81 })
  })

  conversation('ends with PUBCOMP before PUBREC', (c) => {
    c.connected()
    const [first] = publish(c, 2, 2) as [Delivery, Delivery]
    receives(c, 'pubrec', 1)
    c.sends('pubrel', { packetId: 1 })
    receives(c, 'pubcomp', 1, 2)
    c.settles(first)
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })

  conversation('is followed by what came behind it in its chunk', (c) => {
    c.connected()
    const deliveries = publish(c, 1, 3)
    c.receivesBytes(
      ...upTo(3).map((packetId) => c.packet('puback', { packetId })),
      c.packet('publish', { topic: 'b', payload: 'y' }),
    )
    for (const delivery of deliveries) c.settles(delivery)
    c.handles('b')
  })
})

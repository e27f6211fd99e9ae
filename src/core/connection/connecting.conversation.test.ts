/** CONNECT, CONNACK and what may come between them: 3.1 and 3.2, rules 3 to 5 and 22. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'
import { RefusedError } from '../errors.ts'

const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const

describe('CONNECT', () => {
  conversation(
    'is the first packet, and comes once [3.1.1 MQTT-3.1.0-1, -2] [5 MQTT-3.1.0-1, -2]',
    (c) => {
      c.opens()
      c.sends('connect', { clientId: 'c', cleanStart: true, keepAlive: 30, username: 'u', password: 'p' })
      c.sendsNothing()
      c.accepts()
      c.sendsNothing()
      c.user.resume()
      c.user.resume()
      c.sendsNothing()
    },
    { connect: { keepAlive: 30, username: 'u', password: Uint8Array.of(0x70) } },
  )

  conversation(
    'has no property that nobody set, rule 22',
    (c) => {
      c.opens()
      expect(c.sends('connect').properties).toBeUndefined()
    },
    V5,
  )

  conversation('repeats nothing of the user before CONNACK: publishes wait, rule 21', (c) => {
    c.opens()
    c.sends('connect')
    c.user.publish('a', 'x', { qos: 1 })
    expect(() => c.user.publish('a', 'x')).toThrow('there is no connection')
    c.sendsNothing()
    c.accepts()
    c.sendsNothing()
    c.user.resume()
    c.sends('publish', { packetId: 1, topic: 'a', dup: false })
  })
})

describe('CONNACK', () => {
  conversation('opens the connection, byte by byte as well, scenario 3', (c) => {
    c.opens()
    c.sends('connect')
    c.accepts()
    c.lives()
    expect(c.settings).toMatchObject({ clientId: 'c', keepAlive: 0, receiveMaximum: 65_535, maximumQoS: 2 })
  })

  conversation('may have the first PUBLISHes behind it in the same bytes, scenario 4', (c) => {
    c.opens()
    c.sends('connect')
    c.receivesBytes(
      c.packet('connack'),
      c.packet('publish', { topic: 'a', payload: '1', qos: 1, packetId: 1 }),
      c.packet('publish', { topic: 'b', payload: '2' }),
    )
    c.tells('connected')
    const first = c.handles('a', { payload: '1' })
    c.handles('b', { payload: '2' })
    c.user.acknowledge(first)
    c.sends('puback', { packetId: 1 })
  })

  for (const type of ['publish', 'pingresp', 'suback', 'puback', 'pubrel'] as const) {
    conversation(
      `comes first: ${type.toUpperCase()} before it ends the connection, rule 3 [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1]`,
      (c) => {
        c.opens()
        c.sends('connect')
        c.receives(type, { packetId: 1 })
        c.closes({ code: 'protocol-error' })
        c.handlesNothing()
      },
    )
  }

  conversation('comes once: a second one is a protocol error, rule 3, H8 [5 MQTT-3.2.0-2]', (c) => {
    c.connected()
    c.receives('connack')
    c.closes({ code: 'protocol-error', reasonCode: 0x82 })
  })

  for (const [code, wire] of [
    [0x84, 1],
    [0x85, 2],
    [0x88, 3],
    [0x86, 4],
    [0x87, 5],
  ] as const) {
    conversation(
      `that refuses with ${wire} (0x${code.toString(16)}) ends the connection, rule 3, scenario 8 [3.1.1 MQTT-3.2.2-5] [5 MQTT-3.2.2-7]`,
      (c) => {
        c.opens()
        c.sends('connect')
        c.receives('connack', { reasonCode: code })
        const error = c.closes({ code: 'connection-refused' })
        expect(error).toMatchObject({ reasonCode: code, local: false })
      },
    )
  }

  conversation(
    'that refuses may say why, rule 3 [5 MQTT-3.2.2-7]',
    (c) => {
      c.opens()
      c.sends('connect')
      const properties = {
        reasonString: 'too many',
        serverReference: 'other:1883',
        userProperties: [['k', 'v']],
      }
      c.receives('connack', { reasonCode: 0x9c, properties })
      const error = c.closes({ code: 'connection-refused' })
      expect(error).toBeInstanceOf(RefusedError)
      expect(error).toMatchObject({ reasonCode: 0x9c, reasonString: 'too many', properties })
      expect(error?.message).toContain('too many')
    },
    V5,
  )

  conversation(
    'with other bytes than it may have ends the connection, scenario 7 [3.1.1 MQTT-2.2.2-2, 4.8.0-1]',
    (c) => {
      for (const bytes of ['21 02 00 00', '20 03 00 00 00', '20 02 02 00', '20 02 00 06', '20 01 00']) {
        c.opens()
        c.sends('connect')
        c.receivesBytes(bytes)
        c.closes({ code: 'malformed-packet' })
      }
    },
    V311,
  )

  conversation(
    'with other bytes than it may have ends the connection, scenario 7 [5 MQTT-2.1.3-1, 3.2.2-1, 3.2.2-8]',
    (c) => {
      for (const bytes of ['21 03 00 00 00', '20 03 02 00 00', '20 04 00 00 00 00', '20 02 00 00']) {
        c.opens()
        c.sends('connect')
        c.receivesBytes(bytes)
        c.closes({ code: 'malformed-packet' })
      }
      for (const bytes of [
        '20 03 00 01 00',
        '20 03 00 05 00',
        '20 06 00 00 03 21 00 00',
        '20 05 00 00 02 24 02',
      ]) {
        c.opens()
        c.sends('connect')
        c.receivesBytes(bytes)
        c.closes({ code: 'protocol-error' })
      }
    },
    V5,
  )

  conversation('that refuses has no session [3.1.1 MQTT-3.2.2-4] [5 MQTT-3.2.2-6]', (c) => {
    c.opens()
    c.sends('connect')
    c.receives('connack', { sessionPresent: true, reasonCode: 0x87 })
    c.closes({ code: 'protocol-error' })
  })

  conversation(
    'says 5 what may be done, H8',
    (c) => {
      c.connected({
        properties: {
          sessionExpiryInterval: 7,
          receiveMaximum: 3,
          maximumQoS: 1,
          retainAvailable: false,
          maximumPacketSize: 99,
          topicAliasMaximum: 4,
          wildcardSubscriptionAvailable: false,
          subscriptionIdentifiersAvailable: false,
          sharedSubscriptionAvailable: false,
          serverKeepAlive: 9,
          responseInformation: 'r',
          serverReference: 's',
        },
      })
      expect(c.settings).toMatchObject({
        sessionExpiryInterval: 7,
        receiveMaximum: 3,
        maximumQoS: 1,
        retainAvailable: false,
        maximumPacketSize: 99,
        topicAliasMaximum: 4,
        wildcardSubscriptionAvailable: false,
        subscriptionIdentifiersAvailable: false,
        sharedSubscriptionAvailable: false,
        keepAlive: 9,
        responseInformation: 'r',
        serverReference: 's',
      })
    },
    V5,
  )

  conversation(
    'gives an empty client identifier a name [5 MQTT-3.2.2-16, 3.1.3-7]',
    (c) => {
      c.connected({ properties: { assignedClientIdentifier: 'given' } })
      expect(c.settings.clientId).toBe('given')
      expect(c.session.clientId).toBe('given')
    },
    { ...V5, connect: { clientId: '' } },
  )

  conversation(
    'that names nobody leaves an empty client identifier nameless: a protocol error [5 MQTT-3.2.2-16]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.receives('connack')
      c.closes({ code: 'protocol-error' })
    },
    { ...V5, connect: { clientId: '' } },
  )

  conversation(
    'may not rename a client that has a name, H8 [5 MQTT-3.2.2-16]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.receives('connack', { properties: { assignedClientIdentifier: 'other' } })
      c.closes({ code: 'protocol-error' })
    },
    V5,
  )
})

describe('Session Present', () => {
  conversation('is 0 after a clean start, rule 4 [3.1.1 MQTT-3.2.2-1] [5 MQTT-3.2.2-2, -4]', (c) => {
    c.opens()
    c.sends('connect', { cleanStart: true })
    c.receives('connack', { sessionPresent: true })
    c.closes({ code: 'protocol-error' })
  })

  conversation(
    "for a session that nobody here knows is adopted when the user says so, rule 4 'adopt' [3.1.1 section 3.2.2.2]",
    (c) => {
      c.opens({ cleanStart: false })
      c.sends('connect', { cleanStart: false })
      c.receives('connack', { sessionPresent: true })
      expect(c.tells('connected')).toMatchObject({ sessionPresent: true, adopted: true })
    },
  )

  conversation(
    "for a session that nobody here knows ends the connection, rule 4 'close' [5 MQTT-3.2.2-4]",
    (c) => {
      c.opens({ cleanStart: false })
      c.sends('connect', { cleanStart: false })
      c.receives('connack', { sessionPresent: true })
      c.closes({ code: 'unknown-session' })
    },
    { onUnknownSession: 'close' },
  )

  conversation(
    'for a session that is known here is what was hoped for, rule 4',
    (c) => {
      c.connected()
      c.cut()
      c.opens()
      c.sends('connect', { cleanStart: false })
      c.receives('connack', { sessionPresent: true })
      expect(c.tells('connected')).toMatchObject({ sessionPresent: true, adopted: false })
    },
    { onUnknownSession: 'close' },
  )

  conversation('is not asked for what a refused attempt left: nothing is established by it, rule 4', (c) => {
    c.opens({ cleanStart: false })
    c.sends('connect')
    c.receives('connack', { reasonCode: 0x88 })
    c.closes({ code: 'connection-refused' })
    c.opens({ cleanStart: false })
    c.sends('connect')
    c.receives('connack')
    c.tells('connected')
  })
})

describe('the end before CONNACK', () => {
  conversation('is told as such [3.1.1 MQTT-3.2.2-6]', (c) => {
    c.opens()
    c.sends('connect')
    c.connection.handleEnd(undefined, c.now)
    c.pump()
    expect(c.closes({ code: 'connection-lost' })).toMatchObject({ phase: 'connack' })
  })

  conversation('leaves what is published waiting', (c) => {
    c.opens()
    c.sends('connect')
    c.user.publish('a', 'x', { qos: 1 })
    c.cut()
    c.connected()
    c.sends('publish', { packetId: 1, dup: false })
  })
})

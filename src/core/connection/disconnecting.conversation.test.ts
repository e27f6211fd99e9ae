/** How a connection ends: 3.14 and 4.13, rule 6 as far as the machine goes; scenario 57, H10. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'
import { MqttError } from '../errors.ts'

const V5 = { versions: ['5'] } as const

describe('DISCONNECT of ours', () => {
  conversation(
    'is the last packet: nothing leaves behind it, whatever happens then, rule 6 [3.1.1 MQTT-3.14.4-2] [5 MQTT-3.14.4-1]',
    (c) => {
      c.connected()
      const message = c.receivesMessage({ qos: 1, packetId: 1 })
      c.user.disconnect()
      c.sends('disconnect', { reasonCode: 0 })
      c.closes()
      c.user.acknowledge(message)
      c.user.publish('a', 'x', { qos: 1 })
      expect(() => c.connection.publishQos0(c.user.delivery('a', '', 0))).toThrow('no connection')
      expect(c.connection.canSend).toBe(false)
      c.receives('publish', { qos: 1, packetId: 2 })
      c.receives('pubrel', { packetId: 2 })
      c.user.disconnect()
      c.user.resume()
      c.passes(100_000)
      c.sendsNothing()
    },
    { connect: { keepAlive: 5 } },
  )

  conversation('comes behind what was written before, rule 6', (c) => {
    c.connected()
    c.congests()
    c.user.publish('a', '1', { qos: 1 })
    c.user.publish('a', '0')
    c.user.disconnect()
    c.congests(false)
    c.sends('publish', { payload: '1' })
    c.sends('publish', { payload: '0' })
    c.sends('disconnect')
    c.closes()
  })

  conversation('carries a reason and properties in 5 [5 MQTT-3.14.2-1]', (c) => {
    c.connected()
    c.user.disconnect(4, { sessionExpiryInterval: 9, reasonString: 'bye' })
    if (c.is5)
      c.sends('disconnect', { reasonCode: 4, properties: { sessionExpiryInterval: 9, reasonString: 'bye' } })
    else c.sends('disconnect')
    c.closes()
  })

  conversation('ends what waits for answers, and keeps the session', (c) => {
    c.connected()
    const delivery = c.user.publish('a', 'x', { qos: 1 })
    const operation = c.user.subscribe('a')
    c.sends('publish')
    c.sends('subscribe')
    c.user.disconnect()
    c.sends('disconnect')
    c.settles(operation, { interrupted: true })
    c.closes()
    expect(delivery.state).toBe('published')
    c.reconnected({ sessionPresent: true })
    c.sends('publish', { packetId: 1, dup: true })
  })

  conversation('may come before CONNACK', (c) => {
    c.opens()
    c.sends('connect')
    c.user.disconnect()
    c.sends('disconnect')
    c.closes()
    c.receives('connack')
  })

  conversation('tells the server in 5 why we end the connection', (c) => {
    c.connected()
    c.connection.abort(new MqttError('handler-failed', 'a handler failed'), 0x83, c.now)
    c.pump()
    c.closes({ code: 'handler-failed', reasonCode: 0x83 })
  })
})

describe('DISCONNECT of the server', () => {
  for (const reasonCode of [0x8b, 0x8e, 0x9c, 0x9d, 0x00]) {
    conversation(
      `with 0x${reasonCode.toString(16)} ends the connection, and nothing is answered, scenario 57 [5 MQTT-4.13.2-1, 3.14.4-2]`,
      (c) => {
        c.connected()
        const operation = c.user.subscribe('a')
        c.sends('subscribe')
        const properties = { reasonString: 'moved', serverReference: 'other:1883' }
        c.receives('disconnect', { reasonCode, properties })
        c.settles(operation, { code: 'server-disconnected', interrupted: true })
        const error = c.closes({ code: 'server-disconnected' })
        expect(error).toMatchObject({ reasonCode, reasonString: 'moved', properties, local: false })
        c.passes(100_000)
        c.sendsNothing()
      },
      V5,
    )
  }

  conversation(
    'is the last that is handled, H10',
    (c) => {
      c.connected()
      c.receivesBytes(
        c.packet('disconnect', { reasonCode: 0x8b }),
        c.packet('publish', { qos: 1, packetId: 1 }),
      )
      c.handlesNothing()
      c.closes({ code: 'server-disconnected' })
    },
    V5,
  )

  conversation(
    'has no Session Expiry Interval [5 MQTT-3.14.2-2]',
    (c) => {
      c.connected()
      c.receives('disconnect', { properties: { sessionExpiryInterval: 1 } })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    V5,
  )

  conversation(
    'does not come before CONNACK [5 MQTT-3.14.0-1]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.receives('disconnect', { reasonCode: 0x8b })
      c.closes({ code: 'protocol-error' })
    },
    V5,
  )

  conversation(
    'with flags or an undefined code is malformed or a protocol error [5 MQTT-3.14.1-1, 3.14.2-1]',
    (c) => {
      c.connected()
      c.receivesBytes('e1 00')
      c.closes({ code: 'malformed-packet', reasonCode: 0x81 })
      c.reconnected({ sessionPresent: true })
      c.receivesBytes('e0 01 01')
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    V5,
  )
})

describe('the end of the stream', () => {
  conversation('is told with its cause', (c) => {
    c.connected()
    const reset = new Error('read ECONNRESET')
    c.connection.handleEnd(reset, c.now)
    c.pump()
    expect(c.closes({ code: 'connection-lost' })).toMatchObject({ cause: reset, phase: 'established' })
    c.connection.handleEnd(undefined, c.now)
    c.pump()
  })

  conversation('after DISCONNECT is nothing new', (c) => {
    c.connected()
    c.user.disconnect()
    c.sends('disconnect')
    c.closes()
    c.connection.handleEnd(undefined, c.now)
    c.pump()
  })
})

describe('a watcher', () => {
  conversation(
    'is told of each packet, both ways, from CONNECT on',
    (c) => {
      c.connected()
      c.user.publish('a', 'ü', { qos: 1, retain: true })
      c.sends('publish')
      c.receives('publish', { topic: 'b', payload: 'x' })
      c.handles('b')
      c.receives('puback', { packetId: 1 })
      c.tells('delivery')
      const seen = []
      for (let count = 0; count < 5; count++) {
        const { direction, packet } = c.tells('packet')
        seen.push(`${direction} ${packet.type}`)
        if (packet.type === 'publish' && direction === 'out')
          expect(packet).toMatchObject({ topic: 'a', retain: true, qos: 1 })
      }
      expect(seen).toEqual(['out connect', 'in connack', 'out publish', 'in publish', 'in puback'])
      expect(c.connection.canSend).toBe(false)
    },
    { watched: true },
  )
})

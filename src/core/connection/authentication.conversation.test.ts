/** Enhanced authentication, 5: 4.12 and 3.15; rule 3, scenario 58, H9. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const V5 = { versions: ['5'] } as const
const authenticationMethod = 'SCRAM'
const options = {
  ...V5,
  connect: { properties: { authenticationMethod, authenticationData: Uint8Array.of(1) } },
} as const
const connack = { properties: { authenticationMethod } } as const
const data = (byte: number) => ({ authenticationMethod, authenticationData: Uint8Array.of(byte) })

describe('authentication', () => {
  conversation(
    'passes as many steps as the server asks for, rule 3 [5 MQTT-3.2.0-1, 4.12.0-2, -3, -5]',
    (c) => {
      c.opens()
      c.sends('connect', { properties: data(1) })
      for (const step of [2, 4]) {
        c.receives('auth', { properties: data(step) })
        c.asks({ authenticationData: Uint8Array.of(step) })
        c.user.answers(data(step + 1))
        c.sends('auth', { reasonCode: 0x18, properties: data(step + 1) })
      }
      c.accepts(connack)
      c.lives()
    },
    options,
  )

  conversation(
    'sends nothing but AUTH and DISCONNECT before CONNACK [5 MQTT-3.1.2-30]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.user.publish('a', 'x', { qos: 1 })
      c.receives('auth', { properties: data(2) })
      c.asks()
      c.user.answers(data(3))
      c.sends('auth')
      c.sendsNothing()
      c.accepts(connack)
      c.user.resume()
      c.sends('publish')
    },
    options,
  )

  for (const [what, packet] of [
    ['another method', { properties: { authenticationMethod: 'other' } }],
    ['no method', {}],
    ['the reason code 0x00', { reasonCode: 0, properties: data(2) }],
    ['the reason code 0x19', { reasonCode: 0x19, properties: data(2) }],
  ] as const) {
    conversation(
      `with ${what} in the server's AUTH ends the connection, scenario 58 [5 MQTT-4.12.0-2, -5]`,
      (c) => {
        c.opens()
        c.sends('connect')
        c.receives('auth', packet)
        c.closes({ code: 'protocol-error' })
      },
      options,
    )
  }

  for (const properties of [undefined, { authenticationMethod: 'other' }]) {
    conversation(
      `with ${properties === undefined ? 'no' : 'another'} method in CONNACK ends the connection, scenario 58 [5 MQTT-4.12.0-5]`,
      (c) => {
        c.opens()
        c.sends('connect')
        c.receives('connack', { properties })
        c.closes({ code: 'protocol-error' })
      },
      options,
    )
  }

  conversation(
    'may be refused at any step [5 MQTT-4.12.0-4]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.receives('auth', { properties: data(2) })
      c.asks()
      c.receives('connack', { reasonCode: 0x87, properties: { authenticationMethod } })
      c.closes({ code: 'connection-refused' })
      c.user.answers(data(3))
      c.sendsNothing()
    },
    options,
  )

  conversation(
    'that nobody asked for ends the connection, scenario 58, H9 [5 MQTT-4.12.0-6]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.receives('auth', { properties: data(2) })
      c.closes({ code: 'protocol-error' })
      c.connected()
      c.receives('auth', { properties: data(2) })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
      c.opens()
      c.sends('connect')
      c.receives('connack', connack)
      c.closes({ code: 'protocol-error' })
    },
    V5,
  )
})

describe('re-authentication', () => {
  conversation(
    'is begun by the client with 0x19 and ended by the server with 0x00 [5 MQTT-4.12.1-1]',
    (c) => {
      c.connected(connack)
      const operation = c.user.reauthenticate(data(7))
      c.sends('auth', { reasonCode: 0x19, properties: data(7) })
      c.receives('auth', { properties: data(8) })
      c.asks({ authenticationData: Uint8Array.of(8) })
      c.user.answers(data(9))
      c.sends('auth', { reasonCode: 0x18, properties: data(9) })
      c.user.publish('a')
      c.sends('publish')
      c.receives('auth', { reasonCode: 0, properties: data(10) })
      c.settles(operation, { result: data(10) })
      c.lives()
      const again = c.user.reauthenticate(data(11))
      c.sends('auth', { reasonCode: 0x19 })
      c.receives('auth', { reasonCode: 0, properties: { authenticationMethod } })
      c.settles(again)
    },
    options,
  )

  conversation(
    'that is larger than the server accepts is refused here, and nothing is sent, rule 23 [5 MQTT-3.2.2-15]',
    (c) => {
      c.connected({ properties: { authenticationMethod, maximumPacketSize: 30 } })
      // 2 bytes of header, 1 of reason code, 1 of length, 8 of method, 3 before the data.
      const sized = (size: number) => ({ authenticationMethod, authenticationData: new Uint8Array(size) })
      const large = c.user.reauthenticate(sized(16))
      c.settles(large, { code: 'authentication-refused', error: { reasonCode: 0x95, local: true } })
      c.sendsNothing()
      expect(c.connection.reauthenticates).toBe(false)
      c.user.reauthenticate(sized(15))
      c.sends('auth', { reasonCode: 0x19 })
    },
    options,
  )

  conversation(
    'whose next step is larger than the server accepts ends the connection, rule 23 [5 MQTT-3.2.2-15]',
    (c) => {
      c.connected({ properties: { authenticationMethod, maximumPacketSize: 30 } })
      const operation = c.user.reauthenticate(data(7))
      c.sends('auth')
      c.receives('auth', { properties: data(8) })
      c.asks()
      c.user.answers({ authenticationMethod, authenticationData: new Uint8Array(16) })
      c.sends('disconnect', { reasonCode: 0x95 })
      const error = { reasonCode: 0x95, local: true }
      c.settles(operation, { code: 'authentication-refused', interrupted: true, error })
      c.closes({ code: 'authentication-refused' })
    },
    options,
  )

  conversation(
    'that is refused closes the connection [5 MQTT-4.12.1-2]',
    (c) => {
      c.connected(connack)
      const operation = c.user.reauthenticate(data(7))
      c.sends('auth')
      c.receives('disconnect', { reasonCode: 0x87 })
      c.settles(operation, { code: 'server-disconnected', interrupted: true, error: { reasonCode: 0x87 } })
      c.closes({ code: 'server-disconnected' })
    },
    options,
  )

  conversation(
    'is awaited, so that reading goes on meanwhile, rule 31',
    (c) => {
      c.connected(connack)
      expect(c.connection.awaitsAnswer).toBe(false)
      const again = c.user.reauthenticate(data(7))
      c.sends('auth')
      expect(c.connection.awaitsAnswer).toBe(true)
      expect(c.connection.reauthenticates).toBe(true)
      const ping = c.user.ping()
      c.sends('pingreq')
      c.receives('auth', { reasonCode: 0, properties: data(8) })
      c.settles(again)
      expect(c.connection.reauthenticates).toBe(false)
      expect(c.connection.awaitsAnswer).toBe(true)
      c.receives('pingresp')
      c.settles(ping)
      expect(c.connection.awaitsAnswer).toBe(false)
    },
    options,
  )

  conversation(
    'is not begun by the server, H9',
    (c) => {
      c.connected(connack)
      c.receives('auth', { properties: data(2) })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    options,
  )

  conversation(
    'names its method in each step [5 MQTT-4.12.0-5]',
    (c) => {
      c.connected(connack)
      const operation = c.user.reauthenticate(data(7))
      c.sends('auth')
      c.receives('auth', { properties: { authenticationMethod: 'other' } })
      c.settles(operation, { code: 'protocol-error' })
      c.closes({ code: 'protocol-error', reasonCode: 0x82 })
    },
    options,
  )

  conversation(
    'ends with the connection, and none is begun on one that has ended',
    (c) => {
      c.connected(connack)
      const operation = c.user.reauthenticate(data(7))
      c.sends('auth')
      c.cut()
      c.settles(operation, { code: 'connection-lost', interrupted: true })
      c.settles(c.user.reauthenticate(data(7)), { code: 'not-connected', interrupted: true })
      c.sendsNothing()
      expect(c.connection.state).toBe('closed')
    },
    options,
  )
})

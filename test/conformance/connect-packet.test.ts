// What a client says in CONNECT, byte by byte; and what it refuses to say.
import { describe, expect, it } from 'vitest'
import { UsageError } from '../../src/core/errors.ts'
import type { ConnectPacket } from '../../src/core/packets/types.ts'
import type { CommonOptions } from '../../src/client/client-options.ts'
import { useWorlds, VERSIONS } from '../support/client-world.ts'
import { connectBytes } from './wire.ts'

const makeWorld = useWorlds()
const HEADER = '00 04 4d 51 54 54'

describe.each(VERSIONS)('CONNECT in %s', (version) => {
  const level = version === '5' ? '05' : '04'
  const none = version === '5' ? '00 ' : ''

  /** The bytes behind the fixed header. */
  const bytesOf = (fields: Partial<Omit<ConnectPacket, 'type' | 'protocolVersion'>>): string =>
    connectBytes(version, fields).slice('10 00 '.length)

  it('names the protocol and its level, and leaves the reserved flag 0 [3.1.1 MQTT-3.1.2-1, -3] [5 MQTT-3.1.2-1, -3]', () => {
    const everything = {
      will: { topic: 'w', payload: new Uint8Array(0), qos: 2, retain: true },
      username: '',
      password: new Uint8Array(0),
    } as const
    expect(bytesOf({}).slice(0, 23)).toBe(`${HEADER} ${level} 02`)
    expect(bytesOf({ cleanStart: false }).slice(0, 23)).toBe(`${HEADER} ${level} 00`)
    expect(bytesOf(everything).slice(0, 23)).toBe(`${HEADER} ${level} f6`)
  })

  it('has client id, will topic, will message, user name and password in this order [3.1.1 MQTT-3.1.3-1, 3.1.2-9, -19, -21] [5 MQTT-3.1.3-1, 3.1.2-9, -17, -19]', () => {
    const properties = version === '5' ? { willDelayInterval: 5 } : undefined
    const will = { topic: 'w', payload: Uint8Array.of(1, 0, 255), qos: 1, retain: true, properties } as const
    const bytes = bytesOf({ keepAlive: 30, will, username: 'u', password: Uint8Array.of(0, 0x80) })
    const willProperties = version === '5' ? '05 18 00 00 00 05 ' : ''
    expect(bytes).toBe(
      `${HEADER} ${level} ee 00 1e ${none}00 01 63 ${willProperties}00 01 77 00 03 01 00 ff 00 01 75 00 02 00 80`,
    )
  })

  it('has nothing behind the client id, and no flag, when there is nothing [3.1.1 MQTT-3.1.2-11, -13, -15, -18, -20] [5 MQTT-3.1.2-11, -13, -16, -18]', () => {
    expect(bytesOf({})).toBe(`${HEADER} ${level} 02 00 00 ${none}00 01 63`)
  })

  it('has the will also when its message is empty [3.1.1 MQTT-3.1.2-9] [5 MQTT-3.1.2-9]', () => {
    const will = { topic: 'w', payload: new Uint8Array(0), qos: 0, retain: false } as const
    expect(bytesOf({ will })).toBe(`${HEADER} ${level} 06 00 00 ${none}00 01 63 ${none}00 01 77 00 00`)
  })

  it('has user name and password also when they are empty [3.1.1 MQTT-3.1.2-19, -21] [5 MQTT-3.1.2-17, -19]', () => {
    const bytes = bytesOf({ username: '', password: new Uint8Array(0) })
    expect(bytes).toBe(`${HEADER} ${level} c2 00 00 ${none}00 01 63 00 00 00 00`)
  })

  it('has the client id first, also when it is empty [3.1.1 MQTT-3.1.3-3] [5 MQTT-3.1.3-3]', () => {
    expect(bytesOf({ clientId: '', username: 'u' })).toBe(`${HEADER} ${level} 82 00 00 ${none}00 00 00 01 75`)
  })

  it('writes client id, will topic and user name as UTF-8 [3.1.1 MQTT-3.1.3-4, -10, -11] [5 MQTT-3.1.3-4, -11, -12]', () => {
    const will = { topic: '\u{1F426}', payload: new Uint8Array(0), qos: 0, retain: false } as const
    expect(bytesOf({ clientId: 'ü', will, username: '鳥' })).toBe(
      `${HEADER} ${level} 86 00 00 ${none}00 02 c3 bc ${none}00 04 f0 9f 90 a6 00 00 00 03 e9 b3 a5`,
    )
  })

  it.each([
    ['client id', '3.1.3-4', '3.1.3-4', (text: string) => ({ clientId: text })],
    ['will topic', '3.1.3-10', '3.1.3-11', (text: string) => ({ will: { topic: text, payload: '' } })],
    ['user name', '3.1.3-11', '3.1.3-12', (text: string) => ({ username: text })],
  ] as const)(
    'is not made of a %s that is no string of MQTT [3.1.1 MQTT-%s] [5 MQTT-%s]',
    (_what, _statement311, _statement5, optionsWith) => {
      const world = makeWorld(version)
      for (const text of ['a\u{D800}', '\u{DC00}a', 'a\0', 'x'.repeat(65_536)]) {
        expect(() => world.client(optionsWith(text))).toThrow(UsageError)
      }
    },
  )

  it('is not made of a will of QoS 3; that of QoS 0, 1 and 2 is sent [3.1.1 MQTT-3.1.2-14] [5 MQTT-3.1.2-12]', async () => {
    const will = (qos: number): CommonOptions => ({
      will: { topic: 'w', payload: '', qos: qos as 0 | 1 | 2 },
    })
    for (const qos of [3, -1, 0.5, Number.NaN]) {
      expect(() => makeWorld(version).client(will(qos))).toThrow(UsageError)
    }
    for (const qos of [0, 1, 2]) {
      const world = makeWorld(version)
      await world.connected(will(qos))
      expect(world.got('connect')[0]?.will?.qos).toBe(qos)
      const bytes = bytesOf({
        will: { topic: 'w', payload: new Uint8Array(0), qos: qos as 0, retain: false },
      })
      expect(Number.parseInt(bytes.slice(21, 23), 16) >> 3).toBe(['00', '01', '02'].indexOf(`0${qos}`))
    }
  })
})

describe('CONNECT in 5', () => {
  it('may have a password without a user name [5 MQTT-3.1.2-16, -19]', () => {
    expect(connectBytes('5', { password: Uint8Array.of(0x70) })).toBe(
      `10 11 ${HEADER} 05 42 00 00 00 00 01 63 00 01 70`,
    )
  })
})

it.each(VERSIONS)(
  '%s: client ids keep sessions apart [3.1.1 MQTT-3.1.3-2] [5 MQTT-3.1.3-2]',
  async (version) => {
    const world = makeWorld(version)
    world.broker.faults.onSend('puback').withhold()
    const reconnect = { min: 1_000, jitter: false }
    const clients = [
      await world.connectedDurable({ clientId: 'one', reconnect }),
      await world.connectedDurable({ clientId: 'two', reconnect }),
    ]
    for (const client of clients) void client.publish(client.clientId, 'x', { qos: 1 }).catch(() => undefined)
    await world.settle()
    const again: string[] = []
    world.broker.faults.onReceive('publish').run(({ topic, dup }, connection) => {
      again.push(`${connection.clientId}: ${topic} ${dup}`)
    })
    world.broker.cutAll()
    await world.advance(3_000)
    expect(again.toSorted()).toEqual(['one: one true', 'two: two true'])
  },
)

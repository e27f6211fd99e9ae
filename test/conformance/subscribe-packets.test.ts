// SUBSCRIBE and UNSUBSCRIBE, byte by byte; what is never sent; what their answers mean for the caller.
import { describe, expect, it } from 'vitest'
import { RefusedError, UsageError } from '../../src/core/errors.ts'
import type { SubscriptionRequest } from '../../src/core/packets/types.ts'
import type { Message } from '../../src/client/message.ts'
import { useWorlds, VERSIONS } from '../support/client-world.ts'
import { conversation } from '../support/conversation.ts'
import { bytesOf } from './wire.ts'

const makeWorld = useWorlds()
const PLAIN = { qos: 0, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const
const BAD_FILTERS = ['a\u{D800}', '\u{DC00}', 'a\0', '', '\u00fc'.repeat(32_768)]

describe.each(VERSIONS)('SUBSCRIBE in %s', (version) => {
  const none = version === '5' ? ' 00' : ''

  it('has the flags 0010, and its filters as UTF-8 [3.1.1 MQTT-3.8.1-1, 3.8.3-1] [5 MQTT-3.8.1-1, 3.8.3-1]', () => {
    const subscriptions = [
      { ...PLAIN, filter: 'a' },
      { ...PLAIN, filter: 'ü', qos: 2 },
    ] as const
    const bytes = bytesOf(version, { type: 'subscribe', packetId: 10, subscriptions })
    expect(bytes).toBe(`82 ${version === '5' ? '0c' : '0b'} 00 0a${none} 00 01 61 00 00 02 c3 bc 02`)
  })

  it.each([0, 1, 2] as const)(
    'has nothing but the QoS %i in its byte [3.1.1 MQTT-3-8.3-4] [5 MQTT-3.8.3-5]',
    (qos) => {
      const bytes = bytesOf(version, {
        type: 'subscribe',
        packetId: 1,
        subscriptions: [{ ...PLAIN, qos, filter: 'a' }],
      })
      expect(bytes.slice(-2)).toBe(`0${qos}`)
    },
  )

  it('is not made of a filter that is no string of MQTT, or of QoS 3 [3.1.1 MQTT-3.8.3-1, 3-8.3-4] [5 MQTT-3.8.3-1]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    for (const filter of BAD_FILTERS) await expect(client.subscribe(filter)).rejects.toThrow(UsageError)
    await expect(client.subscribe('a', { qos: 3 as 2 })).rejects.toThrow(UsageError)
    expect(world.got('subscribe')).toEqual([])
  })

  it('that is refused rejects with the code [3.1.1 MQTT-3.8.3-2] [5 MQTT-3.8.4-7]', async () => {
    const world = makeWorld(version, { broker: { authorizeSubscribe: () => 0x80 } })
    const client = await world.connected()
    const error = await client.subscribe('a/+').catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RefusedError)
    expect(error).toMatchObject({ code: 'subscribe-refused', reasonCode: 0x80, local: false })
  })
})

describe.each(VERSIONS)('UNSUBSCRIBE in %s', (version) => {
  it('has the flags 0010, and its filters as UTF-8 one after the other [3.1.1 MQTT-3.10.1-1, 3.10.3-1] [5 MQTT-3.10.1-1, 3.10.3-1]', () => {
    const bytes = bytesOf(version, { type: 'unsubscribe', packetId: 10, filters: ['a', 'ü'] })
    expect(bytes).toBe(
      version === '5' ? 'a2 0a 00 0a 00 00 01 61 00 02 c3 bc' : 'a2 09 00 0a 00 01 61 00 02 c3 bc',
    )
  })

  it('is not made of a filter that is no string of MQTT [3.1.1 MQTT-3.10.3-1] [5 MQTT-3.10.3-1]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    for (const filter of BAD_FILTERS) await expect(client.unsubscribe(filter)).rejects.toThrow(UsageError)
    expect(world.got('unsubscribe')).toEqual([])
  })

  it('is not made of no filter [3.1.1 MQTT-3.10.3-2] [5 MQTT-3.10.3-2]', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await expect(client.unsubscribe([])).rejects.toThrow(UsageError)
    expect(world.got('unsubscribe')).toEqual([])
  })
})

describe('the options of SUBSCRIBE in 5', () => {
  const byteOf = (options: Partial<SubscriptionRequest>): string => {
    const subscriptions = [{ ...PLAIN, filter: 'a', ...options }]
    return bytesOf('5', { type: 'subscribe', packetId: 1, subscriptions }).slice(-2)
  }

  it('has No Local in bit 2 [5 MQTT-3.8.3-3]', () => {
    expect([byteOf({ noLocal: true }), byteOf({ noLocal: false })]).toEqual(['04', '00'])
  })

  it('has Retain As Published in bit 3 [5 MQTT-3.3.1-12, -13]', () => {
    expect([byteOf({ retainAsPublished: false }), byteOf({ retainAsPublished: true })]).toEqual(['00', '08'])
  })

  it('has Retain Handling in bits 4 and 5 [5 MQTT-3.3.1-9, -10, -11]', () => {
    expect(([0, 1, 2] as const).map((retainHandling) => byteOf({ retainHandling }))).toEqual([
      '00',
      '10',
      '20',
    ])
  })

  it('come from the options of subscribe() [5 MQTT-3.3.1-9, -10, -11, -12, -13, 3.8.3-3]', async () => {
    const world = makeWorld('5')
    const client = await world.connected5()
    for (const retainHandling of [0, 1, 2] as const) {
      await client.subscribe(`a/${retainHandling}`, { retainHandling, noLocal: true })
      await client.subscribe(`b/${retainHandling}`, { retainHandling, retainAsPublished: true })
    }
    const sent = world.got('subscribe').flatMap(({ subscriptions }) => subscriptions)
    expect(sent).toEqual(
      ([0, 1, 2] as const).flatMap((retainHandling) => [
        { filter: `a/${retainHandling}`, qos: 0, noLocal: true, retainAsPublished: false, retainHandling },
        { filter: `b/${retainHandling}`, qos: 0, noLocal: false, retainAsPublished: true, retainHandling },
      ]),
    )
  })

  conversation(
    'may ask for QoS 2 of a server that takes no PUBLISH of it [5 MQTT-3.2.2-9, -10]',
    (c) => {
      c.connected({ properties: { maximumQoS: 0 } })
      const operation = c.user.subscribe('a', { qos: 2 })
      c.sends('subscribe', { subscriptions: [{ filter: 'a', qos: 2 }] })
      c.receives('suback', { packetId: 1, reasonCodes: [0] })
      c.settles(operation, { reasonCodes: [0] })
    },
    { versions: ['5'] },
  )
})

describe.each(VERSIONS)('overlapping subscriptions in %s', (version) => {
  it('that get a copy each: every copy is acknowledged [3.1.1 MQTT-3.3.5-1] [5 MQTT-3.3.4-5]', async () => {
    const world = makeWorld(version, { broker: { overlapping: 'copy-each' } })
    const client = version === '5' ? await world.connected5() : await world.connected()
    const messages: Message[] = []
    client.on('message', (message) => void messages.push(message))
    const identified = (subscriptionIdentifier: number): object =>
      version === '5' ? { properties: { subscriptionIdentifier } } : {}
    await client.subscribe('a/+', { qos: 1, ...identified(1) })
    await client.subscribe('a/b', { qos: 2, ...identified(2) })
    world.broker.publish({ topic: 'a/b', payload: 'x', qos: 2 })
    await world.settle()
    expect(new Set(messages.map(({ qos }) => qos))).toEqual(new Set([1, 2]))
    expect(messages).toHaveLength(2)
    expect(world.got('puback')).toHaveLength(1)
    expect(world.got('pubrec')).toHaveLength(1)
    expect(world.got('pubcomp')).toHaveLength(1)
    if (version === '5') {
      const identifiers = messages.map(({ properties }) => properties?.subscriptionIdentifiers)
      expect(new Set(identifiers.flat())).toEqual(new Set([1, 2]))
    }
  })
})

describe('overlapping subscriptions in 5', () => {
  conversation(
    'that get one copy: it has all their identifiers [5 MQTT-3.3.4-3, -4]',
    (c) => {
      c.connected()
      c.receives('publish', { properties: { subscriptionIdentifiers: [1, 268_435_455] } })
      c.handles('a', { properties: { subscriptionIdentifiers: [1, 268_435_455] } })
    },
    { versions: ['5'] },
  )
})

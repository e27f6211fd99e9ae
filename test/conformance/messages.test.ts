// Messages in both directions: flags, order, acknowledgements, and what a session remembers.
import { describe, expect, it } from 'vitest'
import type { PublishOptions } from '../../src/client/publish-options.ts'
import { UsageError } from '../../src/core/errors.ts'
import { useWorlds, VERSIONS } from '../support/client-world.ts'
import { conversation } from '../support/conversation.ts'
import { bytesOf } from './wire.ts'

const makeWorld = useWorlds()
const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const
const DAY = 86_400_000

describe('a PUBLISH of ours', () => {
  conversation(
    'has DUP 0 although what it repeats came with DUP 1 [3.1.1 MQTT-3.3.1-3] [5 MQTT-3.3.1-3]',
    (c) => {
      c.connected()
      const message = c.receivesMessage({ qos: 1, packetId: 9, dup: true, payload: 'x' })
      expect(message.dup).toBe(true)
      c.user.publish(message.topic, message.payload, { qos: 1 })
      c.sends('publish', { topic: 'a', payload: 'x', packetId: 1, dup: false })
      c.user.publish(message.topic, message.payload)
      c.sends('publish', { qos: 0, dup: false })
    },
  )

  it.each([
    ['3.1.1', '30 06 00 02 c3 bc 78 79', '3d 08 00 02 c3 bc 01 02 78 79'],
    ['5', '30 07 00 02 c3 bc 00 78 79', '3d 09 00 02 c3 bc 01 02 00 78 79'],
  ] as const)(
    '%s: has its topic first, as UTF-8 [3.1.1 MQTT-3.3.2-1] [5 MQTT-3.3.2-1]',
    (version, qos0, qos2) => {
      const message = { type: 'publish', topic: 'ü', payload: Uint8Array.of(0x78, 0x79) } as const
      const plain = { ...message, qos: 0, retain: false, dup: false, packetId: 0 } as const
      const again = { ...message, qos: 2, retain: true, dup: true, packetId: 258 } as const
      expect(bytesOf(version, plain)).toBe(qos0)
      expect(bytesOf(version, again)).toBe(qos2)
    },
  )

  conversation('may be retained and empty [3.1.1 MQTT-3.3.1-10] [5 MQTT-3.3.1-6]', (c) => {
    c.connected()
    c.user.publish('a', '', { retain: true })
    c.sends('publish', { topic: 'a', payload: '', retain: true, qos: 0 })
    c.user.publish('a', '', { retain: true, qos: 1 })
    c.sends('publish', { topic: 'a', payload: '', retain: true, qos: 1 })
  })

  it('5: has no Subscription Identifier, also when it passes on what had one [5 MQTT-3.3.4-6]', async () => {
    const world = makeWorld('5')
    const client = await world.connected5()
    const properties = { subscriptionIdentifiers: [1] } as PublishOptions['properties']
    await expect(client.publish('a', 'x', { properties })).rejects.toThrow(UsageError)
    await client.subscribe('in', { properties: { subscriptionIdentifier: 7 } }, async (message) => {
      const { contentType, userProperties } = message.properties ?? {}
      expect(message.properties?.subscriptionIdentifiers).toEqual([7])
      await client.publish('out', message.payload, { properties: { contentType, userProperties } })
    })
    world.broker.publish({ topic: 'in', properties: { contentType: 'text/plain' } })
    await world.settle()
    expect(world.got('publish').map(({ topic, properties: sent }) => [topic, sent])).toEqual([
      ['out', expect.objectContaining({ contentType: 'text/plain' })],
    ])
    expect(world.got('publish')[0]?.properties?.subscriptionIdentifiers).toBeUndefined()
  })
})

describe('a PUBLISH of the server', () => {
  conversation('says whether it was retained [3.1.1 MQTT-3.3.1-8, -9]', (c) => {
    c.connected()
    c.receives('publish', { topic: 'old', retain: true })
    c.handles('old', { retain: true })
    c.receives('publish', { topic: 'new', retain: false })
    c.handles('new', { retain: false })
  })

  conversation('is handed over in the order of arrival [3.1.1 MQTT-4.6.0-6] [5 MQTT-4.6.0-5]', (c) => {
    c.connected()
    const chunk = ([1, 0, 2, 1, 2, 0] as const).map((qos, index) =>
      c.packet('publish', { topic: 'a', payload: `${index}`, qos, packetId: qos === 0 ? 0 : index + 1 }),
    )
    c.receivesBytes(...chunk)
    for (let index = 0; index < 6; index++) c.handles('a', { payload: `${index}` })
  })

  it.each(VERSIONS)(
    '%s: that matches no subscription is acknowledged all the same [3.1.1 MQTT-3.3.2-3] [5 MQTT-3.3.2-3]',
    async (version) => {
      const world = makeWorld(version, { complaints: [] })
      const client = await world.connected()
      const seen: string[] = []
      await client.subscribe('mine', { qos: 2 }, (message) => void seen.push(message.topic))
      const payload = new Uint8Array(0)
      for (const qos of [1, 2] as const) {
        const fields = { topic: 'foreign', payload, qos, retain: false, dup: false, packetId: 40 + qos }
        world.broker.connectionOf('client')?.send({ type: 'publish', ...fields })
      }
      await world.settle()
      expect(world.got('puback').map(({ packetId }) => packetId)).toEqual([41])
      expect(world.got('pubrec').map(({ packetId }) => packetId)).toEqual([42])
      expect([client.state, seen]).toEqual(['connected', []])
    },
  )

  it('3.1.1: a server that closes at every PUBLISH is not asked in a loop [3.1.1 MQTT-3.3.5-2]', async () => {
    const world = makeWorld('3.1.1')
    const client = await world.connectedDurable({ reconnect: { min: 1_000, max: 64_000, jitter: false } })
    world.broker.faults.onReceive('publish').cutBefore()
    const published = client.publish('forbidden', 'x', { qos: 1 }).catch((reason: unknown) => reason)
    await world.advance(600_000)
    expect(world.got('connect').length).toBeLessThan(8)
    expect(await published).toMatchObject({ code: 'poison-delivery' })
    expect(client.state).toBe('connected')
  })

  conversation(
    'of QoS 2 is finished also when its message has expired [5 MQTT-4.3.3-13]',
    (c) => {
      c.connected()
      const message = c.receivesMessage({ qos: 2, packetId: 3, properties: { messageExpiryInterval: 1 } })
      c.passes(5_000)
      c.user.acknowledge(message)
      c.sends('pubrec', { packetId: 3, reasonCode: 0 })
      c.passes(5_000)
      c.receives('pubrel', { packetId: 3 })
      c.sends('pubcomp', { packetId: 3, reasonCode: 0 })
    },
    V5,
  )
})

describe('a session', () => {
  conversation(
    'forgets nothing while its connection stands, however long [3.1.1 MQTT-4.1.0-2] [5 MQTT-4.1.0-1]',
    (c) => {
      c.connected()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 2 })
      c.sends('publish', { packetId: 1 })
      c.sends('publish', { packetId: 2 })
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 5 }))
      c.sends('pubrec', { packetId: 5 })
      c.passes(30 * DAY)
      c.sendsNothing()
      c.receives('publish', { qos: 2, packetId: 5, dup: true })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 5 })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.receives('pubrec', { packetId: 2 })
      c.sends('pubrel', { packetId: 2 })
      c.receives('pubcomp', { packetId: 2 })
      c.settles(second)
    },
  )

  conversation(
    'that has expired meanwhile is dropped with the CONNACK that says so [5 MQTT-4.1.0-2]',
    (c) => {
      c.connected({ properties: { sessionExpiryInterval: 60 } })
      const lost = c.user.publish('a', '1', { qos: 2 })
      c.sends('publish', { packetId: 1 })
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 5 }))
      c.sends('pubrec', { packetId: 5 })
      c.cut()
      c.blocks(61_000)
      c.reconnected({ sessionPresent: false })
      c.settles(lost, { code: 'outcome-unknown' })
      c.sendsNothing()
      c.receivesMessage({ qos: 2, packetId: 5 })
    },
    { ...V5, connect: { properties: { sessionExpiryInterval: 60 } } },
  )
})

describe('acknowledgements of ours', () => {
  conversation(
    'have no words that could make them too large [5 MQTT-3.4.2-2, -3, 3.5.2-2, -3, 3.6.2-2, -3, 3.7.2-2, -3]',
    (c) => {
      c.connected({ properties: { maximumPacketSize: 5 } })
      const words = { reasonString: 'x'.repeat(100), userProperties: [['k', 'v']] }
      for (const [packetId, reasonCode] of [
        [1, 0],
        [2, 0x83],
      ] as const) {
        c.user.acknowledge(c.receivesMessage({ qos: 1, packetId }), reasonCode)
        expect(c.sends('puback', { packetId, reasonCode }).properties).toBeUndefined()
        c.user.acknowledge(c.receivesMessage({ qos: 2, packetId }), reasonCode)
        expect(c.sends('pubrec', { packetId, reasonCode }).properties).toBeUndefined()
      }
      c.receives('pubrec', { packetId: 9, properties: words })
      expect(c.sends('pubrel', { packetId: 9, reasonCode: 0x92 }).properties).toBeUndefined()
      c.receives('pubrel', { packetId: 9, properties: words })
      expect(c.sends('pubcomp', { packetId: 9, reasonCode: 0x92 }).properties).toBeUndefined()
      expect(c.traffic.bytesOut).toBeLessThan(80)
    },
    V5,
  )

  conversation(
    'have a length of 2, and those of the server, too: other lengths end the connection [3.1.1 section 3.12.1]',
    (c) => {
      for (const bytes of ['d0 01 00', '40 03 00 01 00', '50 01 00', '62 03 00 01 00', '70 03 00 01 00']) {
        c.opens()
        c.sends('connect')
        c.accepts()
        c.receivesBytes(bytes)
        c.closes({ code: 'malformed-packet' })
      }
      c.opens()
      c.sends('connect')
      c.receivesBytes('20 03 00 00 00')
      c.closes({ code: 'malformed-packet' })
    },
    V311,
  )
})

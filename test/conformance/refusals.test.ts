// A server that refuses, is somebody else's, or contradicts itself while a client connects.
import { describe, expect, it } from 'vitest'
import { collect, useWorlds, VERSIONS } from '../support/client-world.ts'
import { conversation } from '../support/conversation.ts'

const makeWorld = useWorlds()
const V5 = { versions: ['5'] } as const
const V311 = { versions: ['3.1.1'] } as const
const RECONNECT = { min: 1_000, max: 64_000, jitter: false }

describe('a CONNECT that is refused', () => {
  conversation(
    'because its client id is empty tells so, and the connection ends [3.1.1 MQTT-3.1.3-8, -9]',
    (c) => {
      c.opens({ clientId: '', cleanStart: false })
      c.sends('connect', { clientId: '', cleanStart: false })
      c.receivesBytes('20 02 00 02')
      expect(c.closes({ code: 'connection-refused' })).toMatchObject({ reasonCode: 0x85, local: false })
    },
    V311,
  )

  for (const [what, reasonCode, statement] of [
    ['its client id', 0x85, '3.1.3-8'],
    ["its will's QoS", 0x9b, '3.2.2-12'],
    ['its retained will', 0x9a, '3.2.2-13'],
    ['its authentication method', 0x8c, '4.12.0-1'],
    ['what else it says', 0x83, '3.1.4-2'],
  ] as const) {
    conversation(
      `because of ${what} tells the code, and the connection ends [5 MQTT-${statement}]`,
      (c) => {
        c.opens()
        c.sends('connect')
        c.receives('connack', { reasonCode })
        expect(c.closes({ code: 'connection-refused' })).toMatchObject({ reasonCode, local: false })
        c.sendsNothing()
      },
      {
        ...V5,
        connect: { will: { topic: 'w', payload: new Uint8Array(0), qos: 2, retain: true } },
      },
    )
  }

  conversation(
    'by a close without CONNACK is an attempt that failed [3.1.1 MQTT-3.1.4-1] [5 MQTT-3.1.4-1, -2]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.connection.handleEnd(undefined, c.now)
      c.pump()
      expect(c.closes({ code: 'connection-lost' })).toMatchObject({ phase: 'connack' })
    },
  )

  for (const [version, bytes] of [
    ['3.1.1', '20 02 00 01'],
    ['5', '20 03 00 84 00'],
    ['5', '20 02 00 01'],
  ] as const) {
    conversation(
      `because of its version, by ${bytes}, tells the code [${version} MQTT-3.1.2-2]`,
      (c) => {
        c.opens()
        c.sends('connect')
        c.receivesBytes(bytes)
        expect(c.closes({ code: 'connection-refused' })).toMatchObject({ reasonCode: 0x84, local: false })
      },
      { versions: [version] },
    )
  }

  conversation(
    'was followed by nothing: what waits stays unacknowledged, and is sent later as new [3.1.1 MQTT-3.1.4-5] [5 MQTT-3.1.4-6]',
    (c) => {
      c.opens()
      c.sends('connect')
      const delivery = c.user.publish('a', 'x', { qos: 1 })
      c.sendsNothing()
      c.receives('connack', { reasonCode: 0x88 })
      c.closes({ code: 'connection-refused' })
      c.receives('puback', { packetId: 1 })
      expect(delivery.state).not.toBe('settled')
      c.connected()
      c.sends('publish', { packetId: 1, dup: false })
      c.receives('puback', { packetId: 1 })
      c.settles(delivery)
    },
  )
})

describe('CONNACK in 5', () => {
  conversation(
    'with a Receive Maximum or a Maximum Packet Size of 0 is a protocol error [5 section 3.1.2.11.3] [5 section 3.1.2.11.4]',
    (c) => {
      for (const bytes of ['20 06 00 00 03 21 00 00', '20 08 00 00 05 27 00 00 00 00']) {
        c.opens()
        c.sends('connect')
        c.receivesBytes(bytes)
        c.closes({ code: 'protocol-error' })
      }
    },
    V5,
  )

  conversation(
    'whose limits are the least that there may be is taken [5 section 3.1.2.11.3]',
    (c) => {
      c.opens()
      c.sends('connect')
      c.receivesBytes('20 06 00 00 03 21 00 01')
      c.tells('connected')
      expect(c.settings.receiveMaximum).toBe(1)
    },
    V5,
  )
})

describe('the session of a clean start in 5', () => {
  conversation(
    'is a new one: no PUBREL of the old one, received ids are forgotten [5 MQTT-3.1.2-4, 3.2.2-3]',
    (c) => {
      c.connected()
      const released = c.user.publish('a', '1', { qos: 2 })
      c.sends('publish', { packetId: 1 })
      c.receives('pubrec', { packetId: 1 })
      c.sends('pubrel', { packetId: 1 })
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 7, payload: 'old' }))
      c.sends('pubrec', { packetId: 7 })
      c.cut()
      c.opens({ cleanStart: true })
      c.sends('connect', { cleanStart: true })
      c.accepts()
      c.user.resume()
      c.settles(released, { code: 'outcome-unknown' })
      c.sendsNothing()
      c.receivesMessage({ qos: 2, packetId: 7, payload: 'new' })
    },
    V5,
  )

  conversation(
    'that the server has kept goes on [5 MQTT-3.2.2-3]',
    (c) => {
      c.connected()
      c.user.publish('a', '1', { qos: 1 })
      c.sends('publish', { packetId: 1, dup: false })
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, dup: true })
    },
    V5,
  )

  it("5: the server's Session Expiry Interval goes before ours [5 section 3.2.2.3.2]", async () => {
    for (const [limit, cleanStart] of [
      [0, true],
      [30, false],
    ] as const) {
      const world = makeWorld('5', { broker: { sessionExpiryInterval: limit } })
      const client = await world.connected5({ sessionExpiryInterval: 60, reconnect: RECONNECT })
      expect(client.settings?.sessionExpiryInterval).toBe(limit)
      world.broker.cutAll()
      await world.advance(2_000)
      expect(world.got('connect').map((packet) => packet.cleanStart)).toEqual([true, cleanStart])
    }
  })
})

describe.each(VERSIONS)('two clients with one client id in %s', (version) => {
  it('do not drive each other out at full speed [3.1.1 MQTT-3.1.4-2] [5 MQTT-3.1.4-3]', async () => {
    const world = makeWorld(version)
    const first = await world.connected({ reconnect: RECONNECT })
    const lost = collect(first, 'disconnected')
    await world.connected({ reconnect: RECONNECT })
    await world.settle()
    expect(lost).toHaveLength(1)
    if (version === '5') expect(lost[0]?.reason?.reasonCode).toBe(0x8e)
    await world.advance(600_000)
    expect(world.got('connect').length).toBeGreaterThan(2)
    expect(world.got('connect').length).toBeLessThan(120)
  })
})

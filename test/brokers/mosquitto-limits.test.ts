// The limits of mosquitto: those that it has when it is just installed, and a configuration that is as tight as can
// be. What it announces is kept; what it cannot announce in 3.1.1 must not cost a message either.
import { describe, expect, it } from 'vitest'
import type { QoS } from '../../src/index.ts'
import { Inbox, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

/** What a PUBLISH to `abc` has around its payload: fixed header 2, topic 2 + 3, packet identifier 2, properties 1. */
const AROUND = 10

describeMosquitto('mosquitto as it is installed', 'installed', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    it.each<QoS>([1, 2])('delivers 1,000 messages of QoS %i that are published at once', async (qos) => {
      const topic = unique('burst')
      const [publisher, subscriber] = [await clients.brief(version), await clients.brief(version)]
      const inbox = new Inbox()
      await subscriber.subscribe(topic, { qos: 2 }, inbox.handle)
      const sent = Array.from({ length: 1_000 }, (_, index) => String(index))
      await Promise.all(sent.map((text) => publisher.publish(topic, text, { qos })))
      await inbox.until(1_000)
      await subscriber.ping()
      expect(inbox.texts).toEqual(sent)
    })

    // It counts both against the 20 that it lets a publisher have open, and drops what is beyond.
    it('delivers 400 messages of QoS 1 and 400 of QoS 2 that are published at once', async () => {
      const topic = unique('mixed')
      const [publisher, subscriber] = [await clients.brief(version), await clients.brief(version)]
      const inbox = new Inbox()
      await subscriber.subscribe(`${topic}/+`, { qos: 2 }, inbox.handle)
      const publishes: Promise<unknown>[] = []
      for (let index = 0; index < 400; index += 1) {
        for (const qos of [1, 2] as const) {
          publishes.push(publisher.publish(`${topic}/${qos}`, `${qos}/${index}`, { qos }))
        }
      }
      await Promise.all(publishes)
      await inbox.untilDistinct(800)
      await subscriber.ping()
      expect(inbox.messages).toHaveLength(800)
    })
  })
})

describeMosquitto('mosquitto that takes little', 'tight', (broker) => {
  const clients = useClients(() => broker().url)

  it('says so in version 5', async () => {
    const { settings } = await clients.brief('5')
    expect(settings).toMatchObject({
      maximumQoS: 1,
      maximumPacketSize: 100,
      receiveMaximum: 1,
      retainAvailable: false,
      keepAlive: 10,
      topicAliasMaximum: 0,
    })
  })

  it.each([
    ['QoS 2', 'hello', { qos: 2 }, 0x9b],
    ['a retained message', 'hello', { retain: true }, 0x9a],
    ['a packet of 101 bytes', 'x'.repeat(101 - AROUND), { qos: 1 }, 0x95],
  ] as const)('is not sent %s: the client refuses it', async (_, payload, options, reasonCode) => {
    const client = await clients.brief('5')
    await expect(client.publish('abc', payload, options)).rejects.toMatchObject({
      name: 'RefusedError',
      code: 'publish-refused',
      local: true,
      reasonCode,
    })
    await client.ping()
    expect(client.statistics.packetsOut.publish).toBe(0)
    expect(client.statistics.reconnects).toBe(0)
  })

  it('is sent a packet of exactly 100 bytes', async () => {
    const client = await clients.brief('5')
    const inbox = new Inbox()
    await client.subscribe('abc', { qos: 1 }, inbox.handle)
    const text = 'x'.repeat(100 - AROUND)
    await client.publish('abc', text, { qos: 1 })
    await inbox.until(1)
    expect(inbox.texts).toEqual([text])
    expect(client.statistics.reconnects).toBe(0)
  })

  it('is sent filters in as many packets as it takes', async () => {
    const client = await clients.brief('5')
    const root = unique('split')
    const filters = Array.from({ length: 20 }, (_, index) => `${root}/${index}/+`)
    const { results } = await client.subscribe(filters, { qos: 1 })
    expect(results.map(({ filter, grantedQos }) => [filter, grantedQos])).toEqual(
      filters.map((filter) => [filter, 1]),
    )
    expect(client.statistics.packetsOut.subscribe).toBeGreaterThan(3)
    await client.unsubscribe(filters)
    expect(client.statistics.packetsOut.unsubscribe).toBeGreaterThan(3)
  })

  describe.each(VERSIONS)('%s', (version) => {
    it('grants QoS 1 to a subscription of QoS 2', async () => {
      const topic = unique('granted')
      const client = await clients.brief(version)
      const { results } = await client.subscribe(topic, { qos: 2 })
      expect(results).toEqual([{ filter: topic, reasonCode: 1, grantedQos: 1 }])
    })

    it('loses none of 500 messages of QoS 1 that are published at once [3.1.1 MQTT-7.1.2-1] [5 MQTT-4.2-1]', async () => {
      const topic = unique('tight')
      const [publisher, subscriber] = [await clients.brief(version), await clients.brief(version)]
      const inbox = new Inbox()
      await subscriber.subscribe(topic, { qos: 1 }, inbox.handle)
      let [open, most] = [0, 0]
      publisher.on('packet', ({ packet }) => {
        if (packet.type === 'publish') most = Math.max(most, ++open)
        if (packet.type === 'puback') open -= 1
      })
      const sent = Array.from({ length: 500 }, (_, index) => String(index))
      await Promise.all(sent.map((text) => publisher.publish(topic, text, { qos: 1 })))
      await inbox.until(500)
      expect(inbox.texts).toEqual(sent)
      expect(publisher.statistics.reconnects + subscriber.statistics.reconnects).toBe(0)
      if (version === '5') expect(most).toBe(1)
    })
  })
})

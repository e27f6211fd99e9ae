// Messages through mosquitto: each QoS both ways, retained ones, wills, wildcards, shared subscriptions, many.
import { describe, expect, it } from 'vitest'
import type { Message, OutgoingMessage, QoS } from '../../src/index.ts'
import { Inbox, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

const QOS: readonly QoS[] = [0, 1, 2]
const PAIRS = QOS.flatMap((published) => QOS.map((subscribed) => [published, subscribed] as const))
const MANY = 10_000

describeMosquitto('mosquitto', 'plain', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    it.each(PAIRS)('delivers QoS %i to a subscription of QoS %i', async (published, subscribed) => {
      const topic = unique('qos')
      const [publisher, subscriber] = [await clients.brief(version), await clients.brief(version)]
      const inbox = new Inbox()
      const { results } = await subscriber.subscribe(topic, { qos: subscribed }, inbox.handle)
      expect(results).toEqual([{ filter: topic, reasonCode: subscribed, grantedQos: subscribed }])
      await publisher.publish(topic, 'hello', { qos: published })
      await inbox.until(1)
      await subscriber.ping()
      const qos = Math.min(published, subscribed)
      expect(inbox.messages).toEqual([{ topic, text: 'hello', qos, retain: false, dup: false }])
    })

    it.each([
      ['no byte', new Uint8Array(0)],
      ['every byte', Uint8Array.from({ length: 256 }, (_, index) => index)],
      ['a megabyte', Uint8Array.from({ length: 1_000_003 }, (_, index) => (index * 7919) >>> 3)],
    ])('delivers a payload of %s as it is', async (_, payload) => {
      const topic = unique('payload')
      const client = await clients.brief(version)
      const arrived = new Promise<Message>((resolve) => client.on('message', resolve))
      await client.subscribe(topic, { qos: 1 })
      await client.publish(topic, payload, { qos: 1 })
      expect(Buffer.compare((await arrived).payload, payload)).toBe(0)
    })

    it('gives a retained message to later subscribers until it is cleared', async () => {
      const topic = unique('retained')
      const publisher = await clients.brief(version)
      await publisher.publish(topic, 'state', { qos: 1, retain: true })
      const later = new Inbox()
      await (await clients.brief(version)).subscribe(topic, { qos: 1 }, later.handle)
      await later.until(1)
      expect(later.messages).toEqual([{ topic, text: 'state', qos: 1, retain: true, dup: false }])

      await publisher.publish(topic, '', { qos: 1, retain: true })
      const afterwards = new Inbox()
      const last = await clients.brief(version)
      await last.subscribe(topic, { qos: 1 }, afterwards.handle)
      await last.ping()
      expect(afterwards.messages).toEqual([])
    })

    it.each(QOS)('publishes a will of QoS %i when the connection is cut', async (qos) => {
      const topic = unique('will')
      const inbox = new Inbox()
      await (await clients.brief(version)).subscribe(topic, { qos: 2 }, inbox.handle)
      const dying = await clients.brief(version, { will: { topic, payload: 'farewell', qos } })
      dying.destroy()
      await inbox.until(1)
      expect(inbox.messages).toEqual([{ topic, text: 'farewell', qos, retain: false, dup: false }])
    })

    it('publishes no will after DISCONNECT', async () => {
      const topic = unique('will')
      const inbox = new Inbox()
      const subscriber = await clients.brief(version)
      await subscriber.subscribe(topic, { qos: 1 }, inbox.handle)
      const leaving = await clients.brief(version, { will: { topic, payload: 'farewell' } })
      await leaving.disconnect()
      await subscriber.publish(topic, 'behind it', { qos: 1 })
      await inbox.until(1)
      expect(inbox.texts).toEqual(['behind it'])
    })

    it('matches wildcards as the client does', async () => {
      const root = unique('wild')
      const client = await clients.brief(version)
      const [one, many] = [new Inbox(), new Inbox()]
      await client.subscribe(`${root}/+/leaf`, one.handle)
      await client.subscribe(`${root}/tree/#`, many.handle)
      for (const topic of ['tree', 'tree/leaf', 'bush/leaf', 'tree/twig/leaf', 'leaf', 'tree/leaf/vein']) {
        await client.publish(`${root}/${topic}`, topic, { qos: 1 })
      }
      await client.ping()
      // Overlapping filters: one copy in 3.1.1; in 5 mosquitto sends one for each, and each calls both handlers.
      expect([...new Set(one.texts)]).toEqual(['tree/leaf', 'bush/leaf'])
      expect([...new Set(many.texts)]).toEqual(['tree', 'tree/leaf', 'tree/twig/leaf', 'tree/leaf/vein'])
      if (version === '3.1.1') expect(one.messages.length + many.messages.length).toBe(6)
    })

    it('divides the messages of a shared subscription', async () => {
      const topic = unique('shared')
      const inboxes = [new Inbox(), new Inbox()]
      for (const inbox of inboxes) {
        await (await clients.brief(version)).subscribe(`$share/group/${topic}`, { qos: 1 }, inbox.handle)
      }
      const all = new Inbox()
      const watching = await clients.brief(version)
      await watching.subscribe(topic, { qos: 1 }, all.handle)
      const sent = Array.from({ length: 100 }, (_, index) => String(index))
      const publisher = await clients.brief(version)
      await publisher.publishAll(sent.map((payload) => ({ topic, payload, qos: 1 })))
      await all.until(100)
      const [first, second] = inboxes
      await first?.until(50)
      await second?.until(50)
      const shared = inboxes.flatMap(({ texts }) => texts)
      expect(shared.toSorted((a, b) => Number(a) - Number(b))).toEqual(sent)
    })

    it('sends nothing more after UNSUBSCRIBE', async () => {
      const topic = unique('gone')
      const client = await clients.brief(version)
      const inbox = new Inbox()
      const subscription = await client.subscribe(topic, { qos: 1 }, inbox.handle)
      await client.publish(topic, 'before', { qos: 1 })
      await inbox.until(1)
      await subscription.unsubscribe()
      await client.publish(topic, 'after', { qos: 1 })
      await client.ping()
      expect(inbox.texts).toEqual(['before'])
      expect(client.statistics.packetsIn.publish).toBe(1)
    })

    it('feeds an iterable, which unsubscribes when it is left', async () => {
      const topic = unique('stream')
      const client = await clients.brief(version)
      const stream = client.messages(topic, { qos: 2 })
      const texts: string[] = []
      const reading = (async () => {
        for await (const message of stream) {
          texts.push(message.text())
          if (texts.length === 3) break
        }
      })()
      await stream.ready
      await client.publishAll(['a', 'b', 'c', 'd'].map((payload) => ({ topic, payload, qos: 2 })))
      await reading
      expect(texts).toEqual(['a', 'b', 'c'])
      expect(client.statistics.packetsOut.unsubscribe).toBe(1)
    })

    it.each(QOS)(`loses none of ${MANY} messages of QoS %i`, async (qos) => {
      const topic = unique('many')
      const [publisher, subscriber] = [await clients.brief(version), await clients.brief(version)]
      const inbox = new Inbox()
      await subscriber.subscribe(topic, { qos }, inbox.handle)
      const result = await publisher.publishAll(numbered(topic, qos))
      expect(result).toEqual({ published: MANY, failed: 0, failures: [] })
      await inbox.until(MANY)
      await subscriber.ping()
      expect(inbox.texts).toEqual(Array.from({ length: MANY }, (_, index) => String(index)))
      expect(inbox.messages.every((message) => message.qos === qos && !message.dup)).toBe(true)
    })
  })

  it('carries the properties of a version 5 message', async () => {
    const topic = unique('properties')
    const client = await clients.brief('5')
    const arrived = new Promise<Message>((resolve) => client.on('message', resolve))
    await client.subscribe(topic, { qos: 1, properties: { subscriptionIdentifier: 7 } })
    const properties = {
      payloadFormatIndicator: 1,
      contentType: 'text/plain',
      responseTopic: 'answers/here',
      correlationData: Uint8Array.of(0, 255),
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '3'],
      ],
    } as const
    await client.publish(topic, 'é', { qos: 1, properties: { ...properties, messageExpiryInterval: 60 } })
    const received = (await arrived).properties
    expect(received).toMatchObject({ ...properties, subscriptionIdentifiers: [7] })
    expect(received?.messageExpiryInterval).toBeGreaterThan(57)
  })
})

function* numbered(topic: string, qos: QoS): Generator<OutgoingMessage> {
  for (let index = 0; index < MANY; index += 1) yield { topic, payload: String(index), qos }
}

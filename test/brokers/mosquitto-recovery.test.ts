// What survives: a mosquitto that crashes, one that is restarted, one that forgets, one that does not answer; and
// handlers that take longer than their connection lives.
import { once } from 'node:events'
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { Client, ConnectedEvent, QoS } from '../../src/index.ts'
import { Inbox, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

const HUNDRED = Array.from({ length: 100 }, (_, index) => index)

describeMosquitto('mosquitto that keeps its state', 'persistent', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    // What it acknowledges after a save is rolled back by a crash, so nothing is under way when it saves. Then it
    // is stopped, for the clients to have sent what it never reads.
    it('goes on after SIGUSR1, SIGKILL and a new start, and nothing is lost or comes twice', async () => {
      const topic = unique('crash')
      const inbox = new Inbox()
      const [publisher, subscriber] = [await clients.lasting(version), await clients.lasting(version)]
      const away = await clients.lasting(version)
      const awayInbox = new Inbox()
      await subscriber.subscribe(`${topic}/+`, { qos: 2 }, inbox.handle)
      await away.subscribe(`${topic}/+`, { qos: 2 }, awayInbox.handle)
      await away.disconnect()
      await publishHundreds(publisher, topic, 'before')
      await inbox.untilDistinct(200)
      for (const client of [publisher, subscriber, subscriber]) await client.ping()

      await broker().save()
      broker().freeze()
      const published = publishHundreds(publisher, topic, 'during')
      await publisher.drained()
      const resumed = [resumptionOf(publisher), resumptionOf(subscriber)]
      await broker().kill()
      await broker().run()

      for (const { sessionPresent } of await Promise.all(resumed)) expect(sessionPresent).toBe(true)
      await published
      await inbox.untilDistinct(400)
      expect(publisher.pending).toEqual([])
      // Its state of the moment of the save: nothing was open, so nothing of QoS 1 comes twice either.
      await subscriber.ping()
      expect(inbox.messages).toHaveLength(400)

      expect(await away.connect()).toMatchObject({ sessionPresent: true })
      await awayInbox.untilDistinct(400)
      await away.ping()
      expect(awayInbox.messages).toHaveLength(400)
      expect(awayInbox.texts.filter((text) => text.startsWith('1'))).toEqual(inOrder(1, ['before', 'during']))
      expect(awayInbox.texts.filter((text) => text.startsWith('2'))).toEqual(inOrder(2, ['before', 'during']))
    })

    it('is found again after an orderly restart', async () => {
      const topic = unique('restart')
      const inbox = new Inbox()
      const [publisher, subscriber] = [await clients.lasting(version), await clients.lasting(version)]
      await subscriber.subscribe(topic, { qos: 1 }, inbox.handle)
      const resumed = [resumptionOf(publisher), resumptionOf(subscriber)]
      const reason = new Promise<number | undefined>((resolve) => {
        subscriber.on('disconnected', ({ reason: packet }) => resolve(packet?.reasonCode), { once: true })
      })
      await broker().end()
      // "Server shutting down" is said in 5 only.
      expect(await reason).toBe(version === '5' ? 0x8b : undefined)
      const offline = publisher.publish(topic, 'while it was away', { qos: 1 })
      await broker().run()
      for (const { sessionPresent } of await Promise.all(resumed)) expect(sessionPresent).toBe(true)
      await offline
      await inbox.until(1)
      expect(inbox.texts).toEqual(['while it was away'])
      expect(subscriber.statistics.packetsOut.subscribe).toBe(1)
    })
  })
})

describeMosquitto('mosquitto that keeps nothing', 'plain', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    it('has lost the session after a crash: subscriptions are renewed, QoS 1 goes on as new', async () => {
      const topic = unique('lost')
      const inbox = new Inbox()
      const [publisher, subscriber] = [await clients.lasting(version), await clients.lasting(version)]
      await subscriber.subscribe(topic, { qos: 2 }, inbox.handle)
      const resumed = [resumptionOf(publisher), resumptionOf(subscriber)]
      broker().freeze()
      const [once1, once2] = [
        publisher.publish(topic, 'one', { qos: 1 }),
        publisher.publish(topic, 'two', { qos: 2 }),
      ]
      await publisher.drained()
      const dups: boolean[] = []
      publisher.on('packet', ({ packet }) => packet.type === 'publish' && dups.push(packet.dup))
      // The publisher is held back until the subscriber is there again: nobody else keeps the message for it.
      publisher.setReconnectTimeout(300, 300)
      await broker().kill()
      await broker().run()
      for (const { sessionPresent } of await Promise.all(resumed)) expect(sessionPresent).toBe(false)
      await expect(once2).rejects.toMatchObject({ code: 'outcome-unknown' })
      await once1
      expect(dups).toEqual([false])
      expect(subscriber.statistics.packetsOut.subscribe).toBe(2)
      await subscriber.publish(topic, 'three', { qos: 1 })
      await inbox.untilDistinct(1)
      expect(inbox.texts.at(-1)).toBe('three')
    })

    it('is known to be mute when a ping is not answered', async () => {
      const client = await clients.brief(version, { pingTimeout: 200 })
      broker().freeze()
      await expect(client.ping()).rejects.toMatchObject({ code: 'ping-timeout' })
      broker().thaw()
      expect(await client.ping()).toBeGreaterThan(0)
      expect(client.statistics.reconnects).toBe(0)
    })
  })
})

describeMosquitto('mosquitto behind a network that is cut', 'installed', (broker) => {
  const relay = new Relay(() => broker().url)
  const clients = useClients(() => relay.url)
  afterEach(() => relay.close())

  describe.each(VERSIONS)('%s', (version) => {
    const endings: readonly (readonly [string, 'away' | 'back'])[] = [
      ['while the connection is away', 'away'],
      ['when the next connection has the message again', 'back'],
    ]
    it.each(endings)('a handler of QoS 2 that ends %s counts, and is not called twice', async (_, end) => {
      await relay.listen()
      const topic = unique('late')
      const inbox = new Inbox()
      const subscriber = await clients.lasting(version)
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => (open = resolve))
      await subscriber.subscribe(topic, { qos: 2 }, (message) => {
        inbox.handle(message)
        return message.text() === 'first' ? gate : undefined
      })
      const publisher = await clients.brief(version)
      await publisher.publish(topic, 'first', { qos: 2 })
      await inbox.until(1)
      const [interrupted, resumed] = [interruptionOf(subscriber), resumptionOf(subscriber)]
      relay.cut(subscriber)
      await interrupted
      if (end === 'away') open()
      expect((await resumed).sessionPresent).toBe(true)
      await subscriber.ping()
      open()
      // More than mosquitto leaves unacknowledged, so that a single missing PUBREC would stop it.
      for (const index of HUNDRED) await publisher.publish(topic, `later ${index}`, { qos: 2 })
      await inbox.untilDistinct(101)
      await subscriber.ping()
      expect(inbox.texts).toEqual(['first', ...HUNDRED.map((index) => `later ${index}`)])
      await expect.poll(() => subscriber.statistics.packetsOut.pubcomp).toBe(101)
    })
  })
})

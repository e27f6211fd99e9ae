// What survives: a mosquitto that crashes, one that is restarted, one that forgets, one that does not answer; and
// handlers that take longer than their connection lives.
import { describe, expect, it } from 'vitest'
import { watchSocket } from '../../demo/sockets.ts'
import type { Client, ConnectedEvent, QoS } from '../../src/index.ts'
import { Inbox, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

const BOTH = [1, 2] as const
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
      await subscriber.subscribe(topic, { qos: 2 }, inbox.handle)
      await away.subscribe(topic, { qos: 2 }, awayInbox.handle)
      await away.disconnect()
      for (const qos of BOTH) await publishHundred(publisher, topic, qos, 'before')
      await inbox.untilDistinct(200)
      for (const client of [publisher, subscriber, subscriber]) await client.ping()

      await broker().save()
      broker().freeze()
      const published = BOTH.map((qos) => publishHundred(publisher, topic, qos, 'during'))
      await publisher.drained()
      const resumed = [resumptionOf(publisher), resumptionOf(subscriber)]
      await broker().kill()
      await broker().run()

      for (const { sessionPresent } of await Promise.all(resumed)) expect(sessionPresent).toBe(true)
      await Promise.all(published)
      await inbox.untilDistinct(400)
      expect(publisher.pending).toEqual([])
      // Its state of the moment of the save: nothing was open, so nothing of QoS 1 comes twice either.
      await subscriber.ping()
      expect(inbox.messages).toHaveLength(400)

      expect(await away.connect()).toMatchObject({ sessionPresent: true })
      await awayInbox.untilDistinct(400)
      await away.ping()
      expect(awayInbox.messages).toHaveLength(400)
      for (const qos of BOTH) {
        const texts = awayInbox.messages.filter((message) => message.qos === qos).map(({ text }) => text)
        expect(texts).toEqual(textsOf(qos, 'before', 'during'))
      }
    })

    it('is found again after an orderly restart', async () => {
      const topic = unique('restart')
      const inbox = new Inbox()
      const [publisher, subscriber] = [await clients.lasting(version), await clients.lasting(version)]
      await subscriber.subscribe(topic, { qos: 1 }, inbox.handle)
      const resumed = [resumptionOf(publisher), resumptionOf(subscriber)]
      await broker().end()
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
    it('has lost the sessions after a crash: subscriptions are renewed, QoS 1 goes on as new', async () => {
      const topic = unique('lost')
      const inbox = new Inbox()
      const [publisher, subscriber] = [await clients.lasting(version), await clients.lasting(version)]
      await subscriber.subscribe(topic, { qos: 2 }, inbox.handle)
      const sent: string[] = []
      publisher.on('packet', ({ packet }) => {
        if (packet.type === 'publish') sent.push(`QoS ${packet.qos}, DUP ${packet.dup ? 1 : 0}`)
      })
      broker().freeze()
      const atLeastOnce = publisher.publish(topic, 'one', { qos: 1 })
      const exactlyOnce = publisher.publish(topic, 'two', { qos: 2 })
      await publisher.drained()
      const resumed = [resumptionOf(publisher), resumptionOf(subscriber)]
      await broker().kill()
      await broker().run()
      for (const { sessionPresent } of await Promise.all(resumed)) expect(sessionPresent).toBe(false)
      await expect(exactlyOnce).rejects.toMatchObject({ code: 'outcome-unknown' })
      await atLeastOnce
      expect(sent).toEqual(['QoS 1, DUP 0', 'QoS 2, DUP 0', 'QoS 1, DUP 0'])

      // 'one' may have been there before the new subscription; a later message is not.
      await subscriber.ping()
      expect(subscriber.statistics.packetsOut.subscribe).toBe(2)
      await publisher.publish(topic, 'three', { qos: 2 })
      await subscriber.ping()
      expect(inbox.texts.filter((text) => text !== 'one')).toEqual(['three'])
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

describeMosquitto('mosquitto and a connection that is cut', 'installed', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    it.each([
      ['while there is none', false],
      ['when the next one has brought the message again', true],
    ])('a handler that outlives its connection and ends %s has done its part', async (_, isRepeated) => {
      const topic = unique('late')
      const inbox = new Inbox()
      const { result: subscriber, socket } = await watchSocket(() => clients.lasting(version))
      let open = (): void => {}
      const gate = new Promise<void>((resolve) => (open = resolve))
      await subscriber.subscribe(topic, { qos: 2 }, (message) => {
        inbox.handle(message)
        return message.text() === 'first' ? gate : undefined
      })
      const publisher = await clients.brief(version)
      await publisher.publish(topic, 'first', { qos: 2 })
      await inbox.until(1)
      const interrupted = new Promise((resolve) => subscriber.on('interrupted', resolve))
      const resumed = resumptionOf(subscriber)
      socket.destroy()
      await interrupted
      if (!isRepeated) open()
      expect((await resumed).sessionPresent).toBe(true)
      await subscriber.ping()
      open()
      // More than mosquitto leaves open for a client: one PUBREC that is missing stops it.
      await publishHundred(publisher, topic, 2, 'later')
      await inbox.untilDistinct(101)
      await subscriber.ping()
      await subscriber.ping()
      expect(inbox.texts).toEqual(['first', ...textsOf(2, 'later')])
      expect(subscriber.statistics.packetsOut.pubcomp).toBe(101)
    })

    it.each<QoS>([1, 2])('loses no message of QoS %i when its publisher is cut', async (qos) => {
      const topic = unique('cut')
      const inbox = new Inbox()
      const { result: publisher, socket } = await watchSocket(() => clients.lasting(version))
      const subscriber = await clients.brief(version)
      const sign = new Inbox()
      await subscriber.subscribe(topic, { qos }, inbox.handle)
      await subscriber.subscribe(`${topic}/sign`, sign.handle)
      const resumed = resumptionOf(publisher)
      socket.pause() // answers do not come through any more
      const published = publishHundred(publisher, topic, qos, 'cut')
      await publisher.publish(`${topic}/sign`, 'all before this was read by the broker')
      await sign.until(1)
      expect(publisher.pending).toHaveLength(100)
      socket.destroy()
      expect((await resumed).sessionPresent).toBe(true)
      await published
      await inbox.untilDistinct(100)
      await subscriber.ping()
      if (qos === 2) expect(inbox.texts).toEqual(textsOf(2, 'cut'))
    })
  })
})

function publishHundred(client: Client, topic: string, qos: QoS, when: string): Promise<unknown> {
  const all = Promise.all(textsOf(qos, when).map((text) => client.publish(topic, text, { qos })))
  all.catch(() => {}) // a test that fails earlier does not wait for it
  return all
}

function textsOf(qos: QoS, ...phases: readonly string[]): readonly string[] {
  return phases.flatMap((when) => HUNDRED.map((index) => `QoS ${qos} ${when} ${index}`))
}

function resumptionOf(client: Client): Promise<ConnectedEvent> {
  return new Promise((resolve) => client.on('resumed', resolve, { once: true }))
}

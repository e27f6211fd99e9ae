// Connecting to mosquitto: accepted, refused, by 'auto'; sessions that are there again and others that are not.
import { describe, expect, it } from 'vitest'
import { RefusedError } from '../../src/index.ts'
import { Inbox, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

describeMosquitto('mosquitto accepts', 'plain', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    it('a client, and answers its ping [3.1.1 MQTT-7.0.0-2, 7.1.2-1]', async () => {
      const client = await clients.brief(version)
      expect(client.state).toBe('connected')
      expect(client.settings).toMatchObject({
        protocolVersion: version,
        maximumQoS: 2,
        retainAvailable: true,
      })
      expect(await client.ping()).toBeGreaterThan(0)
      await client.disconnect()
      expect(client.state).toBe('stopped')
    })

    it('a session that it kept, with what came meanwhile', async () => {
      const topic = unique('kept')
      const client = await clients.lasting(version)
      const inbox = new Inbox()
      await client.subscribe(topic, { qos: 1 }, inbox.handle)
      await client.disconnect()
      await (await clients.brief(version)).publish(topic, 'meanwhile', { qos: 1 })
      expect(await client.connect()).toMatchObject({ sessionPresent: true, reasonCode: 0 })
      await inbox.until(1)
      expect(inbox.texts).toEqual(['meanwhile'])
    })

    it('a client that wants no session, and forgets the one that it had', async () => {
      const topic = unique('forgotten')
      const clientId = unique('lasting')
      const before = await clients.lasting(version, clientId)
      await before.subscribe(topic, { qos: 1 })
      await before.disconnect()
      await (await clients.with({ clientId, protocolVersion: version })).disconnect()
      const after = await clients.lasting(version, clientId)
      const inbox = new Inbox()
      after.route(topic, inbox.handle)
      await (await clients.brief(version)).publish(topic, 'to nobody', { qos: 1 })
      await after.ping()
      expect(inbox.texts).toEqual([])
    })

    it('a client without a name', async () => {
      const client = await clients.with({ clientId: '', protocolVersion: version })
      expect(client.state).toBe('connected')
      if (version === '5') expect(client.clientId).toMatch(/^auto-/)
    })
  })

  it("'auto' in version 5", async () => {
    const client = await clients.with({ protocolVersion: 'auto' })
    expect(client.settings?.protocolVersion).toBe('5')
  })
})

describeMosquitto('mosquitto that asks for a password', 'guarded', (broker) => {
  const clients = useClients(() => broker().url)
  const ada = { username: 'ada', password: 'lovelace' } as const

  describe.each(VERSIONS)('%s', (version) => {
    it('takes the right one', async () => {
      const client = await clients.brief(version, ada)
      expect(client.state).toBe('connected')
    })

    it.each([
      ['a wrong one', { ...ada, password: 'byron' }],
      ['an unknown user', { ...ada, username: 'byron' }],
      ['none', {}],
    ])('refuses %s', async (_, login) => {
      const error: unknown = await clients.brief(version, login).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(RefusedError)
      expect(error).toMatchObject({ code: 'connection-refused', reasonCode: 0x87, local: false })
    })

    it('takes messages of its topics only', async () => {
      const client = await clients.brief(version, ada)
      const inbox = new Inbox()
      await client.subscribe(['open/#', 'shut/#'], { qos: 1 }, inbox.handle)
      const shut = client.publish('shut/door', 'no', { qos: 1 })
      // 3.1.1 has no word for it: mosquitto acknowledges the message and drops it.
      if (version === '5')
        await expect(shut).rejects.toMatchObject({ code: 'publish-refused', reasonCode: 0x87 })
      else await shut
      await client.publish('open/door', 'yes', { qos: 1 })
      await inbox.until(1)
      expect(inbox.texts).toEqual(['yes'])
    })
  })

  it("refuses 'auto' with a wrong one, and is not asked a second time in 3.1.1", async () => {
    const before = connectionsOf(broker().log)
    const options = { ...ada, protocolVersion: 'auto', password: 'byron' } as const
    await expect(clients.with(options)).rejects.toMatchObject({
      code: 'connection-refused',
      reasonCode: 0x87,
    })
    await clients.brief('5', ada)
    expect(connectionsOf(broker().log) - before).toBe(2)
  })

  it("takes 'auto' with the right password", async () => {
    const client = await clients.with({ ...ada, protocolVersion: 'auto' })
    expect(client.settings?.protocolVersion).toBe('5')
  })
})

function connectionsOf(log: string): number {
  return log.match(/New connection from/g)?.length ?? 0
}

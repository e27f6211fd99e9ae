// Who the client is, and what the options of CONNECT become on the wire.
import { describe, expect, it } from 'vitest'
import { useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { UsageError } from '../core/errors.ts'
import { memoryStore } from '../store/memory.ts'

const makeWorld = useWorlds()

describe('who the client is', () => {
  it.each(VERSIONS)(
    '%s: credentials are asked for before each attempt, which is counted from 1',
    async (version) => {
      const world = makeWorld(version)
      const asked: number[] = []
      const client = world.client({
        credentials: async (attempt) => {
          asked.push(attempt)
          return { username: `user-${asked.length}`, password: 'secret' }
        },
        reconnect: { min: 1_000, jitter: false },
      })
      await client.connect()
      world.link.dialing = 'refused'
      world.broker.cutAll()
      await world.advance(2_000)
      world.link.dialing = 'answered'
      await world.advance(4_000)
      expect(client.state).toBe('connected')
      expect(asked).toEqual([1, 1, 2])
      expect(world.got('connect').map(({ username }) => username)).toEqual(['user-1', 'user-3'])
    },
  )

  it.each(VERSIONS)('%s: credentials that fail are an attempt that fails', async (version) => {
    const world = makeWorld(version)
    const reason = new Error('no token')
    await expect(world.client({ credentials: () => Promise.reject(reason) }).connect()).rejects.toBe(reason)
    expect(world.link.attempts).toEqual([])
  })

  it.each(VERSIONS)('%s: setLogin and setWill take effect with the next CONNECT', async (version) => {
    const world = makeWorld(version)
    const client = await world.connected({ username: 'old' })
    client.setLogin({ username: 'new', password: Uint8Array.of(1, 2) })
    client.setWill({ topic: 'gone', payload: 'bye' })
    await client.disconnect()
    await client.connect()
    client.setLogin(undefined)
    client.setWill(undefined)
    await client.disconnect()
    await client.connect()
    const packets = world.got('connect')
    expect(packets.map(({ username }) => username)).toEqual(['old', 'new', undefined])
    expect(packets.map(({ will }) => will?.topic)).toEqual([undefined, 'gone', undefined])
    expect(packets[1]?.password).toEqual(Uint8Array.of(1, 2))
  })

  it.each(VERSIONS)(
    '%s: after setLogin a signed URL is still new each time: no long wait',
    async (version) => {
      const world = makeWorld(version, { broker: { login: () => 0x86 } })
      const client = world.client({
        websocket: { transform: (request) => request },
        retryInitialConnect: true,
        reconnect: { min: 1_000, max: 100_000, jitter: false },
      })
      const delays: unknown[] = []
      client.on('connectFailed', ({ delay }) => delays.push(delay))
      client.setLogin({ username: 'set' })
      const connecting = client.connect().catch(() => {})
      await world.settle()
      expect(delays).toEqual([2_000])
      client.destroy()
      await connecting
    },
  )

  it.each(VERSIONS)('%s: setLogin takes the place of credentials', async (version) => {
    const world = makeWorld(version)
    const client = await world.connected({ credentials: () => ({ username: 'asked' }) })
    client.setLogin({ username: 'set' })
    await client.disconnect()
    await client.connect()
    expect(world.got('connect').map(({ username }) => username)).toEqual(['asked', 'set'])
  })

  it('3.1.1: a password without a user name is a UsageError [3.1.1 MQTT-3.1.2-22]', () => {
    const client = makeWorld('3.1.1').client()
    expect(() => client.setLogin({ password: 'x' })).toThrow(UsageError)
    expect(() => client.setWill({ topic: 'a/+', payload: '' })).toThrow(UsageError)
  })

  it('5: a password without a user name is sent', async () => {
    const world = makeWorld('5')
    const client = world.client()
    client.setLogin({ password: 'x' })
    await client.connect()
    expect(world.got('connect')).toMatchObject([{ username: undefined, password: Uint8Array.of(0x78) }])
  })

  it('5: an id that the server assigned is kept in a store', async () => {
    const world = makeWorld('5')
    const options = { clientId: '', cleanStart: false, sessionExpiryInterval: 60, store: memoryStore() }
    const first = world.client5(options)
    await first.connect()
    const { clientId } = first
    for (const client of [first, world.client5(options)]) {
      await first.disconnect()
      await client.connect()
      expect(client.clientId).toBe(clientId)
    }
    expect(world.got('connect').map((packet) => packet.clientId)).toEqual(['', clientId, clientId])
  })

  it('5: an id that the server assigned is used from then on', async () => {
    const world = makeWorld('5')
    const client = world.client5({
      clientId: '',
      reconnect: { min: 1_000, jitter: false },
      sessionExpiryInterval: 60,
    })
    await client.connect()
    expect(client.clientId).toBe('assigned-1')
    world.broker.cutAll()
    await world.advance(2_000)
    expect(client.clientId).toBe('assigned-1')
    expect(world.got('connect').map(({ clientId }) => clientId)).toEqual(['', 'assigned-1'])
  })

  it.each(VERSIONS)('%s: user and password of the URL are used', async (version) => {
    const world = makeWorld(version)
    const options = version === '5' ? ({ protocolVersion: '5' } as const) : {}
    const client = await world.pool.connect('mqtt://us%40er:p%20w@memory', options)
    expect(world.got('connect')).toMatchObject([
      { username: 'us@er', password: new TextEncoder().encode('p w') },
    ])
    await client.disconnect()
  })

  it('5: properties of CONNECT are sent, in order and with repeats', async () => {
    const world = makeWorld('5')
    await world.connected5({
      properties: {
        userProperties: [
          ['a', '1'],
          ['b', '2'],
          ['a', '1'],
        ],
        requestResponseInformation: true,
        requestProblemInformation: false,
      },
      receiveMaximum: 10,
      topicAliasMaximum: 3,
      maximumPacketSize: 5_000,
      sessionExpiryInterval: 60,
    })
    expect(world.got('connect')[0]?.properties).toEqual({
      userProperties: [
        ['a', '1'],
        ['b', '2'],
        ['a', '1'],
      ],
      requestResponseInformation: true,
      requestProblemInformation: false,
      receiveMaximum: 10,
      topicAliasMaximum: 3,
      maximumPacketSize: 5_000,
      sessionExpiryInterval: 60,
    })
  })

  it('5: a CONNECT has no property that was not set (rule 22)', async () => {
    const world = makeWorld('5')
    await world.connected5()
    expect(world.got('connect')[0]?.properties).toBeUndefined()
  })
})

// connect(): rules 1, 2, 5, and what the options of CONNECT become on the wire.
import { describe, expect, it } from 'vitest'
import {
  collect,
  outcomeOf,
  record,
  type TestWorld,
  useWorlds,
  VERSIONS,
} from '../../test/support/client-world.ts'
import { ConnectionError, ProtocolError, RefusedError, UsageError } from '../core/errors.ts'
import type { Dial } from '../transport/transport.ts'
import type { Client } from './client.ts'

const makeWorld = useWorlds()

const ONLY_311 = { versions: ['3.1.1'], refuseVersionBy: 'connack-5' } as const

describe.each(VERSIONS)('connect() in %s', (version) => {
  it('resolves with what CONNACK said; the state passes dialing and handshaking', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const states = collect(client, 'state')
    expect(client.state).toBe('stopped')
    expect(client.settings).toBeUndefined()
    const result = await client.connect()
    expect(result).toMatchObject({
      sessionPresent: false,
      reasonCode: 0,
      protocolVersion: version,
      adopted: false,
    })
    expect(result.settings).toBe(client.settings)
    expect(client.settings?.clientId).toBe('client')
    expect(states.map(({ to }) => to)).toEqual(['dialing', 'handshaking', 'connected'])
    expect(states.map(({ from }) => from)).toEqual(['stopped', 'dialing', 'handshaking'])
  })

  it('joins an attempt that is under way, and resolves at once when connected (rule 1)', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const [first, second] = await Promise.all([client.connect(), client.connect()])
    expect(second).toBe(first)
    expect(await client.connect()).toBe(first)
    expect(world.got('connect')).toHaveLength(1)
  })

  it('while waiting dials at once (rule 1)', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: { min: 60_000, jitter: false } })
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.settle()
    expect(client.state).toBe('waiting')
    world.link.dialing = 'answered'
    await client.connect()
    expect(client.state).toBe('connected')
    expect(world.link.attempts).toEqual([world.now, world.now])
  })

  it('rejects with the first failure, which is not retried (rule 1)', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const failed = collect(client, 'connectFailed')
    world.link.dialing = 'refused'
    const error = await client.connect().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(ConnectionError)
    expect(error).toMatchObject({ code: 'connect-failed', phase: 'tcp' })
    expect(failed).toEqual([{ error, attempt: 1, delay: undefined }])
    expect(client.state).toBe('stopped')
    await world.advance(1_000_000)
    expect(world.link.attempts).toHaveLength(1)
    world.link.dialing = 'answered'
    await client.connect()
    expect(client.state).toBe('connected')
  })

  it('rejects with the code of a refusal, and the client closes (rule 3)', async () => {
    const world = makeWorld(version, { broker: { login: () => 0x87 } })
    const client = world.client()
    const error = await client.connect().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RefusedError)
    expect(error).toMatchObject({ code: 'connection-refused', reasonCode: 0x87, local: false })
    await world.settle()
    expect(world.broker.connections).toEqual([])
  })

  it('with retryInitialConnect goes on until it succeeds (rule 1)', async () => {
    const world = makeWorld(version)
    const client = world.client({ retryInitialConnect: true, reconnect: { min: 1_000, jitter: false } })
    const failed = collect(client, 'connectFailed')
    world.link.dialing = 'refused'
    const connecting = outcomeOf(client.connect())
    await world.advance(2_000 + 4_000)
    expect(connecting.state).toBe('pending')
    expect(client.state).toBe('waiting')
    expect(failed.map(({ attempt, delay }) => [attempt, delay])).toEqual([
      [1, 2_000],
      [2, 4_000],
      [3, 8_000],
    ])
    world.link.dialing = 'answered'
    await world.advance(8_000)
    expect(connecting).toMatchObject({ state: 'resolved', value: { sessionPresent: false } })
  })

  it("with retryInitialConnect rejects when the policy says 'stop'", async () => {
    const world = makeWorld(version)
    const asked: number[] = []
    const client = world.client({
      retryInitialConnect: true,
      reconnect: (_error, attempt) => {
        asked.push(attempt)
        return attempt < 2 ? 500 : 'stop'
      },
    })
    world.link.dialing = 'refused'
    const connecting = outcomeOf(client.connect())
    await world.advance(500)
    expect(connecting).toMatchObject({ state: 'rejected', error: { code: 'connect-failed' } })
    expect(asked).toEqual([1, 2])
    expect(client.state).toBe('stopped')
  })

  it.each(['dialing', 'handshaking', 'waiting'] as const)(
    'rejects with the reason of its signal while %s',
    async (state) => {
      const world = makeWorld(version)
      const client = world.client({ retryInitialConnect: true })
      if (state === 'dialing') world.link.dialing = 'ignored'
      else if (state === 'waiting') world.link.dialing = 'refused'
      else world.broker.faults.onSend('connack').withhold()
      const controller = new AbortController()
      const connecting = client.connect({ signal: controller.signal })
      const outcome = outcomeOf(connecting)
      await world.settle()
      expect(client.state).toBe(state)
      const reason = new Error('enough')
      controller.abort(reason)
      await expect(connecting).rejects.toBe(reason)
      expect(outcome.state).toBe('rejected')
      expect(client.state).toBe('stopped')
      const attempts = world.link.attempts.length
      await world.advance(1_000_000)
      expect(world.link.attempts).toHaveLength(attempts)
      expect(world.broker.connections).toEqual([])
    },
  )

  it('rejects at once when its signal has aborted, and dials nowhere', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const reason = new Error('enough')
    await expect(client.connect({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    expect(world.link.attempts).toEqual([])
    expect(client.state).toBe('stopped')
  })

  it.each([
    ['no stream is made', 'tcp', (world: TestWorld): void => void (world.link.dialing = 'ignored')],
    [
      'no CONNACK comes',
      'connack',
      (world: TestWorld): void => void world.broker.faults.onSend('connack').withhold(),
    ],
    [
      'the CONNACK comes byte by byte and too late',
      'connack',
      (world: TestWorld): void => void world.broker.faults.onSend('connack').split([1, 1, 1], 400),
    ],
  ] as const)('fails after connectTimeout when %s (rule 1)', async (_what, phase, obstruct) => {
    const world = makeWorld(version)
    obstruct(world)
    const client = world.client({ connectTimeout: 1_000 })
    const connecting = outcomeOf(client.connect())
    await world.advance(999)
    expect(connecting.state).toBe('pending')
    await world.advance(1)
    expect(connecting).toMatchObject({ state: 'rejected', error: { code: 'connect-timeout', phase } })
    await world.advance(2_000)
    expect(world.broker.connections).toEqual([])
  })

  it('counts the asking for credentials in connectTimeout (rule 1)', async () => {
    const world = makeWorld(version)
    const client = world.client({
      connectTimeout: 1_000,
      credentials: () => new Promise<undefined>(() => {}),
    })
    const connecting = outcomeOf(client.connect())
    await world.advance(1_000)
    expect(connecting).toMatchObject({ state: 'rejected', error: { code: 'connect-timeout' } })
    expect(world.link.attempts).toEqual([])
  })

  it('takes a CONNACK in single bytes, and what stands behind it', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('connack').split([1, 1, 1], 50)
    const client = world.client()
    const connecting = outcomeOf(client.connect())
    await world.advance(149)
    expect(connecting.state).toBe('pending')
    await world.advance(1)
    expect(connecting.state).toBe('resolved')
  })

  it('fails when the stream ends without a CONNACK', async () => {
    const world = makeWorld(version)
    world.broker.faults.onReceive('connect').endBefore()
    const error = await world
      .client()
      .connect()
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'connection-lost', phase: 'connack' })
  })

  it('fails on a first packet that is no CONNACK, in reconnects too (rule 3)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('connack', { nth: 2 }).replaceBy({ type: 'pingresp' })
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    const failed = collect(client, 'connectFailed')
    world.broker.cutAll()
    await world.advance(2_000)
    expect(failed).toHaveLength(1)
    expect(failed[0]?.error).toBeInstanceOf(ProtocolError)
    expect(client.state).toBe('waiting')
  })

  it('sends what the options say', async () => {
    const world = makeWorld(version)
    await world.connected({
      clientId: 'boiler-7',
      keepAlive: 17,
      username: 'user',
      password: 'pass',
      will: { topic: 'gone', payload: 'bye', qos: 1, retain: true },
    })
    const [packet] = world.got('connect')
    expect(packet).toMatchObject({
      protocolVersion: version,
      clientId: 'boiler-7',
      cleanStart: true,
      keepAlive: 17,
      username: 'user',
      password: new TextEncoder().encode('pass'),
      will: { topic: 'gone', payload: new TextEncoder().encode('bye'), qos: 1, retain: true },
    })
  })

  it('makes up a client id of 22 characters, the same in every CONNECT', async () => {
    const world = makeWorld(version)
    const client = world.client({ clientId: undefined, reconnect: { min: 1_000, jitter: false } })
    expect(client.clientId).toMatch(/^[0-9A-Za-z]{22}$/)
    await client.connect()
    world.broker.cutAll()
    await world.advance(2_000)
    expect(world.got('connect').map(({ clientId }) => clientId)).toEqual([client.clientId, client.clientId])
  })

  it('gives up when the reconnect option is false', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: false })
    const events = record(client, 'disconnected', 'interrupted', 'closed')
    world.broker.cutAll()
    await world.settle()
    expect(client.state).toBe('stopped')
    expect(events.map(({ name }) => name)).toEqual(['disconnected', 'interrupted', 'closed'])
    expect(events[0]?.event).toMatchObject({ willReconnect: false, delay: undefined })
    expect(events[2]?.event).toMatchObject({ error: { code: 'connection-lost' } })
    await client.connect()
    expect(client.state).toBe('connected')
  })

  it.each([
    ['adopt', true],
    ['close', false],
  ] as const)(
    'with a session that is unknown here: onUnknownSession %s (rule 4) [5 MQTT-3.2.2-4]',
    async (policy, accepts) => {
      const world = makeWorld(version)
      const before = await world.connectedDurable()
      await before.disconnect()
      const client = world.durable({ onUnknownSession: policy })
      const connected = collect(client, 'connected')
      const connecting = outcomeOf(client.connect())
      await world.settle()
      if (accepts) {
        expect(connecting).toMatchObject({
          state: 'resolved',
          value: { sessionPresent: true, adopted: true },
        })
        expect(connected).toMatchObject([{ adopted: true, reconnected: false }])
      } else {
        expect(connecting.error).toBeInstanceOf(ProtocolError)
        expect(connecting.error).toMatchObject({ code: 'unknown-session' })
      }
    },
  )

  it('a session that is known here is resumed, and not adopted', async () => {
    const world = makeWorld(version)
    const client = await world.connectedDurable()
    await client.disconnect()
    expect(await client.connect()).toMatchObject({ sessionPresent: true, adopted: false })
  })
})

describe('the second CONNECT (rule 5)', () => {
  async function cleanFlags(client: Client, world: TestWorld): Promise<readonly boolean[]> {
    await client.connect()
    world.broker.cutAll()
    await world.advance(10_000)
    expect(client.state).toBe('connected')
    await client.disconnect()
    await client.connect()
    return world.got('connect').map(({ cleanStart }) => cleanStart)
  }

  it.each([true, false])('3.1.1: cleanSession %s is the same in each', async (cleanSession) => {
    const world = makeWorld('3.1.1')
    const client = world.createClient({ clientId: 'client', cleanSession })
    expect(await cleanFlags(client, world)).toEqual([cleanSession, cleanSession, cleanSession])
  })

  it('5: cleanStart true and no expiry: always 1', async () => {
    const world = makeWorld('5')
    expect(await cleanFlags(world.client5(), world)).toEqual([true, true, true])
  })

  it('5: cleanStart true with an expiry: 1, then 0 for reconnects, 1 after disconnect()', async () => {
    const world = makeWorld('5')
    const client = world.client5({ sessionExpiryInterval: 600 })
    expect(await cleanFlags(client, world)).toEqual([true, false, true])
  })

  it('5: an expiry that the server cuts to 0 counts as 0', async () => {
    const world = makeWorld('5', { broker: { sessionExpiryInterval: 0 } })
    const client = world.client5({ sessionExpiryInterval: 600 })
    expect(await cleanFlags(client, world)).toEqual([true, true, true])
  })

  it('5: cleanStart false: always 0', async () => {
    const world = makeWorld('5')
    const client = world.client5({ cleanStart: false, sessionExpiryInterval: 600 })
    expect(await cleanFlags(client, world)).toEqual([false, false, false])
  })

  it('5: the first CONNECT is repeated with 1 while no CONNACK has come', async () => {
    const world = makeWorld('5')
    world.broker.faults.onReceive('connect', { times: 1 }).cutAfter()
    world.broker.faults.onSend('connack', { times: 1 }).withhold()
    const client = world.client5({ sessionExpiryInterval: 600, retryInitialConnect: true })
    const connecting = outcomeOf(client.connect())
    await world.advance(10_000)
    expect(connecting.state).toBe('resolved')
    expect(world.got('connect').map(({ cleanStart }) => cleanStart)).toEqual([true, true])
  })
})

describe("protocolVersion 'auto' (rule 2)", () => {
  it('speaks 5 where 5 is spoken', async () => {
    const world = makeWorld('5')
    const client = world.client5({ protocolVersion: 'auto' })
    expect(await client.connect()).toMatchObject({ protocolVersion: '5' })
    expect(world.link.attempts).toHaveLength(1)
  })

  it.each(['connack-5', 'close'] as const)(
    'falls back within the attempt when 5 is refused by %s, and remembers it for the URL',
    async (refuseVersionBy) => {
      const world = makeWorld('3.1.1', { broker: { versions: ['3.1.1'], refuseVersionBy } })
      const client = world.client5({ protocolVersion: 'auto', reconnect: { min: 1_000, jitter: false } })
      const events = record(client, 'connectFailed', 'connected')
      const start = world.now
      expect(await client.connect()).toMatchObject({ protocolVersion: '3.1.1' })
      expect(world.now).toBe(start)
      expect(events.map(({ name }) => name)).toEqual(['connected'])
      expect(world.got('connect').map(({ protocolVersion }) => protocolVersion)).toEqual(['5', '3.1.1'])
      world.broker.cutAll()
      await world.advance(2_000)
      expect(client.state).toBe('connected')
      expect(world.got('connect').map(({ protocolVersion }) => protocolVersion)).toEqual([
        '5',
        '3.1.1',
        '3.1.1',
      ])
      await client.disconnect()
      await client.connect()
      expect(
        world
          .got('connect')
          .map(({ protocolVersion }) => protocolVersion)
          .slice(3),
      ).toEqual(['5', '3.1.1'])
    },
  )

  it('a silent close counts on the first attempt at the URL alone', async () => {
    const world = makeWorld('5')
    const client = world.client5({ protocolVersion: 'auto', reconnect: { min: 1_000, jitter: false } })
    await client.connect()
    world.broker.faults.onReceive('connect').endBefore()
    world.broker.cutAll()
    await world.advance(2_000)
    expect(client.state).toBe('waiting')
    expect(world.link.attempts).toHaveLength(2)
  })

  it('any other refusal is one', async () => {
    const world = makeWorld('5', { broker: { login: () => 0x86 } })
    const error = await world
      .client5({ protocolVersion: 'auto' })
      .connect()
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ reasonCode: 0x86 })
    expect(world.link.attempts).toHaveLength(1)
  })

  it('if both fail, the second error has the first as its cause', async () => {
    const world = makeWorld('5', {
      broker: { versions: ['3.1.1'], refuseVersionBy: 'connack-5', login: () => 0x87 },
    })
    const error = await world
      .client5({ protocolVersion: 'auto' })
      .connect()
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ reasonCode: 0x87, cause: { reasonCode: 0x84 } })
  })

  it.each([
    [{ cleanStart: true, sessionExpiryInterval: 0 }, true],
    [{ cleanStart: true, sessionExpiryInterval: 60 }, false],
    [{ cleanStart: false, sessionExpiryInterval: 60 }, false],
    [{ cleanStart: false }, false],
  ] as const)('CleanSession of the fall-back with %o is %s', async (terms, expected) => {
    const world = makeWorld('3.1.1', { broker: ONLY_311 })
    await world.connected5({ protocolVersion: 'auto', ...terms })
    expect(world.got('connect').at(-1)?.cleanStart).toBe(expected)
  })

  it('on 3.1.1 the properties of a publish are left out and counted', async () => {
    const world = makeWorld('3.1.1', { broker: ONLY_311 })
    const client = await world.connected5({ protocolVersion: 'auto' })
    await client.publish('a', 'x', { qos: 1, properties: { contentType: 'text/plain' } })
    expect(client.statistics.propertiesLeftOut).toBe(1)
  })

  it.each([{ noLocal: true }, { retainHandling: 2 }] as const)(
    'on 3.1.1 subscribe with %o rejects with needs-version-5, and nothing is sent',
    async (options) => {
      const world = makeWorld('3.1.1', { broker: ONLY_311 })
      const client = await world.connected5({ protocolVersion: 'auto' })
      const error = await client.subscribe('a', options, () => {}).catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(UsageError)
      expect(error).toMatchObject({ code: 'needs-version-5', field: Object.keys(options)[0] })
      expect(world.got('subscribe')).toEqual([])
      await client.subscribe('a', {}, () => {})
      expect(world.got('subscribe')).toHaveLength(1)
    },
  )

  it('on 3.1.1 a subscribe that was queued before rejects likewise', async () => {
    const world = makeWorld('3.1.1', { broker: ONLY_311 })
    const client = world.client5({ protocolVersion: 'auto' })
    const subscribing = outcomeOf(client.subscribe('a', { noLocal: true }))
    await client.connect()
    await world.settle()
    expect(subscribing).toMatchObject({ state: 'rejected', error: { code: 'needs-version-5' } })
  })

  it('on 3.1.1 enhanced authentication rejects with needs-version-5', async () => {
    const world = makeWorld('3.1.1', { broker: ONLY_311 })
    const authentication = { method: 'm', start: () => 'a', continue: () => 'b' }
    const error = await world
      .client5({ protocolVersion: 'auto', authentication })
      .connect()
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'needs-version-5', field: 'authentication' })
  })
})

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

describe('dial and runtime', () => {
  it.each(VERSIONS)('%s: the options of the client go before those of the pool', async (version) => {
    const world = makeWorld(version)
    const dialed: string[] = []
    const dial: Dial = (target, signal) => {
      dialed.push(target.url.href)
      return world.network.dial(target, signal)
    }
    const client = world.client({ dial })
    await client.connect()
    expect(dialed).toEqual(['mqtt://memory:1883'])
    expect(world.link.attempts).toEqual([])
  })

  it.each(VERSIONS)('%s: an error of dial that is no MqttError is the reason', async (version) => {
    const world = makeWorld(version)
    const reason = new TypeError('no such network')
    await expect(world.client({ dial: () => Promise.reject(reason) }).connect()).rejects.toBe(reason)
  })

  it.each(VERSIONS)(
    '%s: a stream that comes after the attempt was given up is destroyed',
    async (version) => {
      const world = makeWorld(version)
      let finish = (): void => {}
      const dial: Dial = (target, signal) =>
        new Promise((resolve) => {
          finish = () => void world.network.dial(target, new AbortController().signal).then(resolve)
          void signal
        })
      const client = world.client({ dial, connectTimeout: 100 })
      const connecting = outcomeOf(client.connect())
      await world.advance(100)
      finish()
      await world.settle()
      expect(connecting.state).toBe('rejected')
      expect(world.broker.connections).toEqual([])
    },
  )
})

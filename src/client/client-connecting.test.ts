// connect(): rules 1 and 3.
import { describe, expect, it } from 'vitest'
import {
  collect,
  optionsOf,
  outcomeOf,
  record,
  type TestWorld,
  useWorlds,
  VERSIONS,
} from '../../test/support/client-world.ts'
import { ConnectionError, ProtocolError, RefusedError } from '../core/errors.ts'
import type { Dial } from '../transport/transport.ts'

const makeWorld = useWorlds()

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

  it('with retryInitialConnect rejects when credentials returns what is none, not when it throws', async () => {
    const world = makeWorld(version)
    const answers = [() => Promise.reject(new Error('no answer')), () => ({ username: 5 })]
    const client = world.client({
      retryInitialConnect: true,
      reconnect: { min: 1_000, jitter: false },
      credentials: () => answers.shift()?.() as Promise<undefined>,
    })
    const failed = collect(client, 'connectFailed')
    const connecting = outcomeOf(client.connect())
    await world.settle()
    expect(connecting.state).toBe('pending')
    await world.advance(60_000)
    expect(connecting).toMatchObject({
      state: 'rejected',
      error: { code: 'invalid-option', field: 'credentials.username' },
    })
    expect(failed.map(({ attempt, delay }) => [attempt, delay])).toEqual([
      [1, expect.any(Number)],
      [2, undefined],
    ])
    expect([client.state, answers.length]).toEqual(['stopped', 0])
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

  it.each(['the first attempt', 'a reconnect'] as const)(
    'rejects with the reason of its signal when it joins %s, which goes on',
    async (which) => {
      const world = makeWorld(version)
      const client = world.client({ retryInitialConnect: true, reconnect: { min: 1_000, jitter: false } })
      const first = outcomeOf(client.connect())
      if (which === 'a reconnect') await world.settle()
      world.link.dialing = 'refused'
      world.broker.cutAll()
      await world.advance(5_000)
      const controller = new AbortController()
      const joining = outcomeOf(client.connect({ signal: controller.signal }))
      const reason = new Error('enough')
      controller.abort(reason)
      await world.settle()
      expect(joining.error).toBe(reason)
      world.link.dialing = 'answered'
      await world.advance(60_000)
      expect([client.state, first.state]).toEqual(['connected', 'resolved'])
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
  ] as const)(
    'fails after connectTimeout when %s (rule 1) [3.1.1 section 3.2.0]',
    async (_what, phase, obstruct) => {
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
    },
  )

  it('does not show what credentials returns', async () => {
    const world = makeWorld(version)
    const error = await world
      .client({ credentials: async () => 'secret' as never })
      .connect()
      .catch((reason: unknown) => reason)
    expect(String(error)).toContain('credentials: expected an object, got a string')
  })

  it('each URL has connectTimeout for itself', async () => {
    const world = makeWorld(version)
    const slow = (signal: AbortSignal): Promise<never> =>
      new Promise((_resolve, reject) => {
        const refuse = (): void => reject(new ConnectionError('connect-failed', 'slow', { phase: 'tcp' }))
        world.runtime.setTimer(refuse, 900)
        signal.addEventListener('abort', () => reject(signal.reason as Error))
      })
    world.broker.faults.onSend('connack').delay(500)
    const client = world.pool.createClient(
      ['mqtt://slow.example', world.url],
      optionsOf(version, {
        connectTimeout: 1_000,
        dial: (target, signal) =>
          target.url.hostname === 'slow.example' ? slow(signal) : world.link.dial(target, signal),
      }),
    )
    const connecting = outcomeOf(client.connect())
    await world.advance(900 + 500)
    expect(connecting.state).toBe('resolved')
    client.destroy()
  })

  it('connectTimeout does not run while the next URL waits for its turn', async () => {
    const world = makeWorld(version, { pool: { attemptsPerSecond: 1 } })
    const refuse = (): Promise<never> =>
      Promise.reject(new ConnectionError('connect-failed', 'refused', { phase: 'tcp' }))
    const client = world.pool.createClient(
      ['mqtt://down.example', world.url],
      optionsOf(version, {
        connectTimeout: 500,
        dial: (target, signal) =>
          target.url.hostname === 'down.example' ? refuse() : world.link.dial(target, signal),
      }),
    )
    const connecting = outcomeOf(client.connect())
    await world.advance(1_000)
    expect(connecting.state).toBe('resolved')
    client.destroy()
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
    expect(String(connecting.error)).toContain('nothing came from credentials')
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

// Events, and the back-off as they tell it: rules 1, 7, 26.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, record, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ConnectionError, RefusedError, UsageError } from '../core/errors.ts'
import type { ControlPacket } from '../core/packets/types.ts'
import type { Client } from './client.ts'
import type { ClientEvents } from './events.ts'

const makeWorld = useWorlds()
const PLAIN = { min: 1_000, max: 128_000, jitter: false, resetAfter: 10_000 } as const

describe.each(VERSIONS)('the life of a client in %s', (version) => {
  it('a lost connection: disconnected, interrupted, connectFailed, connected, resumed', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: PLAIN })
    const log = record(
      client,
      'disconnected',
      'interrupted',
      'connectFailed',
      'connected',
      'resumed',
      'closed',
    )
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.advance(2_000)
    world.link.dialing = 'answered'
    await world.advance(4_000)
    expect(log.map(({ name }) => name)).toEqual([
      'disconnected',
      'interrupted',
      'connectFailed',
      'connected',
      'resumed',
    ])
    const [lost, interrupted, failed, connected, resumed] = log.map(({ event }) => event)
    expect(lost).toMatchObject({
      error: { code: 'connection-lost' },
      reason: undefined,
      willReconnect: true,
      delay: 2_000,
    })
    expect((lost as ClientEvents['disconnected']).error).toBeInstanceOf(ConnectionError)
    expect(interrupted).toEqual({ error: (lost as ClientEvents['disconnected']).error })
    expect(failed).toMatchObject({ error: { code: 'connect-failed' }, attempt: 1, delay: 4_000 })
    expect(connected).toMatchObject({
      sessionPresent: false,
      reconnected: true,
      adopted: false,
      protocolVersion: version,
    })
    expect((connected as ClientEvents['connected']).settings).toBe(client.settings)
    expect(resumed).toEqual(connected)
    expect(client.statistics.reconnects).toBe(1)
  })

  it('connected at the first connection says reconnected: false, and is before connect() resolves', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const order: unknown[] = []
    client.on('connected', ({ reconnected }) => void order.push(reconnected))
    client.on('resumed', () => void order.push('resumed'))
    await client.connect().then(() => order.push('resolved'))
    expect(order).toEqual([false, 'resolved'])
  })

  it('the delay doubles from min to max (rule 7)', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: { ...PLAIN, max: 10_000 } })
    const failed = collect(client, 'connectFailed')
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.advance(2_000 + 4_000 + 8_000 + 10_000)
    expect(failed.map(({ attempt, delay }) => [attempt, delay])).toEqual([
      [1, 4_000],
      [2, 8_000],
      [3, 10_000],
      [4, 10_000],
    ])
  })

  it('with jitter it lies between min and the upper end, and the same seed gives the same (rule 7)', async () => {
    const delays = async (seed: number): Promise<unknown[]> => {
      const world = makeWorld(version, { seed })
      const client = await world.connected()
      const lost = collect(client, 'disconnected')
      for (let round = 0; round < 20; round += 1) {
        world.broker.cutAll()
        await world.advance(20_000)
        expect(client.state).toBe('connected')
      }
      return lost.map(({ delay }) => delay)
    }
    const first = await delays(7)
    expect(await delays(7)).toEqual(first)
    expect(await delays(8)).not.toEqual(first)
    expect(first.every((delay) => Number(delay) >= 1_000 && Number(delay) <= 2_000)).toBe(true)
    expect(new Set(first).size).toBe(20)
  })

  it.each([
    [9_999, 4_000],
    [10_000, 2_000],
  ])('being connected for %i ms makes the next delay %i (rule 7)', async (connectedFor, delay) => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: PLAIN })
    const lost = collect(client, 'disconnected')
    world.broker.cutAll()
    await world.advance(2_000)
    await world.advance(connectedFor)
    world.broker.cutAll()
    await world.settle()
    expect(lost.map((event) => event.delay)).toEqual([2_000, delay])
  })

  it.each([0x84, 0x85, 0x86, 0x87])(
    'a refusal with %i begins at max (rule 7) [3.1.1 MQTT-3.1.3-9] [5 MQTT-3.1.3-8]',
    async (code) => {
      let refuses = 0
      const world = makeWorld(version, { broker: { login: () => refuses } })
      const client = await world.connected({ reconnect: PLAIN })
      const failed = collect(client, 'connectFailed')
      refuses = code
      world.broker.cutAll()
      await world.advance(2_000)
      expect(failed).toMatchObject([{ error: { reasonCode: code }, delay: 128_000 }])
      expect(failed[0]?.error).toBeInstanceOf(RefusedError)
    },
  )

  it('but bad credentials begin at min when they are asked for anew (rule 7)', async () => {
    let refuses = 0
    const world = makeWorld(version, { broker: { login: () => refuses } })
    const client = await world.connected({ reconnect: PLAIN, credentials: () => ({ username: 'u' }) })
    const failed = collect(client, 'connectFailed')
    refuses = 0x86
    world.broker.cutAll()
    await world.advance(2_000)
    expect(failed.map(({ delay }) => delay)).toEqual([4_000])
  })

  it('a refusal that time heals does not', async () => {
    let refuses = 0
    const world = makeWorld(version, { broker: { login: () => refuses } })
    const client = await world.connected({ reconnect: PLAIN })
    const failed = collect(client, 'connectFailed')
    refuses = 0x88
    world.broker.cutAll()
    await world.advance(2_000)
    expect(failed.map(({ delay }) => delay)).toEqual([4_000])
  })

  it('a reconnect function decides: ms, stop, and what it throws is reported', async () => {
    const world = makeWorld(version)
    const asked: [unknown, number][] = []
    const client = await world.connected({
      reconnect: (error, attempt) => {
        asked.push([error, attempt])
        if (attempt === 3) throw new Error('broken')
        return attempt === 4 ? 'stop' : 100 * attempt
      },
    })
    const failed = collect(client, 'connectFailed')
    const closed = collect(client, 'closed')
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.advance(100 + 200)
    expect(asked.map(([, attempt]) => attempt)).toEqual([1, 2, 3])
    expect(world.reports).toMatchObject([{ message: 'broken' }])
    await world.advance(128_000)
    expect(asked.map(([, attempt]) => attempt)).toEqual([1, 2, 3, 4])
    expect(failed.at(-1)?.delay).toBeUndefined()
    expect(closed).toMatchObject([{ error: { code: 'connect-failed' } }])
    expect(client.state).toBe('stopped')
    await expect(client.publish('a', 'x', { qos: 1 })).rejects.toMatchObject({ code: 'disconnected' })
    world.link.dialing = 'answered'
    await client.connect()
    expect(client.state).toBe('connected')
  })

  it('setReconnectTimeout changes the limits', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: PLAIN })
    client.setReconnectTimeout(50, 80)
    const lost = collect(client, 'disconnected')
    world.broker.cutAll()
    await world.advance(80)
    expect(lost.map(({ delay }) => delay)).toEqual([80])
    expect(client.state).toBe('connected')
    for (const [min, max] of [
      [0, 1],
      [5, 4],
      [NaN, 1],
    ] as const) {
      expect(() => client.setReconnectTimeout(min, max)).toThrow()
    }
  })

  it.each([
    ['disconnect', 'a connection is lost'],
    ['destroy', 'a connection is lost'],
    ['disconnect', 'an attempt fails'],
    ['destroy', 'an attempt fails'],
  ] as const)('a reconnect function that calls %s() when %s has the last word', async (how, when) => {
    const world = makeWorld(version)
    const client = world.client({
      retryInitialConnect: true,
      reconnect: () => {
        if (how === 'destroy') client.destroy()
        else void client.disconnect()
        return 100
      },
    })
    const closed = collect(client, 'closed')
    if (when === 'an attempt fails') world.link.dialing = 'refused'
    const connecting = outcomeOf(client.connect())
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    world.link.dialing = 'answered'
    const attempts = world.link.attempts.length
    await world.advance(10_000)
    expect([client.state, world.link.attempts.length, closed.length]).toEqual(['stopped', attempts, 1])
    expect(connecting.state).toBe(when === 'an attempt fails' ? 'rejected' : 'resolved')
    await client.connect()
    expect(client.state).toBe('connected')
    await client.publish('a', 'x', { qos: 1 })
  })

  it('a listener of publishFailed that begins anew has the last word', async () => {
    const world = makeWorld(version)
    const asked: number[] = []
    const credentials = (attempt: number): undefined => void asked.push(attempt)
    const client = await world.connected({ credentials, reconnect: { min: 1_000, jitter: false } })
    const states = collect(client, 'state')
    client.on('publishFailed', () => {
      client.destroy()
      void client.connect()
    })
    world.link.stop()
    void client.publish('a', new Uint8Array(300_000)).catch(() => {})
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    world.link.go()
    await world.advance(10_000)
    expect(states.map(({ to }) => to)).toEqual(['stopped', 'dialing', 'handshaking', 'connected'])
    expect(asked).toEqual([1, 1])
    expect(world.broker.connections).toHaveLength(1)
  })

  it('setReconnectTimeout takes the place of a reconnect function', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: () => 10_000 })
    client.setReconnectTimeout(50, 50)
    world.broker.cutAll()
    await world.advance(50)
    expect(client.state).toBe('connected')
  })

  it('reconnectNow makes the waiting attempt at once, and does nothing otherwise', async () => {
    const world = makeWorld(version)
    const client = world.client({ reconnect: PLAIN })
    client.reconnectNow()
    await world.settle()
    expect(client.state).toBe('stopped')
    await client.connect()
    client.reconnectNow()
    world.broker.cutAll()
    await world.settle()
    expect(client.state).toBe('waiting')
    const { now } = world
    client.reconnectNow()
    client.reconnectNow()
    await world.settle()
    expect([client.state, world.now]).toEqual(['connected', now])
    expect(world.link.attempts).toHaveLength(2)
  })

  it('a server that accepts and closes at once is not dialed in a loop (H12)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('connack').cutAfter()
    const client = world.client({ reconnect: PLAIN })
    await client.connect()
    await world.advance(300_000)
    expect(world.link.attempts.length).toBeLessThan(12)
  })

  it('packet tells every packet, both ways, from CONNECT on', async () => {
    const world = makeWorld(version)
    const client = world.client()
    const packets = collect(client, 'packet')
    await client.connect()
    await client.publish('a', 'x', { qos: 2 })
    await client.ping()
    const told = packets.map(({ direction, packet }) => `${direction} ${packet.type}`)
    expect(told).toEqual([
      'out connect',
      'in connack',
      'out publish',
      'in pubrec',
      'out pubrel',
      'in pubcomp',
      'out pingreq',
      'in pingresp',
    ])
  })

  it('packet may be listened to during the handshake', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('connack').delay(100)
    const client = world.client()
    const connecting = client.connect()
    await world.advance(50)
    expect(client.state).toBe('handshaking')
    const seen: string[] = []
    client.on('packet', ({ packet }) => void seen.push(packet.type))
    await world.advance(50)
    await connecting
    await client.publish('a', 'x', { qos: 1 })
    expect(seen).toEqual(['connack', 'publish', 'puback'])
  })

  it('packet may be listened to later, and stops with its last listener', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const seen: string[] = []
    const off = client.on('packet', ({ packet }) => void seen.push(packet.type))
    const other = client.on('packet', () => {})
    await client.publish('a', 'x', { qos: 1 })
    off()
    await client.publish('a', 'x', { qos: 1 })
    other()
    await client.publish('a', 'x', { qos: 1 })
    expect(seen).toEqual(['publish', 'puback'])
  })

  it('unmatched tells a message that nobody wants', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    const unmatched = collect(client, 'unmatched')
    client.route('b', () => {})
    await client.subscribe('a', { qos: 1 })
    world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await world.settle()
    expect(unmatched.map(({ message }) => message.text())).toEqual(['x'])
    expect(world.got('puback')).toHaveLength(1)
    expect(client.statistics.messagesUnmatched).toBe(1)
  })
})

describe('the DISCONNECT of a server, 5', () => {
  it('is the reason of disconnected; the client closes (rule 7)', async () => {
    const world = makeWorld('5')
    const client = await world.connected({ reconnect: PLAIN })
    const lost = collect(client, 'disconnected')
    world.broker.connections[0]?.send({
      type: 'disconnect',
      reasonCode: 0x9c,
      properties: { serverReference: 'other', reasonString: 'go there' },
    })
    await world.settle()
    expect(lost).toMatchObject([
      {
        error: { code: 'server-disconnected', reasonCode: 0x9c, reasonString: 'go there' },
        reason: { reasonCode: 0x9c, properties: { serverReference: 'other' } },
        willReconnect: true,
        delay: 2_000,
      },
    ])
    expect(lost[0]?.error).toBeInstanceOf(RefusedError)
    expect(world.broker.connections).toEqual([])
  })

  it.each([0x8e, 0x8a, 0x9d])('with %i it begins at max [5 section 4.11]', async (code) => {
    const world = makeWorld('5')
    const client = await world.connected({ reconnect: PLAIN })
    const lost = collect(client, 'disconnected')
    world.broker.disconnectAll(code)
    await world.settle()
    expect(lost.map(({ delay }) => delay)).toEqual([128_000])
  })
})

describe('on()', () => {
  it('returns how to stop; once; signal', async () => {
    const world = makeWorld('5')
    const client = world.client()
    const log: string[] = []
    const controller = new AbortController()
    const off = client.on('state', ({ to }) => void log.push(`plain ${to}`))
    client.on('state', ({ to }) => void log.push(`once ${to}`), { once: true })
    client.on('state', ({ to }) => void log.push(`signal ${to}`), { signal: controller.signal })
    client.on('state', () => void log.push('never'), { signal: AbortSignal.abort() })
    const connecting = client.connect()
    expect(log).toEqual(['plain dialing', 'once dialing', 'signal dialing'])
    controller.abort()
    off()
    off()
    await connecting
    expect(log).toHaveLength(3)
  })

  it.each([
    ['onec', { onec: true }],
    ['signal', { signal: 7 }],
    ['options', null],
  ])('refuses wrong options: %s', async (field, options) => {
    const client = makeWorld('5').client()
    const wrong = { code: 'invalid-option', field }
    expect(() => client.on('state', () => {}, options as never)).toThrow(
      expect.objectContaining(wrong) as Error,
    )
    if (field !== 'onec') await expect(client.ping(options as never)).rejects.toMatchObject(wrong)
  })

  it.each([
    ['conected', 'unknown event "conected"; did you mean connected?'],
    ['connect', 'unknown event "connect"; did you mean connected?'],
    ['packetsend', 'unknown event "packetsend"; did you mean packet?'],
    ['toString', 'unknown event "toString"; expected one of connected, connectFailed, '],
    ['__proto__', 'unknown event "__proto__"; expected one of connected, connectFailed, '],
    [undefined, 'unknown event undefined; expected one of connected, connectFailed, '],
  ])('an event that there is not is told: %s', (name, message) => {
    const client = makeWorld('5').client()
    expect(() => client.on(name as 'state', () => {})).toThrow(UsageError)
    expect(() => client.on(name as 'state', () => {})).toThrow(message)
  })

  it.each([0, 1] as const)('a packet told has the bytes that were published, at QoS %i', async (qos) => {
    const client = await makeWorld('5').connected()
    const payload = new Uint8Array([1, 2, 3])
    const seen: ControlPacket[] = []
    client.on('packet', ({ packet }) => void (packet.type === 'publish' && seen.push(packet)))
    const published = client.publish('a', payload, { qos })
    payload.fill(9)
    await published
    expect(seen).toMatchObject([{ payload: new Uint8Array([1, 2, 3]) }])
  })

  it('once is true or false', () => {
    const client = makeWorld('5').client()
    expect(() => client.on('state', () => {}, { once: 'yes' as never })).toThrow(
      'once: expected true or false',
    )
  })

  it('a listener is a function', () => {
    const client = makeWorld('5').client()
    expect(() => client.on('state', 'log' as unknown as () => void)).toThrow(
      expect.objectContaining({ code: 'invalid-option', field: 'listener' }),
    )
  })

  it('one listener twice is called twice, and removed one by one', () => {
    const client = makeWorld('5').client()
    let calls = 0
    const listener = (): void => void (calls += 1)
    const off = client.on('closed', listener)
    client.on('closed', listener)
    client.destroy()
    expect(calls).toBe(2)
    off()
    void client.connect().catch(() => {})
    client.destroy()
    expect(calls).toBe(3)
  })

  it('listeners that throw or reject are reported and harm nobody', async () => {
    const world = makeWorld('5')
    const client = world.client({ reconnect: PLAIN })
    for (const name of [
      'state',
      'connected',
      'disconnected',
      'interrupted',
      'resumed',
      'message',
      'packet',
      'closed',
    ] as const) {
      client.on(name, () => {
        throw new Error(`thrown by ${name}`)
      })
      client.on(name, (async () => {
        throw new Error(`rejected by ${name}`)
      }) as () => void)
    }
    const { seen, handler } = texts()
    client.on('message', handler)
    await client.connect()
    await client.subscribe('a', { qos: 1 })
    world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
    await world.settle()
    expect(seen).toEqual(['x'])
    world.broker.cutAll()
    await world.advance(2_000)
    expect(client.state).toBe('connected')
    await client.disconnect()
    await world.settle()
    const said = new Set(world.reports.map((error) => (error as Error).message))
    expect(said.size).toBe(16)
  })
})

describe.each(VERSIONS)('inside a listener in %s (rule 26)', (version) => {
  const names = [
    'state',
    'connected',
    'resumed',
    'connectFailed',
    'disconnected',
    'interrupted',
    'closed',
    'message',
    'unmatched',
    'publishFailed',
    'packet',
    'error',
  ] as const
  const acts: readonly [string, (client: Client) => unknown][] = [
    ['disconnect()', (client) => client.disconnect()],
    ['disconnect({ drain })', (client) => client.disconnect({ drain: 100 })],
    ['destroy()', (client) => client.destroy()],
    ['connect()', (client) => client.connect()],
    ['reconnectNow()', (client) => client.reconnectNow()],
    ['publish()', (client) => client.publish('b', 'x', { qos: 1 })],
    ['unsubscribe()', (client) => client.unsubscribe('a')],
  ]

  it.each(names.flatMap((name) => acts.map(([what, act]) => [name, what, act] as const)))(
    'to %s one may %s: the client lives, or ends as it was told',
    async (name, what, act) => {
      const world = makeWorld(version)
      const client = world.client({ reconnect: PLAIN, retryInitialConnect: true })
      let isArmed = true
      let count = 0
      const settling: ReturnType<typeof outcomeOf<unknown>>[] = []
      client.on(name, () => {
        count += 1
        if (!isArmed || count > 20) return
        const result = act(client)
        if (result instanceof Promise) settling.push(outcomeOf<unknown>(result))
      })
      if (name !== 'error') client.on('error', () => {})
      // Every event happens once at least, unless the act prevents it.
      world.link.dialing = 'refused'
      const connecting = outcomeOf<unknown>(client.connect())
      await world.settle()
      world.link.dialing = 'answered'
      await world.advance(5_000)
      const subscribing = outcomeOf<unknown>(client.subscribe('a', { qos: 1 }))
      await world.settle()
      world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
      await world.settle()
      const off = client.route('a', () => {
        throw new Error('no')
      })
      world.broker.publish({ topic: 'a', payload: 'x', qos: 1 })
      await world.settle()
      off()
      const publishing = outcomeOf<unknown>(client.publish('#', 'x'))
      world.broker.cutAll()
      await world.advance(10_000)
      isArmed = false
      client.destroy()
      await world.advance(10_000)
      for (const outcome of [connecting, subscribing, publishing, ...settling])
        expect(outcome.state).not.toBe('pending')
      expect(count, `${name} was never told, ${what}`).toBeGreaterThan(0)
      expect(client.state).toBe('stopped')
      await client.connect()
      await client.publish('b', 'x', { qos: 2 })
      await client.disconnect()
      expect(client.state).toBe('stopped')
      expect(world.broker.connections).toEqual([])
      void world.reports
    },
  )
})

// What the application does: handlers that fail, hang, end the client or leave (rules 20 and 26), disconnect() and
// destroy() in every state (rule 6), and operations without a connection (rule 21).
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AckPacket } from '../../src/core/packets/types.ts'
import { type Client, ClosedError, type Message, type QoS } from '../../src/index.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import { collect, outcomeOf, type TestWorld, texts, useWorlds } from '../support/client-world.ts'
import { Inbox, Program, unique, useClients, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

const makeWorld = useWorlds()
const BOTH = [1, 2] as const
const TEN = Array.from({ length: 10 }, (_, index) => String(index))

/** PUBACKs and PUBRECs of the client: their codes. */
function acks(world: TestWorld): readonly number[] {
  const isAck = ({ type }: { readonly type: string }): boolean => type === 'puback' || type === 'pubrec'
  return (world.fromClient.filter(isAck) as AckPacket[]).map(({ reasonCode }) => reasonCode)
}

function say(world: TestWorld, payload: string, qos: QoS, topic = 'a'): void {
  world.broker.publish({ topic, payload, qos })
}

describe.each(VERSIONS)('a handler in %s', (version) => {
  describe.each(BOTH)('at QoS %i', (qos) => {
    it.each([
      [
        'throws',
        (): void => {
          throw new Error('no')
        },
      ],
      ['rejects', (): Promise<void> => Promise.reject(new Error('no'))],
    ])(
      'that %s: its message is acknowledged, in 5 with 0x83, and the next ones are handled [scenario 71]',
      async (_, fail) => {
        const world = makeWorld(version)
        const client = await world.connected()
        const errors = collect(client, 'error')
        const { seen, handler } = texts()
        await client.subscribe('a', { qos }, (message) => {
          handler(message)
          return Number(message.text()) % 2 === 0 ? fail() : undefined
        })
        for (const text of TEN) say(world, text, qos)
        await world.settle()
        expect(seen).toEqual(TEN)
        expect(acks(world)).toEqual(TEN.map((text) => (version === '5' && Number(text) % 2 === 0 ? 0x83 : 0)))
        expect(errors.map(({ error }) => error.code)).toEqual(Array(5).fill('handler-failed'))
        expect(world.broker.openExchanges).toEqual([])
        expect(client.state).toBe('connected')
      },
    )

    it('that never settles: no acknowledgement, one error after a minute, and all else goes on [scenario 71]', async () => {
      const world = makeWorld(version)
      const client = await world.connectedDurable()
      const errors = collect(client, 'error')
      const [stuck, other] = [texts(), texts()]
      await client.subscribe('a', { qos }, (message) => {
        stuck.handler(message)
        return message.text() === '0' ? new Promise<void>(() => {}) : undefined
      })
      await client.subscribe('b', { qos }, other.handler)
      for (const text of TEN) say(world, text, qos)
      await world.advance(600_000)
      expect(stuck.seen).toEqual(['0']) // one at a time
      expect(acks(world)).toEqual([])
      expect(errors.map(({ error }) => error.code)).toEqual(['handler-slow'])
      for (const text of TEN) say(world, text, qos, 'b')
      await client.publish('c', 'x', { qos })
      await world.settle()
      expect(other.seen).toEqual(TEN)
      expect(await client.ping()).toBe(0)
      expect(client.statistics.reconnects).toBe(0)
    })

    it('that never settles and has handlerTimeout: the next one is called then [scenario 71]', async () => {
      const world = makeWorld(version)
      const client = await world.connected({ handlerTimeout: 5_000 })
      const errors = collect(client, 'error')
      const { seen, handler } = texts()
      await client.subscribe('a', { qos }, (message) => {
        handler(message)
        return message.text() === '0' ? new Promise<void>(() => {}) : undefined
      })
      for (const text of TEN) say(world, text, qos)
      await world.advance(4_999)
      expect(seen).toEqual(['0'])
      await world.advance(1)
      expect(seen).toEqual(TEN)
      expect(acks(world)).toEqual([version === '5' ? 0x83 : 0, ...Array(9).fill(0)])
      expect(errors).toMatchObject([{ error: { code: 'handler-failed', cause: { code: 'handler-slow' } } }])
    })

    it('that calls disconnect() is the last, DISCONNECT too; what was not handled comes again [scenario 71]', async () => {
      const world = makeWorld(version)
      const client = await world.connectedDurable()
      const { seen, handler } = texts()
      let done: Promise<void> | undefined
      await client.subscribe('a', { qos }, (message) => {
        handler(message)
        if (message.text() === '4' && done === undefined) done = client.disconnect()
      })
      for (const text of TEN) say(world, text, qos)
      await world.settle()
      await done
      expect(seen).toEqual(TEN.slice(0, 5))
      expect(world.fromClient.at(-1)?.type).toBe('disconnect')
      await world.advance(100_000)
      expect(client.state).toBe('stopped')
      expect(world.got('connect')).toHaveLength(1)
      await client.connect()
      await world.settle()
      // The one that disconnected may be among them: its PUBACK did not leave before DISCONNECT.
      expect(seen.slice(5).filter((text) => text !== '4')).toEqual(TEN.slice(5))
      expect(world.broker.openExchanges).toEqual([])
    })

    it('that publishes back and awaits it is never in its own way, with one of everything [scenario 71]', async () => {
      const world = makeWorld(version)
      const client = await world.connected({ maxPending: 1, maxInflight: 1 })
      const { seen, handler } = texts()
      await client.subscribe('back', { qos }, handler)
      await client.subscribe('a', { qos }, async (message) => {
        await client.publish('back', message.text(), { qos })
      })
      for (const text of TEN) say(world, text, qos)
      await world.settle()
      expect(seen).toEqual(TEN)
      expect(acks(world)).toEqual(Array(20).fill(0))
      expect(client.pending).toEqual([])
    })

    it('that unsubscribes itself is not called again; what is on its way is acknowledged [scenario 71]', async () => {
      const world = makeWorld(version)
      const client = await world.connected()
      const { seen, handler } = texts()
      const subscription = await client.subscribe('a', { qos }, async (message) => {
        handler(message)
        if (message.text() === '2') await subscription.unsubscribe()
      })
      for (const text of TEN) say(world, text, qos)
      await world.settle()
      expect(seen).toEqual(['0', '1', '2'])
      expect(world.got('unsubscribe')).toHaveLength(1)
      expect(acks(world)).toHaveLength(10)
      expect(world.broker.openExchanges).toEqual([])
      for (const text of TEN) say(world, text, qos)
      await world.settle()
      expect(acks(world)).toHaveLength(10)
      await client.subscribe('a', { qos }, handler)
      say(world, 'again', qos)
      await world.settle()
      expect(seen).toEqual(['0', '1', '2', 'again'])
    })
  })
})

describeMosquitto('handlers of all kinds in one client', 'plain', (broker) => {
  const clients = useClients(() => broker().url)

  it.each(VERSIONS)(
    '%s: 30 messages for each: nobody is in the way of another [scenario 71]',
    async (version) => {
      const topic = unique('kinds')
      const [client, publisher] = [await clients.lasting(version), await clients.brief(version)]
      const errors = collect(client, 'error')
      const calls = { throws: 0, rejects: 0, hangs: 0, leaves: 0, ends: 0 }
      const back = new Inbox()
      let ended: Promise<void> | undefined
      const handlers: Readonly<Record<string, (message: Message) => unknown>> = {
        throws: () => {
          calls.throws += 1
          throw new Error('no')
        },
        rejects: () => {
          calls.rejects += 1
          return Promise.reject(new Error('no'))
        },
        hangs: () => {
          calls.hangs += 1
          return new Promise(() => {})
        },
        answers: (message) => client.publish(`${topic}/back`, message.text(), { qos: message.qos }),
        leaves: () => {
          calls.leaves += 1
          return client.unsubscribe(`${topic}/leaves`)
        },
        ends: () => {
          calls.ends += 1
          ended = client.disconnect()
        },
      }
      for (const [name, handler] of Object.entries(handlers)) {
        await client.subscribe(
          `${topic}/${name}`,
          { qos: 2 },
          async (message) => void (await handler(message)),
        )
      }
      await client.subscribe(`${topic}/back`, { qos: 2 }, back.handle)
      for (let round = 0; round < 10; round += 1) {
        for (const qos of [0, 1, 2] as const) {
          for (const name of ['hangs', 'leaves', 'throws', 'rejects', 'answers']) {
            await publisher.publish(`${topic}/${name}`, `${qos} ${round}`, { qos })
          }
        }
      }
      await back.until(30)
      await client.ping()
      expect(back.distinct).toBe(30)
      expect(calls).toEqual({ throws: 30, rejects: 30, hangs: 1, leaves: 1, ends: 0 })
      expect(errors.map(({ error }) => error.code)).toEqual(Array(60).fill('handler-failed'))
      expect(client.statistics.reconnects).toBe(0)

      const closed = new Promise((resolve) => client.on('closed', resolve))
      for (let count = 0; count < 3; count += 1) await publisher.publish(`${topic}/ends`, 'x', { qos: 1 })
      await closed
      await ended
      expect(calls.ends).toBe(1)
      expect(client.state).toBe('stopped')
    },
  )
})

const STATES = ['stopped', 'dialing', 'handshaking', 'waiting', 'connected', 'disconnecting'] as const
const VERBS = ['disconnect', 'destroy'] as const
const THOUSAND = Array.from({ length: 1_000 }, (_, index) => index)

type State = (typeof STATES)[number]

/** A client in that state; `disconnecting` waits for what is owed. */
async function clientIn(state: State, world: TestWorld): Promise<Client> {
  const client = world.durable({ keepAlive: 0, retryInitialConnect: true, reconnect: { jitter: false } })
  if (state === 'dialing') world.link.dialing = 'ignored'
  if (state === 'waiting') world.link.dialing = 'refused'
  if (state === 'handshaking') world.broker.faults.onSend('connack', { times: 1 }).withhold()
  if (state !== 'stopped') void client.connect().catch(() => {})
  await world.settle()
  return client
}

function withholdAnswers(world: TestWorld): void {
  for (const type of ['puback', 'pubrec', 'suback', 'unsuback', 'pingresp'] as const) {
    world.broker.faults.onSend(type).withhold()
  }
}

describe.each(VERSIONS)('the end in %s', (version) => {
  describe.each(VERBS)('by %s()', (verb) => {
    const says = (state: State): string => {
      const isSaid = verb === 'disconnect' && (state === 'connected' || state === 'disconnecting')
      return isSaid ? 'DISCONNECT is last [3.1.1 MQTT-3.14.4-1, -2] [5 MQTT-3.14.4-1, -2]' : 'no DISCONNECT'
    }
    it.each(STATES.map((state) => [state, says(state)] as const))(
      'twice while %s with 1,000 pending: each promise settles once, no timer is left, %s [scenario 72]',
      async (state) => {
        const world = makeWorld(version)
        const client = await clientIn(state, world)
        withholdAnswers(world)
        const settled = new Map<number, number>()
        const outcomes = THOUSAND.map((index) => {
          const publishing = client.publish('a', String(index), { qos: index % 2 === 0 ? 1 : 2 })
          const settle = (): void => void settled.set(index, (settled.get(index) ?? 0) + 1)
          publishing.then(settle, settle)
          return outcomeOf(publishing)
        })
        const others = [outcomeOf<unknown>(client.subscribe('b')), outcomeOf<unknown>(client.ping())]
        if (state === 'disconnecting') void client.disconnect({ drain: 30_000 })
        await world.settle()
        expect(client.state).toBe(state)
        const isConnected = state === 'connected' || state === 'disconnecting'
        const sent = world.fromClient.length
        // All that the window takes; CONNECT, which has no answer; nothing.
        expect(Math.min(sent, 21)).toBe(isConnected ? 21 : state === 'handshaking' ? 1 : 0)

        const ending = outcomeOf(Promise.all([client[verb](), client[verb]()]))
        await world.advance(state === 'disconnecting' && verb === 'disconnect' ? 30_000 : 0)
        expect(ending.state).toBe('resolved')
        expect(client.state).toBe('stopped')
        expect(new Set(outcomes.map(({ state: end }) => end))).toEqual(new Set(['rejected']))
        const code = verb === 'destroy' ? 'destroyed' : 'disconnected'
        expect(new Set(outcomes.map(({ error }) => (error as ClosedError).code))).toEqual(new Set([code]))
        expect(outcomes[0]?.error).toBeInstanceOf(ClosedError)
        expect(others.map(({ state: end }) => end)).toEqual(['rejected', 'rejected'])

        const isTold = isConnected && verb === 'disconnect'
        expect(world.fromClient.slice(sent).map(({ type }) => type)).toEqual(isTold ? ['disconnect'] : [])
        const attempts = world.link.attempts.length
        await world.advance(3_600_000)
        expect(world.link.attempts).toHaveLength(attempts)
        expect(world.fromClient.length - sent).toBe(isTold ? 1 : 0)
        expect(world.broker.connections).toEqual([])
        expect(world.runtime.timers).toBe(0)
        expect([...settled.values()]).toEqual(Array(1_000).fill(1))
      },
    )
  })
})

// The process has nothing else to do: it ends by itself, or it never does.
const PROGRAM = `
const [url, refusing, protocolVersion, verb, ...states] = args
const lasting = protocolVersion === '5' ? { cleanStart: false, sessionExpiryInterval: 300 } : { cleanSession: false }
const mute = (_target, signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
async function end(state) {
  const client = petrel.createClient(state === 'waiting' ? refusing : url, {
    clientId: state + process.pid,
    protocolVersion,
    ...lasting,
    retryInitialConnect: true,
    reconnect: { min: 60_000 },
    ...(state === 'dialing' ? { dial: mute } : {}),
  })
  if (state !== 'stopped') client.connect().catch(() => {})
  const first = state === 'disconnecting' ? 'connected' : state
  await new Promise((resolve) => {
    const check = () => client.state === first && resolve()
    client.on('state', check)
    check()
  })
  let settled = 0
  const settle = () => void (settled += 1)
  for (let index = 0; index < 1_000; index += 1) {
    client.publish('a', 'x', { qos: 1 + (index % 2) }).then(settle, settle)
  }
  client.subscribe('b').catch(() => {})
  if (state === 'disconnecting') client.disconnect({ drain: 200 })
  await new Promise((resolve) => setImmediate(resolve))
  const before = client.state
  await Promise.all([client[verb](), client[verb]()])
  process.on('exit', () => say('exit', { before, settled, after: client.state }))
}
await Promise.all(states.map(end))
say('ended')
`

describe('a process', () => {
  let program: Program
  let refusing = ''
  const server = createBroker()
  beforeAll(async () => {
    program = await Program.build(PROGRAM)
    const closed = createBroker()
    refusing = await closed.listen()
    await closed.close()
    await server.listen()
    for (const type of ['puback', 'pubrec', 'suback'] as const) server.broker.faults.onSend(type).withhold()
    const isMute = (_packet: unknown, { clientId }: { readonly clientId: string }): boolean =>
      clientId.startsWith('handshaking')
    server.broker.faults.onSend('connack', { where: isMute }).withhold()
  })
  afterAll(async () => {
    program.remove()
    await server.close()
  })

  it.each(VERSIONS.flatMap((version) => VERBS.map((verb) => [version, verb] as const)))(
    '%s: ends by itself after %s() twice, of clients in every state with 1,000 pending [scenario 72]',
    async (version, verb) => {
      const run = program.run(server.url, refusing, version, verb, ...STATES)
      expect([await run.ended, run.errors]).toEqual([0, ''])
      const exits = run.of('exit')
      const before = exits.map((exit) => exit['before'])
      expect(new Set(before)).toEqual(new Set(STATES))
      expect(exits).toHaveLength(STATES.length)
      for (const exit of exits) expect(exit).toMatchObject({ settled: 1_000, after: 'stopped' })
      expect((exits[0]?.at ?? Infinity) - (run.of('ended')[0]?.at ?? 0)).toBeLessThan(1_000)
    },
  )
})

/** Each operation there is, with how it has ended. */
function operate(client: Client): Readonly<Record<string, ReturnType<typeof outcomeOf<unknown>>>> {
  return {
    qos0: outcomeOf<unknown>(client.publish('t', '0')),
    qos1: outcomeOf<unknown>(client.publish('t', '1', { qos: 1 })),
    qos2: outcomeOf<unknown>(client.publish('t', '2', { qos: 2 })),
    subscribe: outcomeOf<unknown>(client.subscribe('s', { qos: 1 }, () => {})),
    unsubscribe: outcomeOf<unknown>(client.unsubscribe('u')),
    ping: outcomeOf<unknown>(client.ping()),
  }
}

const QUEUED = ['qos1', 'qos2', 'subscribe', 'unsubscribe'] as const
const REFUSED = ['qos0', 'ping'] as const
const WITHOUT = ['stopped', 'dialing', 'handshaking', 'waiting'] as const
/** Without a connection: before the first, or between two. */
const SITUATIONS: readonly (readonly [(typeof WITHOUT)[number], 'first' | 'next'])[] = [
  ...WITHOUT.map((state) => [state, 'first'] as const),
  ['dialing', 'next'],
  ['handshaking', 'next'],
  ['waiting', 'next'],
]

describe.each(VERSIONS)('without a connection in %s', (version) => {
  it.each(SITUATIONS)(
    'while %s for the %s connection: QoS 0 and ping() are refused, all else waits and is sent once, behind CONNACK [3.1.1 MQTT-3.1.0-1] [5 MQTT-3.1.0-1] [scenario 73]',
    async (state, which) => {
      const world = makeWorld(version)
      const client = await clientIn(which === 'first' ? state : 'stopped', world)
      if (which === 'next') await lose(state, client, world)
      expect(client.state).toBe(state)
      world.taken()
      const outcomes = operate(client)
      await world.settle()
      for (const name of REFUSED) {
        expect(outcomes[name]).toMatchObject({ state: 'rejected', error: { code: 'not-connected' } })
      }
      for (const name of QUEUED) expect(outcomes[name]?.state).toBe('pending')
      // While CONNACK is missing nothing follows CONNECT.
      expect(world.taken()).toEqual([])

      world.link.dialing = 'answered'
      world.broker.faults.clear()
      if (state === 'handshaking') world.broker.cutAll()
      if (state === 'stopped' || state === 'waiting') void client.connect()
      await world.advance(60_000)
      expect(client.state).toBe('connected')
      for (const name of QUEUED) expect(outcomes[name]?.state).toBe('resolved')
      const types = world.fromClient.map(({ type }) => type)
      expect(types[0]).toBe('connect')
      for (const type of ['connect', 'subscribe', 'unsubscribe', 'pubrel'] as const) {
        expect(types.filter((one) => one === type)).toHaveLength(1)
      }
      const published = world.got('publish').map(({ qos, dup, payload }) => [qos, dup, payload.length])
      expect(published).toEqual([
        [1, false, 1],
        [2, false, 1],
      ])
    },
  )

  it.each(WITHOUT)(
    'while %s and with queue.qos0: QoS 0 waits, too, and is sent once [scenario 73]',
    async (state) => {
      const world = makeWorld(version)
      const client = world.client({ queue: { qos0: true }, retryInitialConnect: true })
      if (state === 'dialing') world.link.dialing = 'ignored'
      if (state === 'waiting') world.link.dialing = 'refused'
      if (state === 'handshaking') world.broker.faults.onSend('connack', { times: 1 }).stall(1_000)
      if (state !== 'stopped') void client.connect().catch(() => {})
      await world.settle()
      expect(client.state).toBe(state)
      const publishing = outcomeOf(client.publish('t', '0'))
      await world.settle()
      expect(publishing.state).toBe('pending')
      expect(world.got('publish')).toEqual([])
      world.link.dialing = 'answered'
      if (state === 'stopped') void client.connect()
      await world.advance(60_000)
      expect(publishing.state).toBe('resolved')
      expect(world.got('publish')).toHaveLength(1)
    },
  )

  it.each([
    ['disconnecting', 'disconnected'],
    ['stopped by disconnect()', 'disconnected'],
    ['stopped by destroy()', 'destroyed'],
  ] as const)(
    'while %s: everything is refused, and nothing is ever sent [scenario 73]',
    async (how, code) => {
      const world = makeWorld(version)
      const client = await world.connectedDurable()
      if (how === 'disconnecting') {
        world.broker.faults.onReceive('disconnect').withhold()
        void client.disconnect()
      } else if (code === 'destroyed') client.destroy()
      else await client.disconnect()
      world.taken()
      const outcomes = operate(client)
      await world.advance(3_000)
      for (const outcome of Object.values(outcomes)) {
        expect(outcome.state).toBe('rejected')
        expect(outcome.error).toBeInstanceOf(ClosedError)
        expect(outcome.error).toMatchObject({ code, kept: false })
      }
      expect(client.pending).toEqual([])
      world.broker.faults.clear()
      await client.connect()
      await world.advance(60_000)
      for (const type of ['publish', 'subscribe', 'unsubscribe'] as const) expect(world.got(type)).toEqual([])
    },
  )
})

/** A client that is connected loses its connection and comes to that state. */
async function lose(state: (typeof WITHOUT)[number], client: Client, world: TestWorld): Promise<void> {
  await client.connect()
  world.link.dialing = 'refused'
  world.broker.cutAll()
  await world.settle()
  if (state === 'waiting') return
  world.link.dialing = state === 'dialing' ? 'ignored' : 'answered'
  world.broker.faults.onSend('connack', { times: 1 }).withhold()
  client.reconnectNow()
  await world.settle()
}

// ping(), enhanced authentication, statistics, ref and unref.
import { describe, expect, it } from 'vitest'
import { collect, gate, outcomeOf, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ConnectionError, RefusedError, UsageError } from '../core/errors.ts'
import type { Authentication } from './connect-options.ts'

const makeWorld = useWorlds()
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (data: Uint8Array | undefined): string => new TextDecoder().decode(data)

describe.each(VERSIONS)('ping() in %s', (version) => {
  it('resolves with the round-trip time', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').delay(123)
    const client = await world.connected()
    const pinging = outcomeOf(client.ping())
    await world.advance(122)
    expect(pinging.state).toBe('pending')
    await world.advance(1)
    expect(pinging.value).toBe(123)
    expect(client.statistics.lastRoundTrip).toBe(123)
  })

  it('several are answered in order (rule 10)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp', { nth: 1 }).stall(100)
    const client = await world.connected()
    const first = outcomeOf(client.ping())
    await world.advance(50)
    const second = outcomeOf(client.ping())
    await world.advance(50)
    expect([first.value, second.value]).toEqual([100, 50])
  })

  it.each(['stopped', 'dialing', 'handshaking', 'waiting'] as const)(
    'while %s rejects with not-connected (rule 21)',
    async (state) => {
      const world = makeWorld(version)
      const client = world.client({ retryInitialConnect: true })
      if (state === 'dialing') world.link.dialing = 'ignored'
      if (state === 'waiting') world.link.dialing = 'refused'
      if (state === 'handshaking') world.broker.faults.onSend('connack').withhold()
      if (state !== 'stopped') client.connect().catch(() => {})
      await world.settle()
      const error = await client.ping().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(ConnectionError)
      expect(error).toMatchObject({ code: 'not-connected' })
    },
  )

  it('rejects by its time-out without closing (rule 10)', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp', { times: 1 }).withhold()
    const client = await world.connected({ keepAlive: 0, pingTimeout: 1_000 })
    const pinging = outcomeOf(client.ping())
    await world.advance(999)
    expect(pinging.state).toBe('pending')
    await world.advance(1)
    expect(pinging).toMatchObject({ state: 'rejected', error: { code: 'ping-timeout' } })
    expect(client.state).toBe('connected')
    expect(world.broker.connections).toHaveLength(1)
  })

  it('rejects when the connection is lost, after disconnect(), and by its signal', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').withhold()
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    const controller = new AbortController()
    const reason = new Error('enough')
    const lost = outcomeOf(client.ping())
    const aborted = outcomeOf(client.ping({ signal: controller.signal }))
    await world.settle()
    controller.abort(reason)
    await world.settle()
    expect(aborted.error).toBe(reason)
    await expect(client.ping({ signal: controller.signal })).rejects.toBe(reason)
    world.broker.cutAll()
    await world.advance(2_000)
    expect(lost).toMatchObject({ state: 'rejected', error: { code: 'connection-lost' } })
    await client.disconnect()
    await expect(client.ping()).rejects.toMatchObject({ code: 'disconnected' })
  })
})

describe.each(VERSIONS)('the keep-alive in %s', (version) => {
  it('an idle connection is kept; the broker never complains (rule 9)', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 10 })
    await world.advance(3_600_000)
    expect(client.state).toBe('connected')
    expect(world.got('pingreq').length).toBeGreaterThan(300)
  })

  it('silence ends the connection, which is made again (rule 10) [3.1.1 MQTT-3.1.2-23] [5 MQTT-3.1.2-20]', async () => {
    const world = makeWorld(version)
    const client = await world.connected({
      keepAlive: 20,
      pingTimeout: 3_000,
      reconnect: { min: 1_000, jitter: false },
    })
    const lost = collect(client, 'disconnected')
    world.broker.faults.onSend('pingresp', { times: 1 }).withhold()
    await world.advance(15_000 + 2_999)
    expect(lost).toEqual([])
    await world.advance(1)
    expect(lost).toMatchObject([
      { error: { code: 'ping-timeout', phase: 'established' }, willReconnect: true },
    ])
    await world.advance(2_000)
    expect(client.state).toBe('connected')
  })

  it('0 turns it off', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ keepAlive: 0 })
    await world.advance(3_600_000)
    expect(client.state).toBe('connected')
    expect(world.got('pingreq')).toEqual([])
    expect(world.runtime.timers).toBe(0)
  })
})

it("5: the server's Keep Alive goes before ours [5 MQTT-3.1.2-21]", async () => {
  const world = makeWorld('5', { broker: { serverKeepAlive: 8 } })
  const client = await world.connected({ keepAlive: 600 })
  expect(client.settings?.keepAlive).toBe(8)
  await world.advance(60_000)
  expect(client.state).toBe('connected')
  expect(world.got('pingreq').length).toBeGreaterThanOrEqual(8)
})

describe('enhanced authentication, 5', () => {
  const broker = {
    authentication: { method: 'riddle', challenges: [bytes('one'), bytes('two')], final: bytes('well done') },
  }
  const answers = (): Authentication & { readonly asked: (string | undefined)[] } => {
    const asked: (string | undefined)[] = []
    return {
      asked,
      method: 'riddle',
      start: () => bytes('begin'),
      continue: async (data) => {
        asked.push(data === undefined ? undefined : text(data))
        return `answer to ${text(data)}`
      },
    }
  }

  it('goes through its steps within the attempt [5 MQTT-4.12.0-2] [5 MQTT-4.12.0-3]', async () => {
    const world = makeWorld('5', { broker })
    const authentication = answers()
    const client = world.client5({ authentication })
    const result = await client.connect()
    expect(authentication.asked).toEqual(['one', 'two'])
    expect(text(result.settings.properties?.authenticationData)).toBe('well done')
    expect(world.got('connect')[0]?.properties).toMatchObject({
      authenticationMethod: 'riddle',
      authenticationData: bytes('begin'),
    })
    expect(world.got('auth').map(({ properties }) => text(properties?.authenticationData))).toEqual([
      'answer to one',
      'answer to two',
    ])
  })

  it('is asked anew for each connection', async () => {
    const world = makeWorld('5', { broker })
    let started = 0
    const authentication = {
      ...answers(),
      start: async () => {
        started += 1
        return 'begin'
      },
    }
    const client = await world.connected5({ authentication, reconnect: { min: 1_000, jitter: false } })
    world.broker.cutAll()
    await world.advance(2_000)
    expect([client.state, started]).toEqual(['connected', 2])
  })

  it('a wrong answer is a refusal', async () => {
    const world = makeWorld('5', {
      broker: { authentication: { ...broker.authentication, check: (_data, round) => round < 2 } },
    })
    const error = await world
      .client5({ authentication: answers() })
      .connect()
      .catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RefusedError)
    expect(error).toMatchObject({ code: 'connection-refused' })
  })

  it.each(['start', 'continue'] as const)('a %s that throws fails the attempt', async (name) => {
    const world = makeWorld('5', { broker })
    const authentication = {
      ...answers(),
      [name]: () => {
        throw new Error('no idea')
      },
    }
    const error = await world
      .client5({ authentication })
      .connect()
      .catch((reason: unknown) => reason)
    expect(String(error)).toContain('no idea')
  })

  it('a step that fails is tried again like any other attempt', async () => {
    const world = makeWorld('5', { broker })
    const given = answers()
    let failures = 1
    const authentication = {
      ...given,
      continue: async (data: Uint8Array | undefined) => {
        failures -= 1
        if (failures === 0) throw new Error('no token today')
        return given.continue(data)
      },
    }
    const client = world.client5({ authentication, retryInitialConnect: true })
    const told = collect(client, 'connectFailed')
    const connecting = outcomeOf(client.connect())
    await world.advance(200_000)
    expect(told).toMatchObject([{ error: { code: 'connect-failed', phase: 'connack' } }])
    expect(String(told[0]?.error)).toContain('authentication.continue failed: no token today')
    expect(connecting.state).toBe('resolved')
  })

  it('an answer that is no data ends the attempt, and says so', async () => {
    const world = makeWorld('5', { broker })
    const authentication = { ...answers(), continue: () => 7 as never }
    const error = await world
      .client5({ authentication })
      .connect()
      .catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'invalid-option', field: 'authentication.continue' })
    expect(String(error)).toContain('got a number')
  })

  it('without end is bounded by connectTimeout (H9)', async () => {
    const world = makeWorld('5', { broker })
    const authentication = { ...answers(), continue: () => new Promise<undefined>(() => {}) }
    const connecting = outcomeOf(world.client5({ authentication, connectTimeout: 1_000 }).connect())
    await world.advance(1_000)
    expect(connecting).toMatchObject({ state: 'rejected', error: { code: 'connect-timeout' } })
  })

  it('reauthenticate() begins anew on the connection that stands [5 MQTT-4.12.1-1]', async () => {
    const world = makeWorld('5', { broker })
    const authentication = answers()
    const client = await world.connected5({ authentication })
    world.fromClient.length = 0
    const result = await client.reauthenticate()
    expect(text(result.properties?.authenticationData)).toBe('well done')
    expect(world.got('auth').map(({ reasonCode }) => reasonCode)).toEqual([0x19, 0x18, 0x18])
    world.fromClient.length = 0
    await client.reauthenticate('other data')
    expect(text(world.got('auth')[0]?.properties?.authenticationData)).toBe('other data')
    expect(client.state).toBe('connected')
  })

  it('a handler may wait for a re-authentication, though nothing is read beside it (rule 31)', async () => {
    const world = makeWorld('5', { broker })
    const client = await world.connected5({ authentication: answers(), maxPending: 1 })
    const done = gate()
    await client.subscribe('a', async () => {
      await client.reauthenticate().then(done.open, done.fail)
    })
    for (let index = 0; index < 3; index += 1) world.broker.publish({ topic: 'a', payload: 'x' })
    await world.advance(1_000)
    await done.promise
  })

  it('a re-authentication keeps its time-out, whatever was answered before', async () => {
    const world = makeWorld('5', { broker })
    const client = await world.connected5({
      authentication: answers(),
      operationTimeout: 5_000,
      keepAlive: 0,
    })
    await client.subscribe('a')
    await world.advance(3_000)
    world.broker.faults.onReceive('auth').withhold()
    const asking = outcomeOf(client.reauthenticate())
    await world.advance(4_999)
    expect(asking.state).toBe('pending')
    await world.advance(1)
    expect(asking).toMatchObject({ state: 'rejected', error: { code: 'operation-timeout' } })
  })

  it('a re-authentication that is refused ends the connection and rejects [5 MQTT-4.12.1-2]', async () => {
    let isRight = true
    const world = makeWorld('5', {
      broker: { authentication: { ...broker.authentication, check: () => isRight } },
    })
    const client = await world.connected5({ authentication: answers() })
    isRight = false
    const error = await client.reauthenticate().catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(RefusedError)
    expect(client.state).toBe('waiting')
  })

  it('a re-authentication that is larger than the server accepts rejects, and the connection stands (rule 23)', async () => {
    const world = makeWorld('5', { broker: { ...broker, maximumPacketSize: 60 } })
    const client = await world.connected5({ authentication: answers() })
    await expect(client.reauthenticate('x'.repeat(60))).rejects.toMatchObject({
      code: 'authentication-refused',
      reasonCode: 0x95,
      local: true,
    })
    await client.reauthenticate('short')
    expect(client.state).toBe('connected')
  })

  it('a re-authentication rejects when the connection is lost, also while its start() waits', async () => {
    const world = makeWorld('5', { broker })
    let finish = (): void => {}
    let waits = false
    const authentication = {
      ...answers(),
      start: () => (waits ? new Promise<string>((resolve) => (finish = () => resolve('late'))) : 'begin'),
    }
    const client = await world.connected5({ authentication })
    waits = true
    const early = outcomeOf(client.reauthenticate())
    const late = outcomeOf(client.reauthenticate('data'))
    world.broker.faults.onSend('auth').withhold()
    await world.settle()
    world.broker.cutAll()
    await world.settle()
    finish()
    await world.settle()
    expect(late).toMatchObject({ state: 'rejected', error: { code: 'connection-lost' } })
    expect(early).toMatchObject({ state: 'rejected', error: { code: 'not-connected' } })
  })

  it('reauthenticate() without the option, or a connection, rejects [5 MQTT-4.12.0-7]', async () => {
    const world = makeWorld('5', { broker })
    await expect(world.client5().reauthenticate()).rejects.toMatchObject({ code: 'needs-version-5' })
    await expect(world.client5({ authentication: answers() }).reauthenticate()).rejects.toMatchObject({
      code: 'not-connected',
    })
    const client = await makeWorld('3.1.1').connected()
    await expect(client.reauthenticate()).rejects.toBeInstanceOf(UsageError)
  })
})

describe.each(VERSIONS)('statistics in %s', (version) => {
  it('begin at zero', () => {
    const { statistics } = makeWorld(version).client()
    const { packetsIn, packetsOut, messagesIn, messagesOut, lastRoundTrip, ...counts } = statistics
    expect(new Set(Object.values(counts))).toEqual(new Set([0]))
    expect(new Set([...Object.values(packetsIn), ...Object.values(packetsOut)])).toEqual(new Set([0]))
    expect([messagesIn, messagesOut, lastRoundTrip]).toEqual([[0, 0, 0], [0, 0, 0], undefined])
  })

  it('count bytes, packets by type, messages by QoS', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    await client.subscribe('a', { qos: 2 }, () => {})
    for (const qos of [0, 1, 1, 2] as const) await client.publish('a', 'x', { qos })
    await client.ping()
    await world.settle()
    const { statistics } = client
    expect(statistics.packetsOut).toMatchObject({
      connect: 1,
      subscribe: 1,
      publish: 4,
      puback: 2,
      pubrel: 1,
      pingreq: 1,
    })
    expect(statistics.packetsIn).toMatchObject({
      connack: 1,
      suback: 1,
      publish: 4,
      puback: 2,
      pubrel: 1,
      pingresp: 1,
    })
    expect(statistics.messagesOut).toEqual([1, 2, 1])
    expect(statistics.messagesIn).toEqual([1, 2, 1])
    expect(statistics.bytesIn).toBeGreaterThan(40)
    expect(statistics.bytesOut).toBeGreaterThan(60)
    expect(statistics).toMatchObject({
      incompleteOperations: 0,
      incompleteBytes: 0,
      unackedOperations: 0,
      unackedBytes: 0,
    })
  })

  it('are a snapshot, and go on over reconnects', async () => {
    const world = makeWorld(version)
    const client = await world.connected({ reconnect: { min: 1_000, jitter: false } })
    const before = client.statistics
    world.broker.cutAll()
    await world.advance(2_000)
    expect(before.packetsOut.connect).toBe(1)
    expect(client.statistics.packetsOut.connect).toBe(2)
    expect(client.statistics.reconnects).toBe(1)
  })

  it('count acknowledgements of unknown ids (rule 12)', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    world.broker.connections[0]?.send({ type: 'puback', packetId: 99, reasonCode: 0 })
    await world.settle()
    expect(client.statistics.unknownAcknowledgements).toBe(1)
    expect(client.state).toBe('connected')
  })
})

describe.each(VERSIONS)('ref() and unref() in %s', (version) => {
  it('while it waits the timer keeps the process alive, unless unref() was called', async () => {
    const world = makeWorld(version)
    const client = await world.connected()
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.settle()
    expect([client.state, world.runtime.keepsAlive]).toEqual(['waiting', true])
    expect(client.unref()).toBe(client)
    expect(world.runtime.keepsAlive).toBe(false)
    expect(client.ref()).toBe(client)
    expect(world.runtime.keepsAlive).toBe(true)
    await client.disconnect()
    expect(world.runtime.keepsAlive).toBe(false)
  })

  it('while it is connected the socket does, and no timer', async () => {
    const world = makeWorld(version)
    const calls: boolean[] = []
    const client = world.client({
      dial: async (target, signal) => {
        const transport = await world.network.dial(target, signal)
        return Object.assign(transport, {
          setKeepsAlive: (keepsAlive: boolean) => void calls.push(keepsAlive),
        })
      },
    })
    await client.connect()
    expect([calls, world.runtime.keepsAlive]).toEqual([[true], false])
    client.unref()
    client.ref()
    expect(calls).toEqual([true, false, true])
    client.unref()
    await client.disconnect()
    await client.connect()
    expect(calls.at(-1)).toBe(false)
  })
})

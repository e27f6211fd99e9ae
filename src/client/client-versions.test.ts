// Which CONNECT is sent: sessions and versions; rules 2 and 5.
import { describe, expect, it } from 'vitest'
import { outcomeOf, record, type TestWorld, useWorlds } from '../../test/support/client-world.ts'
import { UsageError } from '../core/errors.ts'
import type { Client } from './client.ts'

const makeWorld = useWorlds()

const ONLY_311 = { versions: ['3.1.1'], refuseVersionBy: 'connack-5' } as const

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

  it.each(['connack-5', 'connack-3.1.1', 'close'] as const)(
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

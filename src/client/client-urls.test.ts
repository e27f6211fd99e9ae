// What one attempt tries: several URLs and, with 'auto', both versions; rules 1 and 2.
import { describe, expect, it } from 'vitest'
import { optionsOf, outcomeOf, type TestWorld, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { ConnectionError } from '../core/errors.ts'
import type { Dial } from '../transport/transport.ts'
import type { Client } from './client.ts'
import type { ClientOptions } from './client-options.ts'

const makeWorld = useWorlds()

/** A client of `mqtt://first` and `mqtt://second`, and the names of the hosts that it has dialed. */
function clientOfTwo(
  world: TestWorld,
  options: ClientOptions,
  isDown: (host: string) => boolean,
): { client: Client; dialed: string[] } {
  const dialed: string[] = []
  const dial: Dial = (target, signal) => {
    const { hostname } = target.url
    dialed.push(hostname)
    if (!isDown(hostname)) return world.link.dial(target, signal)
    return Promise.reject(new ConnectionError('connect-failed', `${hostname} is down`, { phase: 'tcp' }))
  }
  const reconnect = { min: 1_000, jitter: false }
  const urls = ['mqtt://first', 'mqtt://second']
  return { client: world.pool.createClient(urls, { reconnect, ...options, dial } as ClientOptions), dialed }
}

describe.each(VERSIONS)('several URLs in %s', (version) => {
  it('are tried in order, the last good one first', async () => {
    const world = makeWorld(version)
    const down = new Set(['first'])
    const { client, dialed } = clientOfTwo(world, optionsOf(version), (host) => down.delete(host))
    await client.connect()
    expect(dialed).toEqual(['first', 'second'])
    world.broker.cutAll()
    await world.advance(60_000)
    expect(client.state).toBe('connected')
    expect(dialed).toEqual(['first', 'second', 'second'])
    down.add('second')
    world.broker.cutAll()
    await world.advance(60_000)
    expect(client.state).toBe('connected')
    expect(dialed.slice(3)).toEqual(['second', 'first'])
    world.broker.cutAll()
    await world.advance(60_000)
    expect(dialed.slice(5)).toEqual(['first'])
    client.destroy()
  })

  it('are all tried before the attempt has failed', async () => {
    const world = makeWorld(version)
    const { client, dialed } = clientOfTwo(world, optionsOf(version), () => true)
    await expect(client.connect()).rejects.toMatchObject({ message: 'second is down' })
    expect(dialed).toEqual(['first', 'second'])
    client.destroy()
  })

  it('each have `credentials` asked anew', async () => {
    const world = makeWorld(version)
    const attempts: number[] = []
    const credentials = (attempt: number): { username: string } => {
      attempts.push(attempt)
      return { username: `user ${attempts.length}` }
    }
    const options = optionsOf(version, { credentials })
    const { client, dialed } = clientOfTwo(world, options, (host) => host === 'first')
    await client.connect()
    expect(dialed).toEqual(['first', 'second'])
    expect(attempts).toEqual([1, 1])
    expect(world.got('connect')).toMatchObject([{ username: 'user 2' }])
    client.destroy()
  })
})

describe("each version that 'auto' tries", () => {
  const ONLY_311 = { versions: ['3.1.1'], refuseVersionBy: 'connack-5' } as const

  it('has connectTimeout for itself, and `credentials` asked anew (rule 2)', async () => {
    const world = makeWorld('3.1.1', { broker: ONLY_311 })
    world.broker.faults.onSend('connack').delay(900)
    const asked: number[] = []
    const client = world.client5({
      protocolVersion: 'auto',
      connectTimeout: 1_000,
      credentials: (attempt) => {
        asked.push(attempt)
        return { username: `user ${asked.length}` }
      },
    })
    const connecting = outcomeOf(client.connect())
    await world.advance(1_799)
    expect(connecting.state).toBe('pending')
    await world.advance(1)
    expect(connecting).toMatchObject({ state: 'resolved', value: { protocolVersion: '3.1.1' } })
    expect(asked).toEqual([1, 1])
    expect(world.got('connect').map(({ protocolVersion, username }) => [protocolVersion, username])).toEqual([
      ['5', 'user 1'],
      ['3.1.1', 'user 2'],
    ])
  })

  it('may be late by itself: the refusal of version 5 does not prolong its time', async () => {
    const world = makeWorld('3.1.1', { broker: ONLY_311 })
    world.broker.faults.onSend('connack', { nth: 2 }).withhold()
    world.broker.faults.onSend('connack').delay(900)
    const client = world.client5({ protocolVersion: 'auto', connectTimeout: 1_000 })
    const connecting = outcomeOf(client.connect())
    await world.advance(900 + 999)
    expect(connecting.state).toBe('pending')
    await world.advance(1)
    expect(connecting).toMatchObject({
      state: 'rejected',
      error: { code: 'connect-timeout', phase: 'connack', cause: { reasonCode: 0x84 } },
    })
  })
})

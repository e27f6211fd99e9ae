import type dns from 'node:dns'
import type net from 'node:net'
import { describe, expect, it } from 'vitest'
import { cachedLookup, usersLookup } from './addresses.ts'

const V4: dns.LookupAddress = { address: '192.0.2.1', family: 4 }
const OTHER: dns.LookupAddress = { address: '192.0.2.2', family: 4 }
const V6: dns.LookupAddress = { address: '2001:db8::1', family: 6 }

class World {
  now = 0
  readonly asked: string[] = []
  answer: () => Promise<readonly dns.LookupAddress[]> = async () => [V4, V6, OTHER]
  readonly lookup: net.LookupFunction

  constructor(ttl: number) {
    this.lookup = cachedLookup(
      ttl,
      () => this.now,
      (host) => {
        this.asked.push(host)
        return this.answer()
      },
    )
  }

  ask(host: string, options: dns.LookupOptions = { all: true }): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.lookup(host, options, (error, address, family) => {
        if (error !== null) reject(error)
        else resolve(options.all ? address : [address, family])
      })
    })
  }
}

describe('look-ups of names', () => {
  it('questions at the same time share an answer', async () => {
    for (const ttl of [0, 1_000]) {
      const world = new World(ttl)
      const answers = await Promise.all(Array.from({ length: 100 }, () => world.ask('broker')))
      expect(world.asked).toEqual(['broker'])
      expect(answers[99]).toEqual([V4, V6, OTHER])
    }
  })

  it('an answer is kept for its time, for each name', async () => {
    const world = new World(1_000)
    await world.ask('one')
    await world.ask('two')
    world.now = 999
    await world.ask('one')
    expect(world.asked).toEqual(['one', 'two'])
    world.now = 1_000
    await world.ask('one')
    expect(world.asked).toEqual(['one', 'two', 'one'])
  })

  it('with a time of 0 nothing is kept', async () => {
    const world = new World(0)
    await world.ask('one')
    await world.ask('one')
    expect(world.asked).toEqual(['one', 'one'])
  })

  it('a failure is told to all who asked, and not kept', async () => {
    const world = new World(1_000)
    const failure = new Error('no such name')
    world.answer = () => Promise.reject(failure)
    const outcomes = await Promise.allSettled([world.ask('one'), world.ask('one')])
    expect(outcomes).toEqual([
      { status: 'rejected', reason: failure },
      { status: 'rejected', reason: failure },
    ])
    world.answer = async () => [V4]
    expect(await world.ask('one')).toEqual([V4])
    expect(world.asked).toHaveLength(2)
  })

  it('gives one address, or one of the family that is wanted', async () => {
    const world = new World(1_000)
    expect(await world.ask('one', {})).toEqual([V4.address, 4])
    expect(await world.ask('one', { family: 6 })).toEqual([V6.address, 6])
    expect(await world.ask('one', { family: 'IPv6' })).toEqual([V6.address, 6])
    expect(await world.ask('one', { family: 'IPv4', all: true })).toEqual([V4, OTHER])
    expect(await world.ask('one', { family: 0, all: true })).toEqual([V4, V6, OTHER])
  })

  it('fails where the family that is wanted is missing', async () => {
    const world = new World(1_000)
    world.answer = async () => [V6]
    const error = { code: 'ENOTFOUND', message: 'it has no address of IPv4' }
    await expect(world.ask('one', { family: 4 })).rejects.toMatchObject(error)
    await expect(world.ask('one', { family: 'IPv4', all: true })).rejects.toMatchObject(error)
  })

  it('no address at all is a failure', async () => {
    const world = new World(1_000)
    world.answer = async () => []
    for (const options of [{}, { all: true }]) {
      await expect(world.ask('one', options)).rejects.toMatchObject({ code: 'ENOTFOUND' })
    }
  })

  it('a caller may change the list that it got', async () => {
    const world = new World(1_000)
    const list = (await world.ask('one')) as unknown[]
    list.length = 0
    expect(await world.ask('one')).toEqual([V4, V6, OTHER])
  })
})

describe('a look-up of the user', () => {
  it.each([
    ['nothing', undefined, 'undefined'],
    ['a word', 'no idea', 'no idea'],
    ['an error', new Error('broken'), 'broken'],
  ])('that rejects with %s fails with an error', async (_what, thrown, message) => {
    const lookup = usersLookup(() => Promise.reject(thrown) as never)
    const error = await new Promise<unknown>((resolve) => lookup('broker', { all: true }, resolve))
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ message: expect.stringContaining(message) })
  })
})

// How a session ends for good: by a clean one that connects in its place, and in version 5 by DISCONNECT.
import { describe, expect, it } from 'vitest'
import { collect, outcomeOf, texts, useWorlds, VERSIONS } from '../../test/support/client-world.ts'
import { memoryStore } from '../store/memory.ts'

const makeWorld = useWorlds()

describe.each(VERSIONS)('a clean session over the store of one that is owed messages in %s', (version) => {
  it('takes nothing from it, and leaves nothing of the other there', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const before = await world.connectedDurable({ store })
    const { seen, handler } = texts()
    await before.subscribe('in', { qos: 2 }, handler)
    for (const type of ['puback', 'pubrec', 'pubrel'] as const) world.broker.faults.onSend(type).withhold()
    const owed = ([1, 2] as const).map((qos) => outcomeOf(before.publish('out', 'x', { qos })))
    world.broker.publish({ topic: 'in', payload: 'first', qos: 2 })
    await world.settle()
    await before.disconnect()
    expect(owed).toMatchObject([{ error: { kept: true } }, { error: { kept: true } }])
    world.broker.faults.clear()
    world.taken()

    const clean = world.client({ store })
    const settled = collect(clean, 'deliverySettled')
    expect(await clean.connect()).toMatchObject({ sessionPresent: false })
    expect(clean.pending).toEqual([])
    await clean.subscribe('in', { qos: 2 }, handler)
    // Of the identifier that the first message had, which the store knows as received.
    world.broker.publish({ topic: 'in', payload: 'second', qos: 2 })
    await world.advance(30_000)
    expect(seen).toEqual(['first', 'second'])
    await clean.disconnect()
    expect(world.broker.sessions.has('client')).toBe(false)

    const after = world.durable({ store })
    expect(await after.connect()).toMatchObject({ sessionPresent: false, adopted: false })
    expect(after.pending).toEqual([])
    await world.advance(30_000)
    expect(world.got('publish')).toEqual([])
    expect(settled).toEqual([])
  })

  it('takes it whatever client id the other had', async () => {
    const world = makeWorld(version)
    const store = memoryStore()
    const before = await world.connectedDurable({ store })
    await before.disconnect()
    const clean = world.client({ store, clientId: 'other' })
    await clean.connect()
    await clean.publish('out', 'x', { qos: 1 })
    expect(clean.pending).toEqual([])
  })
})

it('5: disconnect() with sessionExpiryInterval 0 ends it: the broker forgets the session', async () => {
  const world = makeWorld('5')
  const client = await world.connectedDurable({ store: memoryStore() })
  const { seen, handler } = texts()
  await client.subscribe('in', { qos: 1 }, handler)
  expect(world.broker.sessions.has('client')).toBe(true)
  await client.disconnect({ properties: { sessionExpiryInterval: 0 } })
  expect(world.got('disconnect')).toMatchObject([{ properties: { sessionExpiryInterval: 0 } }])
  await world.settle()
  expect(world.broker.sessions.has('client')).toBe(false)
  world.broker.publish({ topic: 'in', payload: 'meanwhile', qos: 1 })
  expect(await client.connect()).toMatchObject({ sessionPresent: false, adopted: false })
  await world.advance(30_000)
  expect(seen).toEqual([])
})

it('5: disconnect() without it leaves the session to the broker', async () => {
  const world = makeWorld('5')
  const client = await world.connectedDurable()
  const { seen, handler } = texts()
  await client.subscribe('in', { qos: 1 }, handler)
  await client.disconnect()
  await world.settle()
  world.broker.publish({ topic: 'in', payload: 'meanwhile', qos: 1 })
  expect(await client.connect()).toMatchObject({ sessionPresent: true })
  await world.settle()
  expect(seen).toEqual(['meanwhile'])
})

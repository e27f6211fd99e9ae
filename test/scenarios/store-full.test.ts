// A store whose disk is full, or fails, at a write, a sync or an unlink: nothing is sent without its record, PUBREC
// stays unsent, and when the disk works again so does the client, without a restart. On a simulated disk, where each
// step can fail by itself, and on a real file system of 64 KB.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { MqttError } from '../../src/core/errors.ts'
import type { DiskOperation } from '../../src/testing/disk.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import { collect, outcomeOf, texts, VERSIONS } from '../support/client-world.ts'
import { usePrograms } from '../support/store-process.ts'
import { type CrashKind, StoreWorld, type StoreWorldOptions } from '../support/store-world.ts'
import { mayMount } from '../support/system.ts'

const programs = usePrograms()
const NONE: readonly unknown[] = []

let worlds: StoreWorld[] = []
afterEach(async () => {
  const made = worlds
  worlds = []
  for (const world of made) {
    expect(await world.end()).toEqual(NONE)
    expect(world.witness.violations).toEqual(NONE)
  }
})

function makeWorld(version: '3.1.1' | '5', options: StoreWorldOptions = {}): StoreWorld {
  const world = new StoreWorld(version, options)
  worlds.push(world)
  return world
}

/** The ways in which a record cannot be kept; a sync is asked for each record by `'power'` alone. */
const FAILURES: readonly (readonly [code: string, operation: DiskOperation, durability: CrashKind])[] = [
  ['ENOSPC', 'write', 'process'],
  ['EIO', 'write', 'power'],
  ['ENOSPC', 'datasync', 'power'],
  ['EIO', 'datasync', 'power'],
]

describe.each(VERSIONS)('a failing disk in %s', (version) => {
  it.each(FAILURES)(
    '%s at %s (%s): a publish rejects before anything is sent, and later ones work (rule 33) [scenario 68]',
    async (code, operation, durability) => {
      const world = makeWorld(version, { durability })
      const { client } = world.start()
      const errors = collect(client, 'error')
      await play(world, client.connect())
      world.fail(code, operation)
      for (const qos of [1, 2] as const) {
        for (const until of ['acknowledged', 'stored'] as const) {
          const { state, error } = await play(world, client.publish('up', 'x', { qos, until }))
          expect(state).toBe('rejected')
          expect(error).toBeInstanceOf(MqttError)
          expect(error).toMatchObject({ code: 'store-failed', cause: { code } })
          if (code === 'ENOSPC') {
            expect(error).toMatchObject({
              message: expect.stringMatching(/Free some space: it then works again/),
            })
          }
        }
      }
      await world.advance(200)
      expect(world.got('publish')).toEqual(NONE)
      expect(client.pending).toEqual(NONE)
      expect(errors.length).toBeGreaterThan(0)
      for (const { error } of errors) expect(error.code).toBe('store-failed')
      expect(client.state).toBe('connected')

      world.mend()
      await world.advance(20)
      expect(await play(world, client.publish('up', 'after', { qos: 2 }))).toMatchObject({
        state: 'resolved',
      })
      expect(world.got('publish').map(({ packetId, dup }) => [packetId > 0, dup])).toEqual([[true, false]])
      // What is said to be stored is: the next life has nothing of what was rejected.
      world.broker.faults.onSend('puback').withhold()
      expect(await play(world, client.publish('up', 'kept', { qos: 1, until: 'stored' }))).toMatchObject({
        state: 'resolved',
      })
      world.crash(durability)
      await world.advance(20)
      expect([...world.witness.session.published].map(({ payload }) => text(payload))).toEqual(['kept'])
    },
  )

  it.each(FAILURES)(
    '%s at %s (%s): no PUBREC, the connection is given up, and tried again by the back-off until the disk works (rule 33) [scenario 68]',
    async (code, operation, durability) => {
      const world = makeWorld(version, { durability })
      const { client } = world.start({
        reconnect: { min: 100, max: 1_600, jitter: false, resetAfter: 60_000 },
      })
      collect(client, 'error')
      const lost = collect(client, 'disconnected')
      const { seen, handler } = texts()
      client.route('down', handler)
      await play(world, client.connect())
      await play(world, client.subscribe('down', { qos: 2 }))
      world.fail(code, operation)
      world.broker.publish({ topic: 'down', payload: 'x', qos: 2 })
      await world.advance(10_000)
      expect(world.got('pubrec')).toEqual(NONE)
      expect(lost.length).toBeGreaterThan(2)
      for (const { error, willReconnect } of lost) {
        expect(error).toMatchObject({ code: 'store-failed', cause: { code } })
        expect(willReconnect).toBe(true)
      }
      // Doubling: no busy loop.
      expect(lost.map(({ delay }) => delay).slice(0, 5)).toEqual([200, 400, 800, 1_600, 1_600])
      expect(lost.length).toBeLessThan(10)
      expect(seen).toEqual(['x'])

      world.mend()
      await world.advance(2_000)
      expect(client.state).toBe('connected')
      expect(world.broker.openExchanges).toEqual(NONE)
      expect(world.got('pubrec')).toHaveLength(1)
      expect(seen).toEqual(['x'])
    },
  )

  it.each(['EIO', 'ENOSPC'])(
    '%s at unlink: all goes on, the store opens again, and the waste is removed when it can be [scenario 68]',
    async (code) => {
      const world = makeWorld(version, { segmentBytes: 200 })
      world.fail(code, 'unlink')
      const { client } = world.start()
      const errors = collect(client, 'error')
      for (let round = 0; round < 3; round += 1) {
        expect((await play(world, client.connect())).state).toBe('resolved')
        for (const qos of [1, 2] as const) {
          expect((await play(world, client.publish('up', 'x'.repeat(50), { qos }))).state).toBe('resolved')
        }
        expect((await play(world, client.disconnect())).state).toBe('resolved')
      }
      // The lock alone has to be given back, and is, in the end, by its owner.
      for (const { error } of errors) {
        expect(error).toMatchObject({
          code: 'store-failed',
          message: expect.stringMatching(/could not be unlocked/),
        })
      }
      const files = world.machine.paths().length
      expect(files).toBeGreaterThan(1)
      world.mend()
      await play(world, client.connect())
      await play(world, client.disconnect())
      expect(world.machine.paths()).toHaveLength(1)
    },
  )

  it('is not asked without pause: a failure that nobody waits for is not repeated at once (rule 33) [scenario 68]', async () => {
    const world = makeWorld(version)
    const { client } = world.start()
    const errors = collect(client, 'error')
    await play(world, client.connect())
    world.fail('ENOSPC', 'write')
    expect((await play(world, client.publish('up', 'x', { qos: 1 }))).state).toBe('rejected')
    await world.advance(1_000)
    expect(errors.length).toBeLessThan(10)
  })

  it('that has no room left: recovers when there is some, without a restart (rule 33) [scenario 68]', async () => {
    const world = makeWorld(version)
    const { client } = world.start()
    collect(client, 'error')
    const { seen, handler } = texts()
    client.route('down', handler)
    await play(world, client.connect())
    await play(world, client.subscribe('down', { qos: 2 }))
    world.broker.faults.onSend('puback').withhold()
    world.decide = ({ operation }) => (operation === 'write' ? { delay: 1 } : undefined)
    world.machine.capacity = 3_000
    const stored: string[] = []
    let refused: unknown = undefined
    for (let count = 0; refused === undefined && count < 40; count += 1) {
      const payload = `${count} `.padEnd(200, 'x')
      const { state, error } = await play(world, client.publish('up', payload, { qos: 1, until: 'stored' }))
      if (state === 'resolved') stored.push(payload)
      else refused = error
    }
    expect(refused).toMatchObject({ code: 'store-failed', cause: { code: 'ENOSPC' } })
    expect(stored.length).toBeGreaterThan(5)
    expect(world.got('publish').map(({ payload }) => text(payload))).toEqual(stored)
    world.broker.publish({ topic: 'down', payload: 'x', qos: 2 })
    await world.advance(3_000)
    expect(world.got('pubrec')).toEqual(NONE)

    world.broker.faults.clear()
    world.machine.capacity = Number.POSITIVE_INFINITY
    await world.advance(3_000)
    expect(client.pending).toEqual(NONE)
    expect(world.broker.openExchanges).toEqual(NONE)
    expect(seen).toEqual(['x'])
    expect(new Set(world.got('publish').map(({ payload }) => text(payload)))).toEqual(new Set(stored))
  })

  it('that ends one connection after the other gives no message up: it is not the message that is to blame (rule 8) [scenario 68]', async () => {
    const world = makeWorld(version)
    const { client } = world.start({ poisonLimit: 2 })
    collect(client, 'error')
    client.route('down', () => undefined)
    await play(world, client.connect())
    await play(world, client.subscribe('down', { qos: 2 }))
    world.broker.faults.onSend('puback').withhold()
    const { state } = await play(world, client.publish('up', 'kept', { qos: 1, until: 'stored' }))
    expect(state).toBe('resolved')
    const lost = collect(client, 'disconnected')
    world.fail('ENOSPC', 'write')
    world.broker.publish({ topic: 'down', payload: 'x', qos: 2 })
    await world.advance(2_000)
    expect(lost.length).toBeGreaterThan(4)
    expect(client.pending.map(({ topic }) => topic)).toEqual(['up'])
    world.broker.faults.clear()
    world.mend()
    await world.advance(1_000)
    expect(client.pending).toEqual(NONE)
    expect(world.broker.openExchanges).toEqual(NONE)
  })

  it.each(['write', 'datasync', 'rename'] as const)(
    'that fails at %s when the client disconnects: what is called kept is kept (rule 35) [scenario 68]',
    async (operation) => {
      const world = makeWorld(version, { durability: 'power' })
      const { client } = world.start()
      collect(client, 'error')
      await play(world, client.connect())
      world.wire.dialing = 'refused'
      world.wire.cut()
      await world.advance(10)
      world.fail('EIO', operation)
      const publish = outcomeOf(client.publish('up', 'owed', { qos: 1 }))
      const disconnect = await play(world, client.disconnect())
      await world.advance(200)
      expect(disconnect.state).toBe('resolved')
      expect(publish.state).toBe('rejected')
      world.mend()
      const next = world.start()
      await play(world, next.client.connect())
      const { queued, published } = world.witness.session
      const isThere = [...queued, ...published].some(({ payload }) => text(payload) === 'owed')
      // An append renames nothing: that fails only where the log begins anew.
      expect(isThere).toBe(operation === 'rename')
      expect(publish.error).toMatchObject(
        isThere ? { code: 'disconnected', kept: true } : { code: 'store-failed', cause: { code: 'EIO' } },
      )
      next.client.destroy()
    },
  )
})

describe.each(VERSIONS)('what a store promised in %s', (version) => {
  it.each([
    ['process', 'process'],
    ['power', 'process'],
    ['power', 'power'],
  ] as const)(
    "with '%s' is there after the end of the %s, at the moment it settles (rule 35) [scenario 66]",
    async (durability, end) => {
      for (let seed = 0; seed < 20; seed += 1) {
        const world = makeWorld(version, { durability, seed })
        const { client } = world.start()
        await play(world, client.connect())
        const messages = [1, 2].map((qos) => ({ qos: qos === 1 ? 1 : 2, payload: `QoS ${qos}` }) as const)
        let promised = 0
        const settled = messages.map(({ qos, payload }) =>
          client.publish('up', payload, { qos, until: 'stored' }).then(() => {
            promised += 1
            if (promised === 2) world.crash(end)
          }),
        )
        await play(world, Promise.all(settled))
        expect(promised).toBe(2)
        const { client: next } = world.start()
        await play(world, next.connect())
        await world.advance(100)
        expect(next.pending).toEqual(NONE)
        const arrived = world.got('publish').map(({ payload }) => text(payload))
        expect(new Set(arrived)).toEqual(new Set(['QoS 1', 'QoS 2']))
        expect(world.witness.violations).toEqual(NONE)
      }
    },
  )

  it("'power' would not be without its syncs, and 'process' promises nothing of power (rule 35) [scenario 66]", async () => {
    const lost = async (durability: CrashKind, sync: boolean): Promise<number> => {
      let count = 0
      for (let seed = 0; seed < 20; seed += 1) {
        const world = new StoreWorld(version, { durability, seed, sync })
        const { client } = world.start()
        await play(world, client.connect())
        world.broker.faults.onReceive('publish').cutBefore()
        client.publish('up', 'x', { qos: 1, until: 'stored' }).then(
          () => world.crash('power'),
          () => undefined,
        )
        await world.advance(10)
        world.broker.faults.clear()
        const next = world.start()
        await play(world, next.client.connect())
        await world.advance(100)
        if (world.got('publish').length === 0) count += 1
        await world.end()
      }
      return count
    }
    expect(await lost('power', true)).toBe(0)
    expect(await lost('power', false)).toBeGreaterThan(0)
    expect(await lost('process', true)).toBeGreaterThan(0)
  })
})

const canMount = mayMount()

describe.each(VERSIONS)('a file system of 64 KB in %s', (version) => {
  it.skipIf(!canMount)(
    'that is full: nothing leaves without its record, and it works again when there is room (rule 33) [scenario 68] [needs mounts]',
    async () => {
      const arrived: string[] = []
      const pubrecs: unknown[] = []
      const server = createBroker({
        onMessage: ({ publisher, payload }) => {
          if (publisher === 'program') arrived.push(text(payload).trimEnd().split(' ')[0] ?? '')
        },
        onPacket: (direction, packet) => {
          if (direction === 'in' && packet.type === 'pubrec') pubrecs.push(packet)
        },
      })
      const url = await server.listen()
      const path = join(programs.place(), `full-${version}`)
      await mkdir(path)
      const script = `
        mount -t tmpfs -o size=64k none "${path}" && head -c 40960 /dev/zero > "${path}/ballast" &&
        exec "$0" "$@"`
      const program = programs.start({
        url,
        folder: join(path, 'store'),
        version,
        command: ['unshare', '-m', '/bin/sh', '-c', script],
      })
      await program.line(/^ready/)
      server.broker.faults.onSend('puback').withhold()
      program.tell('fill 2000')
      const full = await program.line(/^full /)
      expect(full).toMatch(/^full \d+ store-failed ENOSPC .*Free some space: it then works again/)
      const count = Number(full.split(' ')[1])
      expect(count).toBeGreaterThan(2)
      await expect.poll(() => arrived.length).toBe(count)
      expect(arrived).toEqual(Array.from({ length: count }, (_, index) => String(index)))

      const said = program.lines.length
      server.broker.publish({ topic: 'down/handled', payload: 'in', qos: 2 })
      expect(await program.line(/^disconnected/, said)).toMatch(/^disconnected store-failed ENOSPC/)
      await program.line(/^connected/, said)
      expect(pubrecs).toEqual(NONE)

      program.tell(`unlink ${path}/ballast`)
      await expect.poll(() => pubrecs.length, { timeout: 10_000 }).toBe(1)
      // What was not acknowledged is sent again on the next connection, and that one only.
      server.broker.faults.clear()
      server.broker.cutAll()
      program.tell('drain')
      await program.line(/^drained/, said)
      await expect.poll(() => server.broker.openExchanges, { timeout: 10_000 }).toEqual(NONE)
      program.tell('publish 2 after')
      await program.line(/^stored after/)
      program.tell('end')
      await program.ended()
      expect(program.lines.filter((line) => line === 'down/handled in')).toHaveLength(1)
      expect(new Set(arrived)).toEqual(
        new Set([...Array.from({ length: count }, (_, at) => String(at)), 'after']),
      )
      await server.close()
      expect(server.broker.finish()).toEqual(NONE)
    },
  )
})

function text(payload: Uint8Array | string): string {
  return typeof payload === 'string' ? payload : new TextDecoder().decode(payload)
}

/** What becomes of a promise within a moment. */
async function play<Value>(
  world: StoreWorld,
  promise: Promise<Value>,
): Promise<ReturnType<typeof outcomeOf<Value>>> {
  const outcome = outcomeOf(promise)
  await world.advance(15)
  return outcome
}

import { describe, expect, it } from 'vitest'
import { VirtualRuntime } from './virtual-runtime.ts'
import { VirtualWorld } from './virtual-world.ts'

describe('virtual time', () => {
  it('passes only when it is told to', async () => {
    const runtime = new VirtualRuntime({ now: 500, wallTime: 10_000 })
    expect([runtime.now(), runtime.wallTime()]).toEqual([500, 10_000])
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(runtime.now()).toBe(500)
    await runtime.advance(1_500)
    expect([runtime.now(), runtime.wallTime()]).toEqual([2_000, 11_500])
    runtime.setWallTime(7)
    expect([runtime.now(), runtime.wallTime()]).toEqual([2_000, 7])
  })

  it('an hour takes no real time', async () => {
    const runtime = new VirtualRuntime()
    let ticks = 0
    const tick = (): void => {
      ticks += 1
      runtime.setTimer(tick, 1_000)
    }
    tick()
    const start = performance.now()
    await runtime.advance(3_600_000)
    expect(ticks).toBe(3_601)
    expect(performance.now() - start).toBeLessThan(5_000)
  })

  it('timers ring in the order in which they are due, then in which they were set, at their time', async () => {
    const runtime = new VirtualRuntime({ now: 0 })
    const rung: [string, number][] = []
    const ring = (name: string) => (): void => void rung.push([name, runtime.now()])
    runtime.setTimer(ring('c'), 30)
    runtime.setTimer(ring('a'), 10)
    runtime.setTimer(ring('b1'), 20)
    runtime.setTimer(ring('b2'), 20)
    runtime.setTimer(ring('never'), Infinity)
    runtime.setTimer(ring('at once'), -5)
    expect(rung).toEqual([])
    await runtime.advance(29)
    expect(rung).toEqual([
      ['at once', 0],
      ['a', 10],
      ['b1', 20],
      ['b2', 20],
    ])
    await runtime.advance(1)
    expect(rung.at(-1)).toEqual(['c', 30])
    expect(runtime.timers).toBe(0)
  })

  it('a delay that is too long is cut, as by the platforms', async () => {
    const runtime = new VirtualRuntime()
    let rung = 0
    runtime.setTimer(() => (rung += 1), 1e12)
    await runtime.advance(2_147_483_646)
    expect(rung).toBe(0)
    await runtime.advance(1)
    expect(rung).toBe(1)
  })

  it('a cancelled timer does not ring; one that is set by another within the span does', async () => {
    const runtime = new VirtualRuntime({ now: 0 })
    const rung: string[] = []
    const timer = runtime.setTimer(() => void rung.push('cancelled'), 20)
    runtime.setTimer(() => {
      timer.cancel()
      timer.cancel()
      runtime.setTimer(() => void rung.push(`inner at ${runtime.now()}`), 5)
    }, 10)
    await runtime.advance(100)
    expect(rung).toEqual(['inner at 15'])
  })

  it('between timers everything else happens: microtasks and what was deferred', async () => {
    const runtime = new VirtualRuntime()
    const log: string[] = []
    runtime.setTimer(() => {
      log.push('first')
      void (async () => {
        for (let step = 0; step < 5; step += 1) await Promise.resolve()
        log.push('microtasks')
        runtime.defer(() => log.push('deferred'))
      })()
    }, 10)
    runtime.setTimer(() => log.push('second'), 10)
    await runtime.advance(10)
    expect(log).toEqual(['first', 'microtasks', 'deferred', 'second'])
  })

  it('what is deferred runs without advance, after all microtasks, one at a time', async () => {
    const runtime = new VirtualRuntime()
    const log: string[] = []
    runtime.defer(() => {
      log.push('one')
      void Promise.resolve().then(() => log.push('microtask of one'))
      runtime.defer(() => log.push('three'))
    })
    runtime.defer(() => log.push('two'))
    void Promise.resolve().then(() => Promise.resolve().then(() => log.push('before')))
    expect(log).toEqual([])
    await runtime.settle()
    expect(log).toEqual(['before', 'one', 'microtask of one', 'two', 'three'])
  })

  it('advancing twice at once is a mistake', async () => {
    const runtime = new VirtualRuntime()
    const first = runtime.advance(1)
    await expect(runtime.advance(1)).rejects.toThrow('await that first')
    await first
    await runtime.advance(1)
  })

  it('the same seed gives the same numbers, spread from 0 to 1', () => {
    const take = (seed: number): number[] => {
      const runtime = new VirtualRuntime({ seed })
      return Array.from({ length: 1_000 }, () => runtime.random())
    }
    const numbers = take(7)
    expect(take(7)).toEqual(numbers)
    expect(take(8)).not.toEqual(numbers)
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(0)
    expect(Math.max(...numbers)).toBeLessThan(1)
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.05)
  })

  it('tells whether a waiting timer keeps the process alive', () => {
    const runtime = new VirtualRuntime()
    expect(runtime.keepsAlive).toBe(false)
    const timer = runtime.setTimer(() => {}, 10)
    expect(runtime.keepsAlive).toBe(true)
    timer.setKeepsAlive?.(false)
    expect([runtime.keepsAlive, runtime.timers]).toEqual([false, 1])
  })

  it('collects what is reported', () => {
    const runtime = new VirtualRuntime()
    const error = new Error('unheard')
    runtime.report(error)
    expect(runtime.reported).toEqual([error])
  })
})

describe('a virtual world', () => {
  it('has a broker, a way to it, and clients', async () => {
    const world = new VirtualWorld({ broker: { versions: ['3.1.1'] } })
    const client = await world.connect({ clientId: 'boiler-7', reconnect: { min: 1_000, jitter: false } })
    expect(world.broker.connectionOf('boiler-7')).toBeDefined()
    world.broker.cutAll()
    await world.settle()
    expect(client.state).toBe('waiting')
    await world.advance(2_000)
    expect(client.state).toBe('connected')
    await world.pool.close()
    expect(world.broker.complaints).toEqual([])
  })

  it('the same seed gives the same run', async () => {
    const run = async (seed: number): Promise<unknown[]> => {
      const world = new VirtualWorld({ seed })
      const log: unknown[] = []
      const client = world.createClient({ reconnect: { min: 100 } })
      client.on('state', ({ to }) => log.push([world.now, to]))
      await client.connect()
      for (let round = 0; round < 5; round += 1) {
        world.broker.cutAll()
        await world.advance(5_000)
      }
      await client.disconnect()
      return [client.clientId, ...log]
    }
    const first = await run(3)
    expect(await run(3)).toEqual(first)
    expect(await run(4)).not.toEqual(first)
  })

  it('its link refuses, ignores, and stops', async () => {
    const world = new VirtualWorld()
    world.link.dialing = 'refused'
    await expect(world.connect()).rejects.toMatchObject({ code: 'connect-failed' })
    world.link.dialing = 'ignored'
    const reason = new Error('enough')
    const controller = new AbortController()
    const connecting = world.createClient().connect({ signal: controller.signal })
    await world.settle()
    controller.abort(reason)
    await expect(connecting).rejects.toBe(reason)
    world.link.dialing = 'answered'
    const client = await world.connect({ keepAlive: 0 })
    const received: string[] = []
    await client.subscribe('a', (message) => void received.push(message.text()))
    world.link.stop()
    const published = client.publish('a', 'x')
    await world.advance(60_000)
    expect([world.link.isStopped, received]).toEqual([true, []])
    world.link.go()
    await published
    await world.settle()
    expect(received).toEqual(['x'])
    expect(world.link.attempts).toHaveLength(3)
    await world.pool.close()
  })
})

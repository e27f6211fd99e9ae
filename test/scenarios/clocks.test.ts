// Clocks: the wall clock is set by a day, and the machine sleeps. Time-outs go by the monotonic clock, and after a
// sleep each of them comes once: rule 11.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest'
import { ClientPool } from '../../src/client/pool.ts'
import type { Client, Runtime, Timer } from '../../src/index.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import {
  collect,
  durableOptions,
  gate,
  outcomeOf,
  type TestWorld,
  texts,
  useWorlds,
} from '../support/client-world.ts'
import { Program, unique, useClients, type Version, VERSIONS } from '../support/clients.ts'

const makeWorld = useWorlds()
const DAY = 86_400_000

/** All kinds of time-outs, and when they came; the wall clock is set again and again, or left alone. */
async function transcript(world: TestWorld, shifts: readonly number[]): Promise<readonly string[]> {
  const lines: string[] = []
  const say = (what: string): void => void lines.push(`${world.now}: ${what}`)
  let shift = 0
  const pass = async (ms: number): Promise<void> => {
    for (let part = 0; part < 10; part += 1) {
      const setting = shifts[shift++ % shifts.length]
      if (setting !== undefined) world.runtime.setWallTime(world.runtime.wallTime() + setting)
      await world.advance(ms / 10)
    }
  }
  const client = world.durable({ keepAlive: 4, operationTimeout: 10_000, connectTimeout: 5_000 })
  client.on('packet', ({ direction, packet }) => say(`${direction} ${packet.type}`))
  client.on('state', ({ to }) => say(to))
  client.on('connectFailed', ({ error }) => say(codeOf(error)))
  client.on('disconnected', ({ error }) => say(codeOf(error)))
  client.on('error', ({ error }) => say(error.code))
  const told = (promise: Promise<unknown>): void =>
    void promise.then(
      () => say('resolved'),
      (error: unknown) => say(codeOf(error)),
    )

  await client.connect()
  await client.subscribe('slow', { qos: 1 }, () => gate().promise)
  world.broker.publish({ topic: 'slow', qos: 1 })
  await pass(70_000) // keep-alive, and a handler that is slow
  world.broker.faults.onSend('puback', { nth: 1 }).withhold()
  told(client.publish('a', 'x', { qos: 1 }))
  await pass(20_000) // an operation
  world.broker.faults.onSend('pingresp', { nth: 1 }).withhold()
  world.broker.faults.onSend('connack', { nth: 1 }).withhold()
  await pass(30_000) // silence, back-off, an attempt without CONNACK
  world.link.dialing = 'refused'
  world.broker.cutAll()
  await world.settle()
  const expiring = { qos: 1, properties: { messageExpiryInterval: 60 } } as const
  told(client.publish('b', 'x', world.version === '5' ? expiring : { qos: 1 }))
  await pass(20_000)
  world.link.dialing = 'answered'
  await pass(40_000) // it has waited for less than a minute
  return lines
}

function codeOf(error: unknown): string {
  return String((error as { readonly code?: unknown } | undefined)?.code)
}

describe.each(VERSIONS)('the wall clock, set by a day, in %s', (version) => {
  it('changes no time-out, keep-alive, back-off or expiry by a millisecond [scenario 64]', async () => {
    const untouched = await transcript(makeWorld(version, { seed: 64 }), [])
    const shifted = await transcript(makeWorld(version, { seed: 64 }), [DAY, -2 * DAY, DAY / 2])
    const words = new Set(untouched.map((line) => line.replace(/^\d+(?:\.\d+)?: /, '')))
    for (const word of ['out pingreq', 'handler-slow', 'operation-timeout', 'ping-timeout']) {
      expect(words).toContain(word)
    }
    for (const word of ['connect-timeout', 'connect-failed', 'resolved']) expect(words).toContain(word)
    expect(words).not.toContain('expired')
    expect(shifted).toEqual(untouched)
  })
})

it.each(VERSIONS)(
  '%s: a runtime of the client’s own gives its timers, too [scenario 64]',
  async (version) => {
    const world = makeWorld(version)
    const runtime = new SleepingRuntime(world.runtime)
    const client = await world.connected({ runtime, keepAlive: 4 })
    runtime.sleep(3_000)
    await world.advance(0)
    expect(client.statistics.packetsOut.pingreq).toBe(1)
  },
)

describe('the wall clock of the machine', () => {
  const server = createBroker()
  const clients = useClients(() => server.url)
  beforeAll(() => server.listen())
  afterAll(() => server.close())

  it.each(VERSIONS)(
    '%s: set a day forward and back under a real client it does nothing [scenario 64]',
    async (version) => {
      const options = { clientId: unique('clock'), keepAlive: 1, operationTimeout: 400 }
      const reconnect = { min: 150, max: 150 }
      const realNow = Date.now
      const clock = vi.spyOn(Date, 'now')
      const set = (days: number): void => void clock.mockImplementation(() => realNow() + days * DAY)
      try {
        const begin = performance.now()
        const client = await clients.with(durableOptions(version, { ...options, reconnect }))
        const interruptions = collect(client, 'interrupted')
        const pingedAt: number[] = [begin]
        const pinged = new Promise<void>((resolve) => {
          client.on('packet', ({ direction, packet }) => {
            if (direction !== 'out' || packet.type !== 'pingreq') return
            if (pingedAt.push(performance.now()) === 3) resolve()
            set(pingedAt.length % 2 === 0 ? -1 : 1)
          })
        })
        set(1)
        await pinged // 2 × 750 ms
        expect(pingedAt[1]).toBeGreaterThan((pingedAt[0] ?? 0) + 700)
        expect(pingedAt[2]).toBeGreaterThan((pingedAt[1] ?? 0) + 500)
        expect(pingedAt[2]).toBeLessThan((pingedAt[0] ?? 0) + 4_000)
        expect(interruptions).toEqual([])

        const { faults } = server.broker
        faults.onSend('puback', { clientId: options.clientId, times: 1 }).withhold()
        const published = performance.now()
        const publishing = client.publish('a', 'x', { qos: 1 })
        set(1)
        await expect(publishing).rejects.toMatchObject({ code: 'operation-timeout' })
        expect(performance.now() - published).toBeGreaterThanOrEqual(399)

        const cut = performance.now()
        server.broker.connectionOf(options.clientId)?.cut()
        set(-1)
        await new Promise((resolve) => client.on('resumed', resolve))
        expect(performance.now() - cut).toBeGreaterThanOrEqual(149)
        expect(performance.now() - cut).toBeLessThan(2_000)
      } finally {
        clock.mockRestore()
      }
    },
  )
})

/** A runtime whose machine can sleep: its clock goes on, and what had become due fires when it wakes. */
class SleepingRuntime implements Runtime {
  /** Timers that fired. */
  fired = 0
  readonly #inner: Runtime
  readonly #pending = new Map<object, { readonly due: number; readonly callback: () => void; timer: Timer }>()
  #slept = 0

  constructor(inner: Runtime) {
    this.#inner = inner
  }

  now(): number {
    return this.#inner.now() + this.#slept
  }

  wallTime(): number {
    return this.#inner.wallTime() + this.#slept
  }

  random(): number {
    return this.#inner.random()
  }

  defer(callback: () => void): void {
    this.#inner.defer(callback)
  }

  report(error: unknown): void {
    this.#inner.report(error)
  }

  setTimer(callback: () => void, delay: number): Timer {
    const handle = {
      cancel: (): void => {
        this.#pending.get(handle)?.timer.cancel()
        this.#pending.delete(handle)
      },
    }
    const ring = (): void => {
      this.#pending.delete(handle)
      this.fired += 1
      callback()
    }
    if (delay !== Infinity) {
      const timer = this.#inner.setTimer(ring, delay)
      this.#pending.set(handle, { due: this.now() + delay, callback: ring, timer })
    }
    return handle
  }

  sleep(ms: number): void {
    this.#slept += ms
    for (const pending of this.#pending.values()) {
      pending.timer.cancel()
      pending.timer = this.#inner.setTimer(pending.callback, Math.max(0, pending.due - this.now()))
    }
  }
}

const TEN_MINUTES = 600_000

/** A connected client whose time is that runtime's; without jitter. */
async function sleeper(world: TestWorld, runtime: Runtime): Promise<Client> {
  const pool = new ClientPool(undefined, { runtime, createDial: () => world.link.dial })
  const options = { clientId: 'client', reconnect: { jitter: false } }
  const client = await pool.connect(world.url, durableOptions(world.version, options))
  onTestFinished(() => client.destroy())
  return client
}

describe.each(VERSIONS)('ten minutes of sleep in %s', (version) => {
  it('on a dead link: one PINGREQ, one time-out after pingTimeout, one reconnect [scenario 65]', async () => {
    const world = makeWorld(version)
    const runtime = new SleepingRuntime(world.runtime)
    const client = await sleeper(world, runtime)
    const lost = collect(client, 'disconnected')
    const { seen, handler } = texts()
    await client.subscribe('a', { qos: 1 }, handler)
    await world.advance(1_000)
    world.broker.connectionOf('client')?.pause()
    const pending = Array.from({ length: 100 }, () => outcomeOf(client.publish('b', 'x', { qos: 1 })))
    await world.settle()

    const sent = client.statistics.packetsOut
    runtime.fired = 0
    runtime.sleep(TEN_MINUTES)
    const woken = world.now
    await world.advance(0)
    expect(runtime.fired).toBe(1)
    expect(client.statistics.packetsOut.pingreq - sent.pingreq).toBe(1)
    expect(client.state).toBe('connected')
    await world.advance(9_999)
    expect(lost).toEqual([])
    await world.advance(1)
    expect(lost).toMatchObject([{ error: { code: 'ping-timeout' }, delay: 2_000 }])
    expect(client.statistics.packetsOut.pingreq - sent.pingreq).toBe(1)
    await world.advance(2_000)
    expect(client.state).toBe('connected')
    expect(world.link.attempts.slice(1)).toEqual([woken + 12_000])

    await world.advance(120_000)
    expect(lost).toHaveLength(1)
    expect(client.statistics.reconnects).toBe(1)
    expect(client.pending).toEqual([])
    expect(new Set(pending.map(({ state }) => state))).not.toContain('pending')
    world.broker.publish({ topic: 'a', payload: 'awake', qos: 1 })
    await world.settle()
    expect(seen).toEqual(['awake'])
  })

  it('on a link that lives: one PINGREQ, and its answer is in time [scenario 65]', async () => {
    const world = makeWorld(version)
    const runtime = new SleepingRuntime(world.runtime)
    const client = await sleeper(world, runtime)
    runtime.sleep(TEN_MINUTES)
    await world.advance(1)
    expect(world.got('pingreq')).toHaveLength(1)
    await world.advance(54_000)
    expect(world.got('pingreq')).toHaveLength(1)
    expect(client.statistics.reconnects).toBe(0)
  })

  it('on a link that was reset meanwhile: the end is heard at once, one reconnect, no PINGREQ into it [scenario 65]', async () => {
    const world = makeWorld(version)
    const runtime = new SleepingRuntime(world.runtime)
    const client = await sleeper(world, runtime)
    const lost = collect(client, 'disconnected')
    world.broker.cutAll()
    runtime.sleep(TEN_MINUTES)
    await world.advance(0)
    expect(lost).toMatchObject([{ error: { code: 'connection-lost' }, delay: 2_000 }])
    await world.advance(2_000)
    expect(client.state).toBe('connected')
    expect(client.statistics.packetsOut.pingreq).toBe(0)
    expect(world.link.attempts).toHaveLength(2)
  })

  it('while waiting to reconnect: one attempt at once, the next by the back-off [scenario 65]', async () => {
    const world = makeWorld(version)
    const runtime = new SleepingRuntime(world.runtime)
    const client = await sleeper(world, runtime)
    world.link.dialing = 'refused'
    world.broker.cutAll()
    await world.advance(1_000)
    expect(client.state).toBe('waiting')
    runtime.sleep(TEN_MINUTES)
    await world.advance(3_999)
    expect(world.link.attempts).toHaveLength(2)
    await world.advance(1)
    expect(world.link.attempts).toHaveLength(3)
  })
})

// PINGREQ is due after 3 s, and the process is stopped for 4.
const PROGRAM = `
const [url, clientId, protocolVersion] = args
const lasting = protocolVersion === '5' ? { cleanStart: false, sessionExpiryInterval: 300 } : { cleanSession: false }
const reconnect = { min: 100, jitter: false }
const client = petrel.createClient(url, { clientId, protocolVersion, ...lasting, keepAlive: 4, pingTimeout: 500, reconnect })
client.on('packet', ({ direction, packet }) => say(direction + ' ' + packet.type))
client.on('disconnected', ({ error }) => say('disconnected', { code: error?.code }))
client.on('state', ({ to }) => say(to))
client.on('resumed', ({ sessionPresent }) => say('resumed', { sessionPresent }))
await client.connect()
say('ready')
`

describe('a process that is stopped', () => {
  let program: Program
  const server = createBroker()
  beforeAll(async () => {
    program = await Program.build(PROGRAM)
    await server.listen()
  })
  afterAll(async () => {
    program.remove()
    await server.close()
  })

  /** What the program said from its waking until it was connected again, and when it was woken. */
  async function stopAndWake(version: Version, kill: (clientId: string) => void) {
    const clientId = unique('sleeper')
    const running = program.run(server.url, clientId, version)
    await running.until('ready')
    running.signal('SIGSTOP')
    kill(clientId)
    await sleep(4_000)
    const before = running.said.length
    const woken = performance.timeOrigin + performance.now()
    running.signal('SIGCONT')
    await running.until('resumed')
    running.signal('SIGKILL')
    return { said: running.said.slice(before), woken }
  }

  it.concurrent.for(VERSIONS)(
    '%s: its sockets dead: one PINGREQ at once, one time-out, one reconnect with its session [scenario 65]',
    async (version) => {
      const { said } = await stopAndWake(version, (id) => server.broker.connectionOf(id)?.pause())
      expect(said.map(({ what }) => what)).toEqual([
        'out pingreq',
        'waiting',
        'disconnected',
        'dialing',
        'handshaking',
        'out connect',
        'in connack',
        'connected',
        'resumed',
      ])
      const at = (what: string): number => said.find((one) => one.what === what)?.at ?? Number.NaN
      expect(said.find(({ what }) => what === 'disconnected')).toMatchObject({ code: 'ping-timeout' })
      expect(at('disconnected') - at('out pingreq')).toBeGreaterThan(400)
      expect(at('disconnected') - at('out pingreq')).toBeLessThan(2_000)
      expect(at('dialing') - at('disconnected')).toBeGreaterThan(100)
      expect(said.at(-1)).toMatchObject({ sessionPresent: true })
    },
  )

  it.concurrent.for(VERSIONS)(
    '%s: its sockets reset: no PINGREQ, the loss is seen at once, one reconnect with its session [scenario 65]',
    async (version) => {
      const { said } = await stopAndWake(version, (id) => server.broker.connectionOf(id)?.cut())
      expect(said.map(({ what }) => what).slice(0, 3)).toEqual(['waiting', 'disconnected', 'dialing'])
      expect(said.filter(({ what }) => what === 'dialing')).toHaveLength(1)
      expect(said.find(({ what }) => what === 'disconnected')).toMatchObject({ code: 'connection-lost' })
      expect(said.at(-1)).toMatchObject({ what: 'resumed', sessionPresent: true })
    },
  )
})

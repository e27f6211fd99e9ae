// What runs out: room for messages that come faster than they are handled, file descriptors, and the patience with
// a name server.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Client, createClient } from '../../src/index.ts'
import { type BrokerServer, createBroker } from '../../src/testing/broker-server.ts'
import type { Lookup } from '../../src/transport/dial-options.ts'
import { gate, optionsOf, VERSIONS } from '../support/client-world.ts'

type Version = (typeof VERSIONS)[number]

async function startBroker(): Promise<BrokerServer> {
  const server = createBroker()
  await server.listen()
  onTestFinished(async () => {
    await server.close()
    expect(server.broker.complaints).toEqual([])
  })
  return server
}

function clientOf(url: string, options: Parameters<typeof createClient>[1]): Client {
  const client = createClient(url, options)
  onTestFinished(() => client.destroy())
  return client
}

const PAYLOAD = 65_000
const MESSAGES = 3_200
const TOTAL = PAYLOAD * MESSAGES

describe.each(VERSIONS)('a sender that is faster than the handlers of %s', (version) => {
  it('is stopped by TCP, and memory stays flat over 200 MB [scenario 74]', async () => {
    const sender = await Sender.listen(version)
    const client = clientOf(sender.url, optionsOf(version, { keepAlive: 0, maxPending: 16 }))
    const { promise: opened, open } = gate()
    const done = gate()
    let handled = 0
    let mostUnderWay = 0
    const memory: number[] = []
    await client.connect()
    await client.subscribe('t', async ({ payload }) => {
      await opened
      await new Promise((resolve) => setTimeout(resolve, 1))
      handled += payload.length
      mostUnderWay = Math.max(mostUnderWay, sender.accepted - handled)
      if (handled % (10 * PAYLOAD) === 0) memory.push(process.memoryUsage().arrayBuffers)
      if (handled === TOTAL) done.open()
    })

    // Nothing is handled: the sender comes to a stop long before the end.
    const before = process.memoryUsage().arrayBuffers
    await sender.stopped()
    expect(sender.accepted).toBeLessThan(TOTAL / 4)
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(TOTAL / 16)

    // Slowly: what has been sent and is not handled never grows beyond that.
    open()
    await done.promise
    expect(mostUnderWay).toBeLessThan(TOTAL / 4)
    const half = memory.length / 2
    const [first, second] = [Math.max(...memory.slice(0, half)), Math.max(...memory.slice(half))]
    expect(second - before).toBeLessThan(TOTAL / 2)
    expect(second - first).toBeLessThan(TOTAL / 8)
    expect(client.statistics).toMatchObject({ reconnects: 0, messagesIn: [MESSAGES, 0, 0] })
  })
})

/** A server that sends without pause once somebody has subscribed: one packet, again and again. */
class Sender {
  readonly #server: net.Server
  #socket: net.Socket | undefined = undefined
  #sent = 0
  readonly #packet: Buffer

  private constructor(version: Version) {
    const is5 = version === '5'
    const body = is5 ? [0, 1, 116, 0] : [0, 1, 116]
    const length = body.length + PAYLOAD
    const remaining = [(length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14]
    this.#packet = Buffer.concat([Buffer.from([0x30, ...remaining, ...body]), Buffer.alloc(PAYLOAD)])
    this.#server = net.createServer((socket) => {
      this.#socket = socket
      socket.on('error', () => socket.destroy())
      socket.on('drain', () => this.#send(socket))
      socket.on('data', (chunk) => {
        if (chunk[0] === 0x10) socket.write(Buffer.from(is5 ? [0x20, 3, 0, 0, 0] : [0x20, 2, 0, 0]))
        if (chunk[0] !== 0x82) return
        const [, , high = 0, low = 0] = chunk
        socket.write(Buffer.from(is5 ? [0x90, 4, high, low, 0, 0] : [0x90, 3, high, low, 0]))
        this.#send(socket)
      })
    })
  }

  static async listen(version: Version): Promise<Sender> {
    const sender = new Sender(version)
    sender.#server.listen(0, '127.0.0.1')
    await once(sender.#server, 'listening')
    onTestFinished(() => {
      sender.#socket?.destroy()
      sender.#server.close()
    })
    return sender
  }

  get url(): string {
    return `mqtt://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`
  }

  /** Bytes of payload that the network has taken. */
  get accepted(): number {
    return this.#sent * PAYLOAD - (this.#socket?.writableLength ?? 0)
  }

  /** Resolves when the network has taken nothing for a while. */
  async stopped(): Promise<void> {
    let before = -1
    const isStill = (): boolean => {
      const wasBefore = before
      before = this.accepted
      return before > 0 && before === wasBefore
    }
    await expect.poll(isStill, { timeout: 10_000, interval: 200 }).toBe(true)
  }

  #send(socket: net.Socket): void {
    while (this.#sent < MESSAGES && !socket.destroyed) {
      this.#sent += 1
      if (!socket.write(this.#packet)) return
    }
  }
}

// What a process does that has no descriptor left: it says how its attempts fail, gives some back, and connects.
const PROGRAM = `
import { closeSync, openSync, writeSync } from 'node:fs'
import { createClient } from ${JSON.stringify(fileURLToPath(new URL('../../src/index.ts', import.meta.url)))}
const [, , url, protocolVersion] = process.argv
const say = (line) => writeSync(1, JSON.stringify(line) + '\\n')
const options = { protocolVersion, retryInitialConnect: true, reconnect: { min: 20, max: 40, jitter: false } }
const client = createClient(url, options)
const open = []
try {
  for (;;) open.push(openSync('/dev/null'))
} catch (error) {
  say({ full: error.code, some: open.length > 5 })
}
let failures = 0
client.on('connectFailed', ({ error, delay }) => {
  if (++failures > 2) return
  say({ code: error.code, phase: error.phase, cause: error.cause.code, delay })
  if (failures === 2) for (const descriptor of open) closeSync(descriptor)
})
await client.connect()
say({ published: (await client.publish('t', 'at last', { qos: 1 })).reasonCode })
await client.disconnect()
`

describe('file descriptors', () => {
  let folder: string
  let program: string

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'petrel-resources-'))
    program = join(folder, 'program.mjs')
    await build({
      stdin: { contents: PROGRAM, resolveDir: folder },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: program,
    })
  })
  afterAll(() => rm(folder, { recursive: true }))

  it.each(VERSIONS)(
    'run out: attempts of %s fail and say so, and one succeeds when there are some [scenario 78]',
    async (version) => {
      const { url } = await startBroker()
      const command = 'ulimit -n 64; exec "$0" "$@"'
      const child = spawn('sh', ['-c', command, process.execPath, program, url, version], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      onTestFinished(() => void child.kill('SIGKILL'))
      const ended = once(child, 'close')
      const lines: unknown[] = []
      for await (const line of createInterface(child.stdout)) lines.push(JSON.parse(line))
      expect(await ended).toEqual([0, null])
      expect(lines).toEqual([
        { full: 'EMFILE', some: true },
        { code: 'connect-failed', phase: 'tcp', cause: 'EMFILE', delay: 40 },
        { code: 'connect-failed', phase: 'tcp', cause: 'EMFILE', delay: 40 },
        { published: 0 },
      ])
    },
  )
})

describe('a name server that takes its time', () => {
  it.each(VERSIONS)(
    'fails an attempt of %s at its time-out; one succeeds when it has answered, and nothing else was opened [scenario 78]',
    async (version) => {
      const server = await startBroker()
      const answer = gate()
      let questions = 0
      const lookup: Lookup = (_name, _options, callback) => {
        questions += 1
        answer.promise.then(() => callback(null, [{ address: '127.0.0.1', family: 4 }])).catch(() => {})
      }
      const { port } = new URL(server.url)
      const client = clientOf(
        `mqtt://broker.test:${port}`,
        optionsOf(version, {
          lookup,
          connectTimeout: 60,
          retryInitialConnect: true,
          reconnect: { min: 10, max: 40, jitter: false },
        }),
      )
      const failures: unknown[] = []
      client.on('connectFailed', ({ error }) => {
        failures.push(error)
        if (failures.length === 3) answer.open()
      })
      await client.connect()
      expect(failures.length).toBeGreaterThanOrEqual(3)
      for (const error of failures) {
        expect(error).toMatchObject({
          code: 'connect-timeout',
          phase: 'dns',
          message: expect.stringContaining('60 ms') as string,
        })
      }
      // The answers to the attempts that were given up have come, too.
      expect(questions).toBeGreaterThanOrEqual(4)
      expect(server.connections.map(({ number }) => number)).toEqual([1])
    },
  )
})

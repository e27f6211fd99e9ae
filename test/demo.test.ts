// The demo as its user runs it: a program of its own, started by the script in package.json. What it prints last is
// compared whole, so that no key is missing; and brokers that lose a message or send one twice must make it fail.
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { type BrokerServer, createBroker } from '../src/testing/broker-server.ts'
import { VERSIONS } from './support/clients.ts'
import { describeMosquitto, type MosquittoProfile } from './support/mosquitto.ts'

interface Ended {
  readonly exitCode: number | null
  readonly output: string
  readonly errors: string
  /** ms */
}

const root = fileURLToPath(new URL('..', import.meta.url))
const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { scripts: { demo: string } }

function demo(...args: readonly string[]): Promise<Ended> {
  const [, ...script] = scripts.demo.split(' ') // "node scripts/run.mjs demo/demo.ts"
  const child = spawn(process.execPath, [...script, ...args], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [output, errors] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (errors += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (exitCode) => {
      resolve({ exitCode, output, errors })
    })
  })
}

/** The last line that is not empty. */
function outcomeOf({ output }: Ended): unknown {
  return JSON.parse(output.trimEnd().split('\n').at(-1) ?? '')
}

/** What `--json` prints when all is well, with the given differences. */
function goodOutcome(version: string, differences: object = {}): object {
  return {
    ok: true,
    version,
    qos0: count({ delivered: expect.any(Number), lost: expect.any(Number) }),
    qos1: count({ duplicates: expect.any(Number) }),
    qos2: count(),
    retained: true,
    will: true,
    reconnects: 2,
    cutWithUnacked: 105,
    pingMs: expect.any(Number),
    messagesPerSecond: expect.any(Number),
    ...differences,
  }
}

function count(differences: object = {}): object {
  return { sent: 1_000, delivered: 1_000, lost: 0, duplicates: 0, ...differences }
}

const LEFT_OUT = { sent: 0, delivered: 0, lost: 0, duplicates: 0 }

describe('the demo', () => {
  let server: BrokerServer | undefined
  afterEach(() => server?.close())

  it.each(VERSIONS)('shows what it promises in version %s, with the test broker', async (version) => {
    const ended = await demo('--json', '--protocol', version)
    expect(ended.errors).toBe('')
    expect(outcomeOf(ended)).toEqual(goodOutcome(version))
    expect(ended.exitCode).toBe(0)
    for (const name of ['subscribe', 'QoS 0', 'QoS 1', 'QoS 2', 'retained', 'will', 'ping']) {
      expect(ended.output).toContain(`\n  ✓ ${name} `)
    }
    for (const who of ['publisher', 'subscriber']) {
      const counts = '105 of QoS 1 and 105 of QoS 2'
      expect(ended.output).toContain(`the ${who}'s socket is destroyed, unacknowledged: ${counts}`)
      expect(ended.output).toContain(`the ${who} is back, its session was kept`)
    }
    expect(ended.output).toMatch(/\n {2}QoS 2 +1,000 +1,000 +0 +0 {3}exactly once\n/)
  })

  it('prints no JSON unless it is asked to, and speaks 3.1.1 by itself', async () => {
    const { exitCode, output } = await demo()
    expect(exitCode).toBe(0)
    expect(output).toContain('Petrel speaks MQTT 3.1.1 over TCP')
    expect(output).not.toContain('{')
  })

  it('says what a broker does not have', async () => {
    server = createBroker({ maximumQoS: 1, retainAvailable: false })
    const ended = await demo('--json', '--protocol', '5', '--url', await server.listen())
    expect(outcomeOf(ended)).toEqual(goodOutcome('5', { qos2: LEFT_OUT, retained: false }))
    expect(ended.exitCode).toBe(0)
    expect(ended.output).toMatch(/– QoS 2 .*this broker does not have it/)
    expect(ended.output).toMatch(/– retained .*this broker does not keep messages/)
    expect(ended.output).toMatch(/\n {2}QoS 2 {2}left out/)
  })

  it('fails when a broker loses a message, and does not wait for it for ever', async () => {
    server = createBroker({
      // In 3.1.1 a message that is refused is acknowledged all the same.
      authorizePublish: (_, { topic, payload }) => (isMessage(topic, payload, '1', '400') ? 0x87 : 0),
    })
    const ended = await demo('--json', '--url', await server.listen())
    expect(outcomeOf(ended)).toMatchObject({ ok: false, qos1: { lost: 1 }, qos2: { lost: 0 } })
    expect(ended.exitCode).toBe(1)
  })

  it('fails when a broker sends a message of QoS 2 twice', async () => {
    const faulty = createBroker({
      onMessage: ({ topic, payload, publisher }) => {
        if (publisher === '' || !isMessage(topic, payload, '2', '400')) return
        queueMicrotask(() => faulty.broker.publish({ topic, payload, qos: 2 }))
      },
    })
    server = faulty
    const ended = await demo('--json', '--url', await server.listen())
    expect(outcomeOf(ended)).toEqual(goodOutcome('3.1.1', { ok: false, qos2: count({ duplicates: 1 }) }))
    expect(ended.exitCode).toBe(1)
  })

  it('fails when nobody listens', async () => {
    server = createBroker()
    const url = await server.listen()
    await server.close()
    const { exitCode, errors } = await demo('--url', url)
    expect(exitCode).toBe(1)
    expect(errors).toMatch(/^demo: no connection to 127\.0\.0\.1:\d+: connect ECONNREFUSED/)
  })

  it.each([
    ['--protocol 4', 'demo: --protocol: expected 3.1.1 or 5, got "4"'],
    ['--url nonsense', 'demo: --url: expected a URL such as mqtt://localhost:1883, got "nonsense"'],
    ['--url http://localhost', 'demo: url: expected a URL that begins with mqtt:'],
    ['--loud', "demo: Unknown option '--loud'"],
    ['please', "demo: Unexpected argument 'please'"],
  ])('does not take %s', async (line, message) => {
    const { exitCode, errors, output } = await demo(...line.split(' '))
    expect(errors).toContain(message)
    expect(errors).toContain('-- --help tells the options')
    expect(exitCode).toBe(2)
    expect(output).toBe('')
  })

  it('tells its options', async () => {
    const { exitCode, output } = await demo('--help')
    expect(exitCode).toBe(0)
    for (const option of ['--url', '--protocol', '--json', '--help']) expect(output).toContain(option)
  })
})

const PROFILES: readonly (readonly [string, MosquittoProfile])[] = [
  ['as it is installed', 'installed'],
  ['without limits', 'plain'],
]

describe.each(PROFILES)('the demo', (name, profile) => {
  describeMosquitto(`and mosquitto ${name}`, profile, (broker) => {
    it.each(VERSIONS)('shows what it promises in version %s', async (version) => {
      const ended = await demo('--json', '--protocol', version, '--url', broker().url)
      expect(ended.errors).toBe('')
      expect(outcomeOf(ended)).toEqual(goodOutcome(version))
      expect(ended.exitCode).toBe(0)
    })
  })
})

describeMosquitto('the demo and mosquitto that takes little', 'tight', (broker) => {
  it.each(VERSIONS)('shows what is left of it in version %s', async (version) => {
    const ended = await demo('--json', '--protocol', version, '--url', broker().url)
    expect(outcomeOf(ended)).toEqual(goodOutcome(version, { qos2: LEFT_OUT, retained: false }))
    expect(ended.exitCode).toBe(0)
  })
})

function isMessage(topic: string, payload: Uint8Array, qos: string, id: string): boolean {
  return topic.endsWith(`/load/${qos}`) && Buffer.from(payload).toString() === id
}

// A thousand clients of one pool over real TCP on loopback: one timer, one look-up, attempts within their budget.
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { type Client, ClientPool, connect, createClient, UsageError } from '../src/index.ts'
import { type BrokerServer, createBroker } from '../src/testing/broker-server.ts'

/** What the system knows of names. */
const { lookup } = vi.hoisted(() => ({
  lookup: vi.fn(async (_host: string, _options: object) => [{ address: '127.0.0.1', family: 4 }]),
}))
vi.mock('node:dns/promises', () => ({ lookup }))

const CLIENTS = 1_000
let server: BrokerServer

beforeEach(async () => {
  server = createBroker()
  await server.listen()
})
afterEach(() => server.close())

const timeouts = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length

it('a thousand clients share one timer, and each works', async () => {
  const before = timeouts()
  const pool = new ClientPool({ attemptsPerSecond: Infinity, maxAttempts: 200 })
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, (_, index) =>
      pool.connect(server.url, { clientId: `c${index}`, keepAlive: 30 + (index % 30) }),
    ),
  )
  expect(pool.size).toBe(CLIENTS)
  expect(server.connections).toHaveLength(CLIENTS)
  expect(timeouts() - before).toBeLessThanOrEqual(1)
  const counts = new Map<string, number>()
  await Promise.all(
    clients.map((client) =>
      client.subscribe(`to/${client.clientId}`, { qos: 1 }, ({ topic }) => {
        counts.set(topic, (counts.get(topic) ?? 0) + 1)
      }),
    ),
  )
  await Promise.all(
    clients.map((client, index) => client.publish(`to/c${(index + 1) % CLIENTS}`, 'x', { qos: 1 })),
  )
  while (counts.size < CLIENTS) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(new Set(counts.values())).toEqual(new Set([1]))
  expect(timeouts() - before).toBeLessThanOrEqual(1)
  expect(pool.statistics).toMatchObject({ messagesOut: [0, CLIENTS, 0], messagesIn: [0, CLIENTS, 0] })
  await pool.close()
  expect(clients.every(({ state }) => state === 'stopped')).toBe(true)
  expect(timeouts() - before).toBeLessThanOrEqual(0)
  expect(server.broker.complaints).toEqual([])
})

it('clients of one pool that dial one name ask for it once, and each time with dnsTtl 0', async () => {
  const url = server.url.replace('127.0.0.1', 'broker.example')
  const many = { attemptsPerSecond: Infinity, maxAttempts: Infinity }
  const pool = new ClientPool(many)
  await Promise.all(Array.from({ length: 200 }, () => pool.connect(url)))
  expect(lookup.mock.calls).toEqual([['broker.example', { all: true, verbatim: true }]])
  await pool.connect(url)
  expect(lookup).toHaveBeenCalledTimes(1)
  await pool.close()

  const forgetful = new ClientPool({ ...many, dnsTtl: 0 })
  await forgetful.connect(url)
  expect(lookup).toHaveBeenCalledTimes(2)
  await forgetful.connect(url)
  expect(lookup).toHaveBeenCalledTimes(3)
  await forgetful.close()
})

it('attempts are spread over time by the budget', async () => {
  const pool = new ClientPool({ maxAttempts: 10, attemptsPerSecond: 100 })
  const begun: number[] = []
  const clients: Client[] = Array.from({ length: 160 }, () => pool.createClient(server.url))
  const start = performance.now()
  await Promise.all(
    clients.map(async (client) => {
      client.on('state', ({ to }) => void (to === 'handshaking' && begun.push(performance.now() - start)))
      await client.connect()
    }),
  )
  expect(begun).toHaveLength(160)
  expect(begun.filter((time) => time < 300).length).toBeLessThanOrEqual(100 + 30 + 10)
  expect(Math.max(...begun)).toBeGreaterThan(500)
  await pool.close()
})

it('connect() and createClient() need no pool of their own', async () => {
  const made = createClient(server.url, { clientId: 'made' })
  expect(made.state).toBe('stopped')
  await made.connect()
  await using client = await connect(new URL(server.url), { clientId: 'connected' })
  const seen: string[] = []
  await client.subscribe('a', { qos: 1 }, (message) => void seen.push(message.text()))
  await made.publish('a', 'x', { qos: 1 })
  while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  expect(seen).toEqual(['x'])
  await made.disconnect()
  expect(() => createClient('http://nowhere')).toThrow(UsageError)
  await expect(connect('http://nowhere')).rejects.toBeInstanceOf(UsageError)
})

it('an attempt at a port that nobody listens on fails, and says where', async () => {
  const { url } = server
  await server.close()
  const error = await connect(url).catch((reason: unknown) => reason)
  expect(error).toMatchObject({ code: 'connect-failed', phase: 'tcp', cause: { code: 'ECONNREFUSED' } })
  await server.listen()
})

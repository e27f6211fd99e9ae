// Each function of the AWS C MQTT client, by its name there and under the name that it has here, over real TCP
// against the test broker: the table in the documentation of the API, row by row.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ClientPool, type ClientOptions, type Client } from '../src/index.ts'
import type { Message } from '../src/index.ts'
import type { ControlPacket, ProtocolVersion } from '../src/core/packets/types.ts'
import { type BrokerServer, createBroker } from '../src/testing/broker-server.ts'

const VERSIONS = ['3.1.1', '5'] as const
let server: BrokerServer
let pool: ClientPool
let packets: ControlPacket[]

beforeEach(async () => {
  packets = []
  server = createBroker({
    onPacket: (direction, packet) => void (direction === 'in' && packets.push(packet)),
  })
  await server.listen()
  pool = new ClientPool()
})
afterEach(async () => {
  await pool.close()
  await server.close()
  expect(server.broker.complaints).toEqual([])
})

function got<T extends ControlPacket['type']>(type: T): Extract<ControlPacket, { type: T }>[] {
  return packets.filter((packet) => packet.type === type) as Extract<ControlPacket, { type: T }>[]
}

function client(version: ProtocolVersion, options: ClientOptions = {}): Client {
  return pool.createClient(server.url, { ...options, protocolVersion: version } as ClientOptions)
}

async function connected(version: ProtocolVersion, options: ClientOptions = {}): Promise<Client> {
  const made = client(version, options)
  await made.connect()
  return made
}

/** Resolves when something is so. */
async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 1) {
    if (waited > 1_000) throw new Error('it did not become true')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe.each(VERSIONS)('AWS C MQTT in %s', (version) => {
  it('aws_mqtt_client_init, aws_mqtt_client_clean_up', async () => {
    const own = new ClientPool()
    const made = own.createClient(server.url, { protocolVersion: version } as ClientOptions)
    await made.connect()
    expect(own.size).toBe(1)
    await own.close()
    expect([own.size, made.state]).toEqual([0, 'stopped'])
    expect(() => own.createClient(server.url)).toThrow('closed')
    expect(got('disconnect')).toHaveLength(1)
  })

  it('aws_mqtt_client_connection_new, aws_mqtt_client_connection_destroy', async () => {
    const made = client(version, { clientId: 'new' })
    expect([made.state, made.clientId, server.connections.length]).toEqual(['stopped', 'new', 0])
    await made.connect()
    expect(server.broker.connectionOf('new')).toBeDefined()
    made.destroy()
    await until(() => server.connections.length === 0)
    expect(made.state).toBe('stopped')
    expect(got('disconnect')).toEqual([])
  })

  it('aws_mqtt_client_connection_set_will', async () => {
    const watcher = await connected(version)
    const wills: Message[] = []
    await watcher.subscribe('will', { qos: 1 }, (message) => void wills.push(message))
    const made = client(version)
    made.setWill({ topic: 'will', payload: 'gone', qos: 1, retain: false })
    await made.connect()
    made.destroy()
    await until(() => wills.length === 1)
    expect([wills[0]?.text(), wills[0]?.qos]).toEqual(['gone', 1])
  })

  it('aws_mqtt_client_connection_set_login', async () => {
    const made = client(version)
    made.setLogin({ username: 'user', password: 'secret' })
    await made.connect()
    expect(got('connect')).toMatchObject([{ username: 'user', password: new TextEncoder().encode('secret') }])
  })

  it('aws_mqtt_client_connection_set_reconnect_timeout', async () => {
    const made = await connected(version)
    made.setReconnectTimeout(1, 2)
    const delays: unknown[] = []
    made.on('disconnected', ({ delay }) => void delays.push(delay))
    const resumed = new Promise((resolve) => made.on('resumed', resolve))
    server.broker.cutAll()
    await resumed
    expect(delays).toHaveLength(1)
    expect(delays[0]).toBeGreaterThanOrEqual(1)
    expect(delays[0]).toBeLessThanOrEqual(2)
  })

  it('aws_mqtt_client_connection_connect', async () => {
    const clean = version === '5' ? { cleanStart: false, sessionExpiryInterval: 60 } : { cleanSession: false }
    const made = client(version, { clientId: 'boiler-7', keepAlive: 17, ...clean } as ClientOptions)
    expect(await made.connect()).toMatchObject({
      sessionPresent: false,
      reasonCode: 0,
      protocolVersion: version,
    })
    expect(got('connect')).toMatchObject([{ clientId: 'boiler-7', cleanStart: false, keepAlive: 17 }])
  })

  it('aws_mqtt_client_connection_disconnect', async () => {
    const made = await connected(version)
    const closed = new Promise((resolve) => made.on('closed', resolve))
    await made.disconnect()
    await closed
    await until(() => server.connections.length === 0)
    expect(got('disconnect')).toMatchObject([{ reasonCode: 0 }])
  })

  it('aws_mqtt_client_connection_subscribe_single', async () => {
    const made = await connected(version)
    const seen: string[] = []
    const { results } = await made.subscribe('a/+', { qos: 1 }, (message) => void seen.push(message.text()))
    expect(results).toEqual([{ filter: 'a/+', reasonCode: 1, grantedQos: 1 }])
    server.broker.publish({ topic: 'a/b', payload: 'x', qos: 1 })
    await until(() => seen.length === 1)
    expect(seen).toEqual(['x'])
  })

  it('aws_mqtt_client_connection_unsubscribe', async () => {
    const made = await connected(version)
    await made.subscribe('a/+', { qos: 1 }, () => {})
    expect(await made.unsubscribe('a/+')).toEqual({ results: [{ filter: 'a/+', reasonCode: 0 }] })
    expect(got('unsubscribe')).toMatchObject([{ filters: ['a/+'] }])
    expect(server.broker.sessions.get(made.clientId)?.subscriptions.size).toBe(0)
  })

  it('aws_mqtt_client_connection_publish', async () => {
    const made = await connected(version)
    for (const qos of [0, 1, 2] as const) await made.publish('a/b', '21.5', { qos, retain: true })
    await until(() => got('publish').length === 3)
    expect(
      got('publish').map(({ topic, qos, retain, payload }) => [topic, qos, retain, payload.length]),
    ).toEqual([
      ['a/b', 0, true, 4],
      ['a/b', 1, true, 4],
      ['a/b', 2, true, 4],
    ])
    expect(server.broker.retained.size).toBe(1)
  })

  it('aws_mqtt_client_connection_ping', async () => {
    const made = await connected(version)
    expect(await made.ping()).toBeGreaterThan(0)
    expect(got('pingreq')).toHaveLength(1)
  })
})

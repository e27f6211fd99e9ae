// Two ends that a client may miss: a peer that talks and never answers, and one that has ended its half of
// the stream and goes on reading.
import { describe, expect, it } from 'vitest'
import { watchSocket } from '../../demo/sockets.ts'
import type { Client } from '../../src/index.ts'
import {
  collect,
  durableOptions,
  gate,
  outcomeOf,
  texts,
  useWorlds,
  VERSIONS,
} from '../support/client-world.ts'
import { concat, hex, toHex } from '../support/codec/hex.ts'
import { ACCEPTED, publishOf, RESUMED, useRawBrokers } from '../support/raw-broker.ts'

const makeWorld = useWorlds()
const makeBroker = useRawBrokers()

const PINGREQ = 'c0 00'

/** The next event of this name. */
function next(client: Client, name: 'disconnected' | 'connectFailed' | 'resumed'): Promise<unknown> {
  return new Promise((resolve) => client.on(name, resolve, { once: true }))
}

describe.each(VERSIONS)('a peer that sends without pause and never PINGRESP in %s', (version) => {
  it('is alive as long as any byte comes; PINGREQ is sent in time all the same [scenario 14] [3.1.1 MQTT-3.1.2-23] [5 MQTT-3.1.2-20]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').withhold()
    const client = await world.connected({ keepAlive: 10, reconnect: { min: 60_000 } })
    await client.subscribe('flood', () => {})
    const pings: number[] = []
    client.on('packet', ({ packet }) => void (packet.type === 'pingreq' && pings.push(world.now)))
    const lost = collect(client, 'disconnected')
    const begun = world.now
    for (let second = 0; second < 1_800; second += 1) {
      world.broker.publish({ topic: 'flood', payload: 'x' })
      await world.advance(1_000)
    }
    // For half an hour one every 7.5 s, which is 10 s less a quarter; the broker complains of more than 15 s.
    expect(pings.map((at) => at - begun)).toEqual(
      Array.from({ length: 240 }, (_, index) => 7_500 * (index + 1)),
    )
    expect(lost).toEqual([])
    expect(client.statistics.packetsIn).toMatchObject({ publish: 1_800, pingresp: 0 })
    // It falls silent as the last PINGREQ is sent, which has half the keep-alive for any byte.
    await world.advance(4_999)
    expect(lost).toEqual([])
    await world.advance(1)
    expect(lost).toMatchObject([{ error: { code: 'ping-timeout' }, willReconnect: true }])
    expect(client.state).toBe('waiting')
  })

  it('leaves a ping() of the application without its answer: that rejects, the connection lives [scenario 14]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('pingresp').withhold()
    const client = await world.connected({ keepAlive: 10 })
    await client.subscribe('flood', () => {})
    const ping = outcomeOf(client.ping())
    for (let tenth = 0; tenth < 50; tenth += 1) {
      expect(ping.state).toBe('pending')
      world.broker.publish({ topic: 'flood', payload: 'x' })
      await world.advance(100)
    }
    expect(ping).toMatchObject({ state: 'rejected', error: { code: 'ping-timeout' } })
    expect(client.state).toBe('connected')
    expect(world.got('connect')).toHaveLength(1)
  })

  it('gets one PINGREQ after the other on a real socket, and is left when it stops [scenario 14]', async () => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const client = broker.createClient({ protocolVersion: version, keepAlive: 1 })
    const lost = collect(client, 'disconnected')
    await client.connect()
    const connection = broker.latest
    const message = publishOf(version, 0x30, '', 'x')
    const flood = setInterval(() => connection.write(message), 10)
    try {
      await connection.received(1 + 2)
    } finally {
      clearInterval(flood)
    }
    expect(lost).toEqual([])
    await connection.ended
    expect(lost).toMatchObject([{ error: { code: 'ping-timeout' } }])
    expect(new Set(connection.answers)).toEqual(new Set([PINGREQ]))
    expect(client.statistics.packetsIn.publish).toBeGreaterThan(20)
  })
})

describe.each(VERSIONS)('a server that ends its half of the stream and goes on reading in %s', (version) => {
  const reconnect = { min: 20, jitter: false } as const

  it('finds the half of the client ended, too, and a new connection [scenario 21]', async () => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const client = broker.createClient({ protocolVersion: version, reconnect })
    const { socket } = await watchSocket(() => client.connect())
    const [lost, resumed] = [next(client, 'disconnected'), next(client, 'resumed')]
    const connection = broker.latest
    connection.end()
    expect(await lost).toMatchObject({ error: { code: 'connection-lost' }, willReconnect: true, delay: 40 })
    // Both halves: nothing is left in CLOSE_WAIT.
    await connection.closed
    expect(socket.destroyed).toBe(true)
    expect(connection.answers).toEqual([])
    await resumed
    expect(broker.connections).toHaveLength(2)
    expect(broker.latest.isEnded).toBe(false)
  })

  it('in place of CONNACK makes the attempt fail, and the next one follows by the back-off [scenario 21]', async () => {
    const broker = await makeBroker((connection) => {
      if (connection.number === 1) connection.end()
      else connection.write(ACCEPTED[version])
    })
    const client = broker.createClient({ protocolVersion: version, retryInitialConnect: true, reconnect })
    const failed = collect(client, 'connectFailed')
    await client.connect()
    expect(failed).toMatchObject([{ error: { code: 'connection-lost', phase: 'connack' }, delay: 40 }])
    await (await broker.connection(1)).closed
    expect(broker.connections).toHaveLength(2)
  })

  it('gets what it has not acknowledged on the next connection, and nothing more on this one [scenario 21] [3.1.1 MQTT-4.4.0-1] [5 MQTT-4.4.0-1]', async () => {
    const broker = await makeBroker((connection) => {
      connection.write((connection.number === 1 ? ACCEPTED : RESUMED)[version])
    })
    const client = broker.createClient(durableOptions(version, { clientId: 'client', reconnect }))
    await client.connect()
    const first = broker.latest
    const ids = Array.from({ length: 20 }, (_, index) => (index + 1).toString(16).padStart(4, '0'))
    const published = ids.map((id) => outcomeOf(client.publish('a', id, { qos: 1 })))
    await first.received(1 + 20)
    for (const id of ids.slice(0, 5)) first.write(concat(hex('40 02'), hex(id)))
    const lost = next(client, 'disconnected')
    first.end()
    await lost
    const late = outcomeOf(client.publish('a', 'late', { qos: 1 }))
    await first.closed
    expect(first.answers).toEqual(ids.map((id) => toHex(publishOf(version, 0x32, id, id))))
    const second = await broker.connection(2)
    await second.received(1 + 16)
    expect(second.answers).toEqual([
      ...ids.slice(5).map((id) => toHex(publishOf(version, 0x3a, id, id))),
      toHex(publishOf(version, 0x32, '0015', 'late')),
    ])
    for (const id of [...ids.slice(5), '0015']) second.write(concat(hex('40 02'), hex(id)))
    const disconnected = client.disconnect({ drain: 10_000 })
    await second.ended
    second.end()
    await disconnected
    expect([...published, late].map(({ state }) => state)).toEqual(
      Array.from({ length: 21 }, () => 'resolved'),
    )
  })

  it('is noticed behind messages for which the client has stopped reading: none is lost [scenario 21]', async () => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const client = broker.createClient({ protocolVersion: version, maxPending: 1, reconnect })
    const { seen, handler } = texts()
    const { promise, open } = gate()
    const first = new Promise<void>((resolve) => {
      client.route('a', (message) => {
        handler(message)
        resolve()
        return promise
      })
    })
    await client.connect()
    const connection = broker.latest
    const lost = next(client, 'disconnected')
    for (const text of ['1', '2', '3']) connection.write(publishOf(version, 0x30, '', text))
    connection.end()
    await first
    expect(client.state).toBe('connected')
    open()
    expect(await lost).toMatchObject({ error: { code: 'connection-lost' }, willReconnect: true })
    await connection.closed
    expect(seen).toEqual(['1', '2', '3'])
  })
})

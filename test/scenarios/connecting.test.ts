// Connecting to servers that are mute, slow, too quick or forgetful; those that are wrong or unwilling are in
// connecting-refused.test.ts. What is about bytes and about who closes is on a real socket, what is about
// long times in a virtual world.
import { describe, expect, it } from 'vitest'
import { watchSocket } from '../../demo/sockets.ts'
import { type Client, type ClientOptions, createClient, memoryStore } from '../../src/index.ts'
import { collect, durableOptions, outcomeOf, texts, useWorlds, VERSIONS } from '../support/client-world.ts'
import { Inbox, unique, useClients } from '../support/clients.ts'
import { hex } from '../support/codec/hex.ts'
import { describeMosquitto } from '../support/mosquitto.ts'
import { ACCEPTED, expectEndOf, packetOf, publishOf, RESUMED, useRawBrokers } from '../support/raw-broker.ts'

const makeWorld = useWorlds()
const makeBroker = useRawBrokers()

/** Delays of 100, 200, 400, … ms. */
const QUICKLY = { min: 50, jitter: false } as const

describe.each(VERSIONS)('a server that goes away in %s', (version) => {
  it('is connected to again by a program that sends all the while, as send() and drained() tell it to', async () => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const client = broker.createClient({ protocolVersion: version, keepAlive: 0, reconnect: QUICKLY })
    await client.connect()
    const lost = new Promise((resolve) => client.on('disconnected', resolve))
    broker.latest.destroy()
    await lost
    for (let sent = 0; client.state !== 'connected'; sent += 1) {
      if (sent === 10_000) throw new Error('the loop leaves the client no time')
      if (!client.send('a', 'x')) await client.drained()
    }
    expect(broker.connections).toHaveLength(2)
    expect(client.statistics.messagesDropped).toBeGreaterThan(0)
  })
})

describe.each(VERSIONS)('a program that publishes QoS 0 without an end in %s', (version) => {
  const message = { topic: 'a', payload: 'x' }

  it.each<[string, (client: Client, isOver: () => boolean) => Promise<unknown>]>([
    [
      'publish()',
      async (client, isOver) => {
        while (!isOver()) await client.publish('a', 'x')
      },
    ],
    [
      'publishAll() of an async iterable',
      (client, isOver) =>
        client.publishAll(
          (async function* () {
            while (!isOver()) yield message
          })(),
        ),
    ],
  ])('has its timers and its input: %s', async (_how, publish) => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const client = broker.createClient({ protocolVersion: version, keepAlive: 0 })
    await client.connect()
    const begun = performance.now()
    let turns = 0
    const timer = setInterval(() => (turns += 1), 1)
    // The second is for a program that has none: it would not come back.
    await publish(client, () => turns >= 5 || performance.now() - begun > 5_000).finally(() =>
      clearInterval(timer),
    )
    expect(turns).toBeGreaterThanOrEqual(5)
  })
})

describe.each(VERSIONS)('a mute server in %s', (version) => {
  it('costs the connect time-out; the socket is closed, the next attempts come by the back-off [scenario 1] [3.1.1 section 3.2.0]', async () => {
    const broker = await makeBroker((connection) => {
      if (connection.number > 2) connection.write(ACCEPTED[version])
    })
    const client = broker.createClient({
      protocolVersion: version,
      connectTimeout: 150,
      retryInitialConnect: true,
      reconnect: QUICKLY,
    })
    const failed = collect(client, 'connectFailed')
    const dialed: number[] = []
    const gaveUp: number[] = []
    client.on('state', ({ to }) => void (to === 'dialing' && dialed.push(performance.now())))
    client.on('connectFailed', () => void gaveUp.push(performance.now()))
    await client.connect()
    const error = { name: 'ConnectionError', code: 'connect-timeout', phase: 'connack' }
    expect(failed).toMatchObject([
      { error, attempt: 1, delay: 100 },
      { error, attempt: 2, delay: 200 },
    ])
    for (const [index, at] of gaveUp.entries()) {
      expect(at - (dialed[index] ?? 0)).toBeGreaterThanOrEqual(149)
      expect((dialed[index + 1] ?? 0) - at).toBeGreaterThanOrEqual(100 * 2 ** index - 1)
    }
    for (const connection of broker.connections.slice(0, 2)) {
      await connection.ended
      expect(connection.answers).toEqual([])
    }
    expect(broker.connections).toHaveLength(3)
    expect(broker.latest.isEnded).toBe(false)
  })

  it('that is mute for an hour is asked for as the back-off says, and no connection is left open [scenario 1]', async () => {
    const world = makeWorld(version)
    world.broker.faults.onSend('connack').withhold()
    const client = world.client({ retryInitialConnect: true, reconnect: { jitter: false } })
    const failed = collect(client, 'connectFailed')
    const connecting = outcomeOf(client.connect())
    await world.advance(30_000)
    expect(world.broker.connections).toEqual([])
    await world.advance(3_570_000)
    expect(connecting.state).toBe('pending')
    const doubled = failed.map((_, index) => Math.min(128_000, 2_000 * 2 ** index))
    expect(failed.map(({ delay }) => delay)).toEqual(doubled)
    const gaps = world.link.attempts.slice(1).map((at, index) => at - (world.link.attempts[index] ?? 0))
    expect(gaps).toEqual(failed.slice(0, gaps.length).map(({ delay = 0 }) => 30_000 + delay))
    // Every 158 s at the end.
    expect(world.link.attempts.length).toBeLessThanOrEqual(27)
    expect(world.broker.connections.length).toBeLessThanOrEqual(1)
  })
})

describeMosquitto('a mosquitto that is stopped', 'plain', (broker) => {
  describe.each(VERSIONS)('%s', (version) => {
    const options = {
      clientId: '',
      protocolVersion: version,
      connectTimeout: 200,
      reconnect: QUICKLY,
    } as const

    it('takes connections and is mute: the attempt fails and its socket is closed [scenario 1]', async () => {
      const client = createClient(broker().url, options)
      broker().freeze()
      try {
        const { result: error, socket } = await watchSocket(() =>
          client.connect().catch((reason: unknown) => reason),
        )
        expect(error).toMatchObject({ code: 'connect-timeout', phase: 'connack' })
        expect(socket.destroyed).toBe(true)
        expect(client.state).toBe('stopped')
      } finally {
        broker().thaw()
        client.destroy()
      }
    })

    it('is connected to when it goes on, by an attempt of the back-off [scenario 1]', async () => {
      const client = createClient(broker().url, { ...options, retryInitialConnect: true })
      const failed = collect(client, 'connectFailed')
      client.on('connectFailed', ({ attempt }) => void (attempt === 2 && broker().thaw()))
      broker().freeze()
      try {
        await client.connect()
        expect(failed.slice(0, 2)).toMatchObject([
          { error: { code: 'connect-timeout' }, delay: 100 },
          { error: { code: 'connect-timeout' }, delay: 200 },
        ])
        expect(client.state).toBe('connected')
      } finally {
        broker().thaw()
        client.destroy()
      }
    })
  })
})

describe.each(VERSIONS)('a CONNACK byte by byte in %s', (version) => {
  const connack = ACCEPTED[version]

  it('connects with its last byte [scenario 3]', async () => {
    const broker = await makeBroker()
    const client = broker.createClient({ protocolVersion: version })
    const connecting = client.connect()
    const connection = await broker.connection(1)
    await connection.received(1)
    const states: string[] = []
    await connection.drip(connack, 50, () => void states.push(client.state))
    expect(states).toEqual(Array.from(connack, () => 'handshaking'))
    expect(await connecting).toMatchObject({ sessionPresent: false, protocolVersion: version })
    expect(client.statistics.bytesIn).toBe(connack.length)
  })

  it('has the time of the connect time-out from the first dialing, whatever comes meanwhile [scenario 3]', async () => {
    const last = 50 * (connack.length - 1)
    for (const [connectTimeout, state] of [
      [last + 1, 'resolved'],
      [last - 1, 'rejected'],
    ] as const) {
      const world = makeWorld(version)
      const sizes = Array.from(connack, () => 1)
      world.broker.faults.onSend('connack').split(sizes, 50)
      const client = world.client({ connectTimeout })
      const connecting = outcomeOf(client.connect())
      await world.advance(last - 2)
      expect(connecting.state).toBe('pending')
      expect(client.statistics.bytesIn).toBe(connack.length - 1)
      await world.advance(2)
      expect(connecting.state).toBe(state)
      if (state === 'rejected') {
        expect(connecting.error).toMatchObject({ code: 'connect-timeout', phase: 'connack' })
        await world.settle()
        expect(world.broker.connections).toEqual([])
      }
    }
  })
})

describe.each(VERSIONS)('PUBLISHes behind CONNACK in the same segment in %s', (version) => {
  const three = [
    publishOf(version, 0x30, '', '0'),
    publishOf(version, 0x32, '0001', '1'),
    publishOf(version, 0x34, '0002', '2'),
  ]
  const acknowledgements = ['40 02 00 01', '50 02 00 02']

  it('reach, in order, handlers that are attached when connect() has resolved [scenario 4] [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1]', async () => {
    for (const connack of [ACCEPTED[version], RESUMED[version]]) {
      const broker = await makeBroker((connection) => connection.write(connack, ...three))
      const client = broker.createClient(durableOptions(version))
      const { seen, handler } = texts()
      await client.connect()
      client.route('#', handler)
      await broker.latest.received(3)
      expect(seen).toEqual(['0', '1', '2'])
      expect(broker.latest.answers).toEqual(acknowledgements)
    }
  })

  it('reach, in order, a message listener that is attached when connect() has resolved [scenario 4]', async () => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version], ...three))
    const client = broker.createClient({ protocolVersion: version })
    const { seen, handler } = texts()
    await client.connect()
    client.on('message', handler)
    await broker.latest.received(3)
    expect(seen).toEqual(['0', '1', '2'])
    expect(broker.latest.answers).toEqual(acknowledgements)
  })

  it('of a resumed session wait unacknowledged for handlers that come later [scenario 4]', async () => {
    const world = makeWorld(version)
    const before = await world.connectedDurable()
    await before.subscribe('a', { qos: 2 })
    await before.disconnect()
    for (const qos of [1, 2] as const) world.broker.publish({ topic: 'a', payload: `${qos}`, qos })
    const client = await world.connectedDurable()
    const unmatched = collect(client, 'unmatched')
    await world.advance(4_900)
    expect([...world.got('puback'), ...world.got('pubrec'), ...unmatched]).toEqual([])
    const { seen, handler } = texts()
    client.route('a', handler)
    await world.settle()
    expect(seen).toEqual(['1', '2'])
    expect(world.broker.openExchanges).toEqual([])
    expect(unmatched).toEqual([])
  })
})

describe.each(VERSIONS)('a server that does not begin with CONNACK in %s', (version) => {
  it.each([
    ['PUBLISH', publishOf(version, 0x30, '', 'x')],
    ['PUBLISH of QoS 1', publishOf(version, 0x32, '0001', 'x')],
    ['PINGRESP', hex('d0 00')],
  ])(
    'but with %s is left; nothing is delivered or answered, the CONNACK behind it does not count [scenario 5] [3.1.1 MQTT-3.2.0-1] [5 MQTT-3.2.0-1]',
    async (_, first) => {
      const broker = await makeBroker((connection) => connection.write(first, ACCEPTED[version]))
      const client = broker.createClient({ protocolVersion: version })
      const { seen, handler } = texts()
      client.route('#', handler)
      const connected = collect(client, 'connected')
      await expect(client.connect()).rejects.toMatchObject({
        name: 'ProtocolError',
        code: 'protocol-error',
        message: expect.stringMatching(/^(PUBLISH|PINGRESP) came while connecting, expected CONNACK/),
      })
      await expectEndOf(broker.latest)
      expect(broker.latest.answers).toEqual([])
      expect([...seen, ...connected]).toEqual([])
    },
  )

  it('in a reconnect is left, too, and the next attempt waits for the longest delay [scenario 5]', async () => {
    const broker = await makeBroker((connection) => {
      if (connection.number === 1) connection.write(ACCEPTED[version])
      else connection.write(publishOf(version, 0x30, '', 'x'), ACCEPTED[version])
    })
    const reconnect = { min: 20, max: 60_000, jitter: false }
    const client = broker.createClient({ protocolVersion: version, reconnect })
    const { seen, handler } = texts()
    client.route('#', handler)
    const failed = new Promise((resolve) => client.on('connectFailed', resolve))
    await client.connect()
    broker.latest.end()
    expect(await failed).toMatchObject({ error: { code: 'protocol-error' }, delay: 60_000 })
    await expectEndOf(broker.latest)
    expect(broker.connections).toHaveLength(2)
    expect(seen).toEqual([])
  })
})

describe.each(VERSIONS)('a second CONNACK in %s', (version) => {
  it('ends the connection, and nothing behind it counts [scenario 6] [5 MQTT-3.2.0-2]', async () => {
    const broker = await makeBroker((connection) => connection.write(ACCEPTED[version]))
    const reconnect = { min: 60_000, jitter: false }
    const client = broker.createClient({ protocolVersion: version, keepAlive: 0, reconnect })
    const { seen, handler } = texts()
    client.route('#', handler)
    const connected = collect(client, 'connected')
    const lost = new Promise((resolve) => client.on('disconnected', resolve))
    await client.connect()
    broker.latest.write(ACCEPTED[version], publishOf(version, 0x32, '0001', 'x'))
    expect(await lost).toMatchObject({
      error: {
        name: 'ProtocolError',
        code: 'protocol-error',
        reasonCode: 0x82,
        message: expect.stringMatching(/CONNACK came while connected/),
      },
      willReconnect: true,
      delay: 128_000,
    })
    await expectEndOf(broker.latest)
    expect(broker.latest.answers).toEqual(version === '5' ? ['e0 01 82'] : [])
    expect(seen).toEqual([])
    expect(connected).toHaveLength(1)
  })
})

describe.each(VERSIONS)('Session Present 1 in %s', (version) => {
  async function answered(options: ClientOptions): Promise<{ outcome: unknown; answers: readonly string[] }> {
    const broker = await makeBroker((connection) => {
      connection.write(RESUMED[version], publishOf(version, 0x32, '0001', 'x'))
    })
    const client = broker.createClient({ clientId: 'client', ...options })
    const outcome = await client.connect().catch((reason: unknown) => reason)
    if (outcome instanceof Error) await expectEndOf(broker.latest)
    else {
      client.route('a', () => {})
      await broker.latest.received(2)
    }
    return { outcome, answers: broker.latest.answers }
  }

  it('after a clean start ends the connection [scenario 9] [3.1.1 MQTT-3.2.2-1] [5 MQTT-3.2.2-2]', async () => {
    const { outcome, answers } = await answered({ protocolVersion: version })
    expect(outcome).toMatchObject({
      code: 'protocol-error',
      reasonCode: 0x82,
      message: expect.stringMatching(/Session Present is 1 after a clean start/),
    })
    expect(answers).toEqual([])
  })

  it.each([
    ['no store', {}],
    ['an empty store', { store: memoryStore() }],
  ])(
    "with %s ends the connection with onUnknownSession: 'close'; the error names the ways out [scenario 9] [5 MQTT-3.2.2-4]",
    async (_, store) => {
      const { outcome, answers } = await answered(
        durableOptions(version, { ...store, onUnknownSession: 'close' }),
      )
      expect(outcome).toMatchObject({
        name: 'ProtocolError',
        code: 'unknown-session',
        reasonCode: 0x82,
        message: expect.stringMatching(/durable store.*clean session.*onUnknownSession: 'adopt'/),
      })
      expect(answers).toEqual([])
    },
  )

  it('with an empty store is taken over by default: the result says so, its messages are acknowledged [scenario 9]', async () => {
    const { outcome, answers } = await answered(durableOptions(version, { store: memoryStore() }))
    expect(outcome).toMatchObject({ sessionPresent: true, adopted: true })
    expect(answers).toEqual(['40 02 00 01'])
  })
})

describe.each(VERSIONS)('Session Present 0 where the client has a session in %s', (version) => {
  it('drops it and tells: subscribed anew, QoS 1 as new, no PUBREL of old, QoS 2 on its way is unknown [scenario 10] [3.1.1 MQTT-3.2.2-3] [5 MQTT-3.2.2-5]', async () => {
    const world = makeWorld(version)
    const { faults } = world.broker
    const client = await world.connectedDurable({ reconnect: { min: 1_000, jitter: false } })
    const { seen, handler } = texts()
    await client.subscribe('in', { qos: 2 }, handler)
    faults.onSend('pubrel').withhold()
    faults.onSend('pubcomp').withhold()
    faults.onSend('puback').withhold()
    faults.onSend('pubrec', { nth: 2 }).withhold()
    world.broker.publish({ topic: 'in', payload: 'old', qos: 2 })
    const released = outcomeOf(client.publish('released', '', { qos: 2 }))
    await world.settle()
    const sent = outcomeOf(client.publish('sent', '', { qos: 2 }))
    const one = outcomeOf(client.publish('one', '', { qos: 1 }))
    await world.settle()
    expect(world.taken()).toEqual([
      'connect',
      'subscribe',
      'publish',
      'pubrec',
      'pubrel',
      'publish',
      'publish',
    ])
    const resumed = collect(client, 'resumed')
    faults.clear()
    world.broker.loseSession('client')
    await world.settle()
    const queued = outcomeOf(client.publish('queued', '', { qos: 2 }))
    await world.advance(2_000)

    expect(resumed).toMatchObject([{ sessionPresent: false, reconnected: true }])
    const types = world.fromClient.map(({ type }) => type)
    expect(types.join(', ')).toBe('connect, subscribe, publish, publish, pubrel')
    expect(world.got('subscribe')).toMatchObject([{ subscriptions: [{ filter: 'in', qos: 2 }] }])
    const published = world.got('publish')
    expect(published).toMatchObject([
      { topic: 'one', dup: false },
      { topic: 'queued', dup: false },
    ])
    expect(world.got('pubrel')).toMatchObject([{ packetId: published[1]?.packetId }])
    for (const { error } of [released, sent]) {
      expect(error).toMatchObject({ name: 'ClosedError', code: 'outcome-unknown', kept: false })
    }
    expect([one.state, queued.state]).toEqual(['resolved', 'resolved'])
    expect(client.pending).toEqual([])

    // The server's new session counts its ids anew: that of the message received before is used again.
    world.broker.publish({ topic: 'in', payload: 'new', qos: 2 })
    await world.settle()
    const ids = world.toClient.flatMap((packet) => (packet.type === 'publish' ? [packet.packetId] : []))
    expect(new Set(ids).size).toBe(1)
    expect(seen).toEqual(['old', 'new'])
  })

  // As a broker that keeps the messages of a session it has forgotten.
  it('and messages of the old one behind it are delivered and acknowledged [scenario 11] [3.1.1 MQTT-4.5.0-2] [5 MQTT-4.5.0-2]', async () => {
    const old = [
      publishOf(version, 0x3a, '0005', '1'),
      publishOf(version, 0x3c, '0006', '2'),
      publishOf(version, 0x30, '', '0'),
    ]
    const nobody = packetOf(0x3a, hex(version === '5' ? '0001 "b" 0008 00' : '0001 "b" 0008'))
    const broker = await makeBroker((connection) => {
      connection.write(ACCEPTED[version])
      if (connection.number === 2) connection.write(...old, nobody, hex('62 02 0007'), hex('62 02 0006'))
    })
    const client = broker.createClient(
      durableOptions(version, {
        clientId: 'client',
        resubscribe: 'never',
        unmatchedTimeout: 50,
        reconnect: QUICKLY,
      }),
    )
    const { seen, handler } = texts()
    client.route('a', handler)
    const unmatched = collect(client, 'unmatched')
    await client.connect()
    const resumed = new Promise((resolve) => client.on('resumed', resolve))
    broker.latest.end()
    expect(await resumed).toMatchObject({ sessionPresent: false })
    const connection = await broker.connection(2)
    await connection.received(6)
    const answered = (type: string): readonly string[] =>
      connection.answers.filter((one) => one.startsWith(type))
    expect(connection.answers).toHaveLength(5)
    expect(answered('40')).toEqual(['40 02 00 05', '40 02 00 08'])
    expect(answered('50')).toEqual(['50 02 00 06'])
    expect(answered('70')).toEqual([version === '5' ? '70 03 00 07 92' : '70 02 00 07', '70 02 00 06'])
    expect(seen).toEqual(['1', '2', '0'])
    expect(unmatched.map(({ message }) => message.topic)).toEqual(['b'])
    expect([client.state, connection.isEnded]).toEqual(['connected', false])
  })
})

describeMosquitto('a mosquitto that is restarted and has kept nothing', 'plain', (broker) => {
  const clients = useClients(() => broker().url)

  describe.each(VERSIONS)('%s', (version) => {
    it('has forgotten the session: tells, subscribed anew, QoS 1 as new, no PUBREL of old [scenario 10] [3.1.1 MQTT-3.2.2-3] [5 MQTT-3.2.2-5]', async () => {
      const topic = unique('forgotten')
      const inbox = new Inbox()
      const client = await clients.lasting(version)
      await client.subscribe(topic, { qos: 2 }, inbox.handle)
      const sent: string[] = []
      client.on('packet', ({ direction, packet }) => {
        if (packet.type === 'pubrec' && sent.length === 1) broker().freeze()
        if (direction === 'in') return
        sent.push(packet.type === 'publish' ? `publish ${packet.qos} dup ${packet.dup ? 1 : 0}` : packet.type)
      })
      const released = client.publish(topic, 'released', { qos: 2 })
      const failed = expect(released).rejects.toMatchObject({ code: 'outcome-unknown' })
      await new Promise<void>((resolve) => {
        client.on('packet', ({ packet }) => void (packet.type === 'pubrel' && resolve()))
      })
      const one = client.publish(topic, 'one', { qos: 1 })
      await client.drained()
      const resumed = new Promise((resolve) => client.on('resumed', resolve, { once: true }))
      await broker().kill()
      await broker().run()
      expect(await resumed).toMatchObject({ sessionPresent: false, adopted: false })
      await failed
      await one
      await inbox.until(1)
      await client.ping()
      expect(sent.slice(0, 3)).toEqual(['publish 2 dup 0', 'pubrel', 'publish 1 dup 0'])
      expect(sent.slice(3)).toEqual(['connect', 'subscribe', 'publish 1 dup 0', 'puback', 'pingreq'])
      expect(inbox.texts).toEqual(['one'])
      expect(client.pending).toEqual([])
    })
  })
})

import { describe, expect, it } from 'vitest'
import type { ConnectPacket, ControlPacket, ProtocolVersion, Properties } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import type { BrokerOptions } from './options.ts'
import { publishOf, RawClient } from './raw-client.ts'

const VERSIONS = ['3.1.1', '5'] as const
const bytes = (...values: readonly number[]): Uint8Array => Uint8Array.from(values)
const hello = new TextEncoder().encode('hello')

function connected(
  broker: Broker,
  clientId: string,
  version: ProtocolVersion = '5',
  packet: Partial<ConnectPacket> = {},
): RawClient {
  const client = new RawClient(broker, version)
  client.connect({ clientId, ...packet })
  return client
}

/** A client whose session outlives its connection. */
const persistent = (version: ProtocolVersion, seconds = 600): Partial<ConnectPacket> =>
  version === '5'
    ? { cleanStart: false, properties: { sessionExpiryInterval: seconds } }
    : { cleanStart: false }

const typesOf = (packets: readonly ControlPacket[]): string[] => packets.map(({ type }) => type)
const publishesOf = (packets: readonly ControlPacket[]) =>
  packets.filter((packet) => packet.type === 'publish')
const topicsOf = (packets: readonly ControlPacket[]): string[] =>
  publishesOf(packets).map(({ topic }) => topic)

describe.each(VERSIONS)('in %s', (version) => {
  it('a client connects, pings and disconnects', () => {
    const broker = new Broker()
    const client = new RawClient(broker, version)
    expect(client.connect({ clientId: 'a' })).toEqual([
      { type: 'connack', sessionPresent: false, reasonCode: 0, properties: undefined },
    ])
    expect(broker.connections).toHaveLength(1)
    expect(client.send({ type: 'pingreq' })).toEqual([{ type: 'pingresp' }])
    expect(client.disconnect()).toEqual([])
    expect(client.state).toBe('ended')
    expect(broker.connections).toEqual([])
    expect(broker.finish(1)).toEqual([])
  })

  it.each([0, 1, 2] as const)('a message of QoS %i comes to its subscriber as it was sent', (qos) => {
    const broker = new Broker()
    const publisher = connected(broker, 'p', version)
    const subscriber = connected(broker, 's', version)
    expect(subscriber.subscribe(1, 'a/+')).toMatchObject([{ type: 'suback', packetId: 1, reasonCodes: [2] }])
    const answers = publisher.publish('a/b', { qos, packetId: qos === 0 ? 0 : 7, payload: hello })
    expect(typesOf(answers)).toEqual([[], ['puback'], ['pubrec']][qos])
    if (qos === 2) {
      expect(publisher.acknowledge('pubrel', 7)).toMatchObject([
        { type: 'pubcomp', packetId: 7, reasonCode: 0 },
      ])
    }
    const [message] = publishesOf(subscriber.take())
    expect(message).toMatchObject({
      topic: 'a/b',
      qos,
      dup: false,
      retain: false,
      packetId: qos === 0 ? 0 : 1,
    })
    expect(message?.payload).toEqual(hello)
    if (qos === 1) subscriber.acknowledge('puback', 1)
    if (qos === 2) {
      expect(subscriber.acknowledge('pubrec', 1)).toMatchObject([{ type: 'pubrel', packetId: 1 }])
      expect(broker.openExchanges).toEqual([
        { clientId: 's', packetId: 1, from: 'broker', topic: 'a/b', state: 'released' },
      ])
      subscriber.acknowledge('pubcomp', 1)
    }
    expect(broker.openExchanges).toEqual([])
    expect(broker.finish(1)).toEqual([])
  })

  it('a subscription grants less than it is asked, and delivers at most that', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version)
    client.subscribe(1, 'a', { qos: 0 })
    expect(publishesOf(client.publish('a', { qos: 1, packetId: 2 }))).toMatchObject([{ qos: 0 }])
  })

  it('UNSUBSCRIBE ends it', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version)
    client.subscribe(1, 'a')
    const answer = client.send({ type: 'unsubscribe', packetId: 2, filters: ['a', 'b'] })
    expect(answer).toMatchObject([
      { type: 'unsuback', packetId: 2, reasonCodes: version === '5' ? [0, 0x11] : [] },
    ])
    expect(client.publish('a')).toEqual([])
  })

  it('a QoS 2 message that is repeated before its PUBREL is handed on once', () => {
    const broker = new Broker({ tolerant: true })
    const handedOn: string[] = []
    const client = connected(broker, 'a', version)
    client.subscribe(1, 'a', { qos: 0 })
    for (const dup of [false, true]) {
      handedOn.push(...topicsOf(client.publish('a', { qos: 2, packetId: 2, dup })))
    }
    expect(handedOn).toEqual(['a'])
    expect(client.acknowledge('pubrel', 2)).toMatchObject([{ type: 'pubcomp', reasonCode: 0 }])
    expect(topicsOf(client.publish('a', { qos: 2, packetId: 2 }))).toEqual(['a'])
  })

  it('a QoS 2 message may be handed on at PUBREL', () => {
    const broker = new Broker({ handOnAt: 'pubrel' })
    const client = connected(broker, 'a', version)
    client.subscribe(1, 'a', { qos: 0 })
    expect(typesOf(client.publish('a', { qos: 2, packetId: 2 }))).toEqual(['pubrec'])
    expect(typesOf(client.acknowledge('pubrel', 2))).toEqual(['publish', 'pubcomp'])
  })

  it('a session without a connection keeps subscriptions and QoS 1 and 2 messages', () => {
    const broker = new Broker()
    const before = connected(broker, 'a', version, persistent(version))
    before.subscribe(1, 'a')
    before.disconnect()
    broker.publish({ topic: 'a', qos: 0 })
    broker.publish({ topic: 'a', qos: 1, payload: '1' })
    broker.publish({ topic: 'a', qos: 2, payload: '2' })
    expect(broker.sessions.get('a')?.queued).toBe(2)
    const after = new RawClient(broker, version)
    expect(after.connect({ clientId: 'a', ...persistent(version) })).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'publish', qos: 1, dup: false, packetId: 1 },
      { type: 'publish', qos: 2, dup: false, packetId: 2 },
    ])
  })

  it('a resumed session gets PUBREL and PUBLISH again, the latter with DUP, in order', () => {
    const broker = new Broker()
    const before = connected(broker, 'a', version, persistent(version))
    before.subscribe(1, 'a')
    for (const qos of [1, 2, 2, 1] as const) broker.publish({ topic: 'a', qos })
    before.take()
    before.acknowledge('pubrec', 2)
    before.end()
    broker.publish({ topic: 'a', qos: 1 })
    const after = new RawClient(broker, version)
    expect(after.connect({ clientId: 'a', ...persistent(version) })).toMatchObject([
      { type: 'connack', sessionPresent: true },
      { type: 'pubrel', packetId: 2 },
      { type: 'publish', packetId: 1, dup: true },
      { type: 'publish', packetId: 3, dup: true },
      { type: 'publish', packetId: 4, dup: true },
      { type: 'publish', packetId: 5, dup: false },
    ])
  })

  it('a session is gone after a clean start, after its time, and when it is lost', () => {
    const broker = new Broker({ sessionExpiryInterval: 10 })
    const isPresent = (): boolean => {
      const client = new RawClient(broker, version)
      const [connack] = client.connect({ clientId: 'a', ...persistent(version) })
      client.disconnect()
      return connack?.type === 'connack' && connack.sessionPresent
    }
    expect(isPresent()).toBe(false)
    expect(isPresent()).toBe(true)
    connected(broker, 'a', version).disconnect()
    expect(isPresent()).toBe(false)
    expect(broker.nextDeadline()).toBe(10_000)
    broker.handleTimeout(9_999)
    expect(isPresent()).toBe(true)
    broker.handleTimeout(9_999 + 10_000)
    expect(isPresent()).toBe(false)
    broker.loseSession('a')
    expect(isPresent()).toBe(false)
  })

  it('a second connection of a client takes the session over', () => {
    const broker = new Broker()
    const first = connected(broker, 'a', version, persistent(version))
    const second = new RawClient(broker, version)
    expect(second.connect({ clientId: 'a', ...persistent(version) })).toMatchObject([
      { sessionPresent: true },
    ])
    const disconnect = { type: 'disconnect', reasonCode: 0x8e, properties: undefined }
    expect(first.take()).toEqual(version === '5' ? [disconnect] : [])
    expect(first.state).toBe('ended')
    expect(broker.connectionOf('a')).toBe(second.connection)
  })

  it('a retained message comes with a new subscription, until it is cleared', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version)
    client.publish('r', { retain: true, payload: hello })
    expect(broker.retained.get('r')?.payload).toEqual(hello)
    expect(client.subscribe(1, '#')).toMatchObject([{ type: 'suback' }, { type: 'publish', retain: true }])
    expect(client.publish('r', { retain: true, payload: hello })).toMatchObject([{ retain: false }])
    client.publish('r', { retain: true })
    expect(broker.retained.size).toBe(0)
    expect(typesOf(client.subscribe(2, '#'))).toEqual(['suback'])
  })

  it('a will is published when the connection ends without DISCONNECT, and only then', () => {
    const broker = new Broker()
    const watcher = connected(broker, 'w', version)
    watcher.subscribe(1, '#')
    const will = { ...publishOf('gone'), retain: true, payload: hello }
    connected(broker, 'a', version, { will }).disconnect()
    expect(watcher.take()).toEqual([])
    connected(broker, 'a', version, { will }).end()
    expect(topicsOf(watcher.take())).toEqual(['gone'])
    expect(broker.retained.has('gone')).toBe(true)
    connected(broker, 'a', version, { will }).connection.cut()
    expect(topicsOf(watcher.take())).toEqual(['gone'])
  })

  it('keep-alive: the connection ends after one and a half times of silence', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version, { keepAlive: 10 })
    broker.handleTimeout(9_000)
    client.send({ type: 'pingreq' })
    expect(broker.nextDeadline()).toBe(24_000)
    broker.handleTimeout(23_999)
    expect(client.state).toBe('open')
    broker.handleTimeout(24_000)
    client.take()
    expect(client.state).toBe('ended')
  })

  it.each([
    [{ login: () => false }, version === '5' ? 0x86 : 0x86],
    [{ login: () => 0x87 }, 0x87],
    [{ login: ({ username }) => (username === undefined ? 0x88 : 0) }, 0x88],
  ] as [BrokerOptions, number][])('a login is refused: %o', (options, reasonCode) => {
    const client = new RawClient(new Broker(options), version)
    expect(client.connect()).toMatchObject([{ type: 'connack', sessionPresent: false, reasonCode }])
    expect(client.state).toBe('ended')
  })

  it('a login is accepted by name and password', () => {
    const asked: unknown[] = []
    const broker = new Broker({ login: (request) => asked.push(request) > 0 })
    connected(broker, 'a', version, { username: 'u', password: hello })
    expect(asked).toEqual([{ protocolVersion: version, clientId: 'a', username: 'u', password: hello }])
  })

  it('publishing and subscribing are refused by callbacks', () => {
    const broker = new Broker({
      authorizePublish: (clientId, { topic }) => (topic === `of/${clientId}` ? 0 : 0x87),
      authorizeSubscribe: (_, { filter }) => (filter === 'no' ? 0x87 : filter === 'some' ? 1 : 2),
    })
    const client = connected(broker, 'a', version)
    const subscriptions = ['no', 'some', '#'].map((filter) => ({
      filter,
      qos: 2 as const,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0 as const,
    }))
    const [suback] = client.send({ type: 'subscribe', packetId: 1, subscriptions })
    expect(suback).toMatchObject({ reasonCodes: [version === '5' ? 0x87 : 0x80, 1, 2] })
    const code = version === '5' ? 0x87 : 0
    expect(client.publish('x', { qos: 1, packetId: 2 })).toMatchObject([{ type: 'puback', reasonCode: code }])
    expect(client.publish('x', { qos: 2, packetId: 3 })).toMatchObject([{ type: 'pubrec', reasonCode: code }])
    expect(typesOf(client.publish('of/a', { qos: 1, packetId: 4 }))).toEqual(['publish', 'puback'])
  })

  it('no more than max_queued messages wait', () => {
    const broker = new Broker({ maxQueued: 2, queueQos0: true })
    const client = connected(broker, 'a', version, persistent(version))
    client.subscribe(1, 'a')
    client.end()
    for (const payload of ['0', '1', '2'])
      broker.publish({ topic: 'a', qos: payload === '0' ? 0 : 1, payload })
    const after = new RawClient(broker, version)
    const messages = publishesOf(after.connect({ clientId: 'a', ...persistent(version) }))
    expect(messages.map(({ payload }) => String.fromCharCode(...payload))).toEqual(['0', '1'])
  })

  it('maxInflight bounds the window', () => {
    const broker = new Broker({ maxInflight: 2 })
    const client = connected(broker, 'a', version)
    client.subscribe(1, 'a')
    for (const qos of [1, 2, 1, 0] as const) broker.publish({ topic: 'a', qos })
    expect(publishesOf(client.take()).map(({ qos }) => qos)).toEqual([1, 2, 0])
    expect(client.acknowledge('pubrec', 2)).toMatchObject([{ type: 'pubrel' }])
    expect(client.acknowledge('puback', 1)).toMatchObject([{ type: 'publish', packetId: 3 }])
  })

  it('shared subscriptions take turns, those who are there first', () => {
    const broker = new Broker()
    const [a, b] = ['a', 'b'].map((id) => connected(broker, id, version, persistent(version)))
    for (const client of [a, b]) client?.subscribe(1, '$share/g/t')
    const other = connected(broker, 'c', version)
    other.subscribe(1, '$share/h/t')
    for (let count = 0; count < 4; count++) broker.publish({ topic: 't' })
    expect([a, b, other].map((client) => client?.take().length)).toEqual([2, 2, 4])
    b?.end()
    broker.publish({ topic: 't', qos: 1 })
    broker.publish({ topic: 't', qos: 1 })
    expect(a?.take()).toHaveLength(2)
  })

  it('overlapping subscriptions get one copy at the highest QoS, or one each', () => {
    for (const [overlapping, expected] of [
      ['one-copy', [1]],
      ['copy-each', [0, 1]],
    ] as const) {
      const broker = new Broker({ overlapping })
      const client = connected(broker, 'a', version)
      client.subscribe(1, 'a/#', { qos: 0 })
      client.subscribe(2, 'a/b', { qos: 1 })
      broker.publish({ topic: 'a/b', qos: 2 })
      expect(
        publishesOf(client.take())
          .map(({ qos }) => qos)
          .toSorted((a, b) => a - b),
      ).toEqual(expected)
    }
  })

  it('a session that ended has no subscriptions, and one that was lost no will', () => {
    const messages: string[] = []
    const broker = new Broker({ reportNoSubscribers: true, onMessage: ({ topic }) => messages.push(topic) })
    const client = connected(broker, 'a', version, { will: publishOf('will') })
    client.subscribe(1, 't')
    broker.loseSession('a')
    expect(client.state).toBe('cut')
    const publisher = connected(broker, 'p', '5')
    expect(publisher.publish('t', { qos: 1, packetId: 1 })).toMatchObject([{ reasonCode: 0x10 }])
    expect(messages).toEqual(['t'])
  })

  it('PUBRELs are sent again in the order of their PUBRECs', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version, persistent(version))
    client.subscribe(1, 't')
    for (const topic of ['t', 't']) broker.publish({ topic, qos: 2 })
    client.take()
    for (const packetId of [2, 1]) client.acknowledge('pubrec', packetId)
    client.end()
    const after = new RawClient(broker, version)
    const [, ...released] = after.connect({ clientId: 'a', ...persistent(version) })
    expect(released).toMatchObject([
      { type: 'pubrel', packetId: 2 },
      { type: 'pubrel', packetId: 1 },
    ])
  })

  it('a refused QoS 2 message is never handed on, whatever comes of its exchange', () => {
    const topics: string[] = []
    const broker = new Broker({
      handOnAt: 'pubrel',
      authorizePublish: () => 0x87,
      onMessage: ({ topic }) => topics.push(topic),
    })
    const client = connected(broker, 'a', version)
    const reasonCode = version === '5' ? 0x87 : 0
    for (let count = 0; count < 2; count++) {
      expect(client.publish('t', { qos: 2, packetId: 1 })).toMatchObject([{ type: 'pubrec', reasonCode }])
      if (version === '3.1.1') client.acknowledge('pubrel', 1)
    }
    expect(topics).toEqual([])
    expect(broker.finish()).toEqual([])
  })

  it('a retained message comes with the QoS that was granted, and not once it has expired', () => {
    const broker = new Broker({ maximumQoS: 1 })
    const properties = { messageExpiryInterval: 1 }
    broker.publish({ topic: 't', qos: 2, retain: true, payload: 'x', properties })
    const client = connected(broker, 'a', version)
    const subscribe = (qos: 0 | 1 | 2): unknown => client.subscribe(1, 't', { qos })
    expect(subscribe(0)).toMatchObject([{ reasonCodes: [0] }, { qos: 0 }])
    expect(subscribe(2)).toMatchObject([{ reasonCodes: [1] }, { qos: 1 }])
    broker.handleTimeout(1_000)
    expect(subscribe(0)).toHaveLength(1)
  })

  it('disconnectAll says why in version 5, and ends the streams', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version)
    broker.disconnectAll(0x8b)
    expect(client.take()).toMatchObject(version === '5' ? [{ type: 'disconnect', reasonCode: 0x8b }] : [])
    expect(client.state).toBe('ended')
  })

  it('a paused broker reads and answers nothing, and counts no silence', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', version, { keepAlive: 1 })
    connected(broker, 'b', version, persistent(version, 5)).end()
    broker.pause()
    expect(client.send({ type: 'pingreq' })).toEqual([])
    expect(broker.nextDeadline()).toBe(Infinity)
    broker.handleTimeout(60_000)
    broker.resume(60_000)
    expect(client.take()).toEqual([{ type: 'pingresp' }])
    broker.handleTimeout(61_499)
    expect(client.state).toBe('open')
    expect(broker.complaints).toEqual([])
  })

  it('a packet of just the maximum size is accepted', () => {
    const broker = new Broker({ maximumPacketSize: 32 })
    const client = connected(broker, 'a', version)
    client.publish('t', { payload: new Uint8Array(version === '5' ? 26 : 27) })
    expect(broker.finish()).toEqual([])
  })

  it('bytes may come in any split, and behind CONNECT', () => {
    const broker = new Broker()
    const client = new RawClient(broker, version)
    const connect =
      version === '5'
        ? [0x10, 14, 0, 4, 0x4d, 0x51, 0x54, 0x54, 5, 2, 0, 0, 0, 0, 1, 0x61]
        : [0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, 1, 0x61]
    for (const byte of connect.slice(0, -1)) expect(client.send(bytes(byte))).toEqual([])
    expect(typesOf(client.send(bytes(connect.at(-1) as number, 0xc0, 0)))).toEqual(['connack', 'pingresp'])
  })

  it('tells every packet and every message', () => {
    const packets: string[] = []
    const messages: string[] = []
    const broker = new Broker({
      onPacket: (direction, { type }, { number }) => packets.push(`${number} ${direction} ${type}`),
      onMessage: ({ topic, publisher }) => messages.push(`${publisher} ${topic}`),
    })
    const client = connected(broker, 'a', version)
    client.publish('t', { qos: 1, packetId: 1 })
    expect(packets).toEqual(['1 in connect', '1 out connack', '1 in publish', '1 out puback'])
    expect(messages).toEqual(['a t'])
  })
})

describe('versions', () => {
  it.each([
    ['connack-3.1.1', [0x20, 2, 0, 1]],
    ['connack-5', [0x20, 3, 0, 0x84, 0]],
    ['close', []],
  ] as const)('version 5 is refused by %s', (refuseVersionBy, expected) => {
    const broker = new Broker({ versions: ['3.1.1'], refuseVersionBy })
    const client = new RawClient(broker, '5')
    client.connect()
    expect(client.chunks.flatMap((chunk) => [...chunk])).toEqual(expected)
    expect(client.state).toBe('ended')
    expect(broker.complaints).toEqual([])
    expect(new RawClient(broker, '3.1.1').connect()).toMatchObject([{ reasonCode: 0 }])
  })

  it('3.1.1 is refused by return code 1', () => {
    const client = new RawClient(new Broker({ versions: ['5'] }), '3.1.1')
    expect(client.connect()).toMatchObject([{ type: 'connack', reasonCode: 0x84 }])
    expect(client.state).toBe('ended')
  })
})

describe('of version 5', () => {
  it('CONNACK tells the limits that are set, and no others', () => {
    const limits = {
      receiveMaximum: 1,
      maximumQoS: 1,
      retainAvailable: false,
      maximumPacketSize: 100,
      topicAliasMaximum: 2,
      wildcardSubscriptionAvailable: false,
      subscriptionIdentifiersAvailable: false,
      sharedSubscriptionAvailable: false,
      serverKeepAlive: 3,
    } as const
    const client = new RawClient(new Broker(limits), '5')
    const [connack] = client.connect()
    expect(connack).toHaveProperty('properties', limits)
    expect(client.connection.keepAlive).toBe(3)
    const more = new RawClient(new Broker({ connackProperties: { responseInformation: 'r' } }), '5')
    expect(more.connect()[0]).toHaveProperty('properties', { responseInformation: 'r' })
  })

  it('CONNACK tells an assigned identifier and a shorter expiry', () => {
    const broker = new Broker({ sessionExpiryInterval: 5 })
    const connect = { clientId: '', properties: { sessionExpiryInterval: 9 } }
    for (const id of ['assigned-1', 'assigned-2']) {
      expect(new RawClient(broker, '5').connect(connect)[0]).toHaveProperty('properties', {
        assignedClientIdentifier: id,
        sessionExpiryInterval: 5,
      })
    }
  })

  it.each([
    [{ maximumQoS: 1 }, { qos: 2 }, 0x9b],
    [{ retainAvailable: false }, { retain: true }, 0x9a],
  ] as const)('a will beyond the limits is refused: %o', (options, will, reasonCode) => {
    const client = new RawClient(new Broker(options), '5')
    expect(client.connect({ will: publishOf('w', will) })).toMatchObject([{ reasonCode }])
  })

  it('DISCONNECT 0x04 leaves the will, and may change the expiry', () => {
    const broker = new Broker()
    const watcher = connected(broker, 'w')
    watcher.subscribe(1, '#')
    connected(broker, 'a', '5', { will: publishOf('gone') }).disconnect(0x04)
    expect(topicsOf(watcher.take())).toEqual(['gone'])
    const client = connected(broker, 'b', '5', persistent('5'))
    client.send({ type: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0 } })
    expect(broker.sessions.has('b')).toBe(false)
    expect(broker.complaints).toEqual([])
  })

  it('a will waits for its delay, for the end of the session at most, and not if the client is back', () => {
    const broker = new Broker()
    const watcher = connected(broker, 'w')
    watcher.subscribe(1, '#')
    const leave = (willDelayInterval: number, expiry: number): void =>
      connected(broker, 'a', '5', {
        ...persistent('5', expiry),
        will: { ...publishOf('gone'), properties: { willDelayInterval } },
      }).end()
    leave(10, 60)
    expect(broker.nextDeadline()).toBe(10_000)
    broker.handleTimeout(9_999)
    expect(watcher.take()).toEqual([])
    broker.handleTimeout(10_000)
    expect(topicsOf(watcher.take())).toEqual(['gone'])
    leave(30, 5)
    broker.handleTimeout(15_000)
    expect(topicsOf(watcher.take())).toEqual(['gone'])
    leave(30, 60)
    const back = connected(broker, 'a', '5', { ...persistent('5'), will: publishOf('gone') })
    broker.handleTimeout(100_000)
    expect(watcher.take()).toEqual([])
    expect(broker.sessions.has('a')).toBe(true)
    back.disconnect()
    leave(30, 60)
    connected(broker, 'a', '5')
    expect(topicsOf(watcher.take())).toEqual(['gone'])
  })

  it('No Local, Retain As Published and Retain Handling', () => {
    const broker = new Broker()
    const client = connected(broker, 'a')
    client.subscribe(1, 't', { noLocal: true, retainAsPublished: true })
    expect(client.publish('t', { retain: true, payload: hello })).toEqual([])
    broker.publish({ topic: 't', retain: true, payload: 'x' })
    broker.publish({ topic: 't', payload: 'x' })
    expect(client.take()).toMatchObject([{ retain: true }, { retain: false }])
    const subscribe = (retainHandling: 0 | 1 | 2, filter = 't'): number =>
      publishesOf(client.subscribe(2, filter, { retainHandling, qos: 0 })).length
    expect(subscribe(0)).toBe(1)
    expect(subscribe(1)).toBe(0)
    expect(subscribe(2)).toBe(0)
    expect(subscribe(1, '#')).toBe(1)
    expect(subscribe(2, '+')).toBe(0)
    expect(subscribe(0, '$share/g/t')).toBe(0)
  })

  it('Subscription Identifiers of all that match come with one copy', () => {
    const broker = new Broker()
    const client = connected(broker, 'a')
    client.subscribe(1, 'a/#', {}, 300)
    client.subscribe(2, 'a/b', {}, 2)
    broker.publish({ topic: 'a/b' })
    const [message] = publishesOf(client.take())
    expect(message?.properties?.subscriptionIdentifiers?.toSorted()).toEqual([2, 300])
  })

  it('properties are handed on in order, the expiry less the time that passed, and the expired not at all', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', '5', persistent('5'))
    client.subscribe(1, 't')
    client.end()
    const properties: Properties = {
      payloadFormatIndicator: 1,
      contentType: 'c',
      responseTopic: 'r',
      correlationData: bytes(1, 2),
      userProperties: [
        ['b', '1'],
        ['a', '2'],
        ['b', '3'],
      ],
    }
    const publisher = connected(broker, 'p')
    for (const [packetId, messageExpiryInterval] of [
      [1, 3],
      [2, 10],
    ] as const) {
      publisher.publish('t', { qos: 1, packetId, properties: { ...properties, messageExpiryInterval } })
    }
    broker.handleTimeout(4_000)
    const messages = publishesOf(new RawClient(broker, '5').connect({ clientId: 'a', ...persistent('5') }))
    expect(messages.map((message) => message.properties)).toEqual([
      { ...properties, messageExpiryInterval: 6 },
    ])
  })

  it('the Receive Maximum of the client is kept, re-sends included', () => {
    const broker = new Broker()
    const connect = { cleanStart: false, properties: { receiveMaximum: 2, sessionExpiryInterval: 600 } }
    const client = connected(broker, 'a', '5', connect)
    client.subscribe(1, 't')
    for (const qos of [2, 1, 1, 0] as const) broker.publish({ topic: 't', qos })
    expect(publishesOf(client.take()).map(({ packetId }) => packetId)).toEqual([1, 2, 0])
    client.acknowledge('pubrec', 1)
    expect(client.acknowledge('pubcomp', 1)).toMatchObject([{ type: 'publish', packetId: 3 }])
    client.end()
    const one = { ...connect, properties: { ...connect.properties, receiveMaximum: 1 } }
    const after = new RawClient(broker, '5')
    expect(publishesOf(after.connect({ clientId: 'a', ...one }))).toMatchObject([{ packetId: 2, dup: true }])
    expect(after.acknowledge('puback', 2)).toMatchObject([{ packetId: 3, dup: true }])
    after.acknowledge('puback', 3)
    expect(broker.finish(1)).toEqual([])
  })

  it('PUBRELs that are sent again take no place in the window', () => {
    const broker = new Broker()
    const connect = { cleanStart: false, properties: { receiveMaximum: 1, sessionExpiryInterval: 600 } }
    const client = connected(broker, 'a', '5', connect)
    client.subscribe(1, 't')
    for (const qos of [2, 1, 1] as const) broker.publish({ topic: 't', qos })
    client.take()
    client.acknowledge('pubrec', 1)
    client.end()
    const after = new RawClient(broker, '5')
    const resumed = after.connect({ clientId: 'a', ...connect })
    expect(resumed).toMatchObject([{ type: 'connack' }, { type: 'pubrel' }, { type: 'publish', packetId: 2 }])
    expect(after.acknowledge('pubcomp', 1)).toEqual([])
    expect(after.acknowledge('puback', 2)).toMatchObject([{ type: 'publish', packetId: 3 }])
  })

  it('what is released before it could be sent again is not published any more', () => {
    const broker = new Broker()
    const properties = { sessionExpiryInterval: 600 }
    const client = connected(broker, 'a', '5', { cleanStart: false, properties })
    client.subscribe(1, 't')
    for (const qos of [2, 2] as const) broker.publish({ topic: 't', qos })
    client.take()
    client.end()
    const connect = { cleanStart: false, properties: { ...properties, receiveMaximum: 1 } }
    const after = connected(broker, 'a', '5', connect)
    expect(after.acknowledge('pubrec', 2)).toMatchObject([{ type: 'pubrel', packetId: 2 }])
    after.acknowledge('pubrec', 1)
    expect(after.acknowledge('pubcomp', 1)).toEqual([])
  })

  it('a message above the Maximum Packet Size of the client is dropped, and uses no id', () => {
    const broker = new Broker()
    const client = connected(broker, 'a', '5', { properties: { maximumPacketSize: 20 } })
    client.subscribe(1, 't')
    for (const payload of ['x'.repeat(13), 'x'.repeat(12)]) broker.publish({ topic: 't', qos: 1, payload })
    const messages = publishesOf(client.take())
    expect(messages.map(({ payload }) => payload.length)).toEqual([12])
    expect(broker.openExchanges).toHaveLength(1)
  })

  it('Topic Aliases of the client are resolved, replaced, and belong to its connection', () => {
    const broker = new Broker({ topicAliasMaximum: 1 })
    const client = connected(broker, 'a')
    client.subscribe(1, '#')
    const properties = { topicAlias: 1 }
    const topics = ['a', '', 'b', ''].flatMap((topic) => topicsOf(client.publish(topic, { properties })))
    expect(topics).toEqual(['a', 'a', 'b', 'b'])
    expect(connected(broker, 'b').publish('', { properties })).toMatchObject([{ reasonCode: 0x82 }])
  })

  it('Topic Aliases are used to a client that allows them, as many as it allows', () => {
    const broker = new Broker({ useTopicAliases: true })
    const client = connected(broker, 'a', '5', { properties: { topicAliasMaximum: 1 } })
    client.subscribe(1, '#')
    for (const topic of ['a', 'a', 'b']) broker.publish({ topic })
    expect(
      publishesOf(client.take()).map(({ topic, properties }) => [topic, properties?.topicAlias]),
    ).toEqual([
      ['a', 1],
      ['', 1],
      ['b', undefined],
    ])
    const none = connected(broker, 'n')
    none.subscribe(1, '#')
    broker.publish({ topic: 'a' })
    expect(none.take()).toMatchObject([{ topic: 'a', properties: undefined }])
  })

  it('0x10 tells that there was no subscriber, if asked for', () => {
    const broker = new Broker({ reportNoSubscribers: true })
    const client = connected(broker, 'a')
    expect(client.publish('t', { qos: 1, packetId: 1 })).toMatchObject([{ reasonCode: 0x10 }])
    expect(client.publish('t', { qos: 2, packetId: 2 })).toMatchObject([{ reasonCode: 0x10 }])
    expect(client.acknowledge('pubrel', 2)).toMatchObject([{ type: 'pubcomp', reasonCode: 0 }])
  })

  it('PUBREL and PUBREC for unknown ids are answered with 0x92', () => {
    const broker = new Broker()
    const client = connected(broker, 'a')
    expect(client.acknowledge('pubrel', 9)).toMatchObject([{ type: 'pubcomp', reasonCode: 0x92 }])
    expect(client.acknowledge('pubrec', 9)).toMatchObject([{ type: 'pubrel', reasonCode: 0x92 }])
  })

  it('a PUBREC that refuses ends the delivery', () => {
    const broker = new Broker()
    const client = connected(broker, 'a')
    client.subscribe(1, 't')
    broker.publish({ topic: 't', qos: 2 })
    client.take()
    expect(client.acknowledge('pubrec', 1, 0x87)).toEqual([])
    expect(broker.openExchanges).toEqual([])
  })
})

describe('AUTH', () => {
  const method = { authenticationMethod: 'M' }
  const script = {
    method: 'M',
    challenges: [bytes(1), bytes(2)],
    final: bytes(9),
    check: (data: Uint8Array | undefined, round: number) => data?.[0] === round,
  }
  const answer = (reasonCode: number, data: number) =>
    ({ type: 'auth', reasonCode, properties: { ...method, authenticationData: bytes(data) } }) as const

  function authenticated(): RawClient {
    const client = new RawClient(new Broker({ authentication: script }), '5')
    expect(client.connect({ properties: { ...method, authenticationData: bytes(0) } })).toEqual([
      answer(0x18, 1),
    ])
    expect(client.send(answer(0x18, 1))).toEqual([answer(0x18, 2)])
    return client
  }

  it('goes through its rounds, and again when the client asks', () => {
    const client = authenticated()
    const [connack] = client.send(answer(0x18, 2))
    expect(connack).toMatchObject({ type: 'connack', reasonCode: 0 })
    expect(connack).toHaveProperty('properties', { ...method, authenticationData: bytes(9) })
    expect(client.send(answer(0x19, 0))).toEqual([answer(0x18, 1)])
    expect(client.send({ type: 'pingreq' })).toEqual([{ type: 'pingresp' }])
    expect(client.send(answer(0x18, 1))).toEqual([answer(0x18, 2)])
    expect(client.send(answer(0x18, 2))).toEqual([answer(0, 9)])
    expect(client.connection.state).toBe('connected')
  })

  it('refuses a wrong answer by CONNACK, later by DISCONNECT, and an unknown method', () => {
    const client = authenticated()
    expect(client.send(answer(0x18, 7))).toMatchObject([{ type: 'connack', reasonCode: 0x87 }])
    expect(client.state).toBe('ended')
    const later = authenticated()
    later.send(answer(0x18, 2))
    expect(later.send(answer(0x19, 7))).toMatchObject([{ type: 'disconnect', reasonCode: 0x87 }])
    const other = new RawClient(new Broker({ authentication: script }), '5')
    const connect = { properties: { authenticationMethod: 'N' } }
    expect(other.connect(connect)).toMatchObject([{ type: 'connack', reasonCode: 0x8c }])
  })
})

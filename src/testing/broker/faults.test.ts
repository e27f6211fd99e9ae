import { describe, expect, it } from 'vitest'
import type { AckPacket, ControlPacket } from '../../core/packets/types.ts'
import { Broker } from './broker.ts'
import type { SendFault } from './faults.ts'
import { RawClient } from './raw-client.ts'
import { encodePacket } from './server-codec.ts'

const PINGREQ = { type: 'pingreq' } as const
const PINGRESP = { type: 'pingresp' } as const
type PubrecRule = SendFault<AckPacket>
const typesOf = (packets: readonly ControlPacket[]): string[] => packets.map(({ type }) => type)

function connected(broker: Broker, clientId = 'a'): RawClient {
  const client = new RawClient(broker, '5')
  client.connect({ clientId, cleanStart: false, properties: { sessionExpiryInterval: 600 } })
  return client
}

function publishThree(client: RawClient): ControlPacket[] {
  return [1, 2, 3].flatMap((packetId) => client.publish(`t${packetId}`, { qos: 1, packetId }))
}

const idsOf = (packets: readonly ControlPacket[]): number[] =>
  packets.flatMap((packet) => ('packetId' in packet ? [packet.packetId] : []))

describe('a rule', () => {
  it.each([
    [{}, []],
    [{ nth: 2 }, [1, 3]],
    [{ times: 2 }, [3]],
    [{ nth: 2, times: 5 }, [1]],
    [{ where: (packet: { packetId: number }) => packet.packetId > 1 }, [1]],
    [{ where: (packet: { packetId: number }) => packet.packetId > 1, nth: 2 }, [1, 2]],
    [{ clientId: 'a' }, []],
    [{ clientId: 'b' }, [1, 2, 3]],
    [{ connection: 1 }, []],
    [{ connection: 2 }, [1, 2, 3]],
  ])('with %o leaves the acknowledgements %o', (match, left) => {
    const broker = new Broker()
    const rule = broker.faults.onSend('puback', match).withhold()
    expect(idsOf(publishThree(connected(broker)))).toEqual(left)
    expect(rule.acted).toBe(3 - left.length)
  })

  it('decides alone when it is the first that fits; the others count', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 1 }).withReasonCode(0x87)
    broker.faults.onSend('puback', { nth: 2 }).withhold()
    expect(publishThree(connected(broker))).toMatchObject([
      { packetId: 1, reasonCode: 0x87 },
      { packetId: 3, reasonCode: 0 },
    ])
  })

  it('is forgotten by clear', () => {
    const broker = new Broker()
    broker.faults.onSend('puback').withhold()
    broker.faults.onReceive('publish').withhold()
    broker.faults.clear()
    expect(publishThree(connected(broker))).toHaveLength(3)
  })
})

describe('of what the broker sends', () => {
  it('delay: others overtake it', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 1 }).delay(100)
    const client = connected(broker)
    expect(idsOf(publishThree(client))).toEqual([2, 3])
    expect(broker.nextDeadline()).toBe(100)
    broker.handleTimeout(99)
    expect(client.take()).toEqual([])
    broker.takeDirty()
    broker.handleTimeout(100)
    expect(broker.takeDirty()).toEqual([client.connection])
    expect(idsOf(client.take())).toEqual([1])
    expect(broker.finish()).toEqual([])
  })

  it.each([
    ['cutAfter', (rule: PubrecRule) => rule.cutAfter(), ['pubrec'], 'cut'],
    ['endAfter', (rule: PubrecRule) => rule.endAfter(), ['pubrec'], 'ended'],
    ['sendAfter', (rule: PubrecRule) => rule.sendAfter(PINGRESP), ['pubrec', 'pingresp', 'puback'], 'open'],
    ['split', (rule: PubrecRule) => rule.split([1, 2]), ['pubrec', 'puback'], 'open'],
    ['stall', (rule: PubrecRule) => rule.stall(10), ['pubrec', 'puback'], 'open'],
  ] as const)('delay with %s: nothing overtakes it, and what is to follow it does', (_, add, late, state) => {
    const broker = new Broker()
    add(broker.faults.onSend('pubrec').delay(100))
    const client = connected(broker)
    const early = ([1, 2, 1] as const).flatMap((qos, index) =>
      client.publish('t', { qos, packetId: index + 1 }),
    )
    expect(typesOf(early)).toEqual(['puback'])
    expect(client.state).toBe('open')
    expect(broker.nextDeadline()).toBe(100)
    broker.handleTimeout(99)
    expect(client.take()).toEqual([])
    broker.handleTimeout(100)
    expect(typesOf(client.take())).toEqual(late)
    expect(client.state).toBe(state)
  })

  it('stall: all wait behind it', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 2 }).stall(100)
    const client = connected(broker)
    expect(idsOf(publishThree(client))).toEqual([1])
    expect(broker.nextDeadline()).toBe(100)
    broker.handleTimeout(100)
    expect(idsOf(client.take())).toEqual([2, 3])
  })

  it('a late CONNACK holds back what follows it', () => {
    const broker = new Broker()
    broker.faults.onSend('connack').delay(100)
    const client = connected(broker)
    expect(client.send(PINGREQ)).toEqual([])
    broker.handleTimeout(100)
    expect(typesOf(client.take())).toEqual(['connack', 'pingresp'])
  })

  it('a CONNACK that does not come, or that refuses, is followed by nothing', () => {
    const broker = new Broker()
    broker.faults.onSend('connack', { nth: 1 }).withhold()
    broker.faults.onSend('connack', { nth: 2 }).withReasonCode(0x88)
    const mute = new RawClient(broker, '5')
    expect(mute.connect()).toEqual([])
    expect(mute.send(PINGREQ)).toEqual([])
    const refused = new RawClient(broker, '3.1.1')
    expect(refused.connect({ clientId: 'b' })).toMatchObject([{ type: 'connack', reasonCode: 0x88 }])
    expect(refused.send(PINGREQ)).toEqual([])
    expect(refused.state).toBe('open')
  })

  it('withReasonCode: of every filter in SUBACK and UNSUBACK', () => {
    const broker = new Broker()
    broker.faults.onSend('suback').withReasonCode(0x87)
    broker.faults.onSend('unsuback').withReasonCode(0x83)
    const client = connected(broker)
    expect(client.subscribe(1, 'a')).toMatchObject([{ reasonCodes: [0x87] }])
    const unsubscribe = { type: 'unsubscribe', packetId: 2, filters: ['a', 'b'] } as const
    expect(client.send(unsubscribe)).toMatchObject([{ reasonCodes: [0x83, 0x83] }])
  })

  it('a PUBREC that was made to refuse ends the exchange for the broker, too', () => {
    const broker = new Broker()
    broker.faults.onSend('pubrec', { nth: 1 }).withReasonCode(0x97)
    const client = connected(broker)
    client.subscribe(1, 't', { qos: 0 })
    const again = (): string[] => typesOf(client.publish('t', { qos: 2, packetId: 2 }))
    expect(again()).toEqual(['publish', 'pubrec'])
    expect(again()).toEqual(['publish', 'pubrec'])
    client.acknowledge('pubrel', 2)
    expect(broker.finish()).toEqual([])
  })

  it('replaceBy: bytes, packets, or what a function makes of it', () => {
    const broker = new Broker()
    broker.faults.onSend('pingresp', { nth: 1 }).replaceBy(Uint8Array.of(0xd1, 0))
    broker.faults
      .onSend('pingresp', { nth: 2 })
      .replaceBy([PINGRESP, { type: 'disconnect', reasonCode: 0x8b }])
    broker.faults
      .onSend('suback')
      .replaceBy((packet) => ({ ...packet, packetId: packet.packetId + 1, reasonCodes: [] }))
    const client = connected(broker)
    client.send(PINGREQ)
    expect(client.chunks.at(-1)).toEqual(Uint8Array.of(0xd1, 0))
    const subscribed = new RawClient(broker, '3.1.1')
    subscribed.connect({ clientId: 'b' })
    subscribed.subscribe(1, 'a')
    expect(subscribed.chunks.at(-1)).toEqual(Uint8Array.of(0x90, 2, 0, 2))
    expect(typesOf(client.send(PINGREQ))).toEqual(['pingresp', 'disconnect'])
  })

  it('duplicate', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 1 }).duplicate()
    broker.faults.onSend('puback', { nth: 2 }).duplicate(3)
    expect(idsOf(publishThree(connected(broker)))).toEqual([1, 1, 2, 2, 2, 3])
  })

  it('sendBefore and sendAfter', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 2 }).sendBefore(PINGRESP).sendAfter(Uint8Array.of(0xe0, 0))
    expect(typesOf(publishThree(connected(broker)))).toEqual([
      'puback',
      'pingresp',
      'puback',
      'disconnect',
      'puback',
    ])
  })

  it('split: pieces at once, or one after the other', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 1 }).split([1, 2])
    const client = connected(broker)
    client.chunks.length = 0
    client.connection.send(PINGRESP)
    client.publish('t', { qos: 1, packetId: 0x0102 })
    expect(client.chunks.shift()).toEqual(Uint8Array.of(0xd0, 0))
    expect(client.chunks).toEqual([Uint8Array.of(0x40), Uint8Array.of(2, 1), Uint8Array.of(2)])
    broker.faults.onSend('puback').split([1, 1, 1, 1], 50)
    client.chunks.length = 0
    client.publish('t', { qos: 1, packetId: 0x0304 })
    client.send(PINGREQ)
    for (const [time, length] of [
      [49, 1],
      [50, 2],
      [149, 3],
      [150, 5],
    ] as const) {
      broker.handleTimeout(time)
      client.take()
      expect(client.chunks).toHaveLength(length)
    }
    expect(client.chunks.at(-1)).toEqual(Uint8Array.of(0xd0, 0))
  })

  it.each([
    ['cutBefore', [1], 'cut'],
    ['cutAfter', [1, 2], 'cut'],
    ['endBefore', [1], 'ended'],
    ['endAfter', [1, 2], 'ended'],
  ] as const)('%s', (action, left, state) => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 2 })[action]()
    const client = connected(broker)
    expect(idsOf(publishThree(client))).toEqual(left)
    expect(client.state).toBe(state)
    expect(broker.connections).toEqual([])
    expect(broker.sessions.has('a')).toBe(true)
  })

  it('run calls the test', () => {
    const broker = new Broker()
    broker.faults.onSend('puback', { nth: 2 }).run(({ packetId }, connection) => {
      connection.send({ type: 'puback', packetId: packetId + 100, reasonCode: 0 })
    })
    expect(idsOf(publishThree(connected(broker)))).toEqual([1, 2, 102, 3])
  })
})

describe('of what the client sends', () => {
  it('withhold: the broker does not see it', () => {
    const broker = new Broker()
    broker.faults.onReceive('publish', { nth: 2 }).withhold()
    expect(idsOf(publishThree(connected(broker)))).toEqual([1, 3])
  })

  it('a CONNECT is that of the client that it names', () => {
    const broker = new Broker()
    const rule = broker.faults.onReceive('connect', { clientId: 'a' }).cutBefore()
    expect([connected(broker, 'b').state, connected(broker, 'a').state]).toEqual(['open', 'cut'])
    expect(rule.fitted).toBe(1)
  })

  it.each([
    ['cutBefore', 0, [], 'cut'],
    ['cutAfter', 1, [], 'cut'],
    ['endBefore', 0, [], 'ended'],
    ['endAfter', 1, [1], 'ended'],
  ] as const)('%s: %i messages are handed on', (action, messages, left, state) => {
    let count = 0
    const broker = new Broker({ onMessage: () => (count += 1) })
    broker.faults.onReceive('publish')[action]()
    const client = connected(broker)
    expect(idsOf(publishThree(client))).toEqual(left)
    expect(count).toBe(messages)
    expect(client.state).toBe(state)
    expect(broker.finish()).toEqual([])
  })

  it('delay: it and all behind it are read later', () => {
    const broker = new Broker()
    broker.faults.onReceive('publish', { nth: 2 }).delay(100)
    const client = connected(broker)
    expect(idsOf(publishThree(client))).toEqual([1])
    expect(broker.nextDeadline()).toBe(100)
    broker.handleTimeout(100)
    expect(idsOf(client.take())).toEqual([2, 3])
    expect(broker.nextDeadline()).toBe(Infinity)
  })

  it('what came before the end of the stream is read before it', () => {
    const topics: string[] = []
    const broker = new Broker({ onMessage: ({ topic }) => topics.push(topic) })
    broker.faults.onReceive('publish', { nth: 2 }).delay(100)
    const client = connected(broker)
    publishThree(client)
    client.end()
    expect(topics).toEqual(['t1'])
    broker.handleTimeout(100)
    client.take()
    expect(topics).toEqual(['t1', 't2', 't3'])
    expect(client.state).toBe('ended')
  })

  it('sendBefore, sendAfter and run', () => {
    const broker = new Broker()
    const seen: string[] = []
    broker.faults
      .onReceive('publish', { nth: 1 })
      .sendBefore(PINGRESP)
      .sendAfter({ type: 'disconnect', reasonCode: 0x8b })
      .run(({ topic }) => seen.push(topic))
    const answers = connected(broker).publish('t', { qos: 1, packetId: 1 })
    expect(typesOf(answers)).toEqual(['pingresp', 'puback', 'disconnect'])
    expect(seen).toEqual(['t'])
  })
})

describe('at once', () => {
  it('a connection sends packets and bytes, past the script', () => {
    const broker = new Broker()
    broker.faults.onSend('pingresp').withhold()
    const client = connected(broker)
    client.connection.send(PINGRESP)
    client.connection.send(encodePacket(PINGRESP, '5'))
    expect(client.take()).toEqual([PINGRESP, PINGRESP])
  })

  it('output that waits to be taken is no deadline', () => {
    const broker = new Broker()
    connected(broker).connection.send(PINGRESP)
    expect(broker.nextDeadline()).toBe(Infinity)
  })

  it('acknowledgements of messages that the test sent itself are no surprise', () => {
    const broker = new Broker()
    const client = connected(broker)
    const message = {
      type: 'publish',
      topic: 't',
      payload: new Uint8Array(1),
      retain: false,
      dup: false,
    } as const
    client.connection.send({ ...message, qos: 1, packetId: 77 })
    client.connection.send(encodePacket({ ...message, qos: 2, packetId: 78 }, '5'))
    client.take()
    client.acknowledge('puback', 77)
    expect(client.acknowledge('pubrec', 78)).toMatchObject([
      { type: 'pubrel', packetId: 78, reasonCode: 0x92 },
    ])
    client.acknowledge('pubcomp', 78, 0x92)
    expect(broker.finish()).toEqual([])
  })

  it('a cut loses what has not been taken, and the session goes on', () => {
    const broker = new Broker()
    const client = connected(broker)
    client.connection.send(PINGRESP)
    client.connection.cut()
    expect(client.take()).toEqual([])
    expect(client.state).toBe('cut')
    expect(broker.sessions.get('a')?.isConnected).toBe(false)
    connected(broker, 'b')
    broker.cutAll()
    expect(broker.connections).toEqual([])
  })

  it('a single connection can be paused', () => {
    const broker = new Broker()
    const [one, other] = [connected(broker), connected(broker, 'b')]
    one.connection.pause()
    expect([one.send(PINGREQ), other.send(PINGREQ)]).toEqual([[], [PINGRESP]])
    one.connection.resume()
    expect(one.take()).toEqual([PINGRESP])
  })

  it('an empty answer to a client whose session was lost', () => {
    const broker = new Broker()
    connected(broker).publish('t', { qos: 2, packetId: 1 })
    broker.loseSession('a')
    const client = new RawClient(broker, '5')
    expect(client.connect({ clientId: 'a', cleanStart: false })).toMatchObject([{ sessionPresent: false }])
    client.publish('t', { qos: 2, packetId: 1 })
    client.acknowledge('pubrel', 1)
    expect(broker.finish()).toEqual([])
  })
})

import { describe, expect, it } from 'vitest'
import type { PublishPacket, QoS } from '../../core/packets/types.ts'
import { BrokerSession, type Outlet, type SessionLimits } from './broker-session.ts'

function sessionWith(limits: Partial<SessionLimits> = {}): BrokerSession {
  const none = {
    maxQueued: Infinity,
    maxInflight: Infinity,
    queueQos0: false,
    packetIds: 'ascending',
  } as const
  return new BrokerSession('a', { ...none, ...limits })
}

/** A connection that notes what it is to deliver. */
class Connection implements Outlet {
  readonly receiveMaximum: number
  readonly sent: PublishPacket[] = []
  onDeliver: () => void = () => {}

  constructor(receiveMaximum = 65_535) {
    this.receiveMaximum = receiveMaximum
  }

  get topics(): readonly string[] {
    return this.sent.map(({ topic }) => topic)
  }

  deliver(packet: PublishPacket): boolean {
    this.sent.push(packet)
    this.onDeliver()
    return true
  }

  release(): void {}
}

function deliver(session: BrokerSession, topic: string, qos: QoS): void {
  const fields = { payload: new Uint8Array(0), retain: false, properties: undefined } as const
  const message = { topic, qos, ...fields, expiresAt: Infinity, publisher: '' }
  session.deliver({ message, qos, retain: false, identifiers: [] }, 0)
}

it('packet identifiers count upward, wrap, and pass over those in flight', () => {
  const session = sessionWith()
  const connection = new Connection()
  session.attach(connection, 0)
  const next = (): number => {
    deliver(session, 't', 1)
    return connection.sent.at(-1)?.packetId ?? 0
  }
  expect([next(), next()]).toEqual([1, 2])
  session.settle(1, 0)
  for (let id = 3; id <= 65_535; id++) session.settle(next(), 0)
  expect(connection.sent.at(-1)?.packetId).toBe(65_535)
  expect([next(), next()]).toEqual([1, 3])
})

describe('what waits', () => {
  it('of QoS 0 waits for no place in the window, and is not overtaken [5 MQTT-3.3.4-10]', () => {
    const session = sessionWith({ queueQos0: true })
    deliver(session, 'a', 1)
    deliver(session, 'b', 1)
    deliver(session, 'c', 0)
    const connection = new Connection(1)
    session.attach(connection, 0)
    deliver(session, 'd', 0)
    expect(connection.topics).toEqual(['a', 'c', 'd'])
    session.settle(1, 0)
    expect(connection.topics).toEqual(['a', 'c', 'd', 'b'])
  })

  it('is for the next connection when this one ends in the middle', () => {
    const session = sessionWith({ queueQos0: true })
    for (const [topic, qos] of [
      ['a', 1],
      ['b', 1],
      ['c', 0],
    ] as const) {
      deliver(session, topic, qos)
    }
    const first = new Connection()
    first.onDeliver = () => session.detach()
    session.attach(first, 0)
    expect(first.topics).toEqual(['a'])
    expect(session.queued).toBe(2)
    const cut = new Connection()
    cut.onDeliver = () => session.detach()
    session.attach(cut, 0)
    const last = new Connection()
    session.attach(last, 0)
    expect(cut.sent).toMatchObject([{ topic: 'a', dup: true }])
    expect(last.sent).toMatchObject([
      { topic: 'a', dup: true },
      { topic: 'b', dup: false },
      { topic: 'c', dup: false },
    ])
  })

  it('is limited, and what need not wait is not', () => {
    const session = sessionWith({ maxQueued: 0 })
    deliver(session, 'away', 1)
    const connection = new Connection(1)
    session.attach(connection, 0)
    deliver(session, 'a', 1)
    deliver(session, 'b', 1)
    expect(connection.topics).toEqual(['a'])
    expect(session.queued).toBe(0)
    session.settle(1, 0)
    deliver(session, 'c', 1)
    expect(connection.topics).toEqual(['a', 'c'])
  })
})

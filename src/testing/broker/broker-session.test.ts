import { expect, it } from 'vitest'
import type { PublishPacket } from '../../core/packets/types.ts'
import { BrokerSession, type Outlet } from './broker-session.ts'

it('packet identifiers count upward, wrap, and pass over those in flight', () => {
  const session = new BrokerSession('a', {
    maxQueued: Infinity,
    maxInflight: Infinity,
    queueQos0: false,
    packetIds: 'ascending',
  })
  const sent: PublishPacket[] = []
  const outlet: Outlet = {
    receiveMaximum: 65_535,
    deliver: (packet) => sent.push(packet) > 0,
    release: () => {},
  }
  session.attach(outlet, 0)
  const message = {
    topic: 't',
    payload: new Uint8Array(0),
    qos: 1,
    retain: false,
    properties: undefined,
  } as const
  const deliver = (): number => {
    const outgoing = { ...message, expiresAt: Infinity, publisher: '' }
    session.deliver({ message: outgoing, qos: 1, retain: false, identifiers: [] }, 0)
    return sent.at(-1)?.packetId ?? 0
  }
  expect([deliver(), deliver()]).toEqual([1, 2])
  session.settle(1, 0)
  for (let id = 3; id <= 65_535; id++) session.settle(deliver(), 0)
  expect(sent.at(-1)?.packetId).toBe(65_535)
  expect([deliver(), deliver()]).toEqual([1, 3])
})

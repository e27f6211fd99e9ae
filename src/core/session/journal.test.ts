/** The journal and its restoration: what is written is read back, in any cut between batches. */

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Properties, QoS } from '../packets/types.ts'
import { encodeTopicName } from '../topics/topic-names.ts'
import { utf8Length } from '../bytes/utf8.ts'
import { MqttError } from '../errors.ts'
import { Delivery } from './deliveries.ts'
import { Journal } from './journal.ts'
import { restoreSession } from './restore.ts'
import { Session } from './session.ts'

function delivery(payload: string | Uint8Array, qos: QoS = 1, properties?: Properties, now = 0): Delivery {
  const payloadSize = typeof payload === 'string' ? utf8Length(payload) : payload.length
  const name = encodeTopicName('t/ü')
  return Delivery.of({ name, payload, payloadSize, qos, retain: qos === 2, properties, lent: false }, now)
}

/** A session that is recorded, and what a store would hold of it. */
class Recorded {
  readonly session: Session
  readonly batches: Uint8Array[] = []

  constructor(session = new Session()) {
    this.session = session
    session.journal = new Journal(1_000, (journal) => session.record(journal))
  }

  store(): boolean {
    const records = this.session.journal?.nextRecords()
    if (records === undefined) return false
    if (records.replaces) this.batches.length = 0
    this.batches.push(records.bytes)
    this.session.journal?.handleStored(records.upTo)
    return true
  }

  restored(): Session {
    return restoreSession(this.batches, 1_000)
  }
}

/** All that matters of a session, as plain data. */
function summary(session: Session): unknown {
  const list = (deliveries: Iterable<Delivery>): unknown[] =>
    Array.from(deliveries, ({ name, payload, qos, retain, properties, packetId, key, state, createdAt }) => {
      const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload
      return [name.text, [...bytes], qos, retain, properties, packetId, key, state, createdAt]
    })
  return {
    clientId: session.clientId,
    established: session.established,
    queued: list(session.queued),
    published: list(session.published),
    released: list(session.released),
    received: [...session.received.handled()],
    ids: Array.from(session.ids.entries(), ([id, holder]) => [id, holder.type]),
    openQos2: session.openQos2,
    deliveryIds: session.deliveryIds,
  }
}

describe('the journal', () => {
  it('brings back a session as it was', () => {
    const recorded = new Recorded()
    const { session } = recorded
    const properties = {
      contentType: 't',
      userProperties: [['k', 'v']],
      correlationData: Uint8Array.of(7),
    } as const
    recorded.store()
    session.journal?.session('client', true, 0)
    session.clientId = 'client'
    session.established = true
    const deliveries = [
      delivery('ä', 1, properties),
      delivery(Uint8Array.of(1, 2, 3), 2),
      delivery('', 2),
      delivery('x'),
    ]
    for (const item of deliveries) session.queue(item)
    recorded.store()
    for (const item of deliveries.slice(0, 3)) session.bind(item)
    session.release(deliveries[2] as Delivery)
    session.journal?.received(77, true)
    session.received.begin(77, -session.pubrecs.arrive())
    recorded.store()
    expect(recorded.batches).toHaveLength(3)
    expect(summary(recorded.restored())).toEqual(summary(session))
    expect(recorded.restored().published.head).toMatchObject({ attempts: 1, properties })
  })

  it('forgets what was settled and what was given back', () => {
    const recorded = new Recorded()
    const { session } = recorded
    const first = delivery('1')
    session.queue(first)
    session.bind(first)
    session.journal?.received(5, true)
    session.received.begin(5, -session.pubrecs.arrive())
    recorded.store()
    session.settle(first)
    session.complete(5)
    recorded.store()
    expect(recorded.restored()).toMatchObject({ empty: true, openQos2: 0 })
  })

  it('keeps identifiers reserved, in records and in a rewrite, rules 8, 23', () => {
    const recorded = new Recorded()
    const given = delivery('1', 2)
    recorded.session.queue(given)
    recorded.session.bind(given)
    recorded.store()
    given.attempts = 1
    recorded.session.giveUp(given)
    recorded.store()
    const restored = recorded.restored()
    expect(restored.ids.get(1)).toEqual({ type: 'reserved' })
    expect(restored).toMatchObject({ deliveryIds: 1, openQos2: 0 })
    const again = new Recorded(restored)
    again.store()
    expect(again.restored().ids.get(1)).toEqual({ type: 'reserved' })
  })

  it('hands out no records while the last ones are under way', () => {
    const { session } = new Recorded()
    const journal = session.journal as Journal
    const first = journal.nextRecords()
    session.queue(delivery('1'))
    expect(journal.nextRecords()).toBeUndefined()
    journal.handleStored(first?.upTo ?? 0)
    expect(journal.nextRecords()).toMatchObject({ upTo: 2, replaces: false })
    journal.handleStoreFailed()
    const rewritten = journal.nextRecords()
    expect(rewritten?.replaces).toBe(true)
    expect(rewritten?.upTo).toBeGreaterThanOrEqual(2)
    expect(summary(restoreSession([rewritten?.bytes as Uint8Array], 1_000))).toEqual(summary(session))
  })

  it('has nothing to store when nothing happened', () => {
    const recorded = new Recorded()
    expect(recorded.store()).toBe(true)
    expect(recorded.store()).toBe(false)
  })

  it('is rewritten whole when it has grown past what a rewrite takes', () => {
    const recorded = new Recorded()
    const { session } = recorded
    const payload = new Uint8Array(512 * 1_024)
    for (let count = 0; count < 10; count++) {
      const item = delivery(payload)
      session.queue(item)
      session.bind(item)
      recorded.store()
      session.settle(item)
      recorded.store()
    }
    expect(recorded.batches.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(3 * 1_024 * 1_024)
    expect(summary(recorded.restored())).toEqual(summary(session))
  })

  it('keeps the age of messages over a change of the clock', () => {
    const session = new Session()
    session.journal = new Journal(1_000, (journal) => session.record(journal))
    session.queue(delivery('1', 1, undefined, 500))
    const bytes = session.journal.nextRecords()?.bytes as Uint8Array
    expect(restoreSession([bytes], 200).queued.head?.createdAt).toBe(1_300)
  })

  it('brings back whatever happened, stored at whatever moments', () => {
    const step = fc.constantFrom(
      'queue',
      'bind',
      'release',
      'settle',
      'giveUp',
      'receive',
      'complete',
      'store',
      'fail',
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const recorded = new Recorded()
        const { session } = recorded
        for (const [index, name] of steps.entries()) {
          if (name === 'queue') session.queue(delivery(`${index}`, index % 2 === 0 ? 1 : 2))
          else if (name === 'bind' && session.queued.head !== undefined) session.bind(session.queued.head)
          else if (name === 'release' && session.published.head?.qos === 2)
            session.release(session.published.head)
          else if (name === 'settle' && session.published.head !== undefined)
            session.settle(session.published.head)
          else if (name === 'giveUp' && session.published.tail !== undefined)
            session.giveUp(session.published.tail)
          else if (name === 'receive') {
            session.received.begin(index + 1, -session.pubrecs.arrive())
            session.journal?.received(index + 1, true)
          } else if (name === 'complete') {
            for (const id of session.received.handled()) session.complete(id)
          } else if (name === 'store') recorded.store()
          else if (name === 'fail' && session.journal?.nextRecords() !== undefined)
            session.journal.handleStoreFailed()
        }
        while (recorded.store());
        expect(summary(recorded.restored())).toEqual(summary(session))
      }),
    )
  })
})

describe('a damaged journal', () => {
  it.each([
    ['an unknown record', [99]],
    ['a record cut off', [3, 0, 0]],
    ['a message cut off', [1, ...new Array<number>(16).fill(0), 1, 0, 1, 97, 0, 0, 0, 0, 9, 120]],
    ['a topic that is none', [1, ...new Array<number>(16).fill(0), 1, 0, 1, 35, 0, 0, 0, 0, 0]],
  ])('with %s is refused, rule 34', (_, bytes) => {
    const error = catchError(() => restoreSession([Uint8Array.from(bytes)], 0))
    expect(error).toBeInstanceOf(MqttError)
    expect(error).toMatchObject({ code: 'store-damaged' })
  })

  it('that speaks of messages it does not have invents none, rule 34', () => {
    const bytes = Uint8Array.from([
      2,
      ...new Array<number>(8).fill(1),
      0,
      1,
      3,
      ...new Array<number>(8).fill(1),
    ])
    expect(restoreSession([bytes], 0)).toMatchObject({ empty: true, deliveryIds: 0 })
  })
})

function catchError(act: () => unknown): unknown {
  try {
    act()
  } catch (error) {
    return error
  }
  return undefined
}

import { describe, expect, it } from 'vitest'
import { ConnectionError } from '../errors.ts'
import { Slabs } from '../bytes/slabs.ts'
import { encodeTopicName } from '../topics/topic-names.ts'
import { bytesOf, Delivery, DeliveryList } from './deliveries.ts'

function delivery(payload: string | Uint8Array, lent = false): Delivery {
  const name = encodeTopicName('a')
  return Delivery.of(
    { name, payload, payloadSize: payload.length, qos: 1, retain: false, properties: undefined, lent },
    0,
  )
}

function listOf(...payloads: string[]): DeliveryList {
  const list = new DeliveryList(true)
  for (const payload of payloads) list.push(delivery(payload))
  return list
}

const payloads = (list: DeliveryList): unknown[] => Array.from(list, ({ payload }) => payload)

/** The same from the other end. */
function backward(list: DeliveryList): unknown[] {
  const found: unknown[] = []
  for (let item = list.tail; item !== undefined; item = item.previous) found.unshift(item.payload)
  return found
}

describe('a list of deliveries', () => {
  it('keeps their order, their number and their bytes', () => {
    const list = listOf('1', '22', '333')
    expect(payloads(list)).toEqual(['1', '22', '333'])
    expect(list).toMatchObject({ size: 3, bytes: 15 })
  })

  it('counts bytes only when it is to', () => {
    const list = new DeliveryList()
    for (const item of [delivery('1'), delivery('22')]) list.push(item)
    expect(list).toMatchObject({ size: 2, bytes: 0 })
    expect(bytesOf(list)).toBe(9)
    list.remove(list.head as Delivery)
    expect(list).toMatchObject({ size: 1, bytes: 0 })
    expect(bytesOf(list)).toBe(5)
  })

  it.each([0, 1, 2])('lets go of number %i wherever it stands', (index) => {
    const list = listOf('0', '1', '2')
    const gone = [...list][index] as Delivery
    list.remove(gone)
    const rest = ['0', '1', '2'].filter((_, other) => other !== index)
    expect(payloads(list)).toEqual(rest)
    expect(backward(list)).toEqual(rest)
    expect(gone).toMatchObject({ previous: undefined, next: undefined })
    expect(list).toMatchObject({ size: 2, bytes: 8 })
  })

  it('is empty when all have left', () => {
    const list = listOf('0', '1')
    for (const item of list) list.remove(item)
    expect(list).toMatchObject({ head: undefined, tail: undefined, size: 0, bytes: 0 })
  })

  it.each([
    [[], []],
    [['1'], []],
    [[], ['2']],
    [
      ['1', '2'],
      ['3', '4'],
    ],
  ])('takes %j before %j', (first, second) => {
    const list = listOf(...second)
    const before = listOf(...first)
    list.prepend(before)
    expect(payloads(list)).toEqual([...first, ...second])
    expect(backward(list)).toEqual([...first, ...second])
    expect(list.size).toBe(first.length + second.length)
    expect(before).toMatchObject({ head: undefined, tail: undefined, size: 0, bytes: 0 })
  })
})

describe('a delivery', () => {
  it('makes a lent payload its own, once, rule 17', () => {
    const payload = Uint8Array.of(1, 2)
    const lent = delivery(payload, true)
    lent.own()
    const own = lent.payload
    expect(own).not.toBe(payload)
    payload.fill(9)
    expect(own).toEqual(Uint8Array.of(1, 2))
    lent.own()
    expect(lent.payload).toBe(own)
  })

  it('is as a new one in the memory of one that is over', () => {
    const last = delivery('first')
    Object.assign(last, {
      state: 'settled',
      packetId: 7,
      connection: 3,
      attempts: 2,
      reasonCode: 16,
      timeout: 9,
    })
    Object.assign(last, {
      result: { reasonString: 'x' },
      properties: { responseTopic: 'r' },
      sentAt: 5,
      key: 4,
    })
    last.recycle()
    expect(last.payload).toBe('')
    const next = delivery('second')
    const other = delivery('second')
    expect(next).toBe(last)
    expect(other).not.toBe(last)
    // Both are written before they are read.
    Object.assign(next, { key: other.key, sentAt: other.sentAt })
    expect(next).toEqual(other)
    expect(next.payload).toBe('second')
  })

  it.each([
    ['is not over', { state: 'published' }],
    [
      'failed',
      { state: 'settled', error: new ConnectionError('not-connected', 'x', { phase: 'established' }) },
    ],
    ['was abandoned', { state: 'settled', abandoned: true }],
  ])('keeps its memory when it %s', (_, fields) => {
    const kept = Object.assign(delivery('x'), fields)
    kept.recycle()
    expect(delivery('y')).not.toBe(kept)
    expect(kept.payload).toBe('x')
  })

  it('gives its memory to one other, however often that is asked for', () => {
    const over = Object.assign(delivery('x'), { state: 'settled' as const })
    over.recycle()
    over.recycle()
    expect(delivery('y')).toBe(over)
    expect(delivery('z')).not.toBe(over)
  })

  it.each(['own', 'release'] as const)('holds the memory of output that it stays in, until %s()', (end) => {
    const slabs = new Slabs()
    const { slab } = slabs.borrow(1_000)
    slab.bytes.set([1, 2], 500)
    const staying = delivery(Uint8Array.of(1, 2))
    staying.stay(slab, 500)
    // Who wrote into it, and the network, have let go.
    slab.release()
    expect(slabs.borrow(1_000).slab.bytes).not.toBe(slab.bytes)
    expect(staying.payload).toEqual(Uint8Array.of(1, 2))
    staying[end]()
    expect(slabs.borrow(1_000).slab.bytes).toBe(slab.bytes)
  })
})

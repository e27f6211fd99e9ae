// The judges of a soak, shown to catch what they are there for. The soak itself is `npm run soak`.
import { describe, expect, it } from 'vitest'
import { ClosedError, ConnectionError } from '../../src/index.ts'
import { faultsOf, Ledger } from './ledger.ts'
import { lineOf, summarize } from './report.ts'
import { compare } from './sample.ts'
import type { PeriodReport } from './soak.ts'

const NOT_CONNECTED = new ConnectionError('not-connected', '', { phase: 'established' })
const LOST = new ConnectionError('connection-lost', '', { phase: 'established' })
const UNKNOWN = new ClosedError('outcome-unknown', '', false)

/** A ledger whose only message had this outcome, and came so often. */
function ledgerOf(outcome: 'resolved' | Error | undefined, arrivals: number): Ledger {
  const ledger = new Ledger(1)
  const message = ledger.handlePublished()
  if (outcome === 'resolved') ledger.handleResolved(0, message)
  else if (outcome !== undefined) ledger.handleRejected(0, message, outcome)
  for (let arrival = 0; arrival < arrivals; arrival += 1) ledger.handleArrival(0, message)
  return ledger
}

describe('the ledger', () => {
  it.each([
    ['resolved and came', 'resolved', 1, [[], [], []]],
    ['resolved and did not come', 'resolved', 0, [[], ['lost'], ['lost']]],
    ['resolved and came twice', 'resolved', 2, [['more than once'], [], ['more than once']]],
    ['has not settled', undefined, 1, [['not settled'], ['not settled'], ['not settled']]],
    ['was not sent', NOT_CONNECTED, 0, [[], [], []]],
    [
      'was not sent and came',
      NOT_CONNECTED,
      1,
      [['nothing was sent'], ['nothing was sent'], ['nothing was sent']],
    ],
    ['was lost with its connection and came', LOST, 1, [[], [], []]],
    ['has an unknown outcome and did not come', UNKNOWN, 0, [[], [], []]],
    ['has an unknown outcome and came', UNKNOWN, 1, [[], [], []]],
  ] as const)('knows a message that %s', (_, outcome, arrivals, expected) => {
    const judged = ledgerOf(outcome, arrivals).judge()
    for (const qos of [0, 1, 2] as const) {
      expect(faultsOf(qos, judged)).toEqual(expected[qos].map((part) => expect.stringContaining(part)))
    }
  })

  it('counts what was refused by its code', () => {
    expect(ledgerOf(UNKNOWN, 0).judge().rejected).toEqual({ 'outcome-unknown': 1 })
  })

  it('counts what comes after its period, and begins anew', () => {
    const ledger = ledgerOf('resolved', 1)
    expect([ledger.isFull, ledger.late]).toEqual([true, 0])
    ledger.turn()
    ledger.handleArrival(0, 0)
    expect([ledger.isFull, ledger.late, ledger.judge().published, ledger.judge().arrived]).toEqual([
      false,
      1,
      0,
      0,
    ])
  })
})

describe('the samples', () => {
  const MEGABYTE = 1_048_576

  it.each([
    ['heap', 10 * MEGABYTE, 11 * MEGABYTE, true],
    ['heap', 10 * MEGABYTE, 11 * MEGABYTE + 1, false],
    ['heap', 100 * MEGABYTE, 105 * MEGABYTE, true],
    ['heap', 100 * MEGABYTE, 106 * MEGABYTE, false],
    ['heap', 10 * MEGABYTE, 5 * MEGABYTE, true],
    ['active resources', 16, 16, true],
    ['active resources', 16, 17, false],
    ['active resources', 16, 15, false],
    ['operations owed', 0, 1, false],
  ])('of %s: %i and then %i is flat: %s', (name, second, last, flat) => {
    expect(compare({ [name]: second }, { [name]: last })).toEqual([{ name, second, last, flat }])
  })
})

describe('the summary', () => {
  it('is well when nothing is wrong', () => {
    expect(summarize([report(1), report(2), report(3)])).toMatchObject({ ok: true, seconds: 180, faults: [] })
  })

  it.each([
    [
      'a fault of a period',
      [report(1), { ...report(2), faults: ['3.1.1: lost'] }, report(3)],
      '2: 3.1.1: lost',
    ],
    [
      'growth',
      [report(1), report(2), { ...report(3), sample: { heap: 9e9, 'active resources': 16 } }],
      'heap: 1,000 in the second',
    ],
    ['a slow run', [report(1), report(2), { ...report(3), seconds: 1_000 }], 'expected 2,000'],
    ['nothing to compare', [report(1), report(2)], 'no two periods'],
  ])('is not well with %s', (_, reports, fault) => {
    const { ok, faults } = summarize(reports)
    expect([ok, faults]).toEqual([false, [expect.stringContaining(fault)]])
  })

  it('has a line for each period', () => {
    expect(lineOf(report(1))).toContain(
      '126,000 messages came (2,100/s)  lost 0  QoS 1 again 0  others twice 0',
    )
  })
})

function report(period: number): PeriodReport {
  const judged = {
    published: 42_000,
    arrived: 42_000,
    resolved: 42_000,
    rejected: {},
    waiting: 0,
    lost: 0,
    again: 0,
  }
  const levels = [0, 1, 2].map(() => ({ ...judged, untruthful: 0 }))
  const version = {
    version: '5',
    judged: levels,
    reconnects: 0,
    sessionsLost: 0,
    errors: [],
    late: 0,
  } as const
  const sample = { heap: 1_000, 'active resources': 16 }
  return { period, seconds: 60, versions: [version], cuts: 0, restarts: 0, sample, faults: [] }
}

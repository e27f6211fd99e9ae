/** What a client, or all clients of a pool, have done and have to do. */

import { Traffic } from '../core/connection/traffic.ts'
import { PACKET_TYPES, type PacketType } from '../core/packets/types.ts'
import { bytesOf } from '../core/session/deliveries.ts'
import { Session } from '../core/session/session.ts'

/** By packet type. */
export type PacketCounts = Readonly<Record<PacketType, number>>

export interface StatisticsSnapshot {
  /** Publishes, subscribes and unsubscribes that have not settled. */
  readonly incompleteOperations: number
  /** Bytes of topics and payloads of the publishes among them. */
  readonly incompleteBytes: number
  /** Those of them that were sent and wait for an answer. */
  readonly unackedOperations: number
  readonly unackedBytes: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly packetsIn: PacketCounts
  readonly packetsOut: PacketCounts
  /** PUBLISHes by QoS, re-sends included. */
  readonly messagesIn: readonly [number, number, number]
  readonly messagesOut: readonly [number, number, number]
  /** Connections that followed one that was lost. */
  readonly reconnects: number
  /** ms of the latest PINGREQ; undefined before the first. */
  readonly lastRoundTrip: number | undefined
  /** Acknowledgements of unknown packet identifiers, rule 12. */
  readonly unknownAcknowledgements: number
  /** Messages that no handler wanted. */
  readonly messagesUnmatched: number
  /** Messages dropped: by `'drop-oldest'` and `'drop-newest'`, by `send`, in a stream that was left. */
  readonly messagesDropped: number
  /** Messages whose properties could not be sent in 3.1.1. */
  readonly propertiesLeftOut: number
}

/** The counters that the client itself keeps. */
export class Statistics {
  reconnects = 0
  messagesUnmatched = 0
  messagesDropped = 0
}

/** The four of AWS: what is owed. */
export interface Owed {
  readonly incompleteOperations: number
  readonly incompleteBytes: number
  readonly unackedOperations: number
  readonly unackedBytes: number
}

/**
 * @param waiting publishes that wait for room in the queue
 * @param requests SUBSCRIBEs and UNSUBSCRIBEs that have not settled, and those of them that were sent
 */
export function owedBy(session: Session, waiting: number, requests: number, unanswered: number): Owed {
  const { released, published, queued } = session
  const unacked = released.size + published.size
  const unackedBytes = bytesOf(released) + bytesOf(published)
  return {
    incompleteOperations: unacked + queued.size + waiting + requests,
    incompleteBytes: unackedBytes + queued.bytes,
    unackedOperations: unacked + unanswered,
    unackedBytes,
  }
}

export function snapshot(
  traffic: Readonly<Traffic>,
  statistics: Readonly<Statistics>,
  owed: Owed,
): StatisticsSnapshot {
  return {
    ...owed,
    ...statistics,
    ...traffic,
    packetsIn: byType(traffic.packetsIn),
    packetsOut: byType(traffic.packetsOut),
    messagesIn: [...traffic.messagesIn],
    messagesOut: [...traffic.messagesOut],
    lastRoundTrip: traffic.lastRoundTrip < 0 ? undefined : traffic.lastRoundTrip,
  }
}

/** The sum of several; the round trip is the first's that has one. */
export function sum(all: readonly StatisticsSnapshot[]): StatisticsSnapshot {
  const empty = snapshot(new Traffic(), new Statistics(), owedBy(new Session(), 0, 0, 0))
  return all.reduce((left, right) => add(left, right) as StatisticsSnapshot, empty)
}

function add(left: unknown, right: unknown): unknown {
  if (typeof left === 'number' && typeof right === 'number') return left + right
  if (typeof left !== 'object' || left === null) return left ?? right
  if (Array.isArray(left)) return left.map((value, index) => add(value, (right as unknown[])[index]))
  const other = right as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    Object.entries(left).map(([name, value]) => {
      return [name, name === 'lastRoundTrip' ? (value ?? other[name]) : add(value, other[name])]
    }),
  )
}

function byType(counts: readonly number[]): PacketCounts {
  const names = Object.keys(PACKET_TYPES) as PacketType[]
  return Object.fromEntries(names.map((name) => [name, counts[PACKET_TYPES[name]] ?? 0])) as PacketCounts
}

// What must stay flat, however long it runs: taken when nothing is under way, after a full garbage
// collection.
import { Socket } from 'node:net'
import { queryObjects, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Driver } from '../../src/client/driver.ts'
import { Connection } from '../../src/core/connection/connection.ts'
import { Operation } from '../../src/core/connection/operations.ts'
import { Delivery, SPARE } from '../../src/core/session/deliveries.ts'
import { Session } from '../../src/core/session/session.ts'
import type { Client } from '../../src/index.ts'

/** Numbers by name. */
export type Sample = Readonly<Record<string, number>>

/** They vary a little by nature, and may shrink; the others are counts. */
const BYTES: ReadonlySet<string> = new Set(['heap', 'buffers'])

/** How far the last may be above or below the second. */
const SHARE = 0.05
/**
 * Bytes by which heap and buffers may have grown all the same: code that V8 compiles late, pages half full.
 */
const ALLOWANCE = 1_048_576

/**
 * Timers are asked for by their objects, as those that do not keep the process alive are no active resources.
 */
const { constructor: Timeout } = setTimeout(() => {}, 0)

/** Objects of which each connection has some: one that outlives its connection is a leak. */
const CLASSES = { Driver, Connection, Session, Delivery, Operation, Socket, Timeout } as const

// The first stack that is asked for has Node read the source map, 5 MB. Sooner or later some error does: so now.
void new Error('not thrown').stack

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

export async function takeSample(clients: readonly Client[]): Promise<Sample> {
  collect()
  // Sockets that were closed leave in later turns.
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  const pending = clients.flatMap((client) => client.pending)
  const sum = (name: 'incompleteOperations' | 'incompleteBytes'): number =>
    clients.reduce((total, client) => total + client.statistics[name], 0)
  return {
    heap: heapUsed,
    buffers: arrayBuffers,
    'active resources': process.getActiveResourcesInfo().length,
    'packet ids in use': pending.filter(({ packetId }) => packetId !== undefined).length,
    'operations owed': sum('incompleteOperations'),
    'bytes owed': sum('incompleteBytes'),
  }
}

/**
 * Stops the process for up to a second each, so it is not for every period. Deliveries that wait to be used again are
 * as many as were under way at most: they are left out.
 */
export function countObjects(): Sample {
  const counts = Object.entries(CLASSES).map(([name, type]): [string, number] => {
    const spare = type === Delivery ? SPARE.length : 0
    return [`${name} objects`, queryObjects(type, { format: 'count' }) - spare]
  })
  return Object.fromEntries(counts)
}

export interface Flatness {
  readonly name: string
  readonly second: number
  readonly last: number
  readonly flat: boolean
}

/** Holds the last sample against the second. */
export function compare(second: Sample, last: Sample): readonly Flatness[] {
  return Object.entries(second).map(([name, before]) => {
    const after = last[name] ?? NaN
    const flat = BYTES.has(name)
      ? after - before <= Math.max(SHARE * before, ALLOWANCE)
      : Math.abs(after - before) <= SHARE * before
    return { name, second: before, last: after, flat }
  })
}

/** The end of the demo: its result as an object, which is what `--json` prints, and as a table. */

import type { QoS } from '../src/index.ts'
import type { Features } from './features.ts'
import type { LoadResult } from './load.ts'
import type { Count } from './tally.ts'

export interface Outcome {
  readonly ok: boolean
  readonly version: '3.1.1' | '5'
  readonly qos0: Count
  readonly qos1: Count
  readonly qos2: Count
  readonly retained: boolean
  readonly will: boolean
  readonly reconnects: number
  readonly cutWithUnacked: number
  /** Null when the broker did not answer. */
  readonly pingMs: number | null
  readonly messagesPerSecond: number
}

/** @param isFair it came to its end, and the broker complains of nothing */
export function outcomeOf(
  version: '3.1.1' | '5',
  { retained, will, pingMs }: Features,
  load: LoadResult,
  isFair: boolean,
): Outcome {
  const { tally, cutWithUnacked, reconnects, messagesPerSecond } = load
  const [qos0, qos1, qos2] = [tally.count(0), tally.count(1), tally.count(2)]
  return {
    ok: isFair && qos1.lost === 0 && qos2.lost === 0 && qos2.duplicates === 0,
    version,
    qos0,
    qos1,
    qos2,
    retained,
    will,
    reconnects,
    cutWithUnacked,
    pingMs: pingMs === undefined ? null : Math.round(pingMs * 1_000) / 1_000,
    messagesPerSecond,
  }
}

export function tableOf({ qos0, qos1, qos2 }: Outcome): string {
  return [
    '           sent  delivered     lost  duplicates',
    line(0, qos0, 'may be lost'),
    line(1, qos1, 'may come twice'),
    line(2, qos2, 'exactly once'),
  ].join('\n')
}

function line(qos: QoS, { sent, delivered, lost, duplicates }: Count, promise: string): string {
  if (sent === 0) return `  QoS ${qos}  left out: this broker does not have it`
  const [first, second, third, last] = [sent, delivered, lost, duplicates].map((count) =>
    count.toLocaleString('en'),
  )
  return `  QoS ${qos}${first?.padStart(8)}${second?.padStart(11)}${third?.padStart(9)}${last?.padStart(12)}   ${promise}`
}

// What was published at one QoS by one pair of clients, what became of each publish, and what came of it.
//
// A message is a number within a period (a minute). At the end of a period nothing is under way any more: the
// ledger is judged and used again, so that a soak of hours needs the memory of a minute. What still comes of
// an earlier period has come too late and is counted apart.
import { ClosedError, ConnectionError, type QoS } from '../../src/index.ts'

const WAITS = 0
const RESOLVED = 1
/** The error says that nothing was sent. */
const NOT_SENT = 2
/** The error leaves open whether the message arrives. */
const UNKNOWN = 3

export interface Judgement {
  readonly published: number
  /** Different messages. */
  readonly arrived: number
  readonly resolved: number
  /** By an error's `code`. */
  readonly rejected: Readonly<Record<string, number>>
  /** The promise has not settled. */
  readonly waiting: number
  /** The promise resolved, and the message has not come. */
  readonly lost: number
  /** Arrivals beyond the first of each message. */
  readonly again: number
  /** The error said that nothing was sent, and the message came all the same. */
  readonly untruthful: number
}

export class Ledger {
  readonly #outcomes: Uint8Array
  readonly #arrivals: Uint8Array
  #rejected = new Map<string, number>()
  #period = 0
  #published = 0
  #late = 0

  /** @param capacity messages of a period */
  constructor(capacity: number) {
    this.#outcomes = new Uint8Array(capacity)
    this.#arrivals = new Uint8Array(capacity)
  }

  get period(): number {
    return this.#period
  }

  /** Arrivals of a period that was over. */
  get late(): number {
    return this.#late
  }

  get isFull(): boolean {
    return this.#published === this.#outcomes.length
  }

  /** The number of the next message. */
  handlePublished(): number {
    return this.#published++
  }

  handleResolved(period: number, message: number): void {
    if (period === this.#period) this.#outcomes[message] = RESOLVED
  }

  handleRejected(period: number, message: number, error: unknown): void {
    const code = codeOf(error)
    this.#rejected.set(code, (this.#rejected.get(code) ?? 0) + 1)
    if (period === this.#period) this.#outcomes[message] = isOpen(error) ? UNKNOWN : NOT_SENT
  }

  handleArrival(period: number, message: number): void {
    if (period !== this.#period) this.#late += 1
    else this.#arrivals[message] = Math.min(255, (this.#arrivals[message] ?? 0) + 1)
  }

  judge(): Judgement {
    const counts = { arrived: 0, resolved: 0, waiting: 0, lost: 0, again: 0, untruthful: 0 }
    for (let message = 0; message < this.#published; message += 1) {
      const outcome = this.#outcomes[message]
      const arrivals = this.#arrivals[message] ?? 0
      if (outcome === WAITS) counts.waiting += 1
      if (outcome === RESOLVED) counts.resolved += 1
      if (outcome === RESOLVED && arrivals === 0) counts.lost += 1
      if (outcome === NOT_SENT && arrivals > 0) counts.untruthful += 1
      if (arrivals > 0) counts.arrived += 1
      counts.again += Math.max(0, arrivals - 1)
    }
    return { ...counts, published: this.#published, rejected: Object.fromEntries(this.#rejected) }
  }

  /** The next period begins. */
  turn(): void {
    this.#period += 1
    this.#published = 0
    this.#outcomes.fill(WAITS)
    this.#arrivals.fill(0)
    this.#rejected = new Map()
  }
}

/** What is wrong with a period, in sentences; nothing, when all is well. */
export function faultsOf(qos: QoS, judged: Judgement): readonly string[] {
  const { waiting, lost, again, untruthful } = judged
  const faults: string[] = []
  if (waiting > 0) faults.push(`${waiting} publishes of QoS ${qos} have not settled`)
  if (lost > 0 && qos > 0) faults.push(`${lost} messages of QoS ${qos} were lost`)
  if (again > 0 && qos !== 1) faults.push(`messages of QoS ${qos} came ${again} times more than once`)
  if (untruthful > 0) {
    faults.push(`${untruthful} messages of QoS ${qos} came though their publish said that nothing was sent`)
  }
  return faults
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

function isOpen(error: unknown): boolean {
  if (error instanceof ClosedError) return error.code === 'outcome-unknown' || error.kept
  if (!(error instanceof ConnectionError)) return false
  // QoS 0 that the network had not taken yet: its first part may have left.
  return error.code === 'connection-lost' || error.outcome === 'pending'
}

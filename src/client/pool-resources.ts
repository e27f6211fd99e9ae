/** What the clients of one pool share. */

import { Slabs } from '../core/bytes/slabs.ts'
import { TopicNames } from '../core/topics/topic-names.ts'
import type { Dial } from '../transport/transport.ts'
import { Alarms } from './alarms.ts'
import { AttemptBudget } from './attempt-budget.ts'
import type { Runtime } from './runtime.ts'

export interface PoolResources {
  readonly runtime: Runtime
  readonly dial: Dial
  /** One timer for all deadlines. */
  readonly alarms: Alarms
  /** Memory that output is written into. */
  readonly slabs: Slabs
  /** Topics that were checked and encoded. */
  readonly names: TopicNames
  readonly budget: AttemptBudget
}

export function createResources(
  runtime: Runtime,
  dial: Dial,
  limits: { maxAttempts: number; attemptsPerSecond: number },
): PoolResources {
  const alarms = new Alarms(runtime)
  return {
    runtime,
    dial,
    alarms,
    slabs: new Slabs(),
    names: new TopicNames(),
    budget: new AttemptBudget(runtime, alarms, limits.maxAttempts, limits.attemptsPerSecond),
  }
}

// All defects, in the order of the table.
import { browserBundle, reconnecting } from './connecting.ts'
import type { Defect } from './defect.ts'
import { drainOfQueue, endWithPending, manyOffline, sendingAgain, serverLimits } from './publishing.ts'
import { illegalTopics, refusals, slowHandlers, throwingHandlers } from './subscribing.ts'

export const DEFECTS: readonly Defect[] = [
  sendingAgain,
  serverLimits,
  drainOfQueue,
  manyOffline,
  endWithPending,
  refusals,
  illegalTopics,
  reconnecting,
  slowHandlers,
  throwingHandlers,
  browserBundle,
]

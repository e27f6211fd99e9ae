// A feature of brokers and client together.
import type { Stage } from './stage.ts'

export interface Feature {
  readonly name: string
  /** What is done, and what must come of it. */
  readonly about: string
  /** What was seen. @throws Different, or what the client throws, when it does not work */
  run(stage: Stage): Promise<string>
}

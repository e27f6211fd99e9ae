// What became of a feature with a broker, and errors in words.
import { ConnectionError, MqttError, ProtocolError, RefusedError } from '../../src/index.ts'

export type Version = '3.1.1' | '5'

/**
 * `works`; `limited`: does not, as was to be expected, and shows it as it should; `fails`: does not, and should, or
 * shows otherwise; `absent`: was not tried.
 */
export type Verdict = 'works' | 'limited' | 'fails' | 'absent'

export interface Outcome {
  readonly verdict: Verdict
  /** What was seen. */
  readonly text: string
  /** Of `limited`: why; of `works`: that a limitation was expected. */
  readonly remark?: string | undefined
}

/** What a feature fails with when the client has no error for it: something else came than was asked for. */
export class Different extends Error {}

/** An error of the client as its users tell errors apart. */
export function describe(error: unknown): string {
  if (!(error instanceof MqttError)) {
    return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s*\n\s*/g, ' ')
  }
  const details: string[] = [error.code]
  if (error instanceof RefusedError || error instanceof ProtocolError) {
    details.push(`0x${error.reasonCode.toString(16).padStart(2, '0')}`)
  }
  if (error instanceof RefusedError && error.local) details.push('local')
  if (error instanceof ConnectionError) details.push(`phase ${error.phase}`)
  const cause = error.cause === undefined ? '' : `; cause: ${describe(error.cause)}`
  return `${error.name} ${details.join(', ')}: ${error.message}${cause}`
}

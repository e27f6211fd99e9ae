/** The demo's command line. What is wrong with it is said in one sentence, `DemoUsageError`. */

import { parseArgs } from 'node:util'

export const HELP = `Shows what Petrel does, over real TCP: npm run demo -- [options]

  --url URL        against your broker, e.g. mqtt://localhost:1883; without it, a test broker in this process
  --protocol V     3.1.1 (default) or 5
  --json           the last line is the result as JSON
  --help           this text

In the JSON, cutWithUnacked is the smallest number of unacknowledged messages of one QoS when a socket was destroyed,
and messagesPerSecond counts the whole exchange, with both cuts and the waiting for new connections.
Exit code: 0; 1 when a QoS 1 or 2 message was lost, a QoS 2 message came twice, the time ran out or the test broker
complains; 2 for a wrong option.
`

export interface DemoOptions {
  /** Undefined: the test broker. */
  readonly url: string | undefined
  readonly protocol: '3.1.1' | '5'
  readonly json: boolean
  readonly help: boolean
}

export class DemoUsageError extends Error {}

/** @throws DemoUsageError */
export function readOptions(args: readonly string[]): DemoOptions {
  const { url, protocol, json, help } = parse(args)
  if (protocol !== '3.1.1' && protocol !== '5') {
    throw new DemoUsageError(`--protocol: expected 3.1.1 or 5, got ${JSON.stringify(protocol)}`)
  }
  if (url !== undefined && !URL.canParse(url)) {
    throw new DemoUsageError(
      `--url: expected a URL such as mqtt://localhost:1883, got ${JSON.stringify(url)}`,
    )
  }
  return { url, protocol, json, help }
}

function parse(args: readonly string[]): {
  url: string | undefined
  protocol: string
  json: boolean
  help: boolean
} {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        url: { type: 'string' },
        protocol: { type: 'string', default: '3.1.1' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
    const { url, protocol, json, help } = values
    return { url, protocol, json, help }
  } catch (error) {
    throw new DemoUsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

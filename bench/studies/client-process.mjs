// What the clients' processes of the studies share: what they are told, which client they have, how they end.

import { settings } from './settings.mjs'

export { settings }

/** The client's adapter. The limit of those that handle message by message is a raw client that does so, too. */
export const adapter = await import(
  `../clients/${settings.client === 'raw' ? 'raw-messages' : settings.client}.mjs`
)

/** Prints the result and ends the process, whatever is still open. */
export const finish = (result) => process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))

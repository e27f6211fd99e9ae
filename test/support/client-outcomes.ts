// What becomes of a client, to be awaited.
import type { Client } from '../../src/client/client.ts'
import type { ClientEvents } from '../../src/client/events.ts'

/** The next event of this name. */
export function nextEvent<Name extends keyof ClientEvents>(
  client: Client,
  name: Name,
): Promise<ClientEvents[Name]> {
  return new Promise((resolve) => void client.on(name, resolve, { once: true }))
}

/** Why a client does not connect. @throws Error when it does */
export async function refusalOf(client: Client): Promise<Error> {
  const refusal = await client.connect().then(
    () => undefined,
    (error: unknown) => error as Error,
  )
  if (refusal === undefined) throw new Error('it has connected')
  return refusal
}

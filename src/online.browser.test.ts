// Which clients try at once when the browser says "online". The event itself is Chromium's in test/browser.
import { afterEach, expect, it, vi } from 'vitest'
import { outcomeOf, useWorlds } from '../test/support/client-world.ts'
import type { Client } from './client/client.ts'

// By its address: its types are those of a browser.
const file = new URL('online.browser.ts', import.meta.url).href
const { OnlineWatch } = (await import(file)) as { OnlineWatch: new () => { watch(client: Client): void } }
const makeWorld = useWorlds()
afterEach(() => void vi.unstubAllGlobals())

it.each([
  ['the network is gone', 'connected', () => {}],
  ['a token cannot be fetched', 'connected', () => fail(new TypeError('Failed to fetch'))],
  ['the broker refuses', 'waiting', () => {}],
] as const)('when %s a client is %s', async (what, state, credentials) => {
  let goOnline = (): void => {}
  vi.stubGlobal('addEventListener', (_event: string, listener: () => void) => (goOnline = listener))
  let refuses = 0
  let isOnline = true
  const world = makeWorld('3.1.1', { broker: { login: () => refuses } })
  const client = world.client({
    reconnect: { min: 60_000, max: 60_000 },
    credentials: () => {
      if (!isOnline) credentials()
      return { username: 'u' }
    },
  })
  new OnlineWatch().watch(client)
  await client.connect()
  isOnline = false
  if (what === 'the network is gone') world.link.dialing = 'refused'
  if (what === 'the broker refuses') refuses = 0x87
  world.broker.cutAll()
  await world.advance(60_000)
  expect(client.state).toBe('waiting')
  isOnline = true
  refuses = 0
  world.link.dialing = 'answered'
  goOnline()
  await world.settle()
  expect(client.state).toBe(state)
  if (state === 'waiting') expect(outcomeOf(client.connect()).state).toBe('pending')
})

it('a client that was closed is forgotten', async () => {
  let goOnline = (): void => {}
  vi.stubGlobal('addEventListener', (_event: string, listener: () => void) => (goOnline = listener))
  const world = makeWorld('3.1.1')
  const client = world.client()
  const again = vi.spyOn(client, 'reconnectNow')
  new OnlineWatch().watch(client)
  await client.connect()
  await client.disconnect()
  goOnline()
  expect(again).not.toHaveBeenCalled()
})

function fail(error: Error): never {
  throw error
}

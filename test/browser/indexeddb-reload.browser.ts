// A page with a client whose session is in IndexedDB. It says what it has done, by the function `say` that the test
// gives it, and waits until that was heard: what was not said was not done.
import {
  type Client,
  createClient,
  indexedDBStore,
  type Message,
  MqttError,
} from '../../src/index.browser.ts'

declare function say(line: string): Promise<void>

let client: Client | undefined

/** @param first the number of the first message that is published; undefined: none are */
export async function start(url: string, version: string, first?: number): Promise<void> {
  const common = {
    clientId: 'page',
    store: indexedDBStore('session'),
    reconnect: { min: 20, max: 100 },
    queue: { overflow: 'wait' },
  } as const
  client = createClient(
    url,
    version === '5'
      ? { ...common, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: Infinity }
      : { ...common, protocolVersion: '3.1.1', cleanSession: false },
  )
  client.on('error', ({ error }) => void say(`error ${describe(error)}`))
  client.on('disconnected', ({ error }) => void say(`disconnected ${describe(error)}`))
  const handle = (message: Message): Promise<void> => say(`${message.topic} ${message.text()}`)
  client.route('down/handled', handle)
  client.route('down/received', handle, { ack: 'received' })
  await client.connect()
  await client.subscribe('down/#', { qos: 2 })
  if (first !== undefined) void work(client, first)
}

/** Publishes without end, ten at a time, and says when the store has them. */
async function work(publisher: Client, first: number): Promise<void> {
  for (let id = first; ; id += 10) {
    const batch = Array.from({ length: 10 }, async (_, index) => {
      const number = String(id + index)
      try {
        await publisher.publish('up', number, { qos: 2, until: 'stored' })
      } catch (error) {
        return say(`error ${describe(error)}`)
      }
      return say(`stored ${number}`)
    })
    await Promise.all(batch)
  }
}

/** Resolves when nothing is owed to the broker. */
export async function drain(): Promise<void> {
  const drained = client
  if (drained === undefined) throw new Error('there is no client')
  while (drained.pending.length > 0) {
    await new Promise((resolve) => drained.on('deliverySettled', resolve, { once: true }))
  }
}

export async function end(): Promise<void> {
  await client?.disconnect()
}

function describe(error: unknown): string {
  return error instanceof MqttError ? `${error.code} ${error.message}` : String(error)
}

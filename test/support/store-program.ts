// What a process of the store's tests runs: a client with a store in a folder. It says what it has done, a line
// each and written before the next step is taken, so that a killed process has said all that it has promised; it is
// told what to do by lines on its standard input. `startProgram` of store-process.ts starts it.
import { unlinkSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type Client, createClient, fileStore, type Message, MqttError } from '../../src/index.ts'

const [url = '', folder = '', version = ''] = process.argv.slice(2)

function say(line: string): void {
  writeSync(1, `${line}\n`)
}

function describe(error: unknown): string {
  if (!(error instanceof MqttError)) return String(error)
  const cause = error.cause instanceof Error && 'code' in error.cause ? String(error.cause.code) : '-'
  return `${error.code} ${cause} ${error.message}`
}

const store = fileStore(folder)
const common = {
  clientId: 'program',
  store,
  reconnect: { min: 20, max: 100 },
  queue: { overflow: 'wait' },
} as const
const client: Client = createClient(
  url,
  version === '5'
    ? { ...common, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: Infinity }
    : { ...common, protocolVersion: '3.1.1', cleanSession: false },
)
client.on('error', ({ error }) => say(`error ${describe(error)}`))
client.on('disconnected', ({ error }) => say(`disconnected ${describe(error)}`))
client.on('connected', () => say('connected'))
const handle = (message: Message): void => say(`${message.topic} ${message.text()}`)
client.route('down/handled', handle)
client.route('down/received', handle, { ack: 'received' })

/** Publishes and says when the store has it. */
async function publish(topic: string, qos: 1 | 2, payload: string, label: string): Promise<void> {
  try {
    await client.publish(topic, payload, { qos, until: 'stored' })
    say(`stored ${label}`)
  } catch (error) {
    say(`refused ${label} ${describe(error)}`)
  }
}

/** Publishes without end, ten at a time, with numbers as payloads: even ones at QoS 1, odd ones at QoS 2. */
async function work(first: number): Promise<void> {
  for (let id = first; ; id += 10) {
    const batch = Array.from({ length: 10 }, (_, index) => id + index)
    await Promise.all(
      batch.map((number) => {
        const qos = number % 2 === 0 ? 1 : 2
        return publish(`up/${qos}`, qos, String(number), String(number))
      }),
    )
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function drain(): Promise<void> {
  while (client.pending.length > 0) {
    await new Promise((resolve) => client.on('deliverySettled', resolve, { once: true }))
  }
  say('drained')
}

/** Fills the disk by messages to nobody, until one is refused. */
async function fill(size: number): Promise<void> {
  for (let count = 0; ; count += 1) {
    try {
      await client.publish('up/fill', `${count} `.padEnd(size, 'x'), { qos: 1, until: 'stored' })
    } catch (error) {
      return say(`full ${count} ${describe(error)}`)
    }
  }
}

async function obey(line: string): Promise<void> {
  const [command = '', ...words] = line.split(' ')
  const [first = '', second = ''] = words
  if (command === 'work') await work(Number(first))
  else if (command === 'drain') await drain()
  else if (command === 'fill') await fill(Number(first))
  else if (command === 'publish') await publish(`up/${first}`, first === '1' ? 1 : 2, second, second)
  else if (command === 'unlink') unlinkSync(first)
  else if (command === 'end') {
    await client.disconnect()
    process.exit(0)
  }
}

try {
  await client.connect()
  if (store.dropped !== undefined) say(`dropped ${store.dropped.bytes} ${store.dropped.reason}`)
  await client.subscribe('down/#', { qos: 2 })
  say('ready')
} catch (error) {
  say(`failed ${describe(error)}`)
  process.exit(1)
}
createInterface({ input: process.stdin }).on('line', (line) => void obey(line))

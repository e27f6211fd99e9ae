// What Petrel promises, as a program that every runtime can run: no test runner, nothing but the package and modules
// that Node, Bun and Deno share. `run.ts` makes a file of it in which the two imports of sources below are imports of
// the package as it was packed.
//
// It prints a line of JSON for each part, `done` at last, and must then end by itself: that is the last part, which
// only `run.ts` can see.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import process from 'node:process'
import { type Client, type ClientOptions, connect, fileStore, MqttError } from '../../src/index.ts'
import { createBroker } from '../../src/testing/index.ts'

/** What `run.ts` gives: brokers that it has started, and a folder. Without a URL the part is skipped. */
export interface Surroundings {
  readonly urls: Readonly<Partial<Record<'tls' | 'ws' | 'wss' | 'mosquitto', string>>>
  /** The authority of the TLS servers, as PEM. */
  readonly ca: string
  /** An empty folder. */
  readonly folder: string
}

/** A line that the suite prints. */
export interface PartResult {
  readonly part: PartName | 'done'
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** ms */
  readonly duration: number
  readonly error?: string | undefined
}

type Version = '3.1.1' | '5'

export type PartName = (typeof PARTS)[number]

export const PARTS = [
  'tcp',
  'tls',
  'ws',
  'wss',
  'mosquitto',
  'reconnect',
  'store',
  'streams',
  'require',
] as const

const VERSIONS: readonly Version[] = ['3.1.1', '5']

/** ms that a part may take. */
const PATIENCE = 30_000

/** Messages at each QoS. */
const COUNT = 50
/** Messages that make the client write into memory again that the network has let go. */
const FLOOD = 600

const { urls, ca, folder } = JSON.parse(process.argv[2] ?? '{}') as Surroundings
const started = performance.now()
let names = 0

const parts: Readonly<Record<PartName, () => Promise<void>>> = {
  tcp: () => withBroker((url) => exchanges(url)),
  tls: () => exchanges(urls.tls ?? '', { tls: { ca } }),
  ws: () => exchanges(urls.ws ?? ''),
  wss: () => exchanges(urls.wss ?? '', { tls: { ca } }),
  mosquitto: () => exchanges(urls.mosquitto ?? ''),
  reconnect: () => forVersions(reconnecting),
  store: () => forVersions(resuming),
  streams: () => forVersions(streaming),
  require: requiring,
}

for (const part of PARTS) print(await play(part))
print({ part: 'done', outcome: 'passed', duration: performance.now() - started })

async function play(part: PartName): Promise<PartResult> {
  if (part in urls || !['tls', 'ws', 'wss', 'mosquitto'].includes(part)) {
    const start = performance.now()
    const error = await within(PATIENCE, parts[part]()).then(() => undefined, describe)
    const outcome = error === undefined ? 'passed' : 'failed'
    return { part, outcome, duration: performance.now() - start, error }
  }
  return { part, outcome: 'skipped', duration: 0 }
}

/** Every QoS, both ways, with a payload that takes many reads; the client ends by `Symbol.asyncDispose`. */
function exchanges(url: string, options: Pick<ClientOptions, 'tls'> = {}): Promise<void> {
  return forVersions(async (version) => {
    const topic = unique('exchange')
    const large = new Uint8Array(300_000).map((_, index) => index % 251)
    const texts: string[] = []
    let isLargeWhole = false
    const flooded: number[] = []
    let arrived = (): void => {}
    const all = new Promise<void>((resolve) => (arrived = resolve))
    const receiver = await connect(url, { ...options, protocolVersion: version })
    await receiver.subscribe(`${topic}/+`, { qos: 2 }, (message) => {
      if (message.topic.endsWith('large')) isLargeWhole = equal(message.payload, large)
      else if (message.topic.endsWith('flood')) flooded.push(numberOf(message.payload))
      else texts.push(`${message.qos} ${message.text()}`)
      if (isLargeWhole && flooded.length === FLOOD && texts.length === 3 * COUNT) arrived()
    })
    const sender = await connect(url, { ...options, protocolVersion: version })
    const publishing: Promise<unknown>[] = []
    for (const qos of [0, 1, 2] as const) {
      for (let index = 0; index < COUNT; index += 1) {
        publishing.push(sender.publish(`${topic}/small`, String(index), { qos }))
      }
    }
    publishing.push(sender.publish(`${topic}/large`, large, { qos: 1 }))
    const bytes = new Uint8Array(9_000)
    for (let index = 0; index < FLOOD; index += 1) {
      const size = 2 + ((index * 173) % 8_999)
      bytes.fill(index, 0, size)[0] = index >> 8
      publishing.push(sender.publish(`${topic}/flood`, bytes.subarray(0, size), { qos: 1 }))
    }
    await Promise.all(publishing)
    await all
    expect([...texts].sort(), expectedTexts().sort(), 'messages')
    expect(flooded, [...flooded.keys()], 'the flood')
    expect(await sender.ping().then((ms) => ms >= 0), true, 'ping')
    await sender.disconnect()
    await receiver[Symbol.asyncDispose]()
    expect([sender.state, receiver.state], ['stopped', 'stopped'], 'states')
  })
}

/** Of a message of the flood; -1 for one that holds anything else. */
function numberOf(payload: Uint8Array): number {
  const [high = 0, low = 0] = payload
  return payload.subarray(1).every((byte) => byte === low) ? 256 * high + low : -1
}

function expectedTexts(): string[] {
  return [0, 1, 2].flatMap((qos) => Array.from({ length: COUNT }, (_, index) => `${qos} ${index}`))
}

/** The broker cuts a connection in the midst of QoS 2; nothing is lost, nothing comes twice. */
function reconnecting(version: Version): Promise<void> {
  return withBroker(async (url, broker) => {
    const [topic, clientId] = [unique('reconnect'), unique('sender')]
    const receiver = await connect(url, { protocolVersion: version })
    const received = collect(4 * COUNT)
    await receiver.subscribe(topic, { qos: 2 }, (message) => received.add(message.text()))
    broker.faults.onReceive('publish', { clientId, nth: COUNT }).cutBefore()
    broker.faults.onSend('pubrec', { clientId, nth: 2 * COUNT }).cutBefore()
    const sender = await connect(url, { ...lasting(version, clientId), reconnect: { min: 10, max: 50 } })
    let connections = 1
    sender.on('resumed', () => (connections += 1))
    const numbers = Array.from({ length: 4 * COUNT }, (_, index) => String(index))
    await Promise.all(numbers.map((number) => sender.publish(topic, number, { qos: 2 })))
    await received.all
    expect(received.texts, numbers, 'messages')
    expect(connections, 3, 'connections')
    await end(sender, receiver)
  })
}

/** What a client had in its store when it was destroyed is delivered by the next client with the same store. */
function resuming(version: Version): Promise<void> {
  return withBroker(async (url, broker) => {
    const [topic, clientId] = [unique('store'), unique('sender')]
    const path = join(folder, clientId)
    const receiver = await connect(url, { protocolVersion: version })
    const received = collect(COUNT)
    await receiver.subscribe(topic, { qos: 2 }, (message) => received.add(message.text()))
    const numbers = Array.from({ length: COUNT }, (_, index) => String(index))
    broker.faults.onReceive('publish', { clientId, connection: 2 }).withhold()
    const first = await connect(url, { ...lasting(version, clientId), store: fileStore(path) })
    for (const number of numbers) await first.publish(topic, number, { qos: 2, until: 'stored' })
    expect(first.pending.length, COUNT, 'deliveries of the first client')
    first.destroy()
    const second = await connectAgain(url, { ...lasting(version, clientId), store: fileStore(path) })
    await received.all
    expect(received.texts, numbers, 'messages')
    await end(second, receiver)
  })
}

/** The first client's store is closed in the background: until it is, the folder is in use. */
async function connectAgain(url: string, options: ClientOptions): Promise<Client> {
  for (;;) {
    try {
      return await connect(url, options)
    } catch (error) {
      if (!(error instanceof MqttError) || error.code !== 'store-failed') throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

/** Web streams in, an async iterable out. */
function streaming(version: Version): Promise<void> {
  return withBroker(async (url) => {
    const topic = unique('stream')
    const client = await connect(url, { protocolVersion: version })
    const messages = client.messages(topic, { qos: 1, highWaterMark: 8 })
    await messages.ready
    const numbers = Array.from({ length: COUNT }, (_, index) => String(index))
    const source = new ReadableStream({
      start(controller): void {
        for (const payload of numbers) controller.enqueue({ topic, payload, qos: 1 as const })
        controller.close()
      },
    })
    const sent = source.pipeTo(client.writable())
    const texts: string[] = []
    for await (const message of messages) {
      texts.push(message.text())
      if (texts.length === COUNT) break
    }
    await sent
    expect(texts, numbers, 'messages')
    await end(client)
  })
}

/** CommonJS gets the very same module. */
async function requiring(): Promise<void> {
  const required = createRequire(import.meta.url)('petrel') as { connect: unknown; MqttError: unknown }
  expect(required.connect === connect, true, 'connect is one function')
  expect(required.MqttError === MqttError, true, 'MqttError is one class')
  const { PROPERTIES } = createRequire(import.meta.url)('petrel/core') as { PROPERTIES: unknown }
  expect(typeof PROPERTIES, 'object', 'petrel/core')
}

type Broker = ReturnType<typeof createBroker>['broker']

async function withBroker(play: (url: string, broker: Broker) => Promise<void>): Promise<void> {
  const server = createBroker()
  try {
    await play(await server.listen(), server.broker)
    expect(server.broker.finish(), [], 'complaints of the broker')
  } finally {
    await server.close()
  }
}

async function forVersions(play: (version: Version) => Promise<void>): Promise<void> {
  for (const version of VERSIONS) await play(version)
}

function lasting(version: Version, clientId: string): ClientOptions {
  return version === '5'
    ? { clientId, protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 300 }
    : { clientId, protocolVersion: '3.1.1', cleanSession: false }
}

/** Ends clients and their sessions as far as the server keeps none. */
async function end(...clients: readonly Client[]): Promise<void> {
  for (const client of clients) await client.disconnect({ drain: 5_000 })
}

interface Collected {
  readonly texts: string[]
  readonly all: Promise<void>
  add(text: string): void
}

function collect(count: number): Collected {
  const texts: string[] = []
  let resolve = (): void => {}
  const all = new Promise<void>((done) => (resolve = done))
  const add = (text: string): void => {
    texts.push(text)
    if (texts.length === count) resolve()
  }
  return { texts, all, add }
}

function unique(what: string): string {
  names += 1
  return `${what}-${process.pid}-${names}`
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, index) => byte === other[index])
}

function expect(actual: unknown, expected: unknown, what: string): void {
  const [got, wanted] = [actual, expected].map((value) => JSON.stringify(value))
  if (got !== wanted) throw new Error(`${what}: expected ${wanted}, got ${got}`)
}

async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${ms} ms`)), ms)
  })
  await Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.stack ?? error.message}` : String(error)
}

function print(result: PartResult): void {
  console.log(JSON.stringify(result))
}

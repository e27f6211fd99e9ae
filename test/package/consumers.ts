// The package's types as its users' compilers see them: every supported TypeScript, both ways to resolve modules that
// know `exports`, with and without Node's types, and declarations checked like the user's own code.
import { execFile } from 'node:child_process'
import { cpSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { fetchPackage } from '../runtimes/fetched.ts'
import type { Packed, Project } from './packed.ts'

const run = promisify(execFile)

export const COMPILERS: readonly string[] = ['5.9.3', '6.0.3', '7.0.2']

/** Of Node, for consumers that have them. */
const NODE_TYPES = '20.19.43'

type Platform = 'node' | 'browser'

const RESOLUTIONS = {
  nodenext: { module: 'nodenext', moduleResolution: 'nodenext' },
  bundler: { module: 'esnext', moduleResolution: 'bundler' },
} as const

/** What `lib` and `types` a program has. Without Node's types those of the web say what a URL is. */
const PLATFORMS: Readonly<Record<Platform, object>> = {
  node: { lib: ['es2022', 'esnext.disposable'], types: ['node'] },
  browser: { lib: ['es2022', 'dom', 'dom.asynciterable', 'esnext.disposable'], types: [] },
}

/** Uses each kind of declaration, and counts on errors where the types must refuse. */
const PROGRAM = `
import { type Client, ClientPool, type ClientOptions, connect, createClient, matches, type Message } from 'petrel'
import { memoryStore, MqttError, type NegotiatedSettings, REASON_CODES, RefusedError } from 'petrel'
import { Connection, Framer, mqtt5, type ControlPacket } from 'petrel/core'

const options: ClientOptions = { protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 60, store: memoryStore() }
const client: Client = createClient(['wss://a.example', new URL('wss://b.example')], options)

export async function use(): Promise<number | undefined> {
  const { settings, sessionPresent } = await client.connect({ signal: AbortSignal.timeout(1_000) })
  const limits: NegotiatedSettings = settings
  await client.subscribe({ 'a/+': { qos: 1 }, 'b/#': { qos: 2 } }, async (message: Message) => message.ack())
  for await (const message of client.messages('c/#', { qos: 2, highWaterMark: 10 })) {
    if (message.json<{ stop: boolean }>().stop) break
  }
  const off: () => void = client.on('connected', (event) => event.reconnected satisfies boolean)
  off()
  await client.publish('a/b', new Uint8Array(1), { qos: 1, properties: { userProperties: [['a', 'b']] } })
  await client.writable().abort()
  await client[Symbol.asyncDispose]()
  return sessionPresent ? limits.keepAlive : undefined
}

export async function refuse(): Promise<void> {
  // @ts-expect-error there is no QoS 3
  await client.publish('a', 'b', { qos: 3 })
  // @ts-expect-error cleanSession is a term of 3.1.1
  await connect('wss://a.example', { protocolVersion: '5', cleanSession: false })
  // @ts-expect-error a payload is text or bytes
  client.send('a', 1)
  // @ts-expect-error a pool has no such option
  await new ClientPool({ colour: 'red' }).close()
}

export function explain(error: unknown): string {
  if (error instanceof RefusedError) return String(error.reasonCode in REASON_CODES)
  return error instanceof MqttError ? error.code : ''
}

export const packet = (one: ControlPacket): string => (one.type === 'publish' ? one.topic : one.type)
export const machines: readonly unknown[] = [Connection, Framer, mqtt5, matches('a/#', 'a')]
`

/** What only Node, Bun and Deno have. */
const NODE_PROGRAM = `
import { connect, fileStore, type FileStore } from 'petrel'
import { Broker, createBroker, VirtualWorld } from 'petrel/testing'

const store: FileStore = fileStore('/tmp/session', { durability: 'power' })
export async function useNode(): Promise<string> {
  const server = createBroker({ maximumQoS: 1 })
  server.broker.faults.onSend('puback', { nth: 1 }).withhold()
  await connect(await server.listen(), { store, tls: { ca: Buffer.from('') }, proxy: 'socks5://localhost' })
  await server.close()
  return server.url
}
export const kinds: readonly unknown[] = [Broker, VirtualWorld]
`

/** Compilers at a time. */
const AT_ONCE = 2

/** Checks every combination; returns what each compiler said, by name; empty when all is well. */
export async function checkTypes(packed: Packed): Promise<ReadonlyMap<string, string>> {
  const complaints = new Map<string, string>()
  const checks: (() => Promise<void>)[] = []
  const folders = { node: await projectFor(packed, 'node'), browser: await projectFor(packed, 'browser') }
  for (const version of COMPILERS) {
    const tsc = join(await fetchPackage('typescript', version), 'bin/tsc')
    for (const [platform, { folder }] of Object.entries(folders)) {
      for (const resolution of Object.keys(RESOLUTIONS)) {
        checks.push(async () => {
          const said = await compile(tsc, folder, `${resolution}.json`)
          if (said !== '') complaints.set(`TypeScript ${version}, ${resolution}, ${platform}`, said)
        })
      }
    }
  }
  const work = async (): Promise<void> => {
    for (let check = checks.shift(); check !== undefined; check = checks.shift()) await check()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return complaints
}

/** How many combinations `checkTypes` checks. */
export const COMBINATIONS: number =
  COMPILERS.length * Object.keys(PLATFORMS).length * Object.keys(RESOLUTIONS).length

async function projectFor(packed: Packed, platform: Platform): Promise<Project> {
  const project = packed.project(`types-${platform}`)
  project.write('program.ts', PROGRAM)
  if (platform === 'node') {
    project.write('node.ts', NODE_PROGRAM)
    const types = await fetchPackage('@types/node', NODE_TYPES)
    for (const name of ['@types/node', 'undici-types']) {
      cpSync(join(types, '../..', name), join(project.folder, 'node_modules', name), { recursive: true })
    }
  }
  for (const [name, resolution] of Object.entries(RESOLUTIONS)) {
    const compilerOptions = {
      ...PLATFORMS[platform],
      ...resolution,
      ...(platform === 'browser' ? { customConditions: ['browser'] } : {}),
      target: 'es2022',
      strict: true,
      exactOptionalPropertyTypes: true,
      skipLibCheck: false,
      noEmit: true,
    }
    project.write(`${name}.json`, JSON.stringify({ compilerOptions, include: ['*.ts'] }))
  }
  return project
}

/** Returns what it says. */
async function compile(tsc: string, cwd: string, configuration: string): Promise<string> {
  try {
    await run(process.execPath, [tsc, '-p', configuration], { cwd })
    return ''
  } catch (error) {
    const { stdout = '', message } = error as Error & { readonly stdout?: string }
    return stdout.trim() || message
  }
}

// Features: versions, ways to connect, and how connections live and end.
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client, NegotiatedSettings } from '../../src/index.ts'
import type { Urls } from './broker.ts'
import type { Feature } from './feature.ts'
import { Different, type Version } from './outcome.ts'
import { type Stage, unique } from './stage.ts'

function connectAs(version: Version): Feature {
  return {
    name: `CONNECT ${version}`,
    about: `A client with \`protocolVersion: '${version}'\` connects.`,
    async run(stage) {
      const client = stage.client({ clientId: unique('version'), protocolVersion: version })
      const { protocolVersion, reasonCode } = await client.connect({ signal: stage.signal })
      expectSame('the version', protocolVersion, version)
      expectSame('the reason code', reasonCode, 0)
      return 'connected'
    },
  }
}

const auto: Feature = {
  name: "'auto'",
  about: "A client with `protocolVersion: 'auto'` connects, and says which version it speaks.",
  async run(stage) {
    const client = stage.client({ clientId: unique('auto'), protocolVersion: 'auto' })
    const { protocolVersion } = await client.connect({ signal: stage.signal })
    expectSame('the version', client.settings?.protocolVersion, protocolVersion)
    return `speaks ${protocolVersion}`
  },
}

function way(name: string, scheme: keyof Urls): Feature {
  return {
    name,
    about: `A client connects by \`${new URL(`${scheme}://x`).protocol}\` and gets its own message of QoS 1 back.`,
    async run(stage) {
      const client = await stage.connected({}, scheme)
      await exchange(stage, client)
      return 'message back'
    },
  }
}

/** One message to oneself. */
export async function exchange(stage: Stage, client: Client): Promise<void> {
  const topic = unique('way')
  const inbox = stage.inbox()
  await client.subscribe(topic, { qos: 1, signal: stage.signal }, inbox.handle)
  await client.publish(topic, topic, { qos: 1, signal: stage.signal })
  await inbox.untilDistinct(1)
  expectSame('the message', inbox.texts[0], topic)
}

/** Seconds; short, so that the row is. */
const KEEP_ALIVE = 2

const keepAlive: Feature = {
  name: 'keep-alive',
  about: `With a keep-alive of ${KEEP_ALIVE} s a silent client is still connected after more than twice that, by its own PINGREQs.`,
  async run(stage) {
    const client = stage.brief({ keepAlive: KEEP_ALIVE })
    let pongs = 0
    client.on('packet', ({ packet }) => {
      if (packet.type === 'pingresp') pongs += 1
    })
    await client.connect({ signal: stage.signal })
    const negotiated = client.settings?.keepAlive
    const started = performance.now()
    // The row is about time itself: what is awaited is that it has passed.
    while (performance.now() - started < 2.5 * 1_000 * KEEP_ALIVE) await sleep(50)
    expectSame('the state', client.state, 'connected')
    if (pongs === 0 && negotiated === KEEP_ALIVE) throw new Different('no PINGRESP came')
    return `${pongs} PINGRESP`
  },
}

const limits: Feature = {
  name: 'limits',
  about:
    'What CONNACK says stands in `client.settings`, and what it does not say has the default of the specification.',
  async run(stage) {
    const client = stage.brief()
    let said: Readonly<Record<string, unknown>> | undefined
    client.on('packet', ({ packet }) => {
      if (packet.type === 'connack') said = { ...packet.properties }
    })
    await client.connect({ signal: stage.signal })
    const { settings } = client
    if (settings === undefined || said === undefined) throw new Different('no settings')
    for (const [name, value] of Object.entries({ ...DEFAULTS, ...pick(said) })) {
      expectSame(`settings.${name}`, settings[name as keyof NegotiatedSettings], value)
    }
    return announced(settings)
  },
}

const LIMITS = [
  'receiveMaximum',
  'maximumQoS',
  'maximumPacketSize',
  'topicAliasMaximum',
  'retainAvailable',
  'wildcardSubscriptionAvailable',
  'subscriptionIdentifiersAvailable',
  'sharedSubscriptionAvailable',
] as const

/** 5: 3.2.2.3; in 3.1.1 they are constants. */
const DEFAULTS: Readonly<Pick<NegotiatedSettings, (typeof LIMITS)[number]>> = {
  receiveMaximum: 65_535,
  maximumQoS: 2,
  maximumPacketSize: 268_435_460,
  topicAliasMaximum: 0,
  retainAvailable: true,
  wildcardSubscriptionAvailable: true,
  subscriptionIdentifiersAvailable: true,
  sharedSubscriptionAvailable: true,
}

function pick(said: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(said).filter(([name, value]) => name in DEFAULTS && value !== undefined),
  )
}

/** What is not the default. */
function announced(settings: NegotiatedSettings): string {
  const own = LIMITS.filter((name) => settings[name] !== DEFAULTS[name]).map(
    (name) => `${name} ${settings[name]}`,
  )
  if (settings.properties?.serverKeepAlive !== undefined) own.push(`server keepAlive ${settings.keepAlive}`)
  return own.length === 0 ? 'the defaults' : own.join(', ')
}

const disconnect: Feature = {
  name: 'disconnect',
  about: 'A client with a will disconnects: it is stopped, without an error, and the will is not published.',
  async run(stage) {
    const topic = unique('ends')
    const observer = await stage.connected()
    const inbox = stage.inbox()
    await observer.subscribe(topic, { qos: 1 }, inbox.handle)
    const clientId = unique('leaves')
    const client = await stage.connected({ clientId, will: { topic, payload: 'will', qos: 1 } })
    const closed = new Promise<unknown>((resolve) => client.on('closed', ({ error }) => resolve(error)))
    await client.disconnect()
    expectSame('the error of the event closed', await stage.within(closed), undefined)
    expectSame('the state', client.state, 'stopped')
    // The same client again: then the server is certainly done with the connection before.
    const again = await stage.connected({ clientId })
    await again.publish(topic, 'over', { qos: 1 })
    await inbox.untilDistinct(1)
    expectSame('what came', inbox.texts.join(), 'over')
    return 'no will'
  },
}

const takeOver: Feature = {
  name: 'take-over',
  about:
    'A second client with the same identifier takes the session over: the first is told or cut off, the second works.',
  async run(stage) {
    const clientId = unique('twice')
    const first = await stage.connected({ clientId })
    const ended = new Promise<string>((resolve) =>
      first.on('disconnected', ({ error, reason }) =>
        resolve(
          reason === undefined
            ? `the first: ${error?.code ?? 'no error'}`
            : `the first: DISCONNECT 0x${reason.reasonCode.toString(16)}`,
        ),
      ),
    )
    const second = await stage.connected({ clientId })
    const seen = await stage.within(ended)
    await exchange(stage, second)
    return seen
  },
}

/** @throws Different */
export function expectSame(what: string, actual: unknown, expected: unknown): void {
  if (actual !== expected) throw new Different(`${what}: expected ${String(expected)}, got ${String(actual)}`)
}

export const CONNECTING: readonly Feature[] = [
  connectAs('3.1.1'),
  connectAs('5'),
  auto,
  way('TCP', 'tcp'),
  way('TLS', 'tls'),
  way('WebSocket', 'ws'),
  way('WebSocket in TLS', 'wss'),
]

export const LIVING: readonly Feature[] = [keepAlive, limits, disconnect, takeOver]

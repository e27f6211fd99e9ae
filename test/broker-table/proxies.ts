// Proxies that others wrote, in front of a mosquitto: HTTP CONNECT, SOCKS5, and a balancer that cuts sessions.
import { setMaxListeners } from 'node:events'
import net from 'node:net'
import { type ClientOptions, createClient } from '../../src/index.ts'
import type { Package, RunningBroker } from './broker.ts'
import { expectSame, exchange } from './connecting.ts'
import { numbers } from './messages.ts'
import { mosquitto } from './mosquitto.ts'
import { describe, Different } from './outcome.ts'
import { requireProgram } from './packages.ts'
import { type Daemon, removeFolder, startOnFreePorts, temporaryFolder, writeLines } from './processes.ts'
import { Inbox, Stage, unique } from './stage.ts'

export interface ProxyKind {
  readonly name: string
  readonly packages: readonly Package[]
  readonly trials: readonly Trial[]
}

export interface Trial {
  readonly name: string
  readonly about: string
  /** @throws Different, or what the client throws */
  run(): Promise<string>
}

const USER = 'ada'
const PASSWORD = 'lovelace'

/** As `openssl passwd -apr1 -salt petrel lovelace` prints it. */
const PASSWORD_HASH = '$apr1$petrel$jQc11UIQk.9aZgIan1baT0'

interface RunningProxy {
  readonly daemon: Daemon
  readonly port: number
}

async function startSquid(folder: string): Promise<RunningProxy> {
  const passwords = writeLines(folder, 'passwords', [`${USER}:${PASSWORD_HASH}`])
  const { daemon, ports } = await startOnFreePorts(1, (free) => ({
    path: requireProgram('squid'),
    args: [
      '-N',
      '-f',
      writeLines(folder, 'squid.conf', [
        `http_port 127.0.0.1:${free[0]}`,
        `auth_param basic program /usr/lib/squid/basic_ncsa_auth ${passwords}`,
        'auth_param basic children 1',
        'acl known proxy_auth REQUIRED',
        'http_access allow known',
        'http_access deny all',
        'pid_filename none',
        'access_log none',
        'cache_log /dev/stderr',
        'cache deny all',
        'netdb_filename none',
        'pinger_enable off',
        `coredump_dir ${folder}`,
        'shutdown_lifetime 0 seconds',
      ]),
    ],
    ports: free,
  }))
  return { daemon, port: ports[0] ?? 0 }
}

async function startMicrosocks(): Promise<RunningProxy> {
  const { daemon, ports } = await startOnFreePorts(1, (free) => ({
    path: requireProgram('microsocks'),
    args: ['-i', '127.0.0.1', '-p', String(free[0]), '-u', USER, '-P', PASSWORD],
    ports: free,
  }))
  return { daemon, port: ports[0] ?? 0 }
}

async function startDante(folder: string): Promise<RunningProxy> {
  const { daemon, ports } = await startOnFreePorts(1, (free) => ({
    path: requireProgram('danted'),
    args: [
      '-N',
      '1',
      '-f',
      writeLines(folder, 'danted.conf', [
        'logoutput: stderr',
        `internal: 127.0.0.1 port = ${free[0]}`,
        'external: lo',
        'socksmethod: none',
        'clientmethod: none',
        'user.unprivileged: nobody',
        'client pass {',
        '  from: 127.0.0.0/8 to: 0.0.0.0/0',
        '}',
        'socks pass {',
        '  from: 127.0.0.0/8 to: 127.0.0.0/8',
        '  command: connect',
        '}',
      ]),
      '-p',
      `${folder}/danted.pid`,
    ],
    ports: free,
  }))
  return { daemon, port: ports[0] ?? 0 }
}

type StartProxy = (folder: string) => Promise<RunningProxy>

/** Ways through a proxy that works. @param login `user:password@`, or nothing */
function through(
  name: string,
  way: 'tcp' | 'tls' | 'ws',
  scheme: string,
  login: string,
  start: StartProxy,
): Trial {
  return {
    name,
    about: 'A client connects to a mosquitto by the proxy, and gets its own message of QoS 1 back.',
    run: () =>
      withProxy(start, async (stage, port) => {
        const client = await stage.connected({ proxy: `${scheme}://${login}127.0.0.1:${port}` }, way)
        await exchange(stage, client)
        return 'message back'
      }),
  }
}

/** A proxy that must not let the client through. */
function refused(name: string, scheme: string, login: string, says: RegExp, start: StartProxy): Trial {
  return {
    name,
    about: `The proxy refuses, and \`connect()\` rejects with \`ConnectionError\` \`connect-failed\`, phase \`proxy\`, in words that say what to do.`,
    run: () =>
      withProxy(start, async (stage, port) => {
        const proxy = `${scheme}://${login}127.0.0.1:${port}`
        const error = await stage.connected({ proxy }).then(
          () => undefined,
          (reason: unknown) => reason,
        )
        const text = error === undefined ? 'connected' : describe(error)
        if (!text.startsWith('ConnectionError connect-failed, phase proxy') || !says.test(text)) {
          throw new Different(`expected a refusal, got ${text}`)
        }
        return text.replace(/^.*?: .*?: /, '').replace(/; cause: .*$/, '')
      }),
  }
}

async function withProxy(
  start: StartProxy,
  work: (stage: Stage, port: number) => Promise<string>,
): Promise<string> {
  const folder = temporaryFolder()
  const broker = await mosquitto.start()
  const stage = new Stage(broker, '3.1.1')
  const proxy = await start(folder)
  try {
    return await work(stage, proxy.port)
  } finally {
    stage.end()
    await Promise.all([proxy.daemon.end(), broker.stop()])
    removeFolder(folder)
  }
}

const RIGHT = `${USER}:${PASSWORD}@`
const WRONG = `${USER}:babbage@`

const squid: ProxyKind = {
  name: 'squid',
  packages: [{ program: 'squid', name: 'squid' }],
  trials: [
    through('HTTP CONNECT, TCP', 'tcp', 'http', RIGHT, startSquid),
    through('HTTP CONNECT, TLS', 'tls', 'http', RIGHT, startSquid),
    through('HTTP CONNECT, WebSocket', 'ws', 'http', RIGHT, startSquid),
    refused('HTTP CONNECT, no login', 'http', '', /407.*give user and password/, startSquid),
    refused('HTTP CONNECT, wrong password', 'http', WRONG, /407.*does not accept/, startSquid),
  ],
}

const microsocks: ProxyKind = {
  name: 'microsocks',
  packages: [{ program: 'microsocks', name: 'microsocks' }],
  trials: [
    through('SOCKS5 with login, TCP', 'tcp', 'socks5', RIGHT, startMicrosocks),
    through('SOCKS5 with login, TLS', 'tls', 'socks5', RIGHT, startMicrosocks),
    through('SOCKS5 with login, WebSocket', 'ws', 'socks5', RIGHT, startMicrosocks),
    refused('SOCKS5, no login', 'socks5', '', /give user and password/, startMicrosocks),
    refused('SOCKS5, wrong password', 'socks5', WRONG, /does not accept/, startMicrosocks),
  ],
}

const dante: ProxyKind = {
  name: 'dante',
  packages: [{ program: 'danted', name: 'dante-server' }],
  trials: [
    through('SOCKS5 without login, TCP', 'tcp', 'socks5', '', startDante),
    through('SOCKS5 without login, TLS', 'tls', 'socks5', '', startDante),
    through('SOCKS5, a login that it does not ask for', 'tcp', 'socks5', RIGHT, startDante),
  ],
}

/** Messages of each part; the connections are cut in the middle of the second. */
const COUNT = 300
const CUTS = 5

const cutting: Trial = {
  name: 'sessions cut by the balancer',
  about:
    `haproxy stands before two mosquittos, of which it uses the second when the first is gone. It cuts both ` +
    `clients' connections ${CUTS} times while ${COUNT} messages of QoS 1 are published, then the first mosquitto is ` +
    `ended: the clients go on, at first with their sessions, then at the second without, and every acknowledged ` +
    `message that one mosquitto had for both clients has come.`,
  async run() {
    const folder = temporaryFolder()
    const brokers = [await mosquitto.start(), await mosquitto.start()] as const
    const control = `${folder}/control`
    const { daemon, ports } = await startOnFreePorts(1, (free) => ({
      path: requireProgram('haproxy'),
      args: ['-db', '-f', writeLines(folder, 'haproxy.cfg', haproxyLines(free[0] ?? 0, control, brokers))],
      ports: free,
    }))
    try {
      return await cutSessions(`mqtt://127.0.0.1:${ports[0]}`, control, brokers[0])
    } finally {
      await Promise.all([daemon.end(), ...brokers.map((broker) => broker.stop())])
      removeFolder(folder)
    }
  },
}

function haproxyLines(port: number, control: string, brokers: readonly RunningBroker[]): readonly string[] {
  const [first = '', second = ''] = brokers.map(({ urls }) => new URL(urls.tcp).host)
  return [
    'global',
    `  stats socket ${control} level admin`,
    'defaults',
    '  mode tcp',
    '  timeout connect 2s',
    '  timeout client 1m',
    '  timeout server 1m',
    'frontend mqtt',
    `  bind 127.0.0.1:${port}`,
    '  default_backend brokers',
    'backend brokers',
    '  option redispatch 1',
    '  retries 3',
    `  server first ${first} check inter 200 fall 1`,
    `  server second ${second} check inter 200 backup`,
  ]
}

async function cutSessions(url: string, control: string, first: RunningBroker): Promise<string> {
  const signal = AbortSignal.timeout(60_000)
  setMaxListeners(0, signal)
  const options = {
    protocolVersion: '3.1.1',
    cleanSession: false,
    reconnect: { min: 20, max: 200 },
  } as const satisfies ClientOptions
  const subscriber = createClient(url, { ...options, clientId: unique('here') })
  const publisher = createClient(url, { ...options, clientId: unique('there'), maxInflight: 10 })
  const present: boolean[] = []
  subscriber.on('connected', ({ sessionPresent }) => present.push(sessionPresent))
  const cut = (): Promise<void> => haproxyDo(control, 'shutdown sessions server brokers/first')
  try {
    const [topic, inbox] = [unique('cut'), new Inbox(signal)]
    await Promise.all([subscriber.connect({ signal }), publisher.connect({ signal })])
    await subscriber.subscribe(topic, { qos: 1, signal }, inbox.handle)
    let acknowledged = 0
    const publish = async (text: string): Promise<void> => {
      await publisher.publish(topic, text, { qos: 1, signal })
      acknowledged += 1
      if (acknowledged % Math.floor(COUNT / (CUTS + 1)) === 0 && acknowledged < COUNT) await cut()
    }
    await Promise.all(numbers(COUNT).map(publish))
    await inbox.untilDistinct(COUNT)
    if (present.length < 2) throw new Different('no connection was cut')
    expectSame('sessions that were there again', present.slice(1).every(Boolean), true)
    const connections = present.length
    const moved = new Promise<void>((resolve) => {
      subscriber.on('resumed', ({ sessionPresent }) => sessionPresent || resolve())
    })
    await first.stop()
    await moved
    // SUBSCRIBE goes before what is asked for later.
    await subscriber.ping({ signal })
    await Promise.all(numbers(COUNT, COUNT).map((text) => publisher.publish(topic, text, { qos: 1, signal })))
    await inbox.untilDistinct(2 * COUNT)
    return `${connections - 1} resumed, then a new session at the second; ${inbox.distinct} of ${2 * COUNT}, lost 0`
  } finally {
    await Promise.all([subscriber, publisher].map((client) => client.disconnect()))
  }
}

/** A command to haproxy's socket. */
function haproxyDo(control: string, command: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(control, () => socket.end(`${command}\n`))
    socket
      .once('close', () => resolve())
      .once('error', reject)
      .resume()
  })
}

const haproxy: ProxyKind = {
  name: 'haproxy',
  packages: [{ program: 'haproxy', name: 'haproxy' }],
  trials: [cutting],
}

export const PROXIES: readonly ProxyKind[] = [squid, microsocks, dante, haproxy]

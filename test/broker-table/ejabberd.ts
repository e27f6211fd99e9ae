// ejabberd: the second broker that speaks version 5, and of another family than mosquitto.
//
// It runs without Erlang's distribution, so that there is no node name to be taken and no epmd to be left behind.
import type { BrokerKind, RunningBroker } from './broker.ts'
import { ca, writeCertificates } from './certificates.ts'
import { removeFolder, startOnFreePorts, temporaryFolder, writeLines } from './processes.ts'
import { requireProgram } from './packages.ts'

/** Where Debian has its modules, by machine. */
const LIBRARIES: Readonly<Record<string, string>> = {
  x64: '/usr/lib/x86_64-linux-gnu',
  arm64: '/usr/lib/aarch64-linux-gnu',
}

async function start(): Promise<RunningBroker> {
  const folder = temporaryFolder()
  const { all } = writeCertificates(folder)
  const { daemon, ports } = await startOnFreePorts(4, (free) => {
    const listener = (index: number, rest: string): string =>
      `  - { port: ${free[index]}, ip: "127.0.0.1", ${rest} }`
    const http = 'module: ejabberd_http, request_handlers: { /mqtt: mod_mqtt }'
    const config = writeLines(folder, 'ejabberd.yml', [
      'hosts: [localhost]',
      'loglevel: warning',
      `certfiles: ["${all}"]`,
      'auth_method: anonymous',
      'anonymous_protocol: login_anon',
      'allow_multiple_connections: true',
      'listen:',
      listener(0, 'module: mod_mqtt, backlog: 128'),
      listener(1, 'module: mod_mqtt, tls: true'),
      listener(2, http),
      listener(3, `${http}, tls: true`),
      'modules: { mod_mqtt: {} }',
    ])
    return {
      path: requireProgram('erl'),
      args: ['-noinput', '+S', '1:1', '+sbwt', 'none', '-mnesia', 'dir', `"${folder}/db"`, '-s', 'ejabberd'],
      env: {
        HOME: folder,
        EJABBERD_CONFIG_PATH: config,
        EJABBERD_LOG_PATH: `${folder}/ejabberd.log`,
        ERL_LIBS: LIBRARIES[process.arch] ?? '/usr/lib',
        ERL_CRASH_DUMP_BYTES: '0',
      },
      ports: free,
      patience: 60_000,
    }
  })
  return {
    urls: {
      tcp: `mqtt://127.0.0.1:${ports[0]}`,
      tls: `mqtts://127.0.0.1:${ports[1]}`,
      ws: `ws://127.0.0.1:${ports[2]}/mqtt`,
      wss: `wss://127.0.0.1:${ports[3]}/mqtt`,
    },
    ca,
    username: 'ada@localhost',
    password: 'lovelace',
    async stop() {
      await daemon.end()
      removeFolder(folder)
    },
  }
}

export const ejabberd: BrokerKind = {
  name: 'ejabberd',
  packages: [
    { program: 'ejabberdctl', name: 'ejabberd' },
    { program: 'erl', name: 'erlang-base' },
  ],
  versions: ['3.1.1', '5'],
  limitations: [
    {
      feature: 'shared subscription',
      version: '3.1.1',
      shows: /connection-lost/,
      because: 'It has none, and closes the connection at the SUBSCRIBE.',
    },
    {
      feature: 'shared subscription',
      version: '5',
      shows: /^RefusedError subscribe-refused, 0x9e, local/,
      because: 'It has none, and says so in CONNACK.',
    },
  ],
  quirks: [
    {
      what: 'It has no shared subscriptions. In version 5 CONNACK says so; in 3.1.1 it closes the connection at the SUBSCRIBE.',
      client:
        'In version 5 `subscribe` rejects before anything is sent (`RefusedError` 0x9E, `local`); in 3.1.1 with `poison-delivery`, after five connections.',
    },
    {
      what: 'It always sends Server Keep Alive, the value that the client asked for.',
      client: 'It keeps to the value of the server, which stands in `client.settings.keepAlive`.',
    },
  ],
  start,
}

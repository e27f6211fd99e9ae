// RabbitMQ with its MQTT plug-ins, one node or a cluster. It speaks 3.1.1; a session is a queue of one node, and is lost
// with it.
//
// A node wants epmd. Each broker has one of its own, in the foreground, on a port of its own: it ends with the broker.
import { chmodSync } from 'node:fs'
import type { BrokerKind, RunningBroker } from './broker.ts'
import { ca, type CertificateFiles, writeCertificates } from './certificates.ts'
import type { ClusterKind, RunningCluster } from './cluster.ts'
import { Daemon, freePorts, Nodes, removeFolder, temporaryFolder, writeLines } from './processes.ts'
import { requireProgram } from './packages.ts'

/** Not Debian's wrapper on the PATH, which changes to a user of its own. */
const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server'

const PACKAGES = [
  { program: SERVER, name: 'rabbitmq-server' },
  { program: 'epmd', name: 'erlang-base' },
]

/** One scheduler that does not spin, and little priority: its start takes a processor for long. */
const ERLANG = '+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}'

interface Ports {
  readonly amqp: number
  readonly mqtt: number
  readonly mqtts: number
  readonly ws: number
  readonly wss: number
  readonly distribution: number
}

interface Surroundings {
  readonly folder: string
  readonly epmdPort: number
  readonly files: CertificateFiles
  /** Names of all nodes. */
  readonly nodes: readonly string[]
  readonly queue: Queue
}

async function portsOf(): Promise<Ports> {
  const [amqp = 0, mqtt = 0, mqtts = 0, ws = 0, wss = 0, distribution = 0] = await freePorts(6)
  return { amqp, mqtt, mqtts, ws, wss, distribution }
}

async function startEpmd(): Promise<{ daemon: Daemon; port: number }> {
  const [port = 0] = await freePorts(1)
  const args = ['-port', String(port), '-address', '127.0.0.1']
  return { daemon: await Daemon.start({ path: requireProgram('epmd'), args, ports: [port] }), port }
}

async function startNode(name: string, ports: Ports, around: Surroundings): Promise<Daemon> {
  const { folder, epmdPort, files, nodes, queue } = around
  const tls = (prefix: string): readonly string[] => [
    `${prefix}.cacertfile = ${files.ca}`,
    `${prefix}.certfile = ${files.cert}`,
    `${prefix}.keyfile = ${files.key}`,
  ]
  const config = writeLines(folder, `${name}.conf`, [
    `listeners.tcp.1 = 127.0.0.1:${ports.amqp}`,
    `mqtt.listeners.tcp.1 = 127.0.0.1:${ports.mqtt}`,
    `mqtt.listeners.ssl.1 = 127.0.0.1:${ports.mqtts}`,
    'mqtt.allow_anonymous = true',
    'mqtt.default_user = guest',
    'mqtt.default_pass = guest',
    `mqtt.durable_queue_type = ${queue}`,
    `web_mqtt.tcp.port = ${ports.ws}`,
    'web_mqtt.tcp.ip = 127.0.0.1',
    'web_mqtt.ws_path = /ws',
    `web_mqtt.ssl.port = ${ports.wss}`,
    'web_mqtt.ssl.ip = 127.0.0.1',
    ...tls('web_mqtt.ssl'),
    ...tls('ssl_options'),
    'log.console = true',
    'log.file = false',
    ...(nodes.length === 1 ? [] : ['cluster_formation.peer_discovery_backend = classic_config']),
    ...(nodes.length === 1
      ? []
      : nodes.map(
          (node, index) => `cluster_formation.classic_config.nodes.${index + 1} = ${node}@localhost`,
        )),
  ])
  return Daemon.start({
    path: requireProgram('nice'),
    args: ['-n', '10', SERVER],
    env: {
      HOME: folder,
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: `${name}@localhost`,
      RABBITMQ_CONFIG_FILE: config,
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_MNESIA_BASE: `${folder}/mnesia`,
      RABBITMQ_LOG_BASE: `${folder}/log`,
      RABBITMQ_ENABLED_PLUGINS_FILE: writeLines(folder, 'plugins', ['[rabbitmq_mqtt,rabbitmq_web_mqtt].']),
      RABBITMQ_PID_FILE: `${folder}/${name}.pid`,
      RABBITMQ_DIST_PORT: String(ports.distribution),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: ERLANG,
      // Then the script becomes the server, and nothing stands between it and a signal.
      RABBITMQ_ALLOW_INPUT: '1',
    },
    ports: [ports.mqtt, ports.mqtts, ports.ws, ports.wss, ports.amqp],
    patience: 180_000,
  })
}

async function start(): Promise<RunningBroker> {
  const folder = temporaryFolder()
  const epmd = await startEpmd()
  const ports = await portsOf()
  const files = writeCertificates(folder)
  const node = await startNode('solo', ports, {
    folder,
    files,
    epmdPort: epmd.port,
    nodes: ['solo'],
    queue: 'classic',
  })
  return {
    urls: {
      tcp: `mqtt://127.0.0.1:${ports.mqtt}`,
      tls: `mqtts://127.0.0.1:${ports.mqtts}`,
      ws: `ws://127.0.0.1:${ports.ws}/ws`,
      wss: `wss://127.0.0.1:${ports.wss}/ws`,
    },
    ca,
    async stop() {
      await node.kill()
      await epmd.daemon.end()
      removeFolder(folder)
    },
  }
}

export const rabbitmq: BrokerKind = {
  name: 'RabbitMQ',
  packages: PACKAGES,
  versions: ['3.1.1'],
  limitations: [
    {
      feature: 'CONNECT 5',
      shows: /^ConnectionError connection-lost, phase connack/,
      because: '3.10 speaks 3.1.1 alone, and closes the connection without CONNACK.',
    },
    { feature: 'QoS 2', shows: /granted QoS: expected 2, got 1/, because: 'It grants QoS 1 for QoS 2.' },
    {
      feature: 'QoS 2, from one side',
      shows: /^ClosedError outcome-unknown.*ProtocolError/,
      because:
        'It answers a PUBLISH of QoS 2 with PUBACK, which is none of the answers that QoS 2 has [3.1.1 MQTT-4.3.3-1].',
    },
    {
      feature: 'retained, by wildcard',
      shows: /retained message did not come/,
      because: 'It finds retained messages by their exact name alone.',
    },
    {
      feature: 'shared subscription',
      shows: /expected 100, got 0/,
      because: 'To it, `$share` is a level like others: the subscription is granted and matches nothing.',
    },
    {
      feature: 'session, QoS 2 while offline',
      shows: /granted QoS: expected 2, got 1/,
      because: 'It grants QoS 1 for QoS 2.',
    },
  ],
  quirks: [
    {
      what: 'It closes the connection at CONNECT with version 5, without CONNACK.',
      client:
        '`\'auto\'` takes a close without a byte after its first CONNECT as "not spoken here" and connects with 3.1.1.',
    },
  ],
  start,
}

async function startCluster(queue: Queue): Promise<RunningCluster> {
  const folder = temporaryFolder()
  const epmd = await startEpmd()
  const files = writeCertificates(folder)
  const nodes = ['r1', 'r2', 'r3']
  const around = { folder, files, epmdPort: epmd.port, nodes, queue }
  // The same for all; Erlang refuses one that others may read.
  chmodSync(writeLines(folder, '.erlang.cookie', ['PETREL']), 0o400)
  const ports = await Promise.all(nodes.map(() => portsOf()))
  const running = await Nodes.start(nodes.length, async (index) =>
    startNode(nodes[index] ?? '', ports[index] ?? (await portsOf()), around),
  )
  return {
    urls: ports.map(({ mqtt }) => `mqtt://127.0.0.1:${mqtt}`),
    kill: (node) => running.kill(node),
    restart: (node) => running.restart(node),
    async stop() {
      await running.kill()
      await epmd.daemon.end()
      removeFolder(folder)
    },
  }
}

/** Of a durable session. */
type Queue = 'classic' | 'quorum'

export const rabbitmqCluster: ClusterKind = {
  name: 'RabbitMQ, 3 nodes, classic queues',
  packages: PACKAGES,
  keepsSession: false,
  quirks: [
    {
      what: 'A session is a classic queue of the node that it was made at. While that node is down, the others answer CONNECT with Session Present 0 and close the connection at each SUBSCRIBE, for they can neither have nor make that queue.',
      client:
        'The events `connected` and `resumed` say `sessionPresent: false`. It sends SUBSCRIBE before anything else, and tries again by its back-off until the node is back and grants it; what others publish in the meantime the broker loses, PUBACK or not. Publishes of QoS 1 go on at another node.',
    },
  ],
  start: () => startCluster('classic'),
}

export const rabbitmqQuorumCluster: ClusterKind = {
  name: 'RabbitMQ, 3 nodes, quorum queues',
  packages: PACKAGES,
  keepsSession: true,
  quirks: [
    {
      what: 'A client that has subscribed to nothing has no queue, and gets Session Present 0 whatever it had sent.',
      client:
        'It sends its publishes of QoS 1 that have no PUBACK again as new messages, so that some may come twice, and none is lost.',
    },
  ],
  start: () => startCluster('quorum'),
}

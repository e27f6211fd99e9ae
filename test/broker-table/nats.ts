// NATS server, one node or a cluster. It speaks 3.1.1 without QoS 2, and keeps sessions and messages in streams that
// the nodes of a cluster replicate.
import type { BrokerKind, RunningBroker } from './broker.ts'
import { ca, writeCertificates } from './certificates.ts'
import type { ClusterKind, RunningCluster } from './cluster.ts'
import {
  Daemon,
  freePorts,
  Nodes,
  removeFolder,
  startOnFreePorts,
  temporaryFolder,
  writeLines,
} from './processes.ts'
import { requireProgram } from './packages.ts'

const PACKAGES = [{ program: 'nats-server', name: 'nats-server' }]

/** A node has one listener for each protocol, so TLS is a second node. */
async function startNode(folder: string, tls: string): Promise<{ daemon: Daemon; ports: readonly number[] }> {
  return startOnFreePorts(3, (ports) => {
    const [client, mqtt, webSocket] = ports
    const name = tls === '' ? 'plain' : 'secure'
    const config = writeLines(folder, `${name}.conf`, [
      `server_name: ${name}`,
      `listen: 127.0.0.1:${client}`,
      `jetstream { store_dir: "${folder}/${name}" }`,
      `mqtt { listen: "127.0.0.1:${mqtt}"; ${tls} }`,
      `websocket { listen: "127.0.0.1:${webSocket}"; ${tls === '' ? 'no_tls: true' : tls} }`,
    ])
    return { path: requireProgram('nats-server'), args: ['-c', config], ports }
  })
}

async function start(): Promise<RunningBroker> {
  const folder = temporaryFolder()
  const { cert, key } = writeCertificates(folder)
  const plain = await startNode(folder, '')
  const secure = await startNode(folder, `tls { cert_file: "${cert}", key_file: "${key}" };`)
  return {
    urls: {
      tcp: `mqtt://127.0.0.1:${plain.ports[1]}`,
      tls: `mqtts://127.0.0.1:${secure.ports[1]}`,
      ws: `ws://127.0.0.1:${plain.ports[2]}/mqtt`,
      wss: `wss://127.0.0.1:${secure.ports[2]}/mqtt`,
    },
    ca,
    async stop() {
      await Promise.all([plain.daemon.end(), secure.daemon.end()])
      removeFolder(folder)
    },
  }
}

export const nats: BrokerKind = {
  name: 'NATS',
  packages: PACKAGES,
  versions: ['3.1.1'],
  limitations: [
    {
      feature: 'CONNECT 5',
      shows: /^RefusedError connection-refused, 0x84/,
      because: 'It speaks 3.1.1 alone, and answers CONNACK with code 1.',
    },
    { feature: 'QoS 2', shows: /granted QoS: expected 2, got 1/, because: 'It grants QoS 1 for QoS 2.' },
    {
      feature: 'QoS 2, from one side',
      shows: /^ConnectionError poison-delivery/,
      because: 'It closes the connection at a PUBLISH of QoS 2.',
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
      what: 'It closes the connection at a PUBLISH of QoS 2, without a word, and would do so at each time that it is sent again.',
      client:
        'The message that has ended five connections (`poisonLimit`) rejects with `ConnectionError` `poison-delivery`; the client connects again and goes on with the next.',
    },
    {
      what: 'To CONNECT with version 5 it answers CONNACK with code 1.',
      client: '`\'auto\'` takes that as "not spoken here" and connects with 3.1.1, within the same attempt.',
    },
  ],
  start,
}

async function startCluster(): Promise<RunningCluster> {
  const folder = temporaryFolder()
  const nodes = ['a', 'b', 'c']
  const ports = await freePorts(3 * nodes.length)
  const routes = nodes.map((_, index) => `"nats-route://127.0.0.1:${ports[3 * index + 2]}"`).join(', ')
  const running = await Nodes.start(nodes.length, (index) => {
    const [client = 0, mqtt = 0, route = 0] = ports.slice(3 * index, 3 * index + 3)
    const config = writeLines(folder, `${nodes[index]}.conf`, [
      `server_name: ${nodes[index]}`,
      `listen: 127.0.0.1:${client}`,
      `jetstream { store_dir: "${folder}/${nodes[index]}" }`,
      // What the killed node had sent and got no PUBACK for comes again after this time, 30 s by default.
      `mqtt { listen: "127.0.0.1:${mqtt}"; ack_wait: "3s" }`,
      `cluster { name: brokers, listen: "127.0.0.1:${route}", routes: [${routes}] }`,
    ])
    return Daemon.start({ path: requireProgram('nats-server'), args: ['-c', config], ports: [client, mqtt] })
  })
  return {
    urls: nodes.map((_, index) => `mqtt://127.0.0.1:${ports[3 * index + 1]}`),
    kill: (node) => running.kill(node),
    restart: (node) => running.restart(node),
    async stop() {
      await running.kill()
      removeFolder(folder)
    },
  }
}

export const natsCluster: ClusterKind = {
  name: 'NATS, 3 nodes',
  packages: PACKAGES,
  keepsSession: true,
  quirks: [
    {
      what: 'A node that has just started refuses CONNECT, or does not answer it for some seconds, until the cluster has elected a leader.',
      client:
        'With `retryInitialConnect` and several URLs it goes on to the next by itself; `connectTimeout` limits how long one may keep silent.',
    },
    {
      what: 'What the killed node had sent and got no PUBACK for comes again, by default 30 s later, behind newer messages.',
      client:
        'Nothing is lost, but the broker decides order and time; the handler gets such a message like any other. The row runs with `ack_wait` 3 s.',
    },
  ],
  start: startCluster,
}

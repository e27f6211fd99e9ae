// [scenario 63] A node of a cluster is killed: the clients go on at another, and no message of QoS 1 is lost that the
// cluster has taken on. Where the cluster keeps sessions, it is there again; where it does not, the client says so,
// and subscribes anew.
import { setMaxListeners } from 'node:events'
import {
  type Client,
  type ClientOptions,
  type ConnectedEvent,
  type ControlPacket,
  createClient,
} from '../../src/index.ts'
import type { Package, Quirk } from './broker.ts'
import { numbers } from './messages.ts'
import { Inbox, unique } from './stage.ts'

export interface RunningCluster {
  /** Of its nodes. */
  readonly urls: readonly string[]
  /** SIGKILL. */
  kill(node: number): Promise<void>
  /** Starts a node again that was killed. */
  restart(node: number): Promise<void>
  stop(): Promise<void>
}

export interface ClusterKind {
  readonly name: string
  readonly packages: readonly Package[]
  /** Whether a session survives its node. */
  readonly keepsSession: boolean
  readonly quirks: readonly Quirk[]
  start(): Promise<RunningCluster>
}

/** What was counted. Messages have different texts. */
export interface FailOver {
  /** Published and acknowledged: before the node was killed, across that, and when both clients were back. */
  readonly published: readonly [before: number, during: number, after: number]
  /** Publishes that failed. */
  readonly failed: number
  /** How many different ones of each part came. */
  readonly received: readonly [before: number, during: number, after: number]
  /** Came more than once. */
  readonly repeated: number
  /** Session Present of the subscriber's connections, the first one first. */
  readonly sessionPresent: readonly boolean[]
  /** What the subscriber has sent on its second connection, CONNECT first, by type. */
  readonly sentOnReturn: readonly string[]
  /** CONNECTs of the subscriber that no CONNACK answered: a node kept silent, or died. */
  readonly unanswered: number
  /** ms from SIGKILL to the subscriber's and to the publisher's next connection. */
  readonly away: readonly [subscriber: number, publisher: number]
  /** Messages of QoS 1 that the publisher has sent again with DUP. */
  readonly sentAgain: number
}

const MESSAGES = 200

/** ms that everything may take. */
const PATIENCE = 120_000

/** How the clients of a cluster connect: they try again soon, and do not wait for a node that is electing. */
const OPTIONS = {
  protocolVersion: '3.1.1',
  cleanSession: false,
  keepAlive: 10,
  connectTimeout: 8_000,
  retryInitialConnect: true,
  reconnect: { min: 100, max: 1_000 },
} as const satisfies ClientOptions

/**
 * Subscriber and publisher are both at the first node when it is killed, in the middle of publishing.
 *
 * @param keepsSession if so, every message is waited for: what the killed node had sent without seeing its PUBACK
 * comes again late, behind newer ones; if not, the node is started again, for nobody else has the subscriber's queue
 * @throws Error when something does not come at all
 */
export async function failOver(cluster: RunningCluster, keepsSession: boolean): Promise<FailOver> {
  const signal = AbortSignal.timeout(PATIENCE)
  setMaxListeners(0, signal)
  for (const url of cluster.urls) await warmUp(url, signal)
  const topic = unique('cluster')
  const subscriber = createClient(cluster.urls, { ...OPTIONS, clientId: unique('subscriber') })
  const publisher = createClient(cluster.urls, { ...OPTIONS, clientId: unique('publisher'), maxInflight: 20 })
  try {
    const [here, there] = [new Watch(subscriber), new Watch(publisher)]
    const inbox = new Inbox(signal)
    await subscriber.connect({ signal })
    await subscriber.subscribe(topic, { qos: 1, signal }, inbox.handle)
    await publisher.connect({ signal })
    const before = await publishAll(publisher, topic, 0, signal)
    await inbox.untilDistinct(MESSAGES)

    let killed = 0
    const during = await publishAll(publisher, topic, MESSAGES, signal, async () => {
      killed = performance.now()
      await cluster.kill(0)
    })
    await Promise.all([here.connections(2, signal), there.connections(2, signal)])
    if (!keepsSession) await Promise.all([cluster.restart(0), here.subscriptions(2, signal)])

    const after = await publishAll(publisher, topic, 2 * MESSAGES, signal)
    const awaited = keepsSession ? [...before, ...during, ...after] : after
    await inbox
      .until(() => awaited.every((text) => inbox.has(text)), `${awaited.length} messages`)
      .catch(() => {})
    // Behind whatever the new node still had for it.
    await subscriber.ping()
    const parts = [before, during, after].map((part) => part.filter((text) => inbox.has(text)).length)
    return {
      published: [before.length, during.length, after.length],
      failed: 3 * MESSAGES - before.length - during.length - after.length,
      received: [parts[0] ?? 0, parts[1] ?? 0, parts[2] ?? 0],
      repeated: inbox.messages.length - inbox.distinct,
      sessionPresent: here.connected.map(({ sessionPresent }) => sessionPresent),
      sentOnReturn: here.sentOn[1] ?? [],
      unanswered: here.unanswered,
      away: [here.since(killed), there.since(killed)],
      sentAgain: there.sentAgain,
    }
  } finally {
    await Promise.all([subscriber, publisher].map((client) => client.disconnect()))
  }
}

/** A node that has just started refuses or does not answer until the cluster has elected a leader: then it works. */
async function warmUp(url: string, signal: AbortSignal): Promise<void> {
  const client = createClient(url, { ...OPTIONS, cleanSession: true, clientId: unique('warm') })
  try {
    const inbox = new Inbox(signal)
    const topic = unique('warm')
    await client.connect({ signal })
    await client.subscribe(topic, { qos: 1, signal }, inbox.handle)
    await client.publish(topic, topic, { qos: 1, signal })
    await inbox.untilDistinct(1)
  } finally {
    await client.disconnect()
  }
}

/** Publishes a part at once. @returns the texts that were acknowledged */
async function publishAll(
  publisher: Client,
  topic: string,
  first: number,
  signal: AbortSignal,
  halfWay: () => Promise<void> = async () => {},
): Promise<readonly string[]> {
  const acknowledged: string[] = []
  let interruption = Promise.resolve()
  const publish = async (text: string): Promise<void> => {
    try {
      await publisher.publish(topic, text, { qos: 1, signal })
    } catch {
      return // It counts as failed.
    }
    acknowledged.push(text)
    if (acknowledged.length === MESSAGES / 2) interruption = halfWay()
  }
  await Promise.all(numbers(MESSAGES, first).map(publish))
  await interruption
  return acknowledged
}

/** What a client tells of its connections. */
class Watch {
  readonly connected: ConnectedEvent[] = []
  /** Of each connection, the types of the packets that it has sent. */
  readonly sentOn: string[][] = []
  sentAgain = 0
  /** CONNECTs without CONNACK; while one waits for it, that one too. */
  unanswered = 0
  #subacks = 0
  #sent: string[] = []
  readonly #at: number[] = []
  #check = (): void => {}

  constructor(client: Client) {
    client.on('error', () => {})
    client.on('connected', (event) => {
      this.connected.push(event)
      this.sentOn.push(this.#sent)
      this.#at.push(performance.now())
      this.#check()
    })
    client.on('packet', ({ direction, packet }) => {
      if (direction === 'out') this.#note(packet)
      else if (packet.type === 'suback') this.#subacks += 1
      else if (packet.type === 'connack') this.unanswered -= 1
      this.#check()
    })
  }

  /** Resolves when there have been so many. */
  connections(count: number, signal: AbortSignal): Promise<void> {
    return this.#until(() => this.connected.length >= count, signal)
  }

  /** Resolves when there have been so many SUBACKs. */
  subscriptions(count: number, signal: AbortSignal): Promise<void> {
    return this.#until(() => this.#subacks >= count, signal)
  }

  /** ms until the first connection after a time. */
  since(time: number): number {
    return Math.round((this.#at.find((at) => at > time) ?? Number.NaN) - time)
  }

  #note(packet: ControlPacket): void {
    if (packet.type === 'connect') {
      this.#sent = []
      this.unanswered += 1
    }
    this.#sent.push(packet.type)
    if (packet.type === 'publish' && packet.dup) this.sentAgain += 1
  }

  #until(isSo: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error))
      this.#check = () => {
        if (isSo()) resolve()
      }
      this.#check()
    })
  }
}

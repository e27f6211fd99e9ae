/** The first act: what MQTT has, one line each. A broker that lacks something is not at fault, so it is only said. */

import { type Client, connect, type Message, type QoS } from '../src/index.ts'
import { briefly, printStep, type Stage } from './stage.ts'

export interface Features {
  /** The highest that the broker has. */
  readonly maximumQoS: QoS
  readonly retained: boolean
  readonly will: boolean
  readonly pingMs: number | undefined
}

/** ms that a message may take to come. */
const PATIENCE = 2_000

export async function showFeatures(stage: Stage): Promise<Features> {
  const maximumQoS = await subscribeWithWildcard(stage)
  await publishAtEachQoS(stage, maximumQoS)
  const retained = await keepMessage(stage)
  const will = await leaveWill(stage)
  let pingMs: number | undefined
  await step('ping', async () => {
    pingMs = await stage.publisher.ping()
    return `the broker answers within ${pingMs.toFixed(1)} ms`
  })
  return { maximumQoS, retained, will, pingMs }
}

async function subscribeWithWildcard({ subscriber, publisher, prefix }: Stage): Promise<QoS> {
  const filter = `${prefix}/room/+`
  const { results } = await subscriber.subscribe(filter, { qos: 2 })
  const granted = results[0]?.grantedQos ?? 0
  printStep('✓', 'subscribe', `${filter}, granted QoS ${granted}`)
  const limit = publisher.settings?.maximumQoS ?? 2
  return granted < limit ? granted : limit
}

async function publishAtEachQoS({ publisher, subscriber, prefix }: Stage, maximumQoS: QoS): Promise<void> {
  const rooms: readonly [QoS, string][] = [
    [0, 'attic'],
    [1, 'kitchen'],
    [2, 'cellar'],
  ]
  for (const [qos, room] of rooms) {
    if (qos > maximumQoS) {
      printStep('–', `QoS ${qos}`, 'this broker does not have it: left out')
      continue
    }
    const topic = `${prefix}/room/${room}`
    await step(`QoS ${qos}`, async () => {
      const message = await arrivalOf(subscriber, topic, () => publisher.publish(topic, '21.5 °C', { qos }))
      return `${topic} says ${message.text()}`
    })
  }
}

async function keepMessage({ url, protocol, publisher, subscriber, prefix }: Stage): Promise<boolean> {
  if (publisher.settings?.retainAvailable === false) {
    printStep('–', 'retained', 'this broker does not keep messages: left out')
    return false
  }
  const topic = `${prefix}/status`
  return step('retained', async () => {
    // In 3.1.1 a broker without retained messages can only close the connection, so it is not the publisher's.
    const third = await connect(url, { ...briefly(`${prefix}-3rd`, protocol), reconnect: false })
    await third.publish(topic, 'open', { retain: true })
    await third.ping() // its answer says that the broker has the message
    await third.disconnect()
    const message = await arrivalOf(subscriber, topic, () => subscriber.subscribe(topic))
    if (!message.retain) throw new Error('the message came, but not as a retained one')
    await publisher.publish(topic, '', { retain: true }) // the broker forgets it
    return `${topic} says ${message.text()}, though its publisher is gone`
  })
}

async function leaveWill({ url, protocol, subscriber, prefix }: Stage): Promise<boolean> {
  const topic = `${prefix}/will`
  return step('will', async () => {
    await subscriber.subscribe(topic, { qos: 1 })
    const third = await connect(url, {
      ...briefly(`${prefix}-3rd`, protocol),
      will: { topic, payload: 'farewell' },
    })
    const message = await arrivalOf(subscriber, topic, () => third.destroy())
    return `${topic} says ${message.text()}, once a third client is destroyed`
  })
}

/** The next message of a topic after an action. */
async function arrivalOf(client: Client, topic: string, action: () => unknown): Promise<Message> {
  const done = new AbortController()
  const arrived = new Promise<Message>((resolve, reject) => {
    client.on('message', (message) => message.topic === topic && resolve(message), { signal: done.signal })
    const late = setTimeout(() => reject(new Error(`nothing came within ${PATIENCE} ms`)), PATIENCE)
    done.signal.addEventListener('abort', () => clearTimeout(late))
  })
  try {
    const [message] = await Promise.all([arrived, action()])
    return message
  } finally {
    done.abort()
  }
}

/** Says what an act has come to. */
async function step(name: string, act: () => Promise<string>): Promise<boolean> {
  try {
    printStep('✓', name, await act())
    return true
  } catch (error) {
    printStep('✗', name, error instanceof Error ? error.message : String(error))
    return false
  }
}

// Features: messages there and back, counted.
import type { QoS } from '../../src/index.ts'
import { expectSame } from './connecting.ts'
import type { Feature } from './feature.ts'
import { describe, Different } from './outcome.ts'
import { type Inbox, type Stage, unique } from './stage.ts'

const COUNT = 500

function atQoS(qos: QoS): Feature {
  return {
    name: `QoS ${qos}`,
    about: `${COUNT} messages of QoS ${qos} are published at once to a subscriber with QoS ${qos}: all arrive, in order${qos === 2 ? ', none twice' : ''}.`,
    async run(stage) {
      const topic = unique('count')
      const inbox = stage.inbox()
      const [subscriber, publisher] = [await stage.connected(), await stage.connected()]
      const { results } = await subscriber.subscribe(topic, { qos, signal: stage.signal }, inbox.handle)
      expectSame('the granted QoS', results[0]?.grantedQos, qos)
      const sent = numbers(COUNT)
      await stage.within(Promise.all(sent.map((text) => publisher.publish(topic, text, { qos }))))
      await inbox.untilDistinct(COUNT)
      expectSame('the QoS of what came', new Set(inbox.messages.map((message) => message.qos)).size, 1)
      expectSame('the QoS of what came', inbox.messages[0]?.qos, qos)
      const twice = inbox.messages.length - inbox.distinct
      if (qos === 2) expectSame('messages that came twice', twice, 0)
      expectSame('the order', [...new Set(inbox.texts)].join(), sent.join())
      return `${inbox.distinct} of ${COUNT}${twice === 0 ? '' : `, ${twice} twice`}`
    },
  }
}

const publishQoS2: Feature = {
  name: 'QoS 2, from one side',
  about:
    'A message of QoS 2 is published to a subscriber with QoS 1, by a client that connects again when it has to: the ' +
    'publish resolves, and the message has come, once.',
  async run(stage) {
    const topic = unique('single')
    const inbox = stage.inbox()
    const subscriber = await stage.connected()
    await subscriber.subscribe(topic, { qos: 1, signal: stage.signal }, inbox.handle)
    const publisher = stage.lasting(unique('publisher'), { reconnect: { min: 20, max: 100 } })
    let lost: unknown
    publisher.on('interrupted', ({ error }) => (lost = error))
    await publisher.connect({ signal: stage.signal })
    await publisher.publish(topic, 'single', { qos: 2, signal: stage.signal }).catch((error: unknown) => {
      throw new Different(`${describe(error)}; the connection ended by ${describe(lost)}`)
    })
    await inbox.untilDistinct(1)
    await subscriber.ping({ signal: stage.signal })
    expectSame('messages', inbox.messages.length, 1)
    return `resolved, came with QoS ${inbox.messages[0]?.qos}`
  },
}

export function numbers(count: number, first = 0): readonly string[] {
  return Array.from({ length: count }, (_, index) => String(first + index))
}

const retained: Feature = {
  name: 'retained',
  about:
    'A retained message comes to a later subscriber with RETAIN 1, and not any more when it was cleared.',
  async run(stage) {
    const topic = unique('kept')
    const publisher = await stage.connected()
    await publisher.publish(topic, 'still here', { qos: 1, retain: true })
    await firstRetained(stage, topic, 'still here')
    await publisher.publish(topic, '', { qos: 1, retain: true })
    const later = await stage.connected()
    const inbox = stage.inbox()
    await later.subscribe(topic, { qos: 1 }, inbox.handle)
    await publisher.publish(topic, 'new', { qos: 1 })
    await inbox.untilDistinct(1)
    expectSame('what came after it was cleared', inbox.texts.join(), 'new')
    return 'kept, cleared'
  },
}

async function firstRetained(stage: Stage, topic: string, text: string, filter = topic): Promise<void> {
  const client = await stage.connected()
  const inbox = stage.inbox()
  await client.subscribe(filter, { qos: 1 }, inbox.handle)
  // What is not retained is behind what is.
  await client.publish(topic, 'behind', { qos: 1 })
  await inbox.until(({ texts }) => texts.includes('behind'), 'the message behind the retained one')
  const [first] = inbox.messages
  if (first?.text !== text) throw new Different('the retained message did not come')
  expectSame('RETAIN', first.retain, true)
}

const retainedByWildcard: Feature = {
  name: 'retained, by wildcard',
  about: 'A retained message is found by a filter with a wildcard.',
  async run(stage) {
    const topic = unique('kept')
    const publisher = await stage.connected()
    await publisher.publish(`${topic}/a`, 'still here', { qos: 1, retain: true })
    await firstRetained(stage, `${topic}/a`, 'still here', `${topic}/+`)
    await publisher.publish(`${topic}/a`, '', { qos: 1, retain: true })
    return 'found'
  },
}

const will: Feature = {
  name: 'will',
  about: 'The will of a client that goes without DISCONNECT is published.',
  async run(stage) {
    const topic = unique('will')
    const observer = await stage.connected()
    const inbox = stage.inbox()
    await observer.subscribe(topic, { qos: 1 }, inbox.handle)
    const client = await stage.connected({ will: { topic, payload: 'gone', qos: 1 } })
    client.destroy()
    await inbox.untilDistinct(1)
    expectSame('the will', inbox.texts[0], 'gone')
    return 'published'
  },
}

const wildcards: Feature = {
  name: 'wildcards',
  about: '`+` and `#` match what they should, and nothing else.',
  async run(stage) {
    const root = unique('tree')
    const client = await stage.connected()
    const [one, all] = [stage.inbox(), stage.inbox()]
    await client.subscribe(`${root}/+/leaf`, { qos: 1 }, one.handle)
    await client.subscribe(`${root}/#`, { qos: 1 }, all.handle)
    const topics = ['', '/a', '/a/leaf', '/b/leaf', '/a/b/leaf'].map((rest) => root + rest)
    for (const topic of topics) await client.publish(topic, topic, { qos: 1 })
    await client.publish(`${root}/end`, 'end', { qos: 1 })
    await all.until(({ texts }) => texts.includes('end'), 'the last message')
    expectSame('by #', distinctTopics(all), [...topics, `${root}/end`].sort().join())
    expectSame('by +', distinctTopics(one), [`${root}/a/leaf`, `${root}/b/leaf`].join())
    return 'as they should'
  },
}

/** A broker may send a copy for each filter that matches. */
function distinctTopics({ messages }: Inbox): string {
  return [...new Set(messages.map(({ topic }) => topic))].sort().join()
}

const SHARED = 100

const shared: Feature = {
  name: 'shared subscription',
  about: `${SHARED} messages for \`$share/group/topic\` with two members: each message goes to one of them.`,
  async run(stage) {
    const topic = unique('shared')
    const filter = `$share/${unique('group')}/${topic}`
    const members = [await stage.connected(), await stage.connected()]
    const inboxes = [stage.inbox(), stage.inbox()]
    for (const [index, member] of members.entries()) {
      await member.subscribe(filter, { qos: 1, signal: stage.signal }, (message) =>
        inboxes[index]?.handle(message),
      )
    }
    // One who is no member shows when all have been handed on.
    const witness = await stage.connected()
    const seen = stage.inbox()
    await witness.subscribe(topic, { qos: 1 }, seen.handle)
    const publisher = await stage.connected()
    await stage.within(Promise.all(numbers(SHARED).map((text) => publisher.publish(topic, text, { qos: 1 }))))
    await seen.untilDistinct(SHARED)
    const counts = (): number[] => inboxes.map(({ messages }) => messages.length)
    for (const member of members) await member.ping({ signal: stage.signal })
    const [first = 0, second = 0] = counts()
    expectSame('messages that the members got together', first + second, SHARED)
    return `${first} + ${second}`
  },
}

function large(name: string, way: 'tcp' | 'ws', bytes: number): Feature {
  return {
    name,
    about: `A message of QoS 1 of ${bytes.toLocaleString('en')} bytes comes back as it was sent.`,
    async run(stage) {
      const topic = unique('large')
      const client = await stage.connected({}, way)
      const payload = new Uint8Array(bytes).map((_, index) => (index * 31) >> 3)
      const back = new Promise<Uint8Array>((resolve, reject) => {
        client.on('disconnected', ({ error }) => reject(error ?? new Different('disconnected')))
        client
          .subscribe(topic, { qos: 1 }, (message) => resolve(message.payload))
          .then(() => client.publish(topic, payload, { qos: 1 }))
          .catch(reject)
      })
      const got = await stage.within(back)
      if (!Buffer.from(got).equals(payload)) throw new Different(`${got.length} bytes came, and not the same`)
      return `${got.length.toLocaleString('en')} bytes`
    },
  }
}

export const MESSAGES: readonly Feature[] = [
  atQoS(0),
  atQoS(1),
  atQoS(2),
  publishQoS2,
  retained,
  retainedByWildcard,
  will,
  wildcards,
  shared,
  // 1 MB with what is around it stays below the 1 MiB that NATS takes by default.
  large('1 MB over TCP', 'tcp', 1_000_000),
  large('60 KB over WebSocket', 'ws', 60_000),
]

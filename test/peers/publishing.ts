// What goes wrong when publishing: sending again, the limits that a server announces, what waits for a
// connection.
import type { BrokerOptions } from '../../src/testing/broker/options.ts'
import { defect, type Defect } from './defect.ts'
import { onStage, outcomeOf, until } from './stage.ts'
import type { Peer } from './peer.ts'

/** ms that an answer may take that is sure to come. */
const PATIENCE = 20_000
/** ms after which something that has not happened is said not to happen. */
const NEVER = 5_000

const RESENT = 20

export const sendingAgain: Defect = defect({
  name: 'DUP when a message is sent again',
  about:
    `${RESENT / 2} messages each of QoS 1 and 2 are published, no acknowledgement comes, the connection ` +
    'breaks and the session is resumed. What is sent again must have DUP 1 [3.1.1 MQTT-3.3.1-1].',
  measure: (peer) =>
    onStage(peer, {}, async (stage) => {
      const { faults } = stage.server.broker
      for (const type of ['puback', 'pubrec'] as const) faults.onSend(type, { connection: 1 }).withhold()
      const client = await stage.connect({ version: '3.1.1', clientId: 'dup', lasting: true, retryAfter: 50 })
      const published = Array.from({ length: RESENT }, (_, index) =>
        client.publish('a', String(index), { qos: index % 2 === 0 ? 1 : 2 }),
      )
      await until(() => stage.packets('in', 'publish').length === RESENT, PATIENCE)
      stage.server.broker.cutAll()
      await outcomeOf(Promise.all(published), PATIENCE)
      const again = stage.packets('in', 'publish').filter(({ connection }) => connection > 1)
      return { again: again.length, withDup: again.filter(({ packet }) => packet.dup).length }
    }),
  describe: ({ again, withDup }) => `${again} sent again, ${withDup} of them with DUP 1`,
  isDefect: ({ again, withDup }) => again === 0 || withDup < again,
})

const RECEIVE_MAXIMUM = 5

export const serverLimits: Defect = defect({
  name: 'The limits of CONNACK',
  about:
    `The server announces Receive Maximum ${RECEIVE_MAXIMUM}, Maximum QoS 1, Retain Available 0, Maximum ` +
    'Packet Size 200 and assigns a client identifier. The client must keep within them, and a message that ' +
    'cannot must fail before it is sent [5 MQTT-3.3.4-7] [5 MQTT-3.2.2-11] [5 MQTT-3.2.2-14] ' +
    '[5 MQTT-3.2.2-15]; the assigned identifier must be its own from then on (3.2.2.3.7).',
  measure: async (peer) => ({
    inFlight: await mostInFlight(peer),
    qos2Sent: await overstepped(peer, { maximumQoS: 1 }, 'maximum-qos', { qos: 2 }),
    retainSent: await overstepped(peer, { retainAvailable: false }, 'retain-unavailable', { retain: true }),
    largeSent: await overstepped(peer, { maximumPacketSize: 200 }, 'maximum-packet-size', { length: 1_000 }),
    idKept: await onStage(peer, {}, async (stage) => {
      const client = await stage.connect({ version: '5', clientId: '' })
      return client.clientId === stage.server.broker.connections[0]?.clientId
    }),
  }),
  describe: ({ inFlight, qos2Sent, retainSent, largeSent, idKept }) =>
    `${inFlight} in flight with Receive Maximum ${RECEIVE_MAXIMUM}; sent all the same: ` +
    `${listOf({ 'QoS 2': qos2Sent, 'RETAIN 1': retainSent, '1,000 bytes': largeSent })}; ` +
    `assigned identifier ${idKept ? 'kept' : 'not kept'}`,
  isDefect: ({ inFlight, qos2Sent, retainSent, largeSent, idKept }) =>
    inFlight === 0 || inFlight > RECEIVE_MAXIMUM || qos2Sent || retainSent || largeSent || !idKept,
})

function mostInFlight(peer: Peer): Promise<number> {
  let open = 0
  let most = 0
  const onPacket: BrokerOptions['onPacket'] = (direction, { type }) => {
    if (direction === 'in' && type === 'publish') most = Math.max(most, (open += 1))
    if (direction === 'out' && type === 'puback') open -= 1
  }
  return onStage(peer, { receiveMaximum: RECEIVE_MAXIMUM, onPacket }, async (stage) => {
    stage.server.broker.faults.onSend('puback').delay(20)
    const client = await stage.connect({ version: '5', clientId: 'window' })
    const published = Array.from({ length: 100 }, () => client.publish('a', 'b', { qos: 1 }))
    await outcomeOf(Promise.all(published), PATIENCE)
    return most
  })
}

function overstepped(
  peer: Peer,
  options: BrokerOptions,
  rule: string,
  { qos = 1, retain = false, length = 1 }: { qos?: 1 | 2; retain?: boolean; length?: number },
): Promise<boolean> {
  return onStage(peer, options, async (stage) => {
    const client = await stage.connect({ version: '5', clientId: 'limits' })
    let failed = false
    client.publish('a', 'b'.repeat(length), { qos, retain }).catch(() => (failed = true))
    await until(() => failed || stage.complaintsOf(rule) > 0, NEVER)
    return stage.complaintsOf(rule) > 0
  })
}

const QUEUED = 200
const ACKNOWLEDGED_AFTER = 10

export const drainOfQueue: Defect = defect({
  name: `${QUEUED} messages that have waited for the connection`,
  about:
    `${QUEUED} QoS 1 messages are published before there is a connection; the server acknowledges each ` +
    `after ${ACKNOWLEDGED_AFTER} ms. They need not wait for each other, nor the program for them to be ` +
    'told of the connection.',
  measure: async (peer) => {
    const times = { connack: 0, told: Infinity, last: 0 }
    let [open, most] = [0, 0]
    const onPacket: BrokerOptions['onPacket'] = (direction, { type }) => {
      if (direction === 'in' && type === 'publish') most = Math.max(most, (open += 1))
      if (direction !== 'out') return
      if (type === 'connack') times.connack = performance.now()
      if (type !== 'puback') return
      open -= 1
      times.last = performance.now()
    }
    await onStage(peer, { onPacket }, async (stage) => {
      stage.server.broker.faults.onSend('puback').delay(ACKNOWLEDGED_AFTER)
      await stage.shut()
      const client = stage.create({ version: '3.1.1', clientId: 'drain', lasting: true, retryAfter: 50 })
      void client.connected.then(() => (times.told = performance.now()))
      const published = Array.from({ length: QUEUED }, () => client.publish('a', 'b', { qos: 1 }))
      await stage.open()
      await outcomeOf(Promise.all([...published, client.connected]), PATIENCE)
    })
    const toldAfter = Math.round(times.told - times.connack)
    return { most, toldAfter, drainedAfter: Math.round(times.last - times.connack) }
  },
  describe: ({ most, toldAfter, drainedAfter }) =>
    `at most ${most} in flight; all acknowledged ${ms(drainedAfter)} after CONNACK, the program told of ` +
    `the connection after ${ms(toldAfter)}`,
  isDefect: ({ most, toldAfter, drainedAfter }) => most === 1 || toldAfter >= drainedAfter,
})

const MANY = 70_000

export const manyOffline: Defect = defect({
  name: `${MANY.toLocaleString('en')} messages without a connection`,
  about:
    `${MANY.toLocaleString('en')} QoS 1 messages are published before there is a connection, more than ` +
    'there are packet identifiers. Each must arrive, or its publish must fail.',
  measure: async (peer) => {
    const arrived = new Set<string>()
    const decoder = new TextDecoder()
    const counts = { resolved: 0, failed: 0 }
    const options: BrokerOptions = {
      onPacket: () => {},
      onMessage: ({ payload }) => void arrived.add(decoder.decode(payload)),
    }
    await onStage(peer, options, async (stage) => {
      await stage.shut()
      const client = stage.create({ version: '3.1.1', clientId: 'many', lasting: true, retryAfter: 50 })
      for (let index = 0; index < MANY; index += 1) {
        client.publish('a', String(index), { qos: 1 }).then(
          () => (counts.resolved += 1),
          () => (counts.failed += 1),
        )
      }
      await stage.open()
      await client.connected
      // Until all have an outcome, or nothing moves any more.
      const state = (): number => arrived.size + counts.resolved + counts.failed
      for (let before = -1; before !== state() && counts.resolved + counts.failed < MANY; ) {
        before = state()
        await until(() => counts.resolved + counts.failed === MANY, NEVER)
      }
    })
    const silent = MANY - arrived.size - counts.failed
    return { arrived: arrived.size, failed: counts.failed, lostSilently: Math.max(0, silent) }
  },
  describe: ({ arrived, failed, lostSilently }) =>
    `${count(arrived)} arrived, ${count(failed)} failed with an error, ${count(lostSilently)} lost without ` +
    'a word',
  isDefect: ({ lostSilently }) => lostSilently > 0,
})

export const endWithPending: Defect = defect({
  name: 'The end of a client that still owes a message',
  about:
    'The server is gone, a QoS 1 message is published, and the client is ended in order. Both the end and ' +
    `the message must have an outcome within ${NEVER / 1_000} s.`,
  measure: (peer) =>
    onStage(peer, {}, async (stage) => {
      const client = await stage.connect({ version: '3.1.1', clientId: 'end', lasting: true, retryAfter: 50 })
      await stage.shut()
      await until(() => !client.isConnected, NEVER)
      const message = client.publish('a', 'b', { qos: 1 })
      const began = performance.now()
      const whenEnded = client.end().then(() => performance.now() - began)
      const [ended, published] = await Promise.all([outcomeOf(whenEnded, NEVER), outcomeOf(message, NEVER)])
      return { ended, published, endedAfter: ended === 'done' ? Math.round(await whenEnded) : NEVER }
    }),
  describe: ({ ended, published, endedAfter }) =>
    `${ended === 'waits' ? 'not ended' : 'ended'} after ${ms(endedAfter)}; the message's publish ` +
    `${{ waits: 'has not settled', done: 'succeeds', failed: 'fails with an error' }[published]}`,
  isDefect: ({ ended, published }) => ended !== 'done' || published !== 'failed',
})

function listOf(given: Readonly<Record<string, boolean>>): string {
  const names = Object.entries(given).flatMap(([name, holds]) => (holds ? [name] : []))
  return names.length === 0 ? 'nothing' : names.join(', ')
}

function count(value: number): string {
  return value.toLocaleString('en')
}

function ms(value: number): string {
  return `${count(value)} ms`
}

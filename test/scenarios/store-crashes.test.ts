// A program that dies at each step of its store, in turn, and goes on in its next life: nothing that was promised is
// lost, QoS 2 is never doubled, and what the store holds is whole or absent. First on a simulated disk, at every
// step; then real processes, killed at random moments while they publish and receive.
import { describe, expect, it } from 'vitest'
import { join } from 'node:path'
import type { Message } from '../../src/client/message.ts'
import type { ControlPacket } from '../../src/core/packets/types.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import type { BrokerMessage } from '../../src/testing/broker/broker-session.ts'
import { Oracle, type Sent } from '../../src/testing/oracle.ts'
import { VERSIONS } from '../support/client-world.ts'
import { usePrograms } from '../support/store-process.ts'
import { type CrashKind, type Program, StoreWorld } from '../support/store-world.ts'

const programs = usePrograms()

/** A program's whole life, from death to death: a list of things to do, QoS 1 and 2 in both directions. */
class Script {
  readonly world: StoreWorld
  readonly oracle: Oracle = new Oracle(false)
  lives = 0
  readonly #unsettled = new Set<Sent>()
  /** What the broker has under way to the client. */
  readonly #underWay = new Map<number, number>()
  #program: Program | undefined = undefined

  constructor(version: '3.1.1' | '5', kind: CrashKind, sync = true) {
    this.world = new StoreWorld(version, {
      durability: kind,
      sync,
      segmentBytes: 400,
      broker: {
        handOnAt: kind === 'power' ? 'pubrel' : 'publish',
        onMessage: ({ publisher, topic, qos, payload }) => {
          if (publisher === 'client')
            this.oracle.arrive('up', { topic, qos, payload: TEXT.decode(payload), label: undefined, life: 0 })
        },
        onPacket: (direction, packet) => {
          if (direction === 'out' && packet.type === 'publish') {
            this.#underWay.set(packet.packetId, numberOf(TEXT.decode(packet.payload)))
          }
          if (direction === 'in' && packet.type === 'pubrec') {
            const message = this.oracle.sent[this.#underWay.get(packet.packetId) ?? -1]
            if (message !== undefined) message.isReceived = true
          }
        },
      },
    })
    this.world.died = () => {
      for (const message of this.#unsettled) this.oracle.settle(message, 'unknown', 'its process died')
      this.#unsettled.clear()
      this.oracle.doubt(false)
      this.#forgive()
      this.world.runtime.setTimer(() => this.start(), 10)
    }
  }

  /** `ack: 'received'` is at most once: what was recorded and not yet handed over dies with the process, rule 18. */
  #forgive(): void {
    const onTheWay = new Set(this.#underWay.values())
    for (const message of this.oracle.sent) {
      const isAtRisk =
        message.topic === 'down/received' && message.completed === 0 && onTheWay.has(message.id)
      if (isAtRisk) message.isExempt = true
    }
  }

  /** Messages that were lost by that. */
  get lost(): number {
    return this.oracle.sent.filter(({ isExempt, completed }) => isExempt && completed === 0).length
  }

  /** Until the end, whatever happens on the way. */
  async play(): Promise<void> {
    this.start()
    await this.world.advance(60)
    for (const act of this.#acts()) {
      act()
      await this.world.advance(15)
    }
    this.world.decide = () => undefined
    await this.world.advance(1_500)
    this.oracle.finish()
  }

  start(): void {
    this.lives += 1
    const program = this.world.start()
    const life = this.lives
    this.#program = program
    const { client } = program
    client.on('error', ({ error }) => this.oracle.violations.push(String(error)))
    const handle = (message: Message): void => {
      const { topic, qos } = message
      const arrival = { topic, qos, payload: message.text(), label: undefined, life }
      const sent = this.oracle.arrive('down', arrival)
      if (sent !== undefined) sent.completed += 1
    }
    client.route('down/handled', handle)
    client.route('down/received', handle, { ack: 'received' })
    client.connect().catch(() => undefined)
    client.subscribe('down/#', { qos: 2 }).catch(() => undefined)
  }

  #acts(): readonly (() => void)[] {
    const up = (topic: string, qos: 1 | 2, until: 'acknowledged' | 'stored' = 'acknowledged') => {
      return (): void => this.#publish(topic, qos, until)
    }
    const down = (topic: string, qos: 1 | 2) => (): void => {
      const message = this.oracle.publish('down', topic, qos, 2)
      this.oracle.settle(message, 'ok')
      this.world.broker.publish({ topic, qos, payload: message.payload })
    }
    const all =
      (...acts: readonly (() => void)[]) =>
      (): void =>
        acts.forEach((act) => act())
    return [
      up('up/1', 1),
      up('up/2', 2),
      down('down/handled', 1),
      down('down/handled', 2),
      down('down/received', 2),
      up('up/2', 2, 'stored'),
      () => void this.world.wire.cut(),
      all(up('up/1', 1), up('up/2', 2), down('down/handled', 2), down('down/received', 2)),
      all(up('up/2', 2), down('down/handled', 2), up('up/1', 1, 'stored'), down('down/handled', 1)),
      () => this.#reconnect(),
      all(up('up/2', 2), down('down/received', 2), up('up/1', 1), down('down/handled', 2)),
    ]
  }

  #publish(topic: string, qos: 1 | 2, until: 'acknowledged' | 'stored'): void {
    const program = this.#program
    if (program?.isAlive !== true) return
    const message = this.oracle.publish('up', topic, qos, 2)
    this.#unsettled.add(message)
    const settle = (outcome: 'ok' | 'stored' | 'unknown', reason = ''): void => {
      if (program.isAlive && this.#unsettled.delete(message)) this.oracle.settle(message, outcome, reason)
    }
    program.client.publish(topic, message.payload, { qos, until }).then(
      () => settle(until === 'stored' ? 'stored' : 'ok'),
      (error: unknown) => settle('unknown', String(error)),
    )
  }

  #reconnect(): void {
    const program = this.#program
    if (program?.isAlive !== true) return
    this.oracle.doubt(false)
    const again = async (): Promise<void> => {
      await program.client.disconnect()
      if (program.isAlive) await program.client.connect()
    }
    again().catch(() => undefined)
  }

  get violations(): readonly string[] {
    const { broker, witness } = this.world
    const open = broker.openExchanges.map(({ packetId, from, state }) => `open: ${packetId} ${from} ${state}`)
    const owed = this.#program?.client.pending.map(({ topic, stage }) => `owed: ${topic} ${stage}`) ?? []
    const twice = this.oracle.sent
      .filter(({ topic, arrivals }) => topic === 'down/received' && arrivals > 1)
      .map(({ id }) => `message ${id} was received twice`)
    return [...this.oracle.violations, ...witness.violations, ...open, ...owed, ...twice]
  }
}

const TEXT = new TextDecoder()
const NONE: readonly string[] = []

function numberOf(payload: string): number {
  return Number(payload.split(' ', 2)[1])
}

describe.each(VERSIONS)('a crash at each step of the store in %s', (version) => {
  it.each(['process', 'power'] as const)(
    "'%s': what was promised arrives, QoS 2 once, records are whole or absent (rule 35) [scenario 66]",
    async (kind) => {
      const calm = new Script(version, kind)
      await calm.play()
      const { steps, counts } = calm.world.machine
      expect(calm.violations).toEqual(NONE)
      expect(await calm.world.end()).toEqual(NONE)
      expect(calm.lost).toBe(0)
      expect(counts.get('write')).toBeGreaterThan(30)
      expect(counts.get('rename')).toBeGreaterThan(2)
      for (let at = 1; at <= steps; at += 1) {
        // Each step by both ways over the two versions.
        const when = at % 2 === VERSIONS.indexOf(version) ? 'before' : 'after'
        const script = new Script(version, kind)
        script.world.decide = ({ number }) => (number === at ? { crash: { kind, when } } : undefined)
        await script.play()
        const where = `${when} step ${at}`
        expect(script.violations, where).toEqual(NONE)
        expect(await script.world.end(), where).toEqual(NONE)
        expect(script.lives, where).toBe(2)
        expect(script.lost, where).toBeLessThanOrEqual(2)
      }
    },
  )

  it('would be noticed if the disk only pretended to sync [scenario 66]', async () => {
    let noticed = 0
    for (let at = 20; at <= 110; at += 6) {
      const script = new Script(version, 'power', false)
      script.world.decide = ({ number }) =>
        number === at ? { crash: { kind: 'power', when: 'after' } } : undefined
      await script.play()
      if (script.violations.length > 0) noticed += 1
      await script.world.end()
    }
    expect(noticed).toBeGreaterThan(5)
  })
})

describe('processes that are killed', () => {
  it('20 times at random moments: nothing is lost, QoS 2 never comes twice [scenario 66]', async () => {
    await Promise.all(VERSIONS.map((version) => playKills(version, 10)))
  }, 120_000) // for busy machines: 22 processes are started
})

async function playKills(version: '3.1.1' | '5', kills: number): Promise<void> {
  const ledger = new Ledger()
  const server = createBroker({
    handOnAt: version === '5' ? 'pubrel' : 'publish',
    onMessage: (message) => ledger.handleMessage(message),
    onPacket: (direction, packet) => ledger.handlePacket(direction, packet),
  })
  const url = await server.listen()
  const folder = join(programs.place(), `killed-${version}`)
  let asked = 0
  for (let life = 0; life < kills; life += 1) {
    const program = programs.start({ url, folder, version })
    await program.line(/^ready/)
    program.tell(`work ${life * 10_000}`)
    const most = program.lines.length + Math.floor(Math.random() * 200)
    for (let said = program.lines.length; said < most; said += 10) {
      await program.said(said)
      for (const topic of ['down/handled', 'down/received'] as const) {
        server.broker.publish({ topic, qos: 2, payload: String(asked++) })
      }
    }
    await program.kill()
    ledger.read(program.lines)
  }
  const last = programs.start({ url, folder, version })
  await last.line(/^ready/)
  last.tell('drain')
  await last.line(/^drained/)
  await expect.poll(() => server.broker.openExchanges, { timeout: 10_000 }).toEqual([])
  last.tell('end')
  await last.ended()
  ledger.read(last.lines)
  await server.close()
  expect(ledger.check(asked)).toEqual(NONE)
  expect(ledger.stored.size).toBeGreaterThan(100)
  expect(server.broker.finish()).toEqual(NONE)
}

/** What killed processes have said, and what the broker saw of it. */
class Ledger {
  /** Numbers of messages that a store had. */
  readonly stored = new Set<number>()
  readonly #wrong: string[] = []
  readonly #arrived: Record<string, number[]> = { 'up/1': [], 'up/2': [] }
  readonly #handled: Record<string, number[]> = { 'down/handled': [], 'down/received': [] }
  readonly #underWay = new Map<number, string>()
  /** Those to which the broker has got PUBREC: they are over for the receiver. */
  readonly #received = new Set<string>()

  handleMessage({ publisher, topic, payload }: Pick<BrokerMessage, 'publisher' | 'topic' | 'payload'>): void {
    if (publisher === 'program') this.#arrived[topic]?.push(Number(TEXT.decode(payload)))
  }

  handlePacket(direction: 'in' | 'out', packet: ControlPacket): void {
    if (direction === 'out' && packet.type === 'publish') {
      const line = `${packet.topic} ${TEXT.decode(packet.payload)}`
      if (this.#received.has(line)) this.#wrong.push(`the broker sends again: ${line}`)
      this.#underWay.set(packet.packetId, line)
    }
    if (direction === 'in' && packet.type === 'pubrec') {
      this.#received.add(this.#underWay.get(packet.packetId) ?? '')
    }
  }

  /** All that one process has said. */
  read(lines: readonly string[]): void {
    for (const line of lines) {
      const [word = '', number = ''] = line.split(' ')
      if (word === 'stored') this.stored.add(Number(number))
      else if (word in this.#handled) this.#handled[word]?.push(Number(number))
      else if (!/^(?:connected|ready|drained|dropped |disconnected undefined)/.test(line)) {
        this.#wrong.push(`a process says: ${line}`)
      }
    }
  }

  /** @param asked how many messages were published to the programs, numbered, by turns to the two topics */
  check(asked: number): readonly string[] {
    const wrong = [...this.#wrong]
    const arrived = { one: this.#arrived['up/1'] ?? [], two: this.#arrived['up/2'] ?? [] }
    for (const number of this.stored) {
      const list = number % 2 === 0 ? arrived.one : arrived.two
      if (!list.includes(number)) wrong.push(`${number} was stored and never arrived`)
    }
    for (const number of repeated(arrived.two)) wrong.push(`${number} arrived twice at QoS 2`)
    for (const list of Object.values(arrived)) {
      const first = [...new Set(list)]
      if (first.some((number, index) => number < (first[index - 1] ?? 0))) wrong.push('not in order')
    }
    const handled = this.#handled['down/handled'] ?? []
    const received = this.#handled['down/received'] ?? []
    for (let number = 0; number < asked; number += 2) {
      if (!handled.includes(number)) wrong.push(`${number} was never handled`)
    }
    for (const number of repeated(received)) wrong.push(`${number} was handed over twice`)
    return wrong
  }
}

function repeated(numbers: readonly number[]): readonly number[] {
  return numbers.filter((number, index) => numbers.indexOf(number) !== index)
}

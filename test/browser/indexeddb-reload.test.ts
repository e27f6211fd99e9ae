// A page that is loaded again in the middle of QoS 2, ten times at random moments, while it publishes and receives:
// what its store had arrives once, what it was sent is handed over, and never again once it has said PUBREC. The
// counting is done outside, by the broker and by what the page has said.
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { ControlPacket } from '../../src/core/packets/types.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import type { BrokerMessage } from '../../src/testing/broker/broker-session.ts'
import { type Chromium, describeChromium } from '../support/chromium.ts'
import { bridgeWebSocket } from '../support/websocket-bridge.ts'

const PROGRAM = fileURLToPath(new URL('./indexeddb-reload.browser.ts', import.meta.url))
const RELOADS = 10
const NONE: readonly string[] = []
const TEXT = new TextDecoder()

describeChromium('a page with a session in IndexedDB', (chromium) => {
  it.each(['3.1.1', '5'] as const)(
    'is loaded again 10 times in the middle of QoS 2 in %s: nothing is lost, nothing comes twice (rules 18, 35)',
    (version) => playReloads(chromium(), version),
    180_000, // for busy machines
  )
})

describe('the ledger of a page that is loaded again', () => {
  function ledgerOf(lines: readonly string[], arrived: readonly number[], sent: readonly string[]): Ledger {
    const ledger = new Ledger()
    for (const line of lines) ledger.read(line)
    for (const number of arrived) {
      ledger.handleMessage({
        publisher: 'page',
        topic: 'up',
        payload: new TextEncoder().encode(String(number)),
      })
    }
    for (const line of sent) ledger.expect(line)
    return ledger
  }

  it('is content when all is as it must be', () => {
    const lines = ['stored 1', 'stored 2', 'down/handled 1', 'down/handled 1', 'down/received 2']
    const sent = ['down/handled 1', 'down/received 2', 'down/received 3']
    expect(ledgerOf(lines, [1, 2, 3], sent).check()).toEqual(NONE)
  })

  it.each([
    [['stored 1', 'stored 2'], [1], [], '2 was stored and never arrived'],
    [['stored 1'], [1, 1], [], '1 arrived twice'],
    [[], [2, 1], [], 'they arrived in another order'],
    [['down/handled 1'], [], ['down/handled 1', 'down/handled 2'], 'down/handled 2 was never handled'],
    [
      ['down/received 1', 'down/received 1'],
      [],
      ['down/received 1'],
      'down/received 1 was handed over twice',
    ],
    [['error store-failed'], [], [], 'the page says: error store-failed'],
  ])('of %j and %j is not', (lines, arrived, sent, complaint) => {
    expect(ledgerOf(lines, arrived, sent).check()).toEqual([complaint])
  })
})

async function playReloads(chromium: Chromium, version: '3.1.1' | '5'): Promise<void> {
  const ledger = new Ledger()
  const server = createBroker({
    handOnAt: version === '5' ? 'pubrel' : 'publish',
    onMessage: (message) => ledger.handleMessage(message),
    onPacket: (direction, packet) => ledger.handlePacket(direction, packet),
  })
  const bridge = await bridgeWebSocket(await server.listen())
  const tab = await chromium.open(PROGRAM, 'page')
  await tab.page.exposeFunction('say', (line: string) => ledger.read(line))

  let asked = 0
  for (let life = 0; life < RELOADS; life += 1) {
    await tab.call('start', bridge.url, version, life * 100_000)
    const most = ledger.stored.size + 20 + Math.floor(Math.random() * 200)
    for (let size = ledger.stored.size; size < most; size += 10) {
      await ledger.untilStored(size)
      for (const topic of ['down/handled', 'down/received']) {
        ledger.expect(`${topic} ${asked}`)
        server.broker.publish({ topic, qos: 2, payload: String(asked) })
        asked += 1
      }
    }
    await delay(Math.random() * 20) // a moment that nothing that was said decides
    ledger.endLife(server.broker.openExchanges.length)
    await tab.load(tab.page.url(), 'page')
  }
  await tab.call('start', bridge.url, version)
  await tab.call('drain')
  await expect.poll(() => server.broker.openExchanges, { timeout: 20_000 }).toEqual([])
  await tab.call('end')
  await bridge.close()
  await server.close()
  expect(ledger.check()).toEqual(NONE)
  expect(ledger.stored.size).toBeGreaterThan(100)
  // Else the reloads would have shown nothing.
  expect(ledger.livesCutShort).toBeGreaterThan(RELOADS / 2)
  expect(server.broker.finish()).toEqual(NONE)
}

/** What a page has said in all its lives, and what the broker saw of it. */
class Ledger {
  /** Numbers of messages that the store had. */
  readonly stored = new Set<number>()
  /** How often the page was loaded again while QoS 2 exchanges were open. */
  livesCutShort = 0
  readonly #wrong: string[] = []
  readonly #arrived: number[] = []
  readonly #expected: string[] = []
  readonly #handedOver: string[] = []
  readonly #underWay = new Map<number, string>()
  /** Those to which the broker has got PUBREC: they are over for the page. */
  readonly #received = new Set<string>()
  #heard: () => void = () => undefined

  handleMessage({ publisher, payload }: Pick<BrokerMessage, 'publisher' | 'topic' | 'payload'>): void {
    if (publisher === 'page') this.#arrived.push(Number(TEXT.decode(payload)))
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

  read(line: string): void {
    const [word = '', number = ''] = line.split(' ')
    if (word === 'stored') this.stored.add(Number(number))
    else if (word.startsWith('down/')) this.#handOver(line)
    else if (line !== 'disconnected undefined') this.#wrong.push(`the page says: ${line}`)
    this.#heard()
  }

  /** Handlers say so before they are done, so PUBREC is later; after it nothing may be handed over again. */
  #handOver(line: string): void {
    const isOver = this.#received.has(line) && this.#handedOver.includes(line)
    if (isOver) this.#wrong.push(`${line} was handed over again after its PUBREC`)
    this.#handedOver.push(line)
  }

  /** Resolves when the page has said of so many messages that the store has them. */
  async untilStored(count: number): Promise<void> {
    while (this.stored.size < count) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
  }

  /** A message that was published to the page. */
  expect(line: string): void {
    this.#expected.push(line)
  }

  endLife(openExchanges: number): void {
    if (openExchanges > 0) this.livesCutShort += 1
  }

  check(): readonly string[] {
    const wrong = [...this.#wrong]
    for (const number of this.stored) {
      if (!this.#arrived.includes(number)) wrong.push(`${number} was stored and never arrived`)
    }
    for (const number of repeated(this.#arrived)) wrong.push(`${number} arrived twice`)
    const isInOrder = this.#arrived.every((number, index) => number >= (this.#arrived[index - 1] ?? 0))
    if (!isInOrder) wrong.push('they arrived in another order')
    for (const line of this.#expected) {
      // 'received' is at most once: what was recorded and not yet handed over ends with the page.
      const isOwed = line.startsWith('down/handled') && !this.#handedOver.includes(line)
      if (isOwed) wrong.push(`${line} was never handled`)
    }
    for (const line of repeated(this.#handedOver)) {
      if (line.startsWith('down/received')) wrong.push(`${line} was handed over twice`)
    }
    return wrong
  }
}

function repeated<T>(values: readonly T[]): readonly T[] {
  return values.filter((value, index) => values.indexOf(value) !== index)
}

// A client whose store was damaged from outside: cut off anywhere, with flipped bits, overwritten, of a later version,
// of another program, or where nobody may write. Either the damaged tail alone is dropped, and named, or the client
// refuses the store in words and leaves it as it is; it never sends a message that nobody has published.
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MqttError } from '../../src/core/errors.ts'
import { type Client, createClient, type FileStore, fileStore } from '../../src/index.ts'
import { crc32ByTable, decodeRecords, HEADER_BYTES, segmentName } from '../../src/store/file-format.ts'
import { createBroker } from '../../src/testing/broker-server.ts'
import { collect, durableOptions, outcomeOf, VERSIONS } from '../support/client-world.ts'
import { usePrograms } from '../support/store-process.ts'
import { StoreWorld } from '../support/store-world.ts'
import { isUnix } from '../support/system.ts'

const programs = usePrograms()
const NONE: readonly unknown[] = []
const TEXT = new TextEncoder()

/** What became of a client that was given a damaged store. */
interface Outcome {
  readonly error: unknown
  readonly dropped: { readonly bytes: number; readonly reason: string } | undefined
}

/** A session that owes something of every kind, and whose process was killed. */
class Damaged {
  readonly world: StoreWorld
  /** Topic, payload and QoS of all that was published. */
  readonly #published = new Set<string>()
  readonly #phantoms: string[] = []
  #batches: Uint8Array[] = []
  #probes = 0

  constructor(version: '3.1.1' | '5', segmentBytes?: number) {
    this.world = new StoreWorld(version, {
      ...(segmentBytes === undefined ? {} : { segmentBytes }),
      broker: {
        onMessage: ({ publisher, topic, payload, qos }) => {
          const text = `${topic} ${new TextDecoder().decode(payload)} ${qos}`
          if (publisher === 'client' && !this.#published.has(text)) this.#phantoms.push(text)
        },
      },
    })
  }

  /** The log, segment by segment: path and content. */
  async make(): Promise<readonly (readonly [path: string, content: Uint8Array])[]> {
    const { world } = this
    const { faults } = world.broker
    faults.onSend('puback', { nth: 2 }).withhold()
    faults.onSend('pubrec', { nth: 2 }).withhold()
    faults.onSend('pubcomp', { nth: 2 }).withhold()
    faults.onSend('pubrel').withhold()
    const { client } = world.start({ maxInflight: 3 })
    client.route('down', () => undefined)
    outcomeOf(client.connect())
    outcomeOf(client.subscribe('down', { qos: 2 }))
    await world.advance(20)
    world.broker.publish({ topic: 'down', payload: 'x', qos: 2 })
    await world.advance(20)
    for (const [index, qos] of ([1, 2, 1, 2, 2, 1, 2] as const).entries()) {
      this.#publish(client, `up/${index}`, `payload ${index}`, qos)
      await world.advance(20)
    }
    const stages = new Set(client.pending.map(({ stage }) => stage))
    expect(stages).toEqual(new Set(['queued', 'published', 'released']))
    expect(world.witness.session.received.size).toBe(1)
    world.crash('process')
    await world.advance(20)
    faults.clear()
    const paths = world.machine.paths().filter((name) => name.endsWith('.log'))
    this.#batches = []
    return paths.map((path) => {
      const content = world.machine.contentOf(path) ?? new Uint8Array(0)
      this.#batches.push(...decodeRecords(content).batches)
      return [path, content]
    })
  }

  /** Opens a store that holds this, sends what it finds, publishes once more, is killed, and opens it again. */
  async open(...segments: readonly (readonly [path: string, content: Uint8Array])[]): Promise<Outcome> {
    const { machine } = this.world
    for (const path of machine.paths()) machine.unlink(path)
    for (const [path, content] of segments) machine.put(path, content)
    const connects = this.world.got('connect').length
    const first = await this.#connect()
    this.#checkFound(first)
    const again = await this.#connect()
    if (first.error === undefined) {
      expect(again).toEqual({ error: undefined, dropped: undefined })
      return first
    }
    // Nothing was sent, nothing changed, and the second attempt says the same.
    expect(this.world.got('connect').length).toBe(connects)
    expect(again.error).toEqual(first.error)
    expect(machine.paths().filter((path) => path.includes('segment'))).toEqual(segments.map(([path]) => path))
    for (const [path, content] of segments) {
      expect(Buffer.compare(machine.contentOf(path) ?? new Uint8Array(0), content)).toBe(0)
    }
    return first
  }

  /** Only what was written, from the beginning on, without a gap. */
  #checkFound({ error }: Outcome): void {
    if (error !== undefined) return
    for (const [index, batch] of this.world.witness.found.entries()) {
      expect(Buffer.compare(batch, this.#batches[index] ?? new Uint8Array(0))).toBe(0)
    }
  }

  get phantoms(): readonly string[] {
    return this.#phantoms
  }

  async #connect(): Promise<Outcome> {
    const { world } = this
    const { client, store } = world.start({ retryInitialConnect: false })
    collect(client, 'error')
    const connected = outcomeOf(client.connect())
    await world.advance(10)
    const { dropped } = store
    if (connected.state === 'resolved') {
      const probe = this.#publish(client, 'up/probe', `probe ${this.#probes++}`, 2)
      await world.advance(30)
      expect(probe.state).toBe('resolved')
      expect(client.pending).toEqual(NONE)
    }
    expect(connected.state).not.toBe('pending')
    world.crash('process')
    await world.advance(5)
    return { error: connected.error, dropped }
  }

  #publish(client: Client, topic: string, payload: string, qos: 1 | 2): ReturnType<typeof outcomeOf> {
    this.#published.add(`${topic} ${payload} ${qos}`)
    return outcomeOf(client.publish(topic, payload, { qos }))
  }
}

/** Where each record ends. */
function endsOf(content: Uint8Array): readonly number[] {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  const ends: number[] = [HEADER_BYTES]
  for (let at = HEADER_BYTES; at < content.length; ends.push(at)) at += 8 + view.getUint32(at)
  return ends
}

function flip(content: Uint8Array, bit: number): Uint8Array {
  const flipped = content.slice()
  const at = bit >>> 3
  flipped[at] = (flipped[at] ?? 0) ^ (1 << (bit & 7))
  return flipped
}

/** An error that says what was found, that it was left alone, and what to do. */
function expectRefusal({ error }: Outcome, code: string, text: RegExp = /./): void {
  expect(error).toBeInstanceOf(MqttError)
  expect(error).toMatchObject({ code, message: expect.stringMatching(text) })
  expect(error).toMatchObject({ message: expect.stringMatching(/segment-\d{8}\.log .*left as it is/i) })
  expect(error).toMatchObject({ message: expect.stringMatching(/move (?:it|the folder) away|later one/) })
}

function expectDropped({ error, dropped }: Outcome, bytes: number): void {
  expect(error).toBeUndefined()
  if (bytes === 0) expect(dropped).toBeUndefined()
  else expect(dropped).toEqual({ bytes, reason: expect.stringMatching(/^segment-\d{8}\.log: the /) })
}

describe.each(VERSIONS)('a damaged store in %s', (version) => {
  // Each version takes half of the places.
  const parity = VERSIONS.indexOf(version)

  it('that was cut off anywhere loses at most its damaged tail, and says so (rule 34) [scenario 67]', async () => {
    const damaged = new Damaged(version)
    const [[path, content] = ['', new Uint8Array(0)]] = await damaged.make()
    const ends = endsOf(content)
    expect(ends.at(-1)).toBe(content.length)
    expect(ends.length).toBeGreaterThan(10)
    for (let length = content.length - parity; length >= 0; length -= 2) {
      const outcome = await damaged.open([path, content.subarray(0, length)])
      if (length < HEADER_BYTES) expectRefusal(outcome, 'store-damaged', /too few|header/)
      else expectDropped(outcome, length - (ends.filter((end) => end <= length).at(-1) ?? 0))
    }
    expect(damaged.phantoms).toEqual(NONE)
    await damaged.world.end()
  })

  it('with a flipped bit keeps what lies before it, or is refused (rule 34) [scenario 67]', async () => {
    const damaged = new Damaged(version)
    const [[path, content] = ['', new Uint8Array(0)]] = await damaged.make()
    const ends = endsOf(content)
    const codes = new Set<unknown>()
    for (let bit = parity; bit < HEADER_BYTES * 8; bit += 2) {
      const outcome = await damaged.open([path, flip(content, bit)])
      const isVersion = bit >= 8 * 8 && bit < 12 * 8 && bit !== 11 * 8
      expectRefusal(outcome, isVersion ? 'store-newer' : 'store-damaged')
      codes.add(isVersion)
    }
    expect(codes.size).toBe(2)
    for (let bit = HEADER_BYTES * 8 + parity; bit < content.length * 8; bit += 67) {
      const outcome = await damaged.open([path, flip(content, bit)])
      expectDropped(outcome, content.length - (ends.filter((end) => end <= bit >>> 3).at(-1) ?? 0))
    }
    expect(damaged.phantoms).toEqual(NONE)
    await damaged.world.end()
  })

  it('that was overwritten with zeros, or by another program, is refused (rule 34) [scenario 67]', async () => {
    const damaged = new Damaged(version)
    const [[path, content] = ['', new Uint8Array(0)]] = await damaged.make()
    for (const foreign of [new Uint8Array(content.length), TEXT.encode('{"messages": []}'.repeat(9))]) {
      expectRefusal(await damaged.open([path, foreign]), 'store-damaged', /is no segment of a session store/)
    }
    const zeroTail = content.slice().fill(0, content.length - 40)
    const kept =
      endsOf(content)
        .filter((end) => end <= content.length - 40)
        .at(-1) ?? 0
    expectDropped(await damaged.open([path, zeroTail]), content.length - kept)
    expect(damaged.phantoms).toEqual(NONE)
    await damaged.world.end()
  })

  it('of a later version is refused, and the sentence says what to do (rule 34) [scenario 67]', async () => {
    const damaged = new Damaged(version)
    const [[path, content] = ['', new Uint8Array(0)]] = await damaged.make()
    const text = /has format version 2, this library reads 1\. .*Use the version of the library that wrote it/
    expectRefusal(await damaged.open([path, ofVersion2(content)]), 'store-newer', text)
    await damaged.world.end()
  })

  it('that lacks an earlier segment, or a part of one, is refused (rule 34) [scenario 67]', async () => {
    const damaged = new Damaged(version, 150)
    const log = await damaged.make()
    expect(log.length).toBeGreaterThan(3)
    expectDropped(await damaged.open(...log), 0)
    const [first = ['', new Uint8Array(0)] as const, ...others] = log
    expectRefusal(await damaged.open(...others), 'store-damaged', /it is missing/)
    for (const content of [
      first[1].subarray(0, -1),
      flip(first[1], 8 * (HEADER_BYTES + 9)),
      new Uint8Array(99),
    ]) {
      expectRefusal(await damaged.open([first[0], content], ...others), 'store-damaged')
    }
    const [path = '', content = new Uint8Array(0)] = others.at(-1) ?? []
    const cut = await damaged.open(first, ...others.slice(0, -1), [path, content.subarray(0, -1)])
    expect(cut.dropped?.reason).toContain(path.slice(path.lastIndexOf('/') + 1))
    expect(damaged.phantoms).toEqual(NONE)
    await damaged.world.end()
  })

  it('is not asked for again and again: attempts follow the back-off, until it is mended (rule 34) [scenario 67]', async () => {
    const damaged = new Damaged(version)
    const { world } = damaged
    const [[path, content] = ['', new Uint8Array(0)]] = await damaged.make()
    for (const name of world.machine.paths()) world.machine.unlink(name)
    world.machine.put(path, content.subarray(1))
    const { client } = world.start({ reconnect: { min: 100, max: 1_600, jitter: false } })
    const failed = collect(client, 'connectFailed')
    const connected = outcomeOf(client.connect())
    await world.advance(10_000)
    expect(failed.map(({ delay }) => delay).slice(0, 5)).toEqual([200, 400, 800, 1_600, 1_600])
    expect(failed.length).toBeLessThan(10)
    for (const { error } of failed) expect(error).toMatchObject({ code: 'store-damaged' })
    world.machine.put(path, content)
    await world.advance(2_000)
    expect(connected.state).toBe('resolved')
    expect(client.pending).toEqual(NONE)
    await world.end()
  })
})

function ofVersion2(content: Uint8Array): Uint8Array {
  const later = content.slice()
  const view = new DataView(later.buffer)
  view.setUint32(8, 2)
  view.setUint32(28, crc32ByTable(later.subarray(0, 28)))
  return later
}

describe.each(VERSIONS)('a folder of this machine in %s', (version) => {
  it('with a damaged store: in words, or the tail alone is lost (rule 34) [scenario 67]', async () => {
    const server = createBroker()
    const url = await server.listen()
    const folder = join(programs.place(), `damaged-${version}`)
    const create = (): { store: FileStore; client: Client } => {
      const store = fileStore(folder)
      return { store, client: createClient(url, durableOptions(version, { clientId: 'client', store })) }
    }
    await mkdir(folder)
    const { client } = create()
    server.broker.faults.onSend('puback').withhold()
    await client.connect()
    for (const topic of ['a', 'b', 'c']) await client.publish(topic, 'x', { qos: 1, until: 'stored' })
    await client.disconnect()
    server.broker.faults.clear()
    const path = join(folder, segmentName(2))
    const content = new Uint8Array(await readFile(path))
    const refused: readonly (readonly [Uint8Array, string])[] = [
      [new Uint8Array(content.length), 'store-damaged'],
      [TEXT.encode('not ours'.repeat(9)), 'store-damaged'],
      [content.subarray(0, 20), 'store-damaged'],
      [new Uint8Array(0), 'store-damaged'],
      [ofVersion2(content), 'store-newer'],
    ]
    for (const [bytes, code] of refused) {
      await writeFile(path, bytes)
      const error: unknown = await create()
        .client.connect()
        .catch((reason: unknown) => reason)
      expectRefusal({ error, dropped: undefined }, code)
      expect(Buffer.compare(await readFile(path), bytes)).toBe(0)
    }
    await writeFile(path, content.subarray(0, -3))
    const mended = create()
    const settled = collect(mended.client, 'deliverySettled')
    await mended.client.connect()
    expect(mended.store.dropped?.reason).toMatch(/^segment-00000002\.log: the record at byte \d+ claims/)
    await expect.poll(() => mended.client.pending.length).toBe(0)
    const topics = settled.map(({ delivery }) => delivery.topic)
    // Of the last record at most the end is gone.
    expect(topics.length).toBeGreaterThanOrEqual(2)
    expect(topics).toEqual(['a', 'b', 'c'].slice(0, topics.length))
    await mended.client.disconnect()
    await server.close()
    expect(server.broker.finish()).toEqual(NONE)
  })

  it.skipIf(!isUnix)(
    'where nobody may write is refused, and the sentence says why [scenario 67] [needs unix]',
    async () => {
      const server = createBroker()
      const url = await server.listen()
      const isRoot = process.getuid?.() === 0
      // Root may write everywhere, and becomes nobody.
      const folder = join(programs.place(), `read-only-${version}`)
      await mkdir(folder, { mode: isRoot ? 0o755 : 0o555 })
      const nobody = isRoot ? { uid: 65_534 } : {}
      const program = programs.start({ url, folder, version, ...nobody })
      expect(await program.line(/^(?:failed|ready)/)).toMatch(
        /^failed store-failed EACCES the session store .* could not be opened: .*The process needs the right to write there\.$/,
      )
      await program.ended()
      expect(server.broker.finish()).toEqual(NONE)
      await server.close()
      expect(await readdir(folder)).toEqual([])
    },
  )
})

// The documents keep their word: every example in README.md and docs/guides compiles against the sources, the main ones
// run and do what the text around them says, and links between documents lead to what is there.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type BrokerServer, createBroker } from '../src/testing/broker-server.ts'
import { examplesIn, findFaults, readExamples, runExample, type Running } from './support/examples.ts'
import { findBrokenLinks, headingsIn, linksIn } from './support/links.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const documents = readdirSync(`${root}docs`, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`)
  .sort()
const guides = documents.filter((file) => file.startsWith('docs/guides/'))
const withExamples = ['README.md', ...guides]
const NONE: readonly string[] = []
const PATIENTLY = { timeout: 10_000, interval: 5 }

/** Wrong on purpose: compiled with the others, so that it is known that all of them were looked at. */
const WRONG = [
  '```ts',
  "import { connect } from 'petrel'",
  "const client = await connect('mqtt://broker.example', { clientID: 'a' })",
  "client.on('message', ({ topics }) => console.log(topics))",
  '```',
  '```ts browser',
  "import { fileStore } from 'petrel'",
  'console.log(fileStore, process)',
  '```',
].join('\n')

describe('the examples', () => {
  let faults: readonly string[] = []

  beforeAll(async () => {
    const examples = withExamples.flatMap((file) => readExamples(file))
    faults = await findFaults([...examples, ...examplesIn('wrong.md', WRONG)])
  }, 60_000)

  it('in wrong options, fields and names are found, on their line', () => {
    const wrong = faults.filter((fault) => fault.startsWith('wrong.md'))
    expect(wrong.map((fault) => fault.replace(/ error TS\d+:/, ''))).toEqual([
      expect.stringMatching(/^wrong\.md:3: .*'clientID' does not exist.*Did you mean to write 'clientId'/),
      expect.stringMatching(/^wrong\.md:4: Property 'topics' does not exist on type 'Message'/),
      expect.stringMatching(/^wrong\.md:7: .*no exported member.*'fileStore'/),
      expect.stringMatching(/^wrong\.md:8: Cannot find name 'process'/),
    ])
  })

  it.each(withExamples)('in %s compile', (file) => {
    expect(readExamples(file).length).toBeGreaterThan(0)
    expect(faults.filter((fault) => fault.startsWith(`${file}:`))).toEqual(NONE)
  })

  it.each(['```typescript\n```', '  ```ts\n  ```', '```ts node\n```'])('are not overlooked: %j', (text) => {
    expect(() => examplesIn('a.md', text)).toThrow('a.md: expected ```ts, sh or json at the margin')
  })

  it('compile without a fault of the sources', () => {
    const own = [...withExamples, 'wrong.md']
    expect(faults.filter((fault) => !own.some((file) => fault.startsWith(`${file}:`)))).toEqual(NONE)
  })
})

describe('the links', () => {
  it.each(['README.md', ...documents])('of %s lead somewhere', (file) => {
    expect(findBrokenLinks(`${root}${file}`, readFileSync(`${root}${file}`, 'utf8'))).toEqual(NONE)
  })

  it('are found, and their headings', () => {
    expect(linksIn('[a](b.md#c) ![d](../e.svg) [f](https://g.example) `[h](i)`\n```\n[j](k)\n```')).toEqual([
      'b.md#c',
      '../e.svg',
    ])
    expect(headingsIn("# `until: 'stored'` and `pending`\n## A, b\n```\n# c\n```")).toEqual([
      'until-stored-and-pending',
      'a-b',
    ])
    const good = '[a](README.md#documents) [b](docs/) [c](#d)\n# d\n'
    expect(findBrokenLinks(`${root}README.md`, `${good}[e](README.md#e) [f](f.md) [g](#g)`)).toEqual([
      'README.md#e',
      'f.md',
      '#g',
    ])
  })
})

describe('a program of', () => {
  /** What clients sent, and the filters that they have subscribed to. */
  let published: string[] = []
  let filters: string[] = []
  let server: BrokerServer
  let running: Running | undefined
  let folder = ''

  beforeEach(async () => {
    running = undefined
    folder = mkdtempSync(join(tmpdir(), 'petrel-examples-'))
    published = []
    filters = []
    server = createBroker({
      onPacket: (direction, packet) => {
        if (direction === 'in' && packet.type === 'subscribe')
          filters.push(...packet.subscriptions.map(({ filter }) => filter))
        if (direction === 'in' && packet.type === 'publish')
          published.push(`${packet.topic} ${Buffer.from(packet.payload).toString()} ${packet.qos}`)
      },
    })
    await server.listen()
  })
  afterEach(async () => {
    running?.kill('SIGKILL')
    await running?.exited
    rmSync(folder, { recursive: true })
    await server.close()
    expect(server.broker.complaints).toEqual([])
  })

  /** Starts the first example of a document. */
  async function start(file: string): Promise<Running> {
    const [example] = readExamples(file)
    if (example === undefined) throw new Error(`${file} has no example`)
    return (running = await runExample(example, server.url, folder))
  }

  /** Publishes when the client has subscribed. */
  async function say(filter: string, topic: string, payload: string): Promise<void> {
    await expect.poll(() => filters, PATIENTLY).toContain(filter)
    server.broker.publish({ topic, payload, qos: 2 })
  }

  it('README.md: handlers, publish, a loop that is left', async () => {
    const { exited } = await start('README.md')
    await say('boiler/+/alarm', 'boiler/3/alarm', 'hot')
    await say('boiler/7/#', 'boiler/7/control', '{"stop":true}')
    expect(await exited).toEqual({ exitCode: 0, output: 'boiler/3/alarm hot\n', errors: '' })
    expect(published).toEqual(['boiler/7/temperature 21.5 1'])
    expect(server.broker.retained.has('boiler/7/temperature')).toBe(true)
  })

  it('docs/guides/publishing.md: each QoS, send, publishAll', async () => {
    const { exited } = await start('docs/guides/publishing.md')
    expect(await exited).toEqual({ exitCode: 0, output: '24 published, 0 failed\n', errors: '' })
    expect(published.slice(0, 4)).toEqual([
      'meter/3/power 1520 0',
      'meter/3/state {"ok":true} 1',
      'meter/3/bill 17.20 2',
      'meter/3/wave \u0001\u0002\u0003 0',
    ])
    expect(published).toHaveLength(4 + 24)
    expect([...server.broker.retained.keys()]).toEqual(['meter/3/state'])
  })

  it('docs/guides/subscribing.md: handlers for filters, a loop', async () => {
    const { exited } = await start('docs/guides/subscribing.md')
    await say('boiler/+/log', 'boiler/1/log', 'ok')
    await say('boiler/+/alarm', 'boiler/1/alarm', 'hot')
    await say('boiler/7/command', 'boiler/7/command', '{"name":"start"}')
    await say('boiler/7/command', 'boiler/7/command', '{"name":"stop"}')
    const { output, ...ended } = await exited
    expect(ended).toEqual({ exitCode: 0, errors: '' })
    expect(output.split('\n')).toEqual([
      "[ 'boiler/+/alarm: QoS 1' ]",
      'report boiler/1/log 2 false',
      'alarm boiler/1/alarm hot',
      'command start',
      'command stop',
      '',
    ])
  })

  it('docs/guides/durable-sessions.md: a message in the store survives SIGKILL, SIGTERM ends in order', async () => {
    server.broker.faults.onSend('pubrec', { times: 1 }).withhold()
    const killed = await start('docs/guides/durable-sessions.md')
    await expect.poll(() => published, PATIENTLY).toEqual(['ledger/out entry 1 2'])
    killed.kill('SIGKILL')
    expect((await killed.exited).output).toMatch(/^a new session$/m)
    server.broker.publish({ topic: 'ledger/in/1', payload: 'entry', qos: 2 })
    const program = await start('docs/guides/durable-sessions.md')
    await expect.poll(() => published, PATIENTLY).toHaveLength(3)
    await expect.poll(() => server.broker.openExchanges, PATIENTLY).toEqual([])
    program.kill('SIGTERM')
    const { output, ...ended } = await program.exited
    expect(ended).toEqual({ exitCode: 0, errors: '' })
    expect(output).toMatch(/^resumed$/m)
    expect(output).toMatch(/^received ledger\/in\/1 entry$/m)
    expect(output).toMatch(/^\d under way$/m)
    expect(output.match(/^settled ledger\/out $/gm)).toHaveLength(2)
  })

  it('docs/guides/operations.md: SIGTERM while a handler works', async () => {
    const program = await start('docs/guides/operations.md')
    await say('jobs/#', 'jobs/1', 'x')
    await expect.poll(() => program.output, PATIENTLY).toBe('begun jobs/1\n')
    program.kill('SIGTERM')
    expect(await program.exited).toEqual({ exitCode: 0, output: 'begun jobs/1\ndone jobs/1\n', errors: '' })
    expect(server.broker.openExchanges).toEqual([])
  })
})

// Holds every source against the picture in docs/design.md: who may import whom, and the few things that the
// compiler and the linter cannot say. Each rule is first shown to catch what it is there for.
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { codeOnly } from './support/code-only.ts'
import {
  findCircles,
  findCode,
  findForbiddenImports,
  findLongFiles,
  importsOf,
  readSources,
  readTests,
  type Sources,
} from './support/imports.ts'

const sources = readSources(fileURLToPath(new URL('../src', import.meta.url)))
const tests = ['../src', '.'].map((folder) => readTests(fileURLToPath(new URL(folder, import.meta.url))))
const NONE: readonly string[] = []

/** The door behind which machines of their own do the work; each of its verbs is a few lines. */
const DOOR = 'core/connection/connection.ts'

const isPure = (path: string): boolean => /^(?:core|client)\//.test(path)
const isAmbient = (path: string): boolean => path.endsWith('.d.ts')

function given(files: Readonly<Record<string, string>>): Sources {
  return new Map(Object.entries(files))
}

describe('the layers', () => {
  it('finds sources to check', () => {
    expect(sources.size).toBeGreaterThan(0)
  })

  it('hold: each file imports only what its layer may', () => {
    expect(findForbiddenImports(sources)).toEqual(NONE)
  })

  it.each([
    ['core/bytes/framer.ts', "import type { Publish } from '../packets/types.ts'"],
    ['core/packets/publish.ts', "export * from '../session/session.ts'"],
    ['core/session/session.ts', "import { Connection } from '../connection/connection.ts'"],
    ['core/errors.ts', "import { inspect } from 'node:util'"],
    ['core/connection/connection.ts', "import type { Runtime } from '../../client/runtime.ts'"],
    ['client/client.ts', "const { dialTcp } = await import('../transport/tcp.ts')"],
    ['client/client.ts', "import { MemoryStore } from '../store/memory.ts'"],
    ['client/client.ts', "export type Net = typeof import('node:net')"],
    ['client/client.ts', 'const platform = await import(name)'],
    ['transport/tcp.ts', "import { Client } from '../client/client.ts'"],
    ['transport/tcp.ts', "import WebSocket from 'ws'"],
    ['transport/dial.browser.ts', "import { dialTcp } from './tcp.ts'"],
    ['index.browser.ts', "import { fileStore } from './store/file.ts'"],
    ['request-response/request.ts', "import { Client } from '../client/client.ts'"],
    ['cli/main.ts', "import { Codec } from '../core/packets/codec.ts'"],
    ['somewhere/else.ts', ''],
  ])('catch %s with: %s', (path, source) => {
    expect(findForbiddenImports(given({ [path]: source }))).toHaveLength(1)
  })

  it('allow what the picture allows', () => {
    const allowed = given({
      'core/connection/connection.ts': "import { Session } from '../session/session.ts'",
      'client/driver.ts': "import type { Transport } from '../transport/transport.ts'",
      'transport/dial.ts': "const { dialTcp } = await import('./tcp.ts')",
      'transport/tcp.ts': "import { connect } from 'node:net'",
      'index.ts': "export { fileStore } from './store/file.ts'",
    })
    expect(findForbiddenImports(allowed)).toEqual(NONE)
  })
})

describe('circles', () => {
  it('do not exist', () => {
    expect(findCircles(sources)).toEqual(NONE)
  })

  it('are caught, those of types alone too', () => {
    const circle = given({
      'core/session/session.ts': "import type { Delivery } from './deliveries.ts'",
      'core/session/deliveries.ts': "import { PacketIds } from './packet-ids.ts'",
      'core/session/packet-ids.ts': "export type { Session } from './session.ts'",
    })
    expect(findCircles(circle)).toEqual([
      'core/session/session.ts → core/session/deliveries.ts → core/session/packet-ids.ts → core/session/session.ts',
    ])
  })
})

describe('the protocol version', () => {
  const mayAsk = /(?:^|\/)(?:codec|negotiated|options|index)\.ts$/
  const where = (path: string): boolean => isPure(path) && !mayAsk.test(path)
  const name = String.raw`\b(?:protocolVersion|protocolLevel|codec(?:\.\w+)*)`
  const questions = [
    new RegExp(String.raw`${name}\s*[)!]*\s*(?:[=!]==?|[<>]=?(?=\s*\d))`),
    new RegExp(String.raw`[=!]==?\s*(?:[\w.#?!]*\.)?(?:${name}\b|mqtt311\b|mqtt5\b)`),
    new RegExp(String.raw`\bswitch\s*\((?:[\w.#?!]*\.)?${name}\s*\)`),
    /\bversion\s*[=!]==?\s*['"]/,
  ]

  it('is asked for only where the tables meet', () => {
    expect(findCode(sources, where, questions)).toEqual(NONE)
  })

  it.each([
    "if (options.protocolVersion === '5') send()",
    "const old = '3.1.1' === this.#connect.protocolVersion",
    'switch (connect.protocolVersion) {}',
    'if (protocolLevel >= 5) send()',
    'if (this.#codec === mqtt5) send()',
    "if (this.#codec.version !== '5') send()",
  ])('is caught in: %s', (source) => {
    expect(findCode(given({ 'core/connection/connection.ts': source }), where, questions)).not.toEqual(NONE)
    expect(findCode(given({ 'core/packets/codec.ts': source }), where, questions)).toEqual(NONE)
  })

  it('may be written into a packet', () => {
    const source = "const packet = { type: 'connect', protocolVersion: '5' }; const codec = mqtt5"
    expect(findCode(given({ 'client/client.ts': source }), where, questions)).toEqual(NONE)
  })
})

describe('clock, timers, randomness and globals', () => {
  const where = (path: string): boolean => isPure(path) && path !== 'client/runtime.ts' && !isAmbient(path)
  const free = String.raw`(?<![.#\w$])`
  const platform = [
    new RegExp(String.raw`${free}(?:Date|performance|globalThis|queueMicrotask)\b`),
    new RegExp(String.raw`${free}(?:set|clear)(?:Timeout|Interval|Immediate)\b`),
    /\bMath\s*(?:\?\.|\.)\s*random\b/,
    /\bcrypto\s*\.\s*(?:getRandomValues|randomUUID)\b/,
  ]

  it('enter the client through runtime.ts alone', () => {
    expect(findCode(sources, where, platform)).toEqual(NONE)
  })

  it.each([
    'const now = Date.now()',
    'const jitter = Math.random()',
    'setTimeout(retry, delay)',
    'queueMicrotask(flush)',
    'const start = performance.now()',
    'const id = crypto.randomUUID()',
    'globalThis.WebSocket',
    'const text = `at ${Date.now()}`',
  ])('are caught: %s', (source) => {
    expect(findCode(given({ 'client/backoff.ts': source }), where, platform)).toHaveLength(1)
    expect(findCode(given({ 'client/runtime.ts': source }), where, platform)).toEqual(NONE)
  })

  it('may be spoken of, and belong to a Runtime', () => {
    const source = "// not Date.now()\nruntime.setTimeout(retry, 'Math.random()')"
    expect(findCode(given({ 'client/backoff.ts': source }), where, platform)).toEqual(NONE)
  })
})

describe('the core', () => {
  const where = (path: string): boolean => path.startsWith('core/')
  const waiting = [/(?<![.#\w$])(?:async|await|Promise)\b/]

  it('waits for nothing', () => {
    expect(findCode(sources, where, waiting)).toEqual(NONE)
  })

  it.each(['async function send() {}', 'return new Promise(() => {})'])('is caught waiting: %s', (source) => {
    expect(findCode(given({ 'core/session/session.ts': source }), where, waiting)).toHaveLength(1)
  })
})

describe('the house rules', () => {
  const everywhere = (): boolean => true
  const members = String.raw`(?:(?:public|private|protected|static|readonly|declare|override|async|get|set) +)*`
  const forbidden = [
    /(?<![.#\w$])enum\s+\w/,
    /(?:[:<|&,(=[]|\bas|\bsatisfies)\s*any\b(?!\s*[(:?])/,
    /\bexport\s+default\b|\bas\s+default\b/,
    /\._[A-Za-z]/,
    new RegExp(String.raw`^ *${members}_[A-Za-z]\w* *[(:=?!]`),
    // Each use of one is a call of V8's runtime, also in optimized code: a private method is none.
    /\b[gs]et +#/,
  ]

  it('hold: no enum, any, default export, private accessor, or member with a leading underscore', () => {
    expect(findCode(sources, everywhere, forbidden)).toEqual(NONE)
  })

  it.each([
    'const enum QoS { AtMostOnce }',
    'function parse(value: any) {}',
    'const values: Array<any> = []',
    'return value as any',
    'export default class Client {}',
    'export { Client as default }',
    'socket._handle.close()',
    'class Client {\n  private _state = 0\n}',
    'class Client {\n  async _open() {}\n}',
    'class Client {\n  get #isFull() {}\n}',
  ])('catch: %s', (source) => {
    expect(findCode(given({ 'client/client.ts': source }), everywhere, forbidden)).toHaveLength(1)
  })

  it('allow: AbortSignal.any, "any" in words, #private', () => {
    const source =
      "/* any: any */ const message = 'as any'\nAbortSignal.any(signals)\nclass Client { #state = 0 }"
    expect(findCode(given({ 'client/client.ts': source }), everywhere, forbidden)).toEqual(NONE)
  })

  it('hold: no file is longer than 450 lines', () => {
    const others = new Map([...sources].filter(([path]) => path !== DOOR))
    expect(findLongFiles(others, 450)).toEqual(NONE)
    expect(findLongFiles(sources, 475)).toEqual(NONE)
  })

  it('catch a file of 451 lines', () => {
    const sourceOf = (lines: number): string => 'x\n'.repeat(lines)
    const files = given({ 'client/client.ts': sourceOf(451), 'client/driver.ts': sourceOf(450) })
    expect(findLongFiles(files, 450)).toEqual(['client/client.ts has 451 lines'])
  })
})

describe('a test', () => {
  const everywhere = (): boolean => true
  // Within `toMatchObject` a regular expression is an object without keys, which matches whatever is there.
  const emptyWords = [/\bmessage:\s*\//]

  it('holds a message against expect.stringMatching(), not against a bare regular expression', () => {
    for (const files of tests) {
      expect(files.size).toBeGreaterThan(10)
      expect(findCode(files, everywhere, emptyWords)).toEqual(NONE)
    }
  })

  it('is caught: toMatchObject({ message: /…/ })', () => {
    const source = "expect(error).toMatchObject({ code: 'x', message: /nothing (?:of|like) it/ })"
    expect(findCode(given({ 'a.test.ts': source }), everywhere, emptyWords)).toHaveLength(1)
    const right = source.replace(/(\/.*\/)/, 'expect.stringMatching($1)')
    expect(findCode(given({ 'a.test.ts': right }), everywhere, emptyWords)).toEqual(NONE)
  })
})

describe('the reader of sources', () => {
  it('finds each form of import, and none in comments and strings', () => {
    const source = [
      "import { a } from './a.ts' // import './not.ts'",
      'import type {\n  B,\n} from "./b.ts"',
      "export * from './c.ts'",
      "import './d.ts'",
      "const e = await import('./e.ts')",
      "type F = import('./f.ts').F",
      "const text = \"from './not.ts'\" + Array.from('not') + import.meta.url",
    ].join('\n')
    const targets = importsOf('x/y.ts', source).map(({ to }) => to)
    expect(targets).toEqual(['x/a.ts', 'x/b.ts', 'x/c.ts', 'x/d.ts', 'x/e.ts', 'x/f.ts'])
  })

  it.each([
    ["a('it\\'s', b) // c", "a('     ', b)     "],
    ['a / b / c', 'a / b / c'],
    ['x = /[/"]/.test(y)', 'x = /    /.test(y)'],
    ['`a${ b({ c: `d` }) }e`', '` ${ b({ c: ` ` }) } `'],
    ['a /* b\nc */ d', 'a     \n     d'],
  ])('keeps the code of %j', (source, code) => {
    expect(codeOnly(source)).toBe(code)
  })
})

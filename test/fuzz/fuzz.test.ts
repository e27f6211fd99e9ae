// A small part of what `npm run fuzz` plays, so that it is always run; and that it would notice.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, vi } from 'vitest'
import { Connection } from '../../src/core/connection/connection.ts'
import { InboundAliases } from '../../src/core/connection/topic-aliases.ts'
import { IncomingMessage } from '../../src/core/packets/publish.ts'
import { PACKET_TYPES } from '../../src/core/packets/types.ts'
import { PacketIds } from '../../src/core/session/packet-ids.ts'
import { decodeBody } from '../support/codec/codec.ts'
import { converseWithCore } from './core-conversation.ts'
import { checkInput, type DecodeBody, inputOf } from './decoding.ts'
import { DEEDS } from './malicious-server.ts'
import { MUTATION_NAMES } from './mutations.ts'
import { playConversation, playInput } from './play.ts'
import {
  addConversation,
  addInput,
  faultsOf,
  LEAST_FRAMED,
  MOST_MEMORY,
  noTotals,
  repeat,
  type Totals,
} from './report.ts'

const INPUTS = 2_000
const CONVERSATIONS = 100
/** Another part than that with which long runs begin. */
const FROM = 1_000_000_000

function playInputs(count: number): Totals {
  const totals = noTotals()
  for (let seed = FROM; seed < FROM + count; seed++) addInput(totals, playInput(seed))
  return totals
}

describe('damaged packets', () => {
  it(`do no harm to framer and decoder, ${INPUTS} of them, of every type and damaged in every way`, () => {
    const totals = playInputs(INPUTS)
    expect(totals.failures).toEqual([])
    expect(totals.framed / INPUTS).toBeGreaterThan(LEAST_FRAMED)
    expect(Object.keys(totals.types)).toEqual(expect.arrayContaining(Object.keys(PACKET_TYPES)))
    expect(Object.keys(totals.mutations)).toEqual(expect.arrayContaining([...MUTATION_NAMES]))
    expect(Object.keys(totals.ends).toSorted()).toEqual([
      '0x81',
      '0x82',
      '0x84',
      '0x95',
      'decoded',
      'waiting',
    ])
  })

  it('are the same for equal seeds', () => {
    for (let seed = FROM; seed < FROM + 200; seed++) expect(inputOf(seed)).toEqual(inputOf(seed))
    expect(inputOf(FROM).bytes).not.toEqual(inputOf(FROM + 1).bytes)
  })
})

/** What is found with this decoder in place of the right one. */
function found(decode: DecodeBody): string {
  const texts: string[] = []
  for (let seed = FROM; seed < FROM + 600; seed++) texts.push(...checkInput(inputOf(seed), decode).failures)
  return texts.join('\n')
}

describe('a decoder that is wrong is found', () => {
  it('when it throws something else', () => {
    const decode: DecodeBody = (header, reader, ...rest) => {
      if (reader.end - reader.position === 7) throw new TypeError('seven bytes')
      return decodeBody(header, reader, ...rest)
    }
    expect(found(decode)).toContain('threw TypeError: seven bytes')
  })

  it('when it reads beyond the end of the packet', () => {
    const decode: DecodeBody = (header, reader, ...rest) => {
      reader.end = Math.min(reader.bytes.length, reader.end + 1)
      return decodeBody(header, reader, ...rest)
    }
    expect(found(decode)).toContain('what lies around the packet makes a difference')
  })

  it('when it keeps a view of memory that was lent', () => {
    const decode: DecodeBody = (header, reader, ...rest) => {
      const packet = decodeBody(header, reader, ...rest)
      if (!(packet instanceof IncomingMessage)) return packet
      const { type, topic, payload, qos, retain, dup, packetId, properties } = packet
      return { type, topic, payload, qos, retain, dup, packetId, properties }
    }
    expect(found(decode)).toMatch(/in \d+ pieces other packets came/)
  })

  it('when it decodes what cannot be written', () => {
    const decode: DecodeBody = (header, reader, ...rest) => {
      const packet = decodeBody(header, reader, ...rest)
      return packet.type === 'suback' ? { ...packet, reasonCodes: [...packet.reasonCodes, 1] } : packet
    }
    expect(found(decode)).toContain('a decoded suback was written and read again')
  })
})

describe('an input that takes too long', () => {
  it('is a failure, when it does so each time', () => {
    expect(playInput(FROM).failures).toEqual([])
    expect(playInput(FROM, 0).failures).toEqual([expect.stringMatching(/^took \d+ ms$/)])
  })
})

describe('conversations with a malicious server', () => {
  it(`do no harm, ${CONVERSATIONS} of them, whatever it does`, async () => {
    const totals = noTotals()
    for (let seed = FROM; seed < FROM + CONVERSATIONS; seed++) {
      addConversation(totals, await playConversation(seed))
    }
    expect(totals.failures).toEqual([])
    expect(Object.keys(totals.deeds)).toEqual(expect.arrayContaining([...DEEDS]))
    expect(totals.conversations).toEqual({ core: 0.9 * CONVERSATIONS, client: 0.1 * CONVERSATIONS })
    expect(totals.exchanged['violations']).toBeGreaterThan(CONVERSATIONS / 4)
    expect(totals.exchanged['messages']).toBeGreaterThan(CONVERSATIONS)
  })

  it.each([FROM, FROM + 1])('are the same for equal seeds: %i', async (seed) => {
    expect(await playConversation(seed)).toEqual(await playConversation(seed))
  })

  /** What is found while a method of the machine is another one. */
  function foundWith(spy: { mockRestore(): void }): string {
    const texts: string[] = []
    for (let seed = 0; seed < 150; seed++) texts.push(...converseWithCore(seed).failures)
    spy.mockRestore()
    return texts.join('\n')
  }

  it('find a machine that acknowledges nothing', () => {
    const spy = vi.spyOn(Connection.prototype, 'acknowledge').mockImplementation(() => {})
    expect(foundWith(spy)).toMatch(/the client owes puback \d/)
  })

  it('find a machine that takes any Topic Alias', () => {
    const spy = vi.spyOn(InboundAliases.prototype, 'resolve').mockImplementation(() => {})
    expect(foundWith(spy)).toContain('was told, which is not expected')
  })

  it('find a machine that gives every packet the same identifier', () => {
    const spy = vi.spyOn(PacketIds.prototype, 'allocate').mockReturnValue(1)
    expect(foundWith(spy)).toMatch(/the client wrote the identifier 1 .*in use/)
  })
})

describe('a run', () => {
  it('fails when too few inputs get past the framer, when one fails, and when it takes too much memory', () => {
    const totals = { ...noTotals(), inputs: 100, framed: 30 }
    expect(faultsOf(totals, [MOST_MEMORY])).toEqual([])
    expect(faultsOf({ ...totals, framed: 29 }, [])).toHaveLength(1)
    expect(faultsOf({ ...totals, failed: 1 }, [])).toEqual(['1 failed'])
    expect(faultsOf(totals, [1, MOST_MEMORY + 1])).toHaveLength(1)
  })

  it('says how one input is repeated', () => {
    const failure = { seed: 7, what: 'input', texts: [], hex: [] } as const
    expect(repeat(failure)).toBe('npm run fuzz -- --inputs 1 --conversations 0 --from 7')
  })

  it('ends with 0, and its report is one object', async () => {
    const { code, output } = await fuzz('--inputs', '300', '--conversations', '20', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(output)).toMatchObject({ inputs: 300, failed: 0, faults: [] })
  })

  it.each([[['--inputs', 'x']], [['--from', '1.5']]])('ends with 2 for %j', async (options) => {
    expect((await fuzz(...options)).code).toBe(2)
  })
})

/** Runs `npm run fuzz`. */
function fuzz(...options: readonly string[]): Promise<{ code: number; output: string }> {
  const [runner, entry] = ['../../scripts/run.mjs', './run.ts'].map((path) =>
    fileURLToPath(new URL(path, import.meta.url)),
  )
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [String(runner), String(entry), ...options], (_error, stdout) =>
      resolve({ code: child.exitCode ?? -1, output: stdout }),
    )
  })
}

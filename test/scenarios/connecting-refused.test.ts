// CONNACKs that are wrong, and CONNACKs that refuse: the error says which, the client ends the stream itself,
// and how soon it asks again depends on what was wrong. The server keeps every socket open.
import { describe, expect, it } from 'vitest'
import { watchSocket } from '../../demo/sockets.ts'
import type { ProtocolVersion } from '../../src/index.ts'
import { collect, useWorlds, VERSIONS } from '../support/client-world.ts'
import { hex, toHex } from '../support/codec/hex.ts'
import { expectEndOf, publishOf, useRawBrokers } from '../support/raw-broker.ts'

const makeWorld = useWorlds()
const makeBroker = useRawBrokers()

/** What CONNACK says behind its header: flags, code, and in 5 no properties. */
function connackOf(version: ProtocolVersion, flags: number, code: number): Uint8Array {
  return version === '5' ? Uint8Array.of(0x20, 3, flags, code, 0) : Uint8Array.of(0x20, 2, flags, code)
}

/** The codes that refuse, as they are on the wire and as errors name them: 3.2.2.3, and 5: 3.2.2.2. */
const REFUSALS: Readonly<Record<ProtocolVersion, readonly (readonly [wire: number, reasonCode: number])[]>> =
  {
    '3.1.1': [
      [1, 0x84],
      [2, 0x85],
      [3, 0x88],
      [4, 0x86],
      [5, 0x87],
    ],
    '5': [...hex('80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f')].map((code) => [
      code,
      code,
    ]),
  }

describe.each(VERSIONS)('a CONNACK that is wrong in %s', (version) => {
  /** Each is sent to a client of its own; the server keeps every socket open. */
  async function expectFailures(connacks: readonly Uint8Array[], expected: object): Promise<void> {
    const broker = await makeBroker((connection) => {
      const connack = connacks[connection.number - 1]
      if (connack !== undefined) connection.write(connack, publishOf(version, 0x32, '0001', 'x'))
    })
    for (const connack of connacks) {
      const client = broker.createClient({ protocolVersion: version })
      const messages = collect(client, 'message')
      await expect(client.connect(), toHex(connack)).rejects.toMatchObject({
        name: 'ProtocolError',
        ...expected,
      })
      await expectEndOf(broker.latest)
      expect(broker.latest.answers, toHex(connack)).toEqual([])
      expect(messages, toHex(connack)).toEqual([])
    }
  }

  it('by a reserved flag is told apart, and the client closes [scenario 7] [3.1.1 MQTT-2.2.2-2] [5 MQTT-3.2.2-1]', async () => {
    const flags = Array.from({ length: 7 }, (_, bit) => [2 << bit, (2 << bit) | 1]).flat()
    await expectFailures(
      flags.map((value) => connackOf(version, value, 0)),
      {
        reasonCode: 0x81,
        message: expect.stringMatching(/the connect acknowledge flags are \d+, expected 0 or 1/),
      },
    )
  })

  it('by its length is told apart, and the client closes [scenario 7] [3.1.1 MQTT-4.8.0-1] [5 section 4.13.1]', async () => {
    const short = ['20 00', '20 01 00'].map(hex)
    const long = hex(version === '5' ? '20 04 00 00 00 00' : '20 03 00 00 00')
    const expected = { code: 'malformed-packet', reasonCode: 0x81 }
    await expectFailures(short, { ...expected, message: expect.stringMatching(/the packet ends where/) })
    await expectFailures([long], { ...expected, message: expect.stringMatching(/1 bytes are left over/) })
    if (version === '5') await expectFailures([hex('20 02 00 00')], expected)
  })

  it('by each code that does not exist is told apart, and the client closes [scenario 7] [3.1.1 MQTT-4.8.0-1] [5 MQTT-3.2.2-8]', async () => {
    const known = new Set([0, ...REFUSALS[version].map(([wire]) => wire)])
    const unknown = Array.from({ length: 256 }, (_, code) => code).filter((code) => !known.has(code))
    expect(unknown).toHaveLength(version === '5' ? 234 : 250)
    const message =
      version === '5' ? /reason code .* does not belong in CONNACK/ : /return code \d+ is reserved/
    await expectFailures(
      unknown.map((code) => connackOf(version, 0, code)),
      { reasonCode: version === '5' ? 0x82 : 0x81, message: expect.stringMatching(message) },
    )
  })

  it('by Session Present in a refusal is told apart, and the client closes [scenario 7] [3.1.1 MQTT-3.2.2-4] [5 MQTT-3.2.2-6]', async () => {
    await expectFailures(
      REFUSALS[version].map(([wire]) => connackOf(version, 1, wire)),
      { reasonCode: 0x82, message: expect.stringMatching(/refuses has Session Present 1/) },
    )
  })
})

describe.each(VERSIONS)('a server that refuses and keeps the socket open in %s', (version) => {
  const rows = REFUSALS[version].map(
    ([wire, reasonCode]) => [`0x${wire.toString(16)}`, wire, reasonCode] as const,
  )
  it.each(rows)(
    'is left by the client, whose error has the code: %s [scenario 8] [3.1.1 MQTT-3.2.2-5] [5 MQTT-3.2.2-7, 4.13.2-1]',
    async (_, wire, reasonCode) => {
      const broker = await makeBroker((connection) => connection.write(connackOf(version, 0, wire)))
      const client = broker.createClient({ protocolVersion: version })
      const error = { name: 'RefusedError', code: 'connection-refused', reasonCode, local: false }
      await expect(client.connect()).rejects.toMatchObject(error)
      await expectEndOf(broker.latest)
      expect(broker.latest.answers).toEqual([])
      expect(broker.connections).toHaveLength(1)
      expect(client.state).toBe('stopped')
    },
  )

  it('does not hold the socket of the client for longer than 2 s [scenario 8]', async () => {
    const [[wire] = [0]] = REFUSALS[version]
    const broker = await makeBroker((connection) => connection.write(connackOf(version, 0, wire)))
    const client = broker.createClient({ protocolVersion: version })
    const { socket } = await watchSocket(() => client.connect().catch(() => {}))
    const refusedAt = performance.now()
    await expectEndOf(broker.latest)
    expect(socket.destroyed).toBe(false)
    await new Promise((resolve) => socket.once('close', resolve))
    const waited = performance.now() - refusedAt
    expect(waited).toBeGreaterThan(1_900)
    expect(waited).toBeLessThan(10_000)
  })

  const always = { jitter: false } as const
  const healed = [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 128_000]

  it.each([
    ['0x86', 0x86],
    ['0x87', 0x87],
  ])(
    'because of credentials, by %s, is asked every 128 s, and not at the full rate [scenario 8]',
    async (_, reasonCode) => {
      const world = makeWorld(version, { broker: { login: () => reasonCode } })
      const client = world.client({
        username: 'u',
        password: 'p',
        retryInitialConnect: true,
        reconnect: always,
      })
      const failed = collect(client, 'connectFailed')
      const begun = world.now
      client.connect().catch(() => {})
      await world.advance(3_600_000)
      const { attempts } = world.link
      expect(attempts.map((at) => at - begun)).toEqual(
        Array.from({ length: 29 }, (_none, index) => 128_000 * index),
      )
      for (const { error } of failed) expect(error).toMatchObject({ reasonCode })
    },
  )

  it('because of credentials after it had accepted them is asked every 128 s as well [scenario 8]', async () => {
    let answer = 0
    const world = makeWorld(version, { broker: { login: () => answer } })
    const client = await world.connected({ username: 'u', password: 'p', reconnect: always })
    const failed = collect(client, 'connectFailed')
    answer = 0x87
    world.broker.cutAll()
    await world.advance(2_000 + 10 * 128_000)
    expect(failed.map(({ delay }) => delay)).toEqual(Array.from({ length: 11 }, () => 128_000))
  })

  it.each([
    ['because it is busy', 0x88, {}],
    ['because of credentials that are asked for anew', 0x87, { credentials: () => ({ username: 'u' }) }],
  ] as const)('%s is asked in steps that grow [scenario 8]', async (_, reasonCode, options) => {
    const world = makeWorld(version, { broker: { login: () => reasonCode } })
    const client = world.client({ ...options, retryInitialConnect: true, reconnect: always })
    const failed = collect(client, 'connectFailed')
    client.connect().catch(() => {})
    await world.advance(254_000)
    expect(failed.map(({ delay }) => delay)).toEqual(healed)
  })
})

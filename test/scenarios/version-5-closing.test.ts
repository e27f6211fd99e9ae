// Why connections end in version 5, and exchanges with them: faulty properties, DISCONNECT of the server, AUTH
// out of place, and refusals of messages; rules 3, 7, 13, 24.
import { describe, expect, it } from 'vitest'
import { ConnectionError, ProtocolError, RefusedError } from '../../src/core/errors.ts'
import type { AuthPacket, ConnackPacket, Properties } from '../../src/core/packets/types.ts'
import type { FaultContent } from '../../src/testing/broker/faults.ts'
import { collect, outcomeOf, type TestWorld, texts, useWorlds } from '../support/client-world.ts'
import { hex } from '../support/codec/hex.ts'
import { MALFORMED_INPUTS } from '../support/codec/malformed.ts'

const makeWorld = useWorlds()
const RECONNECT = { min: 1_000, max: 1_000, jitter: false } as const

/** A message that would be handed over, if the connection lived. */
const BEHIND: FaultContent = {
  type: 'publish',
  topic: 'a',
  payload: new TextEncoder().encode('behind'),
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
}

/** The server sends this to a client that is connected, and BEHIND in the same segment. */
async function expectClosing(world: TestWorld, bytes: Uint8Array, reasonCode: number): Promise<void> {
  const client = await world.connected({ reconnect: RECONNECT })
  const lost = collect(client, 'disconnected')
  const { seen, handler } = texts()
  await client.subscribe('#', { qos: 2 }, handler)
  world.taken()
  world.serverSends(bytes, BEHIND)
  await world.settle()
  expect(world.fromClient).toMatchObject([{ type: 'disconnect', reasonCode }])
  expect(world.broker.connections).toEqual([])
  expect(lost[0]?.error).toBeInstanceOf(ProtocolError)
  expect(lost).toMatchObject([{ error: { reasonCode }, willReconnect: true }])
  expect(seen).toEqual([])
  await world.advance(1_000)
  expect(client.state).toBe('connected')
}

/** The server answers CONNECT by this: the attempt fails, and nothing is written any more. */
async function expectRefusedConnack(world: TestWorld, bytes: Uint8Array, reasonCode: number): Promise<void> {
  world.broker.faults.onSend('connack').replaceBy(bytes)
  const client = world.client()
  const error = await client.connect().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(ProtocolError)
  expect(error).toMatchObject({ reasonCode })
  await world.settle()
  expect(world.taken()).toEqual(['connect'])
  expect(world.broker.connections).toEqual([])
  expect(client.state).toBe('stopped')
}

/** What no server of version 5 may send, as rows: title, the statements that it breaks, bytes, reason code. */
const FAULTY = MALFORMED_INPUTS.filter(({ version, sender }) => version === '5' && sender === 'server').map(
  ({ title, bytes, reasonCode }) => {
    const statements = title.indexOf(' [')
    const [plain, broken] =
      statements < 0 ? [title, ''] : [title.slice(0, statements), title.slice(statements)]
    return [plain, broken, bytes, reasonCode] as const
  },
)
const isConnack = ([, , bytes]: (typeof FAULTY)[number]): boolean => (bytes[0] ?? 0) >> 4 === 2
const CONNACKS = FAULTY.filter((row) => isConnack(row))
const OTHERS = FAULTY.filter((row) => !isConnack(row))

describe('a packet of the server in 5', () => {
  it.each([
    ['a property twice', '30 0a 0001 "a" 06 03 0000 03 0000', 0x82],
    ['an unknown property', '30 06 0001 "a" 02 7f 00', 0x81],
    ['a property of another packet', '30 07 0001 "a" 03 21 0001', 0x81],
    ['a property length beyond the packet', '30 06 0001 "a" 05 01 00', 0x81],
    ['a string beyond its properties', '30 08 0001 "a" 04 03 0009 "x"', 0x81],
    ['a property of DISCONNECT that only a client may send', 'e0 07 00 05 11 00000001', 0x82],
  ] as const)(
    'with %s ends the connection with its code; nothing behind it is handled (rule 24) [scenario 56] [5 section 2.2.2.2] [5 section 4.13.1]',
    async (_title, bytes, reasonCode) => {
      await expectClosing(makeWorld('5'), hex(bytes), reasonCode)
    },
  )

  it('CONNACK with a Receive Maximum of 0 fails the attempt [scenario 56] [5 MQTT-4.9.0-1] [5 section 3.1.2.11.3]', async () => {
    await expectRefusedConnack(makeWorld('5'), hex('20 06 00 00 03 21 0000'), 0x82)
  })

  it('has faulty examples to check [scenario 56]', () => {
    expect(OTHERS.length).toBeGreaterThan(60)
    expect(CONNACKS.length).toBeGreaterThan(5)
  })

  it.each(OTHERS)(
    'that is %s ends the connection with its code [scenario 56]%s',
    async (_title, _statements, bytes, reasonCode) => {
      await expectClosing(makeWorld('5'), bytes, reasonCode)
    },
  )

  it.each(CONNACKS)(
    'that is %s fails the attempt with its code [scenario 56]%s',
    async (_title, _statements, bytes, reasonCode) => {
      await expectRefusedConnack(makeWorld('5'), bytes, reasonCode)
    },
  )
})

describe('DISCONNECT of a server that does not close in 5', () => {
  const serverReference = 'other.example:1883'

  it.each([
    ['0x8B', 0x8b, { reasonString: 'going down' }, 2_000],
    ['0x8E', 0x8e, undefined, 50_000],
    ['0x9C', 0x9c, { serverReference }, 2_000],
    ['0x9D', 0x9d, { serverReference }, 50_000],
  ] as const)(
    '%s is told with its properties, and the client closes without a word; the delay is that of the reason (rule 7) [scenario 57] [5 MQTT-3.1.4-3, 4.13.2-1, 3.14.4-1]',
    async (_title, reasonCode, properties, delay) => {
      const world = makeWorld('5')
      const reconnect = { min: 1_000, max: 50_000, jitter: false }
      const client = await world.connected({ reconnect })
      const lost = collect(client, 'disconnected')
      const { seen, handler } = texts()
      await client.subscribe('a', handler)
      world.taken()
      world.serverSends({ type: 'disconnect', reasonCode, properties }, BEHIND)
      await world.settle()
      expect(lost[0]?.error).toBeInstanceOf(RefusedError)
      expect(lost).toMatchObject([
        {
          error: { code: 'server-disconnected', reasonCode, local: false, properties },
          reason: { type: 'disconnect', reasonCode, properties },
          willReconnect: true,
          delay,
        },
      ])
      expect(seen).toEqual([])
      expect(world.broker.connections).toEqual([])
      expect(client.state).toBe('waiting')
      await world.advance(delay - 1)
      expect(world.fromClient).toEqual([])
      expect(world.link.attempts).toHaveLength(1)
      await world.advance(1)
      expect(world.link.attempts).toHaveLength(2)
      expect(client.state).toBe('connected')
    },
  )
})

const METHOD = 'riddle'
const authentication = { method: METHOD, start: () => 'begin', continue: () => 'answer' }
const broker = { authentication: { method: METHOD, challenges: [new Uint8Array(1)] } }
const authOf = (reasonCode: number, properties?: Properties): AuthPacket => ({
  type: 'auth',
  reasonCode,
  properties,
})
const connackOf = (properties?: Properties): ConnackPacket => ({
  type: 'connack',
  sessionPresent: false,
  reasonCode: 0,
  properties,
})

describe('AUTH in 5', () => {
  it.each([
    ['that CONNECT named no method for', false, 'connack', authOf(0x18, { authenticationMethod: METHOD })],
    ['of another method', true, 'auth', authOf(0x18, { authenticationMethod: 'other' })],
    ['without a method', true, 'auth', authOf(0x18)],
  ] as const)(
    '%s instead of the answer to CONNECT fails the attempt: 0x82, and the client closes [scenario 58] [5 MQTT-4.12.0-5 to -7]',
    async (_title, hasMethod, due, packet) => {
      const world = makeWorld('5', { broker })
      world.broker.faults.onSend(due, { times: 1 }).replaceBy(packet)
      const client = world.client5(hasMethod ? { authentication } : {})
      const error = await client.connect().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(ProtocolError)
      expect(error).toMatchObject({ code: 'protocol-error', reasonCode: 0x82 })
      await world.settle()
      expect(world.taken()).toEqual(['connect'])
      expect(world.broker.connections).toEqual([])
    },
  )

  it.each([
    ['that CONNECT named no method for', false, authOf(0x18, { authenticationMethod: METHOD })],
    ['that nobody asked for', true, authOf(0x18, { authenticationMethod: METHOD })],
    ['of success that nobody asked for', true, authOf(0, { authenticationMethod: METHOD })],
  ] as const)(
    '%s after CONNACK is answered by DISCONNECT 0x82, and the client closes [scenario 58] [5 MQTT-4.12.0-5 to -7]',
    async (_title, hasMethod, packet) => {
      const world = makeWorld('5', { broker })
      const client = await world.connected5({
        ...(hasMethod ? { authentication } : {}),
        reconnect: RECONNECT,
      })
      const lost = collect(client, 'disconnected')
      world.taken()
      world.serverSends(packet)
      await world.settle()
      expect(world.fromClient).toMatchObject([{ type: 'disconnect', reasonCode: 0x82 }])
      expect(lost).toMatchObject([{ error: { code: 'protocol-error', reasonCode: 0x82 } }])
      expect(world.broker.connections).toEqual([])
    },
  )

  it('of another method during a re-authentication is answered by DISCONNECT 0x82, and the call rejects [scenario 58] [5 MQTT-4.12.0-5, 4.12.1-2]', async () => {
    const world = makeWorld('5', { broker })
    const client = await world.connected5({ authentication, reconnect: RECONNECT })
    world.broker.faults
      .onSend('auth', { times: 1 })
      .replaceBy(authOf(0x18, { authenticationMethod: 'other' }))
    world.taken()
    const again = outcomeOf(client.reauthenticate())
    await world.settle()
    expect(again.error).toBeInstanceOf(ProtocolError)
    expect(again.error).toMatchObject({ code: 'protocol-error', reasonCode: 0x82 })
    expect(world.fromClient).toMatchObject([
      { type: 'auth', reasonCode: 0x19 },
      { type: 'disconnect', reasonCode: 0x82 },
    ])
    expect(world.broker.connections).toEqual([])
  })

  it.each([
    ['without the method', true, connackOf()],
    ['with another method', true, connackOf({ authenticationMethod: 'other' })],
    ['with a method that CONNECT did not name', false, connackOf({ authenticationMethod: METHOD })],
  ] as const)(
    'is over with a CONNACK %s: the attempt fails with 0x82, and the client closes [scenario 58] [5 MQTT-4.12.0-5, -6]',
    async (_title, hasMethod, packet) => {
      const world = makeWorld('5', { broker })
      world.broker.faults.onSend('connack', { times: 1 }).replaceBy(packet)
      const client = world.client5(hasMethod ? { authentication } : {})
      const error = await client.connect().catch((reason: unknown) => reason)
      expect(error).toBeInstanceOf(ProtocolError)
      expect(error).toMatchObject({ code: 'protocol-error', reasonCode: 0x82 })
      await world.settle()
      expect(world.taken()).toEqual(hasMethod ? ['connect', 'auth'] : ['connect'])
      expect(world.broker.connections).toEqual([])
      expect(client.state).toBe('stopped')
    },
  )
})

const REFUSALS = ([1, 2] as const).flatMap((qos) =>
  ([0x87, 0x97] as const).map((reasonCode) => {
    const due = qos === 1 ? ('puback' as const) : ('pubrec' as const)
    const title = `${due.toUpperCase()} 0x${reasonCode.toString(16)}`
    return [title, { qos, due, reasonCode }] as const
  }),
)

describe('a message that the server refuses in 5', () => {
  it.each(REFUSALS)(
    'by %s before the connection is cut rejects with the code and is not sent again (rule 13) [scenario 59] [5 MQTT-4.4.0-2, 4.3.3-4]',
    async (_title, { qos, due, reasonCode }) => {
      const world = makeWorld('5')
      const client = await world.connectedDurable({ reconnect: RECONNECT })
      const fault = world.broker.faults.onSend(due, { times: 1 })
      fault.replaceBy(({ type, packetId }) => ({
        type,
        packetId,
        reasonCode,
        properties: { reasonString: 'not this one' },
      }))
      fault.cutAfter()
      const published = outcomeOf(client.publish('a', 'x', { qos }))
      await world.settle()
      expect(published.error).toBeInstanceOf(RefusedError)
      expect(published.error).toMatchObject({
        code: 'publish-refused',
        reasonCode,
        reasonString: 'not this one',
        local: false,
      })
      expect(client.pending).toEqual([])
      expect(client.state).toBe('waiting')
      expect(world.taken()).toEqual(['connect', 'publish'])
      await world.advance(600_000)
      expect(world.link.attempts).toHaveLength(2)
      expect(world.got('connect')).toHaveLength(1)
      expect(world.fromClient.filter(({ type }) => type !== 'connect' && type !== 'pingreq')).toEqual([])
      expect(await client.publish('a', 'y', { qos })).toMatchObject({ packetId: 2, reasonCode: 0 })
      expect(world.broker.openExchanges).toEqual([])
      expect(world.broker.finish()).toEqual([])
    },
  )

  it.each(REFUSALS)(
    'by a %s that is lost with the connection is sent again, and rejects when it is refused again (rules 13, 14) [scenario 59] [5 MQTT-4.4.0-1, -2]',
    async (_title, { qos, due, reasonCode }) => {
      const world = makeWorld('5', { broker: { authorizePublish: () => reasonCode } })
      world.broker.faults.onSend(due, { times: 1 }).cutBefore()
      const client = await world.connectedDurable({ reconnect: RECONNECT })
      const lost = collect(client, 'disconnected')
      const published = outcomeOf(client.publish('a', 'x', { qos }))
      await world.settle()
      expect(published.state).toBe('pending')
      expect(lost[0]?.error).toBeInstanceOf(ConnectionError)
      world.taken()
      await world.advance(1_000)
      expect(published.error).toMatchObject({ code: 'publish-refused', reasonCode })
      expect(world.fromClient).toMatchObject([
        { type: 'connect' },
        { type: 'publish', packetId: 1, dup: true, qos },
      ])
      expect(client.pending).toEqual([])
    },
  )
})

// A server that breaks the rules: which reason it is told, and that the connection ends; how ours ends.
import { describe, expect, it } from 'vitest'
import type { Dial, Transport, TransportReceiver } from '../../src/transport/transport.ts'
import { useWorlds, VERSIONS } from '../support/client-world.ts'
import { conversation } from '../support/conversation.ts'
import { fromHex } from '../../src/testing/conversation-fields.ts'
import { bytesOf } from './wire.ts'

const makeWorld = useWorlds()
const V5 = { versions: ['5'] } as const

describe('properties of the server', () => {
  for (const [what, bytes, code, reasonCode] of [
    ['that do not exist', '30 06 00 01 61 02 7f 00', 'malformed-packet', 0x81],
    ['of another packet', '30 07 00 01 61 03 21 00 01', 'malformed-packet', 0x81],
    ['twice', '30 08 00 01 61 04 01 00 01 00', 'protocol-error', 0x82],
    ['of SUBACK that belong to PUBLISH', '90 06 00 01 02 01 00 00', 'malformed-packet', 0x81],
  ] as const) {
    conversation(
      `${what} end the connection [5 section 2.2.2.2]`,
      (c) => {
        c.connected()
        c.receivesBytes(bytes)
        c.closes({ code, reasonCode })
        c.handlesNothing()
      },
      V5,
    )
  }

  conversation(
    'a User Property may stand there twice [5 section 2.2.2.2]',
    (c) => {
      c.connected()
      const userProperties = [
        ['a', '1'],
        ['a', '1'],
      ]
      c.receives('publish', { properties: { userProperties } })
      c.handles('a', { properties: { userProperties } })
    },
    V5,
  )
})

describe.each(VERSIONS)('the first byte of what is sent in %s', (version) => {
  const nothing = { packetId: 1, reasonCode: 0, properties: undefined }
  const request = {
    filter: 'a',
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
  } as const

  it.each([
    ['10', { type: 'connect', protocolVersion: version, clientId: '', cleanStart: true, keepAlive: 0 }],
    ['40', { type: 'puback', ...nothing }],
    ['50', { type: 'pubrec', ...nothing }],
    ['62', { type: 'pubrel', ...nothing }],
    ['70', { type: 'pubcomp', ...nothing }],
    ['82', { type: 'subscribe', packetId: 1, subscriptions: [request] }],
    ['a2', { type: 'unsubscribe', packetId: 1, filters: ['a'] }],
    ['c0', { type: 'pingreq' }],
    ['e0', { type: 'disconnect', reasonCode: 0 }],
  ] as const)(
    'is %s, its flags are those of the table [3.1.1 MQTT-2.2.2-1] [5 MQTT-2.1.3-1]',
    (first, packet) => {
      expect(bytesOf(version, packet).slice(0, 2)).toBe(first)
    },
  )
})

describe('a Remaining Length', () => {
  // Longer than four bytes, and nothing else is wrong: PINGRESP without a body.
  for (const [version, bytes] of [
    ['3.1.1', 'd0 80 80 80 80 00'],
    ['3.1.1', 'd0 80 80 80 80 80 00'],
    ['5', 'd0 80 80 80 80 00'],
  ] as const) {
    conversation(
      `of more than four bytes ends the connection: ${bytes} [3.1.1 section 2.2.3] [5 section 2.1.4]`,
      (c) => {
        c.connected()
        c.receivesBytes(bytes)
        const error = c.closes({ code: 'malformed-packet', reasonCode: 0x81 })
        expect(error?.message).toContain('longer than four bytes')
      },
      { versions: [version] },
    )
  }

  conversation(
    'of four bytes may be in a longer form than needed [3.1.1 section 2.2.3]',
    (c) => {
      c.connected()
      const ping = c.user.ping()
      c.sends('pingreq')
      c.receivesBytes('d0 80 80 80 00')
      c.settles(ping)
    },
    { versions: ['3.1.1'] },
  )
})

describe('limits of the client', () => {
  for (const [what, alias] of [
    ['0', '00 00'],
    ['above the maximum', '00 04'],
  ] as const) {
    conversation(
      `a Topic Alias ${what} ends the connection by 0x94 [5 section 3.3.2.3.4]`,
      (c) => {
        c.connected()
        c.receivesBytes(`30 08 00 01 61 03 23 ${alias} 78`)
        c.closes({ code: 'topic-alias-invalid', reasonCode: 0x94 })
        c.handlesNothing()
      },
      { ...V5, connect: { properties: { topicAliasMaximum: 3 } } },
    )
  }

  conversation(
    'a packet above the Maximum Packet Size ends the connection by 0x95 [5 section 3.1.2.11.4]',
    (c) => {
      c.connected()
      c.receivesBytes('30 30')
      c.closes({ code: 'packet-too-large', reasonCode: 0x95 })
    },
    { ...V5, maximumPacketSize: 49 },
  )

  conversation(
    'a packet of the Maximum Packet Size is taken [5 section 3.1.2.11.4]',
    (c) => {
      c.connected()
      c.receives('publish', { topic: 'a', payload: 'x'.repeat(43) })
      c.handles('a')
    },
    { ...V5, maximumPacketSize: 49 },
  )
})

describe('AUTH of ours', () => {
  it('5: has method and data, and no words [5 MQTT-3.15.2-2, -3]', async () => {
    const broker = { authentication: { method: 'riddle', challenges: [new Uint8Array(1)] } }
    const world = makeWorld('5', { broker })
    const authentication = { method: 'riddle', start: () => 'begin', continue: () => 'answer' }
    const client = await world.connected5({ authentication })
    await client.reauthenticate()
    const sent = world.got('auth').map(({ properties }) => Object.keys(properties ?? {}).toSorted())
    expect(sent.length).toBeGreaterThanOrEqual(3)
    expect(new Set(sent.flat())).toEqual(new Set(['authenticationData', 'authenticationMethod']))
  })
})

/** A server that answers CONNECT, and never closes. */
class MuteServer implements Transport {
  readonly calls: string[] = []
  readonly #connack: Uint8Array
  #receiver: TransportReceiver | undefined = undefined
  #total = 0

  constructor(connack: string) {
    this.#connack = fromHex(connack)
  }

  readonly dial: Dial = () => Promise.resolve(this)

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver
  }

  write(chunk: Uint8Array): boolean {
    this.#total += chunk.length
    this.calls.push(`write ${(chunk[0] ?? 0).toString(16)}`)
    const first = this.calls.length === 1
    queueMicrotask(() => {
      this.#receiver?.handleWritten(this.#total)
      if (first) this.#receiver?.handleData(this.#connack, true)
    })
    return true
  }

  end(): void {
    this.calls.push('end')
  }

  destroy(): void {
    this.calls.push('destroy')
    queueMicrotask(() => this.#receiver?.handleEnd())
  }

  pause(): void {}
  resume(): void {}
}

describe.each(VERSIONS)('disconnect() in %s', (version) => {
  it('sends E0 00, whose reserved bits are 0 [3.1.1 MQTT-3.14.1-1] [5 MQTT-3.14.1-1]', () => {
    expect(bytesOf(version, { type: 'disconnect', reasonCode: 0 })).toBe('e0 00')
  })

  it('ends the stream behind DISCONNECT, and does not wait for the server [3.1.1 MQTT-3.14.4-1] [5 MQTT-3.14.4-2]', async () => {
    const world = makeWorld(version)
    const server = new MuteServer(version === '5' ? '20 03 00 00 00' : '20 02 00 00')
    const client = await world.connected({ dial: server.dial, keepAlive: 0 })
    const disconnected = client.disconnect()
    await world.settle()
    expect(server.calls).toEqual(['write 10', 'write e0', 'end'])
    await world.advance(2_000)
    expect(server.calls).toEqual(['write 10', 'write e0', 'end', 'destroy'])
    await disconnected
    expect(client.state).toBe('stopped')
  })
})

// Every input that concerns bytes and that the specification forbids is refused, with the reason code that it has
// for that, however it is split and whatever stood before it.

import { describe, expect, test } from 'vitest'
import { byteByByte, decode, decodersFor, encode, StreamDecoder } from '../../../test/support/codec/codec.ts'
import { concat, hex, toHex, utf8String } from '../../../test/support/codec/hex.ts'
import { MALFORMED_INPUTS, type MalformedInput } from '../../../test/support/codec/malformed.ts'
import { type Sender, SPECIFIED_PACKETS } from '../../../test/support/codec/specification.ts'
import { ProtocolError } from '../errors.ts'
import { headerFault } from './codec.ts'
import type { ControlPacket, ProtocolVersion } from './types.ts'

const CODES: Readonly<Record<number, string>> = {
  0x81: 'malformed-packet',
  0x82: 'protocol-error',
  0x84: 'protocol-error',
  0x95: 'packet-too-large',
}

function refusalOf(
  chunks: readonly Uint8Array[],
  { version, sender }: Pick<MalformedInput, 'version' | 'sender'>,
): { error: ProtocolError; before: number } {
  const decoder = new StreamDecoder(version, sender, 1_000_000)
  let before = 0
  try {
    for (const chunk of chunks) {
      decoder.push(chunk)
      while (decoder.next() !== undefined) before += 1
    }
  } catch (error) {
    if (error instanceof ProtocolError) return { error, before }
    throw error
  }
  throw new Error(`${chunks.map(toHex).join(' | ')} was accepted`)
}

describe('is refused', () => {
  const rows = MALFORMED_INPUTS.map(
    (input) => [`${input.title}, from the ${input.sender} in ${input.version}`, input] as const,
  )

  test.each(rows)('%s', (_, input) => {
    const { bytes, reasonCode, version } = input
    // Nothing but the fault itself is wrong with the bytes: the packet ends where its header says.
    if (!isFramingFault(bytes, version)) expect(remainingLengthOf(bytes)).toBe(bytes.length)
    const { error } = refusalOf([bytes], input)
    expect(error.reasonCode).toBe(reasonCode)
    expect(error.code).toBe(CODES[reasonCode])
    expect(error.message).not.toBe('')

    const good = encode({ type: 'puback', packetId: 1, reasonCode: 0, properties: undefined }, version)
    for (const [chunks, before] of [
      [byteByByte(bytes), 0],
      [[concat(good, bytes)], 1],
      [[concat(good, bytes, good)], 1],
    ] as const) {
      const again = refusalOf(chunks, input)
      expect([again.error.message, again.error.reasonCode]).toEqual([error.message, error.reasonCode])
      expect(again.before).toBe(before)
    }
  })

  function isFramingFault(bytes: Uint8Array, version: ProtocolVersion): boolean {
    const lengthBytes = bytes.findIndex((byte, index) => index > 0 && byte < 0x80)
    return lengthBytes > 4 || (version === '5' && bytes[1] === 0x80 && lengthBytes === 2)
  }

  function remainingLengthOf(bytes: Uint8Array): number {
    let value = 0
    for (let index = 1; ; index++) {
      const byte = bytes[index] as number
      value += (byte & 0x7f) * 128 ** (index - 1)
      if (byte < 0x80) return value + index + 1
    }
  }
})

describe('the table of malformed inputs', () => {
  // The statements of both specifications that say something about bytes which a peer could get wrong within one
  // packet. Not here: what depends on other packets, on options, on time, and what no bytes can break.
  const STATEMENTS = `
    3.1.1: 1.5.3-1 1.5.3-2 2.2.2-1 2.2.2-2 2.3.1-1 2.3.1-4 2.3.1-6 2.3.1-7 3.1.2-1 3.1.2-2 3.1.2-3 3.1.2-9
      3.1.2-11 3.1.2-13 3.1.2-14 3.1.2-15 3.1.2-18 3.1.2-19 3.1.2-20 3.1.2-21 3.1.2-22 3.1.3-3 3.1.3-4 3.1.3-10
      3.1.3-11 3.1.4-1 3.2.2-4 3.3.1-2 3.3.1-4 3.3.2-1 3.3.2-2 3.6.1-1 3.8.1-1 3.8.3-1 3.8.3-3 3-8.3-4 3.8.4-5
      3.9.3-2 3.10.1-1 3.10.3-1 3.10.3-2 3.14.1-1 4.3.1-1 4.7.1-1 4.7.3-1 4.7.3-2 4.8.0-1
    5: 1.5.4-1 1.5.4-2 1.5.5-1 1.5.7-1 2.1.3-1 2.2.1-3 2.2.1-4 2.2.1-5 2.2.1-6 2.2.2-1 3.1.2-1 3.1.2-2 3.1.2-3
      3.1.2-9 3.1.2-11 3.1.2-12 3.1.2-13 3.1.2-16 3.1.2-17 3.1.2-18 3.1.2-19 3.1.3-3 3.1.3-4 3.1.3-11 3.1.3-12
      3.1.4-1 3.2.2-1 3.2.2-6 3.2.2-8 3.2.2-9 3.3.1-2 3.3.1-4 3.3.2-1 3.3.2-2 3.3.2-13 3.3.2-14 3.3.2-19 3.4.2-1
      3.5.2-1 3.6.1-1 3.6.2-1 3.7.2-1 3.8.1-1 3.8.3-1 3.8.3-2 3.8.3-5 3.8.4-6 3.9.3-2 3.10.1-1 3.10.3-1 3.10.3-2
      3.11.3-1 3.11.3-2 3.14.1-1 3.14.2-1 3.15.1-1 3.15.2-1 4.3.1-1 4.7.0-1 4.7.3-1 4.7.3-2 4.9.0-1`

  test.each(['3.1.1', '5'] as const)('has every statement of %s that one packet can break', (version) => {
    const expected = STATEMENTS.split(/(?=\b(?:3\.1\.1|5):)/).find((part) =>
      part.trim().startsWith(`${version}:`),
    )
    const titles = MALFORMED_INPUTS.filter((input) => input.version === version).map(({ title }) => title)
    const shown = new Set(
      titles.flatMap((title) =>
        [...title.matchAll(/\[(3\.1\.1|5) MQTT-([\d.]+-[\d.]+(?:-\d+)?)\]/g)]
          .filter(([, of]) => of === version)
          .map(([, , statement]) => statement),
      ),
    )
    const wanted =
      expected
        ?.replace(/^[^:]*:/, '')
        .trim()
        .split(/\s+/) ?? []
    expect(wanted.length).toBeGreaterThan(40)
    expect(wanted.filter((statement) => !shown.has(statement))).toEqual([])
    expect([...shown].filter((statement) => !wanted.includes(statement as string))).toEqual([])
  })

  test('says everything once', () => {
    const all = MALFORMED_INPUTS.map(({ version, sender, bytes }) => `${version} ${sender} ${toHex(bytes)}`)
    expect(all.filter((text, index) => all.indexOf(text) !== index)).toEqual([])
  })
})

describe('a first byte', () => {
  const sides = (['3.1.1', '5'] as const).flatMap((version) =>
    (['client', 'server'] as const).map((sender) => [version, sender] as const),
  )

  test.each(sides)(
    'has a type that this side may send, and its flags: %s from the %s [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    (version, sender) => {
      for (let header = 0; header <= 0xff; header++) {
        const row = SPECIFIED_PACKETS.find(({ number }) => number === header >> 4)
        if (row?.name === 'publish') continue
        const fault = headerFault(header, decodersFor(version, sender))
        const label = header.toString(16)
        if (row === undefined) expect(fault?.reasonCode, label).toBe(0x81)
        else if (!row.senders[version].includes(sender)) expect(fault?.reasonCode, label).toBe(0x82)
        else if ((header & 0x0f) !== row.flags) expect(fault?.reasonCode, label).toBe(0x81)
        else expect(fault, label).toBeUndefined()
      }
    },
  )

  test('that is wrong is told with what was expected', () => {
    const decoders = decodersFor('3.1.1', 'server')
    expect(headerFault(0x60, decoders)?.message).toBe('PUBREL has the flags 0, expected 2')
    expect(headerFault(0xe0, decoders)?.message).toBe(
      'DISCONNECT may not come from this side in this version',
    )
    expect(headerFault(0x00, decoders)?.message).toBe('the packet type 0 is reserved')
  })
})

describe('a packet above the maximum size', () => {
  const refusal = (bytes: Uint8Array, maximum: number, version: ProtocolVersion): ProtocolError => {
    const decoder = new StreamDecoder(version, 'server', maximum)
    decoder.push(bytes)
    try {
      while (decoder.next() !== undefined);
    } catch (error) {
      if (error instanceof ProtocolError) return error
    }
    throw new Error('it was accepted')
  }

  test.each(['3.1.1', '5'] as const)(
    'is refused with 0x95, by one byte and by 256 MiB, in %s [5 MQTT-3.1.2-24]',
    (version) => {
      const whole = encode({ type: 'pingresp' }, version)
      for (const bytes of [
        hex('30 1d'),
        hex('30 ffffff7f'),
        hex('d0 1d'),
        concat(whole, hex('30 ffffff7f 00')),
      ]) {
        const error = refusal(bytes, 30, version)
        expect([error.code, error.reasonCode]).toEqual(['packet-too-large', 0x95])
      }
      const allowed = new StreamDecoder(version, 'server', 30)
      allowed.push(hex('30 1c'))
      expect(allowed.next()).toBeUndefined()
    },
  )
})

describe('is accepted', () => {
  const accept = (bytes: Uint8Array, version: ProtocolVersion, sender: Sender): ControlPacket => {
    const packets = decode([bytes], version, sender)
    expect(packets).toHaveLength(1)
    return packets[0] as ControlPacket
  }

  const publish = (topic: string, version: ProtocolVersion): Uint8Array =>
    encode(
      {
        type: 'publish',
        topic,
        payload: new Uint8Array(0),
        qos: 0,
        retain: false,
        dup: false,
        packetId: 0,
        properties: undefined,
      },
      version,
    )

  test.each([
    ['a topic that begins with U+FEFF', '\ufeffa/b'],
    ['a topic of non-characters', '\ufffe/\uffff/\u{1ffff}'],
    ['a topic of control characters', '\u0001/\u007f'],
    ['a topic of 65,535 bytes', 'x'.repeat(65_535)],
    ['a topic of 65,536 levels', '/'.repeat(65_535)],
    ['a topic that is the name of a prototype', '__proto__'],
    ['a topic that is the name of a constructor', 'constructor'],
  ])('%s, unchanged [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3]', (_, topic) => {
    for (const version of ['3.1.1', '5'] as const) {
      const packet = accept(publish(topic, version), version, 'server')
      expect(packet.type === 'publish' && packet.topic === topic).toBe(true)
    }
  })

  test('a User Property with the name of a prototype, which touches none', () => {
    const pair = concat(hex('26'), utf8String('__proto__'), utf8String('polluted'))
    const bytes = concat(
      hex('30'),
      Uint8Array.of(4 + pair.length),
      hex('0001 "a"'),
      Uint8Array.of(pair.length),
      pair,
    )
    const packet = accept(bytes, '5', 'server')
    expect(packet.type === 'publish' && packet.properties).toEqual({
      userProperties: [['__proto__', 'polluted']],
    })
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
    expect(({} as { polluted?: string }).polluted).toBeUndefined()
  })

  test('a Topic Alias of 0, which the connection refuses with another code than ours [5 MQTT-3.3.2-8]', () => {
    const packet = accept(hex('30 07 0001 "a" 03 23 0000'), '5', 'server')
    expect(packet.type === 'publish' && packet.properties?.topicAlias).toBe(0)
  })

  test('the largest Topic Alias [5 MQTT-3.3.2-10]', () => {
    const packet = accept(hex('30 07 0001 "a" 03 23 ffff'), '5', 'server')
    expect(packet.type === 'publish' && packet.properties?.topicAlias).toBe(65_535)
  })

  test('the Subscription Identifiers of overlapping subscriptions, the same one twice too [5 MQTT-3.3.4-4]', () => {
    const packet = accept(hex('30 0a 0001 "a" 06 0b 01 0b 01 0b 02'), '5', 'server')
    expect(packet.type === 'publish' && packet.properties?.subscriptionIdentifiers).toEqual([1, 1, 2])
  })

  test('a payload that is not UTF-8 under a Payload Format Indicator that says so: nobody has to check', () => {
    const packet = accept(hex('30 07 0001 "a" 02 01 01 ff'), '5', 'server')
    expect(packet.type === 'publish' && packet.payload).toEqual(hex('ff'))
  })
})

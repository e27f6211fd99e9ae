// Every packet by hand: the bytes that the specification prescribes beside the object that they stand for. Each is
// read whole, byte by byte and glued to its neighbours, and is what we write for the object.

import { describe, expect, test } from 'vitest'
import { byteByByte, decode, encode } from '../../../test/support/codec/codec.ts'
import { expectSame } from '../../../test/support/codec/expect-same.ts'
import type { Fixture } from '../../../test/support/codec/fixture.ts'
import { FIXTURES } from '../../../test/support/codec/fixtures.ts'
import { concat, toHex } from '../../../test/support/codec/hex.ts'
import { mayBeSentBy, type Sender, SPECIFIED_PACKETS } from '../../../test/support/codec/specification.ts'
import type { ControlPacket, ProtocolVersion } from './types.ts'

const VERSIONS: readonly ProtocolVersion[] = ['3.1.1', '5']

/** Fields of a decoded packet, in the order in which they always stand. */
const FIELDS: Readonly<Record<string, string>> = {
  connect: 'type protocolVersion clientId cleanStart keepAlive will username password properties',
  connack: 'type sessionPresent reasonCode properties',
  publish: 'type topic payload qos retain dup packetId properties',
  puback: 'type packetId reasonCode properties',
  pubrec: 'type packetId reasonCode properties',
  pubrel: 'type packetId reasonCode properties',
  pubcomp: 'type packetId reasonCode properties',
  subscribe: 'type packetId subscriptions properties',
  suback: 'type packetId reasonCodes properties',
  unsubscribe: 'type packetId filters properties',
  unsuback: 'type packetId reasonCodes properties',
  pingreq: 'type',
  pingresp: 'type',
  disconnect: 'type reasonCode properties',
  auth: 'type reasonCode properties',
}

/** Packets that have fewer than three legal forms. */
const ONLY_FORM = ['pingreq 5', 'pingresp 5']

interface Reading {
  readonly sender: Sender
  readonly fixture: Fixture
  readonly before: Fixture
  readonly after: Fixture
}

function fixturesOf(version: ProtocolVersion, sender: Sender): readonly Fixture[] {
  return FIXTURES.filter((fixture) => fixture.version === version && fixture.senders.includes(sender))
}

function readingsOf(version: ProtocolVersion, sender: Sender): readonly (readonly [string, Reading])[] {
  const all = fixturesOf(version, sender)
  return all.map((fixture, index) => [
    `${fixture.title}, sent by a ${sender} in ${version}`,
    {
      sender,
      fixture,
      before: all[(index + all.length - 1) % all.length] as Fixture,
      after: all[(index + 1) % all.length] as Fixture,
    },
  ])
}

const readings = VERSIONS.flatMap((version) => [
  ...readingsOf(version, 'client'),
  ...readingsOf(version, 'server'),
])

describe('read', () => {
  test.each(readings)('whole: %s', (_, { fixture, sender }) => {
    expectSame(decode([fixture.bytes], fixture.version, sender), [fixture.packet])
  })

  test.each(readings)('byte by byte: %s', (_, { fixture, sender }) => {
    const packets = decode(byteByByte(fixture.bytes), fixture.version, sender)
    expectSame(packets, [fixture.packet])
  })

  test.each(readings)('glued to its neighbours: %s', (_, { fixture, sender, before, after }) => {
    const { version } = fixture
    const expected = [before.packet, fixture.packet, after.packet]
    const stream = concat(before.bytes, fixture.bytes, after.bytes)
    expectSame(decode([stream], version, sender), expected)
    // The chunk ends within each neighbour, too.
    const cut = before.bytes.length + fixture.bytes.length + 1
    const pieces = [stream.subarray(0, 1), stream.subarray(1, cut), stream.subarray(cut)]
    expectSame(decode(pieces, version, sender), expected)
  })

  test.each(readings)('with all fields in order: %s', (_, { fixture, sender }) => {
    const [packet] = decode([fixture.bytes], fixture.version, sender)
    expect(Object.keys(packet as ControlPacket).join(' ')).toBe(FIELDS[fixture.packet.type])
  })
})

describe('written', () => {
  const named = (written: boolean): readonly (readonly [string, Fixture])[] =>
    FIXTURES.filter((fixture) => fixture.written === written).map((fixture) => [
      `${fixture.title} in ${fixture.version}`,
      fixture,
    ])

  test.each(named(true))('as exactly these bytes: %s', (_, { packet, version, bytes }) => {
    expect(toHex(encode(packet, version))).toBe(toHex(bytes))
  })

  test.each(named(false))('in a form that is no longer: %s', (_, { packet, version, bytes, senders }) => {
    const ours = encode(packet, version)
    expect(ours.length).toBeLessThanOrEqual(bytes.length)
    expect(toHex(ours)).not.toBe(toHex(bytes))
    expectSame(decode([ours], version, senders[0] as Sender), [packet])
  })
})

describe('the fixtures', () => {
  const kinds = VERSIONS.flatMap((version) =>
    SPECIFIED_PACKETS.filter(({ senders }) => senders[version].length > 0).map(({ name }) => ({
      name,
      version,
    })),
  )

  test.each(kinds)('show at least three forms of $name in $version', ({ name, version }) => {
    const forms = FIXTURES.filter(
      (fixture) => fixture.packet.type === name && fixture.version === version,
    ).map((fixture) => toHex(fixture.bytes))
    expect(new Set(forms).size).toBe(forms.length)
    if (ONLY_FORM.includes(`${name} ${version}`)) expect(forms).toHaveLength(1)
    else expect(forms.length).toBeGreaterThanOrEqual(3)
  })

  test('show each packet from every side that may send it', () => {
    for (const { name, version } of kinds) {
      for (const sender of ['client', 'server'] as const) {
        const shown = fixturesOf(version, sender).some((fixture) => fixture.packet.type === name)
        expect(shown, `${name} in ${version} from the ${sender}`).toBe(mayBeSentBy(name, version, sender))
      }
    }
  })
})

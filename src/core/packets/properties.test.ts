// The 27 properties against the list of the specification, typed once more in the tests; and every rule of 2.2.2 for
// every property in every place.

import { describe, expect, test } from 'vitest'
import { concat, hex, toHex } from '../../../test/support/codec/hex.ts'
import {
  type DataType,
  type Place,
  SPECIFIED_PACKETS,
  SPECIFIED_PROPERTIES,
  type SpecifiedProperty,
} from '../../../test/support/codec/specification.ts'
import { PacketReader } from '../bytes/packet-reader.ts'
import { ProtocolError } from '../errors.ts'
import { propertiesLength, PROPERTIES, readProperties, writeProperties } from './properties.ts'
import type { Properties } from './types.ts'

const PLACES: readonly Place[] = [...SPECIFIED_PACKETS.map(({ name }) => name), 'will']

/** One value of each data type, and what stands for it. */
const SAMPLES: Readonly<Record<DataType, readonly [bytes: string, value: unknown]>> = {
  byte: ['01', 1],
  'two byte integer': ['0102', 0x0102],
  'four byte integer': ['80000001', 0x80000001],
  'variable byte integer': ['8001', [128]],
  'UTF-8 encoded string': ['0003 "a" c3a9', 'aé'],
  'binary data': ['0002 00ff', hex('00ff')],
  'UTF-8 string pair': ['0001 "k" 0001 "v"', [['k', 'v']]],
}

const BOOLEANS = [
  'requestProblemInformation',
  'requestResponseInformation',
  'retainAvailable',
  'wildcardSubscriptionAvailable',
  'subscriptionIdentifiersAvailable',
  'sharedSubscriptionAvailable',
]

const ROWS = SPECIFIED_PROPERTIES.map((property) => [property.name, property] as const)

function sampleOf({ id, name, dataType }: SpecifiedProperty): { bytes: Uint8Array; value: unknown } {
  const [bytes, value] = SAMPLES[dataType]
  return { bytes: concat(Uint8Array.of(id), hex(bytes)), value: BOOLEANS.includes(name) ? true : value }
}

/** Reads properties behind their Property Length, with more of the packet behind them. */
function read(
  properties: Uint8Array,
  place: Place,
  behind: Uint8Array = hex('01 02 03'),
): Properties | undefined {
  const bytes = concat(Uint8Array.of(properties.length), properties, behind)
  const reader = new PacketReader().open(bytes, 0, bytes.length)
  const result = readProperties(reader, place)
  expect([reader.position, reader.end]).toEqual([1 + properties.length, bytes.length])
  return result
}

function refusal(properties: Uint8Array, place: Place, behind?: Uint8Array): ProtocolError {
  try {
    read(properties, place, behind)
  } catch (error) {
    if (error instanceof ProtocolError) return error
    throw error
  }
  throw new Error(`${toHex(properties)} was read in ${place}`)
}

function write(properties: Properties | undefined): string {
  const length = propertiesLength(properties)
  const bytes = new Uint8Array(length + 20)
  const end = writeProperties(bytes, 2, properties, length)
  return toHex(bytes.subarray(2, end))
}

describe('the table of properties', () => {
  test('has the 27 of table 2-4, each with its identifier and the packets that may carry it', () => {
    expect(SPECIFIED_PROPERTIES).toHaveLength(27)
    const rows = (
      table: readonly { id: number; name: string; places: readonly string[] }[],
    ): readonly string[] =>
      table.map(({ id, name, places }) => `${id} ${name}: ${places.toSorted().join(' ')}`)
    expect(rows(PROPERTIES)).toEqual(rows(SPECIFIED_PROPERTIES))
  })

  test('has the data types of table 2-4', () => {
    const kinds: Readonly<Record<string, DataType>> = {
      bit: 'byte',
      boolean: 'byte',
      twoBytes: 'two byte integer',
      fourBytes: 'four byte integer',
      identifiers: 'variable byte integer',
      string: 'UTF-8 encoded string',
      binary: 'binary data',
      pairs: 'UTF-8 string pair',
    }
    expect(PROPERTIES.map(({ name, kind }) => [name, kinds[kind]])).toEqual(
      SPECIFIED_PROPERTIES.map(({ name, dataType }) => [name, dataType]),
    )
  })

  test('has the values that are a Protocol Error below 1', () => {
    const minima = PROPERTIES.filter(({ minimum }) => minimum > 0).map(({ name, minimum }) => [name, minimum])
    expect(minima).toEqual([
      ['subscriptionIdentifiers', 1],
      ['receiveMaximum', 1],
      ['maximumPacketSize', 1],
    ])
  })
})

describe('a property', () => {
  test.each(ROWS)('is read and written: %s', (_, property) => {
    const { bytes, value } = sampleOf(property)
    for (const place of property.places) {
      expect(read(bytes, place)).toStrictEqual({ [property.name]: value })
    }
    const properties = { [property.name]: value } as Properties
    expect(write(properties)).toBe(toHex(concat(Uint8Array.of(bytes.length), bytes)))
  })

  test.each(ROWS)('is malformed in every other packet: %s', (_, property) => {
    const { bytes } = sampleOf(property)
    const others = PLACES.filter((place) => !property.places.includes(place))
    expect(others.length + property.places.length).toBe(16)
    for (const place of others) {
      const error = refusal(bytes, place)
      expect([error.code, error.reasonCode], place).toEqual(['malformed-packet', 0x81])
    }
  })

  test.each(ROWS)('is a Protocol Error when it stands twice, where it may not: %s', (_, property) => {
    const { bytes } = sampleOf(property)
    for (const place of property.places) {
      const repeatable =
        property.name === 'userProperties' ||
        (property.name === 'subscriptionIdentifiers' && place === 'publish')
      if (repeatable) {
        const values = read(concat(bytes, bytes), place)?.[property.name]
        expect(values, place).toHaveLength(2)
      } else {
        const error = refusal(concat(bytes, bytes), place)
        expect([error.code, error.reasonCode], place).toEqual(['protocol-error', 0x82])
      }
    }
  })

  test.each(ROWS)('is malformed when the properties end within it: %s', (_, property) => {
    const { bytes } = sampleOf(property)
    const place = property.places[0] as Place
    for (let length = 1; length < bytes.length; length++) {
      // The packet goes on with just what is missing.
      const error = refusal(bytes.subarray(0, length), place, bytes.subarray(length))
      expect([error.code, error.reasonCode]).toEqual(['malformed-packet', 0x81])
    }
  })

  test.each(ROWS.filter(([, { dataType }]) => dataType === 'byte'))(
    'that is a byte is 0 or 1, anything else is a Protocol Error: %s',
    (_, property) => {
      const place = property.places[0] as Place
      const boolean = BOOLEANS.includes(property.name)
      for (let value = 0; value <= 0xff; value++) {
        const bytes = Uint8Array.of(property.id, value)
        if (value > 1) expect(refusal(bytes, place).reasonCode).toBe(0x82)
        else expect(read(bytes, place)).toEqual({ [property.name]: boolean ? value === 1 : value })
      }
    },
  )

  test('that does not exist is malformed in every packet', () => {
    const ids = SPECIFIED_PROPERTIES.map(({ id }) => id)
    for (let id = 0; id < 0x80; id++) {
      if (ids.includes(id)) continue
      for (const place of PLACES) expect(refusal(Uint8Array.of(id, 0, 0), place).reasonCode).toBe(0x81)
    }
    // A property identifier is a variable byte integer.
    for (const bytes of ['8001 00', 'ffffff7f 00', 'a101 00']) {
      expect(refusal(hex(bytes), 'publish').reasonCode).toBe(0x81)
    }
  })

  test.each([
    ['subscriptionIdentifiers', 'publish', '0b 00'],
    ['subscriptionIdentifiers', 'subscribe', '0b 00'],
    ['receiveMaximum', 'connect', '21 0000'],
    ['receiveMaximum', 'connack', '21 0000'],
    ['maximumPacketSize', 'connect', '27 00000000'],
    ['maximumPacketSize', 'connack', '27 00000000'],
  ] as const)('may not be 0 where that is a Protocol Error: %s in %s', (_, place, bytes) => {
    const error = refusal(hex(bytes), place)
    expect([error.code, error.reasonCode]).toEqual(['protocol-error', 0x82])
  })

  test('that is binary is a copy: the bytes of the packet may go', () => {
    const bytes = hex('0a 09 0002 0102 26 0000 0000')
    const properties = readProperties(new PacketReader().open(bytes, 0, bytes.length), 'publish')
    bytes.fill(0xaa)
    expect(properties).toEqual({ correlationData: hex('0102'), userProperties: [['', '']] })
  })
})

describe('properties together', () => {
  test('are none at a Property Length of 0 [5 MQTT-2.2.2-1]', () => {
    for (const place of PLACES) expect(read(new Uint8Array(0), place)).toBeUndefined()
    for (const none of [undefined, {}, { reasonString: undefined }, { userProperties: [] }]) {
      expect(write(none)).toBe('00')
    }
  })

  test('are written by ascending identifier, whatever the order of the object', () => {
    expect(write({ maximumPacketSize: 1, userProperties: [['a', 'b']], sessionExpiryInterval: 2 })).toBe(
      toHex(hex('11 11 00000002 26 0001 "a" 0001 "b" 27 00000001')),
    )
  })

  test('keep the order and the repeats of User Properties [5 MQTT-3.1.3-10] [5 MQTT-3.3.2-17] [5 MQTT-3.3.2-18]', () => {
    const pairs = ['b', 'a', '1', '', 'b', 'b'].map((name, index) => [name, `${index}`] as const)
    const bytes = hex(write({ userProperties: pairs }))
    expect(read(bytes.subarray(1), 'will')).toEqual({ userProperties: pairs })
  })

  test('have a Property Length of as many bytes as it takes', () => {
    for (const [size, length] of [
      [120, 'fd01'],
      [20_000, 'a59d01'],
    ] as const) {
      const properties = {
        userProperties: [
          ['', 'x'.repeat(size)],
          ['', 'y'.repeat(123)],
        ],
      } as const
      const total = propertiesLength(properties)
      expect(total).toBe(5 + size + 5 + 123)
      const bytes = new Uint8Array(total + 4)
      const end = writeProperties(bytes, 0, properties, total)
      expect(end - total).toBe(length.length / 2)
      expect(toHex(bytes.subarray(0, end - total)).replaceAll(' ', '')).toBe(length)
      expect(readProperties(new PacketReader().open(bytes, 0, end), 'publish')).toEqual(properties)
    }
  })

  test('are malformed when their length is beyond the packet', () => {
    for (const bytes of ['02 01', '03 01 01', '80 01 01 01', 'ff ff ff 7f']) {
      const body = hex(bytes)
      // Behind the packet stands enough.
      const buffer = concat(body, new Uint8Array(300))
      expect(() => readProperties(new PacketReader().open(buffer, 0, body.length), 'publish')).toThrow(
        /the property length is \d+, \d bytes are left/,
      )
    }
  })
})

// Names and filters by example and against second opinions: the platform's UTF-8 encoder for lengths and
// surrogates, a regular expression for the grammar and for matching. Titles carry the statements' numbers.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  deliveryFilter,
  hasWildcard,
  matches,
  sharedSubscription,
  topicFilterFault,
  topicNameFault,
} from './topic.ts'

const bothFaults = [topicNameFault, topicFilterFault] as const

function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length
}

describe('every topic name and filter', () => {
  test('has at least one character [3.1.1 MQTT-4.7.3-1] [5 MQTT-4.7.3-1]', () => {
    expect(topicNameFault('')).toBe('expected a topic name of at least one character, got ""')
    expect(topicFilterFault('')).toBe('expected a topic filter of at least one character, got ""')
    for (const fault of bothFaults) {
      for (const topic of ['/', '//', ' ', 'a', 'a/', '/a', 'A b/c']) expect(fault(topic)).toBeUndefined()
    }
  })

  test.each(['\0', 'a\0b', 'a/\0', 'é\0', '😀\0'])(
    'has no U+0000: %j [3.1.1 MQTT-1.5.3-2] [3.1.1 MQTT-4.7.3-2] [5 MQTT-1.5.4-2] [5 MQTT-4.7.3-2]',
    (topic) => {
      expect(topicNameFault(topic)).toBe(`expected a topic name without U+0000, got ${JSON.stringify(topic)}`)
      expect(topicFilterFault(topic)).toBe(
        `expected a topic filter without U+0000, got ${JSON.stringify(topic)}`,
      )
    },
  )

  test.each([
    ['x', 65_535],
    ['é', 32_767],
    ['€', 21_845],
    ['😀', 16_383],
    ['/', 65_535],
    // The first and the last character of each length.
    ['\u0001', 65_535],
    ['\u007f', 65_535],
    ['\u0080', 32_767],
    ['\u07ff', 32_767],
    ['\u0800', 21_845],
    ['\ud7ff', 21_845],
    ['\ue000', 21_845],
    ['\uffff', 21_845],
    ['\u{10000}', 16_383],
    ['\u{10ffff}', 16_383],
  ])(
    'has at most 65535 bytes, counted in UTF-8: %j × %i [3.1.1 MQTT-4.7.3-3] [5 MQTT-4.7.3-3]',
    (unit, most) => {
      const longest = unit
        .repeat(most)
        .padEnd(unit.repeat(most).length + (65_535 - most * utf8Length(unit)), 'x')
      expect(utf8Length(longest)).toBe(65_535)
      for (const fault of bothFaults) {
        expect(fault(longest)).toBeUndefined()
        expect(fault(`${longest}x`)).toContain('of at most 65535 bytes in UTF-8, got 65536 ')
        expect(fault(`${unit}${longest}`)).toContain('of at most 65535 bytes in UTF-8, got ')
      }
    },
  )

  test('too long is told with the size, and the whole of `$share/…` counts [5 MQTT-4.7.3-3]', () => {
    expect(topicNameFault('€'.repeat(21_846))).toBe(
      `expected a topic name of at most 65535 bytes in UTF-8, got 65538 bytes: "${'€'.repeat(60)}"…`,
    )
    expect(topicNameFault('x'.repeat(1_000_000))).toContain('got 1000000 characters: "xxx')
    expect(topicFilterFault(`$share/g/${'x'.repeat(65_526)}`)).toBeUndefined()
    expect(topicFilterFault(`$share/g/${'x'.repeat(65_527)}`)).toContain('got 65536 characters')
  })

  test.each([
    '\ud800',
    'a\udbffb',
    '\udc00',
    'a/\udfff',
    '\udc00\ud800',
    '\udc00\udc00',
    '\ud83d\ud83d\ude00',
    '😀\ude00',
    'é\ud83d',
  ])('has no lone surrogate: %j [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]', (topic) => {
    for (const fault of bothFaults) {
      expect(fault(topic)).toContain('of well-formed UTF-16, got a lone surrogate in ')
    }
  })

  test('may begin with U+FEFF, which is a character like others [3.1.1 MQTT-1.5.3-3] [5 MQTT-1.5.4-3]', () => {
    for (const fault of bothFaults) expect(fault('\ufeff')).toBeUndefined()
    expect(matches('\ufeffa', 'a')).toBe(false)
    expect(matches('\ufeffa', '\ufeffa')).toBe(true)
  })

  test('may have control characters and non-characters', () => {
    for (const fault of bothFaults) {
      for (const topic of ['\u0001', 'a\tb\n', '\u007f', '\u009f', '\uffff', '\ufdd0', '\u{1fffe}']) {
        expect(fault(topic)).toBeUndefined()
      }
    }
  })

  test.each([
    [undefined, 'undefined'],
    [null, 'null'],
    [7, 'a number'],
    [Symbol('a'), 'a symbol'],
    [['a'], 'an object'],
    [new String('a'), 'an object'],
    [new Uint8Array(1), 'an object'],
    [() => 'a', 'a function'],
  ])('is a string: not %s', (value, kind) => {
    expect(topicNameFault(value)).toBe(`expected a topic name that is a string, got ${kind}`)
    expect(topicFilterFault(value)).toBe(`expected a topic filter that is a string, got ${kind}`)
  })

  test('property: faultless exactly when the encoder gives it back and it fits', () => {
    const piece = fc.constantFrom(
      'a',
      '/',
      'é',
      '\u07ff',
      '\u0800',
      '€',
      '\ud7ff',
      '\ue000',
      '😀',
      '\ud83d',
      '\ude00',
      '\0',
    )
    const count = fc.oneof(fc.constantFrom(1, 2), fc.integer({ min: 10_000, max: 25_000 }))
    const topics = fc
      .array(fc.tuple(piece, count), { minLength: 1, maxLength: 5 })
      .map((runs) => runs.map(([text, times]) => text.repeat(times)).join(''))
    fc.assert(
      fc.property(topics, (topic) => {
        const bytes = new TextEncoder().encode(topic)
        const wellFormed = new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes) === topic
        const good = wellFormed && bytes.length <= 65_535 && !topic.includes('\0')
        for (const fault of bothFaults) expect(fault(topic) === undefined).toBe(good)
      }),
    )
  })
})

describe('a topic name', () => {
  test.each(['a/#', '#', '+', 'a+b', 'a/+/b', 'a#', '$share/g/#'])(
    'has no wildcards: %s [3.1.1 MQTT-4.7.1-1] [5 MQTT-4.7.0-1]',
    (name) => {
      expect(topicNameFault(name)).toBe(`expected a topic name without wildcards, got "${name}"`)
    },
  )

  test.each(['$SYS/a', '$', '$share/g', '$share//a', '*', 'a/%/b', '__proto__'])('may be %s', (name) => {
    expect(topicNameFault(name)).toBeUndefined()
  })

  test('that is long is shown around its fault', () => {
    const name = `${'a'.repeat(100)}#${'b'.repeat(100)}`
    expect(topicNameFault(name)).toBe(
      `expected a topic name without wildcards, got …"${'a'.repeat(30)}#${'b'.repeat(29)}"… at index 100 of 201`,
    )
  })

  test('that is long is shown in whole characters', () => {
    expect(topicNameFault(`${'😀'.repeat(50)}x#`)).toBe(
      `expected a topic name without wildcards, got …"${'😀'.repeat(14)}x#" at index 101 of 102`,
    )
    expect(topicNameFault(`#${'😀'.repeat(50)}`)).toBe(
      `expected a topic name without wildcards, got "#${'😀'.repeat(29)}"…`,
    )
  })
})

describe('a topic filter', () => {
  test.each(['#', '/#', 'a/#', 'a//#', '+/#', '$SYS/#'])(
    'has # alone or last after a slash: %s [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]',
    (filter) => {
      expect(topicFilterFault(filter)).toBeUndefined()
    },
  )

  test.each(['a#', '#/', '#/a', 'a/#/b', '##', '#+', '+#', 'a/b#', '/#/#', '$share/g/a#', '$share/g/#/a'])(
    'has # nowhere else: %s [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]',
    (filter) => {
      expect(topicFilterFault(filter)).toBe(
        `expected a topic filter with # alone or last after a /, got "${filter}"`,
      )
    },
  )

  test.each(['+', '+/', '/+', '+/+', 'a/+/b', '//+//', '$SYS/+', '+/b/#'])(
    'has + as a whole level: %s [3.1.1 MQTT-4.7.1-3] [5 MQTT-4.7.1-2]',
    (filter) => {
      expect(topicFilterFault(filter)).toBeUndefined()
    },
  )

  test.each(['a+', '+a', '++', 'a/+b', 'a/b+/c', '+/+a', '$SYS+', '$share/g/a+'])(
    'has + in no part of a level: %s [3.1.1 MQTT-4.7.1-3] [5 MQTT-4.7.1-2]',
    (filter) => {
      expect(topicFilterFault(filter)).toBe(
        `expected a topic filter with + as a whole level, got "${filter}"`,
      )
    },
  )

  test('property: is what the grammar of 4.7.1 says [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]', () => {
    const grammar = /^(#|(\+|[^/+#]*)(\/(\+|[^/+#]*))*(\/#)?)$/
    const filters = fc.string({ unit: fc.constantFrom('a', '/', '+', '#'), minLength: 1, maxLength: 7 })
    fc.assert(
      fc.property(filters, (filter) => {
        expect(topicFilterFault(filter) === undefined).toBe(grammar.test(filter))
        expect(topicFilterFault(`$share/g/${filter}`) === undefined).toBe(grammar.test(filter))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('a shared subscription', () => {
  test.each([
    ['$share/g/a', 'g', 'a'],
    ['$share/g/#', 'g', '#'],
    ['$share/g//', 'g', '/'],
    ['$share/g/+/b/#', 'g', '+/b/#'],
    ['$share/$g é/$SYS/#', '$g é', '$SYS/#'],
    ['$share/g/$share/h/a', 'g', '$share/h/a'],
  ])('%s has a name and a filter [5 MQTT-4.8.2-1] [5 MQTT-4.8.2-2]', (whole, group, filter) => {
    expect(topicFilterFault(whole)).toBeUndefined()
    expect(sharedSubscription(whole)).toEqual({ group, filter })
    expect(deliveryFilter(whole)).toBe(filter)
  })

  test.each(['$share/', '$share//', '$share//a'])(
    'has a name of at least one character: %s [5 MQTT-4.8.2-1]',
    (filter) => {
      expect(sharedSubscription(filter)).toBeUndefined()
      expect(topicFilterFault(filter)).toBe(
        `expected $share/NAME/FILTER, NAME without + and # and neither of them empty, got "${filter}"`,
      )
    },
  )

  test.each([
    '$share/a',
    '$share/ab',
    '$share/a/',
    '$share/a+/t',
    '$share/+/t',
    '$share/#/t',
    '$share/a#b/t',
    '$share/#',
    '$share/+',
  ])('has a name without wildcards and a filter behind it: %s [5 MQTT-4.8.2-2]', (filter) => {
    expect(sharedSubscription(filter)).toBeUndefined()
    expect(topicFilterFault(filter)).toContain('expected $share/NAME/FILTER, ')
  })

  test.each(['$share', '$shared/g/a', '$SHARE/g/a', '/$share/g/a', 'a/$share/g/a', '+/g/a', '$SYS/a'])(
    'is not %s, which is a filter like others [5 MQTT-4.8.2-1]',
    (filter) => {
      expect(topicFilterFault(filter)).toBeUndefined()
      expect(sharedSubscription(filter)).toBeUndefined()
      expect(deliveryFilter(filter)).toBe(filter)
    },
  )

  test('matches by its delivery filter, and there too # leaves $ names alone [5 MQTT-4.7.2-1]', () => {
    expect(matches(deliveryFilter('$share/g/a/#'), 'a/b')).toBe(true)
    expect(matches(deliveryFilter('$share/g/#'), 'a')).toBe(true)
    expect(matches(deliveryFilter('$share/g/#'), '$SYS/a')).toBe(false)
  })
})

describe('wildcards', () => {
  test('are found wherever they are', () => {
    for (const filter of ['#', '+', 'a/#', 'a/+/b', '+/a']) expect(hasWildcard(filter)).toBe(true)
    for (const filter of ['a', '/', '$SYS/a', 'a*', '']) expect(hasWildcard(filter)).toBe(false)
  })
})

describe('matching', () => {
  // The examples of 4.7.1.1 to 4.7.3, and what follows from them.
  test.each([
    ['sport/tennis/player1/#', 'sport/tennis/player1'],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking'],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon'],
    ['sport/#', 'sport'],
    ['#', 'a'],
    ['#', '/'],
    ['sport/tennis/+', 'sport/tennis/player1'],
    ['sport/+', 'sport/'],
    ['+', 'finance'],
    ['+/+', '/finance'],
    ['/+', '/finance'],
    ['+/tennis/#', 'sport/tennis'],
    ['a//b', 'a//b'],
    ['a/+/b', 'a//b'],
    ['a/#', 'a/'],
    ['/#', '/'],
    ['+/#', 'a'],
    ['a/+/#', 'a/b'],
    ['a/$b/+', 'a/$b/c'],
    ['a/+', 'a/$b'],
    ['Accounts payable', 'Accounts payable'],
  ])('%s matches %s', (filter, topic) => {
    expect(matches(filter, topic)).toBe(true)
  })

  test.each([
    ['sport/tennis/+', 'sport/tennis/player1/ranking'],
    ['sport/+', 'sport'],
    ['sport/#', 'sports'],
    ['+', '/finance'],
    ['+', 'a/'],
    ['/+', 'finance'],
    ['/#', 'a'],
    ['a', 'a/b'],
    ['a/b', 'a'],
    ['a', '/a'],
    ['a/', 'a'],
    ['a/+/#', 'a'],
    ['a/b/#', 'a/c'],
    ['ACCOUNTS', 'Accounts'],
  ])('%s does not match %s', (filter, topic) => {
    expect(matches(filter, topic)).toBe(false)
  })

  test('a wildcard in front leaves names with $ alone [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]', () => {
    for (const filter of ['#', '+', '+/#', '+/monitor/Clients']) {
      expect(matches(filter, '$SYS/monitor/Clients')).toBe(false)
      expect(matches(filter, '$SYS')).toBe(false)
      expect(matches(filter, '$')).toBe(false)
    }
    expect(matches('$SYS/#', '$SYS/monitor/Clients')).toBe(true)
    expect(matches('$SYS/#', '$SYS')).toBe(true)
    expect(matches('$SYS/monitor/+', '$SYS/monitor/Clients')).toBe(true)
    expect(matches('+/$SYS', 'a/$SYS')).toBe(true)
  })

  test('normalises nothing: NFC and NFD differ [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.3-4]', () => {
    const composed = 'caf\u00e9'
    const decomposed = composed.normalize('NFD')
    expect(matches(composed, decomposed)).toBe(false)
    expect(matches(decomposed, composed)).toBe(false)
    expect(matches(`a/${decomposed}/#`, `a/${composed}`)).toBe(false)
    expect(matches(decomposed, decomposed)).toBe(true)
  })

  test('property: a regular expression made of the filter is of the same opinion', () => {
    const levels = fc.array(fc.constantFrom('', 'a', 'b', '$a'), { minLength: 1, maxLength: 4 })
    const wildLevels = fc.array(fc.constantFrom('', 'a', 'b', '$a', '+', '+'), { minLength: 1, maxLength: 4 })
    const filters = fc
      .tuple(wildLevels, fc.boolean())
      .map(([parts, open]) => [...parts, ...(open ? ['#'] : [])].join('/'))
    let hits = 0
    fc.assert(
      fc.property(
        fc.oneof(filters, fc.constant('#')),
        levels.map((parts) => parts.join('/')),
        (filter, topic) => {
          fc.pre(topic !== '' && filter !== '')
          const source = filter
            .replaceAll('$', '\\$')
            .replace(/\/#$/, '(/.*)?')
            .replace(/^#$/, '(?!\\$).*')
            .replace(/^\+/, '(?!\\$)[^/]*')
            .replace(/\/\+/g, '/[^/]*')
          const expected = new RegExp(`^${source}$`).test(topic)
          if (expected) hits++
          expect(matches(filter, topic)).toBe(expected)
        },
      ),
      { numRuns: 3_000 },
    )
    expect(hits).toBeGreaterThan(100)
  })
})

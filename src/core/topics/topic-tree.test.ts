// The tree against `matches`, which is the rule written out, and against a list that does what `add` and
// `remove` say; then what only a tree can get wrong: nodes that stay behind, its order, hostile names.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches } from './topic.ts'
import { TopicTree } from './topic-tree.ts'

type Entry = readonly [filter: string, value: number]

const LEVELS = ['', 'a', 'b', 'A', '$SYS', '$', 'caf\u00e9', 'cafe\u0301', '😀', '__proto__', 'constructor']

const level = fc.oneof(
  { weight: 2, arbitrary: fc.constantFrom('a', 'b', '') },
  { weight: 1, arbitrary: fc.constantFrom(...LEVELS) },
)
const topics = fc
  .array(level, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((topic) => topic !== '')
const filters = fc
  .tuple(
    fc.array(fc.oneof({ weight: 2, arbitrary: level }, { weight: 1, arbitrary: fc.constant('+') }), {
      maxLength: 5,
    }),
    fc.boolean(),
  )
  .map(([levels, open]) => (open ? [...levels, '#'] : levels).join('/'))
  .filter((filter) => filter !== '')

function treeOf(...list: readonly string[]): TopicTree<string> {
  const tree = new TopicTree<string>()
  for (const filter of list) tree.add(filter, filter)
  return tree
}

function matched<T>(tree: TopicTree<T>, topic: string): T[] {
  const into: T[] = []
  tree.match(topic, into)
  return into
}

/** What a tree that holds these may keep: each filter without wildcards, each beginning of the others. */
function nodesNeeded(entries: readonly Entry[]): number {
  const exact = new Set<string>()
  const nodes = new Set<string>()
  for (const [filter] of entries) {
    if (!/[+#]/.test(filter)) {
      exact.add(filter)
      continue
    }
    const levels = filter.replace(/(^|\/)#$/, '$1\0').split('/')
    const depth = levels.at(-1) === '\0' ? levels.length - 1 : levels.length
    for (let length = 0; length <= depth; length++)
      nodes.add(`${length}:${levels.slice(0, length).join('/')}`)
  }
  return exact.size + nodes.size
}

function inOrder(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b)
}

describe('a topic tree', () => {
  test('property: finds what the rule finds, each value once [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]', () => {
    let hits = 0
    fc.assert(
      fc.property(
        fc.array(filters, { maxLength: 25 }),
        fc.array(topics, { minLength: 1, maxLength: 8 }),
        (list, names) => {
          const tree = new TopicTree<number>()
          for (const [value, filter] of list.entries()) tree.add(filter, value)
          for (const name of names) {
            const expected = [...list.keys()].filter((value) => matches(list[value] ?? '', name))
            hits += expected.length
            expect(inOrder(matched(tree, name))).toEqual(expected)
          }
        },
      ),
      { numRuns: 1_000 },
    )
    expect(hits).toBeGreaterThan(1_000)
  })

  test('property: after any adding and removing it has what a list has, and no node too many', () => {
    // Few filters and values, so that the same ones come again and share nodes.
    const few = fc.constantFrom(
      '#',
      '+',
      '+/#',
      'a',
      'a/#',
      'a/+',
      'a/+/b',
      'a/b',
      'a/b/#',
      'a/b/+/+/#',
      '/#',
      '/',
      '$SYS/#',
    )
    const filter = fc.oneof({ weight: 3, arbitrary: few }, { weight: 1, arbitrary: filters })
    const step = fc.record({ add: fc.boolean(), filter, value: fc.integer({ min: 0, max: 2 }) })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), topics, (steps, name) => {
        const tree = new TopicTree<number>()
        const entries: Entry[] = []
        for (const { add, filter, value } of steps) {
          if (add) {
            tree.add(filter, value)
            entries.push([filter, value])
          } else {
            const index = entries.findIndex((entry) => entry[0] === filter && entry[1] === value)
            expect(tree.remove(filter, value)).toBe(index >= 0)
            if (index >= 0) entries.splice(index, 1)
          }
          expect(tree.size).toBe(entries.length)
          expect(tree.nodeCount).toBe(nodesNeeded(entries))
        }
        const expected = entries.filter((entry) => matches(entry[0], name)).map((entry) => entry[1])
        expect(inOrder(matched(tree, name))).toEqual(inOrder(expected))
        for (const [filter, value] of entries) expect(tree.remove(filter, value)).toBe(true)
        expect(tree.size).toBe(0)
        expect(tree.nodeCount).toBe(0)
        expect(matched(tree, name)).toEqual([])
      }),
      { numRuns: 1_000 },
    )
  })

  test('a/# matches a [3.1.1 MQTT-4.7.1-2] [5 MQTT-4.7.1-1]', () => {
    const tree = treeOf('a/#', 'a/b/#', '/#')
    expect(matched(tree, 'a')).toEqual(['a/#'])
    expect(matched(tree, 'a/b')).toEqual(['a/#', 'a/b/#'])
    expect(matched(tree, '/')).toEqual(['/#'])
    expect(matched(tree, 'ab')).toEqual([])
  })

  test('a wildcard in front leaves names with $ alone [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]', () => {
    const tree = treeOf('#', '+', '+/#', '+/+', '$SYS/#', '$SYS/+', 'a/+', 'a/#')
    expect(matched(tree, '$SYS')).toEqual(['$SYS/#'])
    expect(matched(tree, '$SYS/a')).toEqual(['$SYS/#', '$SYS/+'])
    expect(matched(tree, '$')).toEqual([])
    expect(matched(tree, 'a/$SYS')).toEqual(['#', 'a/#', '+/#', 'a/+', '+/+'])
  })

  test('tells capital letters from small ones (4.7.3)', () => {
    const tree = treeOf('ACCOUNTS', 'ACCOUNTS/+', 'Accounts/#', 'accounts/+')
    expect(matched(tree, 'ACCOUNTS')).toEqual(['ACCOUNTS'])
    expect(matched(tree, 'ACCOUNTS/a')).toEqual(['ACCOUNTS/+'])
    expect(matched(tree, 'Accounts/a')).toEqual(['Accounts/#'])
    expect(matched(tree, 'aCCOUNTS/a')).toEqual([])
  })

  test('normalises nothing: NFC and NFD differ [3.1.1 MQTT-4.7.3-4] [5 MQTT-4.7.3-4]', () => {
    const tree = treeOf('caf\u00e9', 'cafe\u0301', 'caf\u00e9/#', 'cafe\u0301/#')
    expect(matched(tree, 'caf\u00e9')).toEqual(['caf\u00e9', 'caf\u00e9/#'])
    expect(matched(tree, 'cafe\u0301')).toEqual(['cafe\u0301', 'cafe\u0301/#'])
  })

  test('gives the exact filter first, then by the level of the end, names before +', () => {
    const tree = treeOf('+/+/+', '+/b/+', 'a/+/+', '+/b/#', 'a/b/#', 'a/#', '#', 'a/b/c', '+/b/c')
    expect(matched(tree, 'a/b/c')).toEqual([
      'a/b/c',
      '#',
      'a/#',
      'a/b/#',
      '+/b/#',
      'a/+/+',
      '+/b/c',
      '+/b/+',
      '+/+/+',
    ])
  })

  test.each(['a', 'a/+', 'a/#'])(
    'gives the values of %s in the order of adding, and appends them',
    (filter) => {
      const tree = new TopicTree<number>()
      for (const value of [3, 1, 2, 1]) tree.add(filter, value)
      const into = [9]
      tree.match(filter === 'a/+' ? 'a/x' : 'a', into)
      expect(into).toEqual([9, 3, 1, 2, 1])
      expect(tree.remove(filter, 1)).toBe(true)
      into.length = 0
      tree.match(filter === 'a/+' ? 'a/x' : 'a', into)
      expect(into).toEqual([3, 2, 1])
      expect(tree.size).toBe(3)
    },
  )

  test('removes nothing that was not added', () => {
    const tree = treeOf('a', 'a/+', 'a/b/#')
    for (const filter of ['b', 'a/#', '#', '+', 'a/b/+', 'a/b/c/#', 'x/+/y']) {
      expect(tree.remove(filter, filter)).toBe(false)
    }
    for (const filter of ['a', 'a/+', 'a/b/#']) expect(tree.remove(filter, 'other')).toBe(false)
    expect(tree.size).toBe(3)
    expect(tree.nodeCount).toBe(5)
    expect(matched(tree, 'a/b')).toEqual(['a/b/#', 'a/+'])
  })

  test('keeps the values that a filter shares its way with', () => {
    const tree = treeOf('a/+', 'a/+/c/d/+', 'a/#')
    expect(tree.nodeCount).toBe(6)
    expect(tree.remove('a/+/c/d/+', 'a/+/c/d/+')).toBe(true)
    expect(tree.nodeCount).toBe(3)
    expect(tree.remove('a/+', 'a/+')).toBe(true)
    expect(tree.nodeCount).toBe(2)
    expect(matched(tree, 'a/b')).toEqual(['a/#'])
    expect(tree.remove('a/#', 'a/#')).toBe(true)
    expect(tree.nodeCount).toBe(0)
  })

  test('values may be anything, undefined and arrays too', () => {
    const tree = new TopicTree<unknown>()
    const list = [1, 2]
    for (const value of [undefined, list, null]) {
      tree.add('a', value)
      tree.add('+', value)
    }
    expect(matched(tree, 'a')).toEqual([undefined, list, null, undefined, list, null])
    expect(tree.remove('+', undefined)).toBe(true)
    expect(tree.remove('+', undefined)).toBe(false)
    expect(tree.remove('a', list)).toBe(true)
    expect(matched(tree, 'a')).toEqual([undefined, null, list, null])
  })
})

describe('hostile names', () => {
  test.each(['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'then', 'size', '0', '-0', 'NaN'])(
    '%s is a level like others',
    (name) => {
      const empty = treeOf('other/+', 'x')
      expect(matched(empty, name)).toEqual([])
      expect(matched(empty, `${name}/${name}`)).toEqual([])
      const tree = treeOf(name, `${name}/+`, `+/${name}`, `${name}/${name}/#`)
      expect(matched(tree, name)).toEqual([name])
      expect(matched(tree, `${name}/${name}`)).toEqual([`${name}/${name}/#`, `${name}/+`, `+/${name}`])
      for (const filter of matched(tree, `${name}/${name}`)) tree.remove(filter, filter)
      expect(matched(tree, `${name}/${name}`)).toEqual([])
    },
  )

  test('a name that looks like a wildcard gets no value twice', () => {
    const tree = treeOf('+', '#', '+/+', 'a/+')
    expect(matched(tree, '+')).toEqual(['#', '+'])
    expect(matched(tree, '#')).toEqual(['#', '+'])
    expect(matched(tree, 'a/#')).toEqual(['#', 'a/+', '+/+'])
  })

  test('65,536 levels overflow nothing, neither in names nor in filters', () => {
    const deepName = '/'.repeat(65_535)
    const deepFilters = [
      `${'/'.repeat(65_534)}#`,
      `${'+/'.repeat(32_767)}#`,
      `${'/'.repeat(65_534)}+`,
      '#',
      deepName,
    ]
    const tree = treeOf(...deepFilters)
    // The second # has 32,767 levels before it, the first has 65,534; the + one level less than the name.
    expect(matched(tree, deepName)).toEqual([deepName, '#', deepFilters[1], deepFilters[0]])
    expect(matched(tree, `${'/'.repeat(65_534)}a`)).toEqual([
      '#',
      deepFilters[1],
      deepFilters[0],
      deepFilters[2],
    ])
    expect(tree.nodeCount).toBe(1 + 1 + 65_535 + 32_767)
    for (const filter of deepFilters) expect(tree.remove(filter, filter)).toBe(true)
    expect(tree.nodeCount).toBe(0)
  })

  test('+ and # at every level cost no more than the nodes that fit', () => {
    // 2,000 levels with a name and a + side by side, and a # at each: 2 to the 2,000th ways through.
    const tree = new TopicTree<number>()
    const depth = 2_000
    const names: string[] = []
    for (let length = 0; length < depth; length++) {
      tree.add([...names, '#'].join('/'), length)
      tree.add([...names, '+'].join('/'), depth + length)
      names.push('a')
    }
    const name = names.join('/')
    const found = matched(tree, name)
    expect(found).toHaveLength(depth + 1)
    expect(found.at(-1)).toBe(2 * depth - 1)
    expect(matched(tree, `${name}/b`)).toHaveLength(depth)
  })

  test('a full tree of names and + is walked without a value twice', () => {
    const depth = 12
    const tree = new TopicTree<number>()
    for (let bits = 0; bits < 2 ** depth; bits++) {
      const levels = Array.from({ length: depth }, (_, at) => ((bits >> at) & 1 ? '+' : 'a'))
      tree.add(levels.join('/'), bits)
    }
    const all = Array.from({ length: 2 ** depth }, (_, bits) => bits)
    const name = Array.from({ length: depth }, () => 'a').join('/')
    expect(inOrder(matched(tree, name))).toEqual(all)
    expect(matched(tree, `${name}/a`)).toEqual([])
    // The list of the last match is undone: the next one sees nothing of it.
    expect(inOrder(matched(tree, name))).toEqual(all)
    expect(inOrder(matched(tree, name.replace('a', 'b')))).toEqual(all.filter((bits) => bits & 1))
  })
})

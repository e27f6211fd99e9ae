// Filters → values, and for a topic name the values of all filters that match it (4.7).
//
// Filters without wildcards lie in one map and are found by the whole name. Those with wildcards form a
// tree with a node for each level; `+` is a field and `#` a list of the node that it stands below, never
// keys, so that no level of a name can be taken for a wildcard:
//
//    root ──'a'──► node ──+──► node ending: a/+
//      │            └ below: a/#
//      └ below: #
//
// A match walks down level by level with the list of all nodes that fit so far. A node has one parent, so
// it is in that list once at most: the work is bounded by the nodes that fit, never by the ways to get
// there, and 65,536 levels need no stack. The list is linked through the nodes themselves, so a match
// allocates the level strings that it looks up and nothing else. Values go into the caller's array instead
// of to a callback: whoever is called may add, remove and match again.
//
// Rejected: recursion (depth), splitting the name (an array and all its levels, even where `#` has already
// said everything), plain objects as nodes (`__proto__` is a fine level).

import { hasWildcard } from './topic.ts'

/** Filters must be valid; a shared subscription is kept under its `deliveryFilter`. */
export class TopicTree<T> {
  readonly #exact = new Map<string, T[]>()
  #root: TopicNode<T> | undefined
  #size = 0

  /** How many values there are. */
  get size(): number {
    return this.#size
  }

  /** How much is kept for them: one for each filter without wildcards and each node. For finding leaks. */
  get nodeCount(): number {
    const nodes = this.#root === undefined ? [] : [this.#root]
    for (const node of nodes) {
      if (node.plus !== undefined) nodes.push(node.plus)
      for (const child of node.children?.values() ?? []) nodes.push(child)
    }
    return this.#exact.size + nodes.length
  }

  /** A value that is added twice under one filter is there twice. */
  add(filter: string, value: T): void {
    this.#size++
    if (!hasWildcard(filter)) {
      const values = this.#exact.get(filter)
      if (values === undefined) this.#exact.set(filter, [value])
      else values.push(value)
      return
    }
    const { levels, list } = path(filter)
    let node = (this.#root ??= new TopicNode())
    for (const level of levels) node = node.childMade(level)
    const values = node[list]
    if (values === undefined) node[list] = [value]
    else values.push(value)
  }

  /** Removes the value once, compared with `===`. `false`: it was not there under this filter. */
  remove(filter: string, value: T): boolean {
    const removed = hasWildcard(filter) ? this.#removeNode(filter, value) : this.#removeExact(filter, value)
    if (removed) this.#size--
    return removed
  }

  /**
   * Appends to `into` the values of every filter that matches `topic`. Those of one filter come in the order
   * in which they were added. Between filters: first the one without wildcards, then the others by the
   * level at which they end, `#` not counted; there a name comes before `+`, compared from the left.
   */
  match(topic: string, into: T[]): void {
    if (this.#exact.size > 0) append(this.#exact.get(topic), into)
    let nodes = this.#root
    // A leading wildcard does not match a name with a leading $ [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1].
    let wildcardsMatch = topic.charCodeAt(0) !== 0x24
    for (let start = 0; nodes !== undefined && start <= topic.length; ) {
      const slash = topic.indexOf('/', start)
      const end = slash < 0 ? topic.length : slash
      nodes = descend(nodes, topic, start, end, wildcardsMatch, into)
      wildcardsMatch = true
      start = end + 1
    }
    while (nodes !== undefined) {
      append(nodes.below, into) // 4.7.1.2: `a/#` matches `a` too
      append(nodes.ending, into)
      nodes = nodes.unlink()
    }
  }

  #removeExact(filter: string, value: T): boolean {
    const values = this.#exact.get(filter)
    if (values === undefined || !take(values, value)) return false
    if (values.length === 0) this.#exact.delete(filter)
    return true
  }

  /** On the way down it remembers the last node that something else needs too; all below it goes at once. */
  #removeNode(filter: string, value: T): boolean {
    const { levels, list } = path(filter)
    let keeper: TopicNode<T> | undefined
    let branch = ''
    let node = this.#root
    for (const level of levels) {
      if (node === undefined) return false
      if (node.isKeeper()) {
        keeper = node
        branch = level
      }
      node = node.child(level)
    }
    const values = node?.[list]
    if (node === undefined || values === undefined || !take(values, value)) return false
    if (values.length > 0) return true
    node[list] = undefined
    if (!node.isEmpty()) return true
    if (keeper === undefined) this.#root = undefined
    else keeper.cut(branch)
    return true
  }
}

class TopicNode<T> {
  ending: T[] | undefined = undefined
  below: T[] | undefined = undefined
  plus: TopicNode<T> | undefined = undefined
  children: Map<string, TopicNode<T>> | undefined = undefined
  /** The next in the list of a running match; `undefined` at all other times. */
  next: TopicNode<T> | undefined = undefined

  child(level: string): TopicNode<T> | undefined {
    return level === '+' ? this.plus : this.children?.get(level)
  }

  childMade(level: string): TopicNode<T> {
    const existing = this.child(level)
    if (existing !== undefined) return existing
    const made = new TopicNode<T>()
    if (level === '+') this.plus = made
    else (this.children ??= new Map()).set(level, made)
    return made
  }

  cut(level: string): void {
    if (level === '+') this.plus = undefined
    else this.children?.delete(level)
    if (this.children?.size === 0) this.children = undefined
  }

  isEmpty(): boolean {
    return this.#hasNoValues() && this.plus === undefined && this.children === undefined
  }

  /** Whether it is needed without one of its branches. */
  isKeeper(): boolean {
    const branches = (this.children?.size ?? 0) + (this.plus === undefined ? 0 : 1)
    return branches > 1 || !this.#hasNoValues()
  }

  unlink(): TopicNode<T> | undefined {
    const next = this.next
    this.next = undefined
    return next
  }

  #hasNoValues(): boolean {
    return this.ending === undefined && this.below === undefined
  }
}

/** One level down: takes the values of each `#` on the way and links the children that fit. */
function descend<T>(
  nodes: TopicNode<T>,
  topic: string,
  start: number,
  end: number,
  wildcardsMatch: boolean,
  into: T[],
): TopicNode<T> | undefined {
  let first: TopicNode<T> | undefined
  let last: TopicNode<T> | undefined
  let level: string | undefined
  for (let node: TopicNode<T> | undefined = nodes; node !== undefined; node = node.unlink()) {
    if (node.children !== undefined) {
      level ??= topic.slice(start, end)
      const child = node.children.get(level)
      if (child !== undefined) {
        if (last === undefined) first = child
        else last.next = child
        last = child
      }
    }
    if (!wildcardsMatch) continue
    append(node.below, into)
    if (node.plus !== undefined) {
      if (last === undefined) first = node.plus
      else last.next = node.plus
      last = node.plus
    }
  }
  return first
}

/** The levels down to the node, and which of its lists the filter's values are in. */
function path(filter: string): { levels: string[]; list: 'ending' | 'below' } {
  const levels = filter.split('/')
  if (levels.at(-1) !== '#') return { levels, list: 'ending' }
  levels.pop()
  return { levels, list: 'below' }
}

function append<T>(values: readonly T[] | undefined, into: T[]): void {
  if (values === undefined) return
  for (const value of values) into.push(value)
}

function take<T>(values: T[], value: T): boolean {
  const index = values.indexOf(value)
  if (index < 0) return false
  values.splice(index, 1)
  return true
}

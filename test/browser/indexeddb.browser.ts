// What the pages and workers of the IndexedDB store's tests run: stores by their names, and the ways to spoil what is
// below them. Errors come back as values, because those of a page lose their code on the way.
import { MqttError } from '../../src/core/errors.ts'
import { type IndexedDBStoreOptions, indexedDBStore } from '../../src/store/indexeddb.ts'
import type { SessionStore } from '../../src/store/store.ts'
import { bytesOf, runStoreCase, STORE_CASES, textOf } from '../support/store-cases.ts'

export interface Failure {
  readonly name: string
  readonly code: string
  readonly message: string
  /** The name of the error behind it. */
  readonly cause: string
}

/** Each case of the contract with a store of its own, all at once. */
export function runContract(options: IndexedDBStoreOptions): Promise<readonly (readonly [string, string])[]> {
  const runs = STORE_CASES.map(async (storeCase, index): Promise<readonly [string, string]> => {
    const result = runStoreCase(storeCase, { store: () => indexedDBStore(`case ${index}`, options) })
    return [storeCase.title, await result.then(() => 'passes', String)]
  })
  return Promise.all(runs)
}

const stores = new Map<string, SessionStore>()

function storeOf(name: string): SessionStore {
  const store = stores.get(name)
  if (store === undefined) throw new Error(`there is no store "${name}" here`)
  return store
}

/** The texts of the batches. A name keeps its store, the first one. */
export async function open(
  name: string,
  options?: IndexedDBStoreOptions,
): Promise<readonly string[] | Failure> {
  const store = stores.get(name) ?? indexedDBStore(name, options)
  stores.set(name, store)
  try {
    return Array.from(await store.open(), textOf)
  } catch (error) {
    return failureOf(error)
  }
}

export function append(name: string, text: string): Promise<'done' | Failure> {
  return outcomeOf(() => storeOf(name).append(bytesOf(text)))
}

export function replace(name: string, text: string): Promise<'done' | Failure> {
  return outcomeOf(() => storeOf(name).replace(bytesOf(text)))
}

export function close(name: string): Promise<'done' | Failure> {
  return outcomeOf(() => storeOf(name).close())
}

/** Calls that do not wait for each other, with one buffer that is changed meanwhile. */
export async function hurry(name: string): Promise<readonly string[]> {
  const store = indexedDBStore(name)
  const buffer = bytesOf('a')
  const calls = [store.open(), store.append(buffer)]
  buffer.set(bytesOf('b'))
  calls.push(store.append(buffer), store.append(bytesOf('c')), store.close(), store.open())
  buffer.fill(0)
  const results = await Promise.all(calls)
  await store.close()
  return [...(results.at(-1) ?? [])].map(textOf)
}

/** What `indexedDBStore` throws, or the durability of what it returns. */
export function create(
  name: string,
  options?: IndexedDBStoreOptions,
): string | (Failure & { field: string }) {
  try {
    return indexedDBStore(name, options).durability
  } catch (error) {
    return {
      ...failureOf(error),
      field: error instanceof Error && 'field' in error ? String(error.field) : '',
    }
  }
}

/** Appends numbers without end and tells each one that is promised, by the console. */
export async function appendForEver(name: string, first = 0): Promise<void> {
  for (let number = first; ; number++) {
    await storeOf(name).append(bytesOf(String(number)))
    console.log(`done ${number}`)
  }
}

/** As where a page is no secure context. */
export function removeLocks(): void {
  Object.defineProperty(navigator, 'locks', { value: undefined })
}

export function removeIndexedDB(): void {
  Object.defineProperty(globalThis, 'indexedDB', { value: undefined })
}

/** As in a frame that may not store anything. */
export function forbidIndexedDB(): void {
  IDBFactory.prototype.open = () => {
    throw new DOMException('not in this frame', 'SecurityError')
  }
}

/** As in a browser from before there was a choice. */
export function removeDurability(): void {
  Object.defineProperty(IDBTransaction.prototype, 'durability', { value: undefined })
}

/** Long time limits pass a hundred times as fast. */
export function hurryTimeLimits(): void {
  const original = globalThis.setTimeout
  const hurried = (callback: () => void, delay = 0): number =>
    original(callback, delay >= 10_000 ? delay / 100 : delay)
  Object.assign(globalThis, { setTimeout: hurried })
}

/** Computes without a pause: nothing of this place's other work is done meanwhile. */
export function compute(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}

let durabilities: (string | undefined)[] = []

/** Notes what durability is asked of each transaction. */
export function watchDurability(): void {
  wrap(IDBDatabase.prototype, 'transaction', (call, _names, _mode, options) => {
    durabilities.push((options as IDBTransactionOptions).durability)
    return call()
  })
}

export function watchedDurabilities(): readonly (string | undefined)[] {
  const watched = durabilities
  durabilities = []
  return watched
}

/** The next batch that is written finds no way: the browser refuses the request, or aborts its transaction. */
export function failNextWrite(how: 'throw' | 'abort'): void {
  const unwrap = wrap(IDBObjectStore.prototype, 'add', (call) => {
    unwrap()
    if (how === 'throw') throw new DOMException('it is too large', 'DataError')
    const request = call() as IDBRequest
    request.transaction?.abort()
    return request
  })
}

/** Puts something round a method of the browser's, until it is called back. */
function wrap(
  prototype: object,
  name: string,
  around: (call: () => unknown, ...args: readonly unknown[]) => unknown,
): () => void {
  const original: unknown = Reflect.get(prototype, name)
  if (typeof original !== 'function') throw new Error(`there is no method ${name}`)
  Reflect.set(prototype, name, function (this: unknown, ...args: readonly unknown[]) {
    return around(() => Reflect.apply(original, this, args), ...args)
  })
  return () => void Reflect.set(prototype, name, original)
}

/** Changes a store's database behind its back, without its version. */
export async function spoil(
  name: string,
  how: 'missing' | 'foreign key' | 'foreign value' | 'foreign tables' | 'newer',
): Promise<void> {
  if (how === 'foreign tables') return (await connect(name, 1, 'something')).close()
  if (how === 'newer') return (await connect(name, 2)).close()
  const database = await connect(name)
  const transaction = database.transaction('batches', 'readwrite')
  const batches = transaction.objectStore('batches')
  if (how === 'missing') batches.delete(1)
  else if (how === 'foreign key') batches.put(new Uint8Array(1), 'key')
  else batches.put('text', 1)
  await new Promise((resolve) => transaction.addEventListener('complete', resolve))
  database.close()
}

/** The keys of a store's batches, as the database has them. */
export async function keys(name: string): Promise<readonly IDBValidKey[]> {
  const database = await connect(name)
  const request = database.transaction('batches').objectStore('batches').getAllKeys()
  await new Promise((resolve) => request.addEventListener('success', resolve))
  database.close()
  return request.result
}

/** Removes a store's database, as soon as nobody has it open. */
export function remove(name: string): Promise<void> {
  const request = indexedDB.deleteDatabase(labelOf(name))
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve())
    request.addEventListener('error', () => reject(request.error))
  })
}

let isHeld = false

/** Holds a store's database by a transaction, until `letGo`. */
export async function hold(name: string): Promise<void> {
  const database = await connect(name)
  isHeld = true
  const batches = database.transaction('batches', 'readwrite').objectStore('batches')
  return new Promise((resolve) => {
    const goOn = (): void => {
      resolve()
      if (isHeld) batches.count().addEventListener('success', goOn)
      else database.close()
    }
    batches.count().addEventListener('success', goOn)
  })
}

export function letGo(): void {
  isHeld = false
}

function labelOf(name: string): string {
  return `petrel:${name}`
}

function connect(name: string, version?: number, table?: string): Promise<IDBDatabase> {
  const request = indexedDB.open(labelOf(name), version)
  request.addEventListener('upgradeneeded', () => {
    if (table !== undefined) request.result.createObjectStore(table)
  })
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(request.error))
  })
}

async function outcomeOf(work: () => Promise<void>): Promise<'done' | Failure> {
  try {
    await work()
    return 'done'
  } catch (error) {
    return failureOf(error)
  }
}

function failureOf(error: unknown): Failure {
  if (!(error instanceof MqttError)) throw error
  const { name, code, message, cause } = error
  return { name, code, message, cause: cause instanceof Error ? cause.name : '' }
}

/**
 * A session in IndexedDB: for pages and workers of browsers.
 *
 * A database per store, named `petrel:` and the store's name, with two tables: `batches`, numbered from 1 without a
 * gap, and `owner`, one row that says who has it open. IndexedDB's transactions are whole or not there, so what is
 * gained of a batch needs no checksum, and a batch that is not like that was changed from outside.
 *
 * One owner, whether tab or worker:
 *
 * - A Web Lock says who lives: the browser takes it from a tab that ends, whatever the reason. A tab that is loaded
 *   again may for a moment meet its former self; hence the patience before a store counts as used.
 * - Web Locks are for secure contexts alone, and the pages of many devices come by plain HTTP. There the owner that
 *   the row names is asked over a BroadcastChannel, and loses the store when it does not answer.
 * - Either way each transaction looks at the row: an owner that was taken for dead and wakes up, and what a dead one
 *   had under way, change nothing any more.
 */

import { MqttError, textOf, UsageError } from '../core/errors.ts'
import type { SessionStore } from './store.ts'

export interface IndexedDBStoreOptions {
  /**
   * What survives once `append` has resolved. `'process'` (the default): a crash of the page and of the browser,
   * because the system has the bytes (IndexedDB's durability `relaxed`). `'power'`: a loss of power, too, because the
   * disk has them (`strict`); a browser that cannot promise it is told by `open`, which rejects.
   *
   * Neither survives what takes the whole database: a private window that is closed, a user who clears the site's
   * data, a browser in want of space. Against the last, `navigator.storage.persist()` asks for it to be kept.
   */
  readonly durability?: 'process' | 'power' | undefined
}

const FORMAT = 1
const BATCHES = 'batches'
const OWNER = 'owner'
/** The key of the owner's row, which holds the owner's token, or nothing but '' when nobody has the store open. */
const TOKEN = 0
const FREE = ''
/** ms until a store that another one has open counts as used. */
const PATIENCE = 2_000
const QUESTIONS = 4
/** ms that the browser may take for anything: other code may hold the database. */
const TIME_LIMIT = 30_000

/**
 * Keeps a session in IndexedDB, by a name. One store at a time may have it open, in whichever tab or worker; a second
 * one is refused after two seconds, and one that was left is free at once.
 *
 * Pages that are not a secure context (plain HTTP, not from this machine) have no Web Locks. There a store that was
 * left without `close` is free after two seconds, and a tab that the browser has frozen, or that computes for that
 * long without a pause, loses the store to another one that wants it: its next `append` rejects with `store-in-use`.
 *
 * @throws UsageError
 */
export function indexedDBStore(name: string, options: IndexedDBStoreOptions = {}): SessionStore {
  const { durability = 'process' } = options
  if (typeof name !== 'string' || name === '') {
    throw new UsageError('invalid-argument', 'name', 'must be a name that is not empty')
  }
  if (durability !== 'process' && durability !== 'power') {
    const message = `must be 'process' or 'power', not ${String(durability)}`
    throw new UsageError('invalid-option', 'durability', message)
  }
  return new DatabaseStore(name, durability)
}

class DatabaseStore implements SessionStore {
  readonly durability: 'process' | 'power'
  readonly #name: string
  /** Of the database, of the lock and of the channel. */
  readonly #label: string
  #last: Promise<unknown> = Promise.resolve()
  #database: IDBDatabase | undefined = undefined
  /** While open. */
  #ownership: Ownership | undefined = undefined
  #batches = 0

  constructor(name: string, durability: 'process' | 'power') {
    this.durability = durability
    this.#name = name
    this.#label = `petrel:${name}`
  }

  open(): Promise<Iterable<Uint8Array>> {
    return this.#next('be opened', () => this.#open())
  }

  async append(records: Uint8Array): Promise<void> {
    const own = records.slice() // not the whole of a larger buffer, and as it is now
    return this.#next('take a batch', () => this.#append(own))
  }

  async replace(records: Uint8Array): Promise<void> {
    const own = records.slice()
    return this.#next('be rewritten', () => this.#replace(own))
  }

  close(): Promise<void> {
    return this.#next('be closed', () => this.#close())
  }

  /** One call after the other, whoever calls. */
  #next<T>(what: string, work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work).catch((error: unknown) => {
      throw this.#failure(what, error)
    })
    this.#last = result.catch(() => undefined) // the caller has it
    return result
  }

  async #open(): Promise<Iterable<Uint8Array>> {
    if (this.#ownership !== undefined) {
      const message = `the session store "${this.#name}" is open; close it before it is opened again`
      throw new MqttError('store-in-use', message)
    }
    if (globalThis.indexedDB === undefined) throw new Error(NO_DATABASE)
    const ownership = await requestOwnership(this.#label)
    if (ownership === undefined) throw this.#inUse()
    this.#ownership = ownership
    try {
      return await this.#claim(ownership)
    } catch (error) {
      await this.#close()
      throw error
    }
  }

  /** Makes the store ours and reads it, in one transaction, which waits for those of former owners. */
  async #claim(ownership: Ownership): Promise<Iterable<Uint8Array>> {
    const database = await this.#connect()
    for (let dead: unknown = FREE; ; ) {
      let keys: readonly IDBValidKey[] = []
      let values: readonly unknown[] = []
      let owner: unknown
      let isOurs = false
      await this.#transact(database, (batches, owners, refuse) => {
        read(owners.get(TOKEN), (result) => {
          owner = result
          isOurs = ownership.isExclusive || owner === undefined || owner === FREE || owner === dead
          // That it is a change has a use besides: what is read here is then as durable as what is written.
          if (isOurs) owners.put(ownership.token, TOKEN)
        })
        read(batches.getAllKeys(), (result) => (keys = result))
        read(batches.getAll(), (result) => {
          values = result
          if (!areBatches(values) || keys.some((key, index) => key !== index + 1)) refuse(this.#damaged())
        })
      })
      this.#batches = values.length
      if (isOurs && areBatches(values)) return values
      if (dead !== FREE || (await isAlive(this.#label, owner))) throw this.#inUse()
      dead = owner
    }
  }

  async #append(records: Uint8Array): Promise<void> {
    const { token } = this.#opened()
    if (this.#database === undefined) throw new Error('the browser has closed the database, or cleared it')
    await this.#transact(this.#database, (batches, owners, refuse) => {
      read(owners.get(TOKEN), (owner) => {
        if (owner !== token) refuse(this.#inUse())
      })
      batches.add(records, this.#batches + 1)
    })
    this.#batches += 1
  }

  /** Also in a new database, when the browser has taken the old one: what is written is everything. */
  async #replace(records: Uint8Array): Promise<void> {
    const { token } = this.#opened()
    await this.#transact(this.#database ?? (await this.#connect()), (batches, owners, refuse) => {
      read(owners.get(TOKEN), (owner) => {
        if (owner !== token && owner !== undefined) refuse(this.#inUse())
      })
      owners.put(token, TOKEN)
      batches.clear()
      batches.add(records, 1)
    })
    this.#batches = 1
  }

  async #close(): Promise<void> {
    const ownership = this.#ownership
    const database = this.#database
    this.#ownership = undefined
    this.#database = undefined
    if (ownership === undefined) return
    if (database !== undefined) {
      const free = this.#transact(database, (_, owners) => {
        read(owners.get(TOKEN), (owner) => {
          if (owner === ownership.token) owners.put(FREE, TOKEN)
        })
      })
      await free.catch(() => undefined) // the next owner will find out that nobody answers
      database.close()
    }
    ownership.release()
  }

  #opened(): Ownership {
    if (this.#ownership === undefined) throw new Error('it is not open')
    return this.#ownership
  }

  async #connect(): Promise<IDBDatabase> {
    const database = await connect(this.#label)
    const { objectStoreNames: tables } = database
    if (!tables.contains(BATCHES) || !tables.contains(OWNER)) {
      database.close()
      throw this.#damaged()
    }
    const forget = (): void => {
      database.close()
      if (this.#database === database) this.#database = undefined
    }
    database.onversionchange = forget // somebody wants to remove it, or to bring it to a newer format
    database.onclose = forget
    this.#database = database
    return database
  }

  /** Resolves when what `work` asked for is as durable as promised; rejects when nothing of it was done. */
  #transact(database: IDBDatabase, work: Work): Promise<void> {
    const durability = this.durability === 'power' ? 'strict' : 'relaxed'
    return inTime((resolve, reject) => {
      const transaction = database.transaction([BATCHES, OWNER], 'readwrite', { durability })
      if (durability === 'strict' && transaction.durability !== 'strict') {
        throw new Error("this browser cannot promise durability 'power'; 'process' is what it has")
      }
      let refusal: unknown
      const refuse = (error: unknown): void => {
        refusal = error
        transaction.abort()
      }
      transaction.oncomplete = () => resolve()
      transaction.onabort = () => reject(refusal ?? transaction.error ?? new Error('the browser gave up'))
      try {
        work(transaction.objectStore(BATCHES), transaction.objectStore(OWNER), refuse)
      } catch (error) {
        refuse(error) // else the half of it would be done
      }
      return () => {
        try {
          refuse(new Error(TOO_SLOW))
        } catch (error) {
          reject(error) // too late to be undone: it is there later, or not
        }
      }
    })
  }

  #inUse(): MqttError {
    const todo = 'close that one first, or use a store of another name'
    return new MqttError(
      'store-in-use',
      `the session store "${this.#name}" is used by another tab or worker; ${todo}`,
    )
  }

  #damaged(): MqttError {
    const todo = 'delete the database to begin anew'
    return new MqttError(
      'store-damaged',
      `the database "${this.#label}" does not hold what a session store writes; ${todo}`,
    )
  }

  #failure(what: string, error: unknown): MqttError {
    if (error instanceof MqttError) return error
    const name = error instanceof Error ? error.name : ''
    if (name === 'VersionError') {
      const message = `the session store "${this.#name}" was written by a newer version, which can read it`
      return new MqttError('store-newer', message, error)
    }
    const message = `the session store "${this.#name}" could not ${what}: ${textOf(error)}${ADVICE[name] ?? ''}`
    return new MqttError('store-failed', message, error)
  }
}

/** What is asked for in a transaction; `refuse` undoes all of it. */
type Work = (batches: IDBObjectStore, owners: IDBObjectStore, refuse: (error: unknown) => void) => void

const NO_DATABASE = 'there is no IndexedDB here; memoryStore() lives as long as the page'
const TOO_SLOW = `the browser did not do it within ${TIME_LIMIT / 1000} s; other code may hold the database`
const ADVICE: Readonly<Record<string, string>> = {
  QuotaExceededError: '. The site may store no more until some of its data is deleted.',
}

function read<T>(request: IDBRequest<T>, handle: (result: T) => void): void {
  request.onsuccess = () => handle(request.result)
}

function areBatches(values: readonly unknown[]): values is readonly Uint8Array[] {
  return values.every((value) => value instanceof Uint8Array)
}

function connect(label: string): Promise<IDBDatabase> {
  return inTime((resolve, reject) => {
    const request = indexedDB.open(label, FORMAT)
    let isLate = false
    request.onupgradeneeded = () => {
      request.result.createObjectStore(BATCHES)
      request.result.createObjectStore(OWNER)
    }
    request.onsuccess = () => (isLate ? request.result.close() : resolve(request.result))
    request.onerror = () => reject(request.error)
    return () => {
      isLate = true
      reject(new Error(TOO_SLOW))
    }
  })
}

/** @param start begins, and returns what gives it up */
function inTime<T>(
  start: (resolve: (result: T) => void, reject: (error: unknown) => void) => () => void,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const result = new Promise<T>((resolve, reject) => {
    timer = setTimeout(start(resolve, reject), TIME_LIMIT)
  })
  return result.finally(() => clearTimeout(timer))
}

/** The right to a store; it ends with the tab. */
interface Ownership {
  readonly token: string
  /** Whether a lock says that nobody else lives. */
  readonly isExclusive: boolean
  release(): void
}

/** Resolves with undefined when another one has it. */
async function requestOwnership(label: string): Promise<Ownership | undefined> {
  const token = `${Date.now()}-${Math.random()}`
  const locks: LockManager | undefined = navigator.locks
  if (locks !== undefined) {
    return new Promise((resolve, reject) => {
      const hold = (): Promise<void> =>
        new Promise((release) => resolve({ token, isExclusive: true, release }))
      locks.request(label, { signal: AbortSignal.timeout(PATIENCE) }, hold).catch((error: unknown) => {
        if (error instanceof Error && error.name === 'TimeoutError') resolve(undefined)
        else reject(error)
      })
    })
  }
  const channel = new BroadcastChannel(label)
  channel.onmessage = ({ data }) => {
    if (data === questionTo(token)) channel.postMessage(answerOf(token))
  }
  return { token, isExclusive: false, release: () => channel.close() }
}

/** Whether an owner answers. It is asked more than once, lest a time of computing here counts as its silence. */
async function isAlive(label: string, token: unknown): Promise<boolean> {
  const channel = new BroadcastChannel(label)
  let timer: ReturnType<typeof setTimeout> | undefined
  const answered = new Promise<boolean>((resolve) => {
    channel.onmessage = ({ data }) => {
      if (data === answerOf(token)) resolve(true)
    }
    const ask = (asked: number): void => {
      if (asked === QUESTIONS) return resolve(false)
      channel.postMessage(questionTo(token))
      timer = setTimeout(ask, PATIENCE / QUESTIONS, asked + 1)
    }
    ask(0)
  })
  return answered.finally(() => {
    clearTimeout(timer)
    channel.close()
  })
}

function questionTo(token: unknown): string {
  return `${String(token)}?`
}

function answerOf(token: unknown): string {
  return `${String(token)}!`
}

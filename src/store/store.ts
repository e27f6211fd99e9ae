/**
 * Where a session is kept beyond the process. A few methods on opaque bytes, so that a file, IndexedDB,
 * `node:sqlite` or Redis are small to write, and a simulator can crash between any two of them.
 *
 * One store holds one session. Calls come one at a time: the next begins when the one before has settled.
 */

/**
 * What a resolved `append` means: `'process'` survives a crash of the process, `'power'` a loss of power,
 * `'none'` neither.
 */
export type Durability = 'none' | 'process' | 'power'

export interface SessionStore {
  readonly durability: Durability
  /**
   * Locks the store, recovers it and returns all that was appended since the last `replace`, batch by batch.
   *
   * @throws MqttError `store-in-use`, `store-newer`, `store-damaged`, `store-failed`
   */
  open(): Promise<Iterable<Uint8Array>>
  /** Adds a batch, whole or not at all. */
  append(records: Uint8Array): Promise<void>
  /** Puts a batch in the place of everything, in one step. */
  replace(records: Uint8Array): Promise<void>
  /** Unlocks. Harmless when repeated. */
  close(): Promise<void>
}

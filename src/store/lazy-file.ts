/**
 * `fileStore` as the package gives it: checked at once, loaded when it is opened. A program without a store does not
 * pay for Node's file, crypto and compression modules: importing the package costs a third.
 */

import { MqttError } from '../core/errors.ts'
import type { FileStore, FileStoreOptions } from './file.ts'
import { checkFileStore } from './file-options.ts'

/**
 * Keeps a session in a folder, which is created when it is missing. One store at a time may have it open.
 * The folder must not be shared by machines, nor by containers.
 *
 * @throws UsageError
 */
export function fileStore(path: string, options: FileStoreOptions = {}): FileStore {
  return new LazyFileStore(path, options)
}

class LazyFileStore implements FileStore {
  readonly durability: 'process' | 'power'
  readonly #path: string
  #store: FileStore | undefined = undefined

  constructor(path: string, options: FileStoreOptions) {
    this.durability = checkFileStore(path, options)
    this.#path = path
  }

  get dropped(): FileStore['dropped'] {
    return this.#store?.dropped
  }

  async open(): Promise<Iterable<Uint8Array>> {
    const { fileStore: load } = await import('./file.ts')
    this.#store ??= load(this.#path, { durability: this.durability })
    return this.#store.open()
  }

  async append(records: Uint8Array): Promise<void> {
    await this.#opened().append(records)
  }

  async replace(records: Uint8Array): Promise<void> {
    await this.#opened().replace(records)
  }

  async close(): Promise<void> {
    await this.#store?.close()
  }

  #opened(): FileStore {
    if (this.#store === undefined) throw new MqttError('store-failed', 'the session store is not open')
    return this.#store
  }
}

// What every session store must do, whatever it is made of: one set of tests, run against each of them. A store
// that its users write themselves can be held against it, too. The cases themselves need no test runner.
import { describe, it } from 'vitest'
import { runStoreCase, STORE_CASES, type StorePlace } from './store-cases.ts'

export { bytesOf, type StorePlace, textOf } from './store-cases.ts'

export function describeStoreContract(
  name: string,
  createPlace: () => StorePlace | Promise<StorePlace>,
): void {
  describe(name, () => {
    for (const storeCase of STORE_CASES) {
      it(storeCase.title, async () => runStoreCase(storeCase, await createPlace()))
    }
  })
}

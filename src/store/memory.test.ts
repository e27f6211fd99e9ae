// The store in memory is a store.
import { describeStoreContract } from '../../test/support/store-contract.ts'
import { memoryStore } from './memory.ts'

describeStoreContract('memoryStore', () => {
  const store = memoryStore()
  return { store: () => store }
})

/** What a file store is told, checked before anything is opened. */

import { UsageError } from '../core/errors.ts'

/** Returns the durability. @throws UsageError */
export function checkFileStore(
  path: string,
  { durability = 'process' }: { readonly durability?: 'process' | 'power' | undefined },
): 'process' | 'power' {
  if (typeof path !== 'string' || path === '') {
    throw new UsageError('invalid-argument', 'path', 'must be the path of a folder')
  }
  if (durability !== 'process' && durability !== 'power') {
    const message = `must be 'process' or 'power', not ${String(durability)}`
    throw new UsageError('invalid-option', 'durability', message)
  }
  return durability
}

/** For what takes no signal of its own: hooks of the user's. */

/** What `work` gives, or the signal's reason, whichever comes first. */
export function unlessAborted<Value>(work: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const handleAbort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', handleAbort)
    work()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener('abort', handleAbort))
  })
}

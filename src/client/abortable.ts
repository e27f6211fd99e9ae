/**
 * Whoever waits may lose interest. What was begun goes on.
 *
 * A signal may live as long as the program: nothing is left on it when what it was given for is over.
 */

/** Calls back when the signal, if there is one, aborts. Returns how to stop listening. */
export function whenAborted(signal: AbortSignal | undefined, aborted: (reason: unknown) => void): () => void {
  const handleAbort = (): void => aborted(signal?.reason)
  signal?.addEventListener('abort', handleAbort)
  return () => signal?.removeEventListener('abort', handleAbort)
}

/** The same promise, rejected early when the signal, if there is one, aborts. */
export function abortable<Result>(
  promise: Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    promise.finally(whenAborted(signal, reject)).then(resolve, reject)
  })
}

/** For what takes no signal of its own: hooks of the user's. */

/** What `work` gives, or the signal's reason, whichever comes first. */
export async function unlessAborted<Value>(work: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
  signal.throwIfAborted()
  let handleAbort = (): void => {}
  const aborted = new Promise<never>((_resolve, reject) => {
    handleAbort = () => reject(signal.reason as Error)
    signal.addEventListener('abort', handleAbort)
  })
  try {
    return await Promise.race([work(), aborted])
  } finally {
    signal.removeEventListener('abort', handleAbort)
  }
}

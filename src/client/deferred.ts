/** A promise and the two ends to settle it by; `Promise.withResolvers` is not on all runtimes yet. */

export interface Deferred<Result> {
  readonly promise: Promise<Result>
  readonly resolve: (result: Result) => void
  readonly reject: (error: unknown) => void
}

export function createDeferred<Result>(): Deferred<Result> {
  let resolve!: Deferred<Result>['resolve']
  let reject!: Deferred<Result>['reject']
  const promise = new Promise<Result>((res, rej) => {
    resolve = res
    reject = rej
  })
  return { promise, resolve, reject }
}

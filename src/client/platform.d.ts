/**
 * The only platform names that the client may use: Node, Bun, Deno and browsers all have them, and each is
 * declared no wider than all of them agree on. The timers, `performance` and `console` are for runtime.ts alone.
 */

declare class Event {
  constructor(type: string)
  readonly type: string
}

declare class AbortSignal {
  private constructor()
  readonly aborted: boolean
  readonly reason: unknown
  throwIfAborted(): void
  addEventListener(type: 'abort', listener: (event: Event) => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: (event: Event) => void): void
}

declare class AbortController {
  readonly signal: AbortSignal
  abort(reason?: unknown): void
}

declare class URL {
  constructor(url: string, base?: string | URL)
  readonly href: string
  /** With its colon. */
  readonly protocol: string
  /** IPv6 addresses in brackets. */
  readonly hostname: string
  readonly host: string
  port: string
  pathname: string
  search: string
  hash: string
  username: string
  password: string
  toString(): string
}

declare class WritableStream<Chunk = unknown> {
  constructor(
    sink?: {
      start?: () => void | PromiseLike<void>
      write?: (chunk: Chunk) => void | PromiseLike<void>
      close?: () => void | PromiseLike<void>
      abort?: (reason?: unknown) => void | PromiseLike<void>
    },
    strategy?: { highWaterMark?: number; size?: (chunk: Chunk) => number },
  )
  readonly locked: boolean
  abort(reason?: unknown): Promise<void>
  close(): Promise<void>
}

declare const performance: { now(): number }
declare const console: { error(...values: unknown[]): void }
/** A number in browsers; elsewhere an object that can `ref()` and `unref()`. */
declare function setTimeout(callback: () => void, delay: number): number | object
declare function clearTimeout(timer: number | object): void
declare function queueMicrotask(callback: () => void): void

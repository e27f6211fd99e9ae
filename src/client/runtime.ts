/**
 * The only door to the clock, to timers and to randomness. Whoever replaces it owns time: the simulator runs
 * an hour of reconnecting in milliseconds, and the same seed gives the same run.
 *
 * Some of its members differ between platforms, and the entry file passes them in: what runs after all microtasks,
 * what runs after input that already waits, and memory that need not be cleared. Looking for `process` or
 * `setImmediate` here was rejected: which platform it is, is decided in the entry files alone.
 */

/** The longest delay that the timers of the platforms know; more than that, they would fire at once. */
const MAXIMUM_DELAY = 2_147_483_647

export interface Timer {
  /** The callback will not run any more. Harmless when repeated, and after it has run. */
  cancel(): void
  /** Whether the waiting timer keeps the process alive; where the platform knows of that. It does by default. */
  setKeepsAlive?(keepsAlive: boolean): void
}

export interface Runtime {
  /** Monotonic time in ms from any origin, fractions included: for every interval and deadline. */
  now(): number
  /** Milliseconds since 1970: only for what must survive the process, such as message expiry in a store. */
  wallTime(): number
  /** From 0 up to but not including 1. For jitter and names, not for secrets. */
  random(): number
  /**
   * Runs `callback` once, `delay` ms from now or later, never from within this call. Input that already waits
   * when the time has come is read first, so that bytes that have arrived count before a time-out. More than
   * 2³¹ − 1 ms is cut to that, so the callback must look at the clock; with `Infinity` nothing is set.
   */
  setTimer(callback: () => void, delay: number): Timer
  /** Runs `callback` after all microtasks, those that they queue included, and before the loop waits for input. */
  defer(callback: () => void): void
  /** Copies bytes into memory that begins with them, where there is a faster way than `slice`. */
  readonly copy?: ((bytes: Uint8Array) => Uint8Array) | undefined
  /** The last resort for errors that nobody listens for. */
  report(error: unknown): void
}

/**
 * The platform's runtime.
 *
 * @param defer as `Runtime.defer`: `process.nextTick` after the microtasks, a message channel in browsers
 * @param afterPoll runs its callback once input that waits was read: `setImmediate` where there is one
 * @param copy as `Runtime.copy`
 */
export function createRuntime(
  defer: (callback: () => void) => void,
  afterPoll?: (callback: () => void) => void,
  copy?: (bytes: Uint8Array) => Uint8Array,
): Runtime {
  return {
    now: () => performance.now(),
    wallTime: () => Date.now(),
    random: () => Math.random(),
    setTimer: (callback, delay) =>
      delay === Infinity ? NEVER : new PlatformTimer(callback, delay, afterPoll),
    defer,
    copy,
    report: (error) => console.error(error),
  }
}

const NEVER: Timer = Object.freeze({ cancel: () => {} })

class PlatformTimer implements Timer {
  readonly #handle: ReturnType<typeof setTimeout>
  #cancelled = false

  constructor(callback: () => void, delay: number, afterPoll: ((callback: () => void) => void) | undefined) {
    const run = (): void => {
      if (!this.#cancelled) callback()
    }
    const fire = afterPoll === undefined ? run : () => afterPoll(run)
    // A fraction is rounded up: a timer that is early by less than a millisecond would only be set again.
    this.#handle = setTimeout(fire, Math.min(Math.max(Math.ceil(delay), 0), MAXIMUM_DELAY))
  }

  cancel(): void {
    this.#cancelled = true
    clearTimeout(this.#handle)
  }

  setKeepsAlive(keepsAlive: boolean): void {
    const handle: unknown = this.#handle
    if (!canKeepAlive(handle)) return
    if (keepsAlive) handle.ref()
    else handle.unref()
  }
}

function canKeepAlive(handle: unknown): handle is { ref(): unknown; unref(): unknown } {
  return typeof handle === 'object' && handle !== null && 'ref' in handle && 'unref' in handle
}

/**
 * Time in a browser.
 *
 * A page that nobody looks at has its timers held back: to one second at first, after some minutes to one minute,
 * which is longer than many a keep-alive. Timers of workers are not held back, so while the page is hidden a worker
 * of a few lines keeps the same time. The page's own timer always runs as well, and whichever comes first counts:
 * where workers or `blob:` are forbidden (Content-Security-Policy `worker-src`), timers are late, and nothing breaks.
 *
 * In a worker there is no page to be hidden, and its timers are in time.
 */

import { createRuntime, type Runtime, type Timer } from './client/runtime.ts'

export function createBrowserRuntime(): Runtime {
  const { defer } = new Turns()
  const plain = createRuntime(defer, defer)
  if (globalThis.document === undefined) return plain
  const helper = new TimerWorker(defer)
  return { ...plain, setTimer: (callback, delay) => new PageTimer(plain, helper, callback, delay) }
}

/**
 * Runs callbacks after all microtasks: each as a message to ourselves, the task that comes soonest and that no
 * browser holds back. The channel is made at the first use, so that importing the package does nothing.
 */
class Turns {
  #callbacks: (() => void)[] = []
  #port: MessagePort | undefined = undefined

  readonly defer = (callback: () => void): void => {
    this.#callbacks.push(callback)
    this.#port ??= this.#open()
    this.#port.postMessage(undefined)
  }

  #open(): MessagePort {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => this.#callbacks.shift()?.()
    return port2
  }
}

/** A timer of the page, and the same one in the worker while the page is hidden. */
class PageTimer implements Timer {
  /** Monotonic ms. */
  readonly due: number
  readonly #timer: Timer
  readonly #helper: TimerWorker
  readonly #callback: () => void
  #isDone = false

  constructor(runtime: Runtime, helper: TimerWorker, callback: () => void, delay: number) {
    this.due = runtime.now() + delay
    this.#callback = callback
    this.#helper = helper
    this.#timer = runtime.setTimer(() => this.ring(), delay)
    if (delay !== Infinity) helper.add(this)
  }

  ring(): void {
    if (this.#isDone) return
    this.cancel()
    this.#callback()
  }

  cancel(): void {
    this.#isDone = true
    this.#timer.cancel()
    this.#helper.remove(this)
  }
}

/** A message is the number of a timer and its delay in ms; a negative one takes the timer back, also when it has rung. */
const WORKER = `const timers = new Map()
onmessage = ({ data: [id, delay] }) => {
  clearTimeout(timers.get(id))
  timers.delete(id)
  if (delay >= 0) timers.set(id, setTimeout(postMessage, delay, id))
}`

/** The longest delay that timers know. */
const MAXIMUM_DELAY = 2_147_483_647

class TimerWorker {
  /** Those that run: one for each pool, and one for each connection whose output stands still. */
  readonly #timers = new Map<PageTimer, number>()
  readonly #afterInput: (callback: () => void) => void
  #worker: Worker | undefined = undefined
  #nextId = 0
  #isListening = false
  #isLeaving = false

  constructor(afterInput: (callback: () => void) => void) {
    this.#afterInput = afterInput
  }

  add(timer: PageTimer): void {
    if (!this.#isListening) this.#listen()
    this.#nextId += 1
    this.#timers.set(timer, this.#nextId)
    if (document.hidden) this.#set(timer, this.#nextId)
  }

  remove(timer: PageTimer): void {
    const id = this.#timers.get(timer)
    if (id === undefined) return
    this.#timers.delete(timer)
    this.#worker?.postMessage([id, -1])
  }

  #listen(): void {
    this.#isListening = true
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) this.#stop()
      else for (const [timer, id] of this.#timers) this.#set(timer, id)
    })
    // A page in the back/forward cache stands still; a worker could keep it out of there.
    // `visibilitychange` comes behind this event.
    addEventListener('pagehide', () => {
      this.#isLeaving = true
      this.#stop()
    })
    addEventListener('pageshow', () => {
      this.#isLeaving = false
    })
  }

  #set(timer: PageTimer, id: number): void {
    if (this.#isLeaving) return
    this.#worker ??= this.#start()
    const delay = Math.min(Math.max(Math.ceil(timer.due - performance.now()), 0), MAXIMUM_DELAY)
    this.#worker?.postMessage([id, delay])
  }

  /** Undefined where it is forbidden; some browsers say so here, others by an `error` that needs no answer. */
  #start(): Worker | undefined {
    const url = URL.createObjectURL(new Blob([WORKER], { type: 'text/javascript' }))
    try {
      const worker = new Worker(url)
      worker.onmessage = ({ data }: MessageEvent<number>) => this.#handleDue(data)
      worker.onerror = (event) => event.preventDefault()
      return worker
    } catch {
      return undefined
    } finally {
      URL.revokeObjectURL(url)
    }
  }

  #stop(): void {
    this.#worker?.terminate()
    this.#worker = undefined
  }

  #handleDue(id: number): void {
    for (const [timer, its] of this.#timers) if (its === id) this.#afterInput(() => timer.ring())
  }
}

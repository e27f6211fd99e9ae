// A transport in Chromium, and what it tells, for tests that hold the other end.
import { createBrowserRuntime } from '../../src/runtime.browser.ts'
import { createDial } from '../../src/transport/dial.browser.ts'
import type { Transport, TransportReceiver } from '../../src/transport/transport.ts'

const dial = createDial({ runtime: createBrowserRuntime() })

/** Notes what is told; `data` with the bytes as text. */
class Notes implements TransportReceiver {
  readonly told: string[] = []
  received = ''
  written = 0
  /** Whether something was told from within a call to the transport. */
  isNested = false
  isCalling = false
  check: () => void = () => {}
  onData: () => void = () => {}

  handleData(chunk: Uint8Array, kept: boolean): void {
    this.received += String.fromCharCode(...chunk)
    this.#note(kept ? 'data' : 'lent data')
    this.onData()
  }

  handleWritten(total: number): void {
    if (total < this.written) this.#note('fewer bytes written')
    this.written = total
    this.#note('written')
  }

  handleDrain(): void {
    this.#note('drain')
  }

  handleEnd(error?: unknown): void {
    this.#note(error instanceof Error ? `end: ${error.name}: ${error.message}` : 'end')
  }

  #note(text: string): void {
    if (this.isCalling) this.isNested = true
    if (this.told.at(-1) !== text) this.told.push(text)
    this.check()
  }
}

const notes = new Notes()
let transport: Transport | undefined

export async function open(url: string, start = true): Promise<void> {
  transport = await dial({ url: new URL(url), options: {} }, new AbortController().signal)
  if (start) call(() => transport?.start(notes))
}

export function startReading(): void {
  call(() => transport?.start(notes))
}

/** @returns what `write` said each time */
export function write(size: number, times: number): readonly boolean[] {
  return Array.from(
    { length: times },
    () => call(() => transport?.write(new Uint8Array(size).fill(0x78))) ?? false,
  )
}

export function pause(): void {
  call(() => transport?.pause())
}

/** Takes one chunk, then pauses again. */
export function resumeForOne(): void {
  notes.onData = () => {
    notes.onData = () => {}
    pause()
  }
  resume()
}

export function resume(): void {
  call(() => transport?.resume())
}

export function end(): void {
  call(() => transport?.end())
}

export function destroy(): void {
  call(() => transport?.destroy())
}

export async function untilReceived(length: number): Promise<string> {
  await until(() => notes.received.length >= length)
  return notes.received
}

export async function untilWritten(total: number): Promise<void> {
  await until(() => notes.written >= total)
}

/** Resolves with all that was told, repeats left out. */
export async function untilTold(start: string): Promise<readonly string[]> {
  await until(() => notes.told.some((text) => text.startsWith(start)))
  return notes.told
}

export function received(): string {
  return notes.received
}

export function told(): readonly string[] {
  return notes.told
}

export function wasNested(): boolean {
  return notes.isNested
}

/** What a `transform` of this kind leads to: the text of the error, or the URL that was dialed is the test's to see. */
export async function transformed(
  url: string,
  kind: 'token' | 'headers' | 'throw' | 'http',
): Promise<string> {
  const transform = async (request: { url: URL }): Promise<{ url: URL; headers: Record<string, string> }> => {
    if (kind === 'throw') throw new Error('no token')
    const changed = new URL(request.url)
    if (kind === 'http') changed.protocol = 'http:'
    changed.searchParams.set('token', 'abc')
    return { url: changed, headers: kind === 'headers' ? { authorization: 'abc' } : {} }
  }
  const target = { url: new URL(url), options: { websocket: { transform } } }
  return failureOf(dial(target, new AbortController().signal))
}

/** Gives up after so many ms. @returns the text of the error */
export async function aborted(url: string, delay: number): Promise<string> {
  const controller = new AbortController()
  setTimeout(() => controller.abort(new Error('given up')), delay)
  return failureOf(dial({ url: new URL(url), options: {} }, controller.signal))
}

async function failureOf(dialing: Promise<Transport>): Promise<string> {
  try {
    const opened = await dialing
    opened.destroy()
    return ''
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function call<Value>(work: () => Value): Value {
  notes.isCalling = true
  try {
    return work()
  } finally {
    notes.isCalling = false
  }
}

function until(isSo: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    notes.check = () => {
      if (isSo()) resolve()
    }
    notes.check()
  })
}

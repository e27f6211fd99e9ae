// A tab of Chromium that can be hidden and frozen. Those that playwright opens are visible always, whatever is in front
// of them, so this one speaks Chrome's own protocol, through the browser's session.
import type { Browser, CDPSession } from 'playwright-core'

export class Tab {
  readonly #session: CDPSession
  readonly #targetId: string
  readonly #sessionId: string
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #asked = 0
  /** The one that is in front while this one is hidden. */
  #cover: string | undefined = undefined

  private constructor(session: CDPSession, targetId: string, sessionId: string) {
    this.#session = session
    this.#targetId = targetId
    this.#sessionId = sessionId
    session.on('Target.receivedMessageFromTarget', (event) => {
      if (event.sessionId !== sessionId) return
      const answer = JSON.parse(event.message) as Answer
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
  }

  static async open(browser: Browser, url: string): Promise<Tab> {
    const session = await browser.newBrowserCDPSession()
    const { targetId } = await session.send('Target.createTarget', { url: 'about:blank' })
    const { sessionId } = await session.send('Target.attachToTarget', { targetId, flatten: false })
    const tab = new Tab(session, targetId, sessionId)
    await tab.#send('Page.navigate', { url })
    const isReady = `new Promise(function look(resolve) {
      'program' in globalThis ? resolve() : setTimeout(look, 1, resolve)
    })`
    await tab.#evaluate(isReady)
    return tab
  }

  /** Calls one of the program's functions. Rejects as it does, with the text of the error. */
  async call<Result>(name: string, ...args: readonly unknown[]): Promise<Result> {
    const values = args.map((value) => (value === undefined ? 'undefined' : JSON.stringify(value))).join()
    return (await this.#evaluate(`program[${JSON.stringify(name)}](${values})`)) as Result
  }

  /** Resolves when the page knows. */
  async hide(): Promise<void> {
    const { targetId } = await this.#session.send('Target.createTarget', { url: 'about:blank' })
    this.#cover = targetId
    await this.#untilIs('hidden')
  }

  async show(): Promise<void> {
    await this.#session.send('Target.activateTarget', { targetId: this.#targetId })
    if (this.#cover !== undefined) await this.#session.send('Target.closeTarget', { targetId: this.#cover })
    this.#cover = undefined
    await this.#untilIs('visible')
  }

  /** As a browser does with a page that was hidden for long; only a hidden one can be frozen. */
  async freeze(): Promise<void> {
    await this.#send('Page.setWebLifecycleState', { state: 'frozen' })
  }

  async resume(): Promise<void> {
    await this.#send('Page.setWebLifecycleState', { state: 'active' })
  }

  async close(): Promise<void> {
    for (const targetId of [this.#cover, this.#targetId])
      if (targetId !== undefined) await this.#session.send('Target.closeTarget', { targetId })
    await this.#session.detach()
  }

  async #untilIs(state: 'hidden' | 'visible'): Promise<void> {
    await this.#evaluate(`new Promise((resolve) => {
      const look = () => document.visibilityState === '${state}' && resolve()
      document.addEventListener('visibilitychange', look)
      look()
    })`)
  }

  async #evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = (await this.#send('Runtime.evaluate', {
      expression,
      awaitPromise: true,
      returnByValue: true,
    })) as Evaluated
    if (exceptionDetails === undefined) return result.value
    throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text)
  }

  async #send(method: string, params: object = {}): Promise<unknown> {
    this.#asked += 1
    const id = this.#asked
    const answered = new Promise<Answer>((resolve) => this.#waiting.set(id, resolve))
    const message = JSON.stringify({ id, method, params })
    await this.#session.send('Target.sendMessageToTarget', { sessionId: this.#sessionId, message })
    const { result, error } = await answered
    if (error !== undefined) throw new Error(`${method}: ${error.message}`)
    return result
  }
}

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly message: string }
}

interface Evaluated {
  readonly result: { readonly value?: unknown }
  readonly exceptionDetails?: {
    readonly text: string
    readonly exception?: { readonly description?: string }
  }
}

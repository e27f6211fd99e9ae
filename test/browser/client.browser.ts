// Clients in a page or a worker, by number, for tests that are on the other side: what happens to each is kept here
// until it is asked for.
import {
  type Client,
  type ClientOptions,
  createClient,
  MqttError,
  type QoS,
} from '../../src/index.browser.ts'
import { createBrowserRuntime } from '../../src/runtime.browser.ts'

interface Held {
  readonly client: Client
  readonly events: string[]
  readonly messages: Received[]
  check: () => void
}

interface Received {
  readonly text: string
  readonly qos: QoS
}

export interface Failure {
  readonly name: string
  readonly code: string
  readonly phase: string | undefined
  readonly message: string
}

const EVENTS = ['connected', 'connectFailed', 'disconnected', 'interrupted', 'resumed', 'closed'] as const

const all: Held[] = []

function held(index: number): Held {
  const found = all[index]
  if (found === undefined) throw new Error(`there is no client ${index}`)
  return found
}

/** @returns its number */
export function create(url: string, options: ClientOptions): number {
  const one: Held = { client: createClient(url, options), events: [], messages: [], check: () => {} }
  for (const name of EVENTS) {
    one.client.on(name, () => {
      one.events.push(name)
      one.check()
    })
  }
  return all.push(one) - 1
}

export async function connect(index: number): Promise<{ version: string; sessionPresent: boolean }> {
  const { protocolVersion, sessionPresent } = await held(index).client.connect()
  return { version: protocolVersion, sessionPresent }
}

export function stateOf(index: number): string {
  return held(index).client.state
}

export function countOf(index: number, event: string): number {
  return held(index).events.filter((name) => name === event).length
}

/** Resolves when it has happened so often. */
export function until(index: number, event: string, count: number): Promise<void> {
  return untilSo(index, () => countOf(index, event) >= count)
}

export async function subscribe(index: number, filter: string, qos: QoS): Promise<void> {
  const one = held(index)
  await one.client.subscribe(filter, { qos }, (message) => {
    one.messages.push({ text: message.text(), qos: message.qos })
    one.check()
  })
}

export async function publish(index: number, topic: string, text: string, qos: QoS): Promise<void> {
  await held(index).client.publish(topic, text, { qos })
}

/** All that has come, when as many have. */
export async function received(index: number, count: number): Promise<readonly Received[]> {
  const one = held(index)
  await untilSo(index, () => one.messages.length >= count)
  return one.messages
}

/** Publishes each size at each QoS to itself. @returns `QoS size` of what came back as it was sent, sorted */
export async function roundTrips(
  index: number,
  topic: string,
  sizes: readonly number[],
): Promise<readonly string[]> {
  const { client } = held(index)
  const came: string[] = []
  let check = (): void => {}
  await client.subscribe(topic, { qos: 2 }, ({ payload, qos }) => {
    const isSame = payload.every((byte, at) => byte === byteAt(payload.length, at))
    came.push(`${qos} ${payload.length}${isSame ? '' : ' damaged'}`)
    check()
  })
  const sent = sizes.flatMap((size) => {
    const payload = Uint8Array.from({ length: size }, (_, at) => byteAt(size, at))
    return ([0, 1, 2] as const).map((qos) => client.publish(topic, payload, { qos }))
  })
  await Promise.all(sent)
  await new Promise<void>((resolve) => {
    check = () => {
      if (came.length >= sent.length) resolve()
    }
    check()
  })
  return came.toSorted()
}

export function ping(index: number): Promise<number> {
  return held(index).client.ping()
}

/** How many PINGREQs it has sent. */
export function pingsOf(index: number): number {
  return held(index).client.statistics.packetsOut.pingreq ?? 0
}

/** How many SUBSCRIBEs it has sent. */
export function subscriptionsSent(index: number): number {
  return held(index).client.statistics.packetsOut.subscribe ?? 0
}

export async function disconnect(index: number): Promise<void> {
  await held(index).client.disconnect()
}

/** Why there is no client, or no connection. */
export async function failure(url: string, options: ClientOptions): Promise<Failure | undefined> {
  try {
    const client = createClient(url, options)
    await client.connect()
    client.destroy()
    return undefined
  } catch (error) {
    if (!(error instanceof MqttError)) throw error
    const { name, code, message } = error
    return { name, code, message, phase: 'phase' in error ? String(error.phase) : undefined }
  }
}

const rung: { readonly name: string; readonly lateBy: number }[] = []

/**
 * Sets two timers of the page and two of ours, `gap` ms apart, as a program does that works in a chain of timers: it is
 * those that a browser holds back for longest.
 */
export async function setTimers(delay: number, gap: number): Promise<void> {
  const runtime = createBrowserRuntime()
  const start = performance.now()
  const ring = (name: string, after: number) => (): void => {
    rung.push({ name, lateBy: performance.now() - start - after })
  }
  const chain = (links: number, work: () => void): unknown =>
    links === 0 ? work() : setTimeout(() => chain(links - 1, work), 0)
  await new Promise<void>((resolve) =>
    chain(10, () => {
      setTimeout(ring('first of the page', delay), delay)
      setTimeout(ring('second of the page', delay + gap), delay + gap)
      runtime.setTimer(ring('first', delay), delay)
      runtime.setTimer(ring('cancelled', delay), delay).cancel()
      runtime.setTimer(ring('second', delay + gap), delay + gap)
      resolve()
    }),
  )
}

/** The timers that have rung, in order: all, or those that were late by less. */
export function timersRung(mostLate: number = Infinity): readonly string[] {
  return rung.filter(({ lateBy }) => lateBy < mostLate).map(({ name }) => name)
}

/** As a browser does, whose emulation tells pages only. */
export function tellOnline(): void {
  globalThis.dispatchEvent(new Event('online'))
}

function untilSo(index: number, isSo: () => boolean): Promise<void> {
  const one = held(index)
  return new Promise((resolve) => {
    one.check = () => {
      if (isSo()) resolve()
    }
    one.check()
  })
}

function byteAt(size: number, at: number): number {
  return (size * 31 + at * 7) & 0xff
}

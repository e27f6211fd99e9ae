/**
 * The stage of the demo: two clients over real TCP, the names that they use, and how lines are printed. All names
 * are random and short: several demos may share a broker, and some brokers take only small packets.
 */

import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { type Client, type ClientOptions, connect } from '../src/index.ts'
import { watchSocket } from './sockets.ts'

export interface Stage {
  readonly url: string
  readonly protocol: '3.1.1' | '5'
  readonly publisher: Client
  readonly subscriber: Client
  readonly publisherSocket: Socket
  readonly subscriberSocket: Socket
  /** The first level of all topics. */
  readonly prefix: string
  readonly signal: AbortSignal
}

type Options = Pick<ClientOptions, 'clientId' | 'connectTimeout' | 'reconnect'>

/** For clients whose session ends with their connection. */
export function briefly(clientId: string, protocolVersion: '3.1.1' | '5'): ClientOptions {
  return { ...common(clientId), protocolVersion }
}

/** @param signal aborts when the demo's time is over */
export async function setStage(url: string, protocol: '3.1.1' | '5', signal: AbortSignal): Promise<Stage> {
  const prefix = `petrel-${randomBytes(3).toString('hex')}`
  const publisher = await watchSocket(() => connect(url, lasting(`${prefix}-pub`, protocol)))
  try {
    const subscriber = await watchSocket(() => connect(url, lasting(`${prefix}-sub`, protocol)))
    return {
      url,
      protocol,
      publisher: publisher.result,
      publisherSocket: publisher.socket,
      subscriber: subscriber.result,
      subscriberSocket: subscriber.socket,
      prefix,
      signal,
    }
  } catch (error) {
    publisher.result.destroy()
    throw error
  }
}

/** Leaves nothing behind on the broker, not even an empty session. */
export async function clearStage({ url, protocol, publisher, subscriber }: Stage): Promise<void> {
  for (const client of [publisher, subscriber]) {
    if (protocol === '5') await client.disconnect({ drain: 500, properties: { sessionExpiryInterval: 0 } })
    else {
      await client.disconnect({ drain: 500 })
      await (await connect(url, briefly(client.clientId, protocol))).disconnect()
    }
  }
}

/** One line for each thing that is shown. */
export function printStep(mark: '✓' | '✗' | '–', name: string, text: string): void {
  console.log(`  ${mark} ${name.padEnd(11)} ${text}`)
}

/** The session outlives its connection. */
function lasting(clientId: string, protocol: '3.1.1' | '5'): ClientOptions {
  return protocol === '5'
    ? { ...common(clientId), protocolVersion: '5', sessionExpiryInterval: 60 }
    : { ...common(clientId), protocolVersion: '3.1.1', cleanSession: false }
}

function common(clientId: string): Options {
  return { clientId, connectTimeout: 5_000, reconnect: { min: 50, max: 500 } }
}

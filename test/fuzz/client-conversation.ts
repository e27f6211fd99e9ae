// A whole client with a malicious server, in virtual time. Whatever comes, its promises settle, its errors are ours,
// what it writes is legal, and when it is destroyed nothing of it is left.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Client } from '../../src/client/client.ts'
import type { ClientOptions, CommonOptions } from '../../src/client/client-options.ts'
import type { Message } from '../../src/client/message.ts'
import { ClientPool } from '../../src/client/pool.ts'
import { ConnectionError, MqttError, ProtocolError } from '../../src/core/errors.ts'
import type { ProtocolVersion, QoS } from '../../src/core/packets/types.ts'
import { memoryStore } from '../../src/store/memory.ts'
import { VirtualRuntime } from '../../src/testing/virtual-runtime.ts'
import type { Transport } from '../../src/transport/transport.ts'
import { type ConversationResult, Tally } from './conversation-result.ts'
import { Line } from './line.ts'
import { MaliciousServer } from './malicious-server.ts'
import { MaliciousTransport } from './malicious-transport.ts'
import { Model } from './model.ts'
import { Random } from './random.ts'

const TOPICS = ['a', 'a/b', 'sensors/1', '$x', 'é'] as const
const FILTERS = ['a', 'a/#', '+/b', '#', '$share/g/a', 'c/d/e'] as const
const MAXIMUM_PACKET_SIZE = 10_000
/** ms after which nothing of a destroyed client may be left; handlers that are slow have ended long before. */
const AFTERLIFE = 300_000

/** What nobody has caught, in this process; who runs conversations fills it. */
export const uncaught: unknown[] = []

export async function converseWithClient(seed: number): Promise<ConversationResult> {
  const conversation = new ClientConversation(seed)
  try {
    await conversation.run()
  } catch (error) {
    conversation.tally.fail(error)
  }
  for (const error of uncaught.splice(0)) conversation.tally.fail(error)
  return conversation.tally.result(seed, 'client')
}

class ClientConversation {
  readonly tally = new Tally()
  readonly #random: Random
  readonly #version: ProtocolVersion
  readonly #runtime: VirtualRuntime
  readonly #model: Model
  readonly #server: MaliciousServer
  readonly #client: Client
  readonly #handler: 'quick' | 'slow' | 'throwing' | 'republishing'
  readonly #unsettled = new Map<Promise<unknown>, string>()
  #transport: MaliciousTransport | undefined = undefined

  constructor(seed: number) {
    const random = new Random(seed)
    this.#random = random
    this.#version = random.chance(0.6) ? '5' : '3.1.1'
    this.#runtime = new VirtualRuntime({ seed })
    const onUnknownSession = random.pick(['adopt', 'close'] as const)
    this.#model = new Model({ onUnknownSession, acknowledged: 'unseen' })
    this.#server = new MaliciousServer(random, this.#version, this.#model)
    this.#handler = random.pick(['quick', 'quick', 'slow', 'throwing', 'republishing'])
    const dial = (): Promise<Transport> => this.#dial()
    const pool = new ClientPool(undefined, { runtime: this.#runtime, createDial: () => dial })
    const options = clientOptions(random, this.#version, onUnknownSession)
    this.#client = pool.createClient('mqtt://malicious', options)
    this.#listen()
  }

  async run(): Promise<void> {
    this.#connect()
    await this.#runtime.settle()
    for (let steps = this.#random.between(15, 40); steps > 0; steps--) {
      await this.#step()
      await this.#runtime.settle()
      if (this.tally.failures.length > 0) return
    }
    await this.#finish()
  }

  async #step(): Promise<void> {
    const random = this.#random
    const choice = random.below(100)
    const client = this.#client
    if (client.state === 'stopped') this.#connect()
    else if (choice < 50 && client.state === 'waiting') await this.#runtime.advance(random.pick([100, 2_000]))
    else if (choice < 50) await this.#hear()
    else if (choice < 68) this.#publish()
    else if (choice < 78) this.#ask()
    else if (choice < 90) await this.#runtime.advance(random.pick([1, 100, 2_000, 40_000]))
    else if (choice < 94) this.#transport?.close(random.pick([undefined, new Error('reset')]))
    else if (choice < 96) client.reconnectNow()
    else if (choice === 96) this.#watch('disconnect', client.disconnect({ drain: random.pick([0, 500]) }))
    else if (choice === 97) client.destroy()
    else if (choice === 98) this.#read()
  }

  async #hear(): Promise<void> {
    const transport = this.#transport
    const isLeaving = this.#client.state === 'disconnecting'
    const judgement = transport?.speak()
    await this.#runtime.settle()
    if (transport === undefined || judgement === undefined) return
    this.tally.heard += judgement.packets
    const { verdict, why } = judgement
    if (verdict === 'violation') this.tally.violations += 1
    if ((verdict === 'violation' || verdict === 'ends') && !transport.isEnding) {
      throw new Error(`the client goes on after ${verdict === 'ends' ? 'the end' : 'a violation'}: ${why}`)
    }
    if (verdict === 'fine' && transport.isEnding && !isLeaving) {
      throw new Error('the client ended what was legal')
    }
  }

  #publish(): void {
    const random = this.#random
    const client = this.#client
    const payload = random.bytes(random.pick([0, 3, 30, 150]))
    const topic = random.pick(TOPICS)
    this.tally.published += 1
    if (random.chance(0.1)) return void client.send(topic, payload)
    const options = {
      qos: random.pick<QoS>([0, 1, 1, 2, 2]),
      retain: random.chance(0.1),
      timeout: random.pick([undefined, 0, 3_000]),
      payload: random.pick(['copied', 'borrowed'] as const),
      signal: random.chance(0.1) ? AbortSignal.abort() : undefined,
    }
    if (random.chance(0.9)) return this.#watch('publish', client.publish(topic, payload, options))
    const messages = [1, 2, 3].map(() => ({ topic, payload, qos: options.qos }))
    this.#watch('publishAll', client.publishAll(messages))
  }

  #ask(): void {
    const random = this.#random
    const client = this.#client
    const filters = [random.pick(FILTERS), random.pick(FILTERS)]
    const options = { qos: random.pick<QoS>([0, 1, 2]), timeout: random.pick([undefined, 3_000]) }
    const handle = (message: Message): void | Promise<void> => this.#handle(message)
    switch (random.below(4)) {
      case 0:
        return this.#watch('unsubscribe', client.unsubscribe(filters))
      case 1:
        return this.#watch('ping', client.ping())
      default:
        return this.#watch('subscribe', client.subscribe(filters, options, handle))
    }
  }

  /** Reads a stream of messages to its end, or leaves it after some. */
  #read(): void {
    const stream = this.#client.messages(this.#random.pick(FILTERS), { qos: 2 })
    const most = this.#random.below(4)
    const read = async (): Promise<void> => {
      let seen = 0
      for await (const message of stream) {
        this.tally.messages += message.qos >= 0 ? 1 : 0
        if (++seen > most) break
      }
    }
    this.#watch('messages', read())
  }

  #connect(): void {
    this.#watch('connect', this.#client.connect())
  }

  #handle(message: Message): void | Promise<void> {
    this.tally.messages += 1
    if (message.payload.length > MAXIMUM_PACKET_SIZE) this.tally.fail(new Error('the payload is too long'))
    if (this.#handler === 'throwing' && this.#random.chance(0.5)) throw new Error('thrown by a handler')
    if (this.#handler === 'republishing') {
      this.#watch('publish', this.#client.publish('again', 'x', { qos: this.#random.pick<QoS>([0, 1, 2]) }))
    }
    if (this.#handler !== 'slow') return undefined
    return new Promise((resolve) => void this.#runtime.setTimer(resolve, this.#random.between(1, 3_000)))
  }

  #listen(): void {
    const client = this.#client
    const expectOurs = (error: unknown): void => {
      if (error !== undefined && !(error instanceof MqttError)) this.tally.fail(error)
      if (error instanceof ProtocolError && error.message.includes('could not be handled'))
        this.tally.fail(error)
    }
    client.on('error', ({ error }) => expectOurs(error))
    client.on('connectFailed', ({ error }) => expectOurs(error))
    client.on('disconnected', ({ error }) => {
      expectOurs(error)
      this.tally.end(error)
    })
    if (this.#random.chance(0.5)) client.on('message', () => void (this.tally.messages += 1))
    if (this.#random.chance(0.2)) client.on('packet', () => {})
  }

  /** The promise must settle, with an error of ours if with one. */
  #watch(what: string, promise: Promise<unknown>): void {
    this.#unsettled.set(promise, what)
    promise.then(
      () => this.#unsettled.delete(promise),
      (error: unknown) => {
        this.#unsettled.delete(promise)
        const isAbort = error instanceof Error && error.name === 'AbortError'
        if (!(error instanceof MqttError) && !isAbort) this.tally.fail(error)
      },
    )
  }

  #dial(): Promise<Transport> {
    const random = this.#random
    if (random.chance(0.05)) {
      return Promise.reject(new ConnectionError('connect-failed', 'no connection', { phase: 'tcp' }))
    }
    this.tally.connections += 1
    this.#model.open()
    this.#server.open()
    const transport = new MaliciousTransport({
      random,
      server: this.#server,
      line: new Line(this.#model, this.#version, MAXIMUM_PACKET_SIZE),
      defer: (task) => this.#runtime.defer(task),
      fail: (error) => this.tally.fail(error),
      wrote: (packets) => void (this.tally.written += packets),
      ended: () => this.#model.close(),
    })
    this.#transport = transport
    return Promise.resolve(transport)
  }

  async #finish(): Promise<void> {
    const client = this.#client
    if (this.#random.chance(0.5)) client.destroy()
    else this.#watch('disconnect', client.disconnect())
    await this.#runtime.advance(AFTERLIFE)
    // Streams that a test reads settle some turns later.
    for (let turn = 0; turn < 5 && this.#unsettled.size > 0; turn++) await nextTurn()
    this.tally.deeds = this.#server.deeds
    if (client.state !== 'stopped') throw new Error(`the client is ${client.state} after its end`)
    if (this.#unsettled.size > 0) {
      throw new Error(`have not settled: ${[...this.#unsettled.values()].join(', ')}`)
    }
    if (this.#transport !== undefined && !this.#transport.isEnding && !this.#transport.isOver) {
      throw new Error('the stream is left open')
    }
    for (const error of this.#runtime.reported) throw error
    if (this.#runtime.timers > 0) throw new Error(`${this.#runtime.timers} timers are left`)
  }
}

function clientOptions(
  random: Random,
  protocolVersion: ProtocolVersion,
  onUnknownSession: 'adopt' | 'close',
): ClientOptions {
  const retryInitialConnect = random.chance(0.8)
  const common: CommonOptions = {
    clientId: 'c',
    keepAlive: random.pick([0, 10, 60]),
    connectTimeout: 5_000,
    operationTimeout: random.pick([0, 10_000]),
    maximumPacketSize: MAXIMUM_PACKET_SIZE,
    maxInflight: random.pick([undefined, 2]),
    retryInitialConnect,
    reconnect: random.pick([undefined, { min: 100, max: 1_000 }]),
    resubscribe: random.pick(['never', 'session-lost', 'always'] as const),
    onSessionLost: random.pick(['resend', 'fail'] as const),
    poisonLimit: random.pick([0, 3]),
    onUnknownSession,
    store: random.chance(0.3) ? memoryStore() : undefined,
  }
  if (protocolVersion === '3.1.1') return { ...common, protocolVersion, cleanSession: random.chance(0.5) }
  return {
    ...common,
    protocolVersion,
    cleanStart: random.chance(0.5),
    sessionExpiryInterval: random.pick([0, 100]),
    receiveMaximum: random.pick([undefined, 5]),
    topicAliasMaximum: random.pick([0, 3]),
    topicAliases: random.pick(['off', 'auto'] as const),
    properties: random.chance(0.1) ? { requestProblemInformation: false } : undefined,
  }
}

import { describe, expect, it } from 'vitest'
import type { Transport, TransportReceiver } from '../transport/transport.ts'
import { type MemoryClock, MemoryNetwork } from './broker-memory.ts'
import { Broker } from './broker/broker.ts'
import { connectOf } from './broker/raw-client.ts'
import { encodePacket } from './broker/server-codec.ts'
import { VirtualRuntime } from './virtual-runtime.ts'

const CONNECT = encodePacket(connectOf('3.1.1'), '3.1.1')
const CONNACK = [0x20, 2, 0, 0]
const PINGREQ = Uint8Array.of(0xc0, 0)
const PINGRESP = [0xd0, 0]
const PUBLISH = Uint8Array.of(0x30, 3, 0, 1, 0x61)

/** Notes all calls. */
class Receiver implements TransportReceiver {
  readonly calls: unknown[] = []
  readonly chunks: { readonly chunk: Uint8Array; readonly kept: boolean }[] = []
  onData: () => void = () => {}

  handleData(chunk: Uint8Array, kept: boolean): void {
    this.calls.push([...chunk])
    this.chunks.push({ chunk, kept })
    this.onData()
  }

  handleWritten(total: number): void {
    this.calls.push(`written ${total}`)
  }

  handleDrain(): void {
    this.calls.push('drain')
  }

  handleEnd(error?: unknown): void {
    this.calls.push(error === undefined ? 'end' : (error as Error).message)
  }

  take(): unknown[] {
    return this.calls.splice(0)
  }
}

function open(network: MemoryNetwork): { transport: Transport; receiver: Receiver } {
  const transport = network.open()
  const receiver = new Receiver()
  transport.start(receiver)
  return { transport, receiver }
}

describe('in memory', () => {
  it('bytes cross when they are flushed, and not before', () => {
    const network = new MemoryNetwork(new Broker())
    const { transport, receiver } = open(network)
    expect(transport.write(CONNECT)).toBe(true)
    transport.write(PINGREQ)
    expect(receiver.take()).toEqual([])
    network.flush()
    expect(receiver.take()).toEqual([`written ${CONNECT.length + 2}`, [...CONNACK, ...PINGRESP]])
    network.flush()
    expect(receiver.take()).toEqual([])
  })

  it('what the receiver writes crosses in the same flush, one call at a time', () => {
    const network = new MemoryNetwork(new Broker())
    const { transport, receiver } = open(network)
    let depth = 0
    receiver.onData = () => {
      depth += 1
      expect(depth).toBe(1)
      if (receiver.calls.length === 2) transport.write(PINGREQ)
      network.flush()
      depth -= 1
    }
    transport.write(CONNECT)
    network.flush()
    expect(receiver.take()).toEqual([
      `written ${CONNECT.length}`,
      CONNACK,
      `written ${CONNECT.length + 2}`,
      PINGRESP,
    ])
  })

  it('what the client receives is lent, and what the test sends stays as it is', () => {
    const broker = new Broker()
    const network = new MemoryNetwork(broker)
    const { transport, receiver } = open(network)
    transport.write(CONNECT)
    network.flush()
    const own = Uint8Array.from(PINGRESP)
    broker.connections[0]?.send(own)
    network.flush()
    expect(receiver.calls.slice(1)).toEqual([CONNACK, PINGRESP])
    expect(receiver.chunks).toEqual([
      { chunk: new Uint8Array(4).fill(0xaa), kept: false },
      { chunk: new Uint8Array(2).fill(0xaa), kept: false },
    ])
    expect([...own]).toEqual(PINGRESP)
  })

  it('goes on after a callback of the test has thrown', () => {
    const broker = new Broker({
      onMessage: () => {
        throw new Error('enough')
      },
    })
    const network = new MemoryNetwork(broker)
    const { transport, receiver } = open(network)
    transport.write(CONNECT)
    network.flush()
    receiver.take()
    transport.write(PUBLISH)
    transport.write(PINGREQ)
    expect(() => network.flush()).toThrow('enough')
    const total = CONNECT.length + PUBLISH.length
    expect(receiver.take()).toEqual([`written ${total}`])
    network.flush()
    expect(receiver.take()).toEqual([`written ${total + 2}`, PINGRESP])
  })

  it('a paused transport reports nothing until it is resumed', () => {
    const network = new MemoryNetwork(new Broker())
    const { transport, receiver } = open(network)
    transport.pause()
    transport.write(CONNECT)
    network.flush()
    expect(receiver.take()).toEqual([`written ${CONNECT.length}`])
    transport.resume()
    expect(receiver.take()).toEqual([])
    network.flush()
    expect(receiver.take()).toEqual([CONNACK])
  })

  it.each(['end', 'destroy'] as const)('%s is reported once, and the broker knows', (how) => {
    const topics: string[] = []
    const broker = new Broker({ onMessage: ({ topic }) => topics.push(topic) })
    const network = new MemoryNetwork(broker)
    const { transport, receiver } = open(network)
    transport.write(CONNECT)
    network.flush()
    receiver.take()
    transport.write(PUBLISH)
    transport[how]()
    transport.write(PINGREQ)
    network.flush()
    transport.destroy()
    network.flush()
    expect(receiver.take().filter((call) => !String(call).startsWith('written'))).toEqual(['end'])
    expect(broker.connections).toEqual([])
    expect(topics).toEqual(how === 'end' ? ['a'] : [])
  })

  it.each([
    ['end', 'end'],
    ['cut', 'the connection was reset'],
  ] as const)('the broker says %s', (how, expected) => {
    const broker = new Broker()
    const network = new MemoryNetwork(broker)
    const { transport, receiver } = open(network)
    transport.write(CONNECT)
    network.flush()
    receiver.take()
    broker.connections[0]?.[how]()
    network.flush()
    network.flush()
    expect(receiver.take()).toEqual([expected])
  })

  it('time passes deadline by deadline', () => {
    const broker = new Broker()
    broker.faults.onSend('pingresp', { nth: 1 }).delay(100)
    const network = new MemoryNetwork(broker)
    const { transport, receiver } = open(network)
    transport.write(encodePacket(connectOf('3.1.1', { keepAlive: 1 }), '3.1.1'))
    transport.write(PINGREQ)
    network.flush()
    receiver.take()
    network.advance(99)
    expect(receiver.take()).toEqual([])
    network.advance(1)
    expect(receiver.take()).toEqual([PINGRESP])
    network.advance(10_000)
    expect(receiver.take()).toEqual(['end'])
    expect(network.now).toBe(10_100)
  })

  it('dial gives a transport, or rejects with the reason of its signal', async () => {
    const network = new MemoryNetwork(new Broker())
    const target = { url: new URL(network.url), options: {} }
    const transport = await network.dial(target, new AbortController().signal)
    transport.write(CONNECT)
    expect(network.broker.connections).toHaveLength(1)
    const reason = new Error('enough')
    await expect(network.dial(target, AbortSignal.abort(reason))).rejects.toBe(reason)
  })

  it('a broker that was stopped goes on with its deadlines, also without connections', async () => {
    const runtime = new VirtualRuntime()
    const broker = new Broker({ sessionExpiryInterval: 10 })
    const { transport } = open(new MemoryNetwork(broker, runtime))
    transport.write(encodePacket(connectOf('3.1.1', { cleanStart: false }), '3.1.1'))
    transport.end()
    await runtime.settle()
    expect([broker.sessions.size, broker.connections.length]).toEqual([1, 0])
    broker.pause()
    await runtime.advance(20_000)
    expect(broker.sessions.size).toBe(1)
    broker.resume()
    await runtime.advance(1)
    expect(broker.sessions.size).toBe(0)
  })

  it('with a clock what is left after a callback has thrown crosses all the same', () => {
    const tasks: (() => void)[] = []
    const clock: MemoryClock = {
      now: () => 0,
      defer: (task) => tasks.push(task),
      setTimer: () => ({ cancel: () => {} }),
    }
    const broker = new Broker({
      onMessage: () => {
        throw new Error('enough')
      },
    })
    const { transport, receiver } = open(new MemoryNetwork(broker, clock))
    for (const chunk of [CONNECT, PUBLISH, PINGREQ]) transport.write(chunk)
    expect(tasks.shift()).toThrow('enough')
    tasks.shift()?.()
    expect(receiver.calls.filter((call) => Array.isArray(call))).toEqual([[...CONNACK, ...PINGRESP]])
    expect(tasks).toEqual([])
  })

  it('with a clock the network runs by itself', () => {
    const tasks: (() => void)[] = []
    const timers: { task: () => void; at: number; cancelled: boolean }[] = []
    let now = 1_000
    const clock: MemoryClock = {
      now: () => now,
      defer: (task) => tasks.push(task),
      setTimer: (task, delay) => {
        const timer = { task, at: now + delay, cancelled: false }
        timers.push(timer)
        return { cancel: () => (timer.cancelled = true) }
      },
    }
    const runTasks = (): void => {
      for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task()
    }
    const broker = new Broker()
    const { transport, receiver } = open(new MemoryNetwork(broker, clock))
    transport.write(encodePacket(connectOf('3.1.1', { keepAlive: 2 }), '3.1.1'))
    transport.write(PINGREQ)
    expect(tasks).toHaveLength(1)
    runTasks()
    expect(receiver.take()).toHaveLength(2)
    now = 2_000
    broker.connections[0]?.send({ type: 'pingresp' })
    runTasks()
    expect(receiver.take()).toEqual([PINGRESP])
    const pending = timers.filter(({ cancelled }) => !cancelled)
    expect(pending.map(({ at }) => at)).toEqual([4_000])
    now = 4_000
    pending[0]?.task()
    runTasks()
    expect(receiver.take()).toEqual(['end'])
  })
})

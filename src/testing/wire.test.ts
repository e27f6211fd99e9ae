import { describe, expect, it } from 'vitest'
import type { Transport, TransportReceiver } from '../transport/transport.ts'
import { Broker } from './broker/broker.ts'
import { connectOf, publishOf } from './broker/raw-client.ts'
import { encodePacket } from './broker/server-codec.ts'
import { VirtualRuntime } from './virtual-runtime.ts'
import { Wire } from './wire.ts'

const CONNECT = encodePacket(connectOf('3.1.1'), '3.1.1')
const PINGREQ = Uint8Array.of(0xc0, 0)
const LARGE = encodePacket(publishOf('t', { payload: new Uint8Array(2_000) }), '3.1.1')

/** Notes all calls, and keeps what it was lent. */
class Receiver implements TransportReceiver {
  readonly calls: string[] = []
  readonly lent: Uint8Array[] = []
  readonly own: Uint8Array[] = []

  handleData(chunk: Uint8Array, kept: boolean): void {
    this.calls.push('data')
    const list = kept ? this.own : this.lent
    list.push(chunk)
  }

  handleWritten(total: number): void {
    this.calls.push(`written ${total}`)
  }

  handleDrain(): void {
    this.calls.push('drain')
  }

  handleEnd(): void {
    this.calls.push('end')
  }
}

async function open(): Promise<{
  wire: Wire
  runtime: VirtualRuntime
  transport: Transport
  receiver: Receiver
}> {
  const runtime = new VirtualRuntime()
  const wire = new Wire(new Broker(), runtime)
  const target = { url: new URL('mqtt://wire'), options: {} }
  const transport = await wire.dialFor(() => {})(target, new AbortController().signal)
  const receiver = new Receiver()
  transport.start(receiver)
  expect(transport.write(CONNECT)).toBe(true)
  await runtime.advance(5_000)
  receiver.calls.length = 0
  return { wire, runtime, transport, receiver }
}

describe('a wire', () => {
  it('takes no more than it can hold, and says when all has arrived', async () => {
    const { wire, runtime, transport, receiver } = await open()
    expect(transport.write(PINGREQ)).toBe(true)
    expect(transport.write(LARGE)).toBe(false)
    expect(transport.write(PINGREQ)).toBe(false)
    expect(receiver.calls).toEqual([])
    await runtime.advance(5_000)
    const total = CONNECT.length + LARGE.length + 4
    const calls = receiver.calls.filter((call) => call !== 'data')
    expect(calls.slice(-2)).toEqual([`written ${total}`, 'drain'])
    expect(calls.filter((call) => call === 'drain')).toHaveLength(1)
    expect(wire.counts.saturated).toBe(2)
    expect(transport.write(PINGREQ)).toBe(true)
    await runtime.advance(5_000)
    expect(receiver.calls.filter((call) => call === 'drain')).toHaveLength(1)
  })

  it.each([
    ['is cut', (wire: Wire) => wire.cut(), ['end']],
    ['is half-open', (wire: Wire) => wire.blackHole(), []],
  ] as const)('that %s never says so', async (_, harm, expected) => {
    const { wire, runtime, transport, receiver } = await open()
    expect(transport.write(LARGE)).toBe(false)
    harm(wire)
    await runtime.advance(5_000)
    expect(receiver.calls.filter((call) => !call.startsWith('written'))).toEqual(expected)
  })

  it('lends some of what arrives, and gives some away', async () => {
    const { runtime, transport, receiver } = await open()
    for (let count = 0; count < 50; count++) {
      transport.write(PINGREQ)
      await runtime.advance(1_000)
    }
    const lent = receiver.lent.flatMap((chunk) => [...chunk])
    const own = receiver.own.flatMap((chunk) => [...chunk])
    expect(Math.min(lent.length, own.length)).toBeGreaterThan(10)
    expect(new Set(lent)).toEqual(new Set([0xaa]))
    expect(own).not.toContain(0xaa)
    expect(lent.length + own.length).toBe(4 + 100)
  })
})

// A signal may live as long as the program: nothing is left on it when what it was given for is over.
import { describe, expect, it } from 'vitest'
import { useWorlds } from '../../test/support/client-world.ts'
import { ClosedError, RefusedError, UsageError } from '../core/errors.ts'

const makeWorld = useWorlds()

/** A signal that knows how many listen to it. */
function watchedSignal(): { signal: AbortSignal; listeners: () => number } {
  const { signal } = new AbortController()
  const listening = new Set<unknown>()
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...listener: Parameters<typeof add>) => {
    listening.add(listener[1])
    add(...listener)
  }
  signal.removeEventListener = (...listener: Parameters<typeof remove>) => {
    listening.delete(listener[1])
    remove(...listener)
  }
  return { signal, listeners: () => listening.size }
}

describe('nothing is left on the signal of', () => {
  it('connect(), whether it succeeds or fails', async () => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = world.client()
    const connecting = client.connect({ signal })
    expect(listeners()).toBe(1)
    await connecting
    expect(listeners()).toBe(0)
    await client.disconnect()
    const again = client.connect({ signal })
    client.destroy()
    await expect(again).rejects.toBeInstanceOf(ClosedError)
    expect(listeners()).toBe(0)
  })

  it.each([0, 1, 2] as const)('publish() at QoS %i', async (qos) => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    const publishing = client.publish('a', 'x', { qos, signal })
    expect(listeners()).toBe(1)
    await publishing
    expect(listeners()).toBe(0)
  })

  it('publishAll() and ping()', async () => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    await client.publishAll([{ topic: 'a', payload: 'x' }], { qos: 1, signal })
    await client.ping({ signal })
    expect(listeners()).toBe(0)
  })

  it('unsubscribe() and resubscribe()', async () => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    const leaving = client.unsubscribe('a', { signal })
    expect(listeners()).toBe(1)
    await leaving
    expect(listeners()).toBe(0)
    await client.resubscribe({ signal })
    expect(listeners()).toBe(0)
  })

  it('unsubscribe() when it has waited too long', async () => {
    const world = makeWorld('5')
    world.broker.faults.onSend('unsuback').withhold()
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    const leaving = expect(client.unsubscribe('a', { signal, timeout: 100 })).rejects.toMatchObject({
      code: 'operation-timeout',
    })
    await world.advance(200)
    await leaving
    expect(listeners()).toBe(0)
  })

  it('subscribe() when the subscription is left', async () => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    const subscription = await client.subscribe('a', { signal }, () => {})
    expect(listeners()).toBe(1)
    await subscription.unsubscribe()
    expect(listeners()).toBe(0)
  })

  it('subscribe() when the last of its filters is unsubscribed from by name', async () => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    await client.subscribe(['a', 'b'], { signal }, () => {})
    await client.unsubscribe('a')
    expect(listeners()).toBe(1)
    await client.unsubscribe('b')
    expect(listeners()).toBe(0)
  })

  it('subscribe() when the server refuses', async () => {
    const world = makeWorld('5', { broker: { authorizeSubscribe: () => 0x87 } })
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    await expect(client.subscribe('a', { signal }, () => {})).rejects.toBeInstanceOf(RefusedError)
    expect(listeners()).toBe(0)
  })

  it.each(['left', 'closed'])('messages() when the stream is %s', async (how) => {
    const world = makeWorld('5')
    const { signal, listeners } = watchedSignal()
    const client = await world.connected()
    const stream = client.messages('a', { signal })
    const next = stream.next()
    await stream.ready
    expect(listeners()).toBeGreaterThan(0)
    if (how === 'left') await stream.return()
    else await client.disconnect()
    expect(await next).toEqual({ done: true, value: undefined })
    expect(listeners()).toBe(0)
  })

  it('on() with once, when it was called', async () => {
    const { signal, listeners } = watchedSignal()
    const client = makeWorld('5').client()
    client.on('connected', () => {}, { signal, once: true })
    expect(listeners()).toBe(1)
    await client.connect()
    expect(listeners()).toBe(0)
  })

  it('on(), when it is stopped', () => {
    const { signal, listeners } = watchedSignal()
    const client = makeWorld('5').client()
    const off = client.on('state', () => {}, { signal })
    expect(listeners()).toBe(1)
    off()
    expect(listeners()).toBe(0)
  })
})

describe('the options of connect()', () => {
  it.each([
    ['a name that there is not', { sgnal: undefined }, 'sgnal: unknown option; did you mean signal?'],
    ['no signal', { signal: 1 }, 'signal: expected an AbortSignal, got 1'],
    ['null', null, 'options: expected an object, got null'],
  ])('are checked: %s', async (_what, options, message) => {
    const client = makeWorld('5').client()
    const error: unknown = await client.connect(options as never).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(UsageError)
    expect(String(error)).toContain(message)
    expect(client.state).toBe('stopped')
  })
})

// What a page lives through besides its connection: the machine loses its network, nobody looks at the page, the
// browser freezes it. The broker is that of `petrel/testing`, behind a WebSocket listener.
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { connect } from '../../src/index.ts'
import { describeChromium, PLACES } from '../support/chromium.ts'
import { useBridges } from './bridge.ts'

const PROGRAM = fileURLToPath(new URL('./client.browser.ts', import.meta.url))

/** Nothing but an event brings the next attempt within the time of a test. */
const PATIENT = { reconnect: { min: 600_000, max: 600_000, jitter: false } } as const

describeChromium('the network of the machine', (chromium) => {
  const bridges = useBridges()

  it.each(PLACES)('comes back: a client that waits in a %s tries at once', async (place) => {
    const bridge = await bridges()
    const opened = await chromium().open(PROGRAM, place)
    const client = await opened.call<number>('create', bridge.url, PATIENT)
    await opened.call('connect', client)
    bridge.cut()
    await opened.call('until', client, 'disconnected', 1)
    await opened.page.context().setOffline(true)
    expect(await opened.call('stateOf', client)).toBe('waiting')
    await opened.page.context().setOffline(false)
    if (place === 'worker') await opened.call('tellOnline')
    await opened.call('until', client, 'resumed', 1)
    expect(bridge.accepted).toBe(2)
  })

  it.each(PLACES)('goes for a while: a connection in a %s outlives it', async (place) => {
    const bridge = await bridges()
    const opened = await chromium().open(PROGRAM, place)
    const client = await opened.call<number>('create', bridge.url, PATIENT)
    await opened.call('connect', client)
    await opened.page.context().setOffline(true)
    // Chromium lets nothing through meanwhile.
    const asked = opened.call<number>('ping', client)
    await opened.page.context().setOffline(false)
    expect(await asked).toBeGreaterThan(0)
    expect(await opened.call('countOf', client, 'disconnected')).toBe(0)
    expect(bridge.accepted).toBe(1)
  })

  it('comes back: a client that the broker has refused keeps its delay', async () => {
    const bridge = await bridges()
    const refusing = { ...PATIENT, protocolVersion: '5', retryInitialConnect: true }
    bridge.server.broker.faults.onSend('connack', { clientId: 'refused' }).withReasonCode(0x87)
    const opened = await chromium().open(PROGRAM, 'page')
    const refused = await opened.call<number>('create', bridge.url, { ...refusing, clientId: 'refused' })
    const other = await opened.call<number>('create', bridge.url, PATIENT)
    opened.call('connect', refused).catch(() => {})
    await opened.call('until', refused, 'connectFailed', 1)
    await opened.call('connect', other)
    bridge.cut()
    await opened.call('until', other, 'disconnected', 1)
    await opened.page.context().setOffline(true)
    await opened.page.context().setOffline(false)
    await opened.call('until', other, 'resumed', 1)
    expect(await opened.call('stateOf', refused)).toBe('waiting')
    expect(bridge.accepted).toBe(3)
  })
})

const LONG = { timeout: 30_000 } as const

// The timers of a hidden page wake once a minute after a second, not after five minutes.
const HELD_BACK = {
  args: ['--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1'],
  without: [
    '--disable-background-timer-throttling',
    '--disable-backgrounding-occluded-windows',
    '--disable-renderer-backgrounding',
  ],
} as const

describeChromium(
  'a page that nobody looks at',
  (chromium) => {
    const bridges = useBridges()

    // Chromium takes some ten seconds to hold a page's timers back, and wakes them once a minute. That may be just when
    // one is due: so there are two, of which at most one can be in time.
    it('has timers in time, where its own are held back', async () => {
      const tab = await chromium().openTab(PROGRAM)
      await tab.call('setTimers', 13_000, 5_000)
      await tab.hide()
      await expect.poll(() => tab.call('timersRung'), LONG).toContain('second')
      const inTime = await tab.call<readonly string[]>('timersRung', 2_000)
      expect(inTime.filter((name) => !name.endsWith('page'))).toEqual(['first', 'second'])
      expect(inTime.length).toBeLessThan(4)
      await tab.show()
      await expect.poll(() => tab.call('timersRung'), LONG).toHaveLength(4)
    })

    it('has its own timers where it may have no worker', async () => {
      const tab = await chromium().openTab(PROGRAM, { policy: "worker-src 'none'" })
      await tab.call('setTimers', 1_000, 2_000)
      await tab.hide()
      await tab.show()
      await expect
        .poll(() => tab.call('timersRung'), LONG)
        .toEqual(['first of the page', 'first', 'second of the page', 'second'])
    })

    it('keeps its connection alive with a worker for its timers, by pings in time', async () => {
      const bridge = await bridges()
      const tab = await chromium().openTab(PROGRAM)
      const client = await tab.call<number>('create', bridge.url, { ...PATIENT, keepAlive: 2 })
      await tab.call('connect', client)
      await tab.hide()
      const pings = (): Promise<number> => tab.call('pingsOf', client)
      await expect.poll(pings, LONG).toBeGreaterThan(0)
      const first = performance.now()
      await expect.poll(pings, LONG).toBeGreaterThan(12)
      // They leave every 1.5 s; by its own timers, which are held back to whole seconds, it would be every 2 s.
      expect(performance.now() - first).toBeLessThan(12 * 1_750)
      expect(await tab.call('countOf', client, 'disconnected')).toBe(0)
    })

    it('keeps it alive without one, late as its pings are, and connects again when it has to', async () => {
      const bridge = await bridges()
      const tab = await chromium().openTab(PROGRAM, { policy: "worker-src 'none'" })
      const options = { keepAlive: 2, reconnect: { min: 10, max: 10 } }
      const client = await tab.call<number>('create', bridge.url, options)
      await tab.call('connect', client)
      await tab.hide()
      await expect.poll(() => tab.call('pingsOf', client), LONG).toBeGreaterThan(3)
      expect(await tab.call('countOf', client, 'disconnected')).toBe(0)
      bridge.cut()
      await tab.call('until', client, 'resumed', 1)
      expect(bridge.accepted).toBe(2)
    })

    describe('and that is frozen', () => {
      it('finds a dead link in one ping time-out, with one PINGREQ, and connects again', async () => {
        const bridge = await bridges()
        const tab = await chromium().openTab(PROGRAM)
        const options = { keepAlive: 4, pingTimeout: 1_000, reconnect: { min: 10, max: 10 } }
        const client = await tab.call<number>('create', bridge.url, options)
        await tab.call('connect', client)
        await tab.hide()
        bridge.mute()
        const before = await tab.call<number>('pingsOf', client)
        await tab.freeze()
        // For so long it is frozen: longer than its keep-alive.
        await new Promise((resolve) => setTimeout(resolve, 5_000))
        const resumed = performance.now()
        await tab.resume()
        await tab.call('until', client, 'disconnected', 1)
        expect(performance.now() - resumed).toBeLessThan(2_500)
        expect((await tab.call<number>('pingsOf', client)) - before).toBeLessThanOrEqual(1)
        await tab.call('until', client, 'resumed', 1)
        expect(bridge.accepted).toBe(2)
      })

      // Chromium closes the WebSocket of a frozen page when something comes on it.
      it('gets what came meanwhile, exactly once, when it runs again', async () => {
        const bridge = await bridges()
        const tab = await chromium().openTab(PROGRAM)
        const options = { cleanSession: false, clientId: 'frozen', reconnect: { min: 10, max: 10 } }
        const client = await tab.call<number>('create', bridge.url, options)
        await tab.call('connect', client)
        await tab.call('subscribe', client, 'news', 2)
        await tab.hide()
        await tab.freeze()
        const publisher = await connect(bridge.server.url)
        for (const text of ['one', 'two']) await publisher.publish('news', text, { qos: 2 })
        await publisher.disconnect()
        await tab.resume()
        await tab.call('until', client, 'resumed', 1)
        const messages = await tab.call<readonly { readonly text: string }[]>('received', client, 2)
        expect(messages.map(({ text }) => text)).toEqual(['one', 'two'])
        expect(bridge.accepted).toBe(2)
      })
    })
  },
  HELD_BACK,
)

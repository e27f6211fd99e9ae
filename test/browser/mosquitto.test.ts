// The client in Chromium against mosquitto: pages and workers, both versions, with and without TLS.
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { describeChromium, PLACES } from '../support/chromium.ts'
import { unique, VERSIONS } from '../support/clients.ts'
import { describeMosquitto } from '../support/mosquitto.ts'

const PROGRAM = fileURLToPath(new URL('./client.browser.ts', import.meta.url))

// mosquitto 2.0.11 hangs with WebSocket messages of 200 KB when the client also receives.
const SIZES = [0, 1, 127, 16_384, 60_000]
const ALL = [0, 1, 2].flatMap((qos) => SIZES.map((size) => `${qos} ${size}`)).toSorted()

describeChromium('mosquitto and Chromium', (chromium) => {
  describeMosquitto('over WebSockets', 'listening', (broker) => {
    describe.each(VERSIONS)('%s', (version) => {
      const lasting =
        version === '5'
          ? { protocolVersion: '5', cleanStart: false, sessionExpiryInterval: 300 }
          : { protocolVersion: '3.1.1', cleanSession: false }

      describe.each(PLACES)('in a %s', (place) => {
        it.each(['ws', 'wss'] as const)('takes and gives QoS 0, 1 and 2 by %s:', async (scheme) => {
          const opened = await chromium().open(PROGRAM, place)
          const options = { protocolVersion: version, clientId: unique('browser') }
          const client = await opened.call<number>('create', broker().listeners.url(scheme), options)
          expect(await opened.call('connect', client)).toEqual({ version, sessionPresent: false })
          expect(await opened.call('roundTrips', client, unique('there-and-back'), SIZES)).toEqual(ALL)
          await opened.call('disconnect', client)
          expect(await opened.call('stateOf', client)).toBe('stopped')
        })

        it('is back with its subscription when mosquitto was restarted', async () => {
          const topic = unique('restart')
          const opened = await chromium().open(PROGRAM, place)
          const options = { ...lasting, clientId: unique('browser'), reconnect: { min: 20, max: 200 } }
          const client = await opened.call<number>('create', broker().listeners.url('ws'), options)
          await opened.call('connect', client)
          await opened.call('subscribe', client, topic, 2)
          await broker().end()
          await opened.call('until', client, 'interrupted', 1)
          const offline = opened.call('publish', client, topic, 'while it was away', 2)
          await broker().run()
          await offline
          expect(await opened.call('received', client, 1)).toEqual([{ text: 'while it was away', qos: 2 }])
          // This mosquitto keeps nothing: the session was lost.
          expect(await opened.call('subscriptionsSent', client)).toBe(2)
        })
      })
    })
  })
})

// A mosquitto of the test's own (mosquitto-process.ts) for a suite. A test names a profile and gets a broker
// that behaves so:
//
//   describeMosquitto('retained messages', 'plain', (broker) => { it('…', () => connect(broker().url)) })
import { afterAll, beforeAll, describe } from 'vitest'
import { isMosquittoInstalled, Mosquitto, type MosquittoProfile } from './mosquitto-process.ts'
import { requirement } from './requirements.ts'

export { Mosquitto, type MosquittoProfile } from './mosquitto-process.ts'

/** A suite with a broker of its own, skipped where there is no mosquitto. */
export function describeMosquitto(
  title: string,
  profile: MosquittoProfile,
  tests: (broker: () => Mosquitto) => void,
): void {
  describe.skipIf(!requirement('mosquitto', isMosquittoInstalled))(`${title} [needs mosquitto]`, () => {
    let broker: Mosquitto | undefined
    beforeAll(async () => {
      broker = await Mosquitto.start(profile)
    })
    afterAll(() => broker?.stop())
    tests(() => {
      if (broker === undefined) throw new Error('mosquitto runs only within the tests of its suite')
      return broker
    })
  })
}

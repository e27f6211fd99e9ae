// Features: sessions that outlive their connections.
import type { QoS } from '../../src/index.ts'
import { expectSame } from './connecting.ts'
import type { Feature } from './feature.ts'
import { numbers } from './messages.ts'
import { Different } from './outcome.ts'
import { unique } from './stage.ts'

const OFFLINE = 100

function resumed(qos: QoS): Feature {
  return {
    name: `session, QoS ${qos} while offline`,
    about: `A session is resumed; the ${OFFLINE} messages of QoS ${qos} that were published in the meantime come, in order, none twice.`,
    async run(stage) {
      const [topic, clientId] = [unique('offline'), unique('lasting')]
      const before = stage.lasting(clientId)
      await before.connect({ signal: stage.signal })
      const { results } = await before.subscribe(topic, { qos, signal: stage.signal })
      expectSame('the granted QoS', results[0]?.grantedQos, qos)
      await before.disconnect()
      const publisher = await stage.connected()
      const sent = numbers(OFFLINE)
      await stage.within(Promise.all(sent.map((text) => publisher.publish(topic, text, { qos }))))
      const after = stage.lasting(clientId)
      const inbox = stage.inbox()
      after.route(topic, inbox.handle)
      const { sessionPresent } = await after.connect({ signal: stage.signal })
      if (!sessionPresent) throw new Different('Session Present 0')
      await inbox.untilDistinct(OFFLINE)
      await after.ping({ signal: stage.signal })
      expectSame('what came', inbox.texts.join(), sent.join())
      return `present, ${inbox.messages.length} of ${OFFLINE}`
    },
  }
}

export const SESSIONS: readonly Feature[] = [resumed(1), resumed(2)]

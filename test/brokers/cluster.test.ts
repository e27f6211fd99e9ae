// A cluster of three NATS servers of which one is killed, with nothing but the client's own URLs to go on by. NATS
// replicates sessions and messages: so they must be there at another node, every one.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FailOver, failOver, type RunningCluster } from '../broker-table/cluster.ts'
import { natsCluster } from '../broker-table/nats.ts'
import { findExecutable } from '../support/find.ts'
import { requirement } from '../support/requirements.ts'

const program = findExecutable('nats-server')

describe.skipIf(!requirement('nats-server', program !== undefined))(
  'a node of a cluster is killed [scenario 63] [needs nats-server]',
  () => {
    let cluster: RunningCluster | undefined
    let found: FailOver

    beforeAll(async () => {
      cluster = await natsCluster.start()
      found = await failOver(cluster, natsCluster.keepsSession)
    }, 150_000)

    afterAll(() => cluster?.stop())

    it('and no publish fails: what had no PUBACK is sent again with DUP', () => {
      expect(found.failed).toBe(0)
      expect(found.published).toEqual([200, 200, 200])
      expect(found.sentAgain).toBeGreaterThan(0)
    })

    it('and no message of QoS 1 is lost, from before, while and after the clients changed to another node', () => {
      expect(found.received).toEqual([200, 200, 200])
    })

    // [3.1.1 MQTT-3.2.2-2]
    it('and the session is there at another node', () => {
      const [first, ...later] = found.sessionPresent
      expect(first).toBe(false)
      expect(later).toContain(true)
      expect(later).not.toContain(false)
    })

    // A node that elects takes a CONNECT and keeps silent: then Session Present is in doubt (docs/decisions/0010).
    it('and nothing is subscribed to again unless a CONNECT had no answer', () => {
      expect(found.sentOnReturn.includes('subscribe')).toBe(found.unanswered > 0)
    })
  },
)

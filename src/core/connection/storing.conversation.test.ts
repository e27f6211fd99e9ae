/** Records first, then packets; crashes and stores that fail: rules 18, 32 and 33, scenarios 66 to 69. */

import { describe, expect } from 'vitest'
import { conversation } from '../../../test/support/conversation.ts'

const store = { store: true } as const

describe('with a store', () => {
  conversation(
    'a message that waits for its record has waited for no answer yet, rule 17',
    (c) => {
      c.connected()
      c.passes(100_000)
      const first = c.user.publish('a', '1', { qos: 1, timeout: 1_000 })
      c.stores()
      c.sends('publish', { packetId: 1 })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.stores()
      c.passes(500)
      const second = c.user.publish('a', '2', { qos: 1, timeout: 1_000 })
      c.passes(600)
      c.sendsNothing()
      c.stores()
      c.sends('publish', { packetId: 2 })
      c.passes(999)
      c.lives()
      c.passes(1)
      c.outwaits(second)
    },
    store,
  )

  conversation(
    'PUBLISH waits for the record of its identifier, PUBREL for that of its PUBREC, rule 32',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 2 })
      c.sendsNothing()
      c.stores()
      c.sends('publish', { packetId: 1, dup: false })
      c.receives('pubrec', { packetId: 1 })
      c.sendsNothing()
      c.stores()
      c.sends('pubrel', { packetId: 1 })
      c.receives('pubcomp', { packetId: 1 })
      c.settles(delivery)
      c.stores()
    },
    store,
  )

  conversation(
    'PUBREC waits for the record of its identifier, PUBCOMP for that of its removal, rule 32',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 5 }))
      c.sendsNothing()
      c.stores()
      c.sends('pubrec', { packetId: 5 })
      c.receives('pubrel', { packetId: 5 })
      c.sendsNothing()
      c.stores()
      c.sends('pubcomp', { packetId: 5 })
    },
    store,
  )

  conversation(
    'PUBCOMP waits for the record of the removal also when the PUBREL comes once more, rule 32',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 5 }))
      c.stores()
      c.sends('pubrec', { packetId: 5 })
      c.receives('pubrel', { packetId: 5 })
      c.sendsNothing()
      c.cut()
      c.reconnected({ sessionPresent: true })
      c.receives('pubrel', { packetId: 5 })
      c.sendsNothing()
      c.stores()
      c.sends('pubcomp', { packetId: 5 })
    },
    store,
  )

  conversation(
    'QoS 0, PUBACK, SUBSCRIBE and PINGREQ wait for nothing, rules 10, 32',
    (c) => {
      c.connected()
      c.user.publish('a', 'x', { qos: 1 })
      c.sendsNothing()
      c.user.publish('b', 'y')
      c.sends('publish', { qos: 0 })
      c.user.subscribe('f')
      c.sends('subscribe')
      c.user.acknowledge(c.receivesMessage({ qos: 1, packetId: 1 }))
      c.sends('puback')
      c.user.ping()
      c.sends('pingreq')
      c.stores()
      c.sends('publish', { qos: 1 })
    },
    store,
  )

  conversation(
    'what gathers during an append is the next one, and packets keep their order, scenario 69',
    (c) => {
      c.connected()
      c.stores()
      for (const payload of ['1', '2', '3']) c.user.publish('a', payload, { qos: 1 })
      c.sendsNothing()
      c.storesOnce()
      c.sends('publish', { payload: '1' })
      c.storesOnce()
      c.sends('publish', { payload: '2' })
      c.sends('publish', { payload: '3' })
      expect(() => c.storesOnce()).toThrow('nothing to store')
    },
    store,
  )

  conversation(
    'acknowledgements keep the order of arrival, rules 20, 32',
    (c) => {
      c.connected()
      const [first, second] = [
        c.receivesMessage({ qos: 2, packetId: 1 }),
        c.receivesMessage({ qos: 2, packetId: 2 }),
      ]
      c.user.acknowledge(second)
      c.stores()
      c.sendsNothing()
      c.user.acknowledge(first)
      c.sendsNothing()
      c.stores()
      c.sends('pubrec', { packetId: 1 })
      c.sends('pubrec', { packetId: 2 })
    },
    store,
  )

  conversation(
    'what is settled before its record was stored does not leave any more, rule 17',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 1 })
      c.user.abandon(delivery)
      expect(delivery.state).toBe('settled')
      c.user.publish('a', 'y', { qos: 1 })
      c.stores()
      c.sends('publish', { payload: 'y' })
      c.user.publish('a', 'z', { qos: 1 })
      c.stores()
      c.sendsNothing()
    },
    { ...store, maxInflight: 1 },
  )
})

describe('a crash', () => {
  conversation(
    'before the record was stored leaves nothing; what was stored is sent [3.1.1 MQTT-3.1.2-4, 4.1.0-1] [5 MQTT-3.1.2-23]',
    (c) => {
      c.connected()
      c.stores()
      c.user.publish('a', '1', { qos: 1 })
      c.storesOnce()
      c.sends('publish', { packetId: 1, dup: false })
      c.user.publish('a', '2', { qos: 1 })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, payload: '1', dup: true })
      c.user.publish('a', '3', { qos: 1 })
      c.stores()
      c.sends('publish', { packetId: 2, payload: '3', dup: false })
    },
    store,
  )

  conversation(
    'repeats PUBREL, then PUBLISH, in order, rules 14, 32',
    (c) => {
      c.connected()
      for (const n of [1, 2, 3, 4])
        c.user.publish('a', `${n}`, { qos: 2, retain: n === 4, properties: { contentType: 't' } })
      c.stores()
      for (const packetId of [1, 2, 3, 4]) c.sends('publish', { packetId })
      for (const packetId of [3, 1]) c.receives('pubrec', { packetId })
      c.stores()
      for (const packetId of [3, 1]) c.sends('pubrel', { packetId })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.stores()
      for (const packetId of [3, 1]) c.sends('pubrel', { packetId })
      const properties = c.is5 ? { contentType: 't' } : undefined
      c.sends('publish', { packetId: 2, payload: '2', dup: true, retain: false, properties })
      c.sends('publish', { packetId: 4, payload: '4', dup: true, retain: true, properties })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      for (const packetId of [3, 1]) c.sends('pubrel', { packetId })
      c.sends('publish', { packetId: 2, dup: true })
      c.sends('publish', { packetId: 4, dup: true })
    },
    store,
  )

  conversation(
    'does not send what was settled',
    (c) => {
      c.connected()
      const delivery = c.user.publish('a', 'x', { qos: 1 })
      c.stores()
      c.sends('publish')
      c.receives('puback', { packetId: 1 })
      c.settles(delivery)
      c.stores()
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.sendsNothing()
    },
    store,
  )

  conversation(
    'after PUBREC hands the message over no second time, rule 18',
    (c) => {
      c.connected()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
      c.stores()
      c.sends('pubrec')
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.handlesNothing()
      c.sends('pubrec', { packetId: 1 })
      c.receives('pubrel', { packetId: 1 })
      c.stores()
      c.sends('pubcomp', { packetId: 1, reasonCode: 0 })
    },
    store,
  )

  conversation(
    'before the handler was done hands the message over again, rule 18',
    (c) => {
      c.connected()
      c.receivesMessage({ qos: 2, packetId: 1 })
      c.stores()
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.handles('a', { dup: true })
    },
    store,
  )

  conversation(
    'does not give a reserved identifier to another message, rules 8, 23',
    (c) => {
      c.connected()
      const poison = c.user.publish('a', '1', { qos: 2 })
      c.stores()
      c.sends('publish', { packetId: 1 })
      c.cut()
      c.settles(poison, { code: 'poison-delivery' })
      c.reconnected({ sessionPresent: true })
      c.stores()
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.user.publish('a', '2', { qos: 2 })
      c.stores()
      c.sends('publish', { packetId: 2 })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 2, dup: true })
      expect(c.session.deliveryIds).toBe(2)
    },
    { ...store, poisonLimit: 1 },
  )

  conversation(
    'finds the session that the server gave a name [5 MQTT-3.1.3-2]',
    (c) => {
      c.opens({ clientId: '' })
      c.sends('connect')
      c.accepts({ properties: { assignedClientIdentifier: 'given' } })
      c.stores()
      c.restarts()
      expect(c.session).toMatchObject({ clientId: 'given', established: true })
    },
    { ...store, versions: ['5'] },
  )

  conversation(
    'with a session that the server lost meanwhile is the same case as without, rule 16',
    (c) => {
      c.connected()
      c.user.publish('a', '1', { qos: 1 })
      c.user.publish('a', '2', { qos: 2 })
      c.stores()
      c.sends('publish')
      c.sends('publish')
      c.restarts()
      c.reconnected({ sessionPresent: false })
      expect(c.tells('delivery').error?.code).toBe('outcome-unknown')
      c.stores()
      c.sends('publish', { packetId: 1, payload: '1', dup: false })
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, payload: '1', dup: true })
    },
    store,
  )

  conversation(
    'keeps the age of messages: they expire over it, rule 21',
    (c) => {
      const late = { messageExpiryInterval: 5 }
      c.user.publish('a', '1', { qos: 1, properties: late })
      c.user.publish('a', '2', { qos: 1, properties: { messageExpiryInterval: 60 } })
      c.stores()
      c.restarts()
      c.blocks(5_000)
      c.connected()
      expect(c.tells('delivery').error?.code).toBe('expired')
      c.stores()
      c.sends('publish', { payload: '2', properties: { messageExpiryInterval: 55 } })
    },
    { ...store, versions: ['5'] },
  )
})

describe('a store that fails', () => {
  conversation(
    'rejects the publish before anything is sent, and gives its place back, rule 33, scenario 68',
    (c) => {
      c.connected()
      c.stores()
      for (let times = 0; times < 3; times++) {
        const delivery = c.user.publish('a', `${times}`, { qos: 1 })
        const waiting = c.user.publish('a', 'waits', { qos: 1 })
        c.storeFails()
        c.settles(delivery, { code: 'store-failed' })
        c.settles(waiting, { code: 'store-failed' })
        c.sendsNothing()
        c.lives()
        expect(c.session.ids.size).toBe(0)
      }
      c.user.publish('a', 'last', { qos: 1 })
      c.stores()
      c.sends('publish', { payload: 'last', dup: false })
    },
    { ...store, maxInflight: 1 },
  )

  conversation(
    'leaves PUBREC unsent and ends the connection, rule 33, scenario 68 [3.1.1 MQTT-4.8.0-2]',
    (c) => {
      c.connected()
      c.stores()
      c.user.acknowledge(c.receivesMessage({ qos: 2, packetId: 1 }))
      c.storeFails()
      c.closes({ code: 'store-failed' })
      c.sendsNothing()
      c.reconnected({ sessionPresent: true })
      c.receives('publish', { qos: 2, packetId: 1, dup: true })
      c.handlesNothing()
      c.stores()
      c.sends('pubrec', { packetId: 1 })
    },
    store,
  )

  conversation(
    'ends the connection when it knew the message but not its identifier; then it is sent as new, rule 33',
    (c) => {
      c.connected()
      c.stores()
      const first = c.user.publish('a', '1', { qos: 1 })
      const second = c.user.publish('a', '2', { qos: 1 })
      c.stores()
      c.sends('publish', { payload: '1' })
      c.receives('puback', { packetId: 1 })
      c.settles(first)
      c.storeFails()
      c.closes({ code: 'store-failed' })
      expect(second.state).toBe('published')
      c.reconnected({ sessionPresent: true })
      c.sendsNothing()
      c.stores()
      c.sends('publish', { payload: '2', dup: false })
    },
    { ...store, maxInflight: 1 },
  )

  conversation(
    'keeps what it had, and is rewritten whole with the next records, rule 33',
    (c) => {
      c.connected()
      c.user.publish('a', '1', { qos: 1 })
      c.stores()
      c.sends('publish', { packetId: 1 })
      const second = c.user.publish('a', '2', { qos: 1 })
      c.storeFails()
      c.settles(second, { code: 'store-failed' })
      c.stores()
      c.restarts()
      c.reconnected({ sessionPresent: true })
      c.sends('publish', { packetId: 1, payload: '1', dup: true })
      c.sendsNothing()
    },
    store,
  )
})

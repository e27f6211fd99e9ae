// Programs that use the installed package: by import and by require, against a broker from `petrel/testing`.

/** Connects, subscribes, publishes at each QoS, receives, and must end by itself. */
const BODY = `
  const server = createBroker()
  const client = await connect(await server.listen(), { protocolVersion: '5' })
  const received = []
  let arrived
  const all = new Promise((resolve) => (arrived = resolve))
  await client.subscribe('a/#', { qos: 2 }, (message) => {
    if (received.push(message.qos + message.text()) === 3) arrived()
  })
  for (const qos of [0, 1, 2]) await client.publish('a/b', '!', { qos })
  await all
  await client.disconnect()
  await server.close()
  console.log(received.sort().join(' '), JSON.stringify(server.broker.finish()))
`

export const PRINTED = '0! 1! 2! []\n'

export const IMPORTING: string = `
import { connect } from 'petrel'
import { createBroker } from 'petrel/testing'
${BODY}`

export const REQUIRING: string = `
const { connect } = require('petrel')
const { createBroker } = require('petrel/testing')
const { PROPERTIES } = require('petrel/core')
if (typeof PROPERTIES !== 'object') throw new Error('petrel/core')
void (async () => {${BODY}})()
`

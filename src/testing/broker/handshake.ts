/** From CONNECT to CONNACK, and AUTH at any time. */

import { topicNameFault } from '../../core/topics/topic.ts'
import type { AuthPacket, ConnectPacket, ControlPacket, Properties } from '../../core/packets/types.ts'
import type { Authenticator, AuthStep } from './authenticator.ts'
import { type BrokerConnection, REFUSED_VERSION } from './broker-connection.ts'
import type { BrokerOptions } from './options.ts'

export interface HandshakeHost {
  /** The client may come in: makes or resumes its session and answers. */
  open(connection: BrokerConnection, packet: ConnectPacket, authenticationData: Uint8Array | undefined): void
}

interface Exchange {
  readonly connect: ConnectPacket
  readonly method: string
  round: number
  /** Before CONNACK, or later by AUTH 0x19. */
  isFirst: boolean
  isRunning: boolean
}

export class Handshake {
  readonly #options: BrokerOptions
  readonly #authenticator: Authenticator
  readonly #host: HandshakeHost
  readonly #exchanges = new WeakMap<BrokerConnection, Exchange>()
  #assigned = 0

  constructor(options: BrokerOptions, authenticator: Authenticator, host: HandshakeHost) {
    this.#options = options
    this.#authenticator = authenticator
    this.#host = host
  }

  handle(connection: BrokerConnection, packet: ControlPacket): void {
    if (packet.type === 'connect') this.#handleConnect(connection, packet)
    else if (packet.type === 'auth') this.#handleAuth(connection, packet)
    else if (packet.type === 'disconnect') {
      connection.saidDisconnect = true
      connection.end()
    } else {
      const text = `${packet.type.toUpperCase()} came before the authentication was complete`
      connection.violate('during-authentication', text, 0x82)
    }
  }

  #handleConnect(connection: BrokerConnection, packet: ConnectPacket): void {
    if (connection.state !== 'opened') {
      connection.violate('connect-once', 'a second CONNECT came', 0x82)
      return
    }
    connection.clientId = packet.clientId
    if (!this.#acceptVersion(connection, packet)) return
    const fault = this.#refusal(connection, packet)
    if (connection.state !== 'opened') return
    if (fault !== 0) return this.#refuse(connection, fault)
    if (packet.clientId === '') connection.clientId = `assigned-${++this.#assigned}`
    const { properties } = packet
    connection.receiveMaximum = properties?.receiveMaximum ?? 65_535
    connection.maximumPacketSize = properties?.maximumPacketSize ?? Infinity
    connection.topicAliasMaximum = properties?.topicAliasMaximum ?? 0
    connection.keepAlive =
      (connection.version5 ? this.#options.serverKeepAlive : undefined) ?? packet.keepAlive
    if (connection.version5) connection.conduct.receiveMaximum = this.#options.receiveMaximum ?? 65_535
    const method = properties?.authenticationMethod
    if (method === undefined) return this.#host.open(connection, packet, undefined)
    const exchange: Exchange = { connect: packet, method, round: 0, isFirst: true, isRunning: true }
    this.#exchanges.set(connection, exchange)
    connection.state = 'authenticating'
    this.#go(connection, exchange, properties?.authenticationData)
  }

  #acceptVersion(connection: BrokerConnection, packet: ConnectPacket): boolean {
    const { versions = ['3.1.1', '5'], refuseVersionBy = 'connack-3.1.1' } = this.#options
    connection.protocolVersion = packet.protocolVersion
    if (versions.includes(packet.protocolVersion)) return true
    if (packet.protocolVersion === '5' && refuseVersionBy === 'connack-5') {
      connection.respond({ type: 'connack', sessionPresent: false, reasonCode: 0x84 })
    } else if (refuseVersionBy !== 'close') connection.send(REFUSED_VERSION)
    connection.end()
    return false
  }

  /** The reason code of a refusal, 0: none. */
  #refusal(connection: BrokerConnection, packet: ConnectPacket): number {
    const { will, clientId, username, password, protocolVersion } = packet
    const { maximumQoS = 2, retainAvailable = true, login } = this.#options
    if (clientId === '' && !connection.version5 && !packet.cleanStart) {
      connection.complain('client-id', 'the client identifier is empty and CleanSession is 0')
      return 0x85
    }
    if (will !== undefined) {
      const fault = topicNameFault(will.topic)
      if (fault !== undefined) connection.violate('will-topic', `the will's topic: ${fault}`, 0x90)
      if (connection.version5 && will.qos > maximumQoS) return 0x9b
      if (connection.version5 && will.retain && !retainAvailable) return 0x9a
    }
    const answer = login?.({ protocolVersion, clientId, username, password }) ?? true
    return typeof answer === 'number' ? answer : answer ? 0 : 0x86
  }

  #refuse(connection: BrokerConnection, reasonCode: number): void {
    connection.respond({ type: 'connack', sessionPresent: false, reasonCode })
    connection.end()
  }

  #handleAuth(connection: BrokerConnection, packet: AuthPacket): void {
    const exchange = this.#exchanges.get(connection)
    const { reasonCode, properties } = packet
    if (exchange === undefined) {
      connection.violate('auth-without-method', 'AUTH came, CONNECT had no Authentication Method', 0x82)
      return
    }
    if (properties?.authenticationMethod !== exchange.method) {
      const text = `AUTH has the method ${properties?.authenticationMethod}, CONNECT had ${exchange.method}`
      connection.violate('auth-method', text, 0x82)
      return
    }
    if (exchange.isRunning && reasonCode !== 0x18) {
      connection.violate('auth-code', `AUTH has the reason code ${reasonCode}, expected 0x18`, 0x82)
      return
    }
    if (!exchange.isRunning && reasonCode !== 0x19) {
      connection.violate(
        'reauthentication-code',
        `AUTH has the reason code ${reasonCode}, expected 0x19`,
        0x82,
      )
      return
    }
    exchange.round = exchange.isRunning ? exchange.round + 1 : 0
    exchange.isRunning = true
    this.#go(connection, exchange, properties.authenticationData)
  }

  #go(connection: BrokerConnection, exchange: Exchange, data: Uint8Array | undefined): void {
    const { connect, method, isFirst } = exchange
    const step: AuthStep = this.#authenticator.next(method, data, exchange.round, connection.clientId)
    if (step.type === 'challenge') return connection.respond(step.packet)
    exchange.isRunning = false
    exchange.isFirst = false
    if (step.type === 'refused') {
      if (isFirst) this.#refuse(connection, step.reasonCode)
      else connection.closeWith(step.reasonCode)
      return
    }
    if (isFirst) return this.#host.open(connection, connect, step.data)
    const properties = { authenticationMethod: method, authenticationData: step.data }
    connection.respond({ type: 'auth', reasonCode: 0, properties })
  }
}

/** The properties of a CONNACK that accepts: limits as they are set, what the server decided, the test's own. */
export function connackProperties(
  options: BrokerOptions,
  connect: ConnectPacket,
  decided: {
    readonly clientId: string
    readonly sessionExpiryInterval: number
    readonly authenticationData: Uint8Array | undefined
  },
): Properties | undefined {
  if (connect.protocolVersion !== '5') return undefined
  const asked = connect.properties?.sessionExpiryInterval ?? 0
  const method = connect.properties?.authenticationMethod
  const properties: Properties = {
    receiveMaximum: options.receiveMaximum,
    maximumQoS: options.maximumQoS,
    retainAvailable: options.retainAvailable,
    maximumPacketSize: options.maximumPacketSize,
    topicAliasMaximum: options.topicAliasMaximum,
    wildcardSubscriptionAvailable: options.wildcardSubscriptionAvailable,
    subscriptionIdentifiersAvailable: options.subscriptionIdentifiersAvailable,
    sharedSubscriptionAvailable: options.sharedSubscriptionAvailable,
    serverKeepAlive: options.serverKeepAlive,
    assignedClientIdentifier: connect.clientId === '' ? decided.clientId : undefined,
    sessionExpiryInterval:
      asked === decided.sessionExpiryInterval ? undefined : decided.sessionExpiryInterval,
    authenticationMethod: method,
    authenticationData: decided.authenticationData,
    ...options.connackProperties,
  }
  const set = Object.entries(properties).filter(([, value]) => value !== undefined)
  return set.length > 0 ? (Object.fromEntries(set) as Properties) : undefined
}

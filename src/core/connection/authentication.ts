/** Enhanced authentication, 5: 4.12: the steps within CONNECT, and re-authentication later. */

import { RefusedError, violation } from '../errors.ts'
import { authSize } from '../packets/auth.ts'
import { describeReasonCode } from '../packets/reason-codes.ts'
import type { AuthPacket, Properties } from '../packets/types.ts'
import type { AuthenticationStep } from './events.ts'
import type { Operation } from './operations.ts'
import type { PacketWriter } from './packet-writer.ts'

export class Authentication {
  readonly #method: string | undefined
  readonly #writer: PacketWriter
  readonly #maximumPacketSize: number
  #operation: Operation | undefined = undefined

  /**
   * @param method what CONNECT named; undefined: AUTH is illegal [5 MQTT-4.12.0-6]
   * @param maximumPacketSize the server's
   */
  constructor(method: string | undefined, writer: PacketWriter, maximumPacketSize: number) {
    this.#method = method
    this.#writer = writer
    this.#maximumPacketSize = maximumPacketSize
  }

  /** AUTH came [5 MQTT-4.12.0-2, -5, -6]. @throws ProtocolError */
  handleAuth({ reasonCode, properties }: AuthPacket, connected: boolean): AuthenticationStep | Operation {
    if (this.#method === undefined || properties?.authenticationMethod !== this.#method)
      throw violation('AUTH names another Authentication Method than CONNECT')
    const operation = this.#operation
    if (connected && operation === undefined) throw violation('AUTH came unasked')
    if (reasonCode === 0x18) return { type: 'authentication', properties }
    if (reasonCode !== 0 || operation === undefined) {
      throw violation(`AUTH has the reason code ${describeReasonCode(reasonCode)}`)
    }
    this.#operation = undefined
    operation.result = properties
    return operation
  }

  /** Answers the server's step [5 MQTT-4.12.0-3]; returns the error when the answer is larger than it accepts. */
  continue(properties: Properties): RefusedError | undefined {
    return this.#write({ type: 'auth', reasonCode: 0x18, properties })
  }

  /** Whether a re-authentication is under way. */
  get isOpen(): boolean {
    return this.#operation !== undefined
  }

  get deadline(): number {
    return this.#operation?.deadline ?? Infinity
  }

  /** The re-authentication that has waited too long; its answer may still come. */
  overdue(now: number): Operation[] {
    const operation = this.#operation
    if (operation === undefined || operation.deadline > now) return []
    operation.abandoned = true
    return [operation]
  }

  /**
   * Begins anew on a connection that stands [5 MQTT-4.12.1-1].
   *
   * @returns the error when the packet is larger than the server accepts [5 MQTT-3.2.2-15]: nothing was sent
   */
  begin(operation: Operation, properties: Properties): RefusedError | undefined {
    const error = this.#write({ type: 'auth', reasonCode: 0x19, properties })
    if (error === undefined) this.#operation = operation
    return error
  }

  /** [5 MQTT-3.2.2-15]. */
  #write(packet: AuthPacket): RefusedError | undefined {
    const size = authSize(packet)
    const maximumPacketSize = this.#maximumPacketSize
    if (size <= maximumPacketSize) {
      this.#writer.authenticate(packet)
      return undefined
    }
    const message = `AUTH would take ${size} bytes, more than the server's Maximum Packet Size of ${maximumPacketSize}`
    return new RefusedError('authentication-refused', message, { reasonCode: 0x95, local: true })
  }

  /** The re-authentication that is under way, when the connection ends. */
  drain(): Operation[] {
    const operation = this.#operation
    this.#operation = undefined
    return operation === undefined ? [] : [operation]
  }
}

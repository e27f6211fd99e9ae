/** Makes each CONNECT: who logs in, the will, and whether the session begins anew (rule 5). */

import { encodeUtf8 } from '../core/bytes/utf8.ts'
import type { NegotiatedSettings } from '../core/connection/negotiated.ts'
import type { Codec } from '../core/packets/codec.ts'
import type { ConnectPacket, Properties, WillMessage } from '../core/packets/types.ts'
import { type Credentials, type Login, resolveLogin, resolveWill, type Will } from './connect-options.ts'
import { payloadBytes, type Payload } from './option-checks.ts'
import { check311, type ResolvedOptions } from './options.ts'

export class ConnectPacketMaker {
  readonly #options: ResolvedOptions
  #will: WillMessage | undefined
  /** Undefined: the option `credentials` is asked. */
  #login: Login | undefined
  /** Seconds that the server keeps the session, once a CONNACK has accepted since `connect()`. */
  #expiry: number | undefined = undefined

  constructor(options: ResolvedOptions) {
    const { credentials, will, username, password } = options
    this.#options = options
    this.#will = will
    this.#login = credentials === undefined ? { username, password } : undefined
  }

  /** @throws UsageError */
  setWill(will: Will | undefined): void {
    this.#will = resolveWill(will, this.#options.version5)
  }

  /** @throws UsageError */
  setLogin(login: Credentials | undefined): void {
    this.#login = resolveLogin(login, this.#options.version5, 'login.')
  }

  /** `connect()` begins again. */
  begin(): void {
    this.#expiry = undefined
  }

  handleConnected(settings: NegotiatedSettings): void {
    this.#expiry = settings.sessionExpiryInterval
  }

  async make(codec: Codec, clientId: string, attempt: number): Promise<ConnectPacket> {
    const { credentials, authentication, version5 } = this.#options
    const login = this.#login ?? resolveLogin((await credentials?.(attempt)) ?? {}, version5, 'credentials.')
    const isNew = codec.hasProperties
    if (!isNew) check311(this.#options, login)
    const data = isNew ? await authentication?.start() : undefined
    return {
      type: 'connect',
      protocolVersion: codec.protocolVersion,
      clientId,
      cleanStart: isNew ? this.#cleanStart() : this.#cleanSession(),
      keepAlive: this.#options.keepAlive,
      will: isNew || this.#will === undefined ? this.#will : { ...this.#will, properties: undefined },
      username: login.username,
      password: login.password,
      properties: isNew ? this.#properties(data) : undefined,
    }
  }

  /** Version 5: 1 until a CONNACK accepted, then only when nothing was kept. */
  #cleanStart(): boolean {
    return this.#options.cleanStart && (this.#expiry === undefined || this.#expiry === 0)
  }

  #cleanSession(): boolean {
    const { version5, cleanSession, cleanStart, sessionExpiryInterval } = this.#options
    return version5 === 'no' ? cleanSession : cleanStart && sessionExpiryInterval === 0
  }

  #properties(data: Payload | undefined): Properties | undefined {
    const { properties } = this.#options
    return data === undefined ? properties : { ...properties, authenticationData: asBytes(data) }
  }
}

/** Authentication Data as the packet has it. */
export function asBytes(data: Payload): Uint8Array {
  const bytes = payloadBytes(data, 'authentication data')
  return typeof bytes === 'string' ? encodeUtf8(bytes) : bytes
}

/** The scripted exchange of AUTH packets, 5: 4.12, at CONNECT and again later. */

import type { AuthPacket } from '../../core/packets/types.ts'
import type { BrokerAuthentication } from './options.ts'

/** What comes next in an exchange. */
export type AuthStep =
  | { readonly type: 'challenge'; readonly packet: AuthPacket }
  | { readonly type: 'done'; readonly data: Uint8Array | undefined }
  | { readonly type: 'refused'; readonly reasonCode: number }

const CONTINUE = 0x18

export class Authenticator {
  readonly #script: BrokerAuthentication | undefined

  constructor(script: BrokerAuthentication | undefined) {
    this.#script = script
  }

  /** @param round 0 for the data of CONNECT or AUTH 0x19, then 1, 2 … */
  next(method: string, data: Uint8Array | undefined, round: number, clientId: string): AuthStep {
    const script = this.#script
    if (script === undefined || script.method !== method) return { type: 'refused', reasonCode: 0x8c }
    if (script.check?.(data, round, clientId) === false) return { type: 'refused', reasonCode: 0x87 }
    const challenge = script.challenges[round]
    if (challenge === undefined) return { type: 'done', data: script.final }
    const properties = { authenticationMethod: method, authenticationData: challenge }
    return { type: 'challenge', packet: { type: 'auth', reasonCode: CONTINUE, properties } }
  }
}

/** What the dispatcher asks of the client, and tells it. */

import type { MqttError } from '../core/errors.ts'
import type { Session } from '../core/session/session.ts'

export interface DispatcherHost {
  /** The session as it is now; messages of QoS 2 belong to it, not to the connection that they came by. */
  readonly session: Session
  /** Records may be waiting. */
  handleRecords(): void
  /** Set while the client is being closed, too. */
  readonly closedError: MqttError | undefined
  /** A handler failed, and the client is to end. */
  destroy(error: MqttError): void
}

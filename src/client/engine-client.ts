/** Those whom the engine tells what happens. */

import type { Closed, Connected, OtherEvent } from '../core/connection/events.ts'
import type { MqttError } from '../core/errors.ts'
import type { IncomingMessage } from '../core/packets/publish.ts'
import type { Delivery } from '../core/session/deliveries.ts'
import type { Driver } from './driver.ts'

export interface EngineClient {
  handleMessage(message: IncomingMessage, driver: Driver): void
  handleEvent(event: Exclude<OtherEvent, Closed | Connected>, driver: Driver): void
  /** Asks the server for what must precede publishes, then lets those go. */
  handleConnected(event: Connected, driver: Driver): void
  /** The connection that stood is over, or was given up; another may follow. */
  handleLost(driver: Driver, error: MqttError): void
  handleTurn(): void
  handleFlushed(driver: Driver): void
  handleStored(upTo: number): void
  handleFailed(deliveries: readonly Delivery[]): void
  /**
   * The client is closed: whatever waits gets the error. What the session has now, it keeps.
   *
   * @param stored settles when that is sure; those that the store did not take have got its error then
   */
  handleClosed(error: MqttError, stored: Promise<void> | undefined): void
  /** Nothing is owed and no handler runs. */
  readonly isIdle: boolean
}

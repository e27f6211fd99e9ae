/** Counters of what passed; one object per client, shared by its connections. */

export class Traffic {
  bytesIn = 0
  bytesOut = 0
  /** By packet type number, 2.2.1 (5: 2.1.2). */
  readonly packetsIn: number[] = new Array<number>(16).fill(0)
  readonly packetsOut: number[] = new Array<number>(16).fill(0)
  /** PUBLISHes by QoS, re-sends included. */
  readonly messagesIn: [number, number, number] = [0, 0, 0]
  readonly messagesOut: [number, number, number] = [0, 0, 0]
  /** Acknowledgements of ids that nothing holds, which are ignored. */
  unknownAcknowledgements = 0
  /** Messages whose properties could not be sent in 3.1.1. */
  propertiesLeftOut = 0
  /** ms of the latest PINGREQ, -1 before the first. */
  lastRoundTrip = -1
}

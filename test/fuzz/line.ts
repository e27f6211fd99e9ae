// What crosses one network connection, read by the test broker's own splitter and decoders and held against the model:
// what the machine under test reads with its framer is read here a second time.

import { ProtocolError } from '../../src/core/errors.ts'
import type { ControlPacket, ProtocolVersion } from '../../src/core/packets/types.ts'
import { PacketSplitter } from '../../src/testing/broker/packet-splitter.ts'
import { decodeOfClient, decodeOfServer } from '../../src/testing/broker/server-codec.ts'
import type { Model, Told, Verdict } from './model.ts'

export interface Judgement extends Told {
  readonly verdict: Verdict
  /** Packets of the server, the one that ended it included. */
  readonly packets: number
  /** Why it is a violation, when that is what it is. */
  readonly why: string
}

export class Line {
  readonly #model: Model
  readonly #version: ProtocolVersion
  readonly #fromServer = new PacketSplitter()
  readonly #fromClient = new PacketSplitter()

  constructor(model: Model, version: ProtocolVersion, maximumPacketSize: number) {
    this.#model = model
    this.#version = version
    this.#fromServer.maximumPacketSize = maximumPacketSize
    this.#fromServer.shortestForm = version === '5'
    this.#fromClient.shortestForm = true
  }

  /** What must come of these bytes of the server; nothing behind what ends the connection counts. */
  judge(bytes: Uint8Array): Judgement {
    const told: Told = { messages: [], deliveries: 0, operations: 0 }
    let packets = 0
    let verdict: Verdict = 'fine'
    this.#fromServer.push(bytes)
    try {
      for (let split = this.#fromServer.next(); split !== undefined; split = this.#fromServer.next()) {
        packets += 1
        const packet = decodeOfServer(split, this.#version)
        const next = this.#model.handleServer(packet, told)
        if (next === 'violation' || next === 'ends')
          return { ...told, verdict: next, packets, why: packet.type }
        if (next === 'unsure') verdict = 'unsure'
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      if (this.#model.isLost) return { ...told, verdict: 'unsure', packets, why: error.message }
      return { ...told, verdict: 'violation', packets, why: error.message }
    }
    return { ...told, verdict, packets, why: '' }
  }

  /** The packets of these bytes of the client. @throws Error for what it may not write */
  hear(bytes: Uint8Array): readonly ControlPacket[] {
    const packets: ControlPacket[] = []
    this.#fromClient.push(bytes)
    for (let split = this.#fromClient.next(); split !== undefined; split = this.#fromClient.next()) {
      const packet = decodeOfClient(split, this.#version)
      const complaint = this.#model.handleClient(packet, split.size)
      if (complaint !== undefined) throw new Error(`the client wrote ${complaint}`)
      packets.push(packet)
    }
    return packets
  }

  /** The client has written half a packet. */
  get isTorn(): boolean {
    return this.#fromClient.waiting > 0
  }
}

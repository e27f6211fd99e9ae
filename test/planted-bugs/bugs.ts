// The bugs that `npm run planted-bugs` plants, one at a time, and the tests that are asked to find each. All of them
// would let most programs run on most days: each costs a message, a promise or a broker's patience on the others.
//
// A text to replace must be in its file exactly once. Whoever rewrites that place rewrites the bug, too.

export interface Change {
  readonly file: string
  readonly text: string
  readonly replacement: string
}

export interface PlantedBug extends Change {
  readonly name: string
  /** Why it is one. */
  readonly why: string
  /** Test files of the project `unit`: few and quick. */
  readonly tests: readonly string[]
  /** Other places that must change with it, where two guards stand one behind the other. */
  readonly also?: readonly Change[]
}

const PUBLISHING = 'src/core/connection/publishing.ts'
const RECEIVING = 'src/core/connection/receiving.ts'

const test = (name: string): string => `src/${name}.test.ts`
const conversation = (name: string): string => test(`core/connection/${name}.conversation`)

/** Those of which an exchange, an identifier or a record is at stake. */
const EXCHANGES: readonly PlantedBug[] = [
  {
    name: 'settle at PUBREC',
    why: 'the caller forgets a message that the server may not have handed on: many do so at PUBREL',
    file: PUBLISHING,
    text: 'this.release(delivery)\n    return undefined',
    replacement: 'this.release(delivery)\n    return delivery',
    tests: [test('client/client-publishing')],
  },
  {
    name: 'no DUP',
    why: 'a PUBLISH that is sent again must say so [3.1.1 MQTT-3.3.1-1] [5 MQTT-3.3.1-1]',
    file: PUBLISHING,
    text: ' | (again ? DUP_FLAG : 0)',
    replacement: '',
    tests: [conversation('resuming')],
  },
  {
    name: 'PUBLISH after PUBREC on resume',
    why: 'the server may take the identifier for free and hand the message on twice [5 MQTT-4.3.3-6]',
    file: PUBLISHING,
    text: 'for (const delivery of this.#session.released) {\n      this.#expect(delivery)\n      this.#transmit(delivery)',
    replacement:
      'for (const delivery of this.#session.released) {\n      this.#expect(delivery)\n' +
      '      this.#write(delivery, delivery.packetId, delivery.properties, true)',
    tests: [conversation('resuming')],
  },
  {
    name: 'PUBCOMP taken before PUBREC in a run',
    why: 'the message is told as delivered though the server may never have had it',
    file: 'src/core/connection/ack-run.ts',
    text: "qos === 2 : state === 'released'",
    replacement: 'qos === 2 : qos === 2',
    tests: [conversation('ack-run')],
  },
  {
    name: 'identifier freed at time-out',
    why: 'the late acknowledgement is then taken for that of another message (rule 17)',
    file: PUBLISHING,
    text: '    this.#session.abandon(delivery)\n',
    replacement: '    this.forget(delivery)\n',
    tests: [conversation('time-outs')],
  },
  {
    name: 'identifier reused while open',
    why: 'two messages with one identifier: one acknowledgement settles both, or the wrong one (rule 19)',
    file: 'src/core/session/packet-ids.ts',
    text: '    if (page[id & 0xff] !== undefined) return false\n',
    replacement: '',
    tests: [test('core/session/packet-ids')],
  },
  {
    name: 'received identifiers lost on reconnect',
    why: 'a QoS 2 message that the server repeats on the next connection is handed over twice (rule 18)',
    file: RECEIVING,
    text: '    this.#earlier = this.#pubrecs.arrived\n',
    replacement:
      '    this.#earlier = this.#pubrecs.arrived\n' +
      '    for (let id = 1; id <= 65_535; id++) parts.session.received.end(id)\n',
    tests: [conversation('receiving')],
  },
  {
    name: 'no doubt after a CONNECT without an answer',
    why: 'messages of a session that the server began unheard are dropped, and it has no subscriptions of ours',
    file: 'src/core/session/session.ts',
    text: '    if (this.asked) this.doubt()\n',
    replacement: '',
    tests: [conversation('resuming')],
  },
  {
    name: 'resend order reversed',
    why: 'PUBLISHes are sent again in the order in which they were sent first [5 MQTT-4.6.0-1]',
    file: PUBLISHING,
    text: '    this.#resend = this.#session.published.head\n',
    replacement:
      '    const { published } = this.#session\n' +
      '    for (const delivery of [...published].reverse()) {\n' +
      '      published.remove(delivery)\n      published.push(delivery)\n    }\n' +
      '    this.#resend = published.head\n',
    tests: [conversation('resuming')],
  },
  {
    name: 'Receive Maximum off by one',
    why: 'one message more than the server takes ends the connection by 0x93 [5 MQTT-3.3.4-7]',
    file: PUBLISHING,
    text: 'this.#quota <= 0 &&',
    replacement: 'this.#quota < 0 &&',
    tests: [conversation('window')],
  },
  {
    name: 'PUBREC before the store',
    why: 'when PUBREC is lost and the process dies, a message that was handled is handed over again (rule 32)',
    file: RECEIVING,
    text: "this.#durable.send({ type: 'pubrec', packetId, reasonCode }, position, this)",
    replacement: "this.#writer.acknowledge('pubrec', packetId, reasonCode)",
    tests: [conversation('storing')],
  },
  {
    name: 'PUBCOMP before the removal is stored',
    why: 'after a crash the next message of the same identifier is taken for a repeated one and lost (rule 32)',
    file: RECEIVING,
    text: 'this.#pubcomp(packetId, number === 0 ? 0x92 : 0)',
    replacement:
      "if (number > 0) this.#writer.acknowledge('pubcomp', packetId, 0)\n    else this.#pubcomp(packetId, 0x92)",
    tests: [conversation('storing')],
  },
  {
    name: 'PUBCOMP before the removal is stored, when PUBREL comes once more',
    why: 'as before: the identifier is unknown in memory, and still recorded (rule 32)',
    file: RECEIVING,
    text: 'this.#pubcomp(packetId, number === 0 ? 0x92 : 0)',
    replacement:
      "if (number === 0) this.#writer.acknowledge('pubcomp', packetId, 0x92)\n    else this.#pubcomp(packetId, 0)",
    tests: [conversation('storing')],
  },
  {
    name: 'PUBREL before the release is stored',
    why: 'after a crash PUBLISH is sent for an identifier that the server has given back (rule 32)',
    file: PUBLISHING,
    text: '    }\n    this.#transmit(delivery)\n',
    replacement: "    }\n    this.#writer.acknowledge('pubrel', delivery.packetId, 0)\n",
    tests: [conversation('storing')],
  },
  {
    name: 'resend on a living connection',
    why: 'the server may take it for a second message, and slow servers get slower [5 MQTT-4.4.0-1]',
    file: PUBLISHING,
    text: '          this.abandon(delivery)\n',
    replacement: '          this.abandon(delivery)\n          this.#transmit(delivery)\n',
    tests: [conversation('time-outs')],
  },
  {
    name: 'alias kept over a reconnect',
    why: 'the server knows no alias of an earlier connection: a protocol error, again and again [5 MQTT-3.3.2-7]',
    file: PUBLISHING,
    text: 'aliases ? new OutboundAliases(settings.topicAliasMaximum) : undefined',
    replacement:
      'aliases ? ((this.#session as { aliases?: OutboundAliases }).aliases ??= ' +
      'new OutboundAliases(settings.topicAliasMaximum)) : undefined',
    tests: [conversation('topic-aliases')],
  },
  {
    name: 'acknowledgement sent for an old connection',
    why: 'a QoS 1 message is acknowledged that the server has not sent on this connection (rule 20)',
    file: RECEIVING,
    text: '    this.#pubacks = this.#session.pubacks.restart()\n',
    replacement:
      '    this.#session.pubacks.arrived = 0\n    this.#pubacks = this.#session.pubacks.restart()\n',
    tests: [test('client/client-acknowledging')],
    also: [
      {
        file: 'src/client/dispatcher.ts',
        text: 'if (message.qos === 1) return driver.connection.acknowledge(message, reasonCode)',
        replacement:
          'if (message.qos === 1) {\n      const to = this.#driver ?? driver\n' +
          '      to.connection.acknowledge(message, reasonCode)\n      return to.touched()\n    }',
      },
    ],
  },
  {
    name: 'late PUBREC takes a place in the new line',
    why: 'places belong to a connection: another message is acknowledged early, or never (rule 20)',
    file: RECEIVING,
    text: '    this.#pubrecs = this.#session.pubrecs.restart()\n',
    replacement:
      '    this.#session.pubrecs.arrived = 0\n    this.#pubrecs = this.#session.pubrecs.restart()\n',
    tests: [conversation('receiving')],
  },
]

/** Those of time, limits, the store and what the application holds. */
const SURROUNDINGS: readonly PlantedBug[] = [
  {
    name: 'never ping',
    why: 'the server ends an idle connection, and a dead one is never noticed (rule 9)',
    file: 'src/core/connection/keep-alive.ts',
    text: 'period === 0 ? Infinity : period - Math.min(period / 4, 5_000)',
    replacement: 'Infinity',
    tests: [test('core/connection/keep-alive')],
  },
  {
    name: 'back-off without jitter',
    why: 'after an outage all clients of a fleet come back in the same millisecond (rule 7)',
    file: 'src/client/backoff.ts',
    text: 'return jitter ? min + this.#runtime.random() * (upper - min) : upper',
    replacement: 'return upper',
    tests: [test('client/backoff')],
  },
  {
    name: 'back-off reset at CONNACK',
    why: 'a server that accepts and closes at once is dialed in a loop (rule 7)',
    file: 'src/client/engine.ts',
    text: 'if (driver.now - this.#connectedAt >= this.backoff.resetAfter) this.backoff.reset()',
    replacement: 'this.backoff.reset()',
    tests: [test('client/client-events')],
  },
  {
    name: 'queue limit off by one',
    why: 'one message more waits than the option says (rule 21)',
    file: 'src/client/outbox.ts',
    text: 'return queued.size < maxMessages &&',
    replacement: 'return queued.size <= maxMessages &&',
    tests: [test('client/client-queueing')],
  },
  {
    name: 'expiry not counted down',
    why: 'a message that waited offline lives longer than its publisher said [5 section 3.3.2.3.3]',
    file: 'src/core/connection/expiry.ts',
    text: 'return waited <= 0 ? properties : {',
    replacement: 'return waited <= Infinity ? properties : {',
    tests: [conversation('limits')],
  },
  {
    name: 'publishes before SUBSCRIBE after a lost session',
    why: 'answers to what is sent again come before anybody listens (rules 14, 16)',
    file: 'src/client/requests.ts',
    text: '    const suspect = this.#suspect()\n    const busy',
    replacement:
      '    driver.connection.resume(driver.now)\n    const suspect = this.#suspect()\n    const busy',
    tests: [test('client/client-resubscribing')],
  },
  {
    name: 'Session Present accepted after Clean Start',
    why: 'both sides then disagree about what is open [3.1.1 MQTT-3.2.2-1] [5 MQTT-3.2.2-2]',
    file: 'src/core/connection/opening.ts',
    text: 'if (sessionPresent && connect.cleanStart) {',
    replacement: 'if (sessionPresent && connect.cleanStart && connect.clientId === undefined) {',
    tests: [conversation('connecting')],
  },
  {
    name: '# matches $SYS',
    why: 'a handler of everything gets what the server says of itself [3.1.1 MQTT-4.7.2-1] [5 MQTT-4.7.2-1]',
    file: 'src/core/topics/topic-tree.ts',
    text: 'let wildcardsMatch = topic.charCodeAt(0) !== 0x24',
    replacement: 'let wildcardsMatch = true',
    tests: [test('core/topics/topic-tree')],
  },
  {
    name: 'ill-formed UTF-8 accepted',
    why: 'surrogates must end the connection, not become U+FFFD [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    file: 'src/core/bytes/utf8.ts',
    text: "new TextDecoder('utf-8', { fatal: true,",
    replacement: "new TextDecoder('utf-8', { fatal: false,",
    tests: [test('core/bytes/utf8')],
  },
  {
    name: 'bad checksum accepted',
    why: 'a batch that was torn by a crash invents messages (rule 34)',
    file: 'src/store/file-format.ts',
    text: 'if (view.getUint32(position + 4) !== checksumOf(bytes, position, length)) {',
    replacement: 'if (view.getUint32(position + 4) === 0) {',
    tests: [test('store/file-damage')],
  },
  {
    name: 'append resolves before the sync',
    why: "with 'power' a loss of power takes what was promised to survive it (rule 35)",
    file: 'src/store/file.ts',
    text: "if (this.durability === 'power') await this.#sync(segment)",
    replacement: "if (this.durability === 'power') this.#sync(segment).catch(() => undefined)",
    tests: [test('store/file-simulated')],
  },
  {
    name: 'group commit settles what gathered meanwhile',
    why: 'packets leave whose records are only in the next append (rules 32, 35)',
    file: 'src/client/recorder.ts',
    text: '        journal.handleStored(upTo)\n        this.#host.handleStored(upTo)\n',
    replacement: '        journal.handleStored(upTo)\n        this.#host.handleStored(journal.position)\n',
    tests: [test('client/client-sessions')],
  },
  {
    name: 'stream left without UNSUBSCRIBE',
    why: 'after `break` the server goes on sending what nobody reads (rule 30)',
    file: 'src/client/message-stream.ts',
    text: '    const leaving = !this.#ended && this.#subscription !== undefined\n    this.end()\n',
    replacement: '    this.end()\n    const leaving = !this.#ended && this.#subscription !== undefined\n',
    tests: [test('client/client-streams')],
  },
  {
    name: 'timer left after destroy()',
    why: 'it keeps the process alive, and acts for a client that is gone (rule 6)',
    file: 'src/client/engine.ts',
    text: '    this.#leaving = undefined\n    this.#appointment.clear()\n    attempt?.abort(closed)',
    replacement: '    this.#leaving = undefined\n    attempt?.abort(closed)',
    tests: [test('client/client-disconnecting')],
  },
]

/** Those that write into memory that is still needed: other bytes leave than were published. */
const MEMORY: readonly PlantedBug[] = [
  {
    name: 'an unacknowledged payload does not hold its memory',
    why: 'it is the only copy: on the next connection other bytes are sent again',
    file: 'src/core/session/deliveries.ts',
    text: '    slab.hold()\n',
    replacement: '',
    tests: [test('core/session/deliveries')],
  },
  {
    name: 'a message in used memory is what the last one was',
    why: 'it says DUP at its first sending, and that it has an identifier while it waits for one',
    file: 'src/core/session/deliveries.ts',
    text: 'this.attempts = this.connection = this.packetId = this.timeout = this.reasonCode = 0',
    replacement: '',
    tests: [test('client/client-publishing')],
  },
  {
    name: 'the memory of a message is used again while a store writes it down',
    why: 'what waits to be sent when its record is durable is another message then',
    file: 'src/client/publisher.ts',
    text: 'if (this.#options.store === undefined) delivery.recycle()',
    replacement: 'delivery.recycle()',
    tests: [test('client/client-sessions')],
  },
  {
    name: 'the network lets go of memory when it takes it',
    why: 'chunks that wait for a slow peer are written over',
    file: 'src/core/bytes/output-buffer.ts',
    text: 'upTo: this.#taken',
    replacement: 'upTo: 0',
    tests: [test('core/bytes/output-buffer')],
  },
  {
    name: 'PINGREQ in the middle of a divided packet',
    why: 'the server takes it for payload, and the end of the payload for a packet',
    file: 'src/core/bytes/output-buffer.ts',
    text: 'continues: Math.min(this.#continues, bytes.length)',
    replacement: 'continues: 0',
    tests: [test('core/bytes/output-buffer')],
  },
  {
    name: 'bytes count as written while the socket keeps them',
    why: 'as before; and a promise for a payload that was lent resolves while that is still read',
    file: 'src/transport/tcp.ts',
    text: 'return this.#written - this.#socket.writableLength',
    replacement: 'return this.#written',
    tests: [test('transport/tcp')],
  },
  {
    name: 'a message that waits for room does not keep its payload',
    why: 'when its turn comes, its handler is given bytes of a later packet',
    file: 'src/client/dispatcher.ts',
    text: '#hold(message: IncomingMessage, driver: Driver): void {\n    driver.connection.keep(message)\n',
    replacement: '#hold(message: IncomingMessage, _driver: Driver): void {\n',
    tests: [test('client/lent-memory')],
  },
]

const FOUND_BY_SEEDS: readonly PlantedBug[] = [
  {
    name: 'a lost SUBACK forgets the filter',
    why: 'the subscription is asked for again, and not renewed when the session is lost (rules 14, 16)',
    file: 'src/client/subscriber.ts',
    text: "if (operation.kind === 'subscribe' && operation.reasonCodes.length > 0) {",
    replacement: "if (operation.kind === 'subscribe') {",
    tests: [test('client/client-resubscribing')],
  },
  {
    name: 'a store that is opened again knows no handlers',
    why: 'a QoS 2 message whose handler still runs is handed over twice (rule 18)',
    file: 'src/client/session-keeper.ts',
    text: 'if (this.isKept && !isOurs) {',
    replacement: 'if (this.isKept) {',
    tests: [test('client/client-store-reopened')],
  },
]

const FOUND_BY_READING: readonly PlantedBug[] = [
  {
    name: 'waiting for a record counts as waiting for an answer',
    why: 'a message that was never sent is given up as late by the time-out of one before it (rule 17)',
    file: PUBLISHING,
    text: '    delivery.sentAt = Infinity\n',
    replacement: '',
    tests: [conversation('storing')],
  },
  {
    name: 'reading stays stopped though an answer is awaited',
    why: 'a handler that waits for it waits for ever (rule 31)',
    file: 'src/client/assembly.ts',
    text: 'this.dispatcher.handleTurn()\n    for',
    replacement: 'for',
    also: [
      {
        file: 'src/client/assembly.ts',
        text: 'this.dispatcher.handleTurn()\n  }',
        replacement: '}',
      },
    ],
    tests: [test('client/client-back-pressure')],
  },
  {
    name: 'DISCONNECT behind what the network does not take',
    why: 'it never leaves: the server publishes the will of a client that was disconnected in order (rule 6)',
    file: 'src/client/leaving.ts',
    text: 'if (isBusy && !this.isLast) {',
    replacement: 'if (isBusy && this.isLast) {',
    tests: [test('client/client-disconnecting')],
  },
  {
    name: 'a renewal fails without a word',
    why: 'the subscription is gone, and nobody knows',
    file: 'src/client/subscriber.ts',
    text: 'if (this.#host.closedError === undefined) this.#events',
    replacement: 'if (this.#host.closedError !== undefined) this.#events',
    tests: [test('client/client-resubscribing')],
  },
  {
    name: 'a store is closed behind the back of the next connect()',
    why: 'nothing is recorded any more, and another process may take the store (rules 32, 34)',
    file: 'src/client/session-keeper.ts',
    text: 'this.#opening = this.#recorder = undefined',
    replacement: 'this.#opening = undefined',
    tests: [test('client/client-store-reopened')],
  },
]

export const BUGS: readonly PlantedBug[] = [
  ...EXCHANGES,
  ...SURROUNDINGS,
  ...MEMORY,
  ...FOUND_BY_SEEDS,
  ...FOUND_BY_READING,
]

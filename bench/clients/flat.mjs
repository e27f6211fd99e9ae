// The bare loop with most of a client's duties, in one class, and nothing spent on order in the code: no layers, no files,
// no choice of transport, version or store, hardly a function between the socket and the handler. It does less than a
// client: what it cannot reach, a client is not likely to; what it reaches, a client need not be able to.
//
//   published   options and arguments checked by name and type; topics checked and encoded once; size, queue, window and
//               high-water mark; a delivery with all that a session must remember of it, in the order of sending;
//               identifiers given; time-outs; counters; the answer's kind and identifier checked; a result, or an error,
//               for its caller; the memory of a payload held until its acknowledgement and until the network has it;
//               what had to wait sent when there is room
//   received    lengths, flags, identifiers and limits checked; topics known by a table; payloads kept by the piece;
//               the handler called in a `try`, its promise awaited; PUBACK in the order of arrival; counters
//
// Not here: no error of the network is handled, nothing is sent again; one subscription matches; no acknowledgement has a
// reason code. It has Petrel's modes, as bare.mjs, and takes no part in the targets.

import { connect as dial } from 'node:net'
import { encodeConnect, encodeSubscribe } from '../packets.mjs'
import { rotation, slices, sliding } from '../windows.mjs'

const READ_BUFFER = 262_144
const PIECE = 65_536
const HIGH_WATER = 262_144
const LARGEST_PACKET = 268_435_455
const MOST_QUEUED = 10_000
const SLAB = 65_472
const MOST_FREE = 32
const TIME_OUT = 60_000

const [QUEUED, PUBLISHED, RELEASED, SETTLED] = [0, 1, 2, 3]

const PUBLISH_NAMES = ['qos', 'retain', 'payload', 'until', 'signal', 'timeout', 'properties']

let lastResolve
let lastReject
const executor = (resolve, reject) => {
  lastResolve = resolve
  lastReject = reject
}

/** A piece of output memory, and how many need it as it is. */
class Slab {
  bytes = new Uint8Array(SLAB)
  holders = 0
}

/** Slabs that are written again when nobody holds them. */
class Output {
  #socket
  #free = []
  #lent = []
  // There is no slab, so it is full.
  #start = SLAB
  slab = undefined
  bytes = undefined
  at = SLAB

  constructor(socket) {
    this.#socket = socket
  }

  flush() {
    if (this.at === this.#start) return
    this.#socket.write(this.bytes.subarray(this.#start, this.at))
    this.#start = this.at
    // What waits lies in the slabs that were written last: they are the network's until nothing waits.
    if (this.#socket.writableLength > 0) {
      this.slab.holders += 1
      this.#lent.push(this.slab)
    } else if (this.#lent.length > 0) for (const slab of this.#lent.splice(0)) this.release(slab)
  }

  room(size) {
    if (SLAB - this.at < size) this.#next()
  }

  release(slab) {
    slab.holders -= 1
    if (slab.holders === 0 && this.#free.length < MOST_FREE) this.#free.push(slab)
  }

  #next() {
    this.flush()
    if (this.slab !== undefined) this.release(this.slab)
    this.slab = this.#free.pop() ?? new Slab()
    this.slab.holders = 1
    this.bytes = this.slab.bytes
    this.at = this.#start = 0
  }

  acknowledge(first, id) {
    this.room(4)
    const { bytes, at } = this
    bytes[at] = first
    bytes[at + 1] = 2
    bytes[at + 2] = id >>> 8
    bytes[at + 3] = id & 255
    this.at = at + 4
  }
}

class Delivery {
  type = 'delivery'
  state = QUEUED
  packetId = 0
  attempts = 0
  connection = 0
  slab = undefined
  start = 0
  sentAt = 0
  timeout = TIME_OUT
  abandoned = false
  reasonCode = 0
  result = undefined
  error = undefined
  previous = undefined
  next = undefined
  place = 0

  constructor(name, memory, size, qos, retain, properties, owner, now) {
    this.name = name
    this.memory = memory
    this.size = size
    this.qos = qos
    this.retain = retain
    this.properties = properties
    this.owner = owner
    this.createdAt = now
  }
}

/** The caller of `publish`. */
class Caller {
  constructor() {
    this.promise = new Promise(executor)
    this.resolve = lastResolve
    this.reject = lastReject
  }

  settle({ packetId, reasonCode, result }, error) {
    if (error === undefined) this.resolve({ packetId, reasonCode, properties: result })
    else this.reject(error)
  }
}

/** The caller of `publishAll`, which knows its messages by their places. */
class Batch {
  published = 0
  open = 0
  failures = []
  wake = undefined

  settle({ place }, error) {
    this.open -= 1
    if (error === undefined) this.published += 1
    else this.failures.push({ place, error })
    this.wake?.()
  }
}

class Topic {
  route = undefined

  constructor(text, view) {
    this.text = text
    this.view = view
    this.size = view.byteLength
  }
}

class Message {
  connection = 1
  place = 0
  acknowledger = undefined
  #payload = undefined

  constructor(name, flags, packetId, properties, buffer, start, end) {
    this.name = name
    this.flags = flags
    this.packetId = packetId
    this.properties = properties
    this.buffer = buffer
    this.start = start
    this.end = end
  }

  get topic() {
    return this.name.text
  }

  get qos() {
    return (this.flags >> 1) & 3
  }

  get payload() {
    return (this.#payload ??= new Uint8Array(this.buffer, this.start, this.end - this.start))
  }
}

/** What is found by identifier. */
const tablesOf = () => ({
  underWay: new Array(65_536).fill(undefined),
  received: new Uint8Array(65_536),
})

const fail = (text) => {
  throw new Error(text)
}

class Flat {
  // What others would ask for: the first to be sent again, whether anything moved, time-outs, statistics, back-pressure.
  head = undefined
  releasedHead = undefined
  acknowledged = false
  bytesIn = 0
  running = 0
  deadline = Infinity

  #socket
  #output
  #window
  #lastName = { text: '', bytes: new Uint8Array(2) }
  #names = new Map()
  #over = []
  #underWay
  #nextId = 1
  #inFlight = 0
  #queued = 0
  #firstQueued = undefined
  #tail = undefined
  #releasedTail = undefined
  #now = performance.now()
  #isScheduled = false
  #handedOver = undefined
  #isClosed = false
  #answered
  #packetsIn = new Array(16).fill(0)
  #packetsOut = new Array(16).fill(0)
  #messagesIn = [0, 0, 0]
  #messagesOut = [0, 0, 0]

  #isBorrowed = false
  #handler
  #lastTopic = new Topic('', new DataView(new ArrayBuffer(0)))
  #topics = new Map()
  #memory
  #rest = 0
  #kept = undefined
  #keptBuffer = undefined
  #keptFrom = 0
  #keptTo = 0
  #arrived = 0
  #sent = 0
  #late = new Map()
  /** QoS 2, by identifier. */
  #received
  #decoder = new TextDecoder('utf-8', { fatal: true })

  constructor(socket, memory, window, tables) {
    this.#socket = socket
    this.#output = new Output(socket)
    this.#underWay = tables.underWay
    this.#received = tables.received
    this.#memory = memory
    this.#window = Math.min(window, 65_519)
    // Where nothing is read.
    setInterval(() => {
      this.#now = performance.now()
      if (this.deadline <= this.#now) this.#expire()
    }, 1_000).unref()
  }

  ask(packet) {
    return new Promise((resolve) => {
      this.#answered = resolve
      this.#output.flush()
      this.#socket.write(packet)
    })
  }

  get isSaturated() {
    return this.#socket.writableLength >= this.#socket.writableHighWaterMark
  }

  drained() {
    return new Promise((resolve) => this.#socket.once('drain', resolve))
  }

  flush() {
    this.#output.flush()
  }

  // Out.

  send(topic, payload, options) {
    if (options !== undefined) this.#check(options)
    const name = this.#nameOf(topic)
    const size = this.#sizeOf(payload)
    if (this.#isClosed) fail('closed')
    this.#encode(0x30, name.bytes, 0, payload, size)
    this.#messagesOut[0] += 1
    this.#schedule()
    return !this.isSaturated
  }

  /** QoS 0; one promise for all of a turn, resolved when the network has them. */
  handOver(topic, payload) {
    this.send(topic, payload)
    return (this.#handedOver ??= new Caller()).promise
  }

  publish(topic, payload, options) {
    const caller = new Caller()
    this.take(topic, payload, options, caller, 0)
    return caller.promise
  }

  take(topic, payload, options, owner, place) {
    this.#check(options)
    const name = this.#nameOf(topic)
    const size = this.#sizeOf(payload)
    if (this.#isClosed) fail('closed')
    if (this.#queued >= MOST_QUEUED) fail('the queue is full')
    const { qos = 0, retain = false, properties } = options
    const delivery = this.#delivery(name, payload, size, qos, retain, properties, owner)
    delivery.place = place
    if (options.timeout !== undefined) delivery.timeout = options.timeout
    if (this.#queued > 0 || this.#inFlight >= this.#window || this.#socket.writableLength > HIGH_WATER)
      return this.#queue(delivery)
    this.#begin(delivery)
    this.#schedule()
  }

  /** In the memory of one that is over, if there is one. */
  #delivery(name, payload, size, qos, retain, properties, owner) {
    const delivery = this.#over.pop()
    if (delivery === undefined)
      return new Delivery(name, payload, size, qos, retain, properties, owner, this.#now)
    delivery.state = QUEUED
    delivery.name = name
    delivery.memory = payload
    delivery.size = size
    delivery.qos = qos
    delivery.retain = retain
    delivery.properties = properties
    delivery.owner = owner
    delivery.createdAt = this.#now
    delivery.timeout = TIME_OUT
    delivery.packetId = delivery.attempts = delivery.reasonCode = 0
    delivery.result = undefined
    return delivery
  }

  #check(options) {
    for (const name in options) {
      if (name === 'qos') {
        const { qos } = options
        if (qos !== 0 && qos !== 1 && qos !== 2) fail(`qos: ${qos}`)
      } else if (!PUBLISH_NAMES.includes(name)) fail(`there is no option ${name}`)
    }
  }

  #sizeOf(payload) {
    const size =
      typeof payload === 'string'
        ? Buffer.byteLength(payload)
        : payload instanceof Uint8Array
          ? payload.length
          : fail(`payload: ${payload}`)
    if (size > LARGEST_PACKET) fail('too large')
    return size
  }

  #nameOf(topic) {
    if (topic === this.#lastName.text) return this.#lastName
    let name = this.#names.get(topic)
    if (name === undefined) {
      if (typeof topic !== 'string' || topic === '' || /[+#\0]/.test(topic)) fail(`topic: ${topic}`)
      const text = new TextEncoder().encode(topic)
      const bytes = new Uint8Array(2 + text.length)
      bytes[0] = text.length >>> 8
      bytes[1] = text.length & 255
      bytes.set(text, 2)
      name = { text: topic, bytes }
      this.#names.set(topic, name)
    }
    this.#lastName = name
    return name
  }

  #queue(delivery) {
    const { memory } = delivery
    if (typeof memory !== 'string') delivery.memory = new Uint8Array(memory)
    this.#queued += 1
    this.#link(delivery)
    this.#firstQueued ??= delivery
  }

  /** What had to wait, as far as there is room. */
  #pump() {
    while (
      this.#queued > 0 &&
      this.#inFlight < this.#window &&
      this.#socket.writableLength <= HIGH_WATER &&
      !this.#isClosed
    ) {
      const delivery = this.#firstQueued
      this.#firstQueued = delivery.next
      this.#queued -= 1
      this.#transmit(delivery)
    }
  }

  /** Callers that have waited too long are told; the exchange goes on. */
  #expire() {
    this.deadline = Infinity
    for (const first of [this.head, this.releasedHead]) {
      for (let delivery = first; delivery !== undefined; delivery = delivery.next) {
        const due = delivery.sentAt + delivery.timeout
        if (delivery.abandoned || delivery.state === QUEUED) continue
        if (due > this.#now) this.deadline = Math.min(this.deadline, due)
        else {
          delivery.abandoned = true
          const { owner } = delivery
          delivery.owner = undefined
          owner?.settle(delivery, new Error('no acknowledgement came'))
        }
      }
    }
  }

  #link(delivery) {
    delivery.previous = this.#tail
    if (this.#tail === undefined) this.head = delivery
    else this.#tail.next = delivery
    this.#tail = delivery
  }

  #unlink(delivery) {
    const { previous, next } = delivery
    if (delivery.state === RELEASED) {
      if (previous === undefined) this.releasedHead = next
      else previous.next = next
      if (next === undefined) this.#releasedTail = previous
      else next.previous = previous
    } else {
      if (previous === undefined) this.head = next
      else previous.next = next
      if (next === undefined) this.#tail = previous
      else next.previous = previous
    }
    delivery.previous = delivery.next = undefined
  }

  #begin(delivery) {
    this.#link(delivery)
    this.#transmit(delivery)
  }

  #transmit(delivery) {
    let id = this.#nextId
    while (this.#underWay[id] !== undefined) id = id === 65_535 ? 1 : id + 1
    this.#nextId = id === 65_535 ? 1 : id + 1
    this.#underWay[id] = delivery
    delivery.packetId = id
    delivery.state = PUBLISHED
    delivery.attempts = 1
    delivery.connection = 1
    delivery.sentAt = this.#now
    const due = delivery.sentAt + delivery.timeout
    if (due < this.deadline) this.deadline = due
    this.#inFlight += 1
    const { qos, memory, size, name } = delivery
    this.#encode(0x30 | (qos << 1) | (delivery.retain ? 1 : 0), name.bytes, id, memory, size)
    this.#messagesOut[qos] += 1
    if (typeof memory === 'string') return
    delivery.memory = undefined
    delivery.slab = this.#output.slab
    delivery.slab.holders += 1
    delivery.start = this.#output.at - size
  }

  #schedule() {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#now = performance.now()
    process.nextTick(() => {
      this.#isScheduled = false
      this.#output.flush()
      this.#resolveHandedOver()
    })
  }

  #resolveHandedOver() {
    if (this.#handedOver === undefined) return
    const { resolve } = this.#handedOver
    this.#handedOver = undefined
    if (this.isSaturated) void this.drained().then(resolve)
    else resolve()
  }

  #encode(first, name, id, payload, size) {
    const output = this.#output
    const length = name.length + (id > 0 ? 2 : 0) + size
    output.room(5 + length)
    const { bytes } = output
    let { at } = output
    bytes[at++] = first
    let left = length
    for (; left > 127; left >>= 7) bytes[at++] = (left & 127) | 128
    bytes[at++] = left
    bytes.set(name, at)
    at += name.length
    if (id > 0) {
      bytes[at++] = id >>> 8
      bytes[at++] = id & 255
    }
    output.at = at
    if (typeof payload === 'string') output.at += Buffer.from(bytes.buffer).write(payload, at)
    else {
      bytes.set(payload, at)
      output.at = at + size
    }
    this.#packetsOut[3] += 1
  }

  // In.

  /** Where the socket reads to: behind what has come of a packet that is not whole. */
  get memory() {
    return this.#memory.subarray(this.#rest)
  }

  read(size) {
    this.#now = performance.now()
    this.bytesIn += size
    const end = this.#rest + size
    const bytes = this.#memory.subarray(0, end)
    this.#keptTo = 0
    const at = this.#packets(bytes, new DataView(bytes.buffer, 0, end))
    if (at > 0) this.#memory.copyWithin(0, at, end)
    this.#rest = end - at
    this.onTurn?.()
    this.#pump()
    this.#output.flush()
    if (this.deadline <= this.#now) this.#expire()
  }

  #packets(bytes, view) {
    let at = 0
    for (;;) {
      if (bytes.length - at < 2) return at
      let head = at + 2
      let length = bytes[at + 1]
      if (length > 127) {
        length &= 127
        for (let shift = 7; ; shift += 7) {
          if (head >= bytes.length) return at
          if (shift > 21) fail('a Remaining Length of more than four bytes')
          const byte = bytes[head++]
          length |= (byte & 127) << shift
          if (byte < 128) break
        }
      }
      if (length > LARGEST_PACKET) fail('too large')
      const end = head + length
      if (end > bytes.length) return at
      const first = bytes[at]
      this.#packetsIn[first >> 4] += 1
      if (first >> 4 === 3) this.#message(bytes, view, first & 15, head, end)
      else this.#control(bytes, first, head, end)
      if (this.#isClosed) return end
      at = end
    }
  }

  #control(bytes, first, head, end) {
    if (first !== 0x40 && first !== 0x50 && first !== 0x62 && first !== 0x70) return this.#answered()
    if (end - head !== 2) fail('a length that is none of an acknowledgement')
    const id = (bytes[head] << 8) | bytes[head + 1]
    if (id === 0) fail('the packet identifier 0')
    if (first === 0x62) {
      if (this.#received[id] !== 1) fail('PUBREL for nothing')
      this.#received[id] = 0
      return this.#acknowledge(0x70, id)
    }
    const delivery = this.#underWay[id]
    if (delivery === undefined) return
    if (delivery.type !== 'delivery' || delivery.qos !== (first === 0x40 ? 1 : 2)) fail('of another kind')
    if (first === 0x50) return this.#release(delivery, id)
    if (first === 0x70 && delivery.state !== RELEASED) fail('PUBCOMP before PUBREC')
    this.#settle(delivery, id, 0)
  }

  #release(delivery, id) {
    if (delivery.state === PUBLISHED) {
      this.acknowledged = true
      this.#unlink(delivery)
      delivery.state = RELEASED
      delivery.previous = this.#releasedTail
      if (this.#releasedTail === undefined) this.releasedHead = delivery
      else this.#releasedTail.next = delivery
      this.#releasedTail = delivery
    }
    this.#acknowledge(0x62, id)
  }

  #settle(delivery, id, reasonCode) {
    this.acknowledged = true
    this.#unlink(delivery)
    this.#underWay[id] = undefined
    this.#inFlight -= 1
    delivery.state = SETTLED
    if (delivery.slab !== undefined) {
      this.#output.release(delivery.slab)
      delivery.slab = undefined
    }
    delivery.memory = ''
    delivery.reasonCode = reasonCode
    if (reasonCode >= 0x80) delivery.error = new Error(`refused with ${reasonCode}`)
    const { owner } = delivery
    delivery.owner = undefined
    owner?.settle(delivery, delivery.error)
    if (delivery.error === undefined && !delivery.abandoned) this.#over.push(delivery)
  }

  #acknowledge(first, id) {
    this.#output.acknowledge(first, id)
    this.#packetsOut[first >> 4] += 1
  }

  receive(mode, handler) {
    this.#isBorrowed = mode === 'borrowed'
    this.#handler = handler
  }

  #message(bytes, view, flags, head, end) {
    const qos = (flags >> 1) & 3
    if (qos === 3) fail('QoS 3')
    if (qos === 0 && flags & 8) fail('DUP at QoS 0')
    if (head + 2 > end) fail('too short')
    const size = (bytes[head] << 8) | bytes[head + 1]
    const start = head + 2
    if (size === 0 || start + size > end) fail('too short')
    const last = this.#lastTopic
    const name = this.#isTopic(last, view, start, size) ? last : this.#learn(bytes, start, size)
    let at = start + size
    let id = 0
    if (qos > 0) {
      if (at + 2 > end) fail('too short')
      id = (bytes[at] << 8) | bytes[at + 1]
      if (id === 0) fail('the packet identifier 0')
      at += 2
    }
    this.#messagesIn[qos] += 1
    const message = new Message(name, flags, id, undefined, bytes.buffer, at, end)
    if (qos === 2) {
      if (this.#received[id] === 1) return this.#acknowledge(0x50, id)
      this.#received[id] = 1
    }
    if (qos > 0) {
      if (this.#arrived - this.#sent >= 65_535) fail('receive maximum exceeded')
      message.place = ++this.#arrived
    }
    if (!this.#isBorrowed) this.#keep(message, bytes)
    this.running += 1
    let result
    try {
      result = this.#handler(message)
    } catch (error) {
      return this.#failed(message, error)
    }
    if (result !== undefined && result !== null && typeof result.then === 'function') {
      result.then(
        () => this.#handled(message),
        (error) => this.#failed(message, error),
      )
    } else this.#handled(message)
  }

  #handled(message) {
    this.running -= 1
    const { qos } = message
    if (qos === 0) return
    if (message.place !== this.#sent + 1) return void this.#late.set(message.place, message)
    this.#sent = message.place
    this.#acknowledge(qos === 1 ? 0x40 : 0x50, message.packetId)
    if (this.#late.size === 0) return
    for (let next = this.#late.get(this.#sent + 1); next; next = this.#late.get(this.#sent + 1)) {
      this.#sent += 1
      this.#late.delete(this.#sent)
      this.#acknowledge(next.qos === 1 ? 0x40 : 0x50, next.packetId)
    }
  }

  #failed(message, error) {
    console.error(error)
    this.#handled(message)
  }

  /** As many bytes of the chunk at once as a cheap piece of memory holds. */
  #keep(message, bytes) {
    if (message.start < this.#keptFrom || message.end > this.#keptTo) {
      this.#keptFrom = message.start
      this.#keptTo = Math.min(bytes.length, Math.max(message.end, message.start + PIECE))
      this.#kept = bytes.slice(this.#keptFrom, this.#keptTo)
      this.#keptBuffer = this.#kept.buffer
    }
    message.buffer = this.#keptBuffer
    message.start -= this.#keptFrom
    message.end -= this.#keptFrom
  }

  #isTopic(topic, view, start, size) {
    if (topic.size !== size) return false
    const known = topic.view
    let i = 0
    for (; i + 4 <= size; i += 4) if (view.getUint32(start + i) !== known.getUint32(i)) return false
    for (; i < size; i++) if (view.getUint8(start + i) !== known.getUint8(i)) return false
    return true
  }

  #learn(bytes, start, size) {
    const copy = bytes.slice(start, start + size)
    const text = this.#decoder.decode(copy)
    if (/[+#\0]/.test(text)) fail(`the topic ${text}`)
    let topic = this.#topics.get(text)
    if (topic === undefined) {
      topic = new Topic(text, new DataView(copy.buffer))
      this.#topics.set(text, topic)
    }
    return (this.#lastTopic = topic)
  }
}

const isBare = (message) => {
  for (const name in message) if (name !== 'topic' && name !== 'payload') return false
  return true
}

const ways = {
  send: async (flat, { count, payload, topics }) => {
    const topic = rotation(topics)
    for (let i = 0; i < count; i++) if (!flat.send(topic(), payload)) await flat.drained()
    flat.flush()
  },
  publish: async (flat, { count, qos, payload, topics, window }) => {
    const topic = rotation(topics)
    const options = { qos }
    if (qos > 0) {
      return sliding(count, window, (done, failed) => {
        flat.publish(topic(), payload, options).then(done, failed)
      })
    }
    return slices(count, window, (n) => {
      for (let i = 1; i < n; i++) void flat.handOver(topic(), payload)
      return flat.handOver(topic(), payload)
    })
  },
  publishAll: async (flat, { count, qos, payload, topics, window }) => {
    const topic = rotation(topics)
    const messages = (function* () {
      for (let i = 0; i < count; i++) yield { topic: topic(), payload }
    })()
    const options = { qos }
    if (qos === 0) {
      for (const message of messages) {
        if (!isBare(message)) fail('options')
        if (!flat.send(message.topic, message.payload)) await flat.drained()
      }
      return flat.flush()
    }
    const batch = new Batch()
    let index = 0
    await new Promise((resolve) => {
      const take = () => {
        while (batch.open < window && !flat.isSaturated) {
          const { value, done } = messages.next()
          if (done) break
          if (!isBare(value)) fail('options')
          batch.open += 1
          flat.take(value.topic, value.payload, options, batch, index++)
        }
        if (batch.open === 0) resolve()
      }
      flat.onTurn = take
      take()
    })
    if (batch.published !== count) fail(`${batch.published} of ${count} published`)
  },
}

const open = async ({ port, version, clientId = 'bench', window = 65_519 }, memory, tables) => {
  if (version === '5') fail('3.1.1 only')
  let flat
  const onread = {
    buffer: () => flat?.memory ?? memory,
    callback: (size) => {
      flat.read(size)
      return true
    },
  }
  const socket = dial({ host: '127.0.0.1', port, noDelay: true, onread })
  flat = new Flat(socket, memory, window, tables)
  await flat.ask(encodeConnect(4, clientId))
  return { flat, socket }
}

export const connect = async ({ role, qos, window, ...settings }) => {
  const atOnce = role === 'publish' && qos > 0 ? window : undefined
  const memory = new Uint8Array(READ_BUFFER)
  const { flat, socket } = await open({ ...settings, window: atOnce }, memory, tablesOf())
  return {
    publish: (topic, payload, qos, done) => void flat.publish(topic, payload, { qos }).then(done),
    publishMany: (messages) => ways[messages.mode](flat, messages),
    flush: () => flat.ask(encodeSubscribe(4, 65_535, 'bench/flush', 0)),
    receive: ({ filter, qos: granted, mode, onMessage }) => {
      flat.receive(mode, (message) => onMessage(message.topic, message.payload))
      return flat.ask(encodeSubscribe(4, 1, filter, granted))
    },
    end: async () => socket.end(Uint8Array.of(0xe0, 0)),
  }
}

/** They share what an idle connection does not need; the tables it would have with its first message. */
export const connectMany = ({ port, version, count, atOnce }) => {
  const memory = new Uint8Array(READ_BUFFER)
  const tables = tablesOf()
  return sliding(count, atOnce, (done, failed) => open({ port, version }, memory, tables).then(done, failed))
}

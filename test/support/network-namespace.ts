// Hosts behind a real link that can be cut without a word: no FIN, no RST, no carrier lost, packets just vanish, in
// both directions. For this a network namespace holds addresses of its own, and one that is taken away there is
// a host that has gone.
//
//   describeNetworkNamespace('half-open links', (network) => {
//     it('…', async () => {
//       const host = await network().host({ host: network().near, port })   // forwards to a port of this process
//       … connect to host.url …
//       await host.cut()
//       await host.heal()
//     })
//   })
//
// The namespace belongs to a child process that ends with this one, however this one ends, and with the namespace
// go its links, addresses and routes: nothing is left behind. Needed are root, `ip` of iproute2, and `unshare`,
// which every Debian has. No firewall and no traffic control is needed, which not every kernel knows.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { afterAll, describe } from 'vitest'
import { findExecutable } from './find.ts'
import { requirement } from './requirements.ts'

/** What runs within the namespace: on demand a port that forwards, or a command. One answer to each request. */
const PROGRAM = `
const { execFileSync, spawnSync } = require('node:child_process')
const { readFileSync, writeFileSync } = require('node:fs')
const net = require('node:net')
// The link is deleted by name: connections that are dying keep the namespace for minutes.
const [, ip, link] = process.argv
process.on('exit', () => spawnSync(ip, ['link', 'del', link], { stdio: 'ignore' }))
process.on('disconnect', () => process.exit())

// A packet for an address that has gone must not be answered by ICMP, as a router would.
const forwarding = '/proc/sys/net/ipv4/ip_forward'
if (readFileSync(forwarding, 'utf8').trim() !== '0') writeFileSync(forwarding, '0')

function forward(to, listening) {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    const far = net.connect({ ...to, allowHalfOpen: true, noDelay: true })
    for (const [one, other] of [[near, far], [far, near]]) {
      one.pipe(other)
      one.on('error', () => other.destroy())
    }
  })
  server.listen(0, '0.0.0.0', () => listening(server.address().port))
}

process.on('message', ({ run, to }) => {
  try {
    if (to !== undefined) forward(to, (port) => process.send({ port }))
    else process.send({ output: execFileSync(run[0], run.slice(1), { encoding: 'utf8', stdio: 'pipe' }) })
  } catch (error) {
    process.send({ error: error.message })
  }
})
process.send({})
`

/** Of namespaces at a time, each with addresses of its own, and of tries to find one that is free. */
const NUMBERS = 250
const TRIES = 20

interface Answer {
  readonly error?: string
  readonly port?: number
}

const IP = findExecutable('ip') ?? ''

/** An address that exists or not. */
export class FarHost {
  readonly address: string
  readonly port: number
  readonly #change: (verb: 'add' | 'del', address: string) => Promise<void>
  #isCut = false

  constructor(
    address: string,
    port: number,
    change: (verb: 'add' | 'del', address: string) => Promise<void>,
  ) {
    this.address = address
    this.port = port
    this.#change = change
  }

  get url(): string {
    return `mqtt://${this.address}:${this.port}`
  }

  /** From now on packets vanish, both ways. */
  async cut(): Promise<void> {
    if (!this.#isCut) await this.#change('del', this.address)
    this.#isCut = true
  }

  async heal(): Promise<void> {
    if (this.#isCut) await this.#change('add', this.address)
    this.#isCut = false
  }
}

export class NetworkNamespace {
  /** This end of the link, where servers of this process listen. */
  readonly near: string
  readonly #child: ChildProcess
  /** The name of the far end; the near one has an `n` behind it. */
  readonly #link: string
  /** Of its addresses: `198.18.n.2` at the link, the hosts are `198.19.n.1` and on; a range kept free for tests, RFC 2544. */
  readonly number: number
  #hosts = 0
  #last: Promise<unknown> = Promise.resolve()

  private constructor(child: ChildProcess, link: string, number: number) {
    this.#child = child
    this.#link = link
    this.number = number
    this.near = `198.18.${number}.1`
  }

  /**
   * @param number that its addresses have, or one behind it where that is taken: by another run on this machine
   * @throws Error also when the machine forbids it, see `isForbidden`
   */
  static async open(number: number = 1 + randomInt(NUMBERS)): Promise<NetworkNamespace> {
    for (let tried = 1; ; tried += 1) {
      try {
        return await NetworkNamespace.#open(1 + ((number + tried - 2) % NUMBERS))
      } catch (error) {
        if (tried === TRIES || !String(error).includes('File exists')) throw error
      }
    }
  }

  static async #open(number: number): Promise<NetworkNamespace> {
    const link = `petrel${randomBytes(4).toString('hex')}`
    const child = spawn('unshare', ['--net', process.execPath, '-e', PROGRAM, IP, link], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    })
    let complaint = ''
    child.stderr?.on('data', (chunk: Buffer) => (complaint += chunk.toString()))
    const namespace = new NetworkNamespace(child, link, number)
    try {
      const failed = once(child, 'exit').then(() => {
        throw new Error(complaint.trim())
      })
      await Promise.race([once(child, 'message'), failed])
      await namespace.#setUp()
      return namespace
    } catch (error) {
      await namespace.close()
      throw error
    }
  }

  /** A new host in the namespace, with a port that forwards to one that the namespace can reach. */
  async host(to: { readonly host: string; readonly port: number }): Promise<FarHost> {
    this.#hosts += 1
    const address = `198.19.${this.number}.${this.#hosts}`
    const { port } = await this.#ask({ to })
    if (port === undefined) throw new Error('the namespace gave no port')
    await this.#run('addr', 'add', `${address}/32`, 'dev', 'lo')
    return new FarHost(address, port, (verb, changed) =>
      this.#run('addr', verb, `${changed}/32`, 'dev', 'lo'),
    )
  }

  async close(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }

  /** A pair of interfaces, one here and one there, and the way to the hosts behind it. */
  async #setUp(): Promise<void> {
    const far = `198.18.${this.number}.2`
    const [here, there] = [`${this.#link}n`, this.#link]
    runHere('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', String(this.#child.pid))
    runHere('addr', 'add', `${this.near}/30`, 'dev', here)
    runHere('link', 'set', here, 'up')
    await this.#run('addr', 'add', `${far}/30`, 'dev', there)
    await this.#run('link', 'set', there, 'up')
    await this.#run('link', 'set', 'lo', 'up')
    runHere('route', 'add', `198.19.${this.number}.0/24`, 'via', far)
  }

  async #run(...words: readonly string[]): Promise<void> {
    await this.#ask({ run: [IP, ...words] })
  }

  /** One at a time: answers have no numbers. */
  #ask(request: object): Promise<Answer> {
    const answer = this.#last.then(async () => {
      const answered = once(this.#child, 'message') as Promise<[Answer]>
      this.#child.send(request)
      const [given] = await answered
      if (given.error !== undefined) throw new Error(given.error)
      return given
    })
    this.#last = answer.catch(() => {})
    return answer
  }
}

function runHere(...words: readonly string[]): void {
  const { status, stderr, error } = spawnSync(IP, words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`ip ${words.join(' ')}: ${error?.message ?? stderr.trim()}`)
}

/** Tried once for each file, since only a try shows what a machine forbids. */
async function openNamespace(): Promise<NetworkNamespace | Error> {
  return NetworkNamespace.open().catch((error: unknown) => {
    if (error instanceof Error && isForbidden(error)) return error
    throw error
  })
}

/**
 * What containers say that may have no namespaces, no interfaces of their own or no say in `/proc/sys`, and kernels that
 * know none of it. Anything else is a fault of ours.
 */
export function isForbidden({ message }: Error): boolean {
  return /Operation not (?:permitted|supported)|Permission denied|Read-only file system|\bE(?:PERM|ACCES|ROFS)\b/i.test(
    message,
  )
}

/** A suite with a namespace of its own, skipped where there is no `ip`, no root, or no permission. */
export async function describeNetworkNamespace(
  title: string,
  tests: (network: () => NetworkNamespace) => void,
): Promise<void> {
  if (!requirement('iproute2', IP !== '' && process.getuid?.() === 0)) {
    describe.skip(`${title} [needs iproute2]`, () => tests(notThere))
    return
  }
  const network = await openNamespace()
  if (network instanceof Error) {
    requirement('network-namespaces', false)
    console.warn(`Forbidden by the machine, not a failure: ${title}. ${network.message}`)
    describe.skip(`${title} [needs network-namespaces]`, () => tests(notThere))
    return
  }
  describe(`${title} [needs iproute2]`, () => {
    afterAll(() => network.close())
    tests(() => network)
  })
}

function notThere(): never {
  throw new Error('there is no namespace outside the tests of its suite')
}

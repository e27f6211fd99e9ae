/**
 * URL → transport, where there are sockets: Node, Bun and Deno.
 *
 *     socket ─► tunnel ─► TLS ─► WebSocket       each link only where URL or options ask for it
 *
 * All links stand under one signal; the first that fails takes those before it down. What Node has for them, and what
 * few need, is loaded when it is first needed, so that importing the package costs no more than it must.
 */

import type net from 'node:net'
import { ConnectionError } from '../core/errors.ts'
import { cachedLookup, usersLookup } from './addresses.ts'
import { checkTarget } from './check-target.ts'
import type { WebSocketOptions } from './dial-options.ts'
import { dialSocket, openSocket, type Progress, type SocketTarget, SocketTransport } from './tcp.ts'
import type { TlsMemory } from './tls.ts'
import type { Dial, DialTarget, Transport } from './transport.ts'

/** A dialer with its own memory of addresses, certificates and TLS sessions. @param dnsTtl ms */
export function createDial({ dnsTtl, runtime }: { dnsTtl: number; runtime: { now(): number } }): Dial {
  const shared: Shared = { lookup: cachedLookup(dnsTtl, () => runtime.now()), tls: undefined }
  const dial: Dial = (target, signal) => new Dialing(target, signal, shared).run()
  dial.check = checkTarget
  return dial
}

interface Shared {
  readonly lookup: net.LookupFunction
  /** Made with the first TLS connection. */
  tls: TlsMemory | undefined
}

/** What did not happen in time. */
const LATE: Readonly<Record<Progress['phase'], string>> = {
  dns: 'the name was not resolved',
  tcp: 'the host did not answer: check host, port and firewalls',
  proxy: 'the proxy did not answer, or did not get through',
  tls: 'the TLS handshake was not answered: check that the server speaks TLS on this port',
  websocket: 'the WebSocket handshake was not answered, or websocket.transform or validate did not settle',
}

class Dialing {
  readonly #url: URL
  readonly #options: DialTarget['options']
  readonly #signal: AbortSignal
  readonly #shared: Shared
  readonly #progress: Progress = { phase: 'tcp' }

  constructor({ url, options }: DialTarget, signal: AbortSignal, shared: Shared) {
    this.#url = url
    this.#options = options
    this.#signal = signal
    this.#shared = shared
  }

  async run(): Promise<Transport> {
    try {
      return await this.#open()
    } catch (error) {
      throw this.#told(error)
    }
  }

  /** What the links threw, as users are told it: a time-out says what was waited for. */
  #told(error: unknown): unknown {
    const { phase } = this.#progress
    if (error instanceof ConnectionError && error.code === 'connect-timeout')
      return new ConnectionError(error.code, `${error.message}; ${LATE[phase]}`, { phase, cause: error })
    if (error instanceof ConnectionError || this.#signal.aborted) return error
    const message = `no connection to ${this.#url.host}: ${(error as Error).message}`
    return new ConnectionError('connect-failed', message, { phase, cause: error })
  }

  async #open(): Promise<Transport> {
    switch (this.#url.protocol) {
      case 'ws:':
      case 'wss:':
        return this.#webSocket()
      case 'mqtts:':
      case 'ssl:':
      case 'tls:':
        return SocketTransport.over(await this.#stream(this.#url, true))
      default:
        if (this.#proxyFor(this.#url) === undefined)
          return dialSocket(this.#target(this.#url), this.#signal, this.#progress)
        return SocketTransport.over(await this.#stream(this.#url, false))
    }
  }

  async #webSocket(): Promise<Transport> {
    this.#progress.phase = 'websocket'
    const { prepareWebSocket, openWebSocket } = await import('./websocket.ts')
    const { websocket = {}, maximumPacketSize = Infinity, socket: { noDelay } = {} } = this.#options
    const request = await prepareWebSocket(this.#url, websocket, this.#signal)
    const socket = await this.#stream(request.url, request.url.protocol === 'wss:')
    this.#progress.phase = 'websocket'
    const { validate }: WebSocketOptions = websocket
    return openWebSocket(socket, request, { validate, maximumPacketSize, noDelay }, this.#signal)
  }

  /** A socket to the URL's host, through a proxy if there is one, in TLS if it is asked for. */
  async #stream(url: URL, isSecure: boolean): Promise<net.Socket> {
    const proxy = this.#proxyFor(url)
    const socket =
      proxy === undefined
        ? await openSocket(this.#target(url), this.#signal, this.#progress)
        : await this.#tunnel(proxy, url)
    return isSecure ? this.#secure(socket, url, 'tls') : socket
  }

  /** A Unix socket is on this machine: there is nothing between. */
  #proxyFor(url: URL): URL | undefined {
    const { proxy } = this.#options
    return proxy === undefined || url.protocol === 'unix:' ? undefined : new URL(proxy)
  }

  async #tunnel(proxy: URL, url: URL): Promise<net.Socket> {
    this.#progress.phase = 'proxy'
    const { openTunnel } = await import('./proxy.ts')
    const plain = await openSocket(this.#target(proxy), this.#signal, { phase: 'proxy' }).catch(notReached)
    const socket = proxy.protocol === 'https:' ? await this.#secure(plain, proxy, 'proxy') : plain
    return openTunnel(socket, proxy, { host: hostOf(url), port: portOf(url) }, this.#signal)
  }

  async #secure(socket: net.Socket, url: URL, phase: 'tls' | 'proxy'): Promise<net.Socket> {
    this.#progress.phase = phase
    const { optionsForProxy, secure, TlsMemory: Memory } = await import('./tls.ts')
    const memory = (this.#shared.tls ??= new Memory())
    const { tls = {} } = this.#options
    const options = phase === 'proxy' ? optionsForProxy(tls) : tls
    return secure(socket, { host: hostOf(url), port: portOf(url), options, phase }, memory, this.#signal)
  }

  #target(url: URL): SocketTarget {
    if (url.protocol === 'unix:') return { path: decodeURIComponent(url.pathname) }
    const { socket = {}, lookup } = this.#options
    const { noDelay = true, keepAlive = false, family, localAddress } = socket
    return {
      host: hostOf(url),
      port: portOf(url),
      noDelay,
      family,
      localAddress,
      keepAlive: typeof keepAlive === 'number' ? keepAlive : keepAlive ? PROBE_AFTER : 0,
      lookup: lookup === undefined ? this.#shared.lookup : usersLookup(lookup),
    }
  }
}

/** ms of silence before TCP's first probe, when the user names none. */
const PROBE_AFTER = 60_000

/** Those that a URL leaves out; of `mqtt:` and its like the client has filled it in. */
const PORTS: Readonly<Record<string, number>> = {
  'ws:': 80,
  'wss:': 443,
  'http:': 80,
  'https:': 443,
  'socks5:': 1_080,
}

/** Only with the schemes of the web a URL has names of other alphabets as they are looked up. */
function hostOf({ hostname }: URL): string {
  const name = hostname.includes('%') ? new URL(`ws://${hostname}`).hostname : hostname
  return name.replace(/^\[|\]$/g, '')
}

function portOf(url: URL): number {
  return url.port === '' ? (PORTS[url.protocol] ?? 1_883) : Number(url.port)
}

function notReached(error: unknown): never {
  if (!(error instanceof ConnectionError) || error.code !== 'connect-failed') throw error
  const message = `the proxy was not reached: ${error.message}`
  throw new ConnectionError('connect-failed', message, { phase: 'proxy', cause: error.cause })
}

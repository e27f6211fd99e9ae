// Proxies on loopback: HTTP CONNECT and SOCKS5, right ones that keep what they were asked for, and wrong ones. Names
// that end in `.test` they resolve to 127.0.0.1, which nobody else does; beyond loopback they reach nobody.
//
//   const proxy = httpProxy({ login: 'ada:lovelace' })
//   const port = await servers.listen(proxy.server)
//   … proxy: `http://ada:lovelace@127.0.0.1:${port}` …
//   expect(proxy.asked).toEqual(['broker.test:1883'])
import net from 'node:net'
import tls from 'node:tls'

export interface ProxyOptions {
  /** `user:password` that it wants. */
  readonly login?: string
  /** With certificate and key: it is spoken to in TLS. */
  readonly secure?: tls.TlsOptions
}

export interface TestProxy {
  readonly server: net.Server
  /** `host:port`, as the client gave it. */
  readonly asked: string[]
  /** Of TLS: the name that was asked for, and whether a certificate came; for each connection. */
  readonly shaken: { readonly servername: string | false | undefined; readonly hasCertificate: boolean }[]
}

type Talker = (talk: Talk, asked: string[], options: ProxyOptions) => Promise<void>

export function httpProxy(options: ProxyOptions = {}): TestProxy {
  return proxyOf(talkHttp, options)
}

export function socksProxy(options: ProxyOptions = {}): TestProxy {
  return proxyOf(talkSocks, options)
}

function proxyOf(talker: Talker, options: ProxyOptions): TestProxy {
  const asked: string[] = []
  const shaken: TestProxy['shaken'] = []
  const accepted = (socket: net.Socket): void => {
    socket.on('error', () => {})
    if (socket instanceof tls.TLSSocket) {
      const hasCertificate = Object.keys(socket.getPeerCertificate()).length > 0
      shaken.push({ servername: (socket as { servername?: string | false }).servername, hasCertificate })
    }
    talker(new Talk(socket), asked, options).catch(() => socket.destroy())
  }
  const { secure } = options
  return {
    server: secure === undefined ? net.createServer(accepted) : tls.createServer(secure, accepted),
    asked,
    shaken,
  }
}

async function talkHttp(talk: Talk, asked: string[], { login }: ProxyOptions): Promise<void> {
  const [request = '', ...fields] = (await talk.line()).split('\r\n')
  const target = /^CONNECT (\S+) HTTP\/1\.1$/.exec(request)?.[1]
  if (target === undefined) throw new Error(request)
  asked.push(target)
  const expected = `Proxy-Authorization: Basic ${Buffer.from(login ?? '').toString('base64')}`
  if (login !== undefined && !fields.includes(expected)) {
    talk.socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n')
    return
  }
  const { hostname, port } = new URL(`http://${target}`)
  if (
    await talk.carry(hostname, Number(port), () =>
      talk.socket.write('HTTP/1.1 200 Connected\r\nVia: x\r\n\r\n'),
    )
  )
    return
  talk.socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n')
}

async function talkSocks(talk: Talk, asked: string[], { login }: ProxyOptions): Promise<void> {
  const [, count = 0] = await talk.bytes(2)
  const methods = [...(await talk.bytes(count))]
  const method = login === undefined ? 0 : methods.includes(2) ? 2 : 0xff
  talk.socket.write(Buffer.of(5, method))
  if (login !== undefined) {
    const [, userSize = 0] = await talk.bytes(2)
    const user = (await talk.bytes(userSize)).toString()
    const [passwordSize = 0] = await talk.bytes(1)
    const password = (await talk.bytes(passwordSize)).toString()
    const isRight = `${user}:${password}` === login
    talk.socket.write(Buffer.of(1, isRight ? 0 : 1))
    if (!isRight) return void talk.socket.end()
  }
  const [, , , kind = 0] = await talk.bytes(4)
  const host = await hostOfKind(talk, kind)
  const port = (await talk.bytes(2)).readUInt16BE()
  asked.push(`${host}:${port}`)
  const answer = (code: number): Buffer => Buffer.of(5, code, 0, 1, 127, 0, 0, 1, 0, 0)
  if (!(await talk.carry(host, port, () => talk.socket.write(answer(0))))) talk.socket.end(answer(5))
}

async function hostOfKind(talk: Talk, kind: number): Promise<string> {
  if (kind === 1) return (await talk.bytes(4)).join('.')
  if (kind === 3) return (await talk.bytes((await talk.bytes(1))[0] ?? 0)).toString()
  const bytes = await talk.bytes(16)
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16))
  return `[${groups.join(':')}]`
}

/** What a proxy hears, by number or by blank line, and the way on. */
class Talk {
  readonly socket: net.Socket
  #received: Buffer = Buffer.alloc(0)
  #wake: () => void = () => {}
  readonly #take = (chunk: Buffer): void => {
    this.#received = Buffer.concat([this.#received, chunk])
    this.#wake()
  }

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', this.#take)
  }

  bytes(count: number): Promise<Buffer> {
    return this.#hear(() => (this.#received.length < count ? -1 : count))
  }

  async line(): Promise<string> {
    const head = await this.#hear(() => {
      const end = this.#received.indexOf('\r\n\r\n')
      return end < 0 ? -1 : end + 4
    })
    return head.toString('latin1').trimEnd()
  }

  /** Joins the client to a server; false when there is none. */
  carry(host: string, port: number, connected: () => void): Promise<boolean> {
    const name = host.endsWith('.test') ? '127.0.0.1' : host.replaceAll(/[[\]]/g, '')
    if (!/^127\.|^(?:::|(?:0:){7})1$/.test(name)) return Promise.resolve(false)
    return new Promise((resolve) => {
      const server = net.connect({ host: name, port })
      server.once('connect', () => {
        this.socket.off('data', this.#take)
        connected()
        this.socket.pipe(server).pipe(this.socket)
        this.socket.on('close', () => server.destroy())
        resolve(true)
      })
      server.on('error', () => resolve(false))
      server.on('close', () => this.socket.destroySoon())
    })
  }

  async #hear(length: () => number): Promise<Buffer> {
    while (length() < 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    const count = length()
    const heard = this.#received.subarray(0, count)
    this.#received = this.#received.subarray(count)
    return heard
  }
}

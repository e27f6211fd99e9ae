/**
 * What users may say about the way to a broker. Platform-free types: Node's names where Node has them, so that what
 * works with `tls.connect` works here; a dialer checks what it uses and refuses what it cannot do.
 */

/** PEM text, or its bytes, or the path of a file; a file is read for each attempt, so that it may be renewed. */
export type Pem = string | Uint8Array

/**
 * Options of TLS, for `mqtts:` and `wss:`; a URL of another kind is not encrypted, whatever stands here. Not in
 * browsers, which decide for themselves.
 *
 * They are about the broker: of a proxy, `https://`, the certificate is always verified, by the system's authorities
 * and those of `ca`, and none of ours is shown to it.
 */
export interface TlsOptions {
  /** The authorities that are trusted, in place of the system's. */
  readonly ca?: Pem | readonly Pem[] | undefined
  /** The client's certificate, with those between it and its authority. */
  readonly cert?: Pem | undefined
  readonly key?: Pem | undefined
  /** Certificate and key in one PKCS#12 file: its bytes or its path. */
  readonly pfx?: string | Uint8Array | undefined
  /** Of an encrypted `key` or of `pfx`. */
  readonly passphrase?: string | undefined
  /** The name that is asked for and that the certificate must have. Default: the URL's host. */
  readonly servername?: string | undefined
  /** Protocols to offer, such as `['x-amzn-mqtt-ca']` (AWS IoT on port 443). */
  readonly ALPNProtocols?: readonly string[] | undefined
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined
  readonly ciphers?: string | undefined
  /** False: any certificate will do. Anybody in between can then read and write. Default true. */
  readonly rejectUnauthorized?: boolean | undefined
  /** As in `tls.connect`: an error says that the certificate is not this host's. Sessions are not resumed then. */
  readonly checkServerIdentity?: ((host: string, certificate: object) => Error | undefined) | undefined
  /** Made by `tls.createSecureContext`; in place of `ca`, `cert`, `key`, `pfx`, `passphrase`, `ciphers` and the versions. */
  readonly secureContext?: object | undefined
}

/** Options of the socket. Not in browsers. */
export interface SocketOptions {
  /** Small packets leave at once. Default true. */
  readonly noDelay?: boolean | undefined
  /** TCP keep-alive probes; a number: ms of silence before the first. Default false: MQTT has its own. */
  readonly keepAlive?: boolean | number | undefined
  /** Only addresses of this family. Default: both, in turn. */
  readonly family?: 4 | 6 | undefined
  /** The address to connect from; then only the first address of a name is tried. */
  readonly localAddress?: string | undefined
}

/** What a WebSocket handshake is about to say. */
export interface WebSocketRequest {
  readonly url: URL
  /** Empty in browsers, which send none of ours. */
  readonly headers: Readonly<Record<string, string>>
}

/** What the server said to it. */
export interface WebSocketResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

/** Options of WebSocket connections, for `ws:` and `wss:`. */
export interface WebSocketOptions {
  /** Path and query, in place of the URL's. Default: the URL's path, or `/mqtt`. */
  readonly path?: string | undefined
  /** Not in browsers. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Changes each handshake before it is sent: signs the URL, renews a token. */
  readonly transform?:
    | ((request: WebSocketRequest) => WebSocketRequest | PromiseLike<WebSocketRequest>)
    | undefined
  /** Looks at the answer of a server that agreed; a throw ends the attempt. Not in browsers. */
  readonly validate?: ((response: WebSocketResponse) => void | PromiseLike<void>) | undefined
}

/** An address that a look-up has found. */
export interface ResolvedAddress {
  readonly address: string
  readonly family: 4 | 6
}

/** As `dns.lookup` with `all: true`: all addresses of a name, the best first. */
export type Lookup = (
  hostname: string,
  options: { readonly all: true; readonly family?: number | undefined },
  callback: (error: Error | null, addresses: readonly ResolvedAddress[]) => void,
) => void

/** The options of a client that its dialer uses. */
export interface DialOptions {
  readonly tls?: TlsOptions | undefined
  readonly socket?: SocketOptions | undefined
  readonly websocket?: WebSocketOptions | undefined
  /**
   * `http://` or `https://` (CONNECT) or `socks5://`, with `user:password@` where it wants them. It resolves the
   * broker's name. Not for `unix:`, and not in browsers.
   */
  readonly proxy?: string | URL | undefined
  /** How names become addresses. Default: the system's, remembered for the pool's `dnsTtl`. Not in browsers. */
  readonly lookup?: Lookup | undefined
}

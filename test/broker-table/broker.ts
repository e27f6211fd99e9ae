// What a broker of the table is: where it comes from, how it is started on loopback, and what it is known not to do.
import type { Version } from './outcome.ts'

/** Where one can connect. `mqtts` and `wss` have a certificate of `ca` for 127.0.0.1. */
export interface Urls {
  readonly tcp: string
  readonly tls: string
  readonly ws: string
  readonly wss: string
}

export interface RunningBroker {
  readonly urls: Urls
  /** As PEM. */
  readonly ca: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** Ends it, and removes what it has written. */
  stop(): Promise<void>
}

/** A feature that is known not to work with a broker, and how that must show. */
export interface Limitation {
  /** The name of the feature. */
  readonly feature: string
  /** The one version in which it shows; undefined: in each. */
  readonly version?: Version | undefined
  /** Found in what the feature fails with, `describe()` of the client's error: else it is a failure. */
  readonly shows: RegExp
  /** Why; a sentence. */
  readonly because: string
}

/** Something that a broker does otherwise than one might expect, and what the client does about it. */
export interface Quirk {
  readonly what: string
  readonly client: string
}

export interface Package {
  /** A program on the PATH, or a path. */
  readonly program: string
  /** The Debian package that has it. */
  readonly name: string
}

export interface BrokerKind {
  readonly name: string
  readonly packages: readonly Package[]
  /** The versions of MQTT that it speaks, the newest last. */
  readonly versions: readonly Version[]
  readonly limitations: readonly Limitation[]
  readonly quirks: readonly Quirk[]
  start(): Promise<RunningBroker>
}

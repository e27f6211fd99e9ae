// Certificates for tests of TLS, made where they are used: an authority, what it issues (in time or not, for whom one
// likes), encrypted keys and PKCS#12 files. Written by hand, because `node:crypto` signs but makes no certificates, and
// a package for it would bring two dozen others.
//
//   const authority = new Authority('A')
//   const server = tls.createServer(authority.issue({ names: ['localhost'] }))
//   await connect(url, { tls: { ca: authority.cert } })
import {
  createHash,
  createHmac,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import { isIP } from 'node:net'

/** A certificate and its key, as PEM. */
export interface Identity {
  readonly cert: string
  readonly key: string
}

export interface IssueOptions {
  /** DNS names and IPv4 addresses. */
  readonly names?: readonly string[]
  /** Its time begins and ends so many days from now. */
  readonly days?: readonly [from: number, to: number]
}

const DAY = 86_400_000

export class Authority {
  /** As PEM. */
  readonly cert: string
  readonly #name: string
  readonly #key: KeyObject

  constructor(name: string) {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const extensions = [
      extension(BASIC_CONSTRAINTS, sequence(boolean(true))),
      extension(KEY_USAGE, BIT_STRING_OF_AUTHORITY),
    ]
    this.#name = name
    this.#key = privateKey
    this.cert = certificate({ issuer: name, subject: name, publicKey, extensions, days: [-2, 2] }, privateKey)
  }

  issue({ names = ['localhost', '127.0.0.1'], days = [-1, 1] }: IssueOptions = {}): Identity {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const alternatives = names.map((name) =>
      isIP(name) === 4 ? der(0x87, Buffer.from(name.split('.').map(Number))) : der(0x82, Buffer.from(name)),
    )
    const extensions = [extension(ALTERNATIVE_NAMES, sequence(...alternatives))]
    const subject = names[0] ?? 'nobody'
    return {
      cert: certificate({ issuer: this.#name, subject, publicKey, extensions, days }, this.#key),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    }
  }
}

/** The key, encrypted. */
export function encryptedKey({ key }: Identity, passphrase: string): string {
  const options = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase } as const
  return createPrivateKey(key).export(options) as string
}

/** A PKCS#12 file (RFC 7292) with the certificate, its encrypted key, and a check sum under the passphrase. */
export function pfxOf({ cert, key }: Identity, passphrase: string): Uint8Array {
  const cipher = 'aes-256-cbc'
  const shrouded = createPrivateKey(key).export({ type: 'pkcs8', format: 'der', cipher, passphrase })
  const certBag = sequence(oid(X509_BAG), explicit(octets(new X509Certificate(cert).raw)))
  const bags = sequence(bag(CERT_BAG, certBag), bag(SHROUDED_KEY_BAG, shrouded))
  const safe = sequence(dataOf(bags))
  const salt = randomBytes(8)
  const mac = createHmac('sha256', macKey(passphrase, salt)).update(safe).digest()
  const digest = sequence(sequence(oid(SHA256), der(0x05)), octets(mac))
  return sequence(integer(3), dataOf(safe), sequence(digest, octets(salt), integer(MAC_ROUNDS)))
}

interface Content {
  readonly issuer: string
  readonly subject: string
  readonly publicKey: KeyObject
  readonly extensions: readonly Buffer[]
  readonly days: readonly [from: number, to: number]
}

/** RFC 5280, section 4.1. */
function certificate({ issuer, subject, publicKey, extensions, days }: Content, key: KeyObject): string {
  const algorithm = sequence(oid(ECDSA_WITH_SHA256))
  const content = sequence(
    der(0xa0, integer(2)),
    der(0x02, Buffer.concat([Buffer.of(1), randomBytes(8)])),
    algorithm,
    nameOf(issuer),
    sequence(...days.map((day) => der(0x17, Buffer.from(utcTime(Date.now() + day * DAY))))),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signature = der(0x03, Buffer.of(0), sign('sha256', content, key))
  const lines =
    sequence(content, algorithm, signature)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

const ECDSA_WITH_SHA256 = [1, 2, 840, 10_045, 4, 3, 2]
const COMMON_NAME = [2, 5, 4, 3]
const BASIC_CONSTRAINTS = [2, 5, 29, 19]
const KEY_USAGE = [2, 5, 29, 15]
const ALTERNATIVE_NAMES = [2, 5, 29, 17]
const SHA256 = [2, 16, 840, 1, 101, 3, 4, 2, 1]
const DATA = [1, 2, 840, 113_549, 1, 7, 1]
const X509_BAG = [1, 2, 840, 113_549, 1, 9, 22, 1]
const SHROUDED_KEY_BAG = [1, 2, 840, 113_549, 1, 12, 10, 1, 2]
const CERT_BAG = [1, 2, 840, 113_549, 1, 12, 10, 1, 3]

/** keyCertSign and cRLSign. */
const BIT_STRING_OF_AUTHORITY = der(0x03, Buffer.of(1, 0x06))

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(oid(COMMON_NAME), der(0x0c, Buffer.from(text)))))
}

function extension(id: readonly number[], value: Buffer): Buffer {
  return sequence(oid(id), boolean(true), octets(value))
}

/** `YYMMDDhhmmssZ` */
function utcTime(at: number): string {
  return `${new Date(at).toISOString().slice(2, 19).replaceAll(/\D/g, '')}Z`
}

const MAC_ROUNDS = 1_000

/** RFC 7292, appendix B.2, with SHA-256, for as many bytes as that gives. */
function macKey(passphrase: string, salt: Buffer): Buffer {
  const block = (bytes: Buffer): Buffer => Buffer.alloc(Math.ceil(bytes.length / 64) * 64, bytes)
  const wide = Buffer.from(`${passphrase}\0`, 'utf16le').swap16()
  let hash = Buffer.concat([Buffer.alloc(64, 3), block(salt), block(wide)])
  for (let round = 0; round < MAC_ROUNDS; round += 1) hash = createHash('sha256').update(hash).digest()
  return hash
}

function dataOf(content: Buffer): Buffer {
  return sequence(oid(DATA), explicit(octets(content)))
}

function bag(id: readonly number[], value: Buffer): Buffer {
  return sequence(oid(id), explicit(value))
}

// ASN.1, its distinguished encoding.

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...size), content])
}

function sequence(...contents: readonly Buffer[]): Buffer {
  return der(0x30, ...contents)
}

function explicit(content: Buffer): Buffer {
  return der(0xa0, content)
}

function octets(bytes: Buffer): Buffer {
  return der(0x04, bytes)
}

function boolean(value: boolean): Buffer {
  return der(0x01, Buffer.of(value ? 0xff : 0))
}

/** Below 32,768. */
function integer(value: number): Buffer {
  return der(0x02, value < 0x80 ? Buffer.of(value) : Buffer.of(value >> 8, value & 0xff))
}

function oid([first = 0, second = 0, ...rest]: readonly number[]): Buffer {
  const bytes = rest.flatMap((part) => {
    const groups = [part & 0x7f]
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80)
    return groups
  })
  return der(0x06, Buffer.of(40 * first + second, ...bytes))
}

// The ways to a mosquitto that listens in all of them: plain, in TLS, in TLS with a certificate of the client's, over
// WebSockets, over both, and on a Unix socket.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Authority } from './certificates.ts'

export const WAYS = ['mqtt', 'mqtts', 'mqtts with a certificate', 'ws', 'wss', 'unix'] as const

export type Way = (typeof WAYS)[number]

export class Listeners {
  /** It issued the broker's certificate, and is trusted by it. */
  readonly authority: Authority = new Authority('mosquitto')
  readonly #directory: string
  #ports: readonly number[] = []

  constructor(directory: string) {
    this.#directory = directory
    const { cert, key } = this.authority.issue()
    this.#write('ca.pem', this.authority.cert)
    this.#write('cert.pem', cert)
    this.#write('key.pem', key)
  }

  url(way: Way): string {
    const scheme = way.split(' ')[0] ?? way
    if (scheme === 'unix') return `unix:${join(this.#directory, 'mosquitto.sock')}`
    return `${scheme}://localhost:${this.#ports[WAYS.indexOf(way)]}`
  }

  /** Lines of a configuration. @param ports one for each way, but the last */
  lines(ports: readonly number[]): readonly string[] {
    this.#ports = ports
    return WAYS.flatMap((way) => this.#linesOf(way))
  }

  #linesOf(way: Way): readonly string[] {
    if (way === 'unix') return [`listener 0 ${join(this.#directory, 'mosquitto.sock')}`]
    const lines = [`listener ${this.#ports[WAYS.indexOf(way)]} 127.0.0.1`]
    if (way.startsWith('ws')) lines.push('protocol websockets')
    if (way === 'mqtt' || way === 'ws') return lines
    const paths = ['ca', 'cert', 'key'].map((name) => `${name}file ${join(this.#directory, `${name}.pem`)}`)
    return [...lines, ...paths, ...(way.includes('certificate') ? ['require_certificate true'] : [])]
  }

  #write(name: string, text: string): void {
    writeFileSync(join(this.#directory, name), text, { mode: 0o600 })
  }
}

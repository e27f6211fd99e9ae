// A mosquitto of a round's own, on free loopback ports. It has no limits on what is queued or in flight, so that it drops
// nothing for a subscriber that is slower than a publisher, and TCP_NODELAY: without, Nagle's algorithm there and delayed
// acknowledgements here stop it for 40 ms now and then, the more so on a loopback, whose segments are 64 KiB, and nothing
// else is measured. The rest is as it is installed. measure.mjs ends it with the round.

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const freePort = async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** For 127.0.0.1, its own authority, made once and kept. */
const [certificate, key] = ['broker.crt', 'broker.key'].map((name) =>
  fileURLToPath(new URL(`../build/${name}`, import.meta.url)),
)

const makeCertificate = (openssl) => {
  if (existsSync(certificate)) return
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-x509', '-days', '3650', '-nodes', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']
  const files = ['-keyout', key, '-out', certificate]
  execFileSync(openssl, ['req', ...kind, ...name, ...files], { stdio: 'ignore' })
}

const listener = (scheme, port) => [
  `listener ${port} 127.0.0.1`,
  ...(scheme === 'ws' ? ['protocol websockets'] : []),
  ...(scheme === 'mqtts' ? [`certfile ${certificate}`, `keyfile ${key}`] : []),
]

/**
 * Starts it with a listener for each of `schemes` (mqtt, mqtts, ws). Resolves with their ports and the path of the
 * certificate to trust.
 */
export const startMosquitto = async ({ programs, startPeer }, schemes = ['mqtt']) => {
  if (schemes.includes('mqtts')) makeCertificate(programs.openssl)
  const ports = await Promise.all(schemes.map(freePort))
  const lines = [
    'allow_anonymous true',
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'set_tcp_nodelay true',
    ...(process.getuid?.() === 0 ? ['user root'] : []), // else it could not read root's files
    ...schemes.flatMap((scheme, i) => listener(scheme, ports[i])),
  ]
  const directory = mkdtempSync(join(tmpdir(), 'bench-mosquitto-'))
  const file = join(directory, 'mosquitto.conf')
  try {
    writeFileSync(file, `${lines.join('\n')}\n`)
    await startPeer(programs.mosquitto, ['-c', file]).said(/mosquitto version \S+ running/)
    return { ports, certificate }
  } finally {
    rmSync(directory, { recursive: true })
  }
}

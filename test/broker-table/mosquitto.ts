// mosquitto: both versions over everything.
import type { BrokerKind, RunningBroker } from './broker.ts'
import { ca, writeCertificates } from './certificates.ts'
import { removeFolder, startOnFreePorts, temporaryFolder, writeLines } from './processes.ts'
import { requireProgram } from './packages.ts'

async function start(): Promise<RunningBroker> {
  const folder = temporaryFolder()
  const files = writeCertificates(folder)
  const tls = [`certfile ${files.cert}`, `keyfile ${files.key}`]
  const { daemon, ports } = await startOnFreePorts(4, (free) => {
    const listener = (index: number, ...more: string[]): readonly string[] => [
      `listener ${free[index]} 127.0.0.1`,
      ...more,
    ]
    const config = writeLines(folder, 'mosquitto.conf', [
      // Else it would give up root's rights, and could not read root's files.
      ...(process.getuid?.() === 0 ? ['user root'] : []),
      ...listener(0),
      ...listener(1, ...tls),
      ...listener(2, 'protocol websockets'),
      ...listener(3, 'protocol websockets', ...tls),
      'allow_anonymous true',
      'persistence false',
    ])
    return { path: requireProgram('mosquitto'), args: ['-c', config], ports: free }
  })
  return {
    urls: {
      tcp: `mqtt://127.0.0.1:${ports[0]}`,
      tls: `mqtts://127.0.0.1:${ports[1]}`,
      ws: `ws://127.0.0.1:${ports[2]}/mqtt`,
      wss: `wss://127.0.0.1:${ports[3]}/mqtt`,
    },
    ca,
    async stop() {
      await daemon.end()
      removeFolder(folder)
    },
  }
}

export const mosquitto: BrokerKind = {
  name: 'mosquitto',
  packages: [{ program: 'mosquitto', name: 'mosquitto' }],
  versions: ['3.1.1', '5'],
  limitations: [],
  quirks: [
    {
      what: '2.0.11 ends a version 5 connection whose session is taken over without DISCONNECT 0x8E.',
      client:
        'It can only say `connection-lost`; two clients with one identifier take the session from each other again and again, at the pace of their back-off.',
    },
    {
      what: 'With its default `max_inflight_messages 20`, 2.0 answers the QoS 2 messages of a 3.1.1 client beyond 20 with PUBREC and drops them.',
      client:
        'In 3.1.1 it has at most 19 of QoS 2 open (`maxInflightQos2`); in version 5 it keeps to Receive Maximum. The rows with 500 messages run with the default.',
    },
    {
      what: '2.0.11 oversteps Receive Maximum of the client as soon as it has queued for it and something is acknowledged: 9 messages were open where 8 are allowed.',
      client:
        'It says so and leaves (`receive-maximum-exceeded`), the next time at long intervals: leave `receiveMaximum` out, `maxPending` bounds what waits.',
    },
  ],
  start,
}

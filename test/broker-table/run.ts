// `npm run test:brokers`: Petrel with the brokers and proxies that this machine has, as a table. `-- --install` installs
// those that are missing, `-- --only nats,squid` takes some, `-- --write` makes docs/brokers.md, `-- --json` prints the
// findings. Exits with 1 when something fails that should work, with 2 when it is called wrongly.
import { readFileSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { BrokerKind, Package } from './broker.ts'
import type { ClusterKind } from './cluster.ts'
import { ejabberd } from './ejabberd.ts'
import { mosquitto } from './mosquitto.ts'
import { nats, natsCluster } from './nats.ts'
import { findProgram, install, missingPackages, versionOf } from './packages.ts'
import { endAll } from './processes.ts'
import { PROXIES, type ProxyKind } from './proxies.ts'
import { rabbitmq, rabbitmqCluster, rabbitmqQuorumCluster } from './rabbitmq.ts'
import { type Column, type Findings, outcomesOf, pageOf, type Row, tableOf } from './table.ts'
import { describe, type Outcome } from './outcome.ts'
import { FEATURES, tryBroker, tryCluster, tryProxy } from './trials.ts'

const BROKERS: readonly BrokerKind[] = [mosquitto, ejabberd, nats, rabbitmq]
const CLUSTERS: readonly ClusterKind[] = [natsCluster, rabbitmqCluster, rabbitmqQuorumCluster]

type Kind = BrokerKind | ClusterKind | ProxyKind

/** What `--only` calls it; a cluster goes with its broker. */
function idOf({ name }: Kind): string {
  return name.toLowerCase().replace(/,.*$/, '')
}

/** @returns the exit code */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      install: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      only: { type: 'string' },
    },
  })
  const all: readonly Kind[] = [...BROKERS, ...CLUSTERS, ...PROXIES]
  const only = values.only?.split(',').map((name) => name.trim())
  const unknown = only?.filter((name) => !all.some((kind) => idOf(kind) === name)) ?? []
  if (unknown.length > 0) {
    const names = [...new Set(all.map(idOf))].join(', ')
    console.error(`test:brokers: expected names among ${names} after --only, got ${unknown.join(', ')}`)
    return 2
  }
  const wanted = all.filter((kind) => only?.includes(idOf(kind)) ?? true)
  // The proxies stand before a mosquitto.
  const packages = [...mosquitto.packages, ...wanted.flatMap((kind) => kind.packages)]
  const missing = missingPackages(packages)
  if (values.install && missing.length > 0) install(missing)

  const report = values.json ? () => {} : (what: string) => console.error(`… ${what}`)
  const findings = await findAll(wanted, report)
  if (values.write) writeFileSync(join(rootFolder(), 'docs/brokers.md'), pageOf(findings))
  console.log(values.json ? JSON.stringify(findings, undefined, 1) : `\n${tableOf(findings)}`)
  return outcomesOf(findings).some(({ verdict }) => verdict === 'fails') ? 1 : 0
}

async function findAll(wanted: readonly Kind[], report: (what: string) => void): Promise<Findings> {
  const isThere = ({ packages }: { readonly packages: readonly Package[] }): boolean =>
    [...packages, ...mosquitto.packages].every(({ program }) => findProgram(program) !== undefined)
  const brokers = BROKERS.filter((kind) => wanted.includes(kind) && isThere(kind))
  const clusters = CLUSTERS.filter((kind) => wanted.includes(kind) && isThere(kind))
  const proxies = PROXIES.filter((kind) => wanted.includes(kind) && isThere(kind))

  const columns: Column[] = []
  const found: (readonly Outcome[])[] = []
  for (const kind of brokers) {
    const outcomes = await tryBroker(kind, report).catch((error: unknown) => notStarted(kind, error))
    for (const version of kind.versions) {
      columns.push({ broker: `${kind.name} ${versionOfKind(kind)}`, mqtt: version })
      found.push(outcomes.get(version) ?? [])
    }
  }
  const features = FEATURES.map(({ name, about }, row) => ({
    name,
    about,
    outcomes: found.map((outcomes) => outcomes[row] ?? { verdict: 'absent' as const, text: '' }),
  }))
  const rows: Row[] = []
  for (const kind of clusters) {
    const outcome = await tryCluster(kind)
    report(`${kind.name}: ${outcome.verdict}: ${outcome.text}`)
    rows.push({ name: `${kind.name} [scenario 63]`, about: aboutCluster(kind), outcomes: [outcome] })
  }
  const proxyRows: Row[] = []
  for (const kind of proxies) {
    for (const trial of kind.trials) {
      const outcome = await tryProxy(trial)
      report(`${kind.name}, ${trial.name}: ${outcome.verdict}: ${outcome.text}`)
      proxyRows.push({ name: `${kind.name}: ${trial.name}`, about: trial.about, outcomes: [outcome] })
    }
  }
  return {
    ...circumstances(),
    installed: installedOf(
      wanted.includes(mosquitto) || isThere(mosquitto) ? wanted : [mosquitto, ...wanted],
    ),
    columns,
    features: columns.length === 0 ? [] : features,
    clusters: rows,
    proxies: proxyRows,
    quirks: [...brokers, ...clusters].map(({ name, quirks }) => ({ name, quirks })),
  }
}

/** A broker that does not start fails at the first feature. */
function notStarted(kind: BrokerKind, error: unknown): ReadonlyMap<string, readonly Outcome[]> {
  return new Map(kind.versions.map((version) => [version, [{ verdict: 'fails', text: describe(error) }]]))
}

function aboutCluster({ keepsSession }: ClusterKind): string {
  const done =
    'Subscriber and publisher are clients with the URLs of all nodes, both at the first, which is ended by SIGKILL ' +
    'in the middle of 200 messages of QoS 1; 200 have gone before and 200 follow. '
  return keepsSession
    ? `${done}Both clients go on at other nodes, the subscriber's session is there, no publish fails, and every message has come.`
    : `${done}The subscriber's session is out of reach: the client is told so (\`resumed\` with \`sessionPresent: false\`), and ` +
        'sends SUBSCRIBE before anything else. No publish fails. The node is started again before the last 200, which all ' +
        'come; what the broker took on and lost in between is its own.'
}

function circumstances(): Pick<Findings, 'petrel' | 'node' | 'system' | 'date' | 'command'> {
  const { version } = JSON.parse(readFileSync(join(rootFolder(), 'package.json'), 'utf8')) as {
    version: string
  }
  return {
    petrel: version,
    node: process.version,
    system: systemName(),
    date: new Date().toISOString().slice(0, 10),
    command: 'npm run test:brokers -- --write',
  }
}

function systemName(): string {
  try {
    const text = readFileSync('/etc/os-release', 'utf8')
    return /^PRETTY_NAME="(.*)"$/m.exec(text)?.[1] ?? `Linux ${release()}`
  } catch {
    return `${process.platform} ${release()}`
  }
}

function installedOf(wanted: readonly Kind[]): Findings['installed'] {
  const kinds = wanted.filter(
    (kind, index) => wanted.findIndex((other) => idOf(other) === idOf(kind)) === index,
  )
  return kinds.map((kind) => {
    const names = missingPackages(kind.packages)
    const [first] = kind.packages
    return {
      name: idOf(kind),
      package: names.length === 0 ? (first?.name ?? '') : names.join(' '),
      version: names.length === 0 ? versionOfKind(kind) : undefined,
    }
  })
}

function versionOfKind({ packages: [first] }: Kind): string {
  return first === undefined ? '?' : versionOf(first.name)
}

function rootFolder(): string {
  return join(dirname(process.argv[1] ?? ''), '../..')
}

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  process.on(signal, () => void endAll().finally(() => process.exit(code)))
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(`test:brokers: ${describe(error)}`)
  process.exitCode = 1
} finally {
  await endAll()
}
process.exit()
